//! The disk is full, a sync fails: the change is refused or fails, what was acknowledged stays, and the store can be used again.

mod common;

use std::process::Command;

use common::*;
use store::change::SystemFlags;
use store::ids::{CellIndex, UserId};
use store::txn::FlagOperation;
use store::{ChangeError, OpenOptions, Store, StoreError, WriterChoice};

const CHILD: &str = "LODE_STORE_TEST_FULL";
const CHILD_WITHOUT_FILES: &str = "LODE_STORE_TEST_FILES";

#[test]
fn after_a_failed_sync_nothing_is_written_until_the_store_is_opened_anew() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let good = deliver(&store, &mail("good"), vec![to(inbox(ann))]);
    store.wait(good.ticket).expect("durable");
    store.pretend_sync_failure();
    let bad = deliver(&store, &mail("bad"), vec![to(inbox(ann))]);
    let error = store.wait(bad.ticket).expect_err("lost");
    assert!(error.to_string().contains("bucket.0.0"), "{error}");
    assert_eq!(store.ticket_state(good.ticket), Some(Ok(())));
    assert!(matches!(store.ticket_state(bad.ticket), Some(Err(_))));
    assert!(matches!(store.draft(), Err(StoreError::Failed(_))));
    let mut txn = store.begin();
    txn.store_flags(inbox(ann), &[CellIndex(0)], flags(FlagOperation::Add, SystemFlags::SEEN, &[]));
    assert!(matches!(txn.commit(), Err(ChangeError::Store(StoreError::Failed(_)))));
    assert!(store.failure().is_some());
    assert!(matches!(store.checkpoint(), Err(StoreError::Failed(_))), "the lost frame is not taken for safe");
    // Reading goes on.
    assert_eq!(body(&store, live(&store, inbox(ann))[0].message), mail("good"));
    assert!(store.close().is_err());
    drop(store);
    let store = place.open();
    let next = deliver(&store, &mail("next"), vec![to(inbox(ann))]);
    store.wait(next.ticket).expect("durable");
    let newest = live(&store, inbox(ann)).last().expect("there").message;
    let range = store.file_range(&store.message(newest).expect("there"), 0..1).expect("there");
    // The log that failed gets no more frames: this is the first of another.
    assert!(range.offset() < 200, "{range:?}");
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// Not a test by itself: a process that may not open any more files for a while.
#[test]
fn child_without_files() {
    let Ok(folder) = std::env::var(CHILD_WITHOUT_FILES) else { return };
    let folder = std::path::Path::new(&folder);
    let open = |handler| {
        let writer = WriterChoice::Handler(handler);
        Store::open(OpenOptions::new(folder.join("store"), folder.join("run"), writer)).expect("opens")
    };
    let (store, other) = (open(0), open(1));
    let ann = store.ensure_user("ann").expect("made");
    let bob = store.ensure_user("bob").expect("made");
    store.wait(deliver(&store, &mail("first"), vec![to(inbox(ann))]).ticket).expect("durable");
    deliver(&other, &mail("of another"), vec![to(inbox(ann))]);

    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        files.push(file);
    }
    assert!(files.len() > 5);
    // What is open goes on.
    store.wait(deliver(&store, &mail("second"), vec![to(inbox(ann))]).ticket).expect("durable");
    let mut txn = store.begin();
    txn.store_flags(inbox(ann), &[CellIndex(0)], flags(FlagOperation::Add, SystemFlags::SEEN, &[]));
    store.wait(txn.commit().expect("the journal is open").ticket).expect("durable");
    // Whatever needs a file now has the store close one that nobody uses. Where there is none of those it is refused, and changes nothing.
    let take_all_but = |files: &mut Vec<std::fs::File>, left: usize| {
        while let Ok(file) = std::fs::File::open("/dev/null") {
            files.push(file);
        }
        files.truncate(files.len() - left);
    };
    let mut copied = 0;
    let mut made = vec!["INBOX".to_string()];
    let mut is_refused = false;
    for turn in 0..24 {
        let mut txn = store.begin();
        txn.copy(inbox(ann), &[CellIndex(1)], inbox(ann));
        match txn.commit() {
            Ok(committed) => {
                store.wait(committed.ticket).expect("durable");
                copied += 1;
            }
            Err(_) => is_refused = true,
        }
        // It may be short of one anywhere on its way.
        take_all_but(&mut files, turn % 6);
        let name = format!("Box{turn}");
        let mut txn = store.begin();
        txn.create_mailbox(ann, &name, None);
        match txn.commit() {
            Ok(committed) => {
                store.wait(committed.ticket).expect("durable");
                made.push(name);
            }
            Err(_) => is_refused = true,
        }
        take_all_but(&mut files, 0);
        let mut draft = store.draft().expect("open");
        is_refused |= draft.write(&vec![b'x'; 200_000]).is_err();
        drop(draft);
        take_all_but(&mut files, 0);
        is_refused |= store.checkpoint().is_err();
        take_all_but(&mut files, 0);
    }
    assert!(is_refused, "there are always files to be had");
    assert_eq!(store.failure(), None, "nothing of this is final");
    drop(files);

    // Whoever takes the locks next finds nothing left to be done.
    let repairs = store.counters().repairs.get();
    store.wait(deliver(&store, &vec![b'x'; 200_000], vec![to(inbox(bob))]).ticket).expect("durable");
    let mut txn = store.begin();
    txn.copy(inbox(ann), &[CellIndex(1)], inbox(bob));
    store.wait(txn.commit().expect("copied").ticket).expect("durable");
    let mut txn = store.begin();
    txn.create_mailbox(ann, "Last", None);
    store.wait(txn.commit().expect("made").ticket).expect("durable");
    made.push("Last".to_string());
    assert_eq!(store.counters().repairs.get(), repairs, "a change that was refused was under way");
    let list = store.mailbox_list(ann).expect("readable");
    let names: Vec<String> = list.entries().iter().map(|entry| entry.name.clone()).collect();
    assert_eq!(sorted(names), sorted(made), "what was refused was not done");
    store.checkpoint().expect("written");
    assert_eq!((live(&store, inbox(ann)).len(), live(&store, inbox(bob)).len()), (3 + copied, 2));
    println!("@done {copied}");
}

