//! `lode trace`: what a session and its client say, without secrets, while it goes on.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tests::imap::Imap;
use tests::mail;
use tests::server::{Options, PASSWORD, Server};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running `lode trace`, and what it printed.
struct Trace {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    printer: Option<JoinHandle<()>>,
}

impl Trace {
    fn start(server: &Server, what: &str) -> Trace {
        let mut command: Command = server.lode_command(&["trace", what]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("lode starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let filled = Arc::clone(&lines);
        let printer = Some(std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                filled.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        }));
        let trace = Trace { child, lines, printer };
        trace.until("the trace begins");
        trace
    }

    /// All that was printed, without times.
    fn all(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| line.splitn(3, ' ').nth(2).unwrap_or(line).to_owned()).collect()
    }

    /// Waits for a line with `part`.
    #[track_caller]
    fn until(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all = self.all();
            if let Some(found) = all.iter().find(|line| line.contains(part)) {
                return found.clone();
            }
            assert!(Instant::now() < deadline, "{part} does not come:\n{}", all.join("\n"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end of the program.
    #[track_caller]
    fn end(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                assert!(status.success(), "{status}");
                return self.printer.take().into_iter().for_each(|printer| printer.join().expect("read"));
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.all().join("\n"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The name of the only session that has this in its row of `lode who`.
#[track_caller]
fn session(server: &Server, part: &str) -> String {
    let who = server.lode(&["who"]);
    let rows: Vec<&str> = who.lines().filter(|line| line.contains(part)).collect();
    assert_eq!(rows.len(), 1, "{who}");
    rows[0].split_whitespace().next().expect("a name").to_owned()
}

#[test]
fn a_conversation_is_shown_without_passwords_and_messages() {
    let server = Server::start();
    if server.skip_on_peer("lode trace") {
        return;
    }
    let mut imap = Imap::connect(server.addresses().imap).expect("connected");
    imap.ok("NOOP");
    let id = session(&server, "imap");
    let mut trace = Trace::start(&server, &id);
    imap.ok("ID NIL");
    imap.ok(&format!("LOGIN ann {PASSWORD}"));
    let long =
        [mail::small("hello").as_slice(), &b"something nobody else should read\r\n".repeat(20)].concat();
    imap.append_ok("INBOX", "", &long);
    imap.ok("SELECT INBOX");
    imap.ok("FETCH 1 (FLAGS BODY[])");
    assert!(server.lode(&["who"]).contains("traced"));
    assert!(server.lode(&["top", "--once", "--interval", "0.1"]).contains(" t "));
    imap.ok("LOGOUT");
    trace.end();
    let all = trace.all();
    let text = all.join("\n");
    for shown in [
        "LOGIN ****",
        "APPEND INBOX",
        "SELECT INBOX",
        "FETCH 1 (FLAGS BODY[])",
        "* 1 EXISTS",
        "* BYE",
        "the session ended",
        "ID NIL",
    ] {
        assert!(text.contains(shown), "{shown} is missing in\n{text}");
    }
    let content = format!("{id} C: [{} octets]", long.len());
    assert!(all.contains(&content), "{content} is missing in\n{text}");
    for secret in [PASSWORD, "nobody else"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    // Times and the session stand before each line.
    let first = trace.lines.lock().unwrap_or_else(PoisonError::into_inner)[0].clone();
    let words: Vec<&str> = first.split(' ').collect();
    assert!(words[0].len() == 10 && words[1].len() == 12 && words[2] == id, "{first}");
}

#[test]
fn a_user_is_followed_over_sessions_and_protocols() {
    let server = Server::start();
    if server.skip_on_peer("lode trace") {
        return;
    }
    let mut imap = server.imap("ann");
    let trace = Trace::start(&server, "ann");
    imap.ok("NOOP");
    imap.ok("CREATE Somewhere");
    trace.until("CREATE Somewhere");
    server.deliver("ann", &mail::small("for POP3"));
    let mut pop3 = server.pop3("ann");
    let begin = Instant::now();
    while trace.all().iter().filter(|line| line.contains("the trace begins")).count() < 2 {
        assert!(begin.elapsed() < PATIENCE, "{:?}", trace.all());
        std::thread::sleep(Duration::from_millis(20));
    }
    pop3.command("NOOP").expect("done");
    pop3.lines("RETR 1").expect("sent");
    pop3.command("QUIT").expect("done");
    trace.until("C: RETR 1");
    trace.until("S: [message of ");
    trace.until("C: QUIT");
    assert!(!trace.all().join("\n").contains("for POP3"));
    // The other session is still shown.
    imap.ok("CREATE Elsewhere");
    trace.until("CREATE Elsewhere");
}

#[test]
fn a_session_that_moves_or_whose_handler_dies_is_still_shown() {
    let server = Server::with(Options::default().handlers(3, 3));
    if server.skip_on_peer("lode trace") {
        return;
    }
    let mut ann = server.imap("ann");
    // Enough others for a second handler.
    let _others = [server.imap("bob"), server.imap("bob"), server.imap("bob")];
    ann.ok("SELECT INBOX");
    let old = session(&server, " ann ");
    let trace = Trace::start(&server, &old);
    let to = if old.starts_with("0.") { "1" } else { "0" };
    server.lode(&["migrate", "ann", "--to", to]);
    trace.until(&format!("goes on as {to}."));
    let begins = || trace.all().iter().filter(|line| line.ends_with("the trace begins")).count();
    let until_begun = |count: usize| {
        let begin = Instant::now();
        while begins() < count {
            assert!(begin.elapsed() < PATIENCE, "{:?}", trace.all());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until_begun(2);
    // What comes first may be masked: nobody knows yet that it is not the middle of a command.
    ann.ok("NOOP");
    ann.ok("CREATE Moved");
    let line = trace.until("CREATE Moved");
    assert!(line.starts_with(&format!("{to}.")), "{line}");
    let status = server.lode(&["status"]);
    let row = status.lines().find_map(|line| line.trim_start().strip_prefix(to)?.strip_prefix(' '));
    let pid = row.and_then(|row| row.split_whitespace().next()?.parse().ok()).expect("its process");
    let victim = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(victim, nix::sys::signal::Signal::SIGKILL).expect("killed");
    until_begun(3);
    ann.ok("NOOP");
    ann.ok("CREATE Adopted");
    trace.until("CREATE Adopted");
}

#[test]
fn a_reader_that_does_not_read_or_goes_away_is_no_burden() {
    let server = Server::start();
    if server.skip_on_peer("lode trace") {
        return;
    }
    let mut imap = server.imap("ann");
    imap.ok("NOOP");
    let id = session(&server, "ann");
    let trace = Trace::start(&server, &id);
    let pid = nix::unistd::Pid::from_raw(trace.child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("stopped");
    // More than a pipe holds, however large.
    for _ in 0..12_000 {
        imap.begin("NOOP").expect("sent");
    }
    let last = imap.begin("STATUS INBOX (MESSAGES UNSEEN UIDNEXT)").expect("sent");
    loop {
        let line = imap.response().expect("goes on");
        if line.starts_with(last.as_bytes()) {
            break;
        }
    }
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).expect("goes on");
    imap.ok("NOOP");
    drop(trace);
    let begin = Instant::now();
    while server.lode(&["who"]).contains("traced") {
        assert!(begin.elapsed() < PATIENCE, "nobody reads, and it is not noticed");
        std::thread::sleep(Duration::from_millis(100));
    }
    imap.ok("NOOP");
    let log = std::fs::read_to_string(server.folder().join("log")).expect("a log");
    assert!(
        log.contains("trace-asked-for") && log.contains("trace begun") && log.contains("trace ended"),
        "{log}"
    );
}

#[test]
fn compressed_sessions_and_deliveries_are_shown_too() {
    let server = Server::start();
    if server.skip_on_peer("lode trace") {
        return;
    }
    let mut imap = server.imap("ann");
    imap.ok("NOOP");
    let trace = Trace::start(&server, &session(&server, " ann "));
    imap.ok("COMPRESS DEFLATE");
    imap.stream().begin_compression();
    imap.ok("CREATE Squeezed");
    imap.ok("LIST \"\" *");
    trace.until("C: t3 COMPRESS DEFLATE");
    trace.until("CREATE Squeezed");
    trace.until("\"/\" Squeezed");

    let mut lmtp = server.lmtp();
    lmtp.command("NOOP").expect("done");
    let trace = Trace::start(&server, &session(&server, " lmtp "));
    lmtp.deliver(&["ann"], &mail::small("quietly")).expect("taken");
    trace.until("C: RCPT TO:<ann>");
    trace.until("C: [message of ");
    assert!(!trace.all().join("\n").contains("quietly"));
}

#[test]
fn what_is_not_there_is_said() {
    let server = Server::start();
    if server.skip_on_peer("lode trace") {
        return;
    }
    let _imap = server.imap("ann");
    let said = tests::tool::run(&mut server.lode_command(&["trace", "0.999.1"]), b"", PATIENCE);
    assert!(said.code == Some(1) && said.err.contains("there is no session 0.999.1"), "{said:?}");
}
