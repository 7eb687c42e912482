//! The records on the router's control socket, `control` in the runtime folder: one request, one answer.

use serde::{Deserialize, Serialize};

/// What a tool asks of the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlRequest {
    /// How are you?
    Status,
    /// The table's name, and all handlers' eventfds, for a tool that announces changes itself.
    Attach,
    /// End as on SIGTERM.
    Stop,
    /// Read the settings again as on SIGHUP.
    Reload,
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
