//! The directory of a page: one cell of 64 octets a message, drawn in `FORMAT.md`, "Directory cell". Mapped, shared by all
//! processes.
//!
//! Invariants:
//! - A cell's index is given out once, by an atomic addition; it is never used for another message.
//! - What does not change is stored before the state says that the cell is in use, and has a checksum. Reference count and state
//!   change together, in one exchange; so does the place of the frame, which has a checksum in its own word. The place of the
//!   record changes on its own; a record has a checksum of its own.
//! - A reference count may be too high after a process died, never too low. After a power cut it may be anything until the page
//!   is recounted (`recounted_epoch`).
//! - A cell that was *freed* gets no reference any more and is never in use again.

mod cell;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::ids::{MessageId, PageId};
use crate::mapping::{LINE_BYTES, Line, Mapping, Region};
use cell::CountAndState;

const MAGIC: u64 = u64::from_le_bytes(*b"LODEDIR1");
const HEADER_BYTES: u64 = 4096;
const CELL_BYTES: u64 = LINE_BYTES as u64;
/// So many cells more than the file has may have been given out when its length was lost by a power cut. A header that says more
/// is damaged.
const CELLS_AHEAD_MOST: u64 = 1 << 22;

const HEADER_MAGIC: u64 = 0;
const HEADER_PAGE: u64 = 8;
/// These three are words of eight octets: a number, its complement above it.
const HEADER_GIVEN_OUT: u64 = 16;
const HEADER_RECOUNTED_EPOCH: u64 = 40;
const HEADER_NEXT_BUCKET: u64 = 48;
/// Statistics, which nothing rests on.
const HEADER_COUNTED_MESSAGES: u64 = 24;
const HEADER_COUNTED_OCTETS: u64 = 32;

const NO_MORE: &str = "a number of the directory's head can grow no more";
const WRONG_STATE: &str = "the check of a directory cell's count and state";
/// The count of a cell whose count was damaged, until it is counted: not too low.
const REFERENCES_UNKNOWN: u32 = 1 << 30;

/// Rewritten buckets have numbers from here on.
const FIRST_REWRITTEN_BUCKET: u32 = 32_768;
/// The last number that a place has room for.
const LAST_BUCKET: u32 = 65_535;

/// What a cell says of its message.
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

/// What a cell is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellState {
    /// For nothing yet; it may have been given out.
    Free,
    /// For a message.
    InUse,
    /// For a message that was never made durable.
    Lost,
    /// For a message that no mailbox held any more: its content is gone, or may be at any time.
    Freed,
}

/// Count and state of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CellUse {
    pub(crate) references: u32,
    pub(crate) state: CellState,
    /// Whether a reference was added or dropped since `begin_recount`.
    pub(crate) touched: bool,
    /// Whether the content of a freed message was given back to the disk.
    pub(crate) punched: bool,
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    page: PageId,
    mapping: Mapping,
}

impl Directory {
    /// Opens the directory in `folder`, or makes an empty one there, whose counts are right as of `counted_epoch` (0: suspect).
    pub(crate) fn open_or_create(
        disk: &Disk,
        folder: &Path,
        page: PageId,
        counted_epoch: u32,
    ) -> Result<Directory> {
        let path = folder.join("directory");
        if !disk.exists(&path) {
            disk.make_folder(folder).map_err(StoreError::io(folder, "make"))?;
            create(disk, &path, page, counted_epoch)?;
        }
        let mapping = Mapping::open(disk, &path)?;
        let region = mapping.ensure_len(HEADER_BYTES)?;
        if region.load_u64(HEADER_MAGIC, Ordering::Relaxed)? != MAGIC
            || region.load_u32(HEADER_PAGE, Ordering::Relaxed)? != page.0
        {
            return Err(StoreError::corrupt(&path, 0, "the directory's head"));
        }
        Ok(Directory { page, mapping })
    }

    /// Gives out a new cell; it is free until it is filled.
    pub(crate) fn allocate(&self) -> Result<u32> {
        let index = self.change_number(HEADER_GIVEN_OUT, |given_out| given_out.checked_add(1))?;
        self.check_given_out(index)?;
        self.mapping.grow(offset_of(index) + CELL_BYTES)?;
        match self.cell_use(index)?.state {
            CellState::Free => Ok(index),
            // It would be overwritten.
            _ => Err(self.damaged(HEADER_GIVEN_OUT, "a cell that is in use was not given out")),
        }
    }

