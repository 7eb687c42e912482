//! The fixed parts of a log file: the head of the file and the heads of its frames, as drawn in `FORMAT.md`, "Log frame".

use crate::disk::DiskFile;
use crate::ids::PageId;

/// Octets of the file's head.
pub(crate) const LOG_HEAD_BYTES: u64 = 64;
/// Octets of a frame's head.
pub(crate) const FRAME_HEAD_BYTES: u64 = 48;
/// Most octets of changes in one frame.
pub(crate) const CHANGES_MOST_BYTES: usize = 64 << 20;
/// Most octets of content in one frame: a mailbox cell has 32 bits for the size.
pub(crate) const CONTENT_MOST_BYTES: u64 = u32::MAX as u64;

const FILE_MAGIC: &[u8; 8] = b"LODELOG1";
const FRAME_MAGIC: &[u8; 4] = b"LFR1";
/// The magic of a frame whose content was given up: nobody needs it any more, and its place may have been made a hole.
const FRAME_MAGIC_CONTENT_GONE: &[u8; 4] = b"LFRG";
/// Frames begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;

const FILE_ID: usize = 8;
const FILE_KIND: usize = 16;
const FILE_WRITER: usize = 18;
const FILE_NUMBER: usize = 20;
const FILE_PAGE: usize = 24;
const FILE_EPOCH: usize = 28;
/// Of a compressed journal: 1 …
const FILE_FORM: usize = 17;
/// … the id that its frames have, and its length before.
const FILE_FRAME_ID: usize = 32;
const FILE_LEN: usize = 40;
const FILE_CRC: usize = 60;

const FRAME_CRC: usize = 4;
const FRAME_LOG_ID: usize = 8;
const FRAME_TYPE: usize = 16;
const FRAME_CHANGES_LEN: usize = 20;
const FRAME_CONTENT_LEN: usize = 24;
const FRAME_CONTENT_HASH: usize = 32;
const FRAME_CHANGES_CRC: usize = 40;
const FRAME_SECONDS: usize = 44;

const _: () = assert!(FILE_CRC + 4 == LOG_HEAD_BYTES as usize);
const _: () = assert!(FRAME_SECONDS + 4 == FRAME_HEAD_BYTES as usize);
const _: () = assert!(LOG_HEAD_BYTES.is_multiple_of(ALIGNMENT) && FRAME_HEAD_BYTES.is_multiple_of(ALIGNMENT));

/// What a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum LogKind {
    /// Frames with message bytes.
    Bucket = 1,
    /// Frames with changes alone.
    Journal = 2,
}

impl LogKind {
    /// The kind that a file calls `number`.
    pub(crate) fn from_number(number: u8) -> Option<LogKind> {
        match number {
            1 => Some(LogKind::Bucket),
            2 => Some(LogKind::Journal),
            _ => None,
        }
    }

    /// The first part of the file's name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            LogKind::Bucket => "bucket",
            LogKind::Journal => "journal",
        }
    }
}

/// Which log: its place in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogName {
    pub(crate) page: PageId,
    pub(crate) kind: LogKind,
    pub(crate) writer: u16,
    pub(crate) number: u32,
}

impl LogName {
    /// The name of its file in the page's folder.
    pub(crate) fn file_name(self) -> String {
        format!("{}.{}.{}", self.kind.word(), self.writer, self.number)
    }

    /// The log whose file has this name in the folder of `page`, if it is one.
    pub(crate) fn parse(page: PageId, file_name: &str) -> Option<LogName> {
        let mut parts = file_name.splitn(3, '.');
        let kind = match parts.next()? {
            "bucket" => LogKind::Bucket,
            "journal" => LogKind::Journal,
            _ => return None,
        };
        let name =
            LogName { page, kind, writer: parts.next()?.parse().ok()?, number: parts.next()?.parse().ok()? };
        (name.file_name() == file_name).then_some(name)
    }
}

/// The head of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogHead {
    /// A random number that every frame repeats.
    pub(crate) id: u64,
    pub(crate) name: LogName,
    /// The store's epoch when the log was made. A log of an older epoch gets no more frames.
    pub(crate) epoch: u32,
    /// Of a compressed journal. Its `id` is one of its own.
    pub(crate) packed: Option<PackedHead>,
}

/// What the head of a compressed journal says of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackedHead {
    /// The id that the frames repeat.
    pub(crate) frame_id: u64,
    /// Octets of the journal.
    pub(crate) len: u64,
}

