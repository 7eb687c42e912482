//! Who holds which maildrop (RFC 1939, 4): one POP3 session a user, over all handlers. And when each user logged in last, for
//! LOGIN-DELAY (RFC 2449, 6.5).
//!
//! Within the process a set says who holds what; between processes an open-file-description lock on the octet that has the user's
//! number, which the kernel lets go of when the process dies. The file's content is one word for each user: the time of the last
//! login in milliseconds since 1970. Only who holds a user's lock reads or writes that user's word.
//!
//! A session holds its maildrop by a value that lets go when it is dropped, so a session that ends in whatever way, by a panic too,
//! leaves no lock behind.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use crate::slots::SlotNumber;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use store::in_hand::Mutex;
use store::{MailboxId, UserId};

/// A user's INBOX: what POP3 shows and where mail is delivered. It always has number 1 (see [`MailboxId::number`]).
pub(crate) fn inbox_of(user: UserId) -> MailboxId {
    MailboxId { user, number: 1 }
}

/// The maildrops held by sessions of this handler.
pub(crate) struct Maildrops {
    file: File,
    /// By the session that holds it: slot and generation.
    held: Mutex<HashMap<UserId, (SlotNumber, u32)>>,
}

/// A maildrop that a session has for itself, until this is dropped.
pub(crate) struct Held {
    maildrops: Arc<Maildrops>,
    user: UserId,
}

/// What became of the wish for a maildrop.
pub(crate) enum Taken {
    /// The session has it.
    Held(Held),
    /// Another session has it.
    InUse,
    /// The user logged in not long enough ago; so many seconds are left, at least one.
    TooSoon(u64),
}

impl Maildrops {
    /// With the file `maildrops` in the runtime folder.
    ///
    /// # Errors
    /// The operating system's, when the file cannot be opened.
    pub(crate) fn open(runtime_dir: &Path) -> io::Result<Arc<Maildrops>> {
        let path = runtime_dir.join("maildrops");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Arc::new(Maildrops { file, held: Mutex::default() }))
    }

    /// Takes the maildrop of `user` for the session `holder` (slot and generation) at `now_ms` (since 1970), if the last login was at least `delay_seconds` ago.
    ///
    /// # Errors
    /// The operating system's, when the file cannot be locked, read or written.
    pub(crate) fn take(
        self: &Arc<Maildrops>,
        user: UserId,
        holder: (SlotNumber, u32),
        delay_seconds: u32,
        now_ms: u64,
    ) -> io::Result<Taken> {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if all.contains_key(&user) {
            return Ok(Taken::InUse);
        }
        match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&range(user, libc::F_WRLCK))) {
            Ok(_) => all.insert(user, holder),
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(Taken::InUse),
            Err(error) => return Err(error.into()),
        };
        drop(all);
        let held = Held { maildrops: Arc::clone(self), user };
        if delay_seconds > 0 {
            let last_ms = self.last_login_ms(user)?;
            let over_ms = last_ms.saturating_add(u64::from(delay_seconds) * 1000);
            // A login in the future is one before the clock was set back.
            if (last_ms..over_ms).contains(&now_ms) {
                return Ok(Taken::TooSoon((over_ms - now_ms).div_ceil(1000)));
            }
            self.file.write_all_at(&now_ms.to_le_bytes(), place(user))?;
        }
        Ok(Taken::Held(held))
    }

    /// Lets go of what a session held that will never drop it.
    pub(crate) fn release_of(&self, slot: SlotNumber, generation: u32) {
        let all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let users: Vec<UserId> =
            all.iter().filter(|(_, holder)| **holder == (slot, generation)).map(|(user, _)| *user).collect();
        drop(all);
        users.into_iter().for_each(|user| self.release(user));
    }

    fn release(&self, user: UserId) {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&user);
        let unlock = FcntlArg::F_OFD_SETLK(&range(user, libc::F_UNLCK));
        if let Err(error) = fcntl(&self.file, unlock) {
            crate::log::error!("release maildrop", user = user.0, why = error);
        }
    }

    /// The last login, 0 if there was none.
    fn last_login_ms(&self, user: UserId) -> io::Result<u64> {
        let mut word = [0; 8];
        match self.file.read_exact_at(&mut word, place(user)) {
            Ok(()) => Ok(u64::from_le_bytes(word)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.maildrops.release(self.user);
    }
}

/// Where the word of a user is.
fn place(user: UserId) -> u64 {
    u64::from(user.0) * 8
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Two handlers on one runtime folder: locks of open file descriptions are between them as between processes.
    fn two_handlers() -> (tempfile::TempDir, Arc<Maildrops>, Arc<Maildrops>) {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Maildrops::open(folder.path()).expect("opened");
        let (one, other) = (open(), open());
        (folder, one, other)
    }

    fn take(maildrops: &Arc<Maildrops>, user: u32) -> Option<Held> {
        match maildrops.take(UserId(user), (user, 1), 0, 1).expect("taken") {
            Taken::Held(held) => Some(held),
            Taken::InUse => None,
            Taken::TooSoon(seconds) => panic!("{seconds}"),
        }
    }

    #[test]
    fn one_session_has_a_maildrop_until_it_is_dropped() {
        let (_folder, one, other) = two_handlers();
        let held = take(&one, 1).expect("free");
        assert!(take(&one, 1).is_none() && take(&other, 1).is_none());
        let neighbour = take(&other, 2).expect("another user's");
        assert!(take(&one, 2).is_none());
        drop(held);
        let held = take(&other, 1).expect("free again");
        drop((held, neighbour));
        assert!(take(&one, 1).is_some() && take(&one, 2).is_some());
    }

    #[test]
    fn what_a_lost_session_held_is_released() {
        let (_folder, one, other) = two_handlers();
        std::mem::forget(take(&one, 1).expect("free"));
        let held = take(&one, 2).expect("free");
        one.release_of(1, 2);
        assert!(take(&other, 1).is_none(), "another generation");
        one.release_of(1, 1);
        assert!(take(&other, 1).is_some() && take(&other, 2).is_none());
        drop(held);
    }

    #[test]
    fn a_session_that_panics_lets_go() {
        let (_folder, one, other) = two_handlers();
        let inside = Arc::clone(&one);
        let panicked = std::panic::catch_unwind(move || {
            let _held = take(&inside, 1).expect("free");
            panic!("on purpose");
        });
        assert!(panicked.is_err());
        assert!(take(&other, 1).is_some());
    }

    #[test]
    fn logins_keep_their_distance_over_handlers() {
        let (_folder, one, other) = two_handlers();
        let seconds_left = |maildrops: &Arc<Maildrops>, user: u32, now_ms: u64| match maildrops
            .take(UserId(user), (user, 1), 10, now_ms)
            .expect("taken")
        {
            Taken::Held(_) => 0,
            Taken::TooSoon(seconds) => seconds,
            Taken::InUse => panic!("in use"),
        };
        assert_eq!(seconds_left(&one, 7, 100_000), 0);
        assert_eq!(seconds_left(&other, 7, 100_001), 10);
        assert_eq!(seconds_left(&other, 8, 100_001), 0);
        assert_eq!(seconds_left(&one, 7, 109_999), 1);
        assert_eq!(seconds_left(&other, 7, 110_000), 0);
        assert_eq!(seconds_left(&one, 7, 110_001), 10);
        // The clock was set back.
        assert_eq!(seconds_left(&one, 7, 50_000), 0);
        assert!(take(&one, 7).is_some(), "no delay, no look at the time");
    }
}
