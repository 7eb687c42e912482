//! The listening sockets: binds them, accepts in bursts, and stops accepting when descriptors run out.

use crate::activation::Given;
use crate::client::Client;
use config::{Listen, Settings};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, getsockopt, listen, setsockopt,
    socket, sockopt,
};
use nix::unistd::{Uid, User, chown};
use shm_abi::{Endpoint, Protocol};
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Connections the kernel may hold for us; it cuts the number to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What is spoken at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Imap,
    Imaps,
    Pop3,
    Pop3s,
    Lmtp,
}

impl Service {
    const ALL: [Service; 5] = [Service::Imap, Service::Imaps, Service::Pop3, Service::Pop3s, Service::Lmtp];

    /// As the settings call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Service::Imap => "imap",
            Service::Imaps => "imaps",
            Service::Pop3 => "pop3",
            Service::Pop3s => "pop3s",
            Service::Lmtp => "lmtp",
        }
    }

    /// The service of that name.
    pub(crate) fn named(name: &str) -> Option<Service> {
        Service::ALL.into_iter().find(|service| service.name() == name)
    }

    /// The protocol, perhaps under TLS.
    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Service::Imap | Service::Imaps => Protocol::Imap,
            Service::Pop3 | Service::Pop3s => Protocol::Pop3,
            Service::Lmtp => Protocol::Lmtp,
        }
    }

    /// Whether connections begin with a TLS handshake.
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Service::Imaps | Service::Pop3s)
    }
}

/// One listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) service: Service,
    pub(crate) address: Listen,
    kind: Kind,
    /// A socket unit made it: the file of a unix socket is systemd's.
    pub(crate) is_of_unit: bool,
    /// Set when the poll said so, until an accept finds nothing: events come once.
    pub(crate) ready: bool,
}

#[derive(Debug)]
enum Kind {
    Tcp { socket: mio::net::TcpListener, local: SocketAddr },
    Unix { socket: mio::net::UnixListener, path: PathBuf },
}

/// What one accept gave.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A connection: not blocking, closed on exec, without Nagle's delay.
    Client(Client),
    /// The connection was gone before we came to it; there may be others.
    Lost,
    /// No more now.
    Empty,
    /// No descriptor or no memory left, or another fault of the machine: trying at once would not help.
    Exhausted(io::Error),
}

/// Takes what systemd gave, and binds every other address of the settings, or says which one cannot be bound and why.
pub(crate) fn bind_all(
    settings: &Settings,
    mut given: Given,
    owner: Option<&User>,
) -> Result<Vec<Listener>, String> {
    let listen = &settings.listen;
    let services = [
        (Service::Imap, &listen.imap),
        (Service::Imaps, &listen.imaps),
        (Service::Pop3, &listen.pop3),
        (Service::Pop3s, &listen.pop3s),
        (Service::Lmtp, &listen.lmtp),
    ];
    let mut listeners = Vec::new();
    for (service, addresses) in services {
        let of_units = given.of_units(service);
        let wanted = if of_units.is_empty() { addresses.as_slice() } else { &[] };
        listeners.extend(of_units);
        for address in wanted {
            if let Some(listener) = given.of_store(service, address) {
                listeners.push(listener);
                continue;
            }
            let bound = match address {
                Listen::Tcp(address) => bind_tcp(*address),
                Listen::Unix(path) => bind_unix(path, owner),
            };
            let (kind, address) = bound
                .map_err(|error| format!("cannot listen for {} on {address}: {error}", service.name()))?;
            listeners.push(Listener { service, address, kind, is_of_unit: false, ready: true });
        }
    }
    Ok(listeners)
}

fn bind_tcp(address: SocketAddr) -> io::Result<(Kind, Listen)> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    // Accepted sockets inherit this one: it need not be set on each.
    setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
    if address.is_ipv6() {
        // So that "[::]:143" and "0.0.0.0:143" can both be given.
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    use std::os::fd::AsRawFd;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&fd, Backlog::new(BACKLOG)?)?;
    let socket = mio::net::TcpListener::from_std(fd.into());
    let local = socket.local_addr()?;
    Ok((Kind::Tcp { socket, local }, Listen::Tcp(local)))
}

fn bind_unix(path: &Path, owner: Option<&User>) -> io::Result<(Kind, Listen)> {
    remove_stale_socket(path)?;
    let socket = mio::net::UnixListener::bind(path)?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    // Whoever has an account here may deliver, as through sendmail; the folder's mode can narrow it.
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    give_to(path, owner)?;
    Ok((Kind::Unix { socket, path: path.to_path_buf() }, Listen::Unix(path.to_path_buf())))
}

/// Removes the socket of a dead process. A file that is no socket, and a socket somebody answers on, stay.
pub(crate) fn remove_stale_socket(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::other("there is a file there that is not a socket"));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).map_err(|error| error.raw_os_error().map(Errno::from_raw)) {
        Ok(_) => Err(io::Error::from(Errno::EADDRINUSE)),
        // A living socket of another type.
        Err(Some(Errno::EPROTOTYPE)) => Err(io::Error::from(Errno::EADDRINUSE)),
        Err(Some(Errno::ENOENT)) => Ok(()),
        Err(_) => fs::remove_file(path),
    }
}

