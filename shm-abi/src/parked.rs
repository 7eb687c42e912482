//! What is kept of a session while it waits, so that another handler can go on with it: the upper half of its cell.
//!
//! A worker writes it at each park between two commands, the router reads it when the handler is dead or has let the session
//! go. A writer may die at any instruction: the head, which has a checksum over all of it, is cleared first and written last,
//! so that a torn state is none. The octets are the handler's own business; here they have a length and a version alone.

use crate::cell::Cell;
use crate::layout::{CellShared, PARKED_WORDS};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

/// Words of the head: length, version and checksum; then the annex.
const HEAD_WORDS: usize = 2;
/// Most octets of a parked state that its cell holds. The rest goes into the annex.
pub const PARKED_OCTETS: usize = (PARKED_WORDS - HEAD_WORDS) * 8;

/// Facts about a session that its worker tells as it goes, a set of bits. What a dead handler's session is worth is read off them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CellFlags(pub u64);

impl CellFlags {
    /// Since the state was parked, octets of an answer may have been sent, or something lasting was changed: what came since then
    /// must not be done again. Set before the first such step, cleared when the session parks.
    pub const ANSWERING: CellFlags = CellFlags(1 << 0);
    /// What was sent last may be a part of a line or of a literal: nothing may be said before the rest of it.
    pub const TORN: CellFlags = CellFlags(1 << 1);
    /// What is sent is compressed (RFC 4978): words of the router must be, too.
    pub const COMPRESSED: CellFlags = CellFlags(1 << 2);
    /// The parked state is all that there is to know, but for what came after it and is in the worker's row.
    pub const ADOPTABLE: CellFlags = CellFlags(1 << 3);
    /// The socket is being read: what came may be known to nobody yet.
    pub const READING: CellFlags = CellFlags(1 << 4);

    /// Whether any of `other` is in the set.
    pub fn has(self, other: CellFlags) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::ops::BitOr for CellFlags {
    type Output = CellFlags;

    fn bitor(self, other: CellFlags) -> CellFlags {
        CellFlags(self.0 | other.0)
    }
}

/// A file with the part of a parked state that its cell has no room for, in the folder `parked` of the runtime folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annex {
    /// Which of the files that the session wrote one after the other; from 1.
    pub number: u32,
    /// The handler's checksum of what is in it.
    pub checksum: u32,
}

impl Annex {
    /// The file's name.
    pub fn file_name(self, handler: u32, cell: u32, generation: u32) -> String {
        format!("{handler}-{cell}-{generation}-{}", self.number)
    }
}

/// A parked state, copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Version of what the octets mean.
    pub version: u16,
    /// The state as the handler encoded it, at most [`PARKED_OCTETS`].
    pub octets: Vec<u8>,
    /// What of it is in a file.
    pub annex: Option<Annex>,
}

impl Cell<'_> {
    /// Keeps `octets`, in the meaning of `version`, as the session's state. False, and nothing is kept, if there are more than
    /// [`PARKED_OCTETS`] or none.
    pub fn park(&self, version: u16, octets: &[u8], annex: Option<Annex>) -> bool {
        let words = &self.shared().parked;
        self.unpark();
        if octets.is_empty() || octets.len() > PARKED_OCTETS {
            return false;
        }
        let annex_word = annex.map_or(0, |annex| u64::from(annex.number) << 32 | u64::from(annex.checksum));
        let mut checksum = Checksum::new(self.generation(), version, octets.len(), annex_word);
        words[1].store(annex_word, Ordering::Relaxed);
        for (word, part) in words[HEAD_WORDS..].iter().zip(octets.chunks(8)) {
            let mut value = [0; 8];
            value[..part.len()].copy_from_slice(part);
            let value = u64::from_le_bytes(value);
            checksum.add(value);
            word.store(value, Ordering::Relaxed);
        }
        words[0].store(head(octets.len(), version, checksum.value()), Ordering::Release);
        true
    }

    /// Keeps no state any more.
    pub fn unpark(&self) {
        self.shared().parked[0].store(0, Ordering::Relaxed);
        // Whatever is written next must not be written before.
        compiler_fence(Ordering::SeqCst);
    }

    /// The state that is kept, if it is whole. Not to be asked while a worker runs the session.
    pub fn parked(&self) -> Option<Parked> {
        let words = &self.shared().parked;
        let head_word = words[0].load(Ordering::Acquire);
        let (length, version) = (head_word as u16 as usize, (head_word >> 16) as u16);
        if length == 0 || length > PARKED_OCTETS {
            return None;
        }
        let annex_word = words[1].load(Ordering::Relaxed);
        let mut checksum = Checksum::new(self.generation(), version, length, annex_word);
        let mut octets = Vec::with_capacity(length.next_multiple_of(8));
        for word in &words[HEAD_WORDS..HEAD_WORDS + length.div_ceil(8)] {
            let value = word.load(Ordering::Relaxed);
            checksum.add(value);
            octets.extend_from_slice(&value.to_le_bytes());
        }
        octets.truncate(length);
        let annex = Annex { number: (annex_word >> 32) as u32, checksum: annex_word as u32 };
        (head(length, version, checksum.value()) == head_word).then_some(Parked {
            version,
            octets,
            annex: (annex.number != 0).then_some(annex),
        })
    }

    /// What the worker said of the session.
    pub fn flags(&self) -> CellFlags {
        CellFlags(self.shared().flags.load(Ordering::Acquire))
    }

    /// Says `flags` of the session and nothing else. What was done before is seen by who sees this, and what is done after it is not
    /// done before.
    pub fn set_flags(&self, flags: CellFlags) {
        self.shared().flags.store(flags.0, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
    }

    /// Says `flags` in addition.
    pub fn add_flags(&self, flags: CellFlags) {
        self.set_flags(self.flags() | flags);
    }

    /// Says `flags` no more.
    pub fn remove_flags(&self, flags: CellFlags) {
        self.set_flags(CellFlags(self.flags().0 & !flags.0));
    }
}

