//! `lode status`: the router and its handlers. What is in the shared table is read there; the router is asked for the rest,
//! and if it does not answer that is what is shown. Of a copy of the table only the table is shown.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use shm_abi::{
    AskError, ControlAnswer, ControlRequest, Counter, HandlerInfo, Heartbeat, RouterStatus, ask_router,
};

use crate::failure::{Failure, Result};
use crate::output::{Table, print};
use crate::shared_table::{Reading, read, seconds_since, span};

const COLUMNS: &[&str] = &[
    "handler",
    "pid",
    "state",
    "sessions",
    "up",
    "heartbeat",
    "connections",
    "commands",
    "commits",
    "bytes_in",
    "bytes_out",
];

/// Show the router and its handlers
#[derive(Debug, Args)]
#[command(
    after_help = "Fails when no router runs. HEARTBEAT is how long ago the handler's poll thread was seen alive.\n\
                        Example:\n  lode status --post-mortem /var/tmp/lode-0123456789abcdef"
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
    let asked = reading.runtime_dir.as_deref().map(ask);
    if arguments.json {
        print(&format!("{:#}\n", to_json(&reading, asked.as_ref())))?;
    } else {
        print(&headline(&reading, asked.as_ref()))?;
        let mut table = Table::new(COLUMNS);
        for handler in reading.view.handlers() {
            table.row(row(&handler, reading.now_ms));
        }
        table.print(false, "no handler runs")?;
    }
    let router = reading.view.info().router;
    if asked.is_none() || router.is_alive() {
        Ok(())
    } else {
        Err(Failure::Failed(format!(
            "the router (process {}) is dead: start one with `lode serve`",
            router.pid
        )))
    }
}

/// What the router said about itself, or why it did not.
type Asked = std::result::Result<RouterStatus, AskError>;

fn ask(runtime_dir: &Path) -> Asked {
    match ask_router(runtime_dir, ControlRequest::Status)?.record {
        ControlAnswer::Status(status) => Ok(status),
        other => Err(AskError::Confused(format!("{other:?}"))),
    }
}

fn headline(reading: &Reading, asked: Option<&Asked>) -> String {
    let info = reading.view.info();
    let up = span(seconds_since(info.created_ms, reading.now_ms).unwrap_or(0));
    let sessions: u64 = reading.view.handlers().iter().map(|handler| u64::from(handler.sessions)).sum();
    let room = u64::from(info.limits.handlers) * u64::from(info.limits.sessions);
    let mut text = format!(
        "router    process {}, up {up}, {} connections taken, {} turned away\n\
         sessions  {sessions} of {room} ({} handlers of {})\n",
        info.router.pid, info.accepted, info.turned_away, info.limits.handlers, info.limits.sessions
    );
    match asked {
        Some(Ok(status)) => {
            text += &format!("listening {}\n", status.listening.join(", "));
            text += &format!("waiting   {} for room, {} on their way\n", status.queued, status.in_flight);
            if status.stopping {
                text += "stopping\n";
            }
        }
        Some(Err(why)) => text += &format!("listening not known: {why}\n"),
        None => {}
    }
    text + "\n"
}

fn row(handler: &HandlerInfo, now_ms: u64) -> Vec<Value> {
    let count = |counter: Counter| handler.counters[counter as usize].into();
    let since = |then_ms| seconds_since(then_ms, now_ms).map(span).into();
    vec![
        handler.handler.into(),
        handler.process.pid.into(),
        handler.state.name().into(),
        handler.sessions.into(),
        since(handler.started_ms),
        since(handler.heartbeats_ms[Heartbeat::Poll as usize]),
        count(Counter::Connections),
        count(Counter::Commands),
        count(Counter::Commits),
        count(Counter::BytesIn),
        count(Counter::BytesOut),
    ]
}

fn to_json(reading: &Reading, asked: Option<&Asked>) -> Value {
    let (view, now_ms) = (&reading.view, reading.now_ms);
    let info = view.info();
    let handlers: Vec<Value> = view.handlers().iter().map(|handler| handler_json(handler, now_ms)).collect();
    let status = asked.and_then(|asked| asked.as_ref().ok());
    json!({
        "as_of_ms": now_ms,
        "post_mortem": asked.is_none(),
        "router": {
            "pid": info.router.pid,
            "alive": asked.map(|_| info.router.is_alive()),
            "answers": asked.map(|_| status.is_some()),
            "stopping": status.map(|status| status.stopping),
            "up_seconds": seconds_since(info.created_ms, now_ms),
            "table": view.name(),
            "table_bytes": info.segment_octets,
            "abi_version": info.abi_version,
            "boot_generation": info.boot_generation,
            "accepted": info.accepted,
            "turned_away": info.turned_away,
            "handlers_started": info.spawned,
            "handlers_max": info.limits.handlers,
            "sessions_each": info.limits.sessions,
            "listening": status.map(|status| status.listening.clone()),
            "queued": status.map(|status| status.queued),
            "on_their_way": status.map(|status| status.in_flight),
        },
        "handlers": handlers,
    })
}

fn handler_json(handler: &HandlerInfo, now_ms: u64) -> Value {
    let count = |counter: Counter| handler.counters[counter as usize];
    let beat = |thread: Heartbeat| seconds_since(handler.heartbeats_ms[thread as usize], now_ms);
    json!({
        "handler": handler.handler,
        "pid": handler.process.pid,
        "generation": handler.generation,
        "state": handler.state.name(),
        "sessions": handler.sessions,
        "up_seconds": seconds_since(handler.started_ms, now_ms),
        "heartbeat_seconds": beat(Heartbeat::Poll),
        "heartbeats": {
            "poll_seconds": beat(Heartbeat::Poll),
            "critical_signal_seconds": beat(Heartbeat::CriticalSignal),
            "init_seconds": beat(Heartbeat::Init),
            "commit_seconds": beat(Heartbeat::Commit),
        },
        "connections": count(Counter::Connections),
        "commands": count(Counter::Commands),
        "commits": count(Counter::Commits),
        "bytes_in": count(Counter::BytesIn),
        "bytes_out": count(Counter::BytesOut),
        "crashes": count(Counter::Crashes),
    })
}