impl LogHead {
    pub(crate) fn encode(&self) -> [u8; LOG_HEAD_BYTES as usize] {
        let mut bytes = [0; LOG_HEAD_BYTES as usize];
        bytes[..8].copy_from_slice(FILE_MAGIC);
        bytes[FILE_ID..FILE_ID + 8].copy_from_slice(&self.id.to_le_bytes());
        bytes[FILE_KIND] = self.name.kind as u8;
        bytes[FILE_WRITER..FILE_WRITER + 2].copy_from_slice(&self.name.writer.to_le_bytes());
        bytes[FILE_NUMBER..FILE_NUMBER + 4].copy_from_slice(&self.name.number.to_le_bytes());
        bytes[FILE_PAGE..FILE_PAGE + 4].copy_from_slice(&self.name.page.0.to_le_bytes());
        bytes[FILE_EPOCH..FILE_EPOCH + 4].copy_from_slice(&self.epoch.to_le_bytes());
        if let Some(packed) = self.packed {
            bytes[FILE_FORM] = 1;
            bytes[FILE_FRAME_ID..FILE_FRAME_ID + 8].copy_from_slice(&packed.frame_id.to_le_bytes());
            bytes[FILE_LEN..FILE_LEN + 8].copy_from_slice(&packed.len.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[..FILE_CRC]);
        bytes[FILE_CRC..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; LOG_HEAD_BYTES as usize]) -> Option<LogHead> {
        if &bytes[..8] != FILE_MAGIC || u32_at(bytes, FILE_CRC) != crc32c::crc32c(&bytes[..FILE_CRC]) {
            return None;
        }
        Some(LogHead {
            id: u64_at(bytes, FILE_ID),
            name: LogName {
                page: PageId(u32_at(bytes, FILE_PAGE)),
                kind: LogKind::from_number(bytes[FILE_KIND])?,
                writer: u16::from_le_bytes([bytes[FILE_WRITER], bytes[FILE_WRITER + 1]]),
                number: u32_at(bytes, FILE_NUMBER),
            },
            epoch: u32_at(bytes, FILE_EPOCH),
            packed: (bytes[FILE_FORM] == 1)
                .then(|| PackedHead { frame_id: u64_at(bytes, FILE_FRAME_ID), len: u64_at(bytes, FILE_LEN) }),
        })
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameType {
    /// A message, and the changes that put it into mailboxes.
    Delivery = 1,
    /// Changes alone.
    Changes = 2,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) log_id: u64,
    pub(crate) frame_type: FrameType,
    pub(crate) changes_len: u32,
    pub(crate) content_len: u64,
    pub(crate) content_hash: u64,
    pub(crate) changes_crc: u32,
    /// When the frame was made, seconds since 1970.
    pub(crate) seconds: u32,
    /// Whether the content was given up. The one octet that says so is outside of the checksum, so that it is changed in one write that cannot
    /// be torn; no single bit turns one into the other.
    pub(crate) content_gone: bool,
}

/// Says in the bucket `file` that the content of the frame at `offset` is given up: replay does not look for it then. Before any of it is
/// destroyed.
pub(crate) fn mark_content_gone(file: &DiskFile, offset: u64) -> std::io::Result<()> {
    file.write_all_at(&FRAME_MAGIC_CONTENT_GONE[3..], offset + 3)
}

impl FrameHead {
    /// The head of a frame of these changes, without content, made at `seconds` since 1970.
    pub(crate) fn of_changes(log_id: u64, changes: &[u8], seconds: u32) -> FrameHead {
        FrameHead {
            log_id,
            frame_type: FrameType::Changes,
            changes_len: changes.len() as u32,
            content_len: 0,
            content_hash: 0,
            changes_crc: crc32c::crc32c(changes),
            seconds,
            content_gone: false,
        }
    }

    /// The head of a frame that says nothing: it takes the place of what a power cut has left of others, up to where the next one begins. `None`
    /// if there is no room for it.
    pub(crate) fn void(log_id: u64, octets: u64) -> Option<FrameHead> {
        let content_len = octets.checked_sub(FRAME_HEAD_BYTES).filter(|len| *len <= CONTENT_MOST_BYTES)?;
        Some(FrameHead {
            log_id,
            frame_type: FrameType::Delivery,
            changes_len: 0,
            content_len,
            content_hash: 0,
            changes_crc: crc32c::crc32c(&[]),
            seconds: 0,
            content_gone: true,
        })
    }

    /// Whether it is one that says nothing.
    pub(crate) fn is_void(&self) -> bool {
        self.content_gone && self.changes_len == 0
    }

    pub(crate) fn encode(&self) -> [u8; FRAME_HEAD_BYTES as usize] {
        let mut bytes = [0; FRAME_HEAD_BYTES as usize];
        bytes[..4].copy_from_slice(if self.content_gone { FRAME_MAGIC_CONTENT_GONE } else { FRAME_MAGIC });
        bytes[FRAME_LOG_ID..FRAME_LOG_ID + 8].copy_from_slice(&self.log_id.to_le_bytes());
        bytes[FRAME_TYPE] = self.frame_type as u8;
        bytes[FRAME_CHANGES_LEN..FRAME_CHANGES_LEN + 4].copy_from_slice(&self.changes_len.to_le_bytes());
        bytes[FRAME_CONTENT_LEN..FRAME_CONTENT_LEN + 8].copy_from_slice(&self.content_len.to_le_bytes());
        bytes[FRAME_CONTENT_HASH..FRAME_CONTENT_HASH + 8].copy_from_slice(&self.content_hash.to_le_bytes());
        bytes[FRAME_CHANGES_CRC..FRAME_CHANGES_CRC + 4].copy_from_slice(&self.changes_crc.to_le_bytes());
        bytes[FRAME_SECONDS..FRAME_SECONDS + 4].copy_from_slice(&self.seconds.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[FRAME_LOG_ID..]);
        bytes[FRAME_CRC..FRAME_CRC + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The head in `bytes`, if it is one of the log `log_id`.
    pub(crate) fn decode(bytes: &[u8; FRAME_HEAD_BYTES as usize], log_id: u64) -> Option<FrameHead> {
        if u64_at(bytes, FRAME_LOG_ID) != log_id {
            return None;
        }
        FrameHead::decode_any(bytes)
    }

    /// The head in `bytes`, if it is one of any log.
    pub(crate) fn decode_any(bytes: &[u8; FRAME_HEAD_BYTES as usize]) -> Option<FrameHead> {
        let content_gone = &bytes[..4] == FRAME_MAGIC_CONTENT_GONE;
        if (&bytes[..4] != FRAME_MAGIC && !content_gone)
            || u32_at(bytes, FRAME_CRC) != crc32c::crc32c(&bytes[FRAME_LOG_ID..])
        {
            return None;
        }
        let frame_type = match bytes[FRAME_TYPE] {
            1 => FrameType::Delivery,
            2 => FrameType::Changes,
            _ => return None,
        };
        let head = FrameHead {
            log_id: u64_at(bytes, FRAME_LOG_ID),
            frame_type,
            changes_len: u32_at(bytes, FRAME_CHANGES_LEN),
            content_len: u64_at(bytes, FRAME_CONTENT_LEN),
            content_hash: u64_at(bytes, FRAME_CONTENT_HASH),
            changes_crc: u32_at(bytes, FRAME_CHANGES_CRC),
            seconds: u32_at(bytes, FRAME_SECONDS),
            content_gone,
        };
        let fits = head.content_len <= CONTENT_MOST_BYTES && head.changes_len as usize <= CHANGES_MOST_BYTES;
        fits.then_some(head)
    }

    /// Octets of the whole frame, with what aligns the next one.
    pub(crate) fn frame_len(&self) -> u64 {
        aligned(FRAME_HEAD_BYTES + self.content_len + u64::from(self.changes_len))
    }

    /// Where the changes begin, from the frame's start.
    pub(crate) fn changes_at(&self) -> u64 {
        FRAME_HEAD_BYTES + self.content_len
    }
}

/// The next place at or behind `offset` where a frame may begin.
pub(crate) fn aligned(offset: u64) -> u64 {
    offset.next_multiple_of(ALIGNMENT)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> FrameHead {
        FrameHead {
            log_id: 0x0123_4567_89ab_cdef,
            frame_type: FrameType::Delivery,
            changes_len: 77,
            content_len: 1 << 31,
            content_hash: u64::MAX,
            changes_crc: 5,
            seconds: 1_800_000_000,
            content_gone: false,
        }
    }

    #[test]
    fn heads_come_back_and_no_altered_octet_passes() {
        let bytes = head().encode();
        assert_eq!(FrameHead::decode(&bytes, head().log_id), Some(head()));
        assert_eq!(FrameHead::decode(&bytes, 1), None);
        for at in 0..bytes.len() {
            let mut altered = bytes;
            altered[at] ^= 1;
            assert_eq!(FrameHead::decode(&altered, head().log_id), None, "octet {at}");
        }
        let mut gone = bytes;
        gone[3] = FRAME_MAGIC_CONTENT_GONE[3];
        let expected = FrameHead { content_gone: true, ..head() };
        assert_eq!(FrameHead::decode(&gone, head().log_id), Some(expected));
        assert_eq!(expected.encode(), gone);
        for bit in 0..8 {
            let mut altered = bytes;
            altered[3] ^= 1 << bit;
            assert_eq!(FrameHead::decode(&altered, head().log_id), None, "bit {bit}");
        }
        let name = LogName { page: PageId(20_779), kind: LogKind::Journal, writer: 65, number: 3 };
        let packed = Some(PackedHead { frame_id: 8, len: 1 << 33 });
        let log = LogHead { id: 9, name, epoch: 2, packed };
        assert_eq!(LogHead::decode(&log.encode()), Some(log));
        let log = LogHead { packed: None, ..log };
        let bytes = log.encode();
        assert_eq!(LogHead::decode(&bytes), Some(log));
        for at in 0..bytes.len() {
            let mut altered = bytes;
            altered[at] ^= 0x80;
            assert_eq!(LogHead::decode(&altered), None, "octet {at}");
        }
    }

    #[test]
    fn file_names_come_back() {
        let page = PageId(1);
        for text in ["bucket.0.0", "journal.65535.4294967295"] {
            assert_eq!(LogName::parse(page, text).map(LogName::file_name).as_deref(), Some(text));
        }
        for text in ["bucket.0", "bucket.00.0", "bucket.0.0.tmp", "records.0", "journal.70000.0", ""] {
            assert_eq!(LogName::parse(page, text), None, "{text}");
        }
    }
}
