//! A service manager as systemd is one: it hears what its service tells, keeps the descriptors that it is given (sd_pid_notify_with_fds(3)), and hands them to the
//! next process of the service (sd_listen_fds(3)).

use nix::cmsg_space;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::ffi::OsString;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

/// Longest notification, in octets.
const NOTIFICATION_MAX: usize = 1024;
/// The first descriptor that a service is handed (sd_listen_fds(3)).
const FIRST: usize = 3;

/// Where descriptors are on their way to their places: behind all others of a test.
const AWAY: usize = 500;

/// What was heard.
#[derive(Debug, Default)]
struct Heard {
    notifications: Vec<String>,
    kept: Vec<(String, OwnedFd)>,
}

/// A service manager with one service.
#[derive(Debug)]
pub struct ServiceManager {
    path: PathBuf,
    heard: Arc<Mutex<Heard>>,
}

impl ServiceManager {
    /// One that listens in `folder`, for as long as the test runs.
    pub fn new(folder: &Path) -> ServiceManager {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket for notifications");
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let hearing = Arc::clone(&heard);
        thread::spawn(move || while hear(&socket, &hearing) {});
        ServiceManager { path, heard }
    }

    /// Whether a notification begins so.
    pub fn was_told(&self, text: &str) -> bool {
        self.heard.lock().expect("no panic").notifications.iter().any(|told| told.starts_with(text))
    }

    /// The names of the descriptors that are kept, sorted.
    pub fn kept(&self) -> Vec<String> {
        let heard = self.heard.lock().expect("no panic");
        let mut names: Vec<String> = heard.kept.iter().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Has `command` run as the service: with a way to tell, and with what was kept. That is given away by this: as after each start of a
    /// service, it keeps what the new process wants to be kept. Needs bash, and a test process that starts nothing else meanwhile.
    pub(crate) fn service(&self, command: &Command) -> (Command, Vec<OwnedFd>) {
        let kept = std::mem::take(&mut self.heard.lock().expect("no panic").kept);
        let (names, descriptors): (Vec<String>, Vec<OwnedFd>) = kept.into_iter().unzip();
        let mut moves = String::new();
        for (at, descriptor) in descriptors.iter().enumerate() {
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty())).expect("a descriptor to be inherited");
            // First away from where the others go.
            moves += &format!("exec {}<&{} ", AWAY + at, descriptor.as_raw_fd());
            moves += &format!("{}<&-\n", descriptor.as_raw_fd());
        }
        for at in 0..descriptors.len() {
            moves += &format!("exec {}<&{} {}<&-\n", FIRST + at, AWAY + at, AWAY + at);
        }
        let mut service = Command::new("bash");
        service.arg("-c").arg(format!("{moves}LISTEN_PID=$$ exec \"$@\"")).arg("service");
        service.arg(command.get_program()).args(command.get_args());
        service.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", "10000000");
        service.env("LISTEN_FDS", descriptors.len().to_string());
        service.env("LISTEN_FDNAMES", OsString::from(names.join(":")));
        (service, descriptors)
    }
}

/// Hears one notification; false when there will be none.
fn hear(socket: &UnixDatagram, into: &Mutex<Heard>) -> bool {
    let mut octets = [0; NOTIFICATION_MAX];
    let mut slices = [IoSliceMut::new(&mut octets)];
    let mut space = cmsg_space!([i32; 4]);
    let Ok(message) =
        recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
    else {
        return false;
    };
    let received = message.cmsgs().expect("room for all descriptors").filter_map(|each| match each {
        ControlMessageOwned::ScmRights(numbers) => Some(numbers),
        _ => None,
    });
    let descriptors: Vec<OwnedFd> = received.flatten().filter_map(shm_abi::inherited).collect();
    let count = message.bytes;
    let text = String::from_utf8_lossy(&octets[..count]).into_owned();
    let mut heard = into.lock().expect("no panic");
    if let Some(name) = text.strip_prefix("FDSTORE=1\nFDNAME=") {
        heard.kept.extend(descriptors.into_iter().map(|each| (name.to_string(), each)));
    }
    if let Some(name) = text.strip_prefix("FDSTOREREMOVE=1\nFDNAME=") {
        heard.kept.retain(|(kept, _)| kept != name);
    }
    heard.notifications.push(text);
    true
}
