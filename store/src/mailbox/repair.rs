//! What makes a mailbox's view right again: counting after a writer that died within its patch, and recovery after a power cut,
//! when any part of the file may be old.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;

use super::cells::{BlockSummary, Cells, store_summary};
use super::layout::{self, CELLS_PER_BLOCK, cell, header, header_tail};
use super::writer::Counts;
use super::{Cell, Mailbox, change_flags, count_publication, head, tail};
use crate::change::SystemFlags;
use crate::error::{Result, StoreError};
use crate::ids::{CellIndex, MessageId, ModSeq, Uid};
use crate::mapping::{LINE_BYTES, Region};

/// UIDs that may have been given out and lost by a power cut.
pub(crate) const UIDS_SKIPPED: u32 = 1 << 20;
/// Modseqs likewise.
pub(crate) const MODSEQS_SKIPPED: u64 = 1 << 32;
/// So often at most, for a file that was made anew: it does not tell how many power cuts came since its last message that lasted.
pub(crate) const SKIPS_MOST: u32 = 256;
/// Cells changed in so many of the last modseqs may have come to the disk without the frames that changed them. Those that were skipped do not count:
/// what the logs were told after a power cut may be lost in the next.
const MODSEQS_IN_DOUBT: u64 = 1 << 10;
/// Damaged cells that a report names; the others are only counted.
const DAMAGE_REPORTED: usize = 100;

/// Who makes the numbers durable that `after_power_cut` raises. No UID above them is given out before that: one more power cut would take the
/// raise back, and raise them to the very same numbers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raised {
    /// `after_power_cut` itself, before it says that the file is of the new epoch.
    Durably,
    /// The caller, who lets nobody see the mailbox before.
    ByRecovery,
}

/// What `after_power_cut` found.
#[derive(Debug, Default)]
pub struct PowerCutReport {
    /// Cells that are gone: never written, out of order, or with a wrong checksum.
    pub damaged_cells: u32,
    /// Whether one of them was written once, now or when this was done before: what it said is not in this file any more.
    pub has_wrong_cells: bool,
    /// Cells that were being changed: their flags are partly those before and partly those after. What is replayed makes them right.
    pub torn_cells: u32,
    /// The first of the damaged.
    pub damages: Vec<StoreError>,
    /// Messages that the caller did not want kept; their cells are tombstones now.
    pub dropped: Vec<(Uid, MessageId)>,
    /// The other cells that were changed last: the logs may not know what they say.
    pub in_doubt: Vec<Cell>,
}

