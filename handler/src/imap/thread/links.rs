//! Step 1 of REFERENCES (RFC 5256, THREAD): messages, and dummies for those that are only mentioned, become each other's parents.
//!
//! Messages are given in the order of the mailbox. A message that is mentioned and not there costs a node, so their number is limited:
//! beyond, ids that nobody has had before are passed over. No mail but one made for it comes near.

use super::ancestry::{Ancestry, NONE};
use super::ids::Ids;

/// Nodes that there may be in all: so many for each message, and some more.
const NODES_FOR_A_MESSAGE_MAX: usize = 4;
const NODES_MORE_MAX: usize = 65_536;

/// Nodes, ids and parents.
pub(crate) struct Links {
    ids: Ids,
    ancestry: Ancestry,
    /// The message of each node; [`NONE`] for a dummy.
    messages: Vec<u32>,
    /// The node of each message.
    nodes: Vec<u32>,
    nodes_max: usize,
}

impl Links {
    /// For so many messages.
    pub(crate) fn new(count: usize) -> Links {
        let nodes_max = count.saturating_mul(NODES_FOR_A_MESSAGE_MAX).saturating_add(NODES_MORE_MAX);
        Links {
            ids: Ids::new(count),
            ancestry: Ancestry::default(),
            messages: Vec::with_capacity(count),
            nodes: Vec::with_capacity(count),
            nodes_max: nodes_max.min(NONE as usize - count.min(NONE as usize)),
        }
    }

    /// Adds the next message, with its id, if it has a valid one, and the ids that it refers to.
    pub(crate) fn push(&mut self, id: Option<u64>, references: impl Iterator<Item = u64>) {
        let message = self.nodes.len() as u32;
        // An id that an earlier message has is none.
        let node = match id.and_then(|id| self.ids.find(id)) {
            Some(node) if self.messages[node as usize] == NONE => {
                self.messages[node as usize] = message;
                node
            }
            found => {
                let id = if found.is_some() { None } else { id };
                self.add(id, message)
            }
        };
        self.nodes.push(node);
        let mut last = NONE;
        for id in references {
            let Some(reference) = self.reference(id) else { continue };
            // (A) A parent that is there stays.
            if last != NONE && self.ancestry.parent(reference) == NONE {
                self.ancestry.link(last, reference);
            }
            last = reference;
        }
        // (B) The last reference is the parent, whatever was the parent before.
        self.ancestry.cut(node);
        if last != NONE {
            self.ancestry.link(last, node);
        }
    }

    fn reference(&mut self, id: u64) -> Option<u32> {
        match self.ids.find(id) {
            Some(node) => Some(node),
            None if self.messages.len() < self.nodes_max => Some(self.add(Some(id), NONE)),
            None => None,
        }
    }

    fn add(&mut self, id: Option<u64>, message: u32) -> u32 {
        let node = self.messages.len() as u32;
        self.ancestry.push();
        self.messages.push(message);
        self.ids.push(id);
        node
    }

    /// Ends adding.
    pub(crate) fn finish(self) -> Forest {
        Forest {
            parents: self.ancestry.into_parents(),
            messages: self.messages,
            nodes: self.nodes,
            way: Vec::new(),
        }
    }
}

/// What step 1 leaves: trees of messages and dummies.
#[derive(Default)]
pub(crate) struct Forest {
    parents: Vec<u32>,
    messages: Vec<u32>,
    nodes: Vec<u32>,
    way: Vec<u32>,
}

/// What a message comes to be below of when dummies are taken out (step 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Above {
    /// Nothing.
    Nothing,
    /// This message.
    Message(u32),
    /// No message; but this dummy is the top of its tree.
    Dummy(u32),
}

impl Forest {
    /// How many nodes there are: dummies are numbers below.
    pub(crate) fn nodes(&self) -> usize {
        self.parents.len()
    }

    /// The nearest message above this one, or else the topmost dummy. Dummies on the way learn of it, so that no way is gone
    /// twice.
    pub(crate) fn above(&mut self, message: u32) -> Above {
        self.way.clear();
        let mut node = self.parents[self.nodes[message as usize] as usize];
        let above = loop {
            if node == NONE {
                break self.way.last().map_or(Above::Nothing, |&top| Above::Dummy(top));
            }
            if self.messages[node as usize] != NONE {
                break Above::Message(self.messages[node as usize]);
            }
            self.way.push(node);
            node = self.parents[node as usize];
        };
        let end = if node == NONE { self.way.pop().unwrap_or(NONE) } else { node };
        for &passed in &self.way {
            self.parents[passed as usize] = end;
        }
        above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_limited() {
        let mut links = Links::new(2);
        let most = links.nodes_max as u64;
        links.push(Some(1), 2..10 * most);
        links.push(Some(20 * most), 10 * most..20 * most);
        assert_eq!(links.messages.len() as u64, most + 1);
        let mut forest = links.finish();
        assert!(matches!(forest.above(0), Above::Dummy(_)));
        assert_eq!(forest.above(1), Above::Nothing);
    }
}
