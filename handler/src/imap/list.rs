//! LIST and LSUB (RFC 9051, 6.3.9; RFC 3501, 6.3.8 and 6.3.9; LIST-EXTENDED, RFC 5258; LIST-STATUS, RFC 5819; SPECIAL-USE, RFC
//! 6154 and RFC 8457).

use std::collections::{BTreeMap, HashSet};

use protocol::imap::command::Tag;
use protocol::imap::command::list::{ListArguments, ListForm, LsubArguments};
use protocol::imap::command::status::StatusItem;
use protocol::imap::extension::metadata::EntryName;
use protocol::imap::extension::special_use as wire;
use protocol::imap::pattern::Pattern;
use protocol::imap::reply::acl as acl_reply;
use protocol::imap::reply::mailbox::{self as reply, Extended, ListAttribute, ListKind};
use protocol::imap::syntax::mailbox_name::{HIERARCHY_DELIMITER, MailboxName};
use store::change::SpecialUse;
use store::lists::{MailboxEntry, MailboxList};
use store::{MailboxId, Rights, StoreError};

use super::acl::wire_letters;
use super::ending::Tell;
use super::list_others::Others;
use super::names::{Unfound, below_other_users};
use super::{Flow, ImapSession, Running};
use crate::conversation::{Next, Turn};

/// Mailboxes that are opened for their STATUS before other sessions have their turn.
const OPENED_A_TURN: u32 = 64;

/// One name that will be told.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) attributes: Vec<ListAttribute>,
    /// RECURSIVEMATCH found a child that is subscribed to and not told of itself.
    pub(super) has_subscribed_child: bool,
    /// The mailbox, if STATUS is wanted and it can be selected.
    pub(super) status_of: Option<MailboxId>,
    /// The mailbox, if METADATA is wanted and it is there.
    pub(super) metadata_of: Option<MailboxId>,
    /// What the user may do with it, if MYRIGHTS is wanted and it is there.
    pub(super) rights: Option<Rights>,
}

/// A list on its way to the client.
pub(crate) struct List {
    tag: Tag,
    kind: ListKind,
    lines: std::vec::IntoIter<Line>,
    /// Mailboxes of other users, which follow.
    others: Option<Box<Others>>,
    status: Vec<StatusItem>,
    /// The entries of METADATA that are told.
    metadata: Vec<EntryName>,
}

impl ImapSession {
    pub(super) fn begin_list(&mut self, tag: Tag, arguments: &ListArguments, turn: &mut Turn<'_>) -> Flow {
        if arguments.form == ListForm::Basic && arguments.patterns.iter().all(String::is_empty) {
            reply::list_delimiter(turn.output.bytes());
            return self.end(turn, tag, Tell::Everything, "LIST completed");
        }
        match self.listed(arguments, turn) {
            Ok((lines, others)) => {
                let status = arguments.returns.status.clone().unwrap_or_default();
                if status.contains(&StatusItem::HighestModSeq) {
                    self.enable_condstore(turn);
                }
                let (kind, lines) = (ListKind::List, lines.into_iter());
                let metadata = arguments.returns.metadata.clone();
                let list = List { tag, kind, lines, others, status, metadata };
                self.running = Running::List(Box::new(list));
                Flow::Continue
            }
            Err(error) => self.refuse_unfound(turn, &tag, &error),
        }
    }

    /// The names of the user's own that LIST tells, and what is needed for those of others.
    fn listed(
        &self,
        arguments: &ListArguments,
        turn: &Turn<'_>,
    ) -> Result<(Vec<Line>, Option<Box<Others>>), Unfound> {
        let list = self.mailbox_list(turn)?;
        let patterns = patterns(arguments);
        let is_others = |name: &str| below_other_users(name).is_some() && self.sees(name, turn);
        let (lines, parents) = list_lines(&list, arguments, &patterns, &is_others);
        let others = match self.user() {
            Some(user) => Others::of(user, list, arguments, patterns, parents, turn)?,
            None => None,
        };
        Ok((lines, others.map(Box::new)))
    }

