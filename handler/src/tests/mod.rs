//! A whole handler in a test: the test plays the router, and clients over socket pairs.

mod costs;
mod notifications;
mod pipelines;
mod searches;
mod sessions;
mod sort_speed;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::eventfd::{EfdFlags, EventFd};
use shm_abi::{
    BootKey, Channel, Connection, Endpoint, FromHandler, Hello, Limits, Protocol, Table, ToHandler,
};
use tempfile::TempDir;

use crate::process::Handler;
use crate::shared::Shared;

/// How long a reply may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A handler in threads of this process, with a store of its own.
pub(super) struct Rig {
    /// What the handler's threads share.
    pub(super) shared: Arc<Shared>,
    table: Table,
    router: Mutex<Channel>,
    serving: Option<JoinHandle<Result<(), String>>>,
    _folder: TempDir,
}

impl Rig {
    /// Starts a handler with the users `ann` and `bob`, whose password is `secret`.
    pub(super) fn start() -> Rig {
        Rig::with("")
    }

    /// The same, with more settings.
    pub(super) fn with(more: &str) -> Rig {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let folder = TempDir::new().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(path("run")).expect("a runtime folder");
        std::fs::write(path("users"), "ann:{PLAIN}secret\nbob:{PLAIN}secret\n").expect("a users file");
        let mut settings = String::new();
        let _ = write!(
            settings,
            "store.path = {:?}\nruntime.dir = {:?}\nauth.users = {:?}\n{more}\n",
            path("store"),
            path("run"),
            path("users")
        );
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("/lode-test-handler-{}-{number}", std::process::id());
        let table = Table::create(&name, Limits { handlers: 1, sessions: 64 }, 1, now_ms()).expect("a table");
        let generation = table.begin_handler(0, now_ms()).expect("a free row");
        let (router, channel) = Channel::pair().expect("a channel");
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let eventfd = OwnedFd::from(EventFd::from_flags(flags).expect("an eventfd"));
        let hello = Hello {
            table: name,
            handler: 0,
            generation,
            boot_key: BootKey([7; 32]),
            settings_path: "test".to_owned(),
            settings_text: settings,
            eventfds: 1,
        };
        router.send(&ToHandler::Hello(hello), &[eventfd.as_fd()]).expect("the hello goes out");
        router.set_nonblocking(true).expect("a channel that does not wait");
        let handler = Handler::start(channel).expect("the handler starts");
        let shared = Arc::clone(&handler.shared);
        let serving = std::thread::spawn(move || handler.serve().map_err(|error| error.to_string()));
        Rig { shared, table, router: Mutex::new(router), serving: Some(serving), _folder: folder }
    }

    /// A client that has connected and read the greeting.
    pub(super) fn connect(&self, protocol: Protocol) -> Client {
        self.hear_handler();
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let peer = Endpoint::Unix { pid: 1, uid: 0 };
        let (cell, generation) = self.table.assign(0, protocol, peer, now_ms()).expect("a free cell");
        let connection = Connection { protocol, peer, local: peer, tls: None, cell, generation };
        let sent = self
            .router
            .lock()
            .expect("no test panicked here")
            .send(&ToHandler::Connection(connection), &[theirs.as_fd()]);
        sent.expect("the connection goes out");
        let mut client = Client { stream: ours, tags: 0 };
        client.line();
        client
    }

    /// Takes what the handler said to its router, so that the channel does not fill.
    fn hear_handler(&self) {
        let mut router = self.router.lock().expect("no test panicked here");
        while router.receive::<FromHandler>().is_ok() {}
    }

    /// An IMAP client that has logged in.
    pub(super) fn imap(&self, user: &str) -> Client {
        let mut client = self.connect(Protocol::Imap);
        client.ok(&format!("LOGIN {user} secret"));
        client
    }

    /// Sessions that the table knows of.
    pub(super) fn sessions(&self) -> u32 {
        self.table.session_count(0)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let shutdown = ToHandler::Shutdown { grace_ms: 5_000 };
        let _ = self.router.lock().expect("no test panicked here").send(&shutdown, &[]);
        let served = self.serving.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(served, Some(Ok(Ok(())))), "the handler ends well: {served:?}");
        }
    }
}

/// A client that speaks lines.
pub(super) struct Client {
    stream: UnixStream,
    tags: u32,
}

impl Client {
    /// Sends octets as they are.
    pub(super) fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).expect("the handler reads");
    }

    /// Reads one line, octet by octet: there may be a literal behind it.
    pub(super) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut octet = [0];
        while !line.ends_with(b"\r\n") {
            self.stream.read_exact(&mut octet).expect("the handler answers");
            line.push(octet[0]);
        }
        String::from_utf8(line).expect("text")
    }

    /// Runs an IMAP command and returns all lines of its answer, the tagged one last. Literals are thrown away.
    pub(super) fn command(&mut self, text: &str) -> Vec<String> {
        self.tags += 1;
        let tag = format!("t{} ", self.tags);
        self.send(format!("{tag}{text}\r\n").as_bytes());
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if let Some(size) = literal_size(&line) {
                let mut content = vec![0; size];
                self.stream.read_exact(&mut content).expect("the handler sends what it announced");
            }
            let is_last = line.starts_with(&tag);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// Runs an IMAP command that must succeed.
    pub(super) fn ok(&mut self, text: &str) -> Vec<String> {
        let lines = self.command(text);
        let last = lines.last().expect("a tagged line");
        assert!(last.contains(" OK "), "{text:.200}: {last}");
        lines
    }

    /// Appends a message that must be taken.
    pub(super) fn append(&mut self, mailbox: &str, message: &[u8]) {
        self.append_with(&format!("APPEND {mailbox} {{{}+}}", message.len()), message);
    }

    /// Runs a command whose last argument is a message, the size of which is announced in it, and which must succeed.
    pub(super) fn append_with(&mut self, command: &str, message: &[u8]) {
        self.tags += 1;
        let tag = self.tags;
        self.send(format!("t{tag} {command}\r\n").as_bytes());
        self.send(message);
        self.send(b"\r\n");
        loop {
            let line = self.line();
            if line.starts_with('t') {
                assert!(line.contains(" OK "), "APPEND: {line}");
                return;
            }
        }
    }

    /// Whether the handler has closed the connection.
    pub(super) fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).is_ok()
    }
}

fn literal_size(line: &str) -> Option<usize> {
    line.strip_suffix("}\r\n")?.rsplit_once('{')?.1.parse().ok()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
