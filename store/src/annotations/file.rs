//! The file `annotations` beside a mailbox's cells. Drawn in `FORMAT.md`, "Annotations".
//!
//! Records are appended and synced; then the word in the head that says how far they go is replaced. So whatever is before that place is whole. A record takes the place of the earlier one for the same message and
//! reader. When most of the file is such earlier ones, it is made anew beside, synced, and renamed.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::index::{Index, Key, Place};
use super::octets_of;
use crate::change::{AnnotationEntry, codec};
use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, ModSeq, Uid, UserId};
use crate::in_hand::{Mutex, MutexGuard};

const MAGIC: &[u8; 8] = b"LODEANN1";
const HEAD_BYTES: u64 = 64;
const HEAD_CRC: usize = 16;
/// Where the word is that says how far the records go.
const END: u64 = 56;
/// Lower bits of that word: the end of the records, divided by 8.
const END_BITS: u32 = 40;
const RECORD_HEAD_BYTES: usize = 40;
const ALIGNMENT: u64 = 8;
/// Octets that are read or written at one time, unless a record is longer.
const STEP_BYTES: usize = 128 << 10;
/// More than the longest record: all entries of a message, with names and values as long as may be, several times over.
const BODY_MOST_BYTES: u32 = 64 << 20;
/// How often the end is read before it is taken for damaged: a writer may be storing it.
const END_TRIES: u32 = 200;

/// The file's name.
pub(crate) const NAME: &str = "annotations";

/// Where the annotations are of the mailbox with these cells.
pub(crate) fn path(cells: &Path) -> PathBuf {
    cells.with_file_name(NAME)
}

/// One record: all that one reader, or everybody, sees of a message's annotations.
pub(crate) type Record = (Uid, Option<UserId>, ModSeq, Vec<AnnotationEntry>);

/// What one reader, or everybody, sees of a message: whose, the newest change, the entries.
pub(crate) type Part = (Option<UserId>, ModSeq, Vec<AnnotationEntry>);

/// The annotations of one mailbox, as this process knows them. Nothing is read before somebody asks; then one `stat` an access tells whether there is more.
#[derive(Debug)]
pub(crate) struct AnnotationFile {
    disk: Disk,
    path: PathBuf,
    mailbox: MailboxId,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    file: DiskFile,
    inode: u64,
    /// Up to where the index has the records.
    end: u64,
    index: Index,
}

impl AnnotationFile {
    /// Nothing is opened yet.
    pub(crate) fn new(disk: &Disk, cells: &Path, mailbox: MailboxId) -> AnnotationFile {
        AnnotationFile { disk: disk.clone(), path: path(cells), mailbox, open: Mutex::new(None) }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.disk.exists(&self.path)
    }

    /// All that is said of a message.
    pub(crate) fn of(&self, uid: Uid) -> Result<Vec<Part>> {
        let open = self.up_to_date()?;
        let Some(open) = &*open else { return Err(self.missing()) };
        let places: Vec<_> = open.index.of(uid).collect();
        places
            .into_iter()
            .map(|(reader, place)| {
                Ok((reader, place.modseq, self.entries(&open.file, (uid.get(), reader), &place)?))
            })
            .collect()
    }

    /// What everybody or one reader sees of a message.
    pub(crate) fn part(&self, uid: Uid, reader: Option<UserId>) -> Result<Vec<AnnotationEntry>> {
        let open = self.up_to_date()?;
        let Some(open) = &*open else { return Err(self.missing()) };
        let key = (uid.get(), reader);
        let place = open.index.get(key);
        place.map_or(Ok(Vec::new()), |place| self.entries(&open.file, key, &place))
    }

    /// UIDs that something is said of.
    pub(crate) fn uids(&self, from: Uid, most: usize) -> Result<Vec<Uid>> {
        Ok(self.octets(from, most)?.into_iter().map(|(uid, _)| uid).collect())
    }

