//! Mail that comes back, with a clock that the tests set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{BackAgain, HistoryError, PastMailbox, PastMessage, Which};
use crate::ChangeError;
use crate::change::{SystemFlags, ZonedTime};
use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::gc::GcOptions;
use crate::ids::{CellIndex, MailboxId, Uid, UserId};
use crate::locks::LockKey;
use crate::quota::{Limit, Limits};
use crate::store::{OpenOptions, Store, WriterChoice};
use crate::txn::{Delivery, FlagChange, FlagOperation, Outcome};

const NOON: u64 = 20_779 * 86_400 + 43_200;
const DATE: ZonedTime = ZonedTime { seconds: 1_790_000_000, zone_minutes: 120 };

/// A store with a clock.
struct Past {
    folder: tempfile::TempDir,
    clock: &'static AtomicU64,
    store: Arc<Store>,
    ann: UserId,
}

impl Past {
    fn new() -> Past {
        let folder = tempfile::tempdir().expect("a folder");
        let clock: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(NOON)));
        let store = open(folder.path(), clock, 0);
        let ann = store.ensure_user("ann").expect("made");
        Past { folder, clock, store, ann }
    }

    fn set(&self, seconds: u32) {
        self.clock.store(NOON + u64::from(seconds), Ordering::Relaxed);
    }

    /// Checkpoints until one mentions no log of an earlier day: a thread that has synced a log may hold it some moments more.
    fn let_go_of_days_that_are_over(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            self.store.checkpoint().expect("written");
            let derived = &self.store.derived;
            let checkpoint = Checkpoint::read(&derived.disk, self.store.partition(), 0).expect("readable");
            if checkpoint.logs.iter().all(|log| log.name.page >= checkpoint.page) {
                return;
            }
            assert!(Instant::now() < deadline, "{checkpoint:?}");
        }
    }

    fn inbox(&self) -> MailboxId {
        MailboxId { user: self.ann, number: 1 }
    }

    fn make(&self, name: &str) -> MailboxId {
        let mut txn = self.store.begin();
        txn.create_mailbox(self.ann, name, None);
        match txn.commit().expect("made").outcomes[..] {
            [Outcome::Created(mailbox)] => mailbox,
            ref other => panic!("{other:?}"),
        }
    }

    fn delete(&self, name: &str) {
        let mut txn = self.store.begin();
        txn.delete_mailbox(self.ann, name);
        txn.commit().expect("deleted");
    }

    fn deliver(&self, to: MailboxId, subject: &str, flags: SystemFlags, keywords: &[&str]) {
        let mut draft = self.store.draft().expect("open");
        draft.write(format!("Subject: {subject}\r\n\r\n{subject}\r\n").as_bytes()).expect("space");
        let keywords = keywords.iter().map(|name| (*name).to_owned()).collect();
        let mut txn = self.store.begin();
        let delivery = Delivery { mailbox: to, flags, keywords, internal_date: DATE };
        txn.deliver(draft.finish().expect("space"), vec![delivery]);
        let committed = txn.commit().expect("delivered");
        let Outcome::Delivered(results) = &committed.outcomes[0] else { panic!("{committed:?}") };
        assert!(results[0].is_ok(), "{results:?}");
    }

    fn place(&self, mailbox: MailboxId, uid: u32) -> CellIndex {
        let open = self.store.mailbox(mailbox).expect("there");
        open.find_uid(self::uid(uid)).expect("readable").expect("there")
    }

    fn expunge(&self, mailbox: MailboxId, uids: &[u32]) {
        let cells: Vec<CellIndex> = uids.iter().map(|uid| self.place(mailbox, *uid)).collect();
        let mut txn = self.store.begin();
        txn.store_flags(
            mailbox,
            &cells,
            FlagChange { operation: FlagOperation::Add, system: SystemFlags::DELETED, keywords: Vec::new() },
        );
        txn.commit().expect("marked");
        let mut txn = self.store.begin();
        txn.expunge(mailbox, &cells);
        txn.commit().expect("expunged");
    }

    fn set_flags(&self, mailbox: MailboxId, uid: u32, system: SystemFlags, keywords: &[&str]) {
        let keywords = keywords.iter().map(|name| (*name).to_owned()).collect();
        let mut txn = self.store.begin();
        let change = FlagChange { operation: FlagOperation::Set, system, keywords };
        txn.store_flags(mailbox, &[self.place(mailbox, uid)], change);
        txn.commit().expect("set");
    }

    /// Lets go of the content of an expunged message, as the collection of space does.
    fn release(&self, mailbox: MailboxId, uid: u32) {
        let index = self.place(mailbox, uid);
        let held = self.store.take(&[LockKey::Mailbox(mailbox)]).expect("free");
        let open = self.store.mailbox_held(mailbox, &held).expect("there");
        let mut writer = open.writer().expect("patched");
        writer.release(index).expect("held until now");
        writer.publish(open.highest_modseq().expect("readable"), open.uid_next().expect("readable"));
    }

    /// UID, subject, flags, keywords of what is in a mailbox.
    fn contents(&self, mailbox: MailboxId) -> Vec<(u32, String, SystemFlags, Vec<String>)> {
        let open = self.store.mailbox(mailbox).expect("there");
        let keywords = open.keywords().expect("readable");
        let cells = open.cells().expect("readable");
        let all = (0..cells.count()).map(|index| cells.cell(CellIndex(index)).expect("whole"));
        all.filter(|cell| !cell.expunged)
            .map(|cell| {
                assert_eq!(cell.internal_date, DATE);
                let named = keywords.iter().filter(|(bit, _)| cell.flags.keywords & 1 << bit != 0);
                let named = named.map(|(_, name)| name.to_string()).collect();
                (cell.uid.get(), self.subject(cell.message), cell.flags.system, named)
            })
            .collect()
    }

    fn subject(&self, message: crate::ids::MessageId) -> String {
        self.store.subject(message).expect("readable").expect("there")
    }

    fn at(&self, name: &str, seconds: u32) -> Result<PastMailbox, HistoryError> {
        self.store.mailbox_at(self.ann, name, (NOON as u32) + seconds)
    }

    /// UID, subject, flags, keywords of what was in a mailbox.
    fn contents_at(&self, name: &str, seconds: u32) -> Vec<(u32, String, SystemFlags, Vec<String>)> {
        let of = |message: PastMessage| {
            assert_eq!(message.internal_date, DATE);
            (message.uid.get(), self.subject(message.message), message.flags, message.keywords)
        };
        self.at(name, seconds).expect("known").messages.into_iter().map(of).collect()
    }
}

