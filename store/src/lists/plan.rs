//! Decides what changes a wish comes to. Nothing is changed here: the caller logs the changes and applies them.

use std::collections::HashSet;

use super::names::{INBOX, above, is_below, normalize_name};
use super::{ListError, MailboxEntry, MailboxList};
use crate::change::{Change, SpecialUse};
use crate::ids::MailboxId;
use crate::quota::Limits;
use crate::rights::ACL;

/// Mailboxes of a user at most, placeholders counted.
pub const MOST_MAILBOXES: usize = 10_000;
/// Subscriptions of a user at most.
pub const MOST_SUBSCRIPTIONS: usize = 20_000;

/// A UIDVALIDITY from elsewhere is at most this: those of mailboxes made later are higher.
pub const HIGHEST_ADOPTED_UID_VALIDITY: u32 = u32::MAX - (1 << 24);

/// What a rename comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenamePlan {
    /// Names change, nothing else.
    Names(Vec<Change>),
    /// INBOX was renamed (RFC 3501, 6.3.5): `changes` make the mailbox `target`, then all messages of INBOX move there. What is
    /// below INBOX stays.
    Inbox {
        /// These first.
        changes: Vec<Change>,
        /// Then the messages go here.
        target: MailboxId,
    },
}

/// Changes that were decided, and the list as they leave it.
struct Plan {
    list: MailboxList,
    changes: Vec<Change>,
    now_seconds: u32,
}

impl Plan {
    fn on(list: &MailboxList, now_seconds: u32) -> Plan {
        Plan { list: list.clone(), changes: Vec::new(), now_seconds }
    }

    fn push(&mut self, make: impl FnOnce(u64) -> Change) {
        let change = make(self.list.version + 1);
        self.list.apply(&change);
        self.changes.push(change);
    }

    fn create(
        &mut self,
        name: &str,
        special_use: Option<SpecialUse>,
        placeholder: bool,
        adopted: Option<u32>,
    ) -> Result<(), ListError> {
        if self.list.entries.len() >= MOST_MAILBOXES {
            return Err(ListError::Limit("mailboxes"));
        }
        let number = self.list.next_number;
        if number == u32::MAX || self.list.last_uid_validity == u32::MAX {
            return Err(ListError::Limit("mailboxes ever made"));
        }
        let mailbox = self.list.id(number);
        let uid_validity = adopted.unwrap_or((self.list.last_uid_validity + 1).max(self.now_seconds));
        let name = name.to_owned();
        self.push(|list_version| Change::MailboxCreate {
            mailbox,
            list_version,
            uid_validity,
            name,
            special_use,
            placeholder,
        });
        Ok(())
    }

    /// Makes a mailbox as `create` does, with the rights that others have in `like`: in the mailbox above it, or in the placeholder that it takes the place of
    /// (RFC 4314, 4).
    fn create_like(
        &mut self,
        like: &[(String, Vec<u8>)],
        name: &str,
        special_use: Option<SpecialUse>,
        placeholder: bool,
    ) -> Result<(), ListError> {
        let number = self.list.next_number;
        self.create(name, special_use, placeholder, None)?;
        for (identifier, value) in like {
            self.list.attributes.check(Some(number), identifier, Some(value))?;
            let user = self.list.user;
            let (mailbox, name, value) = (Some(number), identifier.clone(), Some(value.clone()));
            self.push(|list_version| Change::Attribute { user, list_version, mailbox, name, value });
        }
        Ok(())
    }

    /// The attributes that say who may do what with the mailbox of that name, if there is one.
    fn rights_in(&self, name: Option<&str>) -> Vec<(String, Vec<u8>)> {
        let Some(entry) = name.and_then(|name| self.list.find(name)) else { return Vec::new() };
        let all = self.list.attributes(Some(entry.number)).filter(|(name, _)| name.starts_with(ACL));
        all.map(|(name, value)| (name.to_string(), value.to_vec())).collect()
    }

