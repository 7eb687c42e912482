//! APPEND (RFC 3501 section 6.3.11), up to its message.
//!
//! The decoder parses the header when the line has come that announces the message; the message itself is never seen here.
//! MULTIAPPEND (RFC 3502) repeats [`MessageHeader`] behind a message, for which the decoder has the place.

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::date::DateTime;
use crate::imap::syntax::flag::Flags;
use crate::imap::syntax::mailbox_name::MailboxName;

/// Where a message goes and what is said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendHeader {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// What is said about the message.
    pub message: MessageHeader,
}

/// What is said about one message of an APPEND.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageHeader {
    /// Its flags.
    pub flags: Flags,
    /// Its internal date; `None` for now.
    pub date: Option<DateTime>,
}

/// What the line that ends with a literal is about.
pub(crate) enum AppendStep {
    /// The literal is an argument.
    Argument,
    /// The literal is the message.
    Message(AppendHeader),
}

impl AppendHeader {
    /// Parses the arguments in `cursor`, whose octets end where the `{` of a literal stands that has not come yet.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<AppendStep, Fault> {
        cursor.space()?;
        if cursor.is_at_end() {
            return Ok(AppendStep::Argument);
        }
        let mailbox = MailboxName::parse(cursor)?;
        let message = MessageHeader::parse(cursor)?;
        Ok(AppendStep::Message(AppendHeader { mailbox, message }))
    }
}

impl MessageHeader {
    /// Parses ` (flags) "date" `, each of which may be missing, up to the message's literal.
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
        if cursor.is_at_end() {
            Ok(header)
        } else {
            Err(Fault::syntax("Expected flags, a date or a literal"))
        }
    }
}
