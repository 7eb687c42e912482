//! Cells: given out once, counted, freed, and what damage does.

use super::*;

fn place() -> MessagePlace {
    MessagePlace {
        writer: 65,
        bucket: 3,
        frame_offset: 1 << 27,
        content_len: 4096,
        content_hash: u64::MAX,
        header_size: 900,
    }
}

fn open(folder: &Path) -> Directory {
    Directory::open_or_create(&Disk::real(), folder, PageId(9), 1).expect("made or opened")
}

#[test]
fn cells_are_given_out_once_and_tell_what_they_were_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("2026-11-22");
    let (one, two) = (open(&page), open(&page));
    let mut indexes = Vec::new();
    for _ in 0..2000 {
        indexes.push(one.allocate().expect("space"));
        indexes.push(two.allocate().expect("space"));
    }
    assert_eq!(indexes, (0..4000).collect::<Vec<u32>>());
    one.fill(3999, &place(), 2).expect("space");
    one.fill(3999, &place(), 2).expect("again");
    two.add_reference(3999).expect("there");
    one.drop_reference(3999).expect("there");
    assert_eq!(two.place(3999).expect("readable"), Some(place()));
    assert_eq!(two.references(3999).expect("readable"), 2);
    assert_eq!(two.place(0).expect("readable"), None);
    assert_eq!(two.place(u32::MAX).expect("readable"), None);
    assert_eq!(two.record(3999).expect("readable"), None);
    let record = RecordPlace { writer: 2, offset: 77, len: 5, crc: 6 };
    two.set_record(3999, &record).expect("there");
    assert_eq!(one.record(3999).expect("readable"), Some(record));
    assert_eq!(one.place(3999).expect("readable"), Some(place()));
    one.mark_lost(3999).expect("there");
    assert_eq!(two.place(3999).expect("readable"), None);
}

#[test]
fn what_is_freed_stays_freed() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path());
    let index = directory.allocate().expect("space");
    assert!(!directory.free_if_unreferenced(index).expect("there"), "it is not in use yet");
    directory.fill(index, &place(), 1).expect("space");
    assert!(!directory.free_if_unreferenced(index).expect("there"), "a mailbox has it");
    directory.drop_reference(index).expect("there");
    assert!(directory.free_if_unreferenced(index).expect("there"));
    assert!(!directory.free_if_unreferenced(index).expect("there"), "it is free already");
    assert!(
        matches!(directory.add_reference(index), Err(StoreError::Gone(message)) if message.index == index)
    );
    directory.fill(index, &place(), 1).expect("replayed");
    directory.mark_lost(index).expect("there");
    let seen = directory.cell_use(index).expect("readable");
    assert_eq!((seen.references, seen.state), (0, CellState::Freed));
    assert_eq!(directory.place(index).expect("readable"), None);
    assert_eq!(directory.place_and_state(index).expect("readable"), Some((place(), CellState::Freed)));
}

#[test]
fn a_recount_mends_what_nobody_touches_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path());
    for index in 0..2 {
        directory.allocate().expect("space");
        directory.fill(index, &place(), 7).expect("space");
        assert_eq!(directory.begin_recount(index).expect("there"), 7);
    }
    directory.add_reference(0).expect("in use");
    assert!(!directory.end_recount(0, 1).expect("there"));
    assert!(directory.end_recount(1, 1).expect("there"));
    assert_eq!(directory.references(0).expect("there"), 8);
    assert_eq!(directory.references(1).expect("there"), 1);
    assert_eq!(directory.recounted_epoch().expect("there"), 1);
    directory.set_recounted_epoch(5).expect("there");
    assert_eq!(open(folder.path()).recounted_epoch().expect("there"), 5);
}

#[test]
fn a_message_that_moves_is_always_somewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path());
    directory.allocate().expect("space");
    directory.fill(0, &place(), 1).expect("space");
    let moved = MessagePlace { writer: 1, bucket: 9, frame_offset: 64, ..place() };
    assert!(!directory.move_place(0, &moved, &place()).expect("there"), "it is not there");
    assert!(directory.move_place(0, &place(), &moved).expect("there"));
    assert_eq!(directory.place(0).expect("readable"), Some(moved));
    assert_eq!(directory.references(0).expect("there"), 1);
}

