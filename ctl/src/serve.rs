//! `lode serve`: becomes the router, in the foreground.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Result};

/// Where the daemons are when they are not beside this program.
const INSTALLED: &str = "/usr/libexec/lode";

/// Run the server in the foreground
#[derive(Debug, Args)]
#[command(
    after_help = "SIGTERM stops it when running commands have finished, SIGHUP reads the settings again.\n\
                        Example:\n  lode serve --config /etc/lode/lode.toml"
)]
pub(crate) struct Arguments {}

/// Replaces this process by the router. Returns only if that fails.
pub(crate) fn run(_: &Arguments, config: Option<&Path>) -> Result<()> {
    // Read here too, so that a mistake is told as by every other verb.
    let context = Context::load(config)?;
    let router = find_program("router")?;
    let error = Command::new(&router).arg("--config").arg(&context.path).exec();
    Err(Failure::Failed(format!("cannot start {}: {error}", router.display())))
}

/// The daemon `name`: beside this program, or where packages put it.
pub(crate) fn find_program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(Failure::because("cannot tell where this program is"))?;
    let beside = own.parent().map(|folder| folder.join(name));
    let places = [beside, Some(Path::new(INSTALLED).join(name))];
    places.into_iter().flatten().find(|path| path.is_file()).ok_or_else(|| {
        Failure::Failed(format!(
            "there is no program {name} beside {} and none in {INSTALLED}: build it with `cargo build --release`, or \
             install Lode again",
            own.display()
        ))
    })
}
