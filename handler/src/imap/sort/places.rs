//! The places of messages that come into the results of a SORT, among those that are there: by binary search, in turns.
//!
//! Nothing but UIDs is kept of the results, so the criteria of those that are looked at are read anew, a dozen or two for each message that comes.

use std::sync::Arc;

use message::Record;
use protocol::imap::Numbering;
use protocol::imap::extension::sort::SortCriterion;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::mailbox::{Cells, Mailbox};
use store::{RecordReader, StoreError, Uid};

use super::gather::Facts;
use super::in_order::InOrder;
use super::order::{need_records, push_criteria};
use crate::conversation::Turn;
use crate::imap::selected::Selected;

/// Why the places are not found.
#[derive(Debug)]
pub(crate) enum Unplaceable {
    /// A message of the results, or one that came, cannot be read.
    Unreadable,
    /// The mailbox cannot be read.
    Store(StoreError),
}

impl From<StoreError> for Unplaceable {
    fn from(error: StoreError) -> Unplaceable {
        Unplaceable::Store(error)
    }
}

/// A message that came and how many of the results that are there come before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// How many results come before it, those that come with it not counted.
    pub(crate) before: usize,
    /// Its UID.
    pub(crate) uid: u32,
}

/// Places on their way to be found. The view must not be refreshed meanwhile.
pub(crate) enum Places {
    /// The messages that came are put in order.
    Order(Box<InOrder>),
    /// They are in order, and their places are found one after the other.
    Search(Search),
}

/// Messages in order whose places are searched.
#[derive(Debug)]
pub(crate) struct Search {
    uids: Vec<u32>,
    placed: Vec<Placed>,
}

impl Places {
    /// For messages with these sequence numbers.
    pub(crate) fn new(messages: NumberSet, criteria: &[SortCriterion]) -> Places {
        let in_order = InOrder::new(messages, Numbering::Uid, criteria.to_vec(), Arc::default());
        Places::Order(Box::new(in_order))
    }

    /// Goes on until time is up; the places when all are found, ascending.
    ///
    /// # Errors
    /// See [`Unplaceable`].
    pub(crate) fn go_on(
        &mut self,
        results: &[u32],
        criteria: &[SortCriterion],
        selected: &mut Selected,
        turn: &Turn<'_>,
        is_time_up: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Placed>>, Unplaceable> {
        if let Places::Order(in_order) = self {
            if !in_order.go_on(selected, turn, is_time_up)? {
                return Ok(None);
            }
            let nothing = InOrder::new(NumberSet::default(), Numbering::Uid, Vec::new(), Arc::default());
            let uids = std::mem::replace(&mut **in_order, nothing).into_numbers();
            *self = Places::Search(Search::new(uids));
        }
        let Places::Search(search) = self else { return Ok(None) };
        let mailbox = selected.mailbox(&turn.shared.store)?;
        let cells = mailbox.cells()?;
        let mut reader = CriteriaReader {
            selected,
            mailbox: &mailbox,
            cells: &cells,
            criteria,
            records: need_records(criteria).then(|| turn.shared.store.records()),
        };
        let is_done = search.go_on(results, &mut |uid, out| reader.read(uid, out), is_time_up)?;
        Ok(is_done.then(|| std::mem::take(&mut search.placed)))
    }
}

impl Search {
    /// For messages with these UIDs, in order.
    pub(crate) fn new(uids: Vec<u32>) -> Search {
        Search { uids, placed: Vec::new() }
    }

    /// Finds places among `results` until time is up; true when all are found. `criteria_of` gives the criteria of a message.
    ///
    /// # Errors
    /// Those of `criteria_of`.
    pub(crate) fn go_on<E>(
        &mut self,
        results: &[u32],
        criteria_of: &mut impl FnMut(u32, &mut Vec<u8>) -> Result<(), E>,
        is_time_up: &dyn Fn() -> bool,
    ) -> Result<bool, E> {
        let (mut own, mut other) = (Vec::new(), Vec::new());
        while let Some(&uid) = self.uids.get(self.placed.len()) {
            criteria_of(uid, &mut own)?;
            // The one before it is not behind it.
            let mut low = self.placed.last().map_or(0, |placed| placed.before);
            let mut high = results.len();
            while low < high {
                let middle = low + (high - low) / 2;
                criteria_of(results[middle], &mut other)?;
                if (&other, results[middle]) < (&own, uid) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            self.placed.push(Placed { before: low, uid });
            if self.placed.len() < self.uids.len() && is_time_up() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The places that were found.
    #[cfg(test)]
    pub(crate) fn into_placed(self) -> Vec<Placed> {
        self.placed
    }
}

/// Reads the criteria of messages in view.
struct CriteriaReader<'a> {
    selected: &'a Selected,
    mailbox: &'a Mailbox,
    cells: &'a Cells,
    criteria: &'a [SortCriterion],
    /// If the criteria need records.
    records: Option<RecordReader<'a>>,
}

impl CriteriaReader<'_> {
    fn read(&mut self, uid: u32, out: &mut Vec<u8>) -> Result<(), Unplaceable> {
        out.clear();
        let facts = self.facts(uid)?.ok_or(Unplaceable::Unreadable)?;
        match &mut self.records {
            None => push_criteria(self.criteria, &facts, None, None, 0, out),
            Some(records) => {
                // Without its record a message would have another place than it was given before.
                let bytes = records.record(facts.message).map_err(|_| Unplaceable::Unreadable)?;
                let record = Record::parse(bytes).map_err(|_| Unplaceable::Unreadable)?;
                push_criteria(self.criteria, &facts, Some(&record), None, 0, out);
            }
        }
        Ok(())
    }

    fn facts(&self, uid: u32) -> Result<Option<Facts>, StoreError> {
        let Some(uid) = Uid::new(uid) else { return Ok(None) };
        let view = &self.selected.view;
        let sequence = view.seqs_for_uid_range(self.mailbox, uid, uid)?.next();
        let place = sequence.and_then(|sequence| Some((sequence, view.cell_of_seq(sequence)?)));
        let Some((sequence, index)) = place else { return Ok(None) };
        Ok(Some(Facts::of(sequence, &self.cells.cell(index)?)))
    }
}
