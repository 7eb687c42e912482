//! Space that is kept for what must not fail because the disk is full. It is a file in the store's folder that is given up when there is no room, and made
//! again when there is some.
//!
//! There are two, so that what the one is given up for never costs the other: `reserve`, for the few small files without which a full disk could be neither
//! opened nor closed cleanly, and `reserve-views`, for the views of a change whose frame is in its log (`last_step.rs`).

use std::io;
use std::path::Path;

use crate::disk::Disk;
use crate::error::StoreError;

/// Enough for a state, and a checkpoint of each of some dozen writers, or for the files of a new user, on any file system; or what of it there is room for.
const RESERVED_BYTES: [u64; 4] = [256 * 1024, 128 * 1024, 64 * 1024, 16 * 1024];

const LEAST_BYTES: u64 = RESERVED_BYTES[RESERVED_BYTES.len() - 1];

/// What space is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserve {
    /// The state and checkpoints.
    State,
    /// Views of changes that are in the logs.
    Views,
}

impl Reserve {
    /// All there are.
    pub(crate) const ALL: [Reserve; 2] = [Reserve::State, Reserve::Views];

    /// The file's name in the store's folder.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Reserve::State => "reserve",
            Reserve::Views => "reserve-views",
        }
    }

    /// Does `work` in the store in `folder`; once more without the reserve, if there was no room.
    pub(crate) fn with<T, E: SaysFull>(
        self,
        disk: &Disk,
        folder: &Path,
        mut work: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        match work() {
            Err(error) if error.says_full() && disk.remove_file(&folder.join(self.file_name())).is_ok() => {
                let done = work();
                // What was replaced may have given back what the new takes.
                self.make(disk, folder);
                done
            }
            done => done,
        }
    }

    /// Takes the space, unless it is taken; whether it is. That there is none is no error: whoever needs it will say so.
    ///
    /// A power cut may leave the name of one that was just made, and none of its space.
    pub(crate) fn make(self, disk: &Disk, folder: &Path) -> bool {
        let path = folder.join(self.file_name());
        if disk.metadata(&path).is_ok_and(|metadata| metadata.len() >= LEAST_BYTES) {
            return true;
        }
        // Another process may be doing the same: then both take the same space.
        let Ok(file) = disk.create_new(&path).or_else(|_| disk.open_writable(&path)) else { return false };
        let is_made = RESERVED_BYTES.iter().any(|bytes| file.allocate(0, *bytes, false).is_ok());
        if !is_made {
            let _ = disk.remove_file(&path);
        }
        is_made
    }
}

/// An error that may say that there is no room.
pub(crate) trait SaysFull {
    /// Whether it does.
    fn says_full(&self) -> bool;
}

impl SaysFull for io::Error {
    fn says_full(&self) -> bool {
        matches!(self.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl SaysFull for StoreError {
    fn says_full(&self) -> bool {
        self.is_out_of_space()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_reserve_is_given_up_and_taken_again() {
        for reserve in Reserve::ALL {
            let folder = tempfile::tempdir().expect("a folder");
            let disk = Disk::real();
            let tries = Cell::new(0);
            let with = |work: &dyn Fn() -> io::Result<()>| {
                reserve.with(&disk, folder.path(), || {
                    tries.set(tries.get() + 1);
                    work()
                })
            };
            let full = || Err(io::ErrorKind::StorageFull.into());
            with(&full).expect_err("there is no reserve");
            assert_eq!(tries.replace(0), 1);
            assert!(reserve.make(&disk, folder.path()) && reserve.make(&disk, folder.path()));
            let path = folder.path().join(reserve.file_name());
            assert_eq!(disk.metadata(&path).expect("there").len(), RESERVED_BYTES[0]);
            // As after a power cut.
            std::fs::write(&path, "").expect("emptied");
            assert!(reserve.make(&disk, folder.path()));
            assert_eq!(disk.metadata(&path).expect("there").len(), RESERVED_BYTES[0]);
            with(&|| Err(io::ErrorKind::Other.into())).expect_err("failed");
            assert!(disk.exists(&path), "room would not have helped");
            assert_eq!(tries.replace(0), 1);
            with(&|| if disk.exists(&path) { full() } else { Ok(()) }).expect("room was made");
            assert_eq!(tries.get(), 2);
            assert!(disk.exists(&path), "for the next time");
        }
    }
}
