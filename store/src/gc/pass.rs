//! One pass through the whole store, in small pieces: each call of [`Collector::step`] does one and returns. Between pieces nothing is
//! locked but the pass itself, so the one who drives it may rest, or go away altogether: what was done is done, and the next pass begins
//! anew.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use crate::compact::Compaction;
use crate::disk::Mutation;
use crate::error::{Result, StoreError};
use crate::gc::buckets::{self, Wanted};
use crate::gc::free::{self, Checkpoints};
use crate::gc::gate::Gate;
use crate::gc::recount::{self, Recount, Round};
use crate::gc::release::{self, Candidate, Released};
use crate::gc::report::{GcOptions, GcProgress, GcReport, GcStep};
use crate::gc::walk::{Found, walk};
use crate::ids::{MessageId, PageId};
use crate::store::Store;

/// Mailboxes that are looked at in one piece.
const LOOKED_AT_ONCE: usize = 64;

/// One piece of work.
enum Work {
    Begin,
    Look(Vec<Found>),
    Sync,
    Tombstones(Candidate, u32),
    Dead(Candidate),
    DeletedUser(PathBuf),
    PlanRecount,
    BeginRecount(Vec<PageId>),
    BeginRound,
    Count(Vec<Found>),
    EndRound,
    PlanPages,
    Free(PageId),
    LookAtBuckets(PageId),
    Bucket(Wanted),
    /// Comes when the buckets are done.
    PlanClosing,
    Close(PageId),
    Prune,
}

/// A pass under way, for who has a hold on the store from its beginning to its end.
pub struct Collector<'store> {
    store: &'store Arc<Store>,
    pass: Pass,
}

impl<'store> Collector<'store> {
    pub(super) fn begin(store: &'store Arc<Store>, options: GcOptions) -> Result<Collector<'store>> {
        Ok(Collector { store, pass: Pass::begin(store, options)? })
    }

    /// Does one piece. `None` when all is done.
    pub fn step(&mut self) -> Result<Option<GcProgress>> {
        self.pass.step(self.store)
    }

    /// What was done so far.
    pub fn report(&self) -> &GcReport {
        &self.pass.report
    }
}

/// A pass under way.
pub(super) struct Pass {
    options: GcOptions,
    /// What was expunged up to then goes, seconds since 1970.
    cutoff: u32,
    work: VecDeque<Work>,
    candidates: Vec<Candidate>,
    deleted_users: Vec<PathBuf>,
    recount: Option<Recount>,
    checkpoints: Checkpoints,
    /// Of a pass that only looks: references that would fall.
    would_fall: BTreeMap<PageId, HashMap<u32, u32>>,
    report: GcReport,
    progress: GcProgress,
    _pass: Gate,
}

impl Pass {
    /// Errors: `Busy` if another process is at it, `Failed` if a sync failed in any process: then nothing that is there can be vouched for.
    pub(super) fn begin(store: &Store, options: GcOptions) -> Result<Pass> {
        check_syncs(store)?;
        let pass = Gate::pass(&store.runtime_dir)?
            .ok_or(StoreError::Busy("the collection of free space, which another process is at,"))?;
        let history = options.history_seconds.unwrap_or(u64::from(store.history_days) * 86_400);
        let cutoff = store.derived.disk.now_seconds().saturating_sub(history);
        Ok(Pass {
            options,
            cutoff: u32::try_from(cutoff).unwrap_or(u32::MAX),
            work: VecDeque::from([Work::Begin]),
            candidates: Vec::new(),
            deleted_users: Vec::new(),
            recount: None,
            checkpoints: Checkpoints::default(),
            would_fall: BTreeMap::new(),
            report: GcReport::default(),
            progress: GcProgress { step: GcStep::Look, done: 0, total: 0 },
            _pass: pass,
        })
    }

    /// Does one piece. `None` when all is done.
    pub(super) fn step(&mut self, store: &Arc<Store>) -> Result<Option<GcProgress>> {
        let Some(work) = self.work.pop_front() else { return Ok(None) };
        check_syncs(store)?;
        self.progress.done += 1;
        self.do_work(store, work)?;
        Ok(Some(self.progress))
    }

