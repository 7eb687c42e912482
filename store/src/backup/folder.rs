//! The folder that a backup is in: whose it is, and who works in it. The file `BACKUP` says the one and carries the lock for the other.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StoreError};
use crate::state::lock_bytes;

const FIRST_LINE: &str = "lode backup folder 1";

/// A backup's folder, held.
#[derive(Debug)]
pub(super) struct BackupFolder {
    pub(super) path: PathBuf,
    pub(super) store_id: u64,
    /// Carries the lock.
    _claim: DiskFile,
}

impl BackupFolder {
    /// Holds the folder for a backup of the store `store_id`, and makes it if it is missing or empty. Nobody else makes or reads a backup there
    /// meanwhile.
    ///
    /// Errors: `Unusable` if it is another store's or holds something else, `Busy` if somebody has it.
    pub(super) fn for_backup(disk: &Disk, path: &Path, store_id: u64) -> Result<BackupFolder> {
        disk.make_folder(path).map_err(StoreError::io(path, "make"))?;
        let label = path.join("BACKUP");
        if !disk.exists(&label) {
            let names = disk.read_dir(path).map_err(StoreError::io(path, "read"))?;
            // What a first backup leaves that was cut short at once.
            if let Some(other) = names.iter().find(|entry| entry.name != "BACKUP.new") {
                let reason = format!(
                    "this is no backup, and not empty (there is {:?}); choose an empty or a new folder",
                    other.name
                );
                return Err(StoreError::Unusable { path: path.to_path_buf(), reason });
            }
            let text = format!("{FIRST_LINE}\nstore {store_id:016x}\n");
            disk.replace_file(&label, text.as_bytes()).map_err(StoreError::io(&label, "write"))?;
        }
        let folder = BackupFolder::hold(disk, path, libc::F_WRLCK)?;
        if folder.store_id != store_id {
            let reason = "there is the backup of another store in it; choose another folder".to_string();
            return Err(StoreError::Unusable { path: path.to_path_buf(), reason });
        }
        Ok(folder)
    }

    /// Holds the folder for reading the backup that is in it: none is made there meanwhile.
    pub(super) fn for_reading(disk: &Disk, path: &Path) -> Result<BackupFolder> {
        BackupFolder::hold(disk, path, libc::F_RDLCK)
    }

    fn hold(disk: &Disk, path: &Path, lock: libc::c_int) -> Result<BackupFolder> {
        let label = path.join("BACKUP");
        let no_backup = || {
            let reason = "there is no backup in it".to_string();
            StoreError::Unusable { path: path.to_path_buf(), reason }
        };
        let open = if lock == libc::F_WRLCK { disk.open_writable(&label) } else { disk.open(&label) };
        let claim = match open {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_backup()),
            open => open.map_err(StoreError::io(&label, "open"))?,
        };
        if !lock_bytes(claim.file(), lock, 0, 1).map_err(StoreError::io(&label, "lock"))? {
            return Err(StoreError::Busy("the backup, which another process works on,"));
        }
        let bytes = disk.read(&label).map_err(StoreError::io(&label, "read"))?;
        let store_id = parse(&bytes).ok_or_else(|| StoreError::corrupt(&label, 0, "whose backup this is"))?;
        Ok(BackupFolder { path: path.to_path_buf(), store_id, _claim: claim })
    }
}

fn parse(bytes: &[u8]) -> Option<u64> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    if lines.next()? != FIRST_LINE {
        return None;
    }
    u64::from_str_radix(lines.next()?.strip_prefix("store ")?, 16).ok()
}

/// The id of the store in `folder`, from its file `FORMAT`.
pub(super) fn store_id(disk: &Disk, folder: &Path) -> Result<u64> {
    let path = folder.join("FORMAT");
    let bytes = disk.read(&path).map_err(StoreError::io(&path, "read"))?;
    let id = crate::state::store_id(&bytes);
    id.ok_or_else(|| StoreError::corrupt(&path, 0, "the store's id"))
}

/// The absolute path of a folder of which the last parts may be missing yet.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    let whole = std::path::absolute(path).map_err(StoreError::io(path, "look at"))?;
    for above in whole.ancestors() {
        if let Ok(real) = above.canonicalize() {
            let rest = whole.strip_prefix(above).unwrap_or(Path::new(""));
            return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
        }
    }
    Ok(whole)
}
