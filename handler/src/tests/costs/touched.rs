//! What one command touched: the store's counters before and after it.

use store::Store;

use crate::tests::{Client, Rig};

/// What a command touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Touched {
    /// Records read.
    pub(super) records: u64,
    /// Reads of files: buckets and records.
    pub(super) preads: u64,
    /// Message octets read.
    pub(super) octets_read: u64,
    /// Message octets sent from the file.
    pub(super) octets_lent: u64,
    /// Octets written to logs.
    pub(super) octets_written: u64,
    /// Frames written to logs.
    pub(super) frames: u64,
    /// Transactions.
    pub(super) commits: u64,
    /// Syncs that were waited for, with those of others.
    pub(super) syncs: u64,
    /// Cells added to mailboxes.
    pub(super) cells_added: u64,
    /// Blocks of 64 cells that a search looked at.
    pub(super) blocks: u64,
    /// Cells that a search read.
    pub(super) cells: u64,
    /// Untagged replies.
    pub(super) replies: u64,
}

impl Touched {
    /// What `client` makes the store of `rig` touch with `command`, which must succeed.
    pub(super) fn by(rig: &Rig, client: &mut Client, command: &str) -> Touched {
        Touched::while_it(rig, || client.ok(command).len() as u64 - 1)
    }

    /// What the store of `rig` touches while `run` runs, which returns how many replies there were.
    pub(super) fn while_it(rig: &Rig, run: impl FnOnce() -> u64) -> Touched {
        let store = &rig.shared.store;
        let before = sums(store);
        let replies = run();
        let after = sums(store);
        let [
            records,
            preads,
            octets_read,
            octets_lent,
            octets_written,
            frames,
            commits,
            syncs,
            cells_added,
            blocks,
            cells,
        ] = std::array::from_fn(|index| after[index] - before[index]);
        Touched {
            records,
            preads,
            octets_read,
            octets_lent,
            octets_written,
            frames,
            commits,
            syncs,
            cells_added,
            blocks,
            cells,
            replies,
        }
    }

    /// Whether neither a record nor a message was read.
    pub(super) fn only_cells(&self) -> bool {
        (self.records, self.preads, self.octets_read, self.octets_lent) == (0, 0, 0, 0)
    }

    /// Whether no octet of a message was read.
    pub(super) fn no_message(&self) -> bool {
        (self.octets_read, self.octets_lent) == (0, 0)
    }

    /// Whether nothing was written.
    pub(super) fn wrote_nothing(&self) -> bool {
        (self.octets_written, self.frames, self.commits, self.cells_added) == (0, 0, 0, 0)
    }
}

fn sums(store: &Store) -> [u64; 11] {
    let counters = store.counters();
    [
        counters.record_reads.get(),
        counters.preads.get(),
        counters.bucket_bytes_read.get(),
        counters.bucket_bytes_lent.get(),
        counters.bucket_bytes_written.get() + counters.journal_bytes_written.get(),
        counters.frames.get(),
        counters.commits.get(),
        counters.syncs.get(),
        counters.cells_added.get(),
        counters.blocks_searched.get(),
        counters.cells_searched.get(),
    ]
}

/// Appends `count` messages with one command each hundred of them; message `n` counts from `first`.
pub(super) fn fill(client: &mut Client, mailbox: &str, first: usize, count: usize) {
    for from in (first..first + count).step_by(100) {
        let numbers = from..(from + 100).min(first + count);
        let mut command = format!("x APPEND {mailbox}").into_bytes();
        for number in numbers {
            let message = message(number);
            command.extend_from_slice(format!(" {{{}+}}\r\n", message.len()).as_bytes());
            command.extend_from_slice(message.as_bytes());
        }
        command.extend_from_slice(b"\r\n");
        client.send(&command);
        loop {
            let line = client.line();
            if line.starts_with("x ") {
                assert!(line.contains(" OK "), "APPEND: {line}");
                break;
            }
        }
    }
}

/// A small message of which no two are the same.
pub(super) fn message(number: usize) -> String {
    format!(
        "Date: Mon, {} Nov 2026 10:00:00 +0000\r\nFrom: Ann <ann{number}@example.org>\r\nTo: bob@example.org\r\n\
         Message-ID: <{number}@example.org>\r\nSubject: number {number}\r\n\r\nThe text of message {number}.\r\n",
        1 + number % 28
    )
}