    /// Puts pieces before all others.
    fn next(&mut self, step: GcStep, pieces: impl IntoIterator<Item = Work>) {
        let before = self.work.len();
        for (at, piece) in pieces.into_iter().enumerate() {
            self.work.insert(at, piece);
        }
        self.progress = GcProgress { step, done: 0, total: self.work.len() - before };
    }

    fn do_work(&mut self, store: &Arc<Store>, work: Work) -> Result<()> {
        match work {
            Work::Begin => self.look_for_mailboxes(store),
            Work::Look(some) => some.iter().try_for_each(|found| self.look(store, found)),
            Work::Sync => self.sync(store),
            Work::Tombstones(candidate, from) => self.tombstones(store, candidate, from),
            Work::Dead(candidate) => {
                let mut released = Released::default();
                let outcome = release::dead_mailbox(store, &candidate, &mut released);
                self.count_released(&candidate, &released);
                self.pass_over_damage(outcome)
            }
            Work::DeletedUser(folder) => self.remove_user(store, folder),
            Work::PlanRecount => self.plan_recount(store),
            Work::BeginRecount(pages) => {
                self.recount = Some(Recount::begin(store, &pages)?);
                self.begin_round(store)
            }
            Work::BeginRound => self.begin_round(store),
            Work::Count(some) => self.count(store, &some),
            Work::EndRound => self.end_round(store),
            Work::PlanPages => self.plan_pages(store),
            Work::Free(page) => self.free(store, page),
            Work::LookAtBuckets(page) => self.look_at_buckets(store, page),
            Work::Bucket(wanted) => {
                let Pass { checkpoints, report, .. } = self;
                let outcome = buckets::collect(store, checkpoints, &wanted, report);
                self.pass_over_damage(outcome)
            }
            Work::PlanClosing => self.plan_closing(store),
            Work::Close(page) => {
                let outcome = store.close_page(page, &mut self.report.closed);
                self.pass_over_damage(outcome)
            }
            Work::Prune => self.prune(store),
        }
    }

    fn plan_closing(&mut self, store: &Arc<Store>) -> Result<()> {
        let pages = store.pages_to_close()?;
        self.work.push_back(Work::Prune);
        self.next(GcStep::Close, pages.into_iter().map(Work::Close));
        Ok(())
    }

    fn prune(&mut self, store: &Arc<Store>) -> Result<()> {
        let Some(before) = store.journals_kept_from() else { return Ok(()) };
        let outcome = store.prune_journals(before);
        if let Some(pruned) = self.or_leave(outcome)? {
            self.report.pruned = pruned;
        }
        Ok(())
    }

    fn look_for_mailboxes(&mut self, store: &Arc<Store>) -> Result<()> {
        let found = walk(&store.derived.disk, &store.partition.join("users"))?;
        for path in found.damaged {
            self.leave(&path.display().to_string(), "it is damaged; lode check --repair mends it");
        }
        self.deleted_users = found.deleted_users;
        let pieces: Vec<Work> =
            found.mailboxes.chunks(LOOKED_AT_ONCE).map(|some| Work::Look(some.to_vec())).collect();
        self.work.push_back(Work::Sync);
        self.next(GcStep::Look, pieces);
        Ok(())
    }

    fn look(&mut self, store: &Arc<Store>, found: &Found) -> Result<()> {
        if !self.options.dry_run {
            let forgotten = store.forget_deleted_readers(found.id, &found.cells);
            self.or_leave(forgotten)?;
        }
        let candidate = release::look(store, found, self.cutoff);
        if let Some(candidate) = self.or_leave(candidate)?.flatten() {
            self.candidates.push(candidate);
        }
        Ok(())
    }

