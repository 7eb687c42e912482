//! Handlers that outlived their router: this router takes them in when they come to its socket `rejoin`, with duplicates of the
//! sockets of their sessions, so that everything is as if it had started them.
//!
//! ```text
//! row with a living process ──► expected ──► knocks, is the process of the row ──► welcome ──► sockets, eventfds ──► running
//!                                  └── too late, or ended ──► killed, reaped
//! ```
//!
//! Who knocks and is not expected is of another table: it is told to end.

use crate::client::Client;
use crate::handlers::Running;
use crate::listen::remove_stale_socket;
use crate::log::{Level, event};
use crate::process::HandlerProcess;
use crate::server::{Phase, Server};
use nix::sys::eventfd::{EfdFlags, EventFd};
use shm_abi::{
    Channel, ChannelListener, FromHandler, HandlerState, Held, ReceiveError, ToHandler, rejoin_path,
};
use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How long a handler that lives may take to knock. It looks for a router ten times a second.
const EXPECTED_MS: u64 = 5_000;
/// What a handler of another table gets to say goodbye.
const STRANGER_GRACE_MS: u64 = 1_000;
/// Who knocks and says nothing costs a descriptor, and there are few of them.
const KNOCKING_MAX: usize = 128;

/// The listening socket, and those who have not said who they are.
#[derive(Debug)]
pub(crate) struct Rejoin {
    listener: ChannelListener,
    path: PathBuf,
    knocking: HashMap<usize, Channel>,
    next: usize,
}

/// A living process that the table names as a handler, and that this router did not start.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) process: HandlerProcess,
    generation: u32,
    kill_at_ms: u64,
}

impl Rejoin {
    /// Makes the socket, in place of one that a dead router left.
    pub(crate) fn open(runtime_dir: &Path) -> io::Result<Rejoin> {
        let path = rejoin_path(runtime_dir);
        remove_stale_socket(&path)?;
        let listener = ChannelListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Rejoin { listener, path, knocking: HashMap::new(), next: 0 })
    }

    /// The socket that the program before this one made.
    pub(crate) fn inherited(socket: OwnedFd, runtime_dir: &Path) -> Rejoin {
        let path = rejoin_path(runtime_dir);
        Rejoin { listener: ChannelListener::new(socket), path, knocking: HashMap::new(), next: 0 }
    }

    /// Tells all who knock now to end, and says which processes they are. Where this record stands among all is the same in every
    /// version.
    pub(crate) fn turn_away_all(&self) -> Vec<u32> {
        let mut processes = Vec::new();
        while let Ok(Some(channel)) = self.listener.accept() {
            let _ = channel.send(&ToHandler::Shutdown { grace_ms: STRANGER_GRACE_MS }, &[]);
            processes.extend(channel.peer_pid());
        }
        processes
    }
}

impl AsFd for Rejoin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Rejoin {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Server {
    /// Goes through the rows of a table that was another router's: living processes are expected, what dead ones left is cleared.
    pub(crate) fn expect_handlers(&mut self) {
        for info in self.table.handlers() {
            let handler = info.handler;
            if self.handlers[handler as usize].is_some() {
                continue;
            }
            let found = HandlerProcess::of_row(info.process);
            let process = found.unwrap_or_else(|error| {
                event(Level::Error, "handler-not-found", &[("handler", &handler), ("why", &error)]);
                None
            });
            let watched = process.filter(|process| self.watch_process(handler, process.as_fd()).is_ok());
            match watched {
                Some(process) => {
                    event(
                        Level::Info,
                        "handler-expected",
                        &[("handler", &handler), ("pid", &process.pid()), ("sessions", &info.sessions)],
                    );
                    let (generation, kill_at_ms) = (info.generation, self.now_ms + EXPECTED_MS);
                    self.expected[handler as usize] = Some(Expected { process, generation, kill_at_ms });
                }
                None => self.bury_row(handler),
            }
        }
    }

    /// Whether handlers of another router may still come.
    pub(crate) fn expects_handlers(&self) -> bool {
        self.expected.iter().any(Option::is_some)
    }

    /// Looks at those that are expected: the dead are buried, those that are too late are killed. Without anybody who
    /// could bring eventfds, there are new ones.
    pub(crate) fn settle_expected(&mut self) {
        for handler in 0..self.expected.len() {
            let Some(expected) = &self.expected[handler] else { continue };
            match expected.process.ended() {
                Ok(Some(_)) => {
                    self.unwatch(expected.process.as_fd());
                    self.expected[handler] = None;
                    self.bury_row(handler as u32);
                }
                Ok(None) if self.now_ms >= expected.kill_at_ms => {
                    let pid = expected.process.pid();
                    event(Level::Error, "handler-did-not-rejoin", &[("handler", &handler), ("pid", &pid)]);
                    expected.process.kill();
                }
                Ok(None) => {}
                Err(error) => event(Level::Error, "wait-failed", &[("handler", &handler), ("why", &error)]),
            }
        }
        let may_bring = self.handlers.iter().flatten().any(|running| running.closed_ms.is_none());
        if self.eventfds.is_empty() && !self.expects_handlers() && !may_bring {
            match make_eventfds(self.handlers.len()) {
                Ok(eventfds) => self.eventfds = eventfds,
                Err(error) => event(Level::Error, "eventfds-failed", &[("why", &error)]),
            }
        }
    }

