//! Appending, failing, going on: one log by itself.

use std::sync::Arc;

use super::*;
use crate::change::{Change, codec};
use crate::ids::{PageId, UserId};
use crate::log::frame::{FrameType, LogKind};

const NAME: LogName = LogName { page: PageId(3), kind: LogKind::Bucket, writer: 1, number: 0 };

fn changes(user: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(&[Change::UserCreate { user: UserId(user), name: format!("user{user}") }], &mut bytes);
    bytes
}

fn head_for(log: &LogFile, content: &[u8], changes: &[u8]) -> FrameHead {
    FrameHead {
        log_id: log.id(),
        frame_type: FrameType::Delivery,
        changes_len: changes.len() as u32,
        content_len: content.len() as u64,
        content_hash: xxhash_rust::xxh3::xxh3_64(content),
        changes_crc: crc32c::crc32c(changes),
        seconds: 1_800_000_000,
        content_gone: false,
    }
}

fn append(log: &Arc<LogFile>, content: &[u8], user: u32) -> InFlight {
    let changes = changes(user);
    log.append(&head_for(log, content, &changes), content, &changes, |_| ()).expect("space")
}

#[test]
fn frames_are_found_again_and_a_cut_tail_loses_only_the_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(NAME.file_name());
    let log = Arc::new(LogFile::create(&Disk::real(), &path, NAME, 7).expect("made"));
    let first = append(&log, b"one", 1);
    let second = append(&log, b"", 2);
    let third = append(&log, &[7; 1000], 3);
    assert_eq!(first.offset(), LOG_HEAD_BYTES);
    assert_eq!(log.applied(), first.offset());
    first.applied();
    assert_eq!(log.applied(), second.offset());
    let (third_offset, tail) = (third.offset(), log.tail());
    drop(log);
    let whole = std::fs::read(&path).expect("read");
    for len in third_offset..=tail {
        let mut cut = whole[..len as usize].to_vec();
        // What lies behind the cut may be anything; zeros and noise are the likely ones.
        for filler in [0, 0xa5] {
            cut.resize(whole.len() + 100, filler);
            std::fs::write(&path, &cut).expect("written");
            let reader = LogReader::open(&Disk::real(), &path, NAME).expect("readable").expect("there");
            let end = reader.end_of_frames(LOG_HEAD_BYTES).expect("readable");
            // The padding behind the changes is not covered by a checksum, so its loss loses nothing.
            let changes_end = third_offset + 48 + 1000 + changes(3).len() as u64;
            assert_eq!(end, if len < changes_end { third_offset } else { tail }, "cut at {len}");
            cut.truncate(len as usize);
        }
    }
}

#[test]
fn a_log_is_gone_on_with_only_in_its_epoch() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(NAME.file_name());
    let log = Arc::new(LogFile::create(&Disk::real(), &path, NAME, 7).expect("made"));
    append(&log, b"x", 1).applied();
    let tail = log.tail();
    drop(log);
    let log =
        LogFile::go_on(&Disk::real(), &path, NAME, 7, LOG_HEAD_BYTES).expect("readable").expect("same epoch");
    assert_eq!((log.tail(), log.applied()), (tail, tail));
    assert!(LogFile::go_on(&Disk::real(), &path, NAME, 8, LOG_HEAD_BYTES).expect("readable").is_none());
}

#[test]
fn a_compressed_log_is_not_gone_on_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = LogName { kind: LogKind::Journal, ..NAME };
    let path = folder.path().join(name.file_name());
    let log = Arc::new(LogFile::create(&Disk::real(), &path, name, 7).expect("made"));
    (0..100).for_each(|_| append(&log, b"", 1).applied());
    let reader = LogReader::open(&Disk::real(), &path, name).expect("readable").expect("there");
    let packed = path.with_extension("packed");
    assert!(crate::log::pack::pack(&Disk::real(), &reader, name, log.tail(), &packed).expect("compressed"));
    std::fs::rename(&packed, &path).expect("put in place");
    assert!(LogFile::go_on(&Disk::real(), &path, name, 7, LOG_HEAD_BYTES).expect("readable").is_none());
}

#[test]
fn what_is_made_ahead_never_touches_a_frame() {
    for content_len in [100, 40_000] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME.file_name());
        let log = Arc::new(LogFile::create(&Disk::real(), &path, NAME, 7).expect("made"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200 {
                    log.make_ahead();
                    log.cut_ahead().expect("cut");
                }
            });
            for user in 0..200 {
                append(&log, &vec![user as u8; content_len], user).applied();
            }
        });
        for _ in 0..60 {
            append(&log, &vec![1; content_len], 1).applied();
            log.make_ahead();
        }
        let reader = LogReader::open(&Disk::real(), &path, NAME).expect("readable").expect("there");
        assert_eq!(reader.end_of_frames(LOG_HEAD_BYTES).expect("readable"), log.tail());
        let len = std::fs::metadata(&path).expect("there").len();
        assert_eq!(len > log.tail() + 100_000, content_len == 100, "zeros where groups are small");
        log.cut_ahead().expect("cut");
        let there = std::fs::metadata(&path).expect("there");
        assert_eq!(there.len(), log.tail());
        append(&log, b"more", 1).applied();
        assert_eq!(reader.end_of_frames(LOG_HEAD_BYTES).expect("readable"), log.tail());
    }
}

#[test]
fn streamed_content_is_no_frame_until_its_head_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(NAME.file_name());
    let log = Arc::new(LogFile::create(&Disk::real(), &path, NAME, 7).expect("made"));
    let reader = LogReader::open(&Disk::real(), &path, NAME).expect("readable").expect("there");
    // An upload that ends nowhere, then one that is completed.
    log.write_content(0, &[9; 5000]).expect("space");
    assert_eq!(reader.end_of_frames(LOG_HEAD_BYTES).expect("readable"), LOG_HEAD_BYTES);
    log.write_content(0, b"hello ").expect("space");
    log.write_content(6, b"world").expect("space");
    let changes = changes(4);
    let frame =
        log.append_written(&head_for(&log, b"hello world", &changes), &changes, |_| ()).expect("space");
    let found = reader.frame_at(frame.offset()).expect("readable").expect("whole");
    assert!(reader.content_is_whole(&found).expect("readable"));
    assert_eq!(reader.end_of_frames(LOG_HEAD_BYTES).expect("readable"), log.tail());
}

#[test]
fn a_sync_during_which_another_has_failed_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(NAME.file_name());
    let log = Arc::new(LogFile::create(&Disk::real(), &path, NAME, 7).expect("made"));
    append(&log, b"one", 1).applied();
    let whole = std::fs::read(&path).expect("read");
    let asked = std::cell::Cell::new(0);
    // Asked before and after each sync: one fails in the first and one in the second.
    let failing_twice = || {
        asked.set(asked.get() + 1);
        [0, 1, 1, 2, 2, 2][asked.get() - 1]
    };
    log.sync(&failing_twice).expect("the third is good");
    assert_eq!(asked.get(), 6);
    assert_eq!(std::fs::read(&path).expect("read"), whole);
    append(&log, b"two", 2).applied();
    log.sync(&|| 2).expect("nothing new has failed");
    let always = || {
        asked.set(asked.get() + 1);
        asked.get() as u32
    };
    log.sync(&always).expect_err("they fail again and again");
    log.sync(&|| 0).expect_err("one has failed");
}
