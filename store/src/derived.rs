//! Everything that is derived from the logs, and the one place that puts the changes of a frame into it: catalog, mailbox
//! lists, cells, directories.
//!
//! Who calls `apply` holds the locks of everything it lets `apply` touch: a transaction (all of its frame), a repair (the part of one
//! stripe), or recovery (all, with the store to itself).
//!
//! Order within a frame: directory, rows of new users, cells files of new mailboxes, lists, names of new users (so that who is
//! found has an INBOX), deleted mailboxes, deleted users, then mailbox by mailbox, those that only lose messages last: a message
//! that is moved is never nowhere.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::annotations::file::Record;
use crate::cache::Cache;
use crate::catalog::{Catalog, cells_path, list_path};
use crate::change::Change;
use crate::counters::Counters;
use crate::damage::Damages;
use crate::disk::{Disk, Mutation};
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, MessageId, ModSeq, PageId, Uid, UserId};
use crate::last_step::LastStep;
use crate::lists::{CachedList, MailboxList};
use crate::locks::LockKey;
use crate::log::LogName;
use crate::log::frame::FrameHead;
use crate::mailbox::{AddOutcome, Mailbox};
use crate::page::Pages;
use crate::page::directory::{Directory, MessagePlace};
use crate::quota::usage::Usages;
use crate::seen::{self, CachedSeen, Mark, SeenRuns};

/// Lists kept after they were read.
const CACHED_LISTS: usize = 256;
/// Readers and mailboxes of others whose marks are kept after they were read.
const CACHED_SEEN: usize = 256;

/// Which frame changes come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) log: LogName,
    pub(crate) offset: u64,
    pub(crate) content_len: u64,
    pub(crate) content_hash: u64,
    /// When the frame was made.
    pub(crate) seconds: u32,
    /// Whether the content was given up.
    pub(crate) content_gone: bool,
}

impl Source {
    pub(crate) fn new(log: LogName, offset: u64, head: &FrameHead) -> Source {
        Source {
            log,
            offset,
            content_len: head.content_len,
            content_hash: head.content_hash,
            seconds: head.seconds,
            content_gone: head.content_gone,
        }
    }

    /// What the directory says of the frame's message.
    pub(crate) fn place(&self, header_size: u32) -> MessagePlace {
        MessagePlace {
            writer: self.log.writer,
            bucket: self.log.number,
            frame_offset: self.offset,
            content_len: self.content_len,
            content_hash: self.content_hash,
            header_size,
        }
    }
}

/// Whether changes may be in the views already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// They are not: the transaction that made them puts them there.
    First,
    /// They are not, but for those that the same transaction put there before it was short of something.
    Resumed,
    /// They may be, in part or altogether. What is gone meanwhile is passed over.
    Again,
}

/// The views of the store.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) disk: Disk,
    pub(crate) catalog: Catalog,
    pub(crate) pages: Arc<Pages>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) epoch: u32,
    pub(crate) damages: Damages,
    /// The file that says that views are being made from the beginnings of all logs.
    rebuild: PathBuf,
    pub(crate) usages: Usages,
    pub(crate) last_step: LastStep,
    lists: Cache<UserId, CachedList>,
    mailboxes: Cache<MailboxId, Mailbox>,
    seen: Cache<seen::Key, CachedSeen>,
}

