//! A user's mailbox list as it was, put together from changes. Pure: no file is touched here.

use std::collections::BTreeMap;

use crate::change::Change;
use crate::derived::list_of;
use crate::ids::{MailboxId, UserId};
use crate::lists::MailboxList;

/// The changes of one user's list, gathered in any order.
#[derive(Debug)]
pub(super) struct ListHistory {
    user: UserId,
    changes: Vec<Change>,
}

impl ListHistory {
    pub(super) fn new(user: UserId) -> ListHistory {
        ListHistory { user, changes: Vec::new() }
    }

    /// Takes a change if it is about the list.
    pub(super) fn take(&mut self, change: Change) {
        if list_of(&change) == Some(self.user) {
            self.changes.push(change);
        }
    }

    /// The list that all of these changes together leave, and the names that deleted mailboxes had last.
    pub(super) fn list(mut self) -> (MailboxList, BTreeMap<MailboxId, String>) {
        self.changes.sort_by_key(MailboxList::version_made);
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
        (list, names)
    }
}
