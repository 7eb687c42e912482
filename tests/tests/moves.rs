//! Sessions of all kinds move between living handlers, and their clients notice nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tests::imap::{Event, Imap, event};
use tests::mail;
use tests::pop3::Pop3;
use tests::server::{Options, PROCESS_PATIENCE, Server};

/// A server with two handlers, both with sessions: the first fills up with one, so the next goes to the other.
fn server() -> Server {
    let server = Server::with(Options::default().handlers(2, 40).users(&["ann", "bob", "eve"]));
    let mut fill: Vec<Imap> = Vec::new();
    while server.is_lode() && fill.len() < 41 {
        fill.push(Imap::connect(server.addresses().imap).expect("a session"));
    }
    assert!(!server.is_lode() || server.handlers().len() == 2, "a second handler is not started");
    server
}

/// Names of the sessions of a user, or all that speak a protocol, as `lode who` has them.
fn names(server: &Server, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let text = server.lode(&["who"]);
    let lines = text.lines().filter(|line| wanted(line));
    let is_name = |word: &&str| {
        let parts: Vec<_> = word.split('.').collect();
        parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok())
    };
    lines.filter_map(|line| line.split_whitespace().find(is_name)).map(str::to_string).collect()
}

/// Moves every session of `user` to the other handler, twice, so that it comes back; each time `between` is done.
fn moved(server: &Server, user: &str, mut between: impl FnMut(u32)) {
    for round in 1..=2 {
        let before = names(server, |line| line.contains(user));
        assert!(!before.is_empty(), "no session of {user}: {}", server.lode(&["who"]));
        for name in &before {
            let other = if name.starts_with("0.") { "1" } else { "0" };
            server.lode(&["migrate", name, "--to", other]);
        }
        let deadline = Instant::now() + PROCESS_PATIENCE;
        loop {
            let now = names(server, |line| line.contains(user));
            if now.len() == before.len() && now.is_disjoint(&before) {
                break;
            }
            assert!(Instant::now() < deadline, "{before:?} do not move: {now:?}{}", server.tail());
            std::thread::sleep(Duration::from_millis(10));
        }
        between(round);
    }
}

#[test]
fn a_selected_mailbox_moves_with_its_view_and_its_saved_search() {
    let server = server();
    if server.skip_on_peer("moving sessions") {
        return;
    }
    let (mut moving, mut other) = (server.imap("ann"), server.imap("ann"));
    for number in 1..=20 {
        other.append_ok(
            "INBOX",
            if number % 2 == 0 { "\\Flagged" } else { "" },
            &mail::small(&format!("m{number}")),
        );
    }
    moving.ok("ENABLE CONDSTORE METADATA");
    moving.ok("SELECT INBOX");
    // Ten ranges: more than the cell has room for.
    moving.ok("UID SEARCH RETURN (SAVE) FLAGGED");
    other.ok("SELECT INBOX");
    moved(&server, "ann", |round| {
        other.ok(&format!("UID STORE {round} +FLAGS (\\Deleted)"));
        other.ok(&format!("UID EXPUNGE {round}"));
        // The expunge may not be told in a FETCH by numbers: number 1 is still the message that is gone.
        let saved = moving.ok("FETCH $ (UID)");
        let uids: Vec<u32> = saved.fetches().iter().filter_map(|fetch| fetch.uid()).collect();
        let wanted: Vec<u32> = (2..=20).step_by(2).collect();
        // Of one that is gone nothing need be told.
        assert!(uids == wanted || (round == 2 && uids == wanted[1..]), "round {round}: {uids:?}");
        let expunged: Vec<_> = moving
            .ok("NOOP")
            .events()
            .into_iter()
            .filter_map(|event| if let Event::Expunge(number) = event { Some(number) } else { None })
            .collect();
        assert_eq!(expunged, [1], "round {round}");
        let status = moving.ok("STATUS INBOX (MESSAGES)");
        assert!(
            status
                .untagged
                .iter()
                .any(|line| line.ends_with(format!("(MESSAGES {})", 20 - round).as_bytes()))
        );
    });
}

#[test]
fn idle_and_notify_move_and_still_tell() {
    let server = server();
    if server.skip_on_peer("moving sessions") {
        return;
    }
    let mut idling = server.imap("ann");
    idling.ok("SELECT INBOX");
    let tag = idling.begin("IDLE").expect("sent");
    assert!(idling.response().expect("a continuation").starts_with(b"+"));
    let mut notified = server.imap("ann");
    notified.ok("CREATE lists");
    notified.ok("NOTIFY SET (PERSONAL (MessageNew MessageExpunge MailboxName))");
    let mut other = server.imap("bob");
    other.ok("NOOP");
    moved(&server, "ann", |round| {
        server.deliver("ann", &mail::small(&format!("m{round}")));
        loop {
            let line = idling.response().expect("news");
            if matches!(event(&line), Ok(Event::Exists(count)) if count == round) {
                break;
            }
            assert!(line.ends_with(b" RECENT"), "{line:?}");
        }
        let mut third = server.imap("eve");
        third.ok("NOOP");
        let line = String::from_utf8(notified.response().expect("news")).expect("text");
        assert!(line.starts_with(&format!("* STATUS INBOX (MESSAGES {round} ")), "{line}");
    });
    idling.stream().send(b"DONE\r\n").expect("sent");
    loop {
        let line = idling.response().expect("an answer");
        if line.starts_with(format!("{tag} OK ").as_bytes()) {
            break;
        }
        assert!(line.starts_with(b"* "), "{line:?}");
    }
    let reply = notified.ok("NOOP");
    assert!(reply.untagged.is_empty(), "{reply:?}");
}

