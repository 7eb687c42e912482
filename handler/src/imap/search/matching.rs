//! Whether messages are what a search looks for: 64 of them at a time, and each opened only as far as the conditions want.
//!
//! System flags come from the summary of the block, numbers, dates, sizes and keywords from the mailbox's cells, the commonest headers from
//! the records; only then a message is opened, and only as much of it as is needed.

use std::ops::Range;

use message::limits::PART_HEADER_OCTETS_MAX;
use message::search::{WordsFound, contains_folded, decode_header_text, part_text};
use message::{Media, PartKind, Record, header_lines, header_values};
use protocol::imap::extension::annotate::Scope;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::annotations::Annotation;
use store::mailbox::{BlockSummary, Cells};
use store::view::BlockInView;
use store::{Cell, CellIndex, Mailbox, MailboxId, RecordReader, Store, StoreError};

use super::super::object_id;
use super::condition::{Annotated, Condition, Needle};
use crate::log;

/// A part's text beyond this many octets is not searched.
const SEARCHED_OCTETS: u64 = 4 * 1024 * 1024;
/// Nor are parts behind so many octets of text in one message: whoever sends more must not hold up others.
const MESSAGE_OCTETS: u64 = 16 * 1024 * 1024;
const DAY_SECONDS: i64 = 86_400;

/// Which headers of parts are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartHeaders {
    /// Those of enclosed messages.
    OfMessages,
    /// MIME headers too, which name attachments.
    All,
}

/// Asks the messages of one block after the other. Lives for one turn.
pub(crate) struct Matcher<'a> {
    store: &'a Store,
    records: RecordReader<'a>,
    open: &'a Mailbox,
    cells: &'a Cells,
    /// For the log.
    mailbox: MailboxId,
    block: BlockInView,
    summary: Option<BlockSummary>,
    /// Cells of the block that were read, as bits, and all that were ever read, by their places in their block.
    is_read: u64,
    read: Box<[Option<Cell>; 64]>,
    /// The place in the block of the message that is asked.
    place: u32,
    /// How well words were found in the messages of the block: the sum of scores, and of how many. `None` if nobody asks.
    scores: Option<Box<[(u32, u32); 64]>>,
    /// Messages of the block that cannot be read: they meet nothing.
    failed: u64,
    /// Messages that cannot be read, in all.
    failures: u32,
}

