//! Tickets, and the threads that make them durable: one `fdatasync` a log for everything that was appended since the last.
//!
//! Each log that was appended to waits once in the queue, with the first ticket that rests on what is not synced of it. A few threads take logs from
//! there, any log one thread at a time, so that a bucket and a journal do not wait for each other; while one thread tells of what it has synced, another
//! may sync the same log again.
//!
//! Invariants:
//! - A ticket is taken after its frame was written, so a sync that starts later covers it.
//! - A ticket is durable when no log in the queue or on its way to the disk has a first ticket up to it. So tickets become durable in their order,
//!   and what an earlier change of this process wrote, in whatever log, is durable with every later one.
//! - The durable ticket only grows. Once a sync has failed it never grows again: the kernel may have dropped what it could not
//!   write, so nothing appended since can be vouched for (the store says so and takes no more changes).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;
use std::time::Instant;

use crate::commit_times::{Births, CommitObserver, CommitTime};
use crate::counters::Counters;
use crate::disk::{Disk, DiskFile};
use crate::error::{CommitError, StoreError};
use crate::ids::Ticket;
use crate::in_hand::{Condvar, Mutex, MutexGuard};
use crate::locks::{Locks, Syncs};
use crate::log::logs::write_again;
use crate::log::{LogFile, LogName, LogReader, Logs};
use crate::store::DurableCallback;

/// Threads that sync: a disk does a few syncs at once in little more than the time of one.
pub(crate) const THREADS: usize = 4;

/// A log of another writer. It is opened by who needs it, so that a lack of descriptors refuses one change, and fails no sync.
#[derive(Clone, Debug)]
pub(crate) struct OtherLog {
    pub(crate) name: LogName,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<DiskFile>,
    /// Up to here all is known to be on the disk.
    pub(crate) proven: u64,
    /// Where the frames begin that are needed.
    pub(crate) frames: Vec<u64>,
}

impl OtherLog {
    /// Makes the frames durable that are needed.
    fn sync(&self, disk: &Disk, locks: &Locks) -> Result<(), StoreError> {
        self.file.sync_data().map_err(StoreError::io(&self.path, "sync"))?;
        // Asked afterwards: whoever opened the file before another's sync failed is told of it by the system as well.
        if locks.syncs() == Syncs::Trusted {
            return Ok(());
        }
        let Some(reader) = LogReader::open(disk, &self.path, self.name)? else {
            // What was moved elsewhere is durable there.
            return Ok(());
        };
        let mut end = self.proven;
        for offset in &self.frames {
            let frame = reader.frame_at(*offset)?;
            let frame =
                frame.ok_or_else(|| StoreError::corrupt(&self.path, *offset, "a frame that was there"))?;
            end = end.max(frame.end());
        }
        // With all that lies before: who reads the log finds no frame behind a hole. A log grows at its end, so nobody is writing there.
        write_again(disk, &self.path, self.proven..end)
    }
}

/// The state that sessions and the commit threads share.
pub(crate) struct Committer {
    queue: Mutex<Queue>,
    /// Something was put into the queue, or the thread is to end.
    filled: Condvar,
    durable: AtomicU64,
    /// Threads that sleep until the fate of their ticket is known. Each is woken once, and none for the tickets of others.
    sleepers: Mutex<Vec<(Ticket, Thread)>>,
    failure: OnceLock<String>,
    /// All threads have ended: no ticket that they left becomes durable.
    ended: AtomicBool,
    /// For tests: the next sync fails.
    pub(crate) pretend_failure: AtomicBool,
    /// For tests: how much longer each sync takes than the disk needs.
    pub(crate) pretend_delay_ms: AtomicU64,
    /// Counts what there is to tell: a durable ticket that has grown, a failure.
    news: AtomicU64,
    callbacks: Mutex<Vec<DurableCallback>>,
    counters: Arc<Counters>,
    locks: Arc<Locks>,
    observer: OnceLock<CommitObserver>,
}

#[derive(Default)]
struct Queue {
    last_ticket: u64,
    /// Files to be synced, in the order in which they came to need it; each once.
    waiting: VecDeque<Dirty>,
    /// Files on their way to the disk.
    syncing: Vec<Dirty>,
    births: Births,
    /// Threads that have nothing to do.
    idle: usize,
    running: usize,
    stop: bool,
}

