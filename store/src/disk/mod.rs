//! The one seam between the store and the machine: files, folders, syncs, the clock and random numbers. What `store` does to its folder, it does
//! through a [`Disk`].
//!
//! A disk is the operating system's ([`Disk::real`]) or, with the feature `simulation`, one that knows what of it a power cut would leave
//! (`simulated`). Which of them is decided by an enum, so that the real one costs nothing.
//!
//! Outside of the seam are what lies in the runtime folder, which is memory and no disk (`locks.rs`, the writers file of `state.rs`), and the
//! loads and stores of mapped files (`mapping.rs`), which a simulated disk sees because it compares contents.

mod file;
mod mutation;
mod real;
pub(crate) mod relief;
#[cfg(feature = "simulation")]
pub mod simulated;
mod sizes;
pub(crate) mod spare;

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use crate::ids::PageId;
use real::RealDisk;

pub use file::DiskFile;
pub use mutation::Mutation;
pub use sizes::Sizes;

/// Where a store lives. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Disk(Backend);

#[derive(Clone, Debug)]
enum Backend {
    Real(RealDisk),
    #[cfg(feature = "simulation")]
    Simulated(simulated::SimulatedDisk),
}

impl Default for Disk {
    fn default() -> Disk {
        Disk::real()
    }
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name, without the folder's. One that is no UTF-8 is not the store's; octets that are none are replaced.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// Calls the method of the same name of whichever disk it is.
macro_rules! of_backend {
    ($disk:expr, $method:ident($($argument:expr),*)) => {
        match &$disk {
            Backend::Real(disk) => disk.$method($($argument),*),
            #[cfg(feature = "simulation")]
            Backend::Simulated(disk) => disk.$method($($argument),*),
        }
    };
}

impl Disk {
    /// The operating system's.
    pub const fn real() -> Disk {
        Disk(Backend::Real(RealDisk { clock: None }))
    }

    /// The operating system's, but for the clock: it is what `clock` says, in seconds since 1970. For tests of what takes days.
    #[doc(hidden)]
    pub const fn real_with_clock(clock: &'static AtomicU64) -> Disk {
        Disk(Backend::Real(RealDisk { clock: Some(clock) }))
    }

    /// Opens a file for reading.
    pub fn open(&self, path: &Path) -> io::Result<DiskFile> {
        of_backend!(self.0, open(path))
    }

    /// Opens a file for reading and writing. It must be there.
    pub fn open_writable(&self, path: &Path) -> io::Result<DiskFile> {
        of_backend!(self.0, open_writable(path))
    }

    /// Makes a file, for reading and writing. It must not be there.
    pub fn create_new(&self, path: &Path) -> io::Result<DiskFile> {
        of_backend!(self.0, create_new(path))
    }

    /// Opens a file for reading and writing, or makes an empty one. What it holds stays.
    pub fn open_or_create(&self, path: &Path) -> io::Result<DiskFile> {
        of_backend!(self.0, open_or_create(path))
    }

    /// Makes an empty file, for reading and writing, or empties the one that is there.
    pub fn create_or_empty(&self, path: &Path) -> io::Result<DiskFile> {
        let file = self.open_or_create(path)?;
        file.set_len(0)?;
        Ok(file)
    }

