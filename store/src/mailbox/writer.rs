//! Patching one mailbox's view, under its lock: cells, block summaries, and last of all the header.
//!
//! Each operation says the state after it, so that doing it again changes nothing. Counts in the header are kept beside until
//! `publish`, which stores them all in one moment. While a patch is under way the header's `patches` is odd; whoever gets the
//! lock and finds it so follows a writer that died, and makes summaries and counts from the cells before it goes on
//! (`repair`). Cells not counted yet by the header are not there, whatever is in them.
//!
//! The orders of stores that readers rely on are argued at the head of `cells`.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::fence;

use super::cells::{BlockSummary, Cells, FlagsRead, read_flags, store_summary};
use super::layout::{self, CELLS_PER_BLOCK, cell, header, header_tail};
use super::{Mailbox, change_flags, count_publication, head, keywords, tail};
use crate::change::{Added, Flags, SystemFlags};
use crate::error::{Result, StoreError};
use crate::ids::{CellIndex, MessageId, ModSeq, PageId, Uid};
use crate::mapping::Region;

/// Whether a message was added just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddOutcome {
    /// Its cell is new.
    New,
    /// It had its cell already.
    Already,
}

/// The header's counts, as they will be when published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) cells_used: u32,
    pub(super) live: u32,
    pub(super) unseen: u32,
    pub(super) deleted: u32,
    pub(super) size: u64,
    pub(super) unreleased: u32,
}

/// A patch of one mailbox. Ends with [`Writer::publish`]; dropped without, the next one repairs.
pub(crate) struct Writer<'a> {
    mailbox: &'a Mailbox,
    cells: Cells,
    counts: Counts,
    epoch_owed: Option<u32>,
    /// Whether a writer before this one died within its patch: what it left torn is no damage.
    follows_death: bool,
    /// The summary used last, and its block.
    summary: Option<(u32, BlockSummary)>,
}

impl Mailbox {
    /// Starts a patch. Under the mailbox's lock, which is held until it is published. After a writer that died, apply its
    /// changes again first.
    pub(crate) fn writer(&self) -> Result<Writer<'_>> {
        let region = self.mapping.region();
        let patches = tail(&region).load_u32::<{ header_tail::PATCHES }>(Relaxed);
        let follows_death = !patches.is_multiple_of(2);
        if follows_death {
            self.recount()?;
        } else {
            // Before the patch begins: within one, a header that is not whole is no damage.
            self.header()?;
            tail(&region).store_u32::<{ header_tail::PATCHES }>(patches.wrapping_add(1), Relaxed);
            // Who sees any store of the patch sees that there is one.
            fence(Release);
        }
        let cells = self.cells()?;
        let header = self.header()?;
        let counts = Counts {
            cells_used: cells.count(),
            live: header.live(),
            unseen: header.unseen(),
            deleted: header.deleted(),
            size: header.size(),
            unreleased: header.unreleased(),
        };
        Ok(Writer { mailbox: self, cells, counts, epoch_owed: None, follows_death, summary: None })
    }
}

