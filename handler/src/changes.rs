//! Which sessions look at which mailbox, and how a change reaches them.
//!
//! A change in any process raises the generation of the mailbox's row in the shared table and writes the eventfd of each
//! handler that watches the row (`shm_abi::Watches` says why nothing is missed). Here the poll thread then wakes the sessions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shm_abi::{RowIndex, Watches};
use store::MailboxId;

use crate::shared::Shared;
use crate::slots::{Causes, SlotNumber};

#[derive(Default)]
struct Watchers {
    by_row: HashMap<RowIndex, Vec<SlotNumber>>,
    /// The row that each watching session watches.
    by_session: HashMap<SlotNumber, RowIndex>,
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

    /// Session `slot` watches `mailbox` from now on. It must look at the mailbox after this, for what happened before.
    pub(crate) fn watch(&self, shared: &Shared, slot: SlotNumber, mailbox: MailboxId) {
        self.unwatch(shared, slot);
        let row = self.watches.add(&shared.table, mailbox.key());
        let mut watchers = self.lock();
        watchers.by_session.insert(slot, row);
        watchers.by_row.entry(row).or_default().push(slot);
    }

    /// Session `slot` watches nothing any more.
    pub(crate) fn unwatch(&self, shared: &Shared, slot: SlotNumber) {
        let mut watchers = self.lock();
        let Some(row) = watchers.by_session.remove(&slot) else { return };
        if let Some(sessions) = watchers.by_row.get_mut(&row) {
            sessions.retain(|&other| other != slot);
            if sessions.is_empty() {
                watchers.by_row.remove(&row);
            }
        }
        drop(watchers);
        self.watches.remove(&shared.table, row);
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

    fn lock(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
