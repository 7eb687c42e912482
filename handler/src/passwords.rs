//! Who may log in. Passwords that were verified a while ago are known by a keyed hash; others are checked by a thread of
//! their own, since a good hash takes long on purpose and no worker may wait for it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use config::users::{self, Users};
use config::verified::VerifiedCache;
use shm_abi::Endpoint;

use crate::conversation::{Answer, Turn};
use crate::guard::{Admission, Guard};
use crate::log;
use crate::shared::Shared;
use crate::slots::SlotNumber;
use store::in_hand::{Condvar, Mutex, MutexGuard, RwLock};

/// Checks that may wait for the thread; more are refused, so that a flood of logins costs no memory.
const QUEUE_LIMIT: usize = 1024;

/// What became of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The password is right.
    Accepted,
    /// It is not, or there is no such user; nobody learns which.
    Refused,
    /// It could not be checked now.
    Unavailable,
    /// It was not checked: there were too many wrong ones of late. After so many seconds another attempt may do better.
    TooMany(u64),
}

/// What became of a login, and when the client may hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// What became of it.
    pub(crate) verdict: Verdict,
    /// How long the answer is held back, in milliseconds.
    pub(crate) delay_ms: u64,
}

struct Job {
    slot: SlotNumber,
    generation: u32,
    user: String,
    password: Vec<u8>,
    peer: Endpoint,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

/// The users file, the cache of verified passwords, and the jobs of the password thread.
pub(crate) struct Passwords {
    users: RwLock<Arc<Users>>,
    verified: Mutex<VerifiedCache>,
    guard: Guard,
    jobs: Mutex<Jobs>,
    filled: Condvar,
}

impl Passwords {
    /// Over the users file as it was read; `boot_key` keys the cache.
    pub(crate) fn new(users: Users, boot_key: [u8; 32], remember_seconds: u32) -> Passwords {
        Passwords {
            users: RwLock::new(Arc::new(users)),
            verified: Mutex::new(VerifiedCache::new(boot_key, remember_seconds)),
            guard: Guard::new(boot_key),
            jobs: Mutex::new(Jobs::default()),
            filled: Condvar::new(),
        }
    }

    /// The users file as it is now. When it cannot be read, as it was.
    pub(crate) fn users(&self) -> Arc<Users> {
        let known = Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner));
        let now = known.changed().and_then(|changed| changed.then(|| Users::load(known.path())).transpose());
        match now {
            Ok(None) => known,
            Ok(Some(users)) => {
                let users = Arc::new(users);
                *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&users);
                users
            }
            Err(error) => {
                log::error!("users file unreadable", why = error);
                known
            }
        }
    }

    /// Checks a login. `None`: the password thread does it, and the session will be woken with its answer.
    pub(crate) fn check(&self, turn: &Turn<'_>, user: &str, password: &[u8]) -> Option<Checked> {
        let (shared, peer) = (turn.shared, turn.peer.endpoint);
        let now = |verdict| Some(Checked { verdict, delay_ms: 0 });
        let limits = &shared.settings().limits;
        let delay_ms = match self.guard.admission(&shared.table, limits, user, peer) {
            Admission::After(delay_ms) => delay_ms,
            Admission::Refused(seconds) => return now(Verdict::TooMany(seconds)),
        };
        if let Some(known) = self.users().get(user)
            && self.verified().check(user, password, known.stored_hash, shared.now_ms() / 1000)
        {
            self.guard.succeeded(&shared.table, limits, user, peer);
            return Some(Checked { verdict: Verdict::Accepted, delay_ms });
        }
        let mut jobs = self.jobs();
        if jobs.closed || jobs.waiting.len() >= QUEUE_LIMIT {
            return now(Verdict::Unavailable);
        }
        let (user, password) = (user.to_owned(), password.to_vec());
        jobs.waiting.push_back(Job { slot: turn.slot, generation: turn.generation, user, password, peer });
        drop(jobs);
        self.filled.notify_one();
        None
    }

    /// The password thread: answers jobs until the handler ends.
    pub(crate) fn run(&self, shared: &Shared) {
        loop {
            let job = {
                let mut jobs = self.jobs();
                loop {
                    if let Some(job) = jobs.waiting.pop_front() {
                        break job;
                    }
                    if jobs.closed {
                        return;
                    }
                    jobs = self.filled.wait(jobs).unwrap_or_else(PoisonError::into_inner);
                }
            };
            // Whatever a stored hash makes of the check, the thread goes on, and nobody waits for ever.
            let checked = catch_unwind(AssertUnwindSafe(|| self.work(shared, &job))).unwrap_or_else(|_| {
                log::error!("password check panicked", user = job.user);
                Checked { verdict: Verdict::Unavailable, delay_ms: 0 }
            });
            shared.answer(job.slot, job.generation, Answer::Password(checked));
        }
    }

    /// Lets the password thread end.
    pub(crate) fn close(&self) {
        self.jobs().closed = true;
        self.filled.notify_all();
    }

    /// Counts what comes of a job. The guard is asked once more: many may have come at once, of which the first have failed.
    fn work(&self, shared: &Shared, job: &Job) -> Checked {
        let limits = &shared.settings().limits;
        let delay_ms = match self.guard.admission(&shared.table, limits, &job.user, job.peer) {
            Admission::After(delay_ms) => delay_ms,
            Admission::Refused(seconds) => {
                return Checked { verdict: Verdict::TooMany(seconds), delay_ms: 0 };
            }
        };
        let verdict = self.verify(shared, job);
        match verdict {
            Verdict::Accepted => self.guard.succeeded(&shared.table, limits, &job.user, job.peer),
            Verdict::Refused => self.guard.failed(&shared.table, limits, &job.user, &job.password, job.peer),
            Verdict::Unavailable | Verdict::TooMany(_) => {}
        }
        Checked { verdict, delay_ms }
    }

    fn verify(&self, shared: &Shared, job: &Job) -> Verdict {
        let known = self.users();
        match known.verify(&job.user, &job.password) {
            users::Verdict::Accepted => {
                if let Some(user) = known.get(&job.user) {
                    let now_seconds = shared.now_ms() / 1000;
                    self.verified().remember(&job.user, &job.password, user.stored_hash, now_seconds);
                }
                Verdict::Accepted
            }
            users::Verdict::Refused => Verdict::Refused,
            users::Verdict::Unreadable { why } => {
                log::error!("password not readable", user = job.user, why = why);
                Verdict::Unavailable
            }
        }
    }

    fn verified(&self) -> MutexGuard<'_, VerifiedCache> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
