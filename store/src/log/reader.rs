//! A log as recovery and repair read it: frame by frame, every head and checksum verified, no more in memory than the changes
//! of one frame.

use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use crate::change::{Change, codec};
use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StoreError};
use crate::log::frame::{FRAME_HEAD_BYTES, FrameHead, FrameType, LOG_HEAD_BYTES, LogHead, LogName};

const READ_STEP_BYTES: usize = 128 * 1024;

/// A log open for reading.
#[derive(Debug)]
pub(crate) struct LogReader {
    path: PathBuf,
    file: DiskFile,
    head: LogHead,
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

impl LogReader {
    /// Opens the log `name` at `path`. `None` if there is none, or its head was not written to the end: it holds nothing.
    pub(crate) fn open(disk: &Disk, path: &Path, name: LogName) -> Result<Option<LogReader>> {
        let file = match disk.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(path, "open")(error)),
        };
        let mut bytes = [0; LOG_HEAD_BYTES as usize];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => (),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(StoreError::io(path, "read")(error)),
        }
        if bytes == [0; LOG_HEAD_BYTES as usize] {
            return Ok(None);
        }
        let head = LogHead::decode(&bytes).ok_or_else(|| StoreError::corrupt(path, 0, "the log's head"))?;
        if head.name != name {
            return Err(StoreError::corrupt(path, 0, "the log's head names another log"));
        }
        Ok(Some(LogReader { path: path.to_path_buf(), file, head }))
    }

    pub(crate) fn head(&self) -> &LogHead {
        &self.head
    }

    /// The frame at `offset`; `None` if there is no whole one.
    pub(crate) fn frame_at(&self, offset: u64) -> Result<Option<Frame>> {
        let Some(head) = self.head_at(offset)? else {
            return Ok(None);
        };
        let mut bytes = vec![0; head.changes_len as usize];
        if !self.read(&mut bytes, offset + head.changes_at())? || crc32c::crc32c(&bytes) != head.changes_crc {
            return Ok(None);
        }
        let changes = codec::decode(&bytes).map_err(|codec::Malformed| {
            StoreError::corrupt(&self.path, offset, "changes that this release cannot read")
        })?;
        Ok(Some(Frame { offset, head, changes }))
    }

    /// The head of the frame at `offset`, if there is one.
    pub(crate) fn head_at(&self, offset: u64) -> Result<Option<FrameHead>> {
        let mut bytes = [0; FRAME_HEAD_BYTES as usize];
        if !self.read(&mut bytes, offset)? {
            return Ok(None);
        }
        Ok(FrameHead::decode(&bytes, self.head.id))
    }

    /// Whether the content of `frame` is what its head says, by hash.
    pub(crate) fn content_is_whole(&self, frame: &Frame) -> Result<bool> {
        if frame.head.frame_type == FrameType::Changes {
            return Ok(frame.head.content_len == 0);
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

    /// Where the frames end that begin at `from`.
    pub(crate) fn end_of_frames(&self, from: u64) -> Result<u64> {
        let mut offset = from.max(LOG_HEAD_BYTES);
        while let Some(frame) = self.frame_at(offset)? {
            offset = frame.end();
        }
        Ok(offset)
    }

    /// Fills `bytes` from `offset`; false if the file ends before.
    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<bool> {
        match self.file.read_exact_at(bytes, offset) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(StoreError::io(&self.path, "read")(error)),
        }
    }
}
