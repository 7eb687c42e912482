//! Bringing messages back. What is to come back is found without locks, its content read and compared with its hash, and then taken in by a transaction
//! that looks again whether it is still held.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{BackAgain, Outcome, PastMailbox, Which};
use crate::change::{Flags, SystemFlags};
use crate::content::ContentHasher;
use crate::error::{Result, StoreError};
use crate::ids::{CellIndex, MailboxId, MessageId, Uid};
use crate::locks::LockKey;
use crate::mailbox::{Cell, Keywords, Mailbox};
use crate::store::Store;
use crate::txn::{self, BroughtBack};

/// Messages that one transaction brings back.
const AT_ONCE: usize = 1000;
/// Octets of a message read at a time when its content is verified.
const VERIFY_STEP_BYTES: u64 = 256 << 10;

/// What was found out about the content of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Whole,
    Gone,
    Damaged,
}

/// A message that is to come back: who holds it, and the UID that it is spoken of by.
struct Candidate {
    spoken_of: Uid,
    message: MessageId,
    from: MailboxId,
    wanted: BroughtBack,
}

impl Store {
    /// Brings messages of `from` back into `to`, with the flags that they had but \Deleted, their keywords and dates. `from` may be a mailbox that
    /// was deleted, and may be `to`.
    ///
    /// Errors: as of a transaction; what came back before stays.
    pub fn undelete(&self, from: MailboxId, which: &Which, to: MailboxId) -> Outcome<BackAgain> {
        let source = self.past_mailbox(from)?;
        let mut again = BackAgain::default();
        let there = self.live_messages(&*self.mailbox(to)?)?;
        // Of the messages that nobody names, those that went to another mailbox are not missed.
        let named = matches!(which, Which::Uids(_));
        let elsewhere =
            if named || source.is_deleted()? { HashSet::new() } else { self.messages_beside(to)? };
        let keywords = source.keywords()?;
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut taken: HashMap<MessageId, usize> = HashMap::new();
        for cell in chosen(&source, which, &mut again)? {
            if there.contains(&cell.message) {
                again.there.push(cell.uid);
            } else if elsewhere.contains(&cell.message) {
                again.elsewhere.push(cell.uid);
            } else if !cell.holds_reference() {
                again.gone.push(cell.uid);
            } else {
                let candidate = Candidate::of_cell(from, &cell, &keywords);
                // One that was expunged, brought back and expunged again comes back once, as it was last.
                match taken.insert(cell.message, candidates.len()) {
                    Some(before) if !named => {
                        taken.insert(cell.message, before);
                        candidates[before] = candidate;
                    }
                    _ => candidates.push(candidate),
                }
            }
        }
        candidates.sort_by_key(|candidate| candidate.spoken_of);
        self.bring_back(candidates, to, &mut again)?;
        Ok(again)
    }

    /// Puts what was in a mailbox at some time into `to`, with the flags, keywords and dates of then, as far as it is still held: by that mailbox, or by
    /// any other of the user.
    ///
    /// Errors: as [`Store::undelete`].
    pub fn restore_past(&self, past: &PastMailbox, to: MailboxId) -> Outcome<BackAgain> {
        let mut again = BackAgain::default();
        let mut own: HashMap<MessageId, Uid> = HashMap::new();
        match self.past_mailbox(past.mailbox) {
            // Collected.
            Err(StoreError::NotFound(_)) => (),
            source => holders(&*source?, &mut |message, uid| {
                own.insert(message, uid);
            })?,
        }
        let mut beside = None;
        let mut candidates = Vec::new();
        for message in &past.messages {
            let mut holder = own.get(&message.message).map(|uid| (past.mailbox, *uid));
            if holder.is_none() {
                if beside.is_none() {
                    beside = Some(self.holders_of(to)?);
                }
                holder = beside.as_ref().and_then(|beside| beside.get(&message.message)).copied();
            }
            let Some((from, uid)) = holder else {
                again.gone.push(message.uid);
                continue;
            };
            candidates.push(Candidate {
                spoken_of: message.uid,
                message: message.message,
                from,
                wanted: BroughtBack {
                    uid,
                    flags: message.flags,
                    keywords: message.keywords.clone(),
                    save_seconds: Some(message.save_seconds),
                },
            });
        }
        again.gone.extend(&past.unknown);
        self.bring_back(candidates, to, &mut again)?;
        Ok(again)
    }

