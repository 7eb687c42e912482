//! How well messages fit a FUZZY key (RFC 6203), for the criterion and the result option RELEVANCY of SORT.
//!
//! The search gives one octet a message, in the order of the mailbox; here they are found again by the numbers that messages are told by.

use protocol::imap::extension::sort::{SortCriterion, SortKey};
use protocol::imap::syntax::sequence_set::NumberSet;

/// The score of what fits exactly, and of what was not looked at for it.
const BEST: u8 = 100;

/// Scores from 1 to 100 by the numbers of messages.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    /// First and last number of a range, and the place of the first one's score.
    ranges: Vec<(u32, u32, usize)>,
    scores: Vec<u8>,
}

impl Scores {
    /// The scores of messages with these numbers, in their order.
    pub(crate) fn new(numbers: &NumberSet, scores: Vec<u8>) -> Scores {
        let mut place = 0;
        let ranges = numbers.ranges().iter().map(|&(first, last)| {
            let here = place;
            place += (last - first) as usize + 1;
            (first, last, here)
        });
        Scores { ranges: ranges.collect(), scores }
    }

    /// The score of the message with this number.
    pub(crate) fn of(&self, number: u32) -> u8 {
        let range = self.ranges.partition_point(|&(_, last, _)| last < number);
        let place = match self.ranges.get(range) {
            Some(&(first, _, place)) if first <= number => place + (number - first) as usize,
            _ => return BEST,
        };
        self.scores.get(place).copied().unwrap_or(BEST)
    }
}

/// Whether messages are compared by how well they fit.
pub(crate) fn is_compared(criteria: &[SortCriterion]) -> bool {
    criteria.iter().any(|criterion| criterion.key == SortKey::Relevancy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_found_by_numbers() {
        let numbers = NumberSet::from_ranges(vec![(2, 3), (7, 7), (9, 10)]);
        let scores = Scores::new(&numbers, vec![1, 2, 3, 4, 5]);
        let found: Vec<u8> = [2, 3, 7, 9, 10].into_iter().map(|number| scores.of(number)).collect();
        assert_eq!(found, [1, 2, 3, 4, 5]);
        for number in [0, 1, 4, 8, 11] {
            assert_eq!(scores.of(number), BEST, "{number}");
        }
        assert_eq!(Scores::default().of(1), BEST);
    }
}
