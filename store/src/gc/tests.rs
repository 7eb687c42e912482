//! What is given back and what is not: the whole way from an expunge to the hole in the bucket.

#[cfg(feature = "simulation")]
mod ended_days;
#[cfg(feature = "simulation")]
mod lost_cells;

use std::sync::Arc;

use crate::change::{SystemFlags, ZonedTime};
use crate::error::StoreError;
use crate::gc::{GcOptions, GcReport};
use crate::ids::{CellIndex, MailboxId, MessageId, UserId};
use crate::page::directory::CellState;
use crate::store::{OpenOptions, Store, WriterChoice};
use crate::txn::Delivery;

pub(crate) struct Place(pub(crate) tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder"))
    }

    pub(crate) fn options(&self, handler: u16) -> OpenOptions {
        let mut options = OpenOptions::new(
            self.0.path().join("disk/store"),
            self.0.path().join("run"),
            WriterChoice::Handler(handler),
        );
        // Each test says itself what is collected when.
        options.background = crate::store::Background::Manual;
        options
    }

    pub(crate) fn open(&self) -> Arc<Store> {
        Store::open(self.options(0)).expect("opens")
    }
}

pub(crate) fn inbox(user: UserId) -> MailboxId {
    MailboxId { user, number: 1 }
}

/// A message of so many octets.
pub(crate) fn mail(text: &str, octets: usize) -> Vec<u8> {
    let mut bytes = format!("Subject: {text}\r\n\r\n").into_bytes();
    while bytes.len() < octets {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.truncate(octets);
    bytes
}

pub(crate) fn deliver(store: &Arc<Store>, bytes: &[u8], to: &[MailboxId]) -> MessageId {
    let mut draft = store.draft().expect("open");
    draft.write(bytes).expect("space");
    let internal_date = ZonedTime { seconds: 1_790_000_000, zone_minutes: 0 };
    let to = to.iter().map(|mailbox| Delivery {
        mailbox: *mailbox,
        flags: SystemFlags::default(),
        keywords: Vec::new(),
        internal_date,
    });
    let to: Vec<Delivery> = to.collect();
    let first = to[0].mailbox;
    let mut txn = store.begin();
    txn.deliver(draft.finish().expect("space"), to);
    let committed = txn.commit().expect("delivered");
    store.wait(committed.ticket).expect("durable");
    let open = store.mailbox(first).expect("there");
    open.cell(CellIndex(open.cell_count().expect("readable") - 1)).expect("whole").message
}

pub(crate) fn expunge(store: &Store, mailbox: MailboxId, cells: &[u32]) {
    let mut txn = store.begin();
    let cells: Vec<CellIndex> = cells.iter().copied().map(CellIndex).collect();
    txn.expunge(mailbox, &cells);
    let committed = txn.commit().expect("expunged");
    store.wait(committed.ticket).expect("durable");
}

pub(crate) fn gc(store: &Arc<Store>) -> GcReport {
    gc_with(store, GcOptions::default())
}

pub(crate) fn gc_with(store: &Arc<Store>, options: GcOptions) -> GcReport {
    store.gc(options, &mut |_| ()).expect("collected")
}

pub(crate) fn body(store: &Store, message: MessageId) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    store.read_range(&store.message(message)?, 0..u64::MAX, &mut bytes)?;
    Ok(bytes)
}

pub(crate) fn count(store: &Store, message: MessageId) -> (u32, CellState) {
    let directory = store.pages.directory(message.page).expect("there");
    let now = directory.cell_use(message.index).expect("there");
    (now.references, now.state)
}

#[test]
fn an_expunged_message_gives_its_space_back_and_others_stay() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let bob = store.ensure_user("bob").expect("made");
    let (big, kept) = (mail("big", 100_000), mail("kept", 5000));
    let goes = deliver(&store, &big, &[inbox(ann), inbox(bob)]);
    let stays = deliver(&store, &kept, &[inbox(ann)]);
    assert_eq!(count(&store, goes), (2, CellState::InUse));
    expunge(&store, inbox(ann), &[0]);
    let report = gc(&store);
    assert_eq!((report.released_cells, report.freed_messages), (1, 0), "bob has it");
    assert_eq!(count(&store, goes), (1, CellState::InUse));
    assert_eq!(body(&store, goes).expect("there"), big);
    expunge(&store, inbox(bob), &[0]);
    let stored = store.message(goes).expect("there");
    let mut lent = store.file_range(&stored, 0..u64::MAX).expect("there");
    let would = gc_with(&store, GcOptions { dry_run: true, ..GcOptions::default() });
    assert_eq!((would.released_cells, would.freed_messages, would.freed_octets), (1, 1, 100_000));
    assert_eq!(count(&store, goes), (1, CellState::InUse), "it only looked");
    let report = gc(&store);
    assert_eq!((report.released_cells, report.freed_messages, report.freed_octets), (1, 1, 100_000));
    assert!((90_000..100_000).contains(&report.punched_octets), "{report:?}");
    assert_eq!(count(&store, goes), (0, CellState::Freed));
    assert!(matches!(body(&store, goes), Err(StoreError::Gone(_))));
    assert!(matches!(store.read_range(&stored, 0..10, &mut Vec::new()), Err(StoreError::Gone(_))));
    assert!(
        matches!(lent.advance(10), Err(StoreError::Gone(_))),
        "what was lent before is not sent to its end"
    );
    assert_eq!(body(&store, stays).expect("there"), kept);
    assert_eq!(gc(&store), GcReport::default(), "there is nothing more to do");
    drop(store);
    let store = place.open();
    assert_eq!(body(&store, stays).expect("there"), kept);
    assert_eq!(count(&store, goes), (0, CellState::Freed));
}