    pub(super) fn begin_lsub(&mut self, tag: Tag, arguments: &LsubArguments, turn: &mut Turn<'_>) -> Flow {
        match self.mailbox_list(turn) {
            Ok(list) => {
                let is_there = |name: &str| match below_other_users(name) {
                    None => list.find(name).is_some_and(|entry| !entry.placeholder),
                    Some(_) => self.sees(name, turn),
                };
                let lines = lsub_lines(&list, arguments, &is_there).into_iter();
                let (kind, status, metadata) = (ListKind::Lsub, Vec::new(), Vec::new());
                let list = List { tag, kind, lines, others: None, status, metadata };
                self.running = Running::List(Box::new(list));
                Flow::Continue
            }
            Err(error) => self.refuse_store(turn, &tag, &error),
        }
    }

    pub(super) fn go_on_list(&mut self, mut list: Box<List>, turn: &mut Turn<'_>) -> Flow {
        let names = self.enabled.names();
        let mut mailboxes_opened = 0;
        while !turn.output.is_full() {
            if mailboxes_opened == OPENED_A_TURN {
                self.running = Running::List(list);
                return Flow::Wait(Next::Again);
            }
            let Some(mut line) = list.lines.next() else {
                if let (Some(others), Some(user)) = (&mut list.others, self.user()) {
                    mailboxes_opened += 1;
                    match others.next_lines(user, turn) {
                        Some(lines) => list.lines = lines.into_iter(),
                        None => list.others = None,
                    }
                    continue;
                }
                let text = if list.kind == ListKind::List { "LIST completed" } else { "LSUB completed" };
                return self.end(turn, list.tag, Tell::Everything, text);
            };
            let mut status = Vec::new();
            if let Some(id) = line.status_of {
                mailboxes_opened += 1;
                let name = (line.name.as_str(), names);
                let written = self.user_id().and_then(|user| {
                    super::status::write_status(&mut status, turn.shared, (id, user), name, &list.status)
                });
                if let Err(error) = written {
                    // RFC 9051, 6.3.9.2: then there is no STATUS reply, and LIST says that it cannot be selected.
                    crate::log::warning!("no status", mailbox = line.name, why = error);
                    line.attributes.push(ListAttribute::NoSelect);
                }
            }
            let extended = if line.has_subscribed_child { Extended::ChildSubscribed } else { Extended::None };
            let out = turn.output.bytes();
            reply::list(out, list.kind, line.attributes, &line.name, extended, names);
            if let Some(rights) = line.rights {
                acl_reply::my_rights(out, &line.name, names, &wire_letters(rights));
            }
            out.append(&mut status);
            if let Some(id) = line.metadata_of {
                let mut told = Vec::new();
                // RFC 9590, 3: without entries that can be read there is no reply.
                match self.write_list_metadata(&mut told, &line.name, id, &list.metadata, turn) {
                    Ok(()) => turn.output.bytes().append(&mut told),
                    Err(error) => crate::log::warning!("no metadata", mailbox = line.name, why = error),
                }
            }
        }
        self.running = Running::List(list);
        Flow::Wait(Next::Output)
    }

    fn mailbox_list(&self, turn: &Turn<'_>) -> Result<std::sync::Arc<MailboxList>, StoreError> {
        turn.shared.store.mailbox_list(self.user_id()?)
    }
}

fn patterns(arguments: &ListArguments) -> Vec<Pattern> {
    // RFC 9051, 6.3.9: empty ones mean nothing in the extended form; in the basic form they have been answered already, or stand
    // behind a reference.
    let meant =
        arguments.patterns.iter().filter(|pattern| arguments.form == ListForm::Basic || !pattern.is_empty());
    meant.map(|pattern| Pattern::new(&arguments.reference, pattern)).collect()
}

