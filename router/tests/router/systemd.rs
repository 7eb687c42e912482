//! The router as a service: this test plays systemd's part. It makes a socket, hears notifications, and keeps what is given to it.

use crate::rig::{Client, PLAIN, Plan, Rig, eventually, prepare};
use nix::sys::signal::Signal;
use shm_abi::inherited;
use std::fs::{self, File};
use std::io::IoSliceMut;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

/// The manager: what it was told, and what it keeps.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    told: Mutex<Vec<String>>,
    kept: Mutex<Vec<(String, OwnedFd)>>,
}

impl Manager {
    fn new(folder: &Path) -> Manager {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Manager { socket, path, told: Mutex::default(), kept: Mutex::default() }
    }

    fn hear(&self) {
        use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
        loop {
            let mut octets = [0; 1024];
            let mut slices = [IoSliceMut::new(&mut octets)];
            let mut space = nix::cmsg_space!([i32; 4]);
            let flags = MsgFlags::MSG_DONTWAIT;
            let Ok(message) = recvmsg::<()>(self.socket.as_raw_fd(), &mut slices, Some(&mut space), flags)
            else {
                return;
            };
            let numbers: Vec<i32> = message
                .cmsgs()
                .unwrap()
                .filter_map(|each| match each {
                    ControlMessageOwned::ScmRights(numbers) => Some(numbers),
                    _ => None,
                })
                .flatten()
                .collect();
            let count = message.bytes;
            let text = String::from_utf8_lossy(&octets[..count]).into_owned();
            if let Some(name) = text.strip_prefix("FDSTORE=1\nFDNAME=") {
                // Just received, so that nobody else has them.
                let descriptors = numbers.into_iter().filter_map(inherited);
                self.kept.lock().unwrap().extend(descriptors.map(|each| (name.to_string(), each)));
            }
            if text.starts_with("FDSTOREREMOVE=1") {
                self.kept.lock().unwrap().clear();
            }
            self.told.lock().unwrap().push(text);
        }
    }

    fn was_told(&self, text: &str) -> bool {
        self.hear();
        self.told.lock().unwrap().iter().any(|told| told.starts_with(text))
    }

    /// Starts the router with sockets in the place where systemd puts them: at most two.
    fn start(&self, folder: &Path, sockets: Vec<(String, OwnedFd)>) -> Child {
        let names: Vec<String> = sockets.iter().map(|(name, _)| name.clone()).collect();
        let count = sockets.len();
        assert!(count <= 2);
        let mut sockets = sockets.into_iter().map(|(_, socket)| Stdio::from(socket));
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = Command::new("sh");
        let moved = ["", "exec 3<&0 0</dev/null; ", "exec 3<&0 4<&1 0</dev/null 1>&2; "][count];
        command.arg("-c").arg(format!(
            "{moved}LISTEN_PID=$$ exec {0}/bin/router --config {0}/lode.toml",
            folder.display()
        ));
        command.stdin(sockets.next().unwrap_or_else(Stdio::null));
        command.stdout(sockets.next().unwrap_or_else(Stdio::null));
        command.env(crate::fake::FOLDER, folder).env("RUST_BACKTRACE", "0");
        command.env("LISTEN_FDS", count.to_string()).env("LISTEN_FDNAMES", names.join(":"));
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", "1000000");
        command.stderr(log).spawn().unwrap()
    }
}

#[test]
fn a_socket_unit_takes_the_place_of_the_settings_and_systemd_is_told() {
    let folder = prepare(&PLAIN);
    let manager = Manager::new(&folder);
    let imap = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = imap.local_addr().unwrap();
    let router = manager.start(&folder, vec![("imap".into(), imap.into())]);
    let mut rig = Rig { folder, router };
    rig.log_has("listening protocol=lmtp");
    assert_eq!(rig.address("imap"), address);
    assert_eq!(rig.log_count("listening protocol=imap"), 1);
    assert!(rig.connect("imap").line().starts_with("handler "));
    for text in ["READY=1", "STATUS=", "WATCHDOG=1"] {
        eventually(text, || manager.was_told(text), || rig.log());
    }
    let kept = manager.kept.lock().unwrap().len();
    assert_eq!(kept, 2, "those of POP3 and LMTP; the unit's is systemd's own");
    rig.signal(Signal::SIGHUP);
    eventually("reloading", || manager.was_told("RELOADING=1"), || rig.log());
    rig.signal(Signal::SIGTERM);
    assert_eq!(rig.exit_code(), Some(0));
    assert!(manager.was_told("STOPPING=1"));
}

#[test]
fn who_connects_while_the_router_is_dead_waits_for_the_next() {
    let folder = prepare(&Plan { ..PLAIN });
    let text = fs::read_to_string(folder.join("lode.toml")).unwrap();
    // One that no client of another test is given for its own end: those are higher (`net.ipv4.ip_local_port_range`).
    let port = format!("127.0.0.1:{}", 9_000 + std::process::id() % 1_000);
    fs::write(
        folder.join("lode.toml"),
        text.replace("pop3 = [\"127.0.0.1:0\"]", &format!("pop3 = [\"{port}\"]")),
    )
    .unwrap();
    let manager = Manager::new(&folder);
    let router = manager.start(&folder, Vec::new());
    let mut rig = Rig { folder, router };
    rig.log_has("handler-started");
    eventually("READY", || manager.was_told("READY=1"), || rig.log());
    let kept = std::mem::take(&mut *manager.kept.lock().unwrap());
    assert_eq!(kept.len(), 3);
    // Two are as many as this can give back; that of IMAP is on a port that nobody asked for.
    let is_wanted = |(_, socket): &(String, OwnedFd)| {
        let bound: nix::sys::socket::SockaddrStorage =
            nix::sys::socket::getsockname(socket.as_raw_fd()).unwrap();
        bound.as_sockaddr_in().is_none() || bound.to_string() == port
    };
    let wanted: Vec<_> = kept.into_iter().filter(is_wanted).collect();
    assert_eq!(wanted.len(), 2);
    rig.router.kill().unwrap();
    rig.router.wait().unwrap();
    let mut pop3 = Client::new(TcpStream::connect(&port).expect("the socket lives on"));
    let mut lmtp = Client::unix(&rig.runtime().join("lmtp"));
    rig.router = manager.start(&rig.folder, wanted);
    assert!(pop3.line().starts_with("handler "), "{}", rig.log());
    assert!(lmtp.line().starts_with("handler "), "{}", rig.log());
    assert!(!rig.log().contains("socket-not-taken"), "{}", rig.log());
    // Each start has systemd keep what it has then.
    eventually(
        "kept again",
        || manager.was_told("READY=1") && manager.kept.lock().unwrap().len() == 3,
        || rig.log(),
    );
    rig.signal(Signal::SIGTERM);
    assert_eq!(rig.exit_code(), Some(0));
}
