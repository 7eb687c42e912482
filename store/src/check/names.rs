//! Who is who: the files `FORMAT`, `state` and `catalog`, each user's `number` and list beside the folders there are, and files that are
//! not the store's.

use std::path::Path;

use super::{Affected, Check, Fault, FaultKind, Mend, Target, What};
use crate::catalog::{cells_path, list_path};
use crate::close;
use crate::error::{Result, StoreError};
use crate::gc::background::COLLECTED;
use crate::gc::walk::Found;
use crate::ids::{MailboxId, UserId};
use crate::lists::MailboxList;
use crate::locks::LockKey;
use crate::mailbox::Mailbox;
use crate::state::{State, store_id};

/// All users that the catalog names, row by row. What is wrong with a row is reported.
pub(super) fn users(check: &Check<'_>) -> Result<Vec<(UserId, String)>> {
    let store = check.store;
    let format = store.path().join("FORMAT");
    match store.derived.disk.read(&format) {
        Ok(bytes) if store_id(&bytes).is_some() => (),
        found => {
            let found = found.map_or_else(|error| error.to_string(), |_| "other octets".to_string());
            let fault = Fault::new(FaultKind::Store, &format, 0).that("two lines and their checksum", found);
            check.add(fault.means("the store cannot be opened any more", Mend::FromViews));
        }
    }
    if let Err(error) = State::read(&store.derived.disk, store.path()) {
        let path = store.path().join("state");
        let meaning = "the store cannot be opened any more once it was closed";
        check.add_error(FaultKind::Store, &path, &error, meaning, Mend::FromViews);
    }
    let mut users = Vec::new();
    for number in 1..store.derived.catalog.next_user()?.0 {
        let user = UserId(number);
        match store.derived.catalog.name(user) {
            Ok(name) => users.extend(name.map(|name| (user, name))),
            Err(error) => {
                // A row is written at once, but may be read between two of its octets.
                store.derived.disk.pause_ms(1);
                if store.derived.catalog.name(user).is_err()
                    && let Some(fault) = Fault::of_error(FaultKind::Store, store.path(), &error)
                {
                    let whose =
                        Affected { user: format!("number {number}"), mailbox: String::new(), uid: None };
                    let fault = fault.means("this user cannot log in", Mend::FromLogs);
                    check.add(fault.about(Target::User(user)).of_mail(whose));
                }
            }
        }
    }
    Ok(users)
}

/// One user's folder.
pub(super) fn user(check: &Check<'_>, user: UserId, name: &str) {
    check.count(What::Users, 1);
    let store = check.store;
    let folder = store.derived.catalog.user_directory(name);
    let whose = |mailbox: &str| Affected { user: name.to_string(), mailbox: mailbox.to_string(), uid: None };
    let is_there = || matches!(store.derived.catalog.name(user), Ok(Some(known)) if known == name);
    match store.find_user(name) {
        Ok(Some(found)) if found == user => (),
        found => {
            // A user in the making has no number yet, one who is deleted none any more.
            let _held = store.take(&[LockKey::Catalog, LockKey::List(user)]);
            let now = store.find_user(name);
            if is_there() && !matches!(now, Ok(Some(found)) if found == user) {
                let path = folder.join("number");
                let found = match found {
                    Ok(Some(other)) => format!("{}", other.0),
                    Ok(None) => "none".to_string(),
                    Err(error) => error.to_string(),
                };
                let fault =
                    Fault::new(FaultKind::Store, &path, 0).that(format!("the number {}", user.0), found);
                let fault = fault.means("nobody finds this user by the name", Mend::FromViews);
                check.add(fault.about(Target::User(user)).of_mail(whose("")));
            }
        }
    }
    let list = match store.mailbox_list(user) {
        Ok(list) => list,
        Err(error) => {
            if is_there()
                && let Some(fault) = Fault::of_error(FaultKind::List, &list_path(&folder), &error)
            {
                let fault = fault.means("none of the user's mailboxes can be found", Mend::FromLogs);
                check.add(fault.about(Target::User(user)).of_mail(whose("")));
            }
            return;
        }
    };
    for fault in beside_folders(check, user, &folder, &list) {
        // A mailbox is made and deleted under its list's lock.
        let _held = store.take(&[LockKey::List(user)]);
        let Ok(list) = store.mailbox_list(user) else { continue };
        if is_there() && beside_folders(check, user, &folder, &list).contains(&fault) {
            check.add(fault);
        }
    }
    unknown(check, &folder, &|name, is_dir| match is_dir {
        true => name.strip_prefix('m').is_some_and(is_number),
        false => matches!(name, "number" | "mailboxes" | "usage"),
    });
}

