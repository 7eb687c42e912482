//! Reads an export file from its beginning to its end, in bounded memory, whatever it is: every head, checksum and hash is verified, and nothing is told before
//! it was. A message's octets are handed on as they come; they count when the item says so.

use std::fmt;
use std::io::{self, Read};

use crate::annotations;
use crate::change::{Added, AnnotationEntry, Change};
use crate::error::StoreError;
use crate::log::frame::{ALIGNMENT, FRAME_HEAD_BYTES};
use crate::log::{FrameHead, FrameType};
use crate::transfer::format::{ExportHead, HEAD_BYTES, RECORDS_MOST_BYTES, Record, records};
use crate::txn::NewAnnotation;
use crate::{ContentHasher, ids::ModSeq, ids::UserId};

const HEAD: usize = FRAME_HEAD_BYTES as usize;
const STEP_BYTES: usize = 128 << 10;

/// What a file holds, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportItem {
    /// Facts of the user: names of mailboxes and the like.
    Facts(Vec<Change>),
    /// A message was read to its end and is whole: it goes into the mailbox of that number in the facts.
    Message {
        /// The mailbox's number.
        mailbox: u32,
        /// What the mailbox had of it. Its place means nothing.
        added: Added,
        /// What it is annotated with there.
        annotations: Vec<NewAnnotation>,
    },
    /// There is something of this type, which this release does not know.
    Unknown(u8),
    /// The file is whole; how many messages it had.
    End(u64),
}

/// Why a file cannot be read on.
#[derive(Debug)]
pub enum ReadError {
    /// The file is not an export of Lode, or one of a release that this one does not know.
    NoExport,
    /// The file is damaged or cut.
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// It cannot be read.
    Io(io::Error),
    /// Who gets the octets of messages does not take them.
    Refused(StoreError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::NoExport => f.write_str("this is no export in Lode's own format"),
            ReadError::Damaged { offset, what } => write!(f, "damaged at offset {offset}: {what}"),
            ReadError::Io(error) => error.fmt(f),
            ReadError::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

/// An export file being read.
pub struct ExportReader<R: Read> {
    input: R,
    id: u64,
    /// When the file was made, seconds since 1970.
    seconds: u64,
    /// Octets read.
    offset: u64,
    /// Items of the frame read last.
    waiting: std::collections::VecDeque<ExportItem>,
    /// The head that was looked for behind damage.
    found: Option<FrameHead>,
    /// The last octets before an item failed, in which the next head may be.
    window: Vec<u8>,
    messages: u64,
    ended: bool,
}

impl<R: Read> ExportReader<R> {
    /// Begins to read.
    pub fn open(mut input: R) -> Result<ExportReader<R>, ReadError> {
        let mut bytes = [0; HEAD_BYTES];
        let read = fill(&mut input, &mut bytes).map_err(ReadError::Io)?;
        let head = Some(&bytes).filter(|_| read == HEAD_BYTES).and_then(ExportHead::decode);
        let head = head.ok_or(ReadError::NoExport)?;
        Ok(ExportReader {
            input,
            id: head.id,
            seconds: head.seconds,
            offset: HEAD_BYTES as u64,
            waiting: std::collections::VecDeque::new(),
            found: None,
            window: Vec::new(),
            messages: 0,
            ended: false,
        })
    }

    /// When the file was made, seconds since 1970.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }

    /// Octets read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next item; `None` behind the end. Octets of a message go to `octets` before its item comes, or the error that says that they are not what they
    /// should be.
    pub fn next(
        &mut self,
        octets: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<Option<ExportItem>, ReadError> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                self.ended |= matches!(item, ExportItem::End(_));
                return Ok(Some(item));
            }
            if self.ended {
                return Ok(None);
            }
            self.read_frame(octets)?;
        }
    }

    /// The next item that comes before the first message; `None` once a message or the end is next. So whoever wants messages can get ready for
    /// them.
    pub fn next_fact(&mut self) -> Result<Option<ExportItem>, ReadError> {
        loop {
            match self.waiting.front() {
                Some(ExportItem::Facts(_) | ExportItem::Unknown(_)) => return Ok(self.waiting.pop_front()),
                Some(_) => return Ok(None),
                None if self.ended => return Ok(None),
                None => (),
            }
            let head = self.next_head()?;
            if head.frame_type == FrameType::Delivery {
                self.found = Some(head);
                return Ok(None);
            }
            self.found = Some(head);
            self.read_frame(&mut |_| Ok(()))?;
        }
    }

    /// After `Damaged`: goes on at the next whole head of a frame, if there is one.
    pub fn skip_damage(&mut self) -> Result<bool, ReadError> {
        self.waiting.clear();
        // Frames begin at every eighth octet of the file.
        let mut bytes = std::mem::take(&mut self.window);
        let mut start = self.offset - bytes.len() as u64;
        loop {
            let first = (start.next_multiple_of(ALIGNMENT) - start) as usize;
            let mut at = first;
            while at + HEAD <= bytes.len() {
                let head = bytes[at..at + HEAD].try_into().ok();
                if let Some(head) = head.and_then(|head: [u8; HEAD]| FrameHead::decode(&head, self.id)) {
                    // What was read beyond the head is read again from the window.
                    self.window = bytes.split_off(at + HEAD);
                    self.found = Some(head);
                    return Ok(true);
                }
                at += ALIGNMENT as usize;
            }
            let kept = bytes.len().saturating_sub(HEAD - 1);
            start += kept as u64;
            bytes.drain(..kept);
            let before = bytes.len();
            bytes.resize(before + STEP_BYTES, 0);
            let read = fill(&mut self.input, &mut bytes[before..]).map_err(ReadError::Io)?;
            bytes.truncate(before + read);
            self.offset += read as u64;
            if read == 0 {
                self.ended = true;
                return Ok(false);
            }
        }
    }

