//! Failed logins, remembered over all handlers and whatever becomes of them.
//!
//! A row is for somebody: an address, a user, a user at an address; whom, the caller knows, and hashes it with a key that
//! strangers do not have, so that nobody can choose on whose row he falls. It holds one moment, before which something is
//! remembered: each failure moves it by an interval, and time passes it by. So how far it is ahead of now says how many failures
//! there were of late, and nothing has to be cleaned up. Of the rows on which a key may be, the one that is forgotten
//! first gives way to who is new. Two handlers that fill one row at once may lose one of two failures.

use crate::layout::AttemptsShared;
use crate::table::Table;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

/// Rows on which a key may be.
const WAYS: usize = 8;

/// What is remembered of somebody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// For how long still, in milliseconds: so many intervals, so many failures.
    pub ahead_ms: u64,
    /// Whether a password was right not long ago.
    pub is_proven: bool,
}

/// How failures are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// How long one is remembered, in milliseconds.
    pub interval_ms: u64,
    /// How long they are remembered at the most.
    pub most_ms: u64,
}

impl Table {
    /// What is remembered of `key`, which is not 0. The clock `now_ms` is one for all processes and does not go back.
    pub fn standing(&self, key: u64, now_ms: u64) -> Standing {
        self.find_attempts(key).map_or(Standing::default(), |row| Standing {
            ahead_ms: row.until_ms.load(Acquire).saturating_sub(now_ms),
            is_proven: row.proven_until_ms.load(Acquire) > now_ms,
        })
    }

    /// A login failed. With a digest of its password, one that is the same as one of the two before is no new failure:
    /// false, and nothing changed.
    pub fn count_failure(&self, key: u64, password: Option<u32>, now_ms: u64, how: Attempts) -> bool {
        let row = self.claim_attempts(key, now_ms);
        if let Some(password) = password {
            let known = row.passwords.load(Acquire);
            // 0 is for none.
            let password = password.max(1);
            if known as u32 == password || (known >> 32) as u32 == password {
                return false;
            }
            row.passwords.store(known << 32 | u64::from(password), SeqCst);
        }
        let later = |until_ms: u64| Some((until_ms.max(now_ms) + how.interval_ms).min(now_ms + how.most_ms));
        let _ = row.until_ms.fetch_update(SeqCst, SeqCst, later);
        true
    }

    /// A password was right: what failed before is forgotten, and this is remembered until `until_ms`.
    pub fn prove(&self, key: u64, now_ms: u64, until_ms: u64) {
        let row = self.claim_attempts(key, now_ms);
        row.until_ms.store(0, SeqCst);
        row.passwords.store(0, SeqCst);
        row.proven_until_ms.store(until_ms, SeqCst);
    }

    fn find_attempts(&self, key: u64) -> Option<&AttemptsShared> {
        self.ways(key).find(|row| row.key.load(Acquire) == key)
    }

    fn claim_attempts(&self, key: u64, now_ms: u64) -> &AttemptsShared {
        if let Some(known) = self.find_attempts(key) {
            return known;
        }
        // Of who is known to be good little is lost.
        let proven = |row: &AttemptsShared| row.proven_until_ms.load(Relaxed).min(now_ms + 1);
        let worth = |row: &&AttemptsShared| match row.key.load(Acquire) {
            0 => 0,
            _ => row.until_ms.load(Relaxed).max(proven(row)),
        };
        let row = self.ways(key).min_by_key(worth).expect("a key has ways");
        row.until_ms.store(0, SeqCst);
        row.passwords.store(0, SeqCst);
        row.proven_until_ms.store(0, SeqCst);
        row.key.store(key, SeqCst);
        row
    }

    fn ways(&self, key: u64) -> impl Iterator<Item = &AttemptsShared> {
        let first = (key as usize) & !(WAYS - 1);
        (first..first + WAYS).map(|at| self.attempts_row(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Limits;

    const HOW: Attempts = Attempts { interval_ms: 100, most_ms: 1_000 };

    fn table(name: &str) -> Table {
        let name = format!("/lode-attempts-{name}-{}", std::process::id());
        Table::create(&name, Limits { handlers: 1, sessions: 1 }, 1, 1).expect("a table")
    }

    #[test]
    fn failures_add_up_and_are_forgotten() {
        let table = table("up");
        assert_eq!(table.standing(7, 5_000), Standing::default());
        for count in 1..=3 {
            assert!(table.count_failure(7, None, 5_000, HOW));
            assert_eq!(table.standing(7, 5_000).ahead_ms, count * 100);
        }
        assert_eq!(table.standing(7, 5_150).ahead_ms, 150);
        assert_eq!(table.standing(7, 5_300).ahead_ms, 0);
        assert!(table.count_failure(7, None, 9_000, HOW));
        assert_eq!(table.standing(7, 9_000).ahead_ms, 100, "what was forgotten does not count again");
        (0..50).for_each(|_| assert!(table.count_failure(7, None, 9_000, HOW)));
        assert_eq!(table.standing(7, 9_000).ahead_ms, 1_000, "nor does it grow for ever");
        assert_eq!(table.standing(8, 9_000).ahead_ms, 0, "another's");
    }

    #[test]
    fn the_same_password_again_is_no_new_failure() {
        let table = table("same");
        assert!(table.count_failure(7, Some(1), 0, HOW));
        assert!(!table.count_failure(7, Some(1), 0, HOW));
        assert!(table.count_failure(7, Some(2), 0, HOW));
        assert!(!table.count_failure(7, Some(1), 0, HOW), "of two that are tried in turn");
        assert!(table.count_failure(7, Some(3), 0, HOW));
        assert!(table.count_failure(7, Some(1), 0, HOW), "of three, no more");
        assert_eq!(table.standing(7, 0).ahead_ms, 400);
    }

    #[test]
    fn a_right_password_makes_up_for_what_was_wrong() {
        let table = table("right");
        assert!(table.count_failure(7, Some(1), 0, HOW));
        table.prove(7, 0, 500);
        assert_eq!(table.standing(7, 0), Standing { ahead_ms: 0, is_proven: true });
        assert!(!table.standing(7, 500).is_proven);
    }

    #[test]
    fn who_is_new_takes_the_place_of_who_is_forgotten_first() {
        let table = table("new");
        // Keys with the same ways.
        let key = |number: u64| 64 + (number << 32);
        for number in 0..8 {
            (0..=number).for_each(|_| assert!(table.count_failure(key(number), None, 0, HOW)));
        }
        assert!(table.count_failure(key(8), None, 0, HOW));
        assert_eq!(table.standing(key(0), 0).ahead_ms, 0);
        assert_eq!(table.standing(key(8), 0).ahead_ms, 100);
        (1..8).for_each(|number| assert_eq!(table.standing(key(number), 0).ahead_ms, (number + 1) * 100));
    }
}
