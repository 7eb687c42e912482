//! Replaces handlers one by one, without ending a session: for each a new one is started, which gets the sessions that the old one
//! lets go of. So go handlers of an older program, and those in which too much crashed.

use super::Upgrade;
use crate::log::{Level, event};
use crate::server::{Phase, Server};
use shm_abi::HandlerState;

/// Handlers to replace.
#[derive(Debug, Default)]
pub(crate) struct Replacement {
    /// Row and generation of each.
    old: Vec<(u32, u32)>,
    /// The one that is started to take the place of another.
    next: Option<Next>,
}

#[derive(Debug, Clone, Copy)]
struct Next {
    handler: u32,
    generation: u32,
    instead_of: u32,
}

impl Replacement {
    /// How many are to be replaced.
    pub(crate) fn left(&self) -> u32 {
        self.old.len() as u32
    }
}

impl Server {
    /// Has all handlers replaced that run now.
    pub(crate) fn replace_all(&mut self) {
        for handler in 0..self.handlers.len() as u32 {
            self.replace(handler);
        }
    }

    /// Has a handler replaced.
    pub(crate) fn replace(&mut self, handler: u32) {
        let Some(running) = self.handlers.get(handler as usize).and_then(Option::as_ref) else { return };
        let name = (handler, running.generation);
        if !self.replacement.old.contains(&name) {
            self.replacement.old.push(name);
        }
    }

    /// Takes the next step, if one can be taken now.
    pub(super) fn replace_handlers(&mut self) {
        if self.phase != Phase::Serving {
            return;
        }
        let handlers = &self.handlers;
        let runs = |handler: u32, generation: u32| {
            handlers[handler as usize].as_ref().is_some_and(|running| running.generation == generation)
        };
        self.replacement.old.retain(|(handler, generation)| runs(*handler, *generation));
        if let Some(next) = self.replacement.next {
            let state = self.table.handler(next.handler).state();
            match state {
                _ if !runs(next.handler, next.generation) => return self.give_up_replacing(),
                HandlerState::Starting => return,
                HandlerState::Serving => {
                    self.replacement.next = None;
                    self.begin_drain(next.instead_of, Some(next.handler));
                }
                _ => return self.give_up_replacing(),
            }
        }
        if self.replacement.old.is_empty() {
            if matches!(self.upgrade, Upgrade::Replacing) {
                event(Level::Info, "upgrade-done", &[]);
                self.upgrade = Upgrade::Done;
            }
            return;
        }
        if !self.may_start() {
            return;
        }
        let serves =
            |(handler, _): &&(u32, u32)| self.table.handler(*handler).state() == HandlerState::Serving;
        let Some(&(instead_of, _)) = self.replacement.old.iter().find(serves) else { return };
        if let Some(row) = self.free_row() {
            if self.start(row) {
                let generation = self.table.handler(row).generation();
                self.replacement.next = Some(Next { handler: row, generation, instead_of });
            }
        } else if u64::from(self.table.session_count(instead_of)) <= self.room_beside(instead_of) {
            // No row to start one in: the others take its sessions, and the next is started in its row.
            self.begin_drain(instead_of, None);
        }
    }

    /// A handler that was to take another's place died: those that serve go on.
    fn give_up_replacing(&mut self) {
        let left = self.replacement.left();
        event(Level::Error, "replacement-failed", &[("left", &left)]);
        self.replacement = Replacement::default();
        if matches!(self.upgrade, Upgrade::Replacing) {
            self.refuse_upgrade(format!(
                "the router is replaced, but a handler of the new program does not start; {left} handlers of the old \
                 one go on (the log says why)"
            ));
        }
    }
}
