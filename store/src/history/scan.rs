//! Reads the frames that were made up to a time, in any order of logs. Damaged places are passed over and noted, as everywhere.

use crate::change::Change;
use crate::derived::Derived;
use crate::error::Result;
use crate::ids::PageId;
use crate::log::LogKind;
use crate::log::frame::LOG_HEAD_BYTES;
use crate::log::logs::logs_of_page;
use crate::log::reader::Search;
use crate::recovery::scan::{How, read_log};

/// Contents are verified when they are brought back.
const HOW: How = How { from: LOG_HEAD_BYTES, search: Search::UptoZeros, verify_before_epoch: 0 };

/// Which frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Those that were made at this time or before, seconds since 1970.
    pub(super) until_seconds: u32,
    /// Those of journals alone: names of mailboxes change in no other.
    pub(super) journals_only: bool,
}

/// A change, and the frame that has it.
pub(super) struct Seen {
    /// The epoch of the frame's log.
    pub(super) epoch: u32,
    /// When the frame was made, seconds since 1970.
    pub(super) seconds: u32,
    pub(super) change: Change,
}

/// Gives all changes of these frames to `take`.
pub(super) fn each_change(derived: &Derived, wanted: Wanted, take: &mut dyn FnMut(Seen)) -> Result<()> {
    // A process may go on with the page of yesterday for a while; none begins one before its day.
    let last_page = PageId(wanted.until_seconds / 86_400);
    for page in derived.pages.all()?.into_iter().take_while(|page| *page <= last_page) {
        for name in logs_of_page(&derived.disk, derived.pages.root(), page)? {
            if wanted.journals_only && name.kind != LogKind::Journal {
                continue;
            }
            read_log(derived, name, HOW, &mut |epoch, frame| {
                let seconds = frame.head.seconds;
                if seconds <= wanted.until_seconds {
                    let changes = frame.changes.into_iter();
                    changes.for_each(|change| take(Seen { epoch, seconds, change }));
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}