#[test]
fn history_keeps_what_was_expunged() {
    let place = Place::new();
    let store = Store::open(OpenOptions { history_days: 3, ..place.options(0) }).expect("opens");
    let ann = store.ensure_user("ann").expect("made");
    let message = deliver(&store, &mail("x", 9000), &[inbox(ann)]);
    expunge(&store, inbox(ann), &[0]);
    assert_eq!(gc(&store).released_cells, 0);
    assert_eq!(count(&store, message), (1, CellState::InUse));
    let now = GcOptions { history_seconds: Some(0), ..GcOptions::default() };
    assert_eq!(gc_with(&store, now).freed_messages, 1);
}

#[test]
fn deleted_mailboxes_and_users_go_altogether() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let bob = store.ensure_user("bob").expect("made");
    let mut txn = store.begin();
    txn.create_mailbox(ann, "Lists", None);
    store.wait(txn.commit().expect("made").ticket).expect("durable");
    let lists = MailboxId { user: ann, number: 2 };
    let one = deliver(&store, &mail("one", 9000), &[lists, inbox(bob)]);
    let two = deliver(&store, &mail("two", 9000), &[lists]);
    let folder = store.derived.user_folder(ann).expect("there").join("m2");
    let mut txn = store.begin();
    txn.delete_mailbox(ann, "Lists");
    store.wait(txn.commit().expect("deleted").ticket).expect("durable");
    assert!(folder.exists());
    let report = gc(&store);
    assert_eq!((report.removed_mailboxes, report.released_cells, report.freed_messages), (1, 2, 1));
    assert!(!folder.exists());
    assert_eq!(count(&store, one), (1, CellState::InUse));
    assert_eq!(count(&store, two), (0, CellState::Freed));
    let aside = store.derived.catalog.folder_put_away(bob).expect("readable").expect("a place");
    let mut txn = store.begin();
    txn.delete_user(bob);
    store.wait(txn.commit().expect("deleted").ticket).expect("durable");
    assert!(aside.exists());
    let report = gc(&store);
    assert_eq!((report.removed_mailboxes, report.removed_users, report.freed_messages), (1, 1, 1));
    assert!(!aside.exists());
    assert_eq!(count(&store, one), (0, CellState::Freed));
}

#[test]
fn nothing_is_freed_while_counts_are_suspect_and_a_recount_mends_them() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let bob = store.ensure_user("bob").expect("made");
    let message = deliver(&store, &mail("x", 9000), &[inbox(ann), inbox(bob)]);
    let other = deliver(&store, &mail("y", 9000), &[inbox(ann)]);
    let directory = store.pages.directory(message.page).expect("there");
    // As after a power cut that kept the cells and lost the counts.
    directory.drop_references(message.index, 2).expect("there");
    directory.add_references(other.index, 5).expect("there");
    directory.set_recounted_epoch(0).expect("there");
    let mut checkpoints = super::free::Checkpoints::default();
    store.checkpoint().expect("written");
    let freed = super::free::free(&store, &mut checkpoints, message.page, 0..2).expect("looked");
    assert_eq!((freed.messages, freed.postponed), (0, vec![message.index]));
    let report = gc(&store);
    assert_eq!((report.recounted_pages, report.corrected_counts, report.freed_messages), (1, 2, 0));
    assert_eq!((count(&store, message).0, count(&store, other).0), (2, 1));
    assert_eq!(directory.recounted_epoch().expect("there"), store.derived.epoch);
    assert_eq!(gc(&store).recounted_pages, 0);
    directory.add_references(other.index, 5).expect("there");
    let report = gc_with(&store, GcOptions { recount: true, ..GcOptions::default() });
    assert_eq!((report.recounted_pages, report.corrected_counts), (1, 1));
}

