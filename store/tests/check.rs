//! `Store::check`: nothing is reported of a sound store, also while it is in use; what is wrong is found where it is, and repaired.

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Place, Random, body, deliver, flags, inbox, live, live_indexes, mail, to};
use store::change::SystemFlags;
use store::check::{CheckOptions, CheckReport, FaultKind, Mend};
use store::ids::{CellIndex, UserId};
use store::txn::FlagOperation;
use store::{Store, StoreError};

fn check(store: &Store) -> CheckReport {
    store.check(&CheckOptions { threads: 2, ..CheckOptions::default() }, &|_| ()).expect("checked")
}

fn alter(path: &Path, offset: u64, alter: impl Fn(u8) -> u8) {
    let file = File::options().read(true).write(true).open(path).expect("there");
    let mut octet = [0];
    file.read_exact_at(&mut octet, offset).expect("readable");
    file.write_all_at(&[alter(octet[0])], offset).expect("writable");
}

fn page(place: &Place) -> PathBuf {
    let pages = std::fs::read_dir(place.store_path().join("p0/pages")).expect("there");
    pages.map(|page| page.expect("readable").path()).next().expect("a page")
}

fn folder_of(place: &Place, name: &str) -> PathBuf {
    let users = std::fs::read_dir(place.store_path().join("p0/users")).expect("there");
    let folders = users.map(|folder| folder.expect("readable").path().join(name));
    folders.into_iter().find(|folder| folder.is_dir()).expect("a user's folder")
}

fn filled(store: &Arc<Store>, messages: u32) -> UserId {
    let ann = store.ensure_user("ann").expect("made");
    let bob = store.ensure_user("bob").expect("made");
    for number in 0..messages {
        deliver(store, &mail(&format!("m{number}")), vec![to(inbox(ann)), to(inbox(bob))]);
    }
    let mut txn = store.begin();
    txn.store_flags(inbox(ann), &[CellIndex(1)], flags(FlagOperation::Add, SystemFlags::SEEN, &["$Work"]));
    store.wait(txn.commit().expect("done").ticket).expect("durable");
    ann
}

#[test]
fn a_store_in_use_is_sound() {
    let place = Place::new();
    let store = place.open();
    let ann = filled(&store, 50);
    let bob = store.find_user("bob").expect("readable").expect("there");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 1..3 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                while !stop.load(Ordering::Relaxed) {
                    let all = live_indexes(store, inbox(ann));
                    let some: Vec<CellIndex> = all.iter().copied().filter(|_| random.below(4) == 0).collect();
                    let mut txn = store.begin();
                    match random.below(6) {
                        0 => drop(deliver(store, &mail("more"), vec![to(inbox(ann)), to(inbox(bob))])),
                        1 => txn.expunge(inbox(ann), &some[..some.len().min(3)]),
                        2 => txn.move_messages(inbox(bob), &some[..some.len().min(2)], inbox(ann)),
                        3 => txn.copy(inbox(ann), &some[..some.len().min(2)], inbox(bob)),
                        4 => txn.create_mailbox(ann, &format!("made{}", random.below(9)), None),
                        _ => txn.store_flags(
                            inbox(ann),
                            &some,
                            flags(FlagOperation::Add, SystemFlags::SEEN, &[]),
                        ),
                    }
                    let _ = txn.commit();
                    let mut txn = store.begin();
                    txn.delete_mailbox(ann, &format!("made{}", random.below(9)));
                    let _ = txn.commit();
                }
            });
        }
        for round in 0..8 {
            let report = check(&store);
            if !report.is_sound() {
                stop.store(true, Ordering::Relaxed);
            }
            assert!(report.is_sound(), "round {round}: {:#?}", report.faults);
            assert!(report.checked.cells > 90 && report.checked.frames > 50 && report.checked.octets > 0);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let report = check(&store);
    assert!(report.is_sound() && report.notes.is_empty(), "{:#?} {:#?}", report.faults, report.notes);
}