impl Writer<'_> {
    /// Puts a message in. Its UID is above all others, but for recovery after a power cut, where it may fill a gap.
    ///
    /// Errors: none for space that was reserved.
    pub(crate) fn apply_add(&mut self, added: &Added) -> Result<AddOutcome> {
        let index = match self.cells.find_uid(added.uid)? {
            Ok(_) => {
                self.apply_flags(added.uid, added.flags, added.modseq)?;
                return Ok(AddOutcome::Already);
            }
            Err(index) => index,
        };
        let count = self.counts.cells_used.checked_add(1).ok_or_else(|| {
            let path = self.mailbox.path();
            StoreError::corrupt(path, header::CELLS_USED as u64, "more cells than can be counted")
        })?;
        let region = self.mailbox.mapping.grow(layout::bytes_for(count))?;
        let cells = Cells::new(Arc::clone(&region), count);
        if index.0 + 1 < count {
            self.make_gap(&region, &cells, index.0)?;
        }
        self.cells = cells;
        self.counts.cells_used = count;
        region.copy_in(layout::cell_offset(index.0), &layout::encode_cell(added))?;
        if index.0 + 1 < count {
            self.mailbox.recount_cells(&self.cells, index.0 / CELLS_PER_BLOCK)?;
            self.summary = None;
        } else {
            self.change_summary(index, |summary, bit| {
                summary.max_modseq = summary.max_modseq.max(added.modseq);
                summary.set_flags(bit, added.flags.system);
                summary.live |= bit;
            })?;
        }
        self.counts.live += 1;
        self.counts.size += u64::from(added.size);
        self.count_flags(None, Some(added.flags.system));
        Ok(AddOutcome::New)
    }

    /// Whether a message that was added so is not there because it was expunged, and its tombstone dropped since.
    pub(crate) fn is_forgotten(&self, added: &Added) -> Result<bool> {
        Ok(added.uid.get() <= self.mailbox.settled_uid()? && self.cells.find_uid(added.uid)?.is_err())
    }

    /// The flags of a message are these. False if it is not there (any more) or was changed later.
    pub(crate) fn apply_flags(&mut self, uid: Uid, flags: Flags, modseq: ModSeq) -> Result<bool> {
        let Ok(index) = self.cells.find_uid(uid)? else { return Ok(false) };
        let known = self.known(index)?;
        if known.is_expunged() || known.modseq > modseq {
            return Ok(false);
        }
        let line = self.cells.line(index).ok_or(StoreError::NotFound("message"))?;
        let plain = layout::flags_word(flags);
        let word = layout::sealed_flags(known.uid, plain, flags.keywords, modseq.0, known.expunged_at);
        line.store_u32::<{ cell::FLAGS }>(word, Relaxed);
        line.store_u64::<{ cell::KEYWORDS }>(flags.keywords, Relaxed);
        line.store_u64::<{ cell::MODSEQ }>(modseq.0, Release);
        self.change_summary(index, |summary, bit| {
            summary.max_modseq = summary.max_modseq.max(modseq);
            summary.set_flags(bit, flags.system);
        })?;
        self.count_flags(Some(layout::flags_of(known.word, 0).system), Some(flags.system));
        Ok(true)
    }

    /// A message is expunged at `seconds` since 1970: a tombstone is left, which holds on to the message until [`Writer::release`]. False if it
    /// is not there (any more).
    pub(crate) fn apply_expunge(&mut self, uid: Uid, modseq: ModSeq, seconds: u32) -> Result<bool> {
        let Ok(index) = self.cells.find_uid(uid)? else { return Ok(false) };
        let known = self.known(index)?;
        if known.is_expunged() {
            return Ok(false);
        }
        let line = self.cells.line(index).ok_or(StoreError::NotFound("message"))?;
        let modseq = modseq.max(known.modseq);
        let plain = known.word | cell::EXPUNGED;
        let word = layout::sealed_flags(known.uid, plain, known.keywords, modseq.0, seconds);
        line.store_u32::<{ cell::EXPUNGED_AT }>(seconds, Relaxed);
        line.store_u64::<{ cell::MODSEQ }>(modseq.0, Release);
        line.store_u32::<{ cell::FLAGS }>(word, Release);
        let size = line.load_u32::<{ cell::SIZE }>(Relaxed);
        self.change_summary(index, |summary, bit| {
            summary.max_modseq = summary.max_modseq.max(modseq);
            summary.max_expunge_modseq = summary.max_expunge_modseq.max(modseq);
            summary.live &= !bit;
            summary.set_flags(bit, SystemFlags::default());
        })?;
        self.counts.unreleased = self.counts.unreleased.saturating_add(1);
        self.counts.live = self.counts.live.saturating_sub(1);
        self.counts.size = self.counts.size.saturating_sub(u64::from(size));
        self.count_flags(Some(layout::flags_of(known.word, 0).system), None);
        Ok(true)
    }

    /// The tombstone at `index` lets go of its message, which it returns: the caller lowers the message's count next, under the same lock.
    /// (Should it die in between, the count stays too high.) `None` if the cell is live or holds nothing any more.
    #[allow(dead_code, reason = "collection of what nobody needs calls it")]
    pub(crate) fn release(&mut self, index: CellIndex) -> Option<MessageId> {
        let line = self.cells.line(index)?;
        // What is damaged lets go of nothing.
        self.cells.uid(index).ok()?;
        let known = self.known(index).ok().filter(|known| !known.word & cell::RELEASED != 0)?;
        if !known.is_expunged() {
            return None;
        }
        let plain = known.word | cell::RELEASED;
        let word = layout::sealed_flags(known.uid, plain, known.keywords, known.modseq.0, known.expunged_at);
        line.store_u32::<{ cell::FLAGS }>(word, Release);
        self.counts.unreleased = self.counts.unreleased.saturating_sub(1);
        Some(MessageId {
            page: PageId(line.load_u32::<{ cell::PAGE }>(Relaxed)),
            index: line.load_u32::<{ cell::DIRECTORY }>(Relaxed),
        })
    }

    /// The message of `uid` was freed: whatever became of its cell, it is a tombstone that holds nothing.
    pub(crate) fn apply_gone(&mut self, uid: Uid, modseq: ModSeq) -> Result<()> {
        self.apply_expunge(uid, modseq, 0)?;
        if let Ok(index) = self.cells.find_uid(uid)? {
            self.release(index);
        }
        Ok(())
    }

    /// Keyword number `bit` is `name`.
    ///
    /// Errors: `Corrupt` if there can be no such keyword; callers look at `Keywords::MOST` and its longest name before they log.
    pub(crate) fn apply_keyword(&mut self, bit: u8, name: &str) -> Result<()> {
        keywords::write(&self.mailbox.mapping.region(), bit, name)
    }

    /// The mailbox is deleted at `seconds` since 1970; sessions that have it open see that. Its cells hold on to their messages until
    /// [`Writer::mark_released`].
    pub(crate) fn mark_deleted(&mut self, seconds: u32) {
        let region = self.mailbox.mapping.region();
        tail(&region).store_u32::<{ header_tail::DELETED_AT }>(seconds, Relaxed);
        self.set_flag(header_tail::FLAG_DELETED);
    }

    /// No cell of this deleted mailbox holds its message any more: the caller lowers the counts of those that
    /// [`Cell::holds_reference`](super::Cell::holds_reference) next, under the same lock, and then removes the folder.
    #[allow(dead_code, reason = "collection of what nobody needs calls it")]
    pub(crate) fn mark_released(&mut self) {
        self.counts.unreleased = 0;
        self.set_flag(header_tail::FLAG_RELEASED);
    }

    fn set_flag(&self, flag: u32) {
        change_flags(&self.mailbox.mapping.region(), |flags| flags | flag);
    }

    /// Ends the patch: everything up to `highest_modseq` is visible, and no UID below `uid_next` is given out again. Neither
    /// number ever falls.
    pub(crate) fn publish(self, highest_modseq: ModSeq, uid_next: u32) {
        let region = self.mailbox.mapping.region();
        let counts = self.counts;
        count_publication(&region, |line| {
            line.store_u32::<{ header::LIVE }>(counts.live, Relaxed);
            line.store_u32::<{ header::UNSEEN }>(counts.unseen, Relaxed);
            line.store_u32::<{ header::DELETED }>(counts.deleted, Relaxed);
            line.store_u64::<{ header::SIZE }>(counts.size, Relaxed);
            tail(&region).store_u32::<{ header_tail::UNRELEASED }>(counts.unreleased, Relaxed);
            // Cells, then the UIDs that count them in, then the modseq: who sees one of them sees those before it.
            line.store_u32::<{ header::CELLS_USED }>(counts.cells_used, Release);
            let known = line.load_u32::<{ header::UID_NEXT }>(Relaxed);
            line.store_u32::<{ header::UID_NEXT }>(known.max(uid_next), Release);
            let known = line.load_u64::<{ header::HIGHEST_MODSEQ }>(Relaxed);
            line.store_u64::<{ header::HIGHEST_MODSEQ }>(known.max(highest_modseq.0), Release);
            if let Some(epoch) = self.epoch_owed {
                line.store_u32::<{ header::EPOCH }>(epoch, Release);
            }
        });
        let patches = tail(&region).load_u32::<{ header_tail::PATCHES }>(Relaxed) | 1;
        tail(&region).store_u32::<{ header_tail::PATCHES }>(patches.wrapping_add(1), Release);
    }

    /// Moves the cells from `index` on by one place. Only recovery comes here, when nobody looks. Should it die on the way, the
    /// epoch of 0 sends the next one through `after_power_cut`, which drops the cell that is there twice.
    fn make_gap(&mut self, region: &Arc<Region>, cells: &Cells, index: u32) -> Result<()> {
        let line = head(region);
        let epoch = line.load_u32::<{ header::EPOCH }>(Relaxed);
        self.epoch_owed = self.epoch_owed.or(Some(epoch));
        count_publication(region, |line| {
            line.store_u32::<{ header::EPOCH }>(0, Release);
            line.store_u32::<{ header::CELLS_USED }>(cells.count(), Release);
        });
        for place in (index..cells.count() - 1).rev() {
            let bytes = region.copy_out(layout::cell_offset(place))?;
            region.copy_in(layout::cell_offset(place + 1), &bytes)?;
        }
        Ok(())
    }

    /// What a cell says, verified. Under the lock nobody else changes it, so only a predecessor that died can have left it torn.
    fn known(&self, index: CellIndex) -> Result<FlagsRead> {
        let line = self.cells.line(index).ok_or(StoreError::NotFound("message"))?;
        let known = read_flags(line);
        if known.is_whole || self.follows_death {
            return Ok(known);
        }
        let (path, offset) = (self.mailbox.path(), layout::cell_offset(index.0));
        Err(StoreError::corrupt(path, offset, "the check of a cell's flags is wrong"))
    }

    /// Changes the summary of a cell's block, with the cell's bit at hand. A damaged summary is made anew from the cells.
    fn change_summary(
        &mut self,
        index: CellIndex,
        change: impl FnOnce(&mut BlockSummary, u64),
    ) -> Result<()> {
        let block = index.0 / CELLS_PER_BLOCK;
        let mut summary = match self.summary {
            Some((known, summary)) if known == block => summary,
            _ => self.cells.block_summary(block)?,
        };
        change(&mut summary, 1 << (index.0 % CELLS_PER_BLOCK));
        let line = self.cells.summary_line(block).ok_or(StoreError::NotFound("message"))?;
        store_summary(line, &summary);
        self.summary = Some((block, summary));
        Ok(())
    }

    fn count_flags(&mut self, before: Option<SystemFlags>, after: Option<SystemFlags>) {
        let unseen =
            |flags: Option<SystemFlags>| flags.is_some_and(|flags| !flags.contains(SystemFlags::SEEN));
        let deleted =
            |flags: Option<SystemFlags>| flags.is_some_and(|flags| flags.contains(SystemFlags::DELETED));
        let counts = &mut self.counts;
        counts.unseen = (counts.unseen + u32::from(unseen(after))).saturating_sub(u32::from(unseen(before)));
        counts.deleted =
            (counts.deleted + u32::from(deleted(after))).saturating_sub(u32::from(deleted(before)));
    }
}

impl BlockSummary {
    /// Sets and clears the bit of one cell in the bitmaps of flags.
    fn set_flags(&mut self, bit: u64, flags: SystemFlags) {
        let with = |word: u64, flag: SystemFlags| if flags.contains(flag) { word | bit } else { word & !bit };
        self.seen = with(self.seen, SystemFlags::SEEN);
        self.answered = with(self.answered, SystemFlags::ANSWERED);
        self.flagged = with(self.flagged, SystemFlags::FLAGGED);
        self.deleted = with(self.deleted, SystemFlags::DELETED);
        self.draft = with(self.draft, SystemFlags::DRAFT);
    }
}
