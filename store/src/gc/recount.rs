//! Counts anew how many mailbox cells hold each message, on a running store: for pages whose counts may be too low (after a power cut), or on
//! demand.
//!
//! *Touched* is cleared of all cells first. Then each mailbox is gone through under its lock. Counts change under the lock of the
//! mailbox whose cell changes, together with it; so for a message that nobody touches from the first to the last, what was counted is
//! what is there. Those that were touched are counted once more. What is still touched after some rounds gets what was counted
//! *added*: too high for certain, so that it is not freed before the next recount.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Result, StoreError};
use crate::gc::walk::{Found, open_held};
use crate::ids::{CellIndex, PageId};
use crate::locks::LockKey;
use crate::page::directory::{CellState, Directory};
use crate::store::Store;

/// So many cells are counted in one go: 64 MiB of numbers.
pub(super) const CELLS_MOST: usize = 16 << 20;
const ROUNDS_MOST: u32 = 4;

/// Counting under way.
pub(super) struct Recount {
    pages: BTreeMap<PageId, PageCount>,
    round: u32,
    /// Cells whose counts were wrong.
    pub(super) corrected: u64,
}

struct PageCount {
    directory: Arc<Directory>,
    /// Cells that are not done; `None`: all.
    pending: Option<Vec<u32>>,
    /// By index.
    counted: Vec<u32>,
}

impl PageCount {
    fn pending(&self) -> Vec<u32> {
        self.pending.clone().unwrap_or_else(|| (0..self.counted.len() as u32).collect())
    }
}

/// How a round ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// All is counted; so many pages.
    Done(u64),
    /// Some messages were touched: all mailboxes must be counted once more.
    Again,
}

impl Recount {
    /// Begins with these pages.
    pub(super) fn begin(store: &Store, pages: &[PageId]) -> Result<Recount> {
        let mut recount = Recount { pages: BTreeMap::new(), round: 0, corrected: 0 };
        for page in pages {
            let directory = store.pages.directory(*page)?;
            // A cell that is given out from now on is counted right from its beginning.
            let counted = vec![0; directory.given_out()? as usize];
            recount.pages.insert(*page, PageCount { directory, pending: None, counted });
        }
        recount.begin_round()?;
        Ok(recount)
    }

    fn begin_round(&mut self) -> Result<()> {
        self.round += 1;
        for page in self.pages.values_mut() {
            for index in page.pending() {
                page.directory.begin_recount(index)?;
                page.counted[index as usize] = 0;
            }
        }
        Ok(())
    }

    /// Counts what one mailbox holds.
    ///
    /// Errors: `Corrupt` if a cell cannot be read. Whose message it holds is not known then, and no count is.
    pub(super) fn count(&mut self, store: &Store, found: &Found) -> Result<()> {
        let held = store.take(&[LockKey::Mailbox(found.id)])?;
        let Some(open) = open_held(store, found, &held)? else {
            return Ok(());
        };
        if open.is_released()? {
            return Ok(());
        }
        if open.has_lost_cells() && !found.user_is_deleted && !open.is_deleted()? {
            return Err(StoreError::corrupt(&found.cells, 0, "cells were lost, and are not made again yet"));
        }
        let cells = open.cells()?;
        for index in (0..cells.count()).map(CellIndex) {
            let cell = cells.cell(index)?;
            if cell.holds_reference()
                && let Some(page) = self.pages.get_mut(&cell.message.page)
                && let Some(counted) = page.counted.get_mut(cell.message.index as usize)
            {
                *counted = counted.saturating_add(1);
            }
        }
        Ok(())
    }

    /// All mailboxes were counted.
    pub(super) fn end_round(&mut self, store: &Store) -> Result<Round> {
        let mut left = 0;
        for page in self.pages.values_mut() {
            let mut touched = Vec::new();
            for index in page.pending() {
                let counted = page.counted[index as usize];
                let before = page.directory.cell_use(index)?;
                if !page.directory.end_recount(index, counted)? {
                    touched.push(index);
                } else if before.state != CellState::Freed && before.references != counted {
                    self.corrected += 1;
                }
            }
            left += touched.len();
            page.pending = Some(touched);
        }
        if left > 0 && self.round < ROUNDS_MOST {
            self.begin_round()?;
            return Ok(Round::Again);
        }
        for page in self.pages.values() {
            for index in page.pending() {
                // One that was freed meanwhile needs none.
                let _ = page.directory.add_references(index, page.counted[index as usize]);
            }
            page.directory.set_recounted_epoch(store.derived.epoch)?;
        }
        Ok(Round::Done(self.pages.len() as u64))
    }
}
