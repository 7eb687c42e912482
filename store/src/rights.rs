//! What somebody may do with a mailbox (RFC 4314), as a set of rights, and how rights are kept: as attributes `acl/<identifier>` of the mailbox in its owner's
//! list.
//!
//! An identifier is a user's name, or `anyone`; with `-` before it, its rights are taken away. The value is the letters of the rights; behind those of a user stand a
//! space and the user's number, so that another user who gets the name later gets no rights with it. Without a number (such a list came from elsewhere) the name alone counts.
//!
//! Invariants: the owner has all rights, whatever the attributes say. What is taken away is taken away also from who has it by another identifier.
//!
//! So that a user finds what others share, the user's own attribute `shared/<number>` names each owner who gave rights, also none that are any good; who gives rights to
//! `anyone` is named in the list of the reserved user of that name. [`Txn::set_rights`](crate::Txn::set_rights) changes both at once.

use crate::ids::UserId;
use crate::lists::MailboxList;

/// The identifier of everybody, and the name of the reserved user in whose list their owners are.
pub const ANYONE: &str = "anyone";
/// What attributes with rights begin with.
pub const ACL: &str = "acl/";
/// What attributes that name owners begin with.
pub const SHARED: &str = "shared/";

/// One thing that somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Right {
    /// `l`: the mailbox is seen in LIST.
    Lookup,
    /// `r`: SELECT and STATUS.
    Read,
    /// `s`: to keep one's \Seen.
    Seen,
    /// `w`: flags but \Seen and \Deleted.
    Write,
    /// `i`: to put messages in.
    Insert,
    /// `p`: to send mail to it.
    Post,
    /// `k`: to make mailboxes below it.
    CreateMailbox,
    /// `x`: to delete the mailbox, or rename it.
    DeleteMailbox,
    /// `t`: \Deleted.
    DeleteMessage,
    /// `e`: to expunge.
    Expunge,
    /// `a`: to see and change who has rights.
    Administer,
    /// `n`: to change shared annotations of messages (RFC 5257).
    Annotate,
}

/// In the order in which rights are told.
const LETTERS: [(Right, char); 12] = [
    (Right::Lookup, 'l'),
    (Right::Read, 'r'),
    (Right::Seen, 's'),
    (Right::Write, 'w'),
    (Right::Insert, 'i'),
    (Right::Post, 'p'),
    (Right::CreateMailbox, 'k'),
    (Right::DeleteMailbox, 'x'),
    (Right::DeleteMessage, 't'),
    (Right::Expunge, 'e'),
    (Right::Administer, 'a'),
    (Right::Annotate, 'n'),
];

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u16);

impl Rights {
    /// None.
    pub const NONE: Rights = Rights(0);
    /// All there are.
    pub const ALL: Rights = Rights((1 << LETTERS.len()) - 1);

    /// Those that `letters` name; `c` and `d` of RFC 2086 stand for `kx` and `te`. `None` if one is unknown.
    pub fn from_letters(letters: &str) -> Option<Rights> {
        letters.chars().try_fold(Rights::NONE, |rights, letter| {
            let more = match letter {
                'c' => Rights::from(Right::CreateMailbox) | Right::DeleteMailbox.into(),
                'd' => Rights::from(Right::DeleteMessage) | Right::Expunge.into(),
                letter => LETTERS.iter().find(|(_, known)| *known == letter)?.0.into(),
            };
            Some(rights | more)
        })
    }

    /// Their letters, in one order.
    pub fn letters(self) -> String {
        LETTERS.iter().filter(|(right, _)| self.has(*right)).map(|(_, letter)| *letter).collect()
    }

    /// A number for them, for who must keep them outside of this process.
    pub fn number(self) -> u16 {
        self.0
    }

    /// Those with this number; what is no right is left out.
    pub fn from_number(number: u16) -> Rights {
        Rights(number & Rights::ALL.0)
    }

    /// Whether `right` is among them.
    pub fn has(self, right: Right) -> bool {
        self.0 & Rights::from(right).0 != 0
    }

    /// Whether one of `others` is among them.
    pub fn has_any(self, others: Rights) -> bool {
        self.0 & others.0 != 0
    }

    /// Those that are not among `others`.
    pub fn without(self, others: Rights) -> Rights {
        Rights(self.0 & !others.0)
    }
}

impl From<Right> for Rights {
    fn from(right: Right) -> Rights {
        Rights(1 << right as u8)
    }
}

impl std::ops::BitOr for Rights {
    type Output = Rights;

    fn bitor(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
}

/// What is done with the rights that an identifier has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightsChange {
    /// They are these.
    Set(Rights),
    /// They are these, too.
    Add(Rights),
    /// They are these no more.
    Remove(Rights),
    /// Nothing is said of the identifier any more.
    Forget,
}

impl RightsChange {
    /// What becomes of `before`.
    pub(crate) fn of(self, before: Rights) -> Rights {
        match self {
            RightsChange::Set(rights) => rights,
            RightsChange::Add(rights) => before | rights,
            RightsChange::Remove(rights) => before.without(rights),
            RightsChange::Forget => Rights::NONE,
        }
    }
}

/// What is said of one identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// A user's name or `anyone`, perhaps with `-` before it.
    pub identifier: String,
    /// The rights.
    pub rights: Rights,
    /// The user's number, if the entry is for that one alone.
    pub user: Option<UserId>,
}

