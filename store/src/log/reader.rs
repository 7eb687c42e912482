//! A log as recovery and repair read it: frame by frame, every head and checksum verified, no more in memory than the changes
//! of one frame.

use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use crate::change::{Change, codec};
use crate::disk::{Disk, DiskFile, Mutation};
use crate::error::{Result, StoreError};
use crate::log::frame::{
    ALIGNMENT, FRAME_HEAD_BYTES, FrameHead, FrameType, LOG_HEAD_BYTES, LogHead, LogName,
};
use crate::log::packed::Packed;

const READ_STEP_BYTES: usize = 128 * 1024;

/// The octets of a log, as they were appended.
#[derive(Debug)]
enum Octets {
    Plain(DiskFile),
    Packed(Packed),
}

impl Octets {
    fn mutated(&self, mutation: Mutation) -> bool {
        match self {
            Octets::Plain(file) => file.mutated(mutation),
            Octets::Packed(_) => false,
        }
    }

    fn read_up_to(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Octets::Plain(file) => file.read_up_to(bytes, offset),
            Octets::Packed(packed) => packed.read_up_to(bytes, offset),
        }
    }

    fn len(&self) -> io::Result<u64> {
        match self {
            Octets::Plain(file) => file.len(),
            Octets::Packed(packed) => Ok(packed.len()),
        }
    }
}

/// A log open for reading.
#[derive(Debug)]
pub(crate) struct LogReader {
    path: PathBuf,
    file: Octets,
    head: LogHead,
    /// The id that its frames repeat.
    frame_id: u64,
    /// What is wrong with the head of the file.
    damage: Option<&'static str>,
}

/// What is wrong with the changes of a frame.
enum Fault {
    Checksum,
    Unknown,
}

/// A whole frame, its content left where it is.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) offset: u64,
    pub(crate) head: FrameHead,
    pub(crate) changes: Vec<Change>,
}

impl Frame {
    /// Where the next frame begins, if there is one.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.head.frame_len()
    }
}

/// What is at a place of a log where a frame should begin.
#[derive(Debug)]
pub(crate) enum Step {
    /// A whole frame.
    Frame(Frame),
    /// No whole frame, but there is one behind it, or there may be.
    Damage {
        /// The next place where a frame may begin.
        next: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The log ends here.
    End,
}

/// How far reading goes to tell the end of a log from a damaged place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// Zeros are the end. They are what lies behind the last frame.
    UptoZeros,
    /// The file is searched to its end.
    Everywhere,
}

