//! What is in a directory cell: the drawing "Directory cell" of `FORMAT.md` as constants, and the encoding of its two words
//! that change in one exchange: count and state, and the place of the frame. Nothing here touches a file.

use crate::page::directory::{CellState, MessagePlace};

pub(super) const COUNT_AND_STATE: usize = 0;
pub(super) const PLACE: usize = 8;
pub(super) const CONTENT_LEN: usize = 24;
pub(super) const RECORD_OFFSET: usize = 32;
pub(super) const RECORD_LEN: usize = 40;
pub(super) const RECORD_CRC: usize = 44;
pub(super) const CONTENT_HASH: usize = 48;
pub(super) const HEADER_SIZE: usize = 56;
pub(super) const CRC: usize = 60;

const KIND_FREE: u32 = 0;
const KIND_IN_USE: u32 = 1;
const KIND_LOST: u32 = 2;
const KIND_FREED: u32 = 3;
const KIND: u32 = 3;
const ANALYSED: u32 = 1 << 8;
const TOUCHED: u32 = 1 << 9;
const PUNCHED: u32 = 1 << 10;
const RECORD_WRITER: u32 = 16;

/// A frame begins at a multiple of 8 below 2^28 (a log of 2^28 octets gets no more frames), in one of 2^16 buckets of one of
/// 2^12 writers: 53 bits. The other 11 are a checksum.
const OFFSET_BITS: u32 = 25;
const BUCKET_BITS: u32 = 16;
const WRITER_BITS: u32 = 12;
const PLACE_BITS: u32 = OFFSET_BITS + BUCKET_BITS + WRITER_BITS;
const _: () = assert!(PLACE_BITS == 53);

/// Bits of the word of count and state that are a check of the others, from this one on.
const CHECK_SHIFT: u32 = 34;
const CHECK: u64 = 0x3f << CHECK_SHIFT;
/// For each bit of the check, the bits whose parity it is. Each bit of the word is in another, not empty set of them, so that any flipped
/// bit is found. A word of zeros is whole.
const PARITIES: [u64; 6] = {
    let mut masks = [0; 6];
    let (mut bit, mut column) = (0, 1);
    while bit < 64 {
        if CHECK >> bit & 1 == 0 {
            let mut parity = 0;
            while parity < 6 {
                masks[parity] |= (column >> parity & 1) << bit;
                parity += 1;
            }
            column += 1;
        }
        bit += 1;
    }
    assert!(column - 1 == 58);
    masks
};

/// The first eight octets of a cell, changed in one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CountAndState(pub(super) u64);

impl CountAndState {
    /// The word with its check.
    pub(super) fn sealed(self) -> u64 {
        let word = self.0 & !CHECK;
        let parities = PARITIES.iter().enumerate();
        let check =
            parities.fold(0, |check, (at, mask)| check | u64::from((word & mask).count_ones() & 1) << at);
        word | check << CHECK_SHIFT
    }

    /// Whether the check is that of the rest.
    pub(super) fn is_whole(self) -> bool {
        self.sealed() == self.0
    }

    pub(super) fn references(self) -> u32 {
        self.0 as u32
    }

    fn word(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) fn state(self) -> CellState {
        match self.word() & KIND {
            KIND_IN_USE => CellState::InUse,
            KIND_LOST => CellState::Lost,
            KIND_FREED => CellState::Freed,
            _ => CellState::Free,
        }
    }

    pub(super) fn is_touched(self) -> bool {
        self.word() & TOUCHED != 0
    }

    /// The writer in whose record file the record is, if there is one.
    pub(super) fn record_writer(self) -> Option<u16> {
        (self.word() & ANALYSED != 0).then_some((self.word() >> RECORD_WRITER) as u16)
    }

    fn with_word(self, word: u32) -> CountAndState {
        CountAndState(u64::from(self.references()) | u64::from(word) << 32)
    }

    pub(super) fn with_references(self, references: u32) -> CountAndState {
        CountAndState(self.0 >> 32 << 32 | u64::from(references))
    }

    pub(super) fn with_state(self, state: CellState) -> CountAndState {
        let kind = match state {
            CellState::Free => KIND_FREE,
            CellState::InUse => KIND_IN_USE,
            CellState::Lost => KIND_LOST,
            CellState::Freed => KIND_FREED,
        };
        self.with_word(self.word() & !KIND | kind)
    }

    pub(super) fn touched(self, touched: bool) -> CountAndState {
        self.with_word(if touched { self.word() | TOUCHED } else { self.word() & !TOUCHED })
    }

    pub(super) fn is_punched(self) -> bool {
        self.word() & PUNCHED != 0
    }

    pub(super) fn punched(self) -> CountAndState {
        self.with_word(self.word() | PUNCHED)
    }

