//! The `lode` command beside running daemons.

use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tests::imap::Imap;
use tests::mail;
use tests::process;
use tests::server::{Options, Server, binary};
use tests::tool;

#[test]
fn users_are_added_changed_and_deleted_while_the_server_runs() {
    let server = Server::start();
    if server.skip_on_peer("lode user") {
        return;
    }
    let with_password = |arguments: &[&str], password: &str| {
        let said =
            tool::run(&mut server.lode_command(arguments), password.as_bytes(), Duration::from_secs(30));
        assert!(said.success, "{arguments:?}: {}", said.err);
    };
    let may = |password: &str| Imap::login(server.addresses().imap, "carol", password).is_ok();
    with_password(&["user", "add", "carol", "--password-stdin"], "first one\n");
    assert!(server.lode(&["user", "list"]).contains("carol"));
    let users = std::fs::read_to_string(server.folder().join("users")).expect("a users file");
    assert!(users.contains("$argon2id$") && !users.contains("first one"), "{users}");
    server.signal(Signal::SIGHUP);
    let until = |wanted: bool, password: &str| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while may(password) != wanted {
            assert!(Instant::now() < deadline, "login with {password:?} is not {wanted}{}", server.tail());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    until(true, "\"first one\"");
    assert!(!may("wrong"));
    let begin = Instant::now();
    assert!(may("\"first one\""));
    println!("a login with a verified password took {:?}", begin.elapsed());
    with_password(&["user", "passwd", "carol", "--password-stdin"], "second\n");
    server.signal(Signal::SIGHUP);
    until(true, "second");
    assert!(!may("\"first one\""), "the old password still opens the door");
    server.lode(&["user", "del", "carol", "--yes"]);
    server.signal(Signal::SIGHUP);
    until(false, "second");
}

#[test]
fn who_works_while_every_daemon_is_stopped() {
    let server = Server::start();
    if server.skip_on_peer("lode who") {
        return;
    }
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let _pop3 = server.pop3("bob");
    let pids = server.processes();
    let send = |signal: &str| {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let done = std::process::Command::new("kill").arg(signal).args(&pids).status().expect("kill runs");
        assert!(done.success());
    };
    send("-STOP");
    let said = tool::run(&mut server.lode_command(&["who", "--json"]), b"", Duration::from_secs(10));
    send("-CONT");
    assert!(said.success, "{}", said.err);
    let text = said.text();
    assert!(text.contains("\"ann\"") && text.contains("\"bob\""), "{text}");
    assert!(text.to_lowercase().contains("imap") && text.to_lowercase().contains("pop3"), "{text}");
    imap.ok("NOOP");
    assert!(server.lode(&["status"]).lines().count() >= 1);
}

#[test]
fn mailboxes_and_deliveries_from_outside_are_seen_by_sessions() {
    let server = Server::start();
    if server.skip_on_peer("lode mailbox") {
        return;
    }
    let mut imap = server.imap("ann");
    server.lode(&["mailbox", "create", "--user", "ann", "Work"]);
    imap.ok("SELECT Work");
    let file = server.folder().join("one.eml");
    std::fs::write(&file, mail::small("one")).expect("written");
    server.lode(&["import", "--user", "ann", "--mailbox", "Work", &file.display().to_string()]);
    assert_eq!(imap.ok("NOOP").exists(), Some(1));
    let mut deliver = server.lode_command(&["deliver", "--user", "ann"]);
    let said = tool::run(&mut deliver, &mail::small("two"), Duration::from_secs(30));
    assert!(said.success, "{}", said.err);
    assert_eq!(imap.ok("SELECT INBOX").exists(), Some(1));
    server.lode(&["mailbox", "rename", "--user", "ann", "Work", "Done"]);
    let listed = server.lode(&["mailbox", "list", "--user", "ann"]);
    assert!(listed.contains("Done") && !listed.contains("Work"), "{listed}");
    server.lode(&["mailbox", "delete", "--user", "ann", "Done"]);
    imap.no("SELECT Done");
}

#[test]
fn settings_are_checked_and_shown() {
    let server = Server::with(Options::default().set("limits", "queue", "7"));
    if server.skip_on_peer("lode config") {
        return;
    }
    server.lode(&["config", "check"]);
    assert!(server.lode(&["config", "show"]).contains("queue = 7"));
    let default = server.lode(&["config", "default"]);
    for table in ["[store]", "[runtime]", "[listen]", "[handlers]", "[auth]"] {
        assert!(default.contains(table), "{table} is missing");
    }
    let wrong = server.folder().join("wrong.toml");
    std::fs::write(&wrong, "[handlers]\nmaximum = 3\n").expect("written");
    let arguments = ["config", "check", "--config", &wrong.display().to_string()];
    let said = tool::run(&mut server.lode_command(&arguments), b"", Duration::from_secs(10));
    assert!(!said.success && said.err.contains("maximum"), "{}", said.err);
    // 2 is for wrong use.
    let said = tool::run(&mut server.lode_command(&["no-such-verb"]), b"", Duration::from_secs(10));
    assert_eq!(said.code, Some(2));
}

#[test]
fn serve_becomes_the_router() {
    let mut server = Server::start();
    if server.skip_on_peer("lode serve") {
        return;
    }
    server.deliver("ann", &mail::small("m"));
    server.stop();
    let mut child = server.lode_command(&["serve"]).stderr(Stdio::null()).spawn().expect("lode starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut imap = loop {
        match Imap::login(server.addresses().imap, "ann", tests::server::PASSWORD) {
            Ok(imap) => break imap,
            Err(fault) => assert!(Instant::now() < deadline, "lode serve does not answer: {fault}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(imap.ok("SELECT INBOX").exists(), Some(1));
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, Signal::SIGTERM).expect("it runs");
    let status = child.wait().expect("a child to wait for");
    assert!(status.success(), "{status}");
}

#[test]
fn demo_serves_real_mail_and_says_how_to_read_it() {
    if tests::server::Peer::named().is_some() {
        println!("skipped: lode demo needs Lode itself");
        return;
    }
    let Some(curl) = tool::program("curl", "curl") else { return };
    if std::net::TcpListener::bind("127.0.0.1:1143").is_err() {
        println!("skipped: another program listens on port 1143");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = std::process::Command::new(binary("lode"))
        .args(["demo", "--dir"])
        .arg(folder.path().join("demo"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("lode starts");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    let (send, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || out.lines().map_while(Result::ok).for_each(|line| drop(send.send(line))));
    let mut said = String::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    let answer = loop {
        said.extend(lines.try_iter().map(|line| line + "\n"));
        let mut command = std::process::Command::new(&curl);
        command.args(["-sS", "-u", "demo:demo", "imap://127.0.0.1:1143/INBOX;MAILINDEX=1"]);
        let answer = tool::run(&mut command, b"", Duration::from_secs(20));
        if answer.success {
            break answer;
        }
        assert!(Instant::now() < deadline, "the demo does not answer: {}\n{said}", answer.err);
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(answer.text().contains("Subject:"), "{}", answer.text());
    said.extend(lines.try_iter().map(|line| line + "\n"));
    let printed = said.lines().find(|line| line.contains("curl ")).expect("a curl line").trim().to_string();
    let printed =
        tool::run(std::process::Command::new("sh").args(["-c", &printed]), b"", Duration::from_secs(30));
    assert!(printed.success && !printed.out.is_empty(), "the printed line fails: {}", printed.err);
    let handlers = process::children(child.id());
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, Signal::SIGINT).expect("it runs");
    let status = child.wait().expect("a child to wait for");
    assert!(status.success(), "Ctrl-C ended it with {status}");
    let _ = std::io::stdout().flush();
    for handler in handlers {
        let deadline = Instant::now() + Duration::from_secs(10);
        while process::alive(handler) {
            assert!(Instant::now() < deadline, "a handler stays behind");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn rights_are_set_and_shown_while_the_server_runs() {
    let server = Server::start();
    if server.skip_on_peer("lode acl") {
        return;
    }
    let name = server.user("ann");
    let box_of_ann = format!("\"Other Users/{name}/INBOX\"");
    let mut bob = server.imap("bob");
    assert!(!bob.command(&format!("SELECT {box_of_ann}")).expect("answered").text.starts_with("OK"));
    let of_ann = ["--user", "ann", "--mailbox", "INBOX"];
    server.lode(&[&["acl", "set"], &of_ann[..], &["bob", "lr"]].concat());
    server.lode(&[&["acl", "set"], &of_ann[..], &["bob", "+sd"]].concat());
    server.lode(&[&["acl", "set"], &of_ann[..], &["bob", "-e"]].concat());
    server.lode(&[&["acl", "set"], &of_ann[..], &["--", "-anyone", "t"]].concat());
    let shown = server.lode(&[&["acl", "list"], &of_ann[..], &["--json"]].concat());
    for wanted in ["\"identifier\": \"bob\"", "\"rights\": \"lrst\"", "\"identifier\": \"-anyone\""] {
        assert!(shown.contains(wanted), "{shown}");
    }
    bob.ok(&format!("SELECT {box_of_ann}"));
    let said = tool::run(
        &mut server.lode_command(&[&["acl", "set"], &of_ann[..], &["bob", "lq"]].concat()),
        b"",
        Duration::from_secs(30),
    );
    assert!(!said.success && said.err.contains("lrswipkxtean"), "{}", said.err);
    server.lode(&[&["acl", "delete"], &of_ann[..], &["bob"]].concat());
    let shown = server.lode(&["acl", "list", "--user", "ann"]);
    assert!(!shown.contains("bob"), "{shown}");
    assert!(!bob.command(&format!("EXAMINE {box_of_ann}")).expect("answered").text.starts_with("OK"));
}
