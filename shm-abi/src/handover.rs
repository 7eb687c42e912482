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
//! 5. The end of the channel means that the router is gone: it finishes its sessions and exits. A router that starts
//!    anew kills it if it takes longer than two seconds.

use crate::endpoint::Endpoint;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromHandler {
    /// Ready to serve.
    Ready,
    /// See [`Accepted`].
    Accepted(Accepted),
    /// See [`Refused`].
    Refused(Refused),
    /// A cell was freed while connections wait.
    Room,
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
    fn the_boot_key_is_not_printed() {
        assert_eq!(format!("{:?}", BootKey([0x41; 32])), "BootKey(…)");
    }
}
