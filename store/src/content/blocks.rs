//! Checksums of a message's octets, block by block, so that a part of it can be verified without reading all of it.
//!
//! A message of at most one block has none: its content hash, which the directory cell holds, is as quick. The others are made
//! while the message comes in, and lie behind its record, in the record's checksum ("Records" in `FORMAT.md`). They are derived:
//! a message whose record is lost is read whole, against its content hash, and they are made again.

/// Octets that one checksum covers. Small, because a client that wants a header's few octets has a block read for it.
pub(crate) const BLOCK_BYTES: u64 = 16 * 1024;
const SUM_BYTES: usize = 4;

/// Makes the checksums of octets that come in pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockSummer {
    done: Vec<u32>,
    current: u32,
    /// Octets of the current block so far.
    filled: u64,
}

impl BlockSummer {
    /// Takes the next octets.
    pub(crate) fn push(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            let room = usize::try_from(BLOCK_BYTES - self.filled).unwrap_or(usize::MAX);
            let (now, later) = octets.split_at(room.min(octets.len()));
            self.current = crc32c::crc32c_append(self.current, now);
            self.filled += now.len() as u64;
            octets = later;
            if self.filled == BLOCK_BYTES {
                self.done.push(self.current);
                (self.current, self.filled) = (0, 0);
            }
        }
    }

    /// Appends the checksums as they lie behind a record.
    pub(crate) fn append_to(mut self, record: &mut Vec<u8>) {
        if self.filled > 0 {
            self.done.push(self.current);
        }
        if self.done.len() > 1 {
            self.done.iter().for_each(|sum| record.extend_from_slice(&sum.to_le_bytes()));
        }
    }
}

/// Octets of the checksums of a message of `size` octets.
pub(crate) fn sums_len(size: u64) -> usize {
    if size <= BLOCK_BYTES {
        return 0;
    }
    usize::try_from(size.div_ceil(BLOCK_BYTES)).unwrap_or(usize::MAX).saturating_mul(SUM_BYTES)
}

/// The checksums of a message of `size` octets that stand at the end of `stored`, which is a record with them; `None` if it is
/// too short.
pub(crate) fn split_sums(stored: &[u8], size: u64) -> Option<(&[u8], Vec<u32>)> {
    let (record, sums) = stored.split_at_checked(stored.len().checked_sub(sums_len(size))?)?;
    let (sums, _) = sums.as_chunks::<SUM_BYTES>();
    Some((record, sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect()))
}

/// The first block of those from `first` on whose octets `octets` are (the last may be cut by the end of the message) that has
/// another checksum than `sums` says.
pub(crate) fn first_damaged(octets: &[u8], first: u64, sums: &[u32]) -> Option<u64> {
    let block_len = BLOCK_BYTES as usize;
    let first_index = usize::try_from(first).unwrap_or(usize::MAX);
    let wrong = octets
        .chunks(block_len)
        .enumerate()
        .find(|(place, block)| sums.get(first_index.saturating_add(*place)) != Some(&crc32c::crc32c(block)));
    wrong.map(|(place, _)| first + place as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 31 % 251) as u8).collect()
    }

    #[test]
    fn checksums_do_not_depend_on_how_octets_come() {
        for len in [0, 1, 16_383, 16_384, 16_385, 40_000, 65_536] {
            let all = octets(len);
            let mut at_once = BlockSummer::default();
            at_once.push(&all);
            let mut in_pieces = BlockSummer::default();
            all.chunks(777).for_each(|piece| in_pieces.push(piece));
            let (mut one, mut other) = (b"record".to_vec(), b"record".to_vec());
            at_once.append_to(&mut one);
            in_pieces.append_to(&mut other);
            assert_eq!(one, other);
            assert_eq!(one.len(), 6 + sums_len(len as u64));
            let (record, sums) = split_sums(&one, len as u64).expect("long enough");
            assert_eq!(record, b"record");
            if len as u64 > BLOCK_BYTES {
                assert_eq!(first_damaged(&all, 0, &sums), None);
                assert_eq!(first_damaged(&all[16_384..], 1, &sums), None);
            } else {
                assert!(sums.is_empty());
            }
        }
        assert_eq!(split_sums(b"short", 40_000), None);
    }

    #[test]
    fn a_flipped_bit_is_found_in_its_block() {
        let mut all = octets(50_000);
        let mut summer = BlockSummer::default();
        summer.push(&all);
        let mut stored = Vec::new();
        summer.append_to(&mut stored);
        let (_, sums) = split_sums(&stored, 50_000).expect("long enough");
        for at in [0, 16_383, 16_384, 33_000, 49_999] {
            all[at] ^= 4;
            assert_eq!(first_damaged(&all, 0, &sums), Some(at as u64 / BLOCK_BYTES), "octet {at}");
            all[at] ^= 4;
        }
        assert_eq!(first_damaged(&octets(70_000)[65_536..], 4, &sums), Some(4), "beyond the last");
    }
}