fn open(folder: &std::path::Path, clock: &'static AtomicU64, handler: u16) -> Arc<Store> {
    let writer = WriterChoice::Handler(handler);
    let mut options = OpenOptions::new(folder.join("store"), folder.join("run"), writer);
    options.disk = Disk::real_with_clock(clock);
    Store::open(options).expect("opens")
}

fn uid(uid: u32) -> Uid {
    Uid::new(uid).expect("not 0")
}

fn pairs(again: &BackAgain) -> Vec<(u32, u32)> {
    again.back.iter().map(|(before, after)| (before.get(), after.get())).collect()
}

fn row(
    uid: u32,
    subject: &str,
    flags: SystemFlags,
    keywords: &[&str],
) -> (u32, String, SystemFlags, Vec<String>) {
    (uid, subject.to_owned(), flags, keywords.iter().map(|name| (*name).to_owned()).collect())
}

const NONE: SystemFlags = SystemFlags(0);

#[test]
fn what_was_expunged_comes_back_as_it_was_but_for_deleted() {
    let past = Past::new();
    let inbox = past.inbox();
    past.deliver(inbox, "one", SystemFlags::SEEN, &["$Work"]);
    past.deliver(inbox, "two", NONE, &[]);
    past.deliver(inbox, "three", SystemFlags::FLAGGED, &[]);
    past.expunge(inbox, &[1, 3]);
    let again = past.store.undelete(inbox, &Which::All, inbox).expect("back");
    assert_eq!(pairs(&again), [(1, 4), (3, 5)]);
    let expected = [
        row(2, "two", NONE, &[]),
        row(4, "one", SystemFlags::SEEN, &["$Work"]),
        row(5, "three", SystemFlags::FLAGGED, &[]),
    ];
    assert_eq!(past.contents(inbox), expected);
    // Once more changes nothing.
    let again = past.store.undelete(inbox, &Which::All, inbox).expect("nothing to do");
    assert!(again.back.is_empty() && again.there == [uid(1), uid(3)], "{again:?}");
    // Expunged again, it comes back once, as it was last.
    past.set_flags(inbox, 4, SystemFlags::ANSWERED, &[]);
    past.expunge(inbox, &[4]);
    let again = past.store.undelete(inbox, &Which::All, inbox).expect("back");
    assert_eq!(pairs(&again), [(4, 6)]);
    assert_eq!(past.contents(inbox)[2], row(6, "one", SystemFlags::ANSWERED, &[]));
}

