//! Keeps messages and mailboxes on disk: buckets, journals, directory, records, mailbox cells. The formats are in `FORMAT.md`.

pub mod catalog;
pub mod change;
pub mod content;
pub mod counters;
pub mod draft;
pub mod error;
pub mod ids;
pub mod lists;
pub mod mailbox;
pub mod mapping;
pub mod store;
pub mod txn;
pub mod view;

pub use content::{FileRange, RecordReader, StoredMessage};
pub use draft::{Content, Draft};
pub use error::{ChangeError, CommitError, StoreError};
pub use store::{OpenOptions, Store, WriterChoice};
pub use txn::Txn;
