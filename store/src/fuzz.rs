//! The entry for fuzzers: any octets, read as each thing that the store decodes from files. What must hold is asserted, so a
//! fuzzer needs no more than to call it. Where a checksum would keep random octets out, it is put right first.

use crate::change::codec;
use crate::checkpoint::Checkpoint;
use crate::lists::decode_list;
use crate::log::frame::{FRAME_HEAD_BYTES, FrameHead, LOG_HEAD_BYTES, LogHead};
use crate::state::State;

/// Decodes `bytes` as changes, heads of logs and of frames, a mailbox list, a checkpoint and a state. What is decoded survives being
/// encoded.
pub fn fuzz_entry(bytes: &[u8]) {
    changes(bytes);
    if let Some(head) = bytes.first_chunk::<{ FRAME_HEAD_BYTES as usize }>() {
        frame_head(*head);
    }
    if let Some(head) = bytes.first_chunk::<{ LOG_HEAD_BYTES as usize }>() {
        log_head(*head);
    }
    let _ = decode_list(bytes);
    let crc = crc32c::crc32c(bytes).to_le_bytes();
    let _ = decode_list(&[bytes, &crc[..]].concat());
    let _ = Checkpoint::parse(bytes, 0);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = State::parse(text.as_bytes());
        let crc = crc32c::crc32c(bytes);
        let _ = Checkpoint::parse(format!("{text}crc {crc:08x}\n").as_bytes(), 0);
    }
}

fn changes(bytes: &[u8]) {
    let Ok(read) = codec::decode(bytes) else { return };
    let again = |changes: &[_]| {
        let mut out = Vec::new();
        codec::encode(changes, &mut out);
        codec::decode(&out).expect("what is encoded is decoded")
    };
    // A date at the end of its range may be brought back into it, once.
    let once = again(&read);
    assert_eq!(once.len(), read.len());
    assert_eq!(again(&once), once);
}

fn frame_head(mut bytes: [u8; FRAME_HEAD_BYTES as usize]) {
    let mut id = [0; 8];
    id.copy_from_slice(&bytes[8..16]);
    let id = u64::from_le_bytes(id);
    let _ = FrameHead::decode(&bytes, id);
    bytes[..4].copy_from_slice(b"LFR1");
    let crc = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    if let Some(head) = FrameHead::decode(&bytes, id) {
        assert_eq!(FrameHead::decode(&head.encode(), id), Some(head));
        assert!(head.frame_len() >= head.changes_at() && head.frame_len().is_multiple_of(8));
    }
}

fn log_head(mut bytes: [u8; LOG_HEAD_BYTES as usize]) {
    let _ = LogHead::decode(&bytes);
    bytes[..8].copy_from_slice(b"LODELOG1");
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_le_bytes());
    if let Some(head) = LogHead::decode(&bytes) {
        assert_eq!(LogHead::decode(&head.encode()), Some(head));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_and_changes_go_through_the_entry() {
        let head = FrameHead {
            log_id: 9,
            frame_type: crate::log::FrameType::Delivery,
            changes_len: 3,
            content_len: 4096,
            content_hash: 1,
            changes_crc: 2,
            seconds: 1_800_000_000,
            content_gone: false,
        };
        fuzz_entry(&head.encode());
        // A date whose zone is out of range is brought back into it.
        let mut add = vec![2, 1, 1, 1, 1, 0, 0];
        add.extend((5_u64 << 11).to_le_bytes());
        add.push(0);
        add.extend([0; 8]);
        add.extend([1, 1, 1]);
        assert!(codec::decode(&add).is_ok());
        fuzz_entry(&add);
    }
}
