//! CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 3501, 6.3.3 to 6.3.7; CREATE-SPECIAL-USE, RFC 6154; OBJECTID, RFC
//! 8474).

use protocol::imap::command::Tag;
use protocol::imap::command::mailbox::{CreateArguments, RenameArguments};
use protocol::imap::extension::special_use as wire;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use protocol::imap::syntax::mailbox_name::MailboxName;
use store::change::SpecialUse;
use store::lists::MailboxList;
use store::txn::{Committed, Outcome};
use store::{ChangeError, MailboxId, Txn, UserId};

use super::ending::{Ending, Tell};
use super::{Flow, ImapSession, Stage, object_id};
use crate::conversation::Turn;

impl ImapSession {
    pub(super) fn create(&mut self, tag: Tag, arguments: &CreateArguments, turn: &mut Turn<'_>) -> Flow {
        let name = arguments.mailbox.as_str();
        if arguments.special_use.len() > 1 {
            let text = "A mailbox has one special use";
            return self.refuse(turn, &tag, Condition::No, Some(Code::UseAttribute), text);
        }
        let asked = arguments.special_use.first().copied().map(stored_use);
        if asked == Some(SpecialUse::All) || asked == Some(SpecialUse::Flagged) {
            let text = "A mailbox that messages are put into cannot be that";
            return self.refuse(turn, &tag, Condition::No, Some(Code::UseAttribute), text);
        }
        let list = match self.user_id().and_then(|user| turn.shared.store.mailbox_list(user)) {
            Ok(list) => list,
            Err(error) => return self.refuse_store(turn, &tag, &error),
        };
        let special_use = asked.or_else(|| usual_use(name, &list));
        let committed = self.commit_list(turn, |txn, user| txn.create_mailbox(user, name, special_use));
        let committed = match committed {
            Ok(committed) => committed,
            Err(error) => return self.refuse_change(turn, &tag, &error, Code::NonExistent),
        };
        let identifier = made_mailbox(&committed.outcomes).and_then(|id| {
            let mailbox = turn.shared.store.mailbox(id).ok()?;
            Some(object_id::mailbox_id(id, mailbox.uid_validity()))
        });
        let code = identifier.as_deref().map(Code::MailboxId);
        let ending = Ending::with(tag.clone(), Tell::Everything, Condition::Ok, code, "CREATE completed");
        let told = self.told_name(name, arguments.mailbox.sent_as(), turn);
        self.end_after(tag, committed.ticket, ending.preceded_by(told))
    }

    pub(super) fn delete(&mut self, tag: Tag, name: &MailboxName, turn: &mut Turn<'_>) -> Flow {
        let existing = self.existing_name(name, turn);
        match self.commit_list(turn, |txn, user| txn.delete_mailbox(user, existing)) {
            Ok(Committed { ticket, .. }) => {
                if let Stage::Selected(_, selected) = &mut self.stage
                    && !selected
                        .mailbox(&turn.shared.store)
                        .is_ok_and(|mailbox| mailbox.is_deleted().is_ok_and(|deleted| !deleted))
                {
                    self.deselect(turn);
                }
                let told = self.told_name(existing, name.sent_as(), turn);
                let ending = Ending::ok(tag.clone(), Tell::Everything, "DELETE completed");
                self.end_after(tag, ticket, ending.preceded_by(told))
            }
            // Of INBOX and of a name that only stands above others; others may always be deleted.
            Err(error @ ChangeError::NotAllowed(_)) if !name.is_inbox() => {
                self.refuse(turn, &tag, Condition::No, Some(Code::HasChildren), &error.to_string())
            }
            Err(error) => self.refuse_change(turn, &tag, &error, Code::NonExistent),
        }
    }

    pub(super) fn rename(&mut self, tag: Tag, arguments: &RenameArguments, turn: &mut Turn<'_>) -> Flow {
        let RenameArguments { from, to } = arguments;
        let existing = self.existing_name(from, turn);
        match self.commit_list(turn, |txn, user| txn.rename_mailbox(user, existing, to.as_str())) {
            Ok(Committed { ticket, .. }) => {
                // INBOX stays where it is, without its messages.
                let old_name = (!from.is_inbox()).then(|| from.sent_as().unwrap_or(existing));
                let told = self.told_name(to.as_str(), old_name, turn);
                let ending = Ending::ok(tag.clone(), Tell::Everything, "RENAME completed");
                self.end_after(tag, ticket, ending.preceded_by(told))
            }
            Err(error) => self.refuse_change(turn, &tag, &error, Code::NonExistent),
        }
    }