    /// Verifies and takes in, in this order.
    fn bring_back(&self, candidates: Vec<Candidate>, to: MailboxId, again: &mut BackAgain) -> Outcome<()> {
        for some in candidates.chunks(AT_ONCE) {
            let mut whole: Vec<&Candidate> = Vec::with_capacity(some.len());
            for candidate in some {
                match self.verify(candidate.message)? {
                    Content::Whole => whole.push(candidate),
                    Content::Gone => again.gone.push(candidate.spoken_of),
                    Content::Damaged => again.damaged.push(candidate.spoken_of),
                }
            }
            let mut txn = self.begin();
            // Neighbours often come from one mailbox; their order is kept.
            let runs: Vec<&[&Candidate]> = whole.chunk_by(|a, b| a.from == b.from).collect();
            for run in &runs {
                let wanted = run.iter().map(|candidate| candidate.wanted.clone()).collect();
                txn.bring_back(run[0].from, wanted, to);
            }
            let committed = txn.commit()?;
            again.ticket = again.ticket.max(committed.ticket);
            for (run, outcome) in runs.iter().zip(committed.outcomes) {
                let txn::Outcome::Copied(copied) = outcome else { continue };
                let mut back = copied.uids.into_iter().peekable();
                for candidate in *run {
                    match back.next_if(|(uid, _)| *uid == candidate.wanted.uid) {
                        Some((_, uid)) => again.back.push((candidate.spoken_of, uid)),
                        // Released since it was looked at.
                        None => again.gone.push(candidate.spoken_of),
                    }
                }
            }
        }
        again.gone.sort_unstable();
        Ok(())
    }

    /// A mailbox that may be deleted, made sure of after a power cut.
    pub(super) fn past_mailbox(&self, mailbox: MailboxId) -> Result<Arc<Mailbox>> {
        let held = self.take(&[LockKey::Mailbox(mailbox)])?;
        self.mailbox_even_deleted(mailbox, &held)
    }

    /// Reads all of a message and compares it with its hash.
    fn verify(&self, message: MessageId) -> Result<Content> {
        let stored = match self.message(message) {
            Err(StoreError::NotFound(_) | StoreError::Gone(_)) => return Ok(Content::Gone),
            Err(StoreError::Corrupt { .. }) => return Ok(Content::Damaged),
            stored => stored?,
        };
        let mut hasher = ContentHasher::new();
        let mut buffer = Vec::new();
        let mut at = 0;
        while at < stored.size {
            buffer.clear();
            let step = (stored.size - at).min(VERIFY_STEP_BYTES);
            match self.read_range(&stored, at..at + step, &mut buffer) {
                Ok(()) => hasher.update(&buffer),
                Err(StoreError::Corrupt { .. }) => return Ok(Content::Damaged),
                Err(StoreError::NotFound(_) | StoreError::Gone(_)) => return Ok(Content::Gone),
                Err(error) => return Err(error),
            }
            at += step;
        }
        Ok(if hasher.digest() == stored.content_hash { Content::Whole } else { Content::Damaged })
    }

    fn live_messages(&self, open: &Mailbox) -> Result<HashSet<MessageId>> {
        let mut messages = HashSet::new();
        each_cell(open, &mut |cell| {
            if !cell.expunged {
                messages.insert(cell.message);
            }
        })?;
        Ok(messages)
    }

    /// The messages in all mailboxes of a user but `mailbox`.
    fn messages_beside(&self, mailbox: MailboxId) -> Result<HashSet<MessageId>> {
        let mut messages = HashSet::new();
        for entry in self.mailbox_list(mailbox.user)?.entries() {
            if entry.placeholder || entry.number == mailbox.number {
                continue;
            }
            match self.mailbox(MailboxId { user: mailbox.user, number: entry.number }) {
                Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => (),
                open => messages.extend(self.live_messages(&*open?)?),
            }
        }
        Ok(messages)
    }

