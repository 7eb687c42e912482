//! Journals of days long past are removed: first, what they say is said once more, shorter, in today's journal. Of each mailbox that they mention, its cells as
//! they are now; of each user, the list.
//!
//! Order: the state is read under the lock; a `syncfs` makes durable all frames it came from, whosever they are; then the snapshots are
//! appended and made durable; then the journals go. So a snapshot never says what a power cut may still take back, and a journal is there until
//! nothing needs it. Buckets stay: they hold the messages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::catalog::list_path;
use crate::change::{Change, MailboxSnapshot, SnapshotCell, codec};
use crate::checkpoint::Checkpoint;
use crate::derived::{list_of, mailbox_of_cells};
use crate::error::{Result, StoreError};
use crate::gc::Gate;
use crate::ids::{CellIndex, MailboxId, ModSeq, PageId, Ticket, Uid, UserId};
use crate::locks::LockKey;
use crate::log::frame::CHANGES_MOST_BYTES;
use crate::log::logs::{log_path, logs_of_page};
use crate::log::{FrameHead, LogKind, LogName};
use crate::recovery;
use crate::seen;
use crate::store::Store;

/// Changes of what readers have seen in one frame.
const CHANGES_A_FRAME: usize = 1 << 12;
/// Octets of annotations in one frame, or those of one message.
const ANNOTATION_FRAME_BYTES: usize = 1 << 20;
/// Annotated messages that are written down under one taking of the mailbox's lock, at most.
const ANNOTATED_AT_ONCE: usize = 1 << 14;
/// Cells in one part of a snapshot.
const CELLS_A_PART: usize = 1 << 16;
/// So much is read before it is written, or one mailbox.
const BATCH_BYTES: usize = 16 << 20;
/// Who restores a mailbox from elsewhere may be at it for a day: its messages have older modseqs than the mailbox.
const DAYS_KEPT_LEAST: u32 = 2;
const GATE_WAIT: Duration = Duration::from_secs(10);

/// What `Store::prune_journals` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Journals that are gone.
    pub journals: u64,
    /// Their octets.
    pub octets: u64,
    /// Mailboxes that were written down anew.
    pub mailboxes: u64,
    /// Lists that were.
    pub lists: u64,
    /// Journals that stay although they are old enough: they may be replayed yet, or are damaged.
    pub left: u64,
}

/// Encoded changes of one frame.
type FrameChanges = Vec<u8>;