    /// All octets of a file.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let mut bytes = Vec::new();
        // One more than there is, so that a file that does not change meanwhile is read by one call and one that finds its end.
        let mut room = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)? + 1;
        loop {
            let start = bytes.len();
            bytes.resize(start + room, 0);
            let read = file.read_up_to(&mut bytes[start..], start as u64)?;
            bytes.truncate(start + read);
            if read < room {
                return Ok(bytes);
            }
            room = room.max(4096);
        }
    }

    /// Replaces the file at `path` by `bytes`, so that after a power cut either all of the old or all of the new is there. The caller
    /// sees to it that nobody else replaces it at the same time.
    pub fn replace_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".new");
        let new = path.with_file_name(name);
        let file = self.create_or_empty(&new)?;
        file.write_all_at(bytes, 0)?;
        file.sync_all()?;
        self.rename(&new, path)?;
        self.sync_folder_of(path)
    }

    /// Gives a file or folder another name; a file that had that name loses it.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        of_backend!(self.0, rename(from, to))
    }

    /// Gives a file one more name. Nothing may have that name.
    pub fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
        of_backend!(self.0, hard_link(file, name))
    }

    /// Takes a name from a file.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        of_backend!(self.0, remove_file(path))
    }

    /// Makes a folder in one that is there.
    pub fn create_dir(&self, folder: &Path) -> io::Result<()> {
        of_backend!(self.0, create_dir(folder))
    }

    /// Makes a folder and those above it. Their names are not synced.
    pub fn create_dir_all(&self, folder: &Path) -> io::Result<()> {
        self.create_folders(folder, &|_| Ok(()))
    }

    /// Makes a folder and those above it, the names of the new ones durable.
    pub fn make_folder(&self, folder: &Path) -> io::Result<()> {
        self.create_folders(folder, &|made| self.sync_folder_of(made))
    }

    fn create_folders(&self, folder: &Path, made: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<()> {
        if self.is_dir(folder) {
            return Ok(());
        }
        if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
            self.create_folders(above, made)?;
        }
        match self.create_dir(folder) {
            Ok(()) => made(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes a folder and all in it.
    pub fn remove_dir_all(&self, folder: &Path) -> io::Result<()> {
        of_backend!(self.0, remove_dir_all(folder))
    }

    /// The names in a folder, sorted.
    pub fn read_dir(&self, folder: &Path) -> io::Result<Vec<DirEntry>> {
        of_backend!(self.0, read_dir(folder))
    }

    /// Whether something has that name; false as well if it cannot be found out.
    pub fn exists(&self, path: &Path) -> bool {
        self.metadata(path).is_ok()
    }

    /// Whether that is a folder; false as well if it cannot be found out.
    pub fn is_dir(&self, path: &Path) -> bool {
        self.metadata(path).is_ok_and(|metadata| metadata.is_dir())
    }

    /// What `stat` says.
    pub fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        of_backend!(self.0, metadata(path))
    }

    /// Makes the names in a folder durable.
    pub fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        of_backend!(self.0, sync_folder(folder))
    }

    /// Makes the name `path` durable, and all others in its folder.
    pub fn sync_folder_of(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(folder) if folder.as_os_str().is_empty() => self.sync_folder(Path::new(".")),
            Some(folder) => self.sync_folder(folder),
            None => Ok(()),
        }
    }

    /// Makes durable all that was written to the file system of `path`, names and mapped files included.
    pub fn sync_file_system(&self, path: &Path) -> io::Result<()> {
        of_backend!(self.0, sync_file_system(path))
    }

    /// Seconds since 1970 now, 0 before.
    pub fn now_seconds(&self) -> u64 {
        of_backend!(self.0, now_seconds())
    }

    /// Waits while others do something. On a simulated disk, where all is done by one thread, nobody does.
    pub fn pause_ms(&self, milliseconds: u64) {
        of_backend!(self.0, pause_ms(milliseconds));
    }

    /// The page of today.
    pub fn today(&self) -> PageId {
        PageId(u32::try_from(self.now_seconds() / 86_400).unwrap_or(u32::MAX))
    }

    /// A random number.
    pub fn random_number(&self) -> crate::error::Result<u64> {
        of_backend!(self.0, random_number())
    }

    /// Whether the store is to do wrong here what `mutation` says. Never, but on a simulated disk that was made so. For a simulated process it is
    /// also a place at which it may be killed.
    pub fn mutated(&self, mutation: Mutation) -> bool {
        of_backend!(self.0, mutated(mutation))
    }

    /// How long logs and views grow, and in which steps.
    pub fn sizes(&self) -> &Sizes {
        of_backend!(self.0, sizes())
    }
}

#[cfg(test)]
mod tests;
