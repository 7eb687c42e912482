//! SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314), and what a selected mailbox has of rights.
//!
//! Rights are given to users and to `anyone`; with `-` before the name they are taken away. The owner has all rights, always: they are not in the list that is kept,
//! and what would take them away is refused. No rights are tied to each other.

use protocol::imap::command::Tag;
use protocol::imap::extension::acl::{AclCommand, Identifier, Modification};
use protocol::imap::reply::acl as reply;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use protocol::imap::syntax::mailbox_name::MailboxName;
use store::lists::MailboxEntry;
use store::rights::{ANYONE, RightsChange, subject};
use store::{ChangeError, MailboxId, Right, Rights, StoreError};

use super::ending::{Ending, Tell};
use super::names::{Place, Unfound, permitted};
use super::untagged::announce_flags;
use super::{Flow, ImapSession, Stage, User, goodbye};
use crate::conversation::{Next, Turn};

/// One of these is needed for MYRIGHTS (RFC 4314, 4).
const TELLING: [Right; 6] = [
    Right::Lookup,
    Right::Read,
    Right::Insert,
    Right::CreateMailbox,
    Right::DeleteMailbox,
    Right::Administer,
];

impl ImapSession {
    pub(super) fn acl(&mut self, tag: Tag, command: &AclCommand, turn: &mut Turn<'_>) -> Flow {
        let told = match command {
            AclCommand::SetAcl { mailbox, identifier, modification } => {
                let Some(change) = change_of(modification) else {
                    let text = "There is no such right";
                    return self.refuse(turn, &tag, Condition::Bad, None, text);
                };
                return self.set_acl(tag, mailbox, identifier, change, turn);
            }
            AclCommand::DeleteAcl(mailbox, identifier) => {
                return self.set_acl(tag, mailbox, identifier, RightsChange::Forget, turn);
            }
            AclCommand::GetAcl(mailbox) => self.get_acl(mailbox, turn),
            AclCommand::ListRights(mailbox, identifier) => self.list_rights(mailbox, identifier, turn),
            AclCommand::MyRights(mailbox) => self.my_rights(mailbox, turn),
        };
        match told {
            Ok(()) => self.end(turn, tag, Tell::Everything, "Completed"),
            Err(Refusal::Unfound(error)) => self.refuse_unfound(turn, &tag, &error),
            Err(Refusal::NoIdentifier) => self.refuse_identifier(&tag, turn),
        }
    }

    fn set_acl(
        &mut self,
        tag: Tag,
        name: &MailboxName,
        identifier: &Identifier,
        change: RightsChange,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let place = match self.administered(name, turn) {
            Ok(place) => place,
            Err(error) => return self.refuse_unfound(turn, &tag, &error),
        };
        let Some(entry) = place.entry() else {
            return self.refuse_unfound(turn, &tag, &Unfound::NonExistent);
        };
        let Some(identifier) = canonical(identifier.as_str()) else {
            return self.refuse_identifier(&tag, turn);
        };
        let whose = match known_user(subject(&identifier), change, turn) {
            Ok(whose) => whose,
            Err(error) => return self.refuse_change(turn, &tag, &error, Code::NonExistent),
        };
        if whose == Some(place.owner) {
            return if identifier != ANYONE && leaves_all(&identifier, change) {
                self.end(turn, tag, Tell::Everything, "The owner has all rights")
            } else {
                let text = "The owner's rights cannot be taken away";
                self.refuse(turn, &tag, Condition::No, Some(Code::Cannot), text)
            };
        }
        if whose.is_none() && change != RightsChange::Forget {
            let text = "There is no such user";
            return self.refuse(turn, &tag, Condition::No, Some(Code::Cannot), text);
        }
        let mut txn = turn.shared.store.begin();
        txn.set_rights(MailboxId { user: place.owner, number: entry.number }, &identifier, change);
        match txn.commit() {
            Ok(committed) => {
                turn.announce(committed.ticket, &committed.touched);
                let ending = Ending::ok(tag.clone(), Tell::Everything, "Completed");
                self.end_after(tag, committed.ticket, ending)
            }
            Err(error) => self.refuse_change(turn, &tag, &error, Code::NonExistent),
        }
    }

