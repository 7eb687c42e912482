//! What the open store says of quota, and how rows of the usage view that do not count are made again.

use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, UserId};
use crate::lists::MailboxList;
use crate::locks::LockKey;
use crate::quota::usage::{ROWS_MOST, usage_of};
use crate::quota::{Limits, Quota, Usage};
use crate::store::Store;

/// A sum over mailboxes.
pub(crate) struct Counted {
    pub(crate) usage: Usage,
    /// Mailboxes that are not in it: their rows must be made first.
    pub(crate) missing: Vec<MailboxId>,
}

impl Store {
    /// A user's limits and usage, as of now. Makes the usage view if the user has limits and there is none.
    pub fn quota(&self, user: UserId) -> Result<Quota> {
        let list = self.mailbox_list(user)?;
        let limits = list.limits().or(self.default_limits());
        let mut counted = self.count_usage(user, &list)?;
        if limits.is_limited() && !counted.missing.is_empty() {
            self.make_usage(&counted.missing)?;
            counted = self.count_usage(user, &list)?;
        }
        let mut usage = counted.usage;
        for mailbox in counted.missing {
            match self.mailbox(mailbox) {
                // Deleted meanwhile.
                Err(StoreError::NotFound(_)) => (),
                open => usage = usage.and(usage_of(&*open?)?),
            }
        }
        Ok(Quota { own: list.limits(), limits, usage, mailboxes: list.mailbox_count() })
    }

    /// Octets of all annotations of a user's messages that are there: of the names of entries and of their values. Looks at each mailbox that has any.
    pub fn annotation_octets(&self, user: UserId) -> Result<u64> {
        let mut octets = 0u64;
        for entry in self.mailbox_list(user)?.entries().iter().filter(|entry| !entry.placeholder) {
            match self.derived.mailbox(MailboxId { user, number: entry.number }) {
                // Deleted meanwhile.
                Err(StoreError::NotFound(_)) => (),
                open => octets = octets.saturating_add(open?.annotation_octets()?),
            }
        }
        Ok(octets)
    }

    /// Limits of users for whom none were set, from now on in this process.
    pub fn set_default_limits(&self, defaults: Limits) {
        self.known_limits.set_defaults(defaults);
    }

    /// Limits of users for whom none were set.
    pub fn default_limits(&self) -> Limits {
        self.known_limits.defaults()
    }

    /// The limits that hold for a user. A look-up in memory unless limits have changed since.
    pub(crate) fn limits_of(&self, user: UserId) -> Result<Limits> {
        // Counted before they are read: what is read after a change is never taken for older than that.
        let changes = self.quota_changes();
        self.known_limits.get(user, changes, || Ok(self.mailbox_list(user)?.limits()))
    }

    /// The sum over the mailboxes of `list` by the usage view. Exact for who holds the lock of the list of a user with limits:
    /// nobody else then adds to it.
    pub(crate) fn count_usage(&self, user: UserId, list: &MailboxList) -> Result<Counted> {
        let file = self.derived.usages.find(user, &self.derived.user_folder(user)?)?;
        let mut counted = Counted { usage: Usage::default(), missing: Vec::new() };
        for entry in list.entries().iter().filter(|entry| !entry.placeholder) {
            let mailbox = MailboxId { user, number: entry.number };
            let known = if entry.number < ROWS_MOST {
                file.as_ref().and_then(|file| file.read(entry.number))
            } else {
                self.usage_without_row(mailbox)?
            };
            match known {
                Some(usage) => counted.usage = counted.usage.and(usage),
                None => counted.missing.push(mailbox),
            }
        }
        Ok(counted)
    }

    fn usage_without_row(&self, mailbox: MailboxId) -> Result<Option<Usage>> {
        match self.derived.mailbox(mailbox) {
            Ok(open) if open.epoch() >= self.derived.epoch => usage_of(&open).map(Some),
            Ok(_) | Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the rows of mailboxes of one user, one lock after the other; the caller holds none. Those that cannot be counted, because they
    /// are damaged or gone, are passed over; they are returned.
    pub(crate) fn make_usage(&self, mailboxes: &[MailboxId]) -> Result<Vec<MailboxId>> {
        let Some(user) = mailboxes.first().map(|mailbox| mailbox.user) else {
            return Ok(Vec::new());
        };
        {
            let _held = self.take(&[LockKey::List(user)])?;
            self.derived.usages.find_or_make(user, &self.derived.user_folder(user)?)?;
        }
        let mut passed_over = Vec::new();
        for mailbox in mailboxes {
            let held = self.take(&[LockKey::Mailbox(*mailbox)])?;
            match self.mailbox_held(*mailbox, &held) {
                Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => passed_over.push(*mailbox),
                open => {
                    let open = open?;
                    open.keep_usage();
                    self.derived.keep_usage(&open)?;
                }
            }
        }
        Ok(passed_over)
    }
}
