//! `lode kick`: ends sessions.

use std::path::Path;

use clap::Args;
use shm_abi::ControlRequest;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::router::{counted, order_sessions, sessions};

/// The longest reason, so that any protocol has room for it in one line.
const REASON_OCTETS_MAX: usize = 200;

/// End sessions
#[derive(Debug, Args)]
#[command(
    after_help = "A command that runs is finished first; then the client is told that the session ends, and why.\n\
                        Clients usually connect again at once; to keep a user out, change the password.\n\
                        Examples:\n  lode kick 0.17.3\n  lode kick ann --reason \"maintenance\""
)]
pub(crate) struct Arguments {
    /// A session's name, or a user for all of that user's
    #[arg(value_name = "SESSION|USER")]
    what: String,
    /// What the client is told, in ASCII
    #[arg(long, default_value = "Ended by the administrator")]
    reason: String,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let reason = &arguments.reason;
    let printable = reason.bytes().all(|octet| (b' '..=b'~').contains(&octet));
    if !printable || reason.is_empty() || reason.len() > REASON_OCTETS_MAX {
        return Err(Failure::Usage(format!(
            "the reason is one line of 1 to {REASON_OCTETS_MAX} printable ASCII characters"
        )));
    }
    let context = Context::load(config)?;
    let chosen = sessions(&context, &arguments.what)?;
    let request = |sessions| ControlRequest::Kick { sessions, reason: reason.clone() };
    let (told, gone) = order_sessions(&context.settings.runtime.dir, &chosen, request)?;
    println!("{} told to end", counted(told));
    if gone > 0 {
        println!("{} ended before", counted(gone));
    }
    Ok(())
}
