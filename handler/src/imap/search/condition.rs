//! What a search looks for (RFC 3501, 6.4.4), compiled once a command: texts are folded, keywords become bits, sets of messages
//! become ascending ranges of sequence numbers, and what costs less is asked first.
//!
//! A condition is good for one view of one mailbox, and only until the view is refreshed.

use message::HeaderKind;
use message::search::{Folded, Words, decode_charset};
use protocol::imap::command::search::{DateComparison, SearchCharset, SearchKey};
use protocol::imap::extension::annotate::{EntryPattern, Scope, SearchAnnotation};
use protocol::imap::syntax::flag::SystemFlags;
use protocol::imap::syntax::sequence_set::{NumberSet, SequenceSet};
use store::view::View;
use store::{Keywords, Mailbox, ModSeq, StoreError, Uid, UserId};

use super::super::object_id;
use super::super::selected::sequences_of_uids;

/// UIDs of annotated messages that are asked for at one time.
const UIDS_AT_ONCE: usize = 4096;

/// A compiled condition.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    Among(NumberSet),
    /// System flags by their bits, one or more: all set, or with `false` not.
    Flag(u8, bool),
    /// Keywords by their bits.
    Keyword(u64),
    /// INTERNALDATE's day: days since 1970 from .. until, as its zone has it.
    InternalDay(i64, i64),
    /// INTERNALDATE: seconds since 1970 from ..= to.
    InternalTime(i64, i64),
    /// The Date: field's day.
    SentDay(i64, i64),
    /// The day in UTC on which it came into the mailbox: days since 1970 from .. until.
    SavedDay(i64, i64),
    /// The number of the message, which EMAILID tells.
    MessageNumber(u64),
    /// The number of the conversation, which THREADID tells.
    ThreadNumber(u64),
    /// At least this many octets.
    SizeFrom(u64),
    /// Fewer than this many octets.
    SizeBelow(u64),
    /// Text of an annotation (RFC 5257).
    Annotation(Box<Annotated>),
    /// Text of a header field that is in the record.
    KnownHeader(HeaderKind, Needle),
    /// Text of any header field; without a text, whether it is there.
    Header(Vec<u8>, Option<Needle>),
    /// Text of the body.
    Body(Needle),
    /// Text of header or body.
    Text(Needle),
}

/// What an annotation must be, for the message to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Annotated {
    /// Names of its entry.
    pub(crate) entry: EntryPattern,
    /// For whom it is; `None` for any that `reader` sees.
    pub(crate) scope: Option<Scope>,
    /// Who looks for it.
    pub(crate) reader: UserId,
    /// What its value has; `None`: anything.
    pub(crate) text: Option<Needle>,
}

/// A text that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needle {
    /// Anywhere, without regard to case.
    Substring(Folded),
    /// Its words, wherever they are.
    Words(Words),
}

/// What must be looked at to decide a condition, from the cheapest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cost {
    /// Nothing but the place in the view.
    Nothing,
    /// The summary of its block, which 64 messages share.
    Summary,
    /// The cell.
    Cell,
    /// The record.
    Record,
    /// Annotations of the message.
    Annotations,
    /// Some of the header, from the bucket.
    Header,
    /// The message.
    Message,
}

/// What compiling needs to know of the session and of the command.
pub(crate) struct Given<'a> {
    /// The mailbox.
    pub(crate) mailbox: &'a Mailbox,
    /// Who looks for messages.
    pub(crate) reader: UserId,
    /// The messages of it that there are.
    pub(crate) view: &'a View,
    /// The keywords of the mailbox.
    pub(crate) keywords: &'a Keywords,
    /// Messages that are recent.
    pub(crate) recent: NumberSet,
    /// UIDs that `$` stands for.
    pub(crate) saved: &'a NumberSet,
    /// The charset of the texts that are looked for.
    pub(crate) charset: &'a [u8],
    /// Seconds since 1970.
    pub(crate) now: i64,
}

/// How texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// As they are.
    Exact,
    /// Word by word (FUZZY).
    Fuzzy,
}

