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
//!
//! Torn or damaged: flags, modseq and UID of a cell have a check (`sums`), and so has a summary. A reader that met a writer between
//! two stores finds a wrong one, too.
//! - A cell is read again. If the check is wrong while no patch was under way (`patches` even, and the same before and after: a
//!   writer makes it odd before it stores anything), it is damage: `Corrupt`. If a patch goes on for long, or its writer died,
//!   the words are taken as they are: what is argued above holds for them, and the next owner of the lock completes the patch.
//! - A summary is made from its cells, which is what it would say.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;

use super::layout::{self, CELLS_PER_BLOCK, cell, header_tail, summary};
use super::{Cell, CellFlags, sums};
use crate::change::ZonedTime;
use crate::error::{Result, StoreError};
use crate::ids::{CellIndex, MessageId, ModSeq, PageId, Uid};
use crate::mapping::{LINE_BYTES, Line, Region};
use crate::seen::SeenRuns;

/// How many steps of a search for a UID go by proportion. Then it bisects: UIDs may lie unevenly.
const GUESSES: u32 = 4;
/// How often a summary that a writer may be storing is read. Then it is made from its cells.
const SUMMARY_TRIES: u32 = 20;

/// A fixed look at the cells: one mapping, so many cells. What a scan works on; flags in it still change under writers.
#[derive(Clone, Debug)]
pub struct Cells {
    region: Arc<Region>,
    count: u32,
    /// What the reader has seen to whom they are shown; `None` for the owner.
    pub(super) marks: Option<Arc<SeenRuns>>,
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
        Cells { region, count, marks: None }
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

    /// The UID of a cell, its checksum verified.
    ///
    /// Errors: `NotFound` beyond the last cell, `Corrupt`.
    #[inline]
    pub fn uid(&self, index: CellIndex) -> Result<Uid> {
        let line = self.line(index).ok_or(StoreError::NotFound("message"))?;
        self.whole_uid(index, &line.copy_out())
    }

    /// The UID of a cell that may be damaged: to say which message it was.
    pub fn perhaps_uid(&self, index: CellIndex) -> Option<Uid> {
        Uid::new(self.line(index)?.load_u32::<{ cell::UID }>(Relaxed))
    }

    /// What changes in a cell, and its UID, verified.
    ///
    /// Errors: `NotFound` beyond the last cell, `Corrupt`.
    #[inline]
    pub fn flags(&self, index: CellIndex) -> Result<CellFlags> {
        let read = self.read(index)?;
        let mut flags = CellFlags {
            uid: Uid::new(read.uid).ok_or_else(|| self.damaged(index, "a cell has no UID"))?,
            flags: layout::flags_of(read.word, read.keywords),
            modseq: read.modseq,
            expunged: read.is_expunged(),
        };
        if let Some(marks) = &self.marks {
            Cells::show_flags(marks, &mut flags);
        }
        Ok(flags)
    }

    /// What changes in a cell, as the head of this file says: whole, or as a patch that does not get on left it.
    #[inline]
    pub(super) fn read(&self, index: CellIndex) -> Result<FlagsRead> {
        let line = self.line(index).ok_or(StoreError::NotFound("message"))?;
        let read = read_flags(line);
        if read.is_whole { Ok(read) } else { self.read_again(index, line) }
    }

    #[cold]
    fn read_again(&self, index: CellIndex, line: Line<'_>) -> Result<FlagsRead> {
        let tail = super::tail(&self.region);
        for turn in 0..super::CONSISTENT_TRIES {
            let before = tail.load_u32::<{ header_tail::PATCHES }>(Acquire);
            let read = read_flags(line);
            if read.is_whole {
                return Ok(read);
            }
            fence(Acquire);
            let after = tail.load_u32::<{ header_tail::PATCHES }>(Relaxed);
            if before == after && before.is_multiple_of(2) {
                return Err(self.damaged(index, "the check of a cell's flags is wrong"));
            }
            super::wait_a_little(turn);
        }
        Ok(read_flags(line))
    }