#[test]
fn what_was_not_in_the_views_at_a_checkpoint_is_not_freed() {
    let place = Place::new();
    let store = place.open();
    let other = Store::open(place.options(1)).expect("opens");
    let ann = store.ensure_user("ann").expect("made");
    let message = deliver(&other, &mail("x", 9000), &[inbox(ann)]);
    expunge(&store, inbox(ann), &[0]);
    let report = gc(&store);
    assert_eq!((report.released_cells, report.freed_messages), (1, 0), "the other has no checkpoint yet");
    other.checkpoint().expect("written");
    assert_eq!(gc(&store).freed_messages, 1);
    assert_eq!(count(&store, message), (0, CellState::Freed));
}

#[test]
fn after_a_failed_sync_in_any_process_nothing_is_destroyed() {
    let place = Place::new();
    let store = place.open();
    let other = Store::open(place.options(1)).expect("opens");
    let ann = store.ensure_user("ann").expect("made");
    deliver(&store, &mail("x", 9000), &[inbox(ann)]);
    expunge(&store, inbox(ann), &[0]);
    other.pretend_sync_failure();
    let mut draft = other.draft().expect("open");
    draft.write(b"Subject: lost\r\n\r\n").expect("space");
    let mut txn = other.begin();
    let internal_date = ZonedTime { seconds: 0, zone_minutes: 0 };
    let to =
        Delivery { mailbox: inbox(ann), flags: SystemFlags::default(), keywords: Vec::new(), internal_date };
    txn.deliver(draft.finish().expect("space"), vec![to]);
    let committed = txn.commit().expect("seen");
    other.wait(committed.ticket).expect_err("lost");
    assert!(matches!(store.gc(GcOptions::default(), &mut |_| ()), Err(StoreError::Failed(_))));
    let _ = other.close();
    drop(other);
    assert!(matches!(store.gc(GcOptions::default(), &mut |_| ()), Err(StoreError::Failed(_))));
    drop(store);
    let store = place.open();
    assert_eq!(gc(&store).freed_messages, 1);
}

#[test]
fn one_process_at_a_time_goes_through_the_store() {
    let place = Place::new();
    let store = place.open();
    let other = Store::open(place.options(1)).expect("opens");
    let collector = store.collector(GcOptions::default()).expect("free");
    assert!(matches!(other.collector(GcOptions::default()), Err(StoreError::Busy(_))));
    drop(collector);
    assert!(other.collector(GcOptions::default()).is_ok());
}

/// However far a pass came, the next one completes it, and nobody loses anything.
#[test]
fn a_pass_that_is_cut_short_anywhere_is_completed_by_the_next() {
    for pieces in 0..40 {
        let place = Place::new();
        let store = place.open();
        let ann = store.ensure_user("ann").expect("made");
        let bob = store.ensure_user("bob").expect("made");
        let goes = deliver(&store, &mail("goes", 9000), &[inbox(ann), inbox(bob)]);
        let stays = deliver(&store, &mail("stays", 9000), &[inbox(ann)]);
        expunge(&store, inbox(ann), &[0]);
        let mut txn = store.begin();
        txn.delete_user(bob);
        store.wait(txn.commit().expect("deleted").ticket).expect("durable");
        store.checkpoint().expect("written");
        let mut collector = store.collector(GcOptions::default()).expect("free");
        let mut ended = false;
        for _ in 0..pieces {
            ended = collector.step().expect("done").is_none();
        }
        drop(collector);
        // The process dies: nothing is closed.
        std::mem::forget(store);
        let store = Store::open(place.options(1)).expect("opens");
        gc(&store);
        assert_eq!(count(&store, goes), (0, CellState::Freed), "after {pieces} pieces");
        assert_eq!(body(&store, stays).expect("there"), mail("stays", 9000));
        if ended {
            return;
        }
    }
    panic!("a pass has no end");
}

#[test]
fn what_a_process_expunged_is_collected_after_its_next_checkpoint() {
    let place = Place::new();
    let store = place.open();
    let other = Store::open(place.options(1)).expect("opens");
    let ann = store.ensure_user("ann").expect("made");
    let bob = store.ensure_user("bob").expect("made");
    let message = deliver(&store, &mail("x", 9000), &[inbox(ann)]);
    let theirs = deliver(&other, &mail("y", 9000), &[inbox(ann), inbox(bob)]);
    expunge(&store, inbox(ann), &[0, 1]);
    let mut txn = store.begin();
    txn.delete_user(bob);
    store.wait(txn.commit().expect("deleted").ticket).expect("durable");
    assert_eq!(store.collect_expunged().expect("nothing"), GcReport::default(), "no checkpoint came since");
    store.checkpoint().expect("written");
    let report = store.collect_expunged().expect("collected");
    assert_eq!((report.released_cells, report.removed_mailboxes, report.freed_messages), (3, 1, 1));
    assert_eq!(count(&store, message), (0, CellState::Freed));
    assert_eq!(count(&store, theirs), (0, CellState::InUse), "its frame may be in flight");
    other.checkpoint().expect("written");
    assert_eq!(store.collect_expunged().expect("collected").freed_messages, 1);
    assert_eq!(store.collect_expunged().expect("nothing"), GcReport::default());
}

