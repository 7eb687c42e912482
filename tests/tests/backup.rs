//! Backups, restores, exports and imports beside running servers: what comes back is compared over IMAP, octet by octet.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::imap::Imap;
use tests::mail;
use tests::server::{Options, Server, Victim};
use tests::tool::{self, Said};

/// Replies about lists, and about each mailbox: UIDVALIDITY, and of every message UID, flags, INTERNALDATE, all octets. In order.
fn seen(server: &Server, user: &str) -> Vec<String> {
    let mut imap = server.imap(user);
    let text = |line: &Vec<u8>| String::from_utf8_lossy(line).into_owned();
    let list = imap.ok("LIST \"\" * RETURN (SUBSCRIBED SPECIAL-USE)");
    let mut all: Vec<String> = list.untagged.iter().map(text).collect();
    all.extend(imap.ok("LSUB \"\" *").untagged.iter().map(text));
    let names = list.untagged.iter().map(text).filter(|line| !line.contains("\\Noselect"));
    let names: Vec<String> =
        names.filter_map(|line| Some(line.split_once(" \"/\" ")?.1.to_owned())).collect();
    for name in names {
        all.extend(in_mailbox(&mut imap, &name));
    }
    all
}

fn in_mailbox(imap: &mut Imap, name: &str) -> Vec<String> {
    let selected = imap.ok(&format!("EXAMINE {name}"));
    let mut all = vec![format!("{name} {:?}", selected.code_number("UIDVALIDITY", 0))];
    all.extend(messages(imap).into_iter().map(|(uid, rest)| format!("{name} {uid} {rest}")));
    all
}

/// UIDs, and all else there is to see of each message of the mailbox selected.
fn messages(imap: &mut Imap) -> Vec<(u32, String)> {
    let reply = imap.ok("UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])");
    let each = reply.fetches().into_iter().map(|fetch| {
        let mut flags = fetch.flags().expect("flags");
        flags.retain(|flag| flag != "\\Recent");
        let items: Vec<String> = ["INTERNALDATE", "RFC822.SIZE", "BODY[]"]
            .iter()
            .map(|name| fetch.item(name).expect("asked for").text())
            .collect();
        (fetch.uid().expect("a UID"), format!("{flags:?} {items:?}"))
    });
    each.collect()
}

/// A user with mailboxes of all kinds, some messages in them, gaps between UIDs.
fn fill(server: &Server) {
    let mut imap = server.imap("ann");
    imap.ok("CREATE Sent (USE (\\Sent))");
    imap.ok("CREATE Lists/rust/users");
    imap.ok("DELETE Lists/rust");
    imap.ok("SUBSCRIBE Lists/rust/users");
    imap.ok("SUBSCRIBE Nowhere");
    for number in 0..6 {
        let flags =
            ["", "\\Seen", "\\Answered $Work", "\\Flagged \\Draft", "\\Deleted later", "$Junk"][number];
        imap.append_ok("INBOX", flags, &mail::small(&format!("inbox {number}")));
    }
    imap.append_ok("INBOX", "\\Seen", &mail::sized("big", 300_000));
    imap.append_ok("Sent", "\\Seen", &mail::small("sent"));
    imap.append_ok("Lists/rust/users", "$List", &mail::small("list"));
    imap.ok("SELECT INBOX");
    imap.ok("STORE 2:3 +FLAGS.SILENT (\\Deleted)");
    imap.ok("UID EXPUNGE 3");
    imap.ok("COPY 1:4 Sent");
    imap.ok("STORE 1 +FLAGS.SILENT ($Forwarded)");
    server.deliver("ann", &mail::small("delivered"));
    server.deliver("bob", &mail::small("for bob"));
}

fn backup_of(server: &Server) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("backup").display().to_string();
    server.lode(&["backup", &path]);
    (folder, path)
}

fn said(command: &mut Command) -> Said {
    tool::run(command, b"", Duration::from_secs(60))
}

#[test]
fn a_whole_store_comes_back() {
    let mut server = Server::start();
    if server.skip_on_peer("lode backup") {
        return;
    }
    fill(&server);
    let before = seen(&server, "ann");
    let (_folder, backup) = backup_of(&server);
    let mut imap = server.imap("ann");
    let later = imap.append_ok("INBOX", "", &mail::small("after the backup"));
    drop(imap);
    let refused = said(&mut server.lode_command(&["restore", &backup]));
    assert!(!refused.success && refused.err.contains("empty folder"), "{}", refused.err);
    server.stop();
    std::fs::remove_dir_all(server.folder().join("store")).expect("there");
    let restored = server.lode(&["restore", &backup]);
    assert!(restored.starts_with("Restored 2 users with 14 messages, as of "), "{restored}");
    server.restart();
    assert_eq!(seen(&server, "ann"), before);
    let mut imap = server.imap("ann");
    // A UID that was given out after the backup does not come back with another message.
    assert!(imap.append_ok("INBOX", "", &mail::small("another")) > later);
    drop(imap);
    server.lode(&["check"]);
    // The restored store goes on with the same backup.
    server.lode(&["backup", &backup]);
    let checked = server.lode(&["backup", "--check", &backup]);
    assert!(checked.starts_with("Verified 12 messages in "), "{checked}");
}

