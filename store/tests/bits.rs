//! Single flipped bits: whatever file they are in, what is read is what was written, or an error says where the damage is.

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{Place, body, deliver, inbox, live, mail, to};
use store::StoreError;

fn flip(path: &Path, offset: u64, bit: u8) {
    let file = File::options().read(true).write(true).open(path).expect("there");
    let mut octet = [0];
    file.read_exact_at(&mut octet, offset).expect("readable");
    file.write_all_at(&[octet[0] ^ 1 << bit], offset).expect("writable");
}

/// The file under `folder` whose name begins with `start` and that holds `needle`, and where.
fn find(folder: &Path, start: &str, needle: &[u8]) -> (PathBuf, u64) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            if let Some(found) = std::panic::catch_unwind(|| find(&path, start, needle)).ok() {
                return found;
            }
        } else if path.file_name().expect("a name").to_string_lossy().starts_with(start) {
            let bytes = std::fs::read(&path).expect("readable");
            if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
                return (path, at as u64);
            }
        }
    }
    panic!("{start} with the octets is not there");
}

#[test]
fn damaged_octets_of_a_message_are_never_delivered() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let small = mail("small");
    let mut big = mail("big");
    big.extend((0..6_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8));
    for message in [&small, &big] {
        store.wait(deliver(&store, message, vec![to(inbox(ann))]).ticket).expect("durable");
    }
    let cells = live(&store, inbox(ann));
    let read = |cell: usize, start: u64, end: u64| {
        let stored = store.message(cells[cell].message).expect("there");
        let mut octets = vec![7];
        let read = store.read_range(&stored, start..end, &mut octets);
        assert!(read.is_ok() || octets == [7], "an error leaves what was there");
        read.map(|()| octets[1..].to_vec())
    };
    let (bucket, at) = find(&place.store_path().join("p0/pages"), "bucket.", &big[..300]);
    // Any part of a message is read right, wherever blocks begin and end.
    for (start, end) in [(0, 10), (16_380, 16_390), (40_000, 90_001), (5_999_990, 7_000_000), (9, 9)] {
        let end_there = (end as usize).min(big.len());
        assert_eq!(read(1, start, end).expect("whole"), big[start as usize..end_there]);
    }
    // A bit of the big one: what is before and behind its block can be read.
    for place_in_message in [0, 100_000, big.len() as u64 - 1] {
        let block = place_in_message / 16_384 * 16_384;
        flip(&bucket, at + place_in_message, 3);
        let error = read(1, place_in_message, place_in_message + 1).expect_err("damaged");
        assert!(
            matches!(&error, StoreError::Corrupt { path, offset, .. } if *path == bucket && *offset == at + block),
            "{error}"
        );
        assert!(read(1, 0, u64::MAX).is_err());
        let other = if block == 0 { 20_000 } else { 10 };
        assert_eq!(read(1, other, other + 5).expect("whole"), big[other as usize..other as usize + 5]);
        let stored = store.message(cells[1].message).expect("there");
        match store.file_range(&stored, 0..u64::MAX) {
            Err(StoreError::Corrupt { offset, .. }) => assert_eq!(offset, at + block),
            Err(error) => panic!("{error}"),
            // What lies far behind is found before it is sent; and when it is asked for again, at once.
            Ok(mut lent) => {
                let mut sent = 0;
                let error = loop {
                    match lent.verified() {
                        Ok(octets) => {
                            assert!(octets > 0, "the damage comes before the end");
                            sent += octets;
                            lent.advance(octets).expect("still there");
                        }
                        Err(error) => break error,
                    }
                };
                assert!(sent <= block, "nothing of the damaged block was given out");
                assert!(matches!(error, StoreError::Corrupt { offset, .. } if offset == at + block));
                assert!(store.file_range(&stored, 0..u64::MAX).is_err());
            }
        }
        flip(&bucket, at + place_in_message, 3);
        assert_eq!(body(&store, cells[1].message), big);
    }
    // Any bit of the small one.
    let (bucket, at) = find(&place.store_path().join("p0/pages"), "bucket.", &small);
    for octet in 0..small.len() as u64 {
        flip(&bucket, at + octet, (octet % 8) as u8);
        let error = read(0, 0, 3).expect_err("damaged");
        assert!(matches!(error, StoreError::Corrupt { offset, .. } if offset == at), "{error}");
        flip(&bucket, at + octet, (octet % 8) as u8);
    }
    assert_eq!(read(0, 0, 3).expect("whole"), small[..3]);
    assert_eq!(store.counters().reanalysed.get(), 0);
    // A record that is damaged costs reading the message once more, no more.
    let (records, at) = find(&place.store_path().join("p0/pages"), "records.", b"big@example.org");
    flip(&records, at, 0);
    assert_eq!(read(1, 70_000, 70_004).expect("whole"), big[70_000..70_004]);
    assert_eq!(store.counters().reanalysed.get(), 1);
    assert_eq!(read(1, 90_000, 90_004).expect("whole"), big[90_000..90_004]);
    assert_eq!(store.counters().reanalysed.get(), 1, "kept for the next reader");
}
