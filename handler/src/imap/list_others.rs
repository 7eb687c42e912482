//! What LIST tells of other users' mailboxes: owner by owner, so that others have their turn meanwhile.
//!
//! Only owners are looked at who gave this user, or everybody, rights; those that a pattern names; and those whose mailboxes the user has subscribed to. Of their mailboxes those are told
//! that the user may look up: the others are as if they were not there, also as parents (RFC 4314, 4). Special uses are the owner's, and not told.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use protocol::imap::command::list::ListArguments;
use protocol::imap::pattern::Pattern;
use protocol::imap::reply::mailbox::ListAttribute;
use protocol::imap::syntax::mailbox_name::HIERARCHY_DELIMITER;
use store::lists::{MailboxEntry, MailboxList};
use store::rights::ANYONE;
use store::{MailboxId, Right, Rights, Store, StoreError, UserId};

use super::User;
use super::list::{Line, ancestors};
use super::names::{OTHER_USERS, OTHER_USERS_PREFIX, below_other_users, decode_user, name_of};
use crate::conversation::Turn;
use crate::log;

/// A LIST that goes on with other users' mailboxes.
pub(super) struct Others {
    owners: VecDeque<UserId>,
    /// The user's own list, for what is subscribed to.
    own: Arc<MailboxList>,
    arguments: ListArguments,
    patterns: Vec<Pattern>,
    /// Names above others that RECURSIVEMATCH tells of.
    parents: HashSet<String>,
    /// Whether the level that is above all owners was told.
    is_root_told: bool,
}

impl Others {
    /// What is to be looked at; `None` if no name of another user's mailbox can match.
    pub(super) fn of(
        user: &User,
        own: Arc<MailboxList>,
        arguments: &ListArguments,
        patterns: Vec<Pattern>,
        parents: HashSet<String>,
        turn: &Turn<'_>,
    ) -> Result<Option<Others>, StoreError> {
        let may_match = |pattern: &Pattern| {
            let beginning = pattern.fixed_beginning();
            OTHER_USERS_PREFIX.starts_with(beginning) || beginning.starts_with(OTHER_USERS_PREFIX)
        };
        // What others' mailboxes are for is nothing to this user.
        if arguments.selection.special_use || !patterns.iter().any(may_match) {
            return Ok(None);
        }
        let store = &turn.shared.store;
        let mut owners: BTreeSet<UserId> = own.owners().collect();
        if let Some(everybody) = store.find_user(ANYONE)? {
            owners.extend(store.mailbox_list(everybody)?.owners());
        }
        let named = patterns.iter().map(Pattern::fixed_beginning);
        let subscribed = own.subscriptions().iter().filter(|_| arguments.selection.subscribed);
        for name in named.chain(subscribed.map(String::as_str)) {
            owners.extend(owner_in(name, store)?);
        }
        owners.remove(&user.id);
        let owners = owners.into_iter().collect();
        let arguments = arguments.clone();
        Ok(Some(Others { owners, own, arguments, patterns, parents, is_root_told: false }))
    }

    /// What is told of the next owner's mailboxes, perhaps nothing; `None` when all owners are done.
    pub(super) fn next_lines(&mut self, user: &User, turn: &Turn<'_>) -> Option<Vec<Line>> {
        let owner = self.owners.pop_front()?;
        let store = &turn.shared.store;
        match store.user_name(owner).and_then(|name| Ok((name, store.mailbox_list(owner)?))) {
            Ok((name, list)) => Some(self.lines(&name, &list, user)),
            // Deleted since.
            Err(error) if error.is_gone() => Some(Vec::new()),
            Err(error) => {
                // What is wrong with one user's list is not the business of those whom it is shared with.
                log::warning!("no LIST of another user's mailboxes", owner = owner.0, why = error);
                Some(Vec::new())
            }
        }
    }

    fn lines(&mut self, owner: &str, list: &MailboxList, user: &User) -> Vec<Line> {
        let visible: Vec<(String, &MailboxEntry, Rights)> = list
            .entries()
            .iter()
            .map(|entry| (entry, list.rights_of(entry.number, user.id, &user.name)))
            .filter(|(_, rights)| rights.has(Right::Lookup))
            .map(|(entry, rights)| (name_of(owner, &entry.name), entry, rights))
            .collect();
        let above: BTreeSet<&str> = visible.iter().flat_map(|(name, ..)| ancestors(name)).collect();
        let mut lines = Vec::new();
        for (name, entry, rights) in &visible {
            let has_children = above.contains(name.as_str());
            lines.extend(self.line(name, entry, *rights, has_children, list.user()));
        }
        let known: HashSet<&str> = visible.iter().map(|(name, ..)| name.as_str()).collect();
        for level in above.into_iter().filter(|level| !known.contains(level)) {
            if level == OTHER_USERS && std::mem::replace(&mut self.is_root_told, true) {
                continue;
            }
            lines.extend(self.level(level));
        }
        lines.sort_by(|one, other| one.name.cmp(&other.name));
        lines
    }

    fn line(
        &self,
        name: &str,
        entry: &MailboxEntry,
        rights: Rights,
        has_children: bool,
        owner: UserId,
    ) -> Option<Line> {
        let (selection, returns) = (&self.arguments.selection, &self.arguments.returns);
        let is_subscribed = self.own.is_subscribed(name);
        let is_selected = !selection.subscribed || is_subscribed;
        let by_child = self.parents.contains(name);
        let matches = self.patterns.iter().any(|pattern| pattern.matches(name));
        if !matches || !(is_selected || by_child) {
            return None;
        }
        let mut attributes = Vec::with_capacity(3);
        let can_be_selected = !entry.placeholder && rights.has(Right::Read);
        if !can_be_selected {
            attributes.push(ListAttribute::NoSelect);
        }
        attributes.push(if has_children { ListAttribute::HasChildren } else { ListAttribute::HasNoChildren });
        if (selection.subscribed || returns.subscribed) && is_subscribed {
            attributes.push(ListAttribute::Subscribed);
        }
        let id = MailboxId { user: owner, number: entry.number };
        Some(Line {
            name: name.to_owned(),
            attributes,
            has_subscribed_child: by_child && selection.subscribed,
            status_of: (can_be_selected && returns.status.is_some()).then_some(id),
            metadata_of: (!entry.placeholder && !returns.metadata.is_empty() && is_selected).then_some(id),
            rights: (returns.my_rights && is_selected).then_some(rights),
        })
    }

    /// A level that is no mailbox, or none that this user may know of: told to who asks for levels (RFC 3501, 6.3.8).
    fn level(&self, name: &str) -> Option<Line> {
        let asks = |(pattern, text): (&Pattern, &String)| text.ends_with('%') && pattern.matches(name);
        let mut asked =
            self.patterns.iter().zip(self.arguments.patterns.iter().filter(|text| !text.is_empty()));
        (!self.arguments.selection.subscribed && asked.any(asks)).then(|| Line {
            name: name.to_owned(),
            attributes: vec![ListAttribute::NoSelect, ListAttribute::HasChildren],
            has_subscribed_child: false,
            status_of: None,
            metadata_of: None,
            rights: None,
        })
    }
}

/// The owner whom a name, or the beginning of one, says whole.
fn owner_in(name: &str, store: &Store) -> Result<Option<UserId>, StoreError> {
    let part = below_other_users(name).and_then(|below| below.split_once(HIERARCHY_DELIMITER));
    let owner = part.and_then(|(part, _)| decode_user(part)).filter(|owner| owner != ANYONE);
    owner.map_or(Ok(None), |owner| store.find_user(&owner))
}
