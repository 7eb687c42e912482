//! `router.pid` in the runtime folder: says who runs there, and by its lock that nobody else may.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::User;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The locked file. Removed when dropped; after a kill the lock is gone and the file may stay.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    locked: Flock<File>,
}

impl PidFile {
    /// Takes the lock and writes our pid.
    pub(crate) fn take(runtime_dir: &Path, owner: Option<&User>) -> Result<PidFile, String> {
        let path = runtime_dir.join("router.pid");
        let fault = |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", path.display());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| fault(&error))?;
        let mut locked = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => locked,
            Err((_, Errno::EAGAIN)) => {
                let pid = fs::read_to_string(&path).unwrap_or_default();
                return Err(format!(
                    "a router runs in {} already (process {})",
                    runtime_dir.display(),
                    pid.trim()
                ));
            }
            Err((_, errno)) => return Err(fault(&errno.desc())),
        };
        let write = |file: &mut File| {
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())?;
            crate::listen::give_to(&path, owner)
        };
        write(&mut locked).map_err(|error| fault(&error))?;
        Ok(PidFile { path, locked })
    }
}

impl PidFile {
    /// The file that the program before this one, in the same process, has locked.
    pub(crate) fn inherited(file: OwnedFd, runtime_dir: &Path) -> Result<PidFile, String> {
        let path = runtime_dir.join("router.pid");
        match Flock::lock(File::from(file), FlockArg::LockExclusiveNonblock) {
            Ok(locked) => Ok(PidFile { path, locked }),
            Err((_, errno)) => Err(format!("cannot lock {}: {}", path.display(), errno.desc())),
        }
    }
}

impl AsFd for PidFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.locked.as_fd()
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
