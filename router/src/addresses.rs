//! How many connections each address has: those that handlers have, by their cells in the table, and those that wait.
//!
//! Nobody tells the router when a session ends. So each connection that is given away is noted under its address, and the notes of
//! an address are looked through when they reach the limit: those whose cell is free or has another generation go. Between
//! that, all notes are looked through now and then. So the count is exact where it matters, and taking a connection costs
//! nothing that grows with the number of sessions.

use shm_abi::{Endpoint, SessionId, Table};
use std::collections::HashMap;
use std::net::IpAddr;

fn is_taken(seat: SessionId, table: &Table) -> bool {
    table.cell(seat.handler, seat.cell, seat.generation).is_some()
}

/// The notes.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    seats: HashMap<IpAddr, Vec<SessionId>>,
    notes: usize,
}

impl Addresses {
    /// The connections that the table has, as the first router of a boot and one that takes a table over find them.
    pub(crate) fn of(table: &Table) -> Addresses {
        let mut addresses = Addresses::default();
        for session in table.sessions() {
            if let Some(peer) = session.peer {
                addresses.note(peer, session.id);
            }
        }
        addresses
    }

    /// A connection of `peer` was given the cell of this session.
    pub(crate) fn note(&mut self, peer: Endpoint, session: SessionId) {
        if let Some(network) = peer.network() {
            self.seats.entry(network).or_default().push(session);
            self.notes += 1;
        }
    }

    /// Whether the address of `peer` has as many connections as it may: `limit`, of which `waiting` wait for room.
    pub(crate) fn is_full(&mut self, table: &Table, peer: Endpoint, waiting: usize, limit: u32) -> bool {
        let Some(seats) = peer.network().and_then(|network| self.seats.get_mut(&network)) else {
            return limit > 0 && waiting >= limit as usize;
        };
        if limit == 0 || seats.len() + waiting < limit as usize {
            return false;
        }
        self.notes -= seats.len();
        seats.retain(|seat| is_taken(*seat, table));
        self.notes += seats.len();
        seats.len() + waiting >= limit as usize
    }

    /// Forgets connections that have ended, once there are twice as many notes as sessions. Called now and then.
    pub(crate) fn tidy(&mut self, table: &Table, sessions: usize) {
        if self.notes < 2 * sessions + 1024 {
            return;
        }
        self.seats.retain(|_, seats| {
            seats.retain(|seat| is_taken(*seat, table));
            !seats.is_empty()
        });
        self.notes = self.seats.values().map(Vec::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_abi::{Limits, Protocol};

    fn from(address: &str) -> Endpoint {
        Endpoint::Inet(format!("{address}:7").parse().unwrap())
    }

    #[test]
    fn an_address_is_full_until_one_of_its_sessions_ends() {
        let name = format!("/lode-addresses-{}", std::process::id());
        let table = Table::create(&name, Limits { handlers: 1, sessions: 64 }, 1, 1).unwrap();
        table.begin_handler(0, 1).unwrap();
        let mut addresses = Addresses::default();
        let mut seats = Vec::new();
        for peer in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "[2001:db8::1]", "[2001:db8::2]"] {
            let (cell, generation) = table.assign(0, Protocol::Imap, from(peer), 1).unwrap();
            addresses.note(from(peer), SessionId { handler: 0, cell, generation });
            seats.push((cell, generation));
        }
        assert!(addresses.is_full(&table, from("192.0.2.1"), 0, 2));
        assert!(addresses.is_full(&table, from("192.0.2.1"), 1, 3), "one waits");
        assert!(!addresses.is_full(&table, from("192.0.2.1"), 0, 3));
        assert!(!addresses.is_full(&table, from("192.0.2.2"), 0, 2));
        assert!(addresses.is_full(&table, from("[2001:db8::3]"), 0, 2), "a network of 64 bits");
        assert!(!addresses.is_full(&table, from("[2001:db8:0:1::1]"), 0, 2));
        assert!(!addresses.is_full(&table, from("192.0.2.1"), 9, 0), "no limit");
        assert!(Addresses::of(&table).is_full(&table, from("192.0.2.1"), 0, 2), "taken over");
        // The cell of one is free, and then another's.
        table.free(0, seats[0].0, seats[0].1);
        table.assign(0, Protocol::Imap, from("192.0.2.9"), 1).unwrap();
        assert!(!addresses.is_full(&table, from("192.0.2.1"), 0, 2));
        assert_eq!(addresses.notes, 4);
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let name = format!("/lode-addresses-tidy-{}", std::process::id());
        let table = Table::create(&name, Limits { handlers: 1, sessions: 64 }, 1, 1).unwrap();
        table.begin_handler(0, 1).unwrap();
        let mut addresses = Addresses::default();
        for number in 0..2000 {
            let peer = from(&format!("10.0.{}.{}", number / 250, number % 250));
            let (cell, generation) = table.assign(0, Protocol::Imap, peer, 1).unwrap();
            addresses.note(peer, SessionId { handler: 0, cell, generation });
            table.free(0, cell, generation);
        }
        addresses.tidy(&table, 0);
        assert_eq!((addresses.notes, addresses.seats.len()), (0, 0));
    }
}