/// The charset of the texts; those of US-ASCII are UTF-8 too, and clients that say neither mean UTF-8.
pub(crate) fn charset_name(charset: Option<&SearchCharset>) -> &[u8] {
    match charset {
        Some(SearchCharset::Other(name)) => name,
        Some(SearchCharset::UsAscii | SearchCharset::Utf8) | None => b"UTF-8",
    }
}

impl Given<'_> {
    /// The last UID in the view; 0 if there is none.
    fn last_uid(&self) -> Result<u32, StoreError> {
        match self.view.cell_of_seq(self.view.exists()) {
            Some(cell) => Ok(self.mailbox.uid_at(cell)?.get()),
            None => Ok(0),
        }
    }

    fn among_uids(&self, uids: &NumberSet) -> Result<Condition, StoreError> {
        Ok(Condition::Among(sequences_of_uids(self.view, self.mailbox, uids)?))
    }

    fn among(&self, set: &SequenceSet) -> Result<Condition, StoreError> {
        if set.is_saved() {
            return self.among_uids(self.saved);
        }
        Ok(Condition::Among(set.resolve(self.view.exists())))
    }

    fn needle(&self, text: &[u8], comparison: Comparison) -> Needle {
        let decoded = decode_charset(self.charset, text);
        let text = decoded.unwrap_or_else(|| String::from_utf8_lossy(text).into_owned());
        match comparison {
            Comparison::Exact => Needle::Substring(Folded::new(&text)),
            Comparison::Fuzzy => Needle::Words(Words::new(&text)),
        }
    }
}

impl Condition {
    /// Compiles a key. Its depth was limited by the parser; filters were put in their places before.
    ///
    /// # Errors
    /// The mailbox cannot be read.
    pub(crate) fn compile(key: &SearchKey, given: &Given<'_>) -> Result<Condition, StoreError> {
        Self::compile_as(key, given, Comparison::Exact)
    }

    fn compile_as(key: &SearchKey, given: &Given<'_>, how: Comparison) -> Result<Condition, StoreError> {
        Ok(match key {
            SearchKey::Fuzzy(key) => Self::compile_as(key, given, Comparison::Fuzzy)?,
            // A filter that is still here means nothing.
            SearchKey::Filter(_) => Condition::False,
            SearchKey::All => Condition::True,
            SearchKey::And(keys) => {
                let keys = keys.iter().map(|key| Self::compile_as(key, given, how));
                Condition::and(keys.collect::<Result<_, _>>()?)
            }
            SearchKey::Or(keys) => {
                let mut either =
                    vec![Self::compile_as(&keys.0, given, how)?, Self::compile_as(&keys.1, given, how)?];
                either.sort_by_key(Condition::cost);
                Condition::Or(either)
            }
            SearchKey::Not(key) => Condition::Not(Box::new(Self::compile_as(key, given, how)?)),
            SearchKey::Sequence(set) => given.among(set)?,
            SearchKey::Uid(set) if set.is_saved() => given.among(set)?,
            SearchKey::Uid(set) => given.among_uids(&set.resolve(given.last_uid()?))?,
            SearchKey::Flag(flags, wanted) => Condition::Flag(flags.0, *wanted),
            SearchKey::New => Condition::and(vec![
                Condition::Among(given.recent.clone()),
                Condition::Flag(SystemFlags::SEEN.0, false),
            ]),
            SearchKey::Old => Condition::Not(Box::new(Condition::Among(given.recent.clone()))),
            SearchKey::Recent => Condition::Among(given.recent.clone()),
            SearchKey::Keyword(name, wanted) => {
                let set = match given.keywords.find(name.as_str()) {
                    Some(bit) => Condition::Keyword(1 << bit),
                    None => Condition::False,
                };
                if *wanted { set } else { Condition::Not(Box::new(set)) }
            }
            SearchKey::Header { field, text } => Self::compile_header(field, text, given, how),
            SearchKey::Body(text) => Condition::text(text, given, how, Condition::Body),
            SearchKey::Text(text) => Condition::text(text, given, how, Condition::Text),
            SearchKey::InternalDate(comparison, date) => {
                let (from, until) = days(*comparison, date.days_since_1970());
                Condition::InternalDay(from, until)
            }
            SearchKey::SentDate(comparison, date) => {
                let (from, until) = days(*comparison, date.days_since_1970());
                Condition::SentDay(from, until)
            }
            SearchKey::Annotation(wanted) => Self::compile_annotation(wanted, given, how)?,
            SearchKey::Older(seconds) => {
                Condition::InternalTime(i64::MIN, given.now.saturating_sub(i64::from(*seconds)))
            }
            SearchKey::Younger(seconds) => {
                Condition::InternalTime(given.now.saturating_sub(i64::from(*seconds)), i64::MAX)
            }
            SearchKey::SavedDate(comparison, date) => {
                let (from, until) = days(*comparison, date.days_since_1970());
                Condition::SavedDay(from, until)
            }
            SearchKey::EmailId(identifier) => object_id::number_of(identifier.as_str(), 'M')
                .map_or(Condition::False, Condition::MessageNumber),
            SearchKey::ThreadId(identifier) => object_id::number_of(identifier.as_str(), 'T')
                .map_or(Condition::False, Condition::ThreadNumber),
            SearchKey::MessageNumber(number) => Condition::MessageNumber(*number),
            SearchKey::ThreadNumber(number) => Condition::ThreadNumber(*number),
            SearchKey::ModSeq(modseq) => match modseq.checked_sub(1) {
                None => Condition::True,
                Some(since) => {
                    let all = [(1, given.view.exists())];
                    let changed = given.view.seqs_changed_since(given.mailbox, ModSeq(since), &all)?;
                    Condition::Among(NumberSet::from_ranges(changed))
                }
            },
            SearchKey::UidAfter(uid) => match uid.checked_add(1) {
                None => Condition::False,
                Some(next) => given.among_uids(&NumberSet::from_ranges(vec![(next, u32::MAX)]))?,
            },
            SearchKey::UidBefore(uid) => given.among_uids(&NumberSet::from_ranges(vec![(1, uid - 1)]))?,
            SearchKey::Larger(octets) => Condition::SizeFrom(octets.saturating_add(1)),
            SearchKey::Smaller(octets) => Condition::SizeBelow(*octets),
        })
    }

