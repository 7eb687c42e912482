//! A server of its own for each test: folder, settings, users, processes; gone when dropped.

use crate::imap::Imap;
use crate::lmtp::Lmtp;
use crate::pop3::Pop3;
use crate::process;
use crate::service_manager::ServiceManager;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shm_abi::{CellFlags, ControlRequest, TableView};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The password of every user.
pub const PASSWORD: &str = "secret";
/// How long starting, stopping and replacing a process may take before a test fails.
pub const PROCESS_PATIENCE: Duration = Duration::from_secs(20);

/// What a test wants to be different from the default.
#[derive(Clone, Debug)]
pub struct Options {
    /// Users to make, all with [`PASSWORD`].
    pub users: Vec<String>,
    /// `handlers.max`
    pub handlers: u32,
    /// `handlers.sessions`
    pub sessions: u32,
    /// `RLIMIT_NOFILE` of its processes, soft and hard; nothing for the test's own. Needs the program `prlimit`.
    pub descriptors: Option<u64>,
    /// `RLIMIT_AS` of its processes, in octets; nothing for the test's own. Needs the program `prlimit`.
    pub address_space: Option<u64>,
    /// Further settings: table, key and value in TOML.
    pub settings: Vec<(String, String, String)>,
    /// The folder of the programs, if not the one of all tests.
    pub programs: Option<PathBuf>,
    /// Whether it is the service of a [`ServiceManager`].
    pub service: bool,
}

impl Default for Options {
    fn default() -> Options {
        let users = ["ann", "bob"].map(str::to_string).to_vec();
        Options {
            users,
            handlers: 4,
            sessions: 1000,
            descriptors: None,
            address_space: None,
            settings: Vec::new(),
            programs: None,
            service: false,
        }
    }
}

impl Options {
    /// Adds a setting; the value as TOML, with the server's folder for `{folder}`.
    pub fn set(mut self, table: &str, key: &str, value: &str) -> Options {
        self.settings.push((table.to_string(), key.to_string(), value.to_string()));
        self
    }

    /// Sets the number of handlers and of sessions each.
    pub fn handlers(mut self, handlers: u32, sessions: u32) -> Options {
        (self.handlers, self.sessions) = (handlers, sessions);
        self
    }

    /// Limits descriptors.
    pub fn descriptors(mut self, descriptors: u64) -> Options {
        self.descriptors = Some(descriptors);
        self
    }

    /// Limits address space.
    pub fn address_space(mut self, octets: u64) -> Options {
        self.address_space = Some(octets);
        self
    }

    /// Runs the programs of this folder.
    pub fn programs(mut self, folder: &Path) -> Options {
        self.programs = Some(folder.to_path_buf());
        self
    }

    /// Has a service manager start it, which keeps its sockets. By a test that has its process for itself.
    pub fn service(mut self) -> Options {
        self.service = true;
        self
    }

    /// Sets the users.
    pub fn users(mut self, users: &[&str]) -> Options {
        self.users = users.iter().map(|user| (*user).to_string()).collect();
        self
    }
}

/// Where the protocols are spoken.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// IMAP
    pub imap: SocketAddr,
    /// POP3
    pub pop3: SocketAddr,
    /// LMTP over TCP
    pub lmtp: SocketAddr,
}

/// A server that somebody else runs: `LODE_TEST_PEER=dovecot,HOST:IMAP,HOST:POP3,HOST:LMTP`. Users need not be made there; all
/// have [`PASSWORD`]. Tests that kill processes or look into them skip themselves.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What it is, as the scripts under `wire/` call it.
    pub name: String,
    /// Where it is.
    pub addresses: Addresses,
}

impl Peer {
    /// The peer named in the environment.
    pub fn named() -> Option<Peer> {
        let text = std::env::var("LODE_TEST_PEER").ok()?;
        let mut parts = text.split(',');
        let name = parts.next()?.to_string();
        let mut address = || parts.next().and_then(|each| each.parse().ok());
        let addresses = Addresses { imap: address()?, pop3: address()?, lmtp: address()? };
        Some(Peer { name, addresses })
    }
}

enum Kind {
    Lode { child: Option<Child>, settings: PathBuf, prlimit: Vec<String>, programs: Option<PathBuf> },
    Peer(Peer),
}

/// A running server.
pub struct Server {
    folder: tempfile::TempDir,
    addresses: Addresses,
    kind: Kind,
    suffix: String,
    manager: Option<ServiceManager>,
}

