//! What one address, one user and one session may have, and what is said to who wants more. Addresses of this machine are
//! exempt unless the settings say otherwise, which these tests make them do.

use std::net::IpAddr;
use std::time::{Duration, Instant};
use tests::imap::{Imap, Reply, Status};
use tests::server::{Options, PASSWORD, PROCESS_PATIENCE, Server, Victim};
use tests::stream::{Fault, Stream};

/// Exempts nobody and sets one limit.
fn limited(key: &str, value: &str) -> Options {
    Options::default().set("limits", "exempt", "[]").set("limits", key, value)
}

fn from(number: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, number])
}

fn imap_from(server: &Server, source: u8) -> Imap {
    let stream = Stream::connect_from(from(source), server.addresses().imap).expect("a connection");
    Imap::over(stream).expect("a greeting")
}

fn login_from(server: &Server, source: u8, user: &str, password: &str) -> Reply {
    imap_from(server, source).command(&format!("LOGIN {user} {password}")).expect("an answer")
}

/// The first line that a connection gets.
fn greeting(server: &Server, source: u8, address: std::net::SocketAddr) -> String {
    let mut stream = Stream::connect_from(from(source), address).expect("a connection");
    let line = stream.line().unwrap_or_else(|fault| panic!("{fault}{}", server.tail()));
    String::from_utf8_lossy(&line).into_owned()
}

#[test]
fn an_address_has_so_many_connections() {
    let server = Server::with(limited("connections_per_address", "3"));
    if server.skip_on_peer("limits") {
        return;
    }
    let addresses = server.addresses();
    let mut held: Vec<Imap> = (0..2).map(|_| imap_from(&server, 2)).collect();
    let mut pop3 = Stream::connect_from(from(2), addresses.pop3).expect("a connection");
    pop3.line().expect("a greeting");
    // All protocols together; each says it in its own way.
    assert!(greeting(&server, 2, addresses.imap).starts_with("* BYE [LIMIT] "));
    assert!(greeting(&server, 2, addresses.pop3).starts_with("-ERR [SYS/TEMP] "));
    assert!(greeting(&server, 2, addresses.lmtp).starts_with("421 4.7.0 "));
    // Another address, and those that are there.
    assert!(greeting(&server, 3, addresses.imap).starts_with("* OK "));
    held[0].ok(&format!("LOGIN ann {PASSWORD}"));
    // A place is free as soon as one is gone, whatever becomes of handlers.
    held.pop();
    let deadline = Instant::now() + PROCESS_PATIENCE;
    while !greeting(&server, 2, addresses.imap).starts_with("* OK ") {
        assert!(Instant::now() < deadline, "the place stays taken{}", server.tail());
    }
}

#[test]
fn exempt_and_trusted_addresses_have_any_number() {
    let server = Server::with(Options::default().set("limits", "connections_per_address", "2"));
    if server.skip_on_peer("limits") {
        return;
    }
    let held: Vec<Imap> = (0..5).map(|_| imap_from(&server, 2)).collect();
    assert!(held.iter().all(|imap| imap.greeting.starts_with(b"* OK ")));
    let trusted = limited("connections_per_address", "1").set("lmtp", "trusted_peers", "[\"127.0.0.2\"]");
    let server = Server::with(trusted);
    let lmtp = server.addresses().lmtp;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = Stream::connect_from(from(2), lmtp).expect("a connection");
        assert!(stream.line().expect("a greeting").starts_with(b"220 "));
        held.push(stream);
    }
}

#[test]
fn a_user_has_so_many_sessions_over_all_handlers() {
    let options = Options::default().handlers(3, 6).set("limits", "connections_per_user", "4");
    let server = Server::with(options);
    if server.skip_on_peer("limits") {
        return;
    }
    // So that there is more than one handler.
    let fill: Vec<Imap> = (0..8).map(|_| imap_from(&server, 1)).collect();
    assert!(server.handlers().len() > 1);
    drop(fill);
    // Many at once: never more than four.
    let replies: Vec<(Imap, Reply)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut imap = imap_from(&server, 1);
                    let reply = imap.command(&format!("LOGIN ann {PASSWORD}")).expect("an answer");
                    (imap, reply)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let count = replies.iter().filter(|(_, reply)| reply.status == Status::Ok).count();
    assert!((1..=4).contains(&count), "{count} were let in{}", server.tail());
    for (_, reply) in replies.iter().filter(|(_, reply)| reply.status != Status::Ok) {
        assert!(reply.text.starts_with("NO [LIMIT] "), "{}", reply.text);
    }
    drop(replies);
    let mut held: Vec<Imap> = Vec::new();
    let deadline = Instant::now() + PROCESS_PATIENCE;
    while held.len() < 4 {
        assert!(Instant::now() < deadline, "{} let in{}", held.len(), server.tail());
        let mut imap = imap_from(&server, 1);
        if imap.command(&format!("LOGIN ann {PASSWORD}")).expect("an answer").status == Status::Ok {
            held.push(imap);
        }
    }
    // Another user, another protocol, and the place of one that logs out while the connection lasts.
    server.imap("bob").ok("NOOP");
    server.pop3("ann").command("NOOP").expect("an answer");
    let mut fifth = imap_from(&server, 1);
    assert!(fifth.no(&format!("LOGIN ann {PASSWORD}")).text.starts_with("NO [LIMIT] "));
    held[0].ok("UNAUTHENTICATE");
    fifth.ok(&format!("LOGIN ann {PASSWORD}"));
    held[0].no(&format!("LOGIN ann {PASSWORD}"));
}

