//! Limits of users' mail, as mail servers and clients meet them.

use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use tests::lmtp::dot_stuffed;
use tests::mail;
use tests::server::{Options, Server, Victim};

/// What each recipient of one message was answered: to RCPT if that was refused, else behind the data.
fn deliver(server: &Server, recipients: &[&str], message: &[u8]) -> Vec<String> {
    let mut lmtp = server.lmtp();
    let taken = |answer: Result<tests::lmtp::Answer, _>| answer.expect("a reply");
    taken(lmtp.command("MAIL FROM:<sender@example.org>"));
    let mut answers: Vec<_> =
        recipients.iter().map(|recipient| taken(lmtp.command(&format!("RCPT TO:<{recipient}>")))).collect();
    if answers.iter().any(|answer| answer.code == 250) {
        taken(lmtp.command("DATA"));
        lmtp.stream().send(&dot_stuffed(message)).expect("sent");
        answers
            .iter_mut()
            .filter(|answer| answer.code == 250)
            .for_each(|answer| *answer = taken(lmtp.answer()));
    }
    answers.iter().map(|answer| format!("{} {}", answer.code, answer.lines.join(" "))).collect()
}

#[test]
fn who_has_too_much_gets_no_more_and_all_others_do() {
    let server = Server::with(Options::default().users(&["ann", "bob"]));
    if server.skip_on_peer("lode quota") {
        return;
    }
    server.lode(&["quota", "set", "--user", "ann", "--messages", "2"]);
    for turn in 0..3 {
        let replies = deliver(&server, &["ann", "bob"], &mail::small(&format!("turn{turn}")));
        let expected = if turn < 2 { "250 2.0.0" } else { "452 4.2.2" };
        assert!(replies[0].starts_with(expected), "{turn}: {replies:?}");
        assert!(replies[1].starts_with("250 2.0.0"), "{turn}: {replies:?}");
    }
    let mut imap = server.imap("ann");
    imap.ok("CREATE Other");
    assert_eq!(imap.ok("SELECT INBOX").exists(), Some(2));
    let refused = imap.append("INBOX", "", &mail::small("appended")).expect("answered");
    assert!(refused.text.contains("[OVERQUOTA]"), "{refused:?}");
    assert!(imap.no("COPY 1 Other").text.contains("[OVERQUOTA]"));
    imap.ok("MOVE 1 Other");
    assert!(imap.no("COPY 1 Other").text.contains("[OVERQUOTA]"));
    let shown = server.lode(&["quota", "show", "--user", "ann", "--json"]);
    for what in ["\"messages\": 2", "\"messages_limit\": 2", "\"octets_limit\": null", "\"set\": true"] {
        assert!(shown.contains(what), "{shown}");
    }

    // Room is made by expunging, or by allowing more; the server obeys at once.
    imap.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.append_ok("INBOX", "", &mail::small("appended"));
    assert!(imap.append("INBOX", "", &mail::small("more")).expect("answered").text.contains("[OVERQUOTA]"));
    server.lode(&["quota", "unset", "--user", "ann"]);
    imap.append_ok("INBOX", "", &mail::small("more"));
    server.lode(&["quota", "set", "--user", "ann", "--octets", "2K"]);
    assert!(
        imap.append("INBOX", "", &mail::sized("big", 2000)).expect("answered").text.contains("[OVERQUOTA]")
    );
    let all = server.lode(&["quota", "show"]);
    assert!(all.contains("ann") && all.contains("bob") && all.contains("2048"), "{all}");
}

#[test]
fn the_default_of_the_settings_holds_for_all_and_is_read_again() {
    let server = Server::with(Options::default().users(&["ann", "bob"]).set("quota", "messages", "1"));
    if server.skip_on_peer("[quota]") {
        return;
    }
    server.lode(&["quota", "set", "--user", "bob", "--messages", "unlimited"]);
    for turn in 0..2 {
        let replies = deliver(&server, &["ann", "bob"], &mail::small(&format!("turn{turn}")));
        assert!(replies[0].starts_with(if turn == 0 { "250 " } else { "452 4.2.2" }), "{replies:?}");
        assert!(replies[1].starts_with("250 "), "{replies:?}");
    }
    let settings = server.folder().join("lode.toml");
    let text = std::fs::read_to_string(&settings).expect("readable").replace("messages = 1", "messages = 2");
    std::fs::write(&settings, text).expect("written");
    server.signal(Signal::SIGHUP);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !deliver(&server, &["ann"], &mail::small("later"))[0].starts_with("250 ") {
        assert!(Instant::now() < deadline, "the new default is not obeyed{}", server.tail());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(deliver(&server, &["ann"], &mail::small("last"))[0].starts_with("452 4.2.2"));
}

#[test]
fn usage_survives_a_crash_of_every_process() {
    let mut server = Server::with(Options::default().users(&["ann"]));
    if server.skip_on_peer("lode quota") {
        return;
    }
    server.lode(&["quota", "set", "--user", "ann", "--messages", "5"]);
    for turn in 0..4 {
        assert!(deliver(&server, &["ann"], &mail::small(&format!("turn{turn}")))[0].starts_with("250 "));
    }
    server.crash(Victim::All);
    assert!(deliver(&server, &["ann"], &mail::small("fifth"))[0].starts_with("250 "));
    assert!(deliver(&server, &["ann"], &mail::small("sixth"))[0].starts_with("452 "));
    assert!(server.lode(&["quota", "show", "--user", "ann", "--json"]).contains("\"messages\": 5"));
}

#[test]
fn several_handlers_at_once_do_not_all_take_the_last_places() {
    const MOST: usize = 40;
    // Two sessions a handler: six connections need three of them.
    let server = Server::with(Options::default().users(&["ann"]).handlers(4, 2));
    if server.skip_on_peer("lode quota") {
        return;
    }
    server.lode(&["quota", "set", "--user", "ann", "--messages", &MOST.to_string()]);
    let taken: usize = std::thread::scope(|scope| {
        let deliver_some = |thread: usize| {
            let mut lmtp = server.lmtp();
            let one =
                |turn| lmtp.deliver(&["ann"], &mail::small(&format!("{thread}-{turn}"))).expect("answered");
            (0..12).map(one).filter(|accepted| accepted == &[true]).count()
        };
        let threads: Vec<_> = (0..6).map(|thread| scope.spawn(move || deliver_some(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("ended")).sum()
    });
    assert_eq!(taken, MOST);
    assert!(server.handlers().len() > 1, "one handler alone shows nothing");
    let mut imap = server.imap("ann");
    assert_eq!(imap.ok("SELECT INBOX").exists(), Some(MOST as u32));
}
