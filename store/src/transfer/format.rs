//! The fixed parts of an export file, and its records, as drawn in `FORMAT.md`, "Export".

use crate::change::{Change, codec};

/// Octets of the file's head.
pub(super) const HEAD_BYTES: usize = 64;
/// Most octets of records in a frame that is read.
pub(super) const RECORDS_MOST_BYTES: usize = crate::log::frame::CHANGES_MOST_BYTES;
const MAGIC: &[u8; 8] = b"LODEEXP1";
const ID: usize = 8;
const SECONDS: usize = 16;
const CRC: usize = 60;
/// The type of the record that ends the file; no change has it.
const END: u8 = 127;

/// The head of an export file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExportHead {
    /// A random number that every frame repeats.
    pub(super) id: u64,
    /// When it was made, seconds since 1970.
    pub(super) seconds: u64,
}

impl ExportHead {
    pub(super) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[ID..ID + 8].copy_from_slice(&self.id.to_le_bytes());
        bytes[SECONDS..SECONDS + 8].copy_from_slice(&self.seconds.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC]);
        bytes[CRC..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<ExportHead> {
        let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        if &bytes[..8] != MAGIC || bytes[CRC..] != crc32c::crc32c(&bytes[..CRC]).to_le_bytes() {
            return None;
        }
        Some(ExportHead { id: number(ID)?, seconds: number(SECONDS)? })
    }
}

/// One record of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Change(Change),
    /// The last record: how many messages came before.
    End {
        messages: u64,
    },
    /// Something of this type, which this release does not know.
    Unknown(u8),
}

/// Appends a change as a record.
pub(super) fn put_change(change: &Change, out: &mut Vec<u8>) {
    let mut octets = Vec::with_capacity(64);
    codec::encode(std::slice::from_ref(change), &mut octets);
    put_octets(&octets, out);
}

/// Appends the record that ends the file.
pub(super) fn put_end(messages: u64, out: &mut Vec<u8>) {
    let mut octets = vec![END];
    octets.extend_from_slice(&messages.to_le_bytes());
    put_octets(&octets, out);
}

fn put_octets(octets: &[u8], out: &mut Vec<u8>) {
    // At most the octets of a frame.
    out.extend_from_slice(&(octets.len() as u32).to_le_bytes());
    out.extend_from_slice(octets);
}

/// The records in a frame; `None` if the octets are none.
pub(super) fn records(mut bytes: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let len = u32::from_le_bytes(*len) as usize;
        let (octets, rest) = rest.split_at_checked(len)?;
        records.push(record(octets)?);
        bytes = rest;
    }
    Some(records)
}

fn record(octets: &[u8]) -> Option<Record> {
    let (kind, rest) = octets.split_first()?;
    if *kind == END {
        return Some(Record::End { messages: u64::from_le_bytes(rest.try_into().ok()?) });
    }
    match codec::decode(octets) {
        Ok(changes) if changes.len() == 1 => changes.into_iter().next().map(Record::Change),
        Ok(_) => None,
        Err(codec::Malformed) => Some(Record::Unknown(*kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserId;

    #[test]
    fn heads_and_records_come_back() {
        let head = ExportHead { id: 0x1234, seconds: 1_800_000_000 };
        let bytes = head.encode();
        assert_eq!(ExportHead::decode(&bytes), Some(head));
        for at in 0..bytes.len() {
            let mut altered = bytes;
            altered[at] ^= 1;
            assert_eq!(ExportHead::decode(&altered), None, "octet {at}");
        }
        let change = Change::UserCreate { user: UserId(0), name: "ann".to_string() };
        let mut bytes = Vec::new();
        put_change(&change, &mut bytes);
        // From a later release.
        put_octets(&[99, 1, 2, 3], &mut bytes);
        put_end(7, &mut bytes);
        let expected = [Record::Change(change), Record::Unknown(99), Record::End { messages: 7 }];
        assert_eq!(records(&bytes).as_deref(), Some(&expected[..]));
        for len in 0..bytes.len() {
            let _ = records(&bytes[..len]);
        }
        assert_eq!(records(&[255, 255, 255, 255, 0]), None);
    }
}
