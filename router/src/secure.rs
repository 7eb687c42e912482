//! TLS: the process that speaks it, and the connections that are there for their handshake.
//!
//! A connection that begins with TLS goes to that process first, and is routed as any other when one end of a pair of sockets comes back. For a
//! session that says STARTTLS the router sends the socket that it keeps, and puts what comes back in its place. So neither handlers nor what is kept here
//! ever hold a key, and a session moves between handlers with TLS on.
//!
//! The process lives as long as its connections: when its channel ends, with the router or because a new process takes its place, it relays on.

use crate::client::{Client, Refusal};
use crate::log::{Level, event};
use crate::process::HandlerProcess;
use crate::server::{Phase, Server};
use crate::spawn;
use shm_abi::{Channel, FromTls, ReceiveError, SendError, TlsFacts, ToHandler, ToTls};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Connections that may be at their handshake at once.
const HANDSHAKES_MAX: usize = 4096;
/// What a handshake takes of a peer that is there.
const HANDSHAKE_MS: u64 = 2_000;
/// How long after an end another process is started.
const RESTART_MS: u64 = 1_000;

/// Whose handshake it is.
#[derive(Debug)]
enum Whose {
    /// A new connection's.
    New(Client),
    /// A session's.
    Session { handler: u32, cell: u32, generation: u32 },
}

/// A handshake that is going on.
#[derive(Debug)]
struct Pending {
    whose: Whose,
    since_ms: u64,
}

/// The process and its channel.
#[derive(Debug)]
struct Running {
    process: HandlerProcess,
    channel: Channel,
}

/// What the router has of TLS.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    running: Option<Running>,
    pending: HashMap<u64, Pending>,
    /// Those of them that the channel had no room for yet, oldest first.
    unsent: VecDeque<u64>,
    next: u64,
    start_after_ms: u64,
}

impl Tls {
    /// Whether a handshake is going on that has not taken longer than those of peers that are there.
    pub(crate) fn is_busy(&self, now_ms: u64) -> bool {
        self.pending.values().any(|pending| now_ms < pending.since_ms + HANDSHAKE_MS)
    }

    /// Connections at their handshake for which `is_one` holds.
    pub(crate) fn count(&self, is_one: impl Fn(&Client) -> bool) -> usize {
        let new = |pending: &&Pending| matches!(&pending.whose, Whose::New(client) if is_one(client));
        self.pending.values().filter(new).count()
    }
}

impl Server {
    /// Starts the process that speaks TLS if the settings want TLS and there is none.
    pub(crate) fn start_tls_if_none(&mut self) {
        if self.tls.running.is_some() || !self.settings.tls.is_on() || self.now_ms < self.tls.start_after_ms {
            return;
        }
        match self.start_tls() {
            Ok(running) => {
                event(Level::Info, "tls-started", &[("pid", &running.process.pid())]);
                self.tls.running = Some(running);
                self.send_unsent();
            }
            Err(why) => {
                self.tls.start_after_ms = self.now_ms + RESTART_MS;
                event(Level::Error, "tls-not-started", &[("why", &why), ("retry_ms", &RESTART_MS)]);
            }
        }
    }

    fn start_tls(&self) -> Result<Running, String> {
        let program = spawn::find_program("tls")?;
        let start = || -> io::Result<Running> {
            let (ours, theirs) = Channel::pair()?;
            ours.set_nonblocking(true)?;
            let process = HandlerProcess::of_child(spawn::execute(&program, &theirs)?)?;
            Ok(Running { process, channel: ours })
        };
        let running = start().map_err(|error| format!("{}: {error}", program.display()))?;
        let hello = ToTls::Hello {
            settings_path: self.settings_path.display().to_string(),
            settings_text: self.settings.to_text(),
        };
        running.channel.send(&hello, &[]).map_err(|error| error.to_string())?;
        self.watch_tls(running.channel.as_fd()).map_err(|error| error.to_string())?;
        Ok(running)
    }

    /// Has the handshake of a new connection done.
    pub(crate) fn begin_tls(&mut self, client: Client) {
        let is_full = self.tls.pending.len() >= HANDSHAKES_MAX;
        if is_full || self.address_is_full(&client) {
            let why =
                if is_full { "too many handshakes at once" } else { "too many connections of this address" };
            event(Level::Warn, "tls-refused", &[("peer", &client.peer), ("why", &why)]);
            self.table.count_turned_away();
            return client.close();
        }
        self.secure(Whose::New(client));
    }

    /// Has the handshake of a session done whose peer was told to begin one.
    pub(crate) fn begin_session_tls(&mut self, handler: u32, cell: u32, generation: u32) {
        match self.escrow.get_mut(handler, cell, generation) {
            Some(kept) => kept.client.is_at_handshake = true,
            None => return,
        }
        self.secure(Whose::Session { handler, cell, generation });
    }

    fn secure(&mut self, whose: Whose) {
        let number = self.tls.next;
        self.tls.next += 1;
        self.tls.pending.insert(number, Pending { whose, since_ms: self.now_ms });
        self.tls.unsent.push_back(number);
        self.start_tls_if_none();
        self.send_unsent();
    }

