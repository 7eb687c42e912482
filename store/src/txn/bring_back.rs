//! The decision about messages that come back: each gets a new cell, by way of an old one that still holds it. That may be a tombstone, or a cell of
//! a mailbox that was deleted.
//!
//! Why no reference is raised for content that is gone: a cell is released under its mailbox's lock only, and that lock is held from the look at the
//! cell until the new reference is counted.

use std::collections::HashMap;
use std::sync::Arc;

use crate::change::{Added, Change, Flags, SystemFlags};
use crate::error::{ChangeError, StoreError};
use crate::ids::{MailboxId, Uid};
use crate::mailbox::{Cell, Mailbox};
use crate::quota::Usage;
use crate::txn::MESSAGES_MOST;
use crate::txn::annotate::Private;
use crate::txn::outcome::{Copied, Outcome};
use crate::txn::plan::{Make, Plan, Stop};

/// A message to be brought back.
#[derive(Clone, Debug)]
pub(crate) struct BroughtBack {
    /// The cell that holds it, in the mailbox it comes from.
    pub(crate) uid: Uid,
    /// The flags it gets.
    pub(crate) flags: SystemFlags,
    /// The keywords it gets, by name.
    pub(crate) keywords: Vec<String>,
    /// When it was put into its mailbox; now, if that is not to be as it was.
    pub(crate) save_seconds: Option<u32>,
}

/// A mailbox, cells of it, and what is wanted of each.
type Held<'w> = (Arc<Mailbox>, Vec<Cell>, Vec<&'w BroughtBack>);

impl Plan<'_> {
    /// Those that are not held any more are left out.
    pub(super) fn bring_back(
        &mut self,
        from: MailboxId,
        wanted: &[BroughtBack],
        to: MailboxId,
    ) -> Result<Outcome, Stop> {
        if wanted.len() > MESSAGES_MOST {
            return Err(ChangeError::Limit("messages at once").into());
        }
        let uid_validity = self.existing(to)?.uid_validity;
        let (source, cells, wanted) = self.held_cells(from, wanted)?;
        if cells.is_empty() {
            let modseq = self.existing(to)?.modseq();
            let uids = Vec::new();
            return Ok(Outcome::Copied(Copied { uid_validity, uids, modseq, expunged_modseq: None }));
        }
        let octets = cells.iter().map(|cell| u64::from(cell.size)).sum();
        self.admit(to.user, Usage { octets, messages: cells.len() as u64 })?;
        self.note_others(&cells)?;
        let now = self.store.derived.now();
        // Sets of keywords are few and repeat.
        let mut known: HashMap<&[String], u64> = HashMap::new();
        for wanted in &wanted {
            if !known.contains_key(&wanted.keywords[..]) {
                let bits = self.keyword_bits(to, wanted.keywords.iter().map(String::as_str), Make::IfRoom)?;
                known.insert(&wanted.keywords, bits);
            }
        }
        let modseq = self.existing(to)?.next_modseq();
        let mut uids = Vec::with_capacity(cells.len());
        for (cell, wanted) in cells.iter().zip(wanted) {
            let uid = self.existing(to)?.next_uid()?;
            let keywords = known.get(&wanted.keywords[..]).copied().unwrap_or(0);
            let flags = Flags { system: wanted.flags, keywords };
            let save_seconds = wanted.save_seconds.unwrap_or(now);
            let added = Added { uid, modseq, flags, save_seconds, ..cell.as_added() };
            self.changes.push(Change::Add { mailbox: to, added });
            uids.push((cell.uid, uid));
        }
        self.touched.push(to);
        self.copy_annotations(&source, to, &uids, modseq, Private::OfAll)?;
        Ok(Outcome::Copied(Copied { uid_validity, uids, modseq, expunged_modseq: None }))
    }

    /// The mailbox, the cells of those that are held, and what is wanted of each.
    fn held_cells<'w>(&self, from: MailboxId, wanted: &'w [BroughtBack]) -> Result<Held<'w>, Stop> {
        let mut held = (Vec::with_capacity(wanted.len()), Vec::with_capacity(wanted.len()));
        let source = match self.store.mailbox_even_deleted(from, self.held) {
            Err(StoreError::NotFound(_)) => return Err(ChangeError::NoSuchMailbox.into()),
            source => source?,
        };
        if source.is_released()? {
            return Ok((source, held.0, held.1));
        }
        let cells = source.cells()?;
        for wanted in wanted {
            let Ok(index) = cells.find_uid(wanted.uid)? else { continue };
            let cell = match cells.cell(index) {
                // Reported to whoever checks the store; the others come back all the same.
                Err(StoreError::Corrupt { .. }) => continue,
                cell => cell?,
            };
            if cell.holds_reference() && self.store.message(cell.message).is_ok() {
                held.0.push(cell);
                held.1.push(wanted);
            }
        }
        Ok((source, held.0, held.1))
    }
}
