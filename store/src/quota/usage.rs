//! The usage view: for each mailbox of a user what is in it, in one small mapped file, so that nobody must open all mailboxes to
//! know whether a message is one too many. Drawn in `FORMAT.md`, "Usage".
//!
//! Invariants:
//! - A row is stored whenever the counts of its mailbox's header are published, under that mailbox's lock. It says what is there, never a
//!   difference, so that storing it again is harmless; who repairs a mailbox stores its row, too.
//! - A mailbox says in its header whether its row is kept. That is set, under its lock, before the row is first stored; mail for users whose
//!   usage nobody asks for costs no more than the look at that bit.
//! - A row's checksum covers the store's epoch: after a power cut no row counts until it was stored again from a header of the new
//!   epoch. A row that does not count is made again by whoever needs it (`of_store`).
//! - A store that was left clean keeps its epoch, so after a failed sync, which may have dropped a row or the mark of a mailbox that it is kept,
//!   recovery has no row count.
//!
//! `Derived` has all of them; it calls [`Usages::keep`] behind each publication.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::Usage;
use crate::cache::Cache;
use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, UserId};
use crate::mailbox::Mailbox;
use crate::mapping::{LINE_BYTES, Mapping, Region};

/// The file's name in the user's folder.
pub(crate) const FILE_NAME: &str = "usage";
/// Mailboxes whose number is not below this have no row; their headers are looked at instead.
pub(crate) const ROWS_MOST: u32 = 1 << 20;

const MAGIC: u64 = u64::from_le_bytes(*b"LODEUSG1");
const HEADER_BYTES: u64 = LINE_BYTES as u64;
const ROW_BYTES: u64 = 16;
/// The first length of a file: header and 252 rows.
const FIRST_BYTES: u64 = 4096;
/// How often a row is read that seems to be stored just now.
const READ_TRIES: u32 = 100;
/// Files that stay open when nobody uses them.
const OPEN_FILES: usize = 256;

/// The usage files that are open.
#[derive(Debug)]
pub(crate) struct Usages {
    disk: Disk,
    epoch: u32,
    files: Cache<UserId, UsageFile>,
}

impl Usages {
    pub(crate) fn new(disk: &Disk, epoch: u32) -> Usages {
        Usages { disk: disk.clone(), epoch, files: Cache::new(OPEN_FILES) }
    }

    /// Closes the files that nobody uses.
    pub(crate) fn give_back_files(&self) {
        self.files.clear_unused();
    }

