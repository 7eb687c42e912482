//! What a check looks at in a cells file: stored summaries and counts beside those that the cells make.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::cells::Cells;
use super::layout::{self, CELLS_PER_BLOCK, header, header_tail};
use super::repair::summarize;
use super::writer::Counts;
use super::{Mailbox, tail, with_complement};
use crate::error::Result;
use crate::ids::CellIndex;

/// Differences of one file that are told.
const WRONG_MOST: usize = 100;

impl Mailbox {
    /// Summaries and counts of the header that are not those of the cells: where, what they should be, what they are. Exact under the
    /// mailbox's lock.
    pub(crate) fn wrong_counts(&self, cells: &Cells) -> Vec<(u64, String, String)> {
        let mut wrong = Vec::new();
        let mut counts = Counts::default();
        for block in 0..cells.blocks() {
            let Ok(made) = summarize(cells, block, &mut counts) else { return wrong };
            let offset = layout::summary_offset(block);
            let stored = self.mapping.region().copy_out(offset);
            let mut bytes = [0; crate::mapping::LINE_BYTES];
            for (place, word) in bytes.chunks_exact_mut(8).zip(made.words()) {
                place.copy_from_slice(&word.to_le_bytes());
            }
            if stored.is_ok_and(|stored| stored != bytes) && wrong.len() < WRONG_MOST {
                let last = (block + 1) * CELLS_PER_BLOCK - 1;
                let expected = format!("the summary of cells {} to {last}", block * CELLS_PER_BLOCK);
                wrong.push((offset, expected, "another".to_string()));
            }
        }
        let Ok(header) = self.header() else { return wrong };
        let told = [
            (header::LIVE, u64::from(counts.live), u64::from(header.live())),
            (header::UNSEEN, u64::from(counts.unseen), u64::from(header.unseen())),
            (header::DELETED, u64::from(counts.deleted), u64::from(header.deleted())),
            (header::SIZE, counts.size, header.size()),
        ];
        for (offset, made, stored) in told.into_iter().filter(|(_, made, stored)| made != stored) {
            wrong.push((offset as u64, made.to_string(), stored.to_string()));
        }
        wrong
    }

    /// Makes summaries and counts from the cells. Under the mailbox's lock.
    pub(crate) fn mend_counts(&self) -> Result<()> {
        let highest_modseq = self.highest_modseq()?;
        let uid_next = self.uid_next()?;
        self.recount()?;
        if !self.is_first_recent_uid_whole() {
            let word = with_complement(uid_next);
            tail(&self.mapping.region()).store_u64::<{ header_tail::FIRST_RECENT_UID }>(word, Relaxed);
        }
        self.writer()?.publish(highest_modseq, uid_next);
        Ok(())
    }

    /// Whether the mark of \Recent is what was stored.
    pub(crate) fn is_first_recent_uid_whole(&self) -> bool {
        let word = tail(&self.mapping.region()).load_u64::<{ header_tail::FIRST_RECENT_UID }>(Acquire);
        with_complement(word as u32) == word
    }

    /// Where that mark is in the file.
    pub(crate) fn first_recent_offset(&self) -> u64 {
        header_tail::LINE + header_tail::FIRST_RECENT_UID as u64
    }

    /// Octets of the file.
    pub(crate) fn octets(&self) -> u64 {
        self.mapping.len()
    }
}

impl Cells {
    /// Where a cell is in the file.
    pub(crate) fn offset_of(&self, index: CellIndex) -> u64 {
        layout::cell_offset(index.0)
    }
}
