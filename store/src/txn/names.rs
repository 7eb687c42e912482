//! The decisions about users and mailbox lists. What a wish comes to is decided in `lists`; here it meets the locks.

use crate::change::{Change, SpecialUse};
use crate::error::ChangeError;
use crate::ids::{CellIndex, MailboxId, UserId};
use crate::lists::{
    INBOX, MailboxList, RenamePlan, plan_attribute, plan_create, plan_delete, plan_quota, plan_rename,
    plan_special_use, plan_subscribe,
};
use crate::locks::LockKey;
use crate::quota::Limits;
use crate::txn::Outcome;
use crate::txn::plan::{Plan, Stop};

/// For so many numbers behind the next one locks are taken when many make users at one time.
const USERS_AHEAD: u32 = 16;

impl Plan<'_> {
    /// A user's list as the changes planned so far leave it.
    pub(super) fn list(&mut self, user: UserId) -> Result<&MailboxList, Stop> {
        self.need([LockKey::List(user)])?;
        match self.lists.entry(user) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                // Deleted meanwhile, perhaps: then there is no list to be changed.
                self.store.user_name(user)?;
                let list = self.store.mailbox_list(user)?;
                Ok(entry.insert(MailboxList::clone(&list)))
            }
        }
    }

    /// Takes over the changes of one list.
    pub(super) fn change_list(&mut self, user: UserId, changes: Vec<Change>) {
        if let Some(list) = self.lists.get_mut(&user) {
            changes.iter().for_each(|change| list.apply(change));
        }
        self.changes.extend(changes);
    }

    pub(super) fn create_user(&mut self, name: &str) -> Result<Outcome, Stop> {
        if !crate::catalog::is_user_name(name) {
            return Err(ChangeError::InvalidName("it is empty, too long, or has control characters").into());
        }
        let catalog = &self.store.derived.catalog;
        if let Some(user) = catalog.find(name)? {
            return Ok(Outcome::Created(inbox_of(user)));
        }
        let user = catalog.next_user()?;
        let inbox = inbox_of(user);
        self.need_new_user(user)?;
        let list = MailboxList::empty(user);
        let changes = plan_create(&list, INBOX, None, self.store.derived.now())?;
        self.lists.insert(user, list);
        self.changes.push(Change::UserCreate { user, name: name.to_string() });
        self.change_list(user, changes);
        Ok(Outcome::Created(inbox))
    }

    /// Stops unless the locks of the next user are held. The number is known only under the catalog's lock; if others have been faster since it was, the
    /// locks of the numbers behind it are asked for as well, so that many who make users at one time all come to their turn.
    pub(super) fn need_new_user(&self, user: UserId) -> Result<(), Stop> {
        let keys = |user: UserId| [LockKey::List(user), LockKey::Mailbox(inbox_of(user))];
        if keys(user).iter().all(|key| self.held.covers(*key)) {
            return Ok(());
        }
        let earlier = (user.0.saturating_sub(USERS_AHEAD)..user.0).map(UserId);
        let was_late = earlier.into_iter().any(|user| self.held.covers(LockKey::List(user)));
        let ahead = if was_late { USERS_AHEAD } else { 1 };
        self.need((user.0..user.0.saturating_add(ahead)).map(UserId).flat_map(keys))
    }

    /// `unused`: refused if there ever was a message in any mailbox.
    pub(super) fn delete_user(&mut self, user: UserId, unused: bool) -> Result<Outcome, Stop> {
        let list = self.list(user)?;
        let held: Vec<MailboxId> = list
            .entries()
            .iter()
            .filter(|entry| !entry.placeholder)
            .map(|entry| MailboxId { user, number: entry.number })
            .collect();
        let next_version = list.version() + 1;
        self.need(held.iter().map(|mailbox| LockKey::Mailbox(*mailbox)))?;
        for mailbox in held.iter().filter(|_| unused) {
            if self.existing(*mailbox)?.was_used() {
                return Err(ChangeError::NotAllowed("the user has or had messages").into());
            }
        }
        for (list_version, mailbox) in (next_version..).zip(held) {
            self.changes.push(Change::MailboxDelete { mailbox, list_version });
            self.touched.push(mailbox);
        }
        self.changes.push(Change::UserDelete { user });
        Ok(Outcome::Done)
    }

    pub(super) fn create_mailbox(
        &mut self,
        user: UserId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<Outcome, Stop> {
        let now = self.store.derived.now();
        let changes = plan_create(self.list(user)?, name, special_use, now)?;
        let made = made_mailboxes(&changes);
        self.admit_mailboxes(user, made.len())?;
        self.need(made.iter().map(|(mailbox, _)| LockKey::Mailbox(*mailbox)))?;
        self.change_list(user, changes);
        let (mailbox, _) = made.last().ok_or(ChangeError::NotAllowed("a mailbox that holds nothing"))?;
        Ok(Outcome::Created(*mailbox))
    }

    pub(super) fn rename_mailbox(&mut self, user: UserId, from: &str, to: &str) -> Result<Outcome, Stop> {
        let now = self.store.derived.now();
        let plan = plan_rename(self.list(user)?, from, to, now)?;
        let (changes, target) = match plan {
            RenamePlan::Names(changes) => (changes, None),
            RenamePlan::Inbox { changes, target } => (changes, Some(target)),
        };
        let made = made_mailboxes(&changes);
        self.admit_mailboxes(user, made.len())?;
        self.need(made.iter().map(|(mailbox, _)| LockKey::Mailbox(*mailbox)))?;
        let Some(target) = target else {
            self.change_list(user, changes);
            return Ok(Outcome::Done);
        };
        let inbox = self.list(user)?.find(INBOX).map(|entry| MailboxId { user, number: entry.number });
        let inbox = inbox.ok_or(ChangeError::NoSuchMailbox)?;
        self.need([LockKey::Mailbox(inbox)])?;
        self.change_list(user, changes);
        for (mailbox, uid_validity) in made {
            self.new_mailbox(mailbox, uid_validity);
        }
        let cells = self.open(inbox)?.cells()?;
        let mut live = Vec::new();
        for index in (0..cells.count()).map(CellIndex) {
            if !cells.flags(index)?.expunged {
                live.push(cells.cell(index)?);
            }
        }
        if live.len() > super::MESSAGES_MOST {
            return Err(ChangeError::Limit("messages at once").into());
        }
        self.copy_cells(inbox, &live, target, true)?;
        Ok(Outcome::Done)
    }

    pub(super) fn delete_mailbox(&mut self, user: UserId, name: &str) -> Result<Outcome, Stop> {
        let now = self.store.derived.now();
        let changes = plan_delete(self.list(user)?, name, now)?;
        let gone: Vec<MailboxId> = changes
            .iter()
            .filter_map(|change| match change {
                Change::MailboxDelete { mailbox, .. } => Some(*mailbox),
                _ => None,
            })
            .collect();
        self.need(gone.iter().map(|mailbox| LockKey::Mailbox(*mailbox)))?;
        self.touched.extend(gone);
        self.change_list(user, changes);
        Ok(Outcome::Done)
    }

    pub(super) fn subscribe(&mut self, user: UserId, name: &str, subscribed: bool) -> Result<Outcome, Stop> {
        let changes = plan_subscribe(self.list(user)?, name, subscribed)?;
        self.change_list(user, changes);
        Ok(Outcome::Done)
    }

    pub(super) fn special_use(
        &mut self,
        user: UserId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<Outcome, Stop> {
        let changes = plan_special_use(self.list(user)?, name, special_use)?;
        self.change_list(user, changes);
        Ok(Outcome::Done)
    }

    pub(super) fn set_attribute(
        &mut self,
        user: UserId,
        mailbox: Option<u32>,
        name: &str,
        value: Option<&[u8]>,
    ) -> Result<Outcome, Stop> {
        let changes = plan_attribute(self.list(user)?, mailbox, name, value)?;
        self.change_list(user, changes);
        Ok(Outcome::Done)
    }

    pub(super) fn set_quota(&mut self, user: UserId, limits: Limits) -> Result<Outcome, Stop> {
        let changes = plan_quota(self.list(user)?, limits);
        self.change_list(user, changes);
        Ok(Outcome::Done)
    }
}

/// The first mailbox of a user's list.
pub(super) fn inbox_of(user: UserId) -> MailboxId {
    MailboxId { user, number: 1 }
}

/// Mailboxes with cells that `changes` make, with their UIDVALIDITY.
pub(super) fn made_mailboxes(changes: &[Change]) -> Vec<(MailboxId, u32)> {
    let made = changes.iter().filter_map(|change| match change {
        Change::MailboxCreate { mailbox, uid_validity, placeholder: false, .. } => {
            Some((*mailbox, *uid_validity))
        }
        _ => None,
    });
    made.collect()
}