/// A file that has something that is not on the disk.
#[derive(Clone)]
struct Dirty {
    file: Syncable,
    /// No ticket before this one rests on it.
    first_ticket: u64,
}

/// What can be synced.
#[derive(Clone)]
enum Syncable {
    Ours(Arc<LogFile>),
    /// A log of another writer that holds frames which ours need.
    Theirs(OtherLog),
}

impl Syncable {
    fn path(&self) -> &Path {
        match self {
            Syncable::Ours(log) => log.path(),
            Syncable::Theirs(log) => &log.path,
        }
    }
}

impl Queue {
    /// Whether a thread could take something now.
    fn has_work(&self) -> bool {
        self.waiting.iter().any(|dirty| !self.is_syncing(&dirty.file))
    }

    fn is_syncing(&self, file: &Syncable) -> bool {
        self.syncing.iter().any(|dirty| match (&dirty.file, file) {
            (Syncable::Ours(one), Syncable::Ours(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.path() == other.path(),
        })
    }

    /// Takes the next file that no thread is syncing.
    fn take(&mut self) -> Option<Dirty> {
        let place = self.waiting.iter().position(|dirty| !self.is_syncing(&dirty.file))?;
        let dirty = self.waiting.remove(place)?;
        if let Syncable::Ours(log) = &dirty.file {
            log.queued.store(false, Ordering::Relaxed);
        }
        self.syncing.push(dirty.clone());
        Some(dirty)
    }

    /// What was taken is on the disk, or is given up.
    fn put_back(&mut self, done: &Dirty) {
        self.syncing
            .retain(|dirty| dirty.first_ticket != done.first_ticket || dirty.file.path() != done.file.path());
    }

    /// The highest ticket such that nothing that is not on the disk has a part in it or in one before it.
    fn durable(&self) -> u64 {
        let first = self.waiting.iter().chain(&self.syncing).map(|dirty| dirty.first_ticket).min();
        first.map_or(self.last_ticket, |first| first - 1)
    }
}

impl Committer {
    pub(crate) fn new(counters: Arc<Counters>, locks: Arc<Locks>) -> Committer {
        Committer {
            queue: Mutex::new(Queue::default()),
            filled: Condvar::new(),
            durable: AtomicU64::new(0),
            sleepers: Mutex::default(),
            failure: OnceLock::new(),
            ended: AtomicBool::new(false),
            pretend_failure: AtomicBool::new(false),
            pretend_delay_ms: AtomicU64::new(0),
            news: AtomicU64::new(0),
            callbacks: Mutex::new(Vec::new()),
            counters,
            locks,
            observer: OnceLock::new(),
        }
    }

    /// Takes a ticket for a frame that was appended to `log`, and that needs frames in `others`.
    pub(crate) fn ticket(&self, log: &Arc<LogFile>, others: Vec<OtherLog>) -> Ticket {
        let now = self.observer.get().map(|_| Instant::now());
        let mut queue = lock(&self.queue);
        queue.last_ticket += 1;
        let first_ticket = queue.last_ticket;
        // After a failure none becomes durable any more.
        if let (Some(now), None) = (now, self.failure()) {
            queue.births.add(first_ticket, now);
        }
        if !log.queued.swap(true, Ordering::Relaxed) {
            queue.waiting.push_back(Dirty { file: Syncable::Ours(Arc::clone(log)), first_ticket });
        }
        for other in others {
            // One that is on its way to the disk may have begun before the frame in question was there.
            let waits = queue.waiting.iter_mut().find_map(|dirty| match &mut dirty.file {
                Syncable::Theirs(known) if known.path == other.path => Some(known),
                _ => None,
            });
            match waits {
                Some(known) => known.frames.extend(other.frames),
                None => queue.waiting.push_back(Dirty { file: Syncable::Theirs(other), first_ticket }),
            }
        }
        let wake = queue.idle > 0 && queue.has_work();
        drop(queue);
        if wake {
            self.filled.notify_one();
        }
        Ticket(first_ticket)
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
        lock(&self.sleepers).push((ticket, std::thread::current()));
        loop {
            // Whoever took the sleepers before this one was among them had stored what it had to tell before.
            if let Some(state) = self.state_of(ticket) {
                return state;
            }
            std::thread::park();
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

    /// Has `observer` told how long things take from now on; only the first is.
    pub(crate) fn observe(&self, observer: CommitObserver) {
        let _ = self.observer.set(observer);
    }

    pub(crate) fn on_durable(&self, callback: DurableCallback) {
        let news = self.news.load(Ordering::SeqCst);
        lock(&self.callbacks).push(callback);
        fence(Ordering::SeqCst);
        // Whoever had some found them taken.
        if self.news.load(Ordering::SeqCst) != news {
            self.call_back();
        }
    }

    /// Has the threads end once the queue is empty.
    pub(crate) fn stop(&self) {
        lock(&self.queue).stop = true;
        self.filled.notify_all();
    }

    /// One of the threads that sync.
    pub(crate) fn run(&self, logs: &Logs) {
        lock(&self.queue).running += 1;
        // However it ends, also by a callback that panics, nobody waits for it any longer.
        let _ended = Ended(self);
        loop {
            let mut queue = lock(&self.queue);
            let dirty = loop {
                if let Some(dirty) = queue.take() {
                    break dirty;
                }
                if queue.stop && queue.waiting.is_empty() {
                    return;
                }
                queue.idle += 1;
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
            };
            // Another file may be there, for another thread.
            let wake = queue.idle > 0 && queue.has_work();
            drop(queue);
            if wake {
                self.filled.notify_one();
            }
            self.make_durable(dirty, logs);
        }
    }

    /// Syncs all that is in the queue, in its order, for a store without threads; false if there is nothing.
    pub(crate) fn round(&self, logs: &Logs) -> bool {
        let mut some = false;
        let upto = lock(&self.queue).last_ticket;
        loop {
            let mut queue = lock(&self.queue);
            if queue.waiting.front().is_none_or(|dirty| dirty.first_ticket > upto) {
                return some;
            }
            let taken = queue.take();
            drop(queue);
            let Some(dirty) = taken else { return some };
            self.make_durable(dirty, logs);
            some = true;
        }
    }

    /// Does all that is left, for a store without threads that is being closed.
    pub(crate) fn finish(&self, logs: &Logs) {
        while self.round(logs) {}
        self.end();
    }

    /// Syncs what was taken from the queue, and tells of the tickets that are durable by that.
    fn make_durable(&self, dirty: Dirty, logs: &Logs) {
        let synced = if self.failure().is_none() { self.sync_one(&dirty.file, logs) } else { Ok(()) };
        if let Err(reason) = synced {
            self.fail(reason, logs);
        }
        let mut queue = lock(&self.queue);
        queue.put_back(&dirty);
        let failed = self.failure().is_some();
        let durable = queue.durable();
        let grown = !failed && self.durable.fetch_max(durable, Ordering::AcqRel) < durable;
        let waits = match self.observer.get() {
            Some(_) if grown => queue.births.take(durable, Instant::now()),
            _ => Vec::new(),
        };
        // What came meanwhile is for another thread, while this one tells of what it has done.
        let wake = queue.idle > 0 && queue.has_work();
        drop(queue);
        if wake {
            self.filled.notify_one();
        }
        if grown {
            self.counters.commit_groups.add(1);
        }
        if let (Some(observer), false) = (self.observer.get(), waits.is_empty()) {
            observer(CommitTime::Durable(&waits));
        }
        if grown || failed {
            self.announce();
        }
        if let Syncable::Ours(log) = &dirty.file
            && !failed
        {
            log.make_ahead();
        }
    }

    fn sync_one(&self, what: &Syncable, logs: &Logs) -> Result<(), String> {
        self.counters.syncs.add(1);
        let began = self.observer.get().map(|observer| (observer, Instant::now()));
        let synced = self.sync_untimed(what, logs);
        if let Some((observer, began)) = began {
            observer(CommitTime::Synced(began.elapsed()));
        }
        synced
    }

    fn sync_untimed(&self, what: &Syncable, logs: &Logs) -> Result<(), String> {
        let delay_ms = self.pretend_delay_ms.load(Ordering::Relaxed);
        if delay_ms > 0 {
            std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        }
        let synced = match what {
            Syncable::Ours(_) if self.pretend_failure.load(Ordering::Relaxed) => {
                Err(std::io::Error::from_raw_os_error(libc::EIO))
            }
            Syncable::Ours(log) => log.sync(&|| self.locks.failed_syncs()),
            Syncable::Theirs(log) => {
                return log.sync(logs.disk(), &self.locks).map_err(|error| error.to_string());
            }
        };
        synced.map_err(|error| format!("syncing {} failed: {error}", what.path().display()))
    }

    /// Makes `log` durable at once, for a change that nobody may see before.
    pub(crate) fn sync_now(&self, log: &Arc<LogFile>, logs: &Logs) -> Result<(), StoreError> {
        self.check_writable()?;
        self.sync_one(&Syncable::Ours(Arc::clone(log)), logs).map_err(|reason| {
            self.fail(reason.clone(), logs);
            self.announce();
            StoreError::Failed(reason)
        })
    }

    /// What became of a sync of something else than this process's logs: if it has failed, what any process wrote may be what was lost, and nobody
    /// else gets to know.
    pub(crate) fn note_sync<T>(&self, synced: Result<T, StoreError>) -> Result<T, StoreError> {
        synced.inspect_err(|error| {
            if let StoreError::Io { error, .. } = error
                && matches!(error.raw_os_error(), Some(libc::EIO | libc::ENOSPC | libc::EDQUOT))
            {
                self.locks.note_failed_sync();
            }
        })
    }

    /// Makes `log` durable, which is nobody's yet, in the way of all logs.
    pub(crate) fn sync_apart(&self, log: &LogFile) -> Result<(), StoreError> {
        let synced = log.sync(&|| self.locks.failed_syncs());
        self.note_sync(synced.map_err(StoreError::io(log.path(), "sync")))
    }

    /// An error if a sync has failed in any process: nothing is declared to be on the disk then, and nothing is destroyed.
    pub(crate) fn check_syncs(&self) -> Result<(), StoreError> {
        match self.locks.syncs() {
            Syncs::Trusted => self.check_writable(),
            Syncs::Doubtful => {
                let what = "a sync has failed; stop all that have the store open, and start again";
                Err(StoreError::Failed(what.to_string()))
            }
        }
    }

    fn fail(&self, reason: String, logs: &Logs) {
        let _ = self.failure.set(reason);
        self.locks.note_failed_sync();
        // A disk that fails here as well changes nothing: the next process reads what the logs hold.
        let _ = logs.abandon();
    }

    /// Wakes those who sleep for a ticket whose fate is known.
    fn wake(&self) {
        let mut awake = Vec::new();
        lock(&self.sleepers).retain(|(ticket, thread)| {
            let known = self.state_of(*ticket).is_some();
            if known {
                awake.push(thread.clone());
            }
            !known
        });
        awake.iter().for_each(Thread::unpark);
    }

    /// Tells of a durable ticket that has grown, or of a failure.
    fn announce(&self) {
        self.wake();
        self.news.fetch_add(1, Ordering::SeqCst);
        self.call_back();
    }

    /// Has all callbacks called with what is known now: by this thread, or by one that is at it and then looks again.
    fn call_back(&self) {
        loop {
            let news = self.news.load(Ordering::SeqCst);
            {
                // Who has them now, in `call_back` or in `on_durable`, looks at the news after it has let go of them.
                let callbacks = match self.callbacks.try_lock() {
                    Ok(callbacks) => callbacks,
                    Err(TryLockError::Poisoned(callbacks)) => callbacks.into_inner(),
                    Err(TryLockError::WouldBlock) => return,
                };
                let durable = self.durable();
                for callback in callbacks.iter() {
                    callback(durable);
                }
            }
            fence(Ordering::SeqCst);
            if self.news.load(Ordering::SeqCst) == news {
                return;
            }
        }
    }

    /// No ticket becomes durable any more.
    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake();
    }
}

struct Ended<'a>(&'a Committer);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        if panicked {
            let _ = self.0.failure.set("a commit thread has failed".to_string());
        }
        let mut queue = lock(&self.0.queue);
        queue.running -= 1;
        let last = queue.running == 0;
        drop(queue);
        // The others may be waiting for the end.
        self.0.filled.notify_all();
        if last || panicked {
            self.0.end();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
