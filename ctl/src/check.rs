//! `lode check`: whether everything in the store is as it was written, and what can be mended of what is not.

use std::path::Path;
use std::sync::Mutex;

use clap::Args;
use serde_json::{Value, json};
use store::check::{Affected, CheckOptions, CheckProgress, CheckReport, Fault, Mend, RepairReport, Severity};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::import::progress::Progress;
use crate::output::print;

/// Check the store for damage, while the server runs
#[derive(Debug, Args)]
#[command(
    after_help = "All files are read and compared with each other, which takes as long as reading the store. Mail stays in use meanwhile.\n\
                  With --repair, what is damaged is made again from what is whole; what it replaces is kept in lost+found in the store's folder.\n\
                  Exit codes: 0 all is well (or was mended), 1 something is damaged."
)]
pub(crate) struct Arguments {
    /// Mend what can be mended, and check again
    #[arg(long)]
    repair: bool,
    /// Only the mailboxes of this user; may be given more than once
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,
    /// Do not read the texts of messages, only what describes them
    #[arg(long)]
    quick: bool,
    /// Threads that read [default: one for each processor, at most 8]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    context.need_store()?;
    for name in &arguments.user {
        context.known_user(name)?;
    }
    let mut opened = Vec::new();
    if arguments.repair {
        context.become_daemon_user()?;
        let path = &context.settings.store.path;
        opened = store::check::mend_opening(&store::disk::Disk::real(), path)
            .map_err(Failure::because("cannot repair the store"))?;
    }
    let store = context.open_store()?;
    let processors = std::thread::available_parallelism().map_or(1, |number| number.get().min(8));
    let options = CheckOptions {
        threads: arguments.threads.map_or(processors, usize::from),
        verify_content: !arguments.quick,
        users: (!arguments.user.is_empty()).then(|| arguments.user.clone()),
    };
    let check = || -> Result<CheckReport> {
        let progress = Mutex::new(if arguments.json { Progress::none() } else { Progress::new(0) });
        if let Ok(progress) = progress.lock() {
            progress.begin("checking", 0);
        }
        let tell = |now: CheckProgress| {
            // Who is told at the same time as another is told enough.
            if let Ok(progress) = progress.try_lock() {
                progress.set(now.done.octets, now.octets_total.max(now.done.octets));
            }
        };
        let report = store.check(&options, &tell).map_err(Failure::because("cannot check the store"))?;
        if let Ok(progress) = progress.into_inner() {
            progress.finish();
        }
        Ok(report)
    };
    let mut report = check()?;
    let mut repaired = None;
    if !opened.is_empty() {
        repaired = Some(RepairReport { mended: opened, ..RepairReport::default() });
    }
    if arguments.repair && (!report.is_sound() || !report.notes.is_empty()) {
        let mut done = store.repair(&report).map_err(Failure::because("cannot repair the store"))?;
        done.mended.splice(0..0, repaired.take().unwrap_or_default().mended);
        repaired = Some(done);
        report = check()?;
    }
    store.close().map_err(Failure::because("cannot close the store"))?;
    let text = match arguments.json {
        true => format!("{:#}\n", to_json(&report, repaired.as_ref())),
        false => to_text(&report, repaired.as_ref()),
    };
    print(&text)?;
    if report.is_sound() {
        return Ok(());
    }
    let count = report.faults.len() as u64 + report.faults_unlisted;
    let next = match report.faults.iter().any(|fault| fault.mend != Mend::Never) && !arguments.repair {
        true => "`lode check --repair` mends what can be mended",
        false => "what cannot be mended may be in a backup (`lode restore`)",
    };
    Err(Failure::Failed(format!("{count} faults; {next}")))
}

fn to_text(report: &CheckReport, repaired: Option<&RepairReport>) -> String {
    let mut lines = Vec::new();
    if let Some(done) = repaired {
        lines.extend(done.mended.iter().map(|what| format!("mended: {what}")));
        lines.extend(done.failed.iter().map(|what| format!("not mended: {what}")));
        if let Some(folder) = &done.lost_and_found {
            lines.push(format!("what was damaged is kept in {}", folder.display()));
        }
    }
    for fault in report.faults.iter().chain(&report.notes) {
        let word = if fault.severity == Severity::Fault { "fault" } else { "note" };
        lines.push(format!("{word}: {fault} ({})", mend_word(fault.mend)));
    }
    if report.faults_unlisted + report.notes_unlisted > 0 {
        lines.push(format!("and {} faults and {} notes more", report.faults_unlisted, report.notes_unlisted));
    }
    let done = report.checked;
    lines.push(format!(
        "{} users, {} mailboxes with {} messages and tombstones, {} messages in {} logs with {} frames, {} octets: {}",
        done.users,
        done.mailboxes,
        done.cells,
        done.messages,
        done.logs,
        done.frames,
        done.octets,
        if report.is_sound() { "all is well" } else { "something is damaged" }
    ));
    lines.join("\n") + "\n"
}

fn mend_word(mend: Mend) -> &'static str {
    match mend {
        Mend::FromViews => "can be made again from what is beside it",
        Mend::FromLogs => "can be made again from the logs",
        Mend::FromContent => "can be made again from the message",
        Mend::PutAside => "can be put aside",
        Mend::Never => "cannot be made again",
        Mend::NotNeeded => "nothing needs to be done",
    }
}

fn to_json(report: &CheckReport, repaired: Option<&RepairReport>) -> Value {
    let one = |fault: &Fault| {
        let affected = fault
            .affected
            .iter()
            .map(|Affected { user, mailbox, uid }| json!({"user": user, "mailbox": mailbox, "uid": uid}));
        json!({
            "kind": format!("{:?}", fault.kind).to_lowercase(),
            "path": fault.path,
            "offset": fault.offset,
            "expected": fault.expected,
            "found": fault.found,
            "meaning": fault.meaning,
            "affected": affected.collect::<Vec<_>>(),
            "mend": mend_word(fault.mend),
        })
    };
    let done = report.checked;
    json!({
        "sound": report.is_sound(),
        "faults": report.faults.iter().map(one).collect::<Vec<_>>(),
        "notes": report.notes.iter().map(one).collect::<Vec<_>>(),
        "faults_unlisted": report.faults_unlisted,
        "notes_unlisted": report.notes_unlisted,
        "octets_held_too_long": report.octets_held_too_long,
        "checked": {
            "users": done.users, "mailboxes": done.mailboxes, "cells": done.cells, "messages": done.messages,
            "logs": done.logs, "frames": done.frames, "octets": done.octets,
        },
        "repaired": repaired.map(|done| json!({
            "mended": done.mended, "failed": done.failed, "lost_and_found": done.lost_and_found,
        })),
    })
}
