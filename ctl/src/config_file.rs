//! `lode config`: the settings file, as it could be and as it is.

use std::path::Path;

use clap::{Args, Subcommand};
use config::Settings;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::print;

/// Print the default settings, look for mistakes, show what is in force
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Print a settings file with every option, its meaning and its default
    #[command(after_help = "Example:\n  lode config default > /etc/lode/lode.toml")]
    Default,
    /// Look for mistakes in the settings file
    Check,
    /// Print the settings in force: what the file says, and the defaults of what it leaves out
    Show(ShowArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// Print JSON instead of TOML
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(verb: &Verb, config: Option<&Path>) -> Result<()> {
    match verb {
        Verb::Default => print(Settings::default_text()),
        Verb::Check => check(&Settings::path(config)),
        Verb::Show(arguments) => {
            let settings = Context::load(config)?.settings;
            if arguments.json {
                let json = serde_json::to_string_pretty(&settings)
                    .map_err(Failure::because("cannot print the settings"))?;
                print(&format!("{json}\n"))
            } else {
                print(&settings.to_text())
            }
        }
    }
}

fn check(path: &Path) -> Result<()> {
    let settings = Settings::read(path).map_err(|error| Failure::Failed(error.to_string()))?;
    let problems = settings.check();
    if problems.is_empty() {
        return print(&format!("{}: no mistakes found\n", path.display()));
    }
    let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    let count =
        if problems.len() == 1 { "1 mistake".to_owned() } else { format!("{} mistakes", problems.len()) };
    Err(Failure::Failed(format!("{}: {count}{}", path.display(), lines.concat())))
}
