//! Users and mailboxes on their way from one store to another, with all their numbers: as of one moment (`snapshot`), in one file (`write`, `read`; drawn in
//! `FORMAT.md`, "Export"). What becomes of them on the other side is for whoever reads: `Txn::adopt_user` and its like, or an ordinary delivery.
//!
//! Called by `lode export --format lode`, `lode import --format lode`, `lode restore`.

mod format;
mod read;
mod snapshot;
#[cfg(test)]
mod tests;
mod write;

pub use read::{ExportItem, ExportReader, ReadError};
pub use snapshot::{MailboxInSnapshot, SnapshotCells, UserSnapshot};
pub use write::{ExportSums, ExportWriter};
