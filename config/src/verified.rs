//! The memory of passwords that were found right, so that a client that reconnects costs no slow hash.
//!
//! Kept is only a keyed hash (HMAC-SHA-256) over user, users-file entry and password. The key is drawn anew at every
//! boot and never written down, so what is kept is worth nothing to who reads it without the key; and because the
//! entry is under the hash, a changed password makes every memory of the old one miss. Bounded in number and time.
//!
//! The handler owns one and brings the clock: seconds of any clock that does not run backwards.

use std::collections::{HashMap, VecDeque};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The most logins that are remembered; beyond, the oldest is forgotten. About 1.5 MB.
const ENTRIES_MAX: usize = 16_384;

/// The digest a login is remembered by.
type Digest = [u8; 32];

/// Logins verified in the last `remember_seconds`.
pub struct VerifiedCache {
    mac: Hmac<Sha256>,
    remember_seconds: u64,
    /// When each login is forgotten.
    until_seconds: HashMap<Digest, u64>,
    /// The same logins, oldest first; both always hold the same ones.
    order: VecDeque<Digest>,
}

impl VerifiedCache {
    /// An empty memory under `key`, which must come from the system's random numbers. With 0 seconds nothing is
    /// ever remembered.
    pub fn new(key: [u8; 32], remember_seconds: u32) -> VerifiedCache {
        // A key that is shorter than a block is followed by zeros (RFC 2104 section 2).
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(&key);
        VerifiedCache {
            mac: Hmac::new(&block.into()),
            remember_seconds: remember_seconds.into(),
            until_seconds: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Remembers that `password` was found right for `user` with `stored_hash` ([`crate::User::stored_hash`]).
    /// A login that is still remembered keeps its time: only a computed hash renews it.
    pub fn remember(&mut self, user: &str, password: &[u8], stored_hash: &str, now_seconds: u64) {
        if self.remember_seconds == 0 {
            return;
        }
        self.forget_expired(now_seconds);
        let digest = self.digest(user, password, stored_hash);
        if self.until_seconds.contains_key(&digest) {
            return;
        }
        if self.order.len() >= ENTRIES_MAX {
            self.forget_oldest();
        }
        self.until_seconds.insert(digest, now_seconds.saturating_add(self.remember_seconds));
        self.order.push_back(digest);
    }

    /// Whether this very login was remembered, and recently enough.
    pub fn check(&self, user: &str, password: &[u8], stored_hash: &str, now_seconds: u64) -> bool {
        if self.until_seconds.is_empty() {
            return false;
        }
        let digest = self.digest(user, password, stored_hash);
        self.until_seconds.get(&digest).is_some_and(|until| now_seconds < *until)
    }

    fn forget_expired(&mut self, now_seconds: u64) {
        // Every login is kept equally long, so the oldest is always the next to go.
        while self.order.front().is_some_and(|digest| self.until_seconds[digest] <= now_seconds) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(digest) = self.order.pop_front() {
            self.until_seconds.remove(&digest);
        }
    }

    fn digest(&self, user: &str, password: &[u8], stored_hash: &str) -> Digest {
        let mut mac = self.mac.clone();
        for part in [user.as_bytes(), stored_hash.as_bytes(), password] {
            // The length first, so that no two triples give the same octets.
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn remembers_the_very_login_for_its_time() {
        let mut cache = VerifiedCache::new(KEY, 60);
        assert!(!cache.check("ann", b"secret", "{A}1", 100));
        cache.remember("ann", b"secret", "{A}1", 100);
        assert!(cache.check("ann", b"secret", "{A}1", 100));
        assert!(cache.check("ann", b"secret", "{A}1", 159));
        assert!(!cache.check("ann", b"secret", "{A}1", 160));
        assert!(!cache.check("ann", b"secres", "{A}1", 100));
        assert!(!cache.check("bob", b"secret", "{A}1", 100));
        assert!(!cache.check("ann", b"secret", "{A}2", 100), "a changed entry misses");
        assert!(!cache.check("an", b"secret", "n{A}1", 100), "borders count");
    }

    #[test]
    fn another_key_gives_other_digests() {
        let digest = |key| VerifiedCache::new(key, 60).digest("ann", b"secret", "{A}1");
        assert_ne!(digest(KEY), digest([8; 32]));
    }

    #[test]
    fn zero_seconds_remember_nothing() {
        let mut cache = VerifiedCache::new(KEY, 0);
        cache.remember("ann", b"secret", "{A}1", 100);
        assert!(!cache.check("ann", b"secret", "{A}1", 100));
        assert!(cache.order.is_empty());
    }

    #[test]
    fn bounded_and_the_oldest_goes_first() {
        let mut cache = VerifiedCache::new(KEY, 60);
        for i in 0..ENTRIES_MAX as u64 + 10 {
            cache.remember("ann", &i.to_le_bytes(), "{A}1", 100);
        }
        assert_eq!(cache.order.len(), ENTRIES_MAX);
        assert_eq!(cache.until_seconds.len(), ENTRIES_MAX);
        assert!(!cache.check("ann", &9u64.to_le_bytes(), "{A}1", 100));
        assert!(cache.check("ann", &10u64.to_le_bytes(), "{A}1", 100));
        cache.remember("ann", b"new", "{A}1", 160);
        assert_eq!(cache.order.len(), 1, "the expired ones are gone");
        for _ in 0..3 {
            cache.remember("ann", b"new", "{A}1", 161);
        }
        assert_eq!(cache.order.len(), 1);
        assert!(!cache.check("ann", b"new", "{A}1", 220), "remembering again does not renew");
    }
}
