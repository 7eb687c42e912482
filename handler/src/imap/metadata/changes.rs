//! METADATA replies that nobody asked for (RFC 5464, 4.4): what others have changed, told by name to who has enabled METADATA, or METADATA-SERVER for the server's
//! entries alone.
//!
//! A session that has enabled it remembers which entries there were, and a hash of each value. At the end of each command, and when IDLE tells something, the lists that
//! have another version are compared with that: the user's own, that of the server, and that of the owner of the selected mailbox. What the session itself
//! sets it notes at once, so that it is not told of that.

use std::hash::{DefaultHasher, Hash, Hasher};

use protocol::imap::reply::metadata as reply;
use serde::{Deserialize, Serialize};
use store::change::SpecialUse;
use store::lists::{MailboxList, OF_READERS};
use store::{MailboxId, StoreError, UserId};

use super::super::enabled::Extension;
use super::super::names::name_of;
use super::super::{ImapSession, Stage};
use super::entries::server_list;
use super::may_see;
use crate::conversation::Turn;
use crate::log;
use crate::parked::next_stamp;

/// The attribute that stands for the special use of a mailbox, which is none.
const SPECIAL_USE_ATTRIBUTE: &str = "meta/private/specialuse";

/// What a session knows of entries.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(super) lists: Vec<Known>,
    /// Another number whenever something in it changes.
    pub(super) stamp: u64,
}

/// What it knows of those in one list.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) list: UserId,
    pub(super) part: Part,
    pub(super) version: u64,
    /// In order of mailbox and name.
    pub(super) entries: Vec<Entry>,
}

/// Which entries of a list a session sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Part {
    /// All of the user's own.
    Own,
    /// Those of the user's own that are the server's.
    OwnOfServer,
    /// The server's shared ones.
    Server,
    /// Those of another user's mailbox.
    Guest(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    mailbox: Option<u32>,
    attribute: Box<str>,
    value: u64,
}

impl Entry {
    fn new(mailbox: Option<u32>, attribute: &str, value: &[u8]) -> Entry {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Entry { mailbox, attribute: attribute.into(), value: hasher.finish() }
    }

    fn special_use(mailbox: u32, special_use: SpecialUse) -> Entry {
        Entry::new(Some(mailbox), SPECIAL_USE_ATTRIBUTE, &[special_use as u8])
    }

    pub(super) fn key(&self) -> (Option<u32>, &str) {
        (self.mailbox, &self.attribute)
    }
}

impl Watch {
    /// The session has given an attribute this value.
    pub(super) fn note(&mut self, list: UserId, mailbox: Option<u32>, attribute: &str, value: Option<&[u8]>) {
        let entry = value.map(|value| Entry::new(mailbox, attribute, value));
        self.put(list, mailbox, attribute, entry);
    }

    /// The session has said what a mailbox is for.
    pub(super) fn note_special_use(
        &mut self,
        list: UserId,
        mailbox: Option<u32>,
        special_use: Option<SpecialUse>,
    ) {
        let entry = special_use.zip(mailbox).map(|(known, mailbox)| Entry::special_use(mailbox, known));
        self.put(list, mailbox, SPECIAL_USE_ATTRIBUTE, entry);
    }

    fn put(&mut self, list: UserId, mailbox: Option<u32>, attribute: &str, entry: Option<Entry>) {
        self.stamp = next_stamp();
        for known in self.lists.iter_mut().filter(|known| known.list == list) {
            let place = known.entries.binary_search_by(|known| known.key().cmp(&(mailbox, attribute)));
            match (place, entry.clone()) {
                (Ok(place), Some(entry)) => known.entries[place] = entry,
                (Err(place), Some(entry)) => known.entries.insert(place, entry),
                (Ok(place), None) => {
                    known.entries.remove(place);
                }
                (Err(_), None) => {}
            }
        }
    }

