//! Gives connections to handlers: cell, record, socket; and keeps the queue moving.

use crate::client::{Client, Refusal};
use crate::handlers::InFlight;
use crate::log::{Level, event};
use crate::route::{Prospect, Route, Row, route};
use crate::server::{Phase, Server};
use crate::upgrade::Upgrade;
use crate::{spawn, time};
use shm_abi::{Adopt, Connection, HandlerState, Hello, SendError, SessionId, ToHandler};
use std::fmt::Display;
use std::os::fd::AsFd;

/// A connection that this many handlers did not keep is turned away: it may be what kills them.
pub(crate) const ATTEMPTS_MAX: u32 = 3;
/// A session that had begun may not be read by this many handlers before it is told goodbye: nothing of the client's is run before a
/// handler acknowledges it.
const RESUME_ATTEMPTS_MAX: u32 = 8;

/// What became of a connection.
#[derive(Debug)]
pub(crate) enum Placed {
    /// It is on its way to a handler.
    Given,
    /// It must wait.
    Waits(Client, Prospect),
}

impl Server {
    /// Gives a connection to a handler if one has room; starts one if not and it may be.
    pub(crate) fn place(&mut self, mut client: Client) -> Placed {
        if let Some(resume) = &mut client.resume
            && let Some(target) = resume.target.take()
            && self.has_room(target)
        {
            match self.hand_over(target, client) {
                None => return Placed::Given,
                Some(back) => client = back,
            }
        }
        loop {
            match self.route(1) {
                Route::To(handler) => match self.hand_over(handler, client) {
                    None => return Placed::Given,
                    // That handler is closed to routing now, so this ends.
                    Some(back) => client = back,
                },
                Route::Start(row) => {
                    let prospect = if self.start(row) { Prospect::Soon } else { Prospect::Full };
                    return Placed::Waits(client, prospect);
                }
                Route::Wait(prospect) => return Placed::Waits(client, prospect),
            }
        }
    }

    fn has_room(&self, handler: u32) -> bool {
        let running = self.handlers.get(handler as usize).and_then(Option::as_ref);
        running.is_some_and(|running| !running.congested)
            && self.table.handler(handler).state() == HandlerState::Serving
            && self.table.session_count(handler) < self.sessions_each()
    }

    /// What a connection that waits can expect now.
    pub(crate) fn prospect(&self) -> Prospect {
        match self.route(0) {
            Route::To(_) | Route::Start(_) => Prospect::Soon,
            Route::Wait(prospect) => prospect,
        }
    }

    /// How many sessions a handler may have.
    pub(crate) fn sessions_each(&self) -> u32 {
        self.table.limits().sessions.min(self.budget.sessions_each)
    }

    /// How many handlers may serve at a time.
    pub(crate) fn handlers_max(&self) -> u32 {
        self.table.info().limits.handlers
    }

    fn route(&self, more: usize) -> Route {
        let rows = (0..).zip(&self.handlers).map(|(handler, running)| match running {
            Some(running) => Row {
                state: self.table.handler(handler).state(),
                sessions: self.table.session_count(handler),
                open: !running.congested,
            },
            None if self.expected[handler as usize].is_some() => {
                Row { state: self.table.handler(handler).state(), sessions: 0, open: false }
            }
            None => Row { state: HandlerState::Free, sessions: 0, open: !self.awaited[handler as usize] },
        });
        let may_start = self.may_start();
        route(rows, self.handlers_max(), self.sessions_each(), self.queue.total() + more, may_start)
    }

    /// Sends a connection to a handler; gives it back if that cannot be done.
    fn hand_over(&mut self, handler: u32, client: Client) -> Option<Client> {
        let running = self.handlers[handler as usize].as_mut()?;
        let assigned = match &client.resume {
            None => self.table.assign(handler, client.protocol, client.peer, time::wall_ms()),
            Some(resume) => self.table.assign_again(handler, &resume.session, time::wall_ms()),
        };
        let Some((cell, generation)) = assigned else {
            // Its count says room and its cells say none, which nobody who keeps the order of `Table::free` causes.
            running.congested = true;
            return Some(client);
        };
        let connection = Connection {
            protocol: client.protocol,
            peer: client.peer,
            local: client.local,
            tls: client.tls,
            cell,
            generation,
        };
        let record = match &client.resume {
            None => ToHandler::Connection(connection),
            Some(resume) => ToHandler::Adopt(Adopt {
                connection,
                parked: resume.parked.clone(),
                annex: resume.annex.clone(),
                input: resume.input.clone(),
            }),
        };
        match running.channel.send(&record, &[client.socket.as_fd()]) {
            Ok(()) => {
                self.addresses.note(client.peer, SessionId { handler, cell, generation });
                running.in_flight.insert(cell, InFlight { generation, client });
                None
            }
            Err(error) => {
                self.table.free(handler, cell, generation);
                running.congested = true;
                if !matches!(error, SendError::WouldBlock) {
                    event(Level::Warn, "hand-over-failed", &[("handler", &handler), ("why", &error)]);
                }
                Some(client)
            }
        }
    }

