//! Peers as they are written in the settings file: `"192.0.2.1"`, `"10.0.0.0/8"`, `"2001:db8::/32"` or `"unix"`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Some peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Those whose address begins as this one does, with so many bits.
    Inet {
        /// The address.
        address: IpAddr,
        /// How many of its bits count.
        bits: u8,
    },
    /// Those that connect through a Unix socket.
    Unix,
}

impl Network {
    /// Whether a peer at `address` is one of these; `None` is one at a Unix socket. An IPv4 address may come as IPv6 has it.
    pub fn contains(&self, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Network::Unix, None) => true,
            (Network::Inet { address, bits }, Some(peer)) => {
                let (address, peer, bits) = match (address, peer.to_canonical()) {
                    (IpAddr::V4(a), IpAddr::V4(b)) => {
                        (u128::from(a.to_bits()), u128::from(b.to_bits()), 32 - bits)
                    }
                    (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128 - bits),
                    _ => return false,
                };
                (address ^ peer).checked_shr(bits.into()).unwrap_or(0) == 0
            }
            (Network::Unix, Some(_)) | (Network::Inet { .. }, None) => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        if text == "unix" {
            return Ok(Network::Unix);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let network = address.parse::<IpAddr>().ok().and_then(|address| {
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(most), |bits| bits.parse().ok()).filter(|bits| *bits <= most)?;
            Some(Network::Inet { address, bits })
        });
        network.ok_or_else(|| {
            format!("`{text}` is no peer: write \"192.0.2.1\", \"10.0.0.0/8\", \"2001:db8::/32\" or \"unix\"")
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::Inet { address, bits } => write!(f, "{address}/{bits}"),
            Network::Unix => f.write_str("unix"),
        }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Network, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (network, peer, is_in) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
            ("unix", "127.0.0.1", false),
        ] {
            let parsed: Network = network.parse().expect(network);
            assert_eq!(parsed.contains(peer.parse().ok()), is_in, "{network} {peer}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
        assert!(Network::Unix.contains(None));
        assert!(!"10.0.0.0/8".parse::<Network>().expect("parses").contains(None));
        for text in ["", "10.0.0.0/33", "::/129", "host", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
