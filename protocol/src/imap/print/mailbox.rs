//! Prints commands about mailboxes: SELECT and EXAMINE with what QRESYNC (RFC 7162) adds, CREATE, LIST, STATUS, ACL (RFC 4314).

use super::Printer;
use crate::imap::command::list::{ListArguments, ListForm};
use crate::imap::command::mailbox::{CreateArguments, SelectArguments};
use crate::imap::command::status::StatusItem;
use crate::imap::extension::acl::{AclCommand, Modification};
use crate::imap::extension::qresync::{QResync, SelectParameters};
use crate::imap::syntax::mailbox_name::MailboxName;

impl Printer<'_> {
    /// The command `name` about a mailbox.
    pub(super) fn about(&mut self, name: &str, mailbox: &MailboxName) {
        self.word(name);
        self.mailbox(mailbox);
    }

    pub(super) fn select(&mut self, name: &str, arguments: &SelectArguments) {
        self.about(name, &arguments.mailbox);
        let parameters = &arguments.parameters;
        if *parameters == SelectParameters::default() {
            return;
        }
        self.list(|printer| {
            if parameters.condstore {
                printer.word("CONDSTORE");
            }
            if parameters.annotate {
                printer.word("ANNOTATE");
            }
            if let Some(qresync) = &parameters.qresync {
                printer.qresync(qresync);
            }
        });
    }

    fn qresync(&mut self, qresync: &QResync) {
        self.word("QRESYNC");
        self.list(|printer| {
            printer.number(u64::from(qresync.uid_validity));
            printer.number(qresync.modseq);
            if let Some(uids) = &qresync.known_uids {
                printer.set(uids);
            }
            if let Some(pairs) = &qresync.sequence_match {
                printer.list(|printer| {
                    printer.set(pairs.sequences());
                    printer.set(pairs.uids());
                });
            }
        });
    }

    pub(super) fn create(&mut self, arguments: &CreateArguments) {
        self.word("CREATE");
        self.new_mailbox(&arguments.mailbox);
        if arguments.special_use.is_empty() {
            return;
        }
        self.list(|printer| {
            printer.word("USE");
            printer.list(|printer| {
                arguments.special_use.iter().for_each(|special_use| printer.word(special_use.attribute()));
            });
        });
    }

    pub(super) fn list_command(&mut self, arguments: &ListArguments) {
        self.word("LIST");
        let is_extended = arguments.form == ListForm::Extended;
        if is_extended {
            let selection = arguments.selection;
            self.options(&[
                (selection.subscribed, "SUBSCRIBED"),
                (selection.remote, "REMOTE"),
                (selection.recursive_match, "RECURSIVEMATCH"),
                (selection.special_use, "SPECIAL-USE"),
            ]);
        }
        self.name(&arguments.reference);
        if !is_extended {
            arguments.patterns.iter().for_each(|pattern| self.name(pattern));
            return;
        }
        self.list(|printer| arguments.patterns.iter().for_each(|pattern| printer.name(pattern)));
        self.word("RETURN");
        let returns = &arguments.returns;
        self.list(|printer| {
            for (is_wanted, name) in [
                (returns.subscribed, "SUBSCRIBED"),
                (returns.children, "CHILDREN"),
                (returns.special_use, "SPECIAL-USE"),
                (returns.my_rights, "MYRIGHTS"),
            ] {
                if is_wanted {
                    printer.word(name);
                }
            }
            if let Some(items) = &returns.status {
                printer.word("STATUS");
                printer.status_items(items);
            }
            if !returns.metadata.is_empty() {
                printer.word("METADATA");
                printer.list(|printer| {
                    returns.metadata.iter().for_each(|entry| printer.astring(entry.as_str().as_bytes()));
                });
            }
        });
    }

    fn options(&mut self, options: &[(bool, &str)]) {
        self.list(|printer| {
            options.iter().filter(|(is_given, _)| *is_given).for_each(|(_, name)| printer.word(name));
        });
    }

    pub(super) fn status_items(&mut self, items: &[StatusItem]) {
        self.list(|printer| items.iter().for_each(|item| printer.word(item.name())));
    }

    pub(super) fn acl(&mut self, command: &AclCommand) {
        self.about(command.name(), command.mailbox());
        match command {
            AclCommand::SetAcl { identifier, modification, .. } => {
                self.astring(identifier.as_str().as_bytes());
                let (sign, letters) = match modification {
                    Modification::Set(letters) => ("", letters),
                    Modification::Add(letters) => ("+", letters),
                    Modification::Remove(letters) => ("-", letters),
                };
                self.astring(format!("{sign}{letters}").as_bytes());
            }
            AclCommand::DeleteAcl(_, identifier) | AclCommand::ListRights(_, identifier) => {
                self.astring(identifier.as_str().as_bytes());
            }
            AclCommand::GetAcl(_) | AclCommand::MyRights(_) => {}
        }
    }
}
