//! A session's view of a mailbox: signatures.
#![allow(missing_docs, unused_variables, dead_code)]

use std::ops::{Range, RangeInclusive};

use crate::error::Result;
use crate::ids::{CellIndex, ModSeq, Uid};
use crate::mailbox::Mailbox;

/// What a session has been told, all that must be parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedView {
    pub uid_upto: u32,
    pub expunged_upto: ModSeq,
    pub flags_upto: ModSeq,
}

/// How far a refresh may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// Whether EXPUNGE may be sent now (RFC 3501, 7.4.1).
    pub expunges: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Sequence numbers in the order in which EXPUNGE responses must be sent, each counted after the previous ones.
    pub expunged: Vec<u32>,
    /// UIDs of `expunged`, same order (for VANISHED).
    pub expunged_uids: Vec<u32>,
    /// The new number of messages, if messages were added.
    pub exists: Option<u32>,
    /// Messages told before whose flags changed.
    pub flags: Vec<CellIndex>,
}

impl Changes {
    pub fn is_empty(&self) -> bool { todo!() }
}

#[derive(Clone, Debug)]
pub struct View {}

impl View {
    pub fn open(mailbox: &Mailbox) -> Result<View> { todo!() }
    pub fn restore(mailbox: &Mailbox, parked: ParkedView) -> Result<View> { todo!() }
    pub fn parked(&self) -> ParkedView { todo!() }
    /// Gives the memory back; `ensure_cache` (or `refresh`) makes it again.
    pub fn forget_cache(&mut self) { todo!() }
    pub fn ensure_cache(&mut self, mailbox: &Mailbox) -> Result<()> { todo!() }
    pub fn exists(&self) -> u32 { todo!() }
    pub fn uid_upto(&self) -> u32 { todo!() }
    pub fn cell_of_seq(&self, seq: u32) -> Option<CellIndex> { todo!() }
    pub fn seq_of_cell(&self, cell: CellIndex) -> Option<u32> { todo!() }
    /// (sequence number, cell), ascending
    pub fn cells(&self) -> CellsInView<'_> { todo!() }
    pub fn cells_in_seq_range(&self, range: RangeInclusive<u32>) -> CellsInView<'_> { todo!() }
    /// Sequence numbers of the messages with UIDs first..=last; empty range if none.
    pub fn seqs_for_uid_range(&self, mailbox: &Mailbox, first: Uid, last: Uid) -> Result<Range<u32>> { todo!() }
    /// Sequence number of the first message without \Seen.
    pub fn first_unseen(&self, mailbox: &Mailbox) -> Result<Option<u32>> { todo!() }
    /// How many messages have UIDs in `recent`, from `Mailbox::claim_recent`.
    pub fn count_uids(&self, mailbox: &Mailbox, uids: Range<u32>) -> Result<u32> { todo!() }
    pub fn refresh(&mut self, mailbox: &Mailbox, how: Refresh) -> Result<Changes> { todo!() }
}

pub struct CellsInView<'a> { view: &'a View }

impl Iterator for CellsInView<'_> {
    type Item = (u32, CellIndex);
    fn next(&mut self) -> Option<(u32, CellIndex)> { todo!() }
}