impl Mailbox {
    /// Brings the file of an older epoch to this one: drops cells that are not whole, makes tombstones of those whose message
    /// `keep` does not know, counts everything anew, and raises `uid_next` and `highest_modseq` above all that may have been
    /// given out. With the epoch that the file has already, it only drops and counts: that is what recovery does before it replays. `seconds` is now. Under the mailbox's lock, before anything else reads it.
    ///
    /// Who does it again for the same epoch, because it failed or its caller did, raises nothing once more and is told the same.
    pub(crate) fn after_power_cut(
        &self,
        epoch: u32,
        known_uid_next: u32,
        known_modseq: ModSeq,
        seconds: u32,
        raised: Raised,
        keep: &mut dyn FnMut(&Cell) -> bool,
    ) -> Result<PowerCutReport> {
        let region = self.mapping.region();
        let mut report = PowerCutReport::default();
        begin_patch(&region);
        let line = head(&region);
        let mut count = line.load_u32::<{ header::CELLS_USED }>(Acquire);
        if layout::bytes_for(count) > region.len() {
            report.has_wrong_cells = true;
            report.damaged(&region, header::CELLS_USED as u64, "more cells than the file has");
            count = layout::blocks_in(region.len()).saturating_mul(CELLS_PER_BLOCK);
        }
        report.has_wrong_cells |= self.has_lost_cells() || has_wrong_cells(&region, count)?;
        if report.has_wrong_cells && !self.has_lost_cells() {
            // From the next line on nothing else may say so, on the disk neither.
            change_flags(&region, |flags| flags | header_tail::FLAG_CELLS_LOST);
            if let Err(error) = self.mapping.sync_with_names() {
                // Whoever tries again must not take it for durable.
                change_flags(&region, |flags| flags & !header_tail::FLAG_CELLS_LOST);
                return Err(error);
            }
        }
        let kept = compact(&region, count, &mut report)?;
        count_publication(&region, |line| line.store_u32::<{ header::CELLS_USED }>(kept, Release));

        let cells = Cells::new(Arc::clone(&region), kept);
        let last = kept.checked_sub(1).map(|last| cells.uid(CellIndex(last))).transpose()?;
        let last_uid = last.map_or(0, Uid::get);
        let mut seen = ModSeq(0);
        for index in 0..kept {
            seen = seen.max(cells.flags(CellIndex(index))?.modseq);
        }
        let modseq = line.load_u64::<{ header::HIGHEST_MODSEQ }>(Relaxed);
        // A file that was made anew does not say what earlier ones said: each epoch may have skipped from where the logs end.
        let made_anew = line.load_u32::<{ header::EPOCH }>(Relaxed) == 0;
        let is_last_word = epoch > line.load_u32::<{ header::EPOCH }>(Relaxed);
        let times = match (is_last_word, made_anew) {
            (false, _) => 0,
            (true, true) => epoch.clamp(1, SKIPS_MOST),
            (true, false) => 1,
        };
        let uid_next = line.load_u32::<{ header::UID_NEXT }>(Relaxed);
        let known_uid_next = uid_next.max(known_uid_next).max(last_uid.saturating_add(1));
        let skipped = MODSEQS_SKIPPED * u64::from(times);
        // Raised once more for one epoch, they would be above what a power cut that takes the file skips to.
        let is_raised =
            is_last_word && tail(&region).load_u32::<{ header_tail::RAISED_EPOCH }>(Relaxed) == epoch;
        let (modseq, uid_next) = if is_raised {
            (modseq, known_uid_next)
        } else {
            let known = modseq.max(known_modseq.0).max(seen.0);
            (known.saturating_add(skipped), known_uid_next.saturating_add(UIDS_SKIPPED * times))
        };
        let is_in_doubt =
            |cell: &Cell| modseq.wrapping_sub(cell.modseq.0) % MODSEQS_SKIPPED < MODSEQS_IN_DOUBT;

        // Tombstones come last, with a modseq that nobody has seen.
        for index in (0..kept).map(CellIndex).filter(|_| is_last_word) {
            let cell = cells.cell(index)?;
            if is_raised && cell.expunged && cell.released && cell.modseq == ModSeq(modseq) {
                // Of those that were dropped when this was done before.
                report.dropped.push((cell.uid, cell.message));
            } else if cell.expunged || keep(&cell) {
                if is_in_doubt(&cell) && !cell.released {
                    report.in_doubt.push(cell);
                }
            } else {
                report.dropped.push((cell.uid, cell.message));
                if let Some(line) = cells.line(index) {
                    line.store_u64::<{ cell::MODSEQ }>(modseq, Release);
                    line.store_u32::<{ cell::EXPUNGED_AT }>(seconds, Relaxed);
                    // There is no message to hold on to.
                    let word = layout::flags_word(cell.flags) | cell::EXPUNGED | cell::RELEASED;
                    let word =
                        layout::sealed_flags(cell.uid.get(), word, cell.flags.keywords, modseq, seconds);
                    line.store_u32::<{ cell::FLAGS }>(word, Release);
                }
            }
        }
        self.recount()?;
        count_publication(&region, |line| {
            line.store_u32::<{ header::UID_NEXT }>(uid_next, Release);
            line.store_u64::<{ header::HIGHEST_MODSEQ }>(modseq, Release);
            if is_last_word {
                tail(&region).store_u32::<{ header_tail::RAISED_EPOCH }>(epoch, Relaxed);
            }
        });
        if raised == Raised::Durably {
            self.mapping.sync_with_names()?;
        }
        count_publication(&region, |line| line.store_u32::<{ header::EPOCH }>(epoch, Release));
        let patches = tail(&region).load_u32::<{ header_tail::PATCHES }>(Relaxed) | 1;
        tail(&region).store_u32::<{ header_tail::PATCHES }>(patches.wrapping_add(1), Release);
        Ok(report)
    }

    /// Whether cells were lost: the file is to be made again from the logs before anything relies on what is not in it. It stays so until another
    /// file has the mailbox's name.
    pub(crate) fn has_lost_cells(&self) -> bool {
        let word = tail(&self.mapping.region()).load_u32::<{ header_tail::FLAGS }>(Acquire);
        layout::mailbox_flags(word).is_some_and(|flags| flags & header_tail::FLAG_CELLS_LOST != 0)
    }

    /// What follows a power cut is to be done again. Under the mailbox's lock.
    pub(crate) fn owe_epoch(&self, epoch: u32) {
        count_publication(&self.mapping.region(), |line| line.store_u32::<{ header::EPOCH }>(epoch, Release));
    }