#[test]
fn only_what_is_held_comes_back_and_the_rest_is_named() {
    let past = Past::new();
    let (inbox, other) = (past.inbox(), past.make("Other"));
    for subject in ["one", "two", "three", "four"] {
        past.deliver(inbox, subject, NONE, &[]);
    }
    past.set(10);
    past.expunge(inbox, &[1, 2]);
    past.set(20);
    past.expunge(inbox, &[3]);
    let mut txn = past.store.begin();
    txn.move_messages(inbox, &[past.place(inbox, 4)], other);
    txn.commit().expect("moved");
    past.release(inbox, 2);
    let since = |seconds| Which::Since(NOON as u32 + seconds);
    let again = past.store.undelete(inbox, &since(11), inbox).expect("back");
    assert_eq!((pairs(&again), &again.elsewhere[..]), (vec![(3, 5)], &[uid(4)][..]));
    let again = past.store.undelete(inbox, &Which::All, inbox).expect("back");
    assert_eq!(pairs(&again), [(1, 6)]);
    assert_eq!((&again.gone[..], &again.there[..]), (&[uid(2)][..], &[uid(3)][..]));
    // Whoever names a message gets it, also if it was moved.
    let named = Which::Uids([2, 4, 99].map(uid).to_vec());
    let again = past.store.undelete(inbox, &named, inbox).expect("back");
    assert_eq!((pairs(&again), &again.gone[..]), (vec![(4, 7)], &[uid(2), uid(99)][..]));
    assert_eq!(past.contents(inbox).len(), 3);
}

#[test]
fn damaged_content_does_not_come_back() {
    let past = Past::new();
    let inbox = past.inbox();
    past.deliver(inbox, "one", NONE, &[]);
    past.deliver(inbox, "two", NONE, &[]);
    past.expunge(inbox, &[1, 2]);
    let page = past.folder.path().join("store/p0/pages/2026-11-22");
    let bucket = std::fs::read_dir(page).expect("readable");
    let bucket = bucket.map(|entry| entry.expect("readable").path());
    let bucket = bucket.into_iter().find(|path| path.to_string_lossy().contains("/bucket.")).expect("there");
    let bytes = std::fs::read(&bucket).expect("readable");
    let at = bytes.windows(7).position(|octets| octets == b"\r\n\r\none").expect("there") as u64;
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::File::options().write(true).open(&bucket).expect("opened"),
        b"O",
        at + 4,
    )
    .expect("written");
    let again = past.store.undelete(inbox, &Which::All, inbox).expect("back");
    assert_eq!((pairs(&again), &again.damaged[..]), (vec![(2, 3)], &[uid(1)][..]));
}

#[test]
fn a_deleted_mailbox_comes_back_with_what_was_in_it() {
    let past = Past::new();
    let work = past.make("Work");
    past.deliver(work, "one", SystemFlags::SEEN, &["$Work"]);
    past.deliver(work, "two", SystemFlags::DELETED, &[]);
    past.deliver(work, "three", NONE, &[]);
    past.expunge(work, &[3]);
    let mut txn = past.store.begin();
    txn.rename_mailbox(past.ann, "Work", "Job");
    txn.commit().expect("renamed");
    past.set(50);
    past.delete("Job");
    assert!(past.store.mailbox(work).is_err());
    let deleted = past.store.deleted_mailboxes(past.ann).expect("listed");
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0].name.as_deref(), Some("Job"));
    assert_eq!((deleted[0].mailbox, deleted[0].messages), (work, 2));
    assert_eq!(u64::from(deleted[0].deleted_at), NOON + 50);
    let target = past.make("Job");
    let again = past.store.undelete(work, &Which::All, target).expect("back");
    assert_eq!(pairs(&again), [(1, 1), (2, 2)]);
    let expected = [row(1, "one", SystemFlags::SEEN, &["$Work"]), row(2, "two", NONE, &[])];
    assert_eq!(past.contents(target), expected);
}

