//! What goes in comes out: real mail imported and read back octet for octet, and its structure held against Python's `email`.
//!
//! Normally the small mailing-list archives and all fixtures; with `LODE_FULL=1` every archive.

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::corpus;
use tests::mail;
use tests::server::{PASSWORD, Server};
use tests::tool;

/// Archives larger than this are for the full run.
const QUICK_OCTETS: u64 = 4 << 20;
/// The same where each message is appended and looked at by itself.
const QUICK_STRUCTURE_OCTETS: u64 = 256 << 10;

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().replace('.', "-")
}

/// A script of `python/` with the server's address and ann as arguments.
fn python(script: &str, server: &Server) -> Option<Command> {
    let mut command = tool::python(script)?;
    let port = server.addresses().imap.port().to_string();
    command.args(["127.0.0.1", &port, &server.user("ann"), PASSWORD]);
    Some(command)
}

#[track_caller]
fn report(command: &mut Command) {
    let said = tool::run(command, b"", Duration::from_secs(1800));
    println!("{}", said.text());
    assert!(said.success, "{}", said.err);
}

#[test]
fn archives_come_back_octet_for_octet() {
    let Some(folder) = corpus::folder() else { return };
    let unpacked = tempfile::tempdir().expect("a folder");
    let server = Server::start();
    let files = corpus::lists_to_run(&folder, unpacked.path(), QUICK_OCTETS);
    assert!(files.len() > 10, "the corpus is not whole");
    let Some(mut compare) = python("mailboxes.py", &server) else { return };
    if !server.is_lode() {
        compare.arg("--append");
    }
    for file in &files {
        if server.is_lode() {
            server.lode(&["import", "--user", "ann", "--mailbox", &name(file), &file.display().to_string()]);
        }
        compare.arg(format!("{}={}", name(file), file.display()));
    }
    report(&mut compare);
    if server.is_lode() {
        // Run again, it doubles nothing.
        let file = &files[0];
        let count = || server.imap("ann").ok(&format!("SELECT {}", name(file))).exists();
        let before = count();
        server.lode(&["import", "--user", "ann", "--mailbox", &name(file), &file.display().to_string()]);
        assert_eq!(before, count(), "a second import doubled messages");
    }
}

#[test]
fn structure_agrees_with_python() {
    let Some(folder) = corpus::folder() else { return };
    let server = Server::start();
    let unpacked = tempfile::tempdir().expect("a folder");
    let files = corpus::lists_to_run(&folder, unpacked.path(), QUICK_STRUCTURE_OCTETS);
    let Some(mut compare) = python("structure.py", &server) else { return };
    report(compare.arg(&folder).args(&files));
}

#[test]
fn folders_of_messages_are_imported_whole() {
    let Some(folder) = corpus::folder() else { return };
    let server = Server::start();
    if server.skip_on_peer("lode import") {
        return;
    }
    for (source, mailbox) in [("synthetic", "Synthetic"), ("messages/cyrus-cassandane/mime", "Cassandane")] {
        let source = folder.join(source);
        server.lode(&["import", "--user", "ann", "--mailbox", mailbox, &source.display().to_string()]);
        let mut imap = server.imap("ann");
        let count = imap.ok(&format!("SELECT {mailbox}")).exists();
        println!("{mailbox}: {count:?} messages");
        assert!(count > Some(0));
        // Everything about each of them can be asked for, one by one, within the usual patience.
        for seq in 1..=count.unwrap_or(0) {
            let items = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[1] BODY.PEEK[1.MIME])";
            let fetched = imap.ok(&format!("FETCH {seq} {items}")).fetches();
            let body = fetched[0].item("BODY[]").and_then(|value| value.octets()).map_or(0, <[u8]>::len);
            assert_eq!(fetched[0].item("RFC822.SIZE").and_then(|value| value.number()), Some(body as u64));
        }
        imap.ok("SEARCH TEXT \"no such words anywhere\"");
        imap.ok("SEARCH OR SUBJECT x FROM y");
    }
}

#[test]
fn what_is_exported_can_be_imported_again() {
    let server = Server::start();
    if server.skip_on_peer("lode export") {
        return;
    }
    let mut imap = server.imap("ann");
    for index in 0..12 {
        let flags = ["", "\\Seen", "\\Flagged \\Seen", "\\Answered $Label"][index % 4];
        let mut message = mail::sized(&format!("m{index}"), 400 * index);
        message.extend_from_slice(b"From here on, a trap for mbox\r\n>From there too\r\n");
        imap.append_ok("INBOX", flags, &message);
    }
    let facts = |mailbox: &str| {
        let mut imap = server.imap("ann");
        imap.ok(&format!("EXAMINE {mailbox}"));
        let fetched = imap.ok("FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])").fetches();
        let item = |fetch: &tests::imap::Fetch, name: &str| {
            fetch.item(name).map(|value| value.text()).unwrap_or_default()
        };
        let mut facts: Vec<(Vec<String>, String, String)> = fetched
            .iter()
            .map(|fetch| {
                let mut flags = fetch.flags().unwrap_or_default();
                flags.retain(|flag| flag != "\\Recent");
                // Maildir and mbox keep the moment, not the zone.
                (
                    flags,
                    item(fetch, "INTERNALDATE").split(' ').next().unwrap_or_default().to_string(),
                    item(fetch, "BODY[]"),
                )
            })
            .collect();
        facts.sort();
        facts
    };
    let folder = tempfile::tempdir().expect("a folder");
    for (format, keywords) in [("mbox", true), ("maildir", false), ("mh", false)] {
        let target = folder.path().join(format);
        server.lode(&[
            "export",
            "--user",
            "ann",
            "--mailbox",
            "INBOX",
            "--format",
            format,
            &target.display().to_string(),
        ]);
        let again = format!("Again-{format}");
        server.lode(&["import", "--user", "ann", "--mailbox", &again, &target.display().to_string()]);
        let (before, after) = (facts("INBOX"), facts(&again));
        assert_eq!(before.len(), after.len(), "{format}");
        let bodies = |facts: &[(Vec<String>, String, String)]| {
            let mut bodies: Vec<String> = facts.iter().map(|(_, _, body)| body.clone()).collect();
            bodies.sort();
            bodies
        };
        assert!(bodies(&before) == bodies(&after), "{format}: octets changed");
        for (flags, _, body) in &before {
            let kept = after.iter().find(|(_, _, other)| other == body).map(|(flags, _, _)| flags.clone());
            let mut kept = kept.unwrap_or_default();
            let mut wanted = flags.clone();
            // MH has sequences for three of them only; keywords are for mbox.
            let known = |flag: &String| match format {
                "mh" => flag == "\\Flagged" || flag == "\\Seen",
                _ => keywords || flag.starts_with('\\'),
            };
            wanted.retain(known);
            kept.retain(known);
            assert_eq!(wanted, kept, "{format}: flags changed");
        }
    }
}
