//! A small file system that is really full: what does not fit is refused and changes nothing, what was acknowledged stays, and the store goes
//! on once something was expunged and its space given back.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use store::change::SystemFlags;
use store::gc::GcOptions;
use store::ids::{CellIndex, MailboxId, UserId};
use store::txn::FlagOperation;
use store::{ChangeError, OpenOptions, Store, StoreError, WriterChoice};

const CHILD: &str = "LODE_STORE_TEST_SMALL_DISK";
const CHILD_COLLECTING: &str = "LODE_STORE_TEST_COLLECTING";

#[test]
fn a_small_disk_fills_up_and_is_freed_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).expect("made");
    let program = std::env::current_exe().expect("known");
    // Mounted in a name space of the child's own, so that it goes with it.
    let script = format!(
        "mount -t tmpfs -o size=16m none {} || exit 77; exec {} --exact small_disk_child --nocapture",
        disk.display(),
        program.display()
    );
    let unshare: &[&str] = if nix::unistd::geteuid().is_root() { &["-m"] } else { &["-Urm"] };
    let output = Command::new("unshare")
        .args(unshare)
        .args(["/bin/sh", "-c", &script])
        .env(CHILD, folder.path())
        .output();
    let output = match output {
        Ok(output) if output.status.code() != Some(77) && output.status.code() != Some(1) => output,
        skipped => {
            println!("skipped: no file system can be mounted here: {skipped:?}");
            return;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("@done"), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Not a test by itself: a process that delivers, expunges and collects until it is killed.
#[test]
fn collecting_child() {
    let Ok(folder) = std::env::var(CHILD_COLLECTING) else { return };
    let folder = Path::new(&folder);
    let mut options = OpenOptions::new(folder.join("store"), folder.join("run"), WriterChoice::Handler(1));
    options.checkpoint_interval_ms = 3;
    let store = Store::open(options).expect("opens");
    println!("@ready");
    let mut random = Random::new(u64::from(std::process::id()));
    for turn in 0.. {
        let user = inbox(UserId(1 + turn % 3));
        let text = mail(&format!("theirs{}", random.next()));
        let recipients = vec![to(user), to(inbox(UserId(1 + (turn + 1) % 3)))];
        store.wait(deliver(&store, &long(text), recipients).ticket).expect("durable");
        let live = live_indexes(&store, user);
        if live.len() > 8 {
            let mut txn = store.begin();
            txn.expunge(user, &live[..4]);
            txn.commit().expect("expunged");
        }
        // The other may be at it.
        let _ = store.gc(GcOptions { recount: turn % 4 == 0, ..GcOptions::default() }, &mut |_| ());
    }
}

/// Long enough that something of it is punched.
fn long(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(15_000, b'z');
    bytes
}

#[test]
fn a_collector_that_is_killed_anywhere_loses_nothing() {
    let place = Place::new();
    let store = place.open();
    for name in ["ann", "bob", "eve", "me"] {
        store.ensure_user(name).expect("made");
    }
    let program = std::env::current_exe().expect("known");
    let mut random = Random::new(9);
    let mut kept = Vec::new();
    for round in 0..12_u32 {
        let mut child = Command::new(&program)
            .args(["--exact", "collecting_child", "--nocapture"])
            .env(CHILD_COLLECTING, place.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        while !lines.next().expect("it gets ready").expect("text").contains("@ready") {}
        let text = long(mail(&format!("ours{round}")));
        // One of the two that get it is left alone by the child.
        let committed = deliver(&store, &text, vec![to(inbox(UserId(1 + round % 3))), to(inbox(UserId(4)))]);
        store.wait(committed.ticket).expect("durable");
        kept.push(text);
        std::thread::sleep(Duration::from_millis(20 + random.below(150)));
        child.kill().expect("killed");
        child.wait().expect("gone");
        // Whatever is there is whole.
        for user in 1..4 {
            for cell in live(&store, inbox(UserId(user))) {
                assert_eq!(body(&store, cell.message).len(), cell.size as usize, "round {round}");
            }
        }
    }
    store.checkpoint().expect("written");
    let options = GcOptions { recount: true, ..GcOptions::default() };
    let report = store.gc(options, &mut |_| ()).expect("collected");
    assert_eq!(report.left, Vec::<String>::new());
    let there: Vec<Vec<u8>> =
        live(&store, inbox(UserId(4))).iter().map(|cell| body(&store, cell.message)).collect();
    assert!(there == kept, "{} of {}", there.len(), kept.len());
}

/// What became of a try: done, or refused because the disk is full.
fn is_done<T>(what: &str, outcome: Result<T, ChangeError>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(ChangeError::Store(error)) if error.is_out_of_space() => false,
        Err(error) => panic!("{what}: {error}"),
    }
}

fn try_to_deliver(store: &Arc<Store>, number: usize, octets: usize, mailbox: MailboxId) -> bool {
    let mut bytes = mail(&format!("m{number}"));
    bytes.resize(octets.max(bytes.len()), b'0' + (number % 10) as u8);
    let delivered = (|| {
        let mut draft = store.draft()?;
        draft.write(&bytes)?;
        let mut txn = store.begin();
        txn.deliver(draft.finish()?, vec![to(mailbox)]);
        let committed = txn.commit()?;
        store.wait(committed.ticket).map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(())
    })();
    is_done("a delivery", delivered)
}

/// UIDs, flags and octets of all that is there.
fn contents(store: &Store, mailbox: MailboxId) -> Vec<(u32, u8, Vec<u8>)> {
    let cells = live(store, mailbox);
    cells.into_iter().map(|cell| (cell.uid.get(), cell.flags.system.0, body(store, cell.message))).collect()
}

/// Not a test by itself: it has a small file system.
#[test]
fn small_disk_child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let folder = Path::new(&folder);
    let options = || {
        let mut options =
            OpenOptions::new(folder.join("disk/store"), folder.join("run"), WriterChoice::Handler(0));
        // So that checkpoints are tried while the disk is full.
        options.checkpoint_interval_ms = 20;
        options
    };
    let store = Store::open(options()).expect("opens");
    let ann = inbox(store.ensure_user("ann").expect("made"));
    let bob = inbox(store.ensure_user("bob").expect("made"));
    assert!(try_to_deliver(&store, 0, 100, ann));
    let mut txn = store.begin();
    txn.store_flags(ann, &[CellIndex(0)], flags(FlagOperation::Add, SystemFlags::FLAGGED, &[]));
    store.wait(txn.commit().expect("room").ticket).expect("durable");

    let mut number = 1;
    for octets in [300_000, 60_000, 5000, 200] {
        while try_to_deliver(&store, number, octets, ann) {
            number += 1;
            assert!(number < 100_000, "the disk has no end");
        }
    }
    let before = contents(&store, ann);
    assert_eq!(before.len(), number);

    // Nothing of this harms anything, whether or not there is room for it.
    let all: Vec<CellIndex> = (0..number as u32).map(CellIndex).collect();
    let mut done = 0;
    for turn in 0..20 {
        let mut txn = store.begin();
        txn.copy(ann, &all, bob);
        done += usize::from(is_done("a copy", txn.commit()));
        let mut txn = store.begin();
        txn.create_mailbox(ann.user, &format!("M{turn}"), None);
        let _ = is_done("a mailbox", txn.commit());
        let _ = is_done("a user", store.ensure_user(&format!("user{turn}")));
        assert!(!try_to_deliver(&store, 7, 2_000_000, bob));
        if let Err(error) = store.checkpoint() {
            assert!(error.is_out_of_space(), "{error}");
        }
    }
    assert!(done < 20, "copies of {number} messages find room for ever");
    assert_eq!(contents(&store, ann), before);
    assert_eq!(live(&store, bob).len(), done * number);
    assert_eq!(store.failure(), None);

    // A store that is full can be closed, opened and read.
    store.close().expect("the reserve is enough");
    drop(store);
    let store = Store::open(options()).expect("opens on a full disk");
    assert_eq!(contents(&store, ann), before);

    // Whoever expunges gets room.
    let mut txn = store.begin();
    txn.expunge(ann, &all[..number / 2]);
    store.wait(txn.commit().expect("the journal has room ahead").ticket).expect("durable");
    let cells: Vec<CellIndex> = (0..(done * number) as u32).map(CellIndex).collect();
    let mut txn = store.begin();
    txn.expunge(bob, &cells);
    store.wait(txn.commit().expect("the journal has room ahead").ticket).expect("durable");
    let report = store.gc(GcOptions::default(), &mut |_| ()).expect("collected");
    assert!(report.freed_messages > 0 && report.punched_octets > 1_000_000, "{report:?}");
    assert!(try_to_deliver(&store, number, 200_000, ann), "there is room again: {report:?}");
    let after = contents(&store, ann);
    assert_eq!(after[..after.len() - 1], before[number / 2..]);
    store.close().expect("closed");
    drop(store);
    let store = Store::open(options()).expect("opens");
    assert_eq!(contents(&store, ann), after);
    println!("@done");
}
