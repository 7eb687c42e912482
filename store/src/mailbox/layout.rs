//! Where everything is in a cells file: the drawing "Mailbox cells" of `FORMAT.md` as constants, and the encoding of cells
//! and checksums. Nothing here touches a file.

use super::sums;
use crate::change::{Added, Flags, SystemFlags, ZonedTime};
use crate::mapping::LINE_BYTES;

/// `LODEMBX1` as the file has it.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"LODEMBX1");
/// The format this code reads and writes.
pub(crate) const FORMAT: u32 = 1;
/// Octets of a block.
pub(crate) const BLOCK_BYTES: u64 = 4096;
/// Cells of a block, and summaries of a summary block.
pub(crate) const CELLS_PER_BLOCK: u32 = 64;
/// Blocks of a group: a summary block and the 63 blocks it tells of.
pub(crate) const BLOCKS_PER_GROUP: u64 = 64;
/// Octets of a file without cells: header and keyword names.
pub(crate) const EMPTY_FILE_BYTES: u64 = 2 * BLOCK_BYTES;
/// Where the keyword names begin.
pub(crate) const KEYWORDS_OFFSET: u64 = BLOCK_BYTES;
/// Octets of a keyword's name at most: its line has its length before it and a CRC-32C behind it.
pub(crate) const KEYWORD_NAME_BYTES: usize = KEYWORD_CRC - 1;
/// Where the checksum of a keyword's line is in it.
pub(crate) const KEYWORD_CRC: usize = LINE_BYTES - 4;

/// First line of the header, offsets in the file.
pub(crate) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const FORMAT: usize = 8;
    pub(crate) const EPOCH: usize = 12;
    pub(crate) const USER: usize = 16;
    pub(crate) const MAILBOX: usize = 20;
    pub(crate) const UID_VALIDITY: usize = 24;
    pub(crate) const UID_NEXT: usize = 28;
    pub(crate) const HIGHEST_MODSEQ: usize = 32;
    pub(crate) const CELLS_USED: usize = 40;
    pub(crate) const LIVE: usize = 44;
    pub(crate) const UNSEEN: usize = 48;
    pub(crate) const DELETED: usize = 52;
    pub(crate) const SIZE: usize = 56;
}

/// Second line of the header, offsets in that line.
pub(crate) mod header_tail {
    /// Where the line is in the file.
    pub(crate) const LINE: u64 = 64;
    /// The epoch for which `UID_NEXT` and `HIGHEST_MODSEQ` were raised last.
    pub(crate) const RAISED_EPOCH: usize = 0;
    pub(crate) const PATCHES: usize = 4;
    pub(crate) const KEYWORDS_USED: usize = 8;
    pub(crate) const FLAGS: usize = 12;
    pub(crate) const PUBLICATIONS: usize = 16;
    pub(crate) const UNRELEASED: usize = 20;
    pub(crate) const DELETED_AT: usize = 24;
    pub(crate) const SETTLED_UID: usize = 28;
    pub(crate) const EXPUNGE_FLOOR: usize = 32;
    /// The number, and its complement in the upper half.
    pub(crate) const FIRST_RECENT_UID: usize = 48;
    pub(crate) const CHECK: usize = 56;
    pub(crate) const CRC: usize = 60;
    /// The flags word has the complement of the flags in its upper half.
    pub(crate) const FLAGS_BITS: u32 = 16;
    /// A flag: the mailbox was deleted.
    pub(crate) const FLAG_DELETED: u32 = 1;
    /// A flag of a deleted mailbox: its cells hold no references any more.
    pub(crate) const FLAG_RELEASED: u32 = 1 << 1;
    /// A flag: a file without tombstones is made, or was to be made by one that died.
    pub(crate) const FLAG_BEING_REWRITTEN: u32 = 1 << 2;
    /// A flag: another file has the mailbox's name.
    pub(crate) const FLAG_REPLACED: u32 = 1 << 3;
    /// A flag: cells were lost, and are to be made again from the logs.
    pub(crate) const FLAG_CELLS_LOST: u32 = 1 << 4;
    /// A flag: the user's usage view has a row of this mailbox.
    pub(crate) const FLAG_USAGE_KEPT: u32 = 1 << 8;
    /// A flag: a message was annotated; there is a file of annotations beside the cells.
    pub(crate) const FLAG_ANNOTATED: u32 = 1 << 9;
}

