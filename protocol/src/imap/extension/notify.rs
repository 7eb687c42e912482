//! NOTIFY (RFC 5465): what a client wants to be told of, and of which mailboxes.

use super::mailbox_filter::MailboxFilter;
use crate::imap::command::fetch::{FetchArguments, FetchItem};
use crate::imap::syntax::cursor::{Cursor, Fault};

/// What is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyArguments {
    /// NONE: nothing.
    None,
    /// SET: this, in place of what was wished before.
    Set(NotifySet),
}

/// The wishes of a NOTIFY SET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifySet {
    /// STATUS: how the mailboxes are now is to be told first.
    pub status: bool,
    /// Who is to be told what.
    pub groups: Vec<EventGroup>,
    /// Events were named that nobody knows: the command is refused with BADEVENT (section 3.1).
    pub has_unknown_events: bool,
}

/// Mailboxes, and what is to be told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventGroup {
    /// The mailboxes.
    pub mailboxes: MailboxFilter,
    /// What is told of them.
    pub events: Events,
    /// What is told of each new message; of the selected mailbox alone.
    pub fetch: Vec<FetchItem>,
}

/// A set of events (section 5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Events(u8);

impl Events {
    /// New messages. Goes with [`Events::MESSAGE_EXPUNGE`].
    pub const MESSAGE_NEW: Events = Events(1 << 0);
    /// Expunged messages.
    pub const MESSAGE_EXPUNGE: Events = Events(1 << 1);
    /// Changes of flags. Goes with the two above.
    pub const FLAG_CHANGE: Events = Events(1 << 2);
    /// Mailboxes that are made, deleted or renamed.
    pub const MAILBOX_NAME: Events = Events(1 << 3);
    /// SUBSCRIBE and UNSUBSCRIBE.
    pub const SUBSCRIPTION_CHANGE: Events = Events(1 << 4);
    /// Entries of a mailbox's METADATA.
    pub const MAILBOX_METADATA_CHANGE: Events = Events(1 << 5);
    /// Entries of the server's METADATA.
    pub const SERVER_METADATA_CHANGE: Events = Events(1 << 6);
    /// Changes of messages' annotations (RFC 5257). Goes with the first two.
    pub const ANNOTATION_CHANGE: Events = Events(1 << 7);

    /// Each event that can be asked for, with its name.
    pub const ALL: [(Events, &'static str); 8] = [
        (Events::MESSAGE_NEW, "MessageNew"),
        (Events::MESSAGE_EXPUNGE, "MessageExpunge"),
        (Events::FLAG_CHANGE, "FlagChange"),
        (Events::ANNOTATION_CHANGE, "AnnotationChange"),
        (Events::MAILBOX_NAME, "MailboxName"),
        (Events::SUBSCRIPTION_CHANGE, "SubscriptionChange"),
        (Events::MAILBOX_METADATA_CHANGE, "MailboxMetadataChange"),
        (Events::SERVER_METADATA_CHANGE, "ServerMetadataChange"),
    ];

    const OF_MESSAGES: Events = Events(0b1000_0111);

    /// Whether any of `other` is in the set.
    pub fn has(self, other: Events) -> bool {
        self.0 & other.0 != 0
    }

    /// Those of both sets.
    pub fn union(self, other: Events) -> Events {
        Events(self.0 | other.0)
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are about messages.
    pub fn of_messages(self) -> Events {
        Events(self.0 & Events::OF_MESSAGES.0)
    }

    /// Those that are about mailboxes and the user.
    pub fn of_mailboxes(self) -> Events {
        Events(self.0 & !Events::OF_MESSAGES.0)
    }

    /// Section 5: MessageNew and MessageExpunge go together, FlagChange and AnnotationChange with both.
    fn check(self) -> Result<(), Fault> {
        let (new, expunge) = (self.has(Events::MESSAGE_NEW), self.has(Events::MESSAGE_EXPUNGE));
        if new != expunge {
            return Err(Fault::syntax("MessageNew and MessageExpunge go together"));
        }
        if self.has(Events::FLAG_CHANGE.union(Events::ANNOTATION_CHANGE)) && !new {
            return Err(Fault::syntax("Changes go with MessageNew and MessageExpunge"));
        }
        Ok(())
    }
}

impl NotifyArguments {
    /// How many groups one NOTIFY may have.
    pub const GROUPS_MAX: usize = 64;

    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        match cursor.keyword()?.as_bytes() {
            b"NONE" => Ok(NotifyArguments::None),
            b"SET" => Ok(NotifyArguments::Set(NotifySet::parse(cursor)?)),
            _ => Err(Fault::syntax("Expected SET or NONE")),
        }
    }
}

impl NotifySet {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let mut set = NotifySet { status: false, groups: Vec::new(), has_unknown_events: false };
        if cursor.peek() != Some(b'(') {
            if cursor.keyword()?.as_bytes() != b"STATUS" {
                return Err(Fault::syntax("Expected STATUS or a group of events"));
            }
            set.status = true;
            cursor.space()?;
        }
        let mut has_selected = false;
        loop {
            if set.groups.len() == NotifyArguments::GROUPS_MAX {
                return Err(Fault::limit("Too many groups of events"));
            }
            let group = EventGroup::parse(cursor, &mut set.has_unknown_events)?;
            if group.is_selected() && std::mem::replace(&mut has_selected, true) {
                return Err(Fault::syntax("The selected mailbox twice"));
            }
            set.groups.push(group);
            if !cursor.take_space_before_more() {
                return Ok(set);
            }
        }
    }
}