    fn get_acl(&self, name: &MailboxName, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let place = self.administered(name, turn)?;
        let entry = place.entry().ok_or(Unfound::NonExistent)?;
        let store = &turn.shared.store;
        let owner = store.user_name(place.owner).map_err(Unfound::from)?;
        let mut told = vec![(owner, wire_letters(Rights::ALL))];
        for said in place.list.acl(entry.number) {
            // Of a user who is gone there is nothing to tell.
            let is_there = match said.user {
                Some(user) => {
                    store.find_user(subject(&said.identifier)).map_err(Unfound::from)? == Some(user)
                }
                None => true,
            };
            if is_there {
                told.push((said.identifier, wire_letters(said.rights)));
            }
        }
        let told = told.iter().map(|(identifier, rights)| (identifier.as_str(), rights.as_str()));
        reply::acl(turn.output.bytes(), name.as_str(), self.enabled.names(), told);
        Ok(())
    }

    fn list_rights(
        &self,
        name: &MailboxName,
        identifier: &Identifier,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let place = self.administered(name, turn)?;
        let canonical = canonical(identifier.as_str()).ok_or(Refusal::NoIdentifier)?;
        let user = turn.shared.store.find_user(&canonical).map_err(Unfound::from)?;
        let all = wire_letters(Rights::ALL);
        let single: Vec<&str> = all.split("").filter(|letter| !letter.is_empty()).collect();
        // The same spelling as in the command, so that the client knows what it is the answer to (RFC 4314, 3.4).
        let (required, optional) =
            if user == Some(place.owner) { (all.as_str(), &[][..]) } else { ("", &single[..]) };
        let (out, names) = (turn.output.bytes(), self.enabled.names());
        let optional = optional.iter().copied();
        reply::list_rights(out, name.as_str(), names, identifier.as_str(), required, optional);
        Ok(())
    }

    fn my_rights(&self, name: &MailboxName, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let user = self.user().ok_or(Unfound::NonExistent)?;
        let place = self.place(name.as_str(), turn)?;
        let entry = place.entry().ok_or(Unfound::NonExistent)?;
        let rights = told_rights(&place, entry, user).ok_or(Unfound::NonExistent)?;
        reply::my_rights(turn.output.bytes(), name.as_str(), self.enabled.names(), &wire_letters(rights));
        Ok(())
    }

    /// Where a name is of which the user may see and change who has rights.
    fn administered(&self, name: &MailboxName, turn: &Turn<'_>) -> Result<Place, Unfound> {
        let user = self.user().ok_or(Unfound::NonExistent)?;
        let place = self.place(name.as_str(), turn)?;
        let entry = place.entry().ok_or(Unfound::NonExistent)?;
        permitted(place.rights(entry, user), Right::Administer)?;
        Ok(place)
    }

    fn refuse_identifier(&mut self, tag: &Tag, turn: &mut Turn<'_>) -> Flow {
        self.refuse(turn, tag, Condition::Bad, None, "That cannot be the name of a user")
    }

    /// Looks again what the user may do with the selected mailbox, if it is another user's. Tells new FLAGS and PERMANENTFLAGS if that has changed (RFC 4314,
    /// 5.1.1); a session that may not read the mailbox any more is closed.
    pub(super) fn review_rights(&mut self, turn: &mut Turn<'_>) -> Result<(), Next> {
        let Stage::Selected(user, selected) = &mut self.stage else { return Ok(()) };
        if selected.id.user == user.id {
            return Ok(());
        }
        let gone = |turn: &mut Turn<'_>| goodbye(turn, "The selected mailbox may not be read any more");
        let list = match turn.shared.store.mailbox_list(selected.id.user) {
            Ok(list) => list,
            Err(StoreError::NotFound(_)) => return Err(gone(turn)),
            // Whatever reads the mailbox next says what is wrong.
            Err(_) => return Ok(()),
        };
        let rights = list.rights_of(selected.id.number, user.id, &user.name);
        if rights == selected.rights {
            return Ok(());
        }
        selected.rights = rights;
        // Of a mailbox that was deleted the next command tells, as of one's own.
        if !rights.has(Right::Read) && list.by_number(selected.id.number).is_some() {
            return Err(gone(turn));
        }
        if let Ok(mailbox) = selected.mailbox(&turn.shared.store)
            && let Ok(keywords) = mailbox.keywords()
        {
            announce_flags(turn.output.bytes(), selected, &keywords);
        }
        Ok(())
    }
}

/// Why nothing was told.
enum Refusal {
    Unfound(Unfound),
    NoIdentifier,
}

impl From<Unfound> for Refusal {
    fn from(error: Unfound) -> Refusal {
        Refusal::Unfound(error)
    }
}

