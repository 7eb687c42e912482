//! Connections that wait for room, at most `limits.queue` of them, each for a few seconds; and before them all sessions that wait for
//! another handler, as many as there are.

use crate::adoption::Resume;
use crate::client::Client;
use crate::route::Prospect;
use std::collections::VecDeque;

/// How long a connection waits when every handler is full.
const WAIT_FULL_MS: u64 = 5_000;
/// How long a session waits for another handler.
const WAIT_RETURNING_MS: u64 = 60_000;
/// How long it waits while a handler starts, which may have to recover its store first.
const WAIT_SOON_MS: u64 = 30_000;

/// The queue, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Client>,
    /// Sessions that had begun elsewhere.
    returning: VecDeque<Client>,
}

impl Queue {
    /// New connections that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// All that wait.
    pub(crate) fn total(&self) -> usize {
        self.waiting.len() + self.returning.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.returning.is_empty()
    }

    /// Puts a session behind those that wait for another handler.
    pub(crate) fn push_returning(&mut self, client: Client) {
        self.returning.push_back(client);
    }

    /// What the sessions that wait for another handler need there.
    pub(crate) fn returning(&self) -> impl Iterator<Item = &Resume> {
        self.returning.iter().filter_map(|client| client.resume.as_deref())
    }

    /// How many of those that wait are such ones.
    pub(crate) fn count(&self, is_one: impl Fn(&Client) -> bool) -> usize {
        self.waiting.iter().filter(|client| is_one(client)).count()
    }

    /// All that wait: sessions first, then connections, each oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.returning.iter().chain(&self.waiting)
    }

    /// Puts a connection at the end.
    pub(crate) fn push(&mut self, client: Client) {
        self.waiting.push_back(client);
    }

    /// Puts a connection back where it was taken from; also one that a handler had and did not keep, which is older
    /// than all that wait.
    pub(crate) fn put_back(&mut self, client: Client) {
        match client.resume {
            Some(_) => self.returning.push_front(client),
            None => self.waiting.push_front(client),
        }
    }

    /// Takes the oldest.
    pub(crate) fn pop(&mut self) -> Option<Client> {
        self.returning.pop_front().or_else(|| self.waiting.pop_front())
    }

    /// Takes one that has waited too long.
    pub(crate) fn pop_expired(&mut self, now_ms: u64, prospect: Prospect) -> Option<Client> {
        if self.returning.front().is_some_and(|oldest| oldest.since_ms + WAIT_RETURNING_MS <= now_ms) {
            return self.returning.pop_front();
        }
        let oldest = self.waiting.front()?;
        if oldest.since_ms + patience_ms(prospect) <= now_ms { self.waiting.pop_front() } else { None }
    }

    /// Milliseconds until the oldest has waited too long.
    pub(crate) fn next_expiry_ms(&self, now_ms: u64, prospect: Prospect) -> Option<u64> {
        let new = self.waiting.front().map(|oldest| oldest.since_ms + patience_ms(prospect));
        let returning = self.returning.front().map(|oldest| oldest.since_ms + WAIT_RETURNING_MS);
        let first = new.into_iter().chain(returning).min()?;
        Some(first.saturating_sub(now_ms))
    }
}

fn patience_ms(prospect: Prospect) -> u64 {
    match prospect {
        Prospect::Soon => WAIT_SOON_MS,
        Prospect::Full => WAIT_FULL_MS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_abi::{Endpoint, Protocol};
    use std::os::unix::net::UnixStream;

    fn client(since_ms: u64) -> Client {
        let end = Endpoint::Unix { pid: 1, uid: 1 };
        let socket = UnixStream::pair().unwrap().0.into();
        Client::new(socket, Protocol::Imap, end, end, since_ms)
    }

    #[test]
    fn the_oldest_goes_first_and_none_waits_for_ever() {
        let mut queue = Queue::default();
        assert!(queue.is_empty() && queue.next_expiry_ms(0, Prospect::Full).is_none());
        queue.push(client(200));
        queue.push(client(300));
        queue.put_back(client(100));
        assert_eq!(queue.next_expiry_ms(150, Prospect::Full), Some(4950));
        assert!(queue.pop_expired(5099, Prospect::Full).is_none());
        assert!(queue.pop_expired(5100, Prospect::Soon).is_none());
        assert_eq!(queue.pop_expired(5100, Prospect::Full).unwrap().since_ms, 100);
        assert_eq!(queue.pop().unwrap().since_ms, 200);
        assert_eq!(queue.pop_expired(30_300, Prospect::Soon).unwrap().since_ms, 300);
    }
}