#[test]
fn a_process_without_descriptors_refuses_changes_and_goes_on_when_it_has_some() {
    let place = Place::new();
    let program = std::env::current_exe().expect("known");
    let command = format!("ulimit -n 64; exec {} --exact child_without_files --nocapture", program.display());
    let output = Command::new("/bin/sh")
        .args(["-c", &command])
        .env(CHILD_WITHOUT_FILES, place.folder.path())
        .output()
        .expect("started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("@done"), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let copied: usize =
        text.split("@done ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()).expect("a number");
    let store = place.open();
    assert_eq!((live(&store, inbox(UserId(1))).len(), live(&store, inbox(UserId(2))).len()), (3 + copied, 2));
}

/// Not a test by itself: a process whose files cannot grow beyond a limit that its shell has set.
#[test]
fn full_child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let folder = std::path::Path::new(&folder);
    let options = OpenOptions::new(folder.join("store"), folder.join("run"), WriterChoice::Handler(0));
    let store = Store::open(options).expect("opens");
    let ann = UserId(1);
    let mut acknowledged = 0;
    let mut refused = 0;
    for number in 0..60 {
        // Small ones are gathered, every fifth is streamed.
        let mut bytes = mail(&format!("m{number}"));
        bytes.resize(if number % 5 == 4 { 200_000 } else { 60_000 }, b'f');
        let draft = store.draft().and_then(|mut draft| {
            draft.write(&bytes)?;
            draft.finish()
        });
        let Ok(content) = draft else {
            refused += 1;
            continue;
        };
        let mut txn = store.begin();
        txn.deliver(content, vec![to(inbox(ann))]);
        match txn.commit() {
            Ok(committed) => {
                store.wait(committed.ticket).expect("durable");
                println!("@{}", only_uid(&committed));
                acknowledged += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(acknowledged > 3 && refused > 3, "{acknowledged} acknowledged, {refused} refused");
    // Small changes still find room.
    let mut txn = store.begin();
    txn.store_flags(inbox(ann), &[CellIndex(0)], flags(FlagOperation::Add, SystemFlags::FLAGGED, &[]));
    store.wait(txn.commit().expect("room").ticket).expect("durable");
    println!("@flagged");
}

#[test]
fn a_full_disk_refuses_changes_and_harms_nothing() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    drop(store);
    // A limit of 1,000 KB a file stands for the full disk; the signal that comes with it is ignored.
    let program = std::env::current_exe().expect("known");
    let command =
        format!("trap '' XFSZ; ulimit -f 1000; exec {} --exact full_child --nocapture", program.display());
    let shell = if std::path::Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let output =
        Command::new(shell).args(["-c", &command]).env(CHILD, place.folder.path()).output().expect("started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("@flagged"));
    let uids: Vec<u32> =
        text.lines().filter_map(|line| line.split_once('@').and_then(|(_, uid)| uid.parse().ok())).collect();
    let store = place.open();
    let found: Vec<u32> = live(&store, inbox(ann)).iter().map(|cell| cell.uid.get()).collect();
    assert_eq!(found, uids);
    for cell in live(&store, inbox(ann)) {
        assert_eq!(body(&store, cell.message).len(), cell.size as usize);
    }
    assert!(live(&store, inbox(ann))[0].flags.system.contains(SystemFlags::FLAGGED));
    let mut big = mail("big");
    big.resize(500_000, b'g');
    store.wait(deliver(&store, &big, vec![to(inbox(ann))]).ticket).expect("durable");
}