impl Derived {
    /// Opens the views in the partition's folder; `catalog` is the catalog's file.
    pub(crate) fn open(
        disk: &Disk,
        catalog: &Path,
        partition: &Path,
        epoch: u32,
        open_mailboxes: usize,
        counters: Arc<Counters>,
    ) -> Result<Derived> {
        let (pages, users) = (partition.join("pages"), partition.join("users"));
        for folder in [&pages, &users] {
            disk.make_folder(folder).map_err(StoreError::io(folder, "make"))?;
        }
        let rebuild = partition.join("rebuild");
        if !disk.exists(catalog) {
            note_rebuild(disk, &rebuild)?;
        }
        let opened = match Catalog::open(disk, catalog, &users) {
            Err(StoreError::Corrupt { .. }) => {
                // Its head is damaged: it is made again from the logs.
                note_rebuild(disk, &rebuild)?;
                let aside = catalog.with_extension("damaged");
                disk.rename(catalog, &aside).map_err(StoreError::io(catalog, "put aside"))?;
                Catalog::open(disk, catalog, &users)?
            }
            opened => opened?,
        };
        Ok(Derived {
            disk: disk.clone(),
            rebuild,
            catalog: opened,
            pages: Arc::new(Pages::new(disk, pages)),
            counters,
            epoch,
            damages: Damages::default(),
            usages: Usages::new(disk, epoch),
            last_step: LastStep::new(disk, partition.parent().unwrap_or(partition).to_path_buf()),
            lists: Cache::new(CACHED_LISTS),
            mailboxes: Cache::new(open_mailboxes),
            seen: Cache::new(CACHED_SEEN),
        })
    }

    /// Closes the files of what nobody uses.
    pub(crate) fn give_back_files(&self) {
        self.mailboxes.clear_unused();
        self.lists.clear_unused();
        self.seen.clear_unused();
        self.usages.give_back_files();
        self.pages.give_back_files();
    }

    /// The folder of a user.
    pub(crate) fn user_folder(&self, user: UserId) -> Result<PathBuf> {
        let name = self.catalog.name(user)?.ok_or(StoreError::NotFound("user"))?;
        Ok(self.catalog.user_directory(&name))
    }

    /// The cells file of a mailbox.
    pub(crate) fn cells_path(&self, mailbox: MailboxId) -> Result<PathBuf> {
        Ok(cells_path(&self.user_folder(mailbox.user)?, mailbox.number))
    }

    /// A user's list as it is now.
    pub(crate) fn list(&self, user: UserId) -> Result<Arc<MailboxList>> {
        let cached = self.lists.get_or(user, || -> Result<CachedList> {
            Ok(CachedList::new(&self.disk, &list_path(&self.user_folder(user)?), user))
        })?;
        cached.get()
    }

    /// A mailbox, whatever its epoch.
    pub(crate) fn mailbox(&self, mailbox: MailboxId) -> Result<Arc<Mailbox>> {
        let open = || Mailbox::open(&self.disk, &self.cells_path(mailbox)?, mailbox);
        let found = self.mailboxes.get_or(mailbox, open)?;
        if !found.is_perhaps_replaced() {
            return Ok(found);
        }
        // Not what others may have put there meanwhile: they may have opened it before it was replaced.
        let opened = Arc::new(open()?);
        self.mailboxes.replace(mailbox, Arc::clone(&opened));
        Ok(opened)
    }

    /// What a reader has seen of another user's mailbox.
    pub(crate) fn seen_by(&self, mailbox: MailboxId, reader: UserId) -> Result<Arc<CachedSeen>> {
        let open = || Ok(CachedSeen::new(&self.disk, &self.cells_path(mailbox)?, (mailbox, reader)));
        self.seen.get_or((mailbox, reader), open)
    }

