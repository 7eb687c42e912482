//! The records between router and handler.
//!
//! A handler is started with `LODE_CHANNEL_FD` naming its end of a SOCK_SEQPACKET pair. Its contract:
//!
//! 1. The first record is [`Hello`], with one eventfd for every possible handler attached, in the order of rows.
//! 2. It opens the table, checks that its row has `Hello::generation`, sets the row to serving, posts the start
//!    event, and sends [`FromHandler::Ready`].
//! 3. It answers each [`Connection`] with [`Accepted`] or [`Refused`], before it writes a first octet to the client:
//!    until it has answered, the router keeps the socket too, and gives it to another handler if this one dies. The
//!    socket does not block, has TCP_NODELAY set, and arrives closed on exec.
//! 4. It frees its cells itself. If [`crate::TableView::queue_waiting`] is set after that, it sends
//!    [`FromHandler::Room`].
//! 5. It answers [`Adopt`] as it answers a connection. The parked state is in the new cell before it answers, so that the session
//!    lives in one place at least at every moment.
//! 6. Asked to release a session, it does so when the session parks between two commands next: the state is in the cell, the socket is
//!    closed without being shut down, and the cell stays as it is. [`FromHandler::Released`] gives both to the router.
//! 7. The end of the channel means that the router is gone. Its sessions go on, and it looks for another router, at
//!    [`crate::rejoin_path`], for a while: there it says [`FromHandler::Rejoin`] first, is answered with [`ToHandler::Welcome`], and sends
//!    duplicates of the sockets of its sessions. A router that starts anew kills it if it does not come within five seconds.

use crate::endpoint::Endpoint;
use crate::parked::Parked;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Protocol {
    /// IMAP (RFC 3501).
    Imap = 1,
    /// POP3 (RFC 1939).
    Pop3 = 2,
    /// LMTP (RFC 2033).
    Lmtp = 3,
}

impl Connection {
    /// Whether its socket is a local one: the peer is on this machine, or the process that speaks TLS stands between.
    pub fn has_local_socket(&self) -> bool {
        matches!(self.local, Endpoint::Unix { .. }) || self.tls.is_some()
    }
}

impl Protocol {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Imap => "imap",
            Protocol::Pop3 => "pop3",
            Protocol::Lmtp => "lmtp",
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Protocol> {
        [Protocol::Imap, Protocol::Pop3, Protocol::Lmtp]
            .into_iter()
            .find(|protocol| *protocol as u8 == number)
    }
}

/// The key of this boot, with which verified passwords are remembered. Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootKey(pub [u8; 32]);

impl fmt::Debug for BootKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("BootKey(…)")
    }
}

/// What a handler is told first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Name of the shared table, for [`crate::Table::open`].
    pub table: String,
    /// The handler's row.
    pub handler: u32,
    /// The generation of that row.
    pub generation: u32,
    /// Key of this boot.
    pub boot_key: BootKey,
    /// Where the settings came from, for messages.
    pub settings_path: String,
    /// The settings as read by the router, so that both work by the same.
    pub settings_text: String,
    /// Number of eventfds attached, one for each handler row.
    pub eventfds: u32,
}

/// Facts of a TLS connection, by their numbers in the TLS registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFacts {
    /// Protocol version, 0x0304 for TLS 1.3.
    pub version: u16,
    /// Cipher suite.
    pub cipher_suite: u16,
}

/// One client's connection; its socket is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Who called.
    pub peer: Endpoint,
    /// The address that was called.
    pub local: Endpoint,
    /// TLS in front of it, if any.
    pub tls: Option<TlsFacts>,
    /// The session cell given to it, a number within the handler's row.
    pub cell: u32,
    /// The generation of that cell.
    pub generation: u32,
}

/// A session to go on with; its socket is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopt {
    /// The connection, as when it was new, but for the cell and its generation, which are those in the handler that adopts.
    pub connection: Connection,
    /// What the session was.
    pub parked: Parked,
    /// Name of the file with the rest of it, in the folder `parked` of the runtime folder. It may be gone once this is answered.
    pub annex: Option<String>,
    /// What came after the state was parked, and is to be done again: nothing of it was answered, and nothing changed by it.
    pub input: Vec<u8>,
}

