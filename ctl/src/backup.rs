//! `lode backup`: the whole store into a folder, while the server runs; only what is new is copied.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde_json::json;
use store::backup::{self, FaultInFile};
use store::disk::Disk;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::import::progress::Progress;
use crate::output::print;

/// Back up the store into a folder, while the server runs
#[derive(Debug, Args)]
#[command(
    after_help = "The first backup into a folder copies everything, later ones what came since. The backup is of one moment, at which nothing is half-way, and \
                  has all that was acknowledged before it began. Until it is complete, the one before counts, whatever happens. \
                  `lode restore DIR` brings back all of it, a user, a mailbox or a day.\n\n\
                  The settings and the users file are not in it; copy them, too.\n\n\
                  Examples:\n  lode backup /mnt/backup/lode\n  lode backup --check /mnt/backup/lode"
)]
pub(crate) struct Arguments {
    /// Make no backup; read the whole one that is there and verify every message
    #[arg(long, conflicts_with = "verify")]
    check: bool,
    /// After the backup, read all of it back and verify it
    #[arg(long)]
    verify: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// The folder; best on another disk
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let folder = &arguments.folder;
    if arguments.check {
        return check(folder, arguments.json, true);
    }
    let context = Context::load(config)?;
    context.need_store()?;
    context.make_folder(folder)?;
    let store = context.open_store()?;
    let begun = Instant::now();
    let progress = Progress::new(0);
    progress.begin("backup", 0);
    let outcome = backup::run(&store, folder, &mut |at| progress.set(at.done_octets, at.total_octets));
    progress.finish();
    let report = outcome.map_err(Failure::because(format!("cannot back up into {}", folder.display())))?;
    store.close().map_err(Failure::because("cannot close the store"))?;
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        let value = json!({
            "generation": report.generation,
            "moment": report.seconds,
            "logs": report.logs,
            "octets": report.octets,
            "messages": report.messages,
            "logs_copied": report.logs_copied,
            "octets_copied": report.octets_copied,
            "octets_written": report.octets_written,
            "octets_given_up": report.octets_given_up,
            "messages_copied": report.messages_copied,
            "faults": report.faults.len(),
            "seconds": (seconds * 1000.0).round() / 1000.0,
        });
        print(&format!("{value:#}\n"))?;
    } else {
        print(&format!(
            "Copied {} messages in {} octets in {seconds:.1} s. The backup has {} messages in {} octets.\n",
            report.messages_copied, report.octets_copied, report.messages, report.octets
        ))?;
    }
    tell(&report.faults);
    if arguments.verify {
        check(folder, arguments.json, false)?;
    }
    match report.faults.len() {
        0 => Ok(()),
        faults => Err(Failure::Failed(format!(
            "the backup is complete, but the store is damaged in {faults} places, which were copied as they are; `lode check` says what that costs"
        ))),
    }
}

/// Verifies the backup in `folder`. `summary`: says also what is there.
fn check(folder: &Path, json: bool, summary: bool) -> Result<()> {
    let progress = Progress::new(0);
    progress.begin("verify", 0);
    let mut show = |at: backup::Progress| progress.set(at.done_octets, at.total_octets);
    let outcome = backup::verify(&Disk::real(), folder, &mut show);
    progress.finish();
    let found = outcome.map_err(Failure::because(format!("cannot check {}", folder.display())))?;
    if json && summary {
        let faults: Vec<_> = found
            .faults
            .iter()
            .map(|fault| json!({"file": fault.path.display().to_string(), "offset": fault.offset, "what": fault.what}))
            .collect();
        let value = json!({
            "generation": found.generation,
            "moment": found.seconds,
            "logs": found.logs,
            "octets": found.octets,
            "messages": found.messages,
            "messages_given_up": found.given_up,
            "faults": faults,
        });
        print(&format!("{value:#}\n"))?;
    } else if !json {
        print(&format!("Verified {} messages in {} octets.\n", found.messages, found.octets))?;
    }
    tell(&found.faults);
    match found.faults.len() {
        0 => Ok(()),
        faults => Err(Failure::Failed(format!(
            "the backup is damaged in {faults} places; make another one into an empty folder, and look after the disk"
        ))),
    }
}

fn tell(faults: &[FaultInFile]) {
    for FaultInFile { path, offset, what } in faults {
        eprintln!("lode: {} is damaged at offset {offset}: {what}", path.display());
    }
}
