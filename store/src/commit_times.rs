//! How long commits take: told to whoever measures, as it happens.
//!
//! Owned by the committer. Nothing is remembered and no clock is read before somebody asked to be told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is told.
#[derive(Debug)]
pub enum CommitTime<'a> {
    /// A log was synced; it took so long.
    Synced(Duration),
    /// Commits have become durable at one time, each so long after it was made.
    Durable(&'a [Duration]),
}

/// Who is told. Called by the threads that sync, by several at once; it must not block.
pub type CommitObserver = Box<dyn Fn(CommitTime<'_>) + Send + Sync>;

/// When the tickets were taken that are not durable yet, in their order: their numbers follow each other.
#[derive(Debug, Default)]
pub(crate) struct Births {
    /// The ticket before the first of `times`.
    before: u64,
    times: VecDeque<Instant>,
}

impl Births {
    /// A ticket was taken.
    pub(crate) fn add(&mut self, ticket: u64, now: Instant) {
        if self.times.is_empty() {
            self.before = ticket - 1;
        }
        self.times.push_back(now);
    }

    /// All up to `durable` are durable now: how long each waited.
    pub(crate) fn take(&mut self, durable: u64, now: Instant) -> Vec<Duration> {
        let count = durable.saturating_sub(self.before).min(self.times.len() as u64);
        self.before += count;
        self.times.drain(..count as usize).map(|born| now.saturating_duration_since(born)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ticket_waits_from_its_birth() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut births = Births::default();
        // Tickets before somebody measured are not known.
        for (ticket, ms) in [(8, 0), (9, 10), (10, 20)] {
            births.add(ticket, at(ms));
        }
        assert!(births.take(7, at(25)).is_empty());
        let waits = births.take(9, at(30));
        assert_eq!(waits, [Duration::from_millis(30), Duration::from_millis(20)]);
        assert!(births.take(9, at(40)).is_empty());
        births.add(11, at(50));
        assert_eq!(births.take(99, at(60)).len(), 2);
        births.add(100, at(70));
        assert_eq!(births.take(100, at(71)), [Duration::from_millis(1)]);
    }
}
