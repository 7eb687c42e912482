//! Takes connections from the listening sockets, in bursts, so that no listener starves another.

use crate::listen::Accepted;
use crate::log::{Level, event};
use crate::place::Placed;
use crate::route::Prospect;
use crate::server::Server;

/// Connections taken from one listener in one turn.
const BURST: usize = 64;
/// How long accepting rests when descriptors ran out.
const REST_MS: u64 = 100;

impl Server {
    /// Whether a connection may be taken now. When room is about to come and the queue is full, connections wait in
    /// the kernel instead of being turned away.
    pub(crate) fn may_accept(&self) -> bool {
        let queue_full = self.queue.len() >= (self.settings.limits.queue as usize).max(1);
        self.now_ms >= self.accept_after_ms && !(queue_full && self.prospect() == Prospect::Soon)
    }

    /// One burst from each listener that has something.
    pub(crate) fn accept_bursts(&mut self) {
        for number in 0..self.listeners.len() {
            for _ in 0..BURST {
                if !self.listeners[number].ready || !self.may_accept() {
                    break;
                }
                match self.listeners[number].accept(self.now_ms) {
                    Accepted::Client(client) => {
                        self.table.count_accepted();
                        self.take_in(client);
                    }
                    Accepted::Lost => {}
                    Accepted::Empty => self.listeners[number].ready = false,
                    // Perhaps only because of sockets that are kept for sessions that are over.
                    Accepted::Exhausted(_) if self.escrow.sweep(&self.table) > 0 => {}
                    Accepted::Exhausted(error) => {
                        self.accept_after_ms = self.now_ms + REST_MS;
                        event(Level::Warn, "accept-exhausted", &[("why", &error), ("rest_ms", &REST_MS)]);
                    }
                }
            }
        }
    }

    fn take_in(&mut self, client: crate::client::Client) {
        let placed = if self.queue.is_empty() {
            self.place(client)
        } else {
            // Others were first.
            Placed::Waits(client, self.prospect())
        };
        match placed {
            Placed::Given => {}
            Placed::Waits(client, Prospect::Full)
                if self.queue.len() >= self.settings.limits.queue as usize =>
            {
                self.turn_away(client);
            }
            Placed::Waits(client, _) => self.queue.push(client),
        }
    }
}
