//! Who may destroy what is on the disk just now: locks on octets of the file `gc` in the runtime folder, which belong to an open file, so
//! that they go with the process that has it.
//!
//! - Octet 0, the *gate*: held shared by who copies logs as they are (a backup), exclusively by who punches, unlinks, rewrites or
//!   prunes them, in short steps.
//! - Octet 1, the *pass*: held by the one process that goes through the whole store to give space back.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Result, StoreError};
use crate::state::lock_bytes;

const GATE: i64 = 0;
const PASS: i64 = 1;
const RETRY: Duration = Duration::from_millis(5);

/// A lock of the file, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Gate {
    _file: File,
}

impl Gate {
    /// Nothing is punched, unlinked, rewritten or pruned while this is held. Waits for the step that is under way.
    pub(crate) fn shared(runtime_dir: &Path, wait_most: Duration) -> Result<Gate> {
        Gate::take(runtime_dir, libc::F_RDLCK, GATE, wait_most)?
            .ok_or(StoreError::Busy("the gate to what is freed"))
    }

    /// Nobody copies logs while this is held. `None` if somebody does, for longer than `wait_most`.
    pub(crate) fn exclusive(runtime_dir: &Path, wait_most: Duration) -> Result<Option<Gate>> {
        Gate::take(runtime_dir, libc::F_WRLCK, GATE, wait_most)
    }

    /// Nobody else goes through the whole store while this is held. `None` if somebody does.
    pub(crate) fn pass(runtime_dir: &Path) -> Result<Option<Gate>> {
        Gate::take(runtime_dir, libc::F_WRLCK, PASS, Duration::ZERO)
    }

    fn take(runtime_dir: &Path, kind: libc::c_int, octet: i64, wait_most: Duration) -> Result<Option<Gate>> {
        let path = runtime_dir.join("gc");
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(StoreError::io(&path, "open"))?;
        let begun = Instant::now();
        while !lock_bytes(&file, kind, octet, 1).map_err(StoreError::io(&path, "lock"))? {
            if begun.elapsed() >= wait_most {
                return Ok(None);
            }
            std::thread::sleep(RETRY);
        }
        Ok(Some(Gate { _file: file }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copying_and_destroying_exclude_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let (runtime, now) = (folder.path(), Duration::ZERO);
        let one = Gate::shared(runtime, now).expect("free");
        let two = Gate::shared(runtime, now).expect("shared");
        assert!(Gate::exclusive(runtime, now).expect("asked").is_none());
        drop((one, two));
        let alone = Gate::exclusive(runtime, now).expect("asked").expect("free");
        assert!(Gate::shared(runtime, now).is_err());
        let pass = Gate::pass(runtime).expect("asked").expect("another octet");
        assert!(Gate::pass(runtime).expect("asked").is_none());
        drop((alone, pass));
        assert!(Gate::pass(runtime).expect("asked").is_some());
    }
}
