//! Whether a message is what a SEARCH looks for (RFC 3501, 6.4.4).
//!
//! A condition is compiled once a command: texts are folded, keywords become bits, sets become ascending ranges, and what
//! costs less is asked first. Flags, numbers, dates and sizes come from the mailbox cell, the commonest headers from the
//! record; only then the message is opened, and only as much of it as is needed.

use std::ops::Range;

use message::limits::PART_HEADER_OCTETS_MAX;
use message::search::{Folded, contains_folded, decode_charset, decode_header_text, part_text};
use message::{HeaderKind, Media, PartKind, Record, header_values};
use protocol::imap::command::search::{DateComparison, SearchKey};
use protocol::imap::syntax::sequence_set::NumberSet;
use store::{Cell, Keywords, RecordReader, Store, StoreError};

/// A part's text beyond this many octets is not searched.
const SEARCHED_OCTETS: u64 = 4 * 1024 * 1024;
const DAY_SECONDS: i64 = 86_400;

/// A compiled condition.
pub(crate) enum Condition {
    /// Always.
    True,
    /// Never.
    False,
    /// All of them, cheap ones first.
    And(Vec<Condition>),
    /// Any of them, cheap ones first.
    Or(Vec<Condition>),
    /// Not.
    Not(Box<Condition>),
    /// The sequence number is among these.
    Sequence(NumberSet),
    /// The UID is among these.
    Uid(NumberSet),
    /// System flags by their bits: set or, with `false`, not.
    Flag(u8, bool),
    /// Keywords by their bits.
    Keyword(u64),
    /// `\Recent` in this session.
    Recent,
    /// INTERNALDATE's day: days since 1970 from .. until, as its zone has it.
    InternalDay(i64, i64),
    /// The Date: field's day.
    SentDay(i64, i64),
    /// At least this many octets.
    SizeFrom(u64),
    /// Fewer than this many octets.
    SizeBelow(u64),
    /// Text of a header field that is in the record.
    KnownHeader(HeaderKind, Folded),
    /// Text of any header field; an empty text asks whether it is there.
    Header(Vec<u8>, Option<Folded>),
    /// Text of the body.
    Body(Folded),
    /// Text of header or body.
    Text(Folded),
}

/// Which headers of parts are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartHeaders {
    /// Those of enclosed messages.
    OfMessages,
    /// MIME headers too, which name attachments.
    All,
}

/// What compiling needs to know of the session and of the command.
pub(crate) struct Given<'a> {
    /// The largest sequence number.
    pub(crate) exists: u32,
    /// The largest UID in the view.
    pub(crate) last_uid: u32,
    /// The keywords of the mailbox.
    pub(crate) keywords: &'a Keywords,
    /// The charset of the texts that are looked for.
    pub(crate) charset: &'a [u8],
}

impl Given<'_> {
    fn folded(&self, text: &[u8]) -> Folded {
        let decoded = decode_charset(self.charset, text);
        Folded::new(&decoded.unwrap_or_else(|| String::from_utf8_lossy(text).into_owned()))
    }
}

impl Condition {
    /// Compiles a key. Its depth was limited by the parser.
    pub(crate) fn compile(key: &SearchKey, given: &Given<'_>) -> Condition {
        match key {
            SearchKey::All => Condition::True,
            SearchKey::And(keys) => {
                Condition::and(keys.iter().map(|key| Self::compile(key, given)).collect())
            }
            SearchKey::Or(keys) => {
                let mut either = vec![Self::compile(&keys.0, given), Self::compile(&keys.1, given)];
                either.sort_by_key(Condition::cost);
                Condition::Or(either)
            }
            SearchKey::Not(key) => Condition::Not(Box::new(Self::compile(key, given))),
            SearchKey::Sequence(set) => Condition::Sequence(set.resolve(given.exists)),
            SearchKey::Uid(set) => Condition::Uid(set.resolve(given.last_uid)),
            SearchKey::Flag(flags, wanted) => Condition::Flag(flags.0, *wanted),
            SearchKey::New => Condition::and(vec![
                Condition::Recent,
                Condition::Flag(protocol::imap::syntax::flag::SystemFlags::SEEN.0, false),
            ]),
            SearchKey::Old => Condition::Not(Box::new(Condition::Recent)),
            SearchKey::Recent => Condition::Recent,
            SearchKey::Keyword(name, wanted) => {
                let set = match given.keywords.find(name.as_str()) {
                    Some(bit) => Condition::Keyword(1 << bit),
                    None => Condition::False,
                };
                if *wanted { set } else { Condition::Not(Box::new(set)) }
            }
            SearchKey::Header { field, text } => Self::compile_header(field, text, given),
            SearchKey::Body(text) => Condition::text(text, given, Condition::Body),
            SearchKey::Text(text) => Condition::text(text, given, Condition::Text),
            SearchKey::InternalDate(comparison, date) => {
                let (from, until) = days(*comparison, date.days_since_1970());
                Condition::InternalDay(from, until)
            }
            SearchKey::SentDate(comparison, date) => {
                let (from, until) = days(*comparison, date.days_since_1970());
                Condition::SentDay(from, until)
            }
            SearchKey::Larger(octets) => Condition::SizeFrom(octets.saturating_add(1)),
            SearchKey::Smaller(octets) => Condition::SizeBelow(*octets),
        }
    }

