//! `lode upgrade`: has the running daemons go on as the programs that are installed now. Clients notice nothing.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use shm_abi::{AskError, ControlAnswer, ControlRequest, UpgradeState, ask_router};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::router::order;

/// How long the router may say nothing while it becomes the new program.
const SILENCE: Duration = Duration::from_secs(15);

/// Go on as the programs that are installed now, without ending a session
#[derive(Debug, Args)]
#[command(
    after_help = "The router becomes the new program at once. Then handlers are replaced one after the other, their sessions\n\
                        moving as their commands end. Programs that cannot read the table of the running ones are refused, and\n\
                        nothing changes: then `lode stop` and `lode serve` are the way."
)]
pub(crate) struct Arguments {
    /// Do not wait until every handler is replaced
    #[arg(long)]
    no_wait: bool,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    order(&context, ControlRequest::Upgrade)?;
    let mut heard = Instant::now();
    let mut told = None;
    loop {
        match ask_router(&context.settings.runtime.dir, ControlRequest::UpgradeState) {
            Ok(answer) => {
                heard = Instant::now();
                match answer.record {
                    ControlAnswer::Upgrade(UpgradeState::Checking | UpgradeState::None) => {}
                    ControlAnswer::Upgrade(UpgradeState::Refused(why)) => return Err(Failure::Failed(why)),
                    ControlAnswer::Upgrade(UpgradeState::Replacing { left }) => {
                        if arguments.no_wait {
                            return Ok(());
                        }
                        if told != Some(left) {
                            eprintln!("the router is replaced, {left} handlers to go");
                            told = Some(left);
                        }
                    }
                    ControlAnswer::Upgrade(UpgradeState::Done) => return Ok(()),
                    other => {
                        return Err(Failure::Failed(format!(
                            "the router's answer makes no sense: {other:?}"
                        )));
                    }
                }
            }
            // It is between two programs, or busy taking over.
            Err(AskError::Silent | AskError::Confused(_) | AskError::NotRunning)
                if heard.elapsed() < SILENCE => {}
            Err(error) => return Err(Failure::Failed(error.to_string())),
        }
        sleep(Duration::from_millis(50));
    }
}
