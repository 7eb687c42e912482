//! A short hash under this boot's key, to find somebody in a table in which strangers must not choose their place.
//!
//! Pure. Handlers of one boot have the same key, so they agree; nobody else can tell which values meet.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The hash of one boot.
pub struct KeyedHash {
    mac: Hmac<Sha256>,
}

impl KeyedHash {
    /// Under `key`, which must come from the system's random numbers.
    pub fn new(key: [u8; 32]) -> KeyedHash {
        // A key that is shorter than a block is followed by zeros (RFC 2104 section 2).
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(&key);
        KeyedHash { mac: Hmac::new(&block.into()) }
    }

    /// Of several parts, whose borders count.
    pub fn hash(&self, parts: &[&[u8]]) -> u64 {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        let octets: [u8; 32] = mac.finalize().into_bytes().into();
        u64::from_le_bytes(octets[..8].try_into().expect("eight octets"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_parts_and_borders_count() {
        let hash = |key, parts: &[&[u8]]| KeyedHash::new([key; 32]).hash(parts);
        let one = hash(1, &[b"ann", b"x"]);
        assert_eq!(one, hash(1, &[b"ann", b"x"]));
        assert_ne!(one, hash(2, &[b"ann", b"x"]));
        assert_ne!(one, hash(1, &[b"annx", b""]));
        assert_ne!(one, hash(1, &[b"ann"]));
    }
}