    /// Makes all block summaries and the header's counts from the cells. Under the mailbox's lock; readers may be about.
    pub(super) fn recount(&self) -> Result<()> {
        let cells = self.cells()?;
        let counts = self.recount_cells(&cells, 0)?;
        count_publication(&self.mapping.region(), |line| {
            line.store_u32::<{ header::LIVE }>(counts.live, Relaxed);
            line.store_u32::<{ header::UNSEEN }>(counts.unseen, Relaxed);
            line.store_u32::<{ header::DELETED }>(counts.deleted, Relaxed);
            line.store_u64::<{ header::SIZE }>(counts.size, Relaxed);
            let region = self.mapping.region();
            tail(&region).store_u32::<{ header_tail::UNRELEASED }>(counts.unreleased, Relaxed);
        });
        Ok(())
    }

    /// Makes the block summaries from `first_block` on from `cells`, also those of blocks behind them. The counts it returns are
    /// of these blocks.
    pub(super) fn recount_cells(&self, cells: &Cells, first_block: u32) -> Result<Counts> {
        let region = self.mapping.region();
        let mut counts = Counts { cells_used: cells.count(), ..Counts::default() };
        // Also of blocks that the file does not have yet: it may have been longer.
        let has_summary = |block: &u32| layout::summary_offset(*block) + LINE_BYTES as u64 <= region.len();
        for block in (first_block..).take_while(has_summary) {
            let made = summarize(cells, block, &mut counts)?;
            let line = region.line(layout::summary_offset(block))?;
            let mut bytes = [0; LINE_BYTES];
            for (place, word) in bytes.chunks_exact_mut(8).zip(made.words()) {
                place.copy_from_slice(&word.to_le_bytes());
            }
            // What is there already is not stored again: blocks that need nothing stay clean.
            if line.copy_out() != bytes {
                store_summary(line, &made);
            }
        }
        Ok(counts)
    }
}

impl PowerCutReport {
    fn damaged(&mut self, region: &Region, offset: u64, what: &'static str) {
        self.damaged_cells = self.damaged_cells.saturating_add(1);
        if self.damages.len() < DAMAGE_REPORTED {
            self.damages.push(StoreError::corrupt(region.path(), offset, what));
        }
    }
}

fn begin_patch(region: &Region) {
    let patches = tail(region).load_u32::<{ header_tail::PATCHES }>(Relaxed) | 1;
    tail(region).store_u32::<{ header_tail::PATCHES }>(patches, Relaxed);
    fence(Release);
}

/// Whether what a cell that was written once said is not known.
fn is_wrong(bytes: &[u8; LINE_BYTES]) -> bool {
    layout::u32_at(bytes, cell::UID) != 0
        && (layout::cell_crc(bytes) != layout::u32_at(bytes, cell::CRC)
            || layout::u64_at(bytes, cell::INTERNAL_DATE) == 0)
}

