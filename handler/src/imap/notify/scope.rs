//! Which mailboxes the groups of a NOTIFY mean at present (RFC 5465, 6), and what is told of each: what all groups that mean it ask for.

use std::collections::BTreeMap;

use protocol::imap::extension::mailbox_filter::MailboxFilter;
use protocol::imap::extension::notify::{EventGroup, Events};
use protocol::imap::reply::mailbox::{self as reply, Extended, ListAttribute, ListKind};
use protocol::imap::syntax::mailbox_name::{HIERARCHY_DELIMITER, MailboxName};
use store::{MailboxId, Right, StoreError, UserId};

use super::super::ImapSession;
use super::super::metadata::server_list;
use super::super::names::{Unfound, below_other_users};
use crate::conversation::Turn;

/// Mailboxes with their names and what is told of them.
pub(super) type Scope = BTreeMap<MailboxId, (String, Events)>;

impl ImapSession {
    /// The mailboxes that are meant.
    ///
    /// # Errors
    /// A list cannot be read.
    pub(super) fn scope(&self, groups: &[EventGroup], turn: &Turn<'_>) -> Result<Scope, StoreError> {
        let user = self.user_id()?;
        let list = turn.shared.store.mailbox_list(user)?;
        let mut scope = Scope::new();
        for entry in list.entries().iter().filter(|entry| below_other_users(&entry.name).is_none()) {
            let mut events = events_of(groups, &entry.name, list.is_subscribed(&entry.name));
            if entry.placeholder {
                events = events.of_mailboxes();
            }
            if !events.is_empty() {
                scope.insert(MailboxId { user, number: entry.number }, (entry.name.clone(), events));
            }
        }
        for group in groups {
            let names = names_of_others(&group.mailboxes, list.subscriptions());
            if names.is_empty() {
                continue;
            }
            let source = match &group.mailboxes {
                MailboxFilter::Subtree(_) => MailboxFilter::Subtree(names),
                _ => MailboxFilter::Mailboxes(names),
            };
            for (id, name) in self.source_mailboxes(&[source], turn)? {
                if id.user != user {
                    let (_, events) = scope.entry(id).or_insert((name, Events::default()));
                    *events = events.union(group.events);
                }
            }
        }
        Ok(scope)
    }

    /// Whose lists say which mailboxes are meant: the user first, then others.
    ///
    /// # Errors
    /// A list cannot be read.
    pub(super) fn owners(&self, groups: &[EventGroup], turn: &Turn<'_>) -> Result<Vec<UserId>, StoreError> {
        let user = self.user_id()?;
        let mut owners = vec![user];
        let list = turn.shared.store.mailbox_list(user)?;
        for group in groups {
            for name in names_of_others(&group.mailboxes, list.subscriptions()) {
                // The mailbox below a user's name may be missing: it is the owner who counts.
                let inside = format!("{}{HIERARCHY_DELIMITER}", name.as_str());
                if let Ok(place) = self.place(&inside, turn)
                    && !owners.contains(&place.owner)
                {
                    owners.push(place.owner);
                }
            }
        }
        if groups.iter().any(|group| group.events.has(Events::SERVER_METADATA_CHANGE))
            && let Some(server) = server_list(&turn.shared.store)?
        {
            owners.push(server.user());
        }
        Ok(owners)
    }

    /// Tells which of the mailboxes that were named may be looked up but not read (3.1).
    pub(super) fn tell_no_access(&self, groups: &[EventGroup], turn: &mut Turn<'_>) {
        for group in groups {
            for name in names_of_others(&group.mailboxes, &[]) {
                if matches!(self.find(&name, Right::Read, turn), Err(Unfound::NoPermission)) {
                    let (out, encoding) = (turn.output.bytes(), self.enabled.names());
                    let attributes = [ListAttribute::NoAccess];
                    reply::list(out, ListKind::List, attributes, name.as_str(), Extended::None, encoding);
                }
            }
        }
    }
}

/// What is told of a name of the user's own.
pub(super) fn events_of(groups: &[EventGroup], name: &str, is_subscribed: bool) -> Events {
    let meant = groups.iter().filter(|group| match &group.mailboxes {
        MailboxFilter::Selected | MailboxFilter::SelectedDelayed | MailboxFilter::SubtreeOne(_) => false,
        // Mail may be delivered to any of them (6.3).
        MailboxFilter::Inboxes | MailboxFilter::Personal => true,
        MailboxFilter::Subscribed => is_subscribed,
        MailboxFilter::Subtree(roots) => roots.iter().any(|root| is_at_or_below(name, root.as_str())),
        MailboxFilter::Mailboxes(names) => names.iter().any(|meant| meant.as_str() == name),
    });
    meant.fold(Events::default(), |events, group| events.union(group.events))
}

fn is_at_or_below(name: &str, root: &str) -> bool {
    name.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(HIERARCHY_DELIMITER))
}

/// The names of other users' mailboxes that a group names, or that are subscribed to where it means those.
fn names_of_others(filter: &MailboxFilter, subscriptions: &[String]) -> Vec<MailboxName> {
    let is_others = |name: &&MailboxName| below_other_users(name.as_str()).is_some();
    match filter {
        MailboxFilter::Mailboxes(names) | MailboxFilter::Subtree(names) => {
            names.iter().filter(is_others).cloned().collect()
        }
        MailboxFilter::Subscribed => {
            let others = subscriptions.iter().filter(|name| below_other_users(name).is_some());
            others.filter_map(|name| MailboxName::from_utf8(name).ok()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_add_up() {
        let name = |name: &str| MailboxName::from_utf8(name).expect("a name");
        let group = |mailboxes, events| EventGroup { mailboxes, events, fetch: Vec::new() };
        let groups = [
            group(MailboxFilter::Subtree(vec![name("Lists")]), Events::MAILBOX_NAME),
            group(MailboxFilter::Mailboxes(vec![name("Lists/a"), name("inbox")]), Events::MESSAGE_NEW),
            group(MailboxFilter::Subscribed, Events::SUBSCRIPTION_CHANGE),
        ];
        let both = Events::MAILBOX_NAME.union(Events::MESSAGE_NEW);
        assert_eq!(events_of(&groups, "Lists/a", false), both);
        assert_eq!(events_of(&groups, "Lists", false), Events::MAILBOX_NAME);
        assert_eq!(events_of(&groups, "Listserv", false), Events::default());
        assert_eq!(events_of(&groups, "Listserv", true), Events::SUBSCRIPTION_CHANGE);
        assert_eq!(events_of(&groups, "INBOX", false), Events::MESSAGE_NEW);
        assert_eq!(events_of(&[group(MailboxFilter::Inboxes, both)], "x", false), both);
    }
}