    /// Where cell `index` is in the file.
    pub(crate) fn offset_of(index: u32) -> u64 {
        offset_of(index)
    }

    /// Cells given out so far.
    pub(crate) fn given_out(&self) -> Result<u32> {
        let given_out = self.number(HEADER_GIVEN_OUT)?;
        self.check_given_out(given_out)?;
        Ok(given_out)
    }

    /// The file is made as long as the number says.
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
            self.change_number(HEADER_GIVEN_OUT, |given_out| Some(given_out.max(count)))?;
        }
        self.mapping.grow(offset_of(count)).map(drop)
    }

    /// The epoch in which the counts of this page were last known not to be too low.
    pub(crate) fn recounted_epoch(&self) -> Result<u32> {
        // A number that is damaged makes counts suspect, no more.
        Ok(self.number(HEADER_RECOUNTED_EPOCH).unwrap_or(0))
    }

    /// States that no count is too low in `epoch`; 0 makes them suspect.
    pub(crate) fn set_recounted_epoch(&self, epoch: u32) -> Result<()> {
        let word = with_complement(epoch);
        self.mapping.region().store_u64(HEADER_RECOUNTED_EPOCH, word, Ordering::Release)
    }

    /// A number for a bucket that is written anew, at least `least`: one that was not given out before while this file was there.
    pub(crate) fn take_bucket_number(&self, least: u32) -> Result<u32> {
        let next = |seen: u32| {
            let number = seen.max(least).max(FIRST_REWRITTEN_BUCKET);
            (number <= LAST_BUCKET).then_some(number + 1)
        };
        match self.change_number(HEADER_NEXT_BUCKET, next) {
            Ok(seen) => Ok(seen.max(least).max(FIRST_REWRITTEN_BUCKET)),
            Err(StoreError::Corrupt { what: NO_MORE, .. }) => {
                Err(StoreError::Busy("a number for one more log"))
            }
            Err(error) => Err(error),
        }
    }

    fn damaged(&self, offset: u64, what: &'static str) -> StoreError {
        StoreError::corrupt(self.mapping.path(), offset, what)
    }

    /// Whether the numbers of the header are what was stored.
    pub(crate) fn check_numbers(&self) -> Result<()> {
        [HEADER_GIVEN_OUT, HEADER_RECOUNTED_EPOCH, HEADER_NEXT_BUCKET]
            .into_iter()
            .try_for_each(|at| self.number(at).map(drop))
    }

    /// A number of the header.
    fn number(&self, at: u64) -> Result<u32> {
        let word = self.mapping.region().load_u64(at, Ordering::Acquire)?;
        without_complement(word).ok_or_else(|| self.damaged(at, "a number of the directory's head"))
    }

    /// Changes a number of the header; returns what it was. `Corrupt` with `NO_MORE` if `next` has none.
    fn change_number(&self, at: u64, next: impl Fn(u32) -> Option<u32>) -> Result<u32> {
        let region = self.mapping.region();
        loop {
            let seen = self.number(at)?;
            let new = next(seen).ok_or_else(|| self.damaged(at, NO_MORE))?;
            let (old_word, new_word) = (with_complement(seen), with_complement(new));
            if region.compare_exchange_u64(at, old_word, new_word, Ordering::AcqRel)?.is_ok() {
                return Ok(seen);
            }
        }
    }

    /// One delivery more was of a message that was here already, and of so many octets.
    pub(crate) fn note_counted(&self, octets: u64) -> Result<()> {
        let region = self.mapping.region();
        for (at, by) in [(HEADER_COUNTED_MESSAGES, 1), (HEADER_COUNTED_OCTETS, octets)] {
            let mut seen = region.load_u64(at, Ordering::Relaxed)?;
            while let Err(now) =
                region.compare_exchange_u64(at, seen, seen.wrapping_add(by), Ordering::Relaxed)?
            {
                seen = now;
            }
        }
        Ok(())
    }

    /// Deliveries of messages that were here already, and their octets together. Lost with the file.
    pub(crate) fn counted(&self) -> Result<(u64, u64)> {
        let region = self.mapping.region();
        let load = |at| region.load_u64(at, Ordering::Relaxed);
        Ok((load(HEADER_COUNTED_MESSAGES)?, load(HEADER_COUNTED_OCTETS)?))
    }

    /// Says where the message of cell `index` is, unless the cell says so already; doing it twice is doing it once. The cell has
    /// `references` from the start if it was free. A message that was freed stays so.
    pub(crate) fn fill(&self, index: u32, place: &MessagePlace, references: u32) -> Result<()> {
        let region = self.mapping.grow(offset_of(index) + CELL_BYTES)?;
        let line = region.line(offset_of(index))?;
        let packed = cell::pack_place(place).ok_or_else(|| {
            StoreError::corrupt(self.mapping.path(), offset_of(index), "a place that no log has")
        })?;
        let before = count_and_state(line);
        if !before.is_whole() {
            // Whether it was freed and how often it is referred to is not known: it is kept until that was counted.
            self.set_recounted_epoch(0)?;
            let unknown = CountAndState(0).with_state(CellState::InUse).with_references(REFERENCES_UNKNOWN);
            line.store_u64::<{ cell::COUNT_AND_STATE }>(unknown.touched(true).sealed(), Ordering::Release);
        }
        let before = count_and_state(line);
        let is_this = matches!(before.state(), CellState::InUse | CellState::Freed)
            && read_content(line) == Some((place.content_len, place.content_hash, place.header_size));
        if !is_this {
            line.store_u64::<{ cell::CONTENT_LEN }>(place.content_len, Ordering::Relaxed);
            line.store_u64::<{ cell::CONTENT_HASH }>(place.content_hash, Ordering::Relaxed);
            line.store_u32::<{ cell::HEADER_SIZE }>(place.header_size, Ordering::Relaxed);
            let crc = cell::content_crc(place.content_len, place.content_hash, place.header_size);
            line.store_u32::<{ cell::CRC }>(crc, Ordering::Relaxed);
        }
        line.store_u64::<{ cell::PLACE }>(packed, Ordering::Release);
        if is_this {
            return Ok(());
        }
        change(&region, index, |seen| {
            let references = if references > 0 { references } else { seen.references() };
            // A record that an earlier, lost message may have left here is forgotten with it.
            let new = seen.with_references(references).with_state(CellState::InUse);
            Some(new.with_record(None).touched(true))
        })
        .map(drop)
    }

    /// The message of cell `index` is at `to` instead of `from` (the same content). False if it is not, or no longer, at `from`.
    pub(crate) fn move_place(&self, index: u32, from: &MessagePlace, to: &MessagePlace) -> Result<bool> {
        let (Some(old), Some(new)) = (cell::pack_place(from), cell::pack_place(to)) else {
            return Err(StoreError::corrupt(
                self.mapping.path(),
                offset_of(index),
                "a place that no log has",
            ));
        };
        let Some(region) = self.region_with(index)? else {
            return Ok(false);
        };
        let at = offset_of(index) + cell::PLACE as u64;
        Ok(region.compare_exchange_u64(at, old, new, Ordering::AcqRel)?.is_ok())
    }

    /// Where the message of cell `index` is; `None` if the cell is not in use.
    pub(crate) fn place(&self, index: u32) -> Result<Option<MessagePlace>> {
        Ok(self
            .place_and_state(index)?
            .filter(|(_, state)| *state == CellState::InUse)
            .map(|(place, _)| place))
    }

    /// Where the message of cell `index` is or was, in use or freed.
    pub(crate) fn place_and_state(&self, index: u32) -> Result<Option<(MessagePlace, CellState)>> {
        let Some(region) = self.region_with(index)? else {
            return Ok(None);
        };
        let line = region.line(offset_of(index))?;
        let state = self.whole(index, line)?.state();
        if !matches!(state, CellState::InUse | CellState::Freed) {
            return Ok(None);
        }
        let place =
            cell::unpack_place(line.load_u64::<{ cell::PLACE }>(Ordering::Acquire)).zip(read_content(line));
        match place {
            Some(((writer, bucket, frame_offset), (content_len, content_hash, header_size))) => {
                let place =
                    MessagePlace { writer, bucket, frame_offset, content_len, content_hash, header_size };
                Ok(Some((place, state)))
            }
            None => {
                Err(StoreError::corrupt(self.mapping.path(), offset_of(index), "a directory cell's checksum"))
            }
        }
    }

    /// The writer, bucket and frame offset that a cell names whose other words may be damaged, if that word is not.
    pub(crate) fn place_alone(&self, index: u32) -> Result<Option<(u16, u32, u64)>> {
        let Some(region) = self.region_with(index)? else { return Ok(None) };
        let line = region.line(offset_of(index))?;
        Ok(cell::unpack_place(line.load_u64::<{ cell::PLACE }>(Ordering::Acquire)))
    }

    /// States that the message of cell `index` was never made durable and is gone. Recovery only.
    pub(crate) fn mark_lost(&self, index: u32) -> Result<()> {
        let Some(region) = self.region_with(index)? else { return Ok(()) };
        let line = region.line(offset_of(index))?;
        if !count_and_state(line).is_whole() {
            line.store_u64::<{ cell::COUNT_AND_STATE }>(CountAndState(0).sealed(), Ordering::Release);
        }
        let lost = |seen: CountAndState| {
            (seen.state() != CellState::Freed).then(|| seen.with_state(CellState::Lost).with_record(None))
        };
        change(&region, index, lost).map(drop)
    }

    /// The cells below `upto` but for those in use whose writer, bucket and frame offset `is_safe`. For scans of a whole page.
    pub(crate) fn cells_but_those_at(
        &self,
        upto: u32,
        mut is_safe: impl FnMut(u16, u32, u64) -> Result<bool>,
    ) -> Result<Vec<u32>> {
        let region = self.region_of_all(upto)?;
        let mapped = region.len().saturating_sub(HEADER_BYTES) / CELL_BYTES;
        let mut others = Vec::new();
        for index in 0..upto {
            if u64::from(index) < mapped {
                let line = region.line(offset_of(index))?;
                if count_and_state(line).state() == CellState::InUse
                    && let Some((writer, bucket, offset)) =
                        cell::unpack_place(line.load_u64::<{ cell::PLACE }>(Ordering::Acquire))
                    && is_safe(writer, bucket, offset)?
                {
                    continue;
                }
            }
            others.push(index);
        }
        Ok(others)
    }

    /// A region with the cells below `upto`, as far as the file has them.
    fn region_of_all(&self, upto: u32) -> Result<Arc<Region>> {
        match upto.checked_sub(1) {
            Some(last) => Ok(self.region_with(last)?.unwrap_or_else(|| self.mapping.region())),
            None => Ok(self.mapping.region()),
        }
    }

    /// Whether recovery found the message of cell `index` to be gone.
    pub(crate) fn is_lost(&self, index: u32) -> Result<bool> {
        Ok(self.cell_use(index)?.state == CellState::Lost)
    }

    /// Count and state of cell `index`.
    pub(crate) fn cell_use(&self, index: u32) -> Result<CellUse> {
        let seen = match self.region_with(index)? {
            Some(region) => self.whole(index, region.line(offset_of(index))?)?,
            None => CountAndState(0),
        };
        Ok(CellUse {
            references: seen.references(),
            state: seen.state(),
            touched: seen.is_touched(),
            punched: seen.is_punched(),
        })
    }

    fn whole(&self, index: u32, line: Line<'_>) -> Result<CountAndState> {
        let seen = count_and_state(line);
        if seen.is_whole() { Ok(seen) } else { Err(self.damaged(offset_of(index), WRONG_STATE)) }
    }

    /// A count that is damaged is not changed. It is counted when the cell was mended.
    fn unless_damaged(&self, changed: Result<bool>) -> Result<bool> {
        match changed {
            Err(StoreError::Corrupt { what: WRONG_STATE, .. }) => self.set_recounted_epoch(0).map(|()| true),
            changed => changed,
        }
    }

    /// One mailbox cell more points here. Under the lock of that mailbox, before its cell is there.
    ///
    /// Errors: `Gone` if the message was freed.
    pub(crate) fn add_reference(&self, index: u32) -> Result<()> {
        self.add_references(index, 1)
    }

    /// As `add_reference`, for `count` mailbox cells: all of them or none.
    pub(crate) fn add_references(&self, index: u32, count: u32) -> Result<()> {
        let region = self.mapping.grow(offset_of(index) + CELL_BYTES)?;
        let added = change(&region, index, |seen| {
            let references = seen.references().checked_add(count)?;
            (seen.state() != CellState::Freed).then(|| seen.with_references(references).touched(true))
        });
        let added = self.unless_damaged(added)?;
        if added { Ok(()) } else { Err(StoreError::Gone(MessageId { page: self.page, index })) }
    }

    /// One mailbox cell less points here: under the lock of that mailbox, after its cell says so. A count that is 0 already stays.
    pub(crate) fn drop_reference(&self, index: u32) -> Result<()> {
        self.drop_references(index, 1)
    }

    /// As `drop_reference`, for `count` mailbox cells.
    pub(crate) fn drop_references(&self, index: u32, count: u32) -> Result<()> {
        let Some(region) = self.region_with(index)? else {
            return Ok(());
        };
        let less = |seen: CountAndState| {
            Some(seen.with_references(seen.references().saturating_sub(count)).touched(true))
        };
        self.unless_damaged(change(&region, index, less)).map(drop)
    }

    /// Frees the message of cell `index` if no mailbox cell points to it; whether it was done just now. For who knows that the
    /// page's counts are right, and that all mailbox cells of the message's frame have been made.
    pub(crate) fn free_if_unreferenced(&self, index: u32) -> Result<bool> {
        let Some(region) = self.region_with(index)? else {
            return Ok(false);
        };
        change(&region, index, |seen| {
            let free = seen.state() == CellState::InUse && seen.references() == 0;
            free.then(|| seen.with_state(CellState::Freed))
        })
    }

    /// The content of cell `index`, which was freed, was given back to the disk.
    pub(crate) fn mark_punched(&self, index: u32) -> Result<()> {
        let Some(region) = self.region_with(index)? else { return Ok(()) };
        change(&region, index, |seen| (seen.state() == CellState::Freed).then(|| seen.punched())).map(drop)
    }

    /// The content of cell `index` is known to be gone: whatever the count, no mailbox gets the message any more. Recovery only.
    pub(crate) fn mark_freed(&self, index: u32) -> Result<()> {
        let Some(region) = self.region_with(index)? else { return Ok(()) };
        let gone = |seen: CountAndState| Some(seen.with_state(CellState::Freed).with_references(0).punched());
        change(&region, index, gone).map(drop)
    }

    /// From now on *touched* says of cell `index` whether its count was changed. Returns the count.
    pub(crate) fn begin_recount(&self, index: u32) -> Result<u32> {
        let Some(region) = self.region_with(index)? else {
            return Ok(0);
        };
        // What is damaged is not counted; it is when it was mended.
        self.unless_damaged(change(&region, index, |seen| Some(seen.touched(false))))?;
        Ok(count_and_state(region.line(offset_of(index))?).references())
    }

    /// Sets the count of cell `index` to `counted`. False if it was touched since `begin_recount`: what was counted may be wrong.
    pub(crate) fn end_recount(&self, index: u32, counted: u32) -> Result<bool> {
        let Some(region) = self.region_with(index)? else {
            return Ok(true);
        };
        self.unless_damaged(change(&region, index, |seen| {
            let counts = seen.state() != CellState::Freed;
            (!seen.is_touched()).then(|| if counts { seen.with_references(counted) } else { seen })
        }))
    }

    /// How many mailbox cells point here, at most.
    #[cfg(test)]
    pub(crate) fn references(&self, index: u32) -> Result<u32> {
        Ok(self.cell_use(index)?.references)
    }

    /// Where the record of cell `index` is, if the message was analysed. Two processes may store at once, so this may be
    /// the offset of one and the length of the other: the record's checksum tells.
    pub(crate) fn record(&self, index: u32) -> Result<Option<RecordPlace>> {
        let Some(region) = self.region_with(index)? else {
            return Ok(None);
        };
        let line = region.line(offset_of(index))?;
        // Where it is damaged there is no record: one is made again.
        let Some(writer) =
            Some(count_and_state(line)).filter(|seen| seen.is_whole()).and_then(CountAndState::record_writer)
        else {
            return Ok(None);
        };
        Ok(Some(RecordPlace {
            writer,
            offset: line.load_u64::<{ cell::RECORD_OFFSET }>(Ordering::Relaxed),
            len: line.load_u32::<{ cell::RECORD_LEN }>(Ordering::Relaxed),
            crc: line.load_u32::<{ cell::RECORD_CRC }>(Ordering::Relaxed),
        }))
    }

    /// Says where the record of cell `index` is.
    pub(crate) fn set_record(&self, index: u32, record: &RecordPlace) -> Result<()> {
        let region = self.mapping.grow(offset_of(index) + CELL_BYTES)?;
        let line = region.line(offset_of(index))?;
        line.store_u64::<{ cell::RECORD_OFFSET }>(record.offset, Ordering::Relaxed);
        line.store_u32::<{ cell::RECORD_LEN }>(record.len, Ordering::Relaxed);
        line.store_u32::<{ cell::RECORD_CRC }>(record.crc, Ordering::Relaxed);
        change(&region, index, |seen| Some(seen.with_record(Some(record.writer)))).map(drop)
    }

    /// Stores all counts, states and places once more as they are, so that the next sync writes them all.
    pub(crate) fn store_again(&self) -> Result<()> {
        for index in 0..self.given_out()? {
            let Some(region) = self.region_with(index)? else { break };
            let at = offset_of(index) + cell::PLACE as u64;
            let seen = region.load_u64(at, Ordering::Relaxed)?;
            // Whoever changes it meanwhile has stored it.
            let _ = region.compare_exchange_u64(at, seen, seen, Ordering::Relaxed)?;
        }
        Ok(())
    }

    /// Makes the directory durable as it is now.
    pub(crate) fn sync(&self) -> Result<()> {
        self.mapping.sync()
    }

    /// The mapping, if the file holds cell `index`.
    fn region_with(&self, index: u32) -> Result<Option<Arc<Region>>> {
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
fn create(disk: &Disk, path: &Path, page: PageId, counted_epoch: u32) -> Result<()> {
    let mut name = PathBuf::from(path);
    name.set_extension(format!("{:016x}.new", disk.random_number()?));
    let made = (|| {
        let first_bytes = HEADER_BYTES + disk.sizes().directory_first_cells * CELL_BYTES;
        let mapping = Mapping::create(disk, &name, first_bytes)?;
        let region = mapping.region();
        region.store_u32(HEADER_PAGE, page.0, Ordering::Relaxed)?;
        region.store_u64(HEADER_GIVEN_OUT, with_complement(0), Ordering::Relaxed)?;
        region.store_u64(HEADER_RECOUNTED_EPOCH, with_complement(counted_epoch), Ordering::Relaxed)?;
        region.store_u64(HEADER_NEXT_BUCKET, with_complement(0), Ordering::Relaxed)?;
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

/// A number with its complement above it: no flipped bit in it goes unseen.
fn with_complement(number: u32) -> u64 {
    u64::from(number) | u64::from(!number) << 32
}

fn without_complement(word: u64) -> Option<u32> {
    (with_complement(word as u32) == word).then_some(word as u32)
}

fn count_and_state(line: Line<'_>) -> CountAndState {
    CountAndState(line.load_u64::<{ cell::COUNT_AND_STATE }>(Ordering::Acquire))
}

/// Changes count and state of cell `index` in one exchange, unless `new` says `None` to what is there. Whether it was done.
///
/// Errors: `Corrupt` if what is there is damaged.
fn change(region: &Region, index: u32, new: impl Fn(CountAndState) -> Option<CountAndState>) -> Result<bool> {
    let at = offset_of(index) + cell::COUNT_AND_STATE as u64;
    let mut seen = region.load_u64(at, Ordering::Acquire)?;
    loop {
        if !CountAndState(seen).is_whole() {
            return Err(StoreError::corrupt(region.path(), at, WRONG_STATE));
        }
        let Some(new) = new(CountAndState(seen)) else { return Ok(false) };
        match region.compare_exchange_u64(at, seen, new.sealed(), Ordering::AcqRel)? {
            Ok(_) => return Ok(true),
            Err(now) => seen = now,
        }
    }
}

/// Length, hash and header size of the content, if their checksum is right.
fn read_content(line: Line<'_>) -> Option<(u64, u64, u32)> {
    let len = line.load_u64::<{ cell::CONTENT_LEN }>(Ordering::Relaxed);
    let hash = line.load_u64::<{ cell::CONTENT_HASH }>(Ordering::Relaxed);
    let header_size = line.load_u32::<{ cell::HEADER_SIZE }>(Ordering::Relaxed);
    let crc = line.load_u32::<{ cell::CRC }>(Ordering::Relaxed);
    (crc == cell::content_crc(len, hash, header_size)).then_some((len, hash, header_size))
}

#[cfg(test)]
mod tests;
