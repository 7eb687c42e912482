//! SEARCH and UID SEARCH (RFC 3501 section 6.4.4), with result options before the charset (RFC 4731).

use super::Numbering;
use crate::imap::extension::annotate::SearchAnnotation;
use crate::imap::extension::condstore;
use crate::imap::extension::gmail;
use crate::imap::extension::object_id::ObjectId;
use crate::imap::extension::result_options::ResultOptions;
use crate::imap::limits::Limits;
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::date::Date;
use crate::imap::syntax::flag::Keyword;
use crate::imap::syntax::sequence_set::SequenceSet;
use crate::imap::syntax::string;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchArguments {
    /// What the numbers in the reply are.
    pub numbering: Numbering,
    /// What the reply is to say, in an ESEARCH reply; `None` for a SEARCH reply.
    pub options: Option<ResultOptions>,
    /// How texts are encoded; `None` when not said, which is US-ASCII, and UTF-8 with many clients.
    pub charset: Option<SearchCharset>,
    /// What a message must be.
    pub key: SearchKey,
}

/// How the texts of a SEARCH are encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchCharset {
    /// US-ASCII
    UsAscii,
    /// UTF-8
    Utf8,
    /// Another, by its name: to be refused with NO \[BADCHARSET (US-ASCII UTF-8)] if it is not known.
    Other(Vec<u8>),
}

/// A condition on a message. Texts are as sent, in the charset of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// All messages.
    All,
    /// Keys with spaces between them: all of them. At least two.
    And(Vec<SearchKey>),
    /// OR: one of them, or both.
    Or(Box<(SearchKey, SearchKey)>),
    /// NOT
    Not(Box<SearchKey>),
    /// A sequence set.
    Sequence(SequenceSet),
    /// UID
    Uid(SequenceSet),
    /// ANSWERED and UNANSWERED, and so on: a system flag is there, or (false) is not.
    Flag(crate::imap::syntax::flag::SystemFlags, bool),
    /// NEW: `\Recent` and not `\Seen`.
    New,
    /// OLD: not `\Recent`.
    Old,
    /// RECENT
    Recent,
    /// KEYWORD and (false) UNKEYWORD
    Keyword(Keyword, bool),
    /// BCC, CC, FROM, SUBJECT, TO: the header field's text contains this. And HEADER, where an empty text asks whether there
    /// is such a field.
    Header {
        /// The field's name, as sent for HEADER, in lower case otherwise.
        field: Vec<u8>,
        /// What it must contain.
        text: Vec<u8>,
    },
    /// BODY: the body contains this.
    Body(Vec<u8>),
    /// TEXT: header or body contain this.
    Text(Vec<u8>),
    /// BEFORE, ON, SINCE: the internal date's day.
    InternalDate(DateComparison, Date),
    /// SENTBEFORE, SENTON, SENTSINCE: the Date: field's day.
    SentDate(DateComparison, Date),
    /// FUZZY (RFC 6203): about this.
    Fuzzy(Box<SearchKey>),
    /// FILTER (RFC 5466): the keys that are stored under this name, to be put in its place.
    Filter(String),
    /// ANNOTATION (RFC 5257 section 4.8)
    Annotation(Box<SearchAnnotation>),
    /// OLDER (RFC 5032): the internal date is at least so many seconds ago.
    Older(u32),
    /// YOUNGER (RFC 5032): the internal date is at most so many seconds ago.
    Younger(u32),
    /// SAVEDBEFORE, SAVEDON, SAVEDSINCE (RFC 8514): the day on which it came into the mailbox.
    SavedDate(DateComparison, Date),
    /// EMAILID (RFC 8474)
    EmailId(ObjectId),
    /// THREADID (RFC 8474)
    ThreadId(ObjectId),
    /// X-GM-MSGID
    MessageNumber(u64),
    /// X-GM-THRID
    ThreadNumber(u64),
    /// LARGER: more than so many octets.
    Larger(u64),
    /// SMALLER: fewer than so many octets.
    Smaller(u64),
    /// MODSEQ (RFC 7162 section 3.1.5): this modification sequence or a higher one. The reply then has the highest one found.
    ModSeq(u64),
    /// UIDAFTER (RFC 9738 section 3.2): a higher UID than this.
    UidAfter(u32),
    /// UIDBEFORE (RFC 9738 section 3.2): a lower UID than this.
    UidBefore(u32),
}