#[test]
fn a_damaged_number_of_cells_fills_no_disk_and_comes_round_to_no_used_cell() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path());
    let len = directory.mapping.len();
    for damaged in [u32::MAX, u32::MAX - 1, 1 << 30] {
        let region = directory.mapping.region();
        region.store_u64(HEADER_GIVEN_OUT, with_complement(damaged), Ordering::Relaxed).expect("there");
        assert!(matches!(directory.given_out(), Err(StoreError::Corrupt { .. })), "{damaged}");
        assert!(matches!(directory.give_out_from(damaged), Err(StoreError::Corrupt { .. })), "{damaged}");
        assert!(matches!(directory.allocate(), Err(StoreError::Corrupt { .. })), "{damaged}");
        assert_eq!(directory.mapping.file().len().expect("there"), len);
    }
}

#[test]
fn a_damaged_cell_and_a_foreign_file_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path());
    directory.fill(0, &place(), 1).expect("space");
    let region = directory.mapping.region();
    for offset in [cell::PLACE, cell::CONTENT_LEN, cell::CONTENT_HASH, cell::HEADER_SIZE, cell::CRC] {
        let at = offset_of(0) + offset as u64;
        let there = region.load_u32(at, Ordering::Relaxed).expect("there");
        for bit in 0..32 {
            region.store_u32(at, there ^ 1 << bit, Ordering::Relaxed).expect("there");
            assert!(
                matches!(directory.place(0), Err(StoreError::Corrupt { offset: 4096, .. })),
                "{offset} {bit}"
            );
        }
        region.store_u32(at, there, Ordering::Relaxed).expect("there");
    }
    assert_eq!(directory.place(0).expect("readable"), Some(place()));
    assert!(Directory::open_or_create(&Disk::real(), folder.path(), PageId(8), 1).is_err());
}

#[test]
fn no_flipped_bit_changes_what_a_directory_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path());
    for index in 0..3 {
        assert_eq!(directory.allocate().expect("space"), index);
        directory.fill(index, &place(), 2).expect("space");
    }
    let everything = |directory: &Directory| -> Result<String> {
        let mut told = format!("{} {}", directory.given_out()?, directory.number(HEADER_RECOUNTED_EPOCH)?);
        for index in 0..3 {
            told += &format!(" {:?} {:?}", directory.place(index)?, directory.cell_use(index)?);
        }
        Ok(told)
    };
    let whole = everything(&directory).expect("readable");
    let region = directory.mapping.region();
    let words = (0..64).step_by(8).chain((HEADER_BYTES..HEADER_BYTES + 3 * CELL_BYTES).step_by(8));
    for at in words {
        let there = region.load_u64(at, Ordering::Relaxed).expect("there");
        for bit in 0..64 {
            region.store_u64(at, there ^ 1 << bit, Ordering::Relaxed).expect("there");
            let opened = Directory::open_or_create(&Disk::real(), folder.path(), PageId(9), 1);
            match opened.and_then(|opened| everything(&opened)) {
                Ok(told) => assert_eq!(told, whole, "bit {bit} of {at}"),
                Err(StoreError::Corrupt { offset, .. }) => assert!(offset.abs_diff(at) < 64, "{offset} {at}"),
                Err(error) => panic!("{error}"),
            }
            region.store_u64(at, there, Ordering::Relaxed).expect("there");
        }
    }
    // A damaged count stays damaged until the cell is filled again from its log; then it is too high, and to be counted.
    region.store_u64(HEADER_BYTES, 1, Ordering::Relaxed).expect("there");
    directory.add_reference(0).expect("kept for later");
    directory.drop_reference(0).expect("kept for later");
    assert!(directory.free_if_unreferenced(0).is_err());
    assert_eq!(directory.recounted_epoch().expect("there"), 0);
    directory.fill(0, &place(), 0).expect("mended");
    assert_eq!(directory.place(0).expect("readable"), Some(place()));
    assert!(directory.references(0).expect("there") > 1000);
    assert!(directory.end_recount(0, 2).is_ok_and(|done| !done), "touched");
    directory.begin_recount(0).expect("there");
    assert!(directory.end_recount(0, 2).expect("there"));
    assert_eq!(directory.references(0).expect("there"), 2);
}
