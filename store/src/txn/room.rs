//! Whether there is room for more: the limits of those who get messages.
//!
//! For a user without limits nothing is opened or locked. For one with limits, the lock of the user's mailbox list is held, too, so that nobody
//! else adds to any of the mailboxes until this change is in the usage view: two deliveries at once cannot both take the last place.

use std::collections::HashMap;

use crate::error::{ChangeError, StoreError};
use crate::ids::{MailboxId, UserId};
use crate::locks::LockKey;
use crate::quota::{Limits, Resource, Usage};
use crate::store::Store;
use crate::txn::Operation;
use crate::txn::plan::{Plan, Stop};

/// What is left for users with limits, as the changes planned so far leave it.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    users: HashMap<UserId, Room>,
    /// Octets of annotations of users who may have so many.
    annotations: HashMap<UserId, u64>,
}

#[derive(Debug)]
struct Room {
    limits: Limits,
    usage: Usage,
}

/// The locks that operations need because of limits, as far as these are known.
pub(super) fn keys(store: &Store, operations: &[Operation]) -> Vec<LockKey> {
    let mut keys = Vec::new();
    let mut look = |user: UserId| {
        // Who cannot be looked up is refused later.
        if store.limits_of(user).is_ok_and(Limits::is_limited) {
            keys.push(LockKey::List(user));
        }
    };
    for operation in operations {
        match operation {
            Operation::Deliver { to } => to.iter().for_each(|to| look(to.mailbox.user)),
            Operation::AddDeposits { to, .. }
            | Operation::Copy { to, .. }
            | Operation::BringBack { to, .. } => look(to.user),
            _ => (),
        }
    }
    keys
}

impl Plan<'_> {
    /// Refused if so many mailboxes more are more than allowed. The lock of the list, which whoever makes mailboxes holds, keeps that exact.
    pub(super) fn admit_mailboxes(&mut self, user: UserId, more: usize) -> Result<(), Stop> {
        let defaults = self.store.default_limits();
        let list = self.list(user)?;
        let limits = list.limits().or(defaults);
        if more > 0 && !limits.allows_mailboxes(list.mailbox_count().saturating_add(more as u64)) {
            return Err(ChangeError::OverQuota(Resource::Mailboxes).into());
        }
        Ok(())
    }

    /// Counts what a user is to get. Refused if that is more than allowed.
    pub(super) fn admit(&mut self, user: UserId, more: Usage) -> Result<(), Stop> {
        if !self.rooms.users.contains_key(&user) {
            match self.store.limits_of(user) {
                Ok(limits) if !limits.is_limited() => return Ok(()),
                // Deleted meanwhile.
                Err(StoreError::NotFound(_)) => return Err(ChangeError::NoSuchMailbox.into()),
                limits => limits?,
            };
            self.need([LockKey::List(user)])?;
            let room = self.room(user)?;
            self.rooms.users.insert(user, room);
        }
        let Some(room) = self.rooms.users.get_mut(&user) else { return Ok(()) };
        let after = room.usage.and(more);
        if let Some(what) = room.limits.exceeded_by(after) {
            return Err(ChangeError::OverQuota(what).into());
        }
        room.usage = after;
        Ok(())
    }

    /// Counts octets of annotations that a user is to get. Refused if that is more than allowed.
    pub(super) fn admit_annotations(&mut self, user: UserId, more: u64) -> Result<(), Stop> {
        let limits = match self.store.limits_of(user) {
            Ok(limits) if more == 0 || !limits.limits_annotations() => return Ok(()),
            Err(StoreError::NotFound(_)) => return Err(ChangeError::NoSuchMailbox.into()),
            limits => limits?,
        };
        self.need([LockKey::List(user)])?;
        let before = match self.rooms.annotations.get(&user) {
            Some(octets) => *octets,
            None => self.store.annotation_octets(user)?,
        };
        let after = before.saturating_add(more);
        if !limits.allows_annotations(after) {
            return Err(ChangeError::OverQuota(Resource::Annotations).into());
        }
        self.rooms.annotations.insert(user, after);
        Ok(())
    }

    /// Limits and usage under the lock of the list.
    fn room(&self, user: UserId) -> Result<Room, Stop> {
        let list = self.store.mailbox_list(user)?;
        let limits = list.limits().or(self.store.default_limits());
        let counted = self.store.count_usage(user, &list)?;
        let missing: Vec<MailboxId> =
            counted.missing.into_iter().filter(|mailbox| !self.uncounted.contains(mailbox)).collect();
        if missing.is_empty() {
            Ok(Room { limits, usage: counted.usage })
        } else {
            Err(Stop::Uncounted(missing))
        }
    }
}
