//! When the machine has too little of something: a clear word, nobody left hanging, nothing lost, and all is well again when there is
//! enough.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::imap::{Imap, Status};
use tests::mail;
use tests::server::{Options, PASSWORD, Server, binary};
use tests::stream::{Fault, Stream};

/// Connects, and has to be told something.
#[track_caller]
fn greeted(server: &Server) -> Option<Imap> {
    let stream = Stream::connect(server.addresses().imap).expect("a connection");
    match Imap::over(stream) {
        Ok(imap) if imap.greeting.starts_with(b"* BYE [UNAVAILABLE] ") => None,
        Ok(imap) => {
            assert!(imap.greeting.starts_with(b"* OK "), "{}", String::from_utf8_lossy(&imap.greeting));
            Some(imap)
        }
        Err(Fault::Closed(rest)) => panic!("closed without a word, {rest:?}{}", server.tail()),
        Err(fault) => panic!("left hanging: {fault}{}", server.tail()),
    }
}

/// Connects and logs in, unless there is no room.
#[track_caller]
fn logged_in(server: &Server) -> Option<Imap> {
    let mut imap = greeted(server)?;
    let reply = imap.command(&format!("LOGIN ann {PASSWORD}"));
    let reply = reply.unwrap_or_else(|fault| panic!("LOGIN: {fault}{}", server.tail()));
    assert_eq!(reply.status, Status::Ok, "{}{}", reply.text, server.tail());
    Some(imap)
}