/// Whose rights an identifier speaks of: without the `-`.
pub fn subject(identifier: &str) -> &str {
    identifier.strip_prefix('-').unwrap_or(identifier)
}

/// What an attribute says.
pub(crate) fn decode(value: &[u8]) -> (Rights, Option<UserId>) {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let (letters, number) = text.split_once(' ').unwrap_or((text, ""));
    // A right that this release does not know is none.
    let rights = letters.chars().filter_map(|letter| Rights::from_letters(letter.encode_utf8(&mut [0; 4])));
    let rights = rights.fold(Rights::NONE, |all, right| all | right);
    (rights, number.parse().ok().map(UserId))
}

/// The attribute that says so.
pub(crate) fn encode(rights: Rights, user: Option<UserId>) -> Vec<u8> {
    let number = user.map(|user| format!(" {}", user.0)).unwrap_or_default();
    format!("{}{number}", rights.letters()).into_bytes()
}

impl MailboxList {
    /// What is said of who may do what with mailbox number `mailbox`, in the order of identifiers. Its owner is not in it.
    pub fn acl(&self, mailbox: u32) -> Vec<AclEntry> {
        let entries = self.attributes(Some(mailbox)).filter_map(|(name, value)| {
            let (rights, user) = decode(value);
            Some(AclEntry { identifier: name.strip_prefix(ACL)?.to_string(), rights, user })
        });
        entries.collect()
    }

    /// What a user, who has that name, may do with mailbox number `mailbox`.
    pub fn rights_of(&self, mailbox: u32, user: UserId, name: &str) -> Rights {
        if user == self.user() {
            return Rights::ALL;
        }
        let (mut given, mut taken) = (Rights::NONE, Rights::NONE);
        for (identifier, value) in self.attributes(Some(mailbox)) {
            let Some(identifier) = identifier.strip_prefix(ACL) else { continue };
            let whose = subject(identifier);
            let (rights, number) = decode(value);
            if whose != ANYONE && (whose != name || number.is_some_and(|number| number != user)) {
                continue;
            }
            if whose == identifier {
                given = given | rights;
            } else {
                taken = taken | rights;
            }
        }
        given.without(taken)
    }

    /// Whether any mailbox says something of the identifier.
    pub(crate) fn speaks_of(&self, identifier: &str) -> bool {
        let name = format!("{ACL}{identifier}");
        self.entries().iter().any(|entry| self.attribute(Some(entry.number), &name).is_some())
    }

    /// The numbers of users who say that they gave this one rights.
    pub fn owners(&self) -> impl Iterator<Item = UserId> {
        self.attributes(None).filter_map(|(name, _)| name.strip_prefix(SHARED)?.parse().ok().map(UserId))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Change;
    use crate::ids::MailboxId;

    fn list(acl: &[(&str, &str)]) -> MailboxList {
        let mut list = MailboxList::empty(UserId(1));
        list.apply(&Change::MailboxCreate {
            mailbox: MailboxId { user: UserId(1), number: 1 },
            list_version: 1,
            uid_validity: 1,
            name: "INBOX".to_string(),
            special_use: None,
            placeholder: false,
        });
        for (version, (identifier, value)) in (2..).zip(acl) {
            list.apply(&Change::Attribute {
                user: UserId(1),
                list_version: version,
                mailbox: Some(1),
                name: format!("acl/{identifier}"),
                value: Some(value.as_bytes().to_vec()),
            });
        }
        list
    }

    #[test]
    fn letters_come_back_and_old_ones_are_understood() {
        assert_eq!(Rights::ALL.letters(), "lrswipkxtean");
        assert_eq!(Rights::from_letters("lrswipkxtean"), Some(Rights::ALL));
        assert_eq!(Rights::from_letters("").map(Rights::letters), Some(String::new()));
        assert_eq!(Rights::from_letters("cd").map(Rights::letters), Some("kxte".to_string()));
        for wrong in ["q", "L", "lr9", "l r", "é"] {
            assert_eq!(Rights::from_letters(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn rights_are_given_by_all_identifiers_and_taken_by_all() {
        let list =
            list(&[("bob", "lrsw 2"), ("anyone", "li"), ("-bob", "w 2"), ("-anyone", "i"), ("-cy", "l")]);
        let of = |number, name| list.rights_of(1, UserId(number), name).letters();
        assert_eq!(of(2, "bob"), "lrs");
        assert_eq!(of(3, "cy"), "");
        assert_eq!(of(4, "dora"), "l");
        assert_eq!(of(1, "ann"), Rights::ALL.letters(), "the owner");
        assert_eq!(list.rights_of(2, UserId(2), "bob"), Rights::NONE, "another mailbox");
    }

    #[test]
    fn a_new_user_of_an_old_name_has_no_rights_by_it() {
        let list = list(&[("bob", "lr 2"), ("cy", "lr")]);
        assert_eq!(list.rights_of(1, UserId(7), "bob"), Rights::NONE);
        assert_eq!(list.rights_of(1, UserId(7), "cy").letters(), "lr");
    }

    #[test]
    fn damaged_or_newer_values_give_what_is_understood() {
        assert_eq!(decode(b"lrQ"), (Rights::from_letters("lr").unwrap_or_default(), None));
        assert_eq!(decode(b"l x"), (Right::Lookup.into(), None));
        assert_eq!(decode(&[0xff, 0xfe]), (Rights::NONE, None));
        assert_eq!(decode(&encode(Rights::ALL, Some(UserId(9)))), (Rights::ALL, Some(UserId(9))));
    }
}
