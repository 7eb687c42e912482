//! What the first opener does: replays every writer's frames behind its checkpoint, so that the views hold all that the logs
//! hold.
//!
//! Frames are read once, in any order; their changes are kept by what they are about, and put into the views in the order in
//! which they were made (lists by version, mailboxes by modseq). Memory is in proportion to what was changed since the last
//! checkpoints, which `store.rs` bounds.
//!
//! After a power cut any part of the views may be old, and frames that were not synced may be lost although the views know
//! them. So the content of each frame is verified, too; messages whose frames are gone are marked lost in the directory; and a
//! mailbox drops what points to them and skips UIDs and modseqs before changes are put into it (`Mailbox::after_power_cut`), here or, if
//! nothing is replayed into it, when it is first opened.
//!
//! A damaged place of a log is noted (`Store::damage`) and passed over. A list or a mailbox that is missing or damaged is made again alone, from
//! all logs. If the catalog or a directory is missing, everything that is missing is made again. The file `rebuild` says so before the first view is made,
//! and goes when all are durable: a rebuild that was cut short is gone on with.
//!
//! - `scan`: reading logs
//! - `lost`: which messages a power cut took
//! - `fold`: one mailbox made from its changes
//! - `rebuild`: all that is missing, in passes
//! - `views`: views that a sync was believed to have written
//! - `again`: one view of a store that is in use

mod again;
pub(crate) mod fold;
mod lost;
mod rebuild;
pub(crate) mod scan;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::change::Change;
use crate::checkpoint::{Checkpoint, LogPosition};
use crate::derived::{Derived, Pass, Source, list_of, mailbox_of_cells};
use crate::disk::Mutation;
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, MessageId, ModSeq, PageId, UserId};
use crate::locks::{LockKey, Syncs};
use crate::log::frame::{FrameHead, LOG_HEAD_BYTES};
use crate::log::logs::{log_path, logs_of_page, write_again};
use crate::log::reader::{Frame, Search};
use crate::log::{LogKind, LogName};
use crate::mailbox::{Cell, Mailbox, PowerCutReport, Raised};
use crate::page::directory::Directory;
use scan::{How, read_log};

/// Replays. The caller has the store to itself. A view that turns out to be missing or damaged is made again from the logs.
pub(crate) fn run(partition: &Path, derived: &Derived, power_cut: bool, syncs: Syncs) -> Result<()> {
    let was_cut_short = derived.is_rebuild_owed();
    if is_directory_missing(derived)? {
        derived.begin_rebuild()?;
    }
    let everything = derived.is_rebuild_owed();
    let mut replay = Replay::new(partition, derived, power_cut, syncs, everything);
    let survey = if everything {
        let verify_before_epoch = derived.epoch;
        let mut survey = rebuild::survey(derived, verify_before_epoch)?;
        replay.apply_users(std::mem::take(&mut survey.users))?;
        rebuild::reserve_users(derived, &survey)?;
        rebuild::lists(derived, &survey)?;
        Some(survey)
    } else {
        None
    };
    for page in derived.pages.all()? {
        for name in logs_of_page(&derived.disk, derived.pages.root(), page)? {
            replay.read_log(name)?;
        }
    }
    if power_cut {
        replay.mark_lost()?;
    }
    if !power_cut || syncs == Syncs::Doubtful {
        replay.make_durable()?;
    }
    replay.apply()?;
    let again = std::mem::take(&mut replay.again);
    remake_mailboxes(derived, &again)?;
    if let Some(survey) = survey {
        // What a rebuild made that was cut short by a power cut may not have come to the disk.
        let all_again = was_cut_short && power_cut;
        let wanted = |mailbox| match all_again {
            true => rebuild::named(derived, mailbox),
            false => rebuild::named_and_missing(derived, mailbox),
        };
        rebuild::mailboxes(derived, &survey, &wanted)?;
        rebuild::agree(derived)?;
        rebuild::recount(derived)?;
    }
    if syncs == Syncs::Doubtful {
        views::put_again(derived)?;
    }
    replay.checkpoint()?;
    if everything { derived.end_rebuild() } else { Ok(()) }
}

