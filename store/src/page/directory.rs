//! The directory of a page: one cell of 64 octets a message, drawn in `FORMAT.md`, "Directory cell". Mapped, shared by all
//! processes.
//!
//! Invariants:
//! - A cell's index is given out once, by an atomic addition; it is never used for another message.
//! - What does not change is stored before the state says that the cell is in use, and has a checksum. The reference count and
//!   the place of the record change on their own; a record has a checksum of its own.
//! - A reference count may be too high after a crash, never too low.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::ids::PageId;
use crate::mapping::{Line, Mapping, Region};

const MAGIC: u64 = u64::from_le_bytes(*b"LODEDIR1");
const HEADER_BYTES: u64 = 4096;
const CELL_BYTES: u64 = 64;
/// So many cells more than the file has may have been given out when its length was lost by a power cut. A header that says more
/// is damaged.
const CELLS_AHEAD_MOST: u64 = 1 << 22;

const HEADER_MAGIC: u64 = 0;
const HEADER_PAGE: u64 = 8;
const HEADER_GIVEN_OUT: u64 = 12;

const REFERENCES: usize = 0;
const STATE: usize = 4;
const WRITER: usize = 8;
const BUCKET: usize = 12;
const FRAME_OFFSET: usize = 16;
const CONTENT_LEN: usize = 24;
const RECORD_OFFSET: usize = 32;
const RECORD_LEN: usize = 40;
const RECORD_CRC: usize = 44;
const CONTENT_HASH: usize = 48;
const HEADER_SIZE: usize = 56;
const CRC: usize = 60;

const STATE_IN_USE: u32 = 1;
const STATE_LOST: u32 = 2;
const STATE_KIND: u32 = 0xff;
const STATE_ANALYSED: u32 = 1 << 8;
const STATE_RECORD_WRITER: u32 = 16;

/// What a cell says of its message for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessagePlace {
    pub(crate) writer: u16,
    pub(crate) bucket: u32,
    pub(crate) frame_offset: u64,
    pub(crate) content_len: u64,
    pub(crate) content_hash: u64,
    pub(crate) header_size: u32,
}

/// Where a message's record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordPlace {
    pub(crate) writer: u16,
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) crc: u32,
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    mapping: Mapping,
}

impl Directory {
    /// Opens the directory in `folder`, or makes an empty one there.
    pub(crate) fn open_or_create(disk: &Disk, folder: &Path, page: PageId) -> Result<Directory> {
        let path = folder.join("directory");
        if !disk.exists(&path) {
            disk.make_folder(folder).map_err(StoreError::io(folder, "make"))?;
            create(disk, &path, page)?;
        }
        let mapping = Mapping::open(disk, &path)?;
        let region = mapping.ensure_len(HEADER_BYTES)?;
        if region.load_u64(HEADER_MAGIC, Ordering::Relaxed)? != MAGIC
            || region.load_u32(HEADER_PAGE, Ordering::Relaxed)? != page.0
        {
            return Err(StoreError::corrupt(&path, 0, "the directory's head"));
        }
        Ok(Directory { mapping })
    }

    /// Gives out a new cell; it is free until it is filled.
    pub(crate) fn allocate(&self) -> Result<u32> {
        let region = self.mapping.region();
        let index = region.fetch_add_u32(HEADER_GIVEN_OUT, 1, Ordering::Relaxed)?;
        self.check_given_out(index)?;
        self.mapping.grow(offset_of(index) + CELL_BYTES)?;
        Ok(index)
    }

    /// Cells given out so far.
    pub(crate) fn given_out(&self) -> Result<u32> {
        let given_out = self.mapping.region().load_u32(HEADER_GIVEN_OUT, Ordering::Relaxed)?;
        self.check_given_out(given_out)?;
        Ok(given_out)
    }

    /// The number has no checksum, and the file is made as long as it says.
    fn check_given_out(&self, given_out: u32) -> Result<()> {
        let plausible = |len: u64| offset_of(given_out) <= len.saturating_add(CELLS_AHEAD_MOST * CELL_BYTES);
        let path = self.mapping.path();
        if plausible(self.mapping.len())
            || plausible(self.mapping.file().len().map_err(StoreError::io(path, "look at"))?)
        {
            return Ok(());
        }
        Err(StoreError::corrupt(path, HEADER_GIVEN_OUT, "more cells given out than there can be"))
    }