#[test]
fn parts_come_back_while_the_server_runs() {
    let server = Server::start();
    if server.skip_on_peer("lode restore") {
        return;
    }
    fill(&server);
    let before = seen(&server, "ann");
    let (folder, backup) = backup_of(&server);
    let mut imap = server.imap("ann");
    // A mailbox that is gone comes back as it was.
    imap.ok("EXAMINE Sent");
    let sent = messages(&mut imap);
    imap.ok("CLOSE");
    imap.ok("DELETE Sent");
    let restored = server.lode(&["restore", &backup, "--user", "ann", "--mailbox", "Sent", "--json"]);
    assert!(restored.contains("\"same_uids\": 5"), "{restored}");
    assert_eq!(seen(&server, "ann"), before);
    let next = imap.append_ok("Sent", "", &mail::small("later"));
    assert!(next > sent.last().expect("some").0 + 1000, "{next}");
    imap.ok("SELECT Sent");
    imap.ok("UID STORE 1:* FLAGS (\\Deleted)");
    imap.ok(&format!("UID EXPUNGE {next}"));
    // A mailbox that is there gets nothing; what it lacks goes beside it, once.
    imap.ok("SELECT INBOX");
    imap.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)");
    imap.ok("UID EXPUNGE 1:2");
    for _ in 0..2 {
        server.lode(&["restore", &backup, "--user", "ann", "--mailbox", "INBOX"]);
    }
    let list = imap.ok("LIST \"\" \"INBOX (restored *\"");
    assert_eq!(list.untagged.len(), 1, "{list:?}");
    let name = String::from_utf8_lossy(&list.untagged[0]).split_once(" \"/\" ").expect("a name").1.to_owned();
    imap.ok(&format!("SELECT {name}"));
    let back = messages(&mut imap);
    assert_eq!(back.len(), 2);
    assert!(back[0].1.contains("$Forwarded") && back[0].1.contains("inbox 0"), "{back:?}");
    server.lode(&["restore", &backup, "--user", "ann", "--mailbox", "INBOX", "--into", "Found"]);
    imap.ok("SELECT Found");
    assert_eq!(messages(&mut imap), back);
    // The day of today has all, another nothing.
    let none = server.lode(&["restore", &backup, "--user", "ann", "--day", "2001-02-03", "--json"]);
    assert!(!none.contains("\"new_uids\": 1") && !none.contains("\"same_uids\": 1"), "{none}");
    // A whole user.
    drop(imap);
    let bob = seen(&server, "bob");
    server.lode(&["user", "del", "bob", "--purge", "--yes"]);
    let back = said(&mut server.lode_command(&["restore", &backup, "--user", "bob"]));
    assert!(back.success && back.err.contains("lode user add bob"), "{}", back.err);
    let add = &mut server.lode_command(&["user", "add", "bob", "--password-stdin"]);
    assert!(tool::run(add, b"secret\n", Duration::from_secs(60)).success);
    server.signal(nix::sys::signal::Signal::SIGHUP);
    assert_eq!(seen(&server, "bob"), bob);
    let missing = said(&mut server.lode_command(&["restore", &backup, "--user", "nobody"]));
    assert!(!missing.success && missing.err.contains("no user nobody"), "{}", missing.err);
    server.lode(&["check"]);
    // Nothing of all that has touched the backup, and nothing is left.
    server.lode(&["backup", "--check", &backup]);
    let names = std::fs::read_dir(folder.path().join("backup")).expect("there");
    let names: Vec<_> = names.map(|entry| entry.expect("readable").file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn backups_under_load_have_what_was_acknowledged_before() {
    let mut server = Server::with(Options::default().handlers(4, 2));
    if server.skip_on_peer("lode backup") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup").display().to_string();
    let stop = AtomicBool::new(false);
    let acknowledged = std::sync::Mutex::new(0);
    let expected = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut imap = server.imap("ann");
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    imap.append_ok("INBOX", "\\Seen", &mail::sized(&format!("{number}"), 5000));
                    number += 1;
                    *acknowledged.lock().expect("no panic") += 1;
                }
            });
        }
        let mut expected = 0;
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(100));
            expected = *acknowledged.lock().expect("no panic");
            server.lode(&["backup", &backup, "--verify"]);
        }
        stop.store(true, Ordering::Relaxed);
        expected
    });
    server.crash(Victim::All);
    server.stop();
    std::fs::remove_dir_all(server.folder().join("store")).expect("there");
    server.lode(&["restore", &backup]);
    server.restart();
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let back = messages(&mut imap);
    assert!(back.len() >= expected, "{} of {expected}", back.len());
    let uids: Vec<u32> = back.iter().map(|(uid, _)| *uid).collect();
    assert_eq!(uids, (1..=back.len() as u32).collect::<Vec<_>>());
}

