//! Figures, health and logs of a running server: each figure rises by what was done, and by nothing else.

use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tests::lmtp::Lmtp;
use tests::openmetrics::Figures;
use tests::pop3::Pop3;
use tests::server::{Options, PASSWORD, Server, Victim};

const MESSAGE: &[u8] = b"From: bob@example.org\r\nTo: ann@example.org\r\nSubject: hello\r\n\r\nA body.\r\n";
const PATIENCE: Duration = Duration::from_secs(20);

/// Where figures are served, by the last that the log says of it.
fn address(server: &Server) -> Option<SocketAddr> {
    let log = fs::read_to_string(server.folder().join("log")).ok()?;
    let start = "listening protocol=metrics address=";
    log.lines().rev().find_map(|line| line.split(start).nth(1))?.split_whitespace().next()?.parse().ok()
}

/// Connects. The sockets of mail are there somewhat before that of figures.
fn connect(server: &Server) -> TcpStream {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(stream) = address(server).and_then(|address| TcpStream::connect(address).ok()) {
            return stream;
        }
        assert!(Instant::now() < deadline, "metrics are not served{}", server.tail());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Status and body of an answer.
fn get(server: &Server, path: &str) -> (u16, String) {
    let mut stream = connect(server);
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("asked");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    (status, body.to_string())
}

fn figures(server: &Server) -> Figures {
    let (status, text) = get(server, "/metrics");
    assert_eq!(status, 200, "{text}");
    Figures::parse(&text).unwrap_or_else(|fault| panic!("{fault}\n{text}"))
}

/// Waits until the figures are as they should be.
#[track_caller]
fn eventually(server: &Server, what: &str, holds: impl Fn(&Figures) -> bool) -> Figures {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = figures(server);
        if holds(&now) {
            return now;
        }
        assert!(Instant::now() < deadline, "{what}\n{:#?}{}", now.families, server.tail());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How often a class of commands was measured.
fn commands(figures: &Figures, protocol: &str, class: &str) -> f64 {
    figures.sum("lode_command_duration_seconds_count", &[("protocol", protocol), ("class", class)])
}

#[test]
fn every_figure_rises_by_what_was_done() {
    let server = Server::with(Options::default().handlers(1, 100));
    if server.skip_on_peer("figures are Lode's own") {
        return;
    }
    // Those who looked whether the server answers are served before.
    let before = eventually(&server, "nobody is there", |now| {
        now.sum("lode_connections_served_total", &[]) >= 3.0 && now.sum("lode_sessions", &[]) == 0.0
    });
    assert_eq!(before.sum("lode_commands_total", &[]), 0.0);

    let mut imap = server.imap("ann");
    imap.append_ok("INBOX", "", MESSAGE);
    imap.ok("SELECT INBOX");
    imap.ok("FETCH 1 BODY[]");
    imap.ok("SEARCH SUBJECT hello");
    imap.ok("STORE 1 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.ok("LIST \"\" *");
    imap.ok("CREATE Folder");
    imap.no("CREATE Folder");
    imap.ok("LOGOUT");
    let mut lmtp = Lmtp::connect(server.addresses().lmtp).expect("connected");
    lmtp.command("LHLO test").expect("greeted");
    lmtp.deliver(&["ann", "bob"], MESSAGE).expect("delivered");
    lmtp.command("MAIL FROM:<>").expect("taken");
    assert_eq!(lmtp.command("RCPT TO:<nobody-here>").expect("answered").code, 550);
    let mut pop3 = server.pop3("bob");
    pop3.command("STAT").expect("answered");
    pop3.lines("RETR 1").expect("answered");
    pop3.command("DELE 1").expect("answered");
    pop3.command("QUIT").expect("answered");
    assert!(Pop3::login(server.addresses().pop3, "bob", "wrong").is_err());

    let after = eventually(&server, "QUIT is measured, and the wrong login counted", |now| {
        commands(now, "pop3", "quit") >= 1.0
            && now.sum("lode_logins_total", &[("protocol", "pop3"), ("result", "failed")]) >= 1.0
    });
    for (protocol, class, count) in [
        ("imap", "login", 1.0),
        ("imap", "append", 1.0),
        ("imap", "select", 1.0),
        ("imap", "read", 1.0),
        ("imap", "search", 1.0),
        ("imap", "change", 2.0),
        ("imap", "list", 1.0),
        ("imap", "mailbox", 2.0),
        ("imap", "other", 1.0),
        ("imap", "idle", 0.0),
        ("lmtp", "delivery", 1.0),
        ("pop3", "read", 1.0),
        ("pop3", "change", 1.0),
        ("pop3", "list", 1.0),
    ] {
        assert_eq!(commands(&after, protocol, class), count, "{protocol} {class}");
    }
    for (name, labels, count) in [
        ("lode_logins_total", &[("protocol", "imap"), ("result", "ok")][..], 1.0),
        ("lode_logins_total", &[("protocol", "pop3"), ("result", "ok")], 1.0),
        ("lode_logouts_total", &[("protocol", "imap")], 1.0),
        ("lode_logouts_total", &[("protocol", "pop3")], 1.0),
        ("lode_deliveries_total", &[("result", "ok")], 2.0),
        ("lode_deliveries_total", &[("reason", "unknown-user")], 1.0),
        ("lode_delivered_messages_total", &[], 1.0),
        ("lode_expunged_messages_total", &[], 2.0),
        ("lode_connections_accepted_total", &[], 4.0),
        ("lode_connections_turned_away_total", &[], 0.0),
        ("lode_log_lines_dropped_total", &[], 0.0),
        ("lode_session_crashes_total", &[], 0.0),
    ] {
        assert_eq!(after.sum(name, labels) - before.sum(name, labels), count, "{name} {labels:?}");
    }
    let sum = |name| after.sum(name, &[]);
    assert!(sum("lode_received_bytes_total") > 300.0 && sum("lode_sent_bytes_total") > 1000.0);
    assert!(sum("lode_commit_wait_seconds_count") >= 5.0 && sum("lode_commit_wait_seconds_sum") > 0.0);
    assert!(sum("lode_sync_duration_seconds_count") >= sum("lode_tickets_per_sync_count"));
    assert_eq!(sum("lode_tickets_per_sync_sum"), sum("lode_commit_wait_seconds_count"));
    assert!(sum("lode_turn_duration_seconds_count") >= 15.0);
    // A command that waits for the disk takes no less than the sync that it waits for.
    let changes = after.sum("lode_command_duration_seconds_sum", &[("class", "change")]);
    assert!(changes > 0.0 && changes < 60.0, "{changes}");
}

#[test]
fn sessions_are_there_while_they_last() {
    let server = Server::with(Options::default().handlers(1, 100));
    if server.skip_on_peer("figures are Lode's own") {
        return;
    }
    let imap = server.imap("ann");
    let pop3 = server.pop3("bob");
    let parked =
        |now: &Figures, protocol| now.sum("lode_sessions", &[("protocol", protocol), ("state", "parked")]);
    let now = eventually(&server, "two sessions are parked", |now| {
        parked(now, "imap") == 1.0 && parked(now, "pop3") == 1.0
    });
    assert_eq!(now.sum("lode_sessions_logged_in", &[]), 2.0);
    assert_eq!(now.sum("lode_handler_sessions", &[("handler", "0")]), 2.0);
    assert!(now.sum("lode_handler_resident_bytes", &[]) > 1e6);
    drop((imap, pop3));
    eventually(&server, "nobody is there", |now| now.sum("lode_sessions", &[]) == 0.0);
}

#[test]
fn sums_do_not_fall_when_a_handler_is_killed() {
    let mut server = Server::with(Options::default().handlers(1, 100));
    if server.skip_on_peer("figures are Lode's own") {
        return;
    }
    server.imap("ann").ok("NOOP");
    let before = eventually(&server, "NOOP is measured", |now| commands(now, "imap", "other") >= 1.0);
    server.crash(Victim::Handler(0));
    let after = eventually(&server, "another handler serves", |now| {
        now.sum("lode_handlers", &[("state", "serving")]) >= 1.0
            && now.sum("lode_handler_deaths_total", &[]) >= 1.0
    });
    for family in
        before.families.values().filter(|family| family.kind == "counter" || family.kind == "histogram")
    {
        for sample in &family.samples {
            let labels: Vec<_> =
                sample.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert!(after.sum(&sample.name, &labels) >= sample.value, "{} {labels:?}", sample.name);
        }
    }
}

#[test]
fn health_tells_living_from_ready() {
    // One that hangs is to stay, so that it can be seen.
    let options = Options::default().handlers(1, 100).set("limits", "hang_seconds", "0");
    let server = Server::with(options);
    if server.skip_on_peer("health is Lode's own") {
        return;
    }
    let until = |path: &str, status: u16| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (now, text) = get(&server, path);
            if now == status {
                return text;
            }
            assert!(Instant::now() < deadline, "{path}: {now} {text}{}", server.tail());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    assert!(until("/readyz", 200).starts_with("ready"));
    assert_eq!(get(&server, "/healthz"), (200, "alive\n".to_string()));
    // The endpoint has a thread of its own, which a stopped process has not; so only the handler is stopped.
    for handler in server.handlers() {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(handler as i32), Signal::SIGSTOP).expect("stopped");
    }
    let why = until("/readyz", 503);
    assert!(why.contains("sign of life") || why.contains("no handler serves"), "{why}");
    assert_eq!(get(&server, "/healthz").0, 200);
}

#[test]
fn the_store_is_measured() {
    let server = Server::with(Options::default().handlers(1, 100));
    if server.skip_on_peer("figures are Lode's own") {
        return;
    }
    let first = eventually(&server, "the store is measured", |now| {
        now.sum("lode_store_measured_timestamp_seconds", &[]) > 0.0
    });
    assert!(first.sum("lode_store_disk_bytes", &[]) >= first.sum("lode_store_disk_free_bytes", &[]));
    assert_eq!(first.sum("lode_store_messages", &[]), 0.0);
    let mut server = server;
    server.deliver("ann", MESSAGE);
    // A handler that is new looks at once.
    server.restart();
    let second =
        eventually(&server, "the message is counted", |now| now.sum("lode_store_messages", &[]) == 1.0);
    assert!(second.sum("lode_store_bytes", &[]) >= MESSAGE.len() as f64);
    assert!(second.sum("lode_store_pages", &[]) >= 1.0 && second.sum("lode_store_users", &[]) >= 1.0);
}

/// A dashboard that asks for what nobody tells shows nothing, and nobody knows why.
#[test]
fn the_dashboard_asks_for_what_there_is() {
    let server = Server::with(Options::default().handlers(1, 100));
    if server.skip_on_peer("figures are Lode's own") {
        return;
    }
    let now = eventually(&server, "the store is measured", |now| {
        now.sum("lode_store_measured_timestamp_seconds", &[]) > 0.0
    });
    let known = now.sample_names();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana-dashboard.json");
    let text = fs::read_to_string(path).expect("a dashboard");
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut asked = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("an expression");
            let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            asked.extend(words.filter(|word| word.starts_with("lode_")).map(str::to_owned));
        }
    }
    assert!(asked.len() > 30, "{asked:?}");
    for name in &asked {
        assert!(known.contains(name.as_str()), "the dashboard asks for {name}, which nobody tells");
    }
}

