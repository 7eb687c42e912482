//! What a report of a crash says.

use crate::cell::SessionInfo;
use crate::crash::masked;
use crate::worker_row::WorkerInfo;
use serde::{Deserialize, Serialize};

/// A crash, as it is kept in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CrashReport {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Version of the program.
    pub version: String,
    /// Its file.
    pub program: String,
    /// The process.
    pub pid: u32,
    /// Its row.
    pub handler: u32,
    /// The kernel's number of the thread.
    pub thread: u32,
    /// The signal's name, or `panic`.
    pub what: String,
    /// What the panic said, and where.
    pub message: String,
    /// Whether the session alone ended; else the whole handler did.
    pub session_alone: bool,
    /// The address that was touched, in hexadecimal.
    pub address: String,
    /// The instruction, in hexadecimal, as a place in the program's file.
    pub instruction: String,
    /// The calls that led there, innermost first, as places in the program's file.
    pub backtrace: Vec<String>,
    /// How deep the thread was in the allocator.
    pub allocator_depth: u32,
    /// How many locks of the process it held.
    pub locks_held: u32,
    /// The session, `HANDLER.CELL.GENERATION`.
    pub session: String,
    /// What it spoke.
    pub protocol: String,
    /// Who was logged in.
    pub user: String,
    /// Who called.
    pub peer: String,
    /// The command that ran.
    pub command: String,
    /// What the client sent in the turn that crashed, without secrets and mail.
    pub input: Vec<String>,
    /// The message being read, `PAGE.INDEX`.
    pub mail: String,
}

impl CrashReport {
    /// From what the table says of the worker and its session. `pid` and `program` are of the process whose worker it was.
    pub fn of(
        worker: &WorkerInfo,
        session: Option<&SessionInfo>,
        process: (u32, u32),
        program: &str,
        at_ms: u64,
    ) -> CrashReport {
        let facts = worker.crash.unwrap_or_default();
        let place = |address: u64| match address.checked_sub(facts.program_base) {
            Some(place) => format!("{place:#x}"),
            None => format!("{address:#x} (outside)"),
        };
        let (handler, pid) = process;
        let protocol = session.and_then(|session| session.protocol);
        CrashReport {
            at_ms,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            program: program.to_owned(),
            pid,
            handler,
            thread: worker.thread,
            what: signal_name(facts.signal).to_owned(),
            message: String::new(),
            session_alone: false,
            address: format!("{:#x}", facts.address),
            instruction: place(facts.instruction),
            backtrace: facts
                .frames
                .iter()
                .take_while(|frame| **frame != 0)
                .map(|frame| place(*frame))
                .collect(),
            allocator_depth: facts.allocator_depth,
            locks_held: facts.engine_depth,
            session: worker
                .session
                .map_or(String::new(), |(cell, generation)| format!("{handler}.{cell}.{generation}")),
            protocol: protocol.map_or("", |protocol| protocol.name()).to_owned(),
            user: session.map_or(String::new(), |session| session.user.clone()),
            peer: session.and_then(|session| session.peer).map_or(String::new(), |peer| peer.to_string()),
            command: session.map_or(String::new(), |session| session.command.clone()),
            input: masked(protocol, &worker.input),
            mail: worker.message.map_or(String::new(), |id| format!("{}.{}", id >> 32, id as u32)),
        }
    }
}

/// A signal's name; `panic` for 0.
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        0 => "panic",
        other => {
            nix::sys::signal::Signal::try_from(other).map_or("an unknown signal", |signal| signal.as_str())
        }
    }
}