/// A mailbox cell, offsets in its line.
pub(crate) mod cell {
    pub(crate) const UID: usize = 0;
    pub(crate) const FLAGS: usize = 4;
    pub(crate) const KEYWORDS: usize = 8;
    pub(crate) const MODSEQ: usize = 16;
    pub(crate) const INTERNAL_DATE: usize = 24;
    pub(crate) const SENT_DATE: usize = 32;
    pub(crate) const SIZE: usize = 40;
    pub(crate) const SAVE_DATE: usize = 44;
    pub(crate) const PAGE: usize = 48;
    pub(crate) const DIRECTORY: usize = 52;
    pub(crate) const EXPUNGED_AT: usize = 56;
    pub(crate) const CRC: usize = 60;
    /// The bits of the flags word that are a check of what changes in the cell.
    pub(crate) const CHECK_MASK: u32 = 0xff_ffff << CHECK_SHIFT;
    pub(crate) const CHECK_SHIFT: u32 = 5;
    /// The bit of the flags that makes a cell a tombstone.
    pub(crate) const EXPUNGED: u32 = 1 << 31;
    /// The bit of a tombstone that holds no reference to its message any more.
    pub(crate) const RELEASED: u32 = 1 << 30;
}

/// A block summary, offsets in its line.
pub(crate) mod summary {
    pub(crate) const MAX_MODSEQ: usize = 0;
    pub(crate) const MAX_EXPUNGE_MODSEQ: usize = 8;
    pub(crate) const LIVE: usize = 16;
    pub(crate) const SEEN: usize = 24;
    pub(crate) const ANSWERED: usize = 32;
    pub(crate) const FLAGGED: usize = 40;
    pub(crate) const DELETED: usize = 48;
    pub(crate) const DRAFT: usize = 56;
    /// The upper octets of the two modseqs are a check of the line.
    pub(crate) const MODSEQ_MASK: u64 = u64::MAX >> 8;
}

const _: () = {
    assert!(header::SIZE + 8 == LINE_BYTES);
    assert!(header_tail::CRC + 4 == LINE_BYTES);
    assert!(header_tail::DELETED_AT + 4 == header_tail::SETTLED_UID);
    assert!(header_tail::SETTLED_UID + 4 == header_tail::EXPUNGE_FLOOR);
    assert!(
        header_tail::EXPUNGE_FLOOR.is_multiple_of(8)
            && header_tail::EXPUNGE_FLOOR + 8 <= header_tail::FIRST_RECENT_UID
    );
    assert!(
        header_tail::FIRST_RECENT_UID + 8 == header_tail::CHECK && header_tail::CHECK + 4 == header_tail::CRC
    );
    assert!(header_tail::RAISED_EPOCH == 0 && header_tail::PATCHES == 4);
    assert!(header_tail::FLAGS == 12 && header_tail::PUBLICATIONS == 16);
    assert!(cell::CRC + 4 == LINE_BYTES);
    assert!(cell::UID + 4 == cell::FLAGS && cell::MODSEQ + 8 == cell::INTERNAL_DATE);
    assert!(cell::EXPUNGED_AT + 4 == cell::CRC);
    assert!(summary::DRAFT + 8 == LINE_BYTES);
    assert!(CELLS_PER_BLOCK as u64 * LINE_BYTES as u64 == BLOCK_BYTES);
    assert!(BLOCKS_PER_GROUP * LINE_BYTES as u64 == BLOCK_BYTES);
    // The header's two lines are the summary slots of block 0 itself and of the keyword names, which need none.
    assert!(header_tail::LINE == LINE_BYTES as u64);
    assert!(file_block(0) == 2 && file_block(61) == 63 && file_block(62) == 65);
    assert!(summary_offset(0) == 128 && summary_offset(62) == 64 * BLOCK_BYTES + 64);
};

