//! What is asked of a pass that gives space back, and what it tells.

use crate::close::CloseReport;
use crate::prune::PruneReport;

/// How to give space back.
#[derive(Clone, Debug)]
pub struct GcOptions {
    /// Only look: say what would be done.
    pub dry_run: bool,
    /// Count the references of all messages anew, also where nothing says that their counts may be wrong.
    pub recount: bool,
    /// Seconds for which expunged messages and deleted mailboxes are kept; `None`: as the store was opened with.
    pub history_seconds: Option<u64>,
    /// A bucket of an ended day is rewritten when at most so many percent of its space are messages that somebody has …
    pub thin_percent: u8,
    /// … and so many octets at least would be won.
    pub thin_least_bytes: u64,
}

impl Default for GcOptions {
    fn default() -> GcOptions {
        GcOptions {
            dry_run: false,
            recount: false,
            history_seconds: None,
            thin_percent: 60,
            thin_least_bytes: 256 << 10,
        }
    }
}

/// What a pass is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GcStep {
    /// Looks for what nobody needs.
    Look,
    /// Takes messages from expunged cells and deleted mailboxes.
    Release,
    /// Counts who has which message.
    Recount,
    /// Frees messages that nobody has.
    Free,
    /// Unlinks dead buckets and rewrites thin ones.
    Buckets,
    /// Closes the pages of days that are over.
    Close,
}

/// How far a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcProgress {
    /// What it is at.
    pub step: GcStep,
    /// Mailboxes, or pages, that are done …
    pub done: usize,
    /// … of so many.
    pub total: usize,
}

/// What a pass did (or would do, if it only looked).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Cells of expunged messages, and of deleted mailboxes, that let go of their messages.
    pub released_cells: u64,
    /// Mailboxes that were rewritten without the cells of expunged messages.
    pub compacted_mailboxes: u64,
    /// Deleted mailboxes that were removed.
    pub removed_mailboxes: u64,
    /// Folders of deleted users that were removed.
    pub removed_users: u64,
    /// Pages whose references were counted anew.
    pub recounted_pages: u64,
    /// Messages whose count was wrong.
    pub corrected_counts: u64,
    /// Messages that nobody had.
    pub freed_messages: u64,
    /// RFC822.SIZE of these.
    pub freed_octets: u64,
    /// Octets of their content that were given back inside of buckets.
    pub punched_octets: u64,
    /// Buckets that held nothing more.
    pub unlinked_buckets: u64,
    /// Space they took.
    pub unlinked_octets: u64,
    /// Buckets whose live messages were written to a new one.
    pub rewritten_buckets: u64,
    /// Space that saved.
    pub rewritten_octets: u64,
    /// Deliveries so far of messages that were counted because they had come before on the same day …
    pub equal_messages: u64,
    /// … and the octets that were not stored because of that.
    pub equal_octets: u64,
    /// Pages that were closed.
    pub closed: CloseReport,
    /// Journals that were removed.
    pub pruned: PruneReport,
    /// What was left undone, and why.
    pub left: Vec<String>,
}
