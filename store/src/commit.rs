//! Tickets, and the thread that makes them durable: one `fdatasync` a log for everything that was appended since the last.
//!
//! Invariants:
//! - A ticket is taken after its frame was written, so a sync that starts later covers it.
//! - The durable ticket only grows. Once a sync has failed it never grows again: the kernel may have dropped what it could not
//!   write, so nothing appended since can be vouched for (the store says so and takes no more changes).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::counters::Counters;
use crate::disk::DiskFile;
use crate::error::{CommitError, StoreError};
use crate::ids::Ticket;
use crate::locks::Locks;
use crate::log::{LogFile, Logs};
use crate::store::{Background, DurableCallback};

const SYNCS_AT_ONCE: usize = 8;

/// A log of another writer. It is opened by who needs it, so that a lack of descriptors refuses one change, and fails no sync.
#[derive(Clone, Debug)]
pub(crate) struct OtherLog {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<DiskFile>,
}

/// The state that sessions and the commit thread share.
pub(crate) struct Committer {
    queue: Mutex<Queue>,
    /// Something was put into the queue, or the thread is to end.
    filled: Condvar,
    durable: AtomicU64,
    /// Held only to sleep on `settled`.
    settling: Mutex<()>,
    /// The durable ticket has grown, or syncing failed.
    settled: Condvar,
    failure: OnceLock<String>,
    /// The thread has ended: no ticket that it left becomes durable.
    ended: AtomicBool,
    /// For tests: the next sync fails.
    pub(crate) pretend_failure: AtomicBool,
    callbacks: Mutex<Vec<DurableCallback>>,
    background: Background,
    counters: Arc<Counters>,
    locks: Arc<Locks>,
}

#[derive(Default)]
struct Queue {
    last_ticket: u64,
    /// Logs that were appended to since their last sync, each once.
    dirty: Vec<Arc<LogFile>>,
    /// Logs of other writers that hold frames which ours need.
    others: Vec<OtherLog>,
    stop: bool,
}

impl Committer {
    pub(crate) fn new(counters: Arc<Counters>, locks: Arc<Locks>, background: Background) -> Committer {
        Committer {
            queue: Mutex::new(Queue::default()),
            filled: Condvar::new(),
            durable: AtomicU64::new(0),
            settling: Mutex::new(()),
            settled: Condvar::new(),
            failure: OnceLock::new(),
            ended: AtomicBool::new(false),
            pretend_failure: AtomicBool::new(false),
            callbacks: Mutex::new(Vec::new()),
            background,
            counters,
            locks,
        }
    }

    /// Takes a ticket for a frame that was appended to `log`, and that needs frames in `others`.
    pub(crate) fn ticket(&self, log: &Arc<LogFile>, others: Vec<OtherLog>) -> Ticket {
        let mut queue = lock(&self.queue);
        queue.last_ticket += 1;
        if !log.queued.swap(true, Ordering::Relaxed) {
            queue.dirty.push(Arc::clone(log));
        }
        for other in others {
            if !queue.others.iter().any(|known| known.path == other.path) {
                queue.others.push(other);
            }
        }
        let ticket = Ticket(queue.last_ticket);
        drop(queue);
        self.filled.notify_one();
        ticket
    }

    /// The highest durable ticket.
    pub(crate) fn durable(&self) -> Ticket {
        Ticket(self.durable.load(Ordering::Acquire))
    }

    /// What is known of `ticket` now.
    pub(crate) fn state_of(&self, ticket: Ticket) -> Option<Result<(), CommitError>> {
        // The ends are looked at first: they come after the last durable ticket, so a ticket that was durable is found to be.
        let failure = self.failure.get();
        let ended = self.ended.load(Ordering::Acquire);
        if ticket <= self.durable() {
            return Some(Ok(()));
        }
        match failure {
            Some(reason) => Some(Err(CommitError(reason.clone()))),
            None if ended => Some(Err(CommitError("the store was closed".to_string()))),
            None => None,
        }
    }

