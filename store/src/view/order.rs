//! Sequence numbers ↔ cells: a bitmap of the cells in view, and for each 64 of them how many are before. Plain memory.

use std::ops::RangeInclusive;

use crate::ids::CellIndex;
use crate::mailbox::low_bits;

/// The cells in view, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    bits: Vec<u64>,
    /// How many cells in view are before each block.
    before: Vec<u32>,
    total: u32,
    /// Cells that the view has been decided for, in view or not.
    count: u32,
}

impl Order {
    pub(super) fn with_room_for(count: u32) -> Order {
        let blocks = count.div_ceil(64) as usize;
        Order { bits: Vec::with_capacity(blocks), before: Vec::with_capacity(blocks), total: 0, count: 0 }
    }

    /// Adds a block at the end.
    pub(super) fn push(&mut self, bits: u64) {
        self.bits.push(bits);
        self.before.push(self.total);
        self.total += bits.count_ones();
    }

    /// Replaces a block, or adds the one behind the last. All from it to the last must be put again, ascending.
    pub(super) fn put(&mut self, block: u32, bits: u64, before: u32) {
        let place = block as usize;
        match (self.bits.get_mut(place), self.before.get_mut(place)) {
            (Some(old_bits), Some(old_before)) => (*old_bits, *old_before) = (bits, before),
            _ => {
                self.bits.push(bits);
                self.before.push(before);
            }
        }
        self.total = before + bits.count_ones();
    }

    pub(super) fn set_count(&mut self, count: u32) {
        self.count = count;
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }

    pub(super) fn bits(&self, block: u32) -> u64 {
        self.bits.get(block as usize).copied().unwrap_or(0)
    }

    /// Blocks and the bitmaps of their cells in view.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (u32, u64)> {
        (0..).zip(self.bits.iter().copied())
    }

    /// How many cells in view are before cell `index`.
    pub(super) fn before(&self, index: u32) -> u32 {
        let block = (index / 64) as usize;
        match (self.before.get(block), self.bits.get(block)) {
            (Some(before), Some(bits)) => before + (bits & low_bits(index % 64)).count_ones(),
            _ => self.total,
        }
    }

    pub(super) fn seq_of_cell(&self, cell: CellIndex) -> Option<u32> {
        let in_view = self.bits(cell.0 / 64) >> (cell.0 % 64) & 1 == 1;
        in_view.then(|| self.before(cell.0) + 1)
    }

    pub(super) fn cell_of_seq(&self, seq: u32) -> Option<CellIndex> {
        let rank = seq.checked_sub(1).filter(|rank| *rank < self.total)?;
        let block = self.block_of(rank);
        let bit = select(self.bits[block], rank - self.before[block]);
        Some(CellIndex(block as u32 * 64 + bit))
    }

    pub(super) fn range(&self, seqs: RangeInclusive<u32>) -> CellsInView<'_> {
        let first = (*seqs.start()).max(1);
        let last = (*seqs.end()).min(self.total);
        if first > last {
            return CellsInView::none();
        }
        let block = self.block_of(first - 1);
        let bit = select(self.bits[block], first - 1 - self.before[block]);
        let rest = self.bits[block] & !low_bits(bit);
        CellsInView { bits: &self.bits, block, rest, next: first, left: last - first + 1 }
    }

    /// The blocks that hold messages with these sequence numbers, and nothing but those messages of them.
    pub(super) fn blocks_in_range(
        &self,
        seqs: RangeInclusive<u32>,
    ) -> impl Iterator<Item = BlockInView> + '_ {
        let first = (*seqs.start()).max(1);
        let last = (*seqs.end()).min(self.total);
        let block = if first > last { self.bits.len() } else { self.block_of(first - 1) };
        (block..self.bits.len()).map_while(move |block| {
            let (mut bits, before) = (self.bits[block], self.before[block]);
            if before >= last {
                return None;
            }
            let here = bits.count_ones();
            let skipped = (first - 1).saturating_sub(before).min(here);
            if skipped > 0 {
                bits &= !low_bits(select_or_end(bits, skipped));
            }
            if before + here > last {
                bits &= low_bits(select_or_end(self.bits[block], last - before));
            }
            Some(BlockInView { block: block as u32, messages: bits, first_sequence: before + skipped + 1 })
        })
    }

    /// The block with the cell that `rank` others are before; there is one.
    fn block_of(&self, rank: u32) -> usize {
        // Where nothing was expunged, this is the block.
        let guess = (rank / 64) as usize;
        let holds = |block: usize| {
            self.before[block] <= rank && self.before.get(block + 1).is_none_or(|next| *next > rank)
        };
        if guess < self.before.len() && holds(guess) {
            return guess;
        }
        self.before.partition_point(|before| *before <= rank) - 1
    }
}

