//! A connection the router holds: accepted, and not yet acknowledged by a handler.

use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use shm_abi::{Endpoint, Protocol};
use std::os::fd::{AsRawFd, OwnedFd};

/// One such connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: OwnedFd,
    pub(crate) protocol: Protocol,
    pub(crate) peer: Endpoint,
    pub(crate) local: Endpoint,
    /// When it was accepted, by the router's own clock.
    pub(crate) since_ms: u64,
    /// How many handlers had it and did not keep it.
    pub(crate) attempts: u32,
}

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Every handler is full, or none lives.
    Full,
    /// The server is ending.
    Stopping,
}

impl Client {
    /// Says in its protocol that there is no service now, and closes. Never waits: a client whose window is closed
    /// before the first octet gets nothing.
    pub(crate) fn turn_away(self, why: Refusal) {
        let why = match why {
            Refusal::Full => "Too many connections, try again later",
            Refusal::Stopping => "The server is being stopped, try again later",
        };
        let text = match self.protocol {
            // RFC 3501 section 7.1.5, RFC 5530 section 3.
            Protocol::Imap => format!("* BYE [UNAVAILABLE] {why}\r\n"),
            // RFC 3206 section 4.
            Protocol::Pop3 => format!("-ERR [SYS/TEMP] {why}\r\n"),
            // RFC 2033, RFC 3463 section 3.4.
            Protocol::Lmtp => format!("421 4.3.2 {why}\r\n"),
        };
        let socket = self.socket.as_raw_fd();
        let _ = send(socket, text.as_bytes(), MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        let _ = shutdown(socket, Shutdown::Write);
        // Closing over unread octets resets the connection, and the reset may overtake the text.
        let _ = recv(socket, &mut [0; 4096], MsgFlags::MSG_DONTWAIT);
    }
}
