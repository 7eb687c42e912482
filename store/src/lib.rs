//! Keeps messages and mailboxes on disk: buckets, journals, directory, records, mailbox cells. The formats are in `FORMAT.md`.

pub mod change;
pub mod counters;
pub mod error;
pub mod ids;
pub mod catalog;
pub mod lists;
pub mod mailbox;
pub mod mapping;
pub mod view;
