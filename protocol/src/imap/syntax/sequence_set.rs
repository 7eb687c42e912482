//! Sets of message numbers (RFC 3501 section 9, `sequence-set`): as sent, with `*`, and resolved.
//!
//! `$` stands for the results that SEARCH saved (RFC 5182).
//!
//! Invariants: a [`SequenceSet`] is never empty, or is `$`; a [`NumberSet`] is sorted, its ranges neither touch nor overlap, and 0 is
//! in none of them.

use super::cursor::{Cursor, Fault};

/// A set as the client wrote it. `*` is kept as 0, which no message number is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceSet {
    /// None of them in `$` alone.
    ranges: Vec<(u32, u32)>,
}

/// A set of numbers in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NumberSet {
    ranges: Vec<(u32, u32)>,
}

const STAR: u32 = 0;

impl SequenceSet {
    /// The set of one number, which must not be 0.
    pub fn single(number: u32) -> Self {
        SequenceSet { ranges: vec![(number, number)] }
    }

    /// `$`: the results that were saved last.
    pub fn saved() -> Self {
        SequenceSet { ranges: Vec::new() }
    }

    /// The set of these numbers; `None` if there are none.
    pub fn of(numbers: &NumberSet) -> Option<Self> {
        (!numbers.is_empty()).then(|| SequenceSet { ranges: numbers.ranges.clone() })
    }

    /// Whether the set is `$`. What is resolved of it here is empty: the session knows what it stands for.
    pub fn is_saved(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges as written, `*` being 0; none for `$`.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// Parses a set or `$`, to its end.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        if cursor.take_if(b'$') { Ok(Self::saved()) } else { Self::parse_numbers(cursor) }
    }

    /// Parses a set that may not be `$`, to its end.
    pub(crate) fn parse_numbers(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let mut ranges = Vec::new();
        loop {
            let first = Self::parse_bound(cursor)?;
            let last = if cursor.take_if(b':') { Self::parse_bound(cursor)? } else { first };
            if ranges.len() == cursor.limits().ranges {
                return Err(Fault::limit("Too many ranges in a set of messages"));
            }
            ranges.push((first, last));
            if !cursor.take_if(b',') {
                return Ok(SequenceSet { ranges });
            }
        }
    }

    fn parse_bound(cursor: &mut Cursor<'_>) -> Result<u32, Fault> {
        if cursor.take_if(b'*') {
            return Ok(STAR);
        }
        cursor.nonzero_number().map_err(|_| Fault::syntax("Invalid set of messages"))
    }

    /// Whether a number, `*` apart, is larger than `largest`: with sequence numbers an error (RFC 3501 section 9, `seq-number`).
    pub fn exceeds(&self, largest: u32) -> bool {
        self.ranges.iter().any(|&(first, last)| first > largest || last > largest)
    }

    /// Whether `*` is in the set.
    pub fn has_star(&self) -> bool {
        self.ranges.iter().any(|&(first, last)| first == STAR || last == STAR)
    }

    /// Whether the set has `number`, where `*` stands for `largest`.
    pub fn contains(&self, number: u32, largest: u32) -> bool {
        self.ranges.iter().any(|&range| {
            let (low, high) = resolve_range(range, largest);
            number != 0 && low <= number && number <= high
        })
    }

    /// The set in ascending order, where `*` stands for `largest`, the last message's number. `largest` 0 means that there
    /// are no messages: then `*` is nothing, and a range with it too.
    ///
    /// Numbers above `largest` stay: a UID need not exist to be named.
    pub fn resolve(&self, largest: u32) -> NumberSet {
        let star_is_nothing = largest == 0;
        let ranges = self
            .ranges
            .iter()
            .filter(|&&(first, last)| !(star_is_nothing && (first == STAR || last == STAR)))
            .map(|&range| resolve_range(range, largest))
            .collect();
        NumberSet::from_ranges(ranges)
    }

    /// Appends the set as it is written in a command.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.is_saved() {
            out.push(b'$');
        }
        write_ranges(out, &self.ranges);
    }
}

fn resolve_range((first, last): (u32, u32), largest: u32) -> (u32, u32) {
    let first = if first == STAR { largest } else { first };
    let last = if last == STAR { largest } else { last };
    (first.min(last), first.max(last))
}

pub(crate) fn write_ranges(out: &mut Vec<u8>, ranges: &[(u32, u32)]) {
    for (index, &(first, last)) in ranges.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_bound(out, first);
        if first != last {
            out.push(b':');
            write_bound(out, last);
        }
    }
}

fn write_bound(out: &mut Vec<u8>, bound: u32) {
    if bound == STAR {
        out.push(b'*');
    } else {
        crate::imap::reply::text::number(out, u64::from(bound));
    }
}

