//! A user's mailbox list: signatures.
#![allow(missing_docs, unused_variables)]

use std::path::Path;
use std::sync::Arc;

use crate::change::{Change, SpecialUse};
use crate::error::{ChangeError, Result};
use crate::ids::{MailboxId, UserId};

/// One name in a list. `name` is UTF-8 with '/' between its parts; "INBOX" is written so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxEntry {
    pub number: u32,
    pub name: String,
    pub uid_validity: u32,
    pub special_use: Option<SpecialUse>,
    /// `\Noselect`: it has no cells.
    pub placeholder: bool,
}

/// A user's mailboxes, a value that does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxList {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListError {
    Exists,
    NotFound,
    InvalidName(&'static str),
    NotAllowed(&'static str),
    Limit(&'static str),
}

impl From<ListError> for ChangeError {
    fn from(error: ListError) -> ChangeError { todo!() }
}

/// What a rename comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenamePlan {
    /// Names change, nothing else.
    Names(Vec<Change>),
    /// INBOX: `changes` make the mailbox `target`; then all messages of INBOX move there.
    Inbox { changes: Vec<Change>, target: MailboxId },
}

impl MailboxList {
    /// The list of a new user, empty (version 0). `plan_create(list, "INBOX", …)` makes the first mailbox, number 1.
    pub fn empty(user: UserId) -> MailboxList { todo!() }
    pub fn user(&self) -> UserId { todo!() }
    pub fn version(&self) -> u64 { todo!() }
    /// By name; INBOX in any case.
    pub fn find(&self, name: &str) -> Option<&MailboxEntry> { todo!() }
    pub fn by_number(&self, number: u32) -> Option<&MailboxEntry> { todo!() }
    /// In order of names, INBOX first.
    pub fn entries(&self) -> &[MailboxEntry] { todo!() }
    pub fn has_children(&self, name: &str) -> bool { todo!() }
    pub fn subscriptions(&self) -> &[String] { todo!() }
    pub fn is_subscribed(&self, name: &str) -> bool { todo!() }

    /// The list in the file `mailboxes` at `path`; `None` if there is no file.
    pub fn read(path: &Path, user: UserId) -> Result<Option<MailboxList>> { todo!() }
    /// Replaces the file at `path`, synced. Under the list's lock.
    pub(crate) fn write(&self, path: &Path) -> Result<()> { todo!() }
}

/// The name as the list keeps it: INBOX upper case, no delimiter at the end; or why it cannot be one.
pub fn normalize_name(name: &str) -> std::result::Result<String, ListError> { todo!() }

pub fn plan_create(list: &MailboxList, name: &str, special_use: Option<SpecialUse>, now_seconds: u32) -> std::result::Result<Vec<Change>, ListError> { todo!() }
pub fn plan_delete(list: &MailboxList, name: &str, now_seconds: u32) -> std::result::Result<Vec<Change>, ListError> { todo!() }
pub fn plan_rename(list: &MailboxList, from: &str, to: &str, now_seconds: u32) -> std::result::Result<RenamePlan, ListError> { todo!() }
/// No changes if it is so already.
pub fn plan_subscribe(list: &MailboxList, name: &str, subscribed: bool) -> std::result::Result<Vec<Change>, ListError> { todo!() }
pub fn plan_special_use(list: &MailboxList, name: &str, special_use: Option<SpecialUse>) -> std::result::Result<Vec<Change>, ListError> { todo!() }
/// The list after `change`; the same list if `change` is in it already (by its version).
pub fn apply(list: &MailboxList, change: &Change) -> MailboxList { todo!() }

/// The list of one user as this process last read it; re-read when the file was replaced. One `stat` an access.
#[derive(Debug)]
pub struct CachedList {}

impl CachedList {
    pub fn new(path: &Path, user: UserId) -> CachedList { todo!() }
    pub fn get(&self) -> Result<Arc<MailboxList>> { todo!() }
}
