//! What a handler logs: the macros of the crate `logging`, and the session that each line is about.
//!
//! A worker says which session it runs ([`runs`]). A line that is written meanwhile gets the session's id, and its user and peer where it does not
//! name them itself; they are looked up when there is a line, so that a turn without one costs two stores.

use std::cell::Cell;
use std::sync::{Arc, Weak};

use shm_abi::SessionId;
use store::MailboxId;

use crate::shared::Shared;
use crate::slots::SlotNumber;

pub(crate) use logging::{audit, audit_refusal, error, info, warning};

thread_local! {
    static RUNNING: Cell<Option<(SlotNumber, u32)>> = const { Cell::new(None) };
}

/// Has the lines of this thread say which session it runs.
pub(crate) fn name_sessions(shared: &Arc<Shared>) {
    let shared: Weak<Shared> = Arc::downgrade(shared);
    logging::set_context(move |tell| {
        let (Some((slot, generation)), Some(shared)) = (RUNNING.get(), shared.upgrade()) else { return };
        let session = SessionId { handler: shared.handler, cell: slot, generation };
        if let Some(info) = shared.table.session(session) {
            if !info.user.is_empty() {
                tell("user", &info.user);
            }
            if let Some(peer) = info.peer {
                tell("peer", &peer);
            }
        }
        tell("session", &session);
    });
}

/// The name of a mailbox, for a line; its number, if it has none any more.
pub(crate) fn mailbox_name(shared: &Shared, mailbox: MailboxId) -> String {
    let list = shared.store.mailbox_list(mailbox.user).ok();
    let entry = list.as_ref().and_then(|list| list.by_number(mailbox.number));
    entry.map_or_else(|| mailbox.number.to_string(), |entry| entry.name.clone())
}

/// Says which session this thread runs now, if any.
pub(crate) fn runs(session: Option<(SlotNumber, u32)>) {
    RUNNING.set(session);
}
