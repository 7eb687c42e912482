//! One end of a connection, in records and in a session cell.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Endpoint {
    /// TCP.
    Inet(SocketAddr),
    /// A unix socket: the process at that end and its user, as the kernel says.
    Unix {
        /// Process number, 0 if unknown.
        pid: u32,
        /// User number.
        uid: u32,
    },
}

impl Endpoint {
    /// True for TCP from this machine and for unix sockets.
    pub fn is_local(&self) -> bool {
        match self {
            Endpoint::Inet(address) => address.ip().to_canonical().is_loopback(),
            Endpoint::Unix { .. } => true,
        }
    }

    /// What counts as one place on the net: an IPv4 address, or the first 64 bits of one of IPv6, which is what a customer gets at
    /// the least. `None` for unix sockets.
    pub fn network(&self) -> Option<IpAddr> {
        match self {
            Endpoint::Inet(address) => Some(match address.ip().to_canonical() {
                IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
                ip => ip,
            }),
            Endpoint::Unix { .. } => None,
        }
    }

    /// The address, `None` for unix sockets.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Endpoint::Inet(address) => Some(address.ip()),
            Endpoint::Unix { .. } => None,
        }
    }

    /// As a cell keeps it: kind and port, then the address in two words.
    pub(crate) fn to_words(self) -> [u64; 3] {
        match self {
            Endpoint::Inet(address) => {
                let (kind, octets) = match address.ip() {
                    IpAddr::V4(ip) => (1, ip.to_ipv6_mapped().octets()),
                    IpAddr::V6(ip) => (2, ip.octets()),
                };
                let number = u128::from_be_bytes(octets);
                [kind | u64::from(address.port()) << 16, (number >> 64) as u64, number as u64]
            }
            Endpoint::Unix { pid, uid } => [3, pid.into(), uid.into()],
        }
    }

    /// From a cell; `None` for a kind nobody writes.
    pub(crate) fn from_words(words: [u64; 3]) -> Option<Endpoint> {
        let ip = Ipv6Addr::from_bits(u128::from(words[1]) << 64 | u128::from(words[2]));
        let port = (words[0] >> 16) as u16;
        match words[0] & 0xffff {
            1 => {
                let ip = ip.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED);
                Some(Endpoint::Inet(SocketAddr::new(ip.into(), port)))
            }
            2 => Some(Endpoint::Inet(SocketAddr::new(ip.into(), port))),
            3 => Some(Endpoint::Unix { pid: words[1] as u32, uid: words[2] as u32 }),
            _ => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Inet(address) => address.fmt(out),
            Endpoint::Unix { pid, uid } => write!(out, "unix:pid={pid},uid={uid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_a_customer_has() {
        let network = |text: &str| Endpoint::Inet(text.parse().unwrap()).network().unwrap().to_string();
        assert_eq!(network("192.0.2.7:1"), "192.0.2.7");
        assert_eq!(network("[::ffff:192.0.2.7]:1"), "192.0.2.7");
        assert_eq!(network("[2001:db8:1:2:3:4:5:6]:1"), "2001:db8:1:2::");
        assert_eq!(Endpoint::Unix { pid: 1, uid: 1 }.network(), None);
    }

    #[test]
    fn endpoints_survive_their_words() {
        for text in ["127.0.0.1:143", "[::1]:143", "[2001:db8::7]:65535", "[::ffff:10.0.0.1]:1"] {
            let endpoint = Endpoint::Inet(text.parse().unwrap());
            assert_eq!(Endpoint::from_words(endpoint.to_words()), Some(endpoint));
        }
        let endpoint = Endpoint::Unix { pid: 1, uid: 1000 };
        assert_eq!(Endpoint::from_words(endpoint.to_words()), Some(endpoint));
        assert_eq!(Endpoint::from_words([0; 3]), None);
        assert!(Endpoint::Inet("[::ffff:127.0.0.1]:1".parse().unwrap()).is_local());
        assert!(!Endpoint::Inet("192.0.2.1:1".parse().unwrap()).is_local());
    }
}
