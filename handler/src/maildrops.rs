//! Who holds which maildrop (RFC 1939, 4): one POP3 session a user, over all handlers.
//!
//! Within the process a set says so; between processes an open-file-description lock on the octet that has the user's number,
//! which the kernel lets go of when the process dies.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use store::{MailboxId, UserId};

/// A user's INBOX: what POP3 shows and where mail is delivered. It always has number 1 (see [`MailboxId::number`]).
pub(crate) fn inbox_of(user: UserId) -> MailboxId {
    MailboxId { user, number: 1 }
}

/// The maildrops held by sessions of this handler.
pub(crate) struct Maildrops {
    file: File,
    held: Mutex<HashSet<UserId>>,
}

impl Maildrops {
    /// With the lock file `maildrops` in the runtime folder.
    ///
    /// # Errors
    /// The operating system's, when the file cannot be opened.
    pub(crate) fn open(runtime_dir: &Path) -> io::Result<Maildrops> {
        let path = runtime_dir.join("maildrops");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Maildrops { file, held: Mutex::default() })
    }

    /// Takes the maildrop of `user`; false if another session has it.
    pub(crate) fn take(&self, user: UserId) -> io::Result<bool> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains(&user) {
            return Ok(false);
        }
        match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&range(user, libc::F_WRLCK))) {
            Ok(_) => Ok(held.insert(user)),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the maildrop of `user` go.
    pub(crate) fn release(&self, user: UserId) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.remove(&user)
            && let Err(error) = fcntl(&self.file, FcntlArg::F_OFD_SETLK(&range(user, libc::F_UNLCK)))
        {
            crate::log::error!("release maildrop", user = user.0, why = error);
        }
    }
}

fn range(user: UserId, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: i64::from(user.0),
        l_len: 1,
        l_pid: 0,
    }
}
