#![allow(unsafe_code)]
//! The store's locks: robust mutexes shared by all processes, in stripes by hash, in a small file that lives in memory. Beside
//! each lock stands its owner's *intent*: where the frame is whose changes the owner is about to put into the views.
//!
//! Invariants:
//! - A mutex is locked and unlocked by one thread; `Held` cannot leave it.
//! - An intent is written by the owner of the lock alone, and is there from before the frame until its changes are in the views.
//!   Whoever gets the lock and finds an intent finishes the work first: the owner died, or failed half-way.
//! - The file is made by the one process that has the store to itself (`state.rs`), and never changes its length.
//!
//! The layout is this machine's own business (it does not outlive a boot): a header of 4,096 octets, then `STRIPES` stripes of 128:
//! the mutex at 0, the intent at 64. The header: magic 0, number of the making 8 (u64), failed syncs 64 (u32),
//! changes of limits 72 (u64), checkpoints that were set back 80 (u64).

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::mem::size_of;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, PageId, UserId};
use crate::log::{LogKind, LogName};

/// Whether a sync that goes well means that what was written before is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncs {
    /// It does.
    Trusted,
    /// A sync has failed, or it is not known that none has: the system may have dropped what it could not write, and believe that it is written.
    /// Only octets that are written once more are written by the next sync.
    Doubtful,
}

/// Number of locks. Mailboxes share them by hash.
pub(crate) const STRIPES: usize = 1024;

const MAGIC: &[u8; 8] = b"LODELCK1";
const HEADER_BYTES: usize = 4096;
const FAILED_SYNCS_AT: usize = 64;
const STRIPE_BYTES: usize = 128;
const FILE_BYTES: usize = HEADER_BYTES + STRIPES * STRIPE_BYTES;
const INTENT_AT: usize = 64;
/// In the header: how often limits of users were changed.
const QUOTA_CHANGES_AT: usize = 72;
/// In the header: how often the checkpoint of a writer was set back.
const SET_BACK_AT: usize = 80;
const WAIT_MOST_SECONDS: i64 = 60;

const _: () = assert!(size_of::<libc::pthread_mutex_t>() <= INTENT_AT);
const _: () = assert!(size_of::<IntentCell>() <= STRIPE_BYTES - INTENT_AT);

/// What a lock protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LockKey {
    /// The cells of a mailbox.
    Mailbox(MailboxId),
    /// A user's mailbox list.
    List(UserId),
    /// The catalog of users.
    Catalog,
}

impl LockKey {
    /// Its stripe.
    pub(crate) fn stripe(self) -> Stripe {
        let key = match self {
            LockKey::Mailbox(mailbox) => mailbox.key(),
            // No mailbox has number 0.
            LockKey::List(user) => u64::from(user.0) << 32,
            LockKey::Catalog => u64::MAX,
        };
        // Fibonacci hashing: the upper bits of the product depend on all bits of the key.
        Stripe((key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as u16)
    }
}

/// One of the locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stripe(u16);

impl Stripe {
    /// All of them, ascending.
    pub(crate) fn all() -> impl Iterator<Item = Stripe> {
        (0..STRIPES as u16).map(Stripe)
    }
}

/// Where a frame is, or is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) log: LogName,
    pub(crate) offset: u64,
}

/// The intent as it lies beside its lock. Relaxed throughout: the mutex orders it, and a dead owner's stores are in the memory.
#[repr(C)]
struct IntentCell {
    offset: AtomicU64,
    /// 0: none; otherwise the kind of the log.
    kind: AtomicU32,
    writer: AtomicU32,
    page: AtomicU32,
    number: AtomicU32,
}

/// The open locks file.
#[derive(Debug)]
pub(crate) struct Locks {
    id: u64,
    start: NonNull<u8>,
}

// SAFETY: the mapping is shared memory that is only reached through pthread mutexes and atomics, from any thread.
unsafe impl Send for Locks {}
// SAFETY: as above.
unsafe impl Sync for Locks {}

