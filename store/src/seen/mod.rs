//! What readers of other users' mailboxes have seen. The owner's \Seen is in the cells; everybody else's is in a file of their own beside them, one for each reader that ever marked a
//! message there.
//!
//! Invariants:
//! - Changes are logged with a modseq of the mailbox, and made durable before the view shows them. The file is replaced before the mailbox's `highest_modseq` is published, so whoever
//!   has read that sees all marks up to it.
//! - The files are a view: they can be made again from the logs, in whatever order changes come.
//!
//! `runs` is what a file holds, `file` keeps it on disk. `derived.rs` applies changes, `mailbox/reader.rs` shows cells with a reader's marks.

pub(crate) mod file;
pub(crate) mod runs;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, UserId};
use crate::locks::LockKey;
use crate::mailbox::Mailbox;
use crate::store::Store;

pub(crate) use file::{CachedSeen, Key};
pub(crate) use runs::{Mark, SeenRuns};

/// The readers with files beside these cells, ascending.
pub(crate) fn readers(disk: &Disk, cells: &Path) -> Result<Vec<UserId>> {
    let Some(folder) = cells.parent() else { return Ok(Vec::new()) };
    let entries = match disk.read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(StoreError::io(folder, "read"))?,
    };
    let mut readers: Vec<UserId> = entries.iter().filter_map(|entry| file::reader_of(&entry.name)).collect();
    readers.sort_unstable();
    Ok(readers)
}

impl Store {
    /// Removes what readers have seen who were deleted. Nobody has such a reader's number again.
    pub(crate) fn forget_deleted_readers(&self, mailbox: MailboxId, cells: &Path) -> Result<()> {
        let disk = &self.derived.disk;
        for reader in readers(disk, cells)? {
            if self.derived.catalog.name(reader)?.is_some() {
                continue;
            }
            let _held = self.take(&[LockKey::Mailbox(mailbox)])?;
            let path = file::path(cells, reader);
            match disk.remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(StoreError::io(&path, "remove")(error));
                }
                _ => (),
            }
        }
        Ok(())
    }

    /// A mailbox as a user sees it: with \Seen as that user has it, where the mailbox is another user's.
    ///
    /// Errors: as [`Store::mailbox`].
    pub fn mailbox_as(&self, mailbox: MailboxId, user: UserId) -> Result<Arc<Mailbox>> {
        let open = self.mailbox(mailbox)?;
        if user == mailbox.user {
            return Ok(open);
        }
        Ok(Arc::new(open.read_by(self.derived.seen_by(mailbox, user)?)))
    }
}
