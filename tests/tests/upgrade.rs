//! `lode upgrade` under checking clients: nobody notices, and what cannot go on is refused.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tests::checking_client::{CheckingClient, Tally};
use tests::mail;
use tests::random::{Random, seed};
use tests::server::{Options, PROCESS_PATIENCE, Server, binary};
use tests::tool;

/// Threads that share the clients.
const THREADS: usize = 8;
/// A pause between two commands of a client, so that most sessions are parked at any moment, as in life.
const PAUSE: Duration = Duration::from_millis(10);

#[test]
fn upgrades_are_noticed_by_nobody() {
    let (clients, upgrades) = if tests::full() { (1000, 10) } else { (50, 2) };
    let users: Vec<String> = (0..clients).map(|number| format!("user{number}")).collect();
    // Room in two handlers at least, so that there is something to do one by one.
    let mut options = Options { users: users.clone(), ..Options::default() }.handlers(3, clients as u32 / 2);
    for key in ["connections_per_user", "connections_per_address"] {
        options = options.set("limits", key, "0");
    }
    let server = Server::with(options);
    if server.skip_on_peer("lode upgrade") {
        return;
    }
    let router = server.router();
    let (stop, ready) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut random = Random::new(seed());
    let total = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (stop, ready, users, addresses) = (&stop, &ready, &users, server.addresses());
                let mut random = Random::new(random.bits());
                scope.spawn(move || -> Result<Tally, String> {
                    let mut mine = Vec::new();
                    for number in (thread..clients).step_by(THREADS) {
                        mine.push(CheckingClient::of_kind(number, addresses, &users[number])?);
                    }
                    ready.fetch_add(1, Ordering::SeqCst);
                    let mut total = Tally::default();
                    while !stop.load(Ordering::SeqCst) {
                        for client in &mut mine {
                            client.step(&mut random)?;
                        }
                        std::thread::sleep(PAUSE);
                    }
                    for client in &mut mine {
                        client.finish()?;
                        total += client.tally();
                    }
                    Ok(total)
                })
            })
            .collect();
        let beginning = Instant::now();
        while ready.load(Ordering::SeqCst) < THREADS && !threads.iter().any(|thread| thread.is_finished()) {
            assert!(beginning.elapsed() < Duration::from_secs(300), "clients do not begin{}", server.tail());
            std::thread::sleep(Duration::from_millis(10));
        }
        for round in 1..=upgrades {
            std::thread::sleep(Duration::from_millis(300));
            let before = server.handlers();
            let began = Instant::now();
            let said = tool::run(&mut server.lode_command(&["upgrade"]), b"", Duration::from_secs(120));
            println!("upgrade {round} took {:?}", began.elapsed());
            stop.fetch_or(!said.success, Ordering::SeqCst);
            assert!(said.success, "{}{}", said.err, server.tail());
            let after = server.handlers();
            assert!(after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}{}", server.tail());
            assert_eq!(server.router(), router);
        }
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::SeqCst);
        let mut total = Tally::default();
        for thread in threads {
            let tally = thread
                .join()
                .expect("a client's thread")
                .unwrap_or_else(|what| panic!("{what}{}", server.tail()));
            total += tally;
        }
        total
    });
    println!("{total:?}");
    assert!(total.answered > clients as u64, "{total:?}");
    let lost = (total.told, total.cut, total.lost_idle);
    if lost != (0, 0, 0) {
        let log = fs::read_to_string(server.folder().join("log")).unwrap_or_default();
        let ordinary = ["login", "logout", "delivered", "expunge", "message", "append", "mailbox"];
        for line in log.lines().filter(|line| !ordinary.iter().any(|word| line.contains(word))) {
            println!("{line}");
        }
    }
    assert_eq!(lost, (0, 0, 0), "sessions ended: told, cut, idle{}", server.tail());
}

