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
//! If the catalog or a directory is missing, or a view that changes are to be put into is damaged, all logs are replayed from their
//! beginnings. The file `rebuild` says so before the first view is made or put aside, and goes when all are durable: a rebuild that was cut
//! short is begun again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::change::Change;
use crate::checkpoint::{Checkpoint, LogPosition};
use crate::derived::{Derived, Pass, Source, list_of, mailbox_of_cells};
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, MessageId, ModSeq, PageId, UserId};
use crate::locks::LockKey;
use crate::log::frame::LOG_HEAD_BYTES;
use crate::log::logs::{log_path, logs_of_page};
use crate::log::reader::Frame;
use crate::log::{LogKind, LogName, LogReader};
use crate::mailbox::Cell;

/// Views that one recovery puts aside, at most.
const PUT_ASIDE_MOST: usize = 1000;

/// Replays. The caller has the store to itself. A view that turns out to be damaged is put aside and made again from the logs.
pub(crate) fn run(partition: &Path, derived: &Derived, power_cut: bool) -> Result<()> {
    if is_directory_missing(derived)? {
        derived.begin_rebuild()?;
    }
    for _ in 0..PUT_ASIDE_MOST {
        match run_once(partition, derived, power_cut) {
            Err(StoreError::Corrupt { path, .. }) if derived.put_aside(&path)? => (),
            outcome => return outcome,
        }
    }
    run_once(partition, derived, power_cut)
}

fn run_once(partition: &Path, derived: &Derived, power_cut: bool) -> Result<()> {
    let from_start = derived.is_rebuild_owed();
    let mut replay = Replay::new(partition, derived, power_cut, from_start);
    for page in derived.pages.all()? {
        for name in logs_of_page(&derived.disk, derived.pages.root(), page)? {
            replay.read_log(name)?;
        }
    }
    if power_cut {
        replay.mark_lost()?;
    }
    replay.apply()?;
    replay.checkpoint()?;
    if from_start { derived.end_rebuild() } else { Ok(()) }
}

