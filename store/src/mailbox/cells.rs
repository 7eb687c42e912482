//! Reading cells without a lock, while other processes write.
//!
//! What may be relied on:
//! - A cell below the count of a [`Cells`] is whole: the count was stored (release) after it. The part under its checksum
//!   never changes again.
//! - Flags are stored before their modseq (release), and read after it (acquire). So whoever reads modseq *m* sees the flags
//!   of *m* or newer ones, and newer ones come with a modseq that is told later. No change is lost.
//! - A tombstone's modseq and time are stored before its bit (release), and are read after the bit was seen (acquire). So a cell
//!   never looks expunged at an older modseq or time than that of its expunge.
//! - In a summary, `max_expunge_modseq` is stored before the bit in `live` goes (release), and is read after `live` (acquire).
//!   So if it says that no expunge is newer than *E*, then `live` lacks exactly the cells expunged up to *E*.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::layout::{self, CELLS_PER_BLOCK, cell, summary};
use super::{Cell, CellFlags};
use crate::change::ZonedTime;
use crate::error::{Result, StoreError};
use crate::ids::{CellIndex, MessageId, ModSeq, PageId, Uid};
use crate::mapping::{Line, Region};

/// How many steps of a search for a UID go by proportion. Then it bisects: UIDs may lie unevenly.
const GUESSES: u32 = 4;

/// A fixed look at the cells: one mapping, so many cells. What a scan works on; flags in it still change under writers.
#[derive(Clone, Debug)]
pub struct Cells {
    region: Arc<Region>,
    count: u32,
}

/// A block's summary, copied out. Bit *i* of each bitmap tells of cell *i* of the block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockSummary {
    /// The highest modseq in the block.
    pub max_modseq: ModSeq,
    /// The highest modseq of an expunge in the block.
    pub max_expunge_modseq: ModSeq,
    /// Cells that are there and not expunged.
    pub live: u64,
    /// Live cells with \Seen.
    pub seen: u64,
    /// Live cells with \Answered.
    pub answered: u64,
    /// Live cells with \Flagged.
    pub flagged: u64,
    /// Live cells with \Deleted.
    pub deleted: u64,
    /// Live cells with \Draft.
    pub draft: u64,
}

impl Cells {
    /// `region` holds `count` cells; the caller made sure of that.
    pub(super) fn new(region: Arc<Region>, count: u32) -> Cells {
        Cells { region, count }
    }

    /// What they are in.
    pub(super) fn region(&self) -> &Region {
        &self.region
    }

    /// Cells, tombstones among them.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The UID of a cell; `None` beyond the last cell.
    #[inline]
    pub fn uid(&self, index: CellIndex) -> Option<Uid> {
        Uid::new(self.line(index)?.load_u32::<{ cell::UID }>(Relaxed))
    }

    /// What changes in a cell, and its UID; `None` beyond the last cell. Reads no more than the cell's first half.
    #[inline]
    pub fn flags(&self, index: CellIndex) -> Option<CellFlags> {
        let line = self.line(index)?;
        let (word, keywords, modseq) = read_flags(line);
        Some(CellFlags {
            uid: Uid::new(line.load_u32::<{ cell::UID }>(Relaxed))?,
            flags: layout::flags_of(word, keywords),
            modseq,
            expunged: word & cell::EXPUNGED != 0,
        })
    }

    /// The whole cell, its checksum verified.
    ///
    /// Errors: `NotFound` beyond the last cell, `Corrupt`.
    pub fn cell(&self, index: CellIndex) -> Result<Cell> {
        let line = self.line(index).ok_or(StoreError::NotFound("message"))?;
        let (word, keywords, modseq) = read_flags(line);
        let bytes = line.copy_out();
        let damaged = |what| StoreError::corrupt(self.region.path(), layout::cell_offset(index.0), what);
        if layout::cell_crc(&bytes) != layout::u32_at(&bytes, cell::CRC) {
            return Err(damaged("the checksum of a mailbox cell is wrong"));
        }
        let packed = |offset| ZonedTime::unpack(layout::u64_at(&bytes, offset));
        Ok(Cell {
            uid: Uid::new(layout::u32_at(&bytes, cell::UID)).ok_or_else(|| damaged("a cell has no UID"))?,
            flags: layout::flags_of(word, keywords),
            expunged: word & cell::EXPUNGED != 0,
            released: word & cell::RELEASED != 0,
            modseq,
            internal_date: packed(cell::INTERNAL_DATE).ok_or_else(|| damaged("a cell has no date"))?,
            sent_date: packed(cell::SENT_DATE),
            save_seconds: layout::u32_at(&bytes, cell::SAVE_DATE),
            size: layout::u32_at(&bytes, cell::SIZE),
            expunged_at: layout::u32_at(&bytes, cell::EXPUNGED_AT),
            message: MessageId {
                page: PageId(layout::u32_at(&bytes, cell::PAGE)),
                index: layout::u32_at(&bytes, cell::DIRECTORY),
            },
        })
    }

