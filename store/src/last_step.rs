//! The last step of a change: its frame is in the log, so it will happen, and whoever asked for it is to be told so. Putting it into the views must then not
//! fail because the process has no descriptor left, or no memory to map a file, or because the disk is full.
//!
//! Invariants:
//! - No frame is appended unless what is kept for its last step is there ([`LastStep::prepare`]): a change that is refused for want of it changes nothing.
//! - Descriptors and space that are kept are used for last steps alone, and for finishing what others left.
//!
//! `txn` calls it, and whoever repairs what an earlier owner of a lock has left (`store.rs`). `FORMAT.md` argues it: "Shortage".

use std::io;
use std::path::PathBuf;

use crate::change::Change;
use crate::derived::list_of;
use crate::disk::Disk;
use crate::disk::spare::Spare;
use crate::error::{Result, StoreError};
use crate::reserve::Reserve;

/// What last steps have for themselves.
#[derive(Debug)]
pub(crate) struct LastStep {
    disk: Disk,
    /// The store's folder.
    folder: PathBuf,
    spare: Spare,
}

impl LastStep {
    /// For the store in `folder`.
    pub(crate) fn new(disk: &Disk, folder: PathBuf) -> LastStep {
        LastStep { disk: disk.clone(), folder, spare: Spare::new() }
    }

    /// Before the frame of `changes` is appended: what its last step may need is there.
    ///
    /// Errors: `Io`, a shortage or a full disk.
    pub(crate) fn prepare(&self, changes: &[Change]) -> Result<()> {
        self.spare.make_whole().map_err(StoreError::io(&self.folder, "keep descriptors for"))?;
        // Everything else has its space already.
        if changes.iter().any(makes_files) && !Reserve::Views.make(&self.disk, &self.folder) {
            let full = io::ErrorKind::StorageFull.into();
            return Err(StoreError::io(&self.folder.join(Reserve::Views.file_name()), "make")(full));
        }
        Ok(())
    }

    /// Does `work`, and does it again with what is kept, if it is short of something. So it must be such that nothing is wrong with doing it twice.
    pub(crate) fn finish<T>(&self, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        self.with_space(|| match work() {
            Err(error) if error.is_shortage() => self.spare.spend(&mut work),
            done => done,
        })
    }

    /// Does `work`, and does it again with the space that is kept, if the disk is full.
    pub(crate) fn with_space<T>(&self, work: impl FnMut() -> Result<T>) -> Result<T> {
        Reserve::Views.with(&self.disk, &self.folder, work)
    }
}

/// Whether a change is put into the views by making a file, or by one that grows. (Cells of mailboxes and directories have grown before the frame is appended.)
fn makes_files(change: &Change) -> bool {
    let makes =
        matches!(change, Change::UserCreate { .. } | Change::Seen { .. } | Change::Annotations { .. });
    makes || list_of(change).is_some()
}
