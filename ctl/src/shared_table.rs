//! The shared table as `who` and `status` read it: alone, without asking any process for anything.

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use shm_abi::{TableError, TableView, read_table_name};

use crate::failure::{Failure, Result};

/// Opens the table of the router whose runtime folder this is. A table whose router is dead is read as well, with a word
/// about it on standard error: it shows what went on when it died.
pub(crate) fn open(runtime_dir: &Path) -> Result<TableView> {
    let not_running = || {
        Failure::Failed(format!("no router runs in {}: start one with `lode serve`", runtime_dir.display()))
    };
    let name = read_table_name(runtime_dir).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => not_running(),
        _ => Failure::Failed(format!("cannot read {}: {error}", runtime_dir.join("table").display())),
    })?;
    let view = TableView::open_read_only(&name).map_err(|error| match error {
        TableError::Missing(_) => not_running(),
        TableError::Os { errno: nix::errno::Errno::EACCES, .. } => Failure::Failed(format!(
            "only root and the user the daemons run as may read the table of sessions ({error})"
        )),
        other => Failure::Failed(other.to_string()),
    })?;
    let router = view.info().router;
    if !router.is_alive() {
        eprintln!("lode: the router (process {}) is dead; this is what it left", router.pid);
    }
    Ok(view)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Whole seconds from a time of the table until now; a time of 0 never was.
pub(crate) fn seconds_since(then_ms: u64, now_ms: u64) -> Option<u64> {
    (then_ms != 0).then(|| now_ms.saturating_sub(then_ms) / 1000)
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
