//! Making a cells file anew without the tombstones that nobody needs any more. The new file is made beside the old one, durable, and then
//! takes its name; the old one is never changed but for two flags in its header, so whoever still reads it sees a whole, old mailbox.
//!
//! - *being rewritten*: set before anybody is asked whether the mailbox is pinned (`pins.rs`). Left behind by a rewriter that died, it only says
//!   that this may be an old file: who meets it opens the mailbox by its name again.
//! - *replaced*: another file has the name.
//!
//! Who rewrites has the mailbox's lock from before the first flag until the last. The order, and what is left if it dies: `FORMAT.md`,
//! "Rewriting a mailbox".

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::fence;

use super::cells::Cells;
use super::layout::{self, header, header_tail};
use super::published::seal;
use super::{Mailbox, change_flags, head, tail};
use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::ids::{CellIndex, ModSeq, Uid};
use crate::mapping::{LINE_BYTES, Mapping, Region};

/// A finished cells file that has not taken its mailbox's name yet.
pub(crate) struct Rewritten {
    temporary: PathBuf,
    /// Tombstones that it has no more.
    pub(crate) dropped: u32,
}

impl Mailbox {
    /// Whether the file that this maps may be another than the mailbox's: open it by its name again.
    pub(crate) fn is_perhaps_replaced(&self) -> bool {
        let flags = tail(&self.mapping.region()).load_u32::<{ header_tail::FLAGS }>(Acquire);
        flags & (header_tail::FLAG_BEING_REWRITTEN | header_tail::FLAG_REPLACED) != 0
    }

    /// Expunges up to this modseq may be forgotten: whoever wants to know what was expunged since an earlier one must be told all that is gone.
    pub fn expunge_floor(&self) -> Result<ModSeq> {
        self.header().map(|header| header.expunge_floor())
    }

    /// Expunges up to `modseq` may be forgotten. Under the mailbox's lock, in a file that nobody knows yet.
    pub(crate) fn raise_expunge_floor(&self, modseq: ModSeq) {
        let region = self.mapping.region();
        let line = tail(&region);
        let floor = line.load_u64::<{ header_tail::EXPUNGE_FLOOR }>(Relaxed).max(modseq.0);
        line.store_u64::<{ header_tail::EXPUNGE_FLOOR }>(floor, Relaxed);
        seal(&region);
    }

    /// The file has all messages that ever come under UIDs up to this. Under the mailbox's lock, in a file that nobody knows yet.
    pub(crate) fn raise_settled_uid(&self, uid: u32) {
        let region = self.mapping.region();
        let line = tail(&region);
        let settled = line.load_u32::<{ header_tail::SETTLED_UID }>(Relaxed).max(uid);
        line.store_u32::<{ header_tail::SETTLED_UID }>(settled, Relaxed);
        seal(&region);
    }

    /// When the file was last rewritten, or made from the logs, it had all messages that ever come under UIDs up to this, but those whose tombstones were dropped.
    pub(crate) fn settled_uid(&self) -> Result<u32> {
        self.header().map(|header| header.settled_uid())
    }

    /// Tombstones that hold no reference to their message any more: what rewriting the file drops.
    pub fn released_tombstones(&self) -> Result<u32> {
        let header = self.header()?;
        Ok(header.cells_used().saturating_sub(header.live()).saturating_sub(header.unreleased()))
    }

    /// Says that the file is being rewritten. Under the mailbox's lock; ask for pins next.
    pub(crate) fn begin_rewriting(&self) {
        self.change_flags(|flags| flags | header_tail::FLAG_BEING_REWRITTEN);
        fence(SeqCst);
    }

