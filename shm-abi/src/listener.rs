#![allow(unsafe_code)]
//! Channels by name: a SOCK_SEQPACKET socket in the file system, listened on by the router and connected to by tools.

use crate::channel::Channel;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// A listening socket; accepts without blocking.
#[derive(Debug)]
pub struct ChannelListener {
    socket: OwnedFd,
}

impl ChannelListener {
    /// Listens at `path`, where nothing may be yet.
    pub fn bind(path: &Path) -> io::Result<ChannelListener> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        listen(&socket, Backlog::new(64)?)?;
        Ok(ChannelListener { socket })
    }

    /// A listening socket that this program was started with.
    pub fn new(socket: OwnedFd) -> ChannelListener {
        ChannelListener { socket }
    }

    /// The next who connected, as a channel that does not block; `None` if there is none.
    pub fn accept(&self) -> io::Result<Option<Channel>> {
        match accept4(self.socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
            // SAFETY: a descriptor the kernel just made for us; nothing else owns it.
            Ok(descriptor) => Channel::with_room(unsafe { OwnedFd::from_raw_fd(descriptor) }).map(Some),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for ChannelListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Channel {
    /// Connects to a listener at `path`. No send or receive then waits longer than `patience`.
    pub fn connect(path: &Path, patience: Duration) -> io::Result<Channel> {
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        let patience = TimeVal::milliseconds(patience.as_millis().clamp(1, i64::MAX as u128) as i64);
        // Also bounds `connect`, which waits while the listener's queue is full.
        setsockopt(&socket, sockopt::SendTimeout, &patience)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        Channel::with_room(socket)
    }
}