    /// All that made the candidates needless becomes durable, and so does this process's part of what messages rest on.
    fn sync(&mut self, store: &Arc<Store>) -> Result<()> {
        let candidates = std::mem::take(&mut self.candidates);
        let users = std::mem::take(&mut self.deleted_users);
        if self.options.dry_run {
            for candidate in candidates {
                self.would_release(store, &candidate)?;
            }
            self.work.push_back(Work::PlanPages);
            return Ok(());
        }
        let synced = store.checkpoints_synced();
        let skips = store.derived.disk.mutated(Mutation::ReleaseBeforeSync);
        match if skips { Ok(()) } else { store.checkpoint() } {
            // On a full disk there may be no room for the checkpoint. What earlier ones cover can be freed.
            Err(error) if error.is_out_of_space() && store.checkpoints_synced() > synced => (),
            outcome => outcome?,
        }
        check_syncs(store)?;
        let pieces = candidates.into_iter().map(|candidate| {
            if candidate.is_dead { Work::Dead(candidate) } else { Work::Tombstones(candidate, 0) }
        });
        let pieces: Vec<Work> = pieces.chain(users.into_iter().map(Work::DeletedUser)).collect();
        self.work.push_back(Work::PlanRecount);
        self.next(GcStep::Release, pieces);
        Ok(())
    }

    fn would_release(&mut self, store: &Arc<Store>, candidate: &Candidate) -> Result<()> {
        let messages = release::would_release(store, candidate, self.cutoff);
        let Some(messages) = self.or_leave(messages)? else { return Ok(()) };
        self.report.released_cells += messages.len() as u64;
        self.report.removed_mailboxes += u64::from(candidate.is_dead);
        for MessageId { page, index } in messages {
            *self.would_fall.entry(page).or_default().entry(index).or_default() += 1;
        }
        Ok(())
    }

    fn tombstones(&mut self, store: &Arc<Store>, candidate: Candidate, from: u32) -> Result<()> {
        let mut released = Released::default();
        let next = release::tombstones(store, &candidate, self.cutoff, from, &mut released);
        self.count_released(&candidate, &released);
        if let Some(from) = self.or_leave(next)?.flatten() {
            self.progress.total += 1;
            self.work.push_front(Work::Tombstones(candidate, from));
            return Ok(());
        }
        let tidied = store.tidy_annotations(candidate.found.id);
        self.or_leave(tidied)?;
        let compacted = store.compact(candidate.found.id);
        if let Some(Compaction::Done(_)) = self.or_leave(compacted)? {
            self.report.compacted_mailboxes += 1;
        }
        Ok(())
    }

    fn count_released(&mut self, candidate: &Candidate, released: &Released) {
        self.report.released_cells += released.messages.len() as u64;
        self.report.removed_mailboxes += u64::from(released.removed);
        if released.damaged {
            let path = candidate.found.cells.display().to_string();
            self.leave(&path, "some of its cells are damaged; lode check --repair mends them");
        }
    }

