//! `lode log-level`: what the daemons log, changed while they run.

use std::path::Path;

use clap::Args;
use shm_abi::{ControlAnswer, ControlRequest};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::print;
use crate::router::ask;

/// Show or change what the daemons log
#[derive(Debug, Args)]
#[command(
    after_help = "LEVEL is error, warning, info or debug. TARGET is a part of the daemons and what is below it: imap, imap::login,\n\
                        pop3, lmtp, session, router, audit. The change lasts until the settings are read again.\n\
                        Example:\n  lode log-level imap::login=debug"
)]
pub(crate) struct Arguments {
    /// What to change; nothing shows what is in force
    #[arg(value_name = "[TARGET=]LEVEL")]
    change: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let request = ControlRequest::LogLevel { change: arguments.change.clone() };
    match ask(&Context::load(config)?, request)? {
        ControlAnswer::LogLevels(levels) => print(&format!("{levels}\n")),
        other => Err(Failure::Failed(format!("the router's answer makes no sense: {other:?}"))),
    }
}
