//! Other people's clients against a real running router. A missing one fails with the name of its package, unless
//! `LODE_SKIP_CLIENTS=1`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::mail;
use tests::server::{PASSWORD, Server};
use tests::tool;

/// Files below a folder with their contents; names relative to it.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(base: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(base, &path, found);
            } else if let Ok(octets) = fs::read(&path) {
                found.insert(path.strip_prefix(base).unwrap_or(&path).to_path_buf(), octets);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// Messages of a Maildir, without the header that mbsync adds, sorted; with the flags in their names.
fn maildir(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut messages = Vec::new();
    for (path, octets) in tree(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        if part == "cur" || part == "new" {
            let flags = name.split_once(":2,").map(|(_, flags)| flags.to_string()).unwrap_or_default();
            let text = String::from_utf8_lossy(&octets).into_owned();
            let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("X-TUID:")).collect();
            messages.push((flags, kept.join("\n").into_bytes()));
        }
    }
    messages.sort();
    messages
}

fn mbsync_settings(folder: &Path, server: &Server, clones: &str) -> PathBuf {
    let settings = folder.join(format!("mbsyncrc-{clones}"));
    let store = folder.join(clones);
    fs::create_dir_all(&store).expect("a folder");
    let text = format!(
        "IMAPAccount lode\nHost 127.0.0.1\nPort {port}\nUser {user}\nPass {PASSWORD}\nSSLType None\nAuthMechs LOGIN\n\n\
         IMAPStore far\nAccount lode\n\nMaildirStore near\nPath {store}/\nInbox {store}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nRemove Both\nExpunge Both\nSyncState *\n",
        port = server.addresses().imap.port(),
        user = server.user("ann"),
        store = store.display(),
    );
    fs::write(&settings, text).expect("settings written");
    settings
}