#[test]
fn a_user_moves_to_another_server_with_all_numbers() {
    let (from, to) = (Server::start(), Server::start());
    if from.skip_on_peer("lode export --format lode") {
        return;
    }
    fill(&from);
    from.lode(&["quota", "set", "--user", "ann", "--octets", "1000000000"]);
    let before = seen(&from, "ann");
    // The first login makes an INBOX; that is no reason to give up UIDs.
    to.imap("ann").ok("SELECT INBOX");
    let file = from.folder().join("ann.lode").display().to_string();
    from.lode(&["export", "--user", "ann", "--format", "lode", "-o", &file]);
    let imported = to.lode(&["import", "--format", "lode", &file, "--json"]);
    assert!(!imported.contains("\"new_uids\": 1"), "{imported}");
    assert_eq!(seen(&to, "ann"), before);
    let mut imap = to.imap("ann");
    let next = |server: &Server| server.imap("ann").ok("EXAMINE INBOX").code_number("UIDNEXT", 0);
    assert_eq!(next(&to), next(&from));
    let quota = to.lode(&["quota", "show", "--user", "ann", "--json"]);
    assert!(quota.contains("1000000000"), "{quota}");
    // Once more: nothing is doubled. What is new there gets new UIDs.
    let again = to.lode(&["import", &file, "--json"]);
    assert!(!again.contains("_uids\": 1"), "{again}");
    assert_eq!(seen(&to, "ann"), before);
    imap.ok("SELECT INBOX");
    imap.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    let again = said(&mut to.lode_command(&["import", &file]));
    assert!(again.success && again.err.contains("under new UIDs"), "{}", again.err);
    // By a pipe, one mailbox, to another user, below another name.
    let output =
        from.lode_command(&["export", "--user", "ann", "--mailbox", "inbox", "--format", "lode", "-o", "-"]);
    let exported = tool::succeed(&mut { output });
    let mut import =
        to.lode_command(&["import", "--format", "lode", "--user", "bob", "--mailbox", "Old", "-"]);
    let imported = tool::run(&mut import, &exported, Duration::from_secs(60));
    assert!(imported.success, "{}", imported.err);
    to.lode(&["check"]);
    let of = |server: &Server, user: &str, name: &str| {
        let mut imap = server.imap(user);
        imap.ok(&format!("EXAMINE {name}"));
        messages(&mut imap)
    };
    assert_eq!(of(&to, "bob", "Old/INBOX"), of(&from, "ann", "INBOX"));
}

#[test]
fn damaged_and_cut_exports_are_told_and_cost_what_is_damaged() {
    let (from, to) = (Server::start(), Server::start());
    if from.skip_on_peer("lode import --format lode") {
        return;
    }
    let mut imap = from.imap("ann");
    for number in 0..20 {
        imap.append_ok("INBOX", "", &mail::sized(&format!("{number}"), 10_000));
    }
    let file: PathBuf = from.folder().join("ann.lode");
    let path = file.display().to_string();
    from.lode(&["export", "--user", "ann", "--format", "lode", &path]);
    let whole = std::fs::read(&file).expect("there");
    let cut = from.folder().join("cut.lode");
    std::fs::write(&cut, &whole[..whole.len() / 2]).expect("written");
    let said_cut = said(&mut to.lode_command(&["import", &cut.display().to_string(), "--json"]));
    assert!(!said_cut.success && said_cut.err.contains("damaged at offset"), "{}", said_cut.err);
    let of = |user: &str| {
        let mut imap = to.imap(user);
        imap.ok("EXAMINE INBOX");
        messages(&mut imap)
    };
    let half = of("ann");
    assert!((5..=10).contains(&half.len()), "{}", half.len());
    let mut damaged = whole.clone();
    damaged[whole.len() / 3] ^= 1;
    std::fs::write(&cut, &damaged).expect("written");
    let path = cut.display().to_string();
    let stopped = said(&mut to.lode_command(&["import", "--user", "bob", &path]));
    assert!(!stopped.success && stopped.err.contains("--keep-going"), "{}", stopped.err);
    let on = said(&mut to.lode_command(&["import", "--user", "bob", "--keep-going", &path]));
    assert!(!on.success && on.err.contains("damaged at offset"), "{}", on.err);
    assert_eq!(of("bob").len(), 19);
    std::fs::write(&cut, b"From x\n").expect("written");
    let none = said(&mut to.lode_command(&["import", "--format", "lode", &path]));
    assert!(!none.success && none.err.contains("no export"), "{}", none.err);
}
