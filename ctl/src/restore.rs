//! `lode restore`: mail as it was. What kind of restore is meant is decided here, and done elsewhere.

use std::path::Path;

use clap::Args;

use crate::failure::Result;
use crate::history::{self, RestoreAt};
use crate::moment::{FORMS, Moment};

/// Bring a mailbox back as it was at some time, under another name
#[derive(Debug, Args)]
#[command(after_help = format!(
    "The mailbox comes back with the flags and dates of that time, as far as its messages are still in the store: in any mailbox of the user, or \
     expunged and not given up yet.\n\n{FORMS}\n\nExample:\n  lode restore --at 2026-11-20T14:05 --user ann --mailbox INBOX"
))]
pub(crate) struct Arguments {
    /// The time
    #[arg(long, value_name = "TIME")]
    at: Moment,
    /// The user
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The name that the mailbox had then
    #[arg(long, value_name = "NAME")]
    mailbox: String,
    /// The name it gets [default: its name and the time]
    #[arg(long, value_name = "NAME")]
    into: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let Arguments { at, user, mailbox, into, json } = arguments;
    history::restore_at(&RestoreAt { time: *at, user, mailbox, into: into.as_deref(), json: *json }, config)
}