    /// The keys of what has changed since this part of the list was looked at; nothing if it never was.
    fn look(&mut self, list: &MailboxList, part: Part, reader: UserId) -> Vec<(Option<u32>, Box<str>)> {
        let known = self.lists.iter_mut().find(|known| known.list == list.user() && known.part == part);
        let Some(known) = known else {
            let entries = entries_in(list, part, reader);
            self.lists.push(Known { list: list.user(), part, version: list.version(), entries });
            self.stamp = next_stamp();
            return Vec::new();
        };
        if known.version == list.version() {
            return Vec::new();
        }
        known.version = list.version();
        self.stamp = next_stamp();
        let now = entries_in(list, part, reader);
        let before = std::mem::replace(&mut known.entries, now);
        differences(&before, &known.entries)
    }
}

/// The entries that a session sees in a list, in order.
fn entries_in(list: &MailboxList, part: Part, reader: UserId) -> Vec<Entry> {
    let mut entries = Vec::new();
    let guest = format!("{OF_READERS}{}/", reader.0);
    let mut add = |mailbox: Option<u32>, prefixes: [&str; 2]| {
        let seen = list
            .attributes(mailbox)
            .filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)));
        entries.extend(seen.map(|(name, value)| Entry::new(mailbox, name, value)));
    };
    match part {
        Part::Own | Part::OwnOfServer => add(None, ["meta/private/"; 2]),
        Part::Server => add(None, ["meta/shared/"; 2]),
        Part::Guest(number) => add(Some(number), ["meta/shared/", &guest]),
    }
    if part == Part::Own {
        for entry in list.entries() {
            add(Some(entry.number), ["meta/shared/", "meta/private/"]);
        }
        let uses = list.entries().iter().filter_map(|entry| Some((entry.number, entry.special_use?)));
        entries.extend(uses.map(|(number, known)| Entry::special_use(number, known)));
        entries.sort_by(|one, other| one.key().cmp(&other.key()));
    }
    entries
}

/// What is in one of two lists only, or with another value.
fn differences(before: &[Entry], now: &[Entry]) -> Vec<(Option<u32>, Box<str>)> {
    let mut different = Vec::new();
    let (mut before, mut now) = (before.iter().peekable(), now.iter().peekable());
    loop {
        let order = match (before.peek(), now.peek()) {
            (None, None) => return different,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(one), Some(other)) => one.key().cmp(&other.key()),
        };
        let old = if order.is_le() { before.next() } else { None };
        let new = if order.is_ge() { now.next() } else { None };
        if let Some(entry) = old.or(new)
            && old != new
        {
            different.push((entry.mailbox, entry.attribute.clone()));
        }
    }
}

/// The name of the entry that an attribute is.
pub(in crate::imap) fn entry_of(attribute: &str) -> String {
    match attribute.strip_prefix(OF_READERS).and_then(|rest| rest.split_once('/')) {
        Some((_, rest)) => format!("/private/{rest}"),
        None => attribute.strip_prefix("meta").unwrap_or(attribute).to_owned(),
    }
}

impl ImapSession {
    /// Tells what others have changed of entries, if the session has enabled that.
    pub(in crate::imap) fn tell_metadata(&mut self, turn: &mut Turn<'_>) {
        let all = self.enabled.has(Extension::Metadata);
        if !all && !self.enabled.has(Extension::MetadataServer) {
            return;
        }
        let mut watch = self.metadata_watch.take().unwrap_or_default();
        if let Err(error) = self.tell_changes(&mut watch, all, turn) {
            log::warning!("no METADATA of changes", why = error);
        }
        self.metadata_watch = Some(watch);
    }

    /// The lists whose changes [`ImapSession::tell_metadata`] tells; the server's, once it has entries.
    pub(in crate::imap) fn lists_of_metadata(&self, turn: &Turn<'_>) -> Vec<MailboxId> {
        let all = self.enabled.has(Extension::Metadata);
        let Some(user) = self.user().filter(|_| all || self.enabled.has(Extension::MetadataServer)) else {
            return Vec::new();
        };
        let server = server_list(&turn.shared.store).unwrap_or_else(|error| {
            log::warning!("no METADATA of the server's changes", why = error);
            None
        });
        let owner = self.selected_id().filter(|_| all).map(|selected| selected.user);
        let others = server.map(|list| list.user()).into_iter().chain(owner);
        let others = others.filter(|other| *other != user.id);
        std::iter::once(user.id).chain(others).map(MailboxId::list_of).collect()
    }

