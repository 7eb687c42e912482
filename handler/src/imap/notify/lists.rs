//! What became of lists of mailboxes, told as LIST and METADATA replies (RFC 5465, 5.4 to 5.7 and 5.9).
//!
//! The list as the client knows it is held against the list as it is: so nothing is lost between two looks, and what was made and is gone
//! again is nothing.

use std::collections::{BTreeMap, BTreeSet};

use protocol::imap::extension::notify::{EventGroup, Events};
use protocol::imap::reply::mailbox::{self as reply, Extended, ListAttribute, ListKind};
use protocol::imap::reply::metadata;
use protocol::imap::syntax::name_encoding::NameEncoding;
use store::lists::{MailboxEntry, MailboxList, OF_READERS};
use store::{MailboxId, UserId};

use super::super::list::attributes;
use super::super::metadata::entry_of;
use super::super::names::below_other_users;
use super::Known;
use super::scope::{Scope, events_of};

/// What begin the names of attributes that are the user's own entries of METADATA, of everybody's.
const PRIVATE: &str = "meta/private/";
const SHARED: &str = "meta/shared/";

/// Names that are to be told, each with the name it had before.
type Lines = BTreeMap<String, Option<String>>;

/// The user's own list, as it was and as it is.
pub(super) struct Compared<'a> {
    pub(super) groups: &'a [EventGroup],
    pub(super) old: &'a MailboxList,
    pub(super) new: &'a MailboxList,
    /// What was told of, and what is now.
    pub(super) known: &'a BTreeMap<MailboxId, Known>,
    pub(super) scope: &'a Scope,
    /// Names that are not told.
    pub(super) own_names: &'a [String],
}

impl Compared<'_> {
    /// Appends what is to be told.
    pub(super) fn tell(&self, out: &mut Vec<u8>, encoding: NameEncoding) {
        let mut lines = Lines::new();
        self.names(&mut lines);
        self.subscriptions(&mut lines);
        for (name, old_name) in lines {
            if self.own_names.contains(&name) {
                continue;
            }
            let mut attributes = attributes(self.new, &name, self.new.find(&name));
            if self.new.is_subscribed(&name) {
                attributes.push(ListAttribute::Subscribed);
            }
            let extended = old_name.as_deref().map_or(Extended::None, Extended::OldName);
            reply::list(out, ListKind::List, attributes, &name, extended, encoding);
        }
        for entry in self.new.entries() {
            let changed = changed_metadata(self.old, self.new, Some(entry.number), &[PRIVATE, SHARED]);
            let is_told = self.events(entry.number).has(Events::MAILBOX_METADATA_CHANGE);
            if is_told && self.old.by_number(entry.number).is_some() && !self.own_names.contains(&entry.name)
            {
                metadata::changed(out, &entry.name, encoding, changed.iter().map(String::as_str));
            }
        }
        let tells_server = self.groups.iter().any(|group| group.events.has(Events::SERVER_METADATA_CHANGE));
        if tells_server && !self.own_names.iter().any(String::is_empty) {
            let changed = changed_metadata(self.old, self.new, None, &[PRIVATE]);
            metadata::changed(out, "", encoding, changed.iter().map(String::as_str));
        }
    }

    /// What is told of a mailbox, or was before it went.
    fn events(&self, number: u32) -> Events {
        let id = MailboxId { user: self.new.user(), number };
        let known = self.known.get(&id).map(|known| known.events);
        self.scope.get(&id).map(|(_, events)| *events).or(known).unwrap_or_default()
    }

    fn names(&self, lines: &mut Lines) {
        let is_told = |entry: &MailboxEntry| self.events(entry.number).has(Events::MAILBOX_NAME);
        let mut parents = BTreeSet::new();
        for entry in self.new.entries() {
            match self.old.by_number(entry.number) {
                // A new INBOX takes the place of one that was renamed.
                None if entry.name == store::lists::INBOX => {}
                None => {
                    parents.extend(parent(&entry.name));
                    if is_told(entry) {
                        lines.insert(entry.name.clone(), None);
                    }
                }
                Some(old) if old.name != entry.name => {
                    if is_told(entry) && !self.is_moved_with_parent(&old.name, &entry.name) {
                        lines.insert(entry.name.clone(), Some(old.name.clone()));
                    }
                }
                Some(old) if old.placeholder != entry.placeholder || old.special_use != entry.special_use => {
                    if is_told(entry) {
                        lines.insert(entry.name.clone(), None);
                    }
                }
                Some(_) => {}
            }
        }
        for old in self.old.entries().iter().filter(|old| self.new.by_number(old.number).is_none()) {
            parents.extend(parent(&old.name));
            if is_told(old) && self.new.find(&old.name).is_none() {
                lines.insert(old.name.clone(), None);
            }
        }
        // The level above is affected, whether or not it is there.
        for parent in parents {
            let events = events_of(self.groups, parent, self.new.is_subscribed(parent));
            if events.has(Events::MAILBOX_NAME)
                && self.old.has_children(parent) != self.new.has_children(parent)
            {
                lines.entry(parent.to_owned()).or_insert(None);
            }
        }
    }

    /// Whether a name is another only because that above it is: then no more is told (5.4).
    fn is_moved_with_parent(&self, old: &str, new: &str) -> bool {
        let (Some((old_parent, old_last)), Some((new_parent, new_last))) =
            (old.rsplit_once('/'), new.rsplit_once('/'))
        else {
            return false;
        };
        old_last == new_last
            && self
                .old
                .find(old_parent)
                .zip(self.new.find(new_parent))
                .is_some_and(|(old, new)| old.number == new.number && old.name != new.name)
    }

    fn subscriptions(&self, lines: &mut Lines) {
        let old: BTreeSet<&String> = self.old.subscriptions().iter().collect();
        let new: BTreeSet<&String> = self.new.subscriptions().iter().collect();
        for name in old.symmetric_difference(&new) {
            // Groups of what is subscribed mean a name that was, too.
            let events = events_of(self.groups, name, true);
            if events.has(Events::SUBSCRIPTION_CHANGE) {
                lines.entry((*name).clone()).or_insert(None);
            }
        }
    }
}

