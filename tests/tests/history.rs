//! Mail that comes back beside a running server, as IMAP sees it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::imap::Imap;
use tests::mail;
use tests::server::{Options, Server};

fn server() -> Server {
    Server::with(Options::default().set("store", "history_days", "7"))
}

/// UID, flags in order, and subject of all that is in the mailbox selected.
fn contents(imap: &mut Imap) -> Vec<(u32, Vec<String>, String)> {
    let reply = imap.ok("UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (X-ID)])");
    let of = |fetch: tests::imap::Fetch| {
        let mut flags = fetch.flags().expect("flags");
        flags.retain(|flag| flag != "\\Recent");
        flags.sort();
        let header = fetch.item("BODY[HEADER.FIELDS (X-ID)]").expect("a header");
        let id = header.octets().and_then(mail::id).expect("an id");
        (fetch.uid().expect("a UID"), flags, id)
    };
    reply.fetches().into_iter().map(of).collect()
}

fn row(uid: u32, flags: &[&str], id: &str) -> (u32, Vec<String>, String) {
    (uid, flags.iter().map(|flag| (*flag).to_owned()).collect(), id.to_owned())
}

/// Waits until the second is over, and says which second that was, as `lode` takes it.
fn end_of_second() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    std::thread::sleep(Duration::from_nanos(u64::from(1_000_000_000 - now.subsec_nanos()) + 1_000_000));
    let date = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{}", now.as_secs()), "+%Y-%m-%dT%H:%M:%S"])
        .output()
        .expect("date runs");
    String::from_utf8(date.stdout).expect("text").trim().to_owned()
}

#[test]
fn expunged_messages_and_deleted_mailboxes_come_back() {
    let server = server();
    if server.skip_on_peer("lode undelete") {
        return;
    }
    let mut imap = server.imap("ann");
    imap.append_ok("INBOX", "\\Seen $Work", &mail::small("one"));
    imap.append_ok("INBOX", "", &mail::small("two"));
    imap.append_ok("INBOX", "\\Flagged", &mail::sized("three", 200_000));
    imap.ok("SELECT INBOX");
    imap.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    let said = server.lode(&["undelete", "--user", "ann", "--mailbox", "INBOX", "--since", "1h ago"]);
    assert_eq!(said, "Brought 2 messages back into INBOX.\n");
    // The session that has it selected is told.
    assert_eq!(imap.ok("NOOP").exists(), Some(3));
    let expected = [row(2, &[], "two"), row(4, &["$Work", "\\Seen"], "one"), row(5, &["\\Flagged"], "three")];
    assert_eq!(contents(&mut imap), expected);
    let again = server.lode(&["undelete", "--user", "ann", "--mailbox", "INBOX", "--all", "--json"]);
    assert!(again.contains("\"back\": []"), "{again}");

    imap.ok("CREATE Work");
    imap.ok("COPY 2 Work");
    imap.ok("DELETE Work");
    let list = server.lode(&["undelete", "--user", "ann", "--deleted"]);
    assert!(list.contains("Work"), "{list}");
    server.lode(&["undelete", "--user", "ann", "--deleted", "--mailbox", "Work"]);
    imap.ok("SELECT Work");
    assert_eq!(contents(&mut imap), [row(1, &["$Work", "\\Seen"], "one")]);
}

#[test]
fn a_mailbox_is_shown_and_restored_as_it_was() {
    let mut server = server();
    if server.skip_on_peer("lode restore --at") {
        return;
    }
    let mut imap = server.imap("ann");
    imap.append_ok("INBOX", "\\Seen", &mail::small("one"));
    imap.append_ok("INBOX", "$Work", &mail::small("two"));
    imap.append_ok("INBOX", "", &mail::small("three"));
    let then = end_of_second();
    imap.ok("CREATE Archive");
    imap.ok("SELECT INBOX");
    imap.ok("STORE 1 FLAGS (\\Answered)");
    imap.ok("MOVE 2 Archive");
    imap.ok("STORE 2 +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.append_ok("INBOX", "", &mail::small("later"));
    drop(imap);
    server.restart();
    let shown = server.lode(&["mailbox", "at", &then, "--user", "ann", "--mailbox", "INBOX"]);
    assert_eq!(shown.lines().count(), 4, "{shown}");
    for what in ["Message one", "Message two", "Message three", "\\Seen", "$Work"] {
        assert!(shown.contains(what), "{shown}");
    }
    assert!(!shown.contains("later") && !shown.contains("\\Answered"), "{shown}");
    let said = server.lode(&["restore", "--at", &then, "--user", "ann", "--mailbox", "INBOX"]);
    assert!(said.contains("3 messages back into INBOX as of "), "{said}");
    let name = said.trim().rsplit_once(" into ").expect("a name").1.trim_end_matches('.');
    let mut imap = server.imap("ann");
    imap.ok(&format!("SELECT \"{name}\""));
    let expected = [row(1, &["\\Seen"], "one"), row(2, &["$Work"], "two"), row(3, &[], "three")];
    assert_eq!(contents(&mut imap), expected);
    let now = server.lode(&["mailbox", "at", "0s ago", "--user", "ann", "--mailbox", "INBOX", "--json"]);
    assert!(
        now.contains("Message one") && now.contains("Message later") && !now.contains("Message two"),
        "{now}"
    );
}
