//! What happened in a mailbox since a modseq that a client remembers, as of a view: for RFC 7162, 3.2. Asks the block summaries first, so
//! that what did not change is not read.
//!
//! A tombstone that is still in view is not among what vanished: the session will be told of it as of any other expunge.

use super::{Order, View};
use crate::error::Result;
use crate::ids::{CellIndex, ModSeq, Uid};
use crate::mailbox::{Cells, Mailbox, low_bits};

/// Inclusive ranges of numbers, ascending, none of which touch.
type Ranges = Vec<(u32, u32)>;

impl View {
    /// Sequence numbers among `sequences`, which are ascending ranges, of messages that changed after `since` and were not expunged.
    pub fn seqs_changed_since(
        &self,
        mailbox: &Mailbox,
        since: ModSeq,
        sequences: &[(u32, u32)],
    ) -> Result<Ranges> {
        let cells = mailbox.cells()?;
        let mut changed = Ranges::new();
        let Some(order) = self.cache() else { return Ok(changed) };
        let mut wanted = Among::new(sequences);
        let mut before = 0;
        for (block, in_view) in order.blocks() {
            let first = before + 1;
            before += in_view.count_ones();
            if in_view == 0 || !wanted.reach_to(first, before) || cells.block_modseqs(block)?.0 <= since {
                continue;
            }
            let mut rest = in_view;
            for seq in first.. {
                if rest == 0 {
                    break;
                }
                let index = CellIndex(block * 64 + rest.trailing_zeros());
                rest &= rest - 1;
                if wanted.has(seq) {
                    let state = cells.flags(index)?;
                    if state.modseq > since && !state.expunged {
                        push(&mut changed, seq);
                    }
                }
            }
        }
        Ok(changed)
    }

    /// UIDs among `uids`, which are ascending ranges, whose messages were expunged after `since` and are not in view. Where that is not known
    /// any more, all UIDs of `uids` up to the last in the mailbox ever that are not in view.
    pub fn uids_vanished_since(
        &self,
        mailbox: &Mailbox,
        since: ModSeq,
        uids: &[(u32, u32)],
    ) -> Result<Ranges> {
        let cells = mailbox.cells()?;
        let Some(order) = self.cache() else { return Ok(Ranges::new()) };
        if since < mailbox.expunge_floor()? {
            absent(order, &cells, uids, self.told.uid_upto)
        } else {
            vanished(order, &cells, since, uids)
        }
    }

    /// The highest UID up to which a client knows of all expunges, given messages whose numbers it remembers: of stretches of messages
    /// (sequence number, UID, count), in each of which both ascend by one, the last message that has that number now. 0 if there is none.
    pub fn last_matching_uid(&self, mailbox: &Mailbox, stretches: &[(u32, u32, u32)]) -> Result<u32> {
        let cells = mailbox.cells()?;
        let exists = self.exists;
        for &(first_seq, first_uid, count) in stretches.iter().rev() {
            // UIDs ascend at least as fast as numbers, so that among the messages of a stretch those that are where they were stand
            // together: behind them are only higher UIDs, before them lower ones.
            let (mut low, mut high) = (0, count.min(exists.saturating_sub(first_seq.saturating_sub(1))));
            let mut found = None;
            while low < high {
                let middle = low + (high - low) / 2;
                let (Some(seq), Some(wanted)) =
                    (first_seq.checked_add(middle), first_uid.checked_add(middle))
                else {
                    high = middle;
                    continue;
                };
                let Some(cell) = self.cell_of_seq(seq) else {
                    high = middle;
                    continue;
                };
                let uid = cells.uid(cell)?.get();
                if uid == wanted {
                    found = Some(uid);
                }
                if uid <= wanted {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            if let Some(uid) = found {
                return Ok(uid);
            }
        }
        Ok(0)
    }
}

/// Tombstones out of view that are newer than `since`.
fn vanished(order: &Order, cells: &Cells, since: ModSeq, uids: &[(u32, u32)]) -> Result<Ranges> {
    let mut gone = Ranges::new();
    let mut wanted = Among::new(uids);
    for (block, in_view) in order.blocks() {
        if cells.block_modseqs(block)?.1 <= since {
            continue;
        }
        let mut candidates = low_bits(order.count().saturating_sub(block * 64)) & !in_view;
        while candidates != 0 {
            let index = CellIndex(block * 64 + candidates.trailing_zeros());
            candidates &= candidates - 1;
            let state = cells.flags(index)?;
            if state.expunged && state.modseq > since && wanted.has(state.uid.get()) {
                push(&mut gone, state.uid.get());
            }
        }
    }
    Ok(gone)
}

/// All UIDs of `uids` up to `last` that are not in view.
fn absent(order: &Order, cells: &Cells, uids: &[(u32, u32)], last: u32) -> Result<Ranges> {
    let mut gone = Ranges::new();
    for &(first, end) in uids {
        let end = end.min(last);
        let mut next = first;
        let from = order.before(cells.count_up_to(first.saturating_sub(1))?) + 1;
        for (_, index) in order.range(from..=u32::MAX) {
            let uid: Uid = cells.uid(index)?;
            if uid.get() > end {
                break;
            }
            if uid.get() > next {
                gone.push((next, uid.get() - 1));
            }
            next = uid.get().saturating_add(1);
        }
        if next <= end {
            gone.push((next, end));
        }
    }
    Ok(gone)
}

fn push(ranges: &mut Ranges, number: u32) {
    match ranges.last_mut() {
        Some(last) if last.1.checked_add(1) == Some(number) => last.1 = number,
        _ => ranges.push((number, number)),
    }
}

/// Says of ascending numbers whether they are in ascending ranges.
struct Among<'a> {
    rest: &'a [(u32, u32)],
}

impl<'a> Among<'a> {
    fn new(ranges: &'a [(u32, u32)]) -> Among<'a> {
        Among { rest: ranges }
    }

    fn skip_below(&mut self, number: u32) {
        while let Some((&(_, last), rest)) = self.rest.split_first()
            && last < number
        {
            self.rest = rest;
        }
    }

    fn has(&mut self, number: u32) -> bool {
        self.skip_below(number);
        self.rest.first().is_some_and(|&(first, _)| first <= number)
    }

    /// Whether any of the numbers from `first` to `last` is in them.
    fn reach_to(&mut self, first: u32, last: u32) -> bool {
        self.skip_below(first);
        self.rest.first().is_some_and(|&(start, _)| start <= last)
    }
}