/// Which processes [`Server::crash`] kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// One handler, by its place in the order of start.
    Handler(usize),
    /// The router alone; handlers wait for the next one and go on.
    Router,
    /// All at once.
    All,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Server {
    /// Starts one with the default options.
    pub fn start() -> Server {
        Server::with(Options::default())
    }

    /// Starts one and waits until it answers.
    #[track_caller]
    pub fn with(options: Options) -> Server {
        Server::try_with(options).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts one and waits until it answers; why its router ended at once, with its log.
    pub fn try_with(options: Options) -> Result<Server, String> {
        let folder = tempfile::Builder::new().prefix("lode-test-").tempdir().expect("a folder for the test");
        if let Some(peer) = Peer::named() {
            let suffix = format!("-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            return Ok(Server {
                folder,
                addresses: peer.addresses,
                kind: Kind::Peer(peer),
                suffix,
                manager: None,
            });
        }
        let addresses = Addresses { imap: free(), pop3: free(), lmtp: free() };
        let settings = folder.path().join("lode.toml");
        fs::write(&settings, settings_text(folder.path(), &addresses, &options)).expect("settings written");
        let users: String =
            options.users.iter().map(|user| format!("{user}:{{PLAIN}}{PASSWORD}\n")).collect();
        fs::write(folder.path().join("users"), users).expect("users written");
        let (prlimit, programs) = (prlimit(&options), options.programs.clone());
        let kind = Kind::Lode { child: None, settings, prlimit, programs };
        let manager = options.service.then(|| ServiceManager::new(folder.path()));
        let mut server = Server { folder, addresses, kind, suffix: String::new(), manager };
        server.try_launch()?;
        Ok(server)
    }

    /// Where the protocols are spoken.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The server's folder: `store`, `run`, `users`, `lode.toml`, `log`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The name under which the server knows a user of the options.
    pub fn user(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    /// Whether this is Lode, whose processes a test may kill and look into.
    pub fn is_lode(&self) -> bool {
        matches!(self.kind, Kind::Lode { .. })
    }

    /// The peer's name; nothing for Lode.
    pub fn peer(&self) -> Option<&str> {
        if let Kind::Peer(peer) = &self.kind { Some(&peer.name) } else { None }
    }

    /// Says why a test is skipped if the server is not Lode.
    pub fn skip_on_peer(&self, what: &str) -> bool {
        if !self.is_lode() {
            println!("skipped: {what} needs Lode itself");
        }
        !self.is_lode()
    }

    /// An IMAP session of a user.
    #[track_caller]
    pub fn imap(&self, user: &str) -> Imap {
        Imap::login(self.addresses.imap, &self.user(user), PASSWORD)
            .unwrap_or_else(|fault| panic!("login: {fault}{}", self.tail()))
    }

    /// A POP3 session of a user.
    #[track_caller]
    pub fn pop3(&self, user: &str) -> Pop3 {
        Pop3::login(self.addresses.pop3, &self.user(user), PASSWORD)
            .unwrap_or_else(|fault| panic!("login: {fault}{}", self.tail()))
    }

    /// An LMTP session.
    #[track_caller]
    pub fn lmtp(&self) -> Lmtp {
        Lmtp::connect(self.addresses.lmtp).unwrap_or_else(|fault| panic!("lmtp: {fault}{}", self.tail()))
    }

    /// Delivers to one user; must be accepted.
    #[track_caller]
    pub fn deliver(&self, user: &str, message: &[u8]) {
        let accepted = self
            .lmtp()
            .deliver(&[&self.user(user)], message)
            .unwrap_or_else(|fault| panic!("deliver: {fault}"));
        assert_eq!(accepted, [true], "delivery refused{}", self.tail());
    }

    /// The router's process.
    pub fn router(&self) -> u32 {
        match &self.kind {
            Kind::Lode { child: Some(child), .. } => child.id(),
            _ => panic!("there is no router"),
        }
    }

    /// The shared table. A router that has just been started may be making it.
    pub fn table(&self) -> TableView {
        let deadline = Instant::now() + PROCESS_PATIENCE;
        loop {
            let name = shm_abi::read_table_name(&self.folder().join("run"));
            match name.map_err(|error| error.to_string()).map(|name| TableView::open_read_only(&name)) {
                Ok(Ok(view)) => return view,
                failed => assert!(Instant::now() < deadline, "the table: {failed:?}{}", self.tail()),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until no session is in the middle of a command: one that is may end with its handler.
    #[track_caller]
    pub fn until_parked(&self) {
        let deadline = Instant::now() + PROCESS_PATIENCE;
        let busy = CellFlags::READING | CellFlags::ANSWERING | CellFlags::TORN;
        while self.table().sessions().iter().any(|session| session.flags.has(busy)) {
            assert!(Instant::now() < deadline, "sessions do not park{}", self.tail());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The handlers' processes, oldest first. They need not be children of the router: it may have taken them over.
    pub fn handlers(&self) -> Vec<u32> {
        let mut found = self.table().handlers();
        found.retain(|info| process::alive(info.process.pid));
        found.sort_by_key(|info| (info.process.start_ticks, info.process.pid));
        found.into_iter().map(|info| info.process.pid).collect()
    }

    /// Router and handlers.
    pub fn processes(&self) -> Vec<u32> {
        let mut all = vec![self.router()];
        all.extend(self.handlers());
        all
    }

    /// Sends a signal to the router.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.router() as i32), signal).expect("the router is there");
    }

    /// SIGTERM; waits for the end and returns the exit status.
    pub fn terminate(&mut self) -> ExitStatus {
        let handlers = self.handlers();
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        for handler in handlers {
            self.until_gone(handler);
        }
        status
    }

    /// SIGTERM; has to end with 0.
    #[track_caller]
    pub fn stop(&mut self) {
        let status = self.terminate();
        assert!(status.success(), "the router ended with {status}{}", self.tail());
    }

    /// Stops if it runs, and starts on the same folder and ports.
    #[track_caller]
    pub fn restart(&mut self) {
        if matches!(&self.kind, Kind::Peer(_)) {
            return;
        }
        if matches!(&self.kind, Kind::Lode { child: Some(_), .. }) {
            self.stop();
        }
        self.launch();
    }

    /// `kill -9`, then starts again what does not start by itself.
    #[track_caller]
    pub fn crash(&mut self, victim: Victim) {
        if !self.is_lode() {
            return;
        }
        let handlers = self.handlers();
        let die = |pid: u32| {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        };
        match victim {
            Victim::Handler(index) => {
                if let Some(pid) = handlers.get(index % handlers.len().max(1)) {
                    die(*pid);
                    self.until_gone(*pid);
                }
                return;
            }
            Victim::Router => {
                self.kill_router();
                return self.start_again();
            }
            Victim::All => {
                die(self.router());
                handlers.iter().copied().for_each(die);
            }
        }
        self.wait();
        for handler in handlers {
            self.until_gone(handler);
        }
        self.launch();
    }

    /// `kill -9` of the router alone.
    #[track_caller]
    pub fn kill_router(&mut self) {
        let _ = kill(Pid::from_raw(self.router() as i32), Signal::SIGKILL);
        self.wait();
    }

    /// Starts a router in place of one that is gone.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.launch();
    }

    /// Who started it, if it is a service.
    pub fn manager(&self) -> Option<&ServiceManager> {
        self.manager.as_ref()
    }

    /// Runs `lode` with this server's settings; its output. Has to succeed.
    #[track_caller]
    pub fn lode(&self, arguments: &[&str]) -> String {
        let output = self.lode_command(arguments).output().expect("lode starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "lode {arguments:?} ended with {}: {text}{}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.tail()
        );
        text
    }

    /// `lode` with arguments and this server's settings.
    pub fn lode_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("lode"));
        command.env("LODE_CONFIG", self.folder().join("lode.toml")).args(arguments).stdin(Stdio::null());
        command
    }

    /// The log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder().join("log")).unwrap_or_default()).into_owned()
    }

    /// The end of the log, for a failure's message.
    pub fn tail(&self) -> String {
        let text = fs::read(self.folder().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(30).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        if lines.is_empty() {
            String::new()
        } else {
            format!("\n--- log of the server ---\n{}", lines.join("\n"))
        }
    }

    #[track_caller]
    fn launch(&mut self) {
        self.try_launch().unwrap_or_else(|why| panic!("{why}"));
    }

    #[track_caller]
    fn try_launch(&mut self) -> Result<(), String> {
        let log = self.folder.path().join("log");
        let log = File::options().create(true).append(true).open(log).expect("a log file");
        let Kind::Lode { child, settings, prlimit, programs } = &mut self.kind else { return Ok(()) };
        let router = programs.as_ref().map_or_else(|| binary("router"), |folder| folder.join("router"));
        let mut command = tied_to_us(prlimit, &router);
        command.arg("--config").arg(&*settings);
        // What is handed over is open here until the router has it.
        let _handed_over = self.manager.as_ref().map(|manager| {
            let (service, descriptors) = manager.service(&command);
            command = service;
            descriptors
        });
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log file")).stderr(log);
        *child = Some(command.spawn().expect("the router starts"));
        self.until_answering()
    }

    #[track_caller]
    fn until_answering(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PROCESS_PATIENCE;
        loop {
            let all = [self.addresses.imap, self.addresses.pop3, self.addresses.lmtp];
            // The ports are bound before all else, and a router that was killed has left its socket.
            let asked = shm_abi::ask_router(&self.folder().join("run"), ControlRequest::UpgradeState);
            if asked.is_ok() && all.iter().all(|address| TcpStream::connect(address).is_ok()) {
                return Ok(());
            }
            if let Kind::Lode { child: Some(child), .. } = &mut self.kind
                && let Ok(Some(status)) = child.try_wait()
            {
                return Err(format!("the router ended at once with {status}{}", self.tail()));
            }
            assert!(Instant::now() < deadline, "the router does not listen{}", self.tail());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The router's exit status, when it has ended.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PROCESS_PATIENCE;
        let Kind::Lode { child: slot, .. } = &mut self.kind else { panic!("there is no router") };
        let mut child = slot.take().expect("the router runs");
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().expect("a child to wait for") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!("the router does not end{}", self.tail());
    }

    #[track_caller]
    fn until_gone(&self, pid: u32) {
        let deadline = Instant::now() + PROCESS_PATIENCE;
        while process::alive(pid) {
            assert!(Instant::now() < deadline, "handler {pid} does not end{}", self.tail());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Kind::Lode { child, .. } = &mut self.kind else { return };
        if let Some(mut child) = child.take() {
            let table = shm_abi::read_table_name(&self.folder.path().join("run")).ok();
            let view = table.and_then(|name| TableView::open_read_only(&name).ok());
            let handlers: Vec<u32> = view
                .map(|view| view.handlers().into_iter().map(|info| info.process.pid).collect())
                .unwrap_or_default();
            let _ = child.kill();
            let _ = child.wait();
            for handler in handlers {
                let _ = kill(Pid::from_raw(handler as i32), Signal::SIGKILL);
            }
            if std::thread::panicking() {
                eprintln!("{}", self.tail());
            }
        }
        // A router that was killed leaves its table; the next one in its folder would replace it, but there is none.
        if let Ok(name) = fs::read_to_string(self.folder().join("run/table")) {
            let _ = fs::remove_file(Path::new("/dev/shm").join(name.trim().trim_start_matches('/')));
        }
    }
}

/// The path of one of the project's programs: in `LODE_BIN_DIR`, or beside the test's own executable.
pub fn binary(name: &str) -> PathBuf {
    let beside = || {
        let own = std::env::current_exe().expect("a test has a path");
        own.ancestors().nth(2).expect("a target folder").to_path_buf()
    };
    let folder = std::env::var_os("LODE_BIN_DIR").map_or_else(beside, PathBuf::from);
    let path = folder.join(name);
    assert!(path.is_file(), "{} is missing: build it with `cargo build --workspace` first", path.display());
    path
}

/// A command that dies with the test, even when the test is killed.
fn tied_to_us(prlimit: &[String], program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    let tied = ["/usr/bin/setpriv", "--pdeathsig", "KILL"].map(str::to_string);
    let tied = if setpriv.exists() { tied.to_vec() } else { Vec::new() };
    let mut words = tied.iter().chain(prlimit);
    match words.next() {
        None => Command::new(program),
        Some(first) => {
            let mut command = Command::new(first);
            command.args(words).arg(program);
            command
        }
    }
}

/// What is said before a program to limit what it may have; nothing if all is as the test's own.
fn prlimit(options: &Options) -> Vec<String> {
    let mut words = Vec::new();
    words.extend(options.descriptors.map(|most| format!("--nofile={most}:{most}")));
    words.extend(options.address_space.map(|most| format!("--as={most}:{most}")));
    if !words.is_empty() {
        words.insert(0, "/usr/bin/prlimit".to_string());
    }
    words
}

/// A port that nobody listens on, and that no client is given for its own end: those are higher (`net.ipv4.ip_local_port_range`).
pub fn free() -> SocketAddr {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = std::process::id().wrapping_mul(331).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let address = SocketAddr::from(([127, 0, 0, 1], 10_000 + (step % 22_000) as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn settings_text(folder: &Path, addresses: &Addresses, options: &Options) -> String {
    let quoted = |text: String| format!("{text:?}");
    let within = |name: &str| quoted(folder.join(name).display().to_string());
    let mut tables: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    let mut set = |table, key, value| tables.entry(table).or_default().insert(key, value);
    set("store", "path", within("store"));
    set("metrics", "listen", quoted("127.0.0.1:0".to_string()));
    set("runtime", "dir", within("run"));
    set("listen", "imap", format!("[\"{}\"]", addresses.imap));
    set("listen", "pop3", format!("[\"{}\"]", addresses.pop3));
    set("listen", "lmtp", format!("[\"{}\", \"unix:{}\"]", addresses.lmtp, folder.join("lmtp").display()));
    set("handlers", "max", options.handlers.to_string());
    set("handlers", "sessions", options.sessions.to_string());
    set("auth", "users", within("users"));
    for (table, key, value) in &options.settings {
        set(table, key, value.replace("{folder}", &folder.display().to_string()));
    }
    let mut text = String::new();
    for (table, keys) in tables {
        text.push_str(&format!("[{table}]\n"));
        keys.iter().for_each(|(key, value)| text.push_str(&format!("{key} = {value}\n")));
    }
    text
}