    fn compile_header(field: &[u8], text: &[u8], given: &Given<'_>) -> Condition {
        if text.is_empty() {
            return Condition::Header(field.to_vec(), None);
        }
        let folded = given.folded(text);
        let known = [
            ("subject", HeaderKind::Subject),
            ("from", HeaderKind::From),
            ("to", HeaderKind::To),
            ("cc", HeaderKind::Cc),
            ("bcc", HeaderKind::Bcc),
        ];
        match known.into_iter().find(|(name, _)| field.eq_ignore_ascii_case(name.as_bytes())) {
            Some((_, kind)) => Condition::KnownHeader(kind, folded),
            None => Condition::Header(field.to_vec(), Some(folded)),
        }
    }

    /// Every text contains the empty one.
    fn text(text: &[u8], given: &Given<'_>, condition: impl FnOnce(Folded) -> Condition) -> Condition {
        if text.is_empty() { Condition::True } else { condition(given.folded(text)) }
    }

    fn and(mut all: Vec<Condition>) -> Condition {
        all.sort_by_key(Condition::cost);
        Condition::And(all)
    }

    /// How many texts are looked for in the content of messages.
    pub(crate) fn texts(&self) -> usize {
        match self {
            Condition::And(all) | Condition::Or(all) => all.iter().map(Condition::texts).sum(),
            Condition::Not(inner) => inner.texts(),
            Condition::Body(_) | Condition::Text(_) => 1,
            _ => 0,
        }
    }

    /// How much must be looked at: 0 the cell, 1 the record, 2 the header, 3 the message.
    fn cost(&self) -> u8 {
        match self {
            Condition::And(all) | Condition::Or(all) => all.iter().map(Condition::cost).max().unwrap_or(0),
            Condition::Not(inner) => inner.cost(),
            Condition::KnownHeader(..) => 1,
            Condition::Header(..) => 2,
            Condition::Body(_) | Condition::Text(_) => 3,
            _ => 0,
        }
    }
}

/// The days for which a comparison holds, from .. until.
fn days(comparison: DateComparison, day: i64) -> (i64, i64) {
    match comparison {
        DateComparison::Before => (i64::MIN, day),
        DateComparison::On => (day, day + 1),
        DateComparison::Since => (day, i64::MAX),
    }
}

/// One message that is asked about, opened only as far as the conditions want.
pub(crate) struct Candidate<'a, 'store> {
    /// The store.
    pub(crate) store: &'a Store,
    /// Its records.
    pub(crate) records: &'a mut RecordReader<'store>,
    /// The message's sequence number.
    pub(crate) sequence: u32,
    /// The message's cell.
    pub(crate) cell: &'a Cell,
    /// Whether it is recent in this session.
    pub(crate) is_recent: bool,
}