impl LogReader {
    /// Opens the log `name` at `path`. `None` if there is none, or its head was not written to the end: it holds nothing. A damaged
    /// head is made good from the first frame, which repeats the log's id; its epoch is not known then.
    ///
    /// Errors: `Corrupt` if the head is damaged and the first frame is, too.
    pub(crate) fn open(disk: &Disk, path: &Path, name: LogName) -> Result<Option<LogReader>> {
        let file = match disk.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(path, "open")(error)),
        };
        let read_at = |bytes: &mut [u8], at| -> Result<bool> {
            let read = file.read_up_to(bytes, at).map_err(StoreError::io(path, "read"))?;
            Ok(read == bytes.len())
        };
        let mut bytes = [0; LOG_HEAD_BYTES as usize];
        if !read_at(&mut bytes, 0)? {
            return Ok(None);
        }
        let over = |file, head, damage| LogReader::over(path, file, head, damage).map(Some);
        let damage = match LogHead::decode(&bytes) {
            Some(head) if head.name == name => return over(file, head, None),
            Some(_) => "the log's head names another log",
            None => "the log's head",
        };
        let mut first = [0; FRAME_HEAD_BYTES as usize];
        let is_there = read_at(&mut first, LOG_HEAD_BYTES)?;
        if let Some(frame) = FrameHead::decode_any(&first).filter(|_| is_there) {
            return over(file, LogHead { id: frame.log_id, name, epoch: 0, packed: None }, Some(damage));
        }
        // A compressed journal has its head a second time.
        let mut last = [0; LOG_HEAD_BYTES as usize];
        let len = file.len().map_err(StoreError::io(path, "look at"))?;
        if read_at(&mut last, len.saturating_sub(LOG_HEAD_BYTES))?
            && let Some(head) =
                LogHead::decode(&last).filter(|head| head.name == name && head.packed.is_some())
        {
            return over(file, head, Some(damage));
        }
        if bytes == [0; LOG_HEAD_BYTES as usize] && first == [0; FRAME_HEAD_BYTES as usize] {
            return Ok(None);
        }
        Err(StoreError::corrupt(path, 0, damage))
    }

    fn over(path: &Path, file: DiskFile, head: LogHead, damage: Option<&'static str>) -> Result<LogReader> {
        let frame_id = head.packed.map_or(head.id, |packed| packed.frame_id);
        let file = match head.packed {
            None => Octets::Plain(file),
            Some(packed) => {
                Octets::Packed(Packed::open(file, &head, packed.len).map_err(StoreError::io(path, "read"))?)
            }
        };
        Ok(LogReader { path: path.to_path_buf(), file, head, frame_id, damage })
    }

    /// Whether it is compressed.
    pub(crate) fn is_packed(&self) -> bool {
        matches!(self.file, Octets::Packed(_))
    }

    /// Octets from `offset` on, as they were appended; less than asked for only at the end.
    pub(crate) fn octets(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_up_to(bytes, offset)
    }

    /// What is wrong with the head, if it is damaged.
    pub(crate) fn head_damage(&self) -> Option<&'static str> {
        self.damage
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Octets of the file.
    pub(crate) fn len(&self) -> Result<u64> {
        self.file.len().map_err(StoreError::io(&self.path, "look at"))
    }

    pub(crate) fn head(&self) -> &LogHead {
        &self.head
    }

    /// The frame at `offset`; `None` if there is no whole one.
    pub(crate) fn frame_at(&self, offset: u64) -> Result<Option<Frame>> {
        let Some(head) = self.head_at(offset)? else {
            return Ok(None);
        };
        match self.changes_of(offset, &head)? {
            Ok(changes) => Ok(Some(Frame { offset, head, changes })),
            Err(Fault::Checksum) => Ok(None),
            Err(Fault::Unknown) => {
                Err(StoreError::corrupt(&self.path, offset, "changes that this release cannot read"))
            }
        }
    }

    fn changes_of(&self, offset: u64, head: &FrameHead) -> Result<std::result::Result<Vec<Change>, Fault>> {
        let end = offset + head.frame_len();
        // A head that promises more than there is must not have memory taken for it.
        if head.changes_len as usize > READ_STEP_BYTES && self.len()? < end - ALIGNMENT {
            return Ok(Err(Fault::Checksum));
        }
        let mut bytes = vec![0; head.changes_len as usize];
        if !self.read(&mut bytes, offset + head.changes_at())?
            || crc32c::crc32c(&bytes) != head.changes_crc && !self.file.mutated(Mutation::NoFrameChecksum)
        {
            return Ok(Err(Fault::Checksum));
        }
        Ok(codec::decode(&bytes).map_err(|codec::Malformed| Fault::Unknown))
    }

    /// The id that the log's frames repeat.
    pub(crate) fn frame_id(&self) -> u64 {
        self.frame_id
    }

    /// What is at `offset`. With `verify`, also the content of a frame must be there.
    pub(crate) fn step(&self, offset: u64, search: Search, verify: bool) -> Result<Step> {
        let mut bytes = [0; FRAME_HEAD_BYTES as usize];
        let present = self.file.read_up_to(&mut bytes, offset).map_err(StoreError::io(&self.path, "read"))?;
        let Some(head) = FrameHead::decode(&bytes, self.frame_id).filter(|_| present == bytes.len()) else {
            if search == Search::UptoZeros && !self.is_packed() && bytes.iter().all(|octet| *octet == 0) {
                return Ok(Step::End);
            }
            let next = self.search(offset + ALIGNMENT)?;
            return Ok(next.map_or(Step::End, |next| Step::Damage { next, what: "the head of a frame" }));
        };
        let end = offset + head.frame_len();
        let what = match self.changes_of(offset, &head)? {
            Ok(changes) => {
                let frame = Frame { offset, head, changes };
                if !verify || self.content_is_whole(&frame)? {
                    return Ok(Step::Frame(frame));
                }
                "the content of a frame"
            }
            Err(Fault::Checksum) => "the changes of a frame",
            Err(Fault::Unknown) => "changes that this release cannot read",
        };
        // A frame that was not written to the end has none behind it.
        Ok(self.search(end)?.map_or(Step::End, |next| Step::Damage { next, what }))
    }

    /// The first place from `from` on where there is the head of a frame of this log. What is in messages cannot look like one: the
    /// log's id is a random number that nobody outside knows.
    fn search(&self, from: u64) -> Result<Option<u64>> {
        let mut buffer = vec![0; READ_STEP_BYTES];
        let mut at = from.next_multiple_of(ALIGNMENT);
        loop {
            let read = self.file.read_up_to(&mut buffer, at).map_err(StoreError::io(&self.path, "read"))?;
            let heads = buffer[..read].windows(FRAME_HEAD_BYTES as usize).step_by(ALIGNMENT as usize);
            for (place, bytes) in (at..).step_by(ALIGNMENT as usize).zip(heads) {
                let Some(bytes) = bytes.first_chunk() else { continue };
                if FrameHead::decode(bytes, self.frame_id).is_some() {
                    return Ok(Some(place));
                }
            }
            if read < buffer.len() {
                return Ok(None);
            }
            at += (READ_STEP_BYTES - FRAME_HEAD_BYTES as usize) as u64;
        }
    }

    /// The head of the frame at `offset`, if there is one.
    pub(crate) fn head_at(&self, offset: u64) -> Result<Option<FrameHead>> {
        let mut bytes = [0; FRAME_HEAD_BYTES as usize];
        if !self.read(&mut bytes, offset)? {
            return Ok(None);
        }
        Ok(FrameHead::decode(&bytes, self.frame_id))
    }

    /// Whether the content of `frame` is what its head says, by hash; or gone on purpose.
    pub(crate) fn content_is_whole(&self, frame: &Frame) -> Result<bool> {
        if frame.head.frame_type == FrameType::Changes {
            return Ok(frame.head.content_len == 0);
        }
        if frame.head.content_gone {
            return Ok(true);
        }
        let mut hasher = Xxh3Default::new();
        let mut buffer = vec![0; READ_STEP_BYTES.min(frame.head.content_len as usize)];
        let mut at = 0;
        while at < frame.head.content_len {
            let step = (frame.head.content_len - at).min(READ_STEP_BYTES as u64) as usize;
            if !self.read(&mut buffer[..step], frame.offset + FRAME_HEAD_BYTES + at)? {
                return Ok(false);
            }
            hasher.update(&buffer[..step]);
            at += step as u64;
        }
        Ok(hasher.digest() == frame.head.content_hash)
    }

    /// Puts `len` octets of the content of `frame`, from `at` in it, into `into` in place of what is there.
    ///
    /// Errors: `Corrupt` if the file ends before.
    pub(crate) fn read_content(&self, frame: &Frame, at: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        into.resize(len as usize, 0);
        let offset = frame.offset + FRAME_HEAD_BYTES + at;
        if self.read(into, offset)? {
            return Ok(());
        }
        Err(StoreError::corrupt(&self.path, offset, "the file ends within what it should hold"))
    }

    /// Where the frames end that begin at `from`, damaged places passed over.
    pub(crate) fn end_of_frames(&self, from: u64) -> Result<u64> {
        let mut offset = from.max(LOG_HEAD_BYTES);
        loop {
            match self.step(offset, Search::UptoZeros, false)? {
                Step::Frame(frame) => offset = frame.end(),
                Step::Damage { next, .. } => offset = next,
                Step::End => return Ok(offset),
            }
        }
    }

    /// Whether anything but zeros lies at `offset`, where no frame begins.
    pub(crate) fn is_noise(&self, offset: u64) -> Result<bool> {
        let mut bytes = [0; FRAME_HEAD_BYTES as usize];
        self.file.read_up_to(&mut bytes, offset).map_err(StoreError::io(&self.path, "read"))?;
        Ok(bytes.iter().any(|octet| *octet != 0))
    }

    /// Fills `bytes` from `offset`; false if the file ends before.
    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<bool> {
        let read = self.file.read_up_to(bytes, offset).map_err(StoreError::io(&self.path, "read"))?;
        Ok(read == bytes.len())
    }
}
