//! Which messages of a mailbox one reader has seen, as runs of UIDs, each with the modseq of its last change.
//!
//! Invariants: runs ascend and do not overlap; two that touch differ in something. A UID in no run was never marked by this reader: it is not seen. Of two changes that
//! speak of one UID the one with the higher modseq counts, so changes may come in any order, and twice.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::ids::{ModSeq, Uid};

/// Runs with the newest modseqs that keep theirs when runs become many.
const EXACT_RUNS: usize = 1024;

/// What is said of a UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Whether the reader has seen it.
    pub(crate) seen: bool,
    /// When that was last changed.
    pub(crate) modseq: ModSeq,
}

/// UIDs from the key to the first field.
type Runs = BTreeMap<u32, (u32, Mark)>;

/// What one reader has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenRuns {
    runs: Runs,
}

impl SeenRuns {
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// What is said of `uid`.
    pub(crate) fn at(&self, uid: Uid) -> Option<Mark> {
        let (_, (last, mark)) = self.runs.range(..=uid.get()).next_back()?;
        (*last >= uid.get()).then_some(*mark)
    }

    /// The runs, whole, that have UIDs from `first` to `last`.
    pub(crate) fn overlapping(&self, first: u32, last: u32) -> impl Iterator<Item = (u32, u32, Mark)> {
        let before = self.runs.range(..first).next_back().filter(move |(_, (end, _))| *end >= first);
        let within = if first <= last { Some(self.runs.range(first..=last)) } else { None };
        before
            .into_iter()
            .filter(move |_| first <= last)
            .chain(within.into_iter().flatten())
            .map(|(first, (last, mark))| (*first, *last, *mark))
    }

