//! Who has which row and which cell: the router's side of the table, and the freeing of cells by handlers.
//!
//! A cell's free bit, its state and its row's session count change in a fixed order, given in `ABI.md`, so that a count
//! with room means that there is a bit to take.

use crate::cell::SessionInfo;
use crate::endpoint::Endpoint;
use crate::handler_row::HandlerState;
use crate::handover::Protocol;
use crate::layout::MAX_WORKERS;
use crate::table::Table;
use std::sync::atomic::{Ordering, fence};

impl Table {
    /// Gives a free handler row a new generation and the state starting. The router calls it before it starts a
    /// process, and [`HandlerRow::set_process`] after. `None` if the row is not free.
    pub fn begin_handler(&self, handler: u32, now_ms: u64) -> Option<u32> {
        let row = self.handler(handler);
        if row.state() != HandlerState::Free || !self.reset_start_event(handler) {
            return None;
        }
        let generation = row.generation().wrapping_add(1);
        for worker in 0..MAX_WORKERS {
            self.worker(handler, worker).end();
        }
        row.begin(generation, now_ms);
        self.header().spawned.fetch_add(1, Ordering::Relaxed);
        Some(generation)
    }

    /// Gives a cell of `handler` to a new connection: its number and generation, or `None` when the handler is full.
    /// The router alone calls it.
    pub fn assign(
        &self,
        handler: u32,
        protocol: Protocol,
        peer: Endpoint,
        now_ms: u64,
    ) -> Option<(u32, u32)> {
        for at in 0..self.free_words_each() {
            let word = self.free_word(handler, at);
            let bits = word.load(Ordering::Acquire);
            if bits != 0 {
                let bit = bits.trailing_zeros();
                word.fetch_and(!(1 << bit), Ordering::AcqRel);
                let cell = at as u32 * 64 + bit;
                let generation = self.any_cell(handler, cell).assign(protocol, peer, now_ms);
                self.handler_shared(handler).sessions.fetch_add(1, Ordering::AcqRel);
                return Some((cell, generation));
            }
        }
        None
    }

    /// Gives a cell of `handler` to a session that another handler had, of which `session` is known: its number and generation, or
    /// `None` when the handler is full. The router alone calls it.
    pub fn assign_again(&self, handler: u32, session: &SessionInfo, now_ms: u64) -> Option<(u32, u32)> {
        let (protocol, peer) = (session.protocol?, session.peer?);
        let (cell, generation) = self.assign(handler, protocol, peer, now_ms)?;
        self.any_cell(handler, cell).take_over(session);
        if !session.user.is_empty() && protocol == Protocol::Imap {
            // It was let in before.
            self.enter(self.any_cell(handler, cell), protocol, &session.user, 0);
        }
        Some((cell, generation))
    }

    /// Frees a cell of this generation. The handler calls it when a session has ended, the router when a connection
    /// was refused. False, and nothing done, if the cell is free already or has another generation.
    pub fn free(&self, handler: u32, cell: u32, generation: u32) -> bool {
        if cell >= self.limits().sessions || !self.any_cell(handler, cell).release(generation) {
            return false;
        }
        // Before the cell can be taken again.
        self.leave(self.any_cell(handler, cell));
        // The bit before the count: whoever reads a count with room finds a free bit.
        self.free_word(handler, cell as usize / 64).fetch_or(1 << (cell % 64), Ordering::SeqCst);
        self.handler_shared(handler).sessions.fetch_sub(1, Ordering::SeqCst);
        // Pairs with the fence in `set_queue_waiting`: either the router finds the room, or the caller, which asks
        // `queue_waiting` after this, sees that somebody waits.
        fence(Ordering::SeqCst);
        true
    }

    /// Clears everything of a dead handler: cells, watches, row. The router calls it when the process is reaped;
    /// the row is free afterwards and keeps its generation.
    pub fn clear_handler(&self, handler: u32) {
        self.handler(handler).set_state(HandlerState::Dead);
        for cell in 0..self.limits().sessions {
            let cell = self.any_cell(handler, cell);
            cell.wipe();
            self.leave(cell);
        }
        self.unwatch_all(handler);
        self.metrics(handler).clear_gauges();
        self.fill_free_words(handler);
        let shared = self.handler_shared(handler);
        shared.sessions.store(0, Ordering::Release);
        shared.pending.store(0, Ordering::SeqCst);
        shared.pid.store(0, Ordering::Release);
        self.handler(handler).set_state(HandlerState::Free);
    }

    /// Marks every cell of a handler free.
    pub(crate) fn fill_free_words(&self, handler: u32) {
        for at in 0..self.free_words_each() {
            let first = at as u32 * 64;
            let bits = match self.limits().sessions.saturating_sub(first) {
                0 => 0,
                count if count >= 64 => u64::MAX,
                count => (1 << count) - 1,
            };
            self.free_word(handler, at).store(bits, Ordering::Release);
        }
    }
}
