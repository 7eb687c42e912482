//! EXPUNGE (RFC 3501, 6.4.3) and UID EXPUNGE (RFC 4315).

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use protocol::imap::syntax::sequence_set::SequenceSet;
use shm_abi::Tally;
use store::change::SystemFlags;
use store::{CellIndex, ChangeError, Right, StoreError, Ticket};

use super::ending::{Ending, Tell};
use super::selected::{Selected, Unresolved};
use super::untagged::Known;
use super::{Flow, ImapSession, Stage, message_limit};
use crate::conversation::Turn;
use crate::log;

impl ImapSession {
    pub(super) fn expunge(&mut self, tag: Tag, uids: Option<&SequenceSet>, turn: &mut Turn<'_>) -> Flow {
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        if let Some((code, text)) = selected.refusal_of(Right::Expunge) {
            return self.refuse(turn, &tag, Condition::No, Some(code), text);
        }
        match expunge_deleted(selected, uids, turn) {
            Ok(expunged) => {
                let tell = match uids {
                    Some(_) => Tell::WithUids(Known::default()),
                    None => Tell::Everything,
                };
                let code = message_limit::code(expunged.lowest);
                let mut ending = Ending::with(tag.clone(), tell, Condition::Ok, code, "EXPUNGE completed");
                if expunged.is_any {
                    ending = ending.after_expunging();
                }
                self.end_after(tag, expunged.ticket, ending)
            }
            Err(error) => self.refuse_change(turn, &tag, &error, Code::NonExistent),
        }
    }
}

/// What an EXPUNGE did.
pub(super) struct Expunged {
    /// When it is durable.
    pub(super) ticket: Ticket,
    /// Whether it expunged a message.
    is_any: bool,
    /// The lowest UID that it came to, if there are more to expunge.
    lowest: Option<u32>,
}

/// Expunges the messages of the view that are `\Deleted`, or those of `uids` among them.
///
/// # Errors
/// Nothing was expunged.
pub(super) fn expunge_deleted(
    selected: &mut Selected,
    uids: Option<&SequenceSet>,
    turn: &Turn<'_>,
) -> Result<Expunged, ChangeError> {
    let mut deleted = deleted_cells(selected, uids, turn)?;
    if deleted.is_empty() {
        return Ok(Expunged { ticket: Ticket(0), is_any: false, lowest: None });
    }
    let mut lowest = None;
    // EXPUNGE and CLOSE have no limit (RFC 9738, 3.1).
    if uids.is_some() {
        let mailbox = selected.mailbox(&turn.shared.store)?;
        lowest = message_limit::last_cells(&mut deleted, &mailbox);
    }
    let mut txn = turn.shared.store.begin();
    txn.expunge(selected.id, &deleted);
    let committed = txn.commit()?;
    turn.announce(committed.ticket, &committed.touched);
    turn.shared.metrics().add(Tally::ExpungedMessages, deleted.len() as u64);
    log::audit!(
        "expunged",
        protocol = "imap",
        owner = selected.id.user.0,
        mailbox = log::mailbox_name(turn.shared, selected.id),
        messages = deleted.len(),
        ticket = committed.ticket.0,
    );
    Ok(Expunged { ticket: committed.ticket, is_any: true, lowest })
}

fn deleted_cells(
    selected: &mut Selected,
    uids: Option<&SequenceSet>,
    turn: &Turn<'_>,
) -> Result<Vec<CellIndex>, StoreError> {
    let mailbox = selected.mailbox(&turn.shared.store)?;
    let cells = mailbox.cells()?;
    let candidates: Vec<CellIndex> = match uids.map(|uids| selected.resolve(&mailbox, Numbering::Uid, uids)) {
        None => selected.view.cells().map(|(_, cell)| cell).collect(),
        Some(Ok(sequences)) => selected.cells(&sequences),
        // UIDs need not exist.
        Some(Err(Unresolved::NoSuchMessage)) => Vec::new(),
        Some(Err(Unresolved::Store(error))) => return Err(error),
    };
    let mut deleted = Vec::new();
    for cell in candidates {
        let state = cells.flags(cell)?;
        if !state.expunged && state.flags.system.contains(SystemFlags::DELETED) {
            deleted.push(cell);
        }
    }
    Ok(deleted)
}
