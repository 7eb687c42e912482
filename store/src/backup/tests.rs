//! Backups while others write, one after the other, cut short, damaged; and what comes back from them.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::change::{SystemFlags, ZonedTime};
use crate::ids::{CellIndex, MailboxId, Ticket};
use crate::store::{Background, OpenOptions, WriterChoice};
use crate::txn::{Delivery, FlagChange, FlagOperation};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder") }
    }

    /// Where syncing costs nothing, if there is such a place.
    fn in_memory() -> Place {
        tempfile::tempdir_in("/dev/shm").map_or_else(|_| Place::new(), |folder| Place { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self, name: &str, handler: u16) -> Arc<Store> {
        Store::open(self.options(name, handler)).expect("opens")
    }

    fn options(&self, name: &str, handler: u16) -> OpenOptions {
        let runtime = self.path(&format!("{name}.run"));
        OpenOptions::new(self.path(name), runtime, WriterChoice::Handler(handler))
    }

    fn backup(&self, store: &Store) -> BackupReport {
        let report = run(store, &self.path("backup"), &mut |_| ()).expect("backed up");
        assert_eq!(report.faults, []);
        report
    }

    fn verify(&self) -> Verified {
        let verified = verify(&Disk::real(), &self.path("backup"), &mut |_| ()).expect("there");
        assert_eq!(verified.faults, []);
        verified
    }

    /// The store that the backup is, opened as restores for a part open it, or for good.
    fn restored(&self, name: &str, how: PlaceHow) -> Arc<Store> {
        let placed = lay_out(&Disk::real(), &self.path("backup"), &self.path(name), how, &mut |_| ());
        let _placed = placed.expect("laid out");
        let mut options = self.options(name, 63);
        if how == PlaceHow::Link {
            options.background = Background::Manual;
        }
        Store::open(options).expect("opens")
    }
}

fn deliver(store: &Arc<Store>, to: &[MailboxId], octets: &[u8]) -> Ticket {
    let mut draft = store.draft().expect("open");
    draft.write(octets).expect("space");
    let internal_date = ZonedTime { seconds: 0, zone_minutes: 0 };
    let deliveries = to
        .iter()
        .map(|mailbox| Delivery {
            mailbox: *mailbox,
            flags: SystemFlags::default(),
            keywords: vec!["$k".to_string()],
            internal_date,
        })
        .collect();
    let mut txn = store.begin();
    txn.deliver(draft.finish().expect("space"), deliveries);
    txn.commit().expect("delivered").ticket
}

fn inbox(store: &Store, user: &str) -> MailboxId {
    MailboxId { user: store.ensure_user(user).expect("made"), number: 1 }
}

/// The content of all messages in a mailbox, in order.
fn contents(store: &Store, mailbox: MailboxId) -> Vec<String> {
    let cells = store.mailbox(mailbox).expect("there").cells().expect("readable");
    let cells = (0..cells.count()).map(|index| cells.cell(CellIndex(index)).expect("whole"));
    cells
        .filter(|cell| !cell.expunged)
        .map(|cell| {
            let mut octets = Vec::new();
            let message = store.message(cell.message).expect("there");
            store.read_range(&message, 0..u64::MAX, &mut octets).expect("whole");
            String::from_utf8(octets).expect("text")
        })
        .collect()
}

fn text(writer: u32, number: u32) -> String {
    // Some that go through memory, some that take a bucket for themselves.
    let size = if number % 17 == 3 { 200_000 } else { 300 + 40 * (number as usize % 50) };
    format!("Subject: {writer} {number}\r\n\r\n{}\r\n", "x".repeat(size))
}

fn number_of(content: &str) -> (u32, u32) {
    let line = content.lines().next().expect("a line");
    let mut words = line["Subject: ".len()..].split(' ').map(|word| word.parse().expect("a number"));
    (words.next().expect("a writer"), words.next().expect("a number"))
}

const WRITERS: u32 = 3;

/// What each of several writers does: every message goes to two mailboxes in one frame, gets a flag later, and another process copies it.
fn write(store: &Arc<Store>, writer: u32, stop: &AtomicBool, acknowledged: &AtomicU32) {
    let both = [inbox(store, &format!("a{writer}")), inbox(store, &format!("b{writer}"))];
    let mut number = 1;
    while !stop.load(Ordering::Relaxed) {
        let ticket = deliver(store, &both, text(writer, number).as_bytes());
        let flag =
            FlagChange { operation: FlagOperation::Add, system: SystemFlags::SEEN, keywords: Vec::new() };
        let mut txn = store.begin();
        for mailbox in both {
            txn.store_flags(mailbox, &[CellIndex(number - 1)], flag.clone());
        }
        txn.commit().expect("flagged");
        store.wait(ticket).expect("durable");
        acknowledged.store(number, Ordering::Release);
        number += 1;
    }
}

/// Copies whatever has come into the first mailbox of each writer, as soon as it is visible.
fn copy_on(store: &Arc<Store>, stop: &AtomicBool) {
    let mut done = [0; WRITERS as usize];
    while !stop.load(Ordering::Relaxed) {
        for writer in 0..WRITERS {
            let from = inbox(store, &format!("a{writer}"));
            let to = inbox(store, "copies");
            let count = store.mailbox(from).expect("there").cell_count().expect("readable");
            let cells: Vec<CellIndex> = (done[writer as usize]..count).map(CellIndex).collect();
            if !cells.is_empty() {
                let mut txn = store.begin();
                txn.copy(from, &cells, to);
                txn.commit().expect("copied");
                done[writer as usize] = count;
            }
        }
    }
}

fn check_restored(store: &Arc<Store>, at_least: &[u32]) {
    let mut all = BTreeSet::new();
    for writer in 0..WRITERS {
        let [a, b] = ["a", "b"].map(|user| contents(store, inbox(store, &format!("{user}{writer}"))));
        assert_eq!(a, b, "one frame, two mailboxes");
        let numbers: Vec<(u32, u32)> = a.iter().map(|content| number_of(content)).collect();
        let expected: Vec<(u32, u32)> = (1..=a.len() as u32).map(|number| (writer, number)).collect();
        assert_eq!(numbers, expected, "none is missing before the last");
        assert!(a.len() as u32 >= at_least[writer as usize], "what was acknowledged is there");
        for (content, (writer, number)) in a.iter().zip(&numbers) {
            assert!(*content == text(*writer, *number), "octet by octet");
        }
        let [first, second] = ["a", "b"].map(|user| {
            let mailbox = store.mailbox(inbox(store, &format!("{user}{writer}"))).expect("there");
            let cells = mailbox.cells().expect("readable");
            let seen = |index| cells.cell(CellIndex(index)).expect("whole").flags.system;
            (0..a.len() as u32).map(seen).collect::<Vec<_>>()
        });
        assert_eq!(first, second, "flags of one frame");
        let unseen = first.iter().filter(|flags| !flags.contains(SystemFlags::SEEN)).count();
        assert!(unseen <= 1, "flags of a message come before the next message");
        all.extend(numbers);
    }
    for copy in contents(store, inbox(store, "copies")) {
        assert!(all.contains(&number_of(&copy)), "no copy of what is not there");
    }
}

#[test]
fn a_backup_under_writers_is_of_one_moment_and_has_what_was_acknowledged() {
    let place = Place::new();
    let stores = [place.open("store", 0), place.open("store", 1)];
    let stop = AtomicBool::new(false);
    let acknowledged: Vec<AtomicU32> = (0..WRITERS).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, stop) = (&stores[writer as usize % 2], &stop);
            let acknowledged = &acknowledged[writer as usize];
            scope.spawn(move || write(store, writer, stop, acknowledged));
        }
        scope.spawn(|| copy_on(&stores[1], &stop));
        let tool = place.open("store", 2);
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            for round in 0..6 {
                while acknowledged.iter().any(|number| number.load(Ordering::Acquire) < round * 5 + 1) {
                    std::thread::yield_now();
                }
                if round == 2 {
                    stores.iter().for_each(|store| store.checkpoint().expect("written"));
                }
                let before: Vec<u32> =
                    acknowledged.iter().map(|number| number.load(Ordering::Acquire)).collect();
                place.backup(&tool);
                place.verify();
                let how = if round % 2 == 0 { PlaceHow::Link } else { PlaceHow::Copy };
                let restored = place.restored(&format!("restored.{round}"), how);
                check_restored(&restored, &before);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn only_new_octets_are_copied() {
    let place = Place::new();
    let store = place.open("store", 0);
    let ann = inbox(&store, "ann");
    for number in 0..50 {
        deliver(&store, &[ann], text(0, number).as_bytes());
    }
    let first = place.backup(&store);
    assert_eq!((first.generation, first.messages, first.messages_copied), (1, 50, 50));
    assert!(first.octets_copied >= 50 * 300 && first.octets_copied == first.octets);
    let second = place.backup(&store);
    assert_eq!((second.octets_copied, second.octets_written, second.logs_copied), (0, 0, 0));
    assert_eq!((second.messages, second.octets), (first.messages, first.octets));
    let written = |store: &Store| {
        store.counters().bucket_bytes_written.get() + store.counters().journal_bytes_written.get()
    };
    let before = written(&store);
    deliver(&store, &[ann], text(0, 50).as_bytes());
    let flag =
        FlagChange { operation: FlagOperation::Add, system: SystemFlags::FLAGGED, keywords: Vec::new() };
    let mut txn = store.begin();
    txn.store_flags(ann, &[CellIndex(3)], flag);
    txn.commit().expect("flagged");
    let third = place.backup(&store);
    assert_eq!(third.octets_copied, written(&store) - before);
    assert_eq!((third.messages, third.messages_copied), (51, 1));
    assert_eq!(place.verify().messages, 51);
    let restored = place.restored("restored", PlaceHow::Copy);
    assert_eq!(contents(&restored, inbox(&restored, "ann")), contents(&store, ann));
    let cell = restored.mailbox(inbox(&restored, "ann")).expect("there").cell(CellIndex(3)).expect("whole");
    assert!(cell.flags.system.contains(SystemFlags::FLAGGED));
    // The restored store is the old one, of a later epoch: it goes on with the same backup, and no UID comes again.
    let uid_next = store.mailbox(ann).expect("there").uid_next().expect("readable");
    store.close().expect("closed");
    let ann = inbox(&restored, "ann");
    assert!(restored.mailbox(ann).expect("there").uid_next().expect("readable") >= uid_next + (1 << 20));
    deliver(&restored, &[ann], text(0, 77).as_bytes());
    assert_eq!(place.backup(&restored).messages, 52);
    let again = place.restored("again", PlaceHow::Link);
    assert_eq!(contents(&again, inbox(&again, "ann")), contents(&restored, ann));
}

#[test]
fn a_backup_that_is_cut_short_leaves_the_one_before() {
    let place = Place::new();
    let store = place.open("store", 0);
    let ann = inbox(&store, "ann");
    for number in 0..20 {
        deliver(&store, &[ann], text(0, number).as_bytes());
    }
    place.backup(&store);
    let mut before = contents(&store, ann);
    let mut round = 0;
    let mut cut_short = true;
    while cut_short {
        for number in 0..5 {
            deliver(&store, &[ann], text(round, number).as_bytes());
        }
        round += 1;
        let mut calls = 0;
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            run(&store, &place.path("backup"), &mut |_| {
                calls += 1;
                assert!(calls < round, "cut short");
            })
        }));
        cut_short = outcome.is_err();
        if !cut_short {
            before = contents(&store, ann);
        }
        place.verify();
        let name = format!("restored.{round}");
        let restored = place.restored(&name, PlaceHow::Link);
        assert_eq!(contents(&restored, inbox(&restored, "ann")), before, "round {round}");
    }
    assert!(round > 2);
}

