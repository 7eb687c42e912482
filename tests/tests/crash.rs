//! `kill -9` of a handler, of the router, of all, at random under delivery, APPEND and COPY.
//!
//! After every crash: each message that was acknowledged is there, none twice within a mailbox, and no UID ever stands for
//! another message than before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tests::imap::{Imap, Status};
use tests::lmtp::Lmtp;
use tests::mail;
use tests::process;
use tests::random::{Random, seed};
use tests::server::{Options, PASSWORD, PROCESS_PATIENCE, Server, Victim};
use tests::stream::Fault;

const USERS: [&str; 2] = ["ann", "bob"];

/// What was acknowledged, and what UIDs were seen to mean.
#[derive(Default)]
struct Ledger {
    /// (user, mailbox, id) of messages that must be there.
    acknowledged: BTreeSet<(String, String, String)>,
    /// (user, mailbox, UIDVALIDITY, UID) → id
    uids: BTreeMap<(String, String, u32, u32), String>,
}

impl Ledger {
    /// Notes what a UID means; it must not have meant anything else.
    fn uid(&mut self, user: &str, mailbox: &str, validity: u32, uid: u32, id: &str) {
        let key = (user.to_string(), mailbox.to_string(), validity, uid);
        let known = self.uids.entry(key).or_insert_with(|| id.to_string());
        assert_eq!(known, id, "UID {uid} of {user} {mailbox} was given twice");
    }

    fn acknowledge(&mut self, user: &str, mailbox: &str, id: &str) {
        self.acknowledged.insert((user.to_string(), mailbox.to_string(), id.to_string()));
    }
}

/// What one client does until it is told to stop.
type Work = Box<dyn FnOnce(&Load<'_>, &mut Random) + Send>;

struct Load<'a> {
    server: &'a Server,
    ledger: &'a Mutex<Ledger>,
    next: &'a AtomicU32,
    stop: &'a AtomicBool,
}

