//! IDLE across processes, the end of a session on SIGTERM, and the limits on silence.

use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use tests::imap::{Event, Imap, event};
use tests::mail;
use tests::server::{Options, Server};
use tests::stream::{Fault, Stream};

/// What may pass between a delivery and an idler's EXISTS in a test; the aim (2 ms at the median) is the benchmark's business.
const NOTICE: Duration = Duration::from_secs(1);

/// An idler, with the continuation read.
fn idling(server: &Server, user: &str) -> Imap {
    let mut imap = server.imap(user);
    imap.ok("SELECT INBOX");
    imap.begin("IDLE").expect("sent");
    let line = imap.response().expect("a continuation");
    assert!(line.starts_with(b"+"), "{line:?}");
    imap
}

#[track_caller]
fn wait_for_exists(imap: &mut Imap, count: u32) {
    loop {
        let line = imap.response().unwrap_or_else(|fault| panic!("an idler was not told: {fault}"));
        if matches!(event(&line), Ok(Event::Exists(told)) if told == count) {
            return;
        }
    }
}

#[test]
fn deliveries_reach_idlers_in_other_processes() {
    let server = Server::with(Options::default().handlers(4, 3));
    let mut idlers: Vec<Imap> = (0..6).map(|_| idling(&server, "ann")).collect();
    if server.is_lode() {
        assert!(server.handlers().len() >= 2, "the idlers are in one process");
    }
    let mut lmtp = server.lmtp();
    let user = server.user("ann");
    let mut took = Vec::new();
    for round in 1..=20 {
        let begin = Instant::now();
        let accepted = lmtp.deliver(&[&user], &mail::small(&format!("m{round}"))).expect("a reply");
        assert_eq!(accepted, [true]);
        let told = Instant::now();
        for idler in &mut idlers {
            wait_for_exists(idler, round);
        }
        took.push(told.elapsed());
        assert!(begin.elapsed() < NOTICE + Duration::from_secs(1), "round {round}: {:?}", begin.elapsed());
    }
    took.sort();
    println!(
        "from the reply to the delivery until six idlers were told: median {:?}, slowest {:?}",
        took[10], took[19]
    );
    if server.is_lode() {
        assert!(took[10] < NOTICE, "median {:?}", took[10]);
    }
    for mut idler in idlers {
        idler.stream().send(b"DONE\r\n").expect("sent");
        let reply = idler.finish("t3").expect("the end of IDLE");
        assert!(reply.text.starts_with("OK"), "{}", reply.text);
    }
}

#[test]
fn flags_and_expunges_reach_idlers() {
    let server = Server::with(Options::default().handlers(4, 2));
    server.deliver("ann", &mail::small("one"));
    server.deliver("ann", &mail::small("two"));
    let mut idler = idling(&server, "ann");
    let mut other = server.imap("ann");
    other.ok("SELECT INBOX");
    other.ok("STORE 2 +FLAGS (\\Flagged)");
    let line = idler.response().expect("news");
    assert!(
        matches!(event(&line), Ok(Event::Fetch(fetch)) if fetch.seq == 2),
        "{}",
        String::from_utf8_lossy(&line)
    );
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    other.ok("EXPUNGE");
    loop {
        let line = idler.response().expect("news");
        match event(&line).expect("a reply") {
            Event::Expunge(1) => break,
            Event::Fetch(fetch) => assert_eq!(fetch.seq, 1),
            _ => {}
        }
    }
}

