//! The records on the router's control socket, `control` in the runtime folder: one request, one answer.

use crate::channel::{Channel, Incoming, ReceiveError, SendError};
use crate::session_id::SessionId;
use serde::{Deserialize, Serialize};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;
use std::{fmt, io};

/// How long a tool waits for the router, which may be stopped or busy.
const PATIENCE: Duration = Duration::from_secs(3);

/// Most sessions that one request may name.
pub const CONTROL_SESSIONS_MAX: usize = 4_000;

/// What a tool asks of the router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlRequest {
    /// How are you?
    Status,
    /// The table's name, and all handlers' eventfds, for a tool that announces changes itself.
    Attach,
    /// End as on SIGTERM.
    Stop,
    /// Read the settings again as on SIGHUP.
    Reload,
    /// What is logged? And log as much as this until the settings are read again. Answered by [`ControlAnswer::LogLevels`].
    LogLevel {
        /// `LEVEL` or `TARGET=LEVEL`; none changes nothing.
        change: Option<String>,
    },
    /// Empty a handler: it gets no new sessions, those it has move to others as they park, then it exits.
    Drain {
        /// Its row.
        handler: u32,
    },
    /// Move sessions to another handler, each as it parks. Answered by [`ControlAnswer::Sessions`].
    Migrate {
        /// At most [`CONTROL_SESSIONS_MAX`].
        sessions: Vec<SessionId>,
        /// Row of the handler to move them to.
        to: u32,
    },
    /// End sessions, with a last word where the protocol has one. Answered by [`ControlAnswer::Sessions`].
    Kick {
        /// At most [`CONTROL_SESSIONS_MAX`].
        sessions: Vec<SessionId>,
        /// For the client, in words; one line.
        reason: String,
    },
    /// Have a session's conversation written into the attached write end of a pipe; see [`crate::ToHandler::Trace`].
    Trace {
        /// The session.
        session: SessionId,
    },
    /// Go on as the programs that are installed now. Answered at once; [`ControlRequest::UpgradeState`] tells the rest.
    Upgrade,
    /// How far is the upgrade?
    UpgradeState,
}

/// How far an upgrade is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpgradeState {
    /// None was asked for since the router was started.
    None,
    /// The new programs are asked what they are.
    Checking,
    /// The router goes on as it was, and why.
    Refused(String),
    /// The new router serves; handlers of the old program are replaced one by one.
    Replacing {
        /// Those that are still to be replaced.
        left: u32,
    },
    /// Everything runs the new programs.
    Done,
}

/// What the router answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlAnswer {
    /// To [`ControlRequest::Status`].
    Status(RouterStatus),
    /// To [`ControlRequest::Attach`]; one eventfd for each handler row is attached, in order.
    Attached {
        /// Name of the table.
        table: String,
    },
    /// Understood, and begun.
    Done,
    /// To [`ControlRequest::LogLevel`]: the levels in force, as `info,imap=debug`.
    LogLevels(String),
    /// To [`ControlRequest::Migrate`] and [`ControlRequest::Kick`].
    Sessions {
        /// Sessions that are there, and whose handlers were told.
        told: u32,
        /// Sessions that are there no more.
        gone: u32,
    },
    /// To [`ControlRequest::UpgradeState`].
    Upgrade(UpgradeState),
    /// Not done, and why.
    Failed(String),
}

/// The router as it sees itself. What is in the table is read there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterStatus {
    /// Name of the table.
    pub table: String,
    /// The addresses listened on, as `imap 127.0.0.1:1143`.
    pub listening: Vec<String>,
    /// Connections that wait for room.
    pub queued: u32,
    /// Connections handed over and not yet acknowledged.
    pub in_flight: u32,
    /// True once it ends.
    pub stopping: bool,
}

/// Why the router did not answer.
#[derive(Debug)]
pub enum AskError {
    /// No router listens there.
    NotRunning,
    /// It is there and says nothing: stopped, or stuck.
    Silent,
    /// Its socket cannot be used; usually it belongs to somebody else.
    Io(io::Error),
    /// It says something else than an answer.
    Confused(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::NotRunning => out.write_str("no router runs here: start one with `lode serve`"),
            AskError::Silent => out.write_str("the router does not answer"),
            AskError::Io(error) => write!(out, "cannot reach the router: {error}"),
            AskError::Confused(what) => write!(out, "the router's answer makes no sense: {what}"),
        }
    }
}

impl std::error::Error for AskError {}

/// Asks the router whose runtime folder is `runtime_dir`, and waits for its answer for a few seconds at most.
pub fn ask_router(runtime_dir: &Path, request: ControlRequest) -> Result<Incoming<ControlAnswer>, AskError> {
    ask_router_with(runtime_dir, &request, &[])
}

/// The same, with descriptors for the router.
pub fn ask_router_with(
    runtime_dir: &Path,
    request: &ControlRequest,
    descriptors: &[BorrowedFd<'_>],
) -> Result<Incoming<ControlAnswer>, AskError> {
    let mut channel =
        Channel::connect(&runtime_dir.join("control"), PATIENCE).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NotRunning,
            io::ErrorKind::WouldBlock => AskError::Silent,
            _ => AskError::Io(error),
        })?;
    channel.send(request, descriptors).map_err(|error| match error {
        SendError::WouldBlock => AskError::Silent,
        SendError::Os(errno) => AskError::Io(errno.into()),
        other => AskError::Confused(other.to_string()),
    })?;
    channel.receive().map_err(|error| match error {
        ReceiveError::WouldBlock => AskError::Silent,
        ReceiveError::Os(errno) => AskError::Io(errno.into()),
        other => AskError::Confused(other.to_string()),
    })
}