    /// Sees to it that no cell below `count` is given out again. Recovery only.
    pub(crate) fn give_out_from(&self, count: u32) -> Result<()> {
        if self.given_out()? < count {
            self.mapping.region().store_u32(HEADER_GIVEN_OUT, count, Ordering::Relaxed)?;
        }
        self.mapping.grow(offset_of(count)).map(drop)
    }

    /// Says where the message of cell `index` is, unless the cell says so already; doing it twice is doing it once. The cell has
    /// `references` from the start if it was free.
    pub(crate) fn fill(&self, index: u32, place: &MessagePlace, references: u32) -> Result<()> {
        let region = self.mapping.grow(offset_of(index) + CELL_BYTES)?;
        let line = region.line(offset_of(index))?;
        let state = line.load_u32::<STATE>(Ordering::Acquire);
        if state & STATE_KIND == STATE_IN_USE && read_place(line).is_some_and(|there| there == *place) {
            return Ok(());
        }
        if references > 0 {
            line.store_u32::<REFERENCES>(references, Ordering::Relaxed);
        }
        line.store_u64::<WRITER>(u64::from(place.writer) | u64::from(place.bucket) << 32, Ordering::Relaxed);
        line.store_u64::<FRAME_OFFSET>(place.frame_offset, Ordering::Relaxed);
        line.store_u64::<CONTENT_LEN>(place.content_len, Ordering::Relaxed);
        line.store_u64::<CONTENT_HASH>(place.content_hash, Ordering::Relaxed);
        line.store_u32::<HEADER_SIZE>(place.header_size, Ordering::Relaxed);
        line.store_u32::<CRC>(place_crc(place), Ordering::Relaxed);
        // A record that an earlier, lost message may have left here is forgotten with it.
        line.store_u32::<STATE>(STATE_IN_USE, Ordering::Release);
        Ok(())
    }

    /// Where the message of cell `index` is; `None` if the cell is not in use.
    pub(crate) fn place(&self, index: u32) -> Result<Option<MessagePlace>> {
        let Some(region) = self.region_with(index)? else {
            return Ok(None);
        };
        let line = region.line(offset_of(index))?;
        if line.load_u32::<STATE>(Ordering::Acquire) & STATE_KIND != STATE_IN_USE {
            return Ok(None);
        }
        match read_place(line) {
            Some(place) => Ok(Some(place)),
            None => {
                Err(StoreError::corrupt(self.mapping.path(), offset_of(index), "a directory cell's checksum"))
            }
        }
    }

    /// States that the message of cell `index` was never made durable and is gone. Recovery only.
    pub(crate) fn mark_lost(&self, index: u32) -> Result<()> {
        if let Some(region) = self.region_with(index)? {
            region.line(offset_of(index))?.store_u32::<STATE>(STATE_LOST, Ordering::Release);
        }
        Ok(())
    }

    /// Whether recovery found the message of cell `index` to be gone.
    pub(crate) fn is_lost(&self, index: u32) -> Result<bool> {
        let Some(region) = self.region_with(index)? else {
            return Ok(false);
        };
        let state = region.line(offset_of(index))?.load_u32::<STATE>(Ordering::Acquire);
        Ok(state & STATE_KIND == STATE_LOST)
    }

    /// One mailbox cell more points here.
    pub(crate) fn add_reference(&self, index: u32) -> Result<()> {
        let region = self.mapping.grow(offset_of(index) + CELL_BYTES)?;
        region.fetch_add_u32(offset_of(index) + REFERENCES as u64, 1, Ordering::Relaxed).map(drop)
    }

