//! Keeps messages and mailboxes on disk: buckets, journals, directory, records, mailbox cells. The formats are in `FORMAT.md`.

pub mod change;
pub mod error;
pub mod ids;