    /// Only messages that ever were annotated are looked at.
    fn compile_annotation(
        wanted: &SearchAnnotation,
        given: &Given<'_>,
        how: Comparison,
    ) -> Result<Condition, StoreError> {
        // NIL is in no value.
        let Some(text) = &wanted.text else { return Ok(Condition::False) };
        let mut uids = NumberSet::default();
        let mut from = Uid::new(1);
        while let Some(first) = from {
            let some = given.mailbox.annotated_uids(first, UIDS_AT_ONCE)?;
            from = some.last().and_then(|last| Uid::new(last.get().checked_add(1)?));
            some.iter().for_each(|uid| uids.push(uid.get()));
        }
        let annotated = Annotated {
            entry: wanted.entry.clone(),
            scope: wanted.scope,
            reader: given.reader,
            text: (!text.is_empty()).then(|| given.needle(text, how)),
        };
        Ok(Condition::and(vec![given.among_uids(&uids)?, Condition::Annotation(Box::new(annotated))]))
    }

    fn compile_header(field: &[u8], text: &[u8], given: &Given<'_>, how: Comparison) -> Condition {
        if text.is_empty() {
            return Condition::Header(field.to_vec(), None);
        }
        let needle = given.needle(text, how);
        let known = [
            ("subject", HeaderKind::Subject),
            ("from", HeaderKind::From),
            ("to", HeaderKind::To),
            ("cc", HeaderKind::Cc),
            ("bcc", HeaderKind::Bcc),
        ];
        match known.into_iter().find(|(name, _)| field.eq_ignore_ascii_case(name.as_bytes())) {
            Some((_, kind)) => Condition::KnownHeader(kind, needle),
            None => Condition::Header(field.to_vec(), Some(needle)),
        }
    }

    /// Every text contains the empty one.
    fn text(
        text: &[u8],
        given: &Given<'_>,
        how: Comparison,
        condition: impl FnOnce(Needle) -> Condition,
    ) -> Condition {
        if text.is_empty() { Condition::True } else { condition(given.needle(text, how)) }
    }

    /// All of these.
    pub(crate) fn and(mut all: Vec<Condition>) -> Condition {
        all.sort_by_key(Condition::cost);
        Condition::And(all)
    }

