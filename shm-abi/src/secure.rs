//! The records between the router and the process that speaks TLS.
//!
//! That process holds the certificates' keys, and no mail; handlers have mail, and no keys. Whoever is to speak TLS is sent there as a TCP socket;
//! once the handshake is done one end of a pair of local sockets comes back, over which the same connection speaks in the clear. The process is started
//! as a handler is, with `LODE_CHANNEL_FD`; the first record is [`ToTls::Hello`]. The end of the channel means that no more connections come: it
//! relays those that it has to their end, and exits.

use crate::endpoint::Endpoint;
use crate::handover::TlsFacts;
use serde::{Deserialize, Serialize};

/// What the router says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToTls {
    /// The first record.
    Hello {
        /// Where the settings came from, for messages.
        settings_path: String,
        /// The settings.
        settings_text: String,
    },
    /// A TCP socket is attached whose peer is about to begin a handshake.
    Secure {
        /// What the answer is to name.
        number: u64,
        /// Whose it is.
        peer: Endpoint,
    },
    /// New settings; certificates are read again.
    Reload {
        /// The settings.
        settings_text: String,
    },
}

/// What the TLS process says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromTls {
    /// It has its certificates, and serves.
    Ready,
    /// It has none that it can use; every handshake will fail until new settings or files come.
    Unusable {
        /// What is wrong, and where.
        why: String,
    },
    /// A handshake is done. One end of a pair of sockets is attached.
    Secured {
        /// That of [`ToTls::Secure`].
        number: u64,
        /// What was agreed on.
        facts: TlsFacts,
    },
    /// A handshake failed; the connection is closed.
    Failed {
        /// That of [`ToTls::Secure`].
        number: u64,
        /// Why.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    #[test]
    fn records_survive_the_wire() {
        let secured =
            FromTls::Secured { number: 7, facts: TlsFacts { version: 0x0304, cipher_suite: 0x1301 } };
        assert_eq!(decode::<FromTls>(&encode(&secured).unwrap()).unwrap(), secured);
        let secure = ToTls::Secure { number: u64::MAX, peer: Endpoint::Inet("[::1]:993".parse().unwrap()) };
        assert_eq!(decode::<ToTls>(&encode(&secure).unwrap()).unwrap(), secure);
    }
}
