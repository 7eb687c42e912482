//! Reads messages and their records: exactly the range asked for, through a bounded cache of open files.
//!
//! Buckets and record files are read by `pread`, never mapped: one that was cut short is an error with file and offset.
//!
//! No octet of a message leaves this module unverified. A message of one block is read whole and compared with the content hash
//! of its directory cell; of a longer one, the blocks that hold the range are, with checksums that lie behind its record
//! (`blocks`); what is lent for `sendfile` is verified before it is sent (`range`).

pub(crate) mod blocks;
mod range;

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use message::Scanner;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::content::blocks::{BLOCK_BYTES, BlockSummer, first_damaged, split_sums};
use crate::disk::DiskFile;
use crate::error::{Result, StoreError};
use crate::ids::{MessageId, PageId};
use crate::log::frame::FRAME_HEAD_BYTES;
use crate::page::PageFile;
use crate::page::directory::{CellState, Directory, MessagePlace, RecordPlace};
use crate::store::Store;
pub use range::FileRange;
pub(crate) use range::KnownDamage;
use range::{VERIFIED_WHEN_LENT_BYTES, Verification};

/// Octets of a message read at a time when it is analysed.
const ANALYSE_STEP_BYTES: u64 = 256 * 1024;
/// Most octets of records read ahead at a time.
const READ_AHEAD_MOST_BYTES: u64 = 256 * 1024;
const READ_AHEAD_FIRST_BYTES: u64 = 8 * 1024;
/// A record longer than this was not written by us.
const RECORD_MOST_BYTES: u32 = 64 << 20;
const WRONG_HASH: &str = "the octets of a message are not those that were stored: their hash is another";
const WRONG_BLOCK: &str =
    "the octets of a message are not those that were stored: a block's checksum is another";

/// Where a message is, copied out of its directory cell and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The message.
    pub id: MessageId,
    /// RFC822.SIZE in octets.
    pub size: u64,
    /// Octets of the header with the empty line behind it.
    pub header_size: u32,
    /// XXH3 of all octets: the same for the same message.
    pub content_hash: u64,
    bucket: PageFile,
    content_offset: u64,
}

impl StoredMessage {
    fn new(id: MessageId, place: &MessagePlace) -> StoredMessage {
        StoredMessage {
            id,
            size: place.content_len,
            header_size: place.header_size,
            content_hash: place.content_hash,
            bucket: PageFile::Bucket { page: id.page, writer: place.writer, number: place.bucket },
            content_offset: place.frame_offset + FRAME_HEAD_BYTES,
        }
    }

    /// Whether the content hash is all there is to verify it by.
    fn is_of_one_block(&self) -> bool {
        self.size <= BLOCK_BYTES
    }
}

/// Hashes octets the way [`StoredMessage::content_hash`] does: equal octets have equal hashes, and different ones of one length by chance once
/// in 2^64. It is no defence against somebody who wants two messages to look the same.
#[derive(Clone, Default)]
pub struct ContentHasher(Xxh3Default);

impl ContentHasher {
    /// Nothing is hashed yet.
    pub fn new() -> ContentHasher {
        ContentHasher::default()
    }

    /// Takes the next octets.
    pub fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    /// The hash of all octets taken.
    pub fn digest(&self) -> u64 {
        self.0.digest()
    }
}

impl Store {
    /// Where a message is.
    ///
    /// Errors: `Gone` if its content was given back to the disk, `NotFound` if it never was durable, `Withheld` if it is not to be read.
    pub fn message(&self, id: MessageId) -> Result<StoredMessage> {
        self.withheld.begin(id)?;
        stored_message(&*self.pages.directory(id.page)?, id)
    }

    /// Content and records of these messages are not to be read from now on, of no others: reading them is known to do harm.
    pub fn withhold(&self, messages: HashSet<MessageId>) {
        self.withheld.set(messages);
    }