/// The mailboxes of a list beside the folders.
fn beside_folders(check: &Check<'_>, user: UserId, folder: &Path, list: &MailboxList) -> Vec<Fault> {
    let disk = &check.store.derived.disk;
    let mut faults = Vec::new();
    for entry in list.entries().iter().filter(|entry| !entry.placeholder) {
        let id = MailboxId { user, number: entry.number };
        let path = cells_path(folder, entry.number);
        let wrong = match Mailbox::open(disk, &path, id) {
            Ok(open) if open.uid_validity() == entry.uid_validity => None,
            Ok(open) => Some((entry.uid_validity.to_string(), open.uid_validity().to_string())),
            Err(StoreError::NotFound(_)) => Some(("a cells file".to_string(), "none".to_string())),
            // Told when the mailbox is looked at, unless it is not found there.
            Err(StoreError::Corrupt { offset, what, .. }) => {
                Some(("what was written there".to_string(), format!("{what} (octet {offset})")))
            }
            Err(_) => None,
        };
        if let Some((expected, found)) = wrong {
            let fault = Fault::new(FaultKind::Cells, &path, 0).that(expected, found);
            let fault = fault.means("the mailbox cannot be opened", Mend::FromLogs);
            faults.push(fault.about(Target::Mailbox(id)).of_mail(check.affected(id, None)));
        }
    }
    for entry in disk.read_dir(folder).unwrap_or_default() {
        let Some(number) = entry.name.strip_prefix('m').and_then(|number| number.parse().ok()) else {
            continue;
        };
        let id = MailboxId { user, number };
        if list.by_number(number).is_some() {
            continue;
        }
        let path = cells_path(folder, number);
        // A deleted one stays until its messages were let go of.
        if Mailbox::open(disk, &path, id).is_ok_and(|open| open.is_deleted().is_ok_and(|deleted| !deleted)) {
            let fault = Fault::new(FaultKind::List, &path, 0)
                .that("a mailbox that the list names", "one that it does not");
            faults.push(fault.means("the mailbox is not shown", Mend::FromLogs).about(Target::User(user)));
        }
    }
    faults
}

/// Folders of users that are gone, under the name that the next of that name would get: they are put away before anybody is said to be gone.
pub(super) fn not_put_away(check: &Check<'_>, mailboxes: &[Found]) {
    let store = check.store;
    let catalog = &store.derived.catalog;
    let is_left = |found: &Found| {
        catalog.is_deleted(found.id.user).unwrap_or(false)
            && Mailbox::id_in(&store.derived.disk, &found.cells).ok() == Some(found.id)
    };
    let mut last = None;
    for found in mailboxes.iter().filter(|found| !found.user_is_deleted) {
        let user = found.id.user;
        if last == Some(user) || !is_left(found) {
            continue;
        }
        last = Some(user);
        let _held = store.take(&[LockKey::Catalog]);
        if is_left(found) {
            let folder = found.cells.ancestors().nth(2).unwrap_or(&found.cells);
            let fault = Fault::new(FaultKind::Store, folder, 0)
                .that("no folder of a user who is gone", format!("that of number {}", user.0))
                .means("its space is not given back, and nobody can have the name", Mend::FromViews);
            check.add(fault.about(Target::User(user)));
        }
    }
}

/// Files that are not the store's, where everybody's are.
pub(super) fn folders(check: &Check<'_>) {
    let store = check.store;
    unknown(check, store.path(), &|name, is_dir| match is_dir {
        true => matches!(name, "p0" | "lost+found"),
        false => matches!(name, "FORMAT" | "state" | "catalog" | "reserve" | "reserve-views"),
    });
    let partition = store.path().join("p0");
    unknown(check, &partition, &|name, is_dir| match is_dir {
        true => matches!(name, "pages" | "users"),
        false => {
            matches!(name, "rebuild" | COLLECTED) || name.strip_prefix("checkpoint.").is_some_and(is_number)
        }
    });
    for page in store.pages.all().unwrap_or_default() {
        unknown(check, &store.pages.folder(page), &|name, is_dir| {
            !is_dir
                && (matches!(name, "directory" | close::MARK)
                    || name.strip_prefix("records.").is_some_and(is_number)
                    || crate::log::LogName::parse(page, name).is_some())
        });
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

/// Notes what is in `folder` and not known.
fn unknown(check: &Check<'_>, folder: &Path, is_known: &dyn Fn(&str, bool) -> bool) {
    for entry in check.store.derived.disk.read_dir(folder).unwrap_or_default() {
        if is_known(&entry.name, entry.is_dir) {
            continue;
        }
        let path = folder.join(&entry.name);
        let left = [".new", ".damaged", ".rewritten", ".packed"].iter().any(|end| entry.name.ends_with(end));
        let found = if left { "one that was left behind" } else { "one that is not known" };
        let fault = Fault::new(FaultKind::Unknown, &path, 0).that("no file of this name", found);
        // What is being made at this moment is gone when it is looked for again.
        check.store.derived.disk.pause_ms(2);
        if check.store.derived.disk.exists(&path) {
            check.add(fault.means("it takes space", Mend::NotNeeded).note());
        }
    }
}