    /// Puts changes of what readers have seen into the files beside the cells of `open`. Under the mailbox's lock.
    fn apply_seen<'a>(
        &self,
        open: &Mailbox,
        changes: impl Iterator<Item = &'a Change>,
        pass: Pass,
    ) -> Result<()> {
        let mut readers: BTreeMap<UserId, SeenRuns> = BTreeMap::new();
        for change in changes {
            let Change::Seen { reader, modseq, seen, ranges, .. } = change else { continue };
            let runs = match readers.entry(*reader) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => match self.seen_by(open.id(), *reader)?.get() {
                    // The logs have it; whoever reads it is told that it is damaged.
                    Err(StoreError::Corrupt { .. }) if pass == Pass::Again => continue,
                    runs => entry.insert(SeenRuns::clone(&*runs?)),
                },
            };
            for (first, last) in ranges {
                runs.set(*first, *last, Mark { seen: *seen, modseq: *modseq });
            }
        }
        for (reader, mut runs) in readers {
            runs.tidy(&|first, last| open.may_have_messages(first, last))?;
            self.seen_by(open.id(), reader)?.put(&runs)?;
        }
        Ok(())
    }

    /// Puts changes of annotations into the file beside the cells of `open`. Under the mailbox's lock.
    fn apply_annotations<'a>(
        &self,
        open: &Mailbox,
        changes: impl Iterator<Item = &'a Change>,
        pass: Pass,
    ) -> Result<()> {
        let mut records: Vec<Record> = Vec::new();
        for change in changes {
            let Change::Annotations { reader, modseq, messages, .. } = change else { continue };
            let of_reader = messages.iter().map(|(uid, entries)| (*uid, *reader, *modseq, entries.clone()));
            records.extend(of_reader);
        }
        if records.is_empty() {
            return Ok(());
        }
        match open.annotation_file().append(&records) {
            // The logs have it; whoever reads it is told that it is damaged.
            Err(StoreError::Corrupt { .. }) if pass == Pass::Again => return Ok(()),
            appended => appended?,
        }
        open.mark_annotated();
        self.tidy_annotations(open, false)
    }

    /// Has the user's usage say what is in `open` now. Under the mailbox's lock, whenever its counts were published.
    pub(crate) fn keep_usage(&self, open: &Mailbox) -> Result<()> {
        self.usages.keep(open, || self.user_folder(open.id().user))
    }

    /// What the user's usage says of a mailbox does not count any more, until its counts are published.
    pub(crate) fn forget_usage(&self, mailbox: MailboxId) -> Result<()> {
        self.usages.forget(mailbox, || self.user_folder(mailbox.user))
    }

    /// Forgets an open mailbox.
    pub(crate) fn forget(&self, mailbox: MailboxId) {
        self.mailboxes.forget(mailbox);
    }

    /// Whether the views must be made from the beginnings of all logs, because one was missing, or because that was begun before.
    pub(crate) fn is_rebuild_owed(&self) -> bool {
        self.disk.exists(&self.rebuild)
    }

    /// From now on the views must be made from the beginnings of all logs, until `end_rebuild`.
    pub(crate) fn begin_rebuild(&self) -> Result<()> {
        note_rebuild(&self.disk, &self.rebuild)
    }

    /// The views are made, and durable.
    pub(crate) fn end_rebuild(&self) -> Result<()> {
        match self.disk.remove_file(&self.rebuild) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed
                .and_then(|()| self.disk.sync_folder_of(&self.rebuild))
                .map_err(StoreError::io(&self.rebuild, "remove")),
        }
    }

    /// Gives a view that is to be made again another name, if it is there, so that it can be looked at later.
    pub(crate) fn set_aside(&self, path: &Path) -> Result<()> {
        match self.disk.rename(path, &path.with_extension("damaged")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            renamed => renamed.map_err(StoreError::io(path, "put aside")),
        }
    }

    /// As `set_aside`, for a view that keeps its name until another takes it.
    pub(crate) fn keep_aside(&self, path: &Path) -> Result<()> {
        let aside = path.with_extension("damaged");
        let kept = match self.disk.remove_file(&aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => self.disk.hard_link(path, &aside),
        };
        match kept {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            kept => kept.map_err(StoreError::io(path, "put aside")),
        }
    }

    /// Seconds since 1970, as cells have them.
    pub(crate) fn now(&self) -> u32 {
        u32::try_from(self.disk.now_seconds()).unwrap_or(u32::MAX)
    }

    /// A user is gone. Under the catalog's lock.
    pub(crate) fn delete_user(&self, user: UserId) -> Result<()> {
        self.catalog.apply_delete(user)?;
        self.lists.forget(user);
        Ok(())
    }

    /// As `fill_message`, for a directory in use: a message that is known stays where it is known to be.
    pub(crate) fn mend_message(&self, source: &Source, index: u32, header_size: u32) -> Result<()> {
        let directory = self.pages.directory(source.log.page)?;
        match directory.place_and_state(index) {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(StoreError::Corrupt { .. }) => self.fill_message(source, index, header_size),
            Err(error) => Err(error),
        }
    }

    /// Says in the directory where the message of a frame is that was read from a log, or that it was given up. Recovery only.
    pub(crate) fn fill_message(&self, source: &Source, index: u32, header_size: u32) -> Result<()> {
        let directory = self.pages.directory(source.log.page)?;
        directory.give_out_from(index.saturating_add(1))?;
        directory.fill(index, &source.place(header_size), 0)?;
        if source.content_gone { directory.mark_freed(index) } else { Ok(()) }
    }

    /// Puts those changes of a frame into the views that `concerns` says are the caller's to make.
    pub(crate) fn apply(
        &self,
        source: &Source,
        changes: &[Change],
        concerns: &dyn Fn(LockKey) -> bool,
        pass: Pass,
    ) -> Result<()> {
        let own_message = self.apply_message(source, changes, pass)?;
        let of_catalog = concerns(LockKey::Catalog);
        for change in changes {
            if let Change::UserCreate { user, name } = change {
                // Whichever lock is repaired first: without the row there is no place for the list and INBOX. What is stored is the
                // same whoever does it.
                self.catalog.apply_create(*user, name)?;
            }
        }
        self.make_cells_files(changes, concerns, pass)?;
        self.apply_lists(changes, concerns)?;
        for change in changes {
            let Change::UserCreate { user, name } = change else { continue };
            if (of_catalog || concerns(LockKey::List(*user))) && self.has_list(*user)? {
                self.catalog.apply_name(*user, name)?;
            }
        }
        self.apply_deletes(source.seconds, changes, concerns)?;
        for change in changes.iter().filter(|_| of_catalog) {
            if let Change::UserDelete { user } = change {
                // The folder is put aside at once, so that the name can be given to another. What is in it holds on to its messages
                // until it is collected.
                self.delete_user(*user)?;
            }
        }

        // Changes by mailbox: where each group begins in `order`, whose index is of the change.
        let mut order: Vec<(bool, MailboxId, usize)> = changes
            .iter()
            .enumerate()
            .filter_map(|(index, change)| {
                let mailbox = mailbox_of_cells(change)?;
                concerns(LockKey::Mailbox(mailbox)).then_some((
                    matches!(change, Change::Expunge { .. }),
                    mailbox,
                    index,
                ))
            })
            .collect();
        order.sort_unstable();
        for group in order.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let changes = group.iter().map(|(_, _, index)| (source.seconds, &changes[*index]));
            match self.apply_cells(group[0].1, changes, own_message, pass) {
                // A damaged mailbox is no reason to keep others from what is behind the same lock. The logs have the change.
                Err(StoreError::Corrupt { .. }) if pass == Pass::Again => (),
                applied => applied?,
            }
        }
        Ok(())
    }

    /// Fills the directory cell of the frame's message. Returns the message.
    fn apply_message(&self, source: &Source, changes: &[Change], pass: Pass) -> Result<Option<MessageId>> {
        let Some(Change::Message { index, header_size }) = changes.first() else {
            return Ok(None);
        };
        let references = match pass {
            Pass::First | Pass::Resumed => {
                changes.iter().filter(|change| matches!(change, Change::Add { .. })).count()
            }
            // Counted one by one where they turn out to be new.
            Pass::Again => 0,
        };
        let directory = self.pages.directory(source.log.page)?;
        let references = u32::try_from(references).unwrap_or(u32::MAX);
        directory.fill(*index, &source.place(*header_size), references)?;
        Ok(Some(MessageId { page: source.log.page, index: *index }))
    }

    /// Whether a user's list is there. (Not so for one who was deleted, or whose list is repaired later.)
    fn has_list(&self, user: UserId) -> Result<bool> {
        match self.list(user) {
            Err(StoreError::NotFound(_)) => Ok(false),
            list => Ok(list?.version() > 0),
        }
    }

    /// Before the list names a new mailbox, it can be opened.
    pub(crate) fn make_cells_files(
        &self,
        changes: &[Change],
        concerns: &dyn Fn(LockKey) -> bool,
        pass: Pass,
    ) -> Result<()> {
        // Replay has the whole life of a mailbox at once: one that ends is not made again.
        let is_deleted = |made: &MailboxId| {
            changes
                .iter()
                .any(|change| matches!(change, Change::MailboxDelete { mailbox, .. } if mailbox == made))
        };
        for change in changes {
            let Change::MailboxCreate { mailbox, list_version, uid_validity, placeholder: false, .. } =
                change
            else {
                continue;
            };
            if pass == Pass::Again && is_deleted(mailbox) {
                continue;
            }
            if !concerns(LockKey::List(mailbox.user)) && !concerns(LockKey::Mailbox(*mailbox)) {
                continue;
            }
            let path = match self.cells_path(*mailbox) {
                // The user was deleted later.
                Err(StoreError::NotFound(_)) if pass == Pass::Again => continue,
                path => path?,
            };
            let is_ours = || {
                let there = Mailbox::open(&self.disk, &path, *mailbox);
                there.is_ok_and(|there| there.uid_validity() == *uid_validity && there.epoch() == self.epoch)
            };
            if pass == Pass::Resumed && is_ours() {
                // It may be in the list already, and somebody have it open.
                continue;
            }
            if pass != Pass::Again {
                Mailbox::create(&self.disk, &path, *mailbox, *uid_validity, self.epoch)?;
                self.forget(*mailbox);
                continue;
            }
            let there = match Mailbox::open(&self.disk, &path, *mailbox) {
                Ok(there) if there.uid_validity() == *uid_validity => continue,
                Err(StoreError::NotFound(_)) => false,
                _ => true,
            };
            if self.is_gone(*mailbox, *list_version)? {
                continue;
            }
            // It may have been there with UIDs that were seen: epoch 0 has them skipped when it is opened.
            if there {
                Mailbox::create(&self.disk, &path, *mailbox, *uid_validity, 0)?;
            } else {
                Mailbox::create_missing(&self.disk, &path, *mailbox, *uid_validity, 0)?;
            }
            self.forget(*mailbox);
        }
        Ok(())
    }

    /// Whether a mailbox that was made by that version of the list is deleted: a later list does not name it.
    fn is_gone(&self, mailbox: MailboxId, list_version: u64) -> Result<bool> {
        let list = self.list(mailbox.user)?;
        Ok(list.version() >= list_version && list.by_number(mailbox.number).is_none())
    }

    fn apply_lists(&self, changes: &[Change], concerns: &dyn Fn(LockKey) -> bool) -> Result<()> {
        let mut users: Vec<UserId> = changes.iter().filter_map(list_of).collect();
        users.sort_unstable();
        users.dedup();
        for user in users.into_iter().filter(|user| concerns(LockKey::List(*user))) {
            self.apply_list(user, changes.iter().filter(|change| list_of(change) == Some(user)))?;
        }
        Ok(())
    }

    /// Puts changes of one user's list into it, in the order of their versions.
    pub(crate) fn apply_list<'a>(
        &self,
        user: UserId,
        changes: impl Iterator<Item = &'a Change>,
    ) -> Result<()> {
        let folder = match self.user_folder(user) {
            // The user was deleted later.
            Err(StoreError::NotFound(_)) => return Ok(()),
            folder => folder?,
        };
        let before = self.list(user)?;
        let mut list = MailboxList::clone(&before);
        changes.for_each(|change| list.apply(change));
        if list.version() == before.version() {
            return Ok(());
        }
        self.disk.make_folder(&folder).map_err(StoreError::io(&folder, "make"))?;
        list.write(&self.disk, &list_path(&folder))
    }

    /// A mailbox that the list does not name any more: sessions that have it open learn of it. It stays where it is and holds on to its
    /// messages until it is collected.
    pub(crate) fn apply_deletes(
        &self,
        seconds: u32,
        changes: &[Change],
        concerns: &dyn Fn(LockKey) -> bool,
    ) -> Result<()> {
        for change in changes {
            let Change::MailboxDelete { mailbox, .. } = change else { continue };
            if !concerns(LockKey::Mailbox(*mailbox)) {
                continue;
            }
            let open = match self.mailbox(*mailbox).or_else(|error| self.put_away(*mailbox, error)) {
                // A placeholder, or deleted already.
                Err(StoreError::NotFound(_)) => continue,
                open => open?,
            };
            if !open.is_deleted()? {
                let mut writer = open.writer()?;
                writer.mark_deleted(seconds);
                writer.publish(ModSeq(open.highest_modseq()?.0 + 1), open.uid_next()?);
                self.keep_usage(&open)?;
            }
            self.forget(*mailbox);
        }
        Ok(())
    }

    /// The mailbox of a user whose folder was put aside before that mailbox's turn came; `error` if it is not there either.
    fn put_away(&self, mailbox: MailboxId, error: StoreError) -> Result<Arc<Mailbox>> {
        match (&error, self.catalog.folder_put_away(mailbox.user)?) {
            (StoreError::NotFound(_), Some(folder)) => {
                Mailbox::open(&self.disk, &cells_path(&folder, mailbox.number), mailbox).map(Arc::new)
            }
            _ => Err(error),
        }
    }

    /// Puts changes of one mailbox's cells into it, in the order given, each with the time of its frame, and publishes them. `own_message` is the message whose
    /// references the directory has counted already.
    pub(crate) fn apply_cells<'a>(
        &self,
        mailbox: MailboxId,
        changes: impl Iterator<Item = (u32, &'a Change)>,
        own_message: Option<MessageId>,
        pass: Pass,
    ) -> Result<()> {
        let open = match self.mailbox(mailbox) {
            Err(StoreError::NotFound(_)) if pass == Pass::Again => return Ok(()),
            open => open?,
        };
        if pass == Pass::Again && open.is_released()? {
            return Ok(());
        }
        let counted = if pass == Pass::Again { None } else { own_message };
        let mut directories = LastDirectory { pages: &self.pages, last: None };
        let mut writer = open.writer()?;
        let mut highest_modseq = ModSeq(0);
        let mut uid_next = 0;
        let mut gone = Vec::new();
        let mut counted_late = Vec::new();
        let mut seen = Vec::new();
        let mut annotated = Vec::new();
        for (seconds, change) in changes {
            match change {
                Change::Seen { modseq, ranges, .. } => {
                    highest_modseq = highest_modseq.max(*modseq);
                    uid_next = uid_next.max(behind(ranges.last().map(|(_, last)| *last)));
                    seen.push(change);
                }
                Change::Annotations { modseq, messages, .. } => {
                    highest_modseq = highest_modseq.max(*modseq);
                    uid_next = uid_next.max(behind(messages.last().map(|(uid, _)| *uid)));
                    annotated.push(change);
                }
                Change::Add { added, .. } => {
                    highest_modseq = highest_modseq.max(added.modseq);
                    uid_next = uid_next.max(behind(Some(added.uid)));
                    if pass == Pass::Again && writer.is_forgotten(added)? {
                        continue;
                    }
                    // First the count, then the cell, so that a count is never too low.
                    let mut to_count = Some(added.message) != counted;
                    let late = to_count && self.disk.mutated(Mutation::CellBeforeCount);
                    if to_count && !late {
                        match directories.get(added.message.page)?.add_reference(added.message.index) {
                            // It was freed, so it is expunged by a change that is durable, too.
                            Err(StoreError::Gone(_)) if pass == Pass::Again => {
                                to_count = false;
                                gone.push(added.uid);
                            }
                            outcome => outcome?,
                        }
                    }
                    let outcome = writer.apply_add(added)?;
                    if outcome == AddOutcome::New {
                        self.counters.cells_added.add(1);
                        if late {
                            counted_late.push(added.message);
                        }
                    } else if to_count && !late {
                        directories.get(added.message.page)?.drop_reference(added.message.index)?;
                    }
                }
                Change::Flags { modseq, messages, .. } => {
                    highest_modseq = highest_modseq.max(*modseq);
                    uid_next = uid_next.max(behind(messages.last().map(|(uid, _)| *uid)));
                    for (uid, flags) in messages {
                        writer.apply_flags(*uid, *flags, *modseq)?;
                    }
                }
                Change::Expunge { modseq, uids, .. } => {
                    highest_modseq = highest_modseq.max(*modseq);
                    uid_next = uid_next.max(behind(uids.last().copied()));
                    for uid in uids {
                        writer.apply_expunge(*uid, *modseq, seconds)?;
                    }
                }
                Change::Keyword { bit, name, .. } => writer.apply_keyword(*bit, name)?,
                Change::MailboxNumbers { uid_next: next, highest_modseq: highest, .. } => {
                    highest_modseq = highest_modseq.max(*highest);
                    uid_next = uid_next.max(*next);
                }
                _ => (),
            }
        }
        for uid in gone {
            writer.apply_gone(uid, highest_modseq)?;
        }
        // Before whoever reads the published modseq looks for what it brought.
        self.apply_seen(&open, seen.into_iter(), pass)?;
        self.apply_annotations(&open, annotated.into_iter(), pass)?;
        writer.publish(highest_modseq, uid_next);
        for message in counted_late {
            if self.disk.mutated(Mutation::CellBeforeCount) {
                directories.get(message.page)?.add_reference(message.index)?;
            }
        }
        self.keep_usage(&open)
    }
}