    fn damaged(&self, index: CellIndex, what: &'static str) -> StoreError {
        StoreError::corrupt(self.region.path(), layout::cell_offset(index.0), what)
    }

    fn whole_uid(&self, index: CellIndex, bytes: &[u8; LINE_BYTES]) -> Result<Uid> {
        if layout::cell_crc(bytes) != layout::u32_at(bytes, cell::CRC) {
            return Err(self.damaged(index, "the checksum of a mailbox cell is wrong"));
        }
        Uid::new(layout::u32_at(bytes, cell::UID)).ok_or_else(|| self.damaged(index, "a cell has no UID"))
    }

    /// The whole cell, its checksum verified.
    ///
    /// Errors: `NotFound` beyond the last cell, `Corrupt`.
    pub fn cell(&self, index: CellIndex) -> Result<Cell> {
        let read = self.read(index)?;
        let line = self.line(index).ok_or(StoreError::NotFound("message"))?;
        let bytes = line.copy_out();
        let uid = self.whole_uid(index, &bytes)?;
        let packed = |offset| ZonedTime::unpack(layout::u64_at(&bytes, offset));
        let mut whole = Cell {
            uid,
            flags: layout::flags_of(read.word, read.keywords),
            expunged: read.is_expunged(),
            released: read.word & cell::RELEASED != 0,
            modseq: read.modseq,
            internal_date: packed(cell::INTERNAL_DATE)
                .ok_or_else(|| self.damaged(index, "a cell has no date"))?,
            sent_date: packed(cell::SENT_DATE),
            save_seconds: layout::u32_at(&bytes, cell::SAVE_DATE),
            size: layout::u32_at(&bytes, cell::SIZE),
            expunged_at: read.expunged_at,
            message: MessageId {
                page: PageId(layout::u32_at(&bytes, cell::PAGE)),
                index: layout::u32_at(&bytes, cell::DIRECTORY),
            },
        };
        if let Some(marks) = &self.marks {
            Cells::show_cell(marks, &mut whole);
        }
        Ok(whole)
    }

    /// The cell of `uid` (perhaps a tombstone), or the place of the first cell with a higher one.
    ///
    /// Errors: `Corrupt` if the search came by a cell whose UID is damaged.
    pub fn find_uid(&self, uid: Uid) -> Result<std::result::Result<CellIndex, CellIndex>> {
        // What is found quickly is verified at its end; what is not may have been missed because of a damaged cell.
        let found = self.search(uid, &|index| {
            let line = self.line(CellIndex(index));
            Ok(line.map_or(0, |line| line.load_u32::<{ cell::UID }>(Relaxed)))
        })?;
        match found {
            Ok(index) if self.uid(index).is_ok_and(|found| found == uid) => Ok(Ok(index)),
            _ => self.search(uid, &|index| self.uid(CellIndex(index)).map(Uid::get)),
        }
    }

