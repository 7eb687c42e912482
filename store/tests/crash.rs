//! Processes that are killed in the middle of what they do: whatever they acknowledged is there afterwards, no UID stands for
//! two messages, and no change is there by half. Sometimes another process has the store open all the time (locks are repaired
//! by their next owner), sometimes nobody has (the next opener recovers). And processes that are stopped and wake up late: nobody takes their
//! place meanwhile, and what they do then is as good as before.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use store::change::SystemFlags;
use store::ids::{CellIndex, MailboxId, Ticket, UserId};
use store::txn::{FlagOperation, Outcome};
use store::{OpenOptions, Store, StoreError, WriterChoice};

const CHILD: &str = "LODE_STORE_TEST_CHILD";
const MAILBOXES: u32 = 3;

fn mailbox(number: u32) -> MailboxId {
    MailboxId { user: UserId(1), number }
}

/// Not a test by itself: what the killed processes run.
#[test]
fn child() {
    let Ok(arguments) = std::env::var(CHILD) else { return };
    let parts: Vec<&str> = arguments.split('|').collect();
    let [store, run, handler, seed] = parts[..] else { panic!("{arguments}") };
    let writer = WriterChoice::Handler(handler.parse().expect("a number"));
    let mut options = OpenOptions::new(store, run, writer);
    options.checkpoint_interval_ms = 15;
    let store = Store::open(options).expect("opens");
    let store = &store;
    let seed: u64 = seed.parse().expect("a number");
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || work(store, Random::new(seed * 2 + thread), seed * 2 + thread));
        }
    });
}

/// One line a write, so that lines of threads do not mix and none is cut but by the kill.
fn say(line: String) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("\n@{line}\n").as_bytes());
    let _ = out.flush();
}

fn work(store: &Arc<Store>, mut random: Random, name: u64) {
    for number in 0.. {
        let one = mailbox(1 + random.below(u64::from(MAILBOXES)) as u32);
        let other = mailbox(1 + (one.number % MAILBOXES));
        let indexes = live_indexes(store, one);
        let pick =
            |random: &mut Random| indexes.get(random.below(indexes.len().max(1) as u64) as usize).copied();
        match random.below(12) {
            0..=4 => {
                let text = format!("m{name}x{number}");
                let mut bytes = mail(&text);
                if random.below(20) == 0 {
                    bytes.resize(300_000, b'z');
                }
                let committed = deliver(store, &bytes, vec![to(one), to(other)]);
                let [Outcome::Delivered(results)] = &committed.outcomes[..] else { continue };
                let uids: Vec<u32> =
                    results.iter().map(|result| result.as_ref().expect("there").uid.get()).collect();
                acknowledge(store, committed.ticket, format!("D {} {} {text}", one.number, uids[0]));
                acknowledge(store, committed.ticket, format!("D {} {} {text}", other.number, uids[1]));
            }
            5 => {
                let Some(cell) = pick(&mut random) else { continue };
                let mut txn = store.begin();
                txn.copy(one, &[cell], other);
                let committed = txn.commit().expect("copied");
                let [Outcome::Copied(copied)] = &committed.outcomes[..] else { continue };
                for (_, uid) in &copied.uids {
                    acknowledge(store, committed.ticket, format!("C {} {uid}", other.number));
                }
            }
            6..=7 => {
                let Some(cell) = pick(&mut random) else { continue };
                let mut txn = store.begin();
                let keyword = ["$a", "$b", "$c"][random.below(3) as usize];
                txn.store_flags(one, &[cell], flags(FlagOperation::Add, SystemFlags::FLAGGED, &[keyword]));
                let committed = txn.commit().expect("stored");
                let [Outcome::Flags(changed)] = &committed.outcomes[..] else { continue };
                for (_, uid, _) in &changed.messages {
                    acknowledge(store, committed.ticket, format!("F {} {uid} {keyword}", one.number));
                }
            }
            8 => {
                let Some(cell) = pick(&mut random) else { continue };
                let uid = store.mailbox(one).expect("there").uid_at(cell).expect("there");
                say(format!("e {} {uid}", one.number));
                let mut txn = store.begin();
                txn.expunge(one, &[cell]);
                let committed = txn.commit().expect("expunged");
                acknowledge(store, committed.ticket, format!("E {} {uid}", one.number));
            }
            10 => work_on_names(store, &mut random, &format!("w{name}x{number}")),
            11 => {
                let user = format!("u{name}x{number}");
                store.ensure_user(&user).expect("made");
                say(format!("U {user}"));
            }
            _ => {
                let Some(cell) = pick(&mut random) else { continue };
                let uid = store.mailbox(one).expect("there").uid_at(cell).expect("there");
                say(format!("e {} {uid}", one.number));
                let mut txn = store.begin();
                txn.move_messages(one, &[cell], other);
                let committed = txn.commit().expect("moved");
                let [Outcome::Copied(copied)] = &committed.outcomes[..] else { continue };
                for (_, uid) in &copied.uids {
                    acknowledge(store, committed.ticket, format!("C {} {uid}", other.number));
                }
            }
        }
    }
}

