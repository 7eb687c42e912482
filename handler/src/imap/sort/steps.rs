//! Sorting in steps: a worker may stop between any two of them, and none takes longer than a millisecond or two.
//!
//! Runs of some thousand items are sorted one by one, then merged by twos until there is one. Twice the memory of the items. SORT
//! and THREAD sort with it whatever may be as long as a mailbox.

use std::cmp::Ordering;

/// Items of a run that is sorted at once, and items that are merged between two looks at the clock.
const RUN_ITEMS: usize = 8192;

/// Items on their way into order.
pub(crate) struct SortInSteps<T> {
    items: Vec<T>,
    /// Runs are merged into this, then both change places.
    merged: Vec<T>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Runs are in order up to this item.
    Runs(usize),
    /// Runs of `run` items are merged; of the pair that begins at `start` so many items of each are done.
    Merge { run: usize, start: usize, left: usize, right: usize },
    /// All are in order.
    Done,
}

impl<T: Copy> SortInSteps<T> {
    /// These items, in no order yet.
    pub(crate) fn new(items: Vec<T>) -> SortInSteps<T> {
        SortInSteps { items, merged: Vec::new(), state: State::Runs(0) }
    }

    /// The items: in order once [`SortInSteps::go_on`] has said so.
    pub(crate) fn into_items(self) -> Vec<T> {
        self.items
    }

    /// Sorts until time is up; true when all is in order. No two items may be equal.
    pub(crate) fn go_on(
        &mut self,
        compare: impl Fn(&T, &T) -> Ordering,
        is_time_up: &dyn Fn() -> bool,
    ) -> bool {
        loop {
            match self.state {
                State::Runs(start) if start >= self.items.len() => {
                    self.state = self.merge_of(RUN_ITEMS);
                    continue;
                }
                State::Runs(start) => {
                    let end = (start + RUN_ITEMS).min(self.items.len());
                    self.items[start..end].sort_unstable_by(&compare);
                    self.state = State::Runs(end);
                }
                State::Merge { run, start, left, right } => {
                    self.state = self.merge(&compare, run, start, left, right);
                }
                State::Done => return true,
            }
            if self.state != State::Done && is_time_up() {
                return false;
            }
        }
    }

    /// What follows when all runs have so many items.
    fn merge_of(&mut self, run: usize) -> State {
        if run >= self.items.len() {
            self.merged = Vec::new();
            return State::Done;
        }
        self.merged.clear();
        self.merged.reserve(self.items.len());
        State::Merge { run, start: 0, left: 0, right: 0 }
    }

    /// Merges some items more.
    fn merge(
        &mut self,
        compare: &impl Fn(&T, &T) -> Ordering,
        run: usize,
        start: usize,
        mut left: usize,
        mut right: usize,
    ) -> State {
        let middle = (start + run).min(self.items.len());
        let end = (middle + run).min(self.items.len());
        let (first, second) = (&self.items[start..middle], &self.items[middle..end]);
        for _ in 0..RUN_ITEMS {
            let is_left = match (first.get(left), second.get(right)) {
                (Some(one), Some(other)) => compare(one, other) != Ordering::Greater,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            if is_left {
                self.merged.push(first[left]);
                left += 1;
            } else {
                self.merged.push(second[right]);
                right += 1;
            }
        }
        if left < first.len() || right < second.len() {
            State::Merge { run, start, left, right }
        } else if end < self.items.len() {
            State::Merge { run, start: end, left: 0, right: 0 }
        } else {
            std::mem::swap(&mut self.items, &mut self.merged);
            self.merge_of(2 * run)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_as_the_standard_library_does() {
        for count in [0, 1, 2, 100, RUN_ITEMS, RUN_ITEMS + 1, 2 * RUN_ITEMS, 5 * RUN_ITEMS + 77] {
            let mut state = 7_u64;
            let items: Vec<(u64, usize)> = (0..count)
                .map(|index| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 54, index)
                })
                .collect();
            let mut want = items.clone();
            want.sort();
            let mut steps = SortInSteps::new(items);
            let mut turns = 1;
            while !steps.go_on(Ord::cmp, &|| true) {
                turns += 1;
            }
            assert_eq!(steps.into_items(), want, "{count}");
            assert!(turns >= count / RUN_ITEMS, "{count} in {turns} turns");
        }
    }
}
