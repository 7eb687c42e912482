//! The states that something was shown in, and which transactions made them: what a power cut may leave.

use std::collections::BTreeMap;

use crate::ids::{MailboxId, Ticket};

/// A transaction of the run. `DURABLE` stands for all that are known to last.
pub(super) type TransactionId = u64;

/// What was made by transactions that are known to last.
pub(super) const DURABLE: TransactionId = 0;

/// A transaction that was shown and not acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    /// Which opening of the store made it.
    pub(super) incarnation: u64,
    /// Its ticket there.
    pub(super) ticket: Ticket,
    /// What it was, in words.
    pub(super) words: String,
    /// By what it can be known whether it happened.
    pub(super) marks: Vec<Mark>,
}

/// A trace of a transaction in one mailbox. All traces of one are there or none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// A message was added.
    Added { mailbox: MailboxId, uid: u32 },
    /// Flags of a message were changed.
    Flagged { mailbox: MailboxId, uid: u32, modseq: u64 },
    /// A message was expunged.
    Expunged { mailbox: MailboxId, uid: u32, modseq: u64 },
}

/// Transactions that were shown and not acknowledged.
#[derive(Clone, Debug, Default)]
pub(super) struct Unacknowledged(BTreeMap<TransactionId, Transaction>);

impl Unacknowledged {
    /// Whether a power cut may take it away.
    pub(super) fn contains(&self, id: TransactionId) -> bool {
        self.0.contains_key(&id)
    }

    /// One more.
    pub(super) fn insert(&mut self, id: TransactionId, transaction: Transaction) {
        self.0.insert(id, transaction);
    }

    /// Those of `incarnation` up to `durable` are acknowledged.
    pub(super) fn acknowledge(&mut self, incarnation: u64, durable: Ticket) {
        self.0.retain(|_, known| known.incarnation != incarnation || known.ticket > durable);
    }

    /// All are settled.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TransactionId, &Transaction)> {
        self.0.iter().map(|(id, transaction)| (*id, transaction))
    }
}

/// The states of one thing, in the order in which they were shown. There is one at least.
#[derive(Clone, Debug)]
pub(super) struct History<T>(Vec<(TransactionId, T)>);

impl<T> History<T> {
    /// A thing that `id` made.
    pub(super) fn new(id: TransactionId, state: T) -> History<T> {
        History(vec![(id, state)])
    }

    /// `id` changed it.
    pub(super) fn push(&mut self, id: TransactionId, state: T) {
        self.0.push((id, state));
    }

    /// It is this, and that lasts.
    pub(super) fn settle(&mut self, state: T) {
        self.0.clear();
        self.0.push((DURABLE, state));
    }

    /// What it is now.
    pub(super) fn now(&self) -> &T {
        &self.0[self.0.len() - 1].1
    }

    /// What it may be after a power cut: what was acknowledged last, or any later state. If nothing was ever acknowledged, the thing may be
    /// gone as well.
    pub(super) fn possible(&self, unacknowledged: &Unacknowledged) -> impl Iterator<Item = &T> {
        let last = self.0.iter().rposition(|(id, _)| !unacknowledged.contains(*id)).unwrap_or(0);
        self.0[last..].iter().map(|(_, state)| state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(incarnation: u64, ticket: u64) -> Transaction {
        Transaction { incarnation, ticket: Ticket(ticket), words: String::new(), marks: Vec::new() }
    }

    #[test]
    fn what_was_acknowledged_hides_what_was_before() {
        let mut open = Unacknowledged::default();
        let mut history = History::new(DURABLE, 'a');
        for (id, ticket, state) in [(1, 1, 'b'), (2, 2, 'c'), (3, 3, 'd')] {
            open.insert(id, transaction(7, ticket));
            history.push(id, state);
        }
        let possible = |open: &Unacknowledged| history.possible(open).collect::<String>();
        assert_eq!(possible(&open), "abcd");
        open.acknowledge(8, Ticket(9));
        assert_eq!(possible(&open), "abcd");
        open.acknowledge(7, Ticket(2));
        assert_eq!(possible(&open), "cd");
        open.clear();
        assert_eq!(possible(&open), "d");
    }
}