/// Forgets the parked state and the flags of the cell's last session.
pub(crate) fn reset(shared: &CellShared) {
    shared.flags.store(0, Ordering::Relaxed);
    let head: &AtomicU64 = &shared.parked[0];
    head.store(0, Ordering::Relaxed);
}

fn head(length: usize, version: u16, checksum: u32) -> u64 {
    u64::from(checksum) << 32 | u64::from(version) << 16 | length as u64
}

/// Multiplies and folds: against torn and damaged states, not against forgers, who could write the segment anyway.
struct Checksum(u64);

impl Checksum {
    fn new(generation: u32, version: u16, length: usize, annex: u64) -> Checksum {
        let mut checksum = Checksum(0xcbf2_9ce4_8422_2325);
        checksum.add(u64::from(generation) << 32 | u64::from(version) << 16 | length as u64);
        checksum.add(annex);
        checksum
    }

    fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    fn value(&self) -> u32 {
        (self.0 ^ self.0 >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::CellShared;

    #[test]
    fn what_is_parked_is_read_back_whatever_its_length() {
        let shared = CellShared::default();
        let cell = Cell::new(&shared);
        for length in 1..=PARKED_OCTETS {
            let octets: Vec<u8> = (0..length).map(|at| at as u8 ^ 0x5a).collect();
            let annex = (length % 2 == 0).then_some(Annex { number: length as u32, checksum: 9 });
            assert!(cell.park(3, &octets, annex));
            assert_eq!(cell.parked(), Some(Parked { version: 3, octets, annex }));
        }
        assert!(!cell.park(3, &[0; PARKED_OCTETS + 1], None));
        assert_eq!(cell.parked(), None);
        assert!(!cell.park(3, &[], None));
    }

    #[test]
    fn a_torn_state_is_none() {
        let shared = CellShared::default();
        let cell = Cell::new(&shared);
        assert!(cell.park(1, &[7; 100], Some(Annex { number: 1, checksum: 2 })));
        for (at, word) in shared.parked.iter().enumerate().take(HEAD_WORDS + 13) {
            let good = word.load(Ordering::Relaxed);
            word.store(good ^ 1 << (at % 64), Ordering::Relaxed);
            assert_eq!(cell.parked(), None, "word {at}");
            word.store(good, Ordering::Relaxed);
        }
        assert!(cell.parked().is_some());
        // Another session's cell.
        shared.state.store(1 << 32, Ordering::Relaxed);
        assert_eq!(cell.parked(), None);
    }

    #[test]
    fn flags_come_and_go() {
        let shared = CellShared::default();
        let cell = Cell::new(&shared);
        cell.set_flags(CellFlags::ADOPTABLE | CellFlags::COMPRESSED);
        cell.add_flags(CellFlags::ANSWERING);
        cell.remove_flags(CellFlags::ADOPTABLE);
        assert_eq!(cell.flags(), CellFlags::ANSWERING | CellFlags::COMPRESSED);
        reset(&shared);
        assert_eq!(cell.flags(), CellFlags::default());
    }
}
