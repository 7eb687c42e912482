//! The numbers by which users, mailboxes, messages and changes are known. Each is a type of its own, so that one cannot
//! pass for another.

use std::fmt;
use std::num::NonZeroU32;

/// A user: the row number in the catalog. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

/// A mailbox: its owner and its number in the owner's list. A number is never given out twice to one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId {
    /// The owner.
    pub user: UserId,
    /// The number in the owner's list, from 1 (INBOX).
    pub number: u32,
}

impl MailboxId {
    /// What stands for the list of a user's mailboxes where changes are announced: no mailbox has number 0.
    pub fn list_of(user: UserId) -> MailboxId {
        MailboxId { user, number: 0 }
    }

    /// One number for the mailbox, unique in the store: the key of its row in the table of sessions.
    pub fn key(self) -> u64 {
        u64::from(self.user.0) << 32 | u64::from(self.number)
    }
}

/// A message's unique identifier within one mailbox (RFC 3501, 2.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub NonZeroU32);

impl Uid {
    /// The identifier `value`, or `None` for 0, which no message has.
    pub fn new(value: u32) -> Option<Uid> {
        NonZeroU32::new(value).map(Uid)
    }

    /// The number itself.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a change within one mailbox; it only grows (RFC 7162).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModSeq(pub u64);

/// The calendar day (UTC) on which Lode stored a message: days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u32);

/// A message in the store, whatever mailboxes hold it: its directory cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The page that holds it.
    pub page: PageId,
    /// The cell's index in the page's directory.
    pub index: u32,
}

/// The place of a cell in a mailbox, tombstones counted, from 0. It does not move while a mailbox file lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellIndex(pub u32);

/// A place in the order of this process's commits. A change is durable once its ticket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);
