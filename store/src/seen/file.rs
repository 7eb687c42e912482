//! The file `seen.<reader>` beside a mailbox's cells: read whole, replaced whole. Drawn in `FORMAT.md`, "What readers have seen".
//!
//! The file is written beside, synced, and renamed, so that there is always a whole one or none. Its modification time says the highest modseq in its nanoseconds, so that
//! two files never look the same to `stat`.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use super::runs::{Mark, SeenRuns};
use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, ModSeq, UserId};
use crate::in_hand::Mutex;

const MAGIC: &[u8; 8] = b"LODESEN1";
const HEAD_BYTES: usize = 32;
const RUN_BYTES: usize = 16;
const CRC_BYTES: usize = 4;
/// More than the longest file that can be made: a run for each second of the cells that a mailbox may have.
const LONGEST_FILE_BYTES: u64 = 1 << 31;
const SEEN: u64 = 1 << 63;
const NANOSECONDS: u64 = 1_000_000_000;

/// Whose file it is.
pub(crate) type Key = (MailboxId, UserId);

/// What the files of a mailbox begin with; the reader's number follows.
pub(crate) const NAME: &str = "seen.";

/// Where what `reader` has seen is, in the folder of the mailbox with these cells.
pub(crate) fn path(cells: &Path, reader: UserId) -> PathBuf {
    cells.with_file_name(format!("{NAME}{}", reader.0))
}

/// The reader whose file has that name.
pub(crate) fn reader_of(name: &str) -> Option<UserId> {
    let number = name.strip_prefix(NAME)?;
    let is_number = !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit());
    number.parse().ok().filter(|_| is_number).map(UserId)
}

