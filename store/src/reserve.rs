//! Space that is kept for the few small files without which a full disk could be neither opened nor closed cleanly: the file `reserve` in the
//! store's folder. It is given up when one of them finds no room, and made again when there is some.

use std::io;
use std::path::Path;

use crate::disk::Disk;

/// Enough for a state, and a checkpoint of each of some dozen writers, on any file system; or what of it there is room for.
const RESERVED_BYTES: [u64; 4] = [256 * 1024, 128 * 1024, 64 * 1024, 16 * 1024];

/// Does `work`, which replaces a small file in the store in `folder`; once more without the reserve, if there is no room.
pub(crate) fn with_reserve(disk: &Disk, folder: &Path, work: impl Fn() -> io::Result<()>) -> io::Result<()> {
    match work() {
        Err(error) if is_out_of_space(&error) && disk.remove_file(&folder.join("reserve")).is_ok() => {
            let done = work();
            // The file that was replaced has given back what the new one takes.
            make_reserve(disk, folder);
            done
        }
        done => done,
    }
}

/// Takes the space, unless it is taken. That there is none is no error: whoever needs it will say so.
pub(crate) fn make_reserve(disk: &Disk, folder: &Path) {
    let path = folder.join("reserve");
    if disk.exists(&path) {
        return;
    }
    // Another process may be doing the same.
    let Ok(file) = disk.create_new(&path) else { return };
    if !RESERVED_BYTES.iter().any(|bytes| file.allocate(0, *bytes, false).is_ok()) {
        let _ = disk.remove_file(&path);
    }
}

fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_reserve_is_given_up_and_taken_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::real();
        let full = || Err(io::ErrorKind::StorageFull.into());
        let tries = Cell::new(0);
        let count = |result: io::Result<()>| {
            tries.set(tries.get() + 1);
            result
        };
        with_reserve(&disk, folder.path(), || count(full())).expect_err("there is no reserve");
        assert_eq!(tries.replace(0), 1);
        make_reserve(&disk, folder.path());
        make_reserve(&disk, folder.path());
        let path = folder.path().join("reserve");
        assert_eq!(disk.metadata(&path).expect("there").len(), RESERVED_BYTES[0]);
        with_reserve(&disk, folder.path(), || count(Err(io::ErrorKind::Other.into()))).expect_err("failed");
        assert!(disk.exists(&path), "room would not have helped");
        assert_eq!(tries.replace(0), 1);
        with_reserve(&disk, folder.path(), || count(if disk.exists(&path) { full() } else { Ok(()) }))
            .expect("room was made");
        assert_eq!(tries.get(), 2);
        assert!(disk.exists(&path), "for the next time");
    }
}