    /// Says of the file at `path`, whatever is wrong with it, that another takes its place. Under the mailbox's lock; ask for pins next.
    pub(crate) fn begin_replacing(disk: &Disk, path: &std::path::Path) -> Result<()> {
        let mapping = match Mapping::open(disk, path) {
            Err(StoreError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => return Ok(()),
            mapping => mapping?,
        };
        if mapping.len() >= layout::EMPTY_FILE_BYTES {
            let region = mapping.region();
            change_flags(&region, |flags| flags | header_tail::FLAG_BEING_REWRITTEN);
        }
        fence(SeqCst);
        Ok(())
    }

    /// The file is not being rewritten and is the mailbox's: the caller has the lock, and has just found it by its name. (It may say that it was
    /// replaced if that was lost in a power cut.)
    pub(crate) fn end_rewriting(&self) {
        let both = header_tail::FLAG_BEING_REWRITTEN | header_tail::FLAG_REPLACED;
        self.change_flags(|flags| flags & !both);
    }

    /// Another file has the mailbox's name.
    fn mark_replaced(&self) {
        self.change_flags(|flags| flags | header_tail::FLAG_REPLACED);
    }

    fn change_flags(&self, to: impl FnOnce(u32) -> u32) {
        change_flags(&self.mapping.region(), to);
    }

    /// Makes the new file, durable, beside this one. Under the mailbox's lock, after `begin_rewriting`, while nobody relies on the cells.
    ///
    /// Errors: `Corrupt` if a cell is damaged, for what is wrong with the mailbox is to be found in this file; `Io`.
    pub(crate) fn rewrite(&self, disk: &Disk) -> Result<Rewritten> {
        let cells = self.cells()?;
        let mut kept = Vec::with_capacity(cells.count() as usize);
        let mut floor = self.expunge_floor()?;
        for index in (0..cells.count()).map(CellIndex) {
            let cell = cells.cell(index)?;
            if cell.expunged && cell.released {
                floor = floor.max(cell.modseq);
            } else {
                kept.push(index);
            }
        }
        // Only one may be at it: the lock says so. What is there was left by one that died.
        let temporary = self.path().with_extension("rewritten");
        match disk.remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::io(&temporary, "remove")(error));
            }
            _ => (),
        }
        let made = self.make_with(disk, &temporary, &cells, &kept, floor);
        if let Err(error) = made {
            let _ = disk.remove_file(&temporary);
            return Err(error);
        }
        Ok(Rewritten { temporary, dropped: cells.count() - kept.len() as u32 })
    }

    fn make_with(
        &self,
        disk: &Disk,
        path: &std::path::Path,
        cells: &Cells,
        kept: &[CellIndex],
        floor: ModSeq,
    ) -> Result<()> {
        let old = self.mapping.region();
        let count = kept.len() as u32;
        let mapping = Mapping::create(disk, path, layout::bytes_for(count))?;
        let region = mapping.region();
        for offset in (layout::KEYWORDS_OFFSET..layout::EMPTY_FILE_BYTES).step_by(LINE_BYTES) {
            copy_line(&old, offset, &region, offset)?;
        }
        for (place, index) in (0..count).zip(kept) {
            copy_line(cells.region(), layout::cell_offset(index.0), &region, layout::cell_offset(place))?;
        }
        // Numbers that are the same with and without tombstones are taken over as they are.
        for offset in [0, header_tail::LINE] {
            copy_line(&old, offset, &region, offset)?;
        }
        let (line, second) = (head(&region), tail(&region));
        line.store_u32::<{ header::CELLS_USED }>(count, Relaxed);
        second.store_u64::<{ header_tail::EXPUNGE_FLOOR }>(floor.0, Relaxed);
        let last = cells.count().checked_sub(1).map(|last| cells.uid(CellIndex(last))).transpose()?;
        let settled = last.map_or(0, Uid::get).max(self.settled_uid()?);
        second.store_u32::<{ header_tail::SETTLED_UID }>(settled, Relaxed);
        let ended = header_tail::FLAG_BEING_REWRITTEN | header_tail::FLAG_REPLACED;
        change_flags(&region, |flags| flags & !ended);
        seal(&region);
        drop((old, region));
        let made = Mailbox::of(disk, self.path(), self.id, self.uid_validity, mapping);
        made.recount()?;
        made.mapping.sync()
    }

    /// Gives the new file the mailbox's name.
    pub(crate) fn put_in_place(&self, disk: &Disk, made: &Rewritten) -> Result<()> {
        let renamed = disk.rename(&made.temporary, self.path());
        renamed.map_err(StoreError::io(self.path(), "put in place"))?;
        self.mark_replaced();
        Ok(())
    }
}

impl Rewritten {
    /// For tests: what one has done that dies before the old file says that it was replaced.
    pub(crate) fn put_in_place_for_tests(&self, disk: &Disk, path: &std::path::Path) -> Result<()> {
        disk.rename(&self.temporary, path).map_err(StoreError::io(path, "put in place"))
    }
}

fn copy_line(from: &Region, from_offset: u64, to: &Region, to_offset: u64) -> Result<()> {
    to.copy_in(to_offset, &from.copy_out(from_offset)?)
}