fn parent(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(parent, _)| parent)
}

/// Entries of METADATA that are others than before, or gone, of a mailbox or, without one, of the user or server; by the names that clients use.
fn changed_metadata(
    old: &MailboxList,
    new: &MailboxList,
    mailbox: Option<u32>,
    beginnings: &[&str],
) -> BTreeSet<String> {
    let is_seen = |name: &str| beginnings.iter().any(|beginning| name.starts_with(beginning));
    let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (
        old.attributes(mailbox).filter(|(name, _)| is_seen(name)).collect(),
        new.attributes(mailbox).filter(|(name, _)| is_seen(name)).collect(),
    );
    let names = old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name));
    names.map(|name| entry_of(name)).collect()
}

/// Appends what is to be told of mailboxes of other users that can be seen now and could not be before, or the other way round; and of their METADATA.
pub(super) fn tell_others(
    out: &mut Vec<u8>,
    user: UserId,
    (known, scope): (&BTreeMap<MailboxId, Known>, &Scope),
    lists: &[(&MailboxList, &MailboxList)],
    encoding: NameEncoding,
) {
    let mut line = |name: &str, attributes: &[ListAttribute], extended| {
        reply::list(out, ListKind::List, attributes.iter().copied(), name, extended, encoding);
    };
    for (id, (name, events)) in scope.iter().filter(|(id, _)| id.user != user) {
        match known.get(id) {
            None if events.has(Events::MAILBOX_NAME) => line(name, &[], Extended::None),
            Some(known) if known.name != *name && events.has(Events::MAILBOX_NAME) => {
                line(name, &[], Extended::OldName(&known.name));
            }
            _ => {}
        }
    }
    for (id, known) in known.iter().filter(|(id, _)| id.user != user && !scope.contains_key(id)) {
        let is_there = scope.values().any(|(name, _)| *name == known.name);
        match known.events.has(Events::MAILBOX_NAME) {
            _ if is_there => {}
            true => line(&known.name, &[ListAttribute::NonExistent], Extended::None),
            false => line(&known.name, &[ListAttribute::NoAccess], Extended::None),
        }
        debug_assert!(below_other_users(&known.name).is_some(), "{id:?} is another user's");
    }
    let reader = format!("{OF_READERS}{}/", user.0);
    for (old, new) in lists {
        for (id, (name, events)) in scope.iter().filter(|(id, _)| id.user == new.user()) {
            if events.has(Events::MAILBOX_METADATA_CHANGE) && known.contains_key(id) {
                let changed = changed_metadata(old, new, Some(id.number), &[SHARED, &reader]);
                metadata::changed(out, name, encoding, changed.iter().map(String::as_str));
            }
        }
    }
}

/// Appends which of the server's entries changed.
pub(super) fn tell_server(
    out: &mut Vec<u8>,
    (old, new): (&MailboxList, &MailboxList),
    encoding: NameEncoding,
) {
    let changed = changed_metadata(old, new, None, &[SHARED]);
    metadata::changed(out, "", encoding, changed.iter().map(String::as_str));
}
