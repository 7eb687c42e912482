//! `lode reload`: has the daemons read their settings again, as SIGHUP does, and tells what is wrong with them.

use std::path::Path;

use clap::Args;
use shm_abi::ControlRequest;

use crate::context::Context;
use crate::failure::Result;
use crate::router::order;

/// Read the settings again
#[derive(Debug, Args)]
#[command(
    after_help = "Settings with a mistake change nothing. Those of [store] path, [runtime], [listen], [handlers] and\n\
                        [run] are read at the next start."
)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments, config: Option<&Path>) -> Result<()> {
    order(&Context::load(config)?, ControlRequest::Reload)
}