impl<'a> Matcher<'a> {
    /// A matcher for messages of these cells.
    pub(crate) fn new(
        store: &'a Store,
        open: &'a Mailbox,
        cells: &'a Cells,
        mailbox: MailboxId,
    ) -> Matcher<'a> {
        Matcher {
            store,
            records: store.records(),
            open,
            cells,
            mailbox,
            block: BlockInView { block: 0, messages: 0, first_sequence: 1 },
            summary: None,
            is_read: 0,
            read: Box::new([None; 64]),
            place: 0,
            scores: None,
            failed: 0,
            failures: 0,
        }
    }

    /// The same, which also finds out how well words were found.
    pub(crate) fn scoring(self) -> Matcher<'a> {
        Matcher { scores: Some(Box::new([(0, 0); 64])), ..self }
    }

    /// How well the message at this place of the block is what was looked for, from 1 to 100.
    pub(crate) fn score(&self, place: u32) -> u8 {
        let (sum, count) = self.scores.as_ref().map_or((0, 0), |scores| scores[place as usize]);
        // What was found without a search by words is exactly what was looked for.
        sum.checked_div(count).map_or(100, |score| score as u8)
    }

    /// Goes to another block. `goes_on`: it is the rest of the one in which the last turn ended.
    pub(crate) fn enter(&mut self, block: BlockInView, goes_on: bool) {
        self.block = block;
        self.summary = None;
        self.is_read = 0;
        self.failed = 0;
        if let Some(scores) = &mut self.scores {
            **scores = [(0, 0); 64];
        }
        if !goes_on {
            self.store.counters().blocks_searched.add(1);
        }
    }

    /// How many messages could not be read.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Those of `candidates`, messages of the block, that meet `condition`.
    pub(crate) fn narrow(&mut self, condition: &Condition, candidates: u64) -> u64 {
        let met = self.narrow_readable(condition, candidates & !self.failed);
        met & !self.failed
    }

    fn narrow_readable(&mut self, condition: &Condition, candidates: u64) -> u64 {
        if candidates == 0 {
            return 0;
        }
        match condition {
            Condition::True => candidates,
            Condition::False => 0,
            Condition::And(all) => all.iter().fold(candidates, |left, condition| {
                let left = left & !self.failed;
                self.narrow_readable(condition, left)
            }),
            Condition::Or(any) => {
                let mut met = 0;
                for condition in any {
                    met |= self.narrow_readable(condition, candidates & !met & !self.failed);
                }
                met
            }
            Condition::Not(condition) => candidates & !self.narrow_readable(condition, candidates),
            Condition::Among(set) => self.among(set, candidates),
            Condition::Flag(bits, wanted) => {
                let set = self.with_flags(*bits, candidates);
                if *wanted { set } else { candidates & !set }
            }
            _ => self.one_by_one(candidates, |matcher, cell| matcher.meets(condition, cell)),
        }
    }

    fn among(&self, set: &NumberSet, candidates: u64) -> u64 {
        let mut met = 0;
        let mut left = candidates;
        let last = self.block.first_sequence + self.block.messages.count_ones().saturating_sub(1);
        // All or nothing of a block is the rule.
        let within = set.clip(self.block.first_sequence, last);
        match within {
            [] => return 0,
            [(first, end)] if *first <= self.block.first_sequence && last <= *end => return candidates,
            _ => {}
        }
        while left != 0 {
            let bit = left & left.wrapping_neg();
            left &= left - 1;
            let sequence = self.block.first_sequence + (self.block.messages & (bit - 1)).count_ones();
            if within.iter().any(|&(first, last)| (first..=last).contains(&sequence)) {
                met |= bit;
            }
        }
        met
    }

    /// Messages that have all of these system flags.
    fn with_flags(&mut self, bits: u8, candidates: u64) -> u64 {
        use store::change::SystemFlags;
        let summary = match self.summary {
            Some(summary) => summary,
            // A summary that is damaged says nothing; then the cells do.
            None => *self.summary.insert(self.cells.block_summary(self.block.block).unwrap_or_default()),
        };
        let mut met = candidates & summary.live;
        for (flag, having) in [
            (SystemFlags::SEEN, summary.seen),
            (SystemFlags::ANSWERED, summary.answered),
            (SystemFlags::FLAGGED, summary.flagged),
            (SystemFlags::DELETED, summary.deleted),
            (SystemFlags::DRAFT, summary.draft),
        ] {
            if bits & flag.0 != 0 {
                met &= having;
            }
        }
        // Summaries do not tell of messages that were expunged and are still in view.
        let others = candidates & !summary.live;
        met | self.one_by_one(others, |_, cell| Ok(cell.flags.system.0 & bits == bits))
    }

    fn one_by_one(
        &mut self,
        candidates: u64,
        mut meets: impl FnMut(&mut Self, &Cell) -> Result<bool, StoreError>,
    ) -> u64 {
        let mut met = 0;
        let mut left = candidates;
        while left != 0 {
            let place = left.trailing_zeros();
            left &= left - 1;
            self.place = place;
            let (cell, answer) = match self.cell(place) {
                Ok(cell) => (Some(cell), meets(self, &cell)),
                Err(error) => (None, Err(error)),
            };
            match answer {
                Ok(true) => met |= 1 << place,
                Ok(false) => {}
                Err(error) => self.fail(place, cell.as_ref(), &error),
            }
        }
        met
    }

    fn cell(&mut self, place: u32) -> Result<Cell, StoreError> {
        if let Some(cell) = self.read[place as usize].filter(|_| self.is_read >> place & 1 == 1) {
            return Ok(cell);
        }
        self.store.counters().cells_searched.add(1);
        let cell = self.cells.cell(CellIndex(self.block.block * 64 + place))?;
        self.is_read |= 1 << place;
        self.read[place as usize] = Some(cell);
        Ok(cell)
    }

    fn fail(&mut self, place: u32, cell: Option<&Cell>, error: &StoreError) {
        self.failed |= 1 << place;
        // The content of a message that was expunged and is still in view may be gone.
        if error.is_gone() && cell.is_some_and(|cell| cell.expunged) {
            return;
        }
        // A message that is quarantined is found by nothing that would have to read it. Whoever fetches it is told.
        if matches!(error, StoreError::Withheld(_)) {
            return;
        }
        self.failures += 1;
        let index = CellIndex(self.block.block * 64 + place);
        let uid = self.cells.perhaps_uid(index).map_or(0, store::Uid::get);
        log::error!("message not searched", mailbox = self.mailbox.key(), uid = uid, why = error);
    }

    /// Whether one message meets a condition that has no others in it.
    fn meets(&mut self, condition: &Condition, cell: &Cell) -> Result<bool, StoreError> {
        Ok(match condition {
            Condition::Keyword(bit) => cell.flags.keywords & bit != 0,
            Condition::InternalDay(from, until) => {
                let date = cell.internal_date;
                (*from..*until).contains(&local_day(date.seconds, date.zone_minutes))
            }
            Condition::InternalTime(from, to) => (*from..=*to).contains(&cell.internal_date.seconds),
            Condition::SentDay(from, until) => {
                // Without a Date: field that can be read it was sent before every day that is asked for.
                let day = cell.sent_date.map(|date| local_day(date.seconds, date.zone_minutes));
                (*from..*until).contains(&day.unwrap_or(i64::MIN))
            }
            Condition::SavedDay(from, until) => {
                (*from..*until).contains(&local_day(i64::from(cell.save_seconds), 0))
            }
            Condition::MessageNumber(number) => object_id::message_number(cell.message) == *number,
            Condition::ThreadNumber(number) => {
                let record = record(&mut self.records, cell)?;
                object_id::thread_number(&record, cell.message) == *number
            }
            Condition::SizeFrom(octets) => u64::from(cell.size) >= *octets,
            Condition::SizeBelow(octets) => u64::from(cell.size) < *octets,
            Condition::Annotation(wanted) => self.is_annotated(cell, wanted)?,
            Condition::KnownHeader(kind, needle) => {
                let mut look = Look::new(needle, self.scores.is_some());
                let is_in = look.is_in(record(&mut self.records, cell)?.search_text(*kind));
                self.found(&look, is_in)
            }
            Condition::Header(field, None) => self.has_header(cell, field)?,
            Condition::Header(field, Some(needle)) => {
                let mut look = Look::new(needle, self.scores.is_some());
                let is_in = self.header_contains(cell, field, &mut look)?;
                self.found(&look, is_in)
            }
            Condition::Body(needle) => {
                let mut look = Look::new(needle, self.scores.is_some());
                let is_in = self.body_contains(cell, &mut look, PartHeaders::OfMessages)?;
                self.found(&look, is_in)
            }
            Condition::Text(needle) => {
                let mut look = Look::new(needle, self.scores.is_some());
                let is_in = self.whole_header_contains(cell, &mut look)?
                    || self.body_contains(cell, &mut look, PartHeaders::All)?;
                self.found(&look, is_in)
            }
            // These were taken apart, or answered for the whole block, before.
            Condition::True
            | Condition::False
            | Condition::And(_)
            | Condition::Or(_)
            | Condition::Not(_)
            | Condition::Among(_)
            | Condition::Flag(..) => false,
        })
    }

    /// Whether a needle was found in the end, and how well.
    fn found(&mut self, look: &Look<'_>, is_in: bool) -> bool {
        let is_found = is_in || look.is_found();
        if let (true, Some(scores), Needle::Words(words)) = (is_found, &mut self.scores, look.needle) {
            let (sum, count) = &mut scores[self.place as usize];
            *sum += u32::from(words.score(&look.words));
            *count += 1;
        }
        is_found
    }

    /// Whether somebody sees such an annotation of the message.
    fn is_annotated(&mut self, cell: &Cell, wanted: &Annotated) -> Result<bool, StoreError> {
        for Annotation { reader, entry, value, .. } in self.open.annotations_for(cell.uid, wanted.reader)? {
            let scope = if reader.is_some() { Scope::Private } else { Scope::Shared };
            if wanted.scope.is_some_and(|wanted| wanted != scope) || !wanted.entry.matches(&entry) {
                continue;
            }
            let Some(needle) = &wanted.text else { return Ok(true) };
            let mut look = Look::new(needle, self.scores.is_some());
            let is_in = look.is_in(&String::from_utf8_lossy(&value));
            if self.found(&look, is_in) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The octets of the header that a field may be in.
    fn header_stretch(&mut self, cell: &Cell, field: &[u8]) -> Result<Vec<u8>, StoreError> {
        let stretch = record(&mut self.records, cell)?.header_stretch(&[field]);
        let mut header = Vec::new();
        if !stretch.is_empty() {
            let message = self.store.message(cell.message)?;
            self.store.read_range(&message, stretch, &mut header)?;
        }
        Ok(header)
    }

    fn has_header(&mut self, cell: &Cell, field: &[u8]) -> Result<bool, StoreError> {
        let header = self.header_stretch(cell, field)?;
        Ok(header_values(&header, field).next().is_some())
    }

    fn header_contains(
        &mut self,
        cell: &Cell,
        field: &[u8],
        look: &mut Look<'_>,
    ) -> Result<bool, StoreError> {
        if let Some(value) = record(&mut self.records, cell)?.only_value(field) {
            return Ok(look.is_in(&decode_header_text(&value)));
        }
        let header = self.header_stretch(cell, field)?;
        Ok(header_values(&header, field).any(|value| look.is_in(&decode_header_text(value))))
    }

    fn whole_header_contains(&mut self, cell: &Cell, look: &mut Look<'_>) -> Result<bool, StoreError> {
        let message = self.store.message(cell.message)?;
        let mut header = Vec::new();
        self.store.read_range(&message, 0..u64::from(message.header_size), &mut header)?;
        Ok(look.is_in_header(&header))
    }

    /// Looks at the decoded text of every part that has text, and at these headers of parts.
    fn body_contains(
        &mut self,
        cell: &Cell,
        look: &mut Look<'_>,
        headers: PartHeaders,
    ) -> Result<bool, StoreError> {
        let store = self.store;
        let message = store.message(cell.message)?;
        let record = record(&mut self.records, cell)?;
        let read = |range: Range<u64>, octets_max: u64| {
            let end = range.end.min(range.start.saturating_add(octets_max));
            let mut octets = Vec::new();
            store.read_range(&message, range.start..end, &mut octets).map(|()| octets)
        };
        let mut follows_message = false;
        let mut left = MESSAGE_OCTETS;
        for (index, part) in record.parts().enumerate() {
            let is_enclosed = std::mem::replace(&mut follows_message, part.kind == PartKind::Message);
            // The header of the message itself is not of a part.
            if index > 0 && (is_enclosed || headers == PartHeaders::All) {
                let header = read(part.header, PART_HEADER_OCTETS_MAX as u64)?;
                if look.is_in_header(&header) {
                    return Ok(true);
                }
            }
            if matches!(part.media, Media::Text | Media::Html) {
                let body = read(part.body, SEARCHED_OCTETS.min(left))?;
                left -= body.len() as u64;
                if look.is_in(&part_text(&body, part.encoding, part.charset, part.media)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// A needle that is looked for in the texts of one message.
struct Look<'n> {
    needle: &'n Needle,
    words: WordsFound,
    /// Whether it matters how well it is found.
    scores: bool,
}

impl<'n> Look<'n> {
    fn new(needle: &'n Needle, scores: bool) -> Look<'n> {
        Look { needle, words: WordsFound::default(), scores }
    }

    /// Whether it has been found, this text included, and nothing more needs to be looked at.
    fn is_in(&mut self, text: &str) -> bool {
        match self.needle {
            Needle::Substring(folded) => contains_folded(text, folded),
            Needle::Words(words) => {
                words.look(text, &mut self.words) && (!self.scores || words.is_best(&self.words))
            }
        }
    }

    /// The same for all fields of a header.
    fn is_in_header(&mut self, header: &[u8]) -> bool {
        header_lines(header).any(|line| self.is_in(&decode_header_text(line)))
    }

    /// Whether it was found, when all texts were looked at.
    fn is_found(&self) -> bool {
        match self.needle {
            Needle::Substring(_) => false,
            // An empty text has no more words.
            Needle::Words(words) => words.look("", &mut self.words.clone()),
        }
    }
}

fn record<'r>(records: &'r mut RecordReader<'_>, cell: &Cell) -> Result<Record<'r>, StoreError> {
    Record::parse(records.record(cell.message)?).map_err(|_| StoreError::NotFound("record that can be read"))
}

fn local_day(seconds: i64, zone_minutes: i16) -> i64 {
    (seconds + i64::from(zone_minutes) * 60).div_euclid(DAY_SECONDS)
}
