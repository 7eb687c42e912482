//! STATUS (RFC 9051 section 6.3.11; RFC 3501 section 6.3.10) with STATUS=SIZE (RFC 8438), OBJECTID (RFC 8474) and APPENDLIMIT
//! (RFC 7889), HIGHESTMODSEQ (RFC 7162), DELETED-STORAGE (RFC 9208).

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::mailbox_name::MailboxName;

/// What is asked, of which mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusArguments {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// What is asked, each once; never empty.
    pub items: Vec<StatusItem>,
}

/// One fact about a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusItem {
    /// How many messages.
    Messages,
    /// How many of them are recent.
    Recent,
    /// The UID the next message gets.
    UidNext,
    /// UIDVALIDITY.
    UidValidity,
    /// How many messages have no `\Seen`.
    Unseen,
    /// The size of all messages together, in octets (RFC 8438).
    Size,
    /// How many messages have `\Deleted` (RFC 9051).
    Deleted,
    /// The size of the messages with `\Deleted` together, in octets (RFC 9208).
    DeletedStorage,
    /// Its identifier, which a rename does not change (RFC 8474).
    MailboxId,
    /// How large a message may be that is appended (RFC 7889).
    AppendLimit,
    /// The highest modification sequence (RFC 7162 section 3.1.7).
    HighestModSeq,
}

impl StatusItem {
    /// The name of the item in commands and replies.
    pub fn name(self) -> &'static str {
        match self {
            StatusItem::Messages => "MESSAGES",
            StatusItem::Recent => "RECENT",
            StatusItem::UidNext => "UIDNEXT",
            StatusItem::UidValidity => "UIDVALIDITY",
            StatusItem::Unseen => "UNSEEN",
            StatusItem::Size => "SIZE",
            StatusItem::Deleted => "DELETED",
            StatusItem::DeletedStorage => "DELETED-STORAGE",
            StatusItem::MailboxId => "MAILBOXID",
            StatusItem::AppendLimit => "APPENDLIMIT",
            StatusItem::HighestModSeq => "HIGHESTMODSEQ",
        }
    }

    pub(crate) fn parse_list(cursor: &mut Cursor<'_>) -> Result<Vec<StatusItem>, Fault> {
        let mut items = Vec::new();
        cursor.list(|cursor| {
            let item = match cursor.keyword()?.as_bytes() {
                b"MESSAGES" => StatusItem::Messages,
                b"RECENT" => StatusItem::Recent,
                b"UIDNEXT" => StatusItem::UidNext,
                b"UIDVALIDITY" => StatusItem::UidValidity,
                b"UNSEEN" => StatusItem::Unseen,
                b"SIZE" => StatusItem::Size,
                b"DELETED" => StatusItem::Deleted,
                b"DELETED-STORAGE" => StatusItem::DeletedStorage,
                b"MAILBOXID" => StatusItem::MailboxId,
                b"APPENDLIMIT" => StatusItem::AppendLimit,
                b"HIGHESTMODSEQ" => StatusItem::HighestModSeq,
                _ => return Err(Fault::syntax("Unknown item of STATUS")),
            };
            if !items.contains(&item) {
                items.push(item);
            }
            Ok(())
        })?;
        if items.is_empty() {
            return Err(Fault::syntax("STATUS needs an item"));
        }
        Ok(items)
    }
}

impl StatusArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let mailbox = MailboxName::parse(cursor)?;
        cursor.space()?;
        let items = StatusItem::parse_list(cursor)?;
        Ok(StatusArguments { mailbox, items })
    }
}
