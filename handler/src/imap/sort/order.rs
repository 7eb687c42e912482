//! Messages in the order of sort criteria (RFC 5256, SORT).
//!
//! All criteria of a message together are one string of octets, made so that comparing octets compares criteria: numbers big end first,
//! texts with an end mark below every other octet, and all octets of a descending one inverted. No such string begins another. Of it
//! a window is kept, 8 octets where they are compared at once and some more behind them. Messages whose windows are the same and do not
//! reach to the end are *tied*: only the next window tells their order. So memory does not depend on how long texts are.
//!
//! What is equal to the end keeps the order of the mailbox.

use std::ops::Range;
use std::sync::Arc;

use message::{Record, SortKey as TextKey};
use protocol::imap::Numbering;
use protocol::imap::extension::sort::{Direction, SortCriterion, SortKey};

use super::annotations::Annotations;
use super::gather::Facts;
use super::relevancy::Scores;
use super::steps::SortInSteps;

/// Octets of the first window: most criteria end within.
const FIRST_WINDOW_OCTETS: usize = 96;
/// Octets of each window after that.
const NEXT_WINDOW_OCTETS: usize = 512;
/// Octets of a window that every entry has in itself.
const HEAD_OCTETS: usize = 8;
/// Bit of a length: the criteria go on behind the window.
const CUT: u16 = 1 << 15;

const _: () = assert!(NEXT_WINDOW_OCTETS < CUT as usize);

/// Whether a record is needed for any of these.
pub(crate) fn need_records(criteria: &[SortCriterion]) -> bool {
    criteria.iter().any(|criterion| text_key(&criterion.key).is_some())
}

/// The key of the record that a criterion compares, if it is a text.
fn text_key(key: &SortKey) -> Option<TextKey> {
    match key {
        SortKey::Annotation(_) | SortKey::Arrival | SortKey::Date | SortKey::Relevancy | SortKey::Size => {
            None
        }
        SortKey::Cc => Some(TextKey::Cc),
        SortKey::DisplayFrom => Some(TextKey::DisplayFrom),
        SortKey::DisplayTo => Some(TextKey::DisplayTo),
        SortKey::From => Some(TextKey::From),
        SortKey::Subject => Some(TextKey::BaseSubject),
        SortKey::To => Some(TextKey::To),
    }
}

/// Whether what is compared may become another while the messages stay: scores and annotations do.
pub(crate) fn may_change(criteria: &[SortCriterion]) -> bool {
    let changes = |key: &SortKey| matches!(key, SortKey::Annotation(_) | SortKey::Relevancy);
    criteria.iter().any(|criterion| changes(&criterion.key))
}

/// Appends all criteria of a message, which is found with this score. Without a record its texts are empty, and without `annotations` their values.
pub(crate) fn push_criteria(
    criteria: &[SortCriterion],
    facts: &Facts,
    record: Option<&Record<'_>>,
    annotations: Option<&Annotations>,
    score: u8,
    out: &mut Vec<u8>,
) {
    for criterion in criteria {
        let start = out.len();
        match (&criterion.key, text_key(&criterion.key)) {
            (SortKey::Annotation(annotation), _) => {
                if let Some(annotations) = annotations {
                    annotations.push(facts.uid, annotation, out);
                }
                escape(out, start);
                out.push(0);
            }
            (SortKey::Arrival, _) => push_seconds(facts.arrived, out),
            (SortKey::Date, _) => push_seconds(facts.sent, out),
            (SortKey::Relevancy, _) => out.push(u8::MAX - score),
            (SortKey::Size, _) => out.extend_from_slice(&facts.size.to_be_bytes()),
            (_, None) => {}
            (_, Some(key)) => {
                if let Some(record) = record {
                    record.sort_key(key, out);
                }
                escape(out, start);
                out.push(0);
            }
        }
        if criterion.direction == Direction::Descending {
            out[start..].iter_mut().for_each(|octet| *octet = !*octet);
        }
    }
}