fn encode((mailbox, reader): Key, runs: &SeenRuns) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + runs.len() * RUN_BYTES + CRC_BYTES);
    bytes.extend_from_slice(MAGIC);
    for number in [mailbox.user.0, mailbox.number, reader.0, runs.len() as u32] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.resize(HEAD_BYTES, 0);
    for (first, last, mark) in runs.all() {
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&last.to_le_bytes());
        let seen = if mark.seen { SEEN } else { 0 };
        bytes.extend_from_slice(&(mark.modseq.0 & !SEEN | seen).to_le_bytes());
    }
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// What is wrong, and where.
type Fault = (usize, &'static str);

fn decode(bytes: &[u8], (mailbox, reader): Key) -> std::result::Result<SeenRuns, Fault> {
    let Some((body, crc)) = bytes.split_last_chunk::<CRC_BYTES>() else { return Err((0, "the file is cut")) };
    if !body.starts_with(MAGIC) || body.len() < HEAD_BYTES {
        return Err((0, "this does not say what a reader has seen"));
    }
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err((body.len(), "the checksum of what a reader has seen is wrong"));
    }
    let (head, rest) = body.split_at(HEAD_BYTES);
    let numbers: Vec<u32> = head[MAGIC.len()..].chunks_exact(4).filter_map(number).collect();
    if numbers[..3] != [mailbox.user.0, mailbox.number, reader.0] {
        return Err((MAGIC.len(), "this is another reader's, or of another mailbox"));
    }
    if rest.len() != numbers[3] as usize * RUN_BYTES {
        return Err((MAGIC.len() + 12, "there are not as many runs as the file says"));
    }
    let mut runs = SeenRuns::default();
    for (place, bytes) in rest.chunks_exact(RUN_BYTES).enumerate() {
        let word = bytes.last_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
        let mark = Mark { seen: word & SEEN != 0, modseq: ModSeq(word & !SEEN) };
        let ends = number(&bytes[..4]).zip(number(&bytes[4..8]));
        if !ends.is_some_and(|(first, last)| runs.push(first, last, mark)) {
            return Err((HEAD_BYTES + place * RUN_BYTES, "the runs are not in order"));
        }
    }
    Ok(runs)
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Replaces the file. Under the mailbox's lock.
pub(crate) fn write(disk: &Disk, path: &Path, key: Key, runs: &SeenRuns) -> Result<()> {
    let temporary = path.with_extension(format!("{}.new", key.1.0));
    let file = disk.create_or_empty(&temporary).map_err(StoreError::io(&temporary, "create"))?;
    file.write_all_at(&encode(key, runs), 0).map_err(StoreError::io(&temporary, "write"))?;
    let time = Duration::new(disk.now_seconds(), (runs.highest_modseq().0 % NANOSECONDS) as u32);
    file.set_modified(UNIX_EPOCH + time).map_err(StoreError::io(&temporary, "date"))?;
    file.sync_all().map_err(StoreError::io(&temporary, "sync"))?;
    disk.rename(&temporary, path).map_err(StoreError::io(path, "put in place"))
}

fn read(path: &Path, file: &DiskFile, key: Key) -> Result<SeenRuns> {
    let length = file.len().map_err(StoreError::io(path, "look at"))?;
    if length > LONGEST_FILE_BYTES {
        return Err(StoreError::corrupt(path, LONGEST_FILE_BYTES, "the file is too long"));
    }
    let mut bytes = vec![0; length as usize];
    let read = file.read_up_to(&mut bytes, 0).map_err(StoreError::io(path, "read"))?;
    bytes.truncate(read);
    decode(&bytes, key).map_err(|(offset, what)| StoreError::corrupt(path, offset as u64, what))
}

/// What tells one file of that name from another: inode, size, modification time.
type Stamp = (u64, u64, i64, i64);

fn stamp_of(metadata: &std::fs::Metadata) -> Stamp {
    (metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec())
}

/// What one reader has seen of one mailbox, as this process read it last; read again when the file was replaced. One `stat` an access.
#[derive(Debug)]
pub(crate) struct CachedSeen {
    disk: Disk,
    path: PathBuf,
    key: Key,
    last: Mutex<Option<(Stamp, Arc<SeenRuns>)>>,
}

impl CachedSeen {
    /// Nothing is read yet.
    pub(crate) fn new(disk: &Disk, cells: &Path, key: Key) -> CachedSeen {
        CachedSeen { disk: disk.clone(), path: path(cells, key.1), key, last: Mutex::new(None) }
    }

    /// What there is now; nothing if there is no file.
    pub(crate) fn get(&self) -> Result<Arc<SeenRuns>> {
        let metadata = match self.disk.metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(StoreError::io(&self.path, "look at")(error)),
        };
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((stamp, runs)) = last
            && stamp == stamp_of(&metadata)
        {
            return Ok(runs);
        }
        // The stamp of the very file that is read: another may have taken its place since.
        let file = match self.disk.open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Arc::default()),
            file => file.map_err(StoreError::io(&self.path, "open"))?,
        };
        let stamp = stamp_of(&file.metadata().map_err(StoreError::io(&self.path, "look at"))?);
        let runs = Arc::new(read(&self.path, &file, self.key)?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((stamp, Arc::clone(&runs)));
        Ok(runs)
    }

    /// Replaces what there is. Under the mailbox's lock.
    pub(crate) fn put(&self, runs: &SeenRuns) -> Result<()> {
        write(&self.disk, &self.path, self.key, runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::tests::{ID, uid};

    const KEY: Key = (ID, UserId(7));

    fn some() -> SeenRuns {
        let mut runs = SeenRuns::default();
        runs.set(uid(1), uid(9), Mark { seen: true, modseq: ModSeq(5) });
        runs.set(uid(4), uid(4), Mark { seen: false, modseq: ModSeq(6) });
        runs.set(uid(20), uid(u32::MAX), Mark { seen: true, modseq: ModSeq(1 << 62) });
        runs
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let cached = CachedSeen::new(&Disk::real(), &folder.path().join("cells"), KEY);
        assert_eq!(*cached.get().expect("read"), SeenRuns::default());
        let mut runs = some();
        cached.put(&runs).expect("written");
        let first = cached.get().expect("read");
        assert_eq!(*first, runs);
        assert!(Arc::ptr_eq(&first, &cached.get().expect("read again")));
        for modseq in 10..20 {
            runs.set(uid(4), uid(4), Mark { seen: modseq % 2 == 0, modseq: ModSeq(modseq) });
            cached.put(&runs).expect("written");
            assert_eq!(*cached.get().expect("read"), runs);
        }
        assert_eq!(reader_of("seen.7"), Some(UserId(7)));
        for name in ["seen.", "seen.x", "seen.+7", "seen.7.new", "cells"] {
            assert_eq!(reader_of(name), None, "{name}");
        }
    }

    #[test]
    fn damaged_octets_are_told() {
        let whole = encode(KEY, &some());
        assert_eq!(decode(&whole, KEY), Ok(some()));
        assert!(decode(&whole, (ID, UserId(8))).is_err());
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            assert!(decode(&bytes, KEY).is_err(), "{place}");
            assert!(decode(&whole[..place], KEY).is_err(), "{place}");
            // Whole by its checksum, but senseless.
            bytes.truncate(bytes.len() - CRC_BYTES);
            let crc = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&crc.to_le_bytes());
            let _ = decode(&bytes, KEY);
        }
    }
}
