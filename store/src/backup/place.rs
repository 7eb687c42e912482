//! Puts a backup in place as a store: its logs, a label, and a state that has the first opener make everything else.

use std::io;
use std::path::Path;

use crate::backup::Progress;
use crate::backup::copy::copy_range;
use crate::backup::folder::{BackupFolder, absolute};
use crate::backup::manifest::Entry;
use crate::backup::verify::complete;
use crate::date::page_name;
use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::log::FrameWalk;
use crate::state::{Left, State};

/// What becomes of the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceHow {
    /// They are copied: the store is on its own.
    Copy,
    /// They are shared with the backup: the store is for reading, opened with `Background::Manual`, while [`Placed`] is held, and then removed. Where
    /// that cannot be, they are copied.
    Link,
}

/// A backup in place as a store. While this is held, no backup is made into the folder that it came from.
#[derive(Debug)]
pub struct Placed {
    /// The moment of which the backup is, seconds since 1970.
    pub seconds: u64,
    _held: BackupFolder,
}

/// Makes a store in `folder`, which must be missing or empty, of the backup in `backup`. It is not opened. As a copy, it is to the first opener a store whose machine went
/// down at the moment of the backup: every message is verified, and UIDs and modseqs that may have been given out since are skipped.
///
/// Errors: `Unusable` if there is no backup or the folder is not empty, `Busy` if a backup is being made, `Io`, `Corrupt`.
pub fn lay_out(
    disk: &Disk,
    backup: &Path,
    folder: &Path,
    how: PlaceHow,
    progress: &mut dyn FnMut(Progress),
) -> Result<Placed> {
    let held = BackupFolder::for_reading(disk, &absolute(backup)?)?;
    let manifest = complete(disk, &held)?;
    disk.make_folder(folder).map_err(StoreError::io(folder, "make"))?;
    let names = disk.read_dir(folder).map_err(StoreError::io(folder, "read"))?;
    if let Some(other) = names.first() {
        let reason = format!("it is not empty (there is {:?}); choose an empty or a new folder", other.name);
        return Err(StoreError::Unusable { path: folder.to_path_buf(), reason });
    }
    let pages = folder.join("p0").join("pages");
    disk.make_folder(&pages).map_err(StoreError::io(&pages, "make"))?;
    let mut shown = Progress { done_octets: 0, total_octets: manifest.entries.iter().map(|e| e.len).sum() };
    for entry in &manifest.entries {
        let from = entry.path(&held.path);
        let page = pages.join(page_name(entry.name.page));
        disk.create_dir_all(&page).map_err(StoreError::io(&page, "make"))?;
        let to = page.join(entry.name.file_name());
        if how == PlaceHow::Link && link(disk, entry, &from, &to)? {
            shown.done_octets += entry.len;
            progress(shown);
            continue;
        }
        copy(disk, entry, &from, &to, &mut |octets| {
            shown.done_octets += octets;
            progress(shown);
        })?;
    }
    let state = State {
        boot_id: "of-the-backup".to_string(),
        epoch: manifest.epoch,
        left: if how == PlaceHow::Copy { Left::Open } else { Left::Clean },
        locks_id: 0,
        locks_path: folder.join("locks"),
    };
    state.write(disk, folder)?;
    disk.sync_file_system(folder).map_err(StoreError::io(folder, "sync"))?;
    // Last: without it this is no store.
    let format = folder.join("FORMAT");
    let text = crate::state::format_text(manifest.store_id);
    disk.replace_file(&format, text.as_bytes()).map_err(StoreError::io(&format, "write"))?;
    Ok(Placed { seconds: manifest.seconds, _held: held })
}

/// Gives the backup's file one more name. False if that cannot be, or if the file has more than the backup: then only a copy can be cut.
fn link(disk: &Disk, entry: &Entry, from: &Path, to: &Path) -> Result<bool> {
    let len = disk.metadata(from).map_err(StoreError::io(from, "look at"))?.len();
    Ok(len == entry.len && disk.hard_link(from, to).is_ok())
}

fn copy(disk: &Disk, entry: &Entry, from: &Path, to: &Path, passed: &mut dyn FnMut(u64)) -> Result<()> {
    let source = disk.open(from).map_err(StoreError::io(from, "open"))?;
    let target = disk.create_new(to).map_err(StoreError::io(to, "make"))?;
    let len = source.len().map_err(StoreError::io(from, "look at"))?;
    if len < entry.len {
        let error = io::Error::from(io::ErrorKind::UnexpectedEof);
        return Err(StoreError::io(from, "read")(error));
    }
    let mut unread = FrameWalk::new(0, 0);
    copy_range((&source, from), (&target, to), 0, entry.len, &mut unread, passed).map(drop)
}