/// The lines of the user's own list, and the names above others that RECURSIVEMATCH tells of. Names for which `is_others` are told with those of their owners.
fn list_lines(
    list: &MailboxList,
    arguments: &ListArguments,
    patterns: &[Pattern],
    is_others: &dyn Fn(&str) -> bool,
) -> (Vec<Line>, HashSet<String>) {
    let matches = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
    let selection = arguments.selection;
    let is_selected = |name: &str, entry: Option<&MailboxEntry>| {
        (!selection.subscribed || list.is_subscribed(name))
            && (!selection.special_use || entry.is_some_and(|entry| entry.special_use.is_some()))
    };
    // A name that means another user's mailbox is no name of the user's own, whatever came into the list from elsewhere.
    let own = list.entries().iter().filter(|entry| below_other_users(&entry.name).is_none());
    let mut names: BTreeMap<&str, Option<&MailboxEntry>> =
        own.map(|entry| (entry.name.as_str(), Some(entry))).collect();
    if selection.subscribed {
        for name in list.subscriptions() {
            names.entry(name).or_insert(None);
        }
    }
    let mut parents: BTreeMap<&str, ()> = BTreeMap::new();
    if selection.recursive_match {
        for (&name, &entry) in &names {
            if is_selected(name, entry) && !matches(name) {
                parents.extend(ancestors(name).map(|parent| (parent, ())));
            }
        }
        // A parent that matches may be neither a mailbox nor subscribed to.
        for &parent in parents.keys() {
            names.entry(parent).or_insert(None);
        }
    }
    let mut lines = Vec::new();
    for (name, entry) in names {
        let by_child = parents.contains_key(name);
        if !matches(name) || !(is_selected(name, entry) || by_child) || is_others(name) {
            continue;
        }
        let mut attributes = match below_other_users(name) {
            None => attributes(list, name, entry),
            Some(_) if by_child => vec![ListAttribute::NonExistent, ListAttribute::HasChildren],
            Some(_) => vec![ListAttribute::NonExistent, ListAttribute::HasNoChildren],
        };
        let wants_subscribed = selection.subscribed || arguments.returns.subscribed;
        if wants_subscribed && list.is_subscribed(name) {
            attributes.push(ListAttribute::Subscribed);
        }
        let has_subscribed_child = by_child && selection.subscribed;
        let status_of = entry.filter(|entry| !entry.placeholder && arguments.returns.status.is_some());
        let status_of = status_of.map(|entry| MailboxId { user: list.user(), number: entry.number });
        let wants_rights = arguments.returns.my_rights && entry.is_some() && is_selected(name, entry);
        let wants_metadata = !arguments.returns.metadata.is_empty() && is_selected(name, entry);
        let annotated = entry.filter(|entry| wants_metadata && !entry.placeholder);
        let metadata_of = annotated.map(|entry| MailboxId { user: list.user(), number: entry.number });
        let (name, rights) = (name.to_owned(), wants_rights.then_some(Rights::ALL));
        lines.push(Line { name, attributes, has_subscribed_child, status_of, metadata_of, rights });
    }
    (lines, parents.into_keys().map(str::to_owned).collect())
}

/// LSUB lists names that were subscribed to; with `%`, a parent of such a name too, as one that cannot be selected. A name
/// without a mailbox is one that cannot be selected as well (RFC 3501, 6.3.9).
fn lsub_lines(list: &MailboxList, arguments: &LsubArguments, is_there: &dyn Fn(&str) -> bool) -> Vec<Line> {
    let pattern = Pattern::new(&arguments.reference, &arguments.pattern);
    let mut names: BTreeMap<&str, bool> = BTreeMap::new();
    for name in list.subscriptions() {
        if pattern.matches(name) {
            names.insert(name, true);
        } else if arguments.pattern.ends_with('%') {
            for parent in ancestors(name).filter(|parent| pattern.matches(parent)) {
                names.entry(parent).or_insert(false);
            }
        }
    }
    let line = |(name, is_subscribed): (&str, bool)| Line {
        name: name.to_owned(),
        attributes: if is_subscribed && is_there(name) { Vec::new() } else { vec![ListAttribute::NoSelect] },
        has_subscribed_child: false,
        status_of: None,
        metadata_of: None,
        rights: None,
    };
    names.into_iter().map(line).collect()
}