fn push_seconds(seconds: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(seconds as u64 ^ 1 << 63).to_be_bytes());
}

/// Makes room for the end mark 0: 0 becomes 1 1, and 1 becomes 1 2.
fn escape(out: &mut Vec<u8>, start: usize) {
    if out[start..].iter().all(|&octet| octet > 1) {
        return;
    }
    let text = out.split_off(start);
    for octet in text {
        if octet <= 1 {
            out.push(1);
        }
        out.push(if octet <= 1 { octet + 1 } else { octet });
    }
}

/// A message and the window of its criteria.
#[derive(Clone, Copy)]
struct Entry {
    /// The first octets of the window, zeros behind the last.
    head: u64,
    /// Where in the arena the length of the others is, with [`CUT`], and behind it they.
    rest: u32,
    /// What it is told by. Of what is equal to the end the smaller comes first.
    number: u32,
}

/// Messages that are given one after the other, then put in order.
pub(crate) struct Arranging {
    numbering: Numbering,
    criteria: Vec<SortCriterion>,
    scores: Arc<Scores>,
    /// Where annotations are read, if they are compared; set for each turn.
    pub(crate) annotations: Option<Annotations>,
    /// The octets of the criteria that the window has.
    window: Range<usize>,
    entries: Vec<Entry>,
    arena: Vec<u8>,
    scratch: Vec<u8>,
}

/// Messages that are being put in order.
pub(crate) struct Arranged {
    steps: SortInSteps<Entry>,
    arena: Vec<u8>,
    window: Range<usize>,
}

/// Tied messages: a range of places, and from which octet of their criteria on they may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tie {
    /// Places among the messages in order.
    pub(crate) places: Range<usize>,
    /// How many octets of the criteria are the same.
    pub(crate) same_octets: usize,
}