impl Locks {
    /// Makes the file anew, all locks free. Only for who has the store to itself. `id` is a random number that names this making.
    pub(crate) fn create(path: &Path, id: u64) -> Result<Locks> {
        // A new file, not the old one overwritten: a process that still maps the old one must not find its mutexes changed.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io(path, "replace")(error));
            }
            _ => (),
        }
        let file = Disk::real().create_new(path).map_err(StoreError::io(path, "create"))?;
        // With memory behind it, not only made long: a full tmpfs is an error here instead of a SIGBUS later.
        file.allocate(0, FILE_BYTES as u64, false).map_err(StoreError::io(path, "allocate"))?;
        let locks = Locks::map(path, file.file(), id)?;
        for stripe in Stripe::all() {
            locks.make_mutex(stripe).map_err(StoreError::io(path, "make locks in"))?;
        }
        let mut header = [0; 16];
        header[..8].copy_from_slice(MAGIC);
        header[8..].copy_from_slice(&id.to_le_bytes());
        file.write_all_at(&header, 0).map_err(StoreError::io(path, "write"))?;
        Ok(locks)
    }

    /// Opens the file that was made under `id`; `None` if there is no such file or it was made under another.
    pub(crate) fn open(path: &Path, id: u64) -> Result<Option<Locks>> {
        let file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(path, "open")(error)),
        };
        let len = file.metadata().map_err(StoreError::io(path, "look at"))?.len();
        let mut header = [0; 16];
        if len != FILE_BYTES as u64 || file.read_exact_at(&mut header, 0).is_err() {
            return Ok(None);
        }
        if &header[..8] != MAGIC || header[8..] != id.to_le_bytes() {
            return Ok(None);
        }
        Locks::map(path, &file, id).map(Some)
    }

    /// What the file at `path` says of syncs, for who has the store to itself; all that is known is what the one made under `id` says. It is removed: if
    /// whoever makes the next one does not come to it, nothing is known.
    pub(crate) fn take_word(path: &Path, id: u64) -> Result<Syncs> {
        let syncs = Locks::open(path, id)?.map_or(Syncs::Doubtful, |locks| locks.syncs());
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io(path, "remove")(error))
            }
            _ => Ok(syncs),
        }
    }

    fn map(path: &Path, file: &File, id: u64) -> Result<Locks> {
        let length = const { NonZeroUsize::new(FILE_BYTES).expect("not 0") };
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses the address; the file is `FILE_BYTES` long and never shrinks; only mutexes and atomics in
        // it are touched; it is unmapped in `drop` alone.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, file, 0) }
            .map_err(|errno| StoreError::io(path, "map")(errno.into()))?;
        Ok(Locks { id, start: start.cast() })
    }

    /// Under which number the file was made.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// A sync has failed in this process: what any process wrote may be lost, whoever saw it.
    pub(crate) fn note_failed_sync(&self) {
        self.failed_syncs_cell().fetch_add(1, Ordering::AcqRel);
    }

    /// Whether a sync has failed, in any process, since the file was made. Nothing that cannot be undone may rest on a change then.
    pub(crate) fn has_failed_syncs(&self) -> bool {
        self.failed_syncs() > 0
    }

    /// Whether syncs are to be trusted.
    pub(crate) fn syncs(&self) -> Syncs {
        if self.has_failed_syncs() { Syncs::Doubtful } else { Syncs::Trusted }
    }

    /// How many syncs have failed, in all processes, since the file was made.
    pub(crate) fn failed_syncs(&self) -> u32 {
        self.failed_syncs_cell().load(Ordering::Acquire)
    }

    fn failed_syncs_cell(&self) -> &AtomicU32 {
        // SAFETY: mapped as in `mutex`, aligned to 64, an atomic for which every bit pattern is valid; the mapping lives as long as
        // `self`.
        unsafe { &*self.start.as_ptr().add(FAILED_SYNCS_AT).cast::<AtomicU32>() }
    }

    /// How often the limits of a user were changed since the file was made.
    pub(crate) fn quota_changes(&self) -> u64 {
        self.quota_changes_cell().load(Ordering::Acquire)
    }

    /// Limits were changed; the list that says so is in its place.
    pub(crate) fn count_quota_change(&self) {
        self.quota_changes_cell().fetch_add(1, Ordering::AcqRel);
    }

    fn quota_changes_cell(&self) -> &AtomicU64 {
        self.counter(QUOTA_CHANGES_AT)
    }

    /// How often a writer began on an earlier day than that of its predecessor's checkpoint since the file was made: what an earlier checkpoint said of logs that it did
    /// not name holds no more.
    pub(crate) fn checkpoints_set_back(&self) -> u64 {
        self.counter(SET_BACK_AT).load(Ordering::Acquire)
    }

    /// The checkpoint of a writer was set back, and nothing was appended since.
    pub(crate) fn count_set_back(&self) {
        self.counter(SET_BACK_AT).fetch_add(1, Ordering::AcqRel);
    }

    /// The count at `at` in the header.
    fn counter(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= HEADER_BYTES);
        // SAFETY: inside the header, which is mapped as long as `self` is, aligned to 8, and an atomic for which every bit pattern is
        // valid; nothing else is stored there once the file has been made.
        unsafe { &*self.start.as_ptr().add(at).cast::<AtomicU64>() }
    }

    fn mutex(&self, stripe: Stripe) -> *mut libc::pthread_mutex_t {
        let at = HEADER_BYTES + usize::from(stripe.0) * STRIPE_BYTES;
        // SAFETY: `stripe` is below `STRIPES` (only `LockKey::stripe` and `Stripe::all` make one), so the place is mapped.
        unsafe { self.start.as_ptr().add(at).cast() }
    }

    fn intent_cell(&self, stripe: Stripe) -> &IntentCell {
        let at = HEADER_BYTES + usize::from(stripe.0) * STRIPE_BYTES + INTENT_AT;
        // SAFETY: mapped as in `mutex`, aligned to 64, all fields are atomics for which every bit pattern is valid, and the
        // mapping lives as long as `self`.
        unsafe { &*self.start.as_ptr().add(at).cast::<IntentCell>() }
    }

    fn make_mutex(&self, stripe: Stripe) -> io::Result<()> {
        let mut attributes = std::mem::MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: `attributes` points to memory of the right type, initialised by the first call before the others use it. The
        // mutex's memory is mapped, zero, and used by nobody yet: `create` has not published the file.
        unsafe {
            check(libc::pthread_mutexattr_init(attributes))?;
            check(libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED))?;
            check(libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST))?;
            check(libc::pthread_mutexattr_settype(attributes, libc::PTHREAD_MUTEX_ERRORCHECK))?;
            check(libc::pthread_mutex_init(self.mutex(stripe), attributes))?;
            check(libc::pthread_mutexattr_destroy(attributes))
        }
    }

    /// Takes `stripes`, which must be ascending and distinct. Waits for each a bounded time. Look at `Held::left_behind` next.
    pub(crate) fn take<'a>(&'a self, stripes: &[Stripe]) -> Result<Held<'a>> {
        debug_assert!(stripes.is_sorted_by(|a, b| a < b));
        let mut held = Held { locks: self, stripes: Vec::with_capacity(stripes.len()), thread: PhantomData };
        for stripe in stripes {
            self.lock(*stripe)?;
            held.stripes.push(*stripe);
        }
        Ok(held)
    }

    /// Whether an intent is beside `stripe`: a change is being made, or was left half-done. A load of a word; look again with the lock in hand.
    pub(crate) fn has_intent(&self, stripe: Stripe) -> bool {
        self.intent_cell(stripe).kind.load(Ordering::Acquire) != 0
    }

    /// Takes `stripe` if nobody has it, this thread included. Never waits. Look at `Held::left_behind` next.
    pub(crate) fn take_if_free(&self, stripe: Stripe) -> Option<Held<'_>> {
        let mutex = self.mutex(stripe);
        // SAFETY: the mutex was initialised before the file was published, and the mapping lives as long as `self`.
        let outcome = unsafe { libc::pthread_mutex_trylock(mutex) };
        self.is_taken(mutex, outcome).ok()?;
        Some(Held { locks: self, stripes: vec![stripe], thread: PhantomData })
    }

    fn lock(&self, stripe: Stripe) -> Result<()> {
        let mutex = self.mutex(stripe);
        // SAFETY: the mutex was initialised before the file was published, and the mapping lives as long as `self`.
        let mut outcome = unsafe { libc::pthread_mutex_trylock(mutex) };
        if outcome == libc::EBUSY {
            let mut until = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: `until` is a timespec of ours; the mutex as above.
            outcome = unsafe {
                libc::clock_gettime(libc::CLOCK_REALTIME, &mut until);
                until.tv_sec += WAIT_MOST_SECONDS;
                libc::pthread_mutex_timedlock(mutex, &until)
            };
        }
        self.is_taken(mutex, outcome)
    }

    /// What `outcome` of an attempt to lock `mutex` means; one whose owner died is made good again.
    fn is_taken(&self, mutex: *mut libc::pthread_mutex_t, outcome: libc::c_int) -> Result<()> {
        match outcome {
            0 => Ok(()),
            // The owner died. Its intent, if it left one, stays and tells what to repair; the mutex itself is good again.
            libc::EOWNERDEAD => {
                // SAFETY: this thread has just become the owner, as EOWNERDEAD says.
                let outcome = unsafe { libc::pthread_mutex_consistent(mutex) };
                debug_assert_eq!(outcome, 0);
                Ok(())
            }
            libc::ETIMEDOUT => Err(StoreError::Busy("a lock of the store")),
            _ => Err(StoreError::Failed(format!(
                "a lock cannot be taken: {}",
                io::Error::from_raw_os_error(outcome)
            ))),
        }
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` mapped; every `Held` borrows from this, so none is left.
        let _ = unsafe { munmap(self.start.cast(), FILE_BYTES) };
    }
}

/// Locks held by this thread. Dropping it releases them; intents that were not cleared stay for the next owner.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    locks: &'a Locks,
    stripes: Vec<Stripe>,
    /// Not to be sent to another thread: the thread that locked must unlock.
    thread: PhantomData<*const ()>,
}

impl Held<'_> {
    /// Whether what `key` names is protected.
    pub(crate) fn covers(&self, key: LockKey) -> bool {
        self.stripes.binary_search(&key.stripe()).is_ok()
    }

    /// The intents that earlier owners left behind.
    pub(crate) fn left_behind(&self) -> Vec<(Stripe, Intent)> {
        self.stripes.iter().filter_map(|stripe| Some((*stripe, self.intent(*stripe)?))).collect()
    }

    fn intent(&self, stripe: Stripe) -> Option<Intent> {
        let cell = self.locks.intent_cell(stripe);
        let kind = cell.kind.load(Ordering::Acquire);
        Some(Intent {
            log: LogName {
                page: PageId(cell.page.load(Ordering::Relaxed)),
                kind: LogKind::from_number(u8::try_from(kind).ok()?)?,
                writer: cell.writer.load(Ordering::Relaxed) as u16,
                number: cell.number.load(Ordering::Relaxed),
            },
            offset: cell.offset.load(Ordering::Relaxed),
        })
    }

    /// Puts `intent` beside all locks held.
    pub(crate) fn announce(&self, intent: Intent) {
        for stripe in &self.stripes {
            let cell = self.locks.intent_cell(*stripe);
            cell.offset.store(intent.offset, Ordering::Relaxed);
            cell.writer.store(u32::from(intent.log.writer), Ordering::Relaxed);
            cell.page.store(intent.log.page.0, Ordering::Relaxed);
            cell.number.store(intent.log.number, Ordering::Relaxed);
            // Last: an intent that is there is whole.
            cell.kind.store(intent.log.kind as u32, Ordering::Release);
        }
    }

    /// The work is done: no intent is left beside any lock held.
    pub(crate) fn clear(&self) {
        for stripe in &self.stripes {
            self.clear_one(*stripe);
        }
    }

    /// The work that was left behind beside `stripe` is done.
    pub(crate) fn clear_one(&self, stripe: Stripe) {
        self.locks.intent_cell(stripe).kind.store(0, Ordering::Release);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        #[cfg(feature = "simulation")]
        if crate::simulation::kill::is_dying() {
            return;
        }
        for stripe in self.stripes.iter().rev() {
            // SAFETY: this thread locked it in `take` (`Held` cannot change threads), and has not unlocked it.
            let outcome = unsafe { libc::pthread_mutex_unlock(self.locks.mutex(*stripe)) };
            debug_assert_eq!(outcome, 0);
        }
    }
}

fn check(outcome: libc::c_int) -> io::Result<()> {
    if outcome == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(outcome)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn mailbox(number: u32) -> LockKey {
        LockKey::Mailbox(MailboxId { user: UserId(1), number })
    }

    fn intent() -> Intent {
        Intent {
            log: LogName { page: PageId(5), kind: LogKind::Journal, writer: 64, number: 2 },
            offset: 1 << 40,
        }
    }

    #[test]
    fn a_thread_that_dies_leaves_its_intent_to_the_next_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("locks");
        let locks = Arc::new(Locks::create(&path, 7).expect("made"));
        let stripe = mailbox(1).stripe();
        let other = Arc::clone(&locks);
        std::thread::spawn(move || {
            let held = other.take(&[stripe]).expect("free");
            held.announce(intent());
            // The thread ends with the lock held, as when its process is killed.
            std::mem::forget(held);
        })
        .join()
        .expect("ended");
        let reopened = Locks::open(&path, 7).expect("readable").expect("there");
        let held = reopened.take(&[stripe]).expect("taken over");
        assert_eq!(held.left_behind(), [(stripe, intent())]);
        held.clear();
        drop(held);
        let held = locks.take(&[stripe]).expect("free");
        assert!(held.left_behind().is_empty());
        assert!(held.covers(mailbox(1)));
    }

    #[test]
    fn locks_of_another_making_are_not_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("locks");
        assert!(Locks::open(&path, 7).expect("readable").is_none());
        drop(Locks::create(&path, 7).expect("made"));
        assert!(Locks::open(&path, 8).expect("readable").is_none());
        assert!(Locks::open(&path, 7).expect("readable").is_some());
    }

    #[test]
    fn stripes_are_spread_over_mailboxes_and_users() {
        let mut seen = std::collections::HashSet::new();
        for user in 0..1000 {
            seen.insert(LockKey::Mailbox(MailboxId { user: UserId(user), number: 1 }).stripe());
        }
        assert!(seen.len() > 550, "{}", seen.len());
    }

    #[test]
    fn a_lock_excludes() {
        let folder = tempfile::tempdir().expect("a folder");
        let locks = Locks::create(&folder.path().join("locks"), 7).expect("made");
        let counter = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let _held = locks.take(&[mailbox(1).stripe()]).expect("free in time");
                        let seen = counter.load(Ordering::Relaxed);
                        counter.store(seen + 1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(counter.load(Ordering::Relaxed), 4000);
    }
}