    /// Appends the octets `range` of a message to `into` (clipped to the message), verified: whole blocks are read, by one `pread`.
    ///
    /// Errors: `Corrupt` with the place, if the message is damaged there; `into` is as it was.
    pub fn read_range(&self, message: &StoredMessage, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        self.withheld.begin(message.id)?;
        let before = into.len();
        let read = self.read_verified(message, &range, into);
        if read.is_err() {
            into.truncate(before);
        }
        match read {
            Ok(()) => Ok(()),
            // The message may have been moved to another bucket, or let go of, meanwhile.
            Err(error) => match self.message(message.id)? {
                there if there == *message => Err(error),
                there => self.read_verified(&there, &range, into),
            },
        }
    }

    fn read_verified(&self, message: &StoredMessage, range: &Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        let end = range.end.min(message.size);
        if range.start >= end {
            return Ok(());
        }
        let before = into.len();
        // What is read: the blocks that hold the range.
        let start = range.start / BLOCK_BYTES * BLOCK_BYTES;
        let read_end = if message.is_of_one_block() {
            message.size
        } else {
            end.next_multiple_of(BLOCK_BYTES).min(message.size)
        };
        let sums = if message.is_of_one_block() { Vec::new() } else { self.block_sums(message)? };
        let file = self.pages.file(message.bucket)?;
        self.counters.preads.add(1);
        self.counters.bucket_bytes_read.add(read_end - start);
        let at = message.content_offset + start;
        read_exactly(&file, at, read_end - start, into)
            .map_err(|error| self.reading(message.bucket, at, error))?;
        let octets = &into[before..];
        let damaged = if message.is_of_one_block() {
            (xxh3_64(octets) != message.content_hash).then_some((0, WRONG_HASH))
        } else {
            let block = first_damaged(octets, start / BLOCK_BYTES, &sums);
            block.map(|block| (block * BLOCK_BYTES, WRONG_BLOCK))
        };
        if let Some((at, what)) = damaged {
            let path = self.pages.path(message.bucket);
            return Err(StoreError::corrupt(&path, message.content_offset + at, what));
        }
        let (skip, len) = ((range.start - start) as usize, (end - range.start) as usize);
        if skip > 0 {
            into.copy_within(before + skip..before + skip + len, before);
        }
        into.truncate(before + len);
        Ok(())
    }

    /// The octets `range` of a message as a range of its bucket (clipped to the message). Its first megabytes are verified here, the
    /// others before they are sent ([`FileRange::verified`]).
    ///
    /// Errors: as [`Store::read_range`].
    pub fn file_range(&self, message: &StoredMessage, range: Range<u64>) -> Result<FileRange> {
        match self.lend(message, &range) {
            Ok(lent) => Ok(lent),
            Err(error) => match self.message(message.id)? {
                there if there == *message => Err(error),
                there => self.lend(&there, &range),
            },
        }
    }

    fn lend(&self, message: &StoredMessage, range: &Range<u64>) -> Result<FileRange> {
        let end = range.end.min(message.size);
        let start = range.start.min(end);
        let sums = if start == end {
            Vec::new()
        } else if message.is_of_one_block() {
            vec![self.sum_of_one_block(message)?]
        } else {
            self.block_sums(message)?
        };
        let (content_offset, size) = (message.content_offset, message.size);
        let path = self.pages.path(message.bucket);
        let damage = Arc::clone(&self.known_damage);
        let is_damaged = damage.is_in(&path, content_offset, content_offset + size);
        let directory = self.pages.directory(message.id.page)?;
        let verification =
            Arc::new(Verification { path, content_offset, size, sums, damage, directory, id: message.id });
        let file = self.pages.file(message.bucket)?;
        let len = end - start;
        self.counters.bucket_bytes_lent.add(len);
        let mut lent = FileRange::new(file, content_offset + start, len, verification);
        lent.verify(if is_damaged { len } else { VERIFIED_WHEN_LENT_BYTES })?;
        Ok(lent)
    }

    /// The checksum of a message that needs none of its own.
    fn sum_of_one_block(&self, message: &StoredMessage) -> Result<u32> {
        let mut octets = Vec::new();
        self.read_verified(message, &(0..message.size), &mut octets)?;
        Ok(crc32c::crc32c(&octets))
    }