    fn tell_changes(&self, watch: &mut Watch, all: bool, turn: &mut Turn<'_>) -> Result<(), StoreError> {
        let Some(user) = self.user() else { return Ok(()) };
        let names = self.enabled.names();
        let store = &turn.shared.store;
        let mut tell = |list: &MailboxList, part: Part, owner: Option<&str>| {
            let changed = watch.look(list, part, user.id);
            for of_one in changed.chunk_by(|(one, _), (other, _)| one == other) {
                let mailbox = of_one.first().and_then(|(mailbox, _)| *mailbox);
                let name = match mailbox.map(|number| list.by_number(number)) {
                    None => String::new(),
                    // Gone with its entries.
                    Some(None) => continue,
                    Some(Some(entry)) => {
                        owner.map_or_else(|| entry.name.clone(), |owner| name_of(owner, &entry.name))
                    }
                };
                let entries: Vec<String> = of_one.iter().map(|(_, attribute)| entry_of(attribute)).collect();
                let entries = entries.iter().map(String::as_str);
                reply::changed(turn.output.bytes(), &name, names, entries);
            }
        };
        tell(&*store.mailbox_list(user.id)?, if all { Part::Own } else { Part::OwnOfServer }, None);
        if let Some(list) = server_list(store)? {
            tell(&list, Part::Server, None);
        }
        if all
            && let Stage::Selected(_, selected) = &self.stage
            && selected.id.user != user.id
            && may_see(selected.rights)
        {
            let owner = store.user_name(selected.id.user)?;
            tell(&*store.mailbox_list(selected.id.user)?, Part::Guest(selected.id.number), Some(&owner));
        }
        // Of mailboxes that were selected before, nothing is told any more.
        let selected = match &self.stage {
            Stage::Selected(_, selected) => Some((selected.id.user, selected.id.number)),
            _ => None,
        };
        watch.lists.retain(|known| match known.part {
            Part::Guest(number) => selected == Some((known.list, number)),
            _ => true,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::entries::SPECIAL_USE;
    use super::*;

    fn entries(of: &[(Option<u32>, &str, &[u8])]) -> Vec<Entry> {
        of.iter().map(|(mailbox, name, value)| Entry::new(*mailbox, name, value)).collect()
    }

    #[test]
    fn what_came_what_went_and_what_is_another_is_told() {
        let before =
            entries(&[(None, "a", b"1"), (Some(1), "a", b"1"), (Some(1), "b", b"1"), (Some(2), "x", b"")]);
        let now =
            entries(&[(Some(1), "a", b"1"), (Some(1), "b", b"2"), (Some(2), "w", b""), (Some(2), "x", b"")]);
        let told = differences(&before, &now);
        let told: Vec<_> = told.iter().map(|(mailbox, name)| (*mailbox, &**name)).collect();
        assert_eq!(told, [(None, "a"), (Some(1), "b"), (Some(2), "w")]);
        assert_eq!(differences(&now, &now), []);
        assert_eq!(differences(&[], &now).len(), 4);
    }

    #[test]
    fn what_the_session_did_is_known() {
        let mut watch = Watch::default();
        let user = UserId(1);
        watch.lists.push(Known { list: user, part: Part::Own, version: 1, entries: Vec::new() });
        watch.note(user, Some(1), "meta/shared/b", Some(b"x"));
        watch.note(user, Some(1), "meta/shared/a", Some(b"x"));
        watch.note(user, Some(1), "meta/shared/b", None);
        watch.note(UserId(2), Some(1), "meta/shared/c", Some(b"x"));
        watch.note_special_use(user, Some(3), Some(SpecialUse::Sent));
        let told = differences(&[], &watch.lists[0].entries);
        let told: Vec<_> = told.iter().map(|(mailbox, name)| (*mailbox, entry_of(name))).collect();
        assert_eq!(told, [(Some(1), "/shared/a".to_owned()), (Some(3), SPECIAL_USE.to_owned())]);
        assert_eq!(entry_of("meta/reader/7/comment"), "/private/comment");
    }
}