impl NumberSet {
    /// The union of inclusive ranges in any order. Empty ones (first above last) are left out, and so is 0.
    pub fn from_ranges(mut ranges: Vec<(u32, u32)>) -> Self {
        for range in &mut ranges {
            range.0 = range.0.max(1);
        }
        ranges.retain(|&(first, last)| first <= last);
        if !ranges.windows(2).all(|pair| pair[0].1 < pair[1].0) {
            ranges.sort_unstable();
        }
        let mut kept = 0;
        for index in 0..ranges.len() {
            let (first, last) = ranges[index];
            if kept > 0 && u64::from(first) <= u64::from(ranges[kept - 1].1) + 1 {
                ranges[kept - 1].1 = ranges[kept - 1].1.max(last);
            } else {
                ranges[kept] = (first, last);
                kept += 1;
            }
        }
        ranges.truncate(kept);
        NumberSet { ranges }
    }

    /// The set of numbers that come in ascending order.
    pub fn from_ascending(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut set = NumberSet::default();
        for number in numbers {
            set.push(number);
        }
        set
    }

    /// Adds a number that is larger than all others of the set.
    pub fn push(&mut self, number: u32) {
        match self.ranges.last_mut() {
            Some(range) if range.1.checked_add(1) == Some(number) => range.1 = number,
            _ => self.ranges.push((number, number)),
        }
    }

    /// Adds a range all of whose numbers are larger than all others of the set.
    pub fn push_range(&mut self, first: u32, last: u32) {
        match self.ranges.last_mut() {
            Some(range) if range.1.checked_add(1) == Some(first) => range.1 = last,
            _ => self.ranges.push((first, last)),
        }
    }

    /// The ranges that have numbers from `first` to `last`, whole.
    pub fn clip(&self, first: u32, last: u32) -> &[(u32, u32)] {
        let from = self.ranges.partition_point(|range| range.1 < first);
        let until = self.ranges.partition_point(|range| range.0 <= last);
        &self.ranges[from..until.max(from)]
    }

    /// The ranges, ascending, both ends included.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// The ranges, ascending, both ends included.
    pub fn into_ranges(self) -> Vec<(u32, u32)> {
        self.ranges
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are in the set.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|&(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: u32) -> bool {
        let after = self.ranges.partition_point(|&(first, _)| first <= number);
        after > 0 && number <= self.ranges[after - 1].1
    }

    /// The first and the last number.
    pub fn bounds(&self) -> Option<(u32, u32)> {
        Some((self.ranges.first()?.0, self.ranges.last()?.1))
    }

    /// The numbers that are in either set.
    pub fn union(&self, other: &NumberSet) -> NumberSet {
        NumberSet::from_ranges([self.ranges(), other.ranges()].concat())
    }

    /// The numbers that are in both sets.
    pub fn intersection(&self, other: &NumberSet) -> NumberSet {
        let mut ranges = Vec::new();
        let (mut left, mut right) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        while let (Some(&&(first, last)), Some(&&(other_first, other_last))) = (left.peek(), right.peek()) {
            let both = (first.max(other_first), last.min(other_last));
            if both.0 <= both.1 {
                ranges.push(both);
            }
            if last < other_last {
                left.next();
            } else {
                right.next();
            }
        }
        NumberSet { ranges }
    }

    /// The numbers of this set that are not in the other.
    pub fn without(&self, other: &NumberSet) -> NumberSet {
        let mut ranges = Vec::new();
        let mut others = other.ranges.iter().peekable();
        for &(first, last) in &self.ranges {
            let mut next = Some(first);
            while let Some(&&(other_first, other_last)) = others.peek() {
                let Some(from) = next.filter(|_| other_first <= last) else { break };
                if from < other_first {
                    ranges.push((from, other_first - 1));
                }
                if other_last >= from {
                    next = other_last.checked_add(1).filter(|&next| next <= last);
                }
                if other_last > last {
                    break;
                }
                others.next();
            }
            if let Some(from) = next {
                ranges.push((from, last));
            }
        }
        NumberSet { ranges }
    }

    /// The numbers of the set up to `largest`, ascending.
    pub fn iter_to(&self, largest: u32) -> impl Iterator<Item = u32> + '_ {
        self.ranges
            .iter()
            .take_while(move |&&(first, _)| first <= largest)
            .flat_map(move |&(first, last)| first..=last.min(largest))
    }

