//! `lode restore`: mail as it was. What kind of restore is meant is decided here, and done elsewhere.

mod part;
mod whole;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::{Failure, Result};
use crate::history::{self, RestoreAt};
use crate::moment::{FORMS, Moment};

/// Bring back mail from a backup, or a mailbox as it was at some time
#[derive(Debug, Args)]
#[command(after_help = format!(
    "From a backup (`lode backup`):\n  \
     DIR alone brings back the whole store. The folder of the store must be empty, and the server stopped.\n  \
     With --user, --mailbox or --day it brings back a part, while the server runs. What is not there any more comes back as it was, with its UIDs; for a \
     mailbox that is there, the messages that it lacks go into a mailbox beside it.\n\n\
     Without a backup, --at brings a mailbox back under another name, with the flags and dates of that time, as far as its messages are still in the \
     store: in any mailbox of the user, or expunged and not given up yet.\n\n{FORMS}\n\n\
     Examples:\n  lode restore /mnt/backup/lode\n  lode restore /mnt/backup/lode --user ann\n  \
     lode restore /mnt/backup/lode --user ann --mailbox Work --into Recovered\n  lode restore /mnt/backup/lode --day 2026-11-20\n  \
     lode restore --at 2026-11-20T14:05 --user ann --mailbox INBOX"
))]
pub(crate) struct Arguments {
    /// The backup's folder
    #[arg(value_name = "DIR", required_unless_present = "at")]
    folder: Option<PathBuf>,
    /// As it was at this time, from the store itself
    #[arg(long, value_name = "TIME", conflicts_with_all = ["folder", "day"], requires = "mailbox")]
    at: Option<Moment>,
    /// The user [default: all]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The mailbox, by the name that it had then [default: all]
    #[arg(long, value_name = "NAME", requires = "user")]
    mailbox: Option<String>,
    /// Only messages that came into the store on this day (UTC), like 2026-11-20
    #[arg(long, value_name = "DAY")]
    day: Option<Moment>,
    /// The mailbox that gets them [default: one that is named after what it holds]
    #[arg(long, value_name = "NAME", requires = "mailbox")]
    into: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let Arguments { folder, at, user, mailbox, day, into, json } = arguments;
    let into = into.as_deref();
    match (folder, at, user, mailbox) {
        (_, Some(at), Some(user), Some(mailbox)) => {
            history::restore_at(&RestoreAt { time: *at, user, mailbox, into, json: *json }, config)
        }
        (Some(folder), None, None, None) if day.is_none() => whole::run(folder, *json, config),
        (Some(folder), None, user, mailbox) => {
            let wanted = part::Wanted {
                folder,
                user: user.as_deref(),
                mailbox: mailbox.as_deref(),
                day: day.map(|day| store::PageId(day.0 / 86_400)),
                into,
                json: *json,
            };
            part::run(&wanted, config)
        }
        _ => Err(Failure::Usage("name the backup's folder, or a time with --at".to_owned())),
    }
}