#[test]
fn guessing_is_refused_for_that_user_from_there() {
    let mut server = Server::with(limited("failed_logins", "2"));
    if server.skip_on_peer("limits") {
        return;
    }
    let refused = |reply: &Reply| reply.status == Status::No && reply.text.starts_with("NO [LIMIT] ");
    for password in ["one", "one", "one", "two"] {
        let reply = login_from(&server, 2, "ann", password);
        assert!(reply.text.starts_with("NO [AUTHENTICATIONFAILED] "), "the same is no guess: {}", reply.text);
    }
    let reply = login_from(&server, 2, "ann", PASSWORD);
    assert!(refused(&reply), "the right one is not looked at either: {}{}", reply.text, server.tail());
    let mut pop3 = Stream::connect_from(from(2), server.addresses().pop3).expect("a connection");
    pop3.line().expect("a greeting");
    pop3.send(format!("USER ann\r\nPASS {PASSWORD}\r\n").as_bytes()).expect("sent");
    pop3.line().expect("an answer to USER");
    assert!(pop3.line().expect("an answer to PASS").starts_with(b"-ERR [LOGIN-DELAY] "));
    assert!(matches!(pop3.line(), Err(Fault::Closed(_))));
    // The user from elsewhere; another from there.
    assert_eq!(login_from(&server, 3, "ann", PASSWORD).status, Status::Ok);
    assert_eq!(login_from(&server, 2, "bob", PASSWORD).status, Status::Ok);
    // No handler takes it with it.
    server.crash(Victim::Handler(0));
    assert!(refused(&login_from(&server, 2, "ann", PASSWORD)));
}