/// The block of the file that holds cell block `block`: every 64th block holds summaries, and block 1 keyword names.
pub(crate) const fn file_block(block: u32) -> u64 {
    let ordinal = block as u64 + 1;
    let each = BLOCKS_PER_GROUP - 1;
    ordinal / each * BLOCKS_PER_GROUP + ordinal % each + 1
}

/// Where the summary of cell block `block` is.
pub(crate) const fn summary_offset(block: u32) -> u64 {
    let place = file_block(block);
    place / BLOCKS_PER_GROUP * BLOCKS_PER_GROUP * BLOCK_BYTES + place % BLOCKS_PER_GROUP * LINE_BYTES as u64
}

/// Where cell `index` is.
pub(crate) const fn cell_offset(index: u32) -> u64 {
    let within = (index % CELLS_PER_BLOCK) as u64;
    file_block(index / CELLS_PER_BLOCK) * BLOCK_BYTES + within * LINE_BYTES as u64
}

/// Octets of a file with room for `cells`.
pub(crate) const fn bytes_for(cells: u32) -> u64 {
    if cells == 0 { EMPTY_FILE_BYTES } else { (file_block((cells - 1) / CELLS_PER_BLOCK) + 1) * BLOCK_BYTES }
}

/// Cell blocks that a file of `bytes` has whole.
pub(crate) fn blocks_in(bytes: u64) -> u32 {
    let blocks = bytes / BLOCK_BYTES;
    let groups = blocks / BLOCKS_PER_GROUP;
    let rest = (blocks % BLOCKS_PER_GROUP).saturating_sub(1);
    u32::try_from((groups * (BLOCKS_PER_GROUP - 1) + rest).saturating_sub(1)).unwrap_or(u32::MAX)
}

/// The flags word of a cell that is not expunged.
pub(crate) fn flags_word(flags: Flags) -> u32 {
    u32::from(flags.system.0 & 0x1f)
}

/// The flags word of a cell with the check of all that changes in it.
pub(crate) fn sealed_flags(uid: u32, word: u32, keywords: u64, modseq: u64, expunged_at: u32) -> u32 {
    let word = word & !cell::CHECK_MASK;
    word | sums::of_flags(uid, word, keywords, modseq, expunged_at) << cell::CHECK_SHIFT
}

/// The word that holds the flags `flags` of a mailbox.
pub(crate) fn mailbox_flags_word(flags: u32) -> u32 {
    let low = flags & ((1 << header_tail::FLAGS_BITS) - 1);
    low | !low << header_tail::FLAGS_BITS
}

/// The flags of a mailbox that `word` holds; `None` if it was damaged.
pub(crate) fn mailbox_flags(word: u32) -> Option<u32> {
    let flags = word & ((1 << header_tail::FLAGS_BITS) - 1);
    (mailbox_flags_word(flags) == word).then_some(flags)
}

/// The check of a header's two lines: all that is not changed without the mailbox's lock and has no check of its own.
pub(crate) fn header_check(first: &[u8; LINE_BYTES], second: &[u8; LINE_BYTES]) -> u32 {
    let low = |word: u64| word & u64::from(u32::MAX);
    let words: [u64; 14] = std::array::from_fn(|at| match at {
        0..8 => u64_at(first, at * 8),
        // Without `patches`, the flags and `publications`.
        8 => low(u64_at(second, 0)),
        9 => low(u64_at(second, 8)),
        10 => u64_at(second, 16) >> 32,
        at => u64_at(second, (at - 8) * 8),
    });
    sums::of_header(words)
}

/// The flags that a cell's words say.
pub(crate) fn flags_of(word: u32, keywords: u64) -> Flags {
    Flags { system: SystemFlags((word & 0x1f) as u8), keywords }
}

