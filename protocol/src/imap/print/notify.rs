//! NOTIFY (RFC 5465).

use super::Printer;
use crate::imap::extension::notify::{EventGroup, Events, NotifyArguments};

impl Printer<'_> {
    pub(super) fn notify(&mut self, arguments: &NotifyArguments) {
        self.word("NOTIFY");
        let NotifyArguments::Set(set) = arguments else { return self.word("NONE") };
        self.word("SET");
        if set.status {
            self.word("STATUS");
        }
        // It is not kept which group had the event that nobody knows.
        let mut has_unknown = set.has_unknown_events;
        for group in &set.groups {
            self.list(|printer| printer.event_group(group, std::mem::take(&mut has_unknown)));
        }
    }

    fn event_group(&mut self, group: &EventGroup, has_unknown: bool) {
        self.mailbox_filter(&group.mailboxes);
        if group.events.is_empty() && !has_unknown {
            return self.word("NONE");
        }
        self.list(|printer| {
            for (event, name) in Events::ALL {
                if group.events.has(event) {
                    printer.word(name);
                }
                if event == Events::MESSAGE_NEW && !group.fetch.is_empty() {
                    printer.list(|printer| group.fetch.iter().for_each(|item| printer.fetch_item(item)));
                }
            }
            if has_unknown {
                printer.word("Sunrise");
            }
        });
    }
}
