//! The open store: what other crates hold. It ties the parts together; opening, closing and the threads are here.
//!
//! Threads: those called `commit` make tickets durable (`commit.rs`), `checkpoint` notes now and then from where logs must be replayed.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::change::Change;
use crate::checkpoint::{Checkpoint, CheckpointThread, CheckpointsOfOthers};
use crate::commit::Committer;
use crate::commit_times::CommitObserver;
use crate::content::KnownDamage;
use crate::counters::Counters;
use crate::damage::Damage;
use crate::derived::Derived;
use crate::disk::relief::{self, GivesBack};
use crate::disk::{Disk, Mutation};
use crate::draft::Draft;
use crate::error::{ChangeError, CommitError, Result, StoreError};
use crate::gc;
use crate::gc::background::Expunged;
use crate::ids::{MailboxId, ModSeq, Ticket, UserId};
use crate::in_hand::{Mutex, RwLock, RwLockReadGuard};
use crate::lists::MailboxList;
use crate::locks::{Held, LockKey, Locks, Stripe, Syncs};
use crate::log::Logs;
use crate::mailbox::{Mailbox, Raised};
use crate::page::Pages;
use crate::page::records::Records;
use crate::pins::Pins;
use crate::quota::Limits;
use crate::quota::known::KnownLimits;
use crate::reading::Withheld;
use crate::recovery;
use crate::reserve::Reserve;
use crate::state::{Claim, FIRST_TOOL, Left, Opened, State, WriterClaim, boot_id};
use crate::txn::Txn;
use crate::txn::equal::EqualMessages;
use crate::unfinished::{finish, take_and_repair};

/// Whose logs this process appends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterChoice {
    /// The handler of that index, below 64.
    Handler(u16),
    /// A tool: the lowest free number from 64 up.
    Tool,
}

/// Who makes changes durable and writes checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// Threads of the store's own.
    #[default]
    Threads,
    /// The caller, by [`Store::commit_round`] and [`Store::checkpoint`]; [`Store::wait`] does rounds itself. For runs that can be
    /// repeated exactly.
    Manual,
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The store's folder. A store is made there when it is absent or empty.
    pub path: PathBuf,
    /// A folder on a file system that lives in memory; the locks and the list of writers are kept in it.
    pub runtime_dir: PathBuf,
    /// Whose logs to append to.
    pub writer: WriterChoice,
    /// How many mailboxes stay open when nobody uses them.
    pub open_mailboxes: usize,
    /// Milliseconds between checkpoints while something is written.
    pub checkpoint_interval_ms: u64,
    /// Where the store's folder is.
    pub disk: Disk,
    /// Who makes changes durable.
    pub background: Background,
    /// Limits of users for whom none were set.
    pub default_limits: Limits,
    /// Days for which expunged messages and deleted mailboxes are kept, so that they can be brought back.
    pub history_days: u32,
    /// Days after which journals may go, once what they say and is still so was written down anew; 0: never.
    pub journal_days: u32,
    /// Whether a message that came before on the same day is counted, not stored again.
    pub count_equal_messages: bool,
    /// For tests: the boot id to believe in, instead of the kernel's.
    #[doc(hidden)]
    pub pretend_boot_id: Option<String>,
}

impl OpenOptions {
    /// The usual options.
    pub fn new(
        path: impl Into<PathBuf>,
        runtime_dir: impl Into<PathBuf>,
        writer: WriterChoice,
    ) -> OpenOptions {
        OpenOptions {
            path: path.into(),
            runtime_dir: runtime_dir.into(),
            writer,
            open_mailboxes: 1024,
            checkpoint_interval_ms: 30_000,
            disk: Disk::real(),
            background: Background::Threads,
            default_limits: Limits::default(),
            history_days: 0,
            journal_days: 0,
            count_equal_messages: true,
            pretend_boot_id: None,
        }
    }
}

/// Told of the highest durable ticket by a commit thread, after each group; by one at a time.
pub type DurableCallback = Box<dyn Fn(Ticket) + Send + Sync>;

/// Told that the calling thread is about to change something for good.
pub type ChangeCallback = Box<dyn Fn() + Send + Sync>;