/// A whole new cell.
pub(crate) fn encode_cell(added: &Added) -> [u8; LINE_BYTES] {
    let mut bytes = [0; LINE_BYTES];
    let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
    put(cell::UID, &added.uid.get().to_le_bytes());
    let word =
        sealed_flags(added.uid.get(), flags_word(added.flags), added.flags.keywords, added.modseq.0, 0);
    put(cell::FLAGS, &word.to_le_bytes());
    put(cell::KEYWORDS, &added.flags.keywords.to_le_bytes());
    put(cell::MODSEQ, &added.modseq.0.to_le_bytes());
    put(cell::INTERNAL_DATE, &added.internal_date.pack().to_le_bytes());
    put(cell::SENT_DATE, &added.sent_date.map_or(0, ZonedTime::pack).to_le_bytes());
    put(cell::SIZE, &added.size.to_le_bytes());
    put(cell::SAVE_DATE, &added.save_seconds.to_le_bytes());
    put(cell::PAGE, &added.message.page.0.to_le_bytes());
    put(cell::DIRECTORY, &added.message.index.to_le_bytes());
    let crc = cell_crc(&bytes);
    bytes[cell::CRC..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// CRC-32C of the part of a cell that never changes.
pub(crate) fn cell_crc(bytes: &[u8; LINE_BYTES]) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&bytes[..cell::FLAGS]),
        &bytes[cell::INTERNAL_DATE..cell::EXPUNGED_AT],
    )
}

/// Four octets of a copied line.
pub(crate) fn u32_at(bytes: &[u8; LINE_BYTES], offset: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(value)
}

/// Eight octets of a copied line.
pub(crate) fn u64_at(bytes: &[u8; LINE_BYTES], offset: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(value)
}

/// CRC-32C of the part of a header that never changes.
pub(crate) fn header_crc(first_line: &[u8; LINE_BYTES]) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&first_line[..header::EPOCH]),
        &first_line[header::USER..header::UID_NEXT],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_cells_summaries_and_names_do_not_overlap() {
        let mut taken = std::collections::BTreeSet::from([0, 1]);
        for block in 0..1000 {
            assert!(taken.insert(file_block(block)), "block {block}");
            let place = summary_offset(block);
            assert_eq!(place / BLOCK_BYTES % BLOCKS_PER_GROUP, 0);
            assert_eq!(place / BLOCK_BYTES, file_block(block) / BLOCKS_PER_GROUP * BLOCKS_PER_GROUP);
            assert!(place >= 128, "the header is two lines");
        }
        for group in 0..10 {
            assert_eq!(taken.contains(&(group * BLOCKS_PER_GROUP)), group == 0);
        }
    }

    #[test]
    fn a_cell_is_drawn_as_documented() {
        let added = crate::mailbox::tests::added(0x0102_0304, 0x1122_3344_5566_7788, 0b0_1001);
        let bytes = encode_cell(&added);
        let mut want = Vec::new();
        want.extend([4, 3, 2, 1]);
        let keywords = 0x0102_0304_u64 % 3;
        want.extend(sealed_flags(0x0102_0304, 9, keywords, 0x1122_3344_5566_7788, 0).to_le_bytes());
        assert_eq!(want[4] & 0x1f, 9);
        want.extend((0x0102_0304_u64 % 3).to_le_bytes());
        want.extend([0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
        want.extend((((1_700_000_000 + 0x0102_0304 + (1_u64 << 52)) << 11) | (1024 + 60)).to_le_bytes());
        want.extend(((((1_u64 << 52) - 5) << 11) | (1024 - 300)).to_le_bytes());
        want.extend((1000 + 0x0102_0304_u32).to_le_bytes());
        want.extend((1_800_000_000 + 0x0102_0304_u32).to_le_bytes());
        want.extend(20_000_u32.to_le_bytes());
        want.extend(0x0204_0608_u32.to_le_bytes());
        want.extend([0; 4]);
        assert_eq!(bytes[..60], want);
        let covered: Vec<u8> = [&want[..4], &want[24..56]].concat();
        assert_eq!(u32_at(&bytes, cell::CRC), crc32c::crc32c(&covered));
    }

    #[test]
    fn a_file_has_the_blocks_its_length_promises() {
        assert_eq!(bytes_for(0), 8192);
        assert_eq!(bytes_for(64), 12288);
        assert_eq!(bytes_for(65), 16384);
        assert_eq!(bytes_for(62 * 64 + 1), 66 * 4096);
        for block in 0..1000 {
            let bytes = bytes_for(block * CELLS_PER_BLOCK + 1);
            assert_eq!(blocks_in(bytes), block + 1);
            assert_eq!(blocks_in(bytes - 1), block);
        }
        assert_eq!(blocks_in(0), 0);
    }
}
