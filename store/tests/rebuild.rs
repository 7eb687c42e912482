//! Views are made again from the logs: all of them, or the one that is missing or damaged. Everything is as it was: names, numbers, flags,
//! keywords, dates.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::*;
use store::change::{SpecialUse, SystemFlags};
use store::check::CheckOptions;
use store::gc::GcOptions;
use store::ids::{CellIndex, MailboxId, UserId};
use store::lists::MailboxList;
use store::mailbox::{Cell, MailboxStatus};
use store::txn::FlagOperation;
use store::{Compaction, Disk, OpenOptions, PageId, Store, StoreError, WriterChoice};

/// All there is to know of a user's mail.
#[derive(Debug, PartialEq)]
struct Everything {
    list: Arc<MailboxList>,
    mailboxes: BTreeMap<String, (MailboxStatus, Keywords, Mail)>,
}

/// Names of keywords by their bits.
type Keywords = Vec<(u8, String)>;
/// Messages with their octets.
type Mail = Vec<(Cell, Vec<u8>)>;

fn everything(store: &Store, user: UserId) -> Everything {
    let list = store.mailbox_list(user).expect("a list");
    let mut mailboxes = BTreeMap::new();
    for entry in list.entries().iter().filter(|entry| !entry.placeholder) {
        let id = MailboxId { user, number: entry.number };
        let open = store.mailbox(id).expect("there");
        let names = open.keywords().expect("readable");
        let names = names.iter().map(|(bit, name)| (bit, name.to_string())).collect();
        let mail = live(store, id).into_iter().map(|cell| (cell, body(store, cell.message))).collect();
        mailboxes.insert(entry.name.clone(), (open.status().expect("readable"), names, mail));
    }
    Everything { list, mailboxes }
}

