//! How many sessions there are, by protocol and state: for figures, not for decisions.

use crate::cell::CellState;
use crate::handler_row::HandlerState;
use crate::handover::Protocol;
use crate::table::TableView;
use std::sync::atomic::Ordering;

const PROTOCOLS: usize = 4;
const STATES: usize = 6;

/// Numbers of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionCounts {
    states: [[u64; STATES]; PROTOCOLS],
    logged_in: [u64; PROTOCOLS],
}

impl SessionCounts {
    /// Sessions of a protocol in a state.
    pub fn of(&self, protocol: Protocol, state: CellState) -> u64 {
        self.states[protocol as usize][state as usize]
    }

    /// Sessions of a protocol whose user is logged in.
    pub fn logged_in(&self, protocol: Protocol) -> u64 {
        self.logged_in[protocol as usize]
    }
}

impl TableView {
    /// Counts the sessions of all handlers. Two cache lines are read of each cell that is in use, and none of others.
    pub fn session_counts(&self) -> SessionCounts {
        let mut counts = SessionCounts::default();
        for handler in 0..self.limits().handlers {
            if self.handler_state(handler) == HandlerState::Free {
                continue;
            }
            for word in 0..self.free_words_each() {
                let mut used = !self.free_word(handler, word).load(Ordering::Relaxed);
                while used != 0 {
                    let cell = word as u32 * 64 + used.trailing_zeros();
                    used &= used - 1;
                    if cell >= self.limits().sessions {
                        break;
                    }
                    let cell = self.any_cell(handler, cell);
                    let state = cell.state();
                    if state != CellState::Free {
                        let (protocol, is_logged_in) = cell.glance();
                        counts.states[protocol as usize % PROTOCOLS][state as usize] += 1;
                        counts.logged_in[protocol as usize % PROTOCOLS] += u64::from(is_logged_in);
                    }
                }
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Endpoint, Limits, Table};

    #[test]
    fn sessions_are_counted_by_protocol_and_state() {
        let name = format!("/lode-counts-{}", std::process::id());
        let table = Table::create(&name, Limits { handlers: 2, sessions: 70 }, 1, 1).unwrap();
        let peer = Endpoint::Unix { pid: 1, uid: 1 };
        assert_eq!(table.session_counts(), SessionCounts::default());
        table.begin_handler(1, 1).unwrap();
        let cells: Vec<_> =
            (0..70).map(|_| table.assign(1, Protocol::Imap, peer, 1).expect("a cell")).collect();
        for (cell, generation) in &cells[60..] {
            let cell = table.cell(1, *cell, *generation).unwrap();
            cell.set_user("ann", 5);
            cell.set_state(CellState::Running);
        }
        table.free(1, cells[69].0, cells[69].1);
        table.assign(1, Protocol::Lmtp, peer, 1).unwrap();
        let counts = table.session_counts();
        assert_eq!(counts.of(Protocol::Imap, CellState::Assigned), 60);
        assert_eq!(counts.of(Protocol::Imap, CellState::Running), 9);
        assert_eq!(counts.of(Protocol::Lmtp, CellState::Assigned), 1);
        assert_eq!((counts.logged_in(Protocol::Imap), counts.logged_in(Protocol::Lmtp)), (9, 0));
    }
}
