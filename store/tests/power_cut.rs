//! The machine goes down: logs are on the disk as far as they were synced, and of the views any page may be old. Simulated by
//! putting a store together from two copies: views from an earlier moment, page by page at random also from a later one, and
//! the logs of the later one, cut behind what was acknowledged.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::*;
use store::change::SystemFlags;
use store::ids::{CellIndex, MailboxId, UserId};
use store::txn::FlagOperation;
use store::{OpenOptions, Store, WriterChoice};

const MAILBOXES: u32 = 3;

fn mailbox(number: u32) -> MailboxId {
    MailboxId { user: UserId(1), number }
}

fn open(folder: &Path, handler: u16, boot: &str) -> Arc<Store> {
    let mut options =
        OpenOptions::new(folder.join("store"), folder.join("run"), WriterChoice::Handler(handler));
    options.pretend_boot_id = Some(boot.to_string());
    options.checkpoint_interval_ms = 3_600_000;
    Store::open(options).expect("opens")
}

/// All files below a folder, by their path in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").to_path_buf();
                found.insert(name, fs::read(&path).expect("readable"));
            }
        }
    }
    found
}

fn is_log(path: &Path) -> bool {
    let name = path.file_name().expect("named").to_string_lossy();
    name.starts_with("bucket.") || name.starts_with("journal.")
}

/// Views that are mapped; the others are replaced whole.
fn is_mapped(path: &Path) -> bool {
    path.ends_with("cells") || path.ends_with("directory")
}

/// What is in a mailbox: by UID, the text, flags and names of keywords.
type Content = BTreeMap<u32, (Vec<u8>, u8, Vec<String>)>;

fn content(store: &Store, mailbox: MailboxId) -> Content {
    let open = store.mailbox(mailbox).expect("there");
    let keywords = open.keywords().expect("readable");
    let named = |bits: u64| -> Vec<String> {
        keywords.iter().filter(|(bit, _)| bits & 1 << bit != 0).map(|(_, name)| name.to_string()).collect()
    };
    live(store, mailbox)
        .iter()
        .map(|cell| {
            let flags = (body(store, cell.message), cell.flags.system.0, named(cell.flags.keywords));
            (cell.uid.get(), flags)
        })
        .collect()
}

/// Does something at random. Without `destructive`, nothing goes away.
fn step(store: &Arc<Store>, random: &mut Random, name: &str, destructive: bool) {
    let one = mailbox(1 + random.below(u64::from(MAILBOXES)) as u32);
    let other = mailbox(1 + one.number % MAILBOXES);
    let indexes = live_indexes(store, one);
    let pick = indexes.get(random.below(indexes.len().max(1) as u64) as usize).copied();
    let mut txn = store.begin();
    match (random.below(if destructive { 9 } else { 7 }), pick) {
        (0..=3, _) | (_, None) => {
            let mut bytes = mail(name);
            if random.below(15) == 0 {
                bytes.resize(200_000, b'y');
            }
            deliver(store, &bytes, vec![to(one), to(other)]);
            return;
        }
        (4, Some(cell)) => txn.copy(one, &[cell], other),
        (5..=6, Some(cell)) => {
            let keyword = ["$a", "$b", "$c"][random.below(3) as usize];
            txn.store_flags(
                one,
                &[cell],
                flags(FlagOperation::Add, SystemFlags(1 << random.below(5)), &[keyword]),
            );
        }
        (7, Some(cell)) => txn.expunge(one, &[cell]),
        (_, Some(cell)) => txn.move_messages(one, &[cell], other),
    }
    txn.commit().expect("done");
}

fn wait_all(stores: &[Arc<Store>]) {
    for store in stores {
        let mut txn = store.begin();
        txn.subscribe(UserId(1), "anything", true);
        txn.commit().expect("done");
        let mut txn = store.begin();
        txn.subscribe(UserId(1), "anything", false);
        store.wait(txn.commit().expect("done").ticket).expect("durable");
    }
}

#[test]
fn what_was_synced_is_there_whatever_the_views_have_forgotten() {
    let seeds: u64 = std::env::var("LODE_POWER_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    for seed in 0..seeds {
        one_power_cut(seed);
    }
}

