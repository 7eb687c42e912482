//! A user as of one moment: which mailboxes, which messages in them.
//!
//! The moment is one at which the locks of all the user's mailboxes are held, so that a message that is moved meanwhile is in one of them. Nothing is
//! copied then but numbers: a mailbox's UIDNEXT and HIGHESTMODSEQ say which cells were there, for cells stay as tombstones when they are expunged later. Flags are
//! those of when a cell is read.

use std::sync::Arc;
use std::time::Duration;

use crate::annotations::Annotation;
use crate::error::{Result, StoreError};
use crate::gc::gate::Gate;
use crate::ids::{CellIndex, MailboxId, ModSeq, Uid, UserId};
use crate::lists::{MailboxList, stays_in_its_store};
use crate::locks::LockKey;
use crate::mailbox::{Cell, Cells, Mailbox};
use crate::quota::Limits;
use crate::rights::{ACL, SHARED, decode, encode};
use crate::store::Store;
use crate::txn::{AdoptedMailbox, AdoptedUser, NewAnnotation};

/// Mailboxes that are kept open, so that their tombstones stay. Of more than these, what is moved meanwhile may be missed.
const KEPT_OPEN_MOST: usize = 256;
const GATE_WAIT_MOST: Duration = Duration::from_secs(60);
const TRIES_MOST: usize = 16;

/// A user as of one moment.
#[derive(Debug)]
pub struct UserSnapshot {
    /// The user's name.
    pub name: String,
    /// The mailboxes, in the order of the list.
    pub mailboxes: Vec<MailboxInSnapshot>,
    /// Subscribed names.
    pub subscriptions: Vec<String>,
    /// The limits of the user's mail.
    pub limits: Limits,
    /// What is said of the user.
    pub attributes: Vec<(String, Vec<u8>)>,
    open: Vec<Arc<Mailbox>>,
    /// No message is given up meanwhile.
    _gate: Gate,
}

/// A mailbox as of that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxInSnapshot {
    /// Which one; of a placeholder, one that cannot be opened.
    pub id: MailboxId,
    /// Its name and numbers.
    pub facts: AdoptedMailbox,
    /// Messages.
    pub messages: u32,
    /// RFC822.SIZE of all messages together.
    pub octets: u64,
}

impl UserSnapshot {
    /// Takes the snapshot. `wanted` says by name which mailboxes.
    pub fn take(store: &Store, user: UserId, wanted: &dyn Fn(&str) -> bool) -> Result<UserSnapshot> {
        let gate = Gate::shared(&store.runtime_dir, GATE_WAIT_MOST)?;
        let name = store.user_name(user)?;
        for _ in 0..TRIES_MOST {
            let list = store.mailbox_list(user)?;
            let entries: Vec<_> = list.entries().iter().filter(|entry| wanted(&entry.name)).collect();
            let holding = entries.iter().filter(|entry| !entry.placeholder);
            let mut keys = vec![LockKey::List(user)];
            keys.extend(holding.map(|entry| LockKey::Mailbox(MailboxId { user, number: entry.number })));
            let held = store.take(&keys)?;
            if store.mailbox_list(user)?.version() != list.version() {
                continue;
            }
            let mut mailboxes = Vec::with_capacity(entries.len());
            let mut open = Vec::new();
            for entry in entries {
                let id = MailboxId { user, number: entry.number };
                let mut one = MailboxInSnapshot {
                    id,
                    facts: AdoptedMailbox {
                        name: entry.name.clone(),
                        uid_validity: entry.uid_validity,
                        special_use: entry.special_use,
                        placeholder: entry.placeholder,
                        uid_next: 1,
                        highest_modseq: ModSeq(1),
                        keywords: Vec::new(),
                        attributes: exported(&list, Some(entry.number)),
                    },
                    messages: 0,
                    octets: 0,
                };
                if !entry.placeholder {
                    let mailbox = store.mailbox_held(id, &held)?;
                    let status = mailbox.status()?;
                    one.facts.uid_next = status.uid_next;
                    one.facts.highest_modseq = status.highest_modseq;
                    let keywords = mailbox.keywords()?;
                    one.facts.keywords = keywords.iter().map(|(bit, name)| (bit, name.to_string())).collect();
                    (one.messages, one.octets) = (status.exists, status.size);
                    if open.len() < KEPT_OPEN_MOST {
                        open.push(mailbox);
                    }
                }
                mailboxes.push(one);
            }
            drop(held);
            let wanted_subscriptions = list.subscriptions().iter().filter(|name| wanted(name));
            return Ok(UserSnapshot {
                name,
                mailboxes,
                subscriptions: wanted_subscriptions.cloned().collect(),
                limits: list.limits(),
                attributes: exported(&list, None),
                open,
                _gate: gate,
            });
        }
        Err(StoreError::Busy("a mailbox list that others keep changing"))
    }

