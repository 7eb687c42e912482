//! `lode drain`: empties a handler without ending a session.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use shm_abi::ControlRequest;

use crate::context::Context;
use crate::failure::Result;
use crate::router::{counted, order};
use crate::shared_table::open;

/// Empty a handler: its sessions go on in others, then it exits
#[derive(Debug, Args)]
#[command(
    after_help = "The handler takes no new sessions. Each that it has moves when its running command is done; its client\n\
                        notices nothing. N is the number that `lode status` shows.\n\
                        Example:\n  lode drain 2"
)]
pub(crate) struct Arguments {
    /// The handler
    #[arg(value_name = "N")]
    handler: u32,
    /// Do not wait until it is empty
    #[arg(long)]
    no_wait: bool,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    let handler = arguments.handler;
    let view = open(&context.settings.runtime.dir)?;
    let row = || view.handlers().into_iter().find(|info| info.handler == handler);
    let before = row();
    order(&context, ControlRequest::Drain { handler })?;
    // A handler that is not there is refused by the router.
    let Some(before) = before.filter(|_| !arguments.no_wait) else { return Ok(()) };
    let mut told = None;
    while let Some(now) = row().filter(|now| now.generation == before.generation) {
        if told != Some(now.sessions) {
            eprintln!("handler {handler} (process {}): {} left", now.process.pid, counted(now.sessions));
            told = Some(now.sessions);
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}