    fn search(
        &self,
        uid: Uid,
        at: &dyn Fn(u32) -> Result<u32>,
    ) -> Result<std::result::Result<CellIndex, CellIndex>> {
        let wanted = uid.get();
        let Some(last_index) = self.count.checked_sub(1) else { return Ok(Err(CellIndex(0))) };
        let (first, last) = (at(0)?, at(last_index)?);
        if wanted < first {
            return Ok(Err(CellIndex(0)));
        }
        if wanted > last {
            return Ok(Err(CellIndex(self.count)));
        }
        // UIDs strictly ascend, so a cell is no further from either end than its UID is from the UID there. Where no UID is
        // left out, this finds the cell at once; elsewhere the first guesses go by proportion.
        let mut low = last_index.saturating_sub(last - wanted);
        let mut high = last_index.min(wanted - first);
        let (mut below, mut above) = ((0, first), (last_index, last));
        let mut guesses = 0;
        while low <= high {
            let middle = if guesses < GUESSES {
                let share =
                    u64::from(wanted.saturating_sub(below.1)) * u64::from(above.0.saturating_sub(below.0));
                let place = share / u64::from(above.1.saturating_sub(below.1)).max(1);
                u32::try_from(u64::from(below.0) + place).unwrap_or(high).clamp(low, high)
            } else {
                low + (high - low) / 2
            };
            guesses += 1;
            let found = at(middle)?;
            match found.cmp(&wanted) {
                std::cmp::Ordering::Equal => return Ok(Ok(CellIndex(middle))),
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
        Ok(Err(CellIndex(low)))
    }

    /// The index of the first cell with a UID above `uid`, which is the number of cells up to `uid`.
    pub fn count_up_to(&self, uid: u32) -> Result<u32> {
        Ok(match Uid::new(uid).map(|uid| self.find_uid(uid)).transpose()? {
            None => 0,
            Some(Ok(index)) => index.0 + 1,
            Some(Err(index)) => index.0,
        })
    }

    /// Blocks with at least one cell.
    pub fn blocks(&self) -> u32 {
        self.count.div_ceil(CELLS_PER_BLOCK)
    }

    /// Summary of a block of 64 cells; all zero beyond the last. It may tell of cells that are just being added.
    ///
    /// Errors: `Corrupt` if it is damaged, and a cell that it would have to be made from is, too.
    #[inline]
    pub fn block_summary(&self, block: u32) -> Result<BlockSummary> {
        let Some(line) = self.summary_line(block) else { return Ok(BlockSummary::default()) };
        let summary = match read_summary(line) {
            Some(summary) => summary,
            None => self.summary_again(block, line)?,
        };
        match &self.marks {
            None => Ok(summary),
            Some(marks) => self.show_summary(marks, block, summary),
        }
    }

    #[cold]
    fn summary_again(&self, block: u32, line: Line<'_>) -> Result<BlockSummary> {
        for _ in 0..SUMMARY_TRIES {
            std::hint::spin_loop();
            if let Some(summary) = read_summary(line) {
                return Ok(summary);
            }
        }
        super::repair::summarize(self, block, &mut super::writer::Counts::default())
    }

    /// `max_modseq` and `max_expunge_modseq` of a block.
    #[inline]
    pub(crate) fn block_modseqs(&self, block: u32) -> Result<(ModSeq, ModSeq)> {
        self.block_summary(block).map(|summary| (summary.max_modseq, summary.max_expunge_modseq))
    }

    /// Bitmap of the block's cells that are not expunged at a modseq up to `expunged_upto`. The caller has read a
    /// `highest_modseq` of at least that before (acquire).
    #[inline]
    pub(crate) fn not_expunged_upto(&self, block: u32, expunged_upto: ModSeq) -> Result<u64> {
        let summary = self.block_summary(block)?;
        let present = low_bits(self.count.saturating_sub(block * CELLS_PER_BLOCK));
        let mut bits = summary.live & present;
        if summary.max_expunge_modseq <= expunged_upto {
            return Ok(bits);
        }
        let mut others = present & !summary.live;
        while others != 0 {
            let bit = others.trailing_zeros();
            others &= others - 1;
            let read = self.read(CellIndex(block * CELLS_PER_BLOCK + bit))?;
            if !read.is_expunged() || read.modseq > expunged_upto {
                bits |= 1 << bit;
            }
        }
        Ok(bits)
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

/// What changes in a cell, copied out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlagsRead {
    pub(super) uid: u32,
    /// The flags word without its check.
    pub(super) word: u32,
    pub(super) keywords: u64,
    pub(super) modseq: ModSeq,
    pub(super) expunged_at: u32,
    /// Whether the check is that of the rest.
    pub(super) is_whole: bool,
}

impl FlagsRead {
    pub(super) fn is_expunged(&self) -> bool {
        self.word & cell::EXPUNGED != 0
    }
}

/// What changes in a cell, in the order that the head of this file argues.
#[inline]
pub(super) fn read_flags(line: Line<'_>) -> FlagsRead {
    let mut modseq = line.load_u64::<{ cell::MODSEQ }>(Acquire);
    let word = line.load_u32::<{ cell::FLAGS }>(Acquire);
    let keywords = line.load_u64::<{ cell::KEYWORDS }>(Relaxed);
    let expunged_at = line.load_u32::<{ cell::EXPUNGED_AT }>(Relaxed);
    if word & cell::EXPUNGED != 0 {
        modseq = line.load_u64::<{ cell::MODSEQ }>(Relaxed);
    }
    let uid = line.load_u32::<{ cell::UID }>(Relaxed);
    FlagsRead {
        uid,
        word: word & !cell::CHECK_MASK,
        keywords,
        modseq: ModSeq(modseq),
        expunged_at,
        is_whole: layout::sealed_flags(uid, word, keywords, modseq, expunged_at) == word,
    }
}

/// A summary, copied out, if its check is right.
#[inline]
fn read_summary(line: Line<'_>) -> Option<BlockSummary> {
    // `live` before `max_expunge_modseq`: see the head of this file.
    let live = line.load_u64::<{ summary::LIVE }>(Acquire);
    let mut words = [0; 8];
    words[2] = live;
    words[0] = line.load_u64::<{ summary::MAX_MODSEQ }>(Relaxed);
    words[1] = line.load_u64::<{ summary::MAX_EXPUNGE_MODSEQ }>(Relaxed);
    words[3] = line.load_u64::<{ summary::SEEN }>(Relaxed);
    words[4] = line.load_u64::<{ summary::ANSWERED }>(Relaxed);
    words[5] = line.load_u64::<{ summary::FLAGGED }>(Relaxed);
    words[6] = line.load_u64::<{ summary::DELETED }>(Relaxed);
    words[7] = line.load_u64::<{ summary::DRAFT }>(Relaxed);
    BlockSummary::from_words(words)
}

impl BlockSummary {
    /// The line as it is in the file, its check in the upper octets of the two modseqs.
    pub(super) fn words(&self) -> [u64; 8] {
        let BlockSummary { max_modseq, max_expunge_modseq, live, seen, answered, flagged, deleted, draft } =
            *self;
        let mut words = [
            max_modseq.0 & summary::MODSEQ_MASK,
            max_expunge_modseq.0 & summary::MODSEQ_MASK,
            live,
            seen,
            answered,
            flagged,
            deleted,
            draft,
        ];
        let [low, high] = sums::of_summary(words).to_le_bytes();
        words[0] |= u64::from(low) << 56;
        words[1] |= u64::from(high) << 56;
        words
    }

    #[inline]
    fn from_words(mut words: [u64; 8]) -> Option<BlockSummary> {
        let check = u16::from_le_bytes([(words[0] >> 56) as u8, (words[1] >> 56) as u8]);
        words[0] &= summary::MODSEQ_MASK;
        words[1] &= summary::MODSEQ_MASK;
        let [max_modseq, max_expunge_modseq, live, seen, answered, flagged, deleted, draft] = words;
        (sums::of_summary(words) == check).then_some(BlockSummary {
            max_modseq: ModSeq(max_modseq),
            max_expunge_modseq: ModSeq(max_expunge_modseq),
            live,
            seen,
            answered,
            flagged,
            deleted,
            draft,
        })
    }
}

/// Stores a summary in the order that readers rely on: `live` after the modseqs.
pub(super) fn store_summary(line: Line<'_>, made: &BlockSummary) {
    let words = made.words();
    line.store_u64::<{ summary::MAX_MODSEQ }>(words[0], Relaxed);
    line.store_u64::<{ summary::MAX_EXPUNGE_MODSEQ }>(words[1], Relaxed);
    line.store_u64::<{ summary::LIVE }>(words[2], Release);
    line.store_u64::<{ summary::SEEN }>(words[3], Relaxed);
    line.store_u64::<{ summary::ANSWERED }>(words[4], Relaxed);
    line.store_u64::<{ summary::FLAGGED }>(words[5], Relaxed);
    line.store_u64::<{ summary::DELETED }>(words[6], Relaxed);
    line.store_u64::<{ summary::DRAFT }>(words[7], Relaxed);
}
