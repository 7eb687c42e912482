//! MESSAGELIMIT (RFC 9738): how many messages one command changes.
//!
//! - COPY and APPEND of more are refused, for they are done whole or not at all.
//! - STORE, MOVE and UID EXPUNGE do the last so many of their messages, and say which was the first of those.
//! - FETCH and SEARCH are not cut, which section 4.2 allows: they run in turns with little memory whatever they name, and a client that
//!   does not know the extension would take what is missing for expunged.
//! - EXPUNGE, CLOSE and STATUS have no limit.
//!
//! SAVELIMIT stands for MESSAGELIMIT where nothing but COPY and APPEND is limited (section 3), so it is never announced.

use protocol::imap::reply::code::Code;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::{CellIndex, Mailbox};

use super::selected::Selected;

/// The limit that is announced: what a store can do at once while others wait for the mailbox's lock.
pub(crate) const MESSAGES_MAX: u32 = 100_000;

/// What is left of a command's messages.
pub(crate) struct Limited {
    /// The messages that it has to do with.
    pub(crate) sequences: NumberSet,
    /// The UID of the first of them, if there were more.
    pub(crate) lowest: Option<u32>,
}

impl Limited {
    /// The last [`MESSAGES_MAX`] of `sequences`.
    pub(crate) fn new(sequences: NumberSet, selected: &Selected, mailbox: &Mailbox) -> Limited {
        let Some(kept) = last_of(&sequences, u64::from(MESSAGES_MAX)) else {
            return Limited { sequences, lowest: None };
        };
        let first = kept.ranges().first().and_then(|&(first, _)| selected.view.cell_of_seq(first));
        let lowest = first.and_then(|cell| mailbox.uid_at(cell).ok());
        Limited { sequences: kept, lowest: Some(lowest.map_or(1, |uid| uid.get())) }
    }

    /// What the command's end says of it.
    pub(crate) fn code(&self) -> Option<Code<'static>> {
        code(self.lowest)
    }
}

/// The last of `cells` that one command may change, and the UID of the first of them, if there were more.
pub(crate) fn last_cells(cells: &mut Vec<CellIndex>, mailbox: &Mailbox) -> Option<u32> {
    let more = cells.len().checked_sub(MESSAGES_MAX as usize).filter(|more| *more > 0)?;
    cells.drain(..more);
    let lowest = cells.first().and_then(|cell| mailbox.uid_at(*cell).ok());
    Some(lowest.map_or(1, |uid| uid.get()))
}

/// MESSAGELIMIT, if there were more messages than are done.
pub(crate) fn code(lowest: Option<u32>) -> Option<Code<'static>> {
    lowest.map(|uid| Code::MessageLimit(MESSAGES_MAX, Some(uid)))
}

/// The last `most` numbers of a set that has more.
fn last_of(set: &NumberSet, most: u64) -> Option<NumberSet> {
    let mut more = set.count().checked_sub(most).filter(|more| *more > 0)?;
    let mut kept = Vec::new();
    for &(first, last) in set.ranges() {
        let here = u64::from(last - first) + 1;
        let left_out = more.min(here);
        more -= left_out;
        if left_out < here {
            kept.push((first + left_out as u32, last));
        }
    }
    Some(NumberSet::from_ranges(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_messages_are_kept() {
        let set = NumberSet::from_ranges(vec![(1, 5), (8, 8), (10, 20)]);
        assert_eq!(last_of(&set, 17), None);
        assert_eq!(last_of(&set, 18), None);
        let kept = |most| last_of(&set, most).expect("there are more").ranges().to_vec();
        assert_eq!(kept(16), [(2, 5), (8, 8), (10, 20)]);
        assert_eq!(kept(12), [(8, 8), (10, 20)]);
        assert_eq!(kept(11), [(10, 20)]);
        assert_eq!(kept(1), [(20, 20)]);
        assert_eq!(last_of(&NumberSet::from_ranges(vec![(1, u32::MAX)]), 1).expect("more").count(), 1);
    }
}