/// Makes a mailbox, or renames or deletes one that some process made.
fn work_on_names(store: &Arc<Store>, random: &mut Random, name: &str) {
    let user = UserId(1);
    let list = store.mailbox_list(user).expect("readable");
    let made: Vec<&str> =
        list.entries().iter().map(|entry| &entry.name[..]).filter(|name| name.starts_with('w')).collect();
    let mut txn = store.begin();
    let after = match (random.below(3), made.get(random.below(made.len().max(1) as u64) as usize)) {
        (0, Some(old)) => {
            say(format!("n {old}"));
            txn.rename_mailbox(user, old, name);
            format!("R {old} {name}")
        }
        (1, Some(old)) => {
            say(format!("n {old}"));
            txn.delete_mailbox(user, old);
            format!("X {old}")
        }
        _ => {
            txn.create_mailbox(user, name, None);
            format!("N {name}")
        }
    };
    // Another process may have been faster.
    if let Ok(committed) = txn.commit() {
        acknowledge(store, committed.ticket, after);
    }
}

fn acknowledge(store: &Store, ticket: Ticket, line: String) {
    store.wait(ticket).expect("durable");
    say(line);
}

/// What was acknowledged, and what may have happened.
#[derive(Default)]
struct Model {
    /// Messages that were acknowledged; the text where it is known.
    acknowledged: BTreeMap<(u32, u32), Option<String>>,
    keywords: BTreeSet<(u32, u32, String)>,
    maybe_expunged: BTreeSet<(u32, u32)>,
    expunged: BTreeSet<(u32, u32)>,
    /// What every UID ever seen stood for.
    seen: BTreeMap<(u32, u32), String>,
    /// Names of mailboxes that were acknowledged; those that may be gone; and those that must be.
    names: BTreeSet<String>,
    maybe_gone: BTreeSet<String>,
    gone: BTreeSet<String>,
    users: BTreeSet<String>,
}

impl Model {
    fn take_in(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let name = |word: &str| word.to_string();
        // A name is used once: who was told that it is gone, or has another, finds it gone for good.
        match words[..] {
            ["N", made] => drop(self.names.insert(name(made))),
            ["n", old] => drop(self.maybe_gone.insert(name(old))),
            ["R", old, new] => {
                self.gone.insert(name(old));
                self.names.insert(name(new));
            }
            ["X", old] => drop(self.gone.insert(name(old))),
            ["U", user] => drop(self.users.insert(name(user))),
            _ => (),
        }
        let key =
            || -> Option<(u32, u32)> { Some((words.get(1)?.parse().ok()?, words.get(2)?.parse().ok()?)) };
        let Some(key) = key() else { return };
        match words[..] {
            ["D", _, _, text] => {
                self.acknowledged.insert(key, Some(text.to_string()));
            }
            ["C", ..] => {
                self.acknowledged.entry(key).or_insert(None);
            }
            ["F", _, _, keyword] => {
                self.keywords.insert((key.0, key.1, keyword.to_string()));
            }
            ["e", ..] => {
                self.maybe_expunged.insert(key);
            }
            ["E", ..] => {
                self.expunged.insert(key);
            }
            _ => (),
        }
    }

    fn check_names(&self, store: &Store) {
        let list = store.mailbox_list(UserId(1)).expect("readable");
        for name in &self.names {
            let there = list.find(name).is_some();
            assert!(there || self.maybe_gone.contains(name), "mailbox {name} is lost");
        }
        for name in &self.gone {
            assert!(list.find(name).is_none(), "mailbox {name} is back");
        }
        for user in &self.users {
            let found = store.find_user(user).expect("readable").expect("a user that was acknowledged");
            let list = store.mailbox_list(found).expect("readable");
            assert!(list.find("INBOX").is_some(), "{user} has no INBOX");
            assert_eq!(store.mailbox(inbox(found)).expect("there").status().expect("readable").exists, 0);
        }
    }