    /// The folder of a deleted user that holds no mailbox any more.
    fn remove_user(&mut self, store: &Arc<Store>, folder: PathBuf) -> Result<()> {
        let disk = &store.derived.disk;
        let entries = match disk.read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::io(&folder, "read")(error)),
        };
        if entries.iter().any(|entry| entry.is_dir && disk.exists(&folder.join(&entry.name).join("cells"))) {
            return Ok(());
        }
        disk.remove_dir_all(&folder).map_err(StoreError::io(&folder, "remove"))?;
        self.report.removed_users += 1;
        Ok(())
    }

    /// Which pages are to be recounted: those whose counts are of an earlier epoch, or all.
    fn plan_recount(&mut self, store: &Arc<Store>) -> Result<()> {
        self.work.push_back(Work::PlanPages);
        let (mut pieces, mut some, mut cells) = (Vec::new(), Vec::new(), 0);
        for page in store.pages.all()? {
            let directory = store.pages.directory(page)?;
            if !self.options.recount && directory.recounted_epoch()? == store.derived.epoch {
                continue;
            }
            let count = directory.given_out()? as usize;
            if cells + count > recount::CELLS_MOST && !some.is_empty() {
                pieces.push(Work::BeginRecount(std::mem::take(&mut some)));
                cells = 0;
            }
            some.push(page);
            cells += count;
        }
        if !some.is_empty() {
            pieces.push(Work::BeginRecount(some));
        }
        self.next(GcStep::Recount, pieces);
        Ok(())
    }

    /// Mailboxes are looked for after the round was begun: one that is made later has no message that was not touched.
    fn begin_round(&mut self, store: &Arc<Store>) -> Result<()> {
        let found = walk(&store.derived.disk, &store.partition.join("users"))?;
        if let Some(path) = found.damaged.first() {
            self.give_up_recount(&path.display().to_string());
            return Ok(());
        }
        let pieces = found.mailboxes.chunks(LOOKED_AT_ONCE).map(|some| Work::Count(some.to_vec()));
        let pieces: Vec<Work> = pieces.chain([Work::EndRound]).collect();
        self.next(GcStep::Recount, pieces);
        Ok(())
    }

    fn count(&mut self, store: &Arc<Store>, some: &[Found]) -> Result<()> {
        for found in some {
            let Some(recount) = &mut self.recount else { return Ok(()) };
            match recount.count(store, found) {
                // What a damaged cell holds is not known, so no count would be certain.
                Err(StoreError::Corrupt { path, .. }) => self.give_up_recount(&path.display().to_string()),
                outcome => outcome?,
            }
        }
        Ok(())
    }

    fn give_up_recount(&mut self, path: &str) {
        self.recount = None;
        self.leave(path, "it is damaged, so messages cannot be counted; lode check --repair mends it");
    }

    fn end_round(&mut self, store: &Arc<Store>) -> Result<()> {
        let Some(recount) = &mut self.recount else { return Ok(()) };
        match recount.end_round(store)? {
            Round::Again => self.work.push_front(Work::BeginRound),
            Round::Done(pages) => {
                self.report.recounted_pages += pages;
                self.report.corrected_counts += recount.corrected;
                self.recount = None;
            }
        }
        Ok(())
    }

    fn plan_pages(&mut self, store: &Arc<Store>) -> Result<()> {
        let pages = store.pages.all()?;
        let ended = pages.iter().filter(|page| store.checkpoints_of_others.is_old(**page));
        for page in ended {
            self.work.push_back(Work::LookAtBuckets(*page));
        }
        if !self.options.dry_run {
            self.work.push_back(Work::PlanClosing);
        }
        self.next(GcStep::Free, pages.into_iter().map(Work::Free));
        Ok(())
    }

    fn free(&mut self, store: &Arc<Store>, page: PageId) -> Result<()> {
        let (messages, octets) = store.pages.directory(page)?.counted()?;
        self.report.equal_messages += messages;
        self.report.equal_octets += octets;
        if self.options.dry_run {
            let would_fall = self.would_fall.remove(&page).unwrap_or_default();
            let (messages, octets) = free::would_free(store, page, &would_fall)?;
            self.report.freed_messages += messages;
            self.report.freed_octets += octets;
            return Ok(());
        }
        let given_out = store.pages.directory(page)?.given_out()?;
        let freed = free::free(store, &mut self.checkpoints, page, 0..given_out)?;
        self.report.freed_messages += freed.messages;
        self.report.freed_octets += freed.octets;
        self.report.punched_octets += freed.punched_octets;
        Ok(())
    }

    fn look_at_buckets(&mut self, store: &Arc<Store>, page: PageId) -> Result<()> {
        let wanted = buckets::look(store, page, &self.options);
        let Some(wanted) = self.or_leave(wanted)? else { return Ok(()) };
        if self.options.dry_run {
            wanted.iter().for_each(|wanted| buckets::would_collect(wanted, &mut self.report));
            return Ok(());
        }
        buckets::remove_left(store, page)?;
        self.progress.step = GcStep::Buckets;
        self.progress.total += wanted.len();
        for wanted in wanted.into_iter().rev() {
            self.work.push_front(Work::Bucket(wanted));
        }
        Ok(())
    }

    /// What is damaged is left for `lode check`, and the pass goes on.
    fn or_leave<T>(&mut self, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Err(error @ StoreError::Corrupt { .. }) => {
                self.report.left.push(error.to_string());
                Ok(None)
            }
            outcome => outcome.map(Some),
        }
    }

    fn pass_over_damage(&mut self, outcome: Result<()>) -> Result<()> {
        self.or_leave(outcome).map(drop)
    }

    fn leave(&mut self, what: &str, why: &str) {
        self.report.left.push(format!("{what}: {why}"));
    }
}

/// Nothing is destroyed after a sync has failed anywhere: what made it needless may be lost.
pub(crate) fn check_syncs(store: &Store) -> Result<()> {
    store.committer.check_syncs()
}