#[test]
fn what_a_power_cut_took_is_not_kept() {
    let place = Place::new();
    let opened = |boot: &str| {
        let options = OpenOptions { pretend_boot_id: Some(boot.to_string()), ..place.options("store", 0) };
        Store::open(options).expect("opens")
    };
    let store = opened("one");
    let ann = inbox(&store, "ann");
    store.wait(deliver(&store, &[ann], text(0, 1).as_bytes())).expect("durable");
    let page = store.derived.disk.today();
    let name = LogName { page, kind: crate::log::LogKind::Bucket, writer: 0, number: 0 };
    let bucket = log_path(store.pages.root(), name);
    let end = store.logs.bucket().expect("open").tail();
    deliver(&store, &[ann], text(0, 2).as_bytes());
    place.backup(&store);
    // The machine goes down; the second message was not on the disk.
    store.close().expect("closed");
    drop(store);
    let folder = place.path("store");
    let state = crate::state::State::read(&Disk::real(), &folder).expect("readable").expect("there");
    let state = crate::state::State { left: crate::state::Left::Open, ..state };
    state.write(&Disk::real(), &folder).expect("written");
    std::fs::remove_file(place.path("store/p0/checkpoint.0")).expect("there");
    std::fs::OpenOptions::new().write(true).open(&bucket).expect("there").set_len(end).expect("cut");
    let store = opened("two");
    assert_eq!(contents(&store, ann).len(), 1);
    place.backup(&store);
    assert_eq!(place.verify().messages, 1);
    let restored = place.restored("restored", PlaceHow::Link);
    assert_eq!(contents(&restored, inbox(&restored, "ann")), contents(&store, ann));
}

