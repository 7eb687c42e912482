//! A user's mailbox list: names, numbers, UIDVALIDITY, special use, subscriptions, attributes; and the limits of the user's mail. A value that does not change; each change
//! makes a new one, one version higher.
//!
//! Invariants:
//! - Numbers are never given out twice to one user, and UIDVALIDITY only grows, so that no deleted mailbox comes back.
//! - Names are valid by `names::normalize_name`, unique, and in order: INBOX first, then by octets of their parts.
//! - A change carries the version it makes; [`apply`] ignores one that is in the list already. So replay is idempotent.
//!
//! `names` says what a name may be, `attributes` keeps what is said of mailboxes and of the user, `plan` decides changes without making them, `file` keeps the list on disk.

mod attributes;
mod file;
mod names;
mod plan;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::change::{Change, SpecialUse};
use crate::error::ChangeError;
use crate::ids::{MailboxId, UserId};
use crate::quota::Limits;
use attributes::Attributes;

pub(crate) use attributes::stays_in_its_store;
pub use attributes::{
    LONGEST_ATTRIBUTE_NAME_BYTES, LONGEST_ATTRIBUTE_VALUE_BYTES, MOST_ATTRIBUTE_BYTES, MOST_ATTRIBUTES,
    OF_READERS, OF_URL_KEYS,
};
pub use file::CachedList;
pub(crate) use file::decode as decode_list;
pub use names::{INBOX, LONGEST_NAME_BYTES, MOST_NAME_PARTS, normalize_name};
pub use plan::{
    HIGHEST_ADOPTED_UID_VALIDITY, MOST_MAILBOXES, MOST_SUBSCRIPTIONS, RenamePlan, plan_adopt, plan_attribute,
    plan_create, plan_delete, plan_quota, plan_rename, plan_special_use, plan_subscribe,
};

/// One name in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxEntry {
    /// The mailbox's number.
    pub number: u32,
    /// UTF-8 with '/' between the parts; "INBOX" is written so.
    pub name: String,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// `\Noselect`: the name is there for those below it; it has no cells.
    pub placeholder: bool,
}

/// A user's mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxList {
    user: UserId,
    version: u64,
    next_number: u32,
    last_uid_validity: u32,
    entries: Vec<MailboxEntry>,
    subscriptions: Vec<String>,
    limits: Limits,
    attributes: Attributes,
}