/// Whether a page with buckets has lost its directory.
fn is_directory_missing(derived: &Derived) -> Result<bool> {
    for page in derived.pages.all()? {
        let logs = logs_of_page(&derived.disk, derived.pages.root(), page)?;
        let has_messages = logs.iter().any(|log| log.kind == LogKind::Bucket);
        if has_messages && !derived.disk.exists(&derived.pages.folder(page).join("directory")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the message of a cell, as far as recovery found out. An unreadable directory cell is no verdict.
pub(crate) fn is_kept(derived: &Derived, cell: &Cell) -> bool {
    let lost = |message: MessageId| derived.pages.directory(message.page)?.is_lost(message.index);
    !lost(cell.message).unwrap_or(false)
}

struct Replay<'a> {
    partition: &'a Path,
    derived: &'a Derived,
    power_cut: bool,
    /// A view is missing altogether: everything is replayed, whatever the checkpoints say.
    from_start: bool,
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
}

impl<'a> Replay<'a> {
    fn new(partition: &'a Path, derived: &'a Derived, power_cut: bool, from_start: bool) -> Replay<'a> {
        Replay {
            partition,
            derived,
            power_cut,
            from_start,
            checkpoints: BTreeMap::new(),
            ends: BTreeMap::new(),
            users: Vec::new(),
            lists: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            messages: BTreeMap::new(),
            frames: 0,
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
            _ if self.from_start => LOG_HEAD_BYTES,
            Some(from) => from.max(LOG_HEAD_BYTES),
            None => return Ok(()),
        };
        let path = log_path(self.derived.pages.root(), name);
        let Some(reader) = LogReader::open(&self.derived.disk, &path, name)? else {
            return Ok(());
        };
        let mut offset = from;
        while let Some(frame) = reader.frame_at(offset)? {
            // Once a frame was not written to the end, no later one of this log was acknowledged. (A log of this epoch was
            // never in a power cut.)
            if reader.head().epoch < self.derived.epoch && !reader.content_is_whole(&frame)? {
                break;
            }
            offset = frame.end();
            self.take_in(name, frame)?;
        }
        self.ends.entry(name.writer).or_default().push(LogPosition { name, position: offset });
        Ok(())
    }

    fn take_in(&mut self, name: LogName, frame: Frame) -> Result<()> {
        self.frames += 1;
        let source = Source::new(name, frame.offset, &frame.head);
        for change in frame.changes {
            if let Change::Message { index, header_size } = change {
                let directory = self.derived.pages.directory(name.page)?;
                directory.give_out_from(index.saturating_add(1))?;
                directory.fill(index, &source.place(header_size), 0)?;
                self.messages.entry(name.page).or_default().insert(index);
            } else if let Some(user) = list_of(&change) {
                self.lists.entry(user).or_default().push(change);
            } else if let Some(mailbox) = mailbox_of_cells(&change) {
                self.mailboxes.entry(mailbox).or_default().push((source.seconds, change));
            } else {
                self.users.push(change);
            }
        }
        Ok(())
    }

    /// Directory cells of frames that are not in the logs any more.
    fn mark_lost(&mut self) -> Result<()> {
        let Some(oldest) = self.oldest_page() else {
            return Ok(());
        };
        for page in self.derived.pages.all()?.into_iter().filter(|page| *page >= oldest) {
            let directory = self.derived.pages.directory(page)?;
            let known = self.messages.remove(&page).unwrap_or_default();
            let given_out =
                directory.given_out()?.saturating_add(self.derived.disk.sizes().directory_cells_skipped);
            directory.give_out_from(given_out)?;
            for index in (0..given_out).filter(|index| !known.contains(index)) {
                let lost = match directory.place(index) {
                    Ok(Some(place)) => {
                        let log = LogName {
                            page,
                            kind: LogKind::Bucket,
                            writer: place.writer,
                            number: place.bucket,
                        };
                        // A frame behind the checkpoint that replay did not meet. Those before it are on the disk.
                        let from = self.checkpoint_of(place.writer)?.replay_from(log);
                        from.is_some_and(|from| place.frame_offset >= from)
                    }
                    // Given out, but its frame is not there; or not given out, and will not be.
                    Ok(None) => true,
                    // Damaged: a checksum that is wrong proves nothing of the message.
                    Err(StoreError::Corrupt { .. }) => false,
                    Err(error) => return Err(error),
                };
                if lost {
                    directory.mark_lost(index)?;
                }
            }
        }
        Ok(())
    }

    /// The first page that frames may have been lost in.
    fn oldest_page(&self) -> Option<PageId> {
        self.checkpoints
            .values()
            .flat_map(|checkpoint| {
                checkpoint.logs.iter().map(|log| log.name.page).chain(std::iter::once(checkpoint.page))
            })
            .min()
    }

    fn apply(&mut self) -> Result<()> {
        let everything = |_: LockKey| true;
        // Frames of catalogs and lists have no place of their own to fill in.
        let nowhere = Source {
            log: LogName { page: self.derived.disk.today(), kind: LogKind::Journal, writer: 0, number: 0 },
            offset: 0,
            content_len: 0,
            content_hash: 0,
            seconds: u32::try_from(self.derived.disk.now_seconds()).unwrap_or(u32::MAX),
        };
        // By number, each with its end: one name may have been given to several, one after the other.
        let mut users = std::mem::take(&mut self.users);
        users.sort_by_key(|change| match change {
            Change::UserDelete { user } => (*user, true),
            Change::UserCreate { user, .. } => (*user, false),
            _ => (UserId(0), false),
        });
        let mut made = Vec::new();
        for change in users {
            if let Change::UserCreate { user, name } = &change {
                made.push((*user, name.clone()));
            }
            if let Change::UserDelete { user } = change {
                self.lists.remove(&user);
                self.mailboxes.retain(|mailbox, _| mailbox.user != user);
            }
            self.derived.apply(&nowhere, &[change], &everything, Pass::Again)?;
        }
        for mut changes in std::mem::take(&mut self.lists).into_values() {
            changes.sort_by_key(list_version);
            self.derived.apply(&nowhere, &changes, &everything, Pass::Again)?;
        }
        for (user, name) in made {
            self.derived.catalog.apply_name(user, &name)?;
        }
        for (mailbox, changes) in std::mem::take(&mut self.mailboxes) {
            self.apply_mailbox(mailbox, changes)?;
        }
        Ok(())
    }

    fn apply_mailbox(&self, mailbox: MailboxId, mut changes: Vec<(u32, Change)>) -> Result<()> {
        changes.sort_by_key(|(_, change)| order(change));
        let open = match self.derived.mailbox(mailbox) {
            // Deleted, or its user was.
            Err(StoreError::NotFound(_)) => return Ok(()),
            open => open?,
        };
        if open.epoch() < self.derived.epoch {
            let highest = changes.iter().map(|(_, change)| modseq(change)).max().unwrap_or_default();
            let uids = changes.iter().filter_map(|(_, change)| match change {
                Change::Add { added, .. } => Some(added.uid.get().saturating_add(1)),
                _ => None,
            });
            let uid_next = uids.max().unwrap_or(0);
            let mut keep = |cell: &Cell| is_kept(self.derived, cell);
            let seconds = u32::try_from(self.derived.disk.now_seconds()).unwrap_or(u32::MAX);
            open.after_power_cut(self.derived.epoch, uid_next, highest, seconds, &mut keep)?;
        }
        let changes = changes.iter().map(|(seconds, change)| (*seconds, change));
        self.derived.apply_cells(mailbox, changes, None, Pass::Again)
    }

    /// All of it is in the views now: nothing of it is replayed again.
    fn checkpoint(&self) -> Result<()> {
        if self.frames == 0 && !self.power_cut && !self.from_start {
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

fn list_version(change: &Change) -> u64 {
    match change {
        Change::MailboxCreate { list_version, .. }
        | Change::MailboxRename { list_version, .. }
        | Change::MailboxDelete { list_version, .. }
        | Change::Subscribe { list_version, .. }
        | Change::Quota { list_version, .. }
        | Change::SpecialUse { list_version, .. } => *list_version,
        _ => 0,
    }
}

/// Keywords come before all changes that may mean them; then Adds, by UID, so that cells come in their order also where modseqs are from
/// elsewhere and do not ascend with UIDs; then the rest, by modseq. An Add says nothing that a later change of the same message does not say again.
fn order(change: &Change) -> (u8, u64) {
    match change {
        Change::Add { added, .. } => (1, u64::from(added.uid.get())),
        Change::Flags { modseq, .. } | Change::Expunge { modseq, .. } => (2, modseq.0),
        _ => (0, 0),
    }
}

fn modseq(change: &Change) -> ModSeq {
    match change {
        Change::Add { added, .. } => added.modseq,
        Change::Flags { modseq, .. } | Change::Expunge { modseq, .. } => *modseq,
        _ => ModSeq(0),
    }
}
