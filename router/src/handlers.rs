//! What the router itself keeps of each running handler: process, channel, and the connections on their way to it.

use crate::client::Client;
use crate::process::HandlerProcess;
use crate::watchdog::{Watch, Watched};
use shm_abi::{Channel, SendError, ToHandler};
use std::collections::HashMap;

/// One running handler.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: HandlerProcess,
    pub(crate) channel: Channel,
    pub(crate) generation: u32,
    pub(crate) started_ms: u64,
    /// A thread waits for its start event.
    pub(crate) awaited: bool,
    /// Signs of life of its threads.
    pub(crate) watch: Watch,
    /// It was condemned before it died: by itself, after a crash, or because it hung.
    pub(crate) condemned: bool,
    /// It hung, and is killed for that.
    pub(crate) hung: Option<Hung>,
    /// It was asked to let go of all its sessions and to exit.
    pub(crate) draining: bool,
    /// When its end of the channel was closed; it should be gone soon.
    pub(crate) closed_ms: Option<u64>,
    /// The channel took no record; set until it is writable, or the handler has answered something.
    pub(crate) congested: bool,
    /// Records without a descriptor that found the channel full.
    pub(crate) outbox: Vec<ToHandler>,
    /// Connections sent and not acknowledged, by cell; their sockets are kept until they are.
    pub(crate) in_flight: HashMap<u32, InFlight>,
}

/// How a handler hung.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hung {
    /// The thread that did not move.
    pub(crate) thread: Watched,
    /// For how long it had not.
    pub(crate) still_ms: u64,
    /// Until then it may say what it was doing and end by itself.
    pub(crate) kill_at_ms: u64,
}

/// A connection on its way.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) generation: u32,
    pub(crate) client: Client,
}

impl Running {
    /// A handler with its channel, of which nothing is known yet.
    pub(crate) fn new(
        process: HandlerProcess,
        channel: Channel,
        generation: u32,
        started_ms: u64,
    ) -> Running {
        Running {
            process,
            channel,
            generation,
            started_ms,
            awaited: false,
            watch: Watch::default(),
            condemned: false,
            hung: None,
            draining: false,
            closed_ms: None,
            congested: false,
            outbox: Vec::new(),
            in_flight: HashMap::new(),
        }
    }

    /// Whether the file of this name belongs to a session that is on its way to the handler.
    pub(crate) fn awaits_annex(&self, name: &str) -> bool {
        let resumed = self.in_flight.values().filter_map(|on_its_way| on_its_way.client.resume.as_ref());
        resumed.into_iter().any(|resume| resume.annex.as_deref() == Some(name))
    }

    /// Sends a record now or, when the channel is full, as soon as it is not.
    pub(crate) fn tell(&mut self, record: ToHandler) -> Result<(), SendError> {
        self.outbox.push(record);
        self.flush()
    }

    /// Sends what waits in the outbox.
    pub(crate) fn flush(&mut self) -> Result<(), SendError> {
        while let Some(record) = self.outbox.first() {
            match self.channel.send(record, &[]) {
                Ok(()) => drop(self.outbox.remove(0)),
                Err(SendError::WouldBlock) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
