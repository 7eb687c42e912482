//! What others, or the session itself, changed in the selected mailbox, told to the client piece by piece.

use protocol::imap::reply::code::{Code, NewKeywords};
use protocol::imap::reply::fetch as fetch_reply;
use protocol::imap::reply::mailbox as reply;
use protocol::imap::reply::status::{self, Condition};
use protocol::imap::syntax::flag::SystemFlags;
use store::view::{Changes, Refresh};
use store::{Keywords, Mailbox, ModSeq, StoreError};

use super::ending::Tell;
use super::selected::{Access, Selected};
use crate::conversation::Turn;

/// Changes on their way to the client.
pub(crate) struct Untagged {
    changes: Changes,
    /// EXPUNGEs that were written.
    expunged: usize,
    /// Whether EXISTS was written, if it is to be.
    exists_told: bool,
    /// Flags that were written.
    flags: usize,
    with_uids: bool,
    own: Option<ModSeq>,
}

impl Untagged {
    /// What there is to tell; `None` if nothing happened.
    ///
    /// # Errors
    /// The mailbox is gone or cannot be read.
    pub(crate) fn collect(
        selected: &mut Selected,
        tell: Tell,
        turn: &Turn<'_>,
    ) -> Result<Option<Untagged>, StoreError> {
        let (expunges, with_uids, own) = match tell {
            Tell::Nothing => return Ok(None),
            Tell::NoExpunge { own } => (false, false, own),
            Tell::WithUids { own } => (true, true, own),
            Tell::Everything => (true, false, None),
        };
        let mailbox = selected.mailbox(&turn.shared.store)?;
        if mailbox.is_deleted() {
            return Err(StoreError::NotFound("mailbox"));
        }
        let told = selected.view.parked();
        let highest = mailbox.highest_modseq();
        if told.flags_upto == highest && (told.expunged_upto == highest || !expunges) {
            return Ok(None);
        }
        let changes = selected.view.refresh(&mailbox, Refresh { expunges })?;
        if changes.is_empty() {
            return Ok(None);
        }
        Ok(Some(Untagged { changes, expunged: 0, exists_told: false, flags: 0, with_uids, own }))
    }

    /// Writes until the output is full; true when all was written.
    ///
    /// # Errors
    /// The mailbox is gone or cannot be read.
    pub(crate) fn write(&mut self, selected: &mut Selected, turn: &mut Turn<'_>) -> Result<bool, StoreError> {
        let mailbox = selected.mailbox(&turn.shared.store)?;
        while let Some(&sequence) = self.changes.expunged.get(self.expunged) {
            if turn.output.is_full() {
                return Ok(false);
            }
            reply::expunge(turn.output.bytes(), sequence);
            self.expunged += 1;
        }
        if !self.exists_told {
            self.exists_told = true;
            if let Some(exists) = self.changes.exists {
                selected.claim_recent(&mailbox);
                let out = turn.output.bytes();
                reply::exists(out, exists);
                reply::recent(out, selected.count_recent(&mailbox)?);
            }
        }
        if self.flags < self.changes.flags.len() {
            let keywords = mailbox.keywords()?;
            if keywords.iter().count() != selected.announced_keywords {
                announce_flags(turn.output.bytes(), selected, &keywords);
            }
            return self.write_flags(selected, &mailbox, &keywords, turn);
        }
        Ok(true)
    }

    fn write_flags(
        &mut self,
        selected: &Selected,
        mailbox: &Mailbox,
        keywords: &Keywords,
        turn: &mut Turn<'_>,
    ) -> Result<bool, StoreError> {
        let cells = mailbox.cells()?;
        while let Some(&cell) = self.changes.flags.get(self.flags) {
            if turn.output.is_full() {
                return Ok(false);
            }
            self.flags += 1;
            let (Some(state), Some(sequence)) = (cells.flags(cell), selected.view.seq_of_cell(cell)) else {
                continue;
            };
            if self.own == Some(state.modseq) {
                continue;
            }
            let out = turn.output.bytes();
            fetch_reply::begin(out, sequence);
            if self.with_uids {
                fetch_reply::uid(out, state.uid.get());
                fetch_reply::separate(out);
            }
            selected.write_flags(out, state.uid.get(), state.flags, keywords);
            fetch_reply::end(out);
        }
        Ok(true)
    }
}

/// Appends FLAGS and PERMANENTFLAGS (RFC 3501, 7.2.6), and remembers which keywords they named.
pub(crate) fn announce_flags(out: &mut Vec<u8>, selected: &mut Selected, keywords: &Keywords) {
    selected.announced_keywords = keywords.iter().count();
    let names: Vec<&str> = keywords.iter().map(|(_, name)| name).collect();
    reply::flags(out, SystemFlags::ALL, names.iter().copied());
    let permanent = match selected.access {
        Access::ReadWrite => {
            let new =
                if keywords.first_free().is_some() { NewKeywords::Allowed } else { NewKeywords::Refused };
            Code::PermanentFlags(SystemFlags::ALL, &names, new)
        }
        Access::ReadOnly => Code::PermanentFlags(SystemFlags::default(), &[], NewKeywords::Refused),
    };
    status::untagged(out, Condition::Ok, Some(permanent), "Flags that are kept");
}
