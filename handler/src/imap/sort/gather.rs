//! Reads what SORT and THREAD compare of the messages that were found: their cells, and their records if need be.
//!
//! A chunk of messages at a time is read in the order in which their records lie on the disk, which is the order in which they came to
//! the store. In a mailbox that others were copied or moved to, that is not the order of the mailbox.

use message::Record;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::{Cell, MessageId, StoreError};

use crate::conversation::Turn;
use crate::imap::selected::Selected;
use crate::log;

/// Messages of a chunk.
const CHUNK: usize = 8192;
/// Messages that are read between two looks at the clock.
const STRIDE: usize = 32;

/// What the cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Its sequence number.
    pub(crate) sequence: u32,
    /// Its UID.
    pub(crate) uid: u32,
    /// The message.
    pub(crate) message: MessageId,
    /// INTERNALDATE in seconds since 1970.
    pub(crate) arrived: i64,
    /// When it was sent, or else `arrived` (RFC 5256, 2.2).
    pub(crate) sent: i64,
    /// Octets.
    pub(crate) size: u32,
}

impl Facts {
    /// Those of a cell.
    pub(crate) fn of(sequence: u32, cell: &Cell) -> Facts {
        let arrived = cell.internal_date.seconds;
        let sent = cell.sent_date.map_or(arrived, |date| date.seconds);
        Facts { sequence, uid: cell.uid.get(), message: cell.message, arrived, sent, size: cell.size }
    }
}

/// Takes what is read.
pub(crate) trait Sink {
    /// A message, the `place`th of its chunk. `None`: its record was not asked for, or it cannot be read.
    fn message(&mut self, place: usize, facts: &Facts, record: Option<&Record<'_>>);

    /// All messages of a chunk were given, in whatever order; these they are, in the order of the mailbox. False if time was up: it
    /// is called again.
    fn chunk(&mut self, facts: &[Facts], is_time_up: &dyn Fn() -> bool) -> bool {
        let _ = (facts, is_time_up);
        true
    }
}

/// Whether records are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Only cells.
    Cells,
    /// Records as well.
    Records,
}

/// Reading on its way.
pub(crate) struct Gather {
    depth: Depth,
    sequences: Vec<(u32, u32)>,
    /// The range, and the number in it, from which the next chunk is.
    range: usize,
    next: u32,
    chunk: Vec<Facts>,
    /// Places of the chunk in the order of reading, if that is not their own.
    order: Vec<u32>,
    /// How many of the chunk were read.
    read: usize,
    failures: u32,
}

impl Gather {
    /// For messages with these sequence numbers.
    pub(crate) fn new(sequences: NumberSet, depth: Depth) -> Gather {
        Gather {
            depth,
            sequences: sequences.ranges().to_vec(),
            range: 0,
            next: 0,
            chunk: Vec::new(),
            order: Vec::new(),
            read: 0,
            failures: 0,
        }
    }

    /// Reads until time is up; true when all was read. A message of which no record can be made counts as one without a header.
    ///
    /// # Errors
    /// The mailbox cannot be read.
    pub(crate) fn go_on(
        &mut self,
        selected: &mut Selected,
        turn: &Turn<'_>,
        sink: &mut impl Sink,
        is_time_up: &dyn Fn() -> bool,
    ) -> Result<bool, StoreError> {
        let store = &turn.shared.store;
        let mut records = store.records();
        loop {
            while self.read < self.chunk.len() {
                let place = self.order.get(self.read).map_or(self.read, |&place| place as usize);
                let facts = &self.chunk[place];
                match self.depth {
                    Depth::Cells => sink.message(place, facts, None),
                    Depth::Records => {
                        let record =
                            records.record(facts.message).ok().and_then(|bytes| Record::parse(bytes).ok());
                        self.failures += u32::from(record.is_none());
                        sink.message(place, facts, record.as_ref());
                    }
                }
                self.read += 1;
                if self.read.is_multiple_of(STRIDE) && self.read < self.chunk.len() && is_time_up() {
                    return Ok(false);
                }
            }
            if !sink.chunk(&self.chunk, is_time_up) {
                return Ok(false);
            }
            if !self.begin_chunk(selected, turn)? {
                if self.failures > 0 {
                    let mailbox = selected.id.key();
                    log::error!("records not readable", mailbox = mailbox, messages = self.failures);
                }
                return Ok(true);
            }
            if is_time_up() {
                return Ok(false);
            }
        }
    }

    /// Reads the cells of the next chunk; false if there is none.
    fn begin_chunk(&mut self, selected: &mut Selected, turn: &Turn<'_>) -> Result<bool, StoreError> {
        let mailbox = selected.mailbox(&turn.shared.store)?;
        let cells = mailbox.cells()?;
        self.chunk.clear();
        self.order.clear();
        self.read = 0;
        while let Some(&(first, last)) = self.sequences.get(self.range) {
            let from = first.max(self.next);
            let room = u32::try_from(CHUNK - self.chunk.len()).unwrap_or(u32::MAX);
            let until = last.min(from.saturating_add(room - 1));
            for (sequence, index) in selected.view.cells_in_seq_range(from..=until) {
                self.chunk.push(Facts::of(sequence, &cells.cell(index)?));
            }
            if until == last {
                self.range += 1;
                self.next = 0;
            } else {
                self.next = until + 1;
            }
            if self.chunk.len() == CHUNK {
                break;
            }
        }
        let place_on_disk = |facts: &Facts| (facts.message.page, facts.message.index);
        if self.depth == Depth::Records && !self.chunk.is_sorted_by_key(place_on_disk) {
            self.order.extend(0..self.chunk.len() as u32);
            self.order.sort_unstable_by_key(|&place| place_on_disk(&self.chunk[place as usize]));
        }
        Ok(!self.chunk.is_empty())
    }
}