    /// Parts the condition into one that opens no bucket, and reads no annotations, and what must be true as well.
    pub(crate) fn split(self) -> (Condition, Option<Condition>) {
        if self.cost() < Cost::Annotations {
            return (self, None);
        }
        match self {
            Condition::And(mut all) => {
                let costly =
                    all.split_off(all.partition_point(|condition| condition.cost() < Cost::Annotations));
                (Condition::And(all), Some(Condition::And(costly)))
            }
            costly => (Condition::True, Some(costly)),
        }
    }

    /// Sequence numbers without which nothing is met; `None` if that may be any.
    pub(crate) fn only_among(&self) -> Option<NumberSet> {
        match self {
            Condition::False => Some(NumberSet::default()),
            Condition::Among(set) => Some(set.clone()),
            Condition::And(all) => {
                all.iter().filter_map(Condition::only_among).reduce(|left, right| left.intersection(&right))
            }
            Condition::Or(any) => {
                let mut sets = any.iter().map(Condition::only_among);
                let first = sets.next()??;
                sets.try_fold(first, |all, set| Some(all.union(&set?)))
            }
            _ => None,
        }
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

    /// How much must be looked at.
    pub(crate) fn cost(&self) -> Cost {
        match self {
            Condition::And(all) | Condition::Or(all) => {
                all.iter().map(Condition::cost).max().unwrap_or(Cost::Nothing)
            }
            Condition::Not(inner) => inner.cost(),
            Condition::True | Condition::False | Condition::Among(_) => Cost::Nothing,
            Condition::Flag(..) => Cost::Summary,
            Condition::Keyword(_)
            | Condition::InternalDay(..)
            | Condition::InternalTime(..)
            | Condition::SentDay(..)
            | Condition::SavedDay(..)
            | Condition::MessageNumber(_)
            | Condition::SizeFrom(_)
            | Condition::SizeBelow(_) => Cost::Cell,
            Condition::KnownHeader(..) | Condition::ThreadNumber(_) => Cost::Record,
            Condition::Annotation(_) => Cost::Annotations,
            Condition::Header(..) => Cost::Header,
            Condition::Body(_) | Condition::Text(_) => Cost::Message,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn among(first: u32, last: u32) -> Condition {
        Condition::Among(NumberSet::from_ranges(vec![(first, last)]))
    }

    fn body() -> Condition {
        Condition::Body(Needle::Substring(Folded::new("x")))
    }

    #[test]
    fn what_costs_less_is_asked_first() {
        let all = Condition::and(vec![
            body(),
            Condition::SizeFrom(1),
            Condition::Not(Box::new(Condition::Flag(1, true))),
            Condition::Header(b"x".to_vec(), None),
            among(1, 2),
        ]);
        let Condition::And(ordered) = &all else { panic!("an And") };
        let costs: Vec<Cost> = ordered.iter().map(Condition::cost).collect();
        assert_eq!(costs, [Cost::Nothing, Cost::Summary, Cost::Cell, Cost::Header, Cost::Message]);
        let (cheap, costly) = all.split();
        assert_eq!(cheap.cost(), Cost::Cell);
        assert!(matches!(costly, Some(Condition::And(costly)) if costly.len() == 2));
        assert_eq!(body().split(), (Condition::True, Some(body())));
        assert_eq!(among(1, 2).split(), (among(1, 2), None));
    }

    #[test]
    fn only_messages_that_can_be_met_are_visited() {
        let set = |condition: &Condition| condition.only_among().map(|set| set.ranges().to_vec());
        let both = Condition::And(vec![among(1, 9), body(), among(5, 20)]);
        assert_eq!(set(&both), Some(vec![(5, 9)]));
        assert_eq!(set(&Condition::Or(vec![among(1, 2), among(8, 9)])), Some(vec![(1, 2), (8, 9)]));
        assert_eq!(set(&Condition::Or(vec![among(1, 2), body()])), None);
        assert_eq!(set(&Condition::Not(Box::new(among(1, 2)))), None);
        assert_eq!(set(&Condition::And(vec![Condition::False, body()])), Some(vec![]));
        assert_eq!(set(&Condition::True), None);
    }
}
