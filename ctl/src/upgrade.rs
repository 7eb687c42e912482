//! `lode upgrade`: has the running daemons go on as the programs that are installed now. Clients notice nothing.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use shm_abi::{AskError, ControlAnswer, ControlRequest, HandlerState, SessionInfo, UpgradeState, ask_router};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::router::{counted, order};
use crate::shared_table::open;

/// How long the router may say nothing while it becomes the new program.
const SILENCE: Duration = Duration::from_secs(15);
/// Sessions that are named of each handler that stays.
const SHOWN_MAX: usize = 10;

/// Go on as the programs that are installed now, without ending a session
#[derive(Debug, Args)]
#[command(
    after_help = "The router becomes the new program at once. Then handlers are replaced one after the other, their sessions\n\
                        moving as their commands end. Programs that cannot read the table of the running ones are refused, and\n\
                        nothing changes: then `lode stop` and `lode serve` are the way.\n\
                        A session whose client does not read its reply keeps its handler. After --wait those that are left are\n\
                        named, and the upgrade goes on without being watched; `lode kick SESSION` ends one."
)]
pub(crate) struct Arguments {
    /// Do not wait until every handler is replaced
    #[arg(long)]
    no_wait: bool,
    /// How long to wait until every handler is replaced
    #[arg(long, value_name = "SECONDS", default_value_t = 120, conflicts_with = "no_wait")]
    wait: u64,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    order(&context, ControlRequest::Upgrade)?;
    let begun = Instant::now();
    let mut heard = begun;
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
                        if begun.elapsed() >= Duration::from_secs(arguments.wait) {
                            tell_who_stays(&context)?;
                            return Ok(());
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

/// Says which sessions keep handlers of the old program.
fn tell_who_stays(context: &Context) -> Result<()> {
    let view = open(&context.settings.runtime.dir)?;
    for handler in view.handlers().into_iter().filter(|info| info.state == HandlerState::Draining) {
        let number = handler.handler;
        let pid = handler.process.pid;
        eprintln!("handler {number} (process {pid}) is still being emptied: {}", counted(handler.sessions));
        for session in view.sessions().into_iter().filter(|info| info.id.handler == number).take(SHOWN_MAX) {
            let SessionInfo { id, user, command, .. } = session;
            match command.as_str() {
                "" => eprintln!("  {id} of {user:?} waits for its client to read the reply"),
                command => eprintln!("  {id} of {user:?} is in the middle of {command:?}"),
            }
        }
    }
    eprintln!("they move as soon as they can, and nobody need wait for it; `lode kick SESSION` ends one");
    Ok(())
}
