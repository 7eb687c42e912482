//! Space: a disk that is full, as mail servers and clients meet it, and what `lode gc` gives back.

use std::process::Command;

use tests::lmtp::dot_stuffed;
use tests::mail;
use tests::server::{Options, Server};

/// The reply to the data of one message to one user.
fn deliver(server: &Server, user: &str, message: &[u8]) -> String {
    let mut lmtp = server.lmtp();
    for line in ["MAIL FROM:<sender@example.org>", &format!("RCPT TO:<{user}>"), "DATA"] {
        lmtp.command(line).expect("a reply");
    }
    lmtp.stream().send(&dot_stuffed(message)).expect("sent");
    let answer = lmtp.answer().expect("a reply");
    format!("{} {}", answer.code, answer.lines.join(" "))
}

#[test]
fn gc_gives_back_what_was_expunged_and_nothing_else() {
    // Kept for a while, so that the server does not do it by itself.
    let mut server = Server::with(Options::default().set("store", "history_days", "7"));
    if server.skip_on_peer("lode gc") {
        return;
    }
    let mut imap = server.imap("ann");
    imap.append_ok("INBOX", "", &mail::sized("goes", 300_000));
    imap.append_ok("INBOX", "", &mail::sized("stays", 20_000));
    imap.ok("SELECT INBOX");
    imap.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    let kept = server.lode(&["gc", "--json"]);
    assert!(kept.contains("\"released_cells\": 0"), "{kept}");
    drop(imap);
    server.stop();
    let settings = server.folder().join("lode.toml");
    let text = std::fs::read_to_string(&settings).expect("readable");
    std::fs::write(&settings, text.replace("history_days = 7", "history_days = 0")).expect("written");
    let would = server.lode(&["gc", "--dry-run"]);
    assert!(would.starts_with("This would be done:\n") && would.contains("1 freed"), "{would}");
    let done = server.lode(&["gc", "--json"]);
    for what in ["\"released_cells\": 1", "\"freed_messages\": 1"] {
        assert!(done.contains(what), "{done}");
    }
    server.restart();
    let mut imap = server.imap("ann");
    assert_eq!(imap.ok("SELECT INBOX").exists(), Some(1));
    let reply = imap.ok("UID FETCH 2 BODY.PEEK[]");
    let fetch = reply.fetches().into_iter().next().expect("there");
    let body = fetch.item("BODY[]").expect("a body");
    assert_eq!(body.octets(), Some(&mail::sized("stays", 20_000)[..]));
}

#[test]
fn a_full_disk_is_told_in_the_words_of_each_protocol() {
    let mut server = Server::start();
    if server.skip_on_peer("a disk of its own") {
        return;
    }
    server.imap("ann").ok("NOOP");
    server.stop();
    let store = server.folder().join("store");
    let mounted = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).is_ok() && {
        // This thread alone, and what it starts, sees what is mounted.
        let mount = |arguments: &[&str]| {
            Command::new("mount").args(arguments).status().is_ok_and(|status| status.success())
        };
        mount(&["--make-rprivate", "/"])
            && mount(&["-t", "tmpfs", "-o", "size=24m", "none", &store.display().to_string()])
    };
    if !mounted {
        println!("skipped: no file system can be mounted here");
        return;
    }
    server.restart();
    let mut imap = server.imap("ann");
    imap.append_ok("INBOX", "", &mail::small("first"));
    imap.ok("SELECT INBOX");
    imap.ok("STORE 1 +FLAGS (\\Flagged)");
    let mut taken = 0;
    for octets in [400_000, 60_000, 5000, 1000] {
        loop {
            let reply = deliver(&server, "ann", &mail::sized(&format!("m{taken}"), octets));
            if reply.starts_with("250 ") {
                taken += 1;
                continue;
            }
            assert!(reply.starts_with("452 4.3.1 "), "{reply}");
            break;
        }
    }
    assert!(taken > 10, "{taken}");
    let refused = imap.append("INBOX", "", &mail::sized("more", 500_000)).expect("answered");
    assert!(refused.text.contains("[OVERQUOTA]"), "{refused:?}");
    assert_eq!(imap.ok("NOOP").exists(), Some(taken + 1));
    let reply = imap.ok("FETCH 2 BODY.PEEK[]");
    let fetch = reply.fetches().into_iter().next().expect("there");
    assert!(fetch.item("BODY[]").and_then(|body| body.octets()).expect("a body").len() > 400_000);
    // Expunging needs next to no room, and the next start finds what was freed.
    imap.ok("STORE 2:10 +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    drop(imap);
    server.stop();
    let done = server.lode(&["gc", "--json"]);
    assert!(done.contains("\"freed_messages\": 9"), "{done}");
    server.restart();
    assert!(deliver(&server, "ann", &mail::sized("room", 400_000)).starts_with("250 "));
    let mut imap = server.imap("ann");
    assert_eq!(imap.ok("SELECT INBOX").exists(), Some(taken + 1 - 9 + 1));
    assert_eq!(imap.ok("FETCH 1 FLAGS").fetches().len(), 1);
}