/// Makes mailboxes again from all logs, those that their users' lists name. With the store to itself.
fn remake_mailboxes(derived: &Derived, again: &BTreeSet<MailboxId>) -> Result<()> {
    if again.is_empty() {
        return Ok(());
    }
    let wanted = |mailbox| match again.contains(&mailbox) {
        true => rebuild::named(derived, mailbox),
        false => Ok(None),
    };
    rebuild::mailboxes_of(derived, &wanted, &again::replace)
}

/// Whether a page with buckets has lost its directory. A damaged one is put aside.
fn is_directory_missing(derived: &Derived) -> Result<bool> {
    let mut is_missing = false;
    for page in derived.pages.all()? {
        let logs = logs_of_page(&derived.disk, derived.pages.root(), page)?;
        if logs.iter().all(|log| log.kind != LogKind::Bucket) {
            continue;
        }
        let path = derived.pages.folder(page).join("directory");
        if !derived.disk.exists(&path) {
            is_missing = true;
            continue;
        }
        match derived.pages.directory(page).and_then(|directory| directory.given_out()) {
            Err(StoreError::Corrupt { path, offset, what }) => {
                derived.damages.add(&path, offset, what);
                derived.begin_rebuild()?;
                derived.set_aside(&path)?;
                derived.pages.forget_directories();
                is_missing = true;
            }
            given_out => drop(given_out?),
        }
    }
    Ok(is_missing)
}

/// Gives all changes of a log to `take`. False if any place of it is damaged.
pub(crate) fn read_whole_log(
    derived: &Derived,
    name: LogName,
    take: &mut dyn FnMut(&Change),
) -> Result<bool> {
    let read = read_log(derived, name, How::WHOLE, &mut |_, frame| {
        frame.changes.iter().for_each(&mut *take);
        Ok(())
    })?;
    Ok(read.is_some_and(|read| !read.is_damaged))
}

/// What the logs are to say of a mailbox after a power cut: the numbers that were skipped, what was dropped, and the cells that were changed last,
/// for their frames may be lost although the cells came to the disk. Without it, a rebuild would take back what sessions have seen since.
pub(crate) fn changes_in_doubt(open: &Mailbox, report: &PowerCutReport) -> Result<Vec<Change>> {
    let mailbox = open.id();
    let (uid_next, highest_modseq) = (open.uid_next()?, open.highest_modseq()?);
    let mut changes = vec![Change::MailboxNumbers { mailbox, uid_next, highest_modseq }];
    for cell in &report.in_doubt {
        changes.push(Change::Add { mailbox, added: cell.as_added() });
        changes.push(Change::Flags { mailbox, modseq: cell.modseq, messages: vec![(cell.uid, cell.flags)] });
        if cell.expunged {
            changes.push(Change::Expunge { mailbox, modseq: cell.modseq, uids: vec![cell.uid] });
        }
    }
    if !report.dropped.is_empty() {
        let uids = report.dropped.iter().map(|(uid, _)| *uid).collect();
        changes.push(Change::Expunge { mailbox, modseq: highest_modseq, uids });
    }
    Ok(changes)
}

/// Whether the list of its user names a mailbox that holds messages.
pub(crate) fn is_named(derived: &Derived, mailbox: MailboxId) -> Result<bool> {
    Ok(rebuild::named(derived, mailbox)?.is_some())
}