fn one_power_cut(seed: u64) {
    let mut random = Random::new(seed + 1);
    let place = Place::new();
    let folder = place.folder.path();
    let stores: Vec<Arc<Store>> = (0..2).map(|handler| open(folder, handler, "one")).collect();
    let ann = stores[0].ensure_user("ann").expect("made");
    let make = |number: u32| {
        let mut txn = stores[0].begin();
        txn.create_mailbox(ann, &format!("Box{number}"), None);
        txn.commit().expect("made");
    };
    make(2);
    // Half of the time the third mailbox is made before the checkpoint.
    if seed.is_multiple_of(2) {
        make(3);
    }
    for number in 0..random.below(80) {
        if seed.is_multiple_of(2) {
            step(&stores[number as usize % 2], &mut random, &format!("early{number}"), true);
        }
    }
    stores.iter().for_each(|store| store.checkpoint().expect("written"));
    let early = files(&folder.join("store"));
    if !seed.is_multiple_of(2) {
        make(3);
    }
    for number in 0..100 {
        step(&stores[number % 2], &mut random, &format!("late{number}"), true);
    }
    wait_all(&stores);
    let expected: Vec<Content> = (1..=MAILBOXES).map(|number| content(&stores[0], mailbox(number))).collect();
    let uid_next: Vec<u32> = (1..=MAILBOXES)
        .map(|number| stores[0].mailbox(mailbox(number)).expect("there").uid_next().expect("readable"))
        .collect();
    let synced = files(&folder.join("store"));
    // What comes now is seen by others, but not acknowledged.
    for number in 0..20 {
        step(&stores[number % 2], &mut random, &format!("never{number}"), false);
    }
    let uid_next_seen: Vec<u32> = (1..=MAILBOXES)
        .map(|number| stores[0].mailbox(mailbox(number)).expect("there").uid_next().expect("readable"))
        .collect();
    let seen: Vec<Content> = (1..=MAILBOXES).map(|number| content(&stores[0], mailbox(number))).collect();
    let late = files(&folder.join("store"));
    drop(stores);

    let after = Place::new();
    let root = after.folder.path().join("store");
    for (path, newest) in &late {
        let bytes = if is_log(path) {
            // The log as it was synced, and of what came later some octets at random.
            let Some(synced) = synced.get(path) else { continue };
            let mut bytes = newest.clone();
            let differs =
                (0..newest.len()).find(|at| synced.get(*at) != newest.get(*at)).unwrap_or(newest.len());
            let kept = differs + random.below(600) as usize;
            // Nothing whole of it: the first frame that came later lacks its head's magic.
            bytes[differs.min(newest.len())..].iter_mut().take(8).for_each(|octet| *octet = 0);
            bytes[kept.min(newest.len())..].fill(0);
            bytes
        } else if path.starts_with("state") || path.to_string_lossy().contains("checkpoint") {
            early[path].clone()
        } else if is_mapped(path) {
            let Some(old) = early.get(path) else { continue };
            let mut bytes = old.clone();
            if random.below(2) == 0 {
                bytes.resize(newest.len().max(old.len()), 0);
                for (page, into) in newest.chunks(4096).zip(bytes.chunks_mut(4096)) {
                    if random.below(2) == 0 {
                        into[..page.len()].copy_from_slice(page);
                    }
                }
            }
            bytes
        } else {
            let Some(old) = early.get(path) else { continue };
            if random.below(2) == 0 { old.clone() } else { newest.clone() }
        };
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    let store = open(after.folder.path(), 0, "two");
    for number in 1..=MAILBOXES {
        let place = number as usize - 1;
        let found = content(&store, mailbox(number));
        for (uid, message) in &expected[place] {
            let there =
                found.get(uid).unwrap_or_else(|| panic!("seed {seed}: mailbox {number} UID {uid} is lost"));
            assert_eq!(there.0, message.0, "seed {seed}: mailbox {number} UID {uid}");
            // Flags that were set and not acknowledged may have got to the disk with the view.
            assert_eq!(
                there.1 & message.1,
                message.1,
                "seed {seed}: mailbox {number} UID {uid}: {:?} {:?}",
                (there.1, &there.2),
                (message.1, &message.2)
            );
            assert!(
                message.2.iter().all(|keyword| there.2.contains(keyword)),
                "seed {seed}: mailbox {number} UID {uid}: {:?} are not all among {:?}",
                message.2,
                there.2
            );
        }
        for (uid, message) in &found {
            if !expected[place].contains_key(uid) {
                // Only what was there to be seen, as it was seen.
                assert_eq!(
                    seen[place].get(uid).map(|seen| &seen.0),
                    Some(&message.0),
                    "seed {seed}: UID {uid}"
                );
                assert!(*uid >= uid_next[place], "seed {seed}: mailbox {number} UID {uid} is back");
            }
        }
        let committed = deliver(&store, &mail("afterwards"), vec![to(mailbox(number))]);
        assert!(
            only_uid(&committed) >= uid_next_seen[place],
            "seed {seed}: a UID that was seen is given again"
        );
        let status = store.mailbox(mailbox(number)).expect("there").status().expect("readable");
        assert_eq!(status.exists as usize, live_indexes(&store, mailbox(number)).len());
    }
    let before: Vec<Content> = (1..=MAILBOXES).map(|number| content(&store, mailbox(number))).collect();
    wait_all(std::slice::from_ref(&store));
    drop(store);
    // A clean end, a new boot: nothing is skipped, nothing changes.
    let store = open(after.folder.path(), 0, "three");
    for number in 1..=MAILBOXES {
        assert_eq!(content(&store, mailbox(number)), before[number as usize - 1], "seed {seed}");
    }
    let next = store.mailbox(mailbox(1)).expect("there").uid_next().expect("readable");
    assert_eq!(only_uid(&deliver(&store, &mail("more"), vec![to(mailbox(1))])), next);
    let numbers = |store: &Store, number| {
        let open = store.mailbox(mailbox(number)).expect("there");
        (open.uid_next().expect("readable"), open.highest_modseq().expect("readable"))
    };
    let last: Vec<_> =
        (1..=MAILBOXES).map(|number| (content(&store, mailbox(number)), numbers(&store, number))).collect();
    drop(store);

    // All that is derived is gone: the logs alone make it again.
    fs::remove_file(root.join("catalog")).expect("there");
    fs::remove_dir_all(root.join("p0/users")).expect("there");
    for path in files(&root).keys() {
        let name = path.file_name().expect("named").to_string_lossy().into_owned();
        if name == "directory" || name.starts_with("records") {
            fs::remove_file(root.join(path)).expect("there");
        }
    }
    let store = open(after.folder.path(), 1, "three");
    for number in 1..=MAILBOXES {
        let place = number as usize - 1;
        let found = content(&store, mailbox(number));
        for (uid, message) in &expected[place] {
            assert_eq!(
                found.get(uid).map(|found| &found.0),
                Some(&message.0),
                "seed {seed}: mailbox {number} UID {uid}"
            );
        }
        assert!(found.values().any(|message| message.0 == mail("afterwards")));
        // Also what nobody was told of, and came to the disk with a view: sessions have seen it since.
        assert_eq!((found, numbers(&store, number)), last[place], "seed {seed}: mailbox {number}");
    }
}

#[test]
fn a_log_cut_anywhere_in_its_last_frame_loses_that_frame_alone() {
    let place = Place::new();
    let folder = place.folder.path();
    let store = open(folder, 0, "one");
    let ann = store.ensure_user("ann").expect("made");
    deliver(&store, &mail("kept"), vec![to(inbox(ann))]);
    store.checkpoint().expect("written");
    let early = files(&folder.join("store"));
    let committed = deliver(&store, &mail("last"), vec![to(inbox(ann))]);
    store.wait(committed.ticket).expect("durable");
    let late = files(&folder.join("store"));
    drop(store);
    let (path, whole) = late
        .iter()
        .find(|(path, bytes)| is_log(path) && early.get(*path) != Some(bytes))
        .expect("a bucket with a new frame");
    let start = (0..whole.len()).find(|at| early[path].get(*at) != whole.get(*at)).expect("differs");
    let end = whole.iter().rposition(|octet| *octet != 0).expect("not empty") + 1;
    for cut in (start..end).step_by(7).chain([end - 1, end]) {
        let after = Place::new();
        let root = after.folder.path().join("store");
        for (name, bytes) in &early {
            let name = root.join(name);
            fs::create_dir_all(name.parent().expect("below")).expect("made");
            fs::write(name, bytes).expect("written");
        }
        let mut bytes = whole[..cut].to_vec();
        // Garbage behind the cut, as an old block of the disk might be.
        bytes.resize(whole.len(), if cut % 2 == 0 { 0 } else { 0x5a });
        fs::write(root.join(path), bytes).expect("written");
        let store = open(after.folder.path(), 0, "two");
        let texts: Vec<Vec<u8>> =
            content(&store, inbox(ann)).into_values().map(|message| message.0).collect();
        let expected = if cut < end { vec![mail("kept")] } else { vec![mail("kept"), mail("last")] };
        assert_eq!(texts, expected, "cut at {cut} of {start}..{end}");
        // What follows is found again, too.
        let committed = deliver(&store, &mail("next"), vec![to(inbox(ann))]);
        store.wait(committed.ticket).expect("durable");
        assert!(only_uid(&committed) > 2);
        drop(store);
        let store = open(after.folder.path(), 0, "three");
        assert_eq!(content(&store, inbox(ann)).len(), expected.len() + 1);
        assert_eq!(body(&store, live(&store, inbox(ann)).last().expect("there").message), mail("next"));
        assert_eq!(store.mailbox(inbox(ann)).expect("there").uid_at(CellIndex(0)).expect("there").get(), 1);
    }
}

#[test]
fn a_damaged_view_is_put_aside_and_made_again() {
    let place = Place::new();
    let folder = place.folder.path();
    let store = open(folder, 0, "one");
    let ann = store.ensure_user("ann").expect("made");
    for number in 0..100 {
        deliver(&store, &mail(&format!("m{number}")), vec![to(inbox(ann))]);
    }
    store.checkpoint().expect("written");
    deliver(&store, &mail("behind"), vec![to(inbox(ann))]);
    let mut txn = store.begin();
    txn.create_mailbox(ann, "Behind", None);
    txn.commit().expect("made");
    let mut txn = store.begin();
    txn.store_flags(inbox(ann), &[CellIndex(3)], flags(FlagOperation::Add, SystemFlags::FLAGGED, &["$a"]));
    store.wait(txn.commit().expect("stored").ticket).expect("durable");
    let expected = content(&store, inbox(ann));
    let copied = files(&folder.join("store"));
    drop(store);
    for damaged in ["cells", "mailboxes", "directory"] {
        let after = Place::new();
        let root = after.folder.path().join("store");
        let mut hit = 0;
        for (name, bytes) in &copied {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            let mut bytes = bytes.clone();
            if name.ends_with(damaged) {
                bytes[1] ^= 0x40;
                hit += 1;
            }
            fs::write(path, bytes).expect("written");
        }
        assert!(hit > 0);
        let store = open(after.folder.path(), 0, "one");
        assert_eq!(content(&store, inbox(ann)), expected, "{damaged}");
        assert!(store.mailbox_list(ann).expect("readable").find("Behind").is_some());
        let left =
            files(&root).keys().filter(|name| name.extension().is_some_and(|name| name == "damaged")).count();
        // One that was made behind the checkpoint is simply made again.
        assert!((1..=hit).contains(&left), "{damaged}");
        let next = deliver(&store, &mail("next"), vec![to(inbox(ann))]);
        assert!(only_uid(&next) > 101);
    }
}

#[test]
fn a_power_cut_in_recovery_is_one_more() {
    let place = Place::new();
    let folder = place.folder.path();
    let store = open(folder, 0, "one");
    let ann = store.ensure_user("ann").expect("made");
    for number in 0..3 {
        let delivered = deliver(&store, &mail(&format!("m{number}")), vec![to(inbox(ann))]);
        store.wait(delivered.ticket).expect("durable");
    }
    let cut = Place::new();
    let folder = cut.folder.path();
    for (path, bytes) in files(&place.folder.path().join("store")) {
        let path = folder.join("store").join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        fs::write(path, bytes).expect("written");
    }
    drop(store);
    // Recovery comes to its end, but for the last step; then the lights go out again. The disk has the mailbox's new header, and not its
    // cells.
    let obstacle = folder.join("store/p0/checkpoint.0.new");
    fs::create_dir(&obstacle).expect("made");
    let mut options = OpenOptions::new(folder.join("store"), folder.join("run"), WriterChoice::Handler(0));
    options.pretend_boot_id = Some("two".to_string());
    assert!(Store::open(options).is_err());
    fs::remove_dir(&obstacle).expect("removed");
    let cells =
        files(&folder.join("store")).into_keys().find(|path| path.ends_with("m1/cells")).expect("there");
    let path = folder.join("store").join(cells);
    let mut bytes = fs::read(&path).expect("readable");
    bytes[8192..].fill(0);
    fs::write(&path, bytes).expect("written");

    let store = open(folder, 0, "three");
    let found: Vec<Vec<u8>> =
        live(&store, inbox(ann)).iter().map(|cell| body(&store, cell.message)).collect();
    assert_eq!(found, (0..3).map(|number| mail(&format!("m{number}"))).collect::<Vec<_>>());
    assert!(only_uid(&deliver(&store, &mail("next"), vec![to(inbox(ann))])) > 3);
}

/// A store with a message, closed; and what must be done to it so that opening it fails in the last step of recovery.
fn closed_with_one_message(place: &Place) -> (UserId, PathBuf) {
    let store = open(place.folder.path(), 0, "one");
    let ann = store.ensure_user("ann").expect("made");
    store.wait(deliver(&store, &mail("kept"), vec![to(inbox(ann))]).ticket).expect("durable");
    store.close().expect("closed");
    (ann, place.store_path().join("p0/checkpoint.0.new"))
}

fn cells_file(place: &Place) -> PathBuf {
    let all = files(&place.store_path()).into_keys();
    place.store_path().join(all.into_iter().find(|path| path.ends_with("m1/cells")).expect("there"))
}

#[test]
fn a_rebuild_that_was_cut_short_is_begun_again() {
    for missing in ["catalog", "directory", "damaged cells"] {
        let place = Place::new();
        let (ann, obstacle) = closed_with_one_message(&place);
        match missing {
            "catalog" => fs::remove_file(place.store_path().join("catalog")).expect("removed"),
            "directory" => {
                let all = files(&place.store_path()).into_keys();
                for path in all.filter(|path| path.ends_with("directory")) {
                    fs::remove_file(place.store_path().join(path)).expect("removed");
                }
            }
            _ => {
                let path = cells_file(&place);
                let mut bytes = fs::read(&path).expect("readable");
                bytes[0] ^= 1;
                fs::write(&path, bytes).expect("written");
                // So that something is to be put into it.
                fs::remove_file(place.store_path().join("p0/checkpoint.0")).expect("removed");
            }
        }
        fs::create_dir(&obstacle).expect("made");
        assert!(Store::open(place.options(WriterChoice::Handler(0))).is_err(), "{missing}");
        // The rebuild had not come to this mailbox.
        fs::remove_file(cells_file(&place)).expect("removed");
        fs::remove_dir(&obstacle).expect("removed");
        let store = place.open();
        assert_eq!(body(&store, live(&store, inbox(ann))[0].message), mail("kept"), "{missing}");
        assert!(!place.store_path().join("p0/rebuild").exists());
    }
}

#[test]
fn a_missing_directory_is_noticed_behind_a_day_without_mail() {
    let place = Place::new();
    let (ann, _) = closed_with_one_message(&place);
    let quiet = place.store_path().join("p0/pages/1970-01-05");
    fs::create_dir(&quiet).expect("made");
    fs::write(quiet.join("journal.0.0"), []).expect("written");
    for path in files(&place.store_path()).into_keys().filter(|path| path.ends_with("directory")) {
        fs::remove_file(place.store_path().join(path)).expect("removed");
    }
    let store = place.open();
    assert_eq!(body(&store, live(&store, inbox(ann))[0].message), mail("kept"));
}