    /// One mailbox cell less points here. A count that is 0 already stays.
    pub(crate) fn drop_reference(&self, index: u32) -> Result<()> {
        let Some(region) = self.region_with(index)? else {
            return Ok(());
        };
        let offset = offset_of(index) + REFERENCES as u64;
        let mut seen = region.load_u32(offset, Ordering::Relaxed)?;
        while seen > 0 {
            match region.compare_exchange_u32(offset, seen, seen - 1, Ordering::Relaxed)? {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        Ok(())
    }

    /// How many mailbox cells point here, at most.
    #[cfg(test)]
    pub(crate) fn references(&self, index: u32) -> Result<u32> {
        self.region_with(index)?
            .map_or(Ok(0), |region| region.load_u32(offset_of(index) + REFERENCES as u64, Ordering::Relaxed))
    }

    /// Where the record of cell `index` is, if the message was analysed. Two processes may store at once, so this may be
    /// the offset of one and the length of the other: the record's checksum tells.
    pub(crate) fn record(&self, index: u32) -> Result<Option<RecordPlace>> {
        let Some(region) = self.region_with(index)? else {
            return Ok(None);
        };
        let line = region.line(offset_of(index))?;
        let state = line.load_u32::<STATE>(Ordering::Acquire);
        if state & STATE_ANALYSED == 0 {
            return Ok(None);
        }
        Ok(Some(RecordPlace {
            writer: (state >> STATE_RECORD_WRITER) as u16,
            offset: line.load_u64::<RECORD_OFFSET>(Ordering::Relaxed),
            len: line.load_u32::<RECORD_LEN>(Ordering::Relaxed),
            crc: line.load_u32::<RECORD_CRC>(Ordering::Relaxed),
        }))
    }

    /// Says where the record of cell `index` is.
    pub(crate) fn set_record(&self, index: u32, record: &RecordPlace) -> Result<()> {
        let region = self.mapping.grow(offset_of(index) + CELL_BYTES)?;
        let line = region.line(offset_of(index))?;
        line.store_u64::<RECORD_OFFSET>(record.offset, Ordering::Relaxed);
        line.store_u32::<RECORD_LEN>(record.len, Ordering::Relaxed);
        line.store_u32::<RECORD_CRC>(record.crc, Ordering::Relaxed);
        let at = offset_of(index) + STATE as u64;
        let mut seen = line.load_u32::<STATE>(Ordering::Relaxed);
        loop {
            let new = seen & STATE_KIND | STATE_ANALYSED | u32::from(record.writer) << STATE_RECORD_WRITER;
            match region.compare_exchange_u32(at, seen, new, Ordering::AcqRel)? {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
    }

    /// The mapping, if the file holds cell `index`.
    fn region_with(&self, index: u32) -> Result<Option<std::sync::Arc<Region>>> {
        let end = offset_of(index) + CELL_BYTES;
        let region = self.mapping.region();
        if region.len() >= end {
            return Ok(Some(region));
        }
        // Another process may have made the file longer.
        let path = self.mapping.path();
        let len = self.mapping.file().len().map_err(StoreError::io(path, "look at"))?;
        if len < end { Ok(None) } else { self.mapping.ensure_len(end).map(Some) }
    }
}

/// Makes an empty directory under `path`, unless another process is faster: the file appears whole or not at all.
fn create(disk: &Disk, path: &Path, page: PageId) -> Result<()> {
    let mut name = PathBuf::from(path);
    name.set_extension(format!("{:016x}.new", disk.random_number()?));
    let made = (|| {
        let first_bytes = HEADER_BYTES + disk.sizes().directory_first_cells * CELL_BYTES;
        let mapping = Mapping::create(disk, &name, first_bytes)?;
        let region = mapping.region();
        region.store_u32(HEADER_PAGE, page.0, Ordering::Relaxed)?;
        region.store_u64(HEADER_MAGIC, MAGIC, Ordering::Relaxed)?;
        // Else a power cut could leave the name without the header: a damaged view, and all logs to be replayed.
        mapping.sync()?;
        match disk.hard_link(&name, path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(StoreError::io(path, "create")(error))
            }
            _ => Ok(()),
        }
    })();
    let _ = disk.remove_file(&name);
    made
}

fn offset_of(index: u32) -> u64 {
    HEADER_BYTES + u64::from(index) * CELL_BYTES
}

fn read_place(line: Line<'_>) -> Option<MessagePlace> {
    let place = MessagePlace {
        writer: line.load_u64::<WRITER>(Ordering::Relaxed) as u16,
        bucket: line.load_u32::<BUCKET>(Ordering::Relaxed),
        frame_offset: line.load_u64::<FRAME_OFFSET>(Ordering::Relaxed),
        content_len: line.load_u64::<CONTENT_LEN>(Ordering::Relaxed),
        content_hash: line.load_u64::<CONTENT_HASH>(Ordering::Relaxed),
        header_size: line.load_u32::<HEADER_SIZE>(Ordering::Relaxed),
    };
    (line.load_u32::<CRC>(Ordering::Relaxed) == place_crc(&place)).then_some(place)
}

/// CRC-32C of octets 8..32 and 48..60 of the cell.
fn place_crc(place: &MessagePlace) -> u32 {
    let mut bytes = [0; 36];
    bytes[0..2].copy_from_slice(&place.writer.to_le_bytes());
    bytes[4..8].copy_from_slice(&place.bucket.to_le_bytes());
    bytes[8..16].copy_from_slice(&place.frame_offset.to_le_bytes());
    bytes[16..24].copy_from_slice(&place.content_len.to_le_bytes());
    bytes[24..32].copy_from_slice(&place.content_hash.to_le_bytes());
    bytes[32..36].copy_from_slice(&place.header_size.to_le_bytes());
    crc32c::crc32c(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> MessagePlace {
        MessagePlace {
            writer: 65,
            bucket: 3,
            frame_offset: 1 << 33,
            content_len: 4096,
            content_hash: u64::MAX,
            header_size: 900,
        }
    }

    #[test]
    fn cells_are_given_out_once_and_tell_what_they_were_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let page = folder.path().join("2026-11-22");
        let one = Directory::open_or_create(&Disk::real(), &page, PageId(9)).expect("made");
        let two = Directory::open_or_create(&Disk::real(), &page, PageId(9)).expect("opened");
        let mut indexes = Vec::new();
        for _ in 0..2000 {
            indexes.push(one.allocate().expect("space"));
            indexes.push(two.allocate().expect("space"));
        }
        assert_eq!(indexes, (0..4000).collect::<Vec<u32>>());
        one.fill(3999, &place(), 2).expect("space");
        one.fill(3999, &place(), 2).expect("again");
        two.add_reference(3999).expect("there");
        one.drop_reference(3999).expect("there");
        assert_eq!(two.place(3999).expect("readable"), Some(place()));
        assert_eq!(two.references(3999).expect("readable"), 2);
        assert_eq!(two.place(0).expect("readable"), None);
        assert_eq!(two.place(u32::MAX).expect("readable"), None);
        assert_eq!(two.record(3999).expect("readable"), None);
        let record = RecordPlace { writer: 2, offset: 77, len: 5, crc: 6 };
        two.set_record(3999, &record).expect("there");
        assert_eq!(one.record(3999).expect("readable"), Some(record));
        assert_eq!(one.place(3999).expect("readable"), Some(place()));
        one.mark_lost(3999).expect("there");
        assert_eq!(two.place(3999).expect("readable"), None);
    }

    #[test]
    fn a_damaged_number_of_cells_fills_no_disk_and_comes_round_to_no_used_cell() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = Directory::open_or_create(&Disk::real(), folder.path(), PageId(9)).expect("made");
        let len = directory.mapping.len();
        for damaged in [u32::MAX, u32::MAX - 1, 1 << 30] {
            let region = directory.mapping.region();
            region.store_u32(HEADER_GIVEN_OUT, damaged, Ordering::Relaxed).expect("there");
            assert!(matches!(directory.given_out(), Err(StoreError::Corrupt { .. })), "{damaged}");
            assert!(matches!(directory.give_out_from(damaged), Err(StoreError::Corrupt { .. })), "{damaged}");
            assert!(matches!(directory.allocate(), Err(StoreError::Corrupt { .. })), "{damaged}");
            assert_eq!(directory.mapping.file().len().expect("there"), len);
        }
    }

    #[test]
    fn a_damaged_cell_and_a_foreign_file_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = Directory::open_or_create(&Disk::real(), folder.path(), PageId(9)).expect("made");
        directory.fill(0, &place(), 1).expect("space");
        let region = directory.mapping.region();
        region.store_u64(offset_of(0) + FRAME_OFFSET as u64, 1, Ordering::Relaxed).expect("there");
        assert!(matches!(directory.place(0), Err(StoreError::Corrupt { offset: 4096, .. })));
        assert!(Directory::open_or_create(&Disk::real(), folder.path(), PageId(8)).is_err());
    }
}
