//! `[limits]`: how long and how large things may get, and how much of everything one peer, one user, one session may have.

use serde::{Deserialize, Serialize};

use super::{Amount, Network};

/// The least a session may be held to: what it reads and writes fits into it.
const SESSION_MEMORY_LEAST: u64 = 1 << 20;
/// The least for all sessions of a handler.
const HANDLER_MEMORY_LEAST: u64 = 16 << 20;
/// What nobody has.
const MEMORY_MOST: u64 = 1 << 40;

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Silence after which an IMAP session ends; RFC 3501 section 5.4 asks for at least 30 minutes.
    pub imap_idle_seconds: u32,
    /// Silence after which a POP3 session ends; RFC 1939 section 3 asks for at least 10 minutes.
    pub pop3_idle_seconds: u32,
    /// Silence after which an LMTP session ends.
    pub lmtp_idle_seconds: u32,
    /// Time from connection to login.
    pub login_seconds: u32,
    /// The largest message that is taken, in octets; less than 4 GiB.
    pub message_bytes: u64,
    /// Connections that may wait for room when every handler is full.
    pub queue: u32,
    /// Time running commands get to finish when the daemons are stopped.
    pub grace_seconds: u32,
    /// How long a thread of a handler may do nothing, though it should, before the handler is replaced; 0 waits for ever.
    pub hang_seconds: u32,
    /// How long handlers whose router is gone keep their sessions and wait for another; 0 ends them at once.
    pub orphan_seconds: u32,
    /// Connections of one address (IPv6: of 64 bits of it) at a time; 0 is any number.
    pub connections_per_address: u32,
    /// Peers whose addresses are not counted: many users are behind each.
    pub exempt: Vec<Network>,
    /// Sessions of one user at a time in one protocol; 0 is any number.
    pub connections_per_user: u32,
    /// Commands of a session in a minute, above which it is slowed; 0 does not slow.
    pub commands_per_minute: u32,
    /// Failed logins of one user from one address above which further ones are refused; 0 refuses none.
    pub failed_logins: u32,
    /// Failed logins of all users from one address above which further ones are refused; 0 refuses none.
    pub failed_logins_per_address: u32,
    /// When failed logins are forgotten.
    pub failed_logins_seconds: u32,
    /// Octets of memory that a session may hold.
    pub session_memory: Amount,
    /// Octets of memory that the sessions of a handler may hold together.
    pub handler_memory: Amount,
}

impl Default for Limits {
    fn default() -> Self {
        let exempt = ["127.0.0.0/8", "::1", "unix"].map(|text| text.parse().expect("a network"));
        Limits {
            imap_idle_seconds: 1800,
            pop3_idle_seconds: 600,
            lmtp_idle_seconds: 300,
            login_seconds: 60,
            message_bytes: 50 << 20,
            queue: 1024,
            grace_seconds: 30,
            hang_seconds: 4,
            orphan_seconds: 60,
            connections_per_address: 500,
            exempt: exempt.to_vec(),
            connections_per_user: 50,
            commands_per_minute: 100_000,
            failed_logins: 20,
            failed_logins_per_address: 200,
            failed_logins_seconds: 600,
            session_memory: Amount::Most(256 << 20),
            handler_memory: Amount::Most(2 << 30),
        }
    }
}

impl Limits {
    /// Whether a peer at `address` is not counted; `None` is one at a Unix socket.
    pub fn is_exempt(&self, address: Option<std::net::IpAddr>) -> bool {
        self.exempt.iter().any(|network| network.contains(address))
    }

    /// Calls `range` with the name, the value, the least and the most of what is owned here.
    pub(super) fn check_ranges(&self, range: &mut impl FnMut(&str, u64, u64, u64)) {
        range("[limits] hang_seconds", self.hang_seconds.into(), 0, 3600);
        range("[limits] orphan_seconds", self.orphan_seconds.into(), 0, 3600);
        range("[limits] commands_per_minute", self.commands_per_minute.into(), 0, 1_000_000_000);
        range("[limits] failed_logins", self.failed_logins.into(), 0, 10_000);
        range("[limits] failed_logins_per_address", self.failed_logins_per_address.into(), 0, 100_000);
        range("[limits] failed_logins_seconds", self.failed_logins_seconds.into(), 1, 86_400);
        if let Amount::Most(octets) = self.session_memory {
            range("[limits] session_memory", octets, SESSION_MEMORY_LEAST, MEMORY_MOST);
        }
        if let Amount::Most(octets) = self.handler_memory {
            range("[limits] handler_memory", octets, HANDLER_MEMORY_LEAST, MEMORY_MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_exempt_and_others_are_not() {
        let limits = Limits::default();
        for (address, is_exempt) in [
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(limits.is_exempt(address.parse().ok()), is_exempt, "{address}");
        }
        assert!(limits.is_exempt(None));
        assert!(!Limits { exempt: Vec::new(), ..limits }.is_exempt(None));
    }
}