#[test]
fn what_comes_back_counts_for_the_quota() {
    let past = Past::new();
    let inbox = past.inbox();
    past.deliver(inbox, "one", NONE, &[]);
    past.expunge(inbox, &[1]);
    let mut txn = past.store.begin();
    txn.set_quota(past.ann, Limits { messages: Limit::Most(0), ..Limits::default() });
    txn.commit().expect("set");
    assert!(matches!(past.store.undelete(inbox, &Which::All, inbox), Err(ChangeError::OverQuota(_))));
}

#[test]
fn a_mailbox_is_shown_as_it_was() {
    let past = Past::new();
    let inbox = past.inbox();
    past.set(10);
    past.deliver(inbox, "one", NONE, &["$A"]);
    past.deliver(inbox, "two", SystemFlags::SEEN, &[]);
    past.set(20);
    past.set_flags(inbox, 1, SystemFlags::FLAGGED, &["$A", "$B"]);
    past.set(30);
    past.expunge(inbox, &[2]);
    past.deliver(inbox, "three", NONE, &[]);
    // The next day, in a store that was opened anew.
    let two_days = 2 * 86_400;
    past.set(two_days);
    let Past { folder, clock, store, ann } = past;
    drop(store);
    let past = Past { store: open(folder.path(), clock, 1), folder, clock, ann };
    past.set_flags(inbox, 1, NONE, &[]);
    past.expunge(inbox, &[3]);
    assert_eq!(past.contents_at("INBOX", 9), []);
    assert_eq!(
        past.contents_at("inbox", 10),
        [row(1, "one", NONE, &["$A"]), row(2, "two", SystemFlags::SEEN, &[])]
    );
    let flagged = row(1, "one", SystemFlags::FLAGGED, &["$A", "$B"]);
    assert_eq!(past.contents_at("INBOX", 29), [flagged.clone(), row(2, "two", SystemFlags::SEEN, &[])]);
    for seconds in [30, two_days - 1] {
        assert_eq!(past.contents_at("INBOX", seconds), [flagged.clone(), row(3, "three", NONE, &[])]);
    }
    assert_eq!(past.contents_at("INBOX", two_days), [row(1, "one", NONE, &[])]);
}

#[test]
fn names_are_those_of_the_time() {
    let past = Past::new();
    past.set(10);
    let work = past.make("Work");
    past.deliver(work, "one", NONE, &[]);
    past.set(20);
    let mut txn = past.store.begin();
    txn.rename_mailbox(past.ann, "Work", "Old/Work");
    txn.commit().expect("renamed");
    past.set(30);
    let another = past.make("Work");
    past.deliver(another, "two", NONE, &[]);
    past.set(35);
    past.delete("Old");
    past.set(40);
    past.delete("Old/Work");
    let at = |name: &str, seconds: u32| past.at(name, seconds).map(|past| past.mailbox);
    assert!(matches!(at("Work", 9), Err(HistoryError::NoSuchMailbox)));
    assert_eq!(at("Work", 10).expect("known"), work);
    assert!(matches!(at("Work", 20), Err(HistoryError::NoSuchMailbox)));
    assert_eq!(at("Old/Work", 39).expect("known"), work);
    assert!(matches!(at("Old", 39), Err(HistoryError::Placeholder)));
    assert_eq!(at("Work", 30).expect("known"), another);
    assert!(matches!(at("Old/Work", 40), Err(HistoryError::NoSuchMailbox)));
    assert_eq!(past.contents_at("Old/Work", 39), [row(1, "one", NONE, &[])]);
}

#[test]
fn a_mailbox_is_restored_as_it_was_from_wherever_its_messages_are() {
    let past = Past::new();
    let (inbox, archive) = (past.inbox(), past.make("Archive"));
    past.set(10);
    for subject in ["stays", "expunged", "moved", "released", "moved and deleted"] {
        past.deliver(inbox, subject, SystemFlags::SEEN, &["$Work"]);
    }
    past.set(20);
    past.set_flags(inbox, 1, NONE, &[]);
    past.expunge(inbox, &[2, 4]);
    let doomed = past.make("Doomed");
    for (uid, to) in [(3, archive), (5, doomed)] {
        let mut txn = past.store.begin();
        txn.move_messages(inbox, &[past.place(inbox, uid)], to);
        txn.commit().expect("moved");
        past.release(inbox, uid);
    }
    past.release(inbox, 4);
    past.delete("Doomed");
    let then = past.at("INBOX", 10).expect("known");
    let target = past.make("INBOX as of then");
    let again = past.store.restore_past(&then, target).expect("back");
    assert_eq!(again.gone, [uid(4)]);
    assert_eq!(pairs(&again), [(1, 1), (2, 2), (3, 3), (5, 4)]);
    let expected: Vec<_> = [(1, "stays"), (2, "expunged"), (3, "moved"), (4, "moved and deleted")]
        .map(|(uid, subject)| row(uid, subject, SystemFlags::SEEN, &["$Work"]))
        .into();
    assert_eq!(past.contents(target), expected);
    let open = past.store.mailbox(target).expect("there");
    let saved = open.cell(CellIndex(0)).expect("whole").save_seconds;
    assert_eq!(u64::from(saved), NOON + 10);
}

