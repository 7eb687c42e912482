//! Small files that are replaced as a whole, and the folders they are in.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::error::{Result, StoreError};

/// Replaces the file at `path` by `bytes`, so that after a power cut either all of the old or all of the new is there. The caller
/// sees to it that nobody else replaces it at the same time.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let new = path.with_file_name(name);
    let written = (|| {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_folder_of(path)
    })();
    written.map_err(StoreError::io(path, "write"))
}

/// Makes the names in the folder of `path` durable.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Makes a folder and those above it, their names durable.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folder(above)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => sync_folder_of(folder).map_err(StoreError::io(folder, "sync")),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::io(folder, "make")(error)),
    }
}

/// A random number from the kernel.
pub(crate) fn random_number() -> Result<u64> {
    use std::io::Read;
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 8];
    File::open(path)
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(StoreError::io(path, "read"))?;
    Ok(u64::from_ne_bytes(bytes))
}