    /// The checksums of the blocks of a message, from behind its record; made again if that is lost.
    fn block_sums(&self, message: &StoredMessage) -> Result<Vec<u32>> {
        let place = self.pages.directory(message.id.page)?.record(message.id.index)?;
        if let Some(stored) = place.and_then(|place| self.stored_record(message.id.page, &place))
            && let Some((_, sums)) = split_sums(&stored, message.size)
        {
            return Ok(sums);
        }
        let stored = self.analyse(message)?;
        Ok(split_sums(&stored, message.size).map(|(_, sums)| sums).unwrap_or_default())
    }

    /// A record with what lies behind it, if it is whole.
    pub(crate) fn stored_record(&self, page: PageId, place: &RecordPlace) -> Option<Vec<u8>> {
        if place.len > RECORD_MOST_BYTES {
            return None;
        }
        let file = self.pages.file(PageFile::Records { page, writer: place.writer }).ok()?;
        let mut bytes = Vec::new();
        self.counters.preads.add(1);
        read_exactly(&file, place.offset, u64::from(place.len), &mut bytes).ok()?;
        (crc32c::crc32c(&bytes) == place.crc).then_some(bytes)
    }

    /// The encoded record of one message (`message::Record` reads it), analysed from the bucket when it is missing or damaged.
    pub fn record(&self, id: MessageId) -> Result<Vec<u8>> {
        let mut reader = self.records();
        reader.ahead_first = 0;
        Ok(reader.record(id)?.to_vec())
    }

    /// For reading the records of many messages, best in the order in which they came.
    pub fn records(&self) -> RecordReader<'_> {
        RecordReader {
            store: self,
            directory: None,
            file: None,
            start: 0,
            window: Vec::new(),
            ahead_first: READ_AHEAD_FIRST_BYTES,
            ahead: READ_AHEAD_FIRST_BYTES,
            found: 0..0,
            single: None,
            current: None,
        }
    }

    /// Reads a message once more, against its content hash, and keeps what it says for the next reader: the record, and the
    /// checksums of its blocks behind it.
    pub(crate) fn analyse(&self, message: &StoredMessage) -> Result<Vec<u8>> {
        self.counters.reanalysed.add(1);
        let mut scanner = Scanner::new();
        let mut hasher = ContentHasher::new();
        let mut summer = BlockSummer::default();
        let mut buffer = Vec::new();
        let mut at = 0;
        let file = self.pages.file(message.bucket)?;
        while at < message.size {
            buffer.clear();
            let step = ANALYSE_STEP_BYTES.min(message.size - at);
            let offset = message.content_offset + at;
            self.counters.preads.add(1);
            self.counters.bucket_bytes_read.add(step);
            read_exactly(&file, offset, step, &mut buffer)
                .map_err(|error| self.reading(message.bucket, offset, error))?;
            scanner.push(&buffer);
            hasher.update(&buffer);
            summer.push(&buffer);
            at += step;
        }
        if hasher.digest() != message.content_hash {
            let path = self.pages.path(message.bucket);
            return Err(StoreError::corrupt(&path, message.content_offset, WRONG_HASH));
        }
        let mut record = message::encode(&scanner.finish());
        summer.append_to(&mut record);
        // Only a service to the next reader: a full disk is no reason not to answer this one.
        let page = message.id.page;
        if let Ok(place) = self.own_records.append(&self.pages, page, &record) {
            self.pages.directory(page)?.set_record(message.id.index, &place)?;
        }
        Ok(record)
    }

    fn reading(&self, file: PageFile, offset: u64, error: io::Error) -> StoreError {
        reading(&self.pages.path(file), offset, error)
    }
}

fn stored_message(directory: &Directory, id: MessageId) -> Result<StoredMessage> {
    match directory.place_and_state(id.index)? {
        Some((place, CellState::InUse)) => Ok(StoredMessage::new(id, &place)),
        Some(_) => Err(StoreError::Gone(id)),
        None => Err(StoreError::NotFound("message")),
    }
}

fn reading(path: &Path, offset: u64, error: io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        StoreError::corrupt(path, offset, "the file ends within what it should hold")
    } else {
        StoreError::io(path, "read")(error)
    }
}

