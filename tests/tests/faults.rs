//! Sessions that crash on purpose, of a handler that was built to do so: nobody else notices.
//!
//! The short form has 50 clients and a few faults of each kind; `LODE_FULL=1` has 500 and 1,000 of each.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tests::checking_client::{CheckingClient, Tally, lost_while_parked};
use tests::imap::{Imap, Status};
use tests::mail;
use tests::pop3::Pop3;
use tests::process;
use tests::random::{Random, seed};
use tests::server::{Options, PASSWORD, PROCESS_PATIENCE, Peer, Server, binary};
use tests::stream::Fault;

/// Faults that end one session.
const CLEAN: [&str; 6] = ["segv", "bus", "fpe", "ill", "stack", "panic"];
/// Faults that end a handler.
const DIRTY: [&str; 4] = ["malloc", "lock", "abort", "oom"];
/// The same, once the watchdog comes, which takes its time.
const HANG: [&str; 1] = ["hang"];
/// Whose sessions crash.
const GUILTY: &str = "mallory";
/// How long the end of a session that crashed may take, of a machine that has nothing else to do. In the long form it is looked at.
const END_MOST: Duration = Duration::from_secs(5);
/// How long a hang may take beyond that: until the watchdog comes.
const HANG_MOST: Duration = Duration::from_secs(5);
/// How often memory is looked at in the course of a run.
const SAMPLES: usize = 25;
/// Threads that drive clients.
const DRIVERS: usize = 10;
/// Memory that one crash may leave behind in its handler, and after how many a handler is replaced.
const LEFT_BY_A_CRASH_OCTETS: u64 = 256 * 1024;
const HANDLER_CRASHES_MAX: usize = 60;

/// Programs whose handler knows X-FAULT, in a folder that goes with the value.
fn faulty_programs() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("lode-faults-").tempdir().expect("a folder");
    let copy = |from: PathBuf, name: &str| {
        fs::copy(&from, folder.path().join(name))
            .unwrap_or_else(|error| panic!("copy {}: {error}", from.display()));
    };
    copy(binary("router"), "router");
    copy(faulty_handler(), "handler");
    folder
}

/// The one in `LODE_BIN_DIR`, if it is there; else it is built.
fn faulty_handler() -> PathBuf {
    const NAME: &str = "handler-with-faults";
    let given = std::env::var_os("LODE_BIN_DIR").map(|folder| Path::new(&folder).join(NAME));
    if let Some(given) = given.filter(|given| given.is_file()) {
        return given;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let own = std::env::current_exe().expect("a test has a path");
    let target = own.ancestors().nth(3).expect("a target folder");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "handler", "--features", "fault-injection"])
        .args(["--bin", NAME, "--target-dir"])
        .arg(target)
        .current_dir(workspace)
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the handler with faults cannot be built");
    target.join("debug").join(NAME)
}

/// What a run came to.
#[derive(Default)]
struct Outcome {
    tally: Tally,
    /// The clients' ends of sessions that ended while nothing was being done, as far as they know.
    lost_idle: Vec<SocketAddr>,
    /// Answers that were wrong, and sessions that crashed and did not end as they should.
    wrong: Vec<String>,
    /// The longest time that one step of a client took.
    longest: Duration,
    /// The longest time that the end of a session that crashed took, but for what a hang may take.
    longest_end: Duration,
    /// Memory in the course of the run.
    samples: Vec<Sample>,
}

/// What the processes held after so many crashes.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "printed")]
struct Sample {
    after: Duration,
    crashes: usize,
    handlers: usize,
    router_kib: u64,
    handlers_kib: u64,
    anonymous_kib: u64,
}

impl Sample {
    fn take(server: &Server, crashes: usize, begun: Instant) -> Sample {
        let handlers = server.handlers();
        Sample {
            after: begun.elapsed(),
            crashes,
            handlers: handlers.len(),
            router_kib: process::pss(&[server.router()]) >> 10,
            handlers_kib: process::pss(&handlers) >> 10,
            anonymous_kib: process::pss_anonymous(&server.processes()) >> 10,
        }
    }
}