impl Arranging {
    /// For messages whose criteria are the same in the first `same_octets`.
    pub(crate) fn new(
        numbering: Numbering,
        criteria: Vec<SortCriterion>,
        scores: Arc<Scores>,
        same_octets: usize,
    ) -> Arranging {
        let octets = if same_octets == 0 { FIRST_WINDOW_OCTETS } else { NEXT_WINDOW_OCTETS };
        Arranging {
            numbering,
            criteria,
            scores,
            annotations: None,
            window: same_octets..same_octets + octets,
            entries: Vec::new(),
            arena: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds a message.
    pub(crate) fn push(&mut self, facts: &Facts, record: Option<&Record<'_>>) {
        let number = match self.numbering {
            Numbering::Sequence => facts.sequence,
            Numbering::Uid => facts.uid,
        };
        self.scratch.clear();
        let score = self.scores.of(number);
        push_criteria(&self.criteria, facts, record, self.annotations.as_ref(), score, &mut self.scratch);
        let is_cut = self.scratch.len() > self.window.end;
        let window = self.scratch.get(self.window.start..self.scratch.len().min(self.window.end));
        let window = window.unwrap_or_default();
        let mut head = [0; HEAD_OCTETS];
        let head_octets = window.len().min(HEAD_OCTETS);
        head[..head_octets].copy_from_slice(&window[..head_octets]);
        // Beyond 4 GiB, which several million tied messages would fill, texts count as the same.
        let rest = u32::try_from(self.arena.len()).unwrap_or(u32::MAX);
        let others = &window[head_octets..];
        let length = others.len() as u16 | if is_cut { CUT } else { 0 };
        self.arena.extend_from_slice(&length.to_le_bytes());
        self.arena.extend_from_slice(others);
        self.entries.push(Entry { head: u64::from_be_bytes(head), rest, number });
    }

    /// Ends adding.
    pub(crate) fn arrange(self) -> Arranged {
        Arranged { steps: SortInSteps::new(self.entries), arena: self.arena, window: self.window }
    }
}

impl Arranged {
    /// Sorts until time is up; true when all is in order.
    pub(crate) fn go_on(&mut self, is_time_up: &dyn Fn() -> bool) -> bool {
        let arena = &self.arena;
        self.steps.go_on(
            |one, other| {
                one.head
                    .cmp(&other.head)
                    .then_with(|| rest(arena, one).0.cmp(rest(arena, other).0))
                    .then(one.number.cmp(&other.number))
            },
            is_time_up,
        )
    }

    /// Writes the numbers in order to `places` of `numbers`, and appends the ties among them.
    pub(crate) fn finish(self, numbers: &mut [u32], places: Range<usize>, ties: &mut Vec<Tie>) {
        let entries = self.steps.into_items();
        let mut tie_start = 0;
        for (index, entry) in entries.iter().enumerate() {
            numbers[places.start + index] = entry.number;
            let (others, is_cut) = rest(&self.arena, entry);
            let goes_on = is_cut
                && entries
                    .get(index + 1)
                    .is_some_and(|next| next.head == entry.head && rest(&self.arena, next) == (others, true));
            if !goes_on {
                if index > tie_start {
                    let places = places.start + tie_start..places.start + index + 1;
                    ties.push(Tie { places, same_octets: self.window.end });
                }
                tie_start = index + 1;
            }
        }
    }
}

/// What an entry has in the arena, and whether its criteria go on.
fn rest<'a>(arena: &'a [u8], entry: &Entry) -> (&'a [u8], bool) {
    let Some((&length, octets)) = arena.get(entry.rest as usize..).and_then(<[u8]>::split_first_chunk) else {
        return (&[], false);
    };
    let length = u16::from_le_bytes(length);
    (octets.get(..usize::from(length & !CUT)).unwrap_or_default(), length & CUT != 0)
}

/// How two messages compare: for tests.
#[cfg(test)]
fn compare(
    criteria: &[SortCriterion],
    one: &(Facts, Vec<u8>),
    other: &(Facts, Vec<u8>),
) -> std::cmp::Ordering {
    let octets = |(facts, record): &(Facts, Vec<u8>)| {
        let mut out = Vec::new();
        push_criteria(criteria, facts, Record::parse(record).ok().as_ref(), None, 100, &mut out);
        out
    };
    octets(one).cmp(&octets(other)).then(one.0.sequence.cmp(&other.0.sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::imap::syntax::sequence_set::NumberSet;
    use store::{MessageId, PageId};

    fn message(sequence: u32, header: &str) -> (Facts, Vec<u8>) {
        let mut scanner = message::Scanner::new();
        scanner.push(header.as_bytes());
        let message = MessageId { page: PageId(1), index: sequence };
        let seconds = i64::from(sequence % 3) - 1;
        let facts =
            Facts { sequence, uid: sequence, message, arrived: seconds, sent: seconds, size: sequence % 2 };
        (facts, message::encode(&scanner.finish()))
    }

    fn criteria(keys: &[(SortKey, Direction)]) -> Vec<SortCriterion> {
        keys.iter()
            .map(|(key, direction)| SortCriterion { key: key.clone(), direction: *direction })
            .collect()
    }

    /// All windows of all ties, as the command goes through them.
    fn sorted(criteria: &[SortCriterion], messages: &[(Facts, Vec<u8>)]) -> Vec<u32> {
        let mut sequences: Vec<u32> = messages.iter().map(|(facts, _)| facts.sequence).collect();
        let mut ties = vec![Tie { places: 0..messages.len(), same_octets: 0 }];
        while let Some(tie) = ties.pop() {
            let scores = Arc::new(Scores::default());
            let mut arranging = Arranging::new(Numbering::Uid, criteria.to_vec(), scores, tie.same_octets);
            let mut tied = sequences[tie.places.clone()].to_vec();
            tied.sort_unstable();
            for sequence in tied {
                let (facts, record) =
                    messages.iter().find(|(facts, _)| facts.sequence == sequence).expect("known");
                arranging.push(facts, Record::parse(record).ok().as_ref());
            }
            let mut arranged = arranging.arrange();
            while !arranged.go_on(&|| true) {}
            arranged.finish(&mut sequences, tie.places, &mut ties);
        }
        sequences
    }

    #[test]
    fn criteria_are_compared_one_after_the_other() {
        use Direction::{Ascending, Descending};
        let subjects = [
            "",
            "a",
            "A",
            "b",
            "é",
            "a\u{0}",
            "a\u{1}",
            "=?utf-8?q?a=00b?=",
            "=?utf-8?q?a=01?=",
            "ab",
            "Re: a",
        ];
        let messages: Vec<_> = (1..)
            .zip(subjects)
            .map(|(sequence, subject)| message(sequence, &format!("Subject: {subject}\n")))
            .collect();
        let subject = |(_, record): &(Facts, Vec<u8>)| {
            let mut key = Vec::new();
            Record::parse(record).expect("a record").sort_key(TextKey::BaseSubject, &mut key);
            key
        };
        for direction in [Ascending, Descending] {
            let mut want: Vec<_> = messages.clone();
            want.sort_by(|one, other| {
                let ordering = subject(one).cmp(&subject(other));
                let ordering = if direction == Descending { ordering.reverse() } else { ordering };
                ordering
                    .then(other.0.sent.cmp(&one.0.sent))
                    .then(one.0.size.cmp(&other.0.size))
                    .then(one.0.sequence.cmp(&other.0.sequence))
            });
            let criteria = criteria(&[
                (SortKey::Subject, direction),
                (SortKey::Date, Descending),
                (SortKey::Size, Ascending),
            ]);
            let want: Vec<u32> = want.iter().map(|(facts, _)| facts.sequence).collect();
            assert_eq!(sorted(&criteria, &messages), want, "{direction:?}");
        }
    }

    #[test]
    fn what_fits_best_comes_first() {
        let scores = [30, 100, 60, 100, 1];
        let numbers = NumberSet::from_ranges(vec![(1, 5)]);
        let scores = Arc::new(Scores::new(&numbers, scores.to_vec()));
        for (direction, want) in
            [(Direction::Ascending, [2, 4, 3, 1, 5]), (Direction::Descending, [5, 1, 3, 2, 4])]
        {
            let criteria = criteria(&[(SortKey::Relevancy, direction)]);
            assert!(!need_records(&criteria));
            let mut arranging = Arranging::new(Numbering::Sequence, criteria, Arc::clone(&scores), 0);
            (1..=5).for_each(|sequence| arranging.push(&message(sequence, "").0, None));
            let mut arranged = arranging.arrange();
            while !arranged.go_on(&|| true) {}
            let mut found = vec![0; 5];
            arranged.finish(&mut found, 0..5, &mut Vec::new());
            assert_eq!(found, want, "{direction:?}");
        }
    }

    #[test]
    fn long_texts_are_compared_to_their_ends() {
        use Direction::{Ascending, Descending};
        let mut messages = Vec::new();
        for (sequence, length) in
            (1..).zip([90, 95, 96, 97, 150, 607, 608, 609, 3000, 3000, 3001, 607, 96, 4000])
        {
            let end = ["x", "y", ""][sequence as usize % 3];
            messages
                .push(message(sequence, &format!("Subject: {}{end}\nFrom: {end}@x\n", "s".repeat(length))));
        }
        for direction in [Ascending, Descending] {
            let criteria = criteria(&[(SortKey::Subject, direction), (SortKey::From, Ascending)]);
            let mut want = messages.clone();
            want.sort_by(|one, other| compare(&criteria, one, other));
            let want: Vec<u32> = want.iter().map(|(facts, _)| facts.sequence).collect();
            assert_eq!(sorted(&criteria, &messages), want, "{direction:?}");
        }
    }
}