    pub(super) fn subscribe(
        &mut self,
        tag: Tag,
        name: &MailboxName,
        subscribed: bool,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let text = if subscribed { "SUBSCRIBE completed" } else { "UNSUBSCRIBE completed" };
        let name = self.existing_name(name, turn);
        match self.commit_list(turn, |txn, user| txn.subscribe(user, name, subscribed)) {
            Ok(Committed { ticket, .. }) => {
                self.end_after(tag.clone(), ticket, Ending::ok(tag, Tell::Everything, text))
            }
            Err(error) => self.refuse_change(turn, &tag, &error, Code::NonExistent),
        }
    }

    /// What the mailbox is called in the list: as the client has it, if there is such a name, though it be none that would be made
    /// today; in normal form otherwise.
    fn existing_name<'a>(&self, name: &'a MailboxName, turn: &Turn<'_>) -> &'a str {
        let list = self.user_id().and_then(|user| turn.shared.store.mailbox_list(user));
        let is_known = |sent: &&str| {
            list.as_ref().is_ok_and(|list| {
                list.find(sent).is_some_and(|entry| entry.name == **sent) || list.is_subscribed(sent)
            })
        };
        name.sent_as().filter(|_| !name.is_inbox()).filter(is_known).unwrap_or(name.as_str())
    }

    /// The LIST reply that tells a client of IMAP4rev2 that a name is not, or no longer, what it says (RFC 9051, 6.3.9.7).
    fn told_name(&self, name: &str, old_name: Option<&str>, turn: &Turn<'_>) -> Vec<u8> {
        let mut told = Vec::new();
        if let Some(old_name) = old_name {
            self.tell_name(&mut told, name, old_name, turn);
        }
        told
    }

    fn commit_list(
        &self,
        turn: &Turn<'_>,
        change: impl FnOnce(&mut Txn<'_>, UserId),
    ) -> Result<Committed, ChangeError> {
        let user = self.user_id()?;
        let mut txn = turn.shared.store.begin();
        change(&mut txn, user);
        let committed = txn.commit()?;
        turn.announce(committed.ticket, &committed.touched);
        Ok(committed)
    }
}

/// The mailbox that was made; the last, for those above it were made before.
fn made_mailbox(outcomes: &[Outcome]) -> Option<MailboxId> {
    outcomes.iter().rev().find_map(|outcome| match outcome {
        Outcome::Created(mailbox) => Some(*mailbox),
        _ => None,
    })
}

fn stored_use(special_use: wire::SpecialUse) -> SpecialUse {
    match special_use {
        wire::SpecialUse::All => SpecialUse::All,
        wire::SpecialUse::Archive => SpecialUse::Archive,
        wire::SpecialUse::Drafts => SpecialUse::Drafts,
        wire::SpecialUse::Flagged => SpecialUse::Flagged,
        wire::SpecialUse::Junk => SpecialUse::Junk,
        wire::SpecialUse::Sent => SpecialUse::Sent,
        wire::SpecialUse::Trash => SpecialUse::Trash,
        wire::SpecialUse::Important => SpecialUse::Important,
    }
}

/// What a mailbox with a usual name is for, unless another has that use: most clients create such mailboxes without saying so.
fn usual_use(name: &str, list: &MailboxList) -> Option<SpecialUse> {
    let usual = [
        ("Archive", SpecialUse::Archive),
        ("Drafts", SpecialUse::Drafts),
        ("Junk", SpecialUse::Junk),
        ("Spam", SpecialUse::Junk),
        ("Sent", SpecialUse::Sent),
        ("Trash", SpecialUse::Trash),
    ];
    let (_, special_use) = usual.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    let is_taken = list.entries().iter().any(|entry| entry.special_use == Some(special_use));
    (!is_taken).then_some(special_use)
}