#[test]
fn a_maildrop_moves_with_its_marks_and_stays_locked() {
    let server = server();
    if server.skip_on_peer("moving sessions") {
        return;
    }
    for number in 1..=5 {
        server.deliver("bob", &mail::small(&format!("m{number}")));
    }
    let mut moving = server.pop3("bob");
    moving.command("DELE 2").expect("marked");
    moved(&server, "bob", |round| {
        server.deliver("bob", &mail::small(&format!("late{round}")));
        let stat = moving.command("STAT").expect("an answer");
        assert!(stat.starts_with(&format!("{} ", 5 - round)), "round {round}: {stat}");
        assert!(Pop3::login(server.addresses().pop3, "bob", "secret").is_err(), "the maildrop is locked");
        moving.command("DELE 4").or_else(|_| moving.command("DELE 5")).expect("marked");
    });
    moving.command("QUIT").expect("deleted");
    let left = server.pop3("bob").command("STAT").expect("an answer");
    assert!(left.starts_with("4 "), "{left}");
}

#[test]
fn a_transaction_moves_between_its_commands() {
    let server = server();
    if server.skip_on_peer("moving sessions") {
        return;
    }
    let mut lmtp = server.lmtp();
    let mut say =
        |line: &str, code: u16| assert_eq!(lmtp.command(line).expect("an answer").code, code, "{line}");
    let shift = || {
        let before = names(&server, |line| line.contains("lmtp"));
        for name in &before {
            let other = if name.starts_with("0.") { "1" } else { "0" };
            server.lode(&["migrate", name, "--to", other]);
        }
        let deadline = Instant::now() + PROCESS_PATIENCE;
        while !names(&server, |line| line.contains("lmtp")).is_disjoint(&before) {
            assert!(Instant::now() < deadline, "it does not move{}", server.tail());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    shift();
    say("MAIL FROM:<sender@example.org>", 250);
    shift();
    say("RCPT TO:<ann>", 250);
    say("RCPT TO:<nobody-of-ours>", 550);
    shift();
    say("RCPT TO:<bob>", 250);
    shift();
    say("MAIL FROM:<again@example.org>", 503);
    lmtp.stream().send(b"DATA\r\n").expect("sent");
    lmtp.expect(354).expect("go ahead");
    lmtp.stream().send(&tests::lmtp::dot_stuffed(&mail::small("moved"))).expect("sent");
    for _ in 0..2 {
        lmtp.expect(250).expect("delivered");
    }
    for user in ["ann", "bob"] {
        let mut imap = server.imap(user);
        assert_eq!(imap.ok("SELECT INBOX").exists(), Some(1), "{user}");
    }
}

/// What cannot go on elsewhere says so by the protocol's own words.
#[test]
fn a_search_that_was_kept_up_to_date_ends_with_a_word() {
    let server = server();
    if server.skip_on_peer("moving sessions") {
        return;
    }
    let mut moving = server.imap("ann");
    moving.append_ok("INBOX", "", &mail::small("one"));
    moving.ok("SELECT INBOX");
    moving.ok("SEARCH RETURN (UPDATE) UNFLAGGED");
    let mut told = 0;
    moved(&server, "ann", |_| {
        let lines = moving.ok("NOOP").untagged;
        told += lines.iter().filter(|line| line.starts_with(b"* NO [NOUPDATE ")).count();
    });
    assert_eq!(told, 1);
    moving.ok("STORE 1 +FLAGS (\\Flagged)");
}

#[test]
fn compression_moves_in_both_directions() {
    let server = server();
    if server.skip_on_peer("moving sessions") {
        return;
    }
    let mut moving = server.imap("ann");
    for number in 1..=5 {
        moving.append_ok("INBOX", "", &mail::sized(&format!("m{number}"), 20_000));
    }
    moving.ok("COMPRESS DEFLATE");
    moving.stream().begin_compression();
    moving.ok("SELECT INBOX");
    moving.ok("UID SEARCH SUBJECT \"a text that is said more than once\"");
    moved(&server, "ann", |round| {
        // The client refers to what it said to another handler.
        moving.ok("UID SEARCH SUBJECT \"a text that is said more than once\"");
        let reply = moving.ok(&format!("UID FETCH {round} (BODY.PEEK[])"));
        let wanted = mail::sized(&format!("m{round}"), 20_000);
        assert!(reply.untagged[0].windows(wanted.len()).any(|part| part == wanted), "round {round}");
    });
}