    fn read_frame(
        &mut self,
        octets: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), ReadError> {
        let begin = self.place();
        let damaged = |what| ReadError::Damaged { offset: begin, what };
        let head = self.next_head()?;
        if head.changes_len as usize > RECORDS_MOST_BYTES {
            return Err(damaged("a frame that is too long"));
        }
        let mut hash = ContentHasher::new();
        let mut left = head.content_len;
        let mut buffer = vec![0; STEP_BYTES];
        while left > 0 {
            let step = left.min(STEP_BYTES as u64) as usize;
            if self.read(&mut buffer[..step])? < step {
                return Err(damaged("the file ends within a message"));
            }
            hash.update(&buffer[..step]);
            octets(&buffer[..step]).map_err(ReadError::Refused)?;
            left -= step as u64;
        }
        let mut changes = Vec::new();
        let mut left = head.changes_len as usize;
        while left > 0 {
            let before = changes.len();
            changes.resize(before + left.min(STEP_BYTES), 0);
            let step = changes.len() - before;
            if self.read(&mut changes[before..])? < step {
                return Err(damaged("the file ends within a frame"));
            }
            left -= step;
        }
        let used = FRAME_HEAD_BYTES + head.content_len + u64::from(head.changes_len);
        let mut padding = [0; ALIGNMENT as usize];
        let padding = &mut padding[..(head.frame_len() - used) as usize];
        if self.read(padding)? < padding.len() {
            return Err(damaged("the file ends within a frame"));
        }
        if crc32c::crc32c(&changes) != head.changes_crc {
            return Err(damaged("what is said of a message is not what its checksum says"));
        }
        let is_message = head.frame_type == FrameType::Delivery;
        if is_message && hash.digest() != head.content_hash {
            return Err(damaged("a message is not what its hash says"));
        }
        let records = records(&changes).ok_or_else(|| damaged("a frame that cannot be read"))?;
        self.take_records(records, is_message, begin)
    }

    fn next_head(&mut self) -> Result<FrameHead, ReadError> {
        if let Some(head) = self.found.take() {
            return Ok(head);
        }
        let begin = self.place();
        let damaged = |what| ReadError::Damaged { offset: begin, what };
        let mut bytes = [0; HEAD];
        if self.read(&mut bytes)? < HEAD {
            return Err(damaged("the file ends before its last frame"));
        }
        FrameHead::decode(&bytes, self.id).ok_or_else(|| {
            // The next head may begin within these octets.
            let mut window = bytes[1..].to_vec();
            window.append(&mut self.window);
            self.window = window;
            damaged("no frame where one should begin")
        })
    }

    fn take_records(&mut self, records: Vec<Record>, is_message: bool, begin: u64) -> Result<(), ReadError> {
        let (mut facts, mut annotations) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Record::Change(Change::Add { mailbox, added }) if is_message => {
                    if self.waiting.iter().any(|item| matches!(item, ExportItem::Message { .. })) {
                        self.waiting.clear();
                        let what = "a message that is said to be in two mailboxes";
                        return Err(ReadError::Damaged { offset: begin, what });
                    }
                    self.messages += 1;
                    let added = Added { modseq: added.modseq.max(ModSeq(1)), ..added };
                    let (mailbox, annotations) = (mailbox.number, Vec::new());
                    self.waiting.push_back(ExportItem::Message { mailbox, added, annotations });
                }
                Record::Change(Change::Annotations { reader, messages, .. }) if is_message => {
                    let entries = messages.into_iter().flat_map(|(_, entries)| entries);
                    annotations.extend(entries.filter_map(|entry| new_annotation(reader, entry)));
                }
                Record::Change(change) => facts.push(change),
                Record::Unknown(kind) => self.waiting.push_back(ExportItem::Unknown(kind)),
                Record::End { messages } => {
                    if messages != self.messages {
                        let what = "there are fewer messages than the end of the file says";
                        self.ended = true;
                        return Err(ReadError::Damaged { offset: begin, what });
                    }
                    self.waiting.push_back(ExportItem::End(messages));
                }
            }
        }
        let message = self.waiting.iter_mut().find_map(|item| match item {
            ExportItem::Message { annotations, .. } => Some(annotations),
            _ => None,
        });
        if let Some(of_message) = message {
            *of_message = annotations;
        }
        if !facts.is_empty() {
            self.waiting.push_front(ExportItem::Facts(facts));
        }
        Ok(())
    }

    /// Where the next octet that is handed out lies.
    fn place(&self) -> u64 {
        let head = if self.found.is_some() { FRAME_HEAD_BYTES } else { 0 };
        self.offset - self.window.len() as u64 - head
    }

    /// Fills `bytes` as far as the file goes, from the window first.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ReadError> {
        let from_window = bytes.len().min(self.window.len());
        bytes[..from_window].copy_from_slice(&self.window[..from_window]);
        self.window.drain(..from_window);
        let read = fill(&mut self.input, &mut bytes[from_window..]).map_err(ReadError::Io)?;
        self.offset += read as u64;
        Ok(from_window + read)
    }
}

/// An annotation that there can be.
fn new_annotation(reader: Option<UserId>, entry: AnnotationEntry) -> Option<NewAnnotation> {
    let AnnotationEntry { name, value, .. } = entry;
    let is_possible = value.as_ref().is_some_and(|value| annotations::is_possible(&name, value));
    is_possible.then_some(NewAnnotation { entry: name, is_shared: reader.is_none(), value })
}

/// Reads until `bytes` is full or the end has come.
fn fill(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match input.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
