//! Numbers by hashes, for THREAD: nodes by Message-IDs, and threads by subjects.

use std::hash::{BuildHasher, RandomState};

use super::ancestry::NONE;

/// Nodes by their ids. Which place an id has depends on a random number: nobody can choose ids that get in each other's way.
pub(crate) struct Ids {
    /// Of each node; 0 for one that has none.
    ids: Vec<u64>,
    /// Nodes, or [`NONE`]; at most half of the places are taken.
    places: Vec<u32>,
    multiplier: u64,
}

impl Ids {
    /// With room for so many.
    pub(crate) fn new(count: usize) -> Ids {
        let places = vec![NONE; (4 * count).next_power_of_two().max(16)];
        Ids { ids: Vec::with_capacity(count), places, multiplier: RandomState::new().hash_one(0) | 1 }
    }

    /// The place where an id is, or would be.
    fn place(&self, id: u64) -> usize {
        let bits = self.places.len().trailing_zeros();
        let mut place = (id.wrapping_mul(self.multiplier) >> (64 - bits)) as usize;
        while self.places[place] != NONE && self.ids[self.places[place] as usize] != id {
            place = (place + 1) & (self.places.len() - 1);
        }
        place
    }

    /// The node with this id.
    pub(crate) fn find(&self, id: u64) -> Option<u32> {
        Some(self.places[self.place(id)]).filter(|&node| node != NONE)
    }

    /// Adds the next node. Its id is that of no other, and not 0.
    pub(crate) fn push(&mut self, id: Option<u64>) {
        let node = self.ids.len() as u32;
        self.ids.push(id.unwrap_or(0));
        if 2 * self.ids.len() > self.places.len() {
            self.places = vec![NONE; 2 * self.places.len()];
            for node in 0..node {
                let id = self.ids[node as usize];
                if id != 0 {
                    let place = self.place(id);
                    self.places[place] = node;
                }
            }
        }
        if let Some(id) = id {
            let place = self.place(id);
            self.places[place] = node;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_again() {
        let mut ids = Ids::new(1);
        for node in 0..10_000_u64 {
            assert_eq!(ids.find(node * 3 + 1), None);
            ids.push((node % 5 != 0).then_some(node * 3 + 1));
        }
        for node in 0..10_000_u64 {
            assert_eq!(ids.find(node * 3 + 1), (node % 5 != 0).then_some(node as u32));
        }
    }
}
