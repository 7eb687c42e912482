//! Takes connections from the listening sockets, in bursts, so that no listener starves another.

use crate::client::{Client, Refusal};
use crate::listen::Accepted;
use crate::log::{Level, event};
use crate::place::Placed;
use crate::route::Prospect;
use crate::server::Server;
use shm_abi::Protocol;

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
            if self.listeners[number].service.is_tls() && self.is_about_to_exec() {
                continue;
            }
            for _ in 0..BURST {
                if !self.listeners[number].ready || !self.may_accept() {
                    break;
                }
                match self.listeners[number].accept(self.now_ms) {
                    Accepted::Client(client) => {
                        self.table.count_accepted();
                        match self.listeners[number].service.is_tls() {
                            true => self.begin_tls(client),
                            false => self.take_in(client),
                        }
                    }
                    Accepted::Lost => {}
                    Accepted::Empty => self.listeners[number].ready = false,
                    // Perhaps only because of sockets that are kept for sessions that are over.
                    Accepted::Exhausted(_) if self.escrow.sweep(&self.table) > 0 => {}
                    Accepted::Exhausted(_) if self.turn_one_away(number) => {}
                    Accepted::Exhausted(error) => {
                        self.accept_after_ms = self.now_ms + REST_MS;
                        self.count(shm_abi::Tally::LimitedDescriptors);
                        event(Level::Warn, "accept-exhausted", &[("why", &error), ("rest_ms", &REST_MS)]);
                    }
                }
            }
        }
    }

    /// Without descriptors: tells a connection so by the one in reserve, rather than to let it wait for nobody knows what.
    fn turn_one_away(&mut self, number: usize) -> bool {
        let mut told = None;
        let (listener, now_ms) = (&self.listeners[number], self.now_ms);
        self.reserve.lend(|| {
            if let Accepted::Client(client) = listener.accept(now_ms) {
                match listener.service.is_tls() {
                    true => client.close(),
                    false => client.turn_away(Refusal::Full),
                }
                told = Some(());
            }
        });
        if told.is_some() {
            self.table.count_accepted();
            self.table.count_turned_away();
        }
        told.is_some()
    }

    /// Gives a connection to a handler, or has it wait for room.
    pub(crate) fn take_in(&mut self, client: Client) {
        if self.address_is_full(&client) {
            event(Level::Warn, "address-refused", &[("peer", &client.peer)]);
            self.table.count_turned_away();
            self.count(shm_abi::Tally::LimitedAddressConnections);
            client.turn_away(Refusal::Address);
            return;
        }
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

    /// Whether the address has as many connections as it may have. Mail servers that are trusted may have any.
    pub(crate) fn address_is_full(&mut self, client: &Client) -> bool {
        let (limits, lmtp) = (&self.settings.limits, &self.settings.lmtp);
        let address = client.peer.address();
        let is_trusted = client.protocol == Protocol::Lmtp
            && lmtp.trusted_peers.iter().any(|network| network.contains(address));
        if limits.connections_per_address == 0 || is_trusted || limits.is_exempt(address) {
            return false;
        }
        let network = client.peer.network();
        let is_theirs = |waits: &Client| waits.peer.network() == network;
        let waiting = self.queue.count(is_theirs) + self.tls.count(is_theirs);
        self.addresses.is_full(&self.table, client.peer, waiting, limits.connections_per_address)
    }
}
