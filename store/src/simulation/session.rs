//! What sessions rely on between two commands: a writer has a mailbox selected, and the places of its cells stay until it lets go, whoever wants to
//! rewrite the mailbox meanwhile. And the rewriting of all mailboxes that have anything to gain.

use std::sync::Arc;

use super::kill::{Death, until_killed};
use super::model::Difference;
use super::run::Run;
use crate::compact::Compaction;
use crate::error::Result;
use crate::ids::{CellIndex, MailboxId};
use crate::pins::Pin;
use crate::store::Store;

/// A mailbox that a writer has selected.
pub(super) struct Selected {
    pin: Pin,
    /// UIDs of its cells, by place.
    uids: Vec<u32>,
}

impl Selected {
    fn new(store: &Store, mailbox: MailboxId) -> Result<Selected> {
        let pin = store.pin(mailbox)?;
        Ok(Selected { uids: uids_of(store, mailbox)?, pin })
    }

    /// Its process was killed: it counts for nothing, and is not counted down.
    pub(super) fn die(self) {
        std::mem::forget(self.pin);
    }

    /// Whether all cells are where they were.
    fn check(&self, store: &Store) -> std::result::Result<(), Difference> {
        let mailbox = self.pin.mailbox();
        let now = uids_of(store, mailbox).map_err(|error| format!("selected {mailbox:?}: {error}"))?;
        if now.starts_with(&self.uids) {
            return Ok(());
        }
        Err(format!("cells of {mailbox:?}, which is selected, were {:?}, and are {now:?}", self.uids))
    }
}

fn uids_of(store: &Store, mailbox: MailboxId) -> Result<Vec<u32>> {
    let open = store.mailbox(mailbox)?;
    let cells = open.cells()?;
    (0..cells.count()).map(|index| Ok(cells.uid(CellIndex(index))?.get())).collect()
}

/// Rewrites each mailbox that has a tombstone to lose; which of them, and what came of it.
fn compact_all(store: &Store, mailboxes: &[MailboxId]) -> Result<Vec<(MailboxId, Compaction)>> {
    mailboxes.iter().map(|mailbox| Ok((*mailbox, store.compact_at_once(*mailbox)?))).collect()
}

impl Run {
    /// A writer selects a mailbox, and lets go of the one that it had selected.
    pub(super) fn select(&mut self, writer: u8, mailbox: u64) -> std::result::Result<(), Difference> {
        if !self.open(writer)? {
            return Ok(());
        }
        let mailboxes = self.model.mailboxes();
        let mailbox = mailboxes.get((mailbox % mailboxes.len().max(1) as u64) as usize);
        let Some((mailbox, writing)) = mailbox.zip(self.writers[usize::from(writer)].as_mut()) else {
            return Ok(());
        };
        writing.selected = None;
        let selected = Selected::new(&writing.store, *mailbox);
        let selected = self.may_fail(selected, "selecting a mailbox")?;
        if let Some(writing) = &mut self.writers[usize::from(writer)] {
            writing.selected = selected;
        }
        self.crashes()
    }

    /// A writer rewrites mailboxes, but not those that are selected. Nothing that is shown changes.
    pub(super) fn compact(
        &mut self,
        writer: u8,
        death: Option<Death>,
    ) -> std::result::Result<(), Difference> {
        if !self.open(writer)? {
            return Ok(());
        }
        let Some(writing) = &self.writers[usize::from(writer)] else { return Ok(()) };
        let store = Arc::clone(&writing.store);
        let mailboxes = self.model.mailboxes();
        let perform = || compact_all(&store, &mailboxes);
        let outcome = match death {
            None => Some(perform()),
            Some(death) => until_killed(death, perform),
        };
        drop(store);
        if death.is_some() {
            self.kill(writer);
        }
        let outcome = outcome.map(|outcome| self.may_fail(outcome, "rewriting mailboxes")).transpose()?;
        for (mailbox, compaction) in outcome.flatten().unwrap_or_default() {
            let selected = self.writers.iter().flatten().filter_map(|writing| writing.selected.as_ref());
            let is_selected = selected.map(|selected| selected.pin.mailbox()).any(|other| other == mailbox);
            match compaction {
                Compaction::Done(_) if is_selected => {
                    return Err(format!("{mailbox:?} was rewritten, and is selected"));
                }
                // Who was killed has nothing selected any more.
                Compaction::Pinned if !is_selected && death.is_none() => {
                    return Err(format!("{mailbox:?} is said to be selected, and is not"));
                }
                _ => (),
            }
        }
        self.crashes()?;
        self.check_selected()?;
        self.look(writer)
    }

    /// What is selected has its cells where they were.
    pub(super) fn check_selected(&self) -> std::result::Result<(), Difference> {
        for writing in self.writers.iter().flatten() {
            if let Some(selected) = &writing.selected
                && self.model.mailbox(selected.pin.mailbox()).is_some()
            {
                selected.check(&writing.store)?;
            }
        }
        Ok(())
    }
}
