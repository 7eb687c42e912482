//! Prints METADATA (RFC 5464) and QUOTA (RFC 9208).

use super::Printer;
use crate::imap::extension::metadata::{Depth, GetMetadataArguments, MetadataCommand, SetMetadataArguments};
use crate::imap::extension::quota::QuotaCommand;
use crate::imap::syntax::mailbox_name::MailboxName;

impl Printer<'_> {
    pub(super) fn metadata(&mut self, command: &MetadataCommand) {
        self.word(command.name());
        match command {
            MetadataCommand::Get(arguments) => self.get_metadata(arguments),
            MetadataCommand::Set(arguments) => self.set_metadata(arguments),
        }
    }

    fn get_metadata(&mut self, arguments: &GetMetadataArguments) {
        if arguments.max_size.is_some() || arguments.depth != Depth::Zero {
            self.list(|printer| {
                if let Some(octets) = arguments.max_size {
                    printer.word("MAXSIZE");
                    printer.number(octets);
                }
                match arguments.depth {
                    Depth::Zero => {}
                    Depth::One => printer.word("DEPTH 1"),
                    Depth::Infinity => printer.word("DEPTH INFINITY"),
                }
            });
        }
        self.mailbox_or_server(arguments.mailbox.as_ref());
        self.list(|printer| {
            arguments.entries.iter().for_each(|entry| printer.astring(entry.as_str().as_bytes()));
        });
    }

    fn set_metadata(&mut self, arguments: &SetMetadataArguments) {
        self.mailbox_or_server(arguments.mailbox.as_ref());
        self.list(|printer| {
            for (entry, value) in &arguments.values {
                printer.astring(entry.as_str().as_bytes());
                printer.value8(value.as_deref());
            }
        });
    }

    fn mailbox_or_server(&mut self, mailbox: Option<&MailboxName>) {
        match mailbox {
            Some(mailbox) => self.mailbox(mailbox),
            None => self.string(b""),
        }
    }

    pub(super) fn quota(&mut self, command: &QuotaCommand) {
        self.word(command.name());
        match command {
            QuotaCommand::Get(root) => self.astring(root.as_bytes()),
            QuotaCommand::GetRoot(mailbox) => self.mailbox(mailbox),
            QuotaCommand::Set(root, limits) => {
                self.astring(root.as_bytes());
                self.list(|printer| {
                    for limit in limits {
                        printer.word(limit.resource.map_or("X-OTHER", |resource| resource.name()));
                        printer.number(limit.limit);
                    }
                });
            }
        }
    }
}