/// An open store. All methods may be called from any thread.
pub struct Store {
    folder: PathBuf,
    pub(crate) partition: PathBuf,
    pub(crate) runtime_dir: PathBuf,
    claim: Claim,
    writer: WriterClaim,
    pub(crate) locks: Arc<Locks>,
    pub(crate) derived: Derived,
    pub(crate) pages: Arc<Pages>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) own_records: Records,
    pub(crate) known_damage: Arc<KnownDamage>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) checkpoints_of_others: CheckpointsOfOthers,
    pub(crate) pins: Arc<Pins>,
    pub(crate) history_days: u32,
    /// Messages of today that another delivery may be counted with.
    pub(crate) equal: EqualMessages,
    pub(crate) journal_days: u32,
    /// What was expunged here and waits to be collected.
    pub(crate) expunged: Arc<Expunged>,
    pub(crate) known_limits: KnownLimits,
    checkpoints: Arc<CheckpointThread>,
    /// Mailboxes that were adopted here, and the UID below which messages may come into them under UIDs of their own.
    adopted: Mutex<HashMap<MailboxId, u32>>,
    /// What is not to be read.
    pub(crate) withheld: Withheld,
    background: Background,
    threads: Mutex<Vec<JoinHandle<()>>>,
    before_change: OnceLock<ChangeCallback>,
    /// Whether it was closed. Read-locked by whoever holds locks of the store: `close` waits for them, and lets nobody after them in.
    closed: RwLock<bool>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let writer = self.writer.number();
        f.debug_struct("Store").field("folder", &self.folder).field("writer", &writer).finish_non_exhaustive()
    }
}

impl GivesBack for Store {
    fn give_back(&self) {
        self.derived.give_back_files();
    }
}

impl Store {
    /// Closes files that are kept open only because somebody may want them again: for a process that is short of descriptors. What is
    /// opened here does so by itself.
    pub fn give_back_files(&self) {
        self.derived.give_back_files();
    }
}

impl Store {
    /// Opens a store, or makes an empty one. Whoever opens it first (no other process has it open) runs recovery and makes
    /// the locks anew.
    pub fn open(options: OpenOptions) -> Result<Arc<Store>> {
        let OpenOptions { path: folder, runtime_dir, .. } = &options;
        if let WriterChoice::Handler(number) = options.writer
            && number >= FIRST_TOOL
        {
            let reason = format!("there is no handler number {number}: they end at {}", FIRST_TOOL - 1);
            return Err(StoreError::Unusable { path: folder.clone(), reason });
        }
        Disk::real().make_folder(runtime_dir).map_err(StoreError::io(runtime_dir, "make"))?;
        let boot_id = options.pretend_boot_id.clone().map_or_else(boot_id, Ok)?;
        let opened = Claim::take(&options.disk, folder, &boot_id)?;
        let runtime_dir = runtime_dir.canonicalize().map_err(StoreError::io(runtime_dir, "look at"))?;
        let locks_path = runtime_dir.join("locks");
        let partition = folder.join("p0");
        let counters = Arc::new(Counters::default());
        let open_derived = |epoch| {
            let catalog = folder.join("catalog");
            let open_mailboxes = options.open_mailboxes;
            Derived::open(&options.disk, &catalog, &partition, epoch, open_mailboxes, Arc::clone(&counters))
        };
        let (claim, locks, derived) = match opened {
            Opened::First(claim) => {
                Pins::remove_all(&runtime_dir)?;
                let locks_id = options.disk.random_number()?;
                let before = State::read(&options.disk, folder)?;
                let syncs = before.as_ref().map_or(Ok(Syncs::Trusted), |before| before.syncs(&boot_id))?;
                let begun = before.map_or(
                    State { boot_id: boot_id.clone(), epoch: 1, left: Left::Open, locks_id, locks_path },
                    |before| {
                        let after = before.taken_over(&boot_id, locks_id, &runtime_dir.join("locks"));
                        if options.disk.mutated(Mutation::EpochNotRaised) {
                            return State { epoch: before.epoch, ..after };
                        }
                        after
                    },
                );
                let power_cut = begun.left == Left::Recovering;
                if power_cut {
                    // Before anything is changed under the new epoch: a power cut in recovery is one more.
                    begun.write(&options.disk, folder)?;
                }
                let derived = open_derived(begun.epoch)?;
                recovery::run(&partition, &derived, power_cut, syncs)?;
                let locks = Locks::create(&begun.locks_path, locks_id)?;
                State { left: Left::Open, ..begun }.write(&options.disk, folder)?;
                claim.share()?;
                (claim, locks, derived)
            }
            Opened::Another(claim, state) => {
                let locks = Locks::open(&locks_path, state.locks_id)?
                    .ok_or_else(|| foreign_locks(folder, &locks_path, &state))?;
                (claim, locks, open_derived(state.epoch)?)
            }
        };
        let writer = match options.writer {
            WriterChoice::Handler(number) => WriterClaim::take(&runtime_dir, number)?,
            WriterChoice::Tool => WriterClaim::take_for_tool(&runtime_dir)?,
        };
        Store::start(&options, &runtime_dir, partition, claim, writer, Arc::new(locks), derived, counters)
    }

