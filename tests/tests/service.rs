//! The whole server under a service manager that keeps its sockets: the router dies, and nobody notices, who had a session or who wants one.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::thread;
use std::time::{Duration, Instant};
use tests::imap::Imap;
use tests::mail;
use tests::process;
use tests::server::{Options, PASSWORD, PROCESS_PATIENCE, Server};

#[track_caller]
fn eventually(server: &Server, what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PROCESS_PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}{}", server.tail());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_death_of_the_router_is_noticed_by_nobody() {
    let mut server = Server::with(Options::default().handlers(4, 3).service());
    if server.skip_on_peer("killing the router") {
        return;
    }
    let address = server.addresses().imap;
    let user = server.user("ann");
    server.deliver("ann", &mail::small("first"));
    // One of each kind, all in the middle of something.
    let mut selected = server.imap("ann");
    selected.ok("SELECT INBOX");
    selected.ok("SEARCH RETURN (SAVE) ALL");
    let mut idle = server.imap("ann");
    idle.ok("SELECT INBOX");
    idle.begin("IDLE").expect("sent");
    assert!(idle.response().expect("an answer").starts_with(b"+ "));
    let mut pop3 = server.pop3("bob");
    let mut lmtp = server.lmtp();
    lmtp.command("LHLO here").expect("an answer");
    lmtp.command("MAIL FROM:<a@example.org>").expect("an answer");
    for round in 1..=2_u32 {
        let handlers = server.handlers();
        let manager = server.manager().expect("it is a service");
        eventually(&server, "the manager is not told", || manager.was_told("READY=1"));
        eventually(&server, "sockets are not kept", || manager.kept() == ["lode-listening"; 4]);
        server.until_parked();
        server.kill_router();
        assert_eq!(server.handlers(), handlers, "handlers go on");
        // There is no router; sessions go on, and who comes now waits.
        assert_eq!(selected.ok("FETCH $ (UID)").fetches().len(), 1);
        assert!(pop3.command("NOOP").is_ok());
        let connecting = {
            let user = user.clone();
            thread::spawn(move || Imap::login(address, &user, PASSWORD))
        };
        thread::sleep(Duration::from_millis(200));
        assert!(!connecting.is_finished(), "somebody answers who is dead");
        server.start_again();
        let mut new = connecting.join().expect("no panic").expect("a login, after some waiting");
        assert_eq!(new.ok("SELECT INBOX").exists(), Some(round));
        let now = server.handlers();
        assert!(handlers.iter().all(|pid| now.contains(pid)), "the new router has taken them over");
        server.deliver("ann", &mail::small("another"));
        let told = format!("* {} EXISTS", round + 1);
        while !idle.response().expect("who idles is told").starts_with(told.as_bytes()) {}
        assert!(!server.log().contains("socket-not-taken"), "{}", server.tail());
    }
    // The new router has the sockets of sessions that it did not accept: handlers may die now.
    let joined = |server: &Server| {
        let log = server.log();
        log.rsplit("table-taken-over").next().unwrap_or("").matches("the router has all sockets").count()
    };
    let handlers = server.handlers();
    eventually(&server, "handlers do not rejoin", || joined(&server) >= handlers.len());
    for pid in &handlers {
        server.until_parked();
        kill(Pid::from_raw(*pid as i32), Signal::SIGKILL).expect("a handler to kill");
        eventually(&server, "it is not seen", || !process::alive(*pid));
        assert_eq!(selected.ok("FETCH $ (UID)").fetches().len(), 1);
        assert!(pop3.command("NOOP").is_ok());
        lmtp.command("NOOP").expect("an answer");
    }
    let recipient = lmtp.command("RCPT TO:<bob>").expect("an answer");
    assert_eq!(recipient.code, 250, "the sender is known yet: {recipient:?}");
    idle.stream().send(b"DONE\r\n").expect("sent");
    drop((selected, idle, pop3, lmtp));
    server.stop();
    assert!(handlers.iter().all(|pid| !process::alive(*pid)), "handlers end with the router");
    assert!(server.manager().expect("it is a service").was_told("STOPPING=1"));
}
