//! What one session has been told of a mailbox: the numbers U, E and F, and the sequence numbers that follow from them.
//!
//! A cell is in the view iff its UID is at most U and it is not expunged at a modseq up to E. That is a function of the three
//! numbers and of the file alone, so a view that was parked and restored, here or in another process, has the same sequence
//! numbers. The rest of [`View`] is a cache: a bitmap of the cells in view, with a count for every 64 of them.
//!
//! Why no change is lost, and no sequence number moves but in a refresh:
//! - A refresh first reads the mailbox's `highest_modseq` H (acquire): all changes up to H are whole in the file. It tells the
//!   flag changes in (F, H] and the expunges in (E, H], then F = H and E = H. What is newer than H has a modseq above the new
//!   marks wherever it is met, and is found by the next refresh.
//! - Expunges newer than E leave a cell in view: a tombstone's modseq is never older than its expunge (head of
//!   `mailbox/cells.rs`), and a block's bitmap of live cells is used only if no expunge in it is newer than E.
//! - A cell that was changed again after H shows the later modseq. It is told of when that is published.
//! - A refresh that may not tell expunges raises E to just below the first of them that is in view; all others up to it were told. So E
//!   is always a modseq from which a client that loses its connection can go on.
//! - U comes from a `uid_next` that was published with H, so all cells up to it are whole.
//! - A message that came and went between two refreshes: if expunges are told, it was never in view and is not mentioned. If
//!   not, it is above the old U, so it enters as new and leaves by a later EXPUNGE, as the rule says.
//!
//! A message in view whose expunge was not told can still be read from its cell; its bytes may be gone.

mod order;
mod since;
#[cfg(test)]
mod tests;

use std::ops::{Range, RangeInclusive};

use crate::change::SystemFlags;
use crate::error::{Result, StoreError};
use crate::ids::{CellIndex, ModSeq, Uid};
use crate::mailbox::{Cells, Mailbox, low_bits};
use order::Order;
pub use order::{BlockInView, CellsInView};

/// What a session has been told: all of a view that must be parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedView {
    /// U: messages up to this UID; 0 if there were none.
    pub uid_upto: u32,
    /// E: expunges up to this modseq.
    pub expunged_upto: ModSeq,
    /// F: flags up to this modseq.
    pub flags_upto: ModSeq,
}

/// How far a refresh may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// Whether EXPUNGE may be sent now: not during FETCH, STORE and SEARCH (RFC 3501, 7.4.1).
    pub expunges: bool,
}

/// What a session must be told, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Sequence numbers in the order in which EXPUNGE responses must be sent, each counted after those before it.
    pub expunged: Vec<u32>,
    /// The UIDs of `expunged`, in the same order, ascending.
    pub expunged_uids: Vec<Uid>,
    /// The number of messages, if some were added.
    pub exists: Option<u32>,
    /// Messages told before whose flags changed, ascending.
    pub flags: Vec<CellIndex>,
}

impl Changes {
    /// Whether there is nothing to be told.
    pub fn is_empty(&self) -> bool {
        self.expunged.is_empty() && self.exists.is_none() && self.flags.is_empty()
    }
}

/// A session's view of one mailbox. It does not hold the mailbox: pass the same one to every call.
#[derive(Clone, Debug)]
pub struct View {
    told: ParkedView,
    exists: u32,
    /// `None` while the cache is forgotten.
    order: Option<Order>,
}

impl View {
    /// A view of all there is now.
    pub fn open(mailbox: &Mailbox) -> Result<View> {
        let marks = mailbox.marks()?;
        View::restore(
            mailbox,
            ParkedView {
                uid_upto: marks.uid_next.saturating_sub(1),
                expunged_upto: marks.highest_modseq,
                flags_upto: marks.highest_modseq,
            },
        )
    }

    /// The view that was parked so.
    pub fn restore(mailbox: &Mailbox, parked: ParkedView) -> Result<View> {
        let order = build(&mailbox.cells()?, parked)?;
        Ok(View { told: parked, exists: order.total(), order: Some(order) })
    }

    /// The view that was parked so and had `exists` messages, without a look at the mailbox: its cache is still to be made. That fails with
    /// `NotFound` if messages of the view were lost since, because nobody had the mailbox pinned and it was rewritten.
    pub fn resting(parked: ParkedView, exists: u32) -> View {
        View { told: parked, exists, order: None }
    }

    /// What must be kept to restore the view.
    pub fn parked(&self) -> ParkedView {
        self.told
    }

