//! What a handler collects by itself: soon, what it expunged; and once a day, as the one process that does, all there is, slowly.
//!
//! What was expunged is noted in memory, a bounded number of mailboxes; what is forgotten there is found by the daily pass. A note is acted
//! on once a checkpoint was written that began after it: its `syncfs` made the expunge durable.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::catalog::cells_path;
use crate::change::Change;
use crate::compact::Compaction;
use crate::error::{Result, StoreError};
use crate::gc::free::{self, Checkpoints};
use crate::gc::pass::{Pass, check_syncs};
use crate::gc::release::{self, Candidate, Released};
use crate::gc::report::{GcOptions, GcReport};
use crate::gc::walk::Found;
use crate::ids::{MailboxId, MessageId, ModSeq, PageId};
use crate::in_hand::{Condvar, Mutex, MutexGuard};
use crate::store::Store;

/// The file in the partition that says when the last pass was made, and in which epoch.
pub(crate) const COLLECTED: &str = "collected";
/// Mailboxes that are noted.
const NOTED_MOST: usize = 4096;
/// Messages that could not be freed yet, because another process has not written its checkpoint.
const POSTPONED_MOST: usize = 1 << 16;
/// How often these are tried.
const TRIES_MOST: u32 = 20;
/// How often the thread looks whether what is noted may be done, and how often at least while nothing is noted.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const LOOK_IDLE: Duration = Duration::from_secs(60);
/// When the daily pass is looked for first, and how often then.
const FIRST_PASS_AFTER: Duration = Duration::from_secs(30);
const PASS_CHECK: Duration = Duration::from_secs(3600);
const PASS_EVERY_SECONDS: u64 = 86_400;
/// After each piece of the daily pass the thread rests so many times as long as the piece took.
const REST: u32 = 4;
const REST_LEAST: Duration = Duration::from_millis(2);
const REST_MOST: Duration = Duration::from_secs(2);

/// What waits to be collected.
#[derive(Default)]
pub(crate) struct Expunged {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    noted: HashMap<MailboxId, Note>,
    postponed: Vec<MessageId>,
    tries: u32,
    stop: bool,
}

#[derive(Clone, Copy, Debug)]
struct Note {
    upto: ModSeq,
    /// Whether the mailbox was deleted.
    is_dead: bool,
    /// Checkpoints that had been begun.
    begun: u64,
}

impl Expunged {
    /// Notes what `changes`, which are in the views, have made needless. `begun` checkpoints were begun so far.
    pub(crate) fn note(&self, changes: &[Change], begun: u64) {
        let notes = changes.iter().filter_map(|change| match change {
            Change::Expunge { mailbox, modseq, .. } => Some((*mailbox, *modseq, false)),
            Change::MailboxDelete { mailbox, .. } => Some((*mailbox, ModSeq(u64::MAX), true)),
            _ => None,
        });
        for (mailbox, upto, is_dead) in notes {
            let mut state = self.lock();
            if state.noted.len() >= NOTED_MOST && !state.noted.contains_key(&mailbox) {
                return;
            }
            let note = state.noted.entry(mailbox).or_insert(Note { upto, is_dead, begun });
            *note = Note { upto: note.upto.max(upto), is_dead: note.is_dead || is_dead, begun };
            if state.noted.len() == 1 {
                self.woken.notify_all();
            }
        }
    }