fn done(store: &Store, change: impl FnOnce(&mut store::Txn<'_>)) {
    let mut txn = store.begin();
    change(&mut txn);
    store.wait(txn.commit().expect("done").ticket).expect("durable");
}

/// Two users, each with mail in several mailboxes, changed in every way there is.
fn fill(store: &Arc<Store>) -> [UserId; 2] {
    let users = ["ann", "bob"].map(|name| store.ensure_user(name).expect("made"));
    done(store, |txn| txn.create_mailbox(users[0], "Work/Old", Some(SpecialUse::Archive)));
    done(store, |txn| txn.create_mailbox(users[0], "Junk", None));
    let number = |name: &str| store.mailbox_list(users[0]).expect("a list").find(name).expect("there").number;
    let old = MailboxId { user: users[0], number: number("Work/Old") };
    let junk = MailboxId { user: users[0], number: number("Junk") };
    for count in 0..40 {
        deliver(store, &mail(&format!("m{count}")), vec![to(inbox(users[0])), to(inbox(users[1]))]);
    }
    deliver(store, &mail(&"big ".repeat(60_000)), vec![to(inbox(users[1])), to(junk)]);
    let inbox = inbox(users[0]);
    let some: Vec<CellIndex> = (0..10).map(CellIndex).collect();
    done(store, |txn| {
        txn.store_flags(inbox, &some, flags(FlagOperation::Add, SystemFlags::SEEN, &["$a", "$b"]));
    });
    done(store, |txn| txn.copy(inbox, &some, old));
    done(store, |txn| txn.move_messages(inbox, &some[..3], junk));
    done(store, |txn| txn.expunge(inbox, &some[5..8]));
    done(store, |txn| txn.expunge(old, &[CellIndex(9)]));
    done(store, |txn| txn.rename_mailbox(users[0], "Work", "Office"));
    done(store, |txn| txn.subscribe(users[0], "Office/Old", true));
    done(store, |txn| txn.special_use(users[0], "Junk", Some(SpecialUse::Junk)));
    done(store, |txn| txn.create_mailbox(users[1], "Gone", None));
    done(store, |txn| txn.delete_mailbox(users[1], "Gone"));
    let carl = store.ensure_user("carl").expect("made");
    done(store, |txn| txn.delete_user(carl));
    users
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn is_log(path: &Path) -> bool {
    let name = path.file_name().expect("named").to_string_lossy();
    name.starts_with("bucket.") || name.starts_with("journal.")
}

fn logs(place: &Place, kind: &str) -> Vec<PathBuf> {
    let mut logs = files(&place.store_path());
    logs.retain(|path| is_log(path) && path.file_name().expect("named").to_string_lossy().starts_with(kind));
    logs
}

/// Takes away all that is not a log.
fn remove_views(place: &Place) {
    for path in files(&place.store_path().join("p0")) {
        if !is_log(&path) {
            fs::remove_file(path).expect("there");
        }
    }
    fs::remove_file(place.store_path().join("catalog")).expect("there");
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).expect("written");
}

fn cells_file(store: &Store, mailbox: MailboxId) -> PathBuf {
    store.mailbox(mailbox).expect("there").path().to_path_buf()
}

#[test]
fn the_logs_alone_say_everything() {
    let place = Place::new();
    let store = place.open();
    let users = fill(&store);
    let before = users.map(|user| everything(&store, user));
    store.close().expect("closed");
    drop(store);
    for _ in 0..2 {
        remove_views(&place);
        let store = place.open_as(1);
        assert_eq!(users.map(|user| everything(&store, user)), before);
        assert_eq!(store.damage(), []);
        store.close().expect("closed");
    }
    let store = place.open();
    assert_eq!(store.find_user("carl").expect("looked"), None);
    assert_eq!(store.ensure_user("dora").expect("made"), UserId(4), "no number comes back");
}

#[test]
fn a_log_with_a_damaged_head_is_read_and_told() {
    for kind in ["bucket", "journal"] {
        let place = Place::new();
        let store = place.open();
        let users = fill(&store);
        let before = users.map(|user| everything(&store, user));
        store.close().expect("closed");
        drop(store);
        let log = logs(&place, kind).remove(0);
        flip(&log, 9);
        for views in [true, false] {
            if !views {
                remove_views(&place);
            }
            let store = place.open();
            let after = users.map(|user| everything(&store, user));
            for (after, before) in after.iter().zip(&before) {
                // UIDs and modseqs may be skipped: of which epoch the log was is not known.
                let mail = |of: &Everything| -> Vec<_> {
                    of.mailboxes.iter().map(|(name, mailbox)| (name.clone(), mailbox.2.clone())).collect()
                };
                assert_eq!(mail(after), mail(before), "{kind}");
            }
            if !views {
                let damage = store.damage();
                assert!(damage.iter().any(|damage| damage.path == log && damage.offset == 0), "{damage:?}");
            }
            if !views {
                deliver(&store, &mail("after"), vec![to(inbox(users[0]))]);
            }
            store.close().expect("closed");
        }
    }
}

#[test]
fn a_damaged_frame_is_passed_over_and_told() {
    let place = Place::new();
    let store = place.open();
    let user = store.ensure_user("ann").expect("made");
    for count in 0..10 {
        deliver(&store, &mail(&format!("m{count}")), vec![to(inbox(user))]);
    }
    store.close().expect("closed");
    drop(store);
    let bucket = logs(&place, "bucket").remove(0);
    let bytes = fs::read(&bucket).expect("readable");
    let heads: Vec<usize> = (0..bytes.len() - 4).filter(|at| &bytes[*at..at + 4] == b"LFR1").collect();
    assert_eq!(heads.len(), 10);
    flip(&bucket, heads[4] + 20);
    remove_views(&place);
    let store = place.open();
    let uids: Vec<u32> = live(&store, inbox(user)).iter().map(|cell| cell.uid.get()).collect();
    assert_eq!(uids, [1, 2, 3, 4, 6, 7, 8, 9, 10]);
    let damage = store.damage();
    assert_eq!(damage.len(), 1);
    assert_eq!((&damage[0].path, damage[0].offset), (&bucket, heads[4] as u64));
    // What comes now goes behind the last frame.
    assert_eq!(only_uid(&deliver(&store, &mail("m10"), vec![to(inbox(user))])), 11);
    store.close().expect("closed");
    drop(store);
    remove_views(&place);
    assert_eq!(live(&place.open(), inbox(user)).len(), 10);
}

#[test]
fn one_damaged_or_missing_view_is_made_again_while_the_store_is_in_use() {
    let place = Place::new();
    let store = place.open();
    let other = place.open_as(1);
    let users = fill(&store);
    let before = users.map(|user| everything(&store, user));
    let inbox = inbox(users[0]);
    let path = cells_file(&store, inbox);

    // A damaged cell.
    let file = fs::File::options().write(true).open(&path).expect("there");
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", 8192 + 3 * 64 + 40).expect("written");
    let open = store.mailbox(inbox).expect("there");
    assert!(matches!(open.cell(CellIndex(3)), Err(StoreError::Corrupt { .. })));
    let pin = other.pin(inbox).expect("pinned");
    assert!(matches!(store.rebuild_mailbox(inbox), Err(StoreError::Busy(_))));
    drop(pin);
    store.rebuild_mailbox(inbox).expect("made");
    assert_eq!(everything(&store, users[0]), before[0]);
    assert_eq!(everything(&other, users[0]), before[0], "others see the new file");
    assert!(path.with_extension("damaged").exists());

    // A cells file that is gone: an error, and no answer that there is no such mailbox.
    store.close().expect("closed");
    other.close().expect("closed");
    drop((store, other));
    fs::remove_file(&path).expect("there");
    let store = place.open();
    assert!(matches!(store.mailbox(inbox), Err(StoreError::Corrupt { .. })));
    store.rebuild_mailbox(inbox).expect("made");
    assert_eq!(everything(&store, users[0]), before[0]);

    // A list.
    let list = path.parent().and_then(Path::parent).expect("above").join("mailboxes");
    fs::remove_file(&list).expect("there");
    assert!(matches!(store.mailbox_list(users[0]), Err(StoreError::Corrupt { .. })));
    store.rebuild_list(users[0]).expect("made");
    assert_eq!(everything(&store, users[0]), before[0]);
    fs::write(&list, b"nonsense").expect("written");
    assert!(matches!(store.mailbox_list(users[0]), Err(StoreError::Corrupt { .. })));
    store.rebuild_list(users[0]).expect("made");
    assert_eq!(everything(&store, users[0]), before[0]);

    // A cell of the directory.
    let message = live(&store, inbox)[2].message;
    let directory =
        files(&place.store_path()).into_iter().find(|path| path.ends_with("directory")).expect("there");
    let file = fs::File::options().write(true).open(directory).expect("there");
    let offset = 4096 + u64::from(message.index) * 64;
    std::os::unix::fs::FileExt::write_all_at(&file, b"xyz", offset + 8).expect("written");
    assert!(store.message(message).is_err());
    store.rebuild_directory(message.page).expect("mended");
    assert_eq!(body(&store, message), before[0].mailboxes["INBOX"].2[2].1);
}

#[test]
fn a_missing_mailbox_that_replay_has_changes_for_is_made_whole() {
    let place = Place::new();
    let store = place.open();
    let users = fill(&store);
    store.checkpoint().expect("written");
    deliver(&store, &mail("late"), vec![to(inbox(users[0]))]);
    let before = users.map(|user| everything(&store, user));
    let path = cells_file(&store, inbox(users[0]));
    // As if it had been killed: no checkpoint says that the last message is in the views.
    let copy = Place::new();
    for file in files(&place.store_path()) {
        let to = copy.store_path().join(file.strip_prefix(place.store_path()).expect("below"));
        fs::create_dir_all(to.parent().expect("below")).expect("made");
        fs::copy(&file, to).expect("copied");
    }
    fs::remove_file(copy.store_path().join(path.strip_prefix(place.store_path()).expect("below")))
        .expect("there");
    let store = copy.open();
    assert_eq!(users.map(|user| everything(&store, user)), before);
}

const DAY: u64 = 86_400;

/// A store whose clock goes as it is told.
struct Days {
    place: Place,
    clock: &'static AtomicU64,
}

impl Days {
    fn new() -> Days {
        Days { place: Place::new(), clock: Box::leak(Box::new(AtomicU64::new(20_000 * DAY))) }
    }

    fn open(&self, handler: u16) -> Arc<Store> {
        let mut options = self.place.options(WriterChoice::Handler(handler));
        options.disk = Disk::real_with_clock(self.clock);
        Store::open(OpenOptions { ..options }).expect("opens")
    }

    /// Midnight comes, and checkpoints until one mentions no log of the day before: a thread that has synced a log may hold it some moments more.
    fn next(&self, store: &Store) {
        self.clock.fetch_add(DAY, Ordering::Relaxed);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            store.checkpoint().expect("written");
            if !self.checkpoints_mention_the_past() {
                return;
            }
            assert!(Instant::now() < deadline, "a log of the day before stays in the checkpoints");
        }
    }

    /// Whether a checkpoint of today tells where replay of a log of an earlier day begins. That of a process that has ended stays as it is.
    fn checkpoints_mention_the_past(&self) -> bool {
        let mut paths = files(&self.place.store_path().join("p0"));
        paths.retain(|path| path.file_stem().is_some_and(|stem| stem == "checkpoint"));
        assert!(!paths.is_empty());
        paths.iter().any(|path| {
            let text = fs::read_to_string(path).expect("readable");
            let is_of_today = text.contains(&format!("\npage {}\n", self.today().0));
            is_of_today
                && text.lines().any(|line| {
                    let mut words = line.split(' ');
                    matches!(words.next(), Some("bucket" | "journal"))
                        && words
                            .next()
                            .and_then(|page| page.parse().ok())
                            .is_some_and(|page| PageId(page) < self.today())
                })
        })
    }

    fn today(&self) -> PageId {
        PageId((self.clock.load(Ordering::Relaxed) / DAY) as u32)
    }
}