/// Why a list cannot be changed as wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListError {
    /// The name is taken.
    Exists,
    /// There is no such name.
    NotFound,
    /// The name cannot be used; why.
    InvalidName(&'static str),
    /// Such a mailbox does not allow that; what.
    NotAllowed(&'static str),
    /// There are as many as there may be; of what.
    Limit(&'static str),
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ChangeError::from(*self).fmt(f)
    }
}

impl std::error::Error for ListError {}

impl From<ListError> for ChangeError {
    fn from(error: ListError) -> ChangeError {
        match error {
            ListError::Exists => ChangeError::MailboxExists,
            ListError::NotFound => ChangeError::NoSuchMailbox,
            ListError::InvalidName(why) => ChangeError::InvalidName(why),
            ListError::NotAllowed(what) => ChangeError::NotAllowed(what),
            ListError::Limit(what) => ChangeError::Limit(what),
        }
    }
}

impl MailboxList {
    /// The list of a new user: empty, version 0. The first mailbox that is planned gets number 1: INBOX.
    pub fn empty(user: UserId) -> MailboxList {
        MailboxList {
            user,
            version: 0,
            next_number: 1,
            last_uid_validity: 0,
            entries: Vec::new(),
            subscriptions: Vec::new(),
            limits: Limits::default(),
            attributes: Attributes::default(),
        }
    }

    /// Whose list this is.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The highest UIDVALIDITY that any mailbox of this user ever had.
    pub fn last_uid_validity(&self) -> u32 {
        self.last_uid_validity
    }

    /// The next mailbox gets a UIDVALIDITY above `last`, too.
    pub(crate) fn raise_uid_validity(&mut self, last: u32) {
        self.last_uid_validity = self.last_uid_validity.max(last);
    }

    /// How many changes made it.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The entry of a name; INBOX in any case.
    pub fn find(&self, name: &str) -> Option<&MailboxEntry> {
        let name = names::with_inbox(name);
        let place = self.entries.binary_search_by(|entry| names::order(&entry.name, &name)).ok()?;
        self.entries.get(place)
    }

    /// The entry of a number.
    pub fn by_number(&self, number: u32) -> Option<&MailboxEntry> {
        self.entries.iter().find(|entry| entry.number == number)
    }

    /// All entries, INBOX first; a name comes before those below it, and they before the next beside it.
    pub fn entries(&self) -> &[MailboxEntry] {
        &self.entries
    }

    /// Whether there are names below `name`.
    pub fn has_children(&self, name: &str) -> bool {
        !self.below(name).is_empty()
    }

    /// The entries below `name`, in order.
    pub fn below(&self, name: &str) -> &[MailboxEntry] {
        let name = names::with_inbox(name);
        let start = self.entries.partition_point(|entry| names::order(&entry.name, &name).is_le());
        let rest = &self.entries[start..];
        let count = rest.iter().take_while(|entry| names::is_below(&entry.name, &name)).count();
        &rest[..count]
    }

    /// How many mailboxes there are that can hold messages.
    pub fn mailbox_count(&self) -> u64 {
        self.entries.iter().filter(|entry| !entry.placeholder).count() as u64
    }

    /// What was set as limits of this user's mail.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The value of an attribute of mailbox number `mailbox`, or, without one, of the user.
    pub fn attribute(&self, mailbox: Option<u32>, name: &str) -> Option<&[u8]> {
        self.attributes.get(mailbox, name)
    }

    /// The attributes of mailbox number `mailbox`, or, without one, of the user: names, in order of their octets, with their values.
    pub fn attributes(&self, mailbox: Option<u32>) -> impl Iterator<Item = (&str, &[u8])> {
        self.attributes.of(mailbox)
    }

    /// All attributes, the user's own first: mailbox, name, value.
    #[cfg(feature = "simulation")]
    pub(crate) fn all_attributes(&self) -> impl Iterator<Item = (Option<u32>, &str, &[u8])> {
        self.attributes.all()
    }

    /// How many attributes there are of the user and of all mailboxes, and how many octets their names and values have together.
    pub fn attribute_sums(&self) -> (usize, usize) {
        (self.attributes.len(), self.attributes.octets())
    }

    /// Subscribed names, in order, also of mailboxes that are not there.
    pub fn subscriptions(&self) -> &[String] {
        &self.subscriptions
    }

    /// Whether a name is subscribed; INBOX in any case.
    pub fn is_subscribed(&self, name: &str) -> bool {
        let name = names::with_inbox(name);
        self.subscriptions.binary_search_by(|known| names::order(known, &name)).is_ok()
    }

    /// Makes `change`, unless it is in the list already or is none of this list. For one change of a shared list see [`apply`].
    pub fn apply(&mut self, change: &Change) {
        let Some(version) = version_of(change, self.user).filter(|version| *version > self.version) else {
            return;
        };
        if let Change::ListSnapshot { list, .. } = change {
            // One that cannot be read is as if it were not there.
            if let Ok(list) = file::decode(list)
                && list.user == self.user
                && list.version == version
            {
                *self = list;
            }
            return;
        }
        self.version = version;
        match change {
            Change::MailboxCreate { mailbox, uid_validity, name, special_use, placeholder, .. } => {
                self.next_number = self.next_number.max(mailbox.number.saturating_add(1));
                self.last_uid_validity = self.last_uid_validity.max(*uid_validity);
                self.insert(MailboxEntry {
                    number: mailbox.number,
                    name: name.clone(),
                    uid_validity: *uid_validity,
                    special_use: *special_use,
                    placeholder: *placeholder,
                });
            }
            Change::MailboxRename { mailbox, name, .. } => {
                if let Some(entry) = self.take(mailbox.number) {
                    self.insert(MailboxEntry { name: name.clone(), ..entry });
                }
            }
            Change::MailboxDelete { mailbox, .. } => {
                self.take(mailbox.number);
                self.attributes.remove_all_of(mailbox.number);
            }
            Change::SpecialUse { mailbox, special_use, .. } => {
                if let Some(entry) = self.entries.iter_mut().find(|entry| entry.number == mailbox.number) {
                    entry.special_use = *special_use;
                }
            }
            Change::Subscribe { name, subscribed, .. } => self.subscribe(name, *subscribed),
            Change::Quota { limits, .. } => self.limits = *limits,
            Change::Attribute { mailbox, name, value, .. } => {
                self.attributes.set(*mailbox, name, value.as_deref());
            }
            _ => (),
        }
    }

    fn subscribe(&mut self, name: &str, subscribed: bool) {
        match (self.subscriptions.binary_search_by(|known| names::order(known, name)), subscribed) {
            (Err(place), true) => self.subscriptions.insert(place, name.to_owned()),
            (Ok(place), false) => {
                self.subscriptions.remove(place);
            }
            _ => (),
        }
    }

    /// The version of a list that `change` makes; 0 if it changes no list.
    pub(crate) fn version_made(change: &Change) -> u64 {
        of_list(change).map_or(0, |(_, version)| version)
    }

    fn id(&self, number: u32) -> MailboxId {
        MailboxId { user: self.user, number }
    }

    fn insert(&mut self, entry: MailboxEntry) {
        match self.entries.binary_search_by(|known| names::order(&known.name, &entry.name)) {
            // Two mailboxes never have one name; if logs say so, the later one is right.
            Ok(place) => self.entries[place] = entry,
            Err(place) => self.entries.insert(place, entry),
        }
    }

    fn take(&mut self, number: u32) -> Option<MailboxEntry> {
        let place = self.entries.iter().position(|entry| entry.number == number)?;
        Some(self.entries.remove(place))
    }
}

/// The version that `change` makes of `user`'s list; `None` if it is not a change of that list.
fn version_of(change: &Change, user: UserId) -> Option<u64> {
    of_list(change).filter(|(owner, _)| *owner == user).map(|(_, version)| version)
}

/// Whose list `change` changes, and the version it makes.
fn of_list(change: &Change) -> Option<(UserId, u64)> {
    Some(match change {
        Change::MailboxCreate { mailbox, list_version, .. }
        | Change::MailboxRename { mailbox, list_version, .. }
        | Change::MailboxDelete { mailbox, list_version }
        | Change::SpecialUse { mailbox, list_version, .. } => (mailbox.user, *list_version),
        Change::ListSnapshot { user, list_version, .. }
        | Change::Subscribe { user, list_version, .. }
        | Change::Quota { user, list_version, .. }
        | Change::Attribute { user, list_version, .. } => (*user, *list_version),
        _ => return None,
    })
}

/// The list after `change`; the same list if `change` is in it already or is none of this list.
pub fn apply(list: &MailboxList, change: &Change) -> MailboxList {
    let mut after = list.clone();
    after.apply(change);
    after
}
