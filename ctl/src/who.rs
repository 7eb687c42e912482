//! `lode who`: every session, from the shared table alone. It works while the daemons are stopped, stuck or dead, and from a copy of the table.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use shm_abi::{CellFlags, Protocol, SessionInfo};

use crate::failure::Result;
use crate::output::Table;
use crate::shared_table::{cpu_time, read, seconds_since, span};

const COLUMNS: &[&str] = &[
    "session",
    "protocol",
    "user",
    "peer",
    "mailbox",
    "lock",
    "state",
    "command",
    "age",
    "idle",
    "cpu",
    "bytes_in",
    "bytes_out",
    "memory",
    "marks",
];

const JSON_COLUMNS: &[&str] = &[
    "session",
    "handler",
    "cell",
    "generation",
    "protocol",
    "user",
    "peer",
    "mailbox",
    "lock",
    "state",
    "command",
    "command_seconds",
    "age_seconds",
    "login_seconds",
    "idle_seconds",
    "cpu_micros",
    "bytes_in",
    "bytes_out",
    "memory_octets",
    "traced",
    "compressed",
    "adoptable",
];

/// Show who is connected and what each session is doing
#[derive(Debug, Args)]
#[command(
    after_help = "SESSION is handler.cell.generation. MAILBOX is the user's number and the mailbox's in that user's list.\n\
                        LOCK is what no other session can have meanwhile: POP3's maildrop.\n\
                        AGE counts from the connection, IDLE from the last octet or command. CPU is the time that workers spent on it, waits for\n\
                        the disk included. MEMORY is what it holds, in octets, about. MARKS says `traced` while somebody reads along.\n\
                        A copy of the table holds what clients sent at that moment, passwords perhaps: keep it as private as mail.\n\
                        Examples:\n  lode who --json\n  cp /dev/shm/lode-* /var/tmp/ && lode who --post-mortem /var/tmp/lode-0123456789abcdef"
)]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Read a copy of the shared table, which nobody needs to be alive for, instead of the table
    #[arg(long, value_name = "FILE")]
    post_mortem: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let reading = read(arguments.post_mortem.as_deref(), config)?;
    let now_ms = reading.now_ms;
    let mut sessions = reading.view.sessions();
    sessions.sort_by_key(|session| (session.accepted_ms, session.id));
    let torn = sessions.iter().filter(|session| session.protocol.is_none()).count();
    if torn > 0 {
        eprintln!(
            "lode: cells that were being written at that moment: {torn}; their users and peers are not known"
        );
    }
    let mut table = Table::new(if arguments.json { JSON_COLUMNS } else { COLUMNS });
    for session in &sessions {
        table.row(if arguments.json { json_row(session, now_ms) } else { row(session, now_ms) });
    }
    table.print(arguments.json, "nobody is connected")
}

fn row(session: &SessionInfo, now_ms: u64) -> Vec<Value> {
    let since = |then_ms| seconds_since(then_ms, now_ms).map(span).into();
    let command = match seconds_since(session.command_since_ms, now_ms) {
        Some(seconds) if seconds > 0 => Some(format!("{} {}", session.command, span(seconds))),
        _ => text(&session.command),
    };
    vec![
        session.id.to_string().into(),
        session.protocol.map(Protocol::name).into(),
        text(&session.user).into(),
        session.peer.map(|peer| peer.to_string()).into(),
        mailbox(session).into(),
        lock(session).into(),
        session.state.name().into(),
        command.into(),
        since(session.accepted_ms),
        since(session.last_activity_ms),
        cpu_time(session.cpu_micros).into(),
        session.bytes_in.into(),
        session.bytes_out.into(),
        session.memory_octets.into(),
        session.traced.then_some("traced").into(),
    ]
}

fn json_row(session: &SessionInfo, now_ms: u64) -> Vec<Value> {
    let since = |then_ms| seconds_since(then_ms, now_ms).into();
    vec![
        session.id.to_string().into(),
        session.id.handler.into(),
        session.id.cell.into(),
        session.id.generation.into(),
        session.protocol.map(Protocol::name).into(),
        text(&session.user).into(),
        session.peer.map(|peer| peer.to_string()).into(),
        mailbox(session).into(),
        lock(session).into(),
        session.state.name().into(),
        text(&session.command).into(),
        since(session.command_since_ms),
        since(session.accepted_ms),
        since(session.login_ms),
        since(session.last_activity_ms),
        session.cpu_micros.into(),
        session.bytes_in.into(),
        session.bytes_out.into(),
        session.memory_octets.into(),
        session.traced.into(),
        session.flags.has(CellFlags::COMPRESSED).into(),
        session.flags.has(CellFlags::ADOPTABLE).into(),
    ]
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// What the session keeps others from.
fn lock(session: &SessionInfo) -> Option<&'static str> {
    session.maildrop.then_some("maildrop")
}

/// The key's two halves: the user's number, and the mailbox's in the user's list.
fn mailbox(session: &SessionInfo) -> Option<String> {
    session.mailbox.map(|(_, key)| format!("{}/{}", key >> 32, key & 0xffff_ffff))
}
