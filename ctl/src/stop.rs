//! `lode stop`: ends the daemons in order, as SIGTERM does, and waits until they are gone.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use shm_abi::{ControlRequest, TableView, read_table_name};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::router::order;

/// What the router needs beyond the grace of its sessions.
const MARGIN: Duration = Duration::from_secs(10);

/// Stop the daemons when running commands have finished
#[derive(Debug, Args)]
#[command(
    after_help = "Clients are told that the server is being stopped. Commands that run may finish within\n\
                        [limits] grace_seconds of the settings."
)]
pub(crate) struct Arguments {
    /// Do not wait until they are gone
    #[arg(long)]
    no_wait: bool,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    let runtime_dir = &context.settings.runtime.dir;
    // The name goes with the router: who it is must be known before.
    let view = read_table_name(runtime_dir).ok().and_then(|name| TableView::open_read_only(&name).ok());
    order(&context, ControlRequest::Stop)?;
    let Some(view) = view.filter(|_| !arguments.no_wait) else { return Ok(()) };
    let router = view.info().router;
    let grace = Duration::from_secs(context.settings.limits.grace_seconds.into());
    let deadline = Instant::now() + grace + MARGIN;
    while router.is_alive() {
        if Instant::now() >= deadline {
            return Err(Failure::Failed(format!("the router (process {}) has not ended yet", router.pid)));
        }
        sleep(Duration::from_millis(20));
    }
    Ok(())
}
