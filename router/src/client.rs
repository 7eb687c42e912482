//! A connection the router holds: accepted and not yet acknowledged by a handler, or between two handlers, or kept for the
//! case that its handler dies.

use crate::adoption::Resume;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use shm_abi::{Endpoint, Protocol, TlsFacts};
use std::os::fd::{AsRawFd, OwnedFd};

/// One such connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: OwnedFd,
    pub(crate) protocol: Protocol,
    pub(crate) peer: Endpoint,
    pub(crate) local: Endpoint,
    /// What it was agreed on with the peer, if `socket` is what the process that speaks TLS has given for it.
    pub(crate) tls: Option<TlsFacts>,
    /// The peer was told to begin a handshake: what `socket` carries is no protocol of ours.
    pub(crate) is_at_handshake: bool,
    /// When it was accepted, by the router's own clock.
    pub(crate) since_ms: u64,
    /// How many handlers had it and did not keep it.
    pub(crate) attempts: u32,
    /// How many handlers died of themselves, or hung, while they worked on it.
    pub(crate) suspicions: u32,
    /// Whether what it is sent is compressed (RFC 4978).
    pub(crate) is_compressed: bool,
    /// What another handler needs to go on with it, if it is not new.
    pub(crate) resume: Option<Box<Resume>>,
}

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Every handler is full, or none lives.
    Full,
    /// Its address has as many as it may.
    Address,
    /// The server is ending.
    Stopping,
    /// A session that had begun cannot go on.
    Lost,
    /// A session crashed, and its handler with it.
    Crashed,
}

impl Client {
    /// A connection that is new.
    pub(crate) fn new(
        socket: OwnedFd,
        protocol: Protocol,
        peer: Endpoint,
        local: Endpoint,
        since_ms: u64,
    ) -> Client {
        let (attempts, suspicions) = (0, 0);
        Client {
            socket,
            protocol,
            peer,
            local,
            tls: None,
            is_at_handshake: false,
            since_ms,
            attempts,
            suspicions,
            is_compressed: false,
            resume: None,
        }
    }

    /// Says in its protocol that there is no service now, and closes. Never waits: a client whose window is closed
    /// before the first octet gets nothing.
    pub(crate) fn turn_away(self, why: Refusal) {
        let (imap, lmtp) = match why {
            // RFC 5530, 3; RFC 3463, 3.8: a policy.
            Refusal::Address => ("LIMIT", "4.7.0"),
            // RFC 3463, 3.4: the system.
            Refusal::Full | Refusal::Stopping | Refusal::Lost => ("UNAVAILABLE", "4.3.2"),
            Refusal::Crashed => ("SERVERBUG", "4.3.0"),
        };
        let why = match why {
            Refusal::Full => "Too many connections, try again later",
            Refusal::Address => "Too many connections from your address, end one of them first",
            Refusal::Stopping => "The server is being stopped, try again later",
            Refusal::Lost => "The session cannot go on, connect again",
            Refusal::Crashed => "A fault of the server ends this session",
        };
        let text = match self.protocol {
            // RFC 3501 section 7.1.5.
            Protocol::Imap => format!("* BYE [{imap}] {why}\r\n"),
            // RFC 3206 section 4.
            Protocol::Pop3 => format!("-ERR [SYS/TEMP] {why}\r\n"),
            // RFC 2033.
            Protocol::Lmtp => format!("421 {lmtp} {why}\r\n"),
        };
        let socket = self.socket.as_raw_fd();
        let bytes = if self.is_compressed { stored(text.as_bytes()) } else { text.into_bytes() };
        let _ = send(socket, &bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        let _ = shutdown(socket, Shutdown::Write);
        // Closing over unread octets resets the connection, and the reset may overtake the text.
        let _ = recv(socket, &mut [0; 4096], MsgFlags::MSG_DONTWAIT);
    }
    /// Closes it without a word, for both sides at once: somebody else may hold the socket, too.
    pub(crate) fn close(self) {
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }
}

/// A stored block of RFC 1951, 3.2.4, as it may follow a flush to a whole octet. `text` is short.
fn stored(text: &[u8]) -> Vec<u8> {
    let length = text.len() as u16;
    let head = [[0].as_slice(), &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
    [head.as_slice(), text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_session_with_compression_is_told_in_a_stored_block() {
        let end = Endpoint::Unix { pid: 1, uid: 1 };
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut client = Client::new(ours.into(), Protocol::Imap, end, end, 0);
        client.is_compressed = true;
        client.turn_away(Refusal::Lost);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).unwrap();
        let text = b"* BYE [UNAVAILABLE] The session cannot go on, connect again\r\n";
        assert_eq!(got[..5], [0, text.len() as u8, 0, !(text.len() as u8), 0xff]);
        assert_eq!(got[5..], text[..]);
    }
}
