//! Days that have ended: on a disk whose clock goes as it is told, and whose power fails and calls fail in the middle of a pass.

use std::path::Path;

use super::*;
use crate::check::CheckOptions;
use crate::disk::Sizes;
use crate::disk::simulated::{SimulatedDisk, SimulatedOptions};
use crate::log::LogKind;
use crate::log::logs::logs_of_page;
use crate::reserve::Reserve;

const DAY: u64 = 86_400;

fn octets_on_disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => octets_on_disk(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

struct Days {
    place: Place,
    disk: SimulatedDisk,
}

impl Days {
    fn new() -> Days {
        Days::with(Sizes::REAL)
    }

    /// Small files, for tests that make many.
    fn small() -> Days {
        Days::with(Sizes::SMALL)
    }

    fn with(sizes: Sizes) -> Days {
        let place = Place::new();
        let options = SimulatedOptions { sizes, ..SimulatedOptions::new(7) };
        let disk = SimulatedDisk::new(&place.0.path().join("disk"), options).expect("a disk");
        Days { place, disk }
    }

    fn open(&self) -> Arc<Store> {
        Store::open(OpenOptions { disk: self.disk.disk(), ..self.place.options(0) }).expect("opens")
    }

    fn buckets(&self, store: &Store, message: MessageId) -> Vec<u32> {
        let logs = logs_of_page(&store.derived.disk, store.pages.root(), message.page).expect("readable");
        logs.iter().filter(|log| log.kind == LogKind::Bucket).map(|log| log.number).collect()
    }
}

/// What a report says of messages, whatever became of journals.
fn of_messages(report: GcReport) -> GcReport {
    let GcReport { closed, pruned, .. } = GcReport::default();
    GcReport { closed, pruned, ..report }
}

/// Everything thin is rewritten.
fn eagerly() -> GcOptions {
    GcOptions { thin_percent: 90, thin_least_bytes: 4096, ..GcOptions::default() }
}

#[test]
fn a_bucket_without_messages_is_unlinked_once_its_day_is_over() {
    let days = Days::new();
    let store = days.open();
    let ann = store.ensure_user("ann").expect("made");
    let messages: Vec<MessageId> =
        (0..5).map(|at| deliver(&store, &mail("x", 3000 + at), &[inbox(ann)])).collect();
    expunge(&store, inbox(ann), &[0, 1, 2, 3, 4]);
    let report = gc(&store);
    assert_eq!((report.freed_messages, report.unlinked_buckets), (5, 0), "its day is not over");
    days.disk.pass(3 * DAY);
    let report = gc(&store);
    assert_eq!((report.freed_messages, report.unlinked_buckets), (0, 1), "{report:?}");
    assert!(days.buckets(&store, messages[0]).is_empty());
    assert_eq!(of_messages(gc(&store)), GcReport::default());
    // UIDs are not given out again, whatever is left of the logs.
    let next = deliver(&store, &mail("y", 10), &[inbox(ann)]);
    assert_eq!(store.mailbox(inbox(ann)).expect("there").uid_next().expect("readable"), 7);
    drop(store);
    let store = days.open();
    assert_eq!(body(&store, next).expect("there"), mail("y", 10));
}

#[test]
fn what_a_pass_and_the_end_of_a_day_leave_in_the_folders_is_known_to_check() {
    let days = Days::new();
    let store = days.open();
    let ann = store.ensure_user("ann").expect("made");
    deliver(&store, &mail("x", 300), &[inbox(ann)]);
    expunge(&store, inbox(ann), &[0]);
    deliver(&store, &mail("y", 300), &[inbox(ann)]);
    days.disk.pass(3 * DAY);
    // The logs of that day are let go of when the next day's are made, and a checkpoint was written.
    deliver(&store, &mail("z", 300), &[inbox(ann)]);
    store.checkpoint().expect("written");
    let report = gc(&store);
    assert!(report.closed.pages > 0, "{report:?}");
    let report = store.check(&CheckOptions::default(), &|_| ()).expect("checked");
    assert!(report.is_sound() && report.notes.is_empty(), "{:#?} {:#?}", report.faults, report.notes);
}

#[test]
fn a_thin_bucket_is_rewritten_and_readers_do_not_notice() {
    let days = Days::new();
    let store = days.open();
    let other = Store::open(OpenOptions { disk: days.disk.disk(), ..days.place.options(1) }).expect("opens");
    let ann = store.ensure_user("ann").expect("made");
    let texts: Vec<Vec<u8>> = (0..40).map(|at| mail(&format!("message {at} "), 3000 + at)).collect();
    let big = mail("a big one ", 300_000);
    let messages: Vec<MessageId> = texts.iter().map(|text| deliver(&store, text, &[inbox(ann)])).collect();
    let big_id = deliver(&store, &big, &[inbox(ann)]);
    let big_too = deliver(&store, &mail("another ", 300_000), &[inbox(ann)]);
    let page = store.pages.folder(messages[0].page);
    let before = octets_on_disk(&page);
    // What others have in hand.
    let stored = other.message(messages[39]).expect("there");
    let mut lent = other.file_range(&stored, 0..u64::MAX).expect("there");
    let stored_big = other.message(big_id).expect("there");
    let goes: Vec<u32> = (0..39).chain([41]).collect();
    expunge(&store, inbox(ann), &goes);
    days.disk.pass(3 * DAY);
    // The big one's bucket, too, has little to win but for what cannot be punched.
    let report = gc_with(&store, GcOptions { thin_percent: 100, ..eagerly() });
    assert_eq!(report.freed_messages, 40, "{report:?}");
    assert_eq!((report.rewritten_buckets, report.left.len()), (2, 0), "{report:?}");
    assert!(octets_on_disk(&page) + 100_000 < before);
    for reader in [&store, &other] {
        assert_eq!(body(reader, messages[39]).expect("there"), texts[39]);
        assert_eq!(body(reader, big_id).expect("there"), big);
        assert!(matches!(body(reader, big_too), Err(StoreError::Gone(_))));
    }
    let mut bytes = Vec::new();
    other.read_range(&stored_big, 0..u64::MAX, &mut bytes).expect("there");
    assert_eq!(bytes, big);
    lent.advance(10).expect("still there");
    assert!(days.buckets(&store, messages[39]).iter().all(|number| *number >= 32_768));
    let report = gc_with(&store, eagerly());
    assert_eq!((report.rewritten_buckets, report.unlinked_buckets), (0, 0), "{report:?}");
    drop((store, other));
    let store = days.open();
    assert_eq!(body(&store, messages[39]).expect("there"), texts[39]);
}

#[test]
fn a_message_that_another_mailbox_got_by_copy_stays() {
    let days = Days::new();
    let store = days.open();
    let ann = store.ensure_user("ann").expect("made");
    let bob = store.ensure_user("bob").expect("made");
    let message = deliver(&store, &mail("x", 9000), &[inbox(ann)]);
    let mut txn = store.begin();
    txn.copy(inbox(ann), &[CellIndex(0)], inbox(bob));
    store.wait(txn.commit().expect("copied").ticket).expect("durable");
    expunge(&store, inbox(ann), &[0]);
    days.disk.pass(3 * DAY);
    let report = gc_with(&store, eagerly());
    assert_eq!((report.freed_messages, report.unlinked_buckets), (0, 0), "{report:?}");
    assert_eq!(body(&store, message).expect("there"), mail("x", 9000));
}

/// A power cut next to any sync, rename or removal of a pass: what is held is there, and the next pass completes it.
#[test]
fn a_power_cut_anywhere_in_a_pass_loses_nothing_that_is_held() {
    use std::sync::Mutex;
    let days = Days::small();
    let store = days.open();
    let ann = store.ensure_user("ann").expect("made");
    let bob = store.ensure_user("bob").expect("made");
    let stays = deliver(&store, &mail("stays", 9000), &[inbox(ann), inbox(bob)]);
    let kept = deliver(&store, &mail("kept", 5000), &[inbox(ann)]);
    let mut goes = Vec::new();
    for at in 0..10 {
        goes.push(deliver(&store, &mail("goes", 9000 + at), &[inbox(ann), inbox(bob)]));
    }
    let cells: Vec<u32> = (2..12).collect();
    expunge(&store, inbox(ann), &cells);
    days.disk.pass(3 * DAY);
    let mut txn = store.begin();
    txn.delete_user(bob);
    store.wait(txn.commit().expect("deleted").ticket).expect("durable");
    let images = Arc::new(Mutex::new(Vec::new()));
    let folder = days.place.0.path().to_path_buf();
    days.disk.on_sync(Some(Box::new({
        let (images, disk) = (Arc::clone(&images), days.disk.clone());
        move |_| {
            let mut images = images.lock().expect("no panic");
            let image = folder.join(format!("image{}", images.len()));
            disk.crash_image(&image, images.len() as u64).expect("written");
            images.push(image);
        }
    })));
    assert_eq!(gc_with(&store, eagerly()).freed_messages, 10);
    days.disk.on_sync(None);
    let images = std::mem::take(&mut *images.lock().expect("no panic"));
    assert!(images.len() > 10, "{}", images.len());
    let now = store.derived.disk.now_seconds();
    for (number, image) in images.into_iter().enumerate() {
        let options = SimulatedOptions { now_seconds: now, ..SimulatedOptions::new(9) };
        let disk = SimulatedDisk::new(&image, options).expect("a disk");
        let mut options = OpenOptions::new(
            image.join("store"),
            days.place.0.path().join(format!("run{number}")),
            WriterChoice::Handler(0),
        );
        options.disk = disk.disk();
        options.background = crate::store::Background::Manual;
        options.pretend_boot_id = Some("after the power cut".to_string());
        let store = Store::open(options).expect("opens");
        let after = |store: &Store| {
            assert_eq!(body(store, stays).expect("there"), mail("stays", 9000), "image {number}");
            assert_eq!(body(store, kept).expect("there"), mail("kept", 5000), "image {number}");
        };
        after(&store);
        let report = gc_with(&store, eagerly());
        assert_eq!(report.left, Vec::<String>::new(), "image {number}");
        after(&store);
        for message in &goes {
            assert!(matches!(body(&store, *message), Err(StoreError::Gone(_))), "image {number}: {report:?}");
        }
        assert_eq!(of_messages(gc_with(&store, eagerly())), GcReport::default(), "image {number}");
        drop(store);
        let _ = std::fs::remove_dir_all(&image);
    }
}

/// Any one call of the disk fails in a pass: what is held stays, and a later pass completes it.
#[test]
fn any_call_of_a_pass_may_fail() {
    use crate::disk::simulated::{Call, Failure};
    let mut came = 0;
    for call in Call::ALL {
        for nth in 1..6 {
            let failure = if nth % 2 == 0 { Failure::NoSpace } else { Failure::Io };
            came += u32::from(a_pass_with_a_fault(call, nth, failure));
        }
    }
    assert!(came > 25, "{came}");
}

fn a_pass_with_a_fault(
    call: crate::disk::simulated::Call,
    nth: u64,
    failure: crate::disk::simulated::Failure,
) -> bool {
    let days = Days::small();
    let mut store = days.open();
    let ann = store.ensure_user("ann").expect("made");
    let bob = store.ensure_user("bob").expect("made");
    let stays = deliver(&store, &mail("stays", 9000), &[inbox(ann), inbox(bob)]);
    let goes = deliver(&store, &mail("goes", 30_000), &[inbox(ann), inbox(bob)]);
    expunge(&store, inbox(ann), &[1]);
    days.disk.pass(3 * DAY);
    let mut txn = store.begin();
    txn.delete_user(bob);
    store.wait(txn.commit().expect("deleted").ticket).expect("durable");
    days.disk.fail(call, nth, failure);
    let outcome = store.gc(eagerly(), &mut |_| ());
    let came = days.disk.failures_to_come() == 0;
    days.disk.forget_failures();
    let what = format!("{call:?} {nth} {failure:?}: {outcome:?}");
    assert_eq!(body(&store, stays).expect("there"), mail("stays", 9000), "{what}");
    if store.locks.has_failed_syncs() {
        assert!(store.gc(eagerly(), &mut |_| ()).is_err(), "{what}");
        drop(store);
        store = days.open();
    }
    gc_with(&store, GcOptions { recount: true, ..eagerly() });
    assert_eq!(count(&store, goes).1, CellState::Freed, "{what}");
    assert_eq!(body(&store, stays).expect("there"), mail("stays", 9000), "{what}");
    let next = deliver(&store, &mail("next", 500), &[inbox(ann)]);
    assert_eq!(body(&store, next).expect("there"), mail("next", 500), "{what}");
    came
}

/// On a disk without any room, expunged messages still give theirs back.
#[test]
fn a_full_disk_gets_room_by_a_pass() {
    let days = Days::new();
    let store = days.open();
    let ann = store.ensure_user("ann").expect("made");
    let message = deliver(&store, &mail("big", 200_000), &[inbox(ann)]);
    store.checkpoint().expect("room");
    expunge(&store, inbox(ann), &[0]);
    days.disk.set_room(Some(0));
    store.checkpoint().expect("in the space that is kept for it");
    for reserve in Reserve::ALL {
        let path = store.partition().with_file_name(reserve.file_name());
        store.derived.disk.remove_file(&path).expect("it was made again");
    }
    days.disk.set_room(Some(0));
    assert!(store.checkpoint().expect_err("no room").is_out_of_space());
    let mut collector = store.collector(GcOptions::default()).expect("free");
    while collector.step().expect("done").is_some() {}
    assert_eq!(collector.report().freed_messages, 1);
    assert_eq!(count(&store, message), (0, CellState::Freed));
    days.disk.set_room(None);
}
