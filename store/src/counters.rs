//! What the store has done since it was opened, as numbers that only grow. Tests show with them what an operation does *not*
//! touch: COPY writes no message bytes, FETCH FLAGS reads no record.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows; relaxed, for looking at.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The sum up to here.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The store's counters, of this process and this `Store`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Calls of `pread` on buckets and record files.
    pub preads: Counter,
    /// Message octets read from buckets.
    pub bucket_bytes_read: Counter,
    /// Message octets handed out as file ranges (`sendfile`).
    pub bucket_bytes_lent: Counter,
    /// Octets written to buckets: content, heads and changes.
    pub bucket_bytes_written: Counter,
    /// Octets written to journals.
    pub journal_bytes_written: Counter,
    /// Records given to readers.
    pub record_reads: Counter,
    /// Octets read from record files, read-ahead included.
    pub record_bytes_read: Counter,
    /// Messages analysed anew because their record was missing or damaged.
    pub reanalysed: Counter,
    /// Deliveries of messages that had come before and were counted.
    pub equal_messages: Counter,
    /// Message octets that were not written because of that.
    pub equal_bytes_saved: Counter,
    /// Log frames written.
    pub frames: Counter,
    /// Blocks of 64 cells that searches looked at.
    pub blocks_searched: Counter,
    /// Cells that searches read.
    pub cells_searched: Counter,
    /// Mailbox cells added.
    pub cells_added: Counter,
    /// Transactions that changed something.
    pub commits: Counter,
    /// Groups of tickets that became durable at one time.
    pub commit_groups: Counter,
    /// Calls of `fdatasync`.
    pub syncs: Counter,
    /// Checkpoints written.
    pub checkpoints: Counter,
    /// Mailboxes that were rewritten without tombstones.
    pub compactions: Counter,
    /// Locks whose owner had died, and that were repaired.
    pub repairs: Counter,
}
