#![allow(unsafe_code)]
//! Records with descriptors over a SOCK_SEQPACKET socket.
//!
//! Used between router and handlers and on the control socket. Every descriptor that arrives is owned at once and
//! closed on exec. A message whose descriptors did not all arrive (the receiver is at its limit: the kernel then gives
//! the record and sets MSG_CTRUNC) is [`ReceiveError::DescriptorsLost`], with the record, so that it can be answered.

use crate::wire::{self, MAX_RECORD_OCTETS, WireError};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, getsockopt, sendmsg, setsockopt, socketpair,
    sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::IoSlice;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::{fmt, io, ptr};

/// Most descriptors in one message; the kernel's own limit is 253.
const MAX_DESCRIPTORS: usize = 128;
const CONTROL_WORDS: usize =
    (size_of::<libc::cmsghdr>() + MAX_DESCRIPTORS * size_of::<RawFd>()).div_ceil(8) + 2;

/// One end of a channel. Sending takes `&self` and may be done by several threads; receiving needs the buffer.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// A record and what came with it.
#[derive(Debug)]
pub struct Incoming<T> {
    /// The record.
    pub record: T,
    /// The descriptors, in the order they were sent.
    pub descriptors: Vec<OwnedFd>,
}

/// Why nothing was sent.
#[derive(Debug)]
pub enum SendError {
    /// The other end is not reading fast enough; try when the socket is writable.
    WouldBlock,
    /// The other end is gone.
    Closed,
    /// The record cannot be encoded.
    Wire(WireError),
    /// Another refusal of the operating system. ETOOMANYREFS: too many descriptors are on their way.
    Os(Errno),
}

/// Why nothing whole was received.
#[derive(Debug)]
pub enum ReceiveError<T> {
    /// Nothing there; try when the socket is readable.
    WouldBlock,
    /// The other end is gone.
    Closed,
    /// The record came, and not all of its descriptors; those that did are closed.
    DescriptorsLost(T),
    /// What came is no record.
    Wire(WireError),
    /// Another refusal of the operating system.
    Os(Errno),
}

impl fmt::Display for SendError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::WouldBlock => out.write_str("the channel is full"),
            SendError::Closed => out.write_str("the channel is closed"),
            SendError::Wire(error) => error.fmt(out),
            SendError::Os(errno) => out.write_str(errno.desc()),
        }
    }
}

impl<T> fmt::Display for ReceiveError<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiveError::WouldBlock => out.write_str("nothing to receive"),
            ReceiveError::Closed => out.write_str("the channel is closed"),
            ReceiveError::DescriptorsLost(_) => out.write_str("no descriptor left for what was passed"),
            ReceiveError::Wire(error) => error.fmt(out),
            ReceiveError::Os(errno) => out.write_str(errno.desc()),
        }
    }
}

impl std::error::Error for SendError {}

impl<T: fmt::Debug> std::error::Error for ReceiveError<T> {}

