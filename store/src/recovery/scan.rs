//! Reading logs frame by frame, damaged places passed over and noted.

use std::ops::Range;

use crate::derived::Derived;
use crate::disk::Mutation;
use crate::error::{Result, StoreError};
use crate::log::frame::LOG_HEAD_BYTES;
use crate::log::logs::{log_path, logs_of_page};
use crate::log::reader::{Frame, Search, Step};
use crate::log::{LogName, LogReader};

/// How a log is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// Where the first frame begins that is wanted.
    pub(crate) from: u64,
    pub(crate) search: Search,
    /// The content of frames of logs of epochs before this one must be there, too. 0: of none.
    pub(crate) verify_before_epoch: u32,
}

impl How {
    /// All of it.
    pub(crate) const WHOLE: How =
        How { from: LOG_HEAD_BYTES, search: Search::Everywhere, verify_before_epoch: 0 };
}

/// A log that was read.
pub(crate) struct Read {
    /// The epoch in which it was made; 0 if its head is damaged.
    pub(crate) epoch: u32,
    /// Where its frames end.
    pub(crate) end: u64,
    /// Octets of the file.
    pub(crate) len: u64,
    /// Whether any place of it could not be read.
    pub(crate) is_damaged: bool,
    /// Places in it that could not be read, each up to where the next frame begins.
    pub(crate) holes: Vec<Range<u64>>,
    /// The id that its frames repeat.
    pub(crate) frame_id: u64,
    /// Whether it is compressed.
    pub(crate) is_packed: bool,
}

/// Reads one log; `take` gets the log's epoch and each frame. `None` if there is nothing to be read.
pub(crate) fn read_log(
    derived: &Derived,
    name: LogName,
    how: How,
    take: &mut dyn FnMut(u32, Frame) -> Result<()>,
) -> Result<Option<Read>> {
    let path = log_path(derived.pages.root(), name);
    let reader = match LogReader::open(&derived.disk, &path, name) {
        Err(StoreError::Corrupt { path, offset, what }) => {
            derived.damages.add(&path, offset, what);
            return Ok(None);
        }
        reader => reader?,
    };
    let Some(reader) = reader else { return Ok(None) };
    let is_damaged = std::cell::Cell::new(false);
    let note = |offset, what| {
        is_damaged.set(true);
        derived.damages.add(reader.path(), offset, what);
    };
    if let Some(what) = reader.head_damage() {
        note(0, what);
    }
    let epoch = reader.head().epoch;
    let verify = epoch < how.verify_before_epoch && !derived.disk.mutated(Mutation::NoContentCheck);
    let len = reader.len()?;
    let mut offset = how.from.max(LOG_HEAD_BYTES);
    let mut holes = Vec::new();
    if len + 8 <= offset {
        note(len, "the log ends before what was read of it earlier");
    }
    loop {
        match reader.step(offset, how.search, verify)? {
            Step::Frame(frame) => {
                offset = frame.end();
                take(epoch, frame)?;
            }
            Step::Damage { next, what } => {
                note(offset, what);
                holes.push(offset..next);
                offset = next;
            }
            Step::End => break,
        }
    }
    // A log of an earlier epoch may end so: recovery cuts it.
    if how.search == Search::Everywhere && epoch >= derived.epoch && reader.is_noise(offset)? {
        note(offset, "the last frame, or what lies behind it");
    }
    if reader.is_packed() && offset < len {
        note(offset, "the end of a compressed journal");
    }
    Ok(Some(Read {
        is_packed: reader.is_packed(),
        epoch,
        end: offset,
        len,
        is_damaged: is_damaged.get(),
        holes,
        frame_id: reader.frame_id(),
    }))
}

/// Reads all logs there are, page by page.
pub(crate) fn read_all(
    derived: &Derived,
    how: How,
    take: &mut dyn FnMut(LogName, u32, Frame) -> Result<()>,
) -> Result<()> {
    for page in derived.pages.all()? {
        for name in logs_of_page(&derived.disk, derived.pages.root(), page)? {
            read_log(derived, name, how, &mut |epoch, frame| take(name, epoch, frame))?;
        }
    }
    Ok(())
}