/// From router to handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHandler {
    /// The first record.
    Hello(Hello),
    /// A connection; its socket is attached.
    Connection(Connection),
    /// End all sessions, say BYE, and exit within this time.
    Shutdown {
        /// Grace in milliseconds.
        grace_ms: u64,
    },
    /// New settings, already checked.
    Reload {
        /// The settings file's text.
        settings_text: String,
    },
    /// See [`Adopt`].
    Adopt(Adopt),
    /// Let go of a session when it parks next, unless it ends before.
    Release {
        /// Its cell.
        cell: u32,
        /// The generation of that cell.
        generation: u32,
    },
    /// Take no more connections, let go of every session as it parks, and exit once there is none.
    Drain,
    /// End a session as soon as its protocol allows it, with these words.
    Kick {
        /// Its cell.
        cell: u32,
        /// The generation of that cell.
        generation: u32,
        /// Why, for the client; printable ASCII.
        reason: String,
    },
    /// Write the session's conversation, secrets masked, into the pipe that is attached, until nobody reads it. Lines of `MILLISECONDS KIND TEXT`: since
    /// 1970; `C` client, `S` server, `-` a remark, `E` the last line of all.
    Trace {
        /// Its cell.
        cell: u32,
        /// The generation of that cell.
        generation: u32,
    },
    /// Log as much as this from now on, as `info,imap=debug`.
    SetLogLevels {
        /// All levels; at most a few kilobytes.
        levels: String,
    },
    /// The answer to [`FromHandler::Rejoin`]: this router has taken over.
    Welcome {
        /// The boot generation that the table has now.
        boot_generation: u64,
        /// Whether the router has no eventfds yet: send them with [`FromHandler::Eventfds`].
        wants_eventfds: bool,
    },
    /// The handshake that [`FromHandler::StartTls`] asked for is done. The socket that takes the place of the session's is attached.
    Secured {
        /// The session's cell.
        cell: u32,
        /// Its generation.
        generation: u32,
        /// What was agreed on.
        facts: TlsFacts,
    },
    /// The handshake failed, and the connection is gone.
    NotSecured {
        /// The session's cell.
        cell: u32,
        /// Its generation.
        generation: u32,
    },
}

/// The handler has the connection; the router forgets its duplicate of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The cell of the connection.
    pub cell: u32,
    /// Its generation.
    pub generation: u32,
}

/// Why a handler does not take a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The socket did not arrive: the handler has no descriptor left.
    OutOfDescriptors,
    /// The handler is ending.
    Draining,
    /// The cell is not the one the record names.
    WrongCell,
    /// The parked state cannot be read, or what it stands for is gone. No other handler could go on with it either.
    CannotResume,
}

/// The handler does not take the connection; the router gives it to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The cell of the connection. The router frees it.
    pub cell: u32,
    /// Its generation.
    pub generation: u32,
    /// Why.
    pub why: Refusal,
}

/// From handler to router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromHandler {
    /// Ready to serve.
    Ready,
    /// See [`Accepted`].
    Accepted(Accepted),
    /// See [`Refused`].
    Refused(Refused),
    /// A cell was freed while connections wait.
    Room,
    /// A session was let go of. Its state is in its cell, which the router frees; the router's duplicate of the socket is the last.
    Released {
        /// Its cell.
        cell: u32,
        /// The generation of that cell.
        generation: u32,
    },
    /// Sessions have crashed in this handler so often, or so much alike, that it is to be drained and replaced.
    Worn,
    /// First record of a handler to a router that took over from one that is gone.
    Rejoin {
        /// The handler's row.
        handler: u32,
        /// The generation of that row.
        generation: u32,
        /// Sessions whose sockets follow in [`FromHandler::Sockets`].
        sessions: u32,
    },
    /// Duplicates of session sockets, attached in the order of `sessions`, for the router to keep.
    Sockets {
        /// Facts of each.
        sessions: Vec<Held>,
    },
    /// The eventfds of all handler rows are attached, in order.
    Eventfds,
    /// The peer of this session was told to begin a TLS handshake (STARTTLS, STLS). The handler does not read its socket any more.
    StartTls {
        /// The session's cell.
        cell: u32,
        /// Its generation.
        generation: u32,
    },
}

/// A session whose socket is sent to a router that took over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its cell.
    pub cell: u32,
    /// The generation of that cell.
    pub generation: u32,
    /// The address that was called.
    pub local: Endpoint,
    /// TLS in front of it, if any.
    pub tls: Option<TlsFacts>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    #[test]
    fn records_survive_the_wire() {
        let connection = ToHandler::Connection(Connection {
            protocol: Protocol::Lmtp,
            peer: Endpoint::Unix { pid: 12, uid: 0 },
            local: Endpoint::Inet("[::1]:24".parse().unwrap()),
            tls: Some(TlsFacts { version: 0x0304, cipher_suite: 0x1301 }),
            cell: 999,
            generation: u32::MAX,
        });
        assert_eq!(decode::<ToHandler>(&encode(&connection).unwrap()).unwrap(), connection);
        let refused =
            FromHandler::Refused(Refused { cell: 1, generation: 2, why: Refusal::OutOfDescriptors });
        assert_eq!(decode::<FromHandler>(&encode(&refused).unwrap()).unwrap(), refused);
    }

    #[test]
    fn the_largest_parked_state_travels() {
        let connection = Connection {
            protocol: Protocol::Imap,
            peer: Endpoint::Unix { pid: 12, uid: 0 },
            local: Endpoint::Unix { pid: 12, uid: 0 },
            tls: None,
            cell: 1,
            generation: 2,
        };
        let parked = Parked {
            version: u16::MAX,
            octets: vec![0xff; crate::PARKED_OCTETS],
            annex: Some(crate::Annex { number: u32::MAX, checksum: u32::MAX }),
        };
        let annex = Some("63-65535-4294967295-4294967295".to_string());
        let adopt = ToHandler::Adopt(Adopt { connection, parked, annex, input: vec![0; 64 * 1024] });
        assert_eq!(decode::<ToHandler>(&encode(&adopt).unwrap()).unwrap(), adopt);
    }

    #[test]
    fn the_boot_key_is_not_printed() {
        assert_eq!(format!("{:?}", BootKey([0x41; 32])), "BootKey(…)");
    }
}
