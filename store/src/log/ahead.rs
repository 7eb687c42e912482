//! How much of a log is made ready ahead of its tail, and how. Decided here, done by `file`; pure.
//!
//! - Where the commit thread syncs little at a time, zeros are written ahead: a sync then has no metadata to write, which is most of its
//!   time. Each octet of the log is written twice for that.
//! - Where it syncs much at a time, the octets are most of the time. Then only extents are reserved, behind the end of the file: frames lie
//!   together on the disk, and a sync has little metadata to write.
//!
//! What both cost is measured in `COST.md`.

use crate::disk::Sizes;

/// Logs whose groups are smaller than this, on average, have zeros written ahead.
const SMALL_GROUP_BYTES: u64 = 12 * 1024;
/// A new group has this part in the average.
const WEIGHT: u64 = 8;

/// What is ready ahead of the tail of one log.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// The file is written, with zeros at least, up to here.
    pub(crate) written: u64,
    /// Extents are reserved up to here, or were tried to be.
    reserved: u64,
    /// The tail when the last group was synced.
    synced_tail: u64,
    /// Octets of a group on average; `None` before the first.
    mean_group: Option<u64>,
    extents: Extents,
    sizes: Sizes,
}

/// Whether extents are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extents {
    /// Where groups are big.
    Reserved,
    /// The file system has no such call.
    Unknown,
    /// The log takes one big message at a time: nobody knows how long the next one is, or when it comes.
    NotWanted,
}

/// What is to be done to the file, outside of its reach by readers and frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    /// Zeros from what is written up to here.
    Zeros {
        upto: u64,
    },
    /// Extents, with the length of the file as it is.
    Extents {
        from: u64,
        upto: u64,
    },
}

impl Ahead {
    /// Of a log whose frames end at `tail` and whose file is `len` octets long.
    pub(crate) fn new(sizes: &Sizes, tail: u64, len: u64) -> Ahead {
        let written = len.max(tail);
        Ahead {
            written,
            reserved: written,
            synced_tail: tail,
            mean_group: None,
            extents: Extents::Reserved,
            sizes: *sizes,
        }
    }

    /// The log takes big messages, one at a time.
    pub(crate) fn is_for_big_messages(&mut self) {
        self.extents = Extents::NotWanted;
    }

    /// The file system cannot reserve extents.
    pub(crate) fn cannot_reserve(&mut self) {
        self.extents = Extents::Unknown;
    }

    /// All up to `tail` was synced as one group. What is to be done now?
    pub(crate) fn synced(&mut self, tail: u64) -> Step {
        let group = tail.saturating_sub(self.synced_tail);
        if group > 0 {
            self.synced_tail = tail;
            let mean = self.mean_group.map_or(group, |mean| (mean * (WEIGHT - 1) + group) / WEIGHT);
            self.mean_group = Some(mean);
        }
        if self.extents == Extents::NotWanted {
            return Step::Nothing;
        }
        // Half is used up before it is made whole again, so that it is done rarely.
        if self.mean_group.is_none_or(|mean| mean < SMALL_GROUP_BYTES) {
            let ahead = tail.clamp(self.sizes.zero_ahead_least_bytes, self.sizes.zero_ahead_most_bytes);
            let is_enough = self.written >= tail + ahead / 2;
            return if is_enough { Step::Nothing } else { Step::Zeros { upto: tail + ahead } };
        }
        let ahead = tail.clamp(self.sizes.zero_ahead_least_bytes, self.sizes.reserved_ahead_most_bytes);
        if self.extents == Extents::Unknown || self.reserved >= tail + ahead / 2 {
            return Step::Nothing;
        }
        let from = self.reserved.max(self.written);
        // Also if it fails: a full disk is not asked again after every group.
        self.reserved = tail + ahead;
        if from < self.reserved { Step::Extents { from, upto: self.reserved } } else { Step::Nothing }
    }

    /// The file was cut off at `tail`.
    pub(crate) fn cut(&mut self, tail: u64) {
        self.written = tail;
        self.reserved = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done over `count` groups of `group` octets each, and the tail then.
    fn run(ahead: &mut Ahead, mut tail: u64, group: u64, count: u64) -> (Vec<Step>, u64) {
        let mut steps = Vec::new();
        for _ in 0..count {
            tail += group;
            ahead.written = ahead.written.max(tail);
            let step = ahead.synced(tail);
            if let Step::Zeros { upto } = step {
                ahead.written = upto;
            }
            steps.extend((step != Step::Nothing).then_some(step));
        }
        (steps, tail)
    }

    #[test]
    fn small_groups_get_zeros_and_big_ones_extents() {
        let mut ahead = Ahead::new(&Sizes::REAL, 64, 64);
        let (steps, tail) = run(&mut ahead, 64, 4_096, 2_000);
        assert!(steps.iter().all(|step| matches!(step, Step::Zeros { .. })), "{steps:?}");
        assert!((3..30).contains(&steps.len()), "a step is rare: {steps:?}");
        let (steps, tail) = run(&mut ahead, tail, 65_536, 2_000);
        let is_extents = |step: &&Step| matches!(step, Step::Extents { .. });
        assert!(steps.iter().skip(1).all(|step| is_extents(&step)), "{steps:?}");
        assert!((5..25).contains(&steps.len()), "a step is rare: {steps:?}");
        let (steps, _) = run(&mut ahead, tail, 4_096, 2_000);
        assert!(matches!(steps.last(), Some(Step::Zeros { .. })), "{steps:?}");
    }

    #[test]
    fn extents_are_behind_what_is_written_and_follow_one_another() {
        let mut ahead = Ahead::new(&Sizes::REAL, 64, 64);
        let (steps, tail) = run(&mut ahead, 64, 100_000, 1_000);
        let mut end = 64;
        for step in steps {
            let Step::Extents { from, upto } = step else { panic!("{step:?}") };
            assert!(from >= end && upto > from && upto <= tail + Sizes::REAL.reserved_ahead_most_bytes);
            end = upto;
        }
    }

    #[test]
    fn nothing_is_reserved_where_it_cannot_be_or_is_not_wanted() {
        let mut ahead = Ahead::new(&Sizes::REAL, 64, 64);
        ahead.cannot_reserve();
        assert_eq!(run(&mut ahead, 64, 100_000, 100).0, []);
        let mut ahead = Ahead::new(&Sizes::REAL, 64, 64);
        ahead.cannot_reserve();
        assert_ne!(run(&mut ahead, 64, 100, 100).0, [], "zeros can be written everywhere");
        let mut ahead = Ahead::new(&Sizes::REAL, 64, 64);
        ahead.is_for_big_messages();
        assert_eq!(run(&mut ahead, 64, 100, 100).0, []);
    }
}