/// Says of cells whether their messages are there, as far as recovery found out. An unreadable directory cell is no verdict.
pub(crate) fn keeper(derived: &Derived) -> impl FnMut(&Cell) -> bool + '_ {
    // Neighbours in a mailbox are mostly of one page.
    let mut last: Option<(PageId, Arc<Directory>)> = None;
    move |cell| {
        let MessageId { page, index } = cell.message;
        if last.as_ref().is_none_or(|(known, _)| *known != page) {
            last = derived.pages.directory(page).ok().map(|directory| (page, directory));
        }
        last.as_ref().is_none_or(|(_, directory)| !directory.is_lost(index).unwrap_or(false))
    }
}

struct Replay<'a> {
    partition: &'a Path,
    derived: &'a Derived,
    power_cut: bool,
    syncs: Syncs,
    /// Everything that is missing is made again, so that nothing is made here.
    everything: bool,
    /// Mailboxes that turn out to be damaged or missing: they are made from all logs.
    again: BTreeSet<MailboxId>,
    checkpoints: BTreeMap<u16, Checkpoint>,
    /// How far each writer's logs go.
    ends: BTreeMap<u16, Vec<LogPosition>>,
    users: Vec<Change>,
    lists: BTreeMap<UserId, Vec<Change>>,
    /// Changes of cells, each with the time of its frame.
    mailboxes: BTreeMap<MailboxId, Vec<(u32, Change)>>,
    /// Messages whose frames were read, by page.
    messages: BTreeMap<PageId, BTreeSet<u32>>,
    frames: u64,
    /// Parts of logs that were read and are to be written once more, one frame at least each: of journals, and of buckets if syncs are doubtful.
    parts: Vec<(LogName, Range<u64>)>,
}

