//! What of a file is on the disk, and what of it a power cut leaves.
//!
//! A sector is written whole or not at all, each by itself, in any order. What is longer than the file was when it was synced last, reads as
//! zeros where it did not get to the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::random::Random;

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// The durable octets of a file.
#[derive(Debug, Default)]
pub(super) struct Durable {
    bytes: Arc<Vec<u8>>,
    /// Sectors that the system could not write and has forgotten to be unwritten, with the hash of what it should have written: no sync
    /// writes them, until they are changed once more.
    forgotten: BTreeMap<usize, u64>,
}

/// Which of the sectors that differ get to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Odds {
    None,
    All,
    /// So many of 16.
    Some(u64),
}

impl Odds {
    pub(super) fn any(random: &mut Random) -> Odds {
        match random.below(4) {
            0 => Odds::None,
            1 => Odds::All,
            2 => Odds::Some(8),
            _ => Odds::Some(1 + random.below(15)),
        }
    }

    fn draw(self, random: &mut Random) -> bool {
        match self {
            Odds::None => false,
            Odds::All => true,
            Odds::Some(parts) => random.chance(parts, 16),
        }
    }

    /// A number from `from` to `to`.
    fn between(self, from: usize, to: usize, random: &mut Random) -> usize {
        let (low, high) = (from.min(to), from.max(to));
        match self {
            Odds::None => from,
            Odds::All => to,
            Odds::Some(_) => match random.below(4) {
                0 => from,
                1 => to,
                2 => low + random.below((high - low) as u64 + 1) as usize,
                _ => (low + random.below((high - low) as u64 + 1) as usize)
                    .next_multiple_of(SECTOR_BYTES)
                    .min(high),
            },
        }
    }
}

impl Durable {
    /// All of it is on the disk.
    pub(super) fn new(bytes: Arc<Vec<u8>>) -> Durable {
        Durable { bytes, forgotten: BTreeMap::new() }
    }

    pub(super) fn bytes(&self) -> &Arc<Vec<u8>> {
        &self.bytes
    }

    /// A sync went well.
    pub(super) fn sync(&mut self, current: Arc<Vec<u8>>) {
        if self.forgotten.is_empty() {
            self.bytes = current;
        } else {
            self.bytes = Arc::new(self.taken(&current, current.len(), |_| true));
            self.forgotten.retain(|sector, hash| xxh3_64(sector_of(&current, *sector)) == *hash);
        }
    }

    /// A sync failed: some sectors were written, the system believes that all were.
    pub(super) fn fail(&mut self, current: &[u8], random: &mut Random) {
        self.write_back(current, random);
        for sector in 0..current.len().div_ceil(SECTOR_BYTES) {
            let bytes = sector_of(current, sector);
            if !is_same(sector_of(&self.bytes, sector), bytes) {
                self.forgotten.insert(sector, xxh3_64(bytes));
            }
        }
    }

    /// Octets of the file are written once more: the system knows again that they are to be written to the disk.
    pub(super) fn written(&mut self, offset: u64, bytes: u64) {
        let sector = |place: u64| usize::try_from(place / SECTOR_BYTES as u64).unwrap_or(usize::MAX);
        let touched = sector(offset)..=sector(offset.saturating_add(bytes.saturating_sub(1)));
        self.forgotten.retain(|sector, _| !touched.contains(sector));
    }

    /// Some of what was not synced gets to the disk by itself.
    pub(super) fn write_back(&mut self, current: &[u8], random: &mut Random) {
        self.bytes = self.after_power_cut(current, Odds::any(random), random);
    }

    /// What the file holds after a power cut now.
    pub(super) fn after_power_cut(&self, current: &[u8], odds: Odds, random: &mut Random) -> Arc<Vec<u8>> {
        if *self.bytes == current {
            return Arc::clone(&self.bytes);
        }
        let len = odds.between(self.bytes.len(), current.len(), random);
        Arc::new(self.taken(current, len, |_| odds.draw(random)))
    }

    /// The durable octets with those sectors of the current ones that differ and that `takes` wants.
    fn taken(&self, current: &[u8], len: usize, mut takes: impl FnMut(usize) -> bool) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        bytes.resize(len, 0);
        for sector in 0..len.div_ceil(SECTOR_BYTES) {
            let new = sector_of(current, sector);
            let old = sector_of(&self.bytes, sector);
            if is_same(old, new) || self.is_forgotten(sector, new) || !takes(sector) {
                continue;
            }
            let start = sector * SECTOR_BYTES;
            let end = len.min(start + SECTOR_BYTES);
            for (place, octet) in bytes[start..end].iter_mut().enumerate() {
                *octet = new.get(place).copied().unwrap_or(0);
            }
        }
        bytes
    }

    fn is_forgotten(&self, sector: usize, bytes: &[u8]) -> bool {
        self.forgotten.get(&sector).is_some_and(|hash| *hash == xxh3_64(bytes))
    }

    /// The medium itself is changed.
    pub(super) fn damage(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        change(Arc::make_mut(&mut self.bytes));
    }
}

/// A sector, as far as the file goes.
fn sector_of(bytes: &[u8], sector: usize) -> &[u8] {
    let start = bytes.len().min(sector * SECTOR_BYTES);
    &bytes[start..bytes.len().min(start + SECTOR_BYTES)]
}

/// Whether two sectors hold the same, zeros being what is behind the end of a file.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let common = one.len().min(other.len());
    one[..common] == other[..common] && one[common..].iter().chain(&other[common..]).all(|octet| *octet == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sector_is_old_or_new_whatever_happens() {
        let (old, new) = (vec![1; 10 * SECTOR_BYTES + 7], vec![2; 20 * SECTOR_BYTES + 3]);
        let mut random = Random::new(1);
        let (mut mixed, mut lengths) = (0, std::collections::BTreeSet::new());
        for _ in 0..200 {
            let left = Durable::new(Arc::new(old.clone())).after_power_cut(
                &new,
                Odds::any(&mut random),
                &mut random,
            );
            lengths.insert(left.len());
            assert!((old.len()..=new.len()).contains(&left.len()));
            for (index, sector) in left.chunks(SECTOR_BYTES).enumerate() {
                let old = sector_of(&old, index);
                let is_old = is_same(sector, old);
                assert!(is_old || sector.iter().all(|octet| *octet == 2), "sector {index} is torn");
            }
            mixed += u32::from(left.contains(&1) && left.contains(&2));
        }
        assert!(mixed > 50 && lengths.len() > 20, "{mixed} mixed, {} lengths", lengths.len());
    }

    #[test]
    fn what_a_failed_sync_left_is_not_made_durable_by_the_next_one() {
        let mut random = Random::new(3);
        let new = vec![2; 40 * SECTOR_BYTES];
        let mut lost = 0;
        for _ in 0..20 {
            let mut durable = Durable::new(Arc::new(vec![1; 40 * SECTOR_BYTES]));
            durable.fail(&new, &mut random);
            let before = durable.bytes().to_vec();
            durable.sync(Arc::new(new.clone()));
            assert_eq!(**durable.bytes(), before);
            lost += before.iter().filter(|octet| **octet == 1).count();
            // Written once more, each of them is.
            durable.sync(Arc::new(vec![3; 40 * SECTOR_BYTES]));
            assert_eq!(**durable.bytes(), vec![3; 40 * SECTOR_BYTES]);
        }
        assert!(lost > 0);
    }
}