/// Reads the records of many messages, with read-ahead: one `pread` serves the records of neighbours.
pub struct RecordReader<'store> {
    store: &'store Store,
    /// The directory of the page that was asked for last.
    directory: Option<(PageId, Arc<Directory>)>,
    /// The file that the window is of.
    file: Option<PageFile>,
    /// The window's place in the file.
    start: u64,
    window: Vec<u8>,
    /// How much to read when it is not known how reading will go on.
    ahead_first: u64,
    /// How much to read next; doubled while reading goes on forwards.
    ahead: u64,
    /// Where in the window the record asked for is …
    found: Range<usize>,
    /// … unless it had to be made.
    single: Option<Vec<u8>>,
    /// Whose record that is. Asked for again it is there: FETCH asks once for each of its items.
    current: Option<MessageId>,
}

impl RecordReader<'_> {
    /// The encoded record of a message (`message::Record` reads it), analysed from the bucket when it is missing or damaged. It is
    /// borrowed until the next call.
    pub fn record(&mut self, id: MessageId) -> Result<&[u8]> {
        self.load(id)?;
        Ok(match &self.single {
            Some(record) => record,
            None => &self.window[self.found.clone()],
        })
    }

    fn load(&mut self, id: MessageId) -> Result<()> {
        self.store.withheld.begin(id)?;
        if self.current == Some(id) {
            return Ok(());
        }
        (self.current, self.single) = (None, None);
        self.store.counters.record_reads.add(1);
        let directory = match self.directory.take() {
            Some((page, directory)) if page == id.page => directory,
            _ => self.store.pages.directory(id.page)?,
        };
        let place = directory.record(id.index)?;
        let message = stored_message(&directory, id)?;
        self.directory = Some((id.page, directory));
        let found = match place {
            Some(place) if place.len <= RECORD_MOST_BYTES => self.find(id, &place),
            _ => None,
        };
        let sums_len = blocks::sums_len(message.size);
        match found {
            Some(found) if found.len() >= sums_len => self.found = found.start..found.end - sums_len,
            _ => {
                let mut record = self.store.analyse(&message)?;
                record.truncate(record.len().saturating_sub(sums_len));
                self.single = Some(record);
            }
        }
        self.current = Some(id);
        Ok(())
    }

    /// The record's place in the window, which is moved there if need be. `None` if the file does not hold it.
    fn find(&mut self, id: MessageId, place: &RecordPlace) -> Option<Range<usize>> {
        let file = PageFile::Records { page: id.page, writer: place.writer };
        let end = place.offset.checked_add(u64::from(place.len))?;
        let window_end = self.start + self.window.len() as u64;
        if self.file != Some(file) || place.offset < self.start || end > window_end {
            let goes_on = self.file == Some(file)
                && place.offset >= self.start
                && place.offset <= window_end + READ_AHEAD_MOST_BYTES;
            self.ahead = if goes_on { (self.ahead * 4).min(READ_AHEAD_MOST_BYTES) } else { self.ahead_first };
            self.fill(file, place.offset, self.ahead.max(u64::from(place.len)))?;
        }
        let from = usize::try_from(place.offset - self.start).ok()?;
        let range = from..from + place.len as usize;
        let bytes = self.window.get(range.clone())?;
        (crc32c::crc32c(bytes) == place.crc).then_some(range)
    }

    fn fill(&mut self, file: PageFile, offset: u64, len: u64) -> Option<()> {
        self.file = None;
        let open = self.store.pages.file(file).ok()?;
        self.window.resize(usize::try_from(len).ok()?, 0);
        self.store.counters.preads.add(1);
        let read = open.read_up_to(&mut self.window, offset).ok()?;
        self.store.counters.record_bytes_read.add(read as u64);
        self.window.truncate(read);
        (self.file, self.start) = (Some(file), offset);
        Some(())
    }
}

/// Appends exactly `len` octets from `offset` to `into`; on an error `into` is as it was.
fn read_exactly(file: &DiskFile, offset: u64, len: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let before = into.len();
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
    into.resize(before + len, 0);
    let read = file.read_exact_at(&mut into[before..], offset);
    if read.is_err() {
        into.truncate(before);
    }
    read
}