#[test]
fn mbsync_two_ways() {
    let Some(mbsync) = tool::program("mbsync", "isync") else { return };
    let server = Server::start();
    let mut imap = server.imap("ann");
    imap.ok("CREATE Work");
    imap.ok("CREATE Work/Deep");
    for index in 0..20 {
        let flags = ["", "\\Seen", "\\Flagged \\Seen", "\\Answered"][index % 4];
        imap.append_ok(
            ["INBOX", "Work", "Work/Deep"][index % 3],
            flags,
            &mail::sized(&format!("m{index}"), 300 * index),
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    let one = mbsync_settings(folder.path(), &server, "one");
    let sync = |settings: &Path| tool::succeed(Command::new(&mbsync).arg("-c").arg(settings).arg("-a"));
    sync(&one);
    assert_eq!(maildir(&folder.path().join("one")).len(), 20);
    // The second run changes nothing on either side.
    let before = tree(&folder.path().join("one"));
    let next = imap.ok("STATUS INBOX (UIDNEXT MESSAGES)").untagged;
    sync(&one);
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        tree(&folder.path().join("one")).keys().collect::<Vec<_>>()
    );
    assert_eq!(next, imap.ok("STATUS INBOX (UIDNEXT MESSAGES)").untagged);
    // Another clone is equal.
    let two = mbsync_settings(folder.path(), &server, "two");
    sync(&two);
    assert_eq!(maildir(&folder.path().join("one")), maildir(&folder.path().join("two")));
    // Changes on both sides meet: a new message in the first clone, flags and an expunge on the server.
    let fresh = folder.path().join("one/INBOX/new/1.fresh.test");
    fs::write(
        &fresh,
        mail::small("from-the-clone").iter().copied().filter(|octet| *octet != b'\r').collect::<Vec<u8>>(),
    )
    .expect("written");
    imap.ok("SELECT INBOX");
    imap.ok("STORE 1 +FLAGS (\\Flagged)");
    imap.ok("STORE 2 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    for settings in [&one, &two] {
        sync(settings);
    }
    let clone = maildir(&folder.path().join("one"));
    assert_eq!(clone.len(), 20);
    assert_eq!(clone, maildir(&folder.path().join("two")));
    assert!(clone.iter().any(|(_, body)| String::from_utf8_lossy(body).contains("X-Id: from-the-clone")));
    assert_eq!(imap.ok("SELECT INBOX").exists(), Some(7));
}

#[test]
fn neomutt_reads_flags_saves_and_quits() {
    let Some(neomutt) = tool::program("neomutt", "neomutt") else { return };
    let server = Server::start();
    let mut imap = server.imap("ann");
    imap.ok("CREATE Saved");
    for index in 0..3 {
        imap.append_ok("INBOX", "", &mail::small(&format!("m{index}")));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("neomuttrc");
    let url = format!("imap://127.0.0.1:{}", server.addresses().imap.port());
    // Keys are pushed as a user would type them: flag the first, save the second, delete the third, quit.
    let text = format!(
        "set imap_user = \"{user}\"\nset imap_pass = \"{PASSWORD}\"\nset ssl_starttls = no\nset ssl_force_tls = no\n\
         set folder = \"{url}/\"\nset spoolfile = \"{url}/INBOX\"\nset record = \"\"\nset trash = \"\"\nset confirmappend = no\nset confirmcreate = no\n\
         set delete = yes\nset quit = yes\nset wait_key = no\nset header_cache = \"\"\nset mail_check = 1\nset move = no\nset sort = mailbox-order\n\
         push '<first-entry><flag-message><first-entry><next-entry><save-message>=Saved<enter><last-entry><delete-message><sync-mailbox><quit>'\n",
        user = server.user("ann"),
    );
    fs::write(&settings, text).expect("settings written");
    // It wants a terminal; `script` of bsdutils lends one.
    let Some(script) = tool::program("script", "bsdutils") else { return };
    let command = format!("{} -n -F {} -f {url}/INBOX", neomutt.display(), settings.display());
    let mut command_line = Command::new(script);
    command_line
        .args(["-q", "-e", "-c", &command, "/dev/null"])
        .env("TERM", "vt100")
        .env("HOME", folder.path());
    let said = tool::run(&mut command_line, b"", Duration::from_secs(60));
    assert!(said.success, "{}\n{}", said.text(), said.err);
    let mut imap = server.imap("ann");
    let selected = imap.ok("SELECT INBOX");
    assert_eq!(selected.exists(), Some(1), "{}", said.text());
    let left = imap.ok("FETCH 1 (FLAGS BODY.PEEK[])").fetches();
    assert!(left[0].flags().is_some_and(|flags| flags.contains(&"\\Flagged".to_string())), "{left:?}");
    assert_eq!(imap.ok("SELECT Saved").exists(), Some(1));
    let saved = imap.ok("FETCH 1 BODY.PEEK[]").fetches();
    assert_eq!(saved[0].item("BODY[]").and_then(|value| value.octets()), Some(mail::small("m1").as_slice()));
}

#[test]
fn neomutt_comes_back_with_qresync() {
    let Some(neomutt) = tool::program("neomutt", "neomutt") else { return };
    let Some(script) = tool::program("script", "bsdutils") else { return };
    let server = Server::start();
    let mut imap = server.imap("ann");
    imap.ok("CREATE Saved");
    for index in 0..5 {
        imap.append_ok("INBOX", "", &mail::small(&format!("m{index}")));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("imap://127.0.0.1:{}", server.addresses().imap.port());
    fs::create_dir(folder.path().join("cache")).expect("a folder for the cache");
    // What it said and heard, from a run in which these keys are typed.
    let run = |name: &str, keys: &str| -> String {
        let (settings, log) = (folder.path().join(name), folder.path().join(format!("{name}.log")));
        let text = format!(
            "set imap_user = \"{user}\"\nset imap_pass = \"{PASSWORD}\"\nset ssl_starttls = no\nset ssl_force_tls = no\n\
             set imap_condstore = yes\nset imap_qresync = yes\nset header_cache = \"{cache}\"\n\
             set folder = \"{url}/\"\nset spoolfile = \"{url}/INBOX\"\nset record = \"\"\nset trash = \"\"\nset confirmappend = no\nset confirmcreate = no\n\
             set quit = yes\nset wait_key = no\nset move = no\nset sort = mailbox-order\npush '{keys}<quit>'\n",
            user = server.user("ann"),
            cache = folder.path().join("cache").display(),
        );
        fs::write(&settings, text).expect("settings written");
        let (program, settings, log_file) = (neomutt.display(), settings.display(), log.display());
        let command = format!("{program} -n -d 3 -l {log_file} -F {settings} -f {url}/INBOX");
        let mut command_line = Command::new(&script);
        let arguments = ["-q", "-e", "-c", &command, "/dev/null"];
        command_line.args(arguments).env("TERM", "vt100").env("HOME", folder.path());
        let said = tool::run(&mut command_line, b"", Duration::from_secs(60));
        assert!(said.success, "{}\n{}", said.text(), said.err);
        // It counts its logs.
        let log = fs::read(format!("{log_file}0")).or_else(|_| fs::read(&log)).expect("a log");
        String::from_utf8_lossy(&log).into_owned()
    };
    run("first", "");
    imap.ok("SELECT INBOX");
    imap.ok("STORE 4,5 +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.ok("STORE 2 +FLAGS.SILENT (\\Flagged)");
    imap.append_ok("INBOX", "", &mail::small("new"));
    let log = run("second", "<tag-pattern>~F<enter><tag-prefix><copy-message>=Saved<enter>");
    // This neomutt loses count when it hears VANISHED (EARLIER), from whatever server, and begins anew; what it has then is right.
    for line in ["(CHANGEDSINCE ", " VANISHED)", "cmd_parse_vanished", "/UIDSEQSET 1:3,6"] {
        assert!(log.contains(line), "not in neomutt's log: {line}\n{log}");
    }
    assert_eq!(imap.ok("SELECT Saved").exists(), Some(1));
    let saved = imap.ok("FETCH 1 BODY.PEEK[]").fetches();
    assert_eq!(saved[0].item("BODY[]").and_then(|value| value.octets()), Some(mail::small("m1").as_slice()));
}

#[test]
fn curl_reads_and_appends() {
    let Some(curl) = tool::program("curl", "curl") else { return };
    let server = Server::start();
    let message = mail::small("curl");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("message");
    fs::write(&file, &message).expect("written");
    let user = format!("{}:{PASSWORD}", server.user("ann"));
    let imap = format!("imap://{}", server.addresses().imap);
    let pop3 = format!("pop3://{}", server.addresses().pop3);
    let curl =
        |arguments: &[&str]| tool::succeed(Command::new(&curl).args(["-sS", "-u", &user]).args(arguments));
    curl(&["-T", &file.display().to_string(), &format!("{imap}/INBOX")]);
    let listed = String::from_utf8_lossy(&curl(&[&format!("{imap}/")])).into_owned();
    assert!(listed.contains("INBOX"), "{listed}");
    assert_eq!(curl(&[&format!("{imap}/INBOX;MAILINDEX=1")]), message);
    assert_eq!(curl(&[&format!("{imap}/INBOX;UID=1")]), message);
    let header = curl(&[&format!("{imap}/INBOX;UID=1;SECTION=HEADER.FIELDS%20(SUBJECT)")]);
    assert_eq!(header, b"Subject: Message curl\r\n\r\n");
    let found = String::from_utf8_lossy(&curl(&[&format!("{imap}/INBOX?SUBJECT%20curl")])).into_owned();
    assert!(found.contains("SEARCH 1"), "{found}");
    let examined = curl(&["-X", "EXAMINE INBOX", &imap]);
    assert!(String::from_utf8_lossy(&examined).contains("1 EXISTS"));
    let listed = String::from_utf8_lossy(&curl(&[&format!("{pop3}/")])).into_owned();
    assert_eq!(listed.trim_end(), format!("1 {}", message.len()));
    assert_eq!(curl(&[&format!("{pop3}/1")]), message);
}

#[test]
fn fetchmail_takes_mail_away() {
    let Some(fetchmail) = tool::program("fetchmail", "fetchmail") else { return };
    let server = Server::start();
    for (protocol, port) in
        [("IMAP", server.addresses().imap.port()), ("POP3", server.addresses().pop3.port())]
    {
        for index in 0..3 {
            server.deliver("ann", &mail::small(&format!("{protocol}{index}")));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let taken = folder.path().join("taken");
        let settings = folder.path().join("fetchmailrc");
        let text = format!(
            "poll 127.0.0.1 protocol {protocol} port {port} no dns\n user \"{user}\" password \"{PASSWORD}\" \
             mda \"cat >> {taken}\" sslproto \"\" fetchall\n",
            user = server.user("ann"),
            taken = taken.display(),
        );
        fs::write(&settings, text).expect("written");
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&settings, fs::Permissions::from_mode(0o600)).expect("permissions");
        let mut command = Command::new(&fetchmail);
        command
            .arg("-f")
            .arg(&settings)
            .args(["--nodetach", "--nosyslog", "--pidfile"])
            .arg(folder.path().join("pid"));
        command.env("FETCHMAILHOME", folder.path()).env("HOME", folder.path());
        let said = tool::run(&mut command, b"", Duration::from_secs(60));
        assert!(said.success, "{protocol}: {}\n{}", said.text(), said.err);
        let text = fs::read_to_string(&taken).expect("mail taken");
        for index in 0..3 {
            assert!(text.contains(&format!("X-Id: {protocol}{index}")), "{protocol}: {text}");
        }
        assert_eq!(server.imap("ann").ok("SELECT INBOX").exists(), Some(0), "{protocol}");
    }
}

/// Runs a script of Python's imaplib against a server of its own.
fn imaplib(script: &str) {
    let Some(mut python) = tool::python(script) else { return };
    let server = Server::start();
    let port = server.addresses().imap.port().to_string();
    tool::succeed(python.args(["127.0.0.1", &port, &server.user("ann"), PASSWORD]));
}

#[test]
fn python_imaplib() {
    imaplib("stdlib_imap.py");
}

#[test]
fn python_imaplib_compressed() {
    imaplib("stdlib_imap_deflate.py");
}

#[test]
fn mbsync_compresses() {
    let Some(mbsync) = tool::program("mbsync", "isync") else { return };
    let server = Server::start();
    let mut imap = server.imap("ann");
    for index in 0..50 {
        imap.append_ok("INBOX", "", &mail::small(&format!("m{index}")));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let settings = mbsync_settings(folder.path(), &server, "one");
    let mut command = Command::new(&mbsync);
    command.arg("-Dn").arg("-c").arg(&settings).arg("-a");
    let said = tool::run(&mut command, b"", Duration::from_secs(60));
    assert!(said.success, "{}\n{}", said.text(), said.err);
    if !said.text().contains("COMPRESS DEFLATE") {
        println!("this mbsync does not compress");
    }
    assert_eq!(maildir(&folder.path().join("one/INBOX")).len(), 50);
}

#[test]
fn python_poplib() {
    let Some(mut python) = tool::python("stdlib_pop3.py") else { return };
    let server = Server::start();
    let mut imap = server.imap("ann");
    imap.append_ok("INBOX", "", &mail::small("one"));
    imap.append_ok("INBOX", "", b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n");
    tool::succeed(python.args([
        "127.0.0.1",
        &server.addresses().pop3.port().to_string(),
        &server.user("ann"),
        PASSWORD,
    ]));
}

#[test]
fn python_smtplib_lmtp() {
    let Some(mut python) = tool::python("stdlib_lmtp.py") else { return };
    let server = Server::start();
    let port = server.addresses().lmtp.port().to_string();
    let users = [server.user("ann"), server.user("bob")];
    tool::succeed(python.args(["127.0.0.1", &port]).args(&users));
    let mut imap = server.imap("bob");
    assert_eq!(imap.ok("SELECT INBOX").exists(), Some(1));
    let fetched = imap.ok("FETCH 1 BODY.PEEK[TEXT]").fetches();
    let body = fetched[0].item("BODY[TEXT]").and_then(|value| value.octets()).expect("a body");
    assert_eq!(
        body,
        "Hällo.\r\n".as_bytes().iter().fold(b".dot\r\n".to_vec(), |mut all, octet| {
            all.push(*octet);
            all
        })
    );
    if server.is_lode() {
        let Some(mut python) = tool::python("stdlib_lmtp.py") else { return };
        let socket = server.folder().join("lmtp").display().to_string();
        tool::succeed(python.args([socket.as_str(), "0"]).args(&users));
        assert_eq!(imap.ok("SELECT INBOX").exists(), Some(2));
    }
}