    /// UIDs that something is said of, and the octets of their annotations.
    pub(crate) fn octets(&self, from: Uid, most: usize) -> Result<Vec<(Uid, u64)>> {
        let open = self.up_to_date()?;
        let Some(open) = &*open else { return Err(self.missing()) };
        let mut found: Vec<(Uid, u64)> = Vec::new();
        for ((uid, _), place) in open.index.from(from) {
            let Some(uid) = Uid::new(uid) else { continue };
            let is_full = found.len() >= most;
            match found.last_mut() {
                Some((last, octets)) if *last == uid => *octets += u64::from(place.octets),
                _ if is_full => break,
                _ => found.push((uid, u64::from(place.octets))),
            }
        }
        Ok(found)
    }

    /// Puts records into the file, which is made if there is none; those that it has, or has newer, are passed over. Under the mailbox's lock.
    pub(crate) fn append(&self, records: &[Record]) -> Result<()> {
        let mut open = self.up_to_date()?;
        let Some(known) = &mut *open else {
            *open = Some(self.create(records.iter().cloned().map(Ok))?);
            return Ok(());
        };
        let news = records.iter().filter(|(uid, reader, modseq, _)| {
            known.index.get((uid.get(), *reader)).is_none_or(|place| place.modseq < *modseq)
        });
        let news: Vec<&Record> = news.collect();
        if news.is_empty() {
            return Ok(());
        }
        let file = self.disk.open_writable(&self.path).map_err(StoreError::io(&self.path, "open"))?;
        let mut out =
            Writer { path: &self.path, file, at: known.end, buffer: Vec::new(), places: Vec::new() };
        for (uid, reader, modseq, entries) in news {
            out.put((uid.get(), *reader), *modseq, entries)?;
        }
        let (_, end, places) = out.finish()?;
        known.end = end;
        places.into_iter().for_each(|(key, place)| known.index.put(key, place));
        Ok(())
    }

    /// Replaces the file by one with these records, which ascend by UID and reader. Under the mailbox's lock.
    pub(crate) fn replace(&self, records: impl Iterator<Item = Record>) -> Result<()> {
        let made = self.create(records.map(Ok))?;
        *self.lock() = Some(made);
        Ok(())
    }

    /// Makes the file anew if what does not count outweighs the rest. With `is_needed`, that says which records do not count although no other took their place.
    /// Under the mailbox's lock.
    pub(super) fn tidy(&self, is_needed: Option<&dyn Fn(Uid, Option<UserId>) -> Result<bool>>) -> Result<()> {
        let mut guard = self.up_to_date()?;
        let Some(open) = &*guard else { return Ok(()) };
        if is_needed.is_none() && !self.is_thin(open.index.replaced_bytes, open.index.counting_bytes) {
            return Ok(());
        }
        let mut needed = Vec::new();
        let mut needed_bytes = 0;
        for (key, place) in open.index.all() {
            let Some(uid) = Uid::new(key.0) else { continue };
            if match is_needed {
                Some(is_needed) => is_needed(uid, key.1)?,
                None => true,
            } {
                needed_bytes += place.record_bytes;
                needed.push((uid, key.1, place));
            }
        }
        let all_bytes = open.index.replaced_bytes + open.index.counting_bytes;
        if !self.is_thin(all_bytes - needed_bytes, needed_bytes) {
            return Ok(());
        }
        let records = needed.into_iter().map(|(uid, reader, place)| {
            let entries = self.entries(&open.file, (uid.get(), reader), &place)?;
            Ok((uid, reader, place.modseq, entries))
        });
        let made = self.create(records)?;
        *guard = Some(made);
        Ok(())
    }

    /// Reads all records that count.
    ///
    /// Errors: `Corrupt`, of the first that is damaged.
    pub(crate) fn verify(&self) -> Result<()> {
        let open = self.up_to_date()?;
        let Some(open) = &*open else { return Err(self.missing()) };
        for (key, place) in open.index.all() {
            self.entries(&open.file, key, &place)?;
        }
        Ok(())
    }

