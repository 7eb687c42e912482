//! Where mail comes from: the peer, or the client that a trusted peer has it from (XCLIENT, XFORWARD).

use std::net::IpAddr;

use protocol::lmtp::Origin;
use shm_abi::Endpoint;

use crate::conversation::Turn;

/// The client of a session, as the log and Received lines have it.
#[derive(Default)]
pub(super) struct Client {
    /// What the peer called itself in LHLO; empty before that.
    pub(super) name: String,
    /// What a trusted peer said of its client.
    origin: Option<Box<Origin>>,
    /// Whether that holds for one message alone.
    is_forwarded: bool,
}

/// Whether the peer's word is taken.
pub(super) fn is_trusted(turn: &Turn<'_>) -> bool {
    let peer = match &turn.peer.endpoint {
        Endpoint::Inet(address) => Some(address.ip()),
        Endpoint::Unix { .. } => None,
    };
    turn.shared.settings().lmtp.trusted_peers.iter().any(|network| network.contains(peer))
}

impl Client {
    /// XCLIENT: from now on the session is one of `origin`.
    pub(super) fn become_other(&mut self, origin: Origin) {
        self.name.clear();
        self.learn(origin, false);
    }

    /// XFORWARD: the next message is one of `origin`.
    pub(super) fn forward(&mut self, origin: Origin) {
        self.learn(origin, true);
    }

    fn learn(&mut self, origin: Origin, forwarded: bool) {
        if forwarded != self.is_forwarded {
            self.origin = None;
        }
        self.is_forwarded = forwarded;
        self.origin.get_or_insert_default().update(origin);
    }

    /// A message was taken, or given up.
    pub(super) fn end_message(&mut self) {
        if self.is_forwarded {
            self.origin = None;
        }
    }

    /// What the client calls itself.
    pub(super) fn called(&self) -> &str {
        self.origin.as_ref().and_then(|origin| origin.helo.as_deref()).unwrap_or(&self.name)
    }

    /// Where it is, as the comment of a Received line has it (RFC 5321, 4.4: TCP-info).
    pub(super) fn at(&self, peer: &Endpoint) -> String {
        let origin = self.origin.as_ref();
        let address = match (origin.and_then(|origin| origin.address), peer) {
            (Some(address), _) => literal(address),
            (None, Endpoint::Inet(address)) => literal(address.ip()),
            (None, Endpoint::Unix { .. }) => "local socket".to_owned(),
        };
        match origin.and_then(|origin| origin.name.as_deref()) {
            Some(name) => format!("{name} {address}"),
            None => address,
        }
    }

    /// The same in short; empty if it is the peer itself.
    pub(super) fn for_log(&self) -> String {
        let Some(origin) = &self.origin else { return String::new() };
        let address = origin.address.map(literal).unwrap_or_default();
        let port = origin.port.map(|port| format!(":{port}")).unwrap_or_default();
        let login = origin.login.as_deref().map(|login| format!(",{login}")).unwrap_or_default();
        format!("{}{address}{port}{login}", origin.name.as_deref().unwrap_or_default())
    }
}

fn literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_address_literals() {
        for (address, text) in [
            ("192.0.2.1:25", "[192.0.2.1]"),
            ("[::ffff:192.0.2.1]:25", "[192.0.2.1]"),
            ("[2001:db8::1]:25", "[IPv6:2001:db8::1]"),
        ] {
            let peer = Endpoint::Inet(address.parse().expect("an address"));
            assert_eq!(Client::default().at(&peer), text);
        }
        assert_eq!(Client::default().at(&Endpoint::Unix { pid: 1, uid: 1 }), "local socket");
    }

    #[test]
    fn what_was_forwarded_holds_for_one_message() {
        let peer = Endpoint::Unix { pid: 1, uid: 1 };
        let origin = |name: &str| Origin {
            name: Some(name.to_owned()),
            address: "192.0.2.1".parse().ok(),
            helo: Some("helo.example".to_owned()),
            ..Origin::default()
        };
        let mut client = Client { name: "mx.example".to_owned(), ..Client::default() };
        client.forward(origin("a.example"));
        assert_eq!((client.called(), client.at(&peer).as_str()), ("helo.example", "a.example [192.0.2.1]"));
        assert_eq!(client.for_log(), "a.example[192.0.2.1]");
        client.end_message();
        assert_eq!((client.called(), client.at(&peer).as_str()), ("mx.example", "local socket"));
        assert_eq!(client.for_log(), "");
        client.become_other(origin("b.example"));
        client.end_message();
        assert_eq!(client.at(&peer), "b.example [192.0.2.1]");
        assert_eq!(client.name, "", "LHLO is said again");
    }
}
