//! NOTIFY.

use super::Draw;
use crate::imap::extension::mailbox_filter::MailboxFilter;
use crate::imap::extension::notify::{EventGroup, Events, NotifyArguments, NotifySet};
use crate::imap::syntax::name_encoding::NameEncoding;

impl Draw {
    pub(super) fn notify(&mut self, names: NameEncoding) -> NotifyArguments {
        if self.chance(5) {
            return NotifyArguments::None;
        }
        let mut groups = self.some(1, 3, |draw| draw.group(names));
        if self.chance(2) {
            groups.push(self.selected_group());
        }
        NotifyArguments::Set(NotifySet { status: self.chance(2), groups, has_unknown_events: self.chance(4) })
    }

    fn group(&mut self, names: NameEncoding) -> EventGroup {
        let mailboxes = self.some(1, 3, |draw| draw.mailbox(names));
        let mailboxes = self.one(&[
            MailboxFilter::Inboxes,
            MailboxFilter::Personal,
            MailboxFilter::Subscribed,
            MailboxFilter::Subtree(mailboxes.clone()),
            MailboxFilter::Mailboxes(mailboxes),
        ]);
        let others = self.each_once(&[
            Events::MAILBOX_NAME,
            Events::SUBSCRIPTION_CHANGE,
            Events::MAILBOX_METADATA_CHANGE,
            Events::SERVER_METADATA_CHANGE,
        ]);
        let events = others.into_iter().fold(self.message_events(), Events::union);
        EventGroup { mailboxes, events, fetch: Vec::new() }
    }

    fn selected_group(&mut self) -> EventGroup {
        let mailboxes = self.one(&[MailboxFilter::Selected, MailboxFilter::SelectedDelayed]);
        let events = self.message_events();
        let mut fetch = Vec::new();
        for item in self.some(0, 3, Draw::fetch_item) {
            if !events.is_empty() && !fetch.contains(&item) {
                fetch.push(item);
            }
        }
        EventGroup { mailboxes, events, fetch }
    }

    fn message_events(&mut self) -> Events {
        let both = Events::MESSAGE_NEW.union(Events::MESSAGE_EXPUNGE);
        let flags = both.union(Events::FLAG_CHANGE);
        let annotations = Events::ANNOTATION_CHANGE;
        self.one(&[Events::default(), both, flags, flags.union(annotations), both.union(annotations)])
    }
}
