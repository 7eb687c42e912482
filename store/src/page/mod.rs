//! Page folders: everything of one calendar day. Directories, buckets and record files are opened on demand and kept in bounded
//! caches.
//!
//! - `directory`: the 64-byte cells, one a message
//! - `records`: what this process appends to record files

pub(crate) mod directory;
pub(crate) mod records;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cache::Cache;
use crate::date::{page_name, parse_page_name};
use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StoreError};
use crate::ids::PageId;
use crate::log::{LogKind, LogName};
use crate::page::directory::Directory;

const OPEN_FILES_MOST: usize = 128;
const OPEN_DIRECTORIES_MOST: usize = 64;

/// A file of a page that is read by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PageFile {
    /// A bucket.
    Bucket { page: PageId, writer: u16, number: u32 },
    /// The records that a writer made.
    Records { page: PageId, writer: u16 },
}

/// The page folders of the store.
#[derive(Debug)]
pub(crate) struct Pages {
    disk: Disk,
    root: PathBuf,
    files: Cache<PageFile, DiskFile>,
    directories: Cache<PageId, Directory>,
    /// The epoch as of which the counts of a directory that is made now are right; 0 while they would not be.
    counted_epoch: AtomicU32,
}

impl Pages {
    pub(crate) fn new(disk: &Disk, root: PathBuf) -> Pages {
        Pages {
            disk: disk.clone(),
            root,
            files: Cache::new(OPEN_FILES_MOST),
            directories: Cache::new(OPEN_DIRECTORIES_MOST),
            counted_epoch: AtomicU32::new(0),
        }
    }

    /// Closes the files that nobody uses.
    pub(crate) fn give_back_files(&self) {
        self.files.clear_unused();
        self.directories.clear_unused();
    }

    /// The disk that they are on.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Recovery is over: every reference in a page that is made from now on is counted as it comes, in `epoch`. A directory
    /// that recovery makes again is not so, for the mailbox cells that it counts for may be there already.
    pub(crate) fn count_from_now_on(&self, epoch: u32) {
        self.counted_epoch.store(epoch, Ordering::Relaxed);
    }

    /// The folder that holds the page folders.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of `page`.
    pub(crate) fn folder(&self, page: PageId) -> PathBuf {
        self.root.join(page_name(page))
    }

    /// Where `file` is.
    pub(crate) fn path(&self, file: PageFile) -> PathBuf {
        match file {
            PageFile::Bucket { page, writer, number } => {
                let name = LogName { page, kind: LogKind::Bucket, writer, number };
                self.folder(page).join(name.file_name())
            }
            PageFile::Records { page, writer } => self.folder(page).join(format!("records.{writer}")),
        }
    }

    /// `file`, open for reading.
    pub(crate) fn file(&self, file: PageFile) -> Result<Arc<DiskFile>> {
        self.files.get_or(file, || {
            let path = self.path(file);
            self.disk.open(&path).map_err(StoreError::io(&path, "open"))
        })
    }

    /// The directory of `page`, which is made if it is missing.
    pub(crate) fn directory(&self, page: PageId) -> Result<Arc<Directory>> {
        let counted_epoch = self.counted_epoch.load(Ordering::Relaxed);
        self.directories
            .get_or(page, || Directory::open_or_create(&self.disk, &self.folder(page), page, counted_epoch))
    }

    /// Forgets a bucket that was unlinked; whoever uses it keeps it.
    pub(crate) fn forget_bucket(&self, log: LogName) {
        self.files.forget(PageFile::Bucket { page: log.page, writer: log.writer, number: log.number });
    }

    /// Lets go of files that somebody unlinked, so that their space comes back.
    pub(crate) fn forget_unlinked(&self) {
        use std::os::unix::fs::MetadataExt;
        self.files.retain(|file| file.metadata().map_or(true, |metadata| metadata.nlink() > 0));
    }

    /// Whether `page` has a directory.
    pub(crate) fn has_directory(&self, page: PageId) -> bool {
        self.disk.exists(&self.folder(page).join("directory"))
    }

    /// Forgets all open directories.
    pub(crate) fn forget_directories(&self) {
        self.directories.clear();
    }

    /// All pages there are, ascending.
    pub(crate) fn all(&self) -> Result<Vec<PageId>> {
        let mut pages = Vec::new();
        for entry in self.disk.read_dir(&self.root).map_err(StoreError::io(&self.root, "read"))? {
            pages.extend(parse_page_name(&entry.name));
        }
        pages.sort_unstable();
        Ok(pages)
    }
}
