//! Which mailbox a name means, and what the user may do with it: the one place where names are resolved.
//!
//! A name is one of the user's own, or `Other Users/<user>/<mailbox>` for a mailbox of another user (RFC 2342). In the second part `/`, `%`, `*`, `=` and control characters are
//! written as `=` and two hex digits, so that whatever a user is called is one part of a name, and no pattern.
//!
//! Invariants (RFC 4314, 4 and 6):
//! - A mailbox that the user may neither look up nor use as wished does not exist: the reply is that for a name nobody ever made.
//! - Whoever owns a mailbox has all rights in it. It has one name: `Other Users/` and one's own name means nothing.

use std::sync::Arc;

use protocol::imap::syntax::mailbox_name::{HIERARCHY_DELIMITER, MailboxName};
use store::lists::{MailboxEntry, MailboxList};
use store::rights::ANYONE;
use store::{MailboxId, Right, Rights, StoreError, Txn, UserId};

use super::{ImapSession, User};
use crate::conversation::Turn;

/// The first part of the names of other users' mailboxes.
pub(crate) const OTHER_USERS: &str = "Other Users";
/// What those names begin with.
pub(crate) const OTHER_USERS_PREFIX: &str = "Other Users/";

/// A mailbox that may be used as was wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Which one.
    pub(crate) id: MailboxId,
    /// What the user may do with it.
    pub(crate) rights: Rights,
    /// Who that user is.
    pub(crate) user: UserId,
}

/// Why a name means no mailbox that may be used as was wished.
#[derive(Debug)]
pub(crate) enum Unfound {
    /// There is none that the user may know of.
    NonExistent,
    /// There is one, and the user may not do that with it.
    NoPermission,
    /// The lists cannot be read.
    Store(StoreError),
}

impl From<StoreError> for Unfound {
    fn from(error: StoreError) -> Unfound {
        match error {
            StoreError::NotFound(_) => Unfound::NonExistent,
            error => Unfound::Store(error),
        }
    }
}

/// Where a name is: in whose list, and how it is called there. There may be no mailbox of that name.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Whose list it is.
    pub(crate) owner: UserId,
    /// The list, as it is now.
    pub(crate) list: Arc<MailboxList>,
    /// The name in that list.
    pub(crate) name: String,
}

impl Place {
    /// What the list has of that name, also if it holds no messages.
    pub(crate) fn entry(&self) -> Option<&MailboxEntry> {
        self.list.find(&self.name)
    }

    /// What `user` may do with a mailbox of this list.
    pub(crate) fn rights(&self, entry: &MailboxEntry, user: &User) -> Rights {
        self.list.rights_of(entry.number, user.id, &user.name)
    }

    /// The nearest name above this one that there is (RFC 4314, 4).
    pub(crate) fn nearest_above(&self) -> Option<&MailboxEntry> {
        let above = self.name.rmatch_indices(HIERARCHY_DELIMITER).map(|(at, _)| &self.name[..at]);
        above.into_iter().find_map(|name| self.list.find(name))
    }
}

impl ImapSession {
    /// The mailbox of that name, if it can be selected and the user has `right` in it.
    pub(super) fn find(&self, name: &MailboxName, right: Right, turn: &Turn<'_>) -> Result<Found, Unfound> {
        let place = self.place_of(name, turn)?;
        let user = self.user().ok_or(Unfound::NonExistent)?;
        let entry = place.entry().filter(|entry| !entry.placeholder).ok_or(Unfound::NonExistent)?;
        let rights = permitted(place.rights(entry, user), right)?;
        Ok(Found { id: MailboxId { user: place.owner, number: entry.number }, rights, user: user.id })
    }

    /// Where the mailbox of that name is: as the client wrote it if there is one, which is no name that would be made today, and in
    /// normal form otherwise.
    ///
    /// # Errors
    /// Those of [`ImapSession::place`].
    pub(super) fn place_of(&self, name: &MailboxName, turn: &Turn<'_>) -> Result<Place, Unfound> {
        if let Some(sent) = name.sent_as()
            && let Ok(place) = self.place(sent, turn)
            && place.entry().is_some_and(|entry| entry.name == place.name)
        {
            return Ok(place);
        }
        self.place(name.as_str(), turn)
    }

    /// In whose list a name is looked for.
    ///
    /// # Errors
    /// It is a name below `Other Users` of a user who is not there, or none below a user.
    pub(super) fn place(&self, name: &str, turn: &Turn<'_>) -> Result<Place, Unfound> {
        let user = self.user().ok_or(Unfound::NonExistent)?;
        let store = &turn.shared.store;
        let Some(below) = below_other_users(name) else {
            let list = store.mailbox_list(user.id)?;
            return Ok(Place { owner: user.id, list, name: name.to_owned() });
        };
        let (owner, rest) = below.split_once(HIERARCHY_DELIMITER).ok_or(Unfound::NonExistent)?;
        let owner = decode_user(owner).filter(|owner| owner != ANYONE).ok_or(Unfound::NonExistent)?;
        let owner = store.find_user(&owner)?.filter(|owner| *owner != user.id).ok_or(Unfound::NonExistent)?;
        Ok(Place { owner, list: store.mailbox_list(owner)?, name: rest.to_owned() })
    }

