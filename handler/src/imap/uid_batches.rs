//! UIDBATCHES (RFC 10022): ranges of UIDs with as many messages each, the newest first, for clients that go through a mailbox piece by
//! piece without sequence numbers.
//!
//! It reads one cell a batch. The ranges leave no gap, so that whatever comes or goes later is in one of them or above all.

use protocol::imap::command::Tag;
use protocol::imap::extension::uid_batches::{UidBatchesArguments, reply};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use store::StoreError;

use super::ending::Tell;
use super::selected::Selected;
use super::{Flow, ImapSession, Stage};
use crate::conversation::Turn;

/// Smaller batches are refused.
const SIZE_MIN: u32 = 500;

impl ImapSession {
    pub(super) fn uid_batches(
        &mut self,
        tag: Tag,
        arguments: UidBatchesArguments,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        let batches = arguments.batches.unwrap_or((1, u32::MAX));
        if batches.0 > batches.1 {
            let text = "The first batch comes before the last";
            return self.refuse(turn, &tag, Condition::Bad, Some(Code::ClientBug), text);
        }
        if arguments.size < SIZE_MIN {
            let text = format!("A batch has at least {SIZE_MIN} messages");
            return self.refuse(turn, &tag, Condition::No, Some(Code::TooFew), &text);
        }
        match ranges(selected, arguments.size, batches, turn) {
            Ok(ranges) => {
                reply(turn.output.bytes(), &tag, &ranges);
                self.end(turn, tag, Tell::Everything, "UIDBATCHES completed")
            }
            Err(error) => self.refuse_store(turn, &tag, &error),
        }
    }
}

/// The UIDs of these batches, from the higher to the lower end.
fn ranges(
    selected: &mut Selected,
    size: u32,
    (first, last): (u32, u32),
    turn: &Turn<'_>,
) -> Result<Vec<(u32, u32)>, StoreError> {
    let mailbox = selected.mailbox(&turn.shared.store)?;
    let cells = mailbox.cells()?;
    let exists = selected.view.exists();
    let uid = |sequence| match selected.view.cell_of_seq(sequence) {
        Some(cell) => cells.uid(cell).map(store::Uid::get),
        None => Err(StoreError::NotFound("message")),
    };
    // The lowest UID of the batch that so many batches end with; batch 0 is above all messages.
    let low = |batch: u32| match exists.checked_sub(batch.saturating_mul(size)) {
        _ if batch == 0 => uid(exists).map(|uid| uid.saturating_add(1)),
        // The last batch has what is left, from the first UID on.
        None | Some(0) => Ok(1),
        Some(before) => uid(before + 1),
    };
    let mut ranges = Vec::new();
    let last = last.min(exists.div_ceil(size));
    if first <= last {
        let mut above = low(first - 1)?;
        for batch in first..=last {
            let lowest = low(batch)?;
            ranges.push((above - 1, lowest));
            above = lowest;
        }
    }
    Ok(ranges)
}
