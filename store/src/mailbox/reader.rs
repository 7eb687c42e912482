//! A mailbox as a reader who is not its owner sees it: the cells, with that reader's \Seen in place of the owner's.
//!
//! Invariant: a message that is there has the higher of two modseqs, that of its cell and that of the reader's mark, so that whoever asks for changes since a modseq learns of both.
//! What was expunged keeps that of its expunge.

use std::sync::Arc;

use super::cells::{BlockSummary, Cells, low_bits};
use super::layout::CELLS_PER_BLOCK;
use super::{Cell, CellFlags, Mailbox};
use crate::change::{Flags, SystemFlags};
use crate::error::Result;
use crate::ids::{CellIndex, ModSeq, Uid};
use crate::seen::{CachedSeen, SeenRuns};

impl Mailbox {
    /// The same mailbox as it is shown to the reader with these marks.
    pub(crate) fn read_by(&self, seen: Arc<CachedSeen>) -> Mailbox {
        Mailbox {
            id: self.id,
            uid_validity: self.uid_validity,
            mapping: Arc::clone(&self.mapping),
            seen: Some(seen),
            annotations: Arc::clone(&self.annotations),
        }
    }

    /// Whether there is a message with a UID from `first` to `last`, or may soon be.
    pub(crate) fn may_have_messages(&self, first: u32, last: u32) -> Result<bool> {
        if last >= self.uid_next()? {
            return Ok(true);
        }
        let cells = self.cells()?;
        let (from, upto) = (cells.count_up_to(first.saturating_sub(1))?, cells.count_up_to(last)?);
        if from == upto {
            return Ok(false);
        }
        for block in from / CELLS_PER_BLOCK..=(upto - 1) / CELLS_PER_BLOCK {
            let start = block * CELLS_PER_BLOCK;
            let wanted = low_bits(upto - start) & !low_bits(from.saturating_sub(start));
            if cells.block_summary(block)?.live & wanted != 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many messages the reader has not seen.
    pub(super) fn unseen_by_reader(&self) -> Result<u32> {
        let cells = self.cells()?;
        let mut unseen = 0;
        for block in 0..cells.blocks() {
            let summary = cells.block_summary(block)?;
            unseen += (summary.live & !summary.seen & low_bits(cells.count() - block * CELLS_PER_BLOCK))
                .count_ones();
        }
        Ok(unseen)
    }
}

impl Cells {
    /// The same cells as they are shown to a reader with these marks.
    pub(super) fn shown_to(mut self, marks: Arc<SeenRuns>) -> Cells {
        self.marks = Some(marks);
        self
    }

    /// What changes in a cell, as the reader is shown it.
    #[cold]
    pub(super) fn show_flags(marks: &SeenRuns, cell: &mut CellFlags) {
        show(marks, cell.uid, cell.expunged, &mut cell.flags, &mut cell.modseq);
    }

    /// A cell as the reader is shown it.
    #[cold]
    pub(super) fn show_cell(marks: &SeenRuns, cell: &mut Cell) {
        show(marks, cell.uid, cell.expunged, &mut cell.flags, &mut cell.modseq);
    }

    /// A summary as the reader is shown it.
    #[cold]
    pub(super) fn show_summary(
        &self,
        marks: &SeenRuns,
        block: u32,
        mut summary: BlockSummary,
    ) -> Result<BlockSummary> {
        summary.seen = 0;
        let start = block * CELLS_PER_BLOCK;
        let live = summary.live & low_bits(self.count().saturating_sub(start));
        if live == 0 {
            return Ok(summary);
        }
        let uid = |bit: u32| self.uid(CellIndex(start + bit));
        let (first, last) = (uid(live.trailing_zeros())?, uid(63 - live.leading_zeros())?);
        let mut runs = marks.overlapping(first.get(), last.get());
        match (runs.next(), runs.next()) {
            (None, _) => {}
            (Some((from, upto, mark)), None) if from <= first.get() && upto >= last.get() => {
                summary.seen = if mark.seen { live } else { 0 };
                summary.max_modseq = summary.max_modseq.max(mark.modseq);
            }
            _ => {
                let mut left = live;
                while left != 0 {
                    let bit = left.trailing_zeros();
                    left &= left - 1;
                    let Some(mark) = marks.at(uid(bit)?) else { continue };
                    summary.seen |= u64::from(mark.seen) << bit;
                    summary.max_modseq = summary.max_modseq.max(mark.modseq);
                }
            }
        }
        Ok(summary)
    }
}

/// Puts the reader's mark in place of the owner's.
pub(crate) fn show(marks: &SeenRuns, uid: Uid, expunged: bool, flags: &mut Flags, modseq: &mut ModSeq) {
    flags.system.0 &= !SystemFlags::SEEN.0;
    let Some(mark) = marks.at(uid) else { return };
    if mark.seen {
        flags.system.0 |= SystemFlags::SEEN.0;
    }
    if !expunged {
        *modseq = (*modseq).max(mark.modseq);
    }
}