impl Load<'_> {
    fn id(&self, what: &str) -> String {
        format!("{what}{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Delivers to both users over one connection after the other, until told to stop.
    fn deliver(&self, random: &mut Random) {
        while !self.stopped() {
            let result = (|| -> Result<(), Fault> {
                let mut lmtp = Lmtp::connect(self.server.addresses().lmtp)?;
                lmtp.stream().set_patience(Duration::from_secs(5));
                while !self.stopped() {
                    let id = self.id("d");
                    let size = if random.below(20) == 0 { 300_000 } else { 200 + random.below(9000) };
                    let names: Vec<String> = USERS.iter().map(|user| self.server.user(user)).collect();
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    let accepted = lmtp.deliver(&names, &mail::sized(&id, size))?;
                    for (user, _) in USERS.iter().zip(accepted).filter(|(_, accepted)| *accepted) {
                        self.ledger().acknowledge(user, "INBOX", &id);
                    }
                }
                Ok(())
            })();
            if result.is_err() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    /// Appends to INBOX and copies to `Kept`, until told to stop.
    fn append_and_copy(&self, user: &str, random: &mut Random) {
        while !self.stopped() {
            let result = (|| -> Result<(), Fault> {
                let mut imap = Imap::login(self.server.addresses().imap, &self.server.user(user), PASSWORD)?;
                imap.set_patience(Duration::from_secs(5));
                imap.command("CREATE Kept")?;
                if imap.command("SELECT INBOX")?.status != Status::Ok {
                    return Ok(());
                }
                while !self.stopped() {
                    let id = self.id("a");
                    let reply =
                        imap.append("INBOX", "\\Seen", &mail::sized(&id, 200 + random.below(5000)))?;
                    if reply.status != Status::Ok {
                        return Err(Fault::Wrong(reply.text));
                    }
                    let (Some(validity), Some(uid)) =
                        (reply.code_number("APPENDUID", 0), reply.code_number("APPENDUID", 1))
                    else {
                        panic!("no APPENDUID: {}", reply.text)
                    };
                    {
                        let mut ledger = self.ledger();
                        ledger.uid(user, "INBOX", validity, uid, &id);
                        ledger.acknowledge(user, "INBOX", &id);
                    }
                    let reply = imap.command(&format!("UID COPY {uid} Kept"))?;
                    if reply.status == Status::Ok
                        && let (Some(validity), Some(uid)) =
                            (reply.code_number("COPYUID", 0), reply.code_number("COPYUID", 2))
                    {
                        let mut ledger = self.ledger();
                        ledger.uid(user, "Kept", validity, uid, &id);
                        ledger.acknowledge(user, "Kept", &id);
                    }
                }
                Ok(())
            })();
            if result.is_err() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

/// Reads both users' mailboxes and holds them against the ledger; the number of messages.
#[track_caller]
fn check(server: &Server, ledger: &Mutex<Ledger>, round: u32) -> usize {
    let mut ledger = ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut count = 0;
    for user in USERS {
        let mut imap = server.imap(user);
        for mailbox in ["INBOX", "Kept"] {
            let selected =
                imap.command(&format!("SELECT {mailbox}")).unwrap_or_else(|fault| panic!("SELECT: {fault}"));
            if selected.status != Status::Ok {
                continue;
            }
            let validity = selected.code_number("UIDVALIDITY", 0).expect("UIDVALIDITY");
            let next = selected.code_number("UIDNEXT", 0).expect("UIDNEXT");
            let mut there = BTreeSet::new();
            let mut last = 0;
            let fetched = imap.ok("FETCH 1:* (UID RFC822.SIZE BODY.PEEK[])").fetches();
            assert_eq!(fetched.len(), selected.exists().unwrap_or(0) as usize);
            for fetch in fetched {
                let uid = fetch.uid().expect("a UID");
                let body = fetch.item("BODY[]").and_then(|value| value.octets()).expect("a body");
                let id = mail::id(body).unwrap_or_else(|| {
                    panic!("round {round}: {user} {mailbox} UID {uid} is not one of ours")
                });
                assert!(uid > last && uid < next, "round {round}: UID {uid} after {last}, UIDNEXT {next}");
                last = uid;
                assert_eq!(
                    fetch.item("RFC822.SIZE").and_then(|value| value.number()),
                    Some(body.len() as u64)
                );
                // Delivery puts trace fields in front (RFC 5321, section 4.4).
                let begin = body.windows(12).position(|window| window == b"From: Sender").unwrap_or(0);
                let whole = body[begin..] == mail::sized(&id, body.len() - begin);
                assert!(whole, "round {round}: {id} was changed");
                ledger.uid(user, mailbox, validity, uid, &id);
                assert!(
                    there.insert(id.clone()),
                    "round {round}: {id} is twice in {user} {mailbox}{}",
                    server.tail()
                );
            }
            let missing: Vec<&String> = ledger
                .acknowledged
                .iter()
                .filter(|(owner, place, id)| owner == user && place == mailbox && !there.contains(id))
                .map(|(_, _, id)| id)
                .collect();
            assert!(missing.is_empty(), "round {round}: {user} {mailbox} lost {missing:?}{}", server.tail());
            count += there.len();
        }
        let _ = imap.command("LOGOUT");
    }
    count
}

#[test]
fn nothing_acknowledged_is_lost() {
    let rounds = if tests::full() { 100 } else { 10 };
    let mut random = Random::new(seed());
    let mut server = Server::with(Options::default().users(&USERS).handlers(3, 4));
    let ledger = Mutex::new(Ledger::default());
    let next = AtomicU32::new(0);
    for round in 1..=rounds {
        let stop = AtomicBool::new(false);
        let victim = match random.below(3) {
            0 => Victim::Handler(random.below(3)),
            1 => Victim::Router,
            _ => Victim::All,
        };
        let patience = Duration::from_millis(20 + random.below(300) as u64);
        std::thread::scope(|scope| {
            let load = Load { server: &server, ledger: &ledger, next: &next, stop: &stop };
            let mut seeds =
                [random.bits(), random.bits(), random.bits(), random.bits()].map(Random::new).into_iter();
            let mut begin = |work: Work| {
                let load = Load { ..load };
                let mut random = seeds.next().unwrap_or_else(|| Random::new(0));
                scope.spawn(move || work(&load, &mut random));
            };
            begin(Box::new(|load, random| load.deliver(random)));
            begin(Box::new(|load, random| load.deliver(random)));
            begin(Box::new(|load, random| load.append_and_copy("ann", random)));
            begin(Box::new(|load, random| load.append_and_copy("bob", random)));
            std::thread::sleep(patience);
            kill(&server, victim);
            // Whoever was not killed goes on for a moment.
            std::thread::sleep(Duration::from_millis(20));
            stop.store(true, Ordering::Relaxed);
        });
        server.crash(victim);
        let count = check(&server, &ledger, round);
        println!("round {round}: {victim:?} after {patience:?}, {count} messages");
    }
    let acknowledged = ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner).acknowledged.len();
    assert!(acknowledged > rounds as usize, "the load did nothing: {acknowledged} messages");
    if server.is_lode() {
        server.stop();
        server.restart();
        check(&server, &ledger, rounds + 1);
    }
}

/// Kills under load; [`Server::crash`] afterwards waits for the ends and starts again.
fn kill(server: &Server, victim: Victim) {
    if !server.is_lode() {
        return;
    }
    let handlers = server.handlers();
    let pids = match victim {
        Victim::Handler(index) => handlers.get(index % handlers.len().max(1)).copied().into_iter().collect(),
        Victim::Router => vec![server.router()],
        Victim::All => server.processes(),
    };
    for pid in pids {
        let _ =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL);
    }
}

#[test]
fn a_dead_handler_is_replaced() {
    let mut server = Server::with(Options::default().handlers(2, 2));
    if server.skip_on_peer("killing a handler") {
        return;
    }
    let mut sessions: Vec<Imap> = (0..3).map(|_| server.imap("ann")).collect();
    assert_eq!(server.handlers().len(), 2, "two processes for three sessions{}", server.tail());
    server.until_parked();
    server.crash(Victim::Handler(0));
    for session in &mut sessions {
        session.ok("NOOP");
    }
    drop(sessions);
    for _ in 0..3 {
        server.imap("ann").ok("SELECT INBOX");
    }
    server.deliver("ann", &mail::small("m"));
    server.stop();
}

#[test]
fn handlers_end_when_no_other_router_comes() {
    let server = Server::with(Options::default().set("limits", "orphan_seconds", "1"));
    if server.skip_on_peer("killing the router") {
        return;
    }
    let mut idle = server.imap("ann");
    let handlers = server.handlers();
    server.signal(nix::sys::signal::Signal::SIGKILL);
    idle.ok("NOOP");
    let begin = std::time::Instant::now();
    while handlers.iter().any(|pid| process::alive(*pid)) {
        assert!(begin.elapsed() < PROCESS_PATIENCE, "a handler stays{}", server.tail());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(idle.command("NOOP").is_err(), "the session ended with its handler");
}
