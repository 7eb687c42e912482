//! CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 3501, 6.3.3 to 6.3.7; CREATE-SPECIAL-USE, RFC 6154; OBJECTID, RFC
//! 8474).

use protocol::imap::command::Tag;
use protocol::imap::command::mailbox::{CreateArguments, RenameArguments};
use protocol::imap::extension::special_use as wire;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use protocol::imap::syntax::mailbox_name::MailboxName;
use store::change::SpecialUse;
use store::lists::{INBOX, MailboxList};
use store::txn::{Committed, Outcome};
use store::{ChangeError, MailboxId, Right, Txn};

use super::ending::{Ending, Tell};
use super::names::{Place, Unfound, permitted};
use super::{Flow, ImapSession, Stage, object_id};
use crate::conversation::Turn;
use crate::log;

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
        let place = match self.creatable(&arguments.mailbox, turn) {
            Ok(place) => place,
            Err(error) => return self.refuse_create(turn, &tag, &error),
        };
        let is_own = self.is_own(&place);
        if asked.is_some() && !is_own {
            let text = "Only the owner says what a mailbox is for";
            return self.refuse(turn, &tag, Condition::No, Some(Code::UseAttribute), text);
        }
        let special_use = asked.or_else(|| usual_use(name, &place.list).filter(|_| is_own));
        let owner = place.owner;
        let committed = self.commit(turn, |txn| txn.create_mailbox(owner, &place.name, special_use));
        let committed = match committed {
            Ok(committed) => committed,
            Err(error) => return self.refuse_change(turn, &tag, &error, Code::NonExistent),
        };
        log::audit!("mailbox created", owner = owner.0, mailbox = place.name, ticket = committed.ticket.0);
        if is_own {
            self.note_own_names(&[&place.name]);
        }
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
        let place = match self.removable(name, turn) {
            Ok(place) => place,
            Err(error) => return self.refuse_unfound(turn, &tag, &error),
        };
        let (owner, existing) = (place.owner, place.name.as_str());
        match self.commit(turn, |txn| txn.delete_mailbox(owner, existing)) {
            Ok(Committed { ticket, .. }) => {
                log::audit!("mailbox deleted", owner = owner.0, mailbox = existing, ticket = ticket.0);
                if self.is_own(&place) {
                    self.note_own_names(&[existing]);
                }
                if let Stage::Selected(_, selected) = &mut self.stage
                    && !selected
                        .mailbox(&turn.shared.store)
                        .is_ok_and(|mailbox| mailbox.is_deleted().is_ok_and(|deleted| !deleted))
                {
                    self.deselect(turn);
                }
                let told = match self.is_own(&place) {
                    true => self.told_name(existing, name.sent_as(), turn),
                    false => Vec::new(),
                };
                let ending = Ending::ok(tag.clone(), Tell::Everything, "DELETE completed");
                self.end_after(tag, ticket, ending.preceded_by(told))
            }
            // Of INBOX and of a name that only stands above others; others may always be deleted.
            Err(error @ ChangeError::NotAllowed(_)) if place.name != INBOX => {
                self.refuse(turn, &tag, Condition::No, Some(Code::HasChildren), &error.to_string())
            }
            Err(error) => self.refuse_change(turn, &tag, &error, Code::NonExistent),
        }
    }

    pub(super) fn rename(&mut self, tag: Tag, arguments: &RenameArguments, turn: &mut Turn<'_>) -> Flow {
        let RenameArguments { from, to } = arguments;
        let (place, target) = match self.removable(from, turn) {
            Ok(place) => (place, self.creatable(to, turn)),
            Err(error) => return self.refuse_unfound(turn, &tag, &error),
        };
        let target = match target {
            Ok(target) => target,
            Err(error) => return self.refuse_create(turn, &tag, &error),
        };
        let is_own = self.is_own(&place);
        if place.owner != target.owner || (!is_own && place.name == INBOX) {
            let text = "A mailbox stays with its owner, and INBOX is the owner's to rename";
            return self.refuse(turn, &tag, Condition::No, Some(Code::Cannot), text);
        }
        let (owner, existing) = (place.owner, place.name.as_str());
        match self.commit(turn, |txn| txn.rename_mailbox(owner, existing, &target.name)) {
            Ok(Committed { ticket, .. }) => {
                log::audit!(
                    "mailbox renamed",
                    owner = owner.0,
                    mailbox = existing,
                    to = target.name,
                    ticket = ticket.0
                );
                if is_own {
                    self.note_own_names(&[existing, &target.name]);
                }
                // INBOX stays where it is, without its messages.
                let old_name = (!from.is_inbox()).then(|| from.sent_as().unwrap_or(existing));
                let old_name = old_name.filter(|_| is_own);
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
        let user = match self.user_id() {
            Ok(user) => user,
            Err(error) => return self.refuse_store(turn, &tag, &error),
        };
        match self.commit(turn, |txn| txn.subscribe(user, name, subscribed)) {
            Ok(Committed { ticket, .. }) => {
                self.note_own_names(&[name]);
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

    fn is_own(&self, place: &Place) -> bool {
        self.user().is_some_and(|user| user.id == place.owner)
    }

    /// Where a mailbox of that name would be made: the user may make one there.
    fn creatable(&self, name: &MailboxName, turn: &Turn<'_>) -> Result<Place, Unfound> {
        let place = self.place(name.as_str(), turn)?;
        self.may_create(&place)?;
        Ok(place)
    }

    /// Where that name is: the user may delete or rename it, if there is such a mailbox.
    fn removable(&self, name: &MailboxName, turn: &Turn<'_>) -> Result<Place, Unfound> {
        let place = self.place_of(name, turn)?;
        let user = self.user().ok_or(Unfound::NonExistent)?;
        if place.owner != user.id {
            let entry = place.entry().ok_or(Unfound::NonExistent)?;
            permitted(place.rights(entry, user), Right::DeleteMailbox)?;
        }
        Ok(place)
    }

    /// The same words whether there is nothing or the user may not: names of others are not found out so.
    fn refuse_create(&mut self, turn: &mut Turn<'_>, tag: &Tag, error: &Unfound) -> Flow {
        match error {
            Unfound::Store(_) => self.refuse_unfound(turn, tag, error),
            Unfound::NonExistent | Unfound::NoPermission => {
                let text = "You have no right to make a mailbox there";
                self.refuse(turn, tag, Condition::No, Some(Code::NoPerm), text)
            }
        }
    }

    pub(super) fn commit(
        &self,
        turn: &Turn<'_>,
        change: impl FnOnce(&mut Txn<'_>),
    ) -> Result<Committed, ChangeError> {
        let mut txn = self.begin_change(turn);
        change(&mut txn);
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

pub(super) fn stored_use(special_use: wire::SpecialUse) -> SpecialUse {
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