    #[expect(clippy::too_many_arguments, reason = "what was opened, part by part")]
    fn start(
        options: &OpenOptions,
        runtime_dir: &Path,
        partition: PathBuf,
        claim: Claim,
        writer: WriterClaim,
        locks: Arc<Locks>,
        derived: Derived,
        counters: Arc<Counters>,
    ) -> Result<Arc<Store>> {
        // What an earlier process with this writer number left half-done is finished before its logs are gone on with.
        for stripe in Stripe::all() {
            take_and_repair(&locks, &derived, &[stripe])?;
        }
        let pages = Arc::clone(&derived.pages);
        pages.count_from_now_on(derived.epoch);
        let checkpoint = Checkpoint::read(&options.disk, &partition, writer.number())?;
        let logs = Logs::open(
            &options.disk,
            pages.root(),
            writer.number(),
            derived.epoch,
            &checkpoint,
            locks.syncs(),
            &|| locks.note_failed_sync(),
            Disk::today,
        )?;
        let logs = Arc::new(logs);
        let committer = Arc::new(Committer::new(Arc::clone(&counters), Arc::clone(&locks)));
        let store = Arc::new(Store {
            folder: options.path.clone(),
            checkpoints: Arc::new(CheckpointThread::new(
                &options.disk,
                partition.clone(),
                writer.number(),
                Duration::from_millis(options.checkpoint_interval_ms.max(1)),
                Arc::clone(&logs),
                Arc::clone(&committer),
                Arc::clone(&counters),
            )),
            checkpoints_of_others: CheckpointsOfOthers::new(&options.disk, &partition, Arc::clone(&locks)),
            history_days: options.history_days,
            equal: EqualMessages::new(options.count_equal_messages),
            journal_days: options.journal_days,
            expunged: Arc::new(Expunged::default()),
            runtime_dir: runtime_dir.to_path_buf(),
            known_limits: KnownLimits::new(options.default_limits),
            partition,
            pins: Arc::new(Pins::open(runtime_dir, writer.number())?),
            claim,
            known_damage: Arc::default(),
            own_records: Records::new(writer.number()),
            writer,
            locks,
            derived,
            pages,
            logs,
            committer,
            counters,
            adopted: Mutex::new(HashMap::new()),
            withheld: Withheld::default(),
            background: options.background,
            threads: Mutex::new(Vec::new()),
            before_change: OnceLock::new(),
            closed: RwLock::new(false),
        });
        let holder: Weak<Store> = Arc::downgrade(&store);
        relief::register(holder);
        let now = store.logs.positions();
        if checkpoint.is_ahead_of(&now) {
            let page_set_back = now.no_further_than(&checkpoint);
            page_set_back.write(&store.derived.disk, &store.partition, store.writer())?;
            store.locks.count_set_back();
        }
        for reserve in Reserve::ALL {
            reserve.make(&store.derived.disk, &store.folder);
        }
        if options.background == Background::Threads {
            store.spawn_threads()?;
            if matches!(options.writer, WriterChoice::Handler(_)) {
                let (expunged, weak) = (Arc::clone(&store.expunged), Arc::downgrade(&store));
                store.spawn("gc", move || gc::background::run(&expunged, &weak))?;
            }
        }
        Ok(store)
    }

