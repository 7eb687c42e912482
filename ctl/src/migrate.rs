//! `lode migrate`: moves sessions to another handler.

use std::path::Path;

use clap::Args;
use shm_abi::ControlRequest;

use crate::context::Context;
use crate::failure::Result;
use crate::router::{counted, order_sessions, sessions};

/// Move sessions to another handler
#[derive(Debug, Args)]
#[command(
    after_help = "Each session moves when its running command is done; its client notices nothing. It has another name\n\
                        afterwards. `lode who` shows names of sessions, `lode status` numbers of handlers.\n\
                        Examples:\n  lode migrate 0.17.3 --to 2\n  lode migrate ann --to 2"
)]
pub(crate) struct Arguments {
    /// A session's name, or a user for all of that user's
    #[arg(value_name = "SESSION|USER")]
    what: String,
    /// The handler to move to
    #[arg(long, value_name = "N")]
    to: u32,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    let chosen = sessions(&context, &arguments.what)?;
    let request = |sessions| ControlRequest::Migrate { sessions, to: arguments.to };
    let (told, gone) = order_sessions(&context.settings.runtime.dir, &chosen, request)?;
    println!("{} will go on in handler {}", counted(told), arguments.to);
    if gone > 0 {
        println!("{} ended meanwhile", counted(gone));
    }
    Ok(())
}
