//! `lode gc`: gives back the space of what nobody needs, and says what that came to.

use std::path::Path;

use clap::Args;
use serde_json::json;
use store::gc::{GcOptions, GcReport, GcStep};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::import::progress::Progress;
use crate::output::print;

/// Give back the space of expunged messages, while the server runs
#[derive(Debug, Args)]
#[command(
    after_help = "The server does this by itself, once a day and after messages are expunged. What [store] history_days in the settings keeps, stays.\n\
                  What could not be done is told on standard error, and the exit code is 1."
)]
pub(crate) struct Arguments {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Count anew who has which message: finds space that was forgotten when a server was killed
    #[arg(long)]
    recount: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    context.need_store()?;
    let store = context.open_store()?;
    let options =
        GcOptions { dry_run: arguments.dry_run, recount: arguments.recount, ..GcOptions::default() };
    let progress = if arguments.json { Progress::none() } else { Progress::count() };
    let mut step = None;
    let report = store
        .gc(options, &mut |now| {
            if step.replace(now.step) != Some(now.step) {
                progress.begin(name_of(now.step), now.total as u64);
            }
            progress.set(now.done as u64, now.total as u64);
        })
        .map_err(Failure::because("cannot give space back"))?;
    progress.finish();
    store.close().map_err(Failure::because("cannot close the store"))?;
    let text = if arguments.json { to_json(&report) } else { to_text(&report, arguments.dry_run) };
    print(&text)?;
    if report.left.is_empty() {
        return Ok(());
    }
    for left in &report.left {
        eprintln!("lode: {left}");
    }
    Err(Failure::Failed("something was left as it is".to_string()))
}

fn name_of(step: GcStep) -> &'static str {
    match step {
        GcStep::Look => "looking",
        GcStep::Release => "releasing",
        GcStep::Recount => "counting",
        GcStep::Free => "freeing",
        GcStep::Buckets => "rewriting",
        GcStep::Close => "closing",
    }
}

fn to_json(report: &GcReport) -> String {
    let value = json!({
        "released_cells": report.released_cells,
        "compacted_mailboxes": report.compacted_mailboxes,
        "removed_mailboxes": report.removed_mailboxes,
        "removed_users": report.removed_users,
        "recounted_days": report.recounted_pages,
        "corrected_counts": report.corrected_counts,
        "freed_messages": report.freed_messages,
        "freed_octets": report.freed_octets,
        "punched_octets": report.punched_octets,
        "unlinked_buckets": report.unlinked_buckets,
        "unlinked_octets": report.unlinked_octets,
        "rewritten_buckets": report.rewritten_buckets,
        "rewritten_octets": report.rewritten_octets,
        "equal_messages": report.equal_messages,
        "equal_octets": report.equal_octets,
        "closed_pages": report.closed.pages,
        "compressed_journals": report.closed.journals,
        "closed_octets": report.closed.octets,
        "removed_journals": report.pruned.journals,
        "removed_journal_octets": report.pruned.octets,
        "left": report.left,
    });
    format!("{value:#}\n")
}

fn to_text(report: &GcReport, dry_run: bool) -> String {
    let GcReport { released_cells, removed_mailboxes, removed_users, freed_messages, freed_octets, .. } =
        report;
    let mut lines = vec![
        format!(
            "{released_cells} released: expunged messages, and those of deleted mailboxes, one for each mailbox"
        ),
        format!("{freed_messages} freed: messages that nobody has any more, {freed_octets} octets"),
    ];
    let mut line = |count: u64, text: String| {
        if count > 0 {
            lines.push(format!("{count} {text}"));
        }
    };
    line(*removed_mailboxes, "deleted mailboxes removed".to_string());
    line(*removed_users, "deleted users removed".to_string());
    line(report.compacted_mailboxes, "mailboxes rewritten without their expunged messages".to_string());
    line(report.recounted_pages, format!("days counted anew, {} counts corrected", report.corrected_counts));
    line(report.punched_octets, "octets given back inside of buckets".to_string());
    line(report.unlinked_buckets, format!("buckets unlinked, {} octets", report.unlinked_octets));
    let saved = if dry_run { String::new() } else { format!(", {} octets saved", report.rewritten_octets) };
    line(report.rewritten_buckets, format!("buckets rewritten{saved}"));
    line(
        report.equal_messages,
        format!(
            "deliveries were of messages that had come before: {} octets not stored",
            report.equal_octets
        ),
    );
    let closed = &report.closed;
    line(
        closed.pages,
        format!("days closed, {} journals compressed, {} octets given back", closed.journals, closed.octets),
    );
    line(report.pruned.journals, format!("old journals removed, {} octets", report.pruned.octets));
    if dry_run {
        lines.insert(0, "This would be done:".to_string());
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_done_is_not_told() {
        let report =
            GcReport { released_cells: 2, freed_messages: 1, freed_octets: 9, ..GcReport::default() };
        let text = to_text(&report, false);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("1 freed") && !text.contains("would"), "{text}");
        let text = to_text(&GcReport { rewritten_buckets: 3, ..report }, true);
        assert!(
            text.starts_with("This would be done:\n") && text.contains("3 buckets rewritten\n"),
            "{text}"
        );
    }
}
