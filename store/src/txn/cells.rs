//! The decisions about messages: who gets which UID, which flags change, what is copied and expunged.

use std::collections::HashMap;
use std::sync::Arc;

use crate::change::{Added, Change, Flags, SystemFlags};
use crate::commit::OtherLog;
use crate::derived::mailbox_of_cells;
use crate::disk::Mutation;
use crate::error::ChangeError;
use crate::ids::{CellIndex, MailboxId, ModSeq, Uid};
use crate::log::{LogKind, LogName};
use crate::mailbox::reader::show;
use crate::mailbox::{Cell, CellFlags, Mailbox};
use crate::page::PageFile;
use crate::page::directory::MessagePlace;
use crate::quota::Usage;
use crate::txn::MESSAGES_MOST;
use crate::txn::acting::{Actor, Ranges};
use crate::txn::annotate::Private;
use crate::txn::outcome::{
    Appended, Copied, Delivery, FlagChange, FlagOperation, FlagsChanged, Outcome, Refused,
};
use crate::txn::plan::{Make, Plan, Stop};

impl Plan<'_> {
    pub(super) fn deliver(&mut self, to: &[Delivery]) -> Result<Outcome, Stop> {
        if to.len() > MESSAGES_MOST {
            return Err(ChangeError::Limit("recipients").into());
        }
        let first = self.changes.len();
        let mut results = Vec::with_capacity(to.len());
        for delivery in to {
            results.push(match self.deliver_one(delivery) {
                Ok(appended) => Ok(appended),
                Err(Stop::Refused(ChangeError::NoSuchMailbox)) => Err(Refused::NoSuchMailbox),
                Err(Stop::Refused(ChangeError::OverQuota(what))) => Err(Refused::OverQuota(what)),
                // A full disk is full for all of them.
                Err(Stop::Refused(ChangeError::Store(error))) if error.is_out_of_space() => {
                    return Err(error.into());
                }
                // What is wrong with one recipient's mailbox is not the others' business.
                Err(Stop::Refused(error)) => Err(Refused::Unusable(error.to_string())),
                Err(stop) => return Err(stop),
            });
        }
        // Recipients in order take few octets each in the frame. What concerns one mailbox stays in its order.
        self.changes[first..].sort_by_key(mailbox_of_cells);
        Ok(Outcome::Delivered(results))
    }

    fn deliver_one(&mut self, delivery: &Delivery) -> Result<Appended, Stop> {
        let message = self.message.ok_or(ChangeError::NotAllowed("a delivery without a message"))?;
        let id = delivery.mailbox;
        self.existing(id)?;
        self.admit(id.user, Usage { octets: u64::from(message.size), messages: 1 })?;
        let actor = self.acting_in(id)?;
        let may_write = actor.is_none_or(Actor::may_write);
        let names = delivery.keywords.iter().filter(|_| may_write).map(String::as_str);
        let keywords = self.keyword_bits(id, names, Make::IfRoom)?;
        let flags = Flags { system: delivery.flags, keywords };
        let save_seconds = self.store.derived.now();
        let mailbox = self.existing(id)?;
        let added = Added {
            uid: mailbox.next_uid()?,
            modseq: mailbox.next_modseq(),
            flags: actor.map_or(flags, |actor| actor.reached(Flags::default(), flags)),
            internal_date: delivery.internal_date,
            save_seconds,
            sent_date: message.sent_date,
            size: message.size,
            message: message.id,
        };
        let uid_validity = mailbox.uid_validity;
        self.changes.push(Change::Add { mailbox: id, added });
        self.touched.push(id);
        if let Some(actor) = actor
            && actor.may_see()
            && flags.system.contains(SystemFlags::SEEN)
        {
            self.mark(id, actor, true, added.modseq, vec![(added.uid, added.uid)]);
        }
        Ok(Appended { mailbox: id, uid_validity, uid: added.uid, modseq: added.modseq })
    }

    pub(super) fn copy(
        &mut self,
        from: MailboxId,
        cells: &[CellIndex],
        to: MailboxId,
        expunge: bool,
    ) -> Result<Outcome, Stop> {
        if cells.len() > MESSAGES_MOST {
            return Err(ChangeError::Limit("messages at once").into());
        }
        let source = self.open(from)?;
        self.existing(to)?;
        let all = source.cells()?;
        let mut live = Vec::with_capacity(cells.len());
        for index in cells.iter().filter(|index| index.0 < all.count()) {
            let cell = all.cell(*index)?;
            if !cell.expunged {
                live.push(cell);
            }
        }
        self.copy_cells(from, &live, to, expunge)
    }

    /// Puts `cells`, which are there, into `to`.
    pub(super) fn copy_cells(
        &mut self,
        from: MailboxId,
        cells: &[Cell],
        to: MailboxId,
        expunge: bool,
    ) -> Result<Outcome, Stop> {
        let uid_validity = self.existing(to)?.uid_validity;
        if cells.is_empty() {
            let modseq = self.existing(to)?.modseq();
            return Ok(Outcome::Copied(Copied {
                uid_validity,
                uids: Vec::new(),
                modseq,
                expunged_modseq: None,
            }));
        }
        // What moves within one user's mailboxes takes no more room.
        if !(expunge && from.user == to.user) {
            let octets = cells.iter().map(|cell| u64::from(cell.size)).sum();
            self.admit(to.user, Usage { octets, messages: cells.len() as u64 })?;
        }
        // Sets of keywords are few and repeat.
        let mut keywords = HashMap::from([(0, 0)]);
        for cell in cells {
            if let std::collections::hash_map::Entry::Vacant(entry) = keywords.entry(cell.flags.keywords) {
                let names = self.existing(from)?.keyword_names(cell.flags)?;
                entry.insert(self.keyword_bits(to, names.iter().map(String::as_str), Make::IfRoom)?);
            }
        }
        self.note_others(cells)?;
        let reading = match self.acting_in(from)? {
            Some(actor) => Some(self.marks(from, actor)?),
            None => None,
        };
        let actor = self.acting_in(to)?;
        let mut seen = Ranges::default();
        let save_seconds = self.store.derived.now();
        let modseq = self.existing(to)?.next_modseq();
        let mut uids = Vec::with_capacity(cells.len());
        self.changes.reserve(cells.len() + 1);
        for cell in cells {
            let uid = self.existing(to)?.next_uid()?;
            let keywords = keywords.get(&cell.flags.keywords).copied().unwrap_or(0);
            let mut flags = Flags { system: cell.flags.system, keywords };
            if let Some(marks) = &reading {
                show(marks, cell.uid, false, &mut flags, &mut ModSeq::default());
            }
            if let Some(actor) = actor {
                if actor.may_see() && flags.system.contains(SystemFlags::SEEN) {
                    seen.add_new(uid);
                }
                flags = actor.reached(Flags::default(), flags);
                // The owner has seen what the owner has seen before, wherever somebody puts it.
                if from.user == to.user {
                    flags.system.0 |= cell.flags.system.0 & SystemFlags::SEEN.0;
                }
            }
            let added = Added { uid, modseq, flags, save_seconds, ..cell.as_added() };
            self.changes.push(Change::Add { mailbox: to, added });
            uids.push((cell.uid, uid));
        }
        self.touched.push(to);
        if let Some(actor) = actor {
            self.mark(to, actor, true, modseq, seen.into_vec());
        }
        let source = self.open(from)?;
        self.copy_annotations(&source, to, &uids, modseq, Private::OfActor)?;
        let mut expunged_modseq = None;
        if expunge {
            let modseq = self.existing(from)?.next_modseq();
            let gone = cells.iter().map(|cell| cell.uid).collect();
            self.changes.push(Change::Expunge { mailbox: from, modseq, uids: gone });
            self.touched.push(from);
            expunged_modseq = Some(modseq);
        }
        Ok(Outcome::Copied(Copied { uid_validity, uids, modseq, expunged_modseq }))
    }

    /// A copy lasts only if the message does, and its frame may be in the log of another process, not synced yet.
    pub(super) fn note_others(&mut self, cells: &[Cell]) -> Result<(), Stop> {
        if self.store.derived.disk.mutated(Mutation::SkipSyncOfOthers) {
            return Ok(());
        }
        for cell in cells.chunk_by(|a, b| a.message.page == b.message.page) {
            // Whatever day it is: a clock that jumps makes a page old before anybody has written a checkpoint.
            let page = cell[0].message.page;
            let directory = self.store.pages.directory(page)?;
            for cell in cell {
                let Some(place) = directory.place(cell.message.index)? else { continue };
                if place.writer == self.store.writer() {
                    continue;
                }
                let file = PageFile::Bucket { page, writer: place.writer, number: place.bucket };
                let path = self.store.pages.path(file);
                if let Some(known) = self.others.iter_mut().find(|known| known.path == path) {
                    known.frames.push(place.frame_offset);
                } else if let Some(proven) = self.store.checkpoints_of_others.proven_before(page, &place)? {
                    let MessagePlace { writer, bucket: number, frame_offset, .. } = place;
                    let name = LogName { page, kind: LogKind::Bucket, writer, number };
                    let file = self.store.pages.file(file)?;
                    self.others.push(OtherLog { name, path, file, proven, frames: vec![frame_offset] });
                }
            }
        }
        Ok(())
    }

    pub(super) fn store_flags(
        &mut self,
        id: MailboxId,
        cells: &[CellIndex],
        change: &FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Outcome, Stop> {
        let mailbox = self.open(id)?;
        let make = match change.operation {
            FlagOperation::Set | FlagOperation::SetKeywords | FlagOperation::Add => Make::OrRefuse,
            FlagOperation::Remove => Make::Nothing,
        };
        let actor = self.acting_in(id)?;
        let marks = match actor {
            Some(actor) => Some((actor, self.marks(id, actor)?)),
            None => None,
        };
        let may_write = actor.is_none_or(Actor::may_write);
        let keywords_planned = self.changes.len();
        let names = change.keywords.iter().filter(|_| may_write).map(String::as_str);
        let keywords = self.keyword_bits(id, names, make)?;
        let all = mailbox.cells()?;
        let mut changed = Vec::with_capacity(cells.len());
        let mut modseqs_before = Vec::new();
        let mut newer = Vec::new();
        let mut in_cells = Vec::with_capacity(cells.len());
        let (mut seen, mut sets_seen) = (Ranges::default(), false);
        for index in cells.iter().filter(|index| index.0 < all.count()) {
            let cell = all.flags(*index)?;
            if cell.expunged {
                continue;
            }
            let mut shown = cell;
            if let Some((_, marks)) = &marks {
                show(marks, shown.uid, false, &mut shown.flags, &mut shown.modseq);
            }
            if unchanged_since.is_some_and(|since| is_newer(&shown, since, change, keywords)) {
                newer.push((*index, cell.uid));
                continue;
            }
            let wanted = flags_after(shown.flags, change, keywords);
            let (mut after, mut own) = (wanted, wanted);
            if let Some((actor, _)) = &marks {
                after = actor.reached(cell.flags, wanted);
                own = if actor.may_see() { wanted } else { shown.flags };
                if (shown.flags.system.0 ^ own.system.0) & SystemFlags::SEEN.0 != 0 {
                    seen.add(&all, *index, cell.uid)?;
                    sets_seen = own.system.contains(SystemFlags::SEEN);
                }
            }
            if after != cell.flags {
                in_cells.push((cell.uid, after));
            }
            let system = after.system.0 & !SystemFlags::SEEN.0 | own.system.0 & SystemFlags::SEEN.0;
            let told = Flags { system: SystemFlags(system), ..after };
            if told != shown.flags {
                modseqs_before.push(shown.modseq);
                changed.push((*index, cell.uid, told));
            }
        }
        if changed.is_empty() {
            let not_made = self.changes.split_off(keywords_planned);
            let plan = self.existing(id)?;
            // A keyword that no message got is not made, either.
            plan.forget_keywords(&not_made);
            let modseq = plan.modseq();
            return Ok(Outcome::Flags(FlagsChanged { modseq, messages: changed, modseqs_before, newer }));
        }
        let plan = self.existing(id)?;
        let modseq = plan.next_modseq();
        if !in_cells.is_empty() {
            self.changes.push(Change::Flags { mailbox: id, modseq, messages: in_cells });
            self.touched.push(id);
        }
        if let Some(actor) = actor {
            self.mark(id, actor, sets_seen, modseq, seen.into_vec());
        }
        Ok(Outcome::Flags(FlagsChanged { modseq, messages: changed, modseqs_before, newer }))
    }

    pub(super) fn expunge(&mut self, id: MailboxId, cells: &[CellIndex]) -> Result<Outcome, Stop> {
        let mailbox = self.open(id)?;
        let all = mailbox.cells()?;
        let mut uids: Vec<Uid> = Vec::with_capacity(cells.len());
        for index in cells.iter().filter(|index| index.0 < all.count()) {
            let cell = all.flags(*index)?;
            if !cell.expunged {
                uids.push(cell.uid);
            }
        }
        let plan = self.existing(id)?;
        if uids.is_empty() {
            return Ok(Outcome::Expunged(uids, plan.modseq()));
        }
        let modseq = plan.next_modseq();
        self.changes.push(Change::Expunge { mailbox: id, modseq, uids: uids.clone() });
        self.touched.push(id);
        Ok(Outcome::Expunged(uids, modseq))
    }

    /// The open mailbox `id`.
    pub(super) fn open(&mut self, id: MailboxId) -> Result<Arc<Mailbox>, Stop> {
        let open = self.existing(id)?.open.clone();
        open.ok_or(Stop::Refused(ChangeError::NoSuchMailbox))
    }
}

/// Whether a message is not to be changed because it was after `since`. Of 0, which all messages are newer than, RFC 7162, 3.1.3, makes a test
/// whether one of the flags is there; system flags always are.
fn is_newer(cell: &CellFlags, since: ModSeq, change: &FlagChange, keywords: u64) -> bool {
    let names_some = matches!(change.operation, FlagOperation::Add | FlagOperation::Remove);
    if since == ModSeq(0) && names_some && change.system.0 == 0 {
        return cell.flags.keywords & keywords != 0;
    }
    cell.modseq > since
}

fn flags_after(before: Flags, change: &FlagChange, keywords: u64) -> Flags {
    let mut after = before;
    match change.operation {
        FlagOperation::Set => after = Flags { system: change.system, keywords },
        FlagOperation::SetKeywords => after.keywords = keywords,
        FlagOperation::Add => {
            after.system.0 |= change.system.0;
            after.keywords |= keywords;
        }
        FlagOperation::Remove => {
            after.system.0 &= !change.system.0;
            after.keywords &= !keywords;
        }
    }
    after.system.0 &= 0x1f;
    after
}