#[test]
fn with_few_descriptors_everybody_is_served_or_told() {
    if !std::path::Path::new("/usr/bin/prlimit").exists() {
        println!("skipped: there is no prlimit here");
        return;
    }
    const DESCRIPTORS: u64 = 200;
    let options = Options::default().handlers(2, 1000).descriptors(DESCRIPTORS);
    let server = Server::with(options.set("limits", "connections_per_user", "0").set("limits", "queue", "0"));
    if server.skip_on_peer("RLIMIT_NOFILE") {
        return;
    }
    let mut first = server.imap("ann");
    first.append_ok("INBOX", "", &mail::small("m"));
    let handlers_before = server.handlers();
    // More than there can be. Each has a mailbox of its own open, so that the store's files are in the way, too.
    let told: Vec<Option<Imap>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (0..40).map(|_| logged_in(&server)).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut served: Vec<Imap> = told.into_iter().flatten().collect();
    println!("{} of 320 were served with {DESCRIPTORS} descriptors a process", served.len());
    assert!(served.len() >= 100, "{} served{}", served.len(), server.tail());
    assert!(served.len() < 320);
    // A mailbox stays open for a moment after it was used. So who comes in that moment may be told no, and not for long.
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut refused = 0;
    for (number, imap) in served.iter_mut().enumerate() {
        for command in [format!("CREATE box{number}"), format!("SELECT box{number}"), "NOOP".to_string()] {
            loop {
                let reply = imap
                    .command(&command)
                    .unwrap_or_else(|fault| panic!("{command}: {fault}{}", server.tail()));
                assert_ne!(reply.status, Status::Bad, "{command}: {}", reply.text);
                if reply.status == Status::Ok {
                    break;
                }
                // What was refused has changed nothing.
                assert!(
                    !reply.text.contains("[ALREADYEXISTS]"),
                    "{command}: {}{}",
                    reply.text,
                    server.tail()
                );
                refused += 1;
                assert!(Instant::now() < deadline, "{command}: {}{}", reply.text, server.tail());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    println!("{refused} commands were refused for want of descriptors, and done a moment later");
    assert_eq!(first.ok("SELECT INBOX").exists(), Some(1));
    assert!(server.handlers().starts_with(&handlers_before), "a handler died{}", server.tail());
    drop(served);
    assert!(server.log().contains("descriptors-few"), "{}", server.tail());
    // There is room again.
    let deadline = Instant::now() + Duration::from_secs(20);
    while greeted(&server).is_none() {
        assert!(Instant::now() < deadline, "no room comes back{}", server.tail());
    }
    server.deliver("bob", &mail::small("m"));
}

#[test]
fn a_full_shared_memory_is_said_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display();
    let settings = format!(
        "[store]\npath = \"{path}/store\"\n[runtime]\ndir = \"{path}/run\"\n[listen]\nimap = [\"127.0.0.1:0\"]\n\
         pop3 = []\nlmtp = []\n[auth]\nusers = \"{path}/users\"\n[handlers]\nmax = 16\nsessions = 1000\n"
    );
    std::fs::write(folder.path().join("lode.toml"), settings).expect("settings written");
    std::fs::write(folder.path().join("users"), "").expect("users written");
    // A /dev/shm of its own, with room for less than the table.
    let script = "mount -t tmpfs -o size=4m tmpfs /dev/shm || exit 77; \"$0\" --config \"$1\"; code=$?; \
                  echo left: $(ls /dev/shm); exit $code";
    let output = Command::new("/usr/bin/unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .arg(binary("router"))
        .arg(folder.path().join("lode.toml"))
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else { return println!("skipped: there is no unshare here") };
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(77) || text.contains("unshare failed") {
        return println!("skipped: nothing can be mounted here: {text}");
    }
    assert_eq!(output.status.code(), Some(1), "{text}");
    for words in ["/dev/shm has no room for the shared table", "[handlers]"] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    assert!(text.contains("left:\n"), "nothing is left behind: {text}");
}

#[test]
fn with_little_memory_nobody_is_left_hanging() {
    if !std::path::Path::new("/usr/bin/prlimit").exists() {
        println!("skipped: there is no prlimit here");
        return;
    }
    let (mut starts, mut serves) = (0, 0);
    for megabytes in [16, 32, 48, 64, 80, 100, 140, 200] {
        let options = Options::default().handlers(1, 100).address_space(megabytes << 20);
        let mut server = match Server::try_with(options) {
            Ok(server) => server,
            Err(why) => {
                assert!(why.contains("--- log of the server ---"), "{megabytes} MB: without a word: {why}");
                continue;
            }
        };
        if server.skip_on_peer("RLIMIT_AS") {
            return;
        }
        starts += 1;
        if let Some(mut imap) = greeted(&server) {
            let commands = [
                format!("LOGIN ann {PASSWORD}"),
                "SELECT INBOX".to_string(),
                "SEARCH TEXT nothing".to_string(),
                "LOGOUT".to_string(),
            ];
            let answered = commands.iter().all(|command| match imap.command(command) {
                Ok(_) | Err(Fault::Closed(_)) => true,
                Err(Fault::Wrong(what)) => what.contains("BYE"),
                Err(fault) => panic!("{megabytes} MB, {command}: {fault}{}", server.tail()),
            });
            serves += u32::from(answered);
        }
        println!("{megabytes} MB: starts");
        server.terminate();
    }
    assert!(starts > 0 && serves > 0, "{starts} start, {serves} serve");
}

#[test]
fn a_table_of_another_version_is_named_and_not_touched() {
    let server = Server::start();
    if server.skip_on_peer("the shared table") {
        return;
    }
    // Once somebody answers, the table is there.
    server.imap("ann").ok("NOOP");
    let name = std::fs::read_to_string(server.folder().join("run/table")).expect("the table's name");
    let mut table = std::fs::read(format!("/dev/shm{}", name.trim())).expect("the table");
    table[8..12].copy_from_slice(&77_u32.to_ne_bytes());
    let copy = server.folder().join("copy");
    std::fs::write(&copy, &table).expect("written");
    let output = server
        .lode_command(&["who", "--post-mortem", &copy.display().to_string()])
        .output()
        .expect("lode starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(text.contains("version 77") && text.contains("version 1"), "{text}");
    assert_eq!(std::fs::read(&copy).expect("the copy"), table);
    server.imap("ann").ok("NOOP");
}