    /// Appends the set in its shortest form, `1:3,7`. Writes nothing when it is empty.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_ranges(out, &self.ranges);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn parse(text: &str) -> Result<SequenceSet, Fault> {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let set = SequenceSet::parse(&mut cursor)?;
        if cursor.is_at_end() { Ok(set) } else { Err(Fault::syntax("left over")) }
    }

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("sets are ASCII")
    }

    #[test]
    fn what_is_parsed_prints_as_it_was() {
        for text in ["1", "*", "1:*", "*:1", "2,4:7,9,12:*", "4294967295", "5:3", "$"] {
            let set = parse(text).expect(text);
            assert_eq!(written(|out| set.write(out)), text);
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in [
            "",
            "0",
            "0:1",
            "1:",
            ":1",
            "1,,2",
            "1,",
            "a",
            "4294967296",
            "1:2:3",
            "-1",
            "**",
            "$,1",
            "1,$",
            "$:5",
            "$$",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_saved_result_is_no_number() {
        let saved = parse("$").expect("the saved result");
        assert!(saved.is_saved() && !saved.has_star() && !saved.exceeds(0) && saved.resolve(9).is_empty());
        assert!(!parse("*").expect("a set").is_saved());
        assert_eq!(SequenceSet::of(&NumberSet::default()), None);
        let numbers = NumberSet::from_ascending([1, 2, 5]);
        assert_eq!(SequenceSet::of(&numbers).map(|set| set.resolve(9)), Some(numbers));
        assert!(SequenceSet::parse_numbers(&mut Cursor::new(b"$", &Limits::LOGGED_IN)).is_err());
    }

    #[test]
    fn rfc_3501_example_resolves() {
        let set = parse("2,4:7,9,12:*").expect("the example of section 9");
        assert_eq!(set.resolve(15).iter_to(15).collect::<Vec<_>>(), [2, 4, 5, 6, 7, 9, 12, 13, 14, 15]);
        let set = parse("*:4,5:7").expect("the other example");
        assert_eq!(written(|out| set.resolve(10).write(out)), "4:10");
    }

    #[test]
    fn star_is_the_last_message_and_nothing_in_an_empty_mailbox() {
        assert_eq!(parse("559:*").expect("set").resolve(12).ranges(), [(12, 559)]);
        assert_eq!(parse("1:*,*").expect("set").resolve(0).ranges(), []);
        assert_eq!(parse("3,*").expect("set").resolve(0).ranges(), [(3, 3)]);
        assert!(parse("1:*").expect("set").contains(7, 7));
        assert!(!parse("1:*").expect("set").contains(8, 7));
        assert!(!parse("1:9").expect("set").contains(0, 0));
        assert!(parse("1:9").expect("set").exceeds(8));
        assert!(!parse("1:*").expect("set").exceeds(1));
        assert!(!parse("1:*").expect("set").exceeds(2));
    }

    #[test]
    fn number_sets_merge_and_search() {
        let set = NumberSet::from_ranges(vec![(9, 12), (1, 3), (4, 4), (11, 20), (30, 29), (0, 0)]);
        assert_eq!(set.ranges(), [(1, 4), (9, 20)]);
        assert_eq!(set.count(), 16);
        for (number, inside) in
            [(0, false), (1, true), (4, true), (5, false), (9, true), (20, true), (21, false)]
        {
            assert_eq!(set.contains(number), inside, "{number}");
        }
        assert_eq!(set.iter_to(10).collect::<Vec<_>>(), [1, 2, 3, 4, 9, 10]);
        let full = NumberSet::from_ranges(vec![(1, u32::MAX), (u32::MAX, u32::MAX)]);
        assert_eq!(full.ranges(), [(1, u32::MAX)]);
        assert!(full.contains(u32::MAX));
    }

    #[test]
    fn sets_of_sets_agree_with_number_by_number() {
        // Every pair of sets of numbers from 1 to 5, and the largest number at an end.
        let set =
            |bits: u32| NumberSet::from_ascending((1..=5).filter(move |bit| bits >> (bit - 1) & 1 == 1));
        for left in 0..32 {
            for right in 0..32 {
                assert_eq!(set(left).union(&set(right)), set(left | right), "{left} {right}");
                assert_eq!(set(left).intersection(&set(right)), set(left & right), "{left} {right}");
                assert_eq!(set(left).without(&set(right)), set(left & !right), "{left} {right}");
            }
        }
        let all = NumberSet::from_ranges(vec![(1, u32::MAX)]);
        let end = NumberSet::from_ranges(vec![(7, 8), (u32::MAX, u32::MAX)]);
        assert_eq!(all.without(&end).ranges(), [(1, 6), (9, u32::MAX - 1)]);
        assert_eq!(end.without(&all).ranges(), []);
        assert_eq!(end.bounds(), Some((7, u32::MAX)));
        assert_eq!(NumberSet::default().bounds(), None);
        let mut set = NumberSet::from_ranges(vec![(2, 4)]);
        set.push_range(5, 6);
        set.push_range(9, 12);
        assert_eq!(set.ranges(), [(2, 6), (9, 12)]);
        for (first, last, want) in [
            (1, 1, 0..0),
            (1, 2, 0..1),
            (6, 9, 0..2),
            (7, 8, 0..0),
            (8, 20, 1..2),
            (13, 14, 0..0),
            (9, 3, 0..0),
        ] {
            assert_eq!(set.clip(first, last), &set.ranges()[want], "{first}..={last}");
        }
    }

    #[test]
    fn ascending_numbers_are_compressed() {
        let set = NumberSet::from_ascending([1, 2, 3, 5, 7, 8, u32::MAX]);
        assert_eq!(written(|out| set.write(out)), "1:3,5,7:8,4294967295");
        assert_eq!(written(|out| NumberSet::default().write(out)), "");
    }

    #[test]
    fn too_many_ranges_are_refused() {
        let limits = Limits { ranges: 2, ..Limits::LOGGED_IN };
        assert!(SequenceSet::parse(&mut Cursor::new(b"1,3", &limits)).is_ok());
        assert!(SequenceSet::parse(&mut Cursor::new(b"1,3,5", &limits)).is_err());
    }
}