/// How a message's day is compared with the key's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateComparison {
    /// Earlier than that day.
    Before,
    /// On that day.
    On,
    /// On that day or later.
    Since,
}

impl SearchArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Self, Fault> {
        cursor.space()?;
        let options = ResultOptions::parse_if_given(cursor)?;
        let (charset, key) = parse_program(cursor)?;
        if let Some(options) = &options {
            options.check(&key)?;
        }
        Ok(SearchArguments { numbering, options, charset, key })
    }
}

/// Takes `CHARSET name`, if it is there, and the keys.
pub(crate) fn parse_program(cursor: &mut Cursor<'_>) -> Result<(Option<SearchCharset>, SearchKey), Fault> {
    let charset = if starts_with_word(cursor.rest(), b"CHARSET") {
        cursor.take(b"CHARSET".len());
        cursor.space()?;
        let name = string::parse_astring(cursor)?;
        cursor.space()?;
        Some(SearchCharset::from_name(&name))
    } else {
        None
    };
    let key = SearchKey::parse_all_of(cursor)?;
    Ok((charset, key))
}

fn starts_with_word(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
        && text.get(word.len()) == Some(&b' ')
}

impl SearchCharset {
    /// The charset with this name.
    pub(crate) fn from_name(name: &[u8]) -> SearchCharset {
        if name.eq_ignore_ascii_case(b"US-ASCII") || name.eq_ignore_ascii_case(b"ASCII") {
            SearchCharset::UsAscii
        } else if name.eq_ignore_ascii_case(b"UTF-8") || name.eq_ignore_ascii_case(b"UTF8") {
            SearchCharset::Utf8
        } else {
            SearchCharset::Other(name.to_vec())
        }
    }
}

impl SearchKey {
    /// The keys that a filter stands for (RFC 5466 section 3.1): UTF-8, with literals in their places.
    ///
    /// Errors: they are no whole search keys.
    pub fn parse_filter(octets: &[u8], limits: &Limits) -> Result<SearchKey, Fault> {
        let mut cursor = Cursor::new(octets, limits);
        cursor.skip_spaces();
        let key = Self::parse_all_of(&mut cursor)?;
        cursor.end()?;
        Ok(key)
    }

    /// Whether some key in it is FUZZY.
    pub fn has_fuzzy(&self) -> bool {
        self.any(&|key| matches!(key, SearchKey::Fuzzy(_)))
    }

    /// Whether some key in it is FILTER.
    pub fn has_filter(&self) -> bool {
        self.any(&|key| matches!(key, SearchKey::Filter(_)))
    }

    /// Whether the key, or a key in it, is one that `is_it` looks for.
    pub fn any(&self, is_it: &impl Fn(&SearchKey) -> bool) -> bool {
        is_it(self)
            || match self {
                SearchKey::And(keys) => keys.iter().any(|key| key.any(is_it)),
                SearchKey::Or(keys) => keys.0.any(is_it) || keys.1.any(is_it),
                SearchKey::Not(key) | SearchKey::Fuzzy(key) => key.any(is_it),
                _ => false,
            }
    }

    /// Keys up to the end or a `)`.
    pub(crate) fn parse_all_of(cursor: &mut Cursor<'_>) -> Result<SearchKey, Fault> {
        let first = Self::parse(cursor)?;
        if !cursor.take_space_before_more() {
            return Ok(first);
        }
        let mut keys = vec![first];
        loop {
            keys.push(Self::parse(cursor)?);
            if !cursor.take_space_before_more() {
                return Ok(SearchKey::And(keys));
            }
        }
    }

