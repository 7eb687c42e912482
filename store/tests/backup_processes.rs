//! Backups beside writer processes that are killed, and backup processes that are killed: each backup is of one moment and has what was acknowledged before it
//! began, and one that was cut short leaves the one before.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use common::*;
use store::backup::{self, PlaceHow};
use store::ids::{MailboxId, UserId};
use store::txn::Outcome;
use store::{Background, Disk, OpenOptions, Store, WriterChoice};

const CHILD: &str = "LODE_STORE_TEST_BACKUP_CHILD";
const WRITERS: u16 = 2;

fn mailbox(number: u32) -> MailboxId {
    MailboxId { user: UserId(1), number }
}

/// Not a test by itself: what the other processes run.
#[test]
fn child() {
    let Ok(arguments) = std::env::var(CHILD) else { return };
    let parts: Vec<&str> = arguments.split('|').collect();
    let [what, folder, writer, first] = parts[..] else { panic!("{arguments}") };
    let folder = Path::new(folder);
    let number: u16 = writer.parse().expect("a number");
    let choice = WriterChoice::Handler(number);
    let mut options = OpenOptions::new(folder.join("store"), folder.join("run"), choice);
    options.checkpoint_interval_ms = 20;
    let store = Store::open(options).expect("opens");
    if what == "backup" {
        backup::run(&store, &folder.join("backup"), &mut |_| ()).expect("backed up");
        say("done");
        return;
    }
    for message in first.parse::<u32>().expect("a number").. {
        let mut bytes = mail(&format!("w{number}x{message}"));
        if message % 40 == 7 {
            bytes.resize(300_000, b'z');
        }
        // In one frame to two mailboxes, and a copy to the third in another.
        let delivered = deliver(&store, &bytes, vec![to(mailbox(1)), to(mailbox(2))]);
        let Outcome::Delivered(results) = &delivered.outcomes[0] else { panic!("{delivered:?}") };
        let uid = results[0].as_ref().expect("there").uid;
        let cells = store.mailbox(mailbox(1)).and_then(|open| open.cells()).expect("readable");
        let cell = cells.find_uid(uid).expect("readable").expect("there");
        let mut txn = store.begin();
        txn.copy(mailbox(1), &[cell], mailbox(3));
        let copied = txn.commit().expect("copied");
        store.wait(delivered.ticket.max(copied.ticket)).expect("durable");
        if !say(&message.to_string()) {
            // Nobody listens any more.
            return;
        }
        // Each backup is restored and read by the test.
        std::thread::sleep(Duration::from_millis(4));
    }
}

/// One line a write, so that none is cut but by the kill. False if it could not be said.
fn say(line: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@{line}\n").as_bytes()).and_then(|()| out.flush()).is_ok()
}

struct Process {
    child: Child,
    reader: JoinHandle<()>,
    heard: Arc<AtomicU32>,
}

impl Process {
    fn start(place: &Place, what: &str, writer: u16, heard: &Arc<AtomicU32>) -> Process {
        let first = heard.load(Ordering::Acquire) + 1000;
        let arguments = format!("{what}|{}|{writer}|{first}", place.folder.path().display());
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD, arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let count = Arc::clone(heard);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(number) = line.strip_prefix('@').and_then(|text| text.parse().ok()) {
                    count.store(number, Ordering::Release);
                }
            }
        });
        Process { child, reader, heard: Arc::clone(heard) }
    }

    fn kill(mut self) -> Arc<AtomicU32> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.reader.join();
        self.heard
    }
}

/// What clients see in a mailbox: the names of the messages.
fn names(store: &Arc<Store>, number: u32) -> Vec<String> {
    let cells = live(store, mailbox(number));
    let subject = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("text");
        text.lines().find_map(|line| line.strip_prefix("Subject: ")).expect("a subject").to_owned()
    };
    cells.into_iter().map(|cell| subject(body(store, cell.message))).collect()
}

fn check(place: &Place, round: u32, acknowledged: &[u32]) {
    let folder = place.folder.path();
    let verified = backup::verify(&Disk::real(), &folder.join("backup"), &mut |_| ()).expect("there");
    assert_eq!(verified.faults, [], "round {round}");
    let path = folder.join(format!("restored{round}"));
    let placed = backup::lay_out(&Disk::real(), &folder.join("backup"), &path, PlaceHow::Link, &mut |_| ());
    let _placed = placed.expect("laid out");
    let mut options = OpenOptions::new(&path, folder.join("run-restored"), WriterChoice::Handler(63));
    options.background = Background::Manual;
    let store = Store::open(options).expect("opens");
    let [one, two, copies] = [1, 2, 3].map(|number| names(&store, number));
    assert_eq!(one, two, "round {round}: one frame, two mailboxes");
    let all: BTreeSet<&String> = one.iter().collect();
    assert_eq!(all.len(), one.len(), "round {round}: none twice");
    assert!(copies.iter().all(|name| all.contains(name)), "round {round}: no copy of what is not there");
    for (writer, last) in acknowledged.iter().enumerate().filter(|(_, last)| **last > 0) {
        let name = format!("w{writer}x{last}");
        assert!(all.contains(&name) && copies.contains(&name), "round {round}: {name} was acknowledged");
    }
    drop(store);
    std::fs::remove_dir_all(path).expect("ours");
}

#[test]
fn backups_stand_the_death_of_writers_and_of_backups() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let place = Place::new();
    let store = place.open_as(9);
    let user = store.ensure_user("ann").expect("made");
    for name in ["two", "three"] {
        let mut txn = store.begin();
        txn.create_mailbox(user, name, None);
        txn.commit().expect("made");
    }
    let heard: Vec<Arc<AtomicU32>> = (0..WRITERS).map(|_| Arc::default()).collect();
    let start = |writer: u16| Process::start(&place, "write", writer, &heard[usize::from(writer)]);
    let mut writers: Vec<Option<Process>> = (0..WRITERS).map(|writer| Some(start(writer))).collect();
    let mut killed = 0;
    for round in 0..8 {
        std::thread::sleep(Duration::from_millis(60));
        if round % 3 == 1 {
            // Another one follows it under the same number.
            let writer = round as usize % writers.len();
            writers[writer].take().expect("running").kill();
            writers[writer] = Some(start(writer as u16));
        }
        if round % 2 == 1 {
            let done = Arc::new(AtomicU32::new(0));
            let backup = Process::start(&place, "backup", 20, &done);
            std::thread::sleep(Duration::from_millis(u64::from(10 + round * 7)));
            backup.kill();
            killed += 1;
            if place.folder.path().join("backup/manifest").exists() {
                check(&place, 100 + round, &[]);
            }
        }
        let before: Vec<u32> = heard.iter().map(|heard| heard.load(Ordering::Acquire)).collect();
        let report =
            backup::run(&store, &place.folder.path().join("backup"), &mut |_| ()).expect("backed up");
        assert_eq!(report.faults, [], "round {round}");
        check(&place, round, &before);
    }
    assert!(killed > 0 && heard.iter().all(|heard| heard.load(Ordering::Acquire) > 1000));
    writers.into_iter().flatten().for_each(|writer| drop(writer.kill()));
}