    /// Clears the row of a handler that died while it had no router.
    fn bury_row(&mut self, handler: u32) {
        let sessions = self.table.session_count(handler);
        self.inherit(handler, false);
        self.table.clear_handler(handler);
        event(Level::Warn, "handler-was-dead", &[("handler", &handler), ("sessions", &sessions)]);
        self.wake_all();
    }

    /// Takes in everybody who knocks.
    pub(crate) fn accept_rejoin(&mut self) {
        loop {
            let channel = match self.rejoin.listener.accept() {
                Ok(Some(channel)) => channel,
                Ok(None) => return,
                Err(error) => return event(Level::Warn, "rejoin-failed", &[("why", &error)]),
            };
            let number = self.rejoin.next;
            if self.rejoin.knocking.len() >= KNOCKING_MAX
                || self.watch_knocking(number, channel.as_fd()).is_err()
            {
                continue;
            }
            self.rejoin.next += 1;
            self.rejoin.knocking.insert(number, channel);
            self.hear_knocking(number);
        }
    }

    /// Hears who it is.
    pub(crate) fn hear_knocking(&mut self, number: usize) {
        let Some(mut channel) = self.rejoin.knocking.remove(&number) else { return };
        match channel.receive::<FromHandler>() {
            Err(ReceiveError::WouldBlock) => {
                self.rejoin.knocking.insert(number, channel);
            }
            Ok(incoming) => {
                self.unwatch(channel.as_fd());
                if let FromHandler::Rejoin { handler, generation, sessions } = incoming.record {
                    self.let_in(channel, handler, generation, sessions);
                }
            }
            Err(_) => self.unwatch(channel.as_fd()),
        }
    }

    fn let_in(&mut self, channel: Channel, handler: u32, generation: u32, sessions: u32) {
        let pid = channel.peer_pid().unwrap_or(0);
        let place = self.expected.get_mut(handler as usize);
        let is_it =
            |expected: &mut Expected| expected.generation == generation && expected.process.pid() == pid;
        let Some(expected) = place.and_then(|place| place.take_if(is_it)) else {
            event(Level::Warn, "stranger-turned-away", &[("pid", &pid), ("handler", &handler)]);
            let grace_ms = u64::from(self.settings.limits.grace_seconds) * 1000;
            // It ends without being told, too, only later.
            let _ = channel.send(&ToHandler::Shutdown { grace_ms }, &[]);
            return;
        };
        let mut running = Running::new(expected.process, channel, generation, self.now_ms);
        let welcome = ToHandler::Welcome {
            boot_generation: self.table.info().boot_generation,
            wants_eventfds: self.eventfds.is_empty(),
        };
        let mut told = running.tell(welcome);
        match self.phase {
            Phase::Serving => {
                let settings_text = self.settings.to_text();
                told = told.and_then(|()| running.tell(ToHandler::Reload { settings_text }));
            }
            Phase::Stopping { kill_at_ms } => {
                let grace_ms = kill_at_ms.saturating_sub(self.now_ms);
                told = told.and_then(|()| running.tell(ToHandler::Shutdown { grace_ms }));
            }
        }
        match self.table.handler(handler).state() {
            HandlerState::Draining => {
                running.draining = true;
                told = told.and_then(|()| running.tell(ToHandler::Drain));
            }
            HandlerState::Condemned => running.process.kill(),
            _ => {}
        }
        let watched = self.watch_handler(handler, running.channel.as_fd());
        if let Err(why) =
            told.map_err(|error| error.to_string()).and(watched.map_err(|error| error.to_string()))
        {
            event(Level::Error, "welcome-failed", &[("handler", &handler), ("why", &why)]);
            // It is reaped as any other.
            running.process.kill();
        }
        event(
            Level::Info,
            "handler-rejoined",
            &[("handler", &handler), ("pid", &pid), ("sessions", &sessions)],
        );
        self.handlers[handler as usize] = Some(running);
        self.read_records(handler);
    }

    /// Keeps the sockets of sessions that a handler brought.
    pub(crate) fn on_sockets(&mut self, handler: u32, sessions: Vec<Held>, descriptors: Vec<OwnedFd>) {
        if sessions.len() != descriptors.len() {
            let count = sessions.len();
            return event(Level::Error, "sockets-lost", &[("handler", &handler), ("sessions", &count)]);
        }
        for (held, socket) in sessions.into_iter().zip(descriptors) {
            let Some(cell) = self.table.cell(handler, held.cell, held.generation) else { continue };
            let Some(session) = cell.session(handler, held.cell) else { continue };
            if let (Some(protocol), Some(peer)) = (session.protocol, session.peer) {
                let mut client = Client::new(socket, protocol, peer, held.local, self.now_ms);
                client.tls = held.tls;
                self.escrow.keep(handler, held.cell, held.generation, client);
            }
        }
    }

    /// Takes over the eventfds that a handler brought, if none did before.
    pub(crate) fn on_eventfds(&mut self, handler: u32, descriptors: Vec<OwnedFd>) {
        if !self.eventfds.is_empty() {
            return;
        }
        if descriptors.len() != self.handlers.len() {
            let count = descriptors.len();
            return event(Level::Error, "eventfds-lost", &[("handler", &handler), ("count", &count)]);
        }
        self.eventfds = descriptors;
        // What the last router had begun to tell is told.
        self.wake_all();
    }
}

/// One eventfd for each row.
pub(crate) fn make_eventfds(count: usize) -> io::Result<Vec<OwnedFd>> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    (0..count).map(|_| Ok(EventFd::from_flags(flags)?.into())).collect()
}