    /// Gives the memory of the cache back. Until [`View::ensure_cache`] or a refresh makes it again, no message is found by
    /// sequence number.
    pub fn forget_cache(&mut self) {
        self.order = None;
    }

    /// Makes the cache if it was forgotten.
    pub fn ensure_cache(&mut self, mailbox: &Mailbox) -> Result<()> {
        if self.order.is_none() {
            // The numbers come from a `highest_modseq` that was read before, by whoever opened or refreshed the view.
            let order = build(&mailbox.cells()?, self.told)?;
            // A view is a function of its numbers and the file, and no message enters it late: fewer are fewer tombstones.
            if order.total() != self.exists {
                return Err(StoreError::NotFound("message of the view"));
            }
            self.order = Some(order);
        }
        Ok(())
    }

    /// Messages in view, also while the cache is forgotten.
    pub fn exists(&self) -> u32 {
        self.exists
    }

    /// U: no message in view has a higher UID.
    pub fn uid_upto(&self) -> u32 {
        self.told.uid_upto
    }

    /// The cell of sequence number `seq`.
    #[inline]
    pub fn cell_of_seq(&self, seq: u32) -> Option<CellIndex> {
        self.cache()?.cell_of_seq(seq)
    }

    /// The sequence number of a cell, if it is in view.
    #[inline]
    pub fn seq_of_cell(&self, cell: CellIndex) -> Option<u32> {
        self.cache()?.seq_of_cell(cell)
    }

    /// Sequence numbers and cells of all messages, ascending.
    pub fn cells(&self) -> CellsInView<'_> {
        self.cells_in_seq_range(1..=u32::MAX)
    }

    /// Those of the messages with these sequence numbers; numbers that do not exist are left out.
    pub fn cells_in_seq_range(&self, range: RangeInclusive<u32>) -> CellsInView<'_> {
        self.cache().map_or_else(CellsInView::none, |order| order.range(range))
    }

    /// The messages with these sequence numbers, 64 cells at a time, ascending; numbers that do not exist are left out.
    pub fn blocks_in_seq_range(&self, range: RangeInclusive<u32>) -> impl Iterator<Item = BlockInView> + '_ {
        self.cache().into_iter().flat_map(move |order| order.blocks_in_range(range.clone()))
    }

    /// Sequence numbers of the messages with UIDs from `first` to `last`: a range, for both ascend together.
    pub fn seqs_for_uid_range(&self, mailbox: &Mailbox, first: Uid, last: Uid) -> Result<Range<u32>> {
        let cells = mailbox.cells()?;
        let Some(order) = self.cache() else { return Ok(1..1) };
        let before = order.before(cells.count_up_to(first.get() - 1)?);
        let upto = order.before(cells.count_up_to(last.get())?).max(before);
        Ok(before + 1..upto + 1)
    }

    /// The sequence number of the first message without \Seen.
    pub fn first_unseen(&self, mailbox: &Mailbox) -> Result<Option<u32>> {
        let cells = mailbox.cells()?;
        let Some(order) = self.cache() else { return Ok(None) };
        for (block, in_view) in order.blocks() {
            let summary = cells.block_summary(block)?;
            // Flags of tombstones in view are not in the summary.
            let mut candidates = in_view & !(summary.seen & summary.live);
            while candidates != 0 {
                let index = CellIndex(block * 64 + candidates.trailing_zeros());
                candidates &= candidates - 1;
                if !cells.flags(index)?.flags.system.contains(SystemFlags::SEEN) {
                    return Ok(order.seq_of_cell(index));
                }
            }
        }
        Ok(None)
    }

    /// How many messages in view have UIDs in `uids`, such as those from `Mailbox::claim_recent`.
    pub fn count_uids(&self, mailbox: &Mailbox, uids: Range<u32>) -> Result<u32> {
        match (Uid::new(uids.start.max(1)), Uid::new(uids.end.saturating_sub(1))) {
            (Some(first), Some(last)) => {
                let seqs = self.seqs_for_uid_range(mailbox, first, last)?;
                Ok(seqs.end - seqs.start)
            }
            _ => Ok(0),
        }
    }

    /// Brings the view up to what is published now, and says what the session must be told. One pass over the block summaries;
    /// cells are read only in blocks that changed.
    pub fn refresh(&mut self, mailbox: &Mailbox, how: Refresh) -> Result<Changes> {
        let marks = mailbox.marks()?;
        let old = self.told;
        let new = ParkedView {
            uid_upto: old.uid_upto.max(marks.uid_next.saturating_sub(1)),
            expunged_upto: if how.expunges {
                old.expunged_upto.max(marks.highest_modseq)
            } else {
                old.expunged_upto
            },
            flags_upto: old.flags_upto.max(marks.highest_modseq),
        };
        if new == old {
            return Ok(Changes::default());
        }
        self.ensure_cache(mailbox)?;
        let Some(order) = self.order.as_mut() else { return Ok(Changes::default()) };
        let cells = mailbox.cells()?;
        let changes = bring_up(order, &cells, old, new);
        if changes.is_err() {
            // It is of neither view now; whoever comes next makes it from the numbers of the old one.
            self.order = None;
        }
        let (changes, first_untold) = changes?;
        let expunged_upto = match first_untold {
            Some(first) => new.expunged_upto.max(ModSeq(first.0.saturating_sub(1))).min(new.flags_upto),
            None => new.flags_upto,
        };
        let new = ParkedView { expunged_upto, ..new };
        let exists = self.order.as_ref().map_or(self.exists, Order::total);
        self.told = new;
        self.exists = exists;
        Ok(changes)
    }

    fn cache(&self) -> Option<&Order> {
        debug_assert!(self.order.is_some(), "the cache of a parked view is used before it is made again");
        self.order.as_ref()
    }
}

