//! Sessions that wait for a ticket, and changes that wait to be announced. Fed by the sessions, emptied by the store's
//! commit thread after each sync.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use store::in_hand::{Mutex, MutexGuard};
use store::{MailboxId, Ticket};

use crate::shared::Shared;
use crate::slots::{Causes, SlotNumber};

#[derive(Default)]
struct Waiting {
    sessions: BTreeMap<Ticket, Vec<SlotNumber>>,
    announcements: BTreeMap<Ticket, Vec<MailboxId>>,
}

/// What waits for the commit thread.
#[derive(Default)]
pub(crate) struct Commits {
    waiting: Mutex<Waiting>,
}

impl Commits {
    /// Whether `ticket` is durable or has failed.
    pub(crate) fn is_settled(&self, shared: &Shared, ticket: Ticket) -> bool {
        shared.store.ticket_state(ticket).is_some()
    }

    /// Wakes `slot` once `ticket` is settled; at once if it is.
    pub(crate) fn wake_when_settled(&self, shared: &Shared, ticket: Ticket, slot: SlotNumber) {
        self.lock().sessions.entry(ticket).or_default().push(slot);
        // The commit thread may have looked before the entry was there.
        if self.is_settled(shared, ticket) {
            self.settle(shared);
        }
    }

    /// Tells whoever watches the mailboxes `touched` of a change, once it is durable.
    pub(crate) fn announce(&self, shared: &Shared, ticket: Ticket, touched: &[MailboxId]) {
        if touched.is_empty() {
            return;
        }
        self.lock().announcements.entry(ticket).or_default().extend_from_slice(touched);
        if self.is_settled(shared, ticket) {
            self.settle(shared);
        }
    }

    /// Wakes and announces for all tickets that are settled. Called by the commit thread after each group.
    pub(crate) fn settle(&self, shared: &Shared) {
        let (sessions, announcements) = {
            let mut waiting = self.lock();
            (take_settled(&mut waiting.sessions, shared), take_settled(&mut waiting.announcements, shared))
        };
        for slot in sessions {
            shared.slots.wake(slot, Causes::COMMIT, &shared.run_queue);
        }
        for mailbox in announcements {
            shared.changes.announce(shared, mailbox);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_settled<T>(waiting: &mut BTreeMap<Ticket, Vec<T>>, shared: &Shared) -> Vec<T> {
    let mut taken = Vec::new();
    while let Some(first) = waiting.first_entry()
        && shared.store.ticket_state(*first.key()).is_some()
    {
        taken.append(&mut first.remove());
    }
    taken
}
