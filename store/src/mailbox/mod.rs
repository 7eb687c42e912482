//! A mailbox's cells file: signatures.
#![allow(missing_docs, unused_variables)]

mod keywords;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::change::{Added, Flags, ZonedTime};
use crate::error::{Result, StoreError};
use crate::ids::{CellIndex, MailboxId, MessageId, ModSeq, Uid};

pub use keywords::Keywords;

/// An open cells file. Share it as `Arc<Mailbox>`; all reading is lock-free.
#[derive(Debug)]
pub struct Mailbox {}

/// What STATUS and SELECT say, consistent in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxStatus {
    pub exists: u32,
    pub unseen: u32,
    pub deleted: u32,
    pub recent: u32,
    /// RFC822.SIZE of all live messages together.
    pub size: u64,
    pub uid_next: u32,
    pub uid_validity: u32,
    pub highest_modseq: ModSeq,
}

/// One cell, copied out and its checksum verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub uid: Uid,
    pub flags: Flags,
    pub expunged: bool,
    pub modseq: ModSeq,
    pub internal_date: ZonedTime,
    pub sent_date: Option<ZonedTime>,
    pub save_seconds: u32,
    pub size: u32,
    pub message: MessageId,
}

/// What changes often in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellFlags {
    /// 0 only in a damaged file
    pub uid: u32,
    pub flags: Flags,
    pub modseq: ModSeq,
    pub expunged: bool,
}

/// A fixed look at the cells: one mapping, so many cells. What a scan works on; values in it still change under writers.
#[derive(Clone, Debug)]
pub struct Cells {}

impl Cells {
    pub fn count(&self) -> u32 { todo!() }
    pub fn uid(&self, index: CellIndex) -> Option<Uid> { todo!() }
    pub fn flags(&self, index: CellIndex) -> Option<CellFlags> { todo!() }
    pub fn cell(&self, index: CellIndex) -> Result<Cell> { todo!() }
    /// The cell of `uid` (perhaps a tombstone), or the place of the first cell with a higher one.
    pub fn find_uid(&self, uid: Uid) -> std::result::Result<CellIndex, CellIndex> { todo!() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddOutcome { New, Already }

/// What `after_power_cut` found.
#[derive(Debug, Default)]
pub struct PowerCutReport {
    /// Cells that were holes or whose checksum was wrong; they are gone.
    pub damaged: Vec<StoreError>,
    /// Messages for which the caller's verdict was no; their cells are tombstones now.
    pub dropped: Vec<(Uid, MessageId)>,
}

impl Mailbox {
    /// Makes a mailbox's cells file at `path` (`.../m<number>/cells`; the folder is made), in place of one that may be there.
    pub fn create(path: &Path, id: MailboxId, uid_validity: u32, epoch: u32) -> Result<Mailbox> { todo!() }
    /// Opens and verifies the header. If `epoch()` then is below the store's, call `after_power_cut` under the mailbox's lock.
    pub fn open(path: &Path, id: MailboxId) -> Result<Mailbox> { todo!() }
    pub fn path(&self) -> &Path { todo!() }
    pub fn id(&self) -> MailboxId { todo!() }
    pub fn uid_validity(&self) -> u32 { todo!() }
    pub fn epoch(&self) -> u32 { todo!() }
    pub fn is_deleted(&self) -> bool { todo!() }
    pub fn uid_next(&self) -> u32 { todo!() }
    pub fn highest_modseq(&self) -> ModSeq { todo!() }
    pub fn status(&self) -> Result<MailboxStatus> { todo!() }
    pub fn cells(&self) -> Result<Cells> { todo!() }
    pub fn cell_count(&self) -> u32 { todo!() }
    pub fn cell(&self, index: CellIndex) -> Result<Cell> { todo!() }
    pub fn find_uid(&self, uid: Uid) -> Result<std::result::Result<CellIndex, CellIndex>> { todo!() }
    pub fn uid_at(&self, index: CellIndex) -> Result<Uid> { todo!() }
    pub fn flags_at(&self, index: CellIndex) -> Result<(Flags, ModSeq)> { todo!() }
    pub fn keywords(&self) -> Result<Keywords> { todo!() }
    /// Takes the \Recent messages up to `uid_upto` for the caller's session: the UIDs that are recent in it alone.
    pub fn claim_recent(&self, uid_upto: u32) -> Range<u32> { todo!() }
    /// How many live messages no session has claimed as \Recent.
    pub fn recent_count(&self) -> Result<u32> { todo!() }

    /// Recovery only, under the mailbox's lock, before anything else reads it. `keep` says of each live cell whether its
    /// message is really there. Raises `uid_next` and `highest_modseq` above what was known and seen, and sets the epoch.
    pub(crate) fn after_power_cut(
        &self,
        epoch: u32,
        known_uid_next: u32,
        known_modseq: ModSeq,
        keep: &mut dyn FnMut(&Cell) -> bool,
    ) -> Result<PowerCutReport> { todo!() }
    /// Room for `cells` more, before anything is logged. Under the mailbox's lock.
    pub(crate) fn reserve(&self, cells: u32) -> Result<()> { todo!() }
    /// Starts a patch. Under the mailbox's lock, which is held until `publish`. If an earlier writer died within its patch,
    /// all summaries and counts are made again from the cells first; then apply its changes again.
    pub(crate) fn writer(&self) -> Result<Writer<'_>> { todo!() }
}

/// A patch of one mailbox's views. Each `apply_…` is idempotent. Ends with `publish`; dropped without, the next writer repairs.
pub(crate) struct Writer<'a> {
    mailbox: &'a Mailbox,
}

impl Writer<'_> {
    pub(crate) fn apply_add(&mut self, added: &Added) -> Result<AddOutcome> { todo!() }
    /// Whether the flags are now these through this change (false: no such UID, expunged, or changed later).
    pub(crate) fn apply_flags(&mut self, uid: Uid, flags: Flags, modseq: ModSeq) -> Result<bool> { todo!() }
    /// The message whose reference falls, if it was not expunged already.
    pub(crate) fn apply_expunge(&mut self, uid: Uid, modseq: ModSeq) -> Result<Option<MessageId>> { todo!() }
    pub(crate) fn apply_keyword(&mut self, bit: u8, name: &str) -> Result<()> { todo!() }
    /// The mailbox is deleted; sessions that have it open see that.
    pub(crate) fn mark_deleted(&mut self) { todo!() }
    /// Everything up to `highest_modseq` is visible. Neither number ever falls.
    pub(crate) fn publish(self, highest_modseq: ModSeq, uid_next: u32) { todo!() }
}

#[allow(unused)]
fn unused(_: Arc<Mailbox>) {}