#[test]
fn each_fault_is_found_where_it_is_and_mended() {
    let place = Place::new();
    let store = place.open();
    let ann = filled(&store, 10);
    let before = live(&store, inbox(ann));
    let list = store.mailbox_list(ann).expect("there");
    store.close().expect("closed");
    drop(store);
    let folder = folder_of(&place, "ann");
    let cells = folder.join("m1/cells");
    let directory = page(&place).join("directory");
    let records = page(&place).join("records.0");
    // The third cell's flags; a summary; a count of a header; a reference count; a directory cell; the number; a record; a list.
    for (path, offset, kind) in [
        (&cells, 2 * 4096 + 2 * 64 + 8, FaultKind::Cells),
        (&cells, 2 * 4096 + 2 * 64 + 40, FaultKind::Cells),
        (&cells, 128 + 24, FaultKind::Counts),
        (&cells, 64 + 48, FaultKind::Counts),
        (&directory, 4096 + 64, FaultKind::Directory),
        (&directory, 4096 + 64 + 8, FaultKind::Directory),
        (&folder.join("number"), 1, FaultKind::Store),
        (&place.store_path().join("catalog"), 512 + 9, FaultKind::Store),
        (&folder.join("mailboxes"), 30, FaultKind::List),
        (&records, 20, FaultKind::Record),
    ] {
        let what = format!("{} at {offset}", path.display());
        alter(path, offset, |octet| octet ^ 0x10);
        let store = place.open();
        let report = check(&store);
        // A record is made again by whoever wants it, so nothing is wrong for anybody.
        let told = if kind == FaultKind::Record { &report.notes } else { &report.faults };
        let fault = told.iter().find(|fault| fault.kind == kind);
        let fault = fault.unwrap_or_else(|| panic!("{what}: {:#?}", report.faults));
        assert_ne!(fault.mend, Mend::Never, "{what}");
        if kind != FaultKind::Record {
            assert_eq!(&fault.path, path, "{what}");
            assert!(fault.offset.abs_diff(offset) < 512, "{what}: {fault}");
        }
        let done = store.repair(&report).expect("repaired");
        assert_eq!(done.failed, [""; 0], "{what}");
        let after = check(&store);
        assert!(after.is_sound(), "{what}: {:#?}", after.faults);
        assert!(after.notes.iter().all(|note| note.kind != kind), "{what}: {:#?}", after.notes);
        let now = live(&store, inbox(ann));
        assert_eq!(now, before, "{what}");
        assert_eq!(store.mailbox_list(ann).expect("there").entries(), list.entries());
        assert_eq!(body(&store, now[2].message), mail("m2"));
        // What was damaged is kept.
        if kind == FaultKind::Cells || kind == FaultKind::List {
            let kept = done.lost_and_found.expect("something was put aside");
            let text = std::fs::read_to_string(kept.join("WHERE-FROM")).expect("there");
            assert!(text.contains("users/"), "{text}");
        }
        store.close().expect("closed");
        drop(store);
    }
}

#[test]
fn a_folder_of_a_user_who_is_gone_is_put_away() {
    let place = Place::new();
    let store = place.open();
    filled(&store, 3);
    let bob = store.find_user("bob").expect("readable").expect("there");
    let folder = folder_of(&place, "bob");
    let mut txn = store.begin();
    txn.delete_user(bob);
    store.wait(txn.commit().expect("done").ticket).expect("durable");
    let away = folder.with_file_name(format!(".deleted.{}", bob.0));
    std::fs::rename(&away, &folder).expect("as if it had not been put away");
    let report = check(&store);
    assert_eq!(report.faults.len(), 1, "{:#?}", report.faults);
    assert_eq!((report.faults[0].kind, &report.faults[0].path), (FaultKind::Store, &folder));
    let done = store.repair(&report).expect("repaired");
    assert_eq!(done.failed, [""; 0]);
    assert!(away.is_dir() && !folder.exists());
    assert!(check(&store).is_sound());
    store.ensure_user("bob").expect("the name is free");
    assert!(check(&store).is_sound());
}