#[test]
fn failed_logins_are_forgotten() {
    let server = Server::with(limited("failed_logins", "2").set("limits", "failed_logins_seconds", "4"));
    if server.skip_on_peer("limits") {
        return;
    }
    for password in ["one", "two"] {
        assert_eq!(login_from(&server, 2, "ann", password).status, Status::No);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while login_from(&server, 2, "ann", PASSWORD).status != Status::Ok {
        assert!(Instant::now() < deadline, "not forgotten{}", server.tail());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn answers_to_guesses_come_late_and_hold_up_nobody_else() {
    let server = Server::with(limited("failed_logins", "8"));
    if server.skip_on_peer("limits") {
        return;
    }
    for password in ["one", "two"] {
        assert_eq!(login_from(&server, 2, "ann", password).status, Status::No);
    }
    let begin = Instant::now();
    let mut guesser = imap_from(&server, 2);
    guesser.begin(&format!("LOGIN ann {PASSWORD}")).expect("sent");
    // Others meanwhile.
    server.imap("bob").ok("NOOP");
    let line = guesser.response().expect("an answer");
    assert!(String::from_utf8_lossy(&line).contains(" OK "), "{line:?}");
    assert!(begin.elapsed() >= Duration::from_secs(1), "after {:?}", begin.elapsed());
}

#[test]
fn a_flood_of_commands_is_slowed_and_answered() {
    let server = Server::with(Options::default().set("limits", "commands_per_minute", "6000"));
    if server.skip_on_peer("limits") {
        return;
    }
    let mut flooder = server.imap("ann");
    let begin = Instant::now();
    const COMMANDS: usize = 6_200;
    flooder.stream().send("x NOOP\r\n".repeat(COMMANDS).as_bytes()).expect("sent");
    for _ in 0..COMMANDS {
        assert!(flooder.stream().line().expect("an answer").starts_with(b"x OK "));
    }
    // One that has ended before the flood is slowed is not held up.
    server.imap("bob").ok("NOOP");
    flooder.ok("NOOP");
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[test]
fn what_is_no_command_again_and_again_ends_the_session() {
    let server = Server::start();
    if server.skip_on_peer("limits") {
        return;
    }
    let mut imap = server.imap("ann");
    imap.stream().send("x NONSENSE\r\n".repeat(99).as_bytes()).expect("sent");
    imap.stream().send(b"y NOOP\r\n").expect("sent");
    imap.stream().send("x NONSENSE\r\n".repeat(200).as_bytes()).expect("sent");
    let text = imap.stream().rest().expect("a close");
    let text = String::from_utf8_lossy(&text);
    assert_eq!(text.matches("x BAD").count(), 99 + 101);
    assert!(
        text.contains("y OK") && text.trim_end().lines().last().is_some_and(|line| line.starts_with("* BYE"))
    );
}

#[test]
fn a_command_that_needs_too_much_memory_is_stopped_and_the_session_goes_on() {
    let server = Server::with(Options::default().set("limits", "session_memory", "\"1M\""));
    if server.skip_on_peer("limits") {
        return;
    }
    let mut imap = server.imap("ann");
    imap.append_ok("INBOX", "", &tests::mail::small("m"));
    imap.ok("SELECT INBOX");
    // So many that a command over them takes several turns: between them the account is looked at.
    for _ in 0..17 {
        imap.ok("COPY 1:* INBOX");
        imap.ok("NOOP");
    }
    let text = imap.no("THREAD REFERENCES UTF-8 ALL").text;
    assert!(text.starts_with("NO [LIMIT] "), "{text}");
    // What was asked before and after is answered.
    assert_eq!(imap.ok("FETCH 1,131072 FLAGS").fetches().len(), 2);
    assert!(imap.no("THREAD REFERENCES UTF-8 ALL").text.starts_with("NO [LIMIT] "));
    imap.ok("THREAD REFERENCES UTF-8 1:100");
    let who = server.lode(&["who", "--json"]);
    let octets = who
        .split("\"memory_octets\":")
        .nth(1)
        .and_then(|rest| rest.trim().split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok());
    assert!(octets.is_some_and(|octets| octets > 0 && octets < 2 << 20), "{who}");
}

#[test]
fn a_handler_that_is_short_of_memory_ends_its_biggest_session_and_lives() {
    let options = Options::default().handlers(1, 1000).set("limits", "handler_memory", "\"24M\"").set(
        "limits",
        "connections_per_user",
        "0",
    );
    let server = Server::with(options);
    if server.skip_on_peer("limits") {
        return;
    }
    server.imap("ann").ok("NOOP");
    let handlers = server.handlers();
    // Each holds half a command, as large as one may be.
    let mut held: Vec<Imap> = Vec::new();
    let half = vec![b'x'; 60_000];
    for _ in 0..600 {
        let mut imap = server.imap("ann");
        imap.stream().send(b"x SELECT {65000+}\r\n").expect("sent");
        imap.stream().send(&half).expect("sent");
        held.push(imap);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_told = |imap: &mut Imap| {
        imap.stream().set_patience(Duration::from_millis(5));
        match imap.stream().line() {
            Ok(line) => line.starts_with(b"* BYE "),
            Err(Fault::Closed(_)) => true,
            Err(_) => false,
        }
    };
    while !held.iter_mut().any(is_told) {
        assert!(Instant::now() < deadline, "nobody was ended{}", server.tail());
    }
    assert_eq!(server.handlers(), handlers, "the handler lives{}", server.tail());
    drop(held);
    server.imap("bob").ok("NOOP");
}

/// What a silent session holds, by its own account, after each of the things that make one hold more. The second session of each
/// kind is looked at: the first fills the caches that all share.
#[test]
fn what_an_idle_session_holds() {
    let server = Server::start();
    if server.skip_on_peer("lode who") {
        return;
    }
    let mut imap = server.imap("ann");
    for number in 0..200 {
        imap.append_ok("INBOX", "", &tests::mail::small(&format!("m{number}")));
    }
    for number in 0..20 {
        imap.ok(&format!("CREATE box{number}"));
    }
    imap.ok("LOGOUT");
    let kinds: [(&str, &[&str], u64); 6] = [
        ("selected", &["SELECT INBOX"], 16 << 10),
        ("a list of flags", &["SELECT INBOX", "FETCH 1:* FLAGS"], 16 << 10),
        ("a context", &["SELECT INBOX", "SEARCH RETURN (UPDATE) SUBJECT m"], 32 << 10),
        ("a sorted context", &["SELECT INBOX", "SORT RETURN (UPDATE) (SUBJECT) UTF-8 ALL"], 32 << 10),
        ("METADATA", &["ENABLE METADATA", "SELECT INBOX"], 32 << 10),
        (
            "NOTIFY",
            &[
                "NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (MessageNew MessageExpunge))",
                "SELECT INBOX",
            ],
            64 << 10,
        ),
    ];
    for (kind, commands, most) in kinds {
        let mut sessions = Vec::new();
        for _ in 0..2 {
            let mut imap = server.imap("ann");
            commands.iter().for_each(|command| drop(imap.ok(command)));
            sessions.push(imap);
        }
        // After a second of silence buffers and caches are given back.
        let deadline = Instant::now() + PROCESS_PATIENCE;
        let octets = loop {
            std::thread::sleep(Duration::from_millis(500));
            let who = server.lode(&["who", "--json"]);
            let octets: Vec<u64> = who
                .split("\"memory_octets\":")
                .skip(1)
                .filter_map(|rest| rest.trim().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
                .collect();
            if octets.last().is_some_and(|octets| *octets <= most) {
                break octets;
            }
            assert!(Instant::now() < deadline, "{kind}: {octets:?}");
        };
        println!("{kind}: {octets:?} octets");
        drop(sessions);
        let deadline = Instant::now() + PROCESS_PATIENCE;
        while server.lode(&["who", "--json"]).contains("memory_octets") {
            assert!(Instant::now() < deadline, "sessions stay{}", server.tail());
        }
    }
}