/// The UIDNEXT that `uid` proves, at least; 0 for none.
fn behind(uid: Option<Uid>) -> u32 {
    uid.map_or(0, |uid| uid.get().saturating_add(1))
}

fn note_rebuild(disk: &Disk, path: &Path) -> Result<()> {
    if disk.exists(path) {
        return Ok(());
    }
    disk.replace_file(path, b"lode rebuild 1\n").map_err(StoreError::io(path, "write"))
}

/// The directory used last, for runs of messages of one page.
struct LastDirectory<'a> {
    pages: &'a Pages,
    last: Option<(PageId, Arc<Directory>)>,
}

impl LastDirectory<'_> {
    fn get(&mut self, page: PageId) -> Result<&Directory> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != page) {
            self.last = Some((page, self.pages.directory(page)?));
        }
        match &self.last {
            Some((_, directory)) => Ok(directory),
            None => Err(StoreError::NotFound("page")),
        }
    }
}

/// The mailbox whose cells `change` is about.
pub(crate) fn mailbox_of_cells(change: &Change) -> Option<MailboxId> {
    match change {
        Change::Add { mailbox, .. }
        | Change::Flags { mailbox, .. }
        | Change::Expunge { mailbox, .. }
        | Change::Keyword { mailbox, .. }
        | Change::Seen { mailbox, .. }
        | Change::Annotations { mailbox, .. }
        | Change::MailboxNumbers { mailbox, .. } => Some(*mailbox),
        Change::MailboxSnapshot(snapshot) => Some(snapshot.mailbox),
        _ => None,
    }
}

/// The user whose list `change` is about.
pub(crate) fn list_of(change: &Change) -> Option<UserId> {
    match change {
        Change::MailboxCreate { mailbox, .. }
        | Change::MailboxRename { mailbox, .. }
        | Change::MailboxDelete { mailbox, .. }
        | Change::SpecialUse { mailbox, .. } => Some(mailbox.user),
        Change::ListSnapshot { user, .. }
        | Change::Subscribe { user, .. }
        | Change::Quota { user, .. }
        | Change::Attribute { user, .. } => Some(*user),
        _ => None,
    }
}
