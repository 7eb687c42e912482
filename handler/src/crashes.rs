//! What this handler keeps of the crashes of its sessions: a report of each, how many there were, and which messages are not to be read.
//!
//! A handler in which sessions crash again and again is worn: it asks the router to drain and replace it. A crash leaves a session's memory
//! behind, and a fault that comes twice at one place will come more often.

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use shm_abi::{CrashFacts, CrashFolder, CrashReport, FromHandler};
use store::in_hand::Mutex;
use store::{MessageId, PageId};

use crate::log;
use crate::shared::Shared;

/// Crashes within [`WORN_WITHIN_MS`] after which the handler is replaced.
const WORN_BY: usize = 8;
const WORN_WITHIN_MS: u64 = 10 * 60 * 1000;
/// Crashes after which it is, however seldom they come: each leaves up to 100 KB behind, and perhaps a log that is leased to nobody.
const WORN_BY_IN_ALL: u32 = 24;
/// A folder that changed this short a time ago may change again without its time becoming another.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// The crashes of late.
#[derive(Default)]
struct History {
    /// When, on the handler's clock, and by which instruction.
    crashes: VecDeque<(u64, u64)>,
    in_all: u32,
    asked: bool,
}

impl History {
    /// Another crash: whether the handler is worn by it.
    fn note(&mut self, now_ms: u64, instruction: u64) -> bool {
        self.crashes.retain(|(at_ms, _)| at_ms + WORN_WITHIN_MS > now_ms);
        let again = instruction != 0 && self.crashes.iter().any(|(_, before)| *before == instruction);
        self.crashes.push_back((now_ms, instruction));
        self.in_all = self.in_all.saturating_add(1);
        again || self.crashes.len() >= WORN_BY || self.in_all >= WORN_BY_IN_ALL
    }
}

/// What is kept of crashes.
pub(crate) struct Crashes {
    folder: CrashFolder,
    history: Mutex<History>,
    /// When the list of messages had last changed when it was read, and when that was.
    read: Mutex<Option<(Option<SystemTime>, SystemTime)>>,
    /// What the table said of quarantines before the list was read last.
    quarantines: AtomicU32,
}

impl Crashes {
    /// In this runtime folder.
    pub(crate) fn new(runtime_dir: &Path) -> Crashes {
        Crashes {
            folder: CrashFolder::new(runtime_dir),
            history: Mutex::default(),
            read: Mutex::default(),
            quarantines: AtomicU32::new(0),
        }
    }

    /// A session crashed in `worker`, whose row says with what, and ends alone. `message` is what a panic said. Called before the client
    /// hears of it: one that comes back at once is not to crash another session by the same message more often than is allowed.
    pub(crate) fn keep(&self, shared: &Shared, worker: u32, message: String) {
        let Some(row) = shared.table.worker(shared.handler, worker).info(worker) else { return };
        let session = row.session.and_then(|(slot, generation)| {
            shared.cell(slot, generation).and_then(|cell| cell.session(shared.handler, slot))
        });
        let process = (shared.handler, std::process::id());
        let program = std::env::current_exe().map_or(String::new(), |path| path.display().to_string());
        let mut report = CrashReport::of(&row, session.as_ref(), process, &program, shared.unix_ms());
        report.session_alone = true;
        report.message = message;
        match self.folder.keep(&report) {
            Ok(path) => log::error!(
                "session crashed",
                what = report.what,
                session = report.session,
                user = report.user,
                command = report.command,
                report = path.display()
            ),
            Err(error) => log::error!(
                "session crashed, and there is no report",
                what = report.what,
                session = report.session,
                why = error
            ),
        }
        if let Some(id) = row.message {
            self.count_message(shared, id);
        }
        self.wear(shared, &row.crash.unwrap_or_default());
    }

    fn count_message(&self, shared: &Shared, id: u64) {
        match self.folder.count_message(id) {
            Ok(shm_abi::QUARANTINE_AFTER) => {
                log::error!("message quarantined", message = format!("{}.{}", id >> 32, id as u32));
                shared.table.note_quarantine();
                self.withhold(shared);
            }
            Ok(_) => {}
            Err(error) => log::error!("crash of a message not counted", why = error),
        }
    }

    fn wear(&self, shared: &Shared, facts: &CrashFacts) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let worn = history.note(shared.now_ms(), facts.instruction);
        let first = worn && !history.asked;
        history.asked |= worn;
        drop(history);
        if first {
            log::warning!("worn by crashes: to be replaced", handler = shared.handler);
            shared.router.send(&FromHandler::Worn);
        }
    }

    /// Looks which messages are not to be read, if that has changed. Called with every tick, and at the beginning.
    pub(crate) fn look(&self, shared: &Shared) {
        let changed = self.folder.messages_changed();
        let read = *self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = match (read, changed) {
            (None, None) => true,
            (Some((of, at)), changed) => {
                of == changed && changed.is_none_or(|changed| changed + SETTLED_AFTER < at)
            }
            (None, Some(_)) => false,
        };
        if !is_known {
            self.withhold(shared);
        }
    }

    /// Looks which messages are not to be read, if any handler or the router has quarantined one since. Called before each turn.
    pub(crate) fn look_if_told(&self, shared: &Shared) {
        if shared.table.quarantines() != self.quarantines.load(Ordering::Acquire) {
            self.withhold(shared);
        }
    }

    fn withhold(&self, shared: &Shared) {
        // Held to the end: what was read later must not be replaced by what was read before.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let told = shared.table.quarantines();
        let of = (self.folder.messages_changed(), SystemTime::now());
        match self.folder.quarantined() {
            Ok(messages) => {
                let id = |id: u64| MessageId { page: PageId((id >> 32) as u32), index: id as u32 };
                shared.store.withhold(messages.into_iter().map(id).collect::<HashSet<_>>());
                *read = Some(of);
            }
            // The next tick tries again.
            Err(error) => log::error!("quarantined messages not read", why = error),
        }
        self.quarantines.store(told, Ordering::Release);
    }
}

/// What a client is told of a message that is not read any more.
pub(crate) fn quarantined(MessageId { page, index }: MessageId) -> String {
    format!(
        "Reading this message crashed the server; the administrator can lift its quarantine by: lode crashes --lift {}.{index}",
        page.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_is_worn_by_many_crashes_or_by_one_that_comes_again() {
        let mut history = History::default();
        assert!((1..WORN_BY as u64).all(|number| !history.note(number, number)));
        assert!(history.note(100, 100));
        let mut history = History::default();
        assert!(!history.note(0, 7));
        assert!(!history.note(1, 8));
        assert!(history.note(2, 7));
        let mut history = History::default();
        assert!(!history.note(0, 7));
        assert!(!history.note(WORN_WITHIN_MS, 7), "long ago");
        let mut history = History::default();
        let seldom = |number: u32| u64::from(number) * WORN_WITHIN_MS;
        assert!((1..WORN_BY_IN_ALL).all(|number| !history.note(seldom(number), 7)), "seldom");
        assert!(history.note(seldom(WORN_BY_IN_ALL), 7), "and yet too many");
        // What has no instruction is not the same as anything.
        let mut history = History::default();
        assert!(!history.note(0, 0) && !history.note(1, 0));
    }
}
