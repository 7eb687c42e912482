//! What is kept of a crash: a report in `crashes/` of the runtime folder, and a mark for the message that was being read.
//!
//! - `report`: what a report says, made from the worker's row and the session's cell
//! - `masked`: the client's commands without passwords and without mail
//! - `folder`: the files, how many of them are kept, and which messages have crashed sessions how often
//!
//! Written by the handler whose session crashed, or, when it took the handler with it, by the router from what the table still says. Read
//! by `lode crashes`, and by handlers for the messages that are not to be read any more.

mod folder;
mod masked;
mod report;

pub use folder::{CrashFolder, CrashedMessage, QUARANTINE_AFTER};
pub use masked::{OPEN_IMAP_COMMANDS, masked};
pub use report::{CrashReport, signal_name};