    /// Has the thread end.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.woken.notify_all();
    }

    /// Takes out what has been made durable since, by the checkpoint `synced`.
    fn take(&self, synced: u64) -> Vec<(MailboxId, Note)> {
        let mut state = self.lock();
        let certain: Vec<(MailboxId, Note)> = state
            .noted
            .iter()
            .filter(|(_, note)| note.begun < synced)
            .map(|(mailbox, note)| (*mailbox, *note))
            .collect();
        for (mailbox, _) in &certain {
            state.noted.remove(mailbox);
        }
        certain
    }

    fn take_postponed(&self) -> Vec<MessageId> {
        std::mem::take(&mut self.lock().postponed)
    }

    fn postpone(&self, messages: Vec<MessageId>) {
        let mut state = self.lock();
        state.tries = if messages.is_empty() { 0 } else { state.tries + 1 };
        if state.tries <= TRIES_MOST {
            let room = POSTPONED_MOST.saturating_sub(state.postponed.len());
            state.postponed.extend(messages.into_iter().take(room));
        } else {
            state.tries = 0;
        }
    }

    /// Waits for `how_long`, or until the thread is to end: true then.
    fn rest(&self, how_long: Duration) -> bool {
        let state = self.lock();
        let waited = self.woken.wait_timeout_while(state, how_long, |state| !state.stop);
        waited.unwrap_or_else(PoisonError::into_inner).0.stop
    }

    /// Waits for something to be noted, but not longer than `at_most`.
    fn wait_for_work(&self, at_most: Duration) {
        let state = self.lock();
        let idle = |state: &mut State| !state.stop && state.noted.is_empty() && state.postponed.is_empty();
        drop(self.woken.wait_timeout_while(state, at_most, idle));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread.
pub(crate) fn run(expunged: &Expunged, store: &Weak<Store>) {
    let started = Instant::now();
    let mut pass_check = started + FIRST_PASS_AFTER;
    loop {
        expunged.wait_for_work(LOOK_IDLE.min(pass_check.saturating_duration_since(Instant::now())));
        if expunged.rest(LOOK_AGAIN) {
            return;
        }
        let Some(strong) = store.upgrade() else { return };
        // What fails here is tried again, by the daily pass at the latest; whoever asks for it gets to know why.
        let _ = strong.collect_expunged();
        strong.pages.forget_unlinked();
        let is_due = Instant::now() >= pass_check && is_pass_due(&strong);
        drop(strong);
        if Instant::now() >= pass_check {
            pass_check = Instant::now() + PASS_CHECK;
        }
        if is_due && daily_pass(expunged, store) {
            return;
        }
    }
}

/// Whether the last pass was in an earlier epoch, or a day ago.
fn is_pass_due(store: &Store) -> bool {
    let text = store.derived.disk.read(&store.partition.join(COLLECTED)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut numbers = text.lines().skip(1).filter_map(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(at), Some(epoch)) => {
            let now = store.derived.disk.now_seconds();
            epoch != u64::from(store.derived.epoch)
                || now >= at.saturating_add(PASS_EVERY_SECONDS)
                || now < at
        }
        _ => true,
    }
}

/// Goes through the store, resting between pieces. True if the thread is to end.
fn daily_pass(expunged: &Expunged, store: &Weak<Store>) -> bool {
    let begun = store.upgrade().map(|store| Pass::begin(&store, GcOptions::default()));
    // Another process is at it, or nothing may be collected.
    let Some(Ok(mut pass)) = begun else { return false };
    loop {
        let piece = Instant::now();
        let Some(strong) = store.upgrade() else { return true };
        match pass.step(&strong) {
            Ok(Some(_)) => (),
            Ok(None) => {
                let _ = strong.note_pass();
                return false;
            }
            Err(_) => return false,
        }
        drop(strong);
        if expunged.rest((piece.elapsed() * REST).clamp(REST_LEAST, REST_MOST)) {
            return true;
        }
    }
}

impl Store {
    /// A pass was made now: the next is due in a day.
    pub(super) fn note_pass(&self) -> Result<()> {
        let text = format!(
            "lode collected 1\nat {}\nepoch {}\n",
            self.derived.disk.now_seconds(),
            self.derived.epoch
        );
        let path = self.partition.join(COLLECTED);
        self.derived.disk.replace_file(&path, text.as_bytes()).map_err(StoreError::io(&path, "write"))
    }

    /// Collects what this process expunged and a checkpoint has made certain since. Done in the background as well, every now and
    /// then; nothing, if expunged messages are kept for some time.
    pub fn collect_expunged(&self) -> Result<GcReport> {
        let mut report = GcReport::default();
        let certain = self.expunged.take(self.checkpoints_synced());
        let mut messages: BTreeMap<PageId, Vec<u32>> = BTreeMap::new();
        for message in self.expunged.take_postponed() {
            messages.entry(message.page).or_default().push(message.index);
        }
        if self.history_days > 0 || (certain.is_empty() && messages.is_empty()) {
            return Ok(report);
        }
        check_syncs(self)?;
        for (mailbox, note) in certain {
            let Some(candidate) = self.candidate(mailbox, note)? else { continue };
            let mut released = Released::default();
            let outcome = self.release(&candidate, &mut released, &mut report);
            report.released_cells += released.messages.len() as u64;
            report.removed_mailboxes += u64::from(released.removed);
            for message in released.messages {
                messages.entry(message.page).or_default().push(message.index);
            }
            match outcome {
                // The check has something to say of it; others are not to wait for that.
                Err(StoreError::Corrupt { .. }) => (),
                outcome => outcome?,
            }
        }
        let mut checkpoints = Checkpoints::default();
        let mut postponed = Vec::new();
        for (page, mut indexes) in messages {
            indexes.sort_unstable();
            indexes.dedup();
            let freed = free::free(self, &mut checkpoints, page, indexes.into_iter())?;
            report.freed_messages += freed.messages;
            report.freed_octets += freed.octets;
            report.punched_octets += freed.punched_octets;
            postponed.extend(freed.postponed.into_iter().map(|index| MessageId { page, index }));
        }
        self.expunged.postpone(postponed);
        Ok(report)
    }

    fn candidate(&self, mailbox: MailboxId, note: Note) -> Result<Option<Candidate>> {
        let (folder, user_is_deleted) = match self.derived.user_folder(mailbox.user) {
            Err(StoreError::NotFound(_)) => match self.derived.catalog.folder_put_away(mailbox.user)? {
                Some(folder) => (folder, true),
                None => return Ok(None),
            },
            folder => (folder?, false),
        };
        let found = Found { id: mailbox, cells: cells_path(&folder, mailbox.number), user_is_deleted };
        Ok(Some(Candidate { found, upto: note.upto, is_dead: note.is_dead }))
    }

    fn release(&self, candidate: &Candidate, released: &mut Released, report: &mut GcReport) -> Result<()> {
        if candidate.is_dead {
            return release::dead_mailbox(self, candidate, released);
        }
        let mut from = Some(0);
        while let Some(start) = from {
            from = release::tombstones(self, candidate, u32::MAX, start, released)?;
        }
        self.tidy_annotations(candidate.found.id)?;
        let compacted = self.compact(candidate.found.id)?;
        report.compacted_mailboxes += u64::from(matches!(compacted, Compaction::Done(_)));
        Ok(())
    }
}