impl Candidate<'_, '_> {
    /// Whether the message meets `condition`.
    ///
    /// # Errors
    /// The message cannot be read.
    pub(crate) fn meets(&mut self, condition: &Condition) -> Result<bool, StoreError> {
        Ok(match condition {
            Condition::True => true,
            Condition::False => false,
            Condition::And(all) => {
                for condition in all {
                    if !self.meets(condition)? {
                        return Ok(false);
                    }
                }
                true
            }
            Condition::Or(any) => {
                for condition in any {
                    if self.meets(condition)? {
                        return Ok(true);
                    }
                }
                false
            }
            Condition::Not(condition) => !self.meets(condition)?,
            Condition::Sequence(set) => set.contains(self.sequence),
            Condition::Uid(set) => set.contains(self.cell.uid.get()),
            Condition::Flag(bits, wanted) => (self.cell.flags.system.0 & bits == *bits) == *wanted,
            Condition::Keyword(bit) => self.cell.flags.keywords & bit != 0,
            Condition::Recent => self.is_recent,
            Condition::InternalDay(from, until) => {
                let date = self.cell.internal_date;
                (*from..*until).contains(&local_day(date.seconds, date.zone_minutes))
            }
            Condition::SentDay(from, until) => {
                // Without a Date: field that can be read it was sent before every day that is asked for.
                let day = self.cell.sent_date.map(|date| local_day(date.seconds, date.zone_minutes));
                (*from..*until).contains(&day.unwrap_or(i64::MIN))
            }
            Condition::SizeFrom(octets) => u64::from(self.cell.size) >= *octets,
            Condition::SizeBelow(octets) => u64::from(self.cell.size) < *octets,
            Condition::KnownHeader(kind, text) => contains_folded(self.record()?.search_text(*kind), text),
            Condition::Header(field, text) => self.header_contains(field, text.as_ref())?,
            Condition::Body(text) => self.body_contains(text, PartHeaders::OfMessages)?,
            Condition::Text(text) => {
                self.whole_header_contains(text)? || self.body_contains(text, PartHeaders::All)?
            }
        })
    }

    fn record(&mut self) -> Result<Record<'_>, StoreError> {
        let bytes = self.records.record(self.cell.message)?;
        Record::parse(bytes).map_err(|_| StoreError::NotFound("record that can be read"))
    }

    fn header_contains(&mut self, field: &[u8], text: Option<&Folded>) -> Result<bool, StoreError> {
        let stretch = self.record()?.header_stretch(&[field]);
        if stretch.is_empty() {
            return Ok(false);
        }
        let message = self.store.message(self.cell.message)?;
        let mut header = Vec::new();
        self.store.read_range(&message, stretch, &mut header)?;
        let mut values = header_values(&header, field);
        Ok(match text {
            Some(text) => values.any(|value| contains_folded(&decode_header_text(value), text)),
            None => values.next().is_some(),
        })
    }

    fn whole_header_contains(&mut self, text: &Folded) -> Result<bool, StoreError> {
        let message = self.store.message(self.cell.message)?;
        let mut header = Vec::new();
        self.store.read_range(&message, 0..u64::from(message.header_size), &mut header)?;
        Ok(contains_folded(&decode_header_text(&header), text))
    }

    /// Looks at the decoded text of every part that has text, and at these headers of parts.
    fn body_contains(&mut self, text: &Folded, headers: PartHeaders) -> Result<bool, StoreError> {
        let message = self.store.message(self.cell.message)?;
        let store = self.store;
        let record = self.record()?;
        let read = |range: Range<u64>, octets_max: u64| {
            let end = range.end.min(range.start.saturating_add(octets_max));
            let mut octets = Vec::new();
            store.read_range(&message, range.start..end, &mut octets).map(|()| octets)
        };
        let mut follows_message = false;
        for (index, part) in record.parts().enumerate() {
            let is_enclosed = std::mem::replace(&mut follows_message, part.kind == PartKind::Message);
            // The header of the message itself is not of a part.
            if index > 0 && (is_enclosed || headers == PartHeaders::All) {
                let header = read(part.header, PART_HEADER_OCTETS_MAX as u64)?;
                if contains_folded(&decode_header_text(&header), text) {
                    return Ok(true);
                }
            }
            if matches!(part.media, Media::Text | Media::Html) {
                let body = read(part.body, SEARCHED_OCTETS)?;
                if contains_folded(&part_text(&body, part.encoding, part.charset, part.media), text) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

fn local_day(seconds: i64, zone_minutes: i16) -> i64 {
    (seconds + i64::from(zone_minutes) * 60).div_euclid(DAY_SECONDS)
}
