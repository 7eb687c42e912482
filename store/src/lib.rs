//! Keeps messages and mailboxes on disk: buckets, journals, directory, records, mailbox cells. The formats are in `FORMAT.md`.
//!
//! Start at [`store::Store`]: it opens a store, takes new messages ([`draft`]), changes mailboxes through the one door
//! ([`txn`]), and reads messages ([`content`]). [`mailbox`] and [`view`] are what a session works on.
//!
//! Underneath: `disk` (the seam to the machine), `log` (the truth), `derived` (all that is made from it), `commit` (tickets), `locks`, `recovery`, `checkpoint`,
//! `state` (who has the store open), `page` (a day's files).

pub mod annotations;
pub mod backup;
pub mod catalog;
pub mod change;
pub mod check;
pub mod content;
pub mod counters;
pub mod damage;
pub mod disk;
pub mod draft;
pub mod error;
pub mod fuzz;
pub mod gc;
pub mod history;
pub mod ids;
pub mod in_hand;
mod inventory;
pub mod lists;
pub mod mailbox;
pub mod mapping;
pub mod quota;
pub mod reading;
pub mod rights;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod store;
pub mod transfer;
pub mod txn;
pub mod view;

mod cache;
mod checkpoint;
mod close;
mod commit;
mod commit_times;
mod compact;
mod date;
mod derived;
mod last_step;
mod locks;
mod log;
mod page;
mod pins;
mod prune;
mod recovery;
mod reserve;
mod seen;
mod state;
mod text;
mod unfinished;

pub use close::CloseReport;
pub use commit_times::{CommitObserver, CommitTime};
pub use compact::{Compaction, DiedRewriting};
pub use content::{ContentHasher, FileRange, RecordReader, StoredMessage};
pub use disk::{Disk, DiskFile};
pub use draft::{Content, Draft};
pub use error::{ChangeError, CommitError, StoreError};
pub use ids::{CellIndex, MailboxId, MessageId, ModSeq, PageId, Ticket, Uid, UserId};
pub use inventory::Inventory;
pub use mailbox::{Cell, Keywords, Mailbox};
pub use pins::Pin;
pub use prune::PruneReport;
pub use quota::{Limit, Limits, Quota, Usage};
pub use rights::{Right, Rights};
pub use store::{Background, OpenOptions, Store, WriterChoice};
pub use txn::Txn;
