//! What an administrator orders for sessions and handlers: to end, to move, to be emptied.
//!
//! Nothing here waits. A session is told through its handler, and moves or ends when its running command is done.

use crate::log::{Level, audit, event};
use crate::server::{Phase, Server};
use shm_abi::{HandlerState, SessionId, Tally, ToHandler};
use std::os::fd::{AsFd, OwnedFd};

/// The longest reason for a client, in octets: it stands in one line of any protocol.
const REASON_OCTETS_MAX: usize = 400;

/// What became of sessions that were named.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    /// They are there, and their handlers know.
    pub(crate) told: u32,
    /// They are there no more.
    pub(crate) gone: u32,
}

/// Sessions that the log names of those that were kicked at once.
const KICKED_NAMED_MAX: usize = 16;

impl Server {
    /// Ends sessions, each with `reason` for its client.
    pub(crate) fn kick(&mut self, sessions: &[SessionId], reason: &str) -> Result<Counted, String> {
        let printable = reason.bytes().all(|octet| (b' '..=b'~').contains(&octet));
        if reason.is_empty() || reason.len() > REASON_OCTETS_MAX || !printable {
            return Err("the reason for the client must be one line of printable ASCII".into());
        }
        let mut counted = Counted::default();
        for id in sessions {
            let record =
                ToHandler::Kick { cell: id.cell, generation: id.generation, reason: reason.to_string() };
            if self.is_there(*id) && self.tell(id.handler, record) {
                counted.told += 1;
            } else {
                counted.gone += 1;
            }
        }
        self.table.router_metrics().add(Tally::Kicked, u64::from(counted.told));
        // A request may be of thousands; the first tell which it was.
        let named: Vec<String> = sessions.iter().take(KICKED_NAMED_MAX).map(SessionId::to_string).collect();
        audit(
            "sessions-kicked",
            &[
                ("told", &counted.told),
                ("gone", &counted.gone),
                ("reason", &reason),
                ("sessions", &named.join(",")),
            ],
        );
        Ok(counted)
    }

    /// Has the handler of a session write its conversation into `pipe`. `asked_by`: process and user of the tool.
    pub(crate) fn trace(
        &mut self,
        id: SessionId,
        pipe: Option<OwnedFd>,
        asked_by: Option<(u32, u32)>,
    ) -> Result<(), String> {
        let pipe = pipe.ok_or(
            "no pipe came with the request: the router has no descriptor left, or the tool sent none",
        )?;
        if !self.is_there(id) {
            return Err(format!("there is no session {id} any more"));
        }
        let running = self.handlers.get(id.handler as usize).and_then(Option::as_ref);
        let running =
            running.ok_or_else(|| format!("the handler of session {id} is being replaced; try again"))?;
        let record = ToHandler::Trace { cell: id.cell, generation: id.generation };
        running
            .channel
            .send(&record, &[pipe.as_fd()])
            .map_err(|error| format!("the handler of session {id} cannot be told now: {error}"))?;
        let (pid, uid) = asked_by.unwrap_or_default();
        audit("trace-asked-for", &[("session", &id), ("by_uid", &uid), ("by_pid", &pid)]);
        Ok(())
    }

    /// Moves sessions to the handler `to`, each when it parks. Those that are there already stay.
    pub(crate) fn migrate(&mut self, sessions: &[SessionId], to: u32) -> Result<Counted, String> {
        self.serving(to)?;
        let moving = sessions.iter().filter(|id| id.handler != to && self.is_there(**id)).count();
        let room = self.sessions_each().saturating_sub(self.table.session_count(to)) as usize;
        if moving > room {
            return Err(format!("handler {to} has room for {room} sessions, not for {moving}"));
        }
        let mut counted = Counted::default();
        for id in sessions {
            let stays = id.handler == to && self.is_there(*id);
            if stays || self.release(id.handler, id.cell, id.generation, Some(to)) {
                counted.told += 1;
            } else {
                counted.gone += 1;
            }
        }
        event(
            Level::Info,
            "sessions-migrate",
            &[("to", &to), ("told", &counted.told), ("gone", &counted.gone)],
        );
        Ok(counted)
    }

    /// Empties a handler: it gets no new sessions, lets go of those that it has as they park, and exits.
    pub(crate) fn drain(&mut self, handler: u32) -> Result<(), String> {
        if self.phase != Phase::Serving {
            return Err("the server is being stopped".into());
        }
        let known = self.handlers.get(handler as usize).is_some_and(Option::is_some);
        if known && self.table.handler(handler).state() == HandlerState::Draining {
            return Ok(());
        }
        self.serving(handler)?;
        let (sessions, room) = (self.table.session_count(handler), self.room_beside(handler));
        if u64::from(sessions) > room {
            return Err(format!(
                "the {sessions} sessions of handler {handler} have no room elsewhere: the others have room for {room}"
            ));
        }
        self.begin_drain(handler, None);
        Ok(())
    }

    /// Begins to empty a handler; its sessions go to the handler `target` while that has room.
    pub(crate) fn begin_drain(&mut self, handler: u32, target: Option<u32>) {
        let Some(running) = self.handlers.get_mut(handler as usize).and_then(Option::as_mut) else { return };
        running.draining = true;
        self.escrow.set_target(handler, target);
        // From this moment on it is not routed to.
        self.table.handler(handler).set_state(HandlerState::Draining);
        let sessions = self.table.session_count(handler);
        event(Level::Info, "handler-drains", &[("handler", &handler), ("sessions", &sessions)]);
        self.tell(handler, ToHandler::Drain);
    }

    /// Sessions that handlers besides `handler` have room for, those included that may be started.
    pub(crate) fn room_beside(&self, handler: u32) -> u64 {
        let each = self.sessions_each();
        let rows = (0..).zip(&self.handlers).filter(|(row, _)| *row != handler);
        let serving = rows.filter_map(|(row, running)| match running {
            Some(_) => match self.table.handler(row).state() {
                HandlerState::Serving => Some(each.saturating_sub(self.table.session_count(row))),
                HandlerState::Starting => Some(each),
                _ => None,
            },
            None => None,
        });
        let rooms: Vec<u32> = serving.collect();
        let free_rows = self.handlers.iter().filter(|running| running.is_none()).count();
        // The one that is emptied counts no more.
        let startable = (self.handlers_max() as usize).saturating_sub(rooms.len()).min(free_rows);
        rooms.iter().map(|room| u64::from(*room)).sum::<u64>() + startable as u64 * u64::from(each)
    }

    /// An error unless this handler serves.
    fn serving(&self, handler: u32) -> Result<(), String> {
        let known = self.handlers.get(handler as usize).is_some_and(Option::is_some);
        let state = if known { self.table.handler(handler).state() } else { HandlerState::Free };
        match state {
            HandlerState::Serving => Ok(()),
            HandlerState::Free => Err(format!("there is no handler {handler}; `lode status` shows all")),
            other => Err(format!("handler {handler} does not serve: it is {}", other.name())),
        }
    }

    fn is_there(&self, id: SessionId) -> bool {
        self.table.cell(id.handler, id.cell, id.generation).is_some()
    }

    /// Tells a handler something; false if there is none.
    fn tell(&mut self, handler: u32, record: ToHandler) -> bool {
        let running = self.handlers.get_mut(handler as usize).and_then(Option::as_mut);
        running.is_some_and(|running| running.tell(record).is_ok())
    }
}