    /// Recurses, to the limit of depth. What needs much of the stack is in [`SearchKey::parse_leaf`], which does not.
    fn parse(cursor: &mut Cursor<'_>) -> Result<SearchKey, Fault> {
        if cursor.peek() == Some(b'(') {
            return cursor.nested(Self::parse_group);
        }
        if matches!(cursor.peek(), Some(b'0'..=b'9' | b'*' | b'$')) {
            return SequenceSet::parse(cursor).map(SearchKey::Sequence);
        }
        let name = cursor.keyword()?;
        match name.as_bytes() {
            b"NOT" => cursor.nested(Self::parse_not),
            b"OR" => cursor.nested(Self::parse_or),
            b"FUZZY" => cursor.nested(Self::parse_fuzzy),
            name => Self::parse_leaf(cursor, name),
        }
    }

    fn parse_group(cursor: &mut Cursor<'_>) -> Result<SearchKey, Fault> {
        cursor.take(1);
        cursor.skip_spaces();
        let key = Self::parse_all_of(cursor)?;
        cursor.expect(b')', "Expected ) after search keys")?;
        Ok(key)
    }

    fn parse_not(cursor: &mut Cursor<'_>) -> Result<SearchKey, Fault> {
        cursor.space()?;
        Ok(SearchKey::Not(Box::new(Self::parse(cursor)?)))
    }

    fn parse_fuzzy(cursor: &mut Cursor<'_>) -> Result<SearchKey, Fault> {
        cursor.space()?;
        Ok(SearchKey::Fuzzy(Box::new(Self::parse(cursor)?)))
    }

    fn parse_or(cursor: &mut Cursor<'_>) -> Result<SearchKey, Fault> {
        cursor.space()?;
        let first = Self::parse(cursor)?;
        cursor.space()?;
        Ok(SearchKey::Or(Box::new((first, Self::parse(cursor)?))))
    }

    /// Whether messages are named by their sequence numbers.
    pub fn has_message_numbers(&self) -> bool {
        self.any(&|key| matches!(key, SearchKey::Sequence(set) if !set.is_saved()))
    }

    /// Whether MODSEQ is asked for.
    pub fn has_modseq(&self) -> bool {
        self.any(&|key| matches!(key, SearchKey::ModSeq(_)))
    }