    /// Sends what waits for the process that speaks TLS, as far as its channel takes it.
    pub(crate) fn send_unsent(&mut self) {
        while let (Some(running), Some(&number)) = (&self.tls.running, self.tls.unsent.front()) {
            let client = match self.tls.pending.get(&number).map(|pending| &pending.whose) {
                Some(Whose::New(client)) => Some(client),
                Some(Whose::Session { handler, cell, generation }) => {
                    self.escrow.get(*handler, *cell, *generation).map(|kept| &kept.client)
                }
                None => None,
            };
            let Some(client) = client else {
                self.tls.unsent.pop_front();
                self.tls.pending.remove(&number);
                continue;
            };
            let record = ToTls::Secure { number, peer: client.peer };
            match running.channel.send(&record, &[client.socket.as_fd()]) {
                Ok(()) => drop(self.tls.unsent.pop_front()),
                // ETOOMANYREFS, while many descriptors are on their way, passes as well.
                Err(SendError::WouldBlock | SendError::Os(_)) => return,
                Err(error) => {
                    event(Level::Error, "tls-channel-failed", &[("why", &error)]);
                    return self.end_tls();
                }
            }
        }
    }

    /// Reads what the process that speaks TLS has to say.
    pub(crate) fn read_tls(&mut self) {
        loop {
            let Some(running) = &mut self.tls.running else { return };
            match running.channel.receive::<FromTls>() {
                Ok(incoming) => self.on_tls(incoming.record, incoming.descriptors.into_iter().next()),
                Err(ReceiveError::DescriptorsLost(record)) => self.on_tls(record, None),
                Err(ReceiveError::WouldBlock) => return self.send_unsent(),
                Err(error) => {
                    event(Level::Error, "tls-ended", &[("why", &error)]);
                    return self.end_tls();
                }
            }
        }
    }

    fn on_tls(&mut self, record: FromTls, socket: Option<OwnedFd>) {
        match (record, socket) {
            (FromTls::Ready, _) => event(Level::Info, "tls-ready", &[]),
            (FromTls::Unusable { why }, _) => {
                event(Level::Error, "tls-certificate-unusable", &[("why", &why)])
            }
            (FromTls::Secured { number, facts }, Some(socket)) => self.on_secured(number, facts, socket),
            (FromTls::Secured { number, .. }, None) => self.on_failed(number, "no descriptors left"),
            (FromTls::Failed { number, why }, _) => self.on_failed(number, &why),
        }
    }

    fn on_secured(&mut self, number: u64, facts: TlsFacts, socket: OwnedFd) {
        match self.tls.pending.remove(&number).map(|pending| pending.whose) {
            Some(Whose::New(mut client)) => {
                client.socket = socket;
                client.tls = Some(facts);
                client.since_ms = self.now_ms;
                if self.phase == Phase::Serving {
                    self.take_in(client);
                } else {
                    client.turn_away(Refusal::Stopping);
                }
            }
            Some(Whose::Session { handler, cell, generation }) => {
                let Some(kept) = self.escrow.get_mut(handler, cell, generation) else { return };
                let Some(running) = self.handlers.get(handler as usize).and_then(Option::as_ref) else {
                    return;
                };
                let record = ToHandler::Secured { cell, generation, facts };
                let sent = running.channel.send(&record, &[socket.as_fd()]);
                kept.client.socket = socket;
                kept.client.tls = Some(facts);
                kept.client.is_at_handshake = false;
                if let Err(error) = sent {
                    // The session waits for it in vain: its end of the connection is closed, and it is ended as one whose peer left.
                    event(Level::Error, "tls-hand-over-failed", &[("handler", &handler), ("why", &error)]);
                    self.tell_not_secured(handler, cell, generation);
                }
            }
            None => {}
        }
    }

    fn on_failed(&mut self, number: u64, why: &str) {
        match self.tls.pending.remove(&number).map(|pending| pending.whose) {
            Some(Whose::New(client)) => {
                event(Level::Info, "tls-failed", &[("peer", &client.peer), ("why", &why)]);
                client.close();
            }
            Some(Whose::Session { handler, cell, generation }) => {
                if let Some(kept) = self.escrow.get_mut(handler, cell, generation) {
                    event(Level::Info, "tls-failed", &[("peer", &kept.client.peer), ("why", &why)]);
                }
                self.tell_not_secured(handler, cell, generation);
            }
            None => {}
        }
    }

    fn tell_not_secured(&mut self, handler: u32, cell: u32, generation: u32) {
        if let Some(running) = self.handlers.get_mut(handler as usize).and_then(Option::as_mut) {
            // An error is the channel's end, which the poll reports too.
            let _ = running.tell(ToHandler::NotSecured { cell, generation });
        }
    }

    /// The process is gone: so are the connections at their handshake that it had. Another is started soon.
    fn end_tls(&mut self) {
        if let Some(running) = self.tls.running.take() {
            self.unwatch(running.channel.as_fd());
        }
        self.tls.start_after_ms = self.now_ms + RESTART_MS;
        let unsent: Vec<u64> = self.tls.unsent.iter().copied().collect();
        let lost: Vec<u64> =
            self.tls.pending.keys().filter(|number| !unsent.contains(number)).copied().collect();
        for number in lost {
            self.on_failed(number, "the process that speaks TLS ended");
        }
    }

    /// Tells it of new settings; it reads the certificates again.
    pub(crate) fn reload_tls(&mut self) {
        let settings_text = self.settings.to_text();
        if let Some(running) = &self.tls.running
            && let Err(error) = running.channel.send(&ToTls::Reload { settings_text }, &[])
        {
            event(Level::Error, "tls-reload-failed", &[("why", &error)]);
        }
    }

    /// Takes the child that ended off the system's list.
    pub(crate) fn reap_tls(&mut self) {
        if let Some(running) = &self.tls.running
            && let Ok(Some(ended)) = running.process.ended()
        {
            event(Level::Error, "tls-ended", &[("how", &ended)]);
            self.end_tls();
        }
    }
}