    /// Waits until the fate of `ticket` is known.
    pub(crate) fn wait(&self, ticket: Ticket) -> Result<(), CommitError> {
        if let Some(state) = self.state_of(ticket) {
            return state;
        }
        let mut settling = lock(&self.settling);
        loop {
            if let Some(state) = self.state_of(ticket) {
                return state;
            }
            settling = self.settled.wait(settling).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Why nothing can be written any more.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// An error if nothing can be written any more.
    pub(crate) fn check_writable(&self) -> Result<(), StoreError> {
        self.failure().map_or(Ok(()), |reason| Err(StoreError::Failed(reason.to_string())))
    }

    pub(crate) fn on_durable(&self, callback: DurableCallback) {
        lock(&self.callbacks).push(callback);
    }

    /// Has the thread end once the queue is empty.
    pub(crate) fn stop(&self) {
        lock(&self.queue).stop = true;
        self.filled.notify_all();
    }

    /// The commit thread.
    pub(crate) fn run(&self, logs: &Logs) {
        // However it ends, also by a callback that panics, nobody waits for it any longer.
        let _ended = Ended(self);
        loop {
            let mut queue = lock(&self.queue);
            while queue.dirty.is_empty() && !queue.stop {
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            drop(queue);
            if !self.round(logs) {
                return;
            }
        }
    }

    /// Makes durable what is in the queue; false if there is nothing.
    pub(crate) fn round(&self, logs: &Logs) -> bool {
        let mut queue = lock(&self.queue);
        if queue.dirty.is_empty() {
            return false;
        }
        let upto = queue.last_ticket;
        let dirty = std::mem::take(&mut queue.dirty);
        let others = std::mem::take(&mut queue.others);
        for log in &dirty {
            log.queued.store(false, Ordering::Relaxed);
        }
        drop(queue);
        if self.failure().is_none() {
            match self.sync(&dirty, &others) {
                Ok(()) => self.durable.store(upto, Ordering::Release),
                Err(reason) => self.fail(reason, logs),
            }
        }
        self.announce();
        if self.failure().is_none() {
            dirty.iter().for_each(|log| log.make_ahead());
        }
        true
    }

    /// Does all that is left, for a store without a commit thread that is being closed.
    pub(crate) fn finish(&self, logs: &Logs) {
        let _ended = Ended(self);
        while self.round(logs) {}
    }

    /// Syncs all of these, a few at a time: a disk does two syncs at once in little more than the time of one.
    fn sync(&self, dirty: &[Arc<LogFile>], others: &[OtherLog]) -> Result<(), String> {
        self.counters.commit_groups.add(1);
        let ours = dirty.iter().map(|log| Syncing::Ours(log));
        let theirs = others.iter().map(Syncing::Theirs);
        let all: Vec<Syncing<'_>> = ours.chain(theirs).collect();
        if self.background == Background::Manual {
            // One after the other, so that the order is the same in every run.
            return all.iter().try_for_each(|one| self.sync_one(one));
        }
        for some in all.chunks(SYNCS_AT_ONCE) {
            let Some((first, rest)) = some.split_first() else { continue };
            std::thread::scope(|scope| {
                let spawn = |one| std::thread::Builder::new().spawn_scoped(scope, move || self.sync_one(one));
                let others: Vec<_> = rest.iter().map(|one| (one, spawn(one))).collect();
                let mut outcome = self.sync_one(first);
                for (one, other) in others {
                    let synced = match other {
                        Ok(thread) => thread.join().unwrap_or_else(|_| Err("a sync did not end".to_string())),
                        // No thread is to be had: then one after the other.
                        Err(_) => self.sync_one(one),
                    };
                    outcome = outcome.and(synced);
                }
                outcome
            })?;
        }
        Ok(())
    }

    fn sync_one(&self, what: &Syncing<'_>) -> Result<(), String> {
        self.counters.syncs.add(1);
        let failed =
            |path: &Path, error: std::io::Error| format!("syncing {} failed: {error}", path.display());
        match what {
            Syncing::Ours(log) if self.pretend_failure.load(Ordering::Relaxed) => {
                Err(failed(log.path(), std::io::Error::from_raw_os_error(libc::EIO)))
            }
            Syncing::Ours(log) => log.sync().map_err(|error| failed(log.path(), error)),
            Syncing::Theirs(log) => log.file.sync_data().map_err(|error| failed(&log.path, error)),
        }
    }

    /// Makes `log` durable at once, for a change that nobody may see before.
    pub(crate) fn sync_now(&self, log: &Arc<LogFile>, logs: &Logs) -> Result<(), StoreError> {
        self.check_writable()?;
        self.sync_one(&Syncing::Ours(log)).map_err(|reason| {
            self.fail(reason.clone(), logs);
            self.announce();
            StoreError::Failed(reason)
        })
    }

    fn fail(&self, reason: String, logs: &Logs) {
        let _ = self.failure.set(reason);
        self.locks.note_failed_sync();
        // A disk that fails here as well changes nothing: the next process reads what the logs hold.
        let _ = logs.abandon();
    }

    fn announce(&self) {
        drop(lock(&self.settling));
        self.settled.notify_all();
        let durable = self.durable();
        for callback in lock(&self.callbacks).iter() {
            callback(durable);
        }
    }
}

/// A file on its way to the disk.
enum Syncing<'a> {
    Ours(&'a LogFile),
    Theirs(&'a OtherLog),
}

struct Ended<'a>(&'a Committer);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.failure.set("the commit thread has failed".to_string());
        }
        self.0.ended.store(true, Ordering::Release);
        drop(lock(&self.0.settling));
        self.0.settled.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