#[test]
fn lines_of_a_session_name_it_in_text_and_in_json() {
    for format in ["text", "json"] {
        let options = Options::default().handlers(1, 100).set("log", "format", &format!("{format:?}"));
        let server = Server::with(options);
        if server.skip_on_peer("the log is Lode's own") {
            return;
        }
        let mut imap = server.imap("ann");
        imap.ok("CREATE Folder");
        imap.append_ok("INBOX", "\\Deleted", MESSAGE);
        imap.ok("SELECT INBOX");
        imap.ok("EXPUNGE");
        imap.ok("LOGOUT");
        server.deliver("bob", MESSAGE);
        let log = fs::read_to_string(server.folder().join("log")).expect("a log");
        assert!(!log.contains(PASSWORD), "{log}");
        assert!(!log.contains("A body."), "{log}");
        if format == "text" {
            for (start, with) in [
                ("info login protocol=imap user=ann peer=127.0.0.1:", " session=0."),
                ("info \"mailbox created\"", "mailbox=Folder"),
                ("info \"mailbox created\"", " user=ann "),
                ("info expunged protocol=imap", "messages=1"),
                ("info logout protocol=imap user=ann", " session=0."),
                ("info delivered id=", " session=0."),
            ] {
                let start = start.replace('"', "");
                let found = log.lines().any(|line| line.starts_with(&start) && line.contains(with));
                assert!(found, "{start} … {with}\n{log}");
            }
        } else {
            let events: Vec<serde_json::Value> = log
                .lines()
                .filter(|line| line.starts_with('{'))
                .map(|line| serde_json::from_str(line).expect("each line is JSON"))
                .collect();
            let find = |event: &str| {
                events.iter().find(|line| line["event"] == event).unwrap_or_else(|| panic!("{event}\n{log}"))
            };
            assert_eq!(find("login")["user"], "ann");
            assert_eq!(find("login")["target"], "audit");
            assert_eq!(find("login")["session"], find("expunged")["session"]);
            assert_eq!(find("mailbox created")["mailbox"], "Folder");
            assert_eq!(find("router-started")["program"], "router");
        }
    }
}

#[test]
fn levels_change_while_running() {
    let server = Server::with(Options::default().handlers(1, 100));
    if server.skip_on_peer("the log is Lode's own") {
        return;
    }
    let logins = || {
        let log = fs::read_to_string(server.folder().join("log")).expect("a log");
        log.lines().filter(|line| line.starts_with("info login ")).count()
    };
    assert_eq!(server.lode(&["log-level"]).trim(), "info");
    server.imap("ann").ok("NOOP");
    assert_eq!(logins(), 1);
    assert_eq!(server.lode(&["log-level", "audit=warning"]).trim(), "info,audit=warning");
    // The handler reads its channel some time.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = logins();
        server.imap("ann").ok("NOOP");
        if logins() == before {
            break;
        }
        assert!(Instant::now() < deadline, "logins are still logged{}", server.tail());
    }
    assert_eq!(server.lode(&["log-level", "error"]).trim(), "error,audit=warning");
    let command = server.lode_command(&["log-level", "loud"]).output().expect("lode runs");
    assert_eq!(command.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&command.stderr).contains("is no level"));
    server.lode(&["reload"]);
    assert_eq!(server.lode(&["log-level"]).trim(), "info");
}