impl<'a> Replay<'a> {
    fn new(
        partition: &'a Path,
        derived: &'a Derived,
        power_cut: bool,
        syncs: Syncs,
        everything: bool,
    ) -> Replay<'a> {
        Replay {
            partition,
            derived,
            power_cut,
            syncs,
            everything,
            again: BTreeSet::new(),
            checkpoints: BTreeMap::new(),
            ends: BTreeMap::new(),
            users: Vec::new(),
            lists: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            messages: BTreeMap::new(),
            frames: 0,
            parts: Vec::new(),
        }
    }

    fn checkpoint_of(&mut self, writer: u16) -> Result<&Checkpoint> {
        if !self.checkpoints.contains_key(&writer) {
            let checkpoint = Checkpoint::read(&self.derived.disk, self.partition, writer)?;
            self.checkpoints.insert(writer, checkpoint);
        }
        Ok(&self.checkpoints[&writer])
    }

    fn read_log(&mut self, name: LogName) -> Result<()> {
        let from = match self.checkpoint_of(name.writer)?.replay_from(name) {
            Some(_) if self.power_cut && self.derived.disk.mutated(Mutation::NoReplay) => return Ok(()),
            Some(from) => from.max(LOG_HEAD_BYTES),
            None => return Ok(()),
        };
        // Only a power cut leaves frames whose heads are there and whose contents are not, and each raises the epoch.
        let verify_before_epoch = self.derived.epoch;
        let how = How { from, search: Search::UptoZeros, verify_before_epoch };
        let read = read_log(self.derived, name, how, &mut |_, frame| self.take_in(name, frame))?;
        let Some(read) = read else { return Ok(()) };
        if self.power_cut
            && !read.is_packed
            && read.epoch < self.derived.epoch
            && read.len > read.end
            && read.end >= from
        {
            // Frames that lie behind one that was lost were not acknowledged. They are not to be found by who reads the log another time.
            let path = log_path(self.derived.pages.root(), name);
            let cut = self.derived.disk.open_writable(&path).and_then(|file| file.set_len(read.end));
            cut.map_err(StoreError::io(&path, "cut"))?;
        }
        if self.power_cut && !read.is_packed && read.epoch < self.derived.epoch && !read.holes.is_empty() {
            self.void(name, &read)?;
        }
        let is_doubtful = name.kind == LogKind::Journal || self.syncs == Syncs::Doubtful;
        if is_doubtful && !read.is_packed && read.end > from {
            self.parts.push((name, from..read.end));
        }
        self.ends.entry(name.writer).or_default().push(LogPosition { name, position: read.end });
        Ok(())
    }

    /// Frames behind the checkpoint that did not come to the disk whole were not acknowledged, and are passed over. That is so for whoever reads the
    /// log from now on: their octets stay, within frames that say nothing.
    fn void(&self, name: LogName, read: &scan::Read) -> Result<()> {
        let path = log_path(self.derived.pages.root(), name);
        let file = self.derived.disk.open_writable(&path).map_err(StoreError::io(&path, "open"))?;
        for hole in &read.holes {
            if let Some(head) = FrameHead::void(read.frame_id, hole.end - hole.start) {
                file.write_all_at(&head.encode(), hole.start).map_err(StoreError::io(&path, "write"))?;
            }
        }
        Ok(())
    }

    /// Makes the frames durable before anything that they say is in the views: their writers may have been killed before they synced them, or
    /// have failed to, and a power cut now must not find the one without the other.
    fn make_durable(&self) -> Result<()> {
        if self.frames == 0 {
            return Ok(());
        }
        let disk = &self.derived.disk;
        for (name, part) in &self.parts {
            write_again(disk, &log_path(self.derived.pages.root(), *name), part.clone())?;
        }
        disk.sync_file_system(self.partition).map_err(StoreError::io(self.partition, "sync"))
    }

    fn take_in(&mut self, name: LogName, frame: Frame) -> Result<()> {
        self.frames += 1;
        let source = Source::new(name, frame.offset, &frame.head);
        for change in frame.changes {
            if let Change::Message { index, header_size } = change {
                self.derived.fill_message(&source, index, header_size)?;
                self.messages.entry(name.page).or_default().insert(index);
            } else if let Some(user) = list_of(&change) {
                self.lists.entry(user).or_default().push(change);
            } else if matches!(change, Change::MailboxSnapshot(_)) {
                // It says what is in the views, or in the frames before it.
                continue;
            } else if let Some(mailbox) = mailbox_of_cells(&change) {
                self.mailboxes.entry(mailbox).or_default().push((source.seconds, change));
            } else {
                self.users.push(change);
            }
        }
        Ok(())
    }

    fn apply(&mut self) -> Result<()> {
        let users = std::mem::take(&mut self.users);
        let made = self.apply_users(users)?;
        for (user, mut changes) in std::mem::take(&mut self.lists) {
            changes.sort_by_key(list_order);
            self.apply_list(user, &changes)?;
        }
        for (user, name) in made {
            if rebuild::is_there(self.derived, user)? {
                self.derived.catalog.apply_name(user, &name)?;
            }
        }
        for (mailbox, changes) in std::mem::take(&mut self.mailboxes) {
            self.apply_mailbox(mailbox, changes)?;
        }
        Ok(())
    }

    /// Puts users into the catalog; returns those that were made. By number, each with its end: one name may have been given to
    /// several, one after the other.
    fn apply_users(&mut self, mut changes: Vec<Change>) -> Result<Vec<(UserId, String)>> {
        changes.sort_by_key(|change| match change {
            Change::UserDelete { user } => (*user, true),
            Change::UserCreate { user, .. } => (*user, false),
            _ => (UserId(0), false),
        });
        let mut made = Vec::new();
        for (place, change) in changes.iter().enumerate() {
            match change {
                Change::UserCreate { user, name } => {
                    let ends = changes[place..]
                        .iter()
                        .take_while(|next| user_of(next) == Some(*user))
                        .any(is_user_delete);
                    if ends && self.derived.catalog.apply_deleted(*user, name)? {
                        continue;
                    }
                    self.derived.catalog.apply_create(*user, name)?;
                    made.push((*user, name.clone()));
                }
                Change::UserDelete { user } => {
                    self.lists.remove(user);
                    self.mailboxes.retain(|mailbox, _| mailbox.user != *user);
                    self.derived.delete_user(*user)?;
                }
                _ => (),
            }
        }
        Ok(made)
    }

    fn apply_list(&mut self, user: UserId, changes: &[Change]) -> Result<()> {
        let folder = match self.derived.user_folder(user) {
            // The user was deleted later.
            Err(StoreError::NotFound(_)) => return Ok(()),
            folder => folder?,
        };
        // A list that is gone or damaged needs all changes there ever were.
        let first = changes.iter().map(list_version).min().unwrap_or(0);
        let is_usable = match self.derived.list(user) {
            Ok(list) => list.version() > 0 || first <= 1,
            Err(StoreError::Corrupt { path, offset, what }) => {
                self.derived.damages.add(&path, offset, what);
                false
            }
            Err(error) => return Err(error),
        };
        if !is_usable {
            rebuild::list(self.derived, user)?;
        }
        let everywhere = |_: LockKey| true;
        if !self.everything {
            match self.derived.make_cells_files(changes, &everywhere, Pass::Again) {
                Err(StoreError::Corrupt { .. }) => (),
                made => made?,
            }
        }
        self.derived.disk.make_folder(&folder).map_err(StoreError::io(&folder, "make"))?;
        self.derived.apply_list(user, changes.iter())?;
        self.ready_deleted(changes)?;
        match self.derived.apply_deletes(self.derived.now(), changes, &everywhere) {
            // What is damaged and deleted is not missed.
            Err(StoreError::Corrupt { .. }) => Ok(()),
            applied => applied,
        }
    }

    /// Mailboxes that are deleted in these changes can be marked so, whatever a power cut has left of them: what is not, holds its messages for ever.
    fn ready_deleted(&self, changes: &[Change]) -> Result<()> {
        for change in changes {
            let Change::MailboxDelete { mailbox, .. } = change else { continue };
            if let Ok(open) = self.derived.mailbox(*mailbox)
                && open.epoch() < self.derived.epoch
            {
                let (epoch, now) = (open.epoch(), self.derived.now());
                open.after_power_cut(epoch, 0, ModSeq(0), now, Raised::ByRecovery, &mut |_| true)?;
            }
        }
        Ok(())
    }

    /// Puts changes into a mailbox; one that cannot take them is made again later, from all logs.
    fn apply_mailbox(&mut self, mailbox: MailboxId, mut changes: Vec<(u32, Change)>) -> Result<()> {
        if !self.derived.disk.mutated(Mutation::ReplayUnsorted) {
            changes.sort_by_key(|(_, change)| order(change));
        }
        let applied = match self.derived.mailbox(mailbox) {
            Ok(open) => self.apply_changes(&open, changes),
            Err(StoreError::NotFound(_)) => match rebuild::named(self.derived, mailbox)? {
                Some(_) => Ok(false),
                // Deleted, or its user was.
                None => return Ok(()),
            },
            Err(error) => Err(error),
        };
        let is_right = match applied {
            Err(StoreError::Corrupt { path, offset, what }) => {
                self.derived.damages.add(&path, offset, what);
                false
            }
            applied => applied?,
        };
        if !is_right {
            self.again.insert(mailbox);
        }
        Ok(())
    }

    /// False if the mailbox has lost cells that these changes do not bring back.
    fn apply_changes(&self, open: &Mailbox, mut changes: Vec<(u32, Change)>) -> Result<bool> {
        if open.epoch() < self.derived.epoch {
            let highest = changes.iter().map(|(_, change)| modseq(change)).max().unwrap_or_default();
            let uids = changes.iter().filter_map(|(_, change)| match change {
                Change::Add { added, .. } => Some(added.uid.get().saturating_add(1)),
                _ => None,
            });
            let uid_next = uids.max().unwrap_or(0);
            let mut keep = keeper(self.derived);
            // The last word is for who opens it first: it is to be logged.
            let (epoch, now) = (open.epoch(), self.derived.now());
            open.after_power_cut(epoch, uid_next, highest, now, Raised::ByRecovery, &mut keep)?;
            for (_, change) in &mut changes {
                self.leave_out_lost(change);
            }
        }
        let changes = changes.iter().map(|(seconds, change)| (*seconds, change));
        self.derived.apply_cells(open.id(), changes, None, Pass::Again)?;
        Ok(!open.has_lost_cells())
    }

    /// A copy of a message whose frame is not in the logs was not acknowledged. Its UID and modseq are not given out again.
    fn leave_out_lost(&self, change: &mut Change) {
        let Change::Add { mailbox, added } = change else { return };
        let lost = self
            .derived
            .pages
            .directory(added.message.page)
            .and_then(|directory| directory.is_lost(added.message.index));
        if lost.unwrap_or(false) {
            let uid_next = added.uid.get().saturating_add(1);
            *change = Change::MailboxNumbers { mailbox: *mailbox, uid_next, highest_modseq: added.modseq };
        }
    }

    /// All of it is in the views now: nothing of it is replayed again.
    fn checkpoint(&self) -> Result<()> {
        let is_trusted = self.syncs == Syncs::Trusted;
        if self.frames == 0 && !self.power_cut && !self.everything && is_trusted {
            return Ok(());
        }
        self.derived.disk.sync_file_system(self.partition).map_err(StoreError::io(self.partition, "sync"))?;
        for (writer, ends) in &self.ends {
            // Every log that the last checkpoint did not declare to be in the views is among the ends.
            let page = self.checkpoints.get(writer).map_or(PageId(0), |checkpoint| checkpoint.page);
            let checkpoint = Checkpoint { page, logs: ends.clone() };
            checkpoint.write(&self.derived.disk, self.partition, *writer)?;
        }
        Ok(())
    }
}

