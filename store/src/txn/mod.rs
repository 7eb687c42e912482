//! The one door for changes. A transaction gathers operations; `commit` does them under the locks of all mailboxes they
//! touch, in one log frame, in the order that `FORMAT.md` argues ("Order of a change").

mod outcome;

pub use outcome::{
    Appended, Committed, Copied, Delivery, FlagChange, FlagOperation, FlagsChanged, Outcome, Refused,
};

use crate::change::SpecialUse;
use crate::draft::Content;
use crate::error::ChangeError;
use crate::ids::{CellIndex, MailboxId, UserId};
use crate::store::Store;

/// Operations that are done together or not at all. Each sees the mailboxes as they were before the transaction.
pub struct Txn<'store> {
    #[expect(dead_code)]
    store: &'store Store,
}

impl<'store> Txn<'store> {
    pub(crate) fn new(store: &'store Store) -> Txn<'store> {
        Txn { store }
    }

    /// Puts a message into mailboxes: its bytes are written once, whatever their number. At most one a transaction.
    pub fn deliver(&mut self, _content: Content, _to: Vec<Delivery>) {}

    /// Puts the messages of `cells` also into `to`, with their flags, keywords and dates. No message byte is read or written.
    pub fn copy(&mut self, _from: MailboxId, _cells: &[CellIndex], _to: MailboxId) {}

    /// `copy`, and expunges them from `from` (RFC 6851).
    pub fn move_messages(&mut self, _from: MailboxId, _cells: &[CellIndex], _to: MailboxId) {}

    /// Changes flags.
    pub fn store_flags(&mut self, _mailbox: MailboxId, _cells: &[CellIndex], _change: FlagChange) {}

    /// Expunges messages, whether or not they are marked \Deleted.
    pub fn expunge(&mut self, _mailbox: MailboxId, _cells: &[CellIndex]) {}

    /// Makes a mailbox, and placeholders for the names above it that are missing.
    pub fn create_mailbox(&mut self, _user: UserId, _name: &str, _special_use: Option<SpecialUse>) {}

    /// Gives the mailbox and those below it another name (RFC 3501, 6.3.5).
    pub fn rename_mailbox(&mut self, _user: UserId, _from: &str, _to: &str) {}

    /// Deletes the mailbox of that name (RFC 3501, 6.3.4).
    pub fn delete_mailbox(&mut self, _user: UserId, _name: &str) {}

    /// Subscribes to a name, or no longer.
    pub fn subscribe(&mut self, _user: UserId, _name: &str, _subscribed: bool) {}

    /// Says what a mailbox is for.
    pub fn special_use(&mut self, _user: UserId, _name: &str, _special_use: Option<SpecialUse>) {}

    /// Does it all. When this returns, every process sees the changes; they last once the ticket is durable. An error means
    /// that nothing was changed.
    pub fn commit(self) -> Result<Committed, ChangeError> {
        todo!()
    }
}
