//! The router is killed, and another takes its place: sessions notice nothing.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};
use tests::mail;
use tests::process;
use tests::server::{Options, PROCESS_PATIENCE, Server, Victim};

#[test]
fn sessions_go_on_over_the_death_of_the_router() {
    let mut server = Server::with(Options::default().handlers(3, 6));
    if server.skip_on_peer("killing the router") {
        return;
    }
    server.deliver("ann", &mail::small("first"));
    let mut pop3 = server.pop3("bob");
    let mut sessions: Vec<_> = (0..6).map(|_| server.imap("ann")).collect();
    let mut lmtp = server.lmtp();
    lmtp.command("LHLO here").expect("an answer");
    for session in &mut sessions {
        assert_eq!(session.ok("SELECT INBOX").exists(), Some(1));
    }
    let handlers = server.handlers();
    assert!(handlers.len() >= 2, "{handlers:?}");
    let generation = server.table().info().boot_generation;
    for round in 1..=2 {
        server.crash(Victim::Router);
        assert_eq!(server.table().info().boot_generation, generation + round, "{}", server.tail());
        assert_eq!(server.handlers(), handlers, "{}", server.tail());
        for session in &mut sessions {
            session.ok("NOOP");
        }
        assert!(pop3.command("NOOP").is_ok());
        lmtp.command("NOOP").expect("an answer");
        // New ones work, and are heard of by those that were there.
        server.imap("bob").ok("SELECT INBOX");
        server.deliver("ann", &mail::small("another"));
        let exists = 1 + round as u32;
        let deadline = Instant::now() + PROCESS_PATIENCE;
        while sessions[0].ok("NOOP").exists() != Some(exists) {
            assert!(Instant::now() < deadline, "the change is not told");
        }
        assert_eq!(sessions[1].ok("SELECT INBOX").exists(), Some(exists));
    }
    // The router has the sockets of sessions that it did not accept: a handler may die now.
    until_joined(&server, handlers.len());
    for pid in &handlers {
        server.until_parked();
        kill(Pid::from_raw(*pid as i32), Signal::SIGKILL).expect("a handler to kill");
        for session in &mut sessions {
            session.ok("NOOP");
        }
        assert!(pop3.command("NOOP").is_ok());
        lmtp.command("NOOP").expect("an answer");
    }
    drop((pop3, lmtp, sessions));
    server.stop();
    assert!(
        handlers.iter().all(|pid| !process::alive(*pid)),
        "the router ends handlers that it did not start"
    );
}

/// Waits until the router has taken in as many handlers, and has the sockets of their sessions.
fn until_joined(server: &Server, count: usize) {
    let deadline = Instant::now() + PROCESS_PATIENCE;
    let log = || std::fs::read_to_string(server.folder().join("log")).unwrap_or_default();
    while log().rsplit("table-taken-over").next().unwrap_or("").matches("the router has all sockets").count()
        < count
    {
        assert!(Instant::now() < deadline, "handlers do not rejoin{}", server.tail());
        std::thread::sleep(Duration::from_millis(10));
    }
}