    /// All runs, ascending.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, u32, Mark)> {
        self.runs.iter().map(|(first, (last, mark))| (*first, *last, *mark))
    }

    /// The highest modseq of any.
    pub(crate) fn highest_modseq(&self) -> ModSeq {
        self.runs.values().map(|(_, mark)| mark.modseq).max().unwrap_or_default()
    }

    /// Puts a run behind all others, as a file has them; false if it does not belong there.
    pub(super) fn push(&mut self, first: u32, last: u32, mark: Mark) -> bool {
        let behind = self.runs.last_key_value().is_none_or(|(_, (end, _))| *end < first);
        let fits = behind && first > 0 && first <= last;
        if fits {
            self.runs.insert(first, (last, mark));
        }
        fits
    }

    /// UIDs from `first` to `last` are marked so, but for those that a later change speaks of.
    pub(crate) fn set(&mut self, first: Uid, last: Uid, mark: Mark) {
        let (first, last) = (first.get(), last.get());
        self.split(first);
        if let Some(behind) = last.checked_add(1) {
            self.split(behind);
        }
        let known: Vec<(u32, u32, Mark)> = self.overlapping(first, last).collect();
        let mut at = Some(first);
        for (start, end, before) in known {
            if let Some(from) = at.filter(|from| *from < start) {
                self.runs.insert(from, (start - 1, mark));
            }
            if before.modseq <= mark.modseq {
                self.runs.insert(start, (end, mark));
            }
            at = end.checked_add(1);
        }
        if let Some(from) = at.filter(|from| *from <= last) {
            self.runs.insert(from, (last, mark));
        }
        self.join_equal(first, last);
    }

    /// Has a run begin at `uid` if one goes over it.
    fn split(&mut self, uid: u32) {
        let Some((first, (last, mark))) =
            self.runs.range(..uid).next_back().map(|(first, run)| (*first, *run))
        else {
            return;
        };
        if last >= uid {
            self.runs.insert(first, (uid - 1, mark));
            self.runs.insert(uid, (last, mark));
        }
    }

    /// Joins runs that touch and say the same, from the one before `first` to the one behind `last`.
    fn join_equal(&mut self, first: u32, last: u32) {
        let start = self.runs.range(..first).next_back().map_or(first, |(start, _)| *start);
        let keys: Vec<u32> = self.runs.range(start..=last.saturating_add(1)).map(|(key, _)| *key).collect();
        let mut into: Option<(u32, u32, Mark)> = None;
        for key in keys {
            let Some(&(end, mark)) = self.runs.get(&key) else { continue };
            match &mut into {
                Some((start, upto, same)) if *same == mark && *upto + 1 == key => {
                    self.runs.remove(&key);
                    self.runs.insert(*start, (end, mark));
                    *upto = end;
                }
                into => *into = Some((key, end, mark)),
            }
        }
    }

    /// Makes runs fewer when they have become many: runs of no message go, and of neighbours with no message between them and the same mark the older ones are
    /// joined; they get the higher modseq of the two, so that at worst a client is told a flag once more. `has_message` says whether there is a message from one UID to another.
    pub(crate) fn tidy(&mut self, has_message: &dyn Fn(u32, u32) -> Result<bool>) -> Result<()> {
        if self.runs.len() <= EXACT_RUNS {
            return Ok(());
        }
        let mut modseqs: Vec<u64> = self.runs.values().map(|(_, mark)| mark.modseq.0).collect();
        let place = modseqs.len() - EXACT_RUNS;
        let (_, exact_from, _) = modseqs.select_nth_unstable(place);
        let exact_from = *exact_from;
        let mut kept: Vec<(u32, u32, Mark)> = Vec::with_capacity(self.runs.len());
        for (first, last, mark) in self.all() {
            if !has_message(first, last)? {
                continue;
            }
            if let Some((_, upto, before)) = kept.last_mut()
                && before.seen == mark.seen
                && before.modseq.0 < exact_from
                && mark.modseq.0 < exact_from
                && !has_message(*upto + 1, first - 1)?
            {
                *upto = last;
                before.modseq = before.modseq.max(mark.modseq);
                continue;
            }
            kept.push((first, last, mark));
        }
        self.runs = kept.into_iter().map(|(first, last, mark)| (first, (last, mark))).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::tests::{Random, uid};

    fn mark(seen: bool, modseq: u64) -> Mark {
        Mark { seen, modseq: ModSeq(modseq) }
    }

    fn is_well_formed(runs: &SeenRuns) -> bool {
        let all: Vec<_> = runs.all().collect();
        all.iter().all(|(first, last, _)| first <= last)
            && all
                .windows(2)
                .all(|two| two[0].1 < two[1].0 && (two[0].1 + 1 < two[1].0 || two[0].2 != two[1].2))
    }

    #[test]
    fn the_newest_change_of_each_uid_counts_in_whatever_order() {
        let mut random = Random(3);
        for _ in 0..200 {
            let mut model = vec![None::<Mark>; 41];
            let mut changes: Vec<(u32, u32, Mark)> = (1..30)
                .map(|modseq| {
                    let first = 1 + random.below(40) as u32;
                    let last = (first + random.below(8) as u32).min(40);
                    (first, last, mark(random.below(2) == 0, modseq))
                })
                .collect();
            for (first, last, mark) in &changes {
                model[*first as usize..=*last as usize].fill(Some(*mark));
            }
            for place in 1..changes.len() {
                changes.swap(place, random.below(place as u64 + 1) as usize);
            }
            let mut runs = SeenRuns::default();
            for (first, last, mark) in changes.iter().chain(&changes) {
                runs.set(uid(*first), uid(*last), *mark);
                assert!(is_well_formed(&runs), "{runs:?}");
            }
            for (number, want) in (1..).zip(&model[1..]) {
                assert_eq!(runs.at(uid(number)), *want, "UID {number}");
            }
            for first in 1..=40 {
                let found: Vec<_> = runs.overlapping(first, first + 3).collect();
                let want: Vec<_> =
                    runs.all().filter(|(start, end, _)| *start <= first + 3 && *end >= first).collect();
                assert_eq!(found, want);
            }
        }
    }

    #[test]
    fn the_ends_of_all_uids_do_no_harm() {
        let mut runs = SeenRuns::default();
        runs.set(uid(u32::MAX), uid(u32::MAX), mark(true, 1));
        runs.set(uid(1), uid(u32::MAX), mark(true, 2));
        runs.set(uid(u32::MAX - 1), uid(u32::MAX), mark(false, 3));
        assert_eq!(runs.at(uid(u32::MAX)), Some(mark(false, 3)));
        assert_eq!((runs.len(), runs.highest_modseq()), (2, ModSeq(3)));
    }

    #[test]
    fn many_runs_become_few_and_say_the_same() {
        let mut runs = SeenRuns::default();
        // One by one, as somebody reads; every tenth not seen any more; every seventh is gone.
        for number in 1..=5000 {
            runs.set(uid(number), uid(number), mark(number % 10 != 0, u64::from(number)));
        }
        let before = runs.clone();
        let is_there = |number: u32| !number.is_multiple_of(7);
        runs.tidy(&|first, last| Ok((first..=last).any(is_there))).expect("tidied");
        assert!(is_well_formed(&runs));
        assert!(runs.len() < EXACT_RUNS + 2 * 500, "{}", runs.len());
        for number in (1..=5000).filter(|number| is_there(*number)) {
            let (old, new) = (before.at(uid(number)).expect("marked"), runs.at(uid(number)).expect("marked"));
            assert_eq!(old.seen, new.seen, "{number}");
            assert!(new.modseq >= old.modseq && new.modseq <= before.highest_modseq());
        }
        let few = SeenRuns { runs: before.runs.into_iter().take(EXACT_RUNS).collect() };
        let mut same = few.clone();
        same.tidy(&|_, _| Ok(false)).expect("tidied");
        assert_eq!(same, few, "few are left as they are");
    }
}
