//! `lode completions SHELL`, and `lode manual DIR`: what shells and `man` know of this command, made from its own table of verbs.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::failure::{Failure, Result};
use crate::output::print;

/// Print what a shell needs to complete the verbs and options of lode
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lode completions bash >/etc/bash_completion.d/lode")]
pub(crate) struct CompletionsArguments {
    /// Which shell
    shell: Shell,
}

/// Write the manual pages into a folder
#[derive(Debug, Args)]
#[command(
    after_help = "One page for lode, and one for each verb.\nExample:\n  lode manual /usr/local/share/man/man1"
)]
pub(crate) struct ManualArguments {
    /// The folder; it is made if there is none
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Prints the completions of `Whole` for a shell.
pub(crate) fn completions<Whole: CommandFactory>(arguments: &CompletionsArguments) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Whole::command(), "lode", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Writes the manual pages of `Whole`.
pub(crate) fn manual<Whole: CommandFactory>(arguments: &ManualArguments) -> Result<()> {
    let write = |folder: &Path| -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Whole::command(), folder)
    };
    write(&arguments.folder).map_err(|error| {
        Failure::Failed(format!("cannot write into {}: {error}", arguments.folder.display()))
    })
}
