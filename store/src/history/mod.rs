//! What was: messages that were expunged, mailboxes that were deleted, and mailboxes as they were at some time.
//!
//! An expunged message stays in its mailbox as a tombstone that holds its content until it is released, which the history time of the store
//! delays; a deleted mailbox likewise. So they can be brought back as new messages: `bring_back`. Which flags, names and messages there were
//! at some time is in the logs, whose frames say when they were made: `past`.
//!
//! Nothing here is on the way of a client's command; it reads logs from their beginnings, one frame after the other, in memory only what is about the one
//! mailbox or user.

mod bring_back;
mod gather;
mod past;
mod scan;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::change::{SystemFlags, ZonedTime};
use crate::error::{ChangeError, StoreError};
use crate::ids::{MailboxId, MessageId, Ticket, Uid};

/// A mailbox as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastMailbox {
    /// Which one: under another name now, perhaps, or deleted.
    pub mailbox: MailboxId,
    /// The name it had.
    pub name: String,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// The time of which this is, seconds since 1970: all changes of that second are in it.
    pub seconds: u32,
    /// Its messages, by UID.
    pub messages: Vec<PastMessage>,
    /// Messages that were there and of which nothing else is known any more: they were expunged later, and their space was given back.
    pub unknown: Vec<Uid>,
}

/// A message as it was in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastMessage {
    /// Its UID there.
    pub uid: Uid,
    /// Its system flags.
    pub flags: SystemFlags,
    /// Its keywords, by name.
    pub keywords: Vec<String>,
    /// INTERNALDATE.
    pub internal_date: ZonedTime,
    /// When it was put into the mailbox, seconds since 1970.
    pub save_seconds: u32,
    /// RFC822.SIZE in octets.
    pub size: u32,
    /// The message.
    pub message: MessageId,
}

/// A mailbox that was deleted and can be brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedMailbox {
    /// Which one.
    pub mailbox: MailboxId,
    /// The name it had last; `None` if the logs do not say it any more.
    pub name: Option<String>,
    /// When it was deleted, seconds since 1970.
    pub deleted_at: u32,
    /// Messages that were in it then.
    pub messages: u32,
    /// RFC822.SIZE of these together.
    pub octets: u64,
}

/// Which messages are to be brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that were expunged and are in no mailbox of the user now; of a deleted mailbox, all that were in it.
    All,
    /// Of these, those that were expunged at that time or later, seconds since 1970.
    Since(u32),
    /// Those that had these UIDs.
    Uids(Vec<Uid>),
}

/// What became of messages that were to be brought back. UIDs are those that they had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackAgain {
    /// They are back; with the UID that each got.
    pub back: Vec<(Uid, Uid)>,
    /// Their content is not held any more.
    pub gone: Vec<Uid>,
    /// Their content is damaged.
    pub damaged: Vec<Uid>,
    /// They are in the mailbox already.
    pub there: Vec<Uid>,
    /// They are in another mailbox of the user: moved there, perhaps.
    pub elsewhere: Vec<Uid>,
    /// Once this is durable, all that are back are.
    pub ticket: Ticket,
}

/// Why a mailbox cannot be shown as it was.
#[derive(Debug)]
pub enum HistoryError {
    /// There was no mailbox of that name then.
    NoSuchMailbox,
    /// The name held no messages then, only names below it.
    Placeholder,
    /// What happened before that time, seconds since 1970, is not in the logs any more.
    Forgotten {
        /// The first time of which something can be said.
        before: u32,
    },
    /// The logs cannot be read.
    Store(StoreError),
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HistoryError::NoSuchMailbox => f.write_str("there was no such mailbox then"),
            HistoryError::Placeholder => f.write_str("the name held no messages then, only names below it"),
            HistoryError::Forgotten { .. } => f.write_str("the logs do not go back so far any more"),
            HistoryError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HistoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HistoryError::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for HistoryError {
    fn from(error: StoreError) -> HistoryError {
        HistoryError::Store(error)
    }
}

/// What bringing back returns: like a transaction, it changes nothing when it is refused, but for what came back before.
type Outcome<T> = std::result::Result<T, ChangeError>;
