//! What systemd is told (sd_notify(3)): ready, reloading, stopping, a line of status, that the watchdog may be quiet; and the
//! listening sockets, which it keeps while this program is started again.
//!
//! The protocol is one datagram of lines, so it is spoken here: its crate would open a socket for each and wait for systemd, and a
//! router waits for nobody. Without systemd nothing is sent. A message that finds no room is dropped; the next tick repeats what matters.

use crate::log::{Level, event};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket,
};
use nix::time::{ClockId, clock_gettime};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::{env, io, process};

/// The variables by which systemd speaks to a service. Handlers do not get them: they are no service.
pub(crate) const VARIABLES: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// The way to systemd, if it started us.
#[derive(Debug)]
pub(crate) struct Notify {
    to: Option<(OwnedFd, UnixAddr)>,
    /// How often the watchdog is fed, in milliseconds.
    feed_every_ms: Option<u64>,
    fed_ms: u64,
    told: String,
}

impl Notify {
    /// By the environment.
    pub(crate) fn from_environment() -> Notify {
        let to = env::var("NOTIFY_SOCKET").ok().filter(|path| !path.is_empty()).and_then(|path| {
            let opened = open(&path);
            opened.inspect_err(|error| event(Level::Warn, "systemd-not-told", &[("why", error)])).ok()
        });
        let is_ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == process::id().to_string());
        let usec =
            env::var("WATCHDOG_USEC").ok().filter(|_| is_ours).and_then(|text| text.parse::<u64>().ok());
        // Half of it, as sd_watchdog_enabled(3) advises.
        let feed_every_ms = usec.filter(|usec| *usec > 0).map(|usec| (usec / 2000).max(1));
        Notify { to, feed_every_ms, fed_ms: 0, told: String::new() }
    }

    /// Connections are taken.
    pub(crate) fn ready(&self) {
        self.send("READY=1", &[]);
    }

    /// New settings are read, or another program takes over; [`Notify::ready`] ends it.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map_or(0, |now| now.tv_sec() as u64 * 1_000_000 + now.tv_nsec() as u64 / 1000);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}"), &[]);
    }

    /// No more connections are taken.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1", &[]);
    }

    /// What the service does, for `systemctl status`. Sent when it is another than before.
    pub(crate) fn status(&mut self, text: String) {
        if self.to.is_some() && text != self.told {
            self.send(&format!("STATUS={text}"), &[]);
            self.told = text;
        }
    }

    /// Feeds the watchdog if it is time to. Called after a look at all handlers.
    pub(crate) fn feed(&mut self, now_ms: u64) {
        if self.feed_every_ms.is_some_and(|every| now_ms >= self.fed_ms + every) {
            self.fed_ms = now_ms;
            self.send("WATCHDOG=1", &[]);
        }
    }

    /// Has systemd keep a descriptor under a name, to be given back when the service is started again.
    pub(crate) fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) {
        self.send(&format!("FDSTORE=1\nFDNAME={name}"), &[descriptor]);
    }

    /// Has systemd forget what it keeps under a name.
    pub(crate) fn forget(&self, name: &str) {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), &[]);
    }

    fn send(&self, text: &str, descriptors: &[BorrowedFd<'_>]) {
        let Some((socket, address)) = &self.to else { return };
        let raw: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &rights[..0] } else { &rights[..] };
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let slices = [IoSlice::new(text.as_bytes())];
        if let Err(errno) = sendmsg(socket.as_raw_fd(), &slices, control, flags, Some(address)) {
            event(Level::Warn, "systemd-not-told", &[("what", &text), ("why", &errno.desc())]);
        }
    }
}

/// A socket, and the address of the other end: a path, or with a leading @ a name that is in no folder.
fn open(path: &str) -> io::Result<(OwnedFd, UnixAddr)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    let address = match path.strip_prefix('@') {
        Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
        None => UnixAddr::new(Path::new(path))?,
    };
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{RecvMsg, recvmsg};
    use std::io::IoSliceMut;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    fn notify(socket: &str, feed_every_ms: Option<u64>) -> Notify {
        Notify { to: Some(open(socket).unwrap()), feed_every_ms, fed_ms: 0, told: String::new() }
    }

    #[test]
    fn lines_and_descriptors_arrive() {
        let path = env::temp_dir().join(format!("lode-notify-{}", process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut notify = notify(path.to_str().unwrap(), Some(500));
        std::fs::remove_file(&path).ok();
        notify.ready();
        assert!(socket.recv(&mut [0; 64]).is_err(), "nobody is there any more");
        let path = path.with_extension("2");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        notify.to = Some(open(path.to_str().unwrap()).unwrap());
        let next = || {
            let mut octets = [0; 256];
            socket.recv(&mut octets).ok().map(|count| String::from_utf8_lossy(&octets[..count]).into_owned())
        };
        notify.ready();
        assert_eq!(next().as_deref(), Some("READY=1"));
        notify.status("a".into());
        notify.status("a".into());
        assert_eq!((next().as_deref(), next()), (Some("STATUS=a"), None));
        notify.feed(499);
        assert_eq!(next(), None);
        notify.feed(500);
        assert_eq!(next().as_deref(), Some("WATCHDOG=1"));
        notify.reloading();
        assert!(next().unwrap().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        notify.keep("listen", socket.as_fd());
        let mut octets = [0; 64];
        let mut slices = [IoSliceMut::new(&mut octets)];
        let mut space = nix::cmsg_space!([i32; 1]);
        let got: RecvMsg<'_, '_, ()> =
            recvmsg(socket.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::empty()).unwrap();
        assert_eq!(got.cmsgs().unwrap().count(), 1);
        let count = got.bytes;
        assert_eq!(&octets[..count], b"FDSTORE=1\nFDNAME=listen");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn without_systemd_nothing_happens() {
        let mut notify = Notify { to: None, feed_every_ms: None, fed_ms: 0, told: String::new() };
        notify.ready();
        notify.feed(1000);
        assert!(open("@lode-no-such-name").is_ok(), "a name in no folder");
    }
}