    /// Makes a mailbox of `name`, and of the names above it that are missing.
    fn create_with_parents(
        &mut self,
        name: &str,
        special_use: Option<SpecialUse>,
        adopted: Option<u32>,
    ) -> Result<(), ListError> {
        for upper in above(name) {
            if self.list.find(upper).is_none() {
                self.create_below(upper)?;
            }
        }
        let mut like = self.rights_in(above(name).last());
        if let Some(entry) = self.list.find(name) {
            if !entry.placeholder {
                return Err(ListError::Exists);
            }
            let mailbox = self.list.id(entry.number);
            like = self.rights_in(Some(name));
            self.push(|list_version| Change::MailboxDelete { mailbox, list_version });
        }
        match adopted {
            Some(_) => self.create(name, special_use, false, adopted),
            None => self.create_like(&like, name, special_use, false),
        }
    }

    /// Makes a mailbox below one that is there, or at the top.
    fn create_below(&mut self, name: &str) -> Result<(), ListError> {
        let like = self.rights_in(above(name).last());
        self.create_like(&like, name, None, false)
    }
}

/// Makes a mailbox, and those above it that are missing (RFC 3501, 6.3.3). A placeholder becomes a mailbox.
pub fn plan_create(
    list: &MailboxList,
    name: &str,
    special_use: Option<SpecialUse>,
    now_seconds: u32,
) -> Result<Vec<Change>, ListError> {
    let name = normalize_name(name)?;
    let mut plan = Plan::on(list, now_seconds);
    plan.create_with_parents(&name, special_use, None)?;
    Ok(plan.changes)
}

/// Makes a mailbox with the UIDVALIDITY that it had elsewhere or earlier, and those above it that are missing. A placeholder of
/// that name becomes the mailbox. Two mailboxes of one user never have the same UIDVALIDITY.
pub fn plan_adopt(
    list: &MailboxList,
    wanted: &MailboxEntry,
    now_seconds: u32,
) -> Result<Vec<Change>, ListError> {
    let name = normalize_name(&wanted.name)?;
    if wanted.uid_validity == 0 || wanted.uid_validity > HIGHEST_ADOPTED_UID_VALIDITY {
        return Err(ListError::NotAllowed("a UIDVALIDITY of 0, or one that leaves no room for higher ones"));
    }
    if list.entries.iter().any(|entry| !entry.placeholder && entry.uid_validity == wanted.uid_validity) {
        return Err(ListError::NotAllowed("a UIDVALIDITY that another mailbox of this user has"));
    }
    let mut plan = Plan::on(list, now_seconds);
    // So that mailboxes above it, which are made now, get others.
    plan.list.last_uid_validity = plan.list.last_uid_validity.max(wanted.uid_validity);
    match (wanted.placeholder, list.find(&name)) {
        (true, Some(_)) => return Err(ListError::Exists),
        (true, None) => plan.create(&name, None, true, Some(wanted.uid_validity))?,
        (false, _) => plan.create_with_parents(&name, wanted.special_use, Some(wanted.uid_validity))?,
    }
    Ok(plan.changes)
}

/// Deletes a mailbox (RFC 3501, 6.3.4). If there are names below it, a placeholder takes its place. Placeholders above it that
/// have nothing below them any more go, too.
pub fn plan_delete(list: &MailboxList, name: &str, now_seconds: u32) -> Result<Vec<Change>, ListError> {
    let name = normalize_name(name)?;
    let entry = list.find(&name).ok_or(ListError::NotFound)?;
    if name == INBOX {
        return Err(ListError::NotAllowed("INBOX cannot be deleted"));
    }
    let has_children = list.has_children(&name);
    if entry.placeholder && has_children {
        return Err(ListError::NotAllowed("there are mailboxes below this name"));
    }
    let mut plan = Plan::on(list, now_seconds);
    let mailbox = list.id(entry.number);
    let like = plan.rights_in(Some(&name));
    plan.push(|list_version| Change::MailboxDelete { mailbox, list_version });
    if has_children {
        plan.create_like(&like, &name, None, true)?;
    }
    let uppers: Vec<&str> = above(&name).collect();
    for upper in uppers.into_iter().rev() {
        match plan.list.find(upper) {
            Some(entry) if entry.placeholder && !plan.list.has_children(upper) => {
                let mailbox = list.id(entry.number);
                plan.push(|list_version| Change::MailboxDelete { mailbox, list_version });
            }
            _ => break,
        }
    }
    Ok(plan.changes)
}