#[test]
fn damage_is_found_wherever_it_is() {
    let place = Place::new();
    let store = place.open("store", 0);
    let ann = inbox(&store, "ann");
    for number in 5..9 {
        deliver(&store, &[ann], text(0, number).as_bytes());
    }
    place.backup(&store);
    let manifest = Manifest::read(&Disk::real(), &place.path("backup")).expect("readable").expect("there");
    for entry in &manifest.entries {
        let path = entry.path(&place.path("backup"));
        let octets = std::fs::read(&path).expect("readable");
        let mut step = 0;
        while step < octets.len() {
            let mut altered = octets.clone();
            altered[step] ^= 1;
            std::fs::write(&path, &altered).expect("written");
            let found = verify(&Disk::real(), &place.path("backup"), &mut |_| ()).expect("there");
            // What is zero may be padding.
            assert!(octets[step] == 0 || !found.faults.is_empty(), "{} octet {step}", path.display());
            assert!(found.faults.iter().all(|fault| fault.path == path));
            step += if step < 400 { 1 } else { 61 };
        }
        std::fs::write(&path, &octets[..octets.len() - 8]).expect("written");
        assert!(!verify(&Disk::real(), &place.path("backup"), &mut |_| ()).expect("there").faults.is_empty());
        std::fs::write(&path, &octets).expect("written");
    }
    // Damage of the store is copied as it is, and told.
    let page = store.derived.disk.today();
    deliver(&store, &[ann], text(0, 9).as_bytes());
    let name = LogName { page, kind: crate::log::LogKind::Bucket, writer: 0, number: 0 };
    let tail = store.logs.bucket().expect("open").tail();
    let bucket = disk_file(&log_path(store.pages.root(), name));
    bucket.write_all_at(b"?", tail - 100).expect("written");
    deliver(&store, &[ann], text(0, 10).as_bytes());
    let report = run(&store, &place.path("backup"), &mut |_| ()).expect("backed up");
    assert_eq!(report.faults.len(), 1);
    assert!(report.faults[0].path.ends_with("bucket.0.0") && report.faults[0].offset < tail);
}

