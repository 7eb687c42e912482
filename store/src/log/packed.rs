//! A journal whose day is over, compressed: the same octets at the same offsets for whoever reads it, in blocks that are decompressed one at a
//! time. Drawn in `FORMAT.md`, "Compressed journal".
//!
//! A block that cannot be read is as if there were zeros: the frames in it are lost, those before and behind it are not.

use std::io;
use std::sync::PoisonError;

use crate::disk::DiskFile;
use crate::in_hand::Mutex;
use crate::log::frame::{LOG_HEAD_BYTES, LogHead};

/// Octets of the journal in one block.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;
/// How hard it is tried: journals are written once and hardly ever read.
const LEVEL: i32 = 9;
const MAGIC: &[u8; 4] = b"LZB1";
const BLOCK_HEAD_BYTES: usize = 32;
const START: usize = 4;
const RAW_LEN: usize = 12;
const PACKED_LEN: usize = 16;
const PACKED_CRC: usize = 20;
const HEAD_CRC: usize = 28;
/// The file's head is repeated at its end.
const TAIL_BYTES: u64 = LOG_HEAD_BYTES;

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    /// Its first octet, in the journal.
    start: u64,
    raw_len: u32,
    packed_len: u32,
    packed_crc: u32,
    /// Where its octets are, in the file.
    at: u64,
}

impl Block {
    fn encode(&self, file_id: u64) -> [u8; BLOCK_HEAD_BYTES] {
        let mut bytes = [0; BLOCK_HEAD_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[START..START + 8].copy_from_slice(&self.start.to_le_bytes());
        bytes[RAW_LEN..RAW_LEN + 4].copy_from_slice(&self.raw_len.to_le_bytes());
        bytes[PACKED_LEN..PACKED_LEN + 4].copy_from_slice(&self.packed_len.to_le_bytes());
        bytes[PACKED_CRC..PACKED_CRC + 4].copy_from_slice(&self.packed_crc.to_le_bytes());
        let crc = head_crc(&bytes, file_id);
        bytes[HEAD_CRC..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; BLOCK_HEAD_BYTES], file_id: u64, head_at: u64) -> Option<Block> {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if &bytes[..4] != MAGIC || number(HEAD_CRC) != head_crc(bytes, file_id) {
            return None;
        }
        let block = Block {
            start: u64::from(number(START)) | u64::from(number(START + 4)) << 32,
            raw_len: number(RAW_LEN),
            packed_len: number(PACKED_LEN),
            packed_crc: number(PACKED_CRC),
            at: head_at + BLOCK_HEAD_BYTES as u64,
        };
        (block.raw_len as usize <= BLOCK_BYTES && block.raw_len > 0).then_some(block)
    }

    fn end(&self) -> u64 {
        self.start.saturating_add(u64::from(self.raw_len))
    }
}

fn head_crc(bytes: &[u8; BLOCK_HEAD_BYTES], file_id: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&file_id.to_le_bytes()), &bytes[..HEAD_CRC])
}

/// A compressed journal open for reading.
#[derive(Debug)]
pub(crate) struct Packed {
    file: DiskFile,
    blocks: Vec<Block>,
    /// Octets of the journal.
    len: u64,
    /// The block that was read last, as its place in `blocks` and its octets.
    last: Mutex<Option<(usize, Vec<u8>)>>,
}

impl Packed {
    /// Finds the blocks of the file with this head.
    pub(crate) fn open(file: DiskFile, head: &LogHead, len: u64) -> io::Result<Packed> {
        let file_len = file.len()?;
        let end = file_len.saturating_sub(TAIL_BYTES);
        let mut blocks: Vec<Block> = Vec::new();
        let mut at = LOG_HEAD_BYTES;
        while let Some(block) = next_block(&file, head.id, at, end)? {
            at = block.at + u64::from(block.packed_len);
            if blocks.last().is_none_or(|last| last.end() <= block.start) {
                blocks.push(block);
            }
        }
        Ok(Packed { file, blocks, len, last: Mutex::new(None) })
    }

    /// Octets of the journal.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// As of a file: less than asked for only at the end.
    pub(crate) fn read_up_to(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let wanted = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = &mut bytes[..wanted];
        bytes.fill(0);
        let end = offset + wanted as u64;
        let first = self.blocks.partition_point(|block| block.end() <= offset);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, block) in (first..).zip(&self.blocks[first..]).take_while(|(_, block)| block.start < end)
        {
            if last.as_ref().is_none_or(|(known, _)| *known != place) {
                *last = Some((place, self.decompress(block)?));
            }
            let Some((_, raw)) = last.as_ref() else { continue };
            let (from, upto) = (block.start.max(offset), (block.start + raw.len() as u64).min(end));
            if from < upto {
                let there = &raw[(from - block.start) as usize..(upto - block.start) as usize];
                bytes[(from - offset) as usize..(upto - offset) as usize].copy_from_slice(there);
            }
        }
        Ok(wanted)
    }

    /// The octets of a block; none if it is damaged.
    fn decompress(&self, block: &Block) -> io::Result<Vec<u8>> {
        let mut packed = vec![0; block.packed_len as usize];
        let read = self.file.read_up_to(&mut packed, block.at)?;
        if read < packed.len() || crc32c::crc32c(&packed) != block.packed_crc {
            return Ok(Vec::new());
        }
        let raw = zstd::bulk::decompress(&packed, block.raw_len as usize).unwrap_or_default();
        Ok(if raw.len() == block.raw_len as usize { raw } else { Vec::new() })
    }
}

