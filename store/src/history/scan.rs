//! Reads the frames that tell of a time, in any order of logs. Damaged places are passed over and noted, as everywhere.

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

/// Which logs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// Journals: names of mailboxes change in no other, and snapshots are in no other.
    Journals,
    /// Journals, and buckets with frames that were made at this time or before, seconds since 1970.
    AndBucketsUntil(u32),
}

/// A change, and the frame that has it.
pub(super) struct Seen {
    /// The epoch of the frame's log.
    pub(super) epoch: u32,
    /// When the frame was made, seconds since 1970.
    pub(super) seconds: u32,
    pub(super) change: Change,
}

/// Gives all changes of these logs to `take`, whenever they were made.
pub(super) fn each_change(derived: &Derived, wanted: Wanted, take: &mut dyn FnMut(Seen)) -> Result<()> {
    for page in derived.pages.all()? {
        for name in logs_of_page(&derived.disk, derived.pages.root(), page)? {
            let is_wanted = match (name.kind, wanted) {
                (LogKind::Journal, _) => true,
                // A process may go on with the page of yesterday for a while; none begins one before its day.
                (LogKind::Bucket, Wanted::AndBucketsUntil(seconds)) => page <= PageId(seconds / 86_400),
                (LogKind::Bucket, Wanted::Journals) => false,
            };
            if !is_wanted {
                continue;
            }
            read_log(derived, name, HOW, &mut |epoch, frame| {
                let seconds = frame.head.seconds;
                frame.changes.into_iter().for_each(|change| take(Seen { epoch, seconds, change }));
                Ok(())
            })?;
        }
    }
    Ok(())
}