#[test]
fn what_was_pruned_is_not_made_up() {
    let past = Past::new();
    let (inbox, day) = (past.inbox(), 86_400);
    past.set(10);
    past.deliver(inbox, "one", NONE, &[]);
    past.deliver(inbox, "two", NONE, &[]);
    past.set(20);
    past.set_flags(inbox, 1, SystemFlags::FLAGGED, &[]);
    past.expunge(inbox, &[2]);
    past.set(5 * day);
    past.set_flags(inbox, 1, SystemFlags::SEEN, &[]);
    past.let_go_of_days_that_are_over();
    let page = |days: u32| crate::ids::PageId(20_779 + days);
    let report = past.store.prune_journals(page(3)).expect("pruned");
    assert_eq!((report.mailboxes, report.lists), (1, 1));
    past.set(6 * day);
    past.make("Later");
    past.set_flags(inbox, 1, NONE, &[]);
    let seen = [row(1, "one", SystemFlags::SEEN, &[])];
    for seconds in [5 * day, 6 * day - 1] {
        assert_eq!(past.contents_at("INBOX", seconds), seen);
    }
    assert_eq!(past.contents_at("INBOX", 6 * day), [row(1, "one", NONE, &[])]);
    assert!(matches!(past.at("Later", 5 * day), Err(HistoryError::NoSuchMailbox)));
    assert_eq!(past.contents_at("Later", 6 * day), []);
    for seconds in [15, 20, 5 * day - 1] {
        let error = past.at("INBOX", seconds).expect_err("not known any more");
        let HistoryError::Forgotten { before } = error else { panic!("{error:?}") };
        assert_eq!(u64::from(before), NOON + u64::from(5 * day));
    }
    // What was expunged is held all the same.
    let again = past.store.undelete(inbox, &Which::All, inbox).expect("back");
    assert_eq!(pairs(&again), [(2, 3)]);
}

#[test]
fn messages_whose_logs_are_gone_are_shown_by_their_tombstones() {
    let past = Past::new();
    let (inbox, day) = (past.inbox(), 86_400);
    past.set(10);
    past.deliver(inbox, "one", SystemFlags::SEEN, &[]);
    past.deliver(inbox, "two", NONE, &[]);
    past.set(20);
    past.set_flags(inbox, 2, SystemFlags::FLAGGED, &[]);
    past.set(30);
    past.expunge(inbox, &[1, 2]);
    past.set(3 * day);
    past.deliver(inbox, "three", NONE, &[]);
    past.let_go_of_days_that_are_over();
    let buckets = || {
        let page = past.folder.path().join("store/p0/pages/2026-11-22");
        let names = std::fs::read_dir(page).expect("readable");
        names
            .filter(|name| {
                name.as_ref().expect("readable").file_name().to_string_lossy().starts_with("bucket")
            })
            .count()
    };
    // What a collection of space leaves: no content, and no bucket that had it.
    for _ in 0..3 {
        past.store.gc(GcOptions::default(), &mut |_| ()).expect("collected");
    }
    assert_eq!(buckets(), 0);
    let then = past.at("INBOX", 25).expect("known");
    let shown: Vec<_> = then
        .messages
        .iter()
        .map(|message| (message.uid.get(), message.flags, &message.keywords[..]))
        .collect();
    assert_eq!(shown, [(1, SystemFlags::SEEN, &[][..]), (2, SystemFlags::FLAGGED, &[][..])]);
    assert_eq!(then.unknown, []);
    assert!(past.at("INBOX", 30).expect("known").messages.is_empty());
    let target = past.make("Back");
    let again = past.store.restore_past(&then, target).expect("nothing");
    assert_eq!((pairs(&again), &again.gone[..]), (vec![], &[uid(1), uid(2)][..]));
}
