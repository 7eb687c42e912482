//! `lode crashes`: what is kept of crashes, and which messages are not read any more because of them. Reads the runtime folder alone, so it
//! works with the server down.

mod symbols;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use shm_abi::{CrashFolder, CrashReport, QUARANTINE_AFTER};

use crate::context::Context;
use crate::crashes::symbols::Symbols;
use crate::failure::{Failure, Result};
use crate::moment::Moment;
use crate::output::{Table, print};

const COLUMNS: &[&str] = &["report", "time", "what", "ended", "session", "user", "command", "mail"];
const MESSAGE_COLUMNS: &[&str] = &["message", "crashes", "state"];

/// Show the crashes of sessions and handlers, and the messages that are quarantined because of them
#[derive(Debug, Args)]
#[command(
    after_help = "ENDED says whether the session alone ended, or its handler, whose other sessions went on in another one.\n\
                        MAIL is the message that was being read, as day.number. One that crashed sessions twice is quarantined: clients that\n\
                        ask for its content are answered NO. It stays in its mailbox, and can be moved, flagged and deleted.\n\
                        The calls of a report are found by looking through the stack: some of them may have returned before.\n\
                        Reports have no passwords and no mail in them. They are in `crashes` of the runtime folder, the newest 100.\n\
                        Examples:\n  lode crashes\n  lode crashes 1795417173996-26985-26997\n  lode crashes --lift 20780.12"
)]
pub(crate) struct Arguments {
    /// Show this report whole, with the calls that led to the crash
    #[arg(value_name = "REPORT", conflicts_with_all = ["lift", "clear"])]
    report: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Let this message be read again
    #[arg(long, value_name = "MESSAGE", value_parser = message_id, conflicts_with = "clear")]
    lift: Option<u64>,
    /// Remove all reports; messages stay quarantined
    #[arg(long)]
    clear: bool,
}

fn message_id(text: &str) -> std::result::Result<u64, String> {
    let parsed = text.split_once('.').and_then(|(page, index)| {
        Some(u64::from(page.parse::<u32>().ok()?) << 32 | u64::from(index.parse::<u32>().ok()?))
    });
    parsed.ok_or_else(|| "a message is named by two numbers, as 20780.12".to_owned())
}

fn message_name(id: u64) -> String {
    format!("{}.{}", id >> 32, id as u32)
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let runtime_dir = Context::load(config)?.settings.runtime.dir;
    let folder = CrashFolder::new(&runtime_dir);
    let failed = |error: std::io::Error| Failure::Failed(format!("{}: {error}", folder.path().display()));
    if let Some(id) = arguments.lift {
        return if folder.lift(id).map_err(failed)? {
            print(&format!("{} is read again within a second\n", message_name(id)))
        } else {
            Err(Failure::Failed(format!("no crash was counted for message {}", message_name(id))))
        };
    }
    if arguments.clear {
        let removed = folder.clear().map_err(failed)?;
        return print(&format!("removed {removed} reports\n"));
    }
    let reports = folder.reports().map_err(failed)?;
    if let Some(name) = &arguments.report {
        let (_, report) = reports.iter().find(|(known, _)| known == name).ok_or_else(|| {
            Failure::Failed(format!("there is no report {name}; `lode crashes` lists those there are"))
        })?;
        return if arguments.json {
            print(&format!("{:#}\n", whole(name, report)))
        } else {
            show(name, report)
        };
    }
    let messages = folder.messages().map_err(failed)?;
    if arguments.json {
        let crashes: Vec<Value> = reports.iter().map(|(name, report)| whole(name, report)).collect();
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| {
                json!({
                    "message": message_name(message.id),
                    "crashes": message.crashes,
                    "quarantined": message.crashes >= QUARANTINE_AFTER,
                })
            })
            .collect();
        return print(&format!("{:#}\n", json!({ "crashes": crashes, "messages": messages })));
    }
    let mut table = Table::new(COLUMNS);
    for (name, report) in &reports {
        table.row(vec![
            name.as_str().into(),
            time(report).into(),
            report.what.as_str().into(),
            ended(report).into(),
            shown(&report.session),
            shown(&report.user),
            shown(&report.command),
            shown(&report.mail),
        ]);
    }
    table.print(false, "no crash is known")?;
    if messages.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(MESSAGE_COLUMNS);
    for message in &messages {
        let state = if message.crashes >= QUARANTINE_AFTER { "quarantined" } else { "read" };
        table.row(vec![message_name(message.id).into(), message.crashes.into(), state.into()]);
    }
    print("\n")?;
    table.print(false, "")
}

