//! Sockets that systemd gives at the start (sd_listen_fds(3)): those of socket units, and those that an earlier run of this program
//! left in its store.
//!
//! A socket unit's name says the protocol: `FileDescriptorName=imap`, `imaps`, `pop3`, `pop3s` or `lmtp`. Its sockets take the place of all addresses
//! of that protocol in the settings. What the store gives back is named [`STORED`], and is taken for the address of the settings
//! that it is bound to; one that the settings do not have any more is closed.

use crate::listen::{Listener, Service};
use crate::log::{Level, event};
use config::Listen;
use nix::sys::socket::{SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt};
use shm_abi::inherited;
use std::os::fd::{AsRawFd, OwnedFd};
use std::{env, io, process};

/// The name of our own sockets in systemd's store.
pub(crate) const STORED: &str = "lode-listening";
/// The first descriptor that is passed.
const FIRST: i32 = 3;
/// More than any settings have.
const SOCKETS_MAX: i32 = 1024;

/// What was given and is not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Given {
    units: Vec<(Service, OwnedFd)>,
    stored: Vec<(Listen, OwnedFd)>,
}

impl Given {
    /// Takes what this process was given. Called once, at the start of the program, before anything else is opened.
    pub(crate) fn take() -> Given {
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<i32>().ok());
        let mut given = Given::default();
        if number("LISTEN_PID") != i32::try_from(process::id()).ok() {
            return given;
        }
        let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, SOCKETS_MAX);
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        for descriptor in FIRST..FIRST + count {
            let name = names.next().unwrap_or_default();
            // The first number is for what `main` puts there.
            let Some(socket) = inherited(descriptor).and_then(|socket| socket.try_clone().ok()) else {
                continue;
            };
            match service(name) {
                Some(service) => given.units.push((service, socket)),
                None if name == STORED => match address(&socket) {
                    Ok(address) => given.stored.push((address, socket)),
                    Err(error) => not_taken(name, &error),
                },
                None => not_taken(name, &"its FileDescriptorName is none of imap, imaps, pop3, pop3s, lmtp"),
            }
        }
        given
    }

    /// The listeners that socket units made for this service.
    pub(crate) fn of_units(&mut self, service: Service) -> Vec<Listener> {
        let (ours, others) =
            std::mem::take(&mut self.units).into_iter().partition(|(unit, _)| *unit == service);
        self.units = others;
        let ours: Vec<(Service, OwnedFd)> = ours;
        ours.into_iter().filter_map(|(_, socket)| listener(service, socket, true)).collect()
    }

    /// The listener that the store has for this address.
    pub(crate) fn of_store(&mut self, service: Service, wanted: &Listen) -> Option<Listener> {
        let at = self.stored.iter().position(|(address, _)| address == wanted)?;
        listener(service, self.stored.remove(at).1, false)
    }
}

fn listener(service: Service, socket: OwnedFd, is_of_unit: bool) -> Option<Listener> {
    let listener = address(&socket).and_then(|address| Listener::given(service, address, socket, is_of_unit));
    listener.inspect_err(|error| not_taken(service.name(), error)).ok()
}

/// By the name of a socket unit: its FileDescriptorName, or what that is if none is given.
fn service(name: &str) -> Option<Service> {
    let name = name.strip_suffix(".socket").unwrap_or(name);
    Service::named(name.strip_prefix("lode-").unwrap_or(name))
}

/// Where a listening stream socket listens.
fn address(socket: &OwnedFd) -> io::Result<Listen> {
    if !getsockopt(socket, sockopt::AcceptConn)? {
        return Err(io::Error::other("it is not a listening socket"));
    }
    let bound: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    let tcp = bound.as_sockaddr_in().map(|address| (*address).into());
    let tcp = tcp.or_else(|| bound.as_sockaddr_in6().map(|address| (*address).into()));
    if let Some(address) = tcp {
        return Ok(Listen::Tcp(address));
    }
    match bound.as_unix_addr().and_then(|unix| unix.path()) {
        Some(path) => Ok(Listen::Unix(path.to_path_buf())),
        None => Err(io::Error::other(format!("its address is of the family {:?}", bound.family()))),
    }
}

fn not_taken(name: &str, why: &dyn std::fmt::Display) {
    event(Level::Warn, "socket-not-taken", &[("name", &name), ("why", why)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_unit_is_known_by_its_name() {
        for name in ["imap", "lode-imap.socket", "lode-imap", "imap.socket"] {
            assert_eq!(service(name), Some(Service::Imap), "{name}");
        }
        for name in ["", "unknown", "lode.socket", STORED] {
            assert_eq!(service(name), None, "{name}");
        }
    }

    #[test]
    fn addresses_are_read_from_sockets() {
        let tcp = TcpListener::bind("[::1]:0").unwrap();
        let wanted = Listen::Tcp(tcp.local_addr().unwrap());
        assert_eq!(address(&tcp.into()).unwrap(), wanted);
        let path = env::temp_dir().join(format!("lode-activation-{}", process::id()));
        let unix = UnixListener::bind(&path).unwrap();
        assert_eq!(address(&unix.into()).unwrap(), Listen::Unix(path.clone()));
        std::fs::remove_file(path).unwrap();
        let (stream, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(address(&stream.into()).is_err());
    }

    #[test]
    fn a_unit_takes_the_place_of_the_settings_and_the_store_that_of_one_address() {
        let socket = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (unit, stored) = (socket(), socket());
        let at = Listen::Tcp(stored.local_addr().unwrap());
        let mut given =
            Given { units: vec![(Service::Imap, unit.into())], stored: vec![(at.clone(), stored.into())] };
        assert_eq!(given.of_units(Service::Pop3).len(), 0);
        assert_eq!(given.of_units(Service::Imap).len(), 1);
        assert_eq!(given.of_units(Service::Imap).len(), 0);
        assert!(given.of_store(Service::Pop3, &"127.0.0.1:1".parse().unwrap()).is_none());
        assert!(given.of_store(Service::Pop3, &at).is_some());
        assert!(given.of_store(Service::Pop3, &at).is_none());
    }
}