/// A little of everything, on one day.
fn one_day(store: &Arc<Store>, users: [UserId; 2], day: usize) {
    let inbox = inbox(users[0]);
    for count in 0..5 {
        deliver(store, &mail(&format!("day{day}-{count}")), vec![to(inbox), to(common::inbox(users[1]))]);
    }
    let some = live_indexes(store, inbox);
    let keyword = format!("$day{day}");
    done(store, |txn| {
        txn.store_flags(inbox, &some[..3], flags(FlagOperation::Add, SystemFlags::SEEN, &[&keyword]))
    });
    done(store, |txn| txn.expunge(inbox, &some[1..2]));
    let old = store.mailbox_list(users[0]).expect("a list").entries().last().expect("one").clone();
    let target = MailboxId { user: users[0], number: old.number };
    done(store, |txn| txn.copy(inbox, &some[2..4], target));
    done(store, |txn| txn.rename_mailbox(users[0], &old.name, &format!("Z{day}")));
    done(store, |txn| txn.subscribe(users[0], &format!("Z{day}"), true));
}

#[test]
fn journals_of_old_days_go_and_all_that_is_still_so_stays() {
    let days = Days::new();
    let store = days.open(0);
    let users = fill(&store);
    for day in 0..6 {
        one_day(&store, users, day);
        days.next(&store);
    }
    let before = users.map(|user| everything(&store, user));
    let journals = logs(&days.place, "journal").len();
    let report = store.prune_journals(PageId(days.today().0 - 2)).expect("pruned");
    assert_eq!(report.journals, 4, "{report:?}");
    assert!(report.mailboxes >= 3 && report.lists >= 2 && report.left == 0, "{report:?}");
    assert_eq!(logs(&days.place, "journal").len(), journals - 4 + 1);
    assert_eq!(store.prune_journals(days.today()).expect("nothing").journals, 0, "two days are kept");
    // Life goes on behind the snapshots.
    one_day(&store, users, 6);
    let after = users.map(|user| everything(&store, user));
    assert_ne!(after, before);
    store.close().expect("closed");
    drop(store);
    remove_views(&days.place);
    let store = days.open(1);
    assert_eq!(users.map(|user| everything(&store, user)), after);
    assert_eq!(store.damage(), []);
    assert_eq!(store.ensure_user("dora").expect("made"), UserId(4), "no number comes back");

    // And once more, with the snapshots themselves pruned.
    for day in 7..12 {
        one_day(&store, users, day);
        days.next(&store);
    }
    let after = users.map(|user| everything(&store, user));
    store.prune_journals(days.today()).expect("pruned");
    store.close().expect("closed");
    drop(store);
    remove_views(&days.place);
    let store = days.open(0);
    assert_eq!(users.map(|user| everything(&store, user)), after);
}

