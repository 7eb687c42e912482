//! Finds the mailboxes that there are on the disk, those of deleted users among them. Lists do not name the deleted ones, so folders are
//! looked through.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::cells_path;
use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, ModSeq};
use crate::locks::Held;
use crate::mailbox::{Mailbox, Raised};
use crate::recovery;
use crate::store::Store;

/// Folders of users may be renamed while they are listed; so often they are listed again.
const TRIES_MOST: usize = 100;

/// A mailbox that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) id: MailboxId,
    pub(crate) cells: PathBuf,
    /// Whether it is in the folder of a deleted user.
    pub(crate) user_is_deleted: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// In order of their numbers.
    pub(crate) mailboxes: Vec<Found>,
    /// Folders of deleted users.
    pub(crate) deleted_users: Vec<PathBuf>,
    /// Files that should be a mailbox's and are not: what is in them is not known.
    pub(crate) damaged: Vec<PathBuf>,
}

/// All mailboxes. One that is made meanwhile may be missing; one that is there all the time is not.
pub(crate) fn walk(disk: &Disk, users: &Path) -> Result<Walk> {
    let mut found = Walk::default();
    for folder in folders(disk, users)?.unwrap_or_default() {
        walk_folder(disk, &users.join(folder), &mut found)?;
    }
    found.mailboxes.sort_by_key(|found| found.id);
    found.mailboxes.dedup_by_key(|found| found.id);
    Ok(found)
}

/// The users of one of the 256 folders. A user who is deleted meanwhile has another folder in it, so it is listed until none is missed.
fn walk_folder(disk: &Disk, folder: &Path, found: &mut Walk) -> Result<()> {
    for _ in 0..TRIES_MOST {
        let mut missed = false;
        let mut here = Walk::default();
        for user in folders(disk, folder)?.unwrap_or_default() {
            let user_is_deleted = user.starts_with(".deleted.");
            let user_folder = folder.join(user);
            let Some(names) = folders(disk, &user_folder)? else {
                missed = true;
                break;
            };
            for name in names.iter().filter(|name| is_mailbox_name(name)) {
                let cells = user_folder.join(name).join("cells");
                match Mailbox::id_in(disk, &cells) {
                    Ok(id) => here.mailboxes.push(Found { id, cells, user_is_deleted }),
                    // A mailbox in the making, or removed meanwhile; or its user was renamed.
                    Err(StoreError::NotFound(_)) => missed |= !disk.is_dir(&user_folder),
                    Err(StoreError::Corrupt { path, .. }) => here.damaged.push(path),
                    Err(error) => return Err(error),
                }
            }
            if user_is_deleted {
                here.deleted_users.push(user_folder);
            }
        }
        if !missed {
            found.mailboxes.extend(here.mailboxes);
            found.deleted_users.extend(here.deleted_users);
            found.damaged.extend(here.damaged);
            return Ok(());
        }
    }
    Err(StoreError::Busy("a folder of users that others keep changing"))
}

/// The folders in `folder`; `None` if it is not there.
fn folders(disk: &Disk, folder: &Path) -> Result<Option<Vec<String>>> {
    match disk.read_dir(folder) {
        Ok(entries) => {
            Ok(Some(entries.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name).collect()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(folder, "read")(error)),
    }
}

fn is_mailbox_name(name: &str) -> bool {
    name.strip_prefix('m')
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit()))
}

/// The mailbox that was found, open, with its lock held; `None` if it was removed. It is of this epoch.
pub(crate) fn open_held(store: &Store, found: &Found, held: &Held<'_>) -> Result<Option<Arc<Mailbox>>> {
    match store.mailbox_held(found.id, held) {
        Err(StoreError::NotFound(_)) => open_deleted(store, found),
        open => open.map(Some),
    }
}

/// A mailbox that was deleted, or whose user was.
fn open_deleted(store: &Store, found: &Found) -> Result<Option<Arc<Mailbox>>> {
    let disk = &store.derived.disk;
    let mut path = found.cells.clone();
    // Its user may have been put away since it was found, and another may have the name.
    if Mailbox::id_in(disk, &path).ok() != Some(found.id)
        && let Some(folder) = store.derived.catalog.folder_put_away(found.id.user)?
    {
        path = cells_path(&folder, found.id.number);
    }
    let open = match Mailbox::open(disk, &path, found.id) {
        Err(StoreError::NotFound(_)) => return Ok(None),
        open => open?,
    };
    if open.epoch() < store.derived.epoch {
        let mut keep = recovery::keeper(&store.derived);
        let seconds = store.derived.now();
        let epoch = store.derived.epoch;
        let raised = open.after_power_cut(epoch, 0, ModSeq(0), seconds, Raised::Durably, &mut keep);
        store.committer.note_sync(raised)?;
    }
    Ok(Some(Arc::new(open)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserId;

    #[test]
    fn mailboxes_of_all_users_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::real();
        let users = folder.path();
        let mut expected = Vec::new();
        for (user, number, path) in
            [(1, 1, "a0/bob/m1"), (1, 12, "a0/bob/m12"), (2, 1, "a0/.deleted.2/m1"), (3, 1, "ff/eve/m1")]
        {
            let id = MailboxId { user: UserId(user), number };
            let cells = users.join(path).join("cells");
            Mailbox::create(&disk, &cells, id, 7, 1).expect("made");
            expected.push(Found { id, cells, user_is_deleted: path.contains(".deleted.") });
        }
        disk.create_dir_all(&users.join("ff/eve/m7")).expect("a mailbox in the making");
        disk.create_dir_all(&users.join("ff/eve/mail")).expect("something else");
        let found = walk(&disk, users).expect("found");
        assert_eq!(found.mailboxes, expected);
        assert_eq!(found.deleted_users, [users.join("a0/.deleted.2")]);
    }
}
