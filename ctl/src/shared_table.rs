//! The shared table as `who`, `status` and `top` read it: alone, without asking any process for anything. Or a copy of one in a file, when
//! all the processes are dead.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use shm_abi::{TableError, TableView, read_table_name};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::moment::Moment;

/// A table, and the moment that ages are counted to.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The table.
    pub(crate) view: TableView,
    /// Milliseconds since 1970: now, or for a copy the last sign of life in it.
    pub(crate) now_ms: u64,
    /// Where the router can be asked for what is not in the table; `None` for a copy, which nobody answers for.
    pub(crate) runtime_dir: Option<PathBuf>,
}

/// The table of the router that `config` names, or the copy of one in the file `copy`, for which no settings are needed.
pub(crate) fn read(copy: Option<&Path>, config: Option<&Path>) -> Result<Reading> {
    if let Some(path) = copy {
        return read_copy(path);
    }
    let runtime_dir = Context::load(config)?.settings.runtime.dir;
    Ok(Reading { view: open(&runtime_dir)?, now_ms: now_ms(), runtime_dir: Some(runtime_dir) })
}

/// A copy of a table, made by `cp /dev/shm/lode-… FILE`.
fn read_copy(path: &Path) -> Result<Reading> {
    let failed = |why: String| Failure::Failed(format!("{}: {why}", path.display()));
    // Before it is opened: a pipe would wait for a writer.
    let kind = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if !kind.is_file() {
        return Err(failed(
            "this is no plain file; copy the table with `cp /dev/shm/lode-… FILE`".to_owned(),
        ));
    }
    let mut file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let view = TableView::read_copy(&mut file, "the copy").map_err(|error| {
        failed(match error {
            TableError::Version { table, program } => format!(
                "the copy is of a table of version {table}, this program reads version {program}: use the `lode` of the release that ran"
            ),
            TableError::Fingerprint { .. } => {
                "the copy is of a table with another layout than this program's: use the `lode` of the build that ran".to_owned()
            }
            TableError::Size { octets, expected, .. } => {
                format!("the copy is not whole: it has {octets} octets of {expected}; copy the table again")
            }
            TableError::NotATable(_) => "this is not a copy of a table of sessions".to_owned(),
            other => other.to_string(),
        })
    })?;
    let as_of_ms = last_sign_ms(&view, now_ms());
    let shown = Moment(u32::try_from(as_of_ms / 1000).unwrap_or(u32::MAX)).shown();
    eprintln!("lode: as of {shown} UTC, the last sign of life in {}", path.display());
    Ok(Reading { view, now_ms: as_of_ms, runtime_dir: None })
}

/// When anything in the table last happened. Times behind `now_ms` are not believed.
fn last_sign_ms(view: &TableView, now_ms: u64) -> u64 {
    let beats = view.handlers().into_iter().flat_map(|handler| handler.heartbeats_ms);
    let activities = view.sessions().into_iter().map(|session| session.last_activity_ms);
    let made = std::iter::once(view.info().created_ms);
    beats.chain(activities).chain(made).filter(|time_ms| *time_ms <= now_ms).max().unwrap_or(0)
}

/// Opens the table of the router whose runtime folder this is. A table whose router is dead is read as well, with a word
/// about it on standard error: it shows what went on when it died.
pub(crate) fn open(runtime_dir: &Path) -> Result<TableView> {
    let view = open_silently(runtime_dir)?;
    let router = view.info().router;
    if !router.is_alive() {
        eprintln!("lode: the router (process {}) is dead; this is what it left", router.pid);
    }
    Ok(view)
}

/// The same without a word.
pub(crate) fn open_silently(runtime_dir: &Path) -> Result<TableView> {
    let not_running = || {
        Failure::Failed(format!("no router runs in {}: start one with `lode serve`", runtime_dir.display()))
    };
    let name = read_table_name(runtime_dir).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => not_running(),
        _ => Failure::Failed(format!("cannot read {}: {error}", runtime_dir.join("table").display())),
    })?;
    TableView::open_read_only(&name).map_err(|error| match error {
        TableError::Missing(_) => not_running(),
        TableError::Os { errno: nix::errno::Errno::EACCES, .. } => Failure::Failed(format!(
            "only root and the user the daemons run as may read the table of sessions ({error})"
        )),
        other => Failure::Failed(other.to_string()),
    })
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Whole seconds from a time of the table until now; a time of 0 never was.
pub(crate) fn seconds_since(then_ms: u64, now_ms: u64) -> Option<u64> {
    (then_ms != 0).then(|| now_ms.saturating_sub(then_ms) / 1000)
}

/// Processor time as people read it, three figures of it.
pub(crate) fn cpu_time(micros: u64) -> String {
    match micros {
        0..1_000_000 => format!("{}ms", micros / 1000),
        1_000_000..60_000_000 => format!("{}.{}s", micros / 1_000_000, micros / 100_000 % 10),
        _ => span(micros / 1_000_000),
    }
}

/// A span as people read it: its two largest units.
pub(crate) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        let shown: Vec<String> = [0, 59, 60, 3599, 3600, 86_399, 90_000].map(span).into();
        assert_eq!(shown, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d01h"]);
        let shown: Vec<String> = [999, 15_700, 1_960_000, 75_000_000].map(cpu_time).into();
        assert_eq!(shown, ["0ms", "15ms", "1.9s", "1m15s"]);
        assert_eq!(seconds_since(0, 5000), None);
        assert_eq!(seconds_since(6000, 5000), Some(0));
    }

    #[test]
    fn without_a_router_there_is_a_hint() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let told = |folder: &Path| open(folder).err().map(|failure| failure.to_string()).unwrap_or_default();
        assert!(told(folder.path()).contains("start one with `lode serve`"));
        shm_abi::write_table_name(folder.path(), "/lode-no-such-table").expect("written");
        assert!(told(folder.path()).contains("start one with `lode serve`"));
    }
}