#[test]
fn what_was_forgotten_before_a_snapshot_is_not_missed_by_who_checks_a_rebuilt_store() {
    let days = Days::new();
    let store = days.open(0);
    let [ann, bob] = ["ann", "bob"].map(|name| store.ensure_user(name).expect("made"));
    for count in 0..4 {
        deliver(&store, &mail(&format!("m{count}")), vec![to(inbox(ann)), to(inbox(bob))]);
    }
    let some = live_indexes(&store, inbox(ann));
    done(&store, |txn| txn.expunge(inbox(ann), &some[1..3]));
    store.gc(GcOptions::default(), &mut |_| ()).expect("collected");
    assert_eq!(store.compact_at_once(inbox(ann)).expect("rewritten"), Compaction::Done(2));
    for _ in 0..4 {
        days.next(&store);
    }
    // The Adds are in a bucket, which bob's messages keep; the Expunge is nowhere.
    assert_eq!(store.prune_journals(days.today()).expect("pruned").journals, 1);
    store.close().expect("closed");
    drop(store);
    remove_views(&days.place);
    let store = days.open(0);
    assert_eq!([ann, bob].map(|user| live(&store, inbox(user)).len()), [2, 4]);
    let report = store.check(&CheckOptions::default(), &|_| ()).expect("checked");
    assert_eq!(report.faults, [], "{report:?}");
}

