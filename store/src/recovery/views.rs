//! What a failed sync has left behind of the views: the system may believe that it is on the disk, and a later sync, which goes well, does not write it.
//! So recovery puts all views once more where they are, as far as frames behind a checkpoint say what was in them; then its own sync writes them.
//!
//! Lists, numbers of users and checkpoints are not among them: each takes its name when it was synced. Records are believed by their checksums, or made
//! again. Rows of usage are believed by the epoch, which is the same after the store was left clean, and no log says which mailboxes have one: so none
//! counts any more, and who needs them makes them again.

use crate::annotations;
use crate::derived::Derived;
use crate::error::{Result, StoreError};
use crate::gc::walk::walk;
use crate::log::logs;

/// Writes catalog, directories and mailboxes, with annotations, as they are, and forgets what users have. With the store to itself.
pub(super) fn put_again(derived: &Derived) -> Result<()> {
    let mut files = vec![derived.catalog.path().to_path_buf()];
    let pages = derived.pages.all()?;
    files.extend(pages.into_iter().map(|page| derived.pages.folder(page).join("directory")));
    let found = walk(&derived.disk, derived.catalog.users_folder())?;
    for mailbox in found.mailboxes {
        files.push(annotations::file::path(&mailbox.cells));
        files.push(mailbox.cells);
    }
    for file in files {
        match logs::put_again(&derived.disk, &file, 0..u64::MAX) {
            Err(StoreError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => (),
            put => drop(put?),
        }
    }
    for (_, name) in derived.catalog.users()? {
        derived.usages.forget_all(&derived.catalog.user_directory(&name))?;
    }
    Ok(())
}