    #[inline(never)]
    fn parse_leaf(cursor: &mut Cursor<'_>, name: &[u8]) -> Result<SearchKey, Fault> {
        use crate::imap::syntax::flag::SystemFlags;
        use DateComparison::{Before, On, Since};
        Ok(match name {
            b"ALL" => SearchKey::All,
            b"ANSWERED" => SearchKey::Flag(SystemFlags::ANSWERED, true),
            b"UNANSWERED" => SearchKey::Flag(SystemFlags::ANSWERED, false),
            b"DELETED" => SearchKey::Flag(SystemFlags::DELETED, true),
            b"UNDELETED" => SearchKey::Flag(SystemFlags::DELETED, false),
            b"DRAFT" => SearchKey::Flag(SystemFlags::DRAFT, true),
            b"UNDRAFT" => SearchKey::Flag(SystemFlags::DRAFT, false),
            b"FLAGGED" => SearchKey::Flag(SystemFlags::FLAGGED, true),
            b"UNFLAGGED" => SearchKey::Flag(SystemFlags::FLAGGED, false),
            b"SEEN" => SearchKey::Flag(SystemFlags::SEEN, true),
            b"UNSEEN" => SearchKey::Flag(SystemFlags::SEEN, false),
            b"NEW" => SearchKey::New,
            b"OLD" => SearchKey::Old,
            b"RECENT" => SearchKey::Recent,
            b"KEYWORD" => SearchKey::Keyword(parse_keyword(cursor)?, true),
            b"UNKEYWORD" => SearchKey::Keyword(parse_keyword(cursor)?, false),
            b"BCC" | b"CC" | b"FROM" | b"SUBJECT" | b"TO" => {
                SearchKey::Header { field: name.to_ascii_lowercase(), text: parse_text(cursor)? }
            }
            b"HEADER" => SearchKey::Header { field: parse_text(cursor)?, text: parse_text(cursor)? },
            b"BODY" => SearchKey::Body(parse_text(cursor)?),
            b"TEXT" => SearchKey::Text(parse_text(cursor)?),
            b"BEFORE" => SearchKey::InternalDate(Before, parse_date(cursor)?),
            b"ON" => SearchKey::InternalDate(On, parse_date(cursor)?),
            b"SINCE" => SearchKey::InternalDate(Since, parse_date(cursor)?),
            b"SENTBEFORE" => SearchKey::SentDate(Before, parse_date(cursor)?),
            b"SENTON" => SearchKey::SentDate(On, parse_date(cursor)?),
            b"SENTSINCE" => SearchKey::SentDate(Since, parse_date(cursor)?),
            b"ANNOTATION" => SearchKey::Annotation(Box::new(SearchAnnotation::parse(cursor)?)),
            b"FILTER" => SearchKey::Filter(parse_filter_name(cursor)?),
            b"OLDER" => SearchKey::Older(parse_interval(cursor)?),
            b"YOUNGER" => SearchKey::Younger(parse_interval(cursor)?),
            b"SAVEDBEFORE" => SearchKey::SavedDate(Before, parse_date(cursor)?),
            b"SAVEDON" => SearchKey::SavedDate(On, parse_date(cursor)?),
            b"SAVEDSINCE" => SearchKey::SavedDate(Since, parse_date(cursor)?),
            // Every mailbox has that date.
            b"SAVEDATESUPPORTED" => SearchKey::All,
            b"EMAILID" => SearchKey::EmailId(ObjectId::parse(cursor)?),
            b"THREADID" => SearchKey::ThreadId(ObjectId::parse(cursor)?),
            b"X-GM-MSGID" => SearchKey::MessageNumber(gmail::parse_number(cursor)?),
            b"X-GM-THRID" => SearchKey::ThreadNumber(gmail::parse_number(cursor)?),
            b"X-GM-LABELS" => SearchKey::Keyword(parse_keyword(cursor)?, true),
            b"X-GM-RAW" => return Err(gmail::RAW),
            b"LARGER" => SearchKey::Larger(parse_size(cursor)?),
            b"SMALLER" => SearchKey::Smaller(parse_size(cursor)?),
            b"UID" => {
                cursor.space()?;
                SearchKey::Uid(SequenceSet::parse(cursor)?)
            }
            b"MODSEQ" => {
                cursor.space()?;
                SearchKey::ModSeq(condstore::parse_search_modseq(cursor)?)
            }
            b"UIDAFTER" => {
                cursor.space()?;
                SearchKey::UidAfter(cursor.nonzero_number()?)
            }
            b"UIDBEFORE" => {
                cursor.space()?;
                SearchKey::UidBefore(cursor.nonzero_number()?)
            }
            _ => return Err(Fault::syntax("Unknown search key")),
        })
    }
}

fn parse_text(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Fault> {
    cursor.space()?;
    Ok(string::parse_astring(cursor)?.into_owned())
}

fn parse_date(cursor: &mut Cursor<'_>) -> Result<Date, Fault> {
    cursor.space()?;
    Date::parse(cursor)
}

fn parse_size(cursor: &mut Cursor<'_>) -> Result<u64, Fault> {
    cursor.space()?;
    cursor.number()
}

/// An atom without a slash.
fn parse_filter_name(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    cursor.space()?;
    let name = string::parse_atom(cursor)?;
    match std::str::from_utf8(name) {
        Ok(name) if !name.contains('/') => Ok(name.to_owned()),
        _ => Err(Fault::syntax("Invalid name of a filter")),
    }
}

/// Seconds.
fn parse_interval(cursor: &mut Cursor<'_>) -> Result<u32, Fault> {
    cursor.space()?;
    cursor.nonzero_number()
}

fn parse_keyword(cursor: &mut Cursor<'_>) -> Result<Keyword, Fault> {
    cursor.space()?;
    Keyword::new(&string::parse_astring(cursor)?)
}
