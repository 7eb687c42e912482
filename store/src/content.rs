//! Reads messages and their records: exactly the range asked for, through a bounded cache of open files.
//!
//! Buckets and record files are read by `pread`, never mapped: one that was cut short is an error with file and offset.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use message::Scanner;
use xxhash_rust::xxh3::Xxh3Default;

use crate::disk::DiskFile;
use crate::error::{Result, StoreError};
use crate::ids::MessageId;
use crate::log::frame::FRAME_HEAD_BYTES;
use crate::page::PageFile;
use crate::page::directory::{CellState, MessagePlace, RecordPlace};
use crate::store::Store;

/// Octets of a message read at a time when it is analysed.
const ANALYSE_STEP_BYTES: u64 = 256 * 1024;
/// Most octets of records read ahead at a time.
const READ_AHEAD_MOST_BYTES: u64 = 256 * 1024;
const READ_AHEAD_FIRST_BYTES: u64 = 8 * 1024;
/// A record longer than this was not written by us.
const RECORD_MOST_BYTES: u32 = 64 << 20;

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

    /// The part of `range` that the message has, as a range of the bucket.
    fn in_bucket(&self, range: Range<u64>) -> Range<u64> {
        let end = range.end.min(self.size);
        let start = range.start.min(end);
        self.content_offset + start..self.content_offset + end
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

/// A range of an open file, for `sendfile`.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The bucket.
    pub file: Arc<File>,
    /// First octet.
    pub offset: u64,
    /// Octets from there.
    pub len: u64,
}

impl Store {
    /// Where a message is.
    ///
    /// Errors: `Gone` if its content was given back to the disk, `NotFound` if it never was durable.
    pub fn message(&self, id: MessageId) -> Result<StoredMessage> {
        match self.pages.directory(id.page)?.place_and_state(id.index)? {
            Some((place, CellState::InUse)) => Ok(StoredMessage::new(id, &place)),
            Some(_) => Err(StoreError::Gone(id)),
            None => Err(StoreError::NotFound("message")),
        }
    }

    /// Appends the octets `range` of a message to `into`, by one `pread` of exactly the range (clipped to the message).
    pub fn read_range(&self, message: &StoredMessage, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        let range = message.in_bucket(range);
        let len = range.end - range.start;
        if len == 0 {
            return Ok(());
        }
        let file = self.pages.file(message.bucket)?;
        self.counters.preads.add(1);
        self.counters.bucket_bytes_read.add(len);
        read_exactly(&file, range.start, len, into)
            .map_err(|error| self.reading(message.bucket, range.start, error))
    }

    /// The octets `range` of a message as a range of its bucket (clipped to the message).
    pub fn file_range(&self, message: &StoredMessage, range: Range<u64>) -> Result<FileRange> {
        let range = message.in_bucket(range);
        let file = self.pages.file(message.bucket)?;
        let len = range.end - range.start;
        self.counters.bucket_bytes_lent.add(len);
        Ok(FileRange { file: Arc::clone(file.file()), offset: range.start, len })
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
            file: None,
            start: 0,
            window: Vec::new(),
            ahead_first: READ_AHEAD_FIRST_BYTES,
            ahead: READ_AHEAD_FIRST_BYTES,
            found: 0..0,
            single: None,
        }
    }

    /// Reads a message once more, and keeps what it says for the next reader.
    fn analyse(&self, id: MessageId) -> Result<Vec<u8>> {
        let message = self.message(id)?;
        self.counters.reanalysed.add(1);
        let mut scanner = Scanner::new();
        let mut buffer = Vec::new();
        let mut at = 0;
        while at < message.size {
            buffer.clear();
            self.read_range(&message, at..at + ANALYSE_STEP_BYTES, &mut buffer)?;
            scanner.push(&buffer);
            at += buffer.len() as u64;
        }
        let record = message::encode(&scanner.finish());
        // Only a service to the next reader: a full disk is no reason not to answer this one.
        if let Ok(place) = self.own_records.append(&self.pages, id.page, &record) {
            self.pages.directory(id.page)?.set_record(id.index, &place)?;
        }
        Ok(record)
    }

    fn reading(&self, file: PageFile, offset: u64, error: io::Error) -> StoreError {
        let path = self.pages.path(file);
        if error.kind() == io::ErrorKind::UnexpectedEof {
            StoreError::corrupt(&path, offset, "the file ends within what it should hold")
        } else {
            StoreError::io(&path, "read")(error)
        }
    }
}

/// Reads the records of many messages, with read-ahead: one `pread` serves the records of neighbours.
pub struct RecordReader<'store> {
    store: &'store Store,
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
        self.single = None;
        self.store.counters.record_reads.add(1);
        let place = self.store.pages.directory(id.page)?.record(id.index)?;
        let found = match place {
            Some(place) if place.len <= RECORD_MOST_BYTES => self.find(id, &place),
            _ => None,
        };
        match found {
            Some(found) => self.found = found,
            None => self.single = Some(self.store.analyse(id)?),
        }
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
