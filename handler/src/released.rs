//! Sessions that the handler has let go of, until the router has them for sure: a router that dies before it reads that it got one
//! leaves its socket here, and the next router gets it.
//!
//! The router frees the cell of a session that it got. So a duplicate whose cell is another session's, or free, is not needed any more.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::PoisonError;

use shm_abi::{FromHandler, Held};
use store::in_hand::Mutex;

use crate::log;
use crate::shared::Shared;

/// The sessions, each with a duplicate of its socket.
#[derive(Default)]
pub(crate) struct Released {
    sessions: Mutex<Vec<(Held, OwnedFd)>>,
}

impl Released {
    /// A session is about to be let go of.
    pub(crate) fn add(&self, session: Held, socket: OwnedFd) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).push((session, socket));
    }

    /// Forgets those that the router has; whether that are all.
    pub(crate) fn settle(&self, shared: &Shared) -> bool {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|(held, _)| shared.cell(held.cell, held.generation).is_some());
        sessions.is_empty()
    }

    /// Gives all that the last router did not get to this one.
    pub(crate) fn give_again(&self, shared: &Shared) {
        self.settle(shared);
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        for (held, socket) in sessions.iter() {
            let record = FromHandler::Sockets { sessions: vec![*held] };
            if let Err(error) = shared.router.try_send(&record, &[socket.as_fd()]) {
                log::error!("give a session to router", why = error);
            }
            shared.router.send(&FromHandler::Released { cell: held.cell, generation: held.generation });
        }
    }
}