/// The first block at or behind `from`: where one is damaged, the next whole head is looked for.
fn next_block(file: &DiskFile, file_id: u64, from: u64, end: u64) -> io::Result<Option<Block>> {
    let mut at = from;
    let mut buffer = vec![0; BLOCK_HEAD_BYTES];
    while at + BLOCK_HEAD_BYTES as u64 <= end {
        let read = file.read_up_to(&mut buffer, at)?;
        for (place, bytes) in (at..).zip(buffer[..read].windows(BLOCK_HEAD_BYTES)) {
            let block = bytes.first_chunk().and_then(|bytes| Block::decode(bytes, file_id, place));
            if let Some(block) = block.filter(|block| block.at + u64::from(block.packed_len) <= end) {
                return Ok(Some(block));
            }
        }
        // Not where it should be: from now on in bigger steps.
        at += (read + 1).saturating_sub(BLOCK_HEAD_BYTES).max(1) as u64;
        buffer.resize(64 * 1024, 0);
    }
    Ok(None)
}

/// Writes the compressed form of a journal: `raw` gives its octets from an offset on, `len` is where they end. Not synced.
pub(crate) fn write(
    to: &DiskFile,
    head: &LogHead,
    len: u64,
    raw: &mut dyn FnMut(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let head_bytes = head.encode();
    to.write_all_at(&head_bytes, 0)?;
    let mut buffer = vec![0; BLOCK_BYTES];
    let (mut start, mut at) = (LOG_HEAD_BYTES, LOG_HEAD_BYTES);
    while start < len {
        let raw_len = (len - start).min(BLOCK_BYTES as u64) as usize;
        raw(&mut buffer[..raw_len], start)?;
        let packed = zstd::bulk::compress(&buffer[..raw_len], LEVEL)?;
        let block = Block {
            start,
            raw_len: raw_len as u32,
            packed_len: u32::try_from(packed.len()).map_err(|_| io::ErrorKind::InvalidData)?,
            packed_crc: crc32c::crc32c(&packed),
            at: at + BLOCK_HEAD_BYTES as u64,
        };
        to.write_parts_at(&[&block.encode(head.id), &packed], at)?;
        at = block.at + packed.len() as u64;
        start += raw_len as u64;
    }
    to.write_all_at(&head_bytes, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::ids::PageId;
    use crate::log::frame::{LogKind, LogName, PackedHead};
    use crate::mailbox::tests::Random;

    const NAME: LogName = LogName { page: PageId(3), kind: LogKind::Journal, writer: 1, number: 0 };

    fn raw(len: usize) -> Vec<u8> {
        let mut random = Random(5);
        (0..len).map(|_| (random.below(7) * 3) as u8).collect()
    }

    fn packed(folder: &std::path::Path, raw: &[u8]) -> (LogHead, DiskFile) {
        let file = Disk::real().open_or_create(&folder.join("packed")).expect("made");
        let len = LOG_HEAD_BYTES + raw.len() as u64;
        let head = LogHead { id: 77, name: NAME, epoch: 2, packed: Some(PackedHead { frame_id: 5, len }) };
        write(&file, &head, len, &mut |bytes, at| {
            let at = (at - LOG_HEAD_BYTES) as usize;
            bytes.copy_from_slice(&raw[at..at + bytes.len()]);
            Ok(())
        })
        .expect("space");
        (head, file)
    }

    #[test]
    fn octets_are_where_they_were() {
        let folder = tempfile::tempdir().expect("a folder");
        let raw = raw(BLOCK_BYTES * 2 + 1000);
        let (head, file) = packed(folder.path(), &raw);
        assert!(file.len().expect("there") < raw.len() as u64 / 2);
        let packed = Packed::open(file, &head, LOG_HEAD_BYTES + raw.len() as u64).expect("readable");
        let mut random = Random(6);
        for _ in 0..300 {
            let at = random.below(raw.len() as u64 + 10) as usize;
            let mut bytes = vec![9; random.below(300_000) as usize];
            let read = packed.read_up_to(&mut bytes, LOG_HEAD_BYTES + at as u64).expect("readable");
            assert_eq!(bytes[..read], raw[at.min(raw.len())..(at + bytes.len()).min(raw.len())]);
        }
    }

    #[test]
    fn a_damaged_block_is_zeros_and_harms_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let raw = raw(BLOCK_BYTES * 3);
        let (head, file) = packed(folder.path(), &raw);
        let whole = Packed::open(file.clone(), &head, LOG_HEAD_BYTES + raw.len() as u64).expect("readable");
        let second = whole.blocks[1];
        for at in [second.at + 99, second.at - 20] {
            let mut octet = [0];
            file.read_exact_at(&mut octet, at).expect("there");
            file.write_all_at(&[octet[0] ^ 4], at).expect("written");
            let packed =
                Packed::open(file.clone(), &head, LOG_HEAD_BYTES + raw.len() as u64).expect("readable");
            let mut bytes = vec![9; raw.len()];
            assert_eq!(packed.read_up_to(&mut bytes, LOG_HEAD_BYTES).expect("readable"), raw.len());
            assert_eq!(bytes[..BLOCK_BYTES], raw[..BLOCK_BYTES]);
            assert!(bytes[BLOCK_BYTES..2 * BLOCK_BYTES].iter().all(|octet| *octet == 0));
            assert_eq!(bytes[2 * BLOCK_BYTES..], raw[2 * BLOCK_BYTES..]);
            file.write_all_at(&octet, at).expect("written");
        }
    }
}
