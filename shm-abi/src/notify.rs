//! How a change of a mailbox reaches the sessions that have it selected, in whatever process.
//!
//! A mailbox's key falls on one row, by a hash; keys that share a row share its news. So there is nothing to insert,
//! nothing to run out of, and nothing to repair when a process dies between two instructions; the price is that a
//! session is now and then woken for a stranger's mailbox and finds nothing new. There are at least two rows for
//! every session.
//!
//! # No wake-up is lost
//!
//! The announcer: makes the change visible in the store; (A1) raises the row's generation; (A2) reads the row's
//! watchers; (A3) for each, swaps its `pending` to 1; (A4) if that was 0, writes its eventfd.
//!
//! The watcher: (W1) sets its bit; (W2) remembers the row's generation; then looks at the mailbox. When woken:
//! reads its eventfd; (W3) swaps `pending` to 0; (W4) compares generations.
//!
//! All of them are sequentially consistent; `notify/model.rs` tries every interleaving of them.
//!
//! - *Beginning to watch*: if A2 misses the bit, A2 is before W1 in the single order, so the change was visible before
//!   the watcher looked at the mailbox.
//! - *Watching*: A2 sees the bit. If A3 finds 0, the eventfd is written after A1, and W4 follows the reading of it. If A3
//!   finds 1, some earlier announcer has written or will write the eventfd, and the watcher's next W3 comes after this A3
//!   in the order of `pending`, since only W3 puts a 0 there; so its W4 sees A1.
//! - *An announcer killed between A3 and A4* leaves `pending` set and no eventfd written: therefore the router writes
//!   every handler's eventfd when it reaps one, and a handler calls `take_pending` on its heartbeat too, against a tool
//!   that was killed.

use crate::table::{Table, TableView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Mutex, PoisonError};

/// A mailbox row's number, k.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RowIndex(pub u32);

impl TableView {
    /// The row on which a mailbox's key falls.
    pub fn row_of(&self, key: u64) -> RowIndex {
        // Rows are a power of two: take high bits of a product, in which all bits of the key have met.
        let bits = self.mailbox_rows().trailing_zeros();
        RowIndex((key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as u32)
    }

    /// The change generation of a row.
    pub fn generation(&self, row: RowIndex) -> u64 {
        self.mailbox(row.0 as usize).generation.load(Ordering::SeqCst)
    }
}

impl Table {
    /// Begins to watch a mailbox for `handler`. Look at the mailbox after this, not before. Handlers go through
    /// [`Watches`], which counts sessions.
    pub fn watch(&self, handler: u32, key: u64) -> RowIndex {
        let row = self.row_of(key);
        self.mailbox(row.0 as usize).watchers.fetch_or(1 << handler, Ordering::SeqCst);
        // What the caller now reads of the mailbox is read after the bit is set.
        fence(Ordering::SeqCst);
        row
    }

    /// Ends watching a row for `handler`.
    pub fn unwatch(&self, handler: u32, row: RowIndex) {
        self.mailbox(row.0 as usize).watchers.fetch_and(!(1 << handler), Ordering::SeqCst);
    }

    /// Announces that every mailbox that somebody watches may have changed: a handler died and may have come to change one and not to
    /// announce it. Calls `wake` as [`Table::announce`] does.
    pub fn announce_all(&self, mut wake: impl FnMut(u32)) {
        let mut watchers = 0;
        for row in 0..self.mailbox_rows() {
            let mailbox = self.mailbox(row);
            let watching = mailbox.watchers.load(Ordering::SeqCst);
            if watching != 0 {
                mailbox.generation.fetch_add(1, Ordering::SeqCst);
                // Again: who began to watch before the generation was raised must be woken.
                watchers |= watching | mailbox.watchers.load(Ordering::SeqCst);
            }
        }
        for handler in (0..self.limits().handlers).filter(|handler| watchers & 1 << handler != 0) {
            self.set_pending(handler);
            wake(handler);
        }
    }

    /// Announces that the mailbox `key` has changed. Calls `wake` with every handler whose eventfd is to be written;
    /// the announcer itself is among them if it watches.
    pub fn announce(&self, key: u64, mut wake: impl FnMut(u32)) {
        // What the caller wrote into the store is written before the watchers are read.
        fence(Ordering::SeqCst);
        let shared = self.mailbox(self.row_of(key).0 as usize);
        shared.last_key.store(key, Ordering::Relaxed);
        shared.generation.fetch_add(1, Ordering::SeqCst);
        let mut watchers = shared.watchers.load(Ordering::SeqCst);
        while watchers != 0 {
            let handler = watchers.trailing_zeros();
            watchers &= watchers - 1;
            if handler < self.limits().handlers && self.set_pending(handler) {
                wake(handler);
            }
        }
    }

    /// Marks that there is news for `handler`; true if its eventfd must be written.
    pub fn set_pending(&self, handler: u32) -> bool {
        self.handler_shared(handler).pending.swap(1, Ordering::SeqCst) == 0
    }

    /// Takes the mark away; true if it was set. The handler calls it after it has read its eventfd, and before it
    /// compares generations.
    pub fn take_pending(&self, handler: u32) -> bool {
        self.handler_shared(handler).pending.swap(0, Ordering::SeqCst) != 0
    }

    pub(crate) fn unwatch_all(&self, handler: u32) {
        for row in 0..self.mailbox_rows() {
            let watchers = &self.mailbox(row).watchers;
            if watchers.load(Ordering::SeqCst) & (1 << handler) != 0 {
                watchers.fetch_and(!(1 << handler), Ordering::SeqCst);
            }
        }
    }
}

/// One handler's watches, counted: the bit of a row is set while any session of the handler watches a key on it.
#[derive(Debug)]
pub struct Watches {
    handler: u32,
    rows: Mutex<HashMap<RowIndex, Watched>>,
}

#[derive(Debug)]
struct Watched {
    sessions: u32,
    seen: u64,
}

impl Watches {
    /// No watches of `handler`.
    pub fn new(handler: u32) -> Watches {
        Watches { handler, rows: Mutex::new(HashMap::new()) }
    }

    /// One more session watches `key`. Look at the mailbox after this.
    pub fn add(&self, table: &Table, key: u64) -> RowIndex {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let row = table.watch(self.handler, key);
        rows.entry(row).or_insert_with(|| Watched { sessions: 0, seen: table.generation(row) }).sessions += 1;
        row
    }

    /// One session less watches `row`.
    pub fn remove(&self, table: &Table, row: RowIndex) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = rows.entry(row) {
            entry.get_mut().sessions -= 1;
            if entry.get().sessions == 0 {
                entry.remove();
                table.unwatch(self.handler, row);
            }
        }
    }

    /// Calls `each` with every watched row that has changed since the last call. Call it when the eventfd became
    /// readable and was read, after [`Table::take_pending`].
    pub fn changed(&self, table: &Table, mut each: impl FnMut(RowIndex)) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for (row, watched) in rows.iter_mut() {
            let generation = table.generation(*row);
            if generation != watched.seen {
                watched.seen = generation;
                each(*row);
            }
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
