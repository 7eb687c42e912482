//! APPEND (RFC 3501 section 6.3.11) with several messages (MULTIAPPEND, RFC 3502), messages made of parts (CATENATE, RFC 4469), with
//! annotations (RFC 5257), octets that may be NUL (BINARY, RFC 3516) or UTF-8 in headers (RFC 6855 section 4); REPLACE and UID REPLACE (RFC 8508).
//!
//! The decoder parses such a command piece by piece ([`AppendPiece`]); the octets of messages are never seen here.

use super::{Numbering, Tag};
use crate::imap::extension::annotate::AnnotationValue;
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::date::DateTime;
use crate::imap::syntax::flag::Flags;
use crate::imap::syntax::mailbox_name::MailboxName;
use crate::imap::syntax::sequence_set::SequenceSet;

/// The beginning of an APPEND or REPLACE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendBegin {
    /// The command's tag.
    pub tag: Tag,
    /// Where the messages go.
    pub mailbox: MailboxName,
    /// Of REPLACE, the message that goes.
    pub replaced: Option<Replaced>,
}

/// The message that a REPLACE takes away from the selected mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// What its number is.
    pub numbering: Numbering,
    /// A set of one number, or of `*`.
    pub message: SequenceSet,
}

/// What follows the beginning of an APPEND or REPLACE, in the order of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendPiece {
    /// A message begins, and the one before it is complete. Each has at least one of the others behind it.
    Message(MessageHeader),
    /// Octets of the message are coming: all of it, or the next part of it.
    Literal(AppendLiteral),
    /// The octets that this URL stands for are the next part of the message. It is as it came, and may be no URL at all.
    Url(Vec<u8>),
}

/// What is said about one message of an APPEND.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageHeader {
    /// Its flags.
    pub flags: Flags,
    /// Its internal date; `None` for now.
    pub date: Option<DateTime>,
    /// ANNOTATION (RFC 5257 section 4.7): what it is annotated with, none twice.
    pub annotations: Vec<AnnotationValue>,
}

/// Octets of a message that are coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendLiteral {
    /// What may be in them.
    pub kind: LiteralKind,
    /// How many there are; at most [`crate::imap::Limits::append`].
    pub length: u64,
    /// Whether the client waits for `+ ` before it sends them.
    pub synchronising: bool,
    /// Whether they are a part of a CATENATE, or else all of the message.
    pub is_part: bool,
}

/// What the octets of a message may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteralKind {
    /// `{n}`: any octets but NUL.
    Text,
    /// `~{n}`: any octets (RFC 3516).
    Binary,
    /// `UTF8 (~{n})`: a message with UTF-8 in its headers (RFC 6855); any octets but NUL.
    Utf8,
}

/// Which command it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppendKind {
    /// APPEND
    Append,
    /// REPLACE, and UID REPLACE.
    Replace(Numbering),
}

impl AppendKind {
    /// Which one a line begins, and how many octets of the line stand before its arguments. `None`: another command, or none.
    pub(crate) fn of_line(line: &[u8]) -> Option<(AppendKind, usize)> {
        let mut at = line.iter().position(|&octet| octet == b' ')?;
        let mut word = || {
            at += line[at..].iter().take_while(|&&octet| octet == b' ').count();
            let word = line[at..].split(|&octet| octet == b' ').next().unwrap_or_default();
            at += word.len();
            (word, at)
        };
        match word() {
            (name, at) if name.eq_ignore_ascii_case(b"APPEND") => Some((AppendKind::Append, at)),
            (name, at) if name.eq_ignore_ascii_case(b"REPLACE") => {
                Some((AppendKind::Replace(Numbering::Sequence), at))
            }
            (name, _) if name.eq_ignore_ascii_case(b"UID") => match word() {
                (name, at) if name.eq_ignore_ascii_case(b"REPLACE") => {
                    Some((AppendKind::Replace(Numbering::Uid), at))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

impl Replaced {
    pub(crate) fn parse(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Replaced, Fault> {
        let message = SequenceSet::parse(cursor)?;
        match message.ranges() {
            [(first, last)] if first == last => Ok(Replaced { numbering, message }),
            _ => Err(Fault::syntax("REPLACE takes one message")),
        }
    }
}

impl MessageHeader {
    /// Parses ` (flags) "date" ANNOTATION (…) `, each of which may be missing, up to the message's data.
    ///
    /// Errors: also where the text ends within ANNOTATION, with `cursor` at the end or before `~`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<MessageHeader, Fault> {
        let mut header = MessageHeader::default();
        cursor.space()?;
        if cursor.peek() == Some(b'(') {
            header.flags = Flags::parse_list(cursor)?;
            cursor.space()?;
        }
        if cursor.peek() == Some(b'"') {
            header.date = Some(DateTime::parse(cursor)?);
            cursor.space()?;
        }
        let mut ahead = cursor.clone();
        if ahead.keyword().is_ok_and(|name| name.as_bytes() == b"ANNOTATION") {
            *cursor = ahead;
            header.annotations = AnnotationValue::parse_all(cursor)?;
            cursor.space()?;
        }
        Ok(header)
    }
}
