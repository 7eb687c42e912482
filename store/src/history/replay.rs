//! A mailbox, and a user's mailbox list, put together from changes. Pure: no file is touched here.

use std::collections::BTreeMap;

use super::PastMessage;
use crate::change::{Added, Change, Flags};
use crate::derived::list_of;
use crate::ids::{MailboxId, ModSeq, Uid, UserId};
use crate::lists::MailboxList;

/// The changes of one mailbox's cells, gathered in any order.
#[derive(Debug, Default)]
pub(super) struct CellHistory {
    changes: Vec<Change>,
}

impl CellHistory {
    /// Takes a change that is about the mailbox's cells.
    pub(super) fn take(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// The messages that all of these changes together leave.
    pub(super) fn messages(mut self) -> Vec<PastMessage> {
        // Each of one mailbox's changes has a modseq of its own; the Adds of one transaction share one, and are about different messages.
        self.changes.sort_by_key(modseq);
        let mut names: BTreeMap<u8, String> = BTreeMap::new();
        let mut live: BTreeMap<Uid, Added> = BTreeMap::new();
        for change in self.changes {
            match change {
                Change::Keyword { bit, name, .. } => {
                    names.insert(bit, name);
                }
                Change::Add { added, .. } => {
                    live.insert(added.uid, added);
                }
                Change::Flags { messages, .. } => {
                    for (uid, flags) in messages {
                        if let Some(added) = live.get_mut(&uid) {
                            added.flags = flags;
                        }
                    }
                }
                Change::Expunge { uids, .. } => uids.iter().for_each(|uid| {
                    live.remove(uid);
                }),
                _ => (),
            }
        }
        let named = |flags: Flags| {
            let set = names.iter().filter(|(bit, _)| flags.keywords & 1 << **bit != 0);
            set.map(|(_, name)| name.clone()).collect()
        };
        live.into_values()
            .map(|added| PastMessage {
                uid: added.uid,
                flags: added.flags.system,
                keywords: named(added.flags),
                internal_date: added.internal_date,
                save_seconds: added.save_seconds,
                size: added.size,
                message: added.message,
            })
            .collect()
    }
}

/// Keywords come before all changes that may mean them.
fn modseq(change: &Change) -> ModSeq {
    match change {
        Change::Add { added, .. } => added.modseq,
        Change::Flags { modseq, .. } | Change::Expunge { modseq, .. } => *modseq,
        _ => ModSeq(0),
    }
}

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