    /// The cell of `uid` (perhaps a tombstone), or the place of the first cell with a higher one.
    pub fn find_uid(&self, uid: Uid) -> std::result::Result<CellIndex, CellIndex> {
        let wanted = uid.get();
        let at = |index: u32| self.uid(CellIndex(index)).map_or(0, Uid::get);
        let Some(last_index) = self.count.checked_sub(1) else { return Err(CellIndex(0)) };
        let (first, last) = (at(0), at(last_index));
        if wanted < first {
            return Err(CellIndex(0));
        }
        if wanted > last {
            return Err(CellIndex(self.count));
        }
        // UIDs strictly ascend, so a cell is no further from either end than its UID is from the UID there. Where no UID is
        // left out, this finds the cell at once; elsewhere the first guesses go by proportion.
        let mut low = last_index.saturating_sub(last - wanted);
        let mut high = last_index.min(wanted - first);
        let (mut below, mut above) = ((0, first), (last_index, last));
        let mut guesses = 0;
        while low <= high {
            let middle = if guesses < GUESSES {
                let share = u64::from(wanted.saturating_sub(below.1)) * u64::from(above.0 - below.0);
                let place = share / u64::from(above.1.saturating_sub(below.1)).max(1);
                u32::try_from(u64::from(below.0) + place).unwrap_or(high).clamp(low, high)
            } else {
                low + (high - low) / 2
            };
            guesses += 1;
            let found = at(middle);
            match found.cmp(&wanted) {
                std::cmp::Ordering::Equal => return Ok(CellIndex(middle)),
                std::cmp::Ordering::Less => {
                    low = middle + 1;
                    below = (middle, found);
                }
                std::cmp::Ordering::Greater if middle == 0 => break,
                std::cmp::Ordering::Greater => {
                    high = middle - 1;
                    above = (middle, found);
                }
            }
        }
        Err(CellIndex(low))
    }

    /// The index of the first cell with a UID above `uid`, which is the number of cells up to `uid`.
    pub fn count_up_to(&self, uid: u32) -> u32 {
        match Uid::new(uid).map(|uid| self.find_uid(uid)) {
            None => 0,
            Some(Ok(index)) => index.0 + 1,
            Some(Err(index)) => index.0,
        }
    }

    /// Blocks with at least one cell.
    pub fn blocks(&self) -> u32 {
        self.count.div_ceil(CELLS_PER_BLOCK)
    }

    /// Summary of a block of 64 cells; all zero beyond the last. It may tell of cells that are just being added.
    pub fn block_summary(&self, block: u32) -> BlockSummary {
        let Some(line) = self.summary_line(block) else { return BlockSummary::default() };
        // `live` before `max_expunge_modseq`: see the head of this file.
        let live = line.load_u64::<{ summary::LIVE }>(Acquire);
        BlockSummary {
            max_modseq: ModSeq(line.load_u64::<{ summary::MAX_MODSEQ }>(Relaxed)),
            max_expunge_modseq: ModSeq(line.load_u64::<{ summary::MAX_EXPUNGE_MODSEQ }>(Relaxed)),
            live,
            seen: line.load_u64::<{ summary::SEEN }>(Relaxed),
            answered: line.load_u64::<{ summary::ANSWERED }>(Relaxed),
            flagged: line.load_u64::<{ summary::FLAGGED }>(Relaxed),
            deleted: line.load_u64::<{ summary::DELETED }>(Relaxed),
            draft: line.load_u64::<{ summary::DRAFT }>(Relaxed),
        }
    }

    /// `max_modseq` and `max_expunge_modseq` of a block.
    #[inline]
    pub(crate) fn block_modseqs(&self, block: u32) -> (ModSeq, ModSeq) {
        self.summary_line(block).map_or_else(Default::default, |line| {
            let max = line.load_u64::<{ summary::MAX_MODSEQ }>(Relaxed);
            (ModSeq(max), ModSeq(line.load_u64::<{ summary::MAX_EXPUNGE_MODSEQ }>(Relaxed)))
        })
    }

    /// Bitmap of the block's cells that are not expunged at a modseq up to `expunged_upto`. The caller has read a
    /// `highest_modseq` of at least that before (acquire).
    #[inline]
    pub(crate) fn not_expunged_upto(&self, block: u32, expunged_upto: ModSeq) -> u64 {
        let Some(line) = self.summary_line(block) else { return 0 };
        let present = low_bits(self.count.saturating_sub(block * CELLS_PER_BLOCK));
        let live = line.load_u64::<{ summary::LIVE }>(Acquire);
        if line.load_u64::<{ summary::MAX_EXPUNGE_MODSEQ }>(Relaxed) <= expunged_upto.0 {
            return live & present;
        }
        let mut bits = live & present;
        let mut others = present & !live;
        while others != 0 {
            let bit = others.trailing_zeros();
            others &= others - 1;
            let flags = self.flags(CellIndex(block * CELLS_PER_BLOCK + bit));
            if flags.is_some_and(|flags| !flags.expunged || flags.modseq > expunged_upto) {
                bits |= 1 << bit;
            }
        }
        bits
    }

    #[inline]
    pub(super) fn line(&self, index: CellIndex) -> Option<Line<'_>> {
        if index.0 >= self.count {
            return None;
        }
        self.region.line(layout::cell_offset(index.0)).ok()
    }

    #[inline]
    pub(super) fn summary_line(&self, block: u32) -> Option<Line<'_>> {
        if block >= self.blocks() {
            return None;
        }
        self.region.line(layout::summary_offset(block)).ok()
    }
}

/// A word whose lowest `count` bits are set; all of them from 64 up.
#[inline]
pub(crate) fn low_bits(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// Flags word, keywords and modseq of a cell, in the order that the head of this file argues.
#[inline]
pub(super) fn read_flags(line: Line<'_>) -> (u32, u64, ModSeq) {
    let mut modseq = line.load_u64::<{ cell::MODSEQ }>(Acquire);
    let word = line.load_u32::<{ cell::FLAGS }>(Acquire);
    let keywords = line.load_u64::<{ cell::KEYWORDS }>(Relaxed);
    if word & cell::EXPUNGED != 0 {
        modseq = line.load_u64::<{ cell::MODSEQ }>(Relaxed);
    }
    (word, keywords, ModSeq(modseq))
}
