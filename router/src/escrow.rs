//! The sockets of the sessions that handlers have: the router keeps each until the session is over, so that another handler
//! can go on with it.
//!
//! A session ends without a word to the router: its cell is freed. So what is kept here for a cell that is free or another session's is let
//! go of once a second, and at once when descriptors run short. Handlers shut a connection down when they end it, so that its peer is
//! not kept waiting by a descriptor that lies here a little longer.

use crate::client::Client;
use shm_abi::Table;
use std::collections::HashMap;

/// One session whose socket is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) generation: u32,
    pub(crate) client: Client,
    /// The handler that gets the session when it is let go of; anyone if there is none.
    pub(crate) target: Option<u32>,
}

/// All of them, by handler and cell.
#[derive(Debug)]
pub(crate) struct Escrow {
    handlers: Vec<HashMap<u32, Kept>>,
    most: usize,
}

impl Default for Escrow {
    /// Empty, and without a limit.
    fn default() -> Escrow {
        Escrow { handlers: Vec::new(), most: usize::MAX }
    }
}

impl Escrow {
    /// From now on keeps at most so many: for more there are no descriptors.
    pub(crate) fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Keeps the socket of a session that a handler has taken. What is kept for an earlier session of the cell is let go of.
    /// A session of which nothing is kept, since there is no room, ends with its handler.
    pub(crate) fn keep(&mut self, handler: u32, cell: u32, generation: u32, client: Client) {
        let handler = handler as usize;
        if self.len() >= self.most {
            return;
        }
        if self.handlers.len() <= handler {
            self.handlers.resize_with(handler + 1, HashMap::new);
        }
        self.handlers[handler].insert(cell, Kept { generation, client, target: None });
    }

    /// What is kept for this session.
    pub(crate) fn get_mut(&mut self, handler: u32, cell: u32, generation: u32) -> Option<&mut Kept> {
        let kept = self.handlers.get_mut(handler as usize)?.get_mut(&cell)?;
        (kept.generation == generation).then_some(kept)
    }

    /// Names the handler to which all sessions of `handler` go when they are let go of.
    pub(crate) fn set_target(&mut self, handler: u32, target: Option<u32>) {
        for kept in self.handlers.get_mut(handler as usize).into_iter().flat_map(HashMap::values_mut) {
            kept.target = target;
        }
    }

    /// What is kept for this session, to look at.
    pub(crate) fn get(&self, handler: u32, cell: u32, generation: u32) -> Option<&Kept> {
        let kept = self.handlers.get(handler as usize)?.get(&cell)?;
        (kept.generation == generation).then_some(kept)
    }

    /// Takes what is kept for this session.
    pub(crate) fn take(&mut self, handler: u32, cell: u32, generation: u32) -> Option<Kept> {
        self.get_mut(handler, cell, generation)?;
        self.handlers.get_mut(handler as usize)?.remove(&cell)
    }

    /// Takes what is kept for all sessions of a handler.
    pub(crate) fn take_all(&mut self, handler: u32) -> HashMap<u32, Kept> {
        self.handlers.get_mut(handler as usize).map(std::mem::take).unwrap_or_default()
    }

    /// Everything that is kept: handler, cell, and what.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32, &Kept)> {
        let rows = (0..).zip(&self.handlers);
        rows.flat_map(|(handler, cells)| cells.iter().map(move |(cell, kept)| (handler, *cell, kept)))
    }

    /// How many sockets are kept.
    pub(crate) fn len(&self) -> usize {
        self.handlers.iter().map(HashMap::len).sum()
    }

    /// Lets go of the sockets of sessions that are over; how many there were.
    pub(crate) fn sweep(&mut self, table: &Table) -> usize {
        let before = self.len();
        for (handler, cells) in (0..).zip(&mut self.handlers) {
            cells.retain(|cell, kept| table.cell(handler, *cell, kept.generation).is_some());
            // A burst that is over must not keep its room.
            if cells.capacity() > 1024 && cells.len() < cells.capacity() / 8 {
                cells.shrink_to_fit();
            }
        }
        before - self.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_abi::{Endpoint, Limits, Protocol};
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    fn client() -> (Client, UnixStream) {
        let end = Endpoint::Unix { pid: 1, uid: 1 };
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Client::new(ours.into(), Protocol::Imap, end, end, 0), theirs)
    }

    #[test]
    fn what_is_over_is_let_go_of_and_nothing_else() {
        let name = format!("/lode-escrow-{}", std::process::id());
        let table = Table::create(&name, Limits { handlers: 2, sessions: 4 }, 1, 1).unwrap();
        table.begin_handler(1, 1).unwrap();
        let end = Endpoint::Unix { pid: 1, uid: 1 };
        let mut escrow = Escrow::default();
        let mut far_ends = Vec::new();
        let mut cells = Vec::new();
        for _ in 0..3 {
            let (cell, generation) = table.assign(1, Protocol::Imap, end, 1).unwrap();
            let (client, far_end) = client();
            escrow.keep(1, cell, generation, client);
            far_ends.push(far_end);
            cells.push((cell, generation));
        }
        assert_eq!(escrow.sweep(&table), 0);
        assert!(table.free(1, cells[0].0, cells[0].1));
        // The cell is another session's by now.
        let (cell, generation) = table.assign(1, Protocol::Imap, end, 1).unwrap();
        assert_eq!(cell, cells[0].0);
        assert_eq!(escrow.sweep(&table), 1);
        assert_eq!(far_ends[0].read(&mut [0; 1]).unwrap(), 0, "its socket is closed");
        assert!(escrow.take(1, cell, generation).is_none());
        assert!(escrow.take(1, cells[1].0, cells[1].1 + 1).is_none());
        assert!(escrow.take(1, cells[1].0, cells[1].1).is_some());
        assert_eq!(
            escrow.iter().map(|(handler, cell, _)| (handler, cell)).collect::<Vec<_>>(),
            [(1, cells[2].0)]
        );
        assert_eq!(escrow.take_all(0).len(), 0);
        assert_eq!(escrow.take_all(1).len(), 1);
        assert_eq!(escrow.len(), 0);
    }
}
