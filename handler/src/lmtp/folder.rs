//! Which mailbox of a user a detail means, the `lists` of `ann+lists@example.org`.
//!
//! People write details by hand, and mail servers on the way may change the case of letters, so a folder is found by its name in UTF-8
//! or in modified UTF-7 (which is ASCII, as most addresses must be), with or without `INBOX/` in front, and in another case if but
//! one folder is called so. What means no folder goes to INBOX: a detail is never a reason to lose mail.
//!
//! Invariant: only the user's own list is looked at, so no detail leads to another user's mailbox.

use config::Folders;
use protocol::imap::syntax::mailbox_name::MailboxName;
use protocol::imap::syntax::name_encoding::NameEncoding;
use store::lists::{MailboxEntry, MailboxList};

use crate::imap::below_other_users;

/// Where in a user's list mail goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Folder {
    /// To INBOX.
    Inbox,
    /// To the mailbox of that number.
    Existing(u32),
    /// To the mailbox of that name, which must be made first.
    New(Box<str>),
}

/// The folder that `detail` means in `list`.
pub(super) fn find(list: &MailboxList, detail: &str, folders: Folders) -> Folder {
    if folders == Folders::Ignore {
        return Folder::Inbox;
    }
    let names = names(detail);
    let selectable =
        |name: &&str| list.find(name).filter(|entry| !entry.placeholder).map(|entry| entry.number);
    let ways = || names.iter().flat_map(|name| [Some(name.as_str()), below_inbox(name)]).flatten();
    if ways().any(|name| name.eq_ignore_ascii_case("INBOX")) {
        return Folder::Inbox;
    }
    if let Some(number) = ways().find_map(|name| selectable(&name)) {
        return Folder::Existing(number);
    }
    if let Some(number) = ways().find_map(|name| only_one_called(list, name)) {
        return Folder::Existing(number);
    }
    match names.last() {
        Some(name) if folders == Folders::Create && may_be_made(name) => Folder::New(name.as_str().into()),
        _ => Folder::Inbox,
    }
}

/// The names that a detail may stand for, the likeliest last.
fn names(detail: &str) -> Vec<String> {
    let in_utf8 =
        MailboxName::from_wire(detail.as_bytes(), NameEncoding::Utf8).ok().map(MailboxName::into_string);
    let in_utf7 =
        Some(detail).filter(|detail| detail.is_ascii() && detail.contains('&')).and_then(|detail| {
            MailboxName::from_wire(detail.as_bytes(), NameEncoding::ModifiedUtf7)
                .ok()
                .map(MailboxName::into_string)
        });
    in_utf8.into_iter().chain(in_utf7).collect()
}

fn below_inbox(name: &str) -> Option<&str> {
    let (front, rest) = name.split_at_checked("INBOX/".len())?;
    front.eq_ignore_ascii_case("INBOX/").then_some(rest)
}

fn only_one_called(list: &MailboxList, name: &str) -> Option<u32> {
    let name = name.to_lowercase();
    let is_called_so = |entry: &&MailboxEntry| !entry.placeholder && entry.name.to_lowercase() == name;
    let mut called_so = list.entries().iter().filter(is_called_so);
    let first = called_so.next()?;
    called_so.next().is_none().then_some(first.number)
}

/// Whether a mailbox of that name may be made for mail that nobody asked for: a name that an IMAP client could have made, too.
fn may_be_made(name: &str) -> bool {
    below_other_users(name).is_none() && !name.contains(['%', '*']) && !name.starts_with('/')
}

#[cfg(test)]
mod tests {
    use store::UserId;
    use store::change::Change;
    use store::lists::plan_create;

    use super::*;

    fn list(names: &[&str]) -> MailboxList {
        let mut list = MailboxList::empty(UserId(1));
        for name in names {
            let changes: Vec<Change> = plan_create(&list, name, None, 1).expect("a name");
            changes.iter().for_each(|change| list.apply(change));
        }
        list
    }

    fn name_of(list: &MailboxList, detail: &str, folders: Folders) -> String {
        match find(list, detail, folders) {
            Folder::Inbox => "INBOX".to_owned(),
            Folder::Existing(number) => list.by_number(number).expect("there").name.clone(),
            Folder::New(name) => format!("new {name}"),
        }
    }

    #[test]
    fn a_detail_finds_a_folder_of_the_users_own() {
        let list = list(&["INBOX", "Lists", "Lists/rust", "Entwürfe", "Twice", "TWICE", "INBOX/deep", "a&b"]);
        for (detail, existing, create) in [
            ("Lists", "Lists", "Lists"),
            ("lists", "Lists", "Lists"),
            ("Lists/rust", "Lists/rust", "Lists/rust"),
            ("INBOX/lists", "Lists", "Lists"),
            ("inbox/Lists/rust", "Lists/rust", "Lists/rust"),
            ("Entwürfe", "Entwürfe", "Entwürfe"),
            ("entw&APw-rfe", "Entwürfe", "Entwürfe"),
            ("a&b", "a&b", "a&b"),
            ("Twice", "Twice", "Twice"),
            ("twice", "INBOX", "new twice"),
            ("inbox", "INBOX", "INBOX"),
            ("INBOX/INBOX", "INBOX", "INBOX"),
            ("inbox/deep", "INBOX/deep", "INBOX/deep"),
            ("tag", "INBOX", "new tag"),
            ("&ZeVnLIqe-", "INBOX", "new 日本語"),
            ("Other Users/bob/x", "INBOX", "INBOX"),
            ("Other Users", "INBOX", "INBOX"),
            ("a*", "INBOX", "INBOX"),
            ("/etc", "INBOX", "INBOX"),
        ] {
            assert_eq!(name_of(&list, detail, Folders::Existing), existing, "{detail}");
            assert_eq!(name_of(&list, detail, Folders::Create), create, "{detail}");
            assert_eq!(name_of(&list, detail, Folders::Ignore), "INBOX", "{detail}");
        }
    }
}
