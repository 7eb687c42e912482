//! Dead handlers: what they had is cleared or given on, and everybody is woken.

use crate::log::{Level, event};
use crate::process::Ended;
use crate::server::{Phase, Server};
use shm_abi::{HandlerState, Tally};
use std::os::fd::AsFd;

/// A handler that closed its channel and does not exit is killed after this long.
const CLOSED_GRACE_MS: u64 = 5_000;

impl Server {
    /// Looks at every handler's process.
    pub(crate) fn reap(&mut self) {
        for handler in 0..self.handlers.len() as u32 {
            self.reap_one(handler);
        }
    }

    /// Looks at one handler's process, and clears up behind it if it has ended.
    pub(crate) fn reap_one(&mut self, handler: u32) {
        let Some(running) = self.handlers.get(handler as usize).and_then(Option::as_ref) else {
            return self.settle_expected();
        };
        match running.process.ended() {
            Ok(Some(ended)) => self.buried(handler, ended),
            Ok(None) => {}
            Err(error) => event(Level::Error, "wait-failed", &[("handler", &handler), ("why", &error)]),
        }
    }

    fn buried(&mut self, handler: u32, ended: Ended) {
        // What it acknowledged before it died is acknowledged.
        self.read_records(handler);
        let starting = self.table.handler(handler).state() == HandlerState::Starting;
        let sessions = self.table.session_count(handler);
        let Some(running) = self.handlers[handler as usize].take() else { return };
        self.unwatch(running.channel.as_fd());
        self.unwatch(running.process.as_fd());
        let condemned = match running.closed_ms {
            Some(_) => running.condemned,
            None => self.table.handler(handler).state() == HandlerState::Condemned,
        };
        let by_session = self.report_crashes(handler, running.process.pid(), running.hung);
        // Somebody else's SIGKILL says nothing about how long a serving handler can live.
        let killed = ended == Ended::Killed && !condemned;
        let on_their_way = running.in_flight.len();
        // Before what the handler's row has left is removed: what they need may be of the process that had the row before.
        for (_, on_its_way) in running.in_flight {
            // A session that had begun was not tried if somebody killed who was to have it, or another session crashed it. One that is new may be why the system
            // killed it.
            let is_blameless = (killed || by_session) && on_its_way.client.resume.is_some();
            if is_blameless && self.phase == Phase::Serving {
                self.queue.put_back(on_its_way.client);
            } else {
                self.try_elsewhere(on_its_way.client);
            }
        }
        let estate = self.inherit(handler, !killed);
        self.table.clear_handler(handler);
        let expected = (self.phase != Phase::Serving || running.draining) && ended == Ended::Exit(0);
        if !expected && self.phase == Phase::Serving {
            self.count(match (running.hung, condemned) {
                (Some(_), _) => Tally::HandlerHung,
                (None, true) => Tally::HandlerCondemned,
                (None, false) => Tally::HandlerDied,
            });
        }
        let lived_ms = self.now_ms.saturating_sub(running.started_ms);
        if self.phase == Phase::Serving && !expected {
            match (killed, starting) {
                _ if by_session => self.throttle.crashed_by_session(self.now_ms),
                (true, true) => self.throttle.killed_at_start(self.now_ms),
                (true, false) => {}
                (false, true) => self.throttle.died(self.now_ms, 0),
                (false, false) => self.throttle.died(self.now_ms, lived_ms),
            }
        }
        event(
            if expected { Level::Info } else { Level::Warn },
            "handler-ended",
            &[
                ("handler", &handler),
                ("pid", &running.process.pid()),
                ("how", &ended),
                ("lived_ms", &lived_ms),
                ("sessions", &sessions),
                ("adopted", &estate.adopted),
                ("told_goodbye", &estate.told),
                ("closed", &estate.closed),
                ("on_their_way", &on_their_way),
            ],
        );
        self.wake_all();
    }

    /// Wakes every handler, to look at every mailbox that it watches: the dead one may have changed one and not come to announce it, or
    /// to write the eventfds.
    pub(crate) fn wake_all(&self) {
        self.table.announce_all(|_| {});
        for (handler, eventfd) in (0..).zip(&self.eventfds) {
            self.table.set_pending(handler);
            // A full counter wakes as well.
            let _ = nix::unistd::write(eventfd, &1u64.to_ne_bytes());
        }
    }

    /// Kills handlers that hang or closed their channel, and live on.
    pub(crate) fn kill_closed(&mut self) {
        if self.phase != Phase::Serving {
            return;
        }
        let now_ms = self.now_ms;
        for running in self.handlers.iter_mut().flatten() {
            let is_late = running.closed_ms.is_some_and(|closed| now_ms >= closed + CLOSED_GRACE_MS);
            if is_late || running.hung.is_some_and(|hung| now_ms >= hung.kill_at_ms) {
                running.process.kill();
            }
        }
    }
}
