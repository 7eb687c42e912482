//! `lode kick`, `migrate`, `drain`, `reload` and `stop`: what an administrator orders, and what clients see of it.

use shm_abi::SessionInfo;
use std::time::{Duration, Instant};
use tests::process;
use tests::server::{Options, PROCESS_PATIENCE, Server};
use tests::tool;

fn sessions_of(server: &Server, user: &str) -> Vec<SessionInfo> {
    server.table().sessions().into_iter().filter(|session| session.user == user).collect()
}

#[track_caller]
fn eventually(server: &Server, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PROCESS_PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}{}", server.tail());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs `lode`, which has to fail; what it said.
#[track_caller]
fn refused(server: &Server, arguments: &[&str]) -> String {
    let said = tool::run(&mut server.lode_command(arguments), b"", Duration::from_secs(20));
    assert!(!said.success, "{arguments:?}: {}", said.text());
    said.err
}

#[test]
fn kicked_sessions_are_told_why_and_others_stay() {
    let server = Server::start();
    if server.skip_on_peer("lode kick") {
        return;
    }
    let mut first = server.imap("ann");
    let one = sessions_of(&server, "ann")[0].id;
    let mut second = server.imap("ann");
    let mut idle = server.imap("ann");
    idle.ok("SELECT INBOX");
    idle.stream().send(b"i IDLE\r\n").expect("sent");
    assert!(idle.response().expect("a continuation").starts_with(b"+"));
    let mut other = server.imap("bob");
    let mut pop3 = server.pop3("bob");
    let said = server.lode(&["kick", &one.to_string()]);
    assert!(said.contains("1 session told to end"), "{said}");
    assert!(refused(&server, &["kick", "carol"]).contains("no session of user carol"));
    let told = |line: Vec<u8>| String::from_utf8_lossy(&line).into_owned();
    assert!(told(first.response().expect("a last word")).starts_with("* BYE"), "{}", server.tail());
    eventually(&server, "the cell is free", || sessions_of(&server, "ann").len() == 2);
    second.ok("NOOP");
    let said = server.lode(&["kick", "ann", "--reason", "Maintenance at noon"]);
    assert!(said.contains("2 sessions told to end"), "{said}");
    for session in [&mut second, &mut idle] {
        let word = told(session.response().expect("a last word"));
        assert!(word.starts_with("* BYE") && word.contains("Maintenance at noon"), "{word}");
    }
    assert!(refused(&server, &["kick", &one.to_string()]).contains("there is no session"));
    assert!(refused(&server, &["kick", "bob", "--reason", "a\nb"]).contains("printable"));
    other.ok("NOOP");
    assert!(pop3.command("NOOP").is_ok());
}

#[test]
fn sessions_move_and_handlers_are_emptied() {
    let mut server = Server::with(Options::default().handlers(2, 8));
    if server.skip_on_peer("lode drain") {
        return;
    }
    let mut sessions = Vec::new();
    while server.handlers().len() < 2 {
        sessions.push(server.imap("ann"));
        assert!(sessions.len() <= 9, "no second handler is started{}", server.tail());
    }
    for session in &mut sessions {
        session.ok("SELECT INBOX");
    }
    assert!(refused(&server, &["migrate", "ann", "--to", "9"]).contains("there is no handler 9"));
    assert!(refused(&server, &["migrate", "carol", "--to", "1"]).contains("no session of user carol"));
    assert!(refused(&server, &["drain", "9"]).contains("there is no handler 9"));
    let all = sessions.len();
    let on = |handler: u32| {
        sessions_of(&server, "ann").iter().filter(|session| session.id.handler == handler).count()
    };
    // More than one handler has room for.
    if all > 8 {
        let said = refused(&server, &["migrate", "ann", "--to", "1"]);
        assert!(said.contains("handler 1 has room for"), "{said}");
    }
    let moving = sessions_of(&server, "ann").iter().find(|session| session.id.handler == 0).expect("one").id;
    let before = on(1);
    let said = server.lode(&["migrate", &moving.to_string(), "--to", "1"]);
    assert!(said.contains("1 session will go on in handler 1"), "{said}");
    eventually(&server, "it moves", || on(1) == before + 1);
    for session in &mut sessions {
        session.ok("NOOP");
    }
    // The row beyond those that serve takes what the other handler has no room for.
    let emptied = server.table().handlers().iter().find(|info| info.handler == 0).expect("a row").process;
    server.lode(&["drain", "0"]);
    eventually(&server, "it exits", || !process::alive(emptied.pid));
    for session in &mut sessions {
        session.ok("NOOP");
    }
    assert_eq!(sessions_of(&server, "ann").len(), all);
    server.imap("bob").ok("NOOP");
    server.stop();
}

#[test]
fn settings_are_read_again_and_the_daemons_stop() {
    let server = Server::start();
    if server.skip_on_peer("lode reload") {
        return;
    }
    let mut session = server.imap("ann");
    server.lode(&["reload"]);
    let settings = server.folder().join("lode.toml");
    let good = std::fs::read_to_string(&settings).expect("settings");
    let (router, handlers) = (server.router(), server.handlers());
    std::fs::write(&settings, format!("{good}\n[nonsense]\n")).expect("written");
    assert!(refused(&server, &["reload"]).contains("nonsense"));
    std::fs::write(&settings, good).expect("written");
    session.ok("NOOP");
    server.lode(&["stop"]);
    assert!(!process::alive(router) && handlers.iter().all(|pid| !process::alive(*pid)));
    assert!(refused(&server, &["stop"]).contains("no router runs"));
    assert!(refused(&server, &["upgrade"]).contains("no router runs"));
}
