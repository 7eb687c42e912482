//! Starts a router with the fake handler in a folder of its own, and talks to it.

use crate::fake::FOLDER;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running router; killed with its handlers when dropped.
pub(crate) struct Rig {
    pub(crate) folder: PathBuf,
    pub(crate) router: Child,
}

/// What a rig is made with.
pub(crate) struct Plan<'a> {
    pub(crate) mode: &'a str,
    /// Lines for `[handlers]`.
    pub(crate) handlers: &'a str,
    /// Lines for `[limits]`.
    pub(crate) limits: &'a str,
    /// More text at the end of the settings.
    pub(crate) more: &'a str,
    /// Descriptors the router may have.
    pub(crate) descriptors: Option<u32>,
}

pub(crate) const PLAIN: Plan<'static> = Plan {
    mode: "",
    handlers: "max = 2\nsessions = 100",
    limits: "grace_seconds = 2",
    more: "",
    descriptors: None,
};

impl Rig {
    pub(crate) fn new(plan: &Plan<'_>) -> Rig {
        let folder = prepare(plan);
        let router = start(&folder, plan.descriptors);
        let rig = Rig { folder, router };
        rig.log_has("listening protocol=lmtp");
        rig
    }

    pub(crate) fn set_mode(&self, mode: &str) {
        set_mode(&self.folder, mode);
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// Waits until the log has `text`.
    pub(crate) fn log_has(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), || self.log().contains(text), || self.log());
    }

    pub(crate) fn log_count(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    pub(crate) fn address(&self, protocol: &str) -> SocketAddr {
        let log = self.log();
        let start = format!("listening protocol={protocol} address=");
        let line = log.lines().rev().find_map(|line| line.split(start.as_str()).nth(1)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub(crate) fn connect(&self, protocol: &str) -> Client {
        Client::new(TcpStream::connect(self.address(protocol)).unwrap())
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.folder.join("run")
    }

    pub(crate) fn view(&self) -> shm_abi::TableView {
        let name = shm_abi::read_table_name(&self.runtime()).unwrap();
        shm_abi::TableView::open_read_only(&name).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.router.id() as i32), signal).unwrap();
    }

    /// The process of the only handler, once it serves.
    pub(crate) fn handler_pid(&self, handler: u32) -> Pid {
        let mut pid = 0;
        eventually(
            "a serving handler",
            || {
                let view = self.view();
                let found = view.handlers().into_iter().find(|info| info.handler == handler);
                pid = found
                    .filter(|info| info.state == shm_abi::HandlerState::Serving)
                    .map_or(0, |info| info.process.pid);
                pid != 0
            },
            || self.log(),
        );
        Pid::from_raw(pid as i32)
    }

    /// The router's exit code, or that of the shell's convention for signals; waits for it.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.router.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the router does not end\n{}", self.log());
            sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn restart(&mut self) {
        let before = self.log_count("listening protocol=lmtp");
        self.router = start(&self.folder, None);
        eventually("listening again", || self.log_count("listening protocol=lmtp") > before, || self.log());
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let handlers = shm_abi::read_table_name(&self.runtime())
            .ok()
            .and_then(|name| shm_abi::TableView::open_read_only(&name).ok())
            .map(|view| view.handlers())
            .unwrap_or_default();
        let _ = self.router.kill();
        let _ = self.router.wait();
        for info in handlers.iter().filter(|info| info.process.is_alive()) {
            let _ = kill(Pid::from_raw(info.process.pid as i32), Signal::SIGKILL);
        }
        if let Ok(name) = shm_abi::read_table_name(&self.runtime()) {
            let _ = fs::remove_file(Path::new("/dev/shm").join(name.trim_start_matches('/')));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder with programs and settings.
pub(crate) fn prepare(plan: &Plan<'_>) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("lode-router-{}-{number}", std::process::id()));
    fs::create_dir_all(folder.join("bin")).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    install(&folder.join("bin"));
    set_mode(&folder, plan.mode);
    fs::write(
        folder.join("lode.toml"),
        format!(
            "[store]\npath = \"{0}/store\"\n[runtime]\ndir = \"{0}/run\"\n[listen]\nimap = [\"127.0.0.1:0\"]\n\
             pop3 = [\"127.0.0.1:0\"]\nlmtp = [\"unix:{0}/run/lmtp\"]\n[auth]\nusers = \"{0}/users\"\n\
             [metrics]\nlisten = \"127.0.0.1:0\"\n[handlers]\n{1}\n[limits]\n{2}\n{3}\n",
            folder.display(),
            plan.handlers,
            plan.limits,
            plan.more
        ),
    )
    .unwrap();
    folder
}

/// Copies the router and writes the handler. Another process does it: what this one has open for writing, a child that
/// another test forks at that moment has open too, and then it cannot be executed.
fn install(bin: &Path) {
    let script = "cp \"$1\" \"$3/router\" && printf '#!/bin/sh\\nexec %s --exact fake::handler --nocapture\\n' \"$2\" \
                  >\"$3/handler\" && chmod 755 \"$3/handler\"";
    let own = std::env::current_exe().unwrap();
    let done = Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_router")])
        .args([&own, bin])
        .status()
        .unwrap();
    assert!(done.success());
}

fn set_mode(folder: &Path, mode: &str) {
    fs::write(folder.join("mode"), mode).unwrap();
}

fn start(folder: &Path, descriptors: Option<u32>) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new("sh");
    let limit = descriptors.map_or(String::new(), |count| format!("ulimit -n {count}; "));
    command.arg("-c").arg(format!("{limit}exec {0}/bin/router --config {0}/lode.toml", folder.display()));
    command.env(FOLDER, folder).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool, tell: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}\n{}", tell());
        sleep(Duration::from_millis(10));
    }
}

/// A client that reads lines.
pub(crate) struct Client {
    reader: BufReader<Box<dyn ReadWrite>>,
}

pub(crate) trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { reader: BufReader::new(Box::new(stream)) }
    }

    pub(crate) fn unix(path: &Path) -> Client {
        let stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { reader: BufReader::new(Box::new(stream)) }
    }

    /// The next line; empty at the end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(_) => line.trim_end().to_string(),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("no line: {error}"),
        }
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.reader.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    /// Whether a line came back; not when the connection is cut.
    pub(crate) fn tries_to_echo(&mut self, line: &str) -> bool {
        self.reader.get_mut().write_all(format!("{line}\r\n").as_bytes()).is_ok() && self.line() == line
    }

    pub(crate) fn echo(&mut self, line: &str) {
        self.say(line);
        assert_eq!(self.line(), line);
    }
}