    /// Gives what waits to whoever has room, and turns away what has waited too long.
    pub(crate) fn settle_queue(&mut self) {
        self.drain_queue();
        let waits = !self.queue.is_empty();
        if waits != self.queue_flag {
            self.queue_flag = waits;
            self.table.set_queue_waiting(waits);
            if waits {
                // A cell freed before the handler could see the flag is found now.
                self.drain_queue();
            }
        }
        let prospect = self.prospect();
        while let Some(client) = self.queue.pop_expired(self.now_ms, prospect) {
            self.turn_away(client);
        }
    }

    fn drain_queue(&mut self) {
        while let Some(client) = self.queue.pop() {
            if let Placed::Waits(client, _) = self.place(client) {
                self.queue.put_back(client);
                break;
            }
        }
    }

    /// A handler had this connection and did not keep it: it goes to another, before all that wait.
    pub(crate) fn try_elsewhere(&mut self, mut client: Client) {
        client.attempts += 1;
        let most = if client.resume.is_some() { RESUME_ATTEMPTS_MAX } else { ATTEMPTS_MAX };
        if client.attempts >= most || self.phase != Phase::Serving {
            self.turn_away(client);
        } else {
            self.queue.put_back(client);
        }
    }

    /// Tells a connection to come again later.
    pub(crate) fn turn_away(&mut self, client: Client) {
        self.table.count_turned_away();
        if let Some(annex) = client.resume.as_ref().and_then(|resume| resume.annex.as_deref()) {
            self.remove_annex(annex);
        }
        let (refusal, why) = match self.phase {
            Phase::Serving if client.resume.is_some() => (Refusal::Lost, "no-handler"),
            Phase::Serving => (Refusal::Full, "no-handler"),
            Phase::Stopping { .. } => (Refusal::Stopping, "stopping"),
        };
        if let Some(resume) = &client.resume {
            let facts: [(&str, &dyn Display); 3] =
                [("session", &resume.session.id), ("peer", &client.peer), ("why", &why)];
            event(Level::Info, "session-lost", &facts);
        }
        client.turn_away(refusal);
    }

    /// Starts a handler if none serves or is about to.
    pub(crate) fn start_if_none(&mut self) {
        let is_used =
            |row: &u32| self.handlers[*row as usize].is_some() || self.expected[*row as usize].is_some();
        let states =
            (0..self.handlers.len() as u32).filter(is_used).map(|row| self.table.handler(row).state());
        let (mut alive, mut counted) = (false, 0);
        for state in states {
            alive |= matches!(state, HandlerState::Serving | HandlerState::Starting);
            counted += u32::from(state != HandlerState::Draining);
        }
        if alive || counted >= self.handlers_max() || !self.may_start() {
            return;
        }
        if let Some(row) = self.free_row() {
            self.start(row);
        }
    }

    /// Whether a handler may be started: none can without eventfds.
    pub(crate) fn may_start(&self) -> bool {
        // Nor may one be starting when another program takes over.
        let is_leaving = matches!(self.upgrade, Upgrade::Agreed);
        !is_leaving && !self.eventfds.is_empty() && self.throttle.may_start(self.now_ms)
    }

    /// A row that a process can be put into.
    pub(crate) fn free_row(&self) -> Option<u32> {
        let free = |row: &usize| {
            self.handlers[*row].is_none() && self.expected[*row].is_none() && !self.awaited[*row]
        };
        (0..self.handlers.len()).find(free).map(|row| row as u32)
    }

    /// Starts a handler in a free row; true if it was started.
    pub(crate) fn start(&mut self, handler: u32) -> bool {
        let clock = (self.now_ms, time::wall_ms());
        let started = spawn::start(&self.program, &self.table, handler, clock, &self.notices, &self.waker);
        let running = match started {
            Ok(running) => running,
            Err(error) => {
                self.throttle.died(self.now_ms, 0);
                let wait = self.throttle.delay_ms(self.now_ms);
                event(
                    Level::Error,
                    "handler-not-started",
                    &[("handler", &handler), ("why", &error), ("retry_ms", &wait)],
                );
                return false;
            }
        };
        self.awaited[handler as usize] = running.awaited;
        let hello = ToHandler::Hello(Hello {
            table: self.table.name().to_string(),
            handler,
            generation: running.generation,
            boot_key: self.boot_key.clone(),
            settings_path: self.settings_path.display().to_string(),
            settings_text: self.settings.to_text(),
            eventfds: self.eventfds.len() as u32,
        });
        let eventfds: Vec<_> = self.eventfds.iter().map(AsFd::as_fd).collect();
        let told = running.channel.send(&hello, &eventfds).map_err(|error| error.to_string());
        let watched = self
            .watch_handler(handler, running.channel.as_fd())
            .and_then(|()| self.watch_process(handler, running.process.as_fd()))
            .map_err(|error| error.to_string());
        if let Err(error) = told.and(watched) {
            event(Level::Error, "hello-failed", &[("handler", &handler), ("why", &error)]);
            // It is reaped as any other.
            running.process.kill();
        }
        event(Level::Info, "handler-forked", &[("handler", &handler), ("pid", &running.process.pid())]);
        self.handlers[handler as usize] = Some(running);
        true
    }
}