    /// Whether the name means a mailbox that holds messages and that the user may know of.
    pub(super) fn sees(&self, name: &str, turn: &Turn<'_>) -> bool {
        let (Ok(place), Some(user)) = (self.place(name, turn), self.user()) else { return false };
        let entry = place.entry().filter(|entry| !entry.placeholder);
        entry.is_some_and(|entry| place.rights(entry, user).has(Right::Lookup))
    }

    /// Starts a transaction of the user.
    pub(super) fn begin_change<'t>(&self, turn: &'t Turn<'_>) -> Txn<'t> {
        match self.user() {
            Some(user) => turn.shared.store.begin_as(user.id),
            None => turn.shared.store.begin(),
        }
    }

    /// Whether the user could make a mailbox of that name: the names above it allow it (RFC 4314, 4).
    pub(super) fn may_create(&self, place: &Place) -> Result<(), Unfound> {
        let user = self.user().ok_or(Unfound::NonExistent)?;
        if place.owner == user.id {
            return Ok(());
        }
        let above = place.nearest_above().ok_or(Unfound::NonExistent)?;
        permitted(place.rights(above, user), Right::CreateMailbox).map(|_| ())
    }
}

/// The rights, if `right` is among them.
pub(crate) fn permitted(rights: Rights, right: Right) -> Result<Rights, Unfound> {
    if rights.has(right) {
        Ok(rights)
    } else if rights.has(Right::Lookup) {
        Err(Unfound::NoPermission)
    } else {
        Err(Unfound::NonExistent)
    }
}

/// What stands behind `Other Users/`; nothing behind `Other Users` alone. `None` for a name of the user's own.
pub(crate) fn below_other_users(name: &str) -> Option<&str> {
    if name == OTHER_USERS { Some("") } else { name.strip_prefix(OTHER_USERS_PREFIX) }
}

/// The name of a mailbox of another user.
pub(crate) fn name_of(owner: &str, mailbox: &str) -> String {
    format!("{OTHER_USERS_PREFIX}{}{HIERARCHY_DELIMITER}{mailbox}", encode_user(owner))
}

/// A user's name as one part of a mailbox's name.
pub(crate) fn encode_user(user: &str) -> String {
    let mut part = String::with_capacity(user.len());
    for character in user.chars() {
        if matches!(character, '/' | '%' | '*' | '=') || character.is_control() {
            let mut octets = [0; 4];
            for octet in character.encode_utf8(&mut octets).bytes() {
                part.push_str(&format!("={octet:02X}"));
            }
        } else {
            part.push(character);
        }
    }
    part
}

/// The user that a part of a mailbox's name means; `None` if it is not written as [`encode_user`] does.
pub(crate) fn decode_user(part: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'=' {
            octets.push(*first);
            rest = tail;
            continue;
        }
        let (digits, tail) = tail.split_at_checked(2)?;
        octets.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail;
    }
    // One user has one name.
    String::from_utf8(octets).ok().filter(|user| encode_user(user) == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_user_is_called_is_one_part_and_comes_back() {
        for user in
            ["ann", "a@b.example", "jürgen", "a/b", "50%", "*", "=", "a=2Fb", "a b", "\u{1}\u{85}", ""]
        {
            let part = encode_user(user);
            assert!(!part.contains(['/', '%', '*']) && !part.chars().any(char::is_control), "{part}");
            assert_eq!(decode_user(&part).as_deref(), Some(user));
        }
        for part in ["=", "=4", "=2f", "=41", "a=", "=+1", "=é", "a/b", "=FF"] {
            assert_eq!(decode_user(part), None, "{part}");
        }
        assert_eq!(name_of("a/b", "INBOX/x"), "Other Users/a=2Fb/INBOX/x");
    }

    #[test]
    fn names_of_others_are_told_from_own_ones() {
        assert_eq!(below_other_users("Other Users/ann/x"), Some("ann/x"));
        assert_eq!(below_other_users("Other Users"), Some(""));
        assert_eq!(below_other_users("Other Users2"), None);
        assert_eq!(below_other_users("other users/ann"), None);
    }

    #[test]
    fn what_may_not_be_known_does_not_exist() {
        let rights = |letters| Rights::from_letters(letters).unwrap_or_default();
        assert!(permitted(rights("r"), Right::Read).is_ok());
        assert!(matches!(permitted(rights("l"), Right::Read), Err(Unfound::NoPermission)));
        assert!(matches!(permitted(rights("swipkxtea"), Right::Read), Err(Unfound::NonExistent)));
    }
}