fn disk_file(path: &Path) -> DiskFile {
    Disk::real().open_writable(path).expect("there")
}

#[test]
fn folders_that_will_not_do_are_refused() {
    let place = Place::new();
    let store = place.open("store", 0);
    inbox(&store, "ann");
    let into = |path: PathBuf| run(&store, &path, &mut |_| ());
    assert!(matches!(into(place.path("store/backup")), Err(StoreError::Unusable { .. })));
    assert!(matches!(into(place.path("store")), Err(StoreError::Unusable { .. })));
    std::fs::create_dir(place.path("other")).expect("made");
    std::fs::write(place.path("other/file"), "").expect("written");
    assert!(matches!(into(place.path("other")), Err(StoreError::Unusable { .. })));
    let second = place.open("second", 0);
    run(&second, &place.path("backup"), &mut |_| ()).expect("backed up");
    assert!(matches!(into(place.path("backup")), Err(StoreError::Unusable { .. })));
    let held = BackupFolder::for_reading(&Disk::real(), &place.path("backup")).expect("free");
    assert!(matches!(run(&second, &place.path("backup"), &mut |_| ()), Err(StoreError::Busy(_))));
    drop(held);
    run(&second, &place.path("backup"), &mut |_| ()).expect("backed up");
    let disk = Disk::real();
    let full = lay_out(&disk, &place.path("backup"), &place.path("store"), PlaceHow::Copy, &mut |_| ());
    assert!(matches!(full, Err(StoreError::Unusable { .. })));
    assert!(matches!(verify(&disk, &place.path("other"), &mut |_| ()), Err(StoreError::Unusable { .. })));
}