    fn check(&mut self, store: &Store) {
        self.check_names(store);
        let mut places: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for number in 1..=MAILBOXES {
            let open = store.mailbox(mailbox(number)).expect("there");
            let keywords = open.keywords().expect("readable");
            let cells = open.cells().expect("readable");
            let mut live = BTreeSet::new();
            let mut last = 0;
            for index in 0..cells.count() {
                let cell = cells.cell(CellIndex(index)).expect("whole");
                let uid = cell.uid.get();
                assert!(uid > last, "UIDs ascend");
                last = uid;
                // No mailbox holds it any more, so none can say what it was.
                if cell.expunged && matches!(store.message(cell.message), Err(StoreError::Gone(_))) {
                    continue;
                }
                let bytes = body(store, cell.message);
                assert_eq!(bytes.len(), cell.size as usize);
                let header = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
                let text = header.lines().find_map(|line| line.strip_prefix("Subject: ")).expect("ours");
                let before = self.seen.entry((number, uid)).or_insert(text.to_string());
                assert_eq!(before, text, "mailbox {number} UID {uid} stands for two messages");
                places.entry(text.to_string()).or_default().insert(number);
                if !cell.expunged {
                    live.insert(uid);
                    for (_, _, keyword) in
                        self.keywords.range((number, uid, String::new())..=(number, uid, "~".to_string()))
                    {
                        let bit = keywords.find(keyword).expect("a keyword that was acknowledged");
                        assert!(cell.flags.keywords & 1 << bit != 0, "{keyword} of UID {uid}");
                        assert!(cell.flags.system.contains(SystemFlags::FLAGGED));
                    }
                }
            }
            assert_eq!(open.status().expect("readable").exists as usize, live.len());
            assert!(open.uid_next().expect("readable") > last);
            for ((_, uid), text) in self.acknowledged.range((number, 0)..(number + 1, 0)) {
                let key = (number, *uid);
                if !live.contains(uid) {
                    assert!(self.maybe_expunged.contains(&key), "mailbox {number} UID {uid} is lost");
                }
                if let Some(text) = text {
                    let is_right = self.seen.get(&key).map_or(!live.contains(uid), |seen| seen == text);
                    assert!(is_right, "mailbox {number} UID {uid} is not {text}");
                }
            }
            for (_, uid) in self.expunged.range((number, 0)..(number + 1, 0)) {
                assert!(!live.contains(uid), "mailbox {number} UID {uid} is back");
            }
        }
        for (text, numbers) in &places {
            assert!(numbers.len() >= 2, "{text} is in {numbers:?} only: half a delivery");
        }
    }
}

/// Whether the long forms are wanted.
fn is_full() -> bool {
    std::env::var_os("LODE_FULL").is_some()
}

fn spawn(place: &Place, handler: u16, seed: u64) -> Child {
    let run = place.folder.path().join("run");
    let arguments = format!("{}|{}|{handler}|{seed}", place.store_path().display(), run.display());
    Command::new(std::env::current_exe().expect("known"))
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started")
}

/// Takes in what a process says, until it is gone.
fn listen(child: &mut Child, model: &Arc<Mutex<Model>>) -> JoinHandle<()> {
    let out = child.stdout.take().expect("piped");
    let model = Arc::clone(model);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(out);
        let mut line = String::new();
        // A line that the kill has cut has no end.
        while lines.read_line(&mut line).is_ok_and(|read| read > 0) && line.ends_with('\n') {
            if let Some(line) = line.trim_end().strip_prefix('@') {
                model.lock().expect("no panic").take_in(line);
            }
            line.clear();
        }
    })
}

/// A store with the mailboxes that the processes work on.
fn prepare(place: &Place) {
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    assert_eq!(ann, UserId(1));
    for number in 2..=MAILBOXES {
        let mut txn = store.begin();
        txn.create_mailbox(ann, &format!("Box{number}"), None);
        txn.commit().expect("made");
    }
}