/// Makes `path` the property of the user the daemons run as, when root is to become one.
pub(crate) fn give_to(path: &Path, owner: Option<&User>) -> io::Result<()> {
    match owner {
        Some(user) if Uid::effective().is_root() => Ok(chown(path, Some(user.uid), Some(user.gid))?),
        _ => Ok(()),
    }
}

impl Listener {
    /// A socket that listens already. Not a unix socket of our own whose file is gone: nobody would find it.
    pub(crate) fn given(
        service: Service,
        address: Listen,
        socket: OwnedFd,
        is_of_unit: bool,
    ) -> io::Result<Listener> {
        let kind = match &address {
            Listen::Tcp(local) => {
                setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
                let socket = std::net::TcpListener::from(socket);
                socket.set_nonblocking(true)?;
                Kind::Tcp { socket: mio::net::TcpListener::from_std(socket), local: *local }
            }
            Listen::Unix(path) => {
                if !is_of_unit {
                    fs::symlink_metadata(path)?;
                }
                let socket = std::os::unix::net::UnixListener::from(socket);
                socket.set_nonblocking(true)?;
                Kind::Unix { socket: mio::net::UnixListener::from_std(socket), path: path.clone() }
            }
        };
        Ok(Listener { service, address, kind, is_of_unit, ready: true })
    }

    /// Accepts one connection.
    pub(crate) fn accept(&self, now_ms: u64) -> Accepted {
        let accepted = match &self.kind {
            Kind::Tcp { socket, local } => socket.accept().map(|(stream, peer)| {
                let local =
                    if local.ip().is_unspecified() { stream.local_addr().unwrap_or(*local) } else { *local };
                (
                    OwnedFd::from(std::net::TcpStream::from(stream)),
                    Endpoint::Inet(peer),
                    Endpoint::Inet(local),
                )
            }),
            Kind::Unix { socket, .. } => socket.accept().map(|(stream, _)| {
                let local = Endpoint::Unix { pid: std::process::id(), uid: Uid::effective().as_raw() };
                let peer = match getsockopt(&stream, sockopt::PeerCredentials) {
                    Ok(who) => Endpoint::Unix { pid: who.pid().max(0) as u32, uid: who.uid() },
                    Err(_) => Endpoint::Unix { pid: 0, uid: u32::MAX },
                };
                (OwnedFd::from(std::os::unix::net::UnixStream::from(stream)), peer, local)
            }),
        };
        match accepted {
            Ok((socket, peer, local)) => {
                Accepted::Client(Client::new(socket, self.service.protocol(), peer, local, now_ms))
            }
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EAGAIN) => Accepted::Empty,
                // accept(2) hands over errors of the connection and of its network.
                Some(
                    Errno::ECONNABORTED
                    | Errno::EINTR
                    | Errno::EPERM
                    | Errno::EPROTO
                    | Errno::ENOPROTOOPT
                    | Errno::EOPNOTSUPP
                    | Errno::ENETDOWN
                    | Errno::ENETUNREACH
                    | Errno::EHOSTDOWN
                    | Errno::EHOSTUNREACH
                    | Errno::ENONET
                    | Errno::ETIMEDOUT,
                ) => Accepted::Lost,
                _ => Accepted::Exhausted(error),
            },
        }
    }

    /// The socket, to poll.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Tcp { socket, .. } => socket.as_fd(),
            Kind::Unix { socket, .. } => socket.as_fd(),
        }
    }

    /// Stops listening; a unix socket's file goes.
    pub(crate) fn close(self) {
        if let Kind::Unix { path, .. } = &self.kind
            && !self.is_of_unit
        {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_the_dead_are_replaced_and_nothing_else() {
        let dir = std::env::temp_dir().join(format!("lode-listen-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("lmtp");
        bind_unix(&path, None).unwrap();
        assert!(path.exists(), "the listener is dropped, its file stays, as after a kill");
        let (alive, _) = bind_unix(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(bind_unix(&path, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(alive);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(bind_unix(&path, None).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn accepted_sockets_have_no_delay_and_do_not_block() {
        let (kind, address) = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let Listen::Tcp(target) = address.clone() else { panic!() };
        let listener = Listener { service: Service::Imap, address, kind, is_of_unit: false, ready: true };
        assert!(matches!(listener.accept(0), Accepted::Empty));
        let caller = std::net::TcpStream::connect(target).unwrap();
        let Accepted::Client(client) = listener.accept(9) else { panic!() };
        assert_eq!(client.peer, Endpoint::Inet(caller.local_addr().unwrap()));
        assert_eq!(client.local, Endpoint::Inet(target));
        assert!(getsockopt(&client.socket, sockopt::TcpNoDelay).unwrap());
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let flags = OFlag::from_bits_truncate(fcntl(&client.socket, FcntlArg::F_GETFL).unwrap());
        assert!(flags.contains(OFlag::O_NONBLOCK));
    }
}