/// The order of the cells in the view `told`.
fn build(cells: &Cells, told: ParkedView) -> Result<Order> {
    let count = cells.count_up_to(told.uid_upto)?;
    let mut order = Order::with_room_for(count);
    for block in 0..count.div_ceil(64) {
        order.push(cells.not_expunged_upto(block, told.expunged_upto)? & low_bits(count - block * 64));
    }
    order.set_count(count);
    Ok(order)
}

/// Turns the order of the view `old` into that of `new`. Also says which is the first expunge that `new` does not tell.
fn bring_up(
    order: &mut Order,
    cells: &Cells,
    old: ParkedView,
    new: ParkedView,
) -> Result<(Changes, Option<ModSeq>)> {
    let mut first_untold = None;
    let mut changes = Changes::default();
    let old_count = order.count();
    let count = cells.count_up_to(new.uid_upto)?.max(old_count);
    let old_total = order.total();
    let mut old_before = 0;
    let mut before = 0;
    for block in 0..count.div_ceil(64) {
        let told = low_bits(old_count.saturating_sub(block * 64));
        let present = low_bits(count - block * 64);
        let old_bits = order.bits(block);
        let (max_modseq, max_expunge) = cells.block_modseqs(block)?;
        let expunges = max_expunge > old.expunged_upto && new.expunged_upto > old.expunged_upto;
        let bits = if told != present || expunges {
            let bits = cells.not_expunged_upto(block, new.expunged_upto)? & present;
            // What was in view and is not any more was expunged; what was out of view stays so.
            let mut gone = old_bits & !bits;
            while gone != 0 {
                let bit = gone.trailing_zeros();
                gone &= gone - 1;
                let place = old_before + (old_bits & low_bits(bit)).count_ones() + 1;
                let uid = cells.uid(CellIndex(block * 64 + bit))?;
                changes.expunged.push(place - changes.expunged.len() as u32);
                changes.expunged_uids.push(uid);
            }
            bits & (old_bits | !told)
        } else {
            old_bits
        };
        if max_expunge > new.expunged_upto {
            let mut tombstones = bits & !cells.block_summary(block)?.live;
            while tombstones != 0 {
                let index = CellIndex(block * 64 + tombstones.trailing_zeros());
                tombstones &= tombstones - 1;
                let flags = cells.flags(index)?;
                if flags.expunged && first_untold.is_none_or(|first| flags.modseq < first) {
                    first_untold = Some(flags.modseq);
                }
            }
        }
        if max_modseq > old.flags_upto {
            let mut candidates = bits & told;
            while candidates != 0 {
                let index = CellIndex(block * 64 + candidates.trailing_zeros());
                candidates &= candidates - 1;
                let flags = cells.flags(index)?;
                if !flags.expunged && flags.modseq > old.flags_upto && flags.modseq <= new.flags_upto {
                    changes.flags.push(index);
                }
            }
        }
        order.put(block, bits, before);
        old_before += old_bits.count_ones();
        before += bits.count_ones();
    }
    order.set_count(count);
    let added = (before + changes.expunged.len() as u32).saturating_sub(old_total);
    changes.exists = (added != 0).then_some(before);
    Ok((changes, first_untold))
}
