//! What the router orders for single sessions: to end, or to go elsewhere. Filled by the poll thread, which wakes the session; taken by the worker that runs it.
//!
//! An order names the generation of the session's cell, so that none reaches another session that has the slot by then.

use std::collections::HashMap;
use std::sync::PoisonError;

use store::in_hand::{Mutex, MutexGuard};

use crate::shared::Shared;
use crate::slots::{Causes, SlotNumber};

/// What a session is to do as soon as its protocol allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// End, with these words for the peer.
    Leave(Box<str>),
    /// Go to another handler.
    Move,
}

/// The orders that were not taken yet.
#[derive(Default)]
pub(crate) struct Orders {
    waiting: Mutex<HashMap<SlotNumber, (u32, Order)>>,
}

impl Orders {
    /// Gives an order to a session, and wakes it. Nothing happens if the session is not there any more.
    pub(crate) fn give(&self, shared: &Shared, slot: SlotNumber, generation: u32, order: Order) {
        if shared.cell(slot, generation).is_some() {
            self.lock().insert(slot, (generation, order));
            shared.slots.wake(slot, Causes::ORDER, &shared.run_queue);
        }
    }

    /// Takes what is meant for this session.
    pub(crate) fn take(&self, slot: SlotNumber, generation: u32) -> Option<Order> {
        let (meant_for, order) = self.lock().remove(&slot)?;
        (meant_for == generation).then_some(order)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SlotNumber, (u32, Order)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