fn has_wrong_cells(region: &Region, count: u32) -> Result<bool> {
    for index in 0..count {
        if is_wrong(&region.copy_out(layout::cell_offset(index))?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Moves the cells that are whole together; returns how many there are.
fn compact(region: &Region, count: u32, report: &mut PowerCutReport) -> Result<u32> {
    let mut kept = 0;
    let mut last_uid = 0;
    for index in 0..count {
        let offset = layout::cell_offset(index);
        let mut bytes = region.copy_out(offset)?;
        let uid = layout::u32_at(&bytes, cell::UID);
        if uid == 0 {
            report.damaged(region, offset, "a cell was never written");
        } else if is_wrong(&bytes) {
            report.damaged(region, offset, "the checksum of a mailbox cell is wrong");
        } else if uid <= last_uid {
            report.damaged(region, offset, "a cell is out of order");
        } else {
            let word = layout::u32_at(&bytes, cell::FLAGS);
            let (keywords, modseq) =
                (layout::u64_at(&bytes, cell::KEYWORDS), layout::u64_at(&bytes, cell::MODSEQ));
            let expunged_at = layout::u32_at(&bytes, cell::EXPUNGED_AT);
            let sealed = layout::sealed_flags(uid, word, keywords, modseq, expunged_at);
            if sealed != word {
                report.torn_cells += 1;
                bytes[cell::FLAGS..cell::FLAGS + 4].copy_from_slice(&sealed.to_le_bytes());
            }
            if kept != index || sealed != word {
                region.copy_in(layout::cell_offset(kept), &bytes)?;
            }
            kept += 1;
            last_uid = uid;
        }
    }
    clear_behind(region, kept)?;
    Ok(kept)
}

/// Makes zero what lies behind the last cell. What came to the disk without the header that counts it in is not to be taken for the cell that will be
/// there, should one more power cut keep the header of then and not the cell. A file may end within a block, or a cell.
fn clear_behind(region: &Region, kept: u32) -> Result<()> {
    let len = region.len();
    for offset in (kept..).map(layout::cell_offset).take_while(|offset| *offset < len) {
        if len - offset >= LINE_BYTES as u64 {
            if region.copy_out(offset)? != [0; LINE_BYTES] {
                region.copy_in(offset, &[0; LINE_BYTES])?;
            }
        } else {
            // Without its UID it is none, whatever it grows to.
            for word in (offset..len - 3).step_by(4) {
                region.store_u32(word, 0, Relaxed)?;
            }
        }
    }
    Ok(())
}

/// What a block's summary should be; its cells are added to `counts`.
pub(super) fn summarize(cells: &Cells, block: u32, counts: &mut Counts) -> Result<BlockSummary> {
    let mut made = BlockSummary::default();
    if block >= cells.blocks() {
        return Ok(made);
    }
    for bit in 0..CELLS_PER_BLOCK {
        let index = CellIndex(block * CELLS_PER_BLOCK + bit);
        let Some(line) = cells.line(index) else { break };
        let read = cells.read(index)?;
        made.max_modseq = made.max_modseq.max(read.modseq);
        if read.is_expunged() {
            made.max_expunge_modseq = made.max_expunge_modseq.max(read.modseq);
            counts.unreleased += u32::from(read.word & cell::RELEASED == 0);
            continue;
        }
        let flags = layout::flags_of(read.word, 0).system;
        let with = |flag: SystemFlags| u64::from(flags.contains(flag)) << bit;
        made.live |= 1 << bit;
        made.seen |= with(SystemFlags::SEEN);
        made.answered |= with(SystemFlags::ANSWERED);
        made.flagged |= with(SystemFlags::FLAGGED);
        made.deleted |= with(SystemFlags::DELETED);
        made.draft |= with(SystemFlags::DRAFT);
        counts.live += 1;
        counts.unseen += u32::from(!flags.contains(SystemFlags::SEEN));
        counts.deleted += u32::from(flags.contains(SystemFlags::DELETED));
        // The size counts only for those who count under the lock, after the cell's checksum was verified.
        counts.size += u64::from(line.load_u32::<{ cell::SIZE }>(Relaxed));
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{ID, fill, fixture};
    use super::*;
    use crate::disk::Disk;

    /// The power fails when all cells are on the disk, the header is that of a block of them, and the file may end anywhere behind that.
    #[test]
    fn nothing_is_left_behind_the_last_cell() {
        let fixture = fixture();
        fill(&fixture.mailbox, 1, CELLS_PER_BLOCK);
        let path = fixture.mailbox.path().to_path_buf();
        let first = fs::read(&path).expect("there");
        fill(&fixture.mailbox, CELLS_PER_BLOCK + 1, 300);
        drop(fixture.mailbox);
        let mut whole = fs::read(&path).expect("there");
        whole[..2 * LINE_BYTES].copy_from_slice(&first[..2 * LINE_BYTES]);
        let summary = layout::summary_offset(0) as usize..layout::summary_offset(1) as usize;
        for cells in [64, 65, 100, 128, 129, 200, 300] {
            for more in [0, 4, 21, 62, 63] {
                let mut cut = whole.clone();
                cut.truncate(layout::cell_offset(cells) as usize + more);
                fs::write(&path, &cut).expect("written");
                let mailbox = Mailbox::open(&Disk::real(), &path, ID).expect("opened");
                let keep = &mut |_: &Cell| true;
                mailbox.after_power_cut(2, 0, ModSeq(0), 9, Raised::ByRecovery, keep).expect("right again");
                assert_eq!(mailbox.cell_count().expect("readable"), CELLS_PER_BLOCK);
                drop(mailbox);
                let left = fs::read(&path).expect("there");
                assert!(left[summary.clone()].iter().any(|octet| *octet != 0));
                assert!(left[summary.end..layout::KEYWORDS_OFFSET as usize].iter().all(|octet| *octet == 0));
                // Octets of a word that is not whole are no UID.
                let words = left.len() / 4 * 4;
                let behind = &left[layout::cell_offset(CELLS_PER_BLOCK) as usize..words];
                assert_eq!(behind.iter().position(|octet| *octet != 0), None, "{cells} cells and {more}");
            }
        }
    }
}
