//! Backups over days on which mail is expunged, pages are closed, space is given back, journals are compressed and pruned: each is what the store was.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use store::backup::{self, PlaceHow};
use store::change::{Flags, SystemFlags};
use store::gc::GcOptions;
use store::ids::{MailboxId, PageId, UserId};
use store::txn::FlagOperation;
use store::{Background, Disk, OpenOptions, Store, WriterChoice};

const DAY: u64 = 86_400;

/// By user and mailbox: UID, flags, octets.
type Seen = BTreeMap<(String, String, u32), Vec<(u32, Flags, Vec<u8>)>>;

fn seen(store: &Arc<Store>) -> Seen {
    let mut seen = Seen::new();
    for (user, name) in store.users().expect("readable") {
        for entry in store.mailbox_list(user).expect("readable").entries() {
            let id = MailboxId { user, number: entry.number };
            let cells = live(store, id).into_iter();
            let messages = cells.map(|cell| (cell.uid.get(), cell.flags, body(store, cell.message)));
            seen.insert((name.clone(), entry.name.clone(), entry.uid_validity), messages.collect());
        }
    }
    seen
}

fn one_day(store: &Arc<Store>, users: [UserId; 2], day: u64) {
    let boxes = users.map(inbox);
    for count in 0..6 {
        let mut bytes = mail(&format!("day{day}x{count}"));
        bytes.resize(if count == 3 { 400_000 } else { 9_000 }, b'y');
        deliver(store, &bytes, vec![to(boxes[0]), to(boxes[1])]);
    }
    let some = live_indexes(store, boxes[0]);
    let mut txn = store.begin();
    txn.store_flags(boxes[0], &some[..2], flags(FlagOperation::Add, SystemFlags::SEEN, &["$day"]));
    txn.commit().expect("stored");
    // All of the first days goes, bit by bit; of one message a mailbox keeps a copy.
    for mailbox in boxes {
        let some = live_indexes(store, mailbox);
        let mut txn = store.begin();
        txn.expunge(mailbox, &some[..some.len().min(5)]);
        txn.commit().expect("expunged");
    }
}

#[test]
fn each_day_comes_back_as_it_was() {
    let place = Place::new();
    let clock: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(20_000 * DAY)));
    let open = |handler| {
        let mut options = place.options(WriterChoice::Handler(handler));
        options.disk = Disk::real_with_clock(clock);
        Store::open(options).expect("opens")
    };
    let stores = [open(0), open(1)];
    let store = &stores[0];
    let users = ["ann", "bob"].map(|name| store.ensure_user(name).expect("made"));
    let target = place.folder.path().join("backup");
    let back_up = || {
        let report = backup::run(&stores[1], &target, &mut |_| ()).expect("backed up");
        assert_eq!(report.faults, []);
        let verified = backup::verify(&Disk::real(), &target, &mut |_| ()).expect("there");
        assert_eq!(verified.faults, []);
        report
    };
    let (mut given_up, mut journals) = (0, 0);
    for day in 0..8u64 {
        one_day(&stores[day as usize % 2], users, day);
        back_up();
        clock.fetch_add(DAY, Ordering::Relaxed);
        for store in &stores {
            store.checkpoint().expect("written");
            store.checkpoint().expect("written");
        }
        if day % 2 == 1 {
            journals += store.close_pages().expect("closed").journals;
        }
        if day % 3 == 2 {
            store.gc(GcOptions::default(), &mut |_| ()).expect("given back");
        }
        if day == 6 {
            let today = (clock.load(Ordering::Relaxed) / DAY) as u32;
            assert!(store.prune_journals(PageId(today - 2)).expect("pruned").journals > 0);
        }
        given_up += back_up().octets_given_up;
        let expected = seen(store);
        let path = place.folder.path().join(format!("restored{day}"));
        let how = if day % 2 == 0 { PlaceHow::Link } else { PlaceHow::Copy };
        let placed = backup::lay_out(&Disk::real(), &target, &path, how, &mut |_| ()).expect("laid out");
        let run = place.folder.path().join(format!("run{day}"));
        let mut options = OpenOptions::new(path, run, WriterChoice::Handler(63));
        options.background = Background::Manual;
        let restored = Store::open(options).expect("opens");
        assert_eq!(restored.damage(), [], "day {day}");
        assert!(seen(&restored) == expected, "day {day}");
        drop((restored, placed));
        back_up();
        assert_eq!(back_up().octets_copied, 0, "day {day}");
    }
    assert!(given_up > 0 && journals > 0, "{given_up} {journals}");
}

#[test]
fn a_journal_that_was_compressed_is_copied_as_it_is_when_the_clock_was_set_back_to_its_day() {
    let place = Place::new();
    let clock: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(20_000 * DAY)));
    let open = || {
        let mut options = place.options(WriterChoice::Handler(0));
        options.disk = Disk::real_with_clock(clock);
        Store::open(options).expect("opens")
    };
    let store = open();
    let users = ["ann", "bob"].map(|name| store.ensure_user(name).expect("made"));
    (0..40).for_each(|day| one_day(&store, users, day));
    clock.fetch_add(3 * DAY, Ordering::Relaxed);
    one_day(&store, users, 40);
    for _ in 0..2 {
        store.checkpoint().expect("written");
    }
    assert_eq!(store.close_pages().expect("closed").journals, 1);
    store.close().expect("closed");
    drop(store);
    clock.fetch_sub(3 * DAY, Ordering::Relaxed);
    let store = open();
    one_day(&store, users, 41);
    let target = place.folder.path().join("backup");
    for _ in 0..2 {
        assert_eq!(backup::run(&store, &target, &mut |_| ()).expect("backed up").faults, []);
    }
    let expected = seen(&store);
    let path = place.folder.path().join("restored");
    let placed =
        backup::lay_out(&Disk::real(), &target, &path, PlaceHow::Copy, &mut |_| ()).expect("laid out");
    let mut options = OpenOptions::new(path, place.folder.path().join("run"), WriterChoice::Handler(63));
    options.background = Background::Manual;
    let restored = Store::open(options).expect("opens");
    assert_eq!(restored.damage(), []);
    assert!(seen(&restored) == expected);
    drop((restored, placed));
}