/// Gives a mailbox and all below it another name (RFC 3501, 6.3.5). Missing names above the new one are made.
pub fn plan_rename(
    list: &MailboxList,
    from: &str,
    to: &str,
    now_seconds: u32,
) -> Result<RenamePlan, ListError> {
    let from = normalize_name(from)?;
    let to = normalize_name(to)?;
    let entry = list.find(&from).ok_or(ListError::NotFound)?;
    if list.find(&to).is_some() {
        return Err(ListError::Exists);
    }
    let mut plan = Plan::on(list, now_seconds);
    if from == INBOX {
        plan.create_with_parents(&to, None, None)?;
        let target = plan.list.find(&to).map(|entry| list.id(entry.number)).ok_or(ListError::NotFound)?;
        return Ok(RenamePlan::Inbox { changes: plan.changes, target });
    }
    if is_below(&to, &from) {
        return Err(ListError::NotAllowed("a mailbox cannot be moved below itself"));
    }
    let moved: Vec<&MailboxEntry> = std::iter::once(entry).chain(list.below(&from)).collect();
    let new_names = moved
        .iter()
        .map(|entry| normalize_name(&format!("{to}{}", &entry.name[from.len()..])))
        .collect::<Result<Vec<_>, _>>()?;
    if new_names.iter().any(|name| list.find(name).is_some()) {
        return Err(ListError::Exists);
    }
    for upper in above(&to) {
        if plan.list.find(upper).is_none() {
            plan.create_below(upper)?;
        }
    }
    // No name is taken twice on the way: none of the new names is in the list.
    let renames = (plan.list.version + 1..).zip(moved).zip(new_names);
    plan.changes.extend(renames.map(|((list_version, entry), name)| {
        let mailbox = list.id(entry.number);
        Change::MailboxRename { mailbox, list_version, name }
    }));
    Ok(RenamePlan::Names(plan.changes))
}

/// Subscribes to a name, which need not be there, or no longer. No changes if it is so already.
pub fn plan_subscribe(list: &MailboxList, name: &str, subscribed: bool) -> Result<Vec<Change>, ListError> {
    let name = normalize_name(name)?;
    if list.is_subscribed(&name) == subscribed {
        return Ok(Vec::new());
    }
    if subscribed && list.subscriptions.len() >= MOST_SUBSCRIPTIONS {
        return Err(ListError::Limit("subscriptions"));
    }
    Ok(vec![Change::Subscribe { user: list.user, list_version: list.version + 1, name, subscribed }])
}

/// Says what a mailbox is for. No changes if it is so already.
pub fn plan_special_use(
    list: &MailboxList,
    name: &str,
    special_use: Option<SpecialUse>,
) -> Result<Vec<Change>, ListError> {
    let name = normalize_name(name)?;
    let entry = list.find(&name).ok_or(ListError::NotFound)?;
    if entry.placeholder {
        return Err(ListError::NotAllowed("the name holds no messages"));
    }
    if entry.special_use == special_use {
        return Ok(Vec::new());
    }
    let mailbox = list.id(entry.number);
    Ok(vec![Change::SpecialUse { mailbox, list_version: list.version + 1, special_use }])
}

/// Says how much mail the user may have. No changes if it is so already.
pub fn plan_quota(list: &MailboxList, limits: Limits) -> Vec<Change> {
    if list.limits == limits {
        return Vec::new();
    }
    vec![Change::Quota { user: list.user, list_version: list.version + 1, limits }]
}

/// Says something of mailbox number `mailbox`, or, without one, of the user; without a value, no longer. No changes if it is so already.
pub fn plan_attribute(
    list: &MailboxList,
    mailbox: Option<u32>,
    name: &str,
    value: Option<&[u8]>,
) -> Result<Vec<Change>, ListError> {
    if mailbox.is_some_and(|number| list.by_number(number).is_none()) {
        return Err(ListError::NotFound);
    }
    if list.attribute(mailbox, name) == value {
        return Ok(Vec::new());
    }
    list.attributes.check(mailbox, name, value)?;
    Ok(vec![Change::Attribute {
        user: list.user,
        list_version: list.version + 1,
        mailbox,
        name: name.to_string(),
        value: value.map(<[u8]>::to_vec),
    }])
}

/// Whether names and numbers of `entries` are unique; for what was read from a file.
pub(super) fn are_unique(entries: &[MailboxEntry]) -> bool {
    let mut numbers = HashSet::with_capacity(entries.len());
    entries.iter().all(|entry| numbers.insert(entry.number))
        && entries.windows(2).all(|pair| super::names::order(&pair[0].name, &pair[1].name).is_lt())
}