#[test]
fn the_thread_of_a_handler_ends_with_its_store() {
    let place = Place::new();
    let mut options = place.options(0);
    options.background = crate::store::Background::Threads;
    options.checkpoint_interval_ms = 1;
    let store = Store::open(options).expect("opens");
    let ann = store.ensure_user("ann").expect("made");
    let message = deliver(&store, &mail("x", 9000), &[inbox(ann)]);
    expunge(&store, inbox(ann), &[0]);
    let begun = std::time::Instant::now();
    while count(&store, message).1 != CellState::Freed {
        assert!(begun.elapsed().as_secs() < 120, "it is not collected");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    store.close().expect("closed");
}

/// Deliveries, copies and expunges of two processes' stores, while a third counts, frees and punches all the time: what is held can be
/// read, and in the end every count is what there is.
#[test]
fn counting_and_freeing_while_others_write_loses_nothing() {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    let place = Place::new();
    let open = |handler| {
        let mut options = place.options(handler);
        options.background = crate::store::Background::Threads;
        options.checkpoint_interval_ms = 5;
        Store::open(options).expect("opens")
    };
    let stores = [open(0), open(1), open(2)];
    let users: Vec<MailboxId> =
        (0..4).map(|user| inbox(stores[0].ensure_user(&format!("user{user}")).expect("made"))).collect();
    let done = AtomicBool::new(false);
    let passes = std::thread::scope(|scope| {
        let collecting = scope.spawn(|| {
            let mut passes = 0;
            while !done.load(Ordering::Relaxed) {
                let options = GcOptions { recount: true, ..GcOptions::default() };
                match stores[2].gc(options, &mut |_| ()) {
                    Ok(report) => assert_eq!(report.left, Vec::<String>::new()),
                    Err(StoreError::Busy(_)) => (),
                    Err(error) => panic!("{error}"),
                }
                passes += 1;
            }
            passes
        });
        let writers: Vec<_> = stores[..2]
            .iter()
            .enumerate()
            .map(|(writer, store)| {
                let users = &users;
                scope.spawn(move || {
                    for turn in 0..400_usize {
                        let (one, other) = (users[turn % 4], users[(turn + writer + 1) % 4]);
                        // Now and then the same message again.
                        let text = mail(&format!("{writer} {} ", turn / 3), 6000 + writer);
                        deliver(store, &text, &[one, other]);
                        let live = live_cells(store, one);
                        let mut txn = store.begin();
                        if turn % 5 == 0 {
                            txn.copy(one, &live[..1], other);
                        } else if live.len() > 3 {
                            txn.expunge(one, &live[..2]);
                        }
                        txn.commit().expect("done");
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
        done.store(true, Ordering::Relaxed);
        collecting.join().expect("no panic")
    });
    assert!(passes > 0);
    for store in &stores {
        store.checkpoint().expect("written");
    }
    let report = gc_with(&stores[2], GcOptions { recount: true, ..GcOptions::default() });
    assert_eq!(report.left, Vec::<String>::new());
    let mut held: HashMap<MessageId, u32> = HashMap::new();
    for user in &users {
        let open = stores[0].mailbox(*user).expect("there");
        let cells = open.cells().expect("readable");
        for index in (0..cells.count()).map(CellIndex) {
            let cell = cells.cell(index).expect("whole");
            if cell.holds_reference() {
                assert!(!cell.expunged);
                *held.entry(cell.message).or_default() += 1;
                assert_eq!(body(&stores[1], cell.message).expect("there").len(), cell.size as usize);
            }
        }
    }
    for page in stores[0].pages.all().expect("readable") {
        let directory = stores[0].pages.directory(page).expect("there");
        for index in 0..directory.given_out().expect("readable") {
            let message = MessageId { page, index };
            let (references, state) = count(&stores[0], message);
            assert_eq!(references, held.get(&message).copied().unwrap_or(0), "{message:?}");
            assert!(state != CellState::InUse || references > 0, "{message:?} is not freed");
        }
    }
}

fn live_cells(store: &Store, mailbox: MailboxId) -> Vec<CellIndex> {
    let open = store.mailbox(mailbox).expect("there");
    let cells = open.cells().expect("readable");
    let all = (0..cells.count()).map(CellIndex);
    all.filter(|index| !cells.cell(*index).expect("whole").expunged).collect()
}