    /// Which mailbox of a user holds which message, tombstones and deleted mailboxes as well, but for `mailbox` itself.
    fn holders_of(&self, mailbox: MailboxId) -> Result<HashMap<MessageId, (MailboxId, Uid)>> {
        let mut found = HashMap::new();
        for number in self.mailbox_folders(mailbox.user)? {
            let from = MailboxId { user: mailbox.user, number };
            if from == mailbox {
                continue;
            }
            match self.past_mailbox(from) {
                Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => (),
                open => holders(&*open?, &mut |message, uid| {
                    found.insert(message, (from, uid));
                })?,
            }
        }
        Ok(found)
    }
}

impl Candidate {
    /// As the message was when it was expunged.
    fn of_cell(from: MailboxId, cell: &Cell, keywords: &Keywords) -> Candidate {
        let Flags { system, keywords: bits } = cell.flags;
        let named = keywords.iter().filter(|(bit, _)| bits & 1 << bit != 0);
        Candidate {
            spoken_of: cell.uid,
            message: cell.message,
            from,
            wanted: BroughtBack {
                uid: cell.uid,
                flags: SystemFlags(system.0 & !SystemFlags::DELETED.0),
                keywords: named.map(|(_, name)| name.to_string()).collect(),
                save_seconds: None,
            },
        }
    }
}

/// The cells that `which` means, by UID. Those that are not there at all are noted as gone, those that are not whole as damaged.
fn chosen(source: &Mailbox, which: &Which, again: &mut BackAgain) -> Result<Vec<Cell>> {
    let mut cells = Vec::new();
    let deleted = source.is_deleted()?;
    if source.is_released()? {
        if let Which::Uids(uids) = which {
            again.gone.extend(uids);
        }
        return Ok(cells);
    }
    let all = source.cells()?;
    let mut take = |index: CellIndex, again: &mut BackAgain, wanted: &dyn Fn(&Cell) -> bool| -> Result<()> {
        match all.cell(index) {
            Err(StoreError::Corrupt { .. }) => again.damaged.extend(all.perhaps_uid(index)),
            cell => cells.extend(Some(cell?).filter(wanted)),
        }
        Ok(())
    };
    match which {
        Which::Uids(uids) => {
            let mut uids = uids.clone();
            uids.sort_unstable();
            uids.dedup();
            for uid in uids {
                match all.find_uid(uid)? {
                    Ok(index) => take(index, again, &|_| true)?,
                    Err(_) => again.gone.push(uid),
                }
            }
        }
        Which::All | Which::Since(_) => {
            let since = if let Which::Since(since) = which { *since } else { 0 };
            let wanted = |cell: &Cell| {
                if deleted { !cell.expunged } else { cell.expunged && cell.expunged_at >= since }
            };
            for index in (0..all.count()).map(CellIndex) {
                match all.flags(index) {
                    Ok(flags) if flags.expunged == deleted => (),
                    Ok(_) | Err(StoreError::Corrupt { .. }) => take(index, again, &wanted)?,
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(cells)
}

pub(super) fn each_cell(open: &Mailbox, take: &mut dyn FnMut(&Cell)) -> Result<()> {
    let cells = open.cells()?;
    for index in (0..cells.count()).map(CellIndex) {
        match cells.cell(index) {
            Err(StoreError::Corrupt { .. }) => (),
            cell => take(&cell?),
        }
    }
    Ok(())
}

/// The messages that a mailbox holds.
fn holders(open: &Mailbox, take: &mut dyn FnMut(MessageId, Uid)) -> Result<()> {
    if open.is_released()? {
        return Ok(());
    }
    each_cell(open, &mut |cell| {
        if cell.holds_reference() {
            take(cell.message, cell.uid);
        }
    })
}