    /// The file of a user whose folder is `folder`; `None` if there is none that can be used.
    pub(crate) fn find(&self, user: UserId, folder: &Path) -> Result<Option<Arc<UsageFile>>> {
        let open = || UsageFile::open(&self.disk, &folder.join(FILE_NAME), user, self.epoch);
        match self.files.get_or(user, open) {
            Ok(file) => Ok(Some(file)),
            Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file of a user, made if there is none, made anew in its place if it is damaged. Under the lock of the user's list.
    pub(super) fn find_or_make(&self, user: UserId, folder: &Path) -> Result<Arc<UsageFile>> {
        if let Some(file) = self.find(user, folder)? {
            return Ok(file);
        }
        UsageFile::make(&self.disk, &folder.join(FILE_NAME), user)?;
        self.find(user, folder)?.ok_or(StoreError::NotFound("usage file"))
    }

    /// Stores what is in `open` now, if its row is kept. Under the mailbox's lock. `folder` says where its user's is.
    pub(crate) fn keep(&self, open: &Mailbox, folder: impl FnOnce() -> Result<PathBuf>) -> Result<()> {
        if open.id().number >= ROWS_MOST || !open.is_usage_kept()? {
            return Ok(());
        }
        match self.find_of(open.id().user, folder)? {
            Some(file) => match file.store(open.id().number, usage_of(open)?) {
                // The file would have to grow, so there was no row: what is not known is not wrong.
                Err(error) if error.is_out_of_space() => Ok(()),
                stored => stored,
            },
            None => Ok(()),
        }
    }

    /// The row of a mailbox does not count any more. Needs no lock: at worst it is made once more than it must.
    pub(crate) fn forget(&self, mailbox: MailboxId, folder: impl FnOnce() -> Result<PathBuf>) -> Result<()> {
        match self.find_of(mailbox.user, folder)? {
            Some(file) if mailbox.number < ROWS_MOST => file.forget(mailbox.number),
            _ => Ok(()),
        }
    }

    /// No row of the user whose folder is `folder` counts any more, also after a power cut once the file is on the disk. For who has the
    /// store to itself.
    pub(crate) fn forget_all(&self, folder: &Path) -> Result<()> {
        const STEP_BYTES: u64 = 1 << 16;
        let path = folder.join(FILE_NAME);
        let file = match self.disk.open_writable(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            file => file.map_err(StoreError::io(&path, "open"))?,
        };
        let write = || {
            let (end, zeros) = (file.len()?, [0; STEP_BYTES as usize]);
            for at in (HEADER_BYTES..end).step_by(STEP_BYTES as usize) {
                file.write_all_at(&zeros[..STEP_BYTES.min(end - at) as usize], at)?;
            }
            Ok(())
        };
        // In place: it may be mapped already, and it is as long as it must be.
        write().map_err(StoreError::io(&path, "write"))
    }

    fn find_of(
        &self,
        user: UserId,
        folder: impl FnOnce() -> Result<PathBuf>,
    ) -> Result<Option<Arc<UsageFile>>> {
        match folder() {
            // The user was deleted.
            Err(StoreError::NotFound(_)) => Ok(None),
            folder => self.find(user, &folder?),
        }
    }
}

/// What counts of a mailbox. Exact under its lock.
pub(crate) fn usage_of(open: &Mailbox) -> Result<Usage> {
    if open.is_deleted()? {
        return Ok(Usage::default());
    }
    let status = open.status()?;
    Ok(Usage { octets: status.size, messages: u64::from(status.exists) })
}

/// An open usage file.
#[derive(Debug)]
pub(crate) struct UsageFile {
    user: UserId,
    epoch: u32,
    mapping: Mapping,
}

impl UsageFile {
    fn open(disk: &Disk, path: &Path, user: UserId, epoch: u32) -> Result<UsageFile> {
        let mapping = match Mapping::open(disk, path) {
            Err(StoreError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {
                return Err(StoreError::NotFound("usage file"));
            }
            mapping => mapping?,
        };
        if mapping.len() < HEADER_BYTES || mapping.region().copy_out(0)? != header(user) {
            return Err(StoreError::corrupt(path, 0, "this is not the usage file of the user"));
        }
        Ok(UsageFile { user, epoch, mapping })
    }

    /// In place if there is one: others may have it mapped.
    fn make(disk: &Disk, path: &Path, user: UserId) -> Result<()> {
        let mapping = match Mapping::create(disk, path, FIRST_BYTES) {
            Err(StoreError::Io { error, .. }) if error.kind() == ErrorKind::AlreadyExists => {
                Mapping::open(disk, path)?
            }
            mapping => mapping?,
        };
        mapping.grow(FIRST_BYTES)?.copy_in(0, &header(user))
    }

    /// What the row of a mailbox says; `None` if it does not count.
    pub(crate) fn read(&self, number: u32) -> Option<Usage> {
        let end = place(number) + ROW_BYTES;
        // Another process may have made the file longer.
        let region = self.mapping.ensure_len(end).ok()?;
        for _ in 0..READ_TRIES {
            let row = self.read_once(&region, number).ok()?;
            if row.is_some() {
                return row;
            }
            std::hint::spin_loop();
        }
        None
    }

    fn read_once(&self, region: &Region, number: u32) -> Result<Option<Usage>> {
        let octets = region.load_u64(place(number), Acquire)?;
        let second = region.load_u64(place(number) + 8, Acquire)?;
        let (messages, crc) = (second as u32, (second >> 32) as u32);
        let usage = Usage { octets, messages: u64::from(messages) };
        Ok((self.checksum(number, octets, messages) == crc).then_some(usage))
    }

    /// Stores the row of a mailbox. Under the mailbox's lock.
    ///
    /// Errors: `Io` when the disk is full, never for a row that was stored before.
    pub(super) fn store(&self, number: u32, usage: Usage) -> Result<()> {
        // Rows of other mailboxes are stored under other locks, so the file may grow twice at one time; it only ever gets longer.
        let region = self.mapping.grow(place(number) + ROW_BYTES)?;
        let messages = u32::try_from(usage.messages).unwrap_or(u32::MAX);
        let crc = self.checksum(number, usage.octets, messages);
        // Between the two stores the checksum is wrong, so a reader takes neither.
        region.store_u64(place(number), usage.octets, Release)?;
        region.store_u64(place(number) + 8, u64::from(crc) << 32 | u64::from(messages), Release)
    }

    fn forget(&self, number: u32) -> Result<()> {
        let Ok(region) = self.mapping.ensure_len(place(number) + ROW_BYTES) else { return Ok(()) };
        let octets = region.load_u64(place(number), Acquire)?;
        let wrong = !self.checksum(number, octets, 0);
        region.store_u64(place(number) + 8, u64::from(wrong) << 32, Release)
    }

    fn checksum(&self, number: u32, octets: u64, messages: u32) -> u32 {
        let mut bytes = [0; 24];
        bytes[..4].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.user.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&number.to_le_bytes());
        bytes[12..20].copy_from_slice(&octets.to_le_bytes());
        bytes[20..].copy_from_slice(&messages.to_le_bytes());
        crc32c::crc32c(&bytes)
    }
}

/// Where the row of a mailbox is.
fn place(number: u32) -> u64 {
    HEADER_BYTES + u64::from(number) * ROW_BYTES
}

fn header(user: UserId) -> [u8; LINE_BYTES] {
    let mut bytes = [0; LINE_BYTES];
    bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
    bytes[8..12].copy_from_slice(&user.0.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    const USER: UserId = UserId(7);
    const USAGE: Usage = Usage { octets: 1 << 40, messages: 12 };

    fn made(folder: &Path) -> (Disk, PathBuf) {
        let (disk, path) = (Disk::real(), folder.join(FILE_NAME));
        UsageFile::make(&disk, &path, USER).expect("made");
        (disk, path)
    }

    #[test]
    fn a_row_counts_once_it_was_stored() {
        let folder = tempfile::tempdir().expect("a folder");
        let (disk, path) = made(folder.path());
        let file = UsageFile::open(&disk, &path, USER, 1).expect("opened");
        let other = UsageFile::open(&disk, &path, USER, 1).expect("opened");
        assert_eq!(file.read(1), None);
        file.store(1, USAGE).expect("stored");
        file.store(5000, Usage::default()).expect("stored");
        assert_eq!(other.read(1), Some(USAGE));
        assert_eq!(other.read(2), None);
        assert_eq!(other.read(5000), Some(Usage::default()));
        other.forget(1).expect("stored");
        other.forget(1 << 19).expect("nothing to do");
        assert_eq!(file.read(1), None);
    }

    #[test]
    fn no_row_counts_after_a_power_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        let (disk, path) = made(folder.path());
        UsageFile::open(&disk, &path, USER, 1).expect("opened").store(1, USAGE).expect("stored");
        let after = UsageFile::open(&disk, &path, USER, 2).expect("opened");
        assert_eq!(after.read(1), None);
    }

    #[test]
    fn no_row_counts_after_all_were_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let (disk, path) = made(folder.path());
        let usages = Usages::new(&disk, 1);
        let file = usages.find_or_make(USER, folder.path()).expect("made");
        // The last is so far behind that it is not written over together with the others.
        let numbers = [0, 1, 9000];
        numbers.iter().for_each(|number| file.store(*number, USAGE).expect("stored"));
        usages.forget_all(folder.path()).expect("forgotten");
        let opened = UsageFile::open(&disk, &path, USER, 1).expect("it is its file");
        for number in numbers {
            assert_eq!((file.read(number), opened.read(number)), (None, None), "{number}");
        }
        file.store(9000, USAGE).expect("stored");
        assert_eq!(opened.read(9000), Some(USAGE));
        usages.forget_all(&folder.path().join("nobody")).expect("nothing to do");
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let (disk, path) = made(folder.path());
        let file = UsageFile::open(&disk, &path, USER, 1).expect("opened");
        file.store(1, USAGE).expect("stored");
        let region = file.mapping.region();
        for bit in 0..128 {
            let at = place(1) + bit / 64 * 8;
            let word = region.load_u64(at, Relaxed).expect("mapped");
            region.store_u64(at, word ^ 1 << (bit % 64), Relaxed).expect("mapped");
            assert_eq!(file.read(1), None, "bit {bit}");
            region.store_u64(at, word, Relaxed).expect("mapped");
        }
        assert_eq!(file.read(1), Some(USAGE));
    }

    #[test]
    fn a_damaged_file_is_made_again_where_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let (disk, path) = made(folder.path());
        std::fs::write(&path, b"").expect("emptied");
        let usages = Usages::new(&disk, 1);
        assert!(usages.find(USER, folder.path()).expect("looked for").is_none());
        let file = usages.find_or_make(USER, folder.path()).expect("made");
        file.store(1, USAGE).expect("stored");
        assert!(UsageFile::open(&disk, &path, UserId(8), 1).is_err());
        assert_eq!(usages.find(USER, folder.path()).expect("found").expect("there").read(1), Some(USAGE));
    }
}
