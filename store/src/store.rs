//! The open store: what other crates hold. It ties the parts together and keeps the caches of open mailboxes and files.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::content::{FileRange, RecordReader, StoredMessage};
use crate::counters::Counters;
use crate::draft::Draft;
use crate::error::{CommitError, Result};
use crate::ids::{MailboxId, MessageId, Ticket, UserId};
use crate::lists::MailboxList;
use crate::mailbox::Mailbox;
use crate::txn::Txn;

/// Whose logs this process appends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterChoice {
    /// The handler of that index, below 64 ("writer" in `FORMAT.md`).
    Handler(u16),
    /// A tool: the lowest free number from 64 up.
    Tool,
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The store's folder. A store is made there when it is absent or empty.
    pub path: PathBuf,
    /// A folder on a file system that lives in memory; the locks and the list of writers are kept in it.
    pub runtime_dir: PathBuf,
    /// Whose logs to append to.
    pub writer: WriterChoice,
    /// How many mailboxes stay open when nobody uses them.
    pub open_mailboxes: usize,
    /// Milliseconds between checkpoints while something is written.
    pub checkpoint_interval_ms: u64,
    /// For tests: the boot id to believe in, instead of the kernel's.
    #[doc(hidden)]
    pub pretend_boot_id: Option<String>,
}

impl OpenOptions {
    /// The usual options.
    pub fn new(path: impl Into<PathBuf>, runtime_dir: impl Into<PathBuf>, writer: WriterChoice) -> OpenOptions {
        OpenOptions {
            path: path.into(),
            runtime_dir: runtime_dir.into(),
            writer,
            open_mailboxes: 256,
            checkpoint_interval_ms: 30_000,
            pretend_boot_id: None,
        }
    }
}

/// An open store. All methods may be called from any thread.
pub struct Store {}

/// Told of the highest durable ticket by the commit thread, after each group.
pub type DurableCallback = Box<dyn Fn(Ticket) + Send + Sync>;

impl Store {
    /// Opens a store, or makes an empty one. Whoever opens it first (no other process has it open) runs recovery and makes
    /// the locks anew.
    pub fn open(_options: OpenOptions) -> Result<Arc<Store>> {
        todo!()
    }

    /// Waits for all tickets, checkpoints, and gives up the writer number. Changes are refused afterwards. Dropping the last
    /// `Arc` does the same, but tells nobody of errors.
    pub fn close(&self) -> Result<()> {
        todo!()
    }

    /// This process's writer number.
    pub fn writer(&self) -> u16 {
        todo!()
    }

    /// The user of that name.
    pub fn find_user(&self, _name: &str) -> Result<Option<UserId>> {
        todo!()
    }

    /// The user of that name, made with an INBOX if there is none; durable when it returns.
    pub fn ensure_user(&self, _name: &str) -> Result<UserId> {
        todo!()
    }

    /// All users, in order of their numbers.
    pub fn users(&self) -> Result<Vec<(UserId, String)>> {
        todo!()
    }

    /// A user's name.
    pub fn user_name(&self, _user: UserId) -> Result<String> {
        todo!()
    }

    /// A user's mailboxes.
    pub fn mailbox_list(&self, _user: UserId) -> Result<Arc<MailboxList>> {
        todo!()
    }

    /// A mailbox, opened or from the cache.
    pub fn mailbox(&self, _mailbox: MailboxId) -> Result<Arc<Mailbox>> {
        todo!()
    }

    /// Starts taking a new message.
    pub fn draft(self: &Arc<Self>) -> Result<Draft> {
        todo!()
    }

    /// Starts a transaction.
    pub fn begin(&self) -> Txn<'_> {
        Txn::new(self)
    }

    /// The highest ticket whose change is durable.
    pub fn durable_ticket(&self) -> Ticket {
        todo!()
    }

    /// `Some` once `ticket`'s fate is known: durable, or lost because a sync failed. Never blocks.
    pub fn ticket_state(&self, _ticket: Ticket) -> Option<std::result::Result<(), CommitError>> {
        todo!()
    }

    /// Waits until the change of `ticket` is durable.
    pub fn wait(&self, _ticket: Ticket) -> std::result::Result<(), CommitError> {
        todo!()
    }

    /// Has `callback` called by the commit thread after each group, also after a failed one. It must not block.
    pub fn on_durable(&self, _callback: DurableCallback) {
        todo!()
    }

    /// Why nothing can be written any more, if a sync failed.
    pub fn failure(&self) -> Option<String> {
        todo!()
    }

    /// Where a message is.
    pub fn message(&self, _id: MessageId) -> Result<StoredMessage> {
        todo!()
    }

    /// Appends the octets `range` of a message to `into`, by one `pread` of exactly the range (clipped to the message).
    pub fn read_range(&self, _message: &StoredMessage, _range: Range<u64>, _into: &mut Vec<u8>) -> Result<()> {
        todo!()
    }

    /// The octets `range` of a message as a range of its bucket (clipped to the message).
    pub fn file_range(&self, _message: &StoredMessage, _range: Range<u64>) -> Result<FileRange> {
        todo!()
    }

    /// The encoded record of one message (`message` says how to read it).
    pub fn record(&self, _id: MessageId) -> Result<Vec<u8>> {
        todo!()
    }

    /// For reading the records of many messages, best in the order in which they came.
    pub fn records(&self) -> RecordReader<'_> {
        todo!()
    }

    /// What has been done so far.
    pub fn counters(&self) -> &Counters {
        todo!()
    }
}