#[test]
fn what_cannot_be_mended_is_named_and_refused() {
    let place = Place::new();
    let store = place.open();
    let ann = filled(&store, 10);
    let cells = live(&store, inbox(ann));
    store.checkpoint().expect("done");
    // The text of message 4, which ann and bob have.
    let bucket = page(&place).join("bucket.0.0");
    let octets = std::fs::read(&bucket).expect("readable");
    let at = octets.windows(4).position(|window| window == b"\nm4\r").expect("there") as u64;
    alter(&bucket, at + 1, |octet| octet ^ 1);
    let report = check(&store);
    let [fault] = &report.faults[..] else { panic!("{:#?}", report.faults) };
    assert_eq!((fault.kind, &fault.path, fault.mend), (FaultKind::Content, &bucket, Mend::Never));
    assert!(fault.offset < at && at < fault.offset + 400);
    let mut users: Vec<&str> = fault.affected.iter().map(|affected| affected.user.as_str()).collect();
    users.sort_unstable();
    assert_eq!(users, ["ann", "bob"]);
    assert!(fault.affected.iter().all(|affected| affected.mailbox == "INBOX" && affected.uid == Some(5)));
    let quick = CheckOptions { verify_content: false, ..CheckOptions::default() };
    assert!(store.check(&quick, &|_| ()).expect("checked").is_sound());
    assert_eq!(store.repair(&report).expect("done").mended, [""; 0]);
    let stored = store.message(cells[4].message).expect("there");
    let mut octets = Vec::new();
    let error = store.read_range(&stored, 0..10, &mut octets).expect_err("refused");
    assert!(matches!(&error, StoreError::Corrupt { path, .. } if *path == bucket), "{error}");
    // A frame whose changes are damaged: the cells have them, but the logs not any more.
    alter(&bucket, at + 1, |octet| octet ^ 1);
    let whole = std::fs::read(&bucket).expect("readable");
    let second = whole.windows(4).skip(70).position(|window| window == b"LFR1").expect("there") as u64 + 70;
    alter(&bucket, second + 40, |octet| octet ^ 1);
    let report = check(&store);
    assert!(
        report.faults.iter().any(|fault| fault.kind == FaultKind::Log && fault.offset == second),
        "{report:#?}"
    );
    alter(&bucket, second + 40, |octet| octet ^ 1);
    // A file that nobody knows is noted, not touched.
    std::fs::write(place.store_path().join("letter.txt"), "mine").expect("written");
    let report = check(&store);
    assert!(report.is_sound());
    assert!(report.notes.iter().any(|note| note.path.ends_with("letter.txt")));
}

#[test]
fn a_store_that_cannot_be_opened_is_made_one_that_can() {
    let place = Place::new();
    let store = place.open();
    let ann = filled(&store, 5);
    let before = live(&store, inbox(ann));
    store.close().expect("closed");
    drop(store);
    let disk = store::disk::Disk::real();
    let folder = place.store_path();
    for (path, offset) in
        [(folder.join("FORMAT"), 20), (folder.join("FORMAT"), 2), (folder.join("state"), 60)]
    {
        let whole = std::fs::read(&path).expect("there");
        alter(&path, offset, |octet| octet ^ 4);
        assert!(Store::open(place.options(store::WriterChoice::Handler(0))).is_err());
        assert_eq!(store::check::mend_opening(&disk, &folder).expect("mended").len(), 1);
        assert_eq!(std::fs::read(&path).expect("there"), whole);
        assert_eq!(store::check::mend_opening(&disk, &folder).expect("nothing to do"), [""; 0]);
        assert_eq!(live(&place.open(), inbox(ann)), before);
    }
    // Lost altogether.
    std::fs::write(folder.join("state"), "nothing that was ever a state").expect("written");
    assert!(Store::open(place.options(store::WriterChoice::Handler(0))).is_err());
    assert_eq!(store::check::mend_opening(&disk, &folder).expect("mended").len(), 1);
    let store = place.open();
    assert_eq!(live(&store, inbox(ann)), before);
    assert!(check(&store).is_sound());
    // UIDs that may have been given out are skipped.
    assert!(store.mailbox(inbox(ann)).expect("there").uid_next().expect("readable") > 1 << 20);
}