    pub(super) fn with_record(self, writer: Option<u16>) -> CountAndState {
        let without = self.word() & (KIND | TOUCHED | PUNCHED);
        match writer {
            Some(writer) => self.with_word(without | ANALYSED | u32::from(writer) << RECORD_WRITER),
            None => self.with_word(without),
        }
    }
}

/// Where the frame is, as one word: so a message that is moved to another bucket is at every moment in the one or the other.
/// `None` for a place that no log has.
pub(super) fn pack_place(place: &MessagePlace) -> Option<u64> {
    let offset = place.frame_offset / 8;
    let fits = place.frame_offset.is_multiple_of(8)
        && offset >> OFFSET_BITS == 0
        && place.bucket >> BUCKET_BITS == 0
        && place.writer >> WRITER_BITS == 0;
    let packed = offset
        | u64::from(place.bucket) << OFFSET_BITS
        | u64::from(place.writer) << (OFFSET_BITS + BUCKET_BITS);
    fits.then_some(packed | place_checksum(packed) << PLACE_BITS)
}

/// Writer, bucket and frame offset of a word of `pack_place`; `None` if its checksum is wrong.
pub(super) fn unpack_place(word: u64) -> Option<(u16, u32, u64)> {
    let packed = word & ((1 << PLACE_BITS) - 1);
    if place_checksum(packed) != word >> PLACE_BITS {
        return None;
    }
    let bits = |from: u32, count: u32| packed >> from & ((1 << count) - 1);
    let writer = bits(OFFSET_BITS + BUCKET_BITS, WRITER_BITS) as u16;
    Some((writer, bits(OFFSET_BITS, BUCKET_BITS) as u32, bits(0, OFFSET_BITS) * 8))
}

/// The upper 11 bits of the CRC-32C, so that a word of zeros, too, has a wrong one.
fn place_checksum(packed: u64) -> u64 {
    u64::from(crc32c::crc32c(&packed.to_le_bytes())) >> 21
}

/// CRC-32C of octets 24..32 and 48..60 of the cell.
pub(super) fn content_crc(len: u64, hash: u64, header_size: u32) -> u32 {
    let mut bytes = [0; 20];
    bytes[0..8].copy_from_slice(&len.to_le_bytes());
    bytes[8..16].copy_from_slice(&hash.to_le_bytes());
    bytes[16..20].copy_from_slice(&header_size.to_le_bytes());
    crc32c::crc32c(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(writer: u16, bucket: u32, frame_offset: u64) -> MessagePlace {
        MessagePlace { writer, bucket, frame_offset, content_len: 1, content_hash: 2, header_size: 3 }
    }

    #[test]
    fn places_come_back_and_no_flipped_bit_passes() {
        for (writer, bucket, offset) in
            [(0, 0, 64), (4095, 65_535, (1 << 28) - 8), (65, 3, 1 << 27), (1, 0, 64)]
        {
            let word = pack_place(&place(writer, bucket, offset)).expect("it fits");
            assert_eq!(unpack_place(word), Some((writer, bucket, offset)));
            for bit in 0..64 {
                assert_eq!(unpack_place(word ^ 1 << bit), None, "bit {bit}");
            }
        }
        assert_eq!(unpack_place(0), None);
        for no_place in [place(4096, 0, 64), place(0, 65_536, 64), place(0, 0, 1 << 28), place(0, 0, 65)] {
            assert_eq!(pack_place(&no_place), None, "{no_place:?}");
        }
    }

    #[test]
    fn count_and_state_do_not_touch_each_other() {
        let word = CountAndState(0).with_state(CellState::InUse).with_references(u32::MAX);
        let word = word.with_record(Some(77)).touched(true);
        assert_eq!((word.references(), word.state(), word.record_writer()), {
            (u32::MAX, CellState::InUse, Some(77))
        });
        let word = word.with_references(0).with_state(CellState::Freed);
        assert_eq!((word.references(), word.state(), word.record_writer()), (0, CellState::Freed, Some(77)));
        assert!(word.is_touched() && !word.touched(false).is_touched());
        assert_eq!(word.with_record(None).record_writer(), None);
    }

    #[test]
    fn a_flipped_bit_of_count_and_state_is_found() {
        assert!(CountAndState(0).is_whole());
        for (references, state) in
            [(0, CellState::InUse), (77, CellState::InUse), (u32::MAX, CellState::Freed)]
        {
            let word = CountAndState(0).with_references(references).with_state(state).with_record(Some(65));
            let sealed = word.sealed();
            assert!(CountAndState(sealed).is_whole());
            assert_eq!(
                (CountAndState(sealed).references(), CountAndState(sealed).state()),
                (references, state)
            );
            for one in 0..64 {
                assert!(!CountAndState(sealed ^ 1 << one).is_whole(), "bit {one}");
            }
        }
    }
}