impl ImapSession {
    /// Appends the LIST reply that IMAP4rev2 has in SELECT, with OLDNAME if the client called the mailbox something else.
    ///
    /// # Errors
    /// The list cannot be read.
    pub(super) fn list_selected(
        &self,
        out: &mut Vec<u8>,
        sent: &MailboxName,
        turn: &Turn<'_>,
    ) -> Result<(), Unfound> {
        let place = self.place_of(sent, turn)?;
        let is_own = self.user().is_some_and(|user| user.id == place.owner);
        let name = if is_own { place.name.as_str() } else { sent.as_str() };
        let mut attributes = match is_own {
            true => attributes(&place.list, &place.name, place.entry()),
            // What is below it is not all for this user to know; LIST tells.
            false => Vec::new(),
        };
        if self.mailbox_list(turn)?.is_subscribed(name) {
            attributes.push(ListAttribute::Subscribed);
        }
        let extended = sent.sent_as().filter(|sent| *sent != name).map_or(Extended::None, Extended::OldName);
        reply::list(out, ListKind::List, attributes, name, extended, self.enabled.names());
        Ok(())
    }

    /// The LIST reply that tells how a mailbox of the user's own is called that the client called something else; only with IMAP4rev2
    /// (RFC 9051, 6.3.12).
    pub(super) fn told_as_sent(&self, sent: &MailboxName, turn: &Turn<'_>) -> Vec<u8> {
        let mut told = Vec::new();
        if let Some(old_name) = sent.sent_as()
            && let Ok(place) = self.place_of(sent, turn)
            && self.user().is_some_and(|user| user.id == place.owner)
        {
            self.tell_name(&mut told, &place.name, old_name, turn);
        }
        told
    }

    /// Appends the LIST reply of one name as the list is now, with OLDNAME if it was called, or was, something else; only with
    /// IMAP4rev2 does a client expect it without having asked.
    pub(super) fn tell_name(&self, out: &mut Vec<u8>, name: &str, old_name: &str, turn: &Turn<'_>) {
        if !self.enabled.rev2() || name == old_name {
            return;
        }
        match self.mailbox_list(turn) {
            Ok(list) => self.write_line(out, &list, name, old_name),
            Err(error) => crate::log::warning!("no LIST of a name", mailbox = name, why = error),
        }
    }

    fn write_line(&self, out: &mut Vec<u8>, list: &MailboxList, name: &str, old_name: &str) {
        let mut attributes = attributes(list, name, list.find(name));
        if list.is_subscribed(name) {
            attributes.push(ListAttribute::Subscribed);
        }
        let extended = Extended::OldName(old_name);
        reply::list(out, ListKind::List, attributes, name, extended, self.enabled.names());
    }
}

/// What a LIST reply says of a name.
pub(super) fn attributes(list: &MailboxList, name: &str, entry: Option<&MailboxEntry>) -> Vec<ListAttribute> {
    let mut attributes = Vec::with_capacity(3);
    match entry {
        None => attributes.push(ListAttribute::NonExistent),
        Some(entry) if entry.placeholder => attributes.push(ListAttribute::NoSelect),
        Some(_) => {}
    }
    attributes.push(if list.has_children(name) {
        ListAttribute::HasChildren
    } else {
        ListAttribute::HasNoChildren
    });
    attributes.extend(
        entry
            .and_then(|entry| entry.special_use)
            .map(|special_use| ListAttribute::SpecialUse(wire_use(special_use))),
    );
    attributes
}

/// The names above `name`, the nearest first.
pub(super) fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    name.rmatch_indices(HIERARCHY_DELIMITER).map(|(at, _)| &name[..at])
}

pub(super) fn wire_use(special_use: SpecialUse) -> wire::SpecialUse {
    match special_use {
        SpecialUse::All => wire::SpecialUse::All,
        SpecialUse::Archive => wire::SpecialUse::Archive,
        SpecialUse::Drafts => wire::SpecialUse::Drafts,
        SpecialUse::Flagged => wire::SpecialUse::Flagged,
        SpecialUse::Junk => wire::SpecialUse::Junk,
        SpecialUse::Sent => wire::SpecialUse::Sent,
        SpecialUse::Trash => wire::SpecialUse::Trash,
        SpecialUse::Important => wire::SpecialUse::Important,
    }
}
