//! Messages that the store has given up since they were copied: the backup gives back their space as well. That is done after the manifest says that
//! the state without them is the backup, never before; if it is cut short, the next backup finds it out again.

use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::log::frame::{FRAME_HEAD_BYTES, mark_content_gone};
use crate::log::{LogKind, LogName, LogReader};

/// Contents in one file of the backup that are no more in the store.
#[derive(Debug)]
pub(super) struct GivenUp {
    path: PathBuf,
    /// Frames and the lengths of their contents.
    frames: Vec<(u64, u64)>,
}

impl GivenUp {
    /// Compares the first `len` octets of a log with its copy; `None` if the copy has given up all that the log has.
    pub(super) fn find(
        disk: &Disk,
        (source, copy): (&Path, &Path),
        name: LogName,
        len: u64,
    ) -> Result<Option<GivenUp>> {
        if name.kind != LogKind::Bucket {
            return Ok(None);
        }
        let Some(source) = readable(LogReader::open(disk, source, name))? else { return Ok(None) };
        let Some(copied) = readable(LogReader::open(disk, copy, name))? else { return Ok(None) };
        let mut frames = Vec::new();
        let mut offset = crate::log::frame::LOG_HEAD_BYTES;
        while offset < len {
            // Behind damage nothing is given up: space is all that this costs.
            let Some(head) = source.head_at(offset)? else { break };
            let same =
                |copy: &crate::log::FrameHead| copy.content_hash == head.content_hash && !copy.content_gone;
            if head.content_gone && copied.head_at(offset)?.is_some_and(|copy| same(&copy)) {
                frames.push((offset, head.content_len));
            }
            offset += head.frame_len();
        }
        let path = copied.path().to_path_buf();
        Ok((!frames.is_empty()).then_some(GivenUp { path, frames }))
    }

    /// Gives them up; how many octets.
    pub(super) fn give_up(&self, disk: &Disk) -> Result<u64> {
        let file = disk.open_writable(&self.path).map_err(StoreError::io(&self.path, "open"))?;
        for (offset, _) in &self.frames {
            mark_content_gone(&file, *offset).map_err(StoreError::io(&self.path, "write"))?;
        }
        // What is marked is not looked for; what is not there must be marked.
        file.sync_data().map_err(StoreError::io(&self.path, "sync"))?;
        let mut octets = 0;
        for (offset, len) in &self.frames {
            file.punch(offset + FRAME_HEAD_BYTES, *len).map_err(StoreError::io(&self.path, "punch"))?;
            octets += len;
        }
        Ok(octets)
    }
}

/// A damaged log is passed over.
fn readable(opened: Result<Option<LogReader>>) -> Result<Option<LogReader>> {
    match opened {
        Err(StoreError::Corrupt { .. }) => Ok(None),
        opened => opened,
    }
}