    fn spawn_threads(&self) -> Result<()> {
        for _ in 0..crate::commit::THREADS {
            self.spawn("commit", {
                let (committer, logs) = (Arc::clone(&self.committer), Arc::clone(&self.logs));
                move || committer.run(&logs)
            })?;
        }
        self.spawn("checkpoint", {
            let checkpoints = Arc::clone(&self.checkpoints);
            move || checkpoints.run()
        })
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new()
            .name(name.to_string())
            .spawn(run)
            .map_err(StoreError::io(&self.folder, "start a thread for"))?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Waits for all tickets, checkpoints, and takes no more changes. Dropping the last `Arc` does the same, but tells nobody of
    /// errors.
    pub fn close(&self) -> Result<()> {
        if std::mem::replace(&mut *self.closed.write().unwrap_or_else(PoisonError::into_inner), true) {
            return Ok(());
        }
        self.pins.close();
        self.committer.stop();
        self.checkpoints.stop();
        self.expunged.stop();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A callback that had the last hold on the store drops it in a commit thread, which cannot wait for itself.
            if thread.thread().id() == std::thread::current().id() {
                continue;
            }
            // A callback that panicked took the thread with it; what it had to do is done by recovery.
            let _ = thread.join();
        }
        if self.background == Background::Manual {
            self.committer.finish(&self.logs);
        }
        self.committer.check_writable()?;
        self.logs.cut_ahead();
        if self.locks.has_failed_syncs() {
            // What is in the views is put on the disk by the recovery of who opens the store when all have left it.
            return self.claim.give_up();
        }
        self.checkpoints.write()?;
        if self.claim.is_last(&self.folder, self.locks.id())? {
            // What others that died left half-done is in the views before all is declared to be.
            for stripe in Stripe::all() {
                take_and_repair(&self.locks, &self.derived, &[stripe])?;
            }
            let synced = self.derived.disk.sync_file_system(&self.partition);
            self.committer.note_sync(synced.map_err(StoreError::io(&self.partition, "sync")))?;
            if !self.locks.has_failed_syncs()
                && let Some(state) = State::read(&self.derived.disk, &self.folder)?
            {
                State { left: Left::Clean, ..state }.write(&self.derived.disk, &self.folder)?;
            }
            self.claim.give_up()?;
        }
        Ok(())
    }

    /// An error if no more changes are taken.
    pub(crate) fn check_writable(&self) -> Result<()> {
        drop(self.not_closed()?);
        self.committer.check_writable()
    }