/// Changes of a list by version, but snapshots before all others: of the changes up to a snapshot some may be gone.
fn list_order(change: &Change) -> (bool, u64) {
    (!matches!(change, Change::ListSnapshot { .. }), list_version(change))
}

fn user_of(change: &Change) -> Option<UserId> {
    match change {
        Change::UserCreate { user, .. } | Change::UserDelete { user } => Some(*user),
        _ => None,
    }
}

fn is_user_delete(change: &Change) -> bool {
    matches!(change, Change::UserDelete { .. })
}

fn list_version(change: &Change) -> u64 {
    match change {
        Change::MailboxCreate { list_version, .. }
        | Change::MailboxRename { list_version, .. }
        | Change::MailboxDelete { list_version, .. }
        | Change::Subscribe { list_version, .. }
        | Change::ListSnapshot { list_version, .. }
        | Change::Quota { list_version, .. }
        | Change::Attribute { list_version, .. }
        | Change::SpecialUse { list_version, .. } => *list_version,
        _ => 0,
    }
}

/// Keywords come before all changes that may mean them; then Adds, by UID, so that cells come in their order also where modseqs are from
/// elsewhere and do not ascend with UIDs; then the rest, by modseq. An Add says nothing that a later change of the same message does not say again.
fn order(change: &Change) -> (u8, u64) {
    match change {
        Change::Add { added, .. } => (1, u64::from(added.uid.get())),
        Change::Flags { modseq, .. }
        | Change::Expunge { modseq, .. }
        | Change::Seen { modseq, .. }
        | Change::Annotations { modseq, .. } => (2, modseq.0),
        _ => (0, 0),
    }
}

fn modseq(change: &Change) -> ModSeq {
    match change {
        Change::Add { added, .. } => added.modseq,
        Change::Flags { modseq, .. }
        | Change::Expunge { modseq, .. }
        | Change::Seen { modseq, .. }
        | Change::Annotations { modseq, .. } => *modseq,
        _ => ModSeq(0),
    }
}

#[cfg(test)]
mod tests;