impl Store {
    /// Removes the journals of pages before `before`, and writes down anew what they say and is still so. At most up to the day before
    /// yesterday. Others use the store meanwhile. One process at a time.
    ///
    /// Errors: `Corrupt` if a mailbox that must be written down is damaged: repair it first. `Busy` if a backup copies logs for long.
    pub fn prune_journals(&self, before: PageId) -> Result<PruneReport> {
        self.check_writable()?;
        self.check_no_failed_sync()?;
        let mut report = PruneReport::default();
        let before = before.min(PageId(self.derived.disk.today().0.saturating_sub(DAYS_KEPT_LEAST)));
        let mut old = Vec::new();
        for page in self.pages.all()?.into_iter().filter(|page| *page < before) {
            for name in logs_of_page(&self.derived.disk, self.pages.root(), page)? {
                if name.kind == LogKind::Journal {
                    old.push(name);
                }
            }
        }
        let (mut users, mut mailboxes) = (BTreeSet::new(), BTreeSet::new());
        let mut pruned = Vec::new();
        for name in old {
            if self.is_in_views(name)? && self.note_mentions(name, &mut users, &mut mailboxes)? {
                pruned.push(name);
            } else {
                report.left += 1;
            }
        }
        if pruned.is_empty() {
            return Ok(report);
        }
        self.write_snapshots(&users, &mailboxes, &mut report)?;
        self.check_no_failed_sync()?;
        let gate = Gate::exclusive(&self.runtime_dir, GATE_WAIT)?;
        let _gate = gate.ok_or(StoreError::Busy("the logs, which a backup copies,"))?;
        for name in pruned {
            let path = log_path(self.pages.root(), name);
            let octets = self.derived.disk.metadata(&path).map_or(0, |metadata| metadata.len());
            match self.derived.disk.remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::io(&path, "remove")(error));
                }
                _ => (),
            }
            report.journals += 1;
            report.octets += octets;
        }
        Ok(report)
    }

    /// The first page whose journals are kept; `None` if all are.
    pub(crate) fn journals_kept_from(&self) -> Option<PageId> {
        if self.journal_days == 0 {
            return None;
        }
        let days = self.journal_days.max(self.history_days);
        Some(PageId(self.derived.disk.today().0.saturating_sub(days)))
    }

    fn check_no_failed_sync(&self) -> Result<()> {
        crate::gc::check_syncs(self)
    }

    /// Whether replay has no need of the log: its writer's checkpoint says that all of it is in the views.
    pub(crate) fn is_in_views(&self, name: LogName) -> Result<bool> {
        let checkpoint = Checkpoint::read(&self.derived.disk, self.partition(), name.writer)?;
        Ok(checkpoint.replay_from(name).is_none())
    }

    /// Notes of whom and of what a journal speaks. False if it cannot be read altogether.
    fn note_mentions(
        &self,
        name: LogName,
        users: &mut BTreeSet<UserId>,
        mailboxes: &mut BTreeSet<MailboxId>,
    ) -> Result<bool> {
        recovery::read_whole_log(&self.derived, name, &mut |change| {
            if let Some(user) = list_of(change) {
                users.insert(user);
                if let Change::MailboxCreate { mailbox, placeholder: false, .. } = change {
                    mailboxes.insert(*mailbox);
                }
            } else if let Some(mailbox) = mailbox_of_cells(change) {
                mailboxes.insert(mailbox);
            } else if let Change::UserCreate { user, .. } | Change::UserDelete { user } = change {
                users.insert(*user);
            }
        })
    }

    fn write_snapshots(
        &self,
        users: &BTreeSet<UserId>,
        mailboxes: &BTreeSet<MailboxId>,
        report: &mut PruneReport,
    ) -> Result<()> {
        let mut batch: Vec<FrameChanges> = Vec::new();
        let mut ticket = Ticket(0);
        for user in users {
            if let Some(changes) = self.list_snapshot(*user)? {
                report.lists += 1;
                batch.push(encode(&[changes]));
            }
        }
        // The number of a deleted user is not given to another: somebody must still mention it.
        if let Some(last) = self.derived.catalog.next_user()?.0.checked_sub(1).filter(|last| *last > 0) {
            let user = UserId(last);
            if self.derived.catalog.name(user)?.is_none() {
                batch.push(encode(&[Change::UserDelete { user }]));
            }
        }
        for mailbox in mailboxes {
            let Some(parts) = self.mailbox_snapshot(*mailbox)? else { continue };
            report.mailboxes += 1;
            batch.extend(parts.into_iter().map(|part| encode(&[part])));
            batch.extend(self.seen_snapshot(*mailbox)?.chunks(CHANGES_A_FRAME).map(encode));
            let mut annotated_from = Uid::new(1);
            while let Some(from) = annotated_from {
                annotated_from = self.annotation_snapshot(*mailbox, from, &mut batch)?;
                if annotated_from.is_some() {
                    ticket = self.append_snapshots(&mut batch)?.max(ticket);
                }
            }
            if batch.iter().map(Vec::len).sum::<usize>() >= BATCH_BYTES {
                ticket = self.append_snapshots(&mut batch)?.max(ticket);
            }
        }
        ticket = self.append_snapshots(&mut batch)?.max(ticket);
        self.wait(ticket).map_err(|error| StoreError::Failed(error.to_string()))
    }

    /// The list of a user as it is now; `None` if there is no such user.
    fn list_snapshot(&self, user: UserId) -> Result<Option<Change>> {
        let Some(name) = self.derived.catalog.name(user)? else { return Ok(None) };
        let held = self.take(&[LockKey::List(user)])?;
        let list = self.derived.list(user)?;
        drop(held);
        if list.version() == 0 {
            let path = list_path(&self.derived.user_folder(user)?);
            return Err(StoreError::corrupt(&path, 0, "the mailbox list is missing"));
        }
        Ok(Some(Change::ListSnapshot { user, name, list_version: list.version(), list: list.encode() }))
    }

    /// A mailbox as it is now, in parts; `None` if it is deleted.
    fn mailbox_snapshot(&self, mailbox: MailboxId) -> Result<Option<Vec<Change>>> {
        if !recovery::is_named(&self.derived, mailbox)? {
            return Ok(None);
        }
        let held = self.take(&[LockKey::Mailbox(mailbox)])?;
        let open = match self.mailbox_held(mailbox, &held) {
            Err(StoreError::NotFound(_)) => return Ok(None),
            open => open?,
        };
        let all = open.cells()?;
        let mut cells = Vec::with_capacity(all.count() as usize);
        for index in (0..all.count()).map(CellIndex) {
            let cell = all.cell(index)?;
            if !cell.holds_reference() {
                continue;
            }
            cells.push(SnapshotCell {
                added: cell.as_added(),
                expunged_at: cell.expunged.then_some(cell.expunged_at),
            });
        }
        let keywords: Vec<(u8, String)> =
            open.keywords()?.iter().map(|(bit, name)| (bit, name.to_string())).collect();
        let (uid_next, highest_modseq) = (open.uid_next()?, open.highest_modseq()?);
        drop(held);
        let parts = cells.len().div_ceil(CELLS_A_PART).max(1);
        let part = |part: usize| {
            let end = ((part + 1) * CELLS_A_PART).min(cells.len());
            Change::MailboxSnapshot(Box::new(MailboxSnapshot {
                mailbox,
                part: part as u32,
                parts: parts as u32,
                uid_next,
                highest_modseq,
                keywords: keywords.clone(),
                cells: cells[part * CELLS_A_PART..end].to_vec(),
            }))
        };
        Ok(Some((0..parts).map(part).collect()))
    }

    /// What readers who are not the owner have seen of a mailbox, as changes that say it again.
    fn seen_snapshot(&self, mailbox: MailboxId) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        let _held = self.take(&[LockKey::Mailbox(mailbox)])?;
        let cells = self.derived.cells_path(mailbox)?;
        for reader in seen::readers(&self.derived.disk, &cells)? {
            let runs = self.derived.seen_by(mailbox, reader)?.get()?;
            let mut same: BTreeMap<(ModSeq, bool), Vec<(Uid, Uid)>> = BTreeMap::new();
            for (first, last, mark) in runs.all() {
                if let (Some(first), Some(last)) = (Uid::new(first), Uid::new(last)) {
                    same.entry((mark.modseq, mark.seen)).or_default().push((first, last));
                }
            }
            let change = |((modseq, seen), ranges)| Change::Seen { mailbox, reader, modseq, seen, ranges };
            changes.extend(same.into_iter().map(change));
        }
        Ok(changes)
    }

    /// Appends to `batch` annotations of a mailbox from a UID on, as changes that say them again. From where there are more, if it was enough.
    pub(crate) fn annotation_snapshot(
        &self,
        mailbox: MailboxId,
        from: Uid,
        batch: &mut Vec<FrameChanges>,
    ) -> Result<Option<Uid>> {
        let held = self.take(&[LockKey::Mailbox(mailbox)])?;
        let open = match self.mailbox_held(mailbox, &held) {
            Err(StoreError::NotFound(_)) => return Ok(None),
            open => open?,
        };
        let uids = open.annotated_uids(from, ANNOTATED_AT_ONCE)?;
        let (mut octets, mut frame) = (0, FrameChanges::new());
        let mut last = None;
        for uid in &uids {
            for (reader, modseq, entries) in open.annotation_file().of(*uid)? {
                let messages = vec![(*uid, entries)];
                let before = frame.len();
                codec::encode(&[Change::Annotations { mailbox, reader, modseq, messages }], &mut frame);
                octets += frame.len() - before;
                if frame.len() >= ANNOTATION_FRAME_BYTES {
                    batch.push(std::mem::take(&mut frame));
                }
            }
            last = Some(*uid);
            if octets >= BATCH_BYTES {
                break;
            }
        }
        batch.extend(Some(frame).filter(|frame| !frame.is_empty()));
        let is_all = uids.len() < ANNOTATED_AT_ONCE && last == uids.last().copied();
        Ok(last.filter(|_| !is_all).and_then(|last| Uid::new(last.get().checked_add(1)?)))
    }

    /// Appends a frame that says what the views say already.
    pub(crate) fn append_snapshot(&self, changes: FrameChanges) -> Result<Ticket> {
        if changes.len() > CHANGES_MOST_BYTES {
            return Err(StoreError::Failed("a snapshot is longer than a frame can be".to_string()));
        }
        let log = self.logs.journal()?;
        let head = FrameHead::of_changes(log.id(), &changes, self.derived.now());
        log.append(&head, &[], &changes, |_| ())?.applied();
        self.counters.frames.add(1);
        self.counters.journal_bytes_written.add(head.frame_len());
        Ok(self.committer.ticket(&log, Vec::new()))
    }

    /// Makes durable all that the snapshots were made of, then appends them. They change no view, so no lock is needed.
    fn append_snapshots(&self, batch: &mut Vec<FrameChanges>) -> Result<Ticket> {
        if batch.is_empty() {
            return Ok(Ticket(0));
        }
        let partition = self.partition();
        let synced = self.derived.disk.sync_file_system(partition);
        self.committer.note_sync(synced.map_err(StoreError::io(partition, "sync")))?;
        self.check_no_failed_sync()?;
        let mut ticket = Ticket(0);
        for changes in batch.drain(..) {
            ticket = self.append_snapshot(changes)?;
        }
        // What comes behind these frames need not be replayed for their sake.
        self.count_changes(1);
        Ok(ticket)
    }
}

pub(crate) fn encode(changes: &[Change]) -> FrameChanges {
    let mut bytes = Vec::new();
    codec::encode(changes, &mut bytes);
    bytes
}