fn octets_on_disk(paths: &[PathBuf]) -> u64 {
    use std::os::unix::fs::MetadataExt;
    paths.iter().map(|path| fs::metadata(path).expect("there").blocks() * 512).sum()
}

#[test]
fn the_logs_of_a_day_that_is_over_take_no_more_room_than_they_need_and_say_the_same() {
    let days = Days::new();
    let store = days.open(0);
    let users = fill(&store);
    for day in 0..3 {
        one_day(&store, users, day);
        days.next(&store);
    }
    let before = users.map(|user| everything(&store, user));
    let plain = logs(&days.place, "journal");
    let (journals, buckets) = (octets_on_disk(&plain), octets_on_disk(&logs(&days.place, "bucket")));
    let report = store.close_pages().expect("closed");
    assert_eq!((report.pages, report.journals, report.left), (3, 3, 0), "{report:?}");
    assert_eq!(logs(&days.place, "journal"), plain, "they keep their names");
    assert!(octets_on_disk(&plain) < journals && octets_on_disk(&logs(&days.place, "bucket")) < buckets);
    assert_eq!(store.close_pages().expect("nothing"), store::CloseReport::default());
    store.close().expect("closed");
    drop(store);
    remove_views(&days.place);
    let store = days.open(0);
    assert_eq!(users.map(|user| everything(&store, user)), before);
    assert_eq!(store.damage(), []);

    // Compressed ones are pruned like others.
    for day in 3..6 {
        one_day(&store, users, day);
        days.next(&store);
    }
    let before = users.map(|user| everything(&store, user));
    assert!(store.prune_journals(days.today()).expect("pruned").journals >= 3);
    store.close().expect("closed");
    drop(store);
    remove_views(&days.place);
    let store = days.open(0);
    assert_eq!(users.map(|user| everything(&store, user)), before);
}

#[test]
fn no_flipped_bit_of_a_compressed_journal_goes_unnoticed() {
    let days = Days::new();
    let store = days.open(0);
    let users = fill(&store);
    days.next(&store);
    store.close_pages().expect("closed");
    let before = users.map(|user| everything(&store, user));
    store.close().expect("closed");
    drop(store);
    let journal = logs(&days.place, "journal").remove(0);
    let len = fs::read(&journal).expect("readable").len();
    // Its head, the head of the block, the block, the head at the end.
    for offset in [3, 20, 70, 85, 200, len - 70, len - 30] {
        flip(&journal, offset);
        remove_views(&days.place);
        let store = days.open(0);
        let told = store.damage().iter().any(|damage| damage.path == journal);
        let is_there = |name| store.find_user(name).expect("looked").is_some();
        let as_before = is_there("ann")
            && is_there("bob")
            && users.iter().zip(&before).all(|(user, before)| everything(&store, *user) == *before);
        assert!(told || (as_before && offset >= len - 64), "octet {offset}: {:?}", store.damage());
        store.close().expect("closed");
        drop(store);
        flip(&journal, offset);
    }
}
