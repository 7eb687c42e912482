//! What the key of SEARCH, SORT or THREAD asks beside which messages are found: MODSEQ in the reply (RFC 7162, 3.1.5), and that message
//! numbers do not move before the end.

use protocol::imap::Numbering;
use protocol::imap::command::search::SearchKey;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::mailbox::Cells;
use store::{ModSeq, StoreError};

use super::super::ending::Tell;
use super::super::selected::Selected;
use super::super::untagged::Known;

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bearing {
    /// Whether the reply says the highest modseq of what it tells. Such a key enables CONDSTORE.
    pub(crate) tells_modseq: bool,
    /// Numbers in the reply or in the key must not move before the command ends (RFC 3501, 7.4.1; RFC 7162, 3.2.10.2).
    numbers_stay: bool,
}

impl Bearing {
    /// That of `key` in a command that answers with `numbering`.
    pub(crate) fn of(key: &SearchKey, numbering: Numbering) -> Bearing {
        let numbers_stay = numbering == Numbering::Sequence || key.has_message_numbers();
        Bearing { tells_modseq: key.has_modseq(), numbers_stay }
    }

    /// What may be told at the end.
    pub(crate) fn tell(self) -> Tell {
        let numbering = if self.numbers_stay { Numbering::Sequence } else { Numbering::Uid };
        Tell::by(numbering, Known::default())
    }

    /// The modseq that the reply says, given the sequence numbers that it tells; `None` if it says none.
    ///
    /// # Errors
    /// The mailbox cannot be read.
    pub(crate) fn modseq(
        self,
        told: &NumberSet,
        selected: &Selected,
        cells: &Cells,
    ) -> Result<Option<u64>, StoreError> {
        let mut highest = None;
        if self.tells_modseq {
            for &(first, last) in told.ranges() {
                for (_, cell) in selected.view.cells_in_seq_range(first..=last) {
                    highest = highest.max(Some(cells.flags(cell)?.modseq));
                }
            }
        }
        Ok(highest.map(|ModSeq(modseq)| modseq))
    }
}