impl EventGroup {
    /// Whether it is about the selected mailbox.
    pub fn is_selected(&self) -> bool {
        matches!(self.mailboxes, MailboxFilter::Selected | MailboxFilter::SelectedDelayed)
    }

    fn parse(cursor: &mut Cursor<'_>, has_unknown_events: &mut bool) -> Result<EventGroup, Fault> {
        cursor.expect(b'(', "Expected a group of events")?;
        let mailboxes = MailboxFilter::parse(cursor)?;
        if matches!(mailboxes, MailboxFilter::SubtreeOne(_)) {
            return Err(Fault::syntax("Unknown kind of mailboxes"));
        }
        let mut group = EventGroup { mailboxes, events: Events::default(), fetch: Vec::new() };
        cursor.space()?;
        if cursor.peek() == Some(b'(') {
            let mut is_empty = true;
            cursor.list(|cursor| {
                is_empty = false;
                group.add_event(cursor, has_unknown_events)
            })?;
            if is_empty {
                return Err(Fault::syntax("Expected an event"));
            }
        } else if cursor.keyword()?.as_bytes() != b"NONE" {
            return Err(Fault::syntax("Expected events or NONE"));
        }
        cursor.expect(b')', "Expected ) after a group of events")?;
        group.events.check()?;
        if group.is_selected() && !group.events.of_mailboxes().is_empty() {
            return Err(Fault::syntax("Of the selected mailbox only events of messages can be told"));
        }
        Ok(group)
    }

    fn add_event(&mut self, cursor: &mut Cursor<'_>, has_unknown_events: &mut bool) -> Result<(), Fault> {
        let name = cursor.keyword()?;
        let known =
            Events::ALL.iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name.as_bytes()));
        let Some((event, _)) = known else {
            *has_unknown_events = true;
            return Ok(());
        };
        self.events = self.events.union(*event);
        if *event == Events::MESSAGE_NEW && cursor.rest().starts_with(b" (") {
            if !self.is_selected() {
                return Err(Fault::syntax("Items of new messages are told of the selected mailbox alone"));
            }
            cursor.space()?;
            FetchArguments::parse_items(cursor, &mut self.fetch)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn parse(text: &str) -> Result<NotifyArguments, Fault> {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let arguments = NotifyArguments::parse(&mut cursor)?;
        cursor.end()?;
        Ok(arguments)
    }

    fn set(text: &str) -> NotifySet {
        match parse(text) {
            Ok(NotifyArguments::Set(set)) => set,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(parse(" none"), Ok(NotifyArguments::None));
        let wishes =
            set(" set status (selected (MessageNew (uid body.peek[header.fields (from to subject)]) \
            MessageExpunge)) (subtree Lists (MessageNew messageexpunge))");
        assert!(wishes.status && !wishes.has_unknown_events);
        assert_eq!(wishes.groups.len(), 2);
        assert_eq!(wishes.groups[0].fetch.len(), 2);
        assert!(wishes.groups[1].events.has(Events::MESSAGE_EXPUNGE));
        assert!(!wishes.groups[1].events.has(Events::FLAG_CHANGE));
        let wishes = set(" SET (personal (SubscriptionChange MailboxName)) (selected-delayed NONE)");
        assert!(wishes.groups[1].events.is_empty());
        assert!(set(" SET (inboxes (Sunrise))").has_unknown_events);
    }

    #[test]
    fn what_must_go_together_and_what_must_not() {
        for text in [
            "",
            " ",
            " SET",
            " SET STATUS",
            " SET ()",
            " SET (selected)",
            " SET (selected ())",
            " SET (selected (MessageNew))",
            " SET (selected (MessageExpunge))",
            " SET (selected (FlagChange))",
            " SET (selected (AnnotationChange))",
            " SET (selected (MessageNew MessageExpunge MailboxName))",
            " SET (selected NONE) (selected-delayed NONE)",
            " SET (personal (MessageNew (UID) MessageExpunge))",
            " SET (selected (MessageNew () MessageExpunge))",
            " SET (subtree-one a NONE)",
            " SET (mailboxes NONE)",
            " SET (personal NONE) x",
            " NONE x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let many = |count| format!(" SET{}", " (personal NONE)".repeat(count));
        assert!(parse(&many(NotifyArguments::GROUPS_MAX)).is_ok());
        assert!(parse(&many(NotifyArguments::GROUPS_MAX + 1)).is_err());
    }
}