fn time(report: &CrashReport) -> String {
    Moment(u32::try_from(report.at_ms / 1000).unwrap_or(u32::MAX)).shown()
}

fn ended(report: &CrashReport) -> &'static str {
    if report.session_alone { "session" } else { "handler" }
}

fn shown(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

/// A report for programs, with names beside the addresses.
fn whole(name: &str, report: &CrashReport) -> Value {
    let symbols = Symbols::of(report);
    json!({
        "report": name,
        "time_ms": report.at_ms,
        "what": report.what,
        "message": report.message,
        "session_alone": report.session_alone,
        "version": report.version,
        "program": report.program,
        "pid": report.pid,
        "handler": report.handler,
        "thread": report.thread,
        "address": report.address,
        "instruction": report.instruction,
        "place": symbols.instruction(&report.instruction),
        "backtrace": report.backtrace.iter().map(|call| json!({ "address": call, "place": symbols.call(call) })).collect::<Vec<_>>(),
        "allocator_depth": report.allocator_depth,
        "locks_held": report.locks_held,
        "session": report.session,
        "protocol": report.protocol,
        "user": report.user,
        "peer": report.peer,
        "command": report.command,
        "input": report.input,
        "mail": report.mail,
    })
}

fn show(name: &str, report: &CrashReport) -> Result<()> {
    let symbols = Symbols::of(report);
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{label:<12}{value}");
        }
    };
    line("report", name);
    line("time", &format!("{} UTC", time(report)));
    line("what", &report.what);
    line("message", &report.message);
    line("ended", ended(report));
    line("program", &format!("{} {}", report.program, report.version));
    line("process", &format!("{}, handler {}, thread {}", report.pid, report.handler, report.thread));
    line("session", &report.session);
    line("protocol", &report.protocol);
    line("user", &report.user);
    line("peer", &report.peer);
    line("command", &report.command);
    report.input.iter().for_each(|input| line("input", input));
    line("mail", &report.mail);
    line("address", &report.address);
    let held = format!("{} in the allocator, {} locks", report.allocator_depth, report.locks_held);
    line("in hand", &held);
    line("instruction", &report.instruction);
    symbols.instruction(&report.instruction).iter().for_each(|place| line("", place));
    for call in &report.backtrace {
        line("called from", call);
        symbols.call(call).iter().for_each(|place| line("", place));
    }
    print(&text)
}

/// The program of a report, if it is still the one that crashed.
fn unchanged_program(report: &CrashReport) -> Option<PathBuf> {
    let path = PathBuf::from(&report.program);
    let changed = std::fs::metadata(&path).ok()?.modified().ok()?;
    let changed_ms = changed.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis();
    (changed_ms <= u128::from(report.at_ms)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_named_by_two_numbers() {
        assert_eq!(message_id("20780.12"), Ok(20780 << 32 | 12));
        assert_eq!(message_name(20780 << 32 | 12), "20780.12");
        for wrong in ["", "1", "1.", ".1", "1.2.3", "1.4294967296", "-1.2"] {
            assert!(message_id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_are_named_while_the_program_is_the_same() {
        let program = std::env::current_exe().expect("this program").display().to_string();
        let mut report = CrashReport { at_ms: u64::MAX, program, ..CrashReport::default() };
        assert!(unchanged_program(&report).is_some());
        // An address that is none has no place, and does no harm.
        assert!(Symbols::of(&report).instruction("0x1").is_empty());
        assert!(Symbols::of(&report).call("what").is_empty());
        report.at_ms = 1;
        assert!(unchanged_program(&report).is_none());
        report.program = "/nowhere".to_owned();
        assert!(unchanged_program(&report).is_none());
    }
}
