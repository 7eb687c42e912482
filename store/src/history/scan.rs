//! Reads all frames of the logs, in any order of logs, with the time at which each was made.

use crate::change::Change;
use crate::derived::Derived;
use crate::error::Result;
use crate::ids::PageId;
use crate::log::frame::LOG_HEAD_BYTES;
use crate::log::logs::{log_path, logs_of_page};
use crate::log::{LogKind, LogReader};

/// Which frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Those that were made at this time or before, seconds since 1970.
    pub(super) until_seconds: u32,
    /// Those of journals alone: names of mailboxes change in no other.
    pub(super) journals_only: bool,
}

/// Gives `take` the changes of each frame with the frame's time.
pub(super) fn each_frame(
    derived: &Derived,
    wanted: Wanted,
    take: &mut dyn FnMut(u32, Vec<Change>),
) -> Result<()> {
    // A process may go on with the page of yesterday for a while; none begins one before its day.
    let last_page = PageId(wanted.until_seconds / 86_400);
    for page in derived.pages.all()?.into_iter().take_while(|page| *page <= last_page) {
        for name in logs_of_page(&derived.disk, derived.pages.root(), page)? {
            if wanted.journals_only && name.kind != LogKind::Journal {
                continue;
            }
            let path = log_path(derived.pages.root(), name);
            let Some(reader) = LogReader::open(&derived.disk, &path, name)? else { continue };
            let mut offset = LOG_HEAD_BYTES;
            while let Some(frame) = reader.frame_at(offset)? {
                offset = frame.end();
                if frame.head.seconds <= wanted.until_seconds {
                    take(frame.head.seconds, frame.changes);
                }
            }
        }
    }
    Ok(())
}