/// Drives `clients` clients of all kinds, from user `first` on, all of them working all the time, while sessions of another user crash by
/// `kinds`, one after the other, with a pause between them. Ends early when something is wrong.
fn run(server: &Server, (first, clients): (usize, usize), kinds: &[&str], pause: Duration) -> Outcome {
    let seed = seed();
    let (ready, stop) = (Barrier::new(DRIVERS + 1), AtomicBool::new(false));
    let found = Mutex::new(Outcome::default());
    thread::scope(|scope| {
        for driver in 0..DRIVERS {
            let (found, ready, stop) = (&found, &ready, &stop);
            scope.spawn(move || {
                let mut random = Random::new(seed + driver as u64);
                let wrong = |what: String| {
                    found.lock().expect("no panic").wrong.push(what);
                    stop.store(true, Ordering::Relaxed);
                };
                let mut driven = Vec::new();
                for number in (0..clients).filter(|number| number % DRIVERS == driver) {
                    let user = format!("user{}", first + number);
                    match CheckingClient::of_kind(number / DRIVERS + driver, server.addresses(), &user) {
                        Ok(client) => driven.push(client),
                        Err(what) => wrong(what),
                    }
                }
                ready.wait();
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    for client in &mut driven {
                        let begun = Instant::now();
                        client.step(&mut random).unwrap_or_else(wrong);
                        longest = longest.max(begun.elapsed());
                    }
                }
                for mut client in driven {
                    let (tally, lost_idle) = (client.tally(), client.lost_idle().to_vec());
                    client.finish().unwrap_or_else(wrong);
                    let mut found = found.lock().expect("no panic");
                    found.tally += tally;
                    found.lost_idle.extend(lost_idle);
                    found.longest = found.longest.max(longest);
                }
            });
        }
        ready.wait();
        let begun = Instant::now();
        for (number, kind) in kinds.iter().enumerate() {
            thread::sleep(pause);
            if number % kinds.len().div_ceil(SAMPLES) == 0 {
                let sample = Sample::take(server, number, begun);
                println!("{sample:?}");
                found.lock().expect("no panic").samples.push(sample);
            }
            let ended = crash(server, kind);
            let mut found = found.lock().expect("no panic");
            match ended {
                Ok(took) => found.longest_end = found.longest_end.max(took),
                Err(what) => found.wrong.push(format!("{kind}: {what}")),
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    found.into_inner().expect("no panic")
}

/// Crashes a session: its connection has to end, with BYE or without. How long that took.
fn crash(server: &Server, kind: &str) -> Result<Duration, String> {
    // The handler of the last fault may be about to end.
    let begin = || Imap::login(server.addresses().imap, GUILTY, PASSWORD);
    let mut imap = begin().or_else(|_| begin()).or_else(|_| begin()).map_err(|fault| fault.to_string())?;
    if imap.command("SELECT INBOX").is_err() {
        return Ok(Duration::ZERO);
    }
    let begun = Instant::now();
    imap.begin(&format!("X-FAULT {kind}")).map_err(|fault| fault.to_string())?;
    loop {
        match imap.response() {
            Ok(line) if line.starts_with(b"* BYE") => {}
            Ok(line) => return Err(String::from_utf8_lossy(&line).into_owned()),
            Err(Fault::Silent(_)) => return Err("the client was left hanging".to_string()),
            Err(_) => break,
        }
    }
    let expected = if kind == "hang" { HANG_MOST } else { Duration::ZERO };
    Ok(begun.elapsed().saturating_sub(expected))
}

/// No client waited long. How fast a loaded machine is says nothing: the long form alone looks.
#[track_caller]
fn nobody_hung(outcome: &Outcome, server: &Server) {
    let longest = outcome.longest.max(outcome.longest_end);
    let what = (outcome.longest, outcome.longest_end);
    assert!(!tests::full() || longest <= END_MOST, "steps and ends took up to {what:?}{}", server.tail());
}

fn start(programs: &Path, clients: usize, handlers: u32) -> Server {
    let mut names: Vec<String> = (0..2 * clients).map(|number| format!("user{number}")).collect();
    names.push(GUILTY.to_string());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let options = Options::default()
        .users(&names)
        .handlers(handlers, 2 * clients as u32 + 10)
        .set("limits", "hang_seconds", "2")
        .set("limits", "connections_per_address", "0")
        .set("limits", "commands_per_minute", "0")
        .programs(programs);
    Server::with(options)
}

/// Clients, and how often each kind of fault.
fn counts() -> (usize, usize) {
    if tests::full() { (500, 1000) } else { (50, 5) }
}

fn repeated(kinds: &[&'static str], times: usize) -> Vec<&'static str> {
    (0..times).flat_map(|_| kinds.iter().copied()).collect()
}

/// Nothing is held any more by sessions that are gone.
#[track_caller]
fn nothing_is_left(server: &Server) {
    let mut pop3 = server.pop3(GUILTY);
    pop3.command("QUIT").expect("the maildrop can be had and left");
    drop(pop3);
    let mut imap = server.imap(GUILTY);
    imap.append_ok("INBOX", "", &mail::small("after"));
    imap.ok("SELECT INBOX");
    imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.ok("LOGOUT");
    let deadline = Instant::now() + PROCESS_PATIENCE;
    loop {
        let who = server.lode(&["who", "--json"]);
        if !who.contains("\"session\"") {
            break;
        }
        assert!(Instant::now() < deadline, "sessions are left: {who}{}", server.tail());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_fault_with_nothing_in_hand_ends_one_session() {
    if Peer::named().is_some() {
        println!("skipped: X-FAULT needs Lode itself");
        return;
    }
    let programs = faulty_programs();
    let (clients, times) = counts();
    let server = start(programs.path(), clients, 2);
    // What the clients' mailboxes and the first crash of each kind take is not counted.
    let warm = run(&server, (0, clients), &CLEAN, Duration::from_millis(50));
    assert_eq!(warm.wrong, Vec::<String>::new(), "{}", server.tail());
    // Views of the mailboxes, which grow with the mail, are not counted.
    let before = process::pss_anonymous(&server.processes());
    let kinds = repeated(&CLEAN, times);
    let outcome = run(&server, (clients, clients), &kinds, Duration::from_millis(20));
    let most = before + kinds.len().min(HANDLER_CRASHES_MAX) as u64 * LEFT_BY_A_CRASH_OCTETS;
    // A handler that is being replaced is there beside the one that takes its place.
    let deadline = Instant::now() + PROCESS_PATIENCE;
    let mut after = process::pss_anonymous(&server.processes());
    while after > most && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
        after = process::pss_anonymous(&server.processes());
    }
    println!(
        "{} crashes: {:?}, longest step {:?}, longest end {:?}; memory of no file before {} KiB, after {} KiB",
        kinds.len(),
        outcome.tally,
        outcome.longest,
        outcome.longest_end,
        before >> 10,
        after >> 10
    );
    assert_eq!(outcome.wrong, Vec::<String>::new(), "{}", server.tail());
    let lost = (outcome.tally.told, outcome.tally.cut, outcome.tally.lost_idle);
    assert_eq!(lost, (0, 0, 0), "others lost their sessions{}", server.tail());
    nobody_hung(&outcome, &server);
    assert!(after <= most, "memory was kept: {before} before, {after} after");
    nothing_is_left(&server);
}

#[test]
fn a_fault_with_something_in_hand_ends_no_session_that_waits() {
    handlers_fall(&DIRTY, counts().1);
}

#[test]
fn a_hang_ends_no_session_that_waits() {
    handlers_fall(&HANG, counts().1);
}

/// Faults that take their handler with them, `times` of each kind.
#[track_caller]
fn handlers_fall(kinds: &[&'static str], times: usize) {
    if Peer::named().is_some() {
        println!("skipped: X-FAULT needs Lode itself");
        return;
    }
    let programs = faulty_programs();
    let (clients, _) = counts();
    let server = start(programs.path(), clients, 3);
    let kinds = repeated(kinds, times);
    let outcome = run(&server, (0, clients), &kinds, Duration::from_millis(300));
    println!(
        "{} faults: {:?}, longest step {:?}, longest end {:?}",
        kinds.len(),
        outcome.tally,
        outcome.longest,
        outcome.longest_end
    );
    assert_eq!(outcome.wrong, Vec::<String>::new(), "{}", server.tail());
    let lost = lost_while_parked(&server.log(), &outcome.lost_idle);
    assert!(lost.is_empty(), "{}{}", lost.join("\n"), server.tail());
    nobody_hung(&outcome, &server);
    nothing_is_left(&server);
}

#[test]
fn a_message_that_crashes_twice_is_not_read_any_more() {
    if Peer::named().is_some() {
        println!("skipped: X-FAULT needs Lode itself");
        return;
    }
    let programs = faulty_programs();
    let server = start(programs.path(), 1, 1);
    server.deliver(GUILTY, &mail::small("good"));
    server.deliver(GUILTY, &mail::small("bad"));
    server.deliver(GUILTY, &mail::small("other"));
    for _ in 0..2 {
        let mut imap = server.imap(GUILTY);
        imap.ok("SELECT INBOX");
        imap.ok("FETCH 2 BODY.PEEK[]");
        imap.begin("X-FAULT segv 2").expect("sent");
        while imap.response().is_ok() {}
    }
    // Who comes back at once cannot do it again.
    let mut imap = server.imap(GUILTY);
    assert_eq!(imap.ok("SELECT INBOX").exists(), Some(3));
    let no = imap.no("FETCH 2 BODY.PEEK[]");
    assert!(no.text.contains("lode crashes --lift"), "{}", no.text);
    let crashes = server.lode(&["crashes"]);
    assert_eq!(crashes.matches("SIGSEGV").count(), 2, "{crashes}");
    assert!(crashes.contains("quarantined"), "{crashes}");
    let report = crashes.lines().nth(1).and_then(|line| line.split(' ').next()).expect("a report");
    let shown = server.lode(&["crashes", report]);
    assert!(shown.contains("X-FAULT segv 2") && shown.contains(GUILTY), "{shown}");
    assert!(shown.contains("bring_down"), "the backtrace names the place: {shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");

    // FETCH of its content says NO, everything else goes on.
    let all = imap.no("FETCH 1:* (FLAGS BODY.PEEK[TEXT])");
    assert_eq!(all.fetches().len(), 3, "the others are sent: {all:?}");
    imap.ok("FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)");
    imap.ok("STORE 2 +FLAGS (\\Flagged)");
    imap.ok("SEARCH BODY other");
    imap.ok("CREATE Aside");
    imap.ok("COPY 2 Aside");
    let mut pop3 = Pop3::login(server.addresses().pop3, GUILTY, PASSWORD).expect("a login");
    let refused = pop3.command("RETR 2").map_err(|fault| fault.to_string());
    assert!(refused.as_ref().is_err_and(|text| text.contains("lode crashes --lift")), "{refused:?}");
    drop(pop3);

    // It is the same in the next handler, and until it is lifted.
    let message = crashes
        .lines()
        .find(|line| line.contains("quarantined"))
        .and_then(|line| line.split(' ').next())
        .expect("a message");
    server.lode(&["crashes", "--lift", message]);
    let deadline = Instant::now() + PROCESS_PATIENCE;
    loop {
        let reply = imap.command("FETCH 2 BODY.PEEK[]").expect("an answer");
        if reply.status == Status::Ok {
            break;
        }
        assert!(Instant::now() < deadline, "it is not lifted: {}", reply.text);
        thread::sleep(Duration::from_millis(100));
    }
    server.lode(&["crashes", "--clear"]);
    assert!(server.lode(&["crashes"]).contains("no crash is known"));
}

/// The router tells the client of a crash or hang that took the handler with it, and it, too, has the message quarantined before that.
#[test]
fn a_message_that_brings_its_handler_down_twice_is_not_read_any_more() {
    if Peer::named().is_some() {
        println!("skipped: X-FAULT needs Lode itself");
        return;
    }
    let programs = faulty_programs();
    let server = start(programs.path(), 1, 2);
    for (number, kind) in [(1, "malloc"), (2, "lock"), (3, "abort"), (4, "hang")] {
        server.deliver(GUILTY, &mail::small(kind));
        for _ in 0..2 {
            let mut imap = server.imap(GUILTY);
            imap.ok("SELECT INBOX");
            imap.begin(&format!("X-FAULT {kind} {number}")).expect("sent");
            let word = imap.response().expect("a last word");
            assert!(word.starts_with(b"* BYE [SERVERBUG]"), "{}", String::from_utf8_lossy(&word));
            while imap.response().is_ok() {}
        }
        let mut imap = server.imap(GUILTY);
        imap.ok("SELECT INBOX");
        imap.ok("NOOP");
        let no = imap.no(&format!("FETCH {number} BODY.PEEK[]"));
        assert!(no.text.contains("lode crashes --lift"), "{kind}: {}", no.text);
    }
    let crashes = server.lode(&["crashes"]);
    assert_eq!(crashes.matches("quarantined").count(), 4, "{crashes}");
    // Of one that hung it is known where.
    let report =
        crashes.lines().rfind(|line| line.contains(" hang ")).and_then(|line| line.split(' ').next());
    let shown = server.lode(&["crashes", report.expect("a report")]);
    assert!(shown.contains("X-FAULT hang 4") && shown.contains("no sign of life"), "{shown}");
    assert!(shown.contains("bring_down"), "the backtrace names the place: {shown}");
}