/// Messages that stand in one block of 64 cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInView {
    /// The block: cells from 64 times this on.
    pub block: u32,
    /// The cells that are meant, the lowest bit for the first cell of the block. Perhaps none.
    pub messages: u64,
    /// The sequence number of the first of them; the others follow without a gap.
    pub first_sequence: u32,
}

/// The place of the set bit that `rank` others are below, 64 if there is none.
fn select_or_end(bits: u64, rank: u32) -> u32 {
    if rank < bits.count_ones() { select(bits, rank) } else { 64 }
}

/// The place of the set bit that `rank` others are below; there is one.
fn select(bits: u64, rank: u32) -> u32 {
    if bits == u64::MAX {
        return rank;
    }
    let (mut low, mut width, mut rank) = (0, 32, rank);
    while width > 0 {
        let below = (bits >> low & low_bits(width)).count_ones();
        if below <= rank {
            rank -= below;
            low += width;
        }
        width /= 2;
    }
    low
}

/// Sequence numbers and cells of messages in view, ascending.
#[derive(Clone, Debug)]
pub struct CellsInView<'a> {
    bits: &'a [u64],
    block: usize,
    rest: u64,
    next: u32,
    left: u32,
}

impl CellsInView<'_> {
    pub(super) fn none() -> Self {
        CellsInView { bits: &[], block: 0, rest: 0, next: 1, left: 0 }
    }
}

impl Iterator for CellsInView<'_> {
    type Item = (u32, CellIndex);

    #[inline]
    fn next(&mut self) -> Option<(u32, CellIndex)> {
        if self.left == 0 {
            return None;
        }
        while self.rest == 0 {
            self.block += 1;
            self.rest = *self.bits.get(self.block)?;
        }
        let cell = CellIndex(self.block as u32 * 64 + self.rest.trailing_zeros());
        self.rest &= self.rest - 1;
        let seq = self.next;
        self.next += 1;
        self.left -= 1;
        Some((seq, cell))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for CellsInView<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn select_finds_every_bit() {
        for bits in [1, u64::MAX, 0x8000_0000_0000_0001, 0xdead_beef_0123_4567, 1 << 63, u64::MAX >> 1] {
            let places: Vec<u32> = (0..64).filter(|bit| bits >> bit & 1 == 1).collect();
            for (rank, place) in (0..).zip(&places) {
                assert_eq!(select(bits, rank), *place, "{bits:x} {rank}");
            }
        }
    }

    #[test]
    fn ranges_are_cut_to_what_there_is() {
        let mut order = Order::with_room_for(200);
        for bits in [0b1010, 0, u64::MAX, 1 << 63] {
            order.push(bits);
        }
        assert_eq!(order.total(), 67);
        let all: Vec<_> = order.range(1..=u32::MAX).collect();
        assert_eq!(all.len(), 67);
        for (seq, cell) in &all {
            assert_eq!(order.cell_of_seq(*seq), Some(*cell));
            assert_eq!(order.seq_of_cell(*cell), Some(*seq));
        }
        for first in 0..70 {
            for last in 0..70 {
                let want: Vec<_> =
                    all.iter().copied().filter(|(seq, _)| (first..=last).contains(seq)).collect();
                assert_eq!(order.range(first..=last).collect::<Vec<_>>(), want, "{first}..={last}");
                let mut in_blocks = Vec::new();
                for block in order.blocks_in_range(first..=last) {
                    let places = (0..64).filter(|bit| block.messages >> bit & 1 == 1);
                    let cells = places.map(|bit| CellIndex(block.block * 64 + bit));
                    in_blocks.extend((block.first_sequence..).zip(cells));
                }
                assert_eq!(in_blocks, want, "{first}..={last} by blocks");
            }
        }
        assert_eq!(order.cell_of_seq(0), None);
        assert_eq!(order.cell_of_seq(68), None);
    }
}