/// What the user may do with a mailbox; `None` if the user may not be told.
pub(crate) fn told_rights(place: &Place, entry: &MailboxEntry, user: &User) -> Option<Rights> {
    let rights = place.rights(entry, user);
    TELLING.into_iter().any(|right| rights.has(right)).then_some(rights)
}

/// Rights as replies have them: with `c` and `d` for clients of RFC 2086 (RFC 4314, 2.1.1).
pub(crate) fn wire_letters(rights: Rights) -> String {
    let mut letters = rights.letters();
    if rights.has(Right::CreateMailbox) || rights.has(Right::DeleteMailbox) {
        letters.push('c');
    }
    if rights.has(Right::DeleteMessage) || rights.has(Right::Expunge) {
        letters.push('d');
    }
    letters
}

/// `None`: a letter is no right.
fn change_of(modification: &Modification) -> Option<RightsChange> {
    Some(match modification {
        Modification::Set(letters) => RightsChange::Set(Rights::from_letters(letters)?),
        Modification::Add(letters) => RightsChange::Add(Rights::from_letters(letters)?),
        Modification::Remove(letters) => RightsChange::Remove(Rights::from_letters(letters)?),
    })
}

/// An identifier as it is kept; `None` if it can be nobody's.
fn canonical(identifier: &str) -> Option<String> {
    let whose = subject(identifier);
    let name = if whose.eq_ignore_ascii_case(ANYONE) {
        ANYONE.to_owned()
    } else {
        config::users::user_name(whose).ok()?
    };
    Some(if whose == identifier { name } else { format!("-{name}") })
}

/// Whether an owner has all rights also after that change.
fn leaves_all(identifier: &str, change: RightsChange) -> bool {
    // What RFC 4314 has, without what extensions add to it: clients give all that they know.
    let usual = Rights::ALL.without(Right::Annotate.into());
    match change {
        _ if identifier.starts_with('-') => {
            matches!(change, RightsChange::Remove(_)) || change == RightsChange::Set(Rights::NONE)
        }
        RightsChange::Set(rights) => usual.without(rights) == Rights::NONE,
        RightsChange::Add(_) => true,
        RightsChange::Remove(rights) => rights == Rights::NONE,
        RightsChange::Forget => false,
    }
}

/// The user of that name. One who can log in, and has not yet, gets a place in the store; `None` if there is no such user.
fn known_user(
    name: &str,
    change: RightsChange,
    turn: &Turn<'_>,
) -> Result<Option<store::UserId>, ChangeError> {
    let store = &turn.shared.store;
    if let Some(user) = store.find_user(name)? {
        return Ok(Some(user));
    }
    let gives = matches!(change, RightsChange::Set(_) | RightsChange::Add(_));
    if gives && (name == ANYONE || turn.shared.passwords.users().get(name).is_some()) {
        return store.ensure_user(name).map(Some);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_one_spelling() {
        for (identifier, want) in [
            ("Bob", Some("bob")),
            ("-BOB", Some("-bob")),
            ("Anyone", Some("anyone")),
            ("-anyone", Some("-anyone")),
        ] {
            assert_eq!(canonical(identifier).as_deref(), want);
        }
        for identifier in ["a/b", "-a:b", ".x"] {
            assert_eq!(canonical(identifier), None, "{identifier}");
        }
    }

    #[test]
    fn old_rights_are_told_with_the_new_ones() {
        let letters = |rights| wire_letters(Rights::from_letters(rights).unwrap_or_default());
        assert_eq!(letters("lrs"), "lrs");
        assert_eq!(letters("lx"), "lxc");
        assert_eq!(letters("et"), "ted");
        assert_eq!(letters("cd"), "kxtecd");
    }

    #[test]
    fn an_owner_keeps_all_rights() {
        let rights = |letters| Rights::from_letters(letters).unwrap_or_default();
        assert!(leaves_all("ann", RightsChange::Set(rights("lrswipkxtea"))));
        assert!(leaves_all("ann", RightsChange::Add(rights("l"))));
        assert!(leaves_all("-ann", RightsChange::Remove(rights("l"))));
        assert!(!leaves_all("ann", RightsChange::Set(rights("lrs"))));
        assert!(!leaves_all("ann", RightsChange::Remove(rights("a"))));
        assert!(!leaves_all("ann", RightsChange::Forget));
        assert!(!leaves_all("-ann", RightsChange::Add(rights("a"))));
    }
}
