//! What there was at a time, put together from changes. Pure: no file is touched here.
//!
//! Journals of days long past are removed once snapshots say what of it is still so. So a snapshot that was made after the time asked for, without one
//! before it, means that something of what was before is not known any more.

use std::collections::{BTreeMap, BTreeSet};

use super::HistoryError;
use crate::change::Change;
use crate::derived::{list_of, mailbox_of_cells};
use crate::history::scan::Seen;
use crate::ids::{MailboxId, Uid, UserId};
use crate::lists::MailboxList;
use crate::recovery::fold::Fold;

/// Until when the past is asked for, and whether it is known.
#[derive(Debug)]
struct Horizon {
    until_seconds: u32,
    /// A snapshot was made in that time.
    has_snapshot: bool,
    /// When the first one after that time was made.
    first_later: Option<u32>,
}

impl Horizon {
    fn new(until_seconds: u32) -> Horizon {
        Horizon { until_seconds, has_snapshot: false, first_later: None }
    }

    /// Whether a change was made in that time. All changes of what is asked for are to be shown, snapshots above all.
    fn covers(&mut self, seen: &Seen) -> bool {
        let covers = seen.seconds <= self.until_seconds;
        if matches!(seen.change, Change::MailboxSnapshot(_) | Change::ListSnapshot { .. }) {
            if covers {
                self.has_snapshot = true;
            } else {
                let first = self.first_later.map_or(seen.seconds, |first| first.min(seen.seconds));
                self.first_later = Some(first);
            }
        }
        covers
    }

    fn check(&self) -> Result<(), HistoryError> {
        match self.first_later {
            Some(before) if !self.has_snapshot => Err(HistoryError::Forgotten { before }),
            _ => Ok(()),
        }
    }
}

/// The changes of one user's list, gathered in any order.
#[derive(Debug)]
pub(super) struct ListHistory {
    user: UserId,
    horizon: Horizon,
    changes: Vec<Change>,
}

impl ListHistory {
    pub(super) fn new(user: UserId, until_seconds: u32) -> ListHistory {
        ListHistory { user, horizon: Horizon::new(until_seconds), changes: Vec::new() }
    }

    pub(super) fn take(&mut self, seen: Seen) {
        if list_of(&seen.change) == Some(self.user) && self.horizon.covers(&seen) {
            self.changes.push(seen.change);
        }
    }

    /// The list as it was, and the names that deleted mailboxes had last.
    pub(super) fn list(mut self) -> Result<(MailboxList, BTreeMap<MailboxId, String>), HistoryError> {
        self.horizon.check()?;
        // A snapshot says what the change of its version made of those before, of which some may be gone.
        let is_snapshot = |change: &Change| matches!(change, Change::ListSnapshot { .. });
        self.changes.sort_by_key(|change| (MailboxList::version_made(change), !is_snapshot(change)));
        let mut list = MailboxList::empty(self.user);
        let mut names = BTreeMap::new();
        for change in &self.changes {
            if let Change::MailboxDelete { mailbox, .. } = change
                && let Some(entry) = list.by_number(mailbox.number)
            {
                names.insert(*mailbox, entry.name.clone());
            }
            list.apply(change);
        }
        Ok((list, names))
    }
}

/// The changes of one mailbox's cells, gathered in any order.
#[derive(Debug)]
pub(super) struct CellHistory {
    mailbox: MailboxId,
    horizon: Horizon,
    fold: Fold,
    expunged_later: BTreeSet<Uid>,
}

impl CellHistory {
    pub(super) fn new(mailbox: MailboxId, until_seconds: u32) -> CellHistory {
        let horizon = Horizon::new(until_seconds);
        CellHistory { mailbox, horizon, fold: Fold::default(), expunged_later: BTreeSet::new() }
    }

    pub(super) fn take(&mut self, seen: &Seen) {
        if mailbox_of_cells(&seen.change) != Some(self.mailbox) {
            return;
        }
        if self.horizon.covers(seen) {
            self.fold.take(seen.epoch, seen.seconds, &seen.change);
        } else if let Change::Expunge { uids, .. } = &seen.change {
            self.expunged_later.extend(uids);
        }
    }

    /// The mailbox as it was, and the messages that were expunged later whose Add is not in the logs any more: it went with the bucket that it was in. Of
    /// those that came last, some may not be among them.
    pub(super) fn cells(mut self) -> Result<(Fold, BTreeSet<Uid>), HistoryError> {
        self.horizon.check()?;
        let uid_next = self.fold.uid_next();
        self.expunged_later.retain(|uid| uid.get() < uid_next && !self.fold.has_add(*uid));
        Ok((self.fold, self.expunged_later))
    }
}
