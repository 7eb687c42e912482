//! The table at the start: made anew, or taken over from a router that died and left handlers with sessions.
//!
//! Handlers of a table that this program cannot read are ended first: two boots must not work on one store.

use crate::log::{Level, event};
use crate::rejoin::Rejoin;
use crate::time;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shm_abi::{Abi, Limits, Process, Table, TableError, TableView, left_over_handlers, process_start_ticks};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long handlers of another table are listened for; they look for a router ten times a second.
const LISTEN: Duration = Duration::from_millis(600);
/// How long they get to end by themselves, and the kernel to end those that do not.
const GRACE: Duration = Duration::from_secs(2);

/// The table `name`: that of a dead router if handlers of it live, else one of `rows`.
pub(crate) fn make_table(name: &str, runtime_dir: &Path, rows: Limits) -> Result<Table, String> {
    let handlers = left_over_handlers(name);
    if !handlers.is_empty() {
        match Table::take_over(name) {
            Ok(table) => {
                let count = handlers.len();
                event(Level::Info, "table-taken-over", &[("table", &name), ("handlers", &count)]);
                if table.limits() != rows {
                    event(Level::Warn, "setting-needs-restart", &[("option", &"handlers")]);
                }
                return Ok(table);
            }
            Err(error) => {
                event(Level::Error, "table-not-taken-over", &[("table", &name), ("why", &error)]);
                end_all(&handlers);
            }
        }
    }
    if let Err(error @ (TableError::Version { .. } | TableError::Fingerprint { .. })) =
        TableView::open_read_only(name)
    {
        let own = Abi::OWN;
        event(
            Level::Warn,
            "table-of-other-program",
            &[
                ("table", &name),
                ("why", &error),
                ("program", &own),
                ("then", &"it is made anew if its router is dead"),
            ],
        );
        end_strangers(runtime_dir)?;
    }
    Table::create(name, rows, time::wall_ns(), time::wall_ms())
        .map_err(|error| format!("cannot make the shared table: {error}"))
}

/// Ends handlers whose table cannot be read: they are known by their coming to look for a router.
fn end_strangers(runtime_dir: &Path) -> Result<(), String> {
    let rejoin =
        Rejoin::open(runtime_dir).map_err(|error| format!("cannot make the socket for handlers: {error}"))?;
    let mut strangers: Vec<Process> = Vec::new();
    let deadline = Instant::now() + LISTEN;
    while Instant::now() < deadline {
        for pid in rejoin.turn_away_all() {
            if let Some(start_ticks) = process_start_ticks(pid)
                && !strangers.contains(&Process { pid, start_ticks })
            {
                strangers.push(Process { pid, start_ticks });
            }
        }
        sleep(Duration::from_millis(20));
    }
    end_all(&strangers);
    Ok(())
}

/// Waits for handlers of a dead router, which nobody can take in, and kills those that stay.
fn end_all(processes: &[Process]) {
    if processes.is_empty() {
        return;
    }
    event(Level::Warn, "left-over-handlers-ended", &[("count", &processes.len())]);
    until_gone(processes);
    for process in processes.iter().filter(|process| process.is_alive()) {
        let _ = kill(Pid::from_raw(process.pid as i32), Signal::SIGKILL);
    }
    until_gone(processes);
}

fn until_gone(processes: &[Process]) {
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && processes.iter().any(Process::is_alive) {
        sleep(Duration::from_millis(5));
    }
}