#[test]
fn sigterm_says_bye_and_ends_with_0() {
    let mut server = Server::start();
    if server.skip_on_peer("SIGTERM") {
        return;
    }
    let mut idler = idling(&server, "ann");
    let mut selected = server.imap("bob");
    selected.ok("SELECT INBOX");
    let mut fresh = Imap::connect(server.addresses().imap).expect("a greeting");
    let mut pop3 = server.pop3("bob");
    let mut lmtp = server.lmtp();
    let begin = Instant::now();
    let status = server.terminate();
    assert!(status.success(), "{status}{}", server.tail());
    println!("the router ended after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(10));
    for imap in [&mut idler, &mut selected, &mut fresh] {
        let rest = imap.stream().rest().expect("a close");
        assert!(String::from_utf8_lossy(&rest).contains("* BYE"), "{:?}", String::from_utf8_lossy(&rest));
    }
    assert!(pop3.stream().rest().is_ok());
    let rest = lmtp.stream().rest().expect("a close");
    assert!(rest.is_empty() || rest.starts_with(b"421"), "{:?}", String::from_utf8_lossy(&rest));
}

#[test]
fn sigterm_lets_a_running_command_finish() {
    let mut server = Server::start();
    if server.skip_on_peer("SIGTERM") {
        return;
    }
    let message = mail::sized("big", 8 << 20);
    let mut imap = server.imap("ann");
    imap.append_ok("INBOX", "", &message);
    imap.ok("SELECT INBOX");
    imap.begin("FETCH 1 BODY.PEEK[]").expect("sent");
    imap.stream().exactly(1000).expect("the beginning");
    server.signal(Signal::SIGTERM);
    let rest = imap.stream().rest().expect("a close");
    let text = String::from_utf8_lossy(&rest[rest.len().saturating_sub(200)..]).into_owned();
    assert!(rest.len() > message.len() - 1000, "the reply was cut after {} octets", rest.len());
    assert!(text.contains("t4 OK"), "{text}");
    // It may have ended already, and the table that names its handlers with it.
    let status = server.wait();
    assert!(status.success(), "the router ended with {status}{}", server.tail());
}

#[test]
fn silence_ends_sessions() {
    let options = Options::default()
        .set("limits", "imap_idle_seconds", "2")
        .set("limits", "pop3_idle_seconds", "2")
        .set("limits", "lmtp_idle_seconds", "2")
        .set("limits", "login_seconds", "1");
    let server = Server::with(options);
    if server.skip_on_peer("limits") {
        return;
    }
    let begin = Instant::now();
    let mut before_login = Stream::connect(server.addresses().imap).expect("a connection");
    let mut imap = server.imap("ann");
    let mut pop3 = server.pop3("ann");
    let mut lmtp = server.lmtp();
    let rest = before_login.rest().expect("a close");
    assert!(String::from_utf8_lossy(&rest).contains("* BYE"), "{:?}", String::from_utf8_lossy(&rest));
    assert!(begin.elapsed() >= Duration::from_millis(900), "too soon: {:?}", begin.elapsed());
    let rest = imap.stream().rest().expect("a close");
    assert!(String::from_utf8_lossy(&rest).contains("* BYE"), "{:?}", String::from_utf8_lossy(&rest));
    assert!(begin.elapsed() >= Duration::from_millis(1900), "too soon: {:?}", begin.elapsed());
    // RFC 1939, section 3: the session just ends, without entering UPDATE.
    pop3.stream().rest().expect("a close");
    lmtp.stream().rest().expect("a close");
    assert!(begin.elapsed() < Duration::from_secs(12), "too late: {:?}", begin.elapsed());
}

#[test]
fn a_session_that_speaks_is_not_silent() {
    let server = Server::with(Options::default().set("limits", "imap_idle_seconds", "2"));
    if server.skip_on_peer("limits") {
        return;
    }
    let mut imap = server.imap("ann");
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(500));
        imap.ok("NOOP");
    }
}

#[test]
fn when_all_is_full_a_connection_waits_and_is_then_told() {
    let server = Server::with(Options::default().handlers(1, 3).set("limits", "queue", "1"));
    if server.skip_on_peer("handlers.sessions") {
        return;
    }
    let full: Vec<Imap> = (0..3).map(|_| server.imap("ann")).collect();
    // One may wait in the queue, the next is turned away at once.
    let mut waiting = Stream::connect(server.addresses().imap).expect("a connection");
    std::thread::sleep(Duration::from_millis(200));
    let mut turned_away = Stream::connect(server.addresses().imap).expect("a connection");
    let rest = turned_away.rest();
    match rest {
        Ok(octets) => assert!(octets.starts_with(b"* BYE"), "{:?}", String::from_utf8_lossy(&octets)),
        Err(fault) => panic!("left hanging: {fault}"),
    }
    drop(full);
    match waiting.line() {
        Ok(line) => assert!(line.starts_with(b"* OK"), "{:?}", String::from_utf8_lossy(&line)),
        Err(Fault::Closed(_)) | Err(Fault::Silent(_)) => {
            panic!("the queued connection was forgotten{}", server.tail())
        }
        Err(fault) => panic!("{fault}"),
    }
}