impl Channel {
    /// Two connected ends, both closed on exec.
    pub fn pair() -> io::Result<(Channel, Channel)> {
        let (one, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Channel::with_room(one)?, Channel::with_room(other)?))
    }

    /// A channel over a connected SOCK_SEQPACKET socket.
    pub fn new(socket: OwnedFd) -> Channel {
        Channel { socket, buffer: Vec::new() }
    }

    /// The channel whose descriptor's number the environment variable `variable` holds, as a handler is started.
    /// Closes it on exec. `None` if there is no such variable or the number is not an open descriptor.
    ///
    /// Call it once, at the start of the program: the descriptor is owned afterwards.
    pub fn from_environment(variable: &str) -> Option<Channel> {
        inherited(std::env::var(variable).ok()?.parse().ok()?).map(Channel::new)
    }

    /// Room for the largest record, whatever the machine's default is.
    pub(crate) fn with_room(socket: OwnedFd) -> io::Result<Channel> {
        // The kernel doubles the number for its own needs.
        setsockopt(&socket, sockopt::SndBuf, &(2 * MAX_RECORD_OCTETS))?;
        Ok(Channel::new(socket))
    }

    /// The process at the other end, as it was when it connected.
    pub fn peer_pid(&self) -> io::Result<u32> {
        Ok(getsockopt(&self.socket, sockopt::PeerCredentials)?.pid().max(0) as u32)
    }

    /// The user of the process at the other end, as it was when it connected.
    pub fn peer_uid(&self) -> io::Result<u32> {
        Ok(getsockopt(&self.socket, sockopt::PeerCredentials)?.uid())
    }

    /// Sends and receives return `WouldBlock` instead of waiting.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let mut flags = OFlag::from_bits_truncate(fcntl(&self.socket, FcntlArg::F_GETFL)?);
        flags.set(OFlag::O_NONBLOCK, nonblocking);
        fcntl(&self.socket, FcntlArg::F_SETFL(flags))?;
        Ok(())
    }

    /// Sends a record with descriptors, whole or not at all.
    pub fn send<T: Serialize>(&self, record: &T, descriptors: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        assert!(descriptors.len() <= MAX_DESCRIPTORS);
        let bytes = wire::encode(record).map_err(SendError::Wire)?;
        let mut raw = [0; MAX_DESCRIPTORS];
        for (place, descriptor) in raw.iter_mut().zip(descriptors) {
            *place = descriptor.as_raw_fd();
        }
        let rights = [ControlMessage::ScmRights(&raw[..descriptors.len()])];
        let control = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
        loop {
            let slices = [IoSlice::new(&bytes)];
            let sent = sendmsg::<()>(self.socket.as_raw_fd(), &slices, control, MsgFlags::MSG_NOSIGNAL, None);
            return match sent {
                Ok(_) => Ok(()),
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => Err(SendError::WouldBlock),
                Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN) => Err(SendError::Closed),
                Err(errno) => Err(SendError::Os(errno)),
            };
        }
    }

    /// Receives one record.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<Incoming<T>, ReceiveError<T>> {
        // Reserved, not filled: pages that no record reaches cost no memory.
        self.buffer.clear();
        self.buffer.reserve(MAX_RECORD_OCTETS);
        let mut control = [0u64; CONTROL_WORDS];
        let mut slice = libc::iovec { iov_base: self.buffer.as_mut_ptr().cast(), iov_len: MAX_RECORD_OCTETS };
        // SAFETY: all zeros is a valid msghdr.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_iov = ptr::from_mut(&mut slice);
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of::<[u64; CONTROL_WORDS]>();
        let mut was_reset = false;
        let length = loop {
            // SAFETY: the header names one buffer and one control buffer, both ours and as long as it says.
            let got = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &mut header, libc::MSG_CMSG_CLOEXEC) };
            match Errno::result(got) {
                Ok(length) => break length as usize,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return Err(ReceiveError::WouldBlock),
                // The other end closed with something unread, which the kernel says once, before it gives what that end had sent. The last that
                // a process said is what others rely on when it has died.
                Err(Errno::ECONNRESET) if !was_reset => was_reset = true,
                Err(Errno::ECONNRESET) => return Err(ReceiveError::Closed),
                Err(errno) => return Err(ReceiveError::Os(errno)),
            }
        };
        // SAFETY: recvmsg wrote `length` octets, at most the MAX_RECORD_OCTETS reserved.
        unsafe { self.buffer.set_len(length) };
        // SAFETY: recvmsg just filled this header, and its control buffer lives.
        let descriptors = unsafe { take_descriptors(&header) };
        if length == 0 {
            // No record is empty, so this is the end of the stream.
            return Err(ReceiveError::Closed);
        }
        if header.msg_flags & libc::MSG_TRUNC != 0 {
            return Err(ReceiveError::Wire(WireError::TooLarge));
        }
        let record = wire::decode(&self.buffer).map_err(ReceiveError::Wire)?;
        if header.msg_flags & libc::MSG_CTRUNC != 0 {
            return Err(ReceiveError::DescriptorsLost(record));
        }
        Ok(Incoming { record, descriptors })
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> OwnedFd {
        channel.socket
    }
}

/// A descriptor that this program was started with, by its number; closed on exec from now on. `None` if the number is not an open
/// descriptor, or that of a standard stream.
///
/// Call it at the start of the program, and once for a number: the descriptor is owned afterwards.
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: F_SETFD on a number that may not be open is an error and nothing else.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return None;
    }
    // SAFETY: open, as just seen; given to this program by who started it for this purpose, and not owned by anything
    // else in it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Owns every descriptor that came with a message.
///
/// # Safety
/// `header` was filled by a successful recvmsg, its control buffer lives, and this is called once for it.
unsafe fn take_descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut taken = Vec::new();
    // SAFETY: the kernel wrote whole control messages within msg_controllen; CMSG_* walk them. The data of an
    // SCM_RIGHTS message is an array of new descriptors that nobody else owns; it may be unaligned.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(found) = message.as_ref() {
            if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_RIGHTS {
                let data = libc::CMSG_DATA(message).cast::<RawFd>();
                let octets = found.cmsg_len - (data as usize - message as usize);
                for at in 0..octets / size_of::<RawFd>() {
                    taken.push(OwnedFd::from_raw_fd(data.add(at).read_unaligned()));
                }
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    taken
}

#[cfg(test)]
mod tests;