    /// All records, by UID and reader.
    #[cfg(test)]
    pub(crate) fn each(&self, take: &mut dyn FnMut(Record) -> Result<()>) -> Result<()> {
        let open = self.up_to_date()?;
        let Some(open) = &*open else { return Ok(()) };
        for (key, place) in open.index.all() {
            let Some(uid) = Uid::new(key.0) else { continue };
            take((uid, key.1, place.modseq, self.entries(&open.file, key, &place)?))?;
        }
        Ok(())
    }

    /// What is in the file now; `None` if there is none.
    fn up_to_date(&self) -> Result<MutexGuard<'_, Option<Open>>> {
        let mut guard = self.lock();
        let metadata = match self.disk.metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                *guard = None;
                return Ok(guard);
            }
            Err(error) => return Err(StoreError::io(&self.path, "look at")(error)),
        };
        if let Some(open) = guard.as_ref().filter(|open| open.inode == metadata.ino())
            && open.end == metadata.size()
        {
            return Ok(guard);
        }
        if guard.as_ref().is_none_or(|open| open.inode != metadata.ino()) {
            *guard = match self.disk.open(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                file => Some(self.opened(file.map_err(StoreError::io(&self.path, "open"))?)?),
            };
        }
        if let Some(open) = guard.as_mut()
            && let Err(error) = self.go_on(open)
        {
            *guard = None;
            return Err(error);
        }
        Ok(guard)
    }

    /// A file of which nothing is known yet. Its inode is that of the very file that is read: another may have taken its place since.
    fn opened(&self, file: DiskFile) -> Result<Open> {
        let inode = file.metadata().map_err(StoreError::io(&self.path, "look at"))?.ino();
        let mut head = [0; HEAD_CRC + 4];
        self.read(&file, &mut head, 0)?;
        if head != identity(self.mailbox) {
            return Err(self.corrupt(0, "these are not the annotations of this mailbox"));
        }
        Ok(Open { file, inode, end: HEAD_BYTES, index: Index::default() })
    }

    /// Takes the records into the index that were appended since.
    fn go_on(&self, open: &mut Open) -> Result<()> {
        let end = self.end(&open.file)?;
        let mut buffer = Vec::new();
        let mut start = open.end;
        while open.end < end {
            let at = open.end;
            let head_end = at + RECORD_HEAD_BYTES as u64;
            if head_end > end {
                return Err(self.corrupt(at, "the annotations end within a record"));
            }
            if at < start || head_end > start + buffer.len() as u64 {
                buffer.resize(STEP_BYTES.min((end - at) as usize), 0);
                self.read(&open.file, &mut buffer, at)?;
                start = at;
            }
            let from = (at - start) as usize;
            let head = &buffer[from..from + RECORD_HEAD_BYTES];
            let (key, place, _) = decode_head(head, at)
                .ok_or_else(|| self.corrupt(at, "the head of an annotation is damaged"))?;
            if place.record_bytes > end - at {
                return Err(self.corrupt(at, "the annotations end within a record"));
            }
            open.index.put(key, place);
            open.end = at + place.record_bytes;
        }
        Ok(())
    }

    /// How far the records go.
    fn end(&self, file: &DiskFile) -> Result<u64> {
        for _ in 0..END_TRIES {
            let mut word = [0; 8];
            self.read(file, &mut word, END)?;
            if let Some(end) = decode_end(u64::from_le_bytes(word)) {
                return Ok(end);
            }
            std::thread::yield_now();
        }
        Err(self.corrupt(END, "the place where the annotations end is damaged"))
    }

    fn entries(&self, file: &DiskFile, key: Key, place: &Place) -> Result<Vec<AnnotationEntry>> {
        let mut record = vec![0; RECORD_HEAD_BYTES + place.body_bytes as usize];
        self.read(file, &mut record, place.offset)?;
        let (head, body) = record.split_at(RECORD_HEAD_BYTES);
        match decode_head(head, place.offset) {
            Some((found, again, crc)) if found == key && again == *place && crc32c::crc32c(body) == crc => {
                codec::decode_annotations(body, place.modseq)
                    .map_err(|_| self.corrupt(place.offset, "an annotation cannot be read"))
            }
            _ => Err(self.corrupt(place.offset, "the checksum of an annotation is wrong")),
        }
    }

    fn read(&self, file: &DiskFile, bytes: &mut [u8], offset: u64) -> Result<()> {
        match file.read_exact_at(bytes, offset) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.corrupt(offset, "the annotations are cut"))
            }
            read => read.map_err(StoreError::io(&self.path, "read")),
        }
    }

    /// Makes the file, with these records, in place of one that may be there. It appears whole or not at all.
    fn create(&self, records: impl Iterator<Item = Result<Record>>) -> Result<Open> {
        if let Some(folder) = self.path.parent() {
            // Where a mailbox is made again, this may be the first of its files.
            self.disk.create_dir_all(folder).map_err(StoreError::io(folder, "create"))?;
        }
        let temporary = self.path.with_extension("new");
        let file = self.disk.create_or_empty(&temporary).map_err(StoreError::io(&temporary, "create"))?;
        let mut head = [0; HEAD_BYTES as usize];
        head[..HEAD_CRC + 4].copy_from_slice(&identity(self.mailbox));
        file.write_all_at(&head, 0).map_err(StoreError::io(&temporary, "write"))?;
        let mut out =
            Writer { path: &temporary, file, at: HEAD_BYTES, buffer: Vec::new(), places: Vec::new() };
        for record in records {
            let (uid, reader, modseq, entries) = record?;
            out.put((uid.get(), reader), modseq, &entries)?;
        }
        let (file, end, places) = out.finish()?;
        file.sync_all().map_err(StoreError::io(&temporary, "sync"))?;
        self.disk.rename(&temporary, &self.path).map_err(StoreError::io(&self.path, "put in place"))?;
        let inode = file.metadata().map_err(StoreError::io(&self.path, "look at"))?.ino();
        let mut index = Index::default();
        places.into_iter().for_each(|(key, place)| index.put(key, place));
        Ok(Open { file, inode, end, index })
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> StoreError {
        StoreError::corrupt(&self.path, offset, what)
    }

    /// Whether so many octets that do not count are worth a new file with those that do.
    fn is_thin(&self, replaced_bytes: u64, counting_bytes: u64) -> bool {
        let least = self.disk.sizes().annotations_replaced_least_bytes;
        replaced_bytes >= least && replaced_bytes > counting_bytes
    }

    fn missing(&self) -> StoreError {
        self.corrupt(0, "the annotations of a mailbox that has some are missing")
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a file begins with.
fn identity(mailbox: MailboxId) -> [u8; HEAD_CRC + 4] {
    let mut bytes = [0; HEAD_CRC + 4];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&mailbox.user.0.to_le_bytes());
    bytes[12..HEAD_CRC].copy_from_slice(&mailbox.number.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..HEAD_CRC]);
    bytes[HEAD_CRC..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The word that says where the records end, with its check in the upper bits.
fn encode_end(end: u64) -> u64 {
    let end = (end / ALIGNMENT) & ((1 << END_BITS) - 1);
    end | u64::from(crc32c::crc32c(&end.to_le_bytes()) >> 8) << END_BITS
}

fn decode_end(word: u64) -> Option<u64> {
    let end = (word & ((1 << END_BITS) - 1)) * ALIGNMENT;
    (encode_end(end) == word && end >= HEAD_BYTES).then_some(end)
}

/// The head of a record: offsets in it.
mod head {
    pub(super) const BODY_BYTES: usize = 4;
    pub(super) const UID: usize = 8;
    pub(super) const OCTETS: usize = 12;
    pub(super) const MODSEQ: usize = 16;
    pub(super) const READER: usize = 24;
    pub(super) const BODY_CRC: usize = 32;
}

/// Whose record it is, where, and the checksum of its body.
fn decode_head(bytes: &[u8], offset: u64) -> Option<(Key, Place, u32)> {
    let u32_at =
        |at: usize| bytes.get(at..at + 4)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
    let u64_at =
        |at: usize| bytes.get(at..at + 8)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
    if u32_at(0)? != crc32c::crc32c(&bytes[4..]) {
        return None;
    }
    let (body_bytes, reader) = (u32_at(head::BODY_BYTES)?, u64_at(head::READER)?);
    let reader = reader.checked_sub(1).map(u32::try_from).transpose().ok()?.map(UserId);
    let place = Place {
        offset,
        modseq: ModSeq(u64_at(head::MODSEQ)?),
        body_bytes,
        octets: u32_at(head::OCTETS)?,
        record_bytes: record_bytes(body_bytes),
    };
    let key = (u32_at(head::UID)?, reader);
    (body_bytes <= BODY_MOST_BYTES && key.0 != 0).then_some((key, place, u32_at(head::BODY_CRC)?))
}

fn record_bytes(body_bytes: u32) -> u64 {
    (RECORD_HEAD_BYTES as u64 + u64::from(body_bytes)).next_multiple_of(ALIGNMENT)
}

/// The file, where its records end, and where each is that was put.
type Written = (DiskFile, u64, Vec<(Key, Place)>);

/// Appends records.
struct Writer<'a> {
    path: &'a Path,
    file: DiskFile,
    /// Where the buffer goes.
    at: u64,
    buffer: Vec<u8>,
    places: Vec<(Key, Place)>,
}

impl Writer<'_> {
    fn put(&mut self, key: Key, modseq: ModSeq, entries: &[AnnotationEntry]) -> Result<()> {
        let offset = self.at + self.buffer.len() as u64;
        let mut body = Vec::new();
        codec::put_annotations(&mut body, modseq, entries);
        let octets = entries.iter().map(octets_of).sum::<u64>();
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        let body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if body_bytes > BODY_MOST_BYTES {
            return Err(StoreError::Failed(
                "annotations of a message are longer than they can be".to_string(),
            ));
        }
        let mut head = [0; RECORD_HEAD_BYTES];
        let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
        put(head::BODY_BYTES, &body_bytes.to_le_bytes());
        put(head::UID, &key.0.to_le_bytes());
        put(head::OCTETS, &octets.to_le_bytes());
        put(head::MODSEQ, &modseq.0.to_le_bytes());
        put(head::READER, &key.1.map_or(0, |reader| u64::from(reader.0) + 1).to_le_bytes());
        put(head::BODY_CRC, &crc32c::crc32c(&body).to_le_bytes());
        let crc = crc32c::crc32c(&head[4..]);
        head[..4].copy_from_slice(&crc.to_le_bytes());
        self.buffer.extend_from_slice(&head);
        self.buffer.extend_from_slice(&body);
        let record_bytes = record_bytes(body_bytes);
        let padding = record_bytes as usize - RECORD_HEAD_BYTES - body.len();
        self.buffer.resize(self.buffer.len() + padding, 0);
        self.places.push((key, Place { offset, modseq, body_bytes, octets, record_bytes }));
        if self.buffer.len() >= STEP_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let written = self.file.write_all_at(&self.buffer, self.at);
        written.map_err(StoreError::io(self.path, "write"))?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// What was put counts from now on. Where it ends, and where each record is.
    fn finish(mut self) -> Result<Written> {
        self.flush()?;
        // Before the word says that it is there, also after a power cut.
        self.file.sync_data().map_err(StoreError::io(self.path, "sync"))?;
        let word = encode_end(self.at).to_le_bytes();
        self.file.write_all_at(&word, END).map_err(StoreError::io(self.path, "write"))?;
        Ok((self.file, self.at, self.places))
    }
}