#[test]
fn whatever_was_acknowledged_survives_the_killing_of_processes() {
    let rounds = if is_full() { 200 } else { 12 };
    let place = Place::new();
    prepare(&place);
    let model = Arc::new(Mutex::new(Model::default()));
    let mut repairs = 0;
    let mut random = Random::new(20_261_122);
    for round in 0..rounds {
        let watcher = (round % 2 == 0).then(|| place.open_as(9));
        let mut children: Vec<Child> =
            (1..=2).map(|handler| spawn(&place, handler, round * 10 + u64::from(handler))).collect();
        let readers: Vec<_> = children.iter_mut().map(|child| listen(child, &model)).collect();
        for child in &mut children {
            std::thread::sleep(Duration::from_millis(20 + random.below(120)));
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
        readers.into_iter().for_each(|reader| reader.join().expect("no panic"));
        let mut model = model.lock().expect("no panic");
        let store = watcher.unwrap_or_else(|| place.open_as(9));
        // Taking each mailbox's lock repairs what was left behind.
        for number in 1..=MAILBOXES {
            deliver(
                &store,
                &mail(&format!("w{round}x{number}")),
                vec![to(mailbox(number)), to(mailbox(1 + number % 3))],
            );
        }
        model.check(&store);
        repairs += store.counters().repairs.get();
        if round % 3 == 0 {
            store.close().expect("closed");
        }
        drop(store);
        let store = place.open_as(9);
        model.check(&store);
    }
    let model = model.lock().expect("no panic");
    println!(
        "{} messages acknowledged in {rounds} rounds, {repairs} locks repaired",
        model.acknowledged.len()
    );
    assert!(model.acknowledged.len() as u64 > rounds, "the children did nothing");
}

fn signal(child: &Child, signal: Signal) {
    let process = Pid::from_raw(child.id().try_into().expect("a number of a process"));
    kill(process, signal).expect("told");
}

#[test]
fn a_writer_that_was_stopped_goes_on_and_nobody_gets_its_number_meanwhile() {
    let rounds = if is_full() { 20 } else { 1 };
    let place = Place::new();
    prepare(&place);
    let model = Arc::new(Mutex::new(Model::default()));
    let mut random = Random::new(7);
    for round in 0..rounds {
        let mut children: Vec<Child> =
            (1..=2).map(|handler| spawn(&place, handler, 1000 + round * 10 + u64::from(handler))).collect();
        let readers: Vec<_> = children.iter_mut().map(|child| listen(child, &model)).collect();
        std::thread::sleep(Duration::from_millis(150 + random.below(100)));
        let count = || {
            let model = model.lock().expect("no panic");
            model.acknowledged.len() + model.keywords.len() + model.expunged.len()
        };
        signal(&children[0], Signal::SIGSTOP);
        // Its number is wanted, and not to be had: for it may wake up and write.
        let writer = WriterChoice::Handler(1);
        let refused = Store::open(place.options(writer));
        assert!(matches!(refused, Err(StoreError::Busy(_))), "{refused:?}");
        let before = count();
        signal(&children[0], Signal::SIGCONT);
        let deadline = Instant::now() + Duration::from_secs(60);
        while count() < before + 50 {
            assert!(Instant::now() < deadline, "nothing was done after the pause");
            std::thread::sleep(Duration::from_millis(10));
        }
        for child in &mut children {
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
        readers.into_iter().for_each(|reader| reader.join().expect("no panic"));
        // Now the number is free.
        let store = place.open_as(1);
        model.lock().expect("no panic").check(&store);
        if round % 2 == 0 {
            store.close().expect("closed");
        }
    }
}

#[test]
fn a_process_that_is_killed_while_it_is_stopped_leaves_its_locks_to_others() {
    let rounds = if is_full() { 60 } else { 4 };
    let place = Place::new();
    prepare(&place);
    let model = Arc::new(Mutex::new(Model::default()));
    let mut random = Random::new(8);
    for round in 0..rounds {
        // Somebody else has the store open all the time: what the dead leave is repaired, not recovered.
        let store = place.open_as(9);
        let mut child = spawn(&place, 1, 2000 + round);
        let reader = listen(&mut child, &model);
        std::thread::sleep(Duration::from_millis(60 + random.below(60)));
        signal(&child, Signal::SIGSTOP);
        std::thread::sleep(Duration::from_millis(20));
        child.kill().expect("killed");
        child.wait().expect("gone");
        reader.join().expect("no panic");
        for number in 1..=MAILBOXES {
            let text = format!("v{round}x{number}");
            deliver(&store, &mail(&text), vec![to(mailbox(number)), to(mailbox(1 + number % 3))]);
        }
        model.lock().expect("no panic").check(&store);
    }
    assert!(!model.lock().expect("no panic").acknowledged.is_empty(), "the children did nothing");
}
