//! Which sessions look at which mailboxes, and how a change reaches them. A list of mailboxes is watched as a mailbox is.
//!
//! A change in any process raises the generation of the mailbox's row in the shared table and writes the eventfd of each
//! handler that watches the row (`shm_abi::Watches` says why nothing is missed). Here the poll thread then wakes the sessions.

use std::collections::HashMap;
use std::sync::PoisonError;

use shm_abi::{RowIndex, Watches};
use store::MailboxId;
use store::in_hand::{Mutex, MutexGuard};

use crate::shared::Shared;
use crate::slots::{Causes, SlotNumber};

#[derive(Default)]
struct Watchers {
    by_row: HashMap<RowIndex, Vec<SlotNumber>>,
    /// The rows that each watching session watches, ascending.
    by_session: HashMap<SlotNumber, Box<[RowIndex]>>,
}

/// The watched mailboxes of this handler.
pub(crate) struct Changes {
    watches: Watches,
    watchers: Mutex<Watchers>,
}

impl Changes {
    /// Nobody of `handler` watches anything.
    pub(crate) fn new(handler: u32) -> Changes {
        Changes { watches: Watches::new(handler), watchers: Mutex::default() }
    }

    /// Session `slot` watches the rows of these keys from now on, and no others. It must look at what they stand for after this, for what
    /// happened before.
    pub(crate) fn watch(&self, shared: &Shared, slot: SlotNumber, keys: &[u64]) {
        let mut wanted: Vec<(RowIndex, u64)> =
            keys.iter().map(|&key| (shared.table.row_of(key), key)).collect();
        wanted.sort_unstable_by_key(|(row, _)| row.0);
        wanted.dedup_by_key(|(row, _)| row.0);
        let mut watchers = self.lock();
        let before = watchers.by_session.remove(&slot).unwrap_or_default();
        for &(row, key) in &wanted {
            if !contains(&before, row) {
                self.watches.add(&shared.table, key);
                watchers.by_row.entry(row).or_default().push(slot);
            }
        }
        let wanted: Box<[RowIndex]> = wanted.into_iter().map(|(row, _)| row).collect();
        for &row in before.iter().filter(|row| !contains(&wanted, **row)) {
            if let Some(sessions) = watchers.by_row.get_mut(&row) {
                sessions.retain(|&other| other != slot);
                if sessions.is_empty() {
                    watchers.by_row.remove(&row);
                }
            }
            self.watches.remove(&shared.table, row);
        }
        if !wanted.is_empty() {
            watchers.by_session.insert(slot, wanted);
        }
    }

    /// Session `slot` watches nothing any more.
    pub(crate) fn unwatch(&self, shared: &Shared, slot: SlotNumber) {
        self.watch(shared, slot, &[]);
    }

    /// Tells every handler that watches `mailbox`, this one included, that it changed.
    pub(crate) fn announce(&self, shared: &Shared, mailbox: MailboxId) {
        shared.table.announce(mailbox.key(), |handler| shared.wake_handler(handler));
    }

    /// Wakes the sessions whose mailbox changed since the last call. Called by the poll thread.
    pub(crate) fn deliver(&self, shared: &Shared) {
        shared.table.take_pending(shared.handler);
        let watchers = self.lock();
        self.watches.changed(&shared.table, |row| {
            for &slot in watchers.by_row.get(&row).into_iter().flatten() {
                shared.slots.wake(slot, Causes::CHANGE, &shared.run_queue);
            }
        });
    }

    /// Does something with the lock held.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn with_lock(&self, what: impl FnOnce()) {
        let _held = self.lock();
        what();
    }

    fn lock(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn contains(rows: &[RowIndex], row: RowIndex) -> bool {
    rows.binary_search_by_key(&row.0, |row| row.0).is_ok()
}