    /// The user as a transaction makes one.
    pub fn facts(&self) -> AdoptedUser {
        AdoptedUser {
            name: self.name.clone(),
            mailboxes: self.mailboxes.iter().map(|mailbox| mailbox.facts.clone()).collect(),
            subscriptions: self.subscriptions.clone(),
            limits: self.limits,
            attributes: self.attributes.clone(),
        }
    }

    /// The cells that a mailbox had, ascending by UID.
    ///
    /// Errors: `NotFound` if the mailbox was deleted meanwhile.
    pub fn cells(&self, store: &Store, mailbox: &MailboxInSnapshot) -> Result<SnapshotCells> {
        let open = self.opened(store, mailbox)?;
        let cells = open.cells()?;
        let count = cells.count_up_to(mailbox.facts.uid_next.saturating_sub(1))?;
        Ok(SnapshotCells { cells, count, upto: mailbox.facts.highest_modseq, next: 0 })
    }

    /// Annotations of a message, those that all see and the owner's, as they are when it is read.
    ///
    /// Errors: as [`UserSnapshot::cells`], and `Corrupt` if they are damaged.
    pub fn annotations(
        &self,
        store: &Store,
        mailbox: &MailboxInSnapshot,
        uid: Uid,
    ) -> Result<Vec<NewAnnotation>> {
        let annotations = self.opened(store, mailbox)?.annotations_for(uid, mailbox.id.user)?;
        let new = |Annotation { reader, entry, value, .. }| NewAnnotation {
            entry,
            is_shared: reader.is_none(),
            value: Some(value),
        };
        Ok(annotations.into_iter().map(new).collect())
    }

    fn opened(&self, store: &Store, mailbox: &MailboxInSnapshot) -> Result<Arc<Mailbox>> {
        if mailbox.facts.placeholder {
            return Err(StoreError::NotFound("mailbox"));
        }
        let open = self.open.iter().find(|open| open.id() == mailbox.id).map(Arc::clone);
        open.map_or_else(|| store.mailbox(mailbox.id), Ok)
    }
}

/// What is said of a mailbox, or of the user, as it is understood elsewhere: users by their names, for their numbers mean nothing there.
fn exported(list: &MailboxList, mailbox: Option<u32>) -> Vec<(String, Vec<u8>)> {
    let stays = |name: &str| name.starts_with(SHARED) || stays_in_its_store(name);
    let told = list.attributes(mailbox).filter(|(name, _)| !stays(name));
    told.map(|(name, value)| {
        let value = if name.starts_with(ACL) { encode(decode(value).0, None) } else { value.to_vec() };
        (name.to_string(), value)
    })
    .collect()
}

/// Walks the cells of a mailbox as of a snapshot.
pub struct SnapshotCells {
    cells: Cells,
    count: u32,
    upto: ModSeq,
    next: u32,
}

impl Iterator for SnapshotCells {
    type Item = Result<Cell>;

    fn next(&mut self) -> Option<Result<Cell>> {
        while self.next < self.count {
            let index = CellIndex(self.next);
            self.next += 1;
            match self.cells.flags(index) {
                Ok(flags) if flags.expunged && flags.modseq <= self.upto => (),
                Ok(_) => return Some(self.cells.cell(index)),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}