#[test]
fn what_the_store_gives_up_leaves_the_backup_after_the_next_one() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    let store = place.open("store", 0);
    let ann = inbox(&store, "ann");
    for number in 0..30 {
        deliver(&store, &[ann], text(0, number).as_bytes());
    }
    deliver(&store, &[ann], "Subject: big\r\n\r\n0123456789\r\n".repeat(3000).as_bytes());
    place.backup(&store);
    // The day is over: nobody appends to the bucket of then.
    let page = store.derived.disk.today();
    let name = LogName { page, kind: crate::log::LogKind::Bucket, writer: 0, number: 0 };
    let bucket = log_path(store.pages.root(), name);
    let reader = LogReader::open(&Disk::real(), &bucket, name).expect("readable").expect("there");
    let mut offset = LOG_HEAD_BYTES;
    let mut frames = Vec::new();
    while let Some(head) = reader.head_at(offset).expect("readable") {
        frames.push((offset, head.content_len));
        offset += head.frame_len();
    }
    let big = frames.iter().max_by_key(|(_, len)| *len).copied().expect("some");
    let file = disk_file(&bucket);
    crate::log::frame::mark_content_gone(&file, big.0).expect("written");
    file.punch(big.0 + 48, big.1).expect("punched");
    store.close().expect("closed");
    drop(store);
    let checkpoint = crate::checkpoint::Checkpoint { page: crate::ids::PageId(page.0 + 1), logs: Vec::new() };
    checkpoint.write(&Disk::real(), &place.path("store/p0"), 0).expect("written");
    let tool = place.open("store", 1);
    let copy = |path: &str| {
        std::fs::metadata(place.path(path).join(bucket.strip_prefix(place.path("store/p0")).expect("below")))
            .expect("there")
            .blocks()
    };
    let before = copy("backup");
    let report = place.backup(&tool);
    assert_eq!(report.octets_given_up, big.1);
    assert!(copy("backup") < before);
    assert_eq!(place.verify().given_up, 1);
    assert_eq!(place.backup(&tool).octets_given_up, 0);
    // Looked at once more, then one look at the file is enough.
    let manifest = Manifest::read(&Disk::real(), &place.path("backup")).expect("readable").expect("there");
    assert!(manifest.entry(name).is_some_and(|entry| entry.stamp.is_some()));
}

#[test]
fn ten_thousand_closed_logs_are_each_looked_at_once() {
    let place = Place::in_memory();
    let store = place.open("store", 0);
    inbox(&store, "ann");
    let today = store.derived.disk.today().0;
    for page in (0..1000).map(|back| crate::ids::PageId(today - 1 - back)) {
        std::fs::create_dir_all(store.pages.folder(page)).expect("made");
        for number in 0..10 {
            let name = LogName { page, kind: crate::log::LogKind::Bucket, writer: 5, number };
            crate::log::LogFile::create(&Disk::real(), &log_path(store.pages.root(), name), name, 1)
                .expect("made");
        }
    }
    let checkpoint = crate::checkpoint::Checkpoint { page: crate::ids::PageId(today), logs: Vec::new() };
    checkpoint.write(&Disk::real(), &place.path("store/p0"), 5).expect("written");
    let first = place.backup(&store);
    assert!(first.logs > 10_000 && first.logs_copied > 10_000);
    let begun = std::time::Instant::now();
    let second = place.backup(&store);
    println!("nothing new in {} logs: {:?}", second.logs, begun.elapsed());
    assert_eq!((second.logs, second.logs_copied, second.octets_written), (first.logs, 0, 0));
    assert_eq!(place.verify().logs, first.logs);
}