#[test]
fn programs_that_cannot_go_on_are_refused() {
    let bin = tempfile::tempdir().expect("a folder for programs");
    // Another process does it: what this one has open for writing, a child that another test forks at that moment has open too, and
    // then it cannot be executed.
    let copied = Command::new("cp").args([binary("router"), binary("handler")]).arg(bin.path()).status();
    assert!(copied.expect("cp runs").success());
    let mut server = Server::with(Options::default().programs(bin.path()));
    if server.skip_on_peer("lode upgrade") {
        return;
    }
    let mut session = server.imap("ann");
    session.ok("SELECT INBOX");
    let handlers = server.handlers();
    let bin = bin.path();
    // The running program keeps its file; what stands under its name from now on is another.
    let install = |name: &str, script: &str| {
        let written = Command::new("sh")
            .args([
                "-c",
                "test -e $1.real || mv $1 $1.real; rm -f $1; printf '%s' \"$2\" > $1; chmod 755 $1",
                "sh",
            ])
            .arg(bin.join(name))
            .arg(format!("#!/bin/sh\n{script}\n"))
            .status();
        assert!(written.expect("sh runs").success());
    };
    let real = |name: &str| bin.join(format!("{name}.real")).display().to_string();
    let mut refused = |what: &str, expected: &[&str]| {
        let said = tool::run(&mut server.lode_command(&["upgrade"]), b"", Duration::from_secs(60));
        assert!(!said.success, "{what}: {}{}", said.text(), server.tail());
        for text in expected {
            assert!(said.err.contains(text), "{what}: {text:?} is not in {:?}", said.err);
        }
        session.ok("NOOP");
        assert_eq!(server.handlers(), handlers, "{what}");
        server.imap("bob").ok("SELECT INBOX");
    };
    let other = "lode-abi 99 00000000000000aa 00000000000000bb";
    install("router", &format!("echo {other}"));
    refused("another ABI", &["table version 99, layout 00000000000000aa", "table version 1, "]);
    install("router", "exit 3");
    refused("a program that fails", &["exit status: 3"]);
    install("router", "echo usage: something");
    refused("another program", &["does not say what table"]);
    install("router", "sleep 60");
    refused("a program that hangs", &["did not answer"]);
    let start =
        format!("[ \"$1\" = --abi ] && exec {} --abi; echo no such library >&2; exit 127", real("router"));
    install("router", &start);
    refused("a program that does not start", &["no such library"]);
    fs::remove_file(bin.join("router")).expect("removed");
    refused("no program", &["cannot start"]);
    // It takes over in the rehearsal and fails when it is meant: the old program comes back.
    install("router", &format!("LODE_TEST_TAKE_OVER_FAILS=1 exec {} \"$@\"", real("router")));
    refused("a program that cannot take over", &["a test wants it so"]);
    // A handler of another build, too.
    install("router", &format!("unset LODE_TEST_TAKE_OVER_FAILS; exec {} \"$@\"", real("router")));
    install("handler", &format!("echo {other}"));
    refused("another handler", &["/handler cannot go on", "table version 99"]);
    install("handler", &format!("exec {} \"$@\"", real("handler")));
    server.lode(&["upgrade"]);
    assert!(server.handlers().iter().all(|pid| !handlers.contains(pid)));
    session.ok("NOOP");
    server.stop();
}

/// The upgrade is not held up for ever by who does not read: who asked for it learns which session it is.
#[test]
fn a_client_that_does_not_read_is_named() {
    let server = Server::with(Options::default().handlers(2, 40));
    if server.skip_on_peer("lode upgrade") {
        return;
    }
    let mut deaf = server.imap("ann");
    for number in 0..20 {
        deaf.append_ok("INBOX", "", &mail::sized(&format!("m{number}"), 1 << 20));
    }
    let mut other = server.imap("bob");
    deaf.ok("SELECT INBOX");
    let tag = deaf.begin("FETCH 1:* BODY.PEEK[]").expect("sent");
    // The first of it is there, and much more than any socket takes.
    assert!(deaf.stream().ready(PROCESS_PATIENCE), "no reply begins{}", server.tail());
    let old = server.handlers();
    let said =
        tool::run(&mut server.lode_command(&["upgrade", "--wait", "2"]), b"", Duration::from_secs(120));
    assert!(said.success, "{}{}", said.err, server.tail());
    assert!(said.err.contains("of \"ann\" ") && !said.err.contains("of \"bob\" "), "{}", said.err);
    other.ok("NOOP");
    server.imap("bob").ok("SELECT INBOX");
    // It reads after all: it has missed nothing, and the old handler goes.
    loop {
        let line = deaf.response().expect("the reply goes on");
        if line.starts_with(format!("{tag} OK ").as_bytes()) {
            break;
        }
        assert!(line.starts_with(b"* "), "{:?}", String::from_utf8_lossy(&line[..line.len().min(80)]));
    }
    let deadline = Instant::now() + PROCESS_PATIENCE;
    while server.handlers().iter().any(|pid| old.contains(pid)) {
        assert!(Instant::now() < deadline, "the old handler stays{}", server.tail());
        std::thread::sleep(Duration::from_millis(20));
    }
    deaf.ok("NOOP");
}
