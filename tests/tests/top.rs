//! `lode top`, as somebody at a terminal sees it: a pseudo-terminal, keys pressed, and the screen read from what the program writes.

use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tests::server::{Options, Server};
use tests::tool;

/// How long the screen may take to say what it should.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program at a terminal of its own.
struct Screen {
    child: Child,
    keyboard: File,
    line: OwnedFd,
    parser: Arc<Mutex<vt100::Parser>>,
    seen: Arc<Mutex<Vec<u8>>>,
}

fn size(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("not zero")
}

impl Screen {
    fn start(mut command: Command, rows: u16, columns: u16) -> Screen {
        let window = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&window), None).expect("a pseudo-terminal");
        let line = || Stdio::from(pair.slave.try_clone().expect("duplicated"));
        command.env("TERM", "xterm-256color").stdin(line()).stdout(line()).stderr(line());
        let child = command.spawn().expect("lode starts");
        let keyboard = File::from(pair.master);
        let mut written = keyboard.try_clone().expect("duplicated");
        let parser = Arc::new(Mutex::new(vt100::Parser::new(size(rows), size(columns), 0)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (filled, kept) = (Arc::clone(&parser), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut octets = [0; 4096];
            while let Ok(count @ 1..) = written.read(&mut octets) {
                filled.lock().unwrap_or_else(PoisonError::into_inner).process(&octets[..count]);
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&octets[..count]);
            }
        });
        Screen { child, keyboard, line: pair.slave, parser, seen }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    fn text(&self) -> String {
        self.parser.lock().unwrap_or_else(PoisonError::into_inner).screen().contents()
    }

    fn is_other_screen(&self) -> bool {
        self.parser.lock().unwrap_or_else(PoisonError::into_inner).screen().alternate_screen()
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if is_so(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "{what}: the screen says\n{text}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The names of users in the list, from top to bottom.
    fn users(text: &str) -> Vec<String> {
        let lines = text.lines().skip_while(|line| !line.starts_with("SESSION")).skip(1);
        let session = |line: &str| {
            let mut words = line.split_whitespace();
            words.next().filter(|id| id.split('.').count() == 3)?;
            words.next().map(str::to_owned)
        };
        lines.map_while(session).collect()
    }

    fn set_size(&self, rows: u16, columns: u16) {
        self.parser
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .screen_mut()
            .set_size(size(rows), size(columns));
        self.stty(&["rows", &rows.to_string(), "cols", &columns.to_string()]);
    }

    fn stty(&self, words: &[&str]) -> String {
        let line = Stdio::from(self.line.try_clone().expect("duplicated"));
        let said = Command::new("stty").args(words).stdin(line).output().expect("stty runs");
        assert!(said.status.success(), "{said:?}");
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    /// Waits for the end of the program; the terminal must be as it was.
    #[track_caller]
    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        self.until("the first screen is back", |_| !self.is_other_screen());
        let settings = self.stty(&["-a"]);
        for setting in ["icanon", "echo", "isig", "opost"] {
            assert!(settings.split([' ', ';', '\n']).any(|word| word == setting), "{setting}: {settings}");
        }
        status
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn top(server: &Server, words: &[&str]) -> Command {
    let mut all = vec!["top", "--interval", "0.2"];
    all.extend(words);
    let mut command = server.lode_command(&all);
    command.env_remove("NO_COLOR");
    command
}

#[test]
fn sessions_are_sorted_filtered_looked_at_and_kicked() {
    let server = Server::with(Options::default().users(&["ann", "bob", "carl"]));
    if server.skip_on_peer("lode top") {
        return;
    }
    let mut ann = server.imap("ann");
    let mut bob = server.imap("bob");
    let mut carl = server.pop3("carl");
    let mut screen = Screen::start(top(&server, &["--sort", "age"]), 30, 150);
    let text = screen.until("three sessions", |text| Screen::users(text).len() == 3);
    assert_eq!(Screen::users(&text), ["ann", "bob", "carl"], "the oldest first:\n{text}");
    assert!(
        text.contains("HEARTBEAT") && text.contains("serving") && text.contains("sessions 3 of "),
        "{text}"
    );
    assert!(screen.is_other_screen());

    // bob moves more octets than the others, and then takes more time.
    for _ in 0..200 {
        bob.ok("CAPABILITY");
    }
    screen.press("o");
    screen.until("bob moved most", |text| Screen::users(text).first().is_some_and(|first| first == "bob"));
    screen.press("a");
    screen.until("by age again", |text| Screen::users(text).first().is_some_and(|first| first == "ann"));
    screen.press("c");
    let begin = Instant::now();
    loop {
        (0..100).for_each(|_| drop(carl.command("NOOP")));
        let text = screen.text();
        if Screen::users(&text).first().is_some_and(|first| first == "carl") && text.contains("CPU%v") {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "carl works, but is not on top:\n{text}");
    }

    screen.press("/pop3");
    screen.until("the filter", |text| Screen::users(text) == ["carl"] && text.contains("filter: pop3_"));
    screen.press("\r");
    screen.press("\r");
    screen.until("details of carl", |text| {
        text.contains("protocol   pop3") && text.contains("lock       maildrop")
    });
    screen.press("\x1b");
    screen.until("back", |text| !text.contains("protocol   pop3"));
    screen.press("\x1b");
    screen.until("no filter", |text| Screen::users(text).len() == 3);

    // Small, smaller, and large again.
    for (rows, columns) in [(5, 20), (1, 1), (30, 150)] {
        screen.set_size(rows, columns);
        std::thread::sleep(Duration::from_millis(300));
    }
    screen.until("the old size", |text| Screen::users(text).len() == 3 && text.contains("PEER"));

    screen.press("/ann\r");
    screen.until("only ann", |text| Screen::users(text) == ["ann"]);
    screen.press("K");
    screen.until("the question", |text| text.contains(" of ann? [y/N]"));
    screen.press("n");
    screen.until("no", |text| text.contains("nothing was done"));
    ann.ok("NOOP");
    screen.press("K");
    screen.until("the question", |text| text.contains(" of ann? [y/N]"));
    screen.press("y");
    screen.until("ann is gone", |text| Screen::users(text).is_empty());
    let last = ann.response().map(|line| String::from_utf8_lossy(&line).into_owned()).expect("a last word");
    assert!(last.starts_with("* BYE"), "{last}");
    bob.ok("NOOP");
    screen.press("q");
    assert!(screen.end().success());
}

#[test]
fn a_session_is_moved_to_another_handler() {
    let server = Server::with(Options::default().handlers(3, 3));
    if server.skip_on_peer("lode top") {
        return;
    }
    let mut ann = server.imap("ann");
    // Enough others for a second handler.
    let _others = [server.imap("bob"), server.imap("bob"), server.imap("bob")];
    let mut screen = Screen::start(top(&server, &["--filter", "ann"]), 24, 120);
    let text = screen.until("ann", |text| Screen::users(text) == ["ann"]);
    let is_in = |text: &str, handler: &str| {
        text.lines().any(|line| line.starts_with(handler) && line.contains(" ann "))
    };
    let (from, to) = if is_in(&text, "0.") { ("0.", "1.") } else { ("1.", "0.") };
    assert!(is_in(&text, from), "{text}");
    screen.press("M");
    screen.until("where to", |text| text.contains(" of ann to handler number"));
    screen.press("9\r");
    screen.until("no such handler", |text| text.contains("there is no handler 9"));
    screen.press(&format!("M{}\r", &to[..1]));
    screen.until("ann is there", |text| is_in(text, to));
    ann.ok("NOOP");
    screen.press("q");
    assert!(screen.end().success());
}

#[test]
fn the_terminal_is_given_back_to_whoever_sends_a_signal() {
    let server = Server::start();
    if server.skip_on_peer("lode top") {
        return;
    }
    // Once it greets, the table is there.
    let _ann = server.imap("ann");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut screen = Screen::start(top(&server, &[]), 24, 80);
        screen.until("it runs", |text| text.contains("HANDLER"));
        let pid = nix::unistd::Pid::from_raw(screen.child.id() as i32);
        nix::sys::signal::kill(pid, signal).expect("sent");
        assert_eq!(screen.end().signal(), Some(signal as i32));
    }
}

#[test]
fn it_goes_on_while_daemons_are_stopped_dead_and_back() {
    let mut server = Server::start();
    if server.skip_on_peer("lode top") {
        return;
    }
    let _ann = server.imap("ann");
    let mut command = top(&server, &[]);
    command.env("NO_COLOR", "1");
    let mut screen = Screen::start(command, 24, 160);
    screen.until("ann is there", |text| Screen::users(text) == ["ann"]);
    let pids = server.processes();
    let send = |signal: Signal| {
        for pid in &pids {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid as i32), signal).expect("sent");
        }
    };
    send(Signal::SIGSTOP);
    // Filters and looks go on: the table alone is asked.
    screen.press("/nobody");
    screen
        .until("the filter works", |text| Screen::users(text).is_empty() && text.contains("filter: nobody_"));
    screen.press("\x1b");
    let stale = screen.until("the handler's age shows", |text| {
        text.lines().any(|line| line.contains("serving") && line.contains(" 5/"))
    });
    assert_eq!(Screen::users(&stale), ["ann"], "{stale}");
    send(Signal::SIGCONT);
    server.stop();
    screen.until("the router is missed", |text| text.contains("DEAD"));
    screen.press("K");
    screen.until("why not", |text| text.contains("the router is dead, and only it can do that"));
    server.restart();
    let _bob = server.imap("bob");
    screen.until("the new table", |text| Screen::users(text) == ["bob"] && !text.contains("DEAD"));
    screen.press("\x03");
    assert!(screen.end().success());
    // Weight and reversal may be used, colours (30 to 49, 90 to 107 of SGR) may not.
    let seen =
        String::from_utf8_lossy(&screen.seen.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    for sequence in seen.split("\x1b[").skip(1) {
        let Some((numbers, _)) = sequence.split_once('m') else { continue };
        if numbers.bytes().all(|octet| octet.is_ascii_digit() || octet == b';') {
            let coloured = |number: &str| matches!(number.parse(), Ok(30..=38 | 40..=48 | 90..=107));
            assert!(!numbers.split(';').any(coloured), "a colour: {numbers}");
        }
    }
}

#[test]
fn one_screen_is_printed_for_scripts_and_files_get_no_live_one() {
    let server = Server::start();
    if server.skip_on_peer("lode top") {
        return;
    }
    let _ann = server.imap("ann");
    let _bob = server.pop3("bob");
    let said = server.lode(&["top", "--once", "--interval", "0.2", "--filter", "bob pop3"]);
    assert!(said.contains("sessions 2 of ") && said.contains("HANDLER  STATE"), "{said}");
    assert_eq!(Screen::users(&said), ["bob"], "{said}");
    let mut command = server.lode_command(&["top"]);
    let refused = tool::run(&mut command, b"", PATIENCE);
    assert!(refused.code == Some(2) && refused.err.contains("--once"), "{refused:?}");
}