    fn not_closed(&self) -> Result<RwLockReadGuard<'_, bool>> {
        let closed = self.closed.read().unwrap_or_else(PoisonError::into_inner);
        if *closed { Err(StoreError::Failed("it was closed".to_string())) } else { Ok(closed) }
    }

    /// The store's folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// This process's writer number.
    pub fn writer(&self) -> u16 {
        self.writer.number()
    }

    /// The user of that name.
    pub fn find_user(&self, name: &str) -> Result<Option<UserId>> {
        self.derived.catalog.find(name)
    }

    /// The user of that name, made with an INBOX if there is none; durable when it returns. Costs two small reads when there is
    /// one.
    pub fn ensure_user(&self, name: &str) -> std::result::Result<UserId, ChangeError> {
        if let Some(user) = self.find_user(name)? {
            return Ok(user);
        }
        let mut txn = self.begin();
        txn.create_user(name);
        let committed = txn.commit()?;
        // If another process was faster, its ticket is not ours to wait for; what a first message of this user does later is
        // synced later, too.
        self.wait(committed.ticket).map_err(|error| StoreError::Failed(error.to_string()))?;
        self.find_user(name)?.ok_or(ChangeError::Store(StoreError::NotFound("user")))
    }

    /// All users, in order of their numbers; without the reserved one that stands for everybody.
    pub fn users(&self) -> Result<Vec<(UserId, String)>> {
        let mut users = self.derived.catalog.users()?;
        users.retain(|(_, name)| name != crate::rights::ANYONE);
        Ok(users)
    }

    /// A user's name.
    pub fn user_name(&self, user: UserId) -> Result<String> {
        self.derived.catalog.name(user)?.ok_or(StoreError::NotFound("user"))
    }

    /// A user's mailboxes as they are now; the value does not change any more. What somebody died in is finished first.
    ///
    /// Errors: `Corrupt` also if the list is missing; [`Store::rebuild_list`] makes it again.
    pub fn mailbox_list(&self, user: UserId) -> Result<Arc<MailboxList>> {
        self.finish_for_the_dead(LockKey::List(user));
        let list = self.derived.list(user)?;
        if list.version() == 0 {
            // A user who is found by name has a list.
            let name = self.user_name(user)?;
            if self.find_user(&name)? == Some(user) {
                let path = crate::catalog::list_path(&self.derived.user_folder(user)?);
                return Err(StoreError::corrupt(&path, 0, "the mailbox list is missing"));
            }
        }
        Ok(list)
    }

    /// A mailbox, opened or from the cache. What somebody died in is finished first, so that no message of the past appears in it later.
    ///
    /// Errors: `NotFound` if there is none, `Corrupt` if its cells are damaged or missing; [`Store::rebuild_mailbox`] makes them again.
    pub fn mailbox(&self, mailbox: MailboxId) -> Result<Arc<Mailbox>> {
        self.finish_for_the_dead(LockKey::Mailbox(mailbox));
        let open = self.derived_mailbox(mailbox)?;
        if open.epoch() < self.derived.epoch || open.has_lost_cells() {
            let held = self.take(&[LockKey::Mailbox(mailbox)])?;
            return self.mailbox_held(mailbox, &held);
        }
        self.unless_deleted(open)
    }

    /// A mailbox, whatever its epoch. One that its user's list names and that has no cells is damaged: mail for it is not refused for good.
    fn derived_mailbox(&self, mailbox: MailboxId) -> Result<Arc<Mailbox>> {
        match self.derived.mailbox(mailbox) {
            Err(StoreError::NotFound(what)) => match recovery::is_named(&self.derived, mailbox)? {
                true => {
                    let path = self.derived.cells_path(mailbox)?;
                    Err(StoreError::corrupt(&path, 0, "the cells of the mailbox are missing"))
                }
                false => Err(StoreError::NotFound(what)),
            },
            open => open,
        }
    }

    /// A mailbox whose lock is `held`.
    pub(crate) fn mailbox_held(&self, mailbox: MailboxId, held: &Held<'_>) -> Result<Arc<Mailbox>> {
        self.unless_deleted(self.mailbox_even_deleted(mailbox, held)?)
    }

    /// A mailbox whose lock is `held`, also one that was deleted and not collected yet.
    pub(crate) fn mailbox_even_deleted(&self, mailbox: MailboxId, held: &Held<'_>) -> Result<Arc<Mailbox>> {
        debug_assert!(held.covers(LockKey::Mailbox(mailbox)));
        let open = self.derived_mailbox(mailbox)?;
        if open.is_perhaps_replaced() {
            // Such a one was found by its name just now, and nobody rewrites it while the lock is held: the one who meant to has died.
            open.end_rewriting();
        }
        if open.epoch() < self.derived.epoch {
            self.bring_to_this_epoch(&open)?;
        }
        // Also of this epoch, when who found it so has died.
        if open.has_lost_cells() {
            return self.mailbox_made_again(mailbox);
        }
        Ok(open)
    }

    /// A mailbox that has lost cells, made again from the logs.
    fn mailbox_made_again(&self, mailbox: MailboxId) -> Result<Arc<Mailbox>> {
        self.rebuild_held(mailbox)?;
        let open = self.derived.mailbox(mailbox)?;
        if open.epoch() < self.derived.epoch {
            self.bring_to_this_epoch(&open)?;
        }
        Ok(open)
    }

    /// A power cut came since the mailbox was last made sure of. Its changes behind the checkpoint were replayed then; what is left is to drop what was
    /// lost, to skip UIDs and modseqs that may have been seen, and to have the logs say what the cells say.
    fn bring_to_this_epoch(&self, open: &Mailbox) -> Result<()> {
        let before = open.epoch();
        let mut keep = recovery::keeper(&self.derived);
        let (epoch, now) = (self.derived.epoch, self.derived.now());
        let report = open.after_power_cut(epoch, 0, ModSeq(0), now, Raised::Durably, &mut keep);
        let report = self.committer.note_sync(report)?;
        self.derived.keep_usage(open)?;
        // Who only reads after a failed sync need not write.
        if self.committer.check_writable().is_ok() {
            let said = recovery::changes_in_doubt(open, &report).and_then(|changes| {
                // A full disk is no reason to keep anybody from reading.
                self.derived.last_step.with_space(|| self.append_snapshot(crate::prune::encode(&changes)))
            });
            if let Err(error) = said {
                open.owe_epoch(before);
                return Err(error);
            }
        }
        Ok(())
    }

    /// How often limits were changed since the store was opened by the first that have it open.
    pub(crate) fn quota_changes(&self) -> u64 {
        self.locks.quota_changes()
    }

    /// Limits were changed: what processes know of them is old.
    pub(crate) fn count_quota_change(&self) {
        self.locks.count_quota_change();
    }

    fn unless_deleted(&self, open: Arc<Mailbox>) -> Result<Arc<Mailbox>> {
        if open.is_deleted()? {
            self.derived.forget(open.id());
            return Err(StoreError::NotFound("mailbox"));
        }
        Ok(open)
    }

    /// Starts taking a new message.
    pub fn draft(self: &Arc<Self>) -> Result<Draft> {
        self.check_writable()?;
        Ok(Draft::new(self))
    }

    /// Starts a transaction of whoever owns what it is about.
    pub fn begin(&self) -> Txn<'_> {
        Txn::new(self, None)
    }

    /// The highest ticket whose change is durable.
    pub fn durable_ticket(&self) -> Ticket {
        self.committer.durable()
    }

    /// `Some` once `ticket`'s fate is known: durable, or lost because a sync failed. Never blocks.
    pub fn ticket_state(&self, ticket: Ticket) -> Option<std::result::Result<(), CommitError>> {
        self.committer.state_of(ticket)
    }

    /// Waits until the change of `ticket` is durable.
    pub fn wait(&self, ticket: Ticket) -> std::result::Result<(), CommitError> {
        if self.background == Background::Manual {
            while self.ticket_state(ticket).is_none() && self.commit_round() {}
        }
        self.committer.wait(ticket)
    }

    /// Does once what the commit threads do again and again: makes durable what was changed since the last time. False if there was
    /// nothing to do. With [`Background::Manual`] alone.
    pub fn commit_round(&self) -> bool {
        self.background == Background::Manual && self.committer.round(&self.logs)
    }

    /// Has `callback` called by the thread that makes a change, before it makes it. It must not block. The first caller alone is heard.
    pub fn before_change(&self, callback: ChangeCallback) {
        let _ = self.before_change.set(callback);
    }

    pub(crate) fn tell_before_change(&self) {
        if let Some(callback) = self.before_change.get() {
            callback();
        }
    }

    /// Has `observer` told how long syncs take and how long commits wait for them, from now on. Only the first is told.
    pub fn observe_commits(&self, observer: CommitObserver) {
        self.committer.observe(observer);
    }

    /// Has `callback` called by a commit thread after each group, by one at a time, also after a failed one. It must not block.
    pub fn on_durable(&self, callback: DurableCallback) {
        self.committer.on_durable(callback);
    }

    /// Why nothing can be written any more, if a sync failed.
    pub fn failure(&self) -> Option<String> {
        self.committer.failure().map(str::to_string)
    }

    /// What was found damaged in the logs since the store was opened. Everything else was read.
    pub fn damage(&self) -> Vec<Damage> {
        self.derived.damages.all()
    }

    /// What has been done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// For tests: syncs take so much longer than the disk needs.
    #[doc(hidden)]
    pub fn pretend_slow_syncs(&self, delay_ms: u64) {
        self.committer.pretend_delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    /// For tests: the next sync fails as if the disk were broken.
    #[doc(hidden)]
    pub fn pretend_sync_failure(&self) {
        self.committer.pretend_failure.store(true, Ordering::Relaxed);
    }

    /// Notes where replay would have to start now. Done in the background as well, every now and then.
    pub fn checkpoint(&self) -> Result<()> {
        self.checkpoints.write()
    }

    /// The number of the last checkpoint that made everything durable, from 1.
    pub(crate) fn checkpoints_synced(&self) -> u64 {
        self.checkpoints.synced()
    }

    /// Notes what these changes, which are in the views, have made needless.
    pub(crate) fn note_expunged(&self, changes: &[Change]) {
        self.expunged.note(changes, self.checkpoints.begun());
    }

    /// Tells the checkpoint thread how much more would have to be replayed.
    pub(crate) fn count_changes(&self, changes: usize) {
        self.checkpoints.count(changes);
    }

    /// Takes all locks there are: while they are held, no change of any process is half-way.
    pub(crate) fn take_all(&self) -> Result<Taken<'_>> {
        let stripes: Vec<Stripe> = Stripe::all().collect();
        let not_closed = self.not_closed()?;
        Ok(Taken { held: take_and_repair(&self.locks, &self.derived, &stripes)?, _not_closed: not_closed })
    }

    /// The folder that pages and users are in.
    pub(crate) fn partition(&self) -> &Path {
        &self.partition
    }

    /// Takes note of mailboxes that may be filled under UIDs from elsewhere, below those given.
    pub(crate) fn note_adopted(&self, mailboxes: Vec<(MailboxId, u32)>) {
        if !mailboxes.is_empty() {
            self.adopted.lock().unwrap_or_else(PoisonError::into_inner).extend(mailboxes);
        }
    }

    /// The UID below which messages may come into `mailbox` under UIDs from elsewhere; `None` if it was not adopted by this value.
    pub(crate) fn adopted_below(&self, mailbox: MailboxId) -> Option<u32> {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner).get(&mailbox).copied()
    }

    /// What is left of the store of a process that was killed: nothing is finished, nothing is cleaned up, and what the kernel gives up for
    /// a dead process is given up.
    #[cfg(feature = "simulation")]
    pub(crate) fn abandon(&self) {
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Takes one lock, and finishes what earlier owners left half-done.
    #[cfg(feature = "simulation")]
    pub(crate) fn take_stripe(&self, stripe: Stripe) -> Result<()> {
        take_and_repair(&self.locks, &self.derived, &[stripe]).map(drop)
    }

    /// Finishes what the owner of `key`'s lock died in, for who is about to read what it protects. A load of a word if there is no such thing;
    /// waits for nobody. If it fails, what is published can be read all the same, and the next who takes the lock is told.
    fn finish_for_the_dead(&self, key: LockKey) {
        let stripe = key.stripe();
        if !self.locks.has_intent(stripe) || self.committer.check_writable().is_err() {
            return;
        }
        // Not the usual way to this lock: the caller may have it already, and `close` may wait for him.
        let Ok(closed) = self.closed.try_read() else { return };
        if !*closed && let Some(held) = self.locks.take_if_free(stripe) {
            let _ = finish(&self.locks, &self.derived, &held);
        }
    }

    /// Takes the locks of all `keys`, and finishes what earlier owners left half-done.
    pub(crate) fn take(&self, keys: &[LockKey]) -> Result<Taken<'_>> {
        let mut stripes: Vec<Stripe> = keys.iter().map(|key| key.stripe()).collect();
        stripes.sort_unstable();
        stripes.dedup();
        let not_closed = self.not_closed()?;
        Ok(Taken { held: take_and_repair(&self.locks, &self.derived, &stripes)?, _not_closed: not_closed })
    }
}

/// Locks held in a store that is not closed before they are released.
pub(crate) struct Taken<'a> {
    held: Held<'a>,
    _not_closed: RwLockReadGuard<'a, bool>,
}

impl Taken<'_> {
    /// For tests: what a thread does that dies with the locks.
    pub(crate) fn die(self) {
        std::mem::forget(self.held);
    }
}

impl<'a> Deref for Taken<'a> {
    type Target = Held<'a>;

    fn deref(&self) -> &Held<'a> {
        &self.held
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Nobody is there to be told; the next opener recovers what this could not finish.
        let _ = self.close();
    }
}

/// The locks file here is not the one that the store is in use with.
fn foreign_locks(folder: &Path, here: &Path, state: &State) -> StoreError {
    let theirs = state.locks_path.display();
    let reason = if state.locks_path == here {
        format!(
            "it is open, but its locks file {theirs} was removed or belongs to another store; stop all that have it \
             open, then start again, with a runtime folder for this store alone"
        )
    } else {
        format!("it is open with the locks in {theirs}, not {}; use the same runtime folder", here.display())
    };
    StoreError::Unusable { path: folder.to_path_buf(), reason }
}
