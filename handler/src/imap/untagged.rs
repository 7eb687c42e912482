//! What others, or the session itself, changed in the selected mailbox, told to the client piece by piece.

use protocol::imap::reply::code::{Code, NewKeywords};
use protocol::imap::reply::fetch as fetch_reply;
use protocol::imap::reply::mailbox as reply;
use protocol::imap::reply::status::{self, Condition};
use protocol::imap::syntax::flag::SystemFlags;
use store::view::{Changes, Refresh};
use store::{CellIndex, Keywords, Mailbox, ModSeq, StoreError};

use super::ending::Tell;
use super::selected::{Access, Selected};
use crate::conversation::Turn;

/// Flags that the client need not be told: it made the change itself, or has just been sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The session's own changes, ascending.
    changes: Vec<ModSeq>,
    /// Messages that others had changed before, which the client was not told; ascending.
    except: Vec<CellIndex>,
}

impl Known {
    /// A later change of the session's own.
    pub(crate) fn add(&mut self, change: ModSeq) {
        debug_assert!(self.changes.last().is_none_or(|&last| last < change));
        self.changes.push(change);
    }

    /// Those of `cells`, which are ascending, whose flags the client does not know now.
    pub(crate) fn except_untold(
        selected: &Selected,
        mailbox: &Mailbox,
        cells: &[CellIndex],
    ) -> Result<Known, StoreError> {
        let told = selected.view.parked().flags_upto;
        let mut known = Known::default();
        if mailbox.highest_modseq()? > told {
            let all = mailbox.cells()?;
            for &cell in cells {
                if all.flags(cell)?.modseq > told {
                    known.except.push(cell);
                }
            }
        }
        Ok(known)
    }

    fn covers(&self, cell: CellIndex, change: ModSeq) -> bool {
        self.changes.binary_search(&change).is_ok() && self.except.binary_search(&cell).is_err()
    }
}

/// Changes on their way to the client.
pub(crate) struct Untagged {
    changes: Changes,
    /// EXPUNGEs that were written.
    expunged: usize,
    /// Whether EXISTS and RECENT were written, if they are to be.
    counts_told: bool,
    /// Flags that were written.
    flags: usize,
    with_uids: bool,
    known: Known,
}

impl Untagged {
    /// What there is to tell; `None` if nothing happened.
    ///
    /// # Errors
    /// The mailbox is gone or cannot be read.
    pub(crate) fn collect(
        selected: &mut Selected,
        tell: &Tell,
        turn: &Turn<'_>,
    ) -> Result<Option<Untagged>, StoreError> {
        let (expunges, with_uids, known) = match tell {
            Tell::Nothing => return Ok(None),
            Tell::NoExpunge(known) => (false, false, known.clone()),
            Tell::WithUids(known) => (true, true, known.clone()),
            Tell::Everything => (true, false, Known::default()),
        };
        let mailbox = selected.mailbox(&turn.shared.store)?;
        if mailbox.is_deleted()? {
            return Err(StoreError::NotFound("mailbox"));
        }
        let told = selected.view.parked();
        let highest = mailbox.highest_modseq()?;
        if told.flags_upto == highest && (told.expunged_upto == highest || !expunges) {
            return Ok(None);
        }
        let changes = selected.view.refresh(&mailbox, Refresh { expunges })?;
        if changes.is_empty() {
            return Ok(None);
        }
        Ok(Some(Untagged { changes, expunged: 0, counts_told: false, flags: 0, with_uids, known }))
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
        if !self.counts_told {
            self.counts_told = true;
            self.write_counts(selected, &mailbox, turn)?;
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

    /// EXISTS and RECENT when there are new messages; RECENT alone when recent ones were expunged.
    fn write_counts(
        &self,
        selected: &mut Selected,
        mailbox: &Mailbox,
        turn: &mut Turn<'_>,
    ) -> Result<(), StoreError> {
        if self.changes.exists.is_none() && self.changes.expunged.is_empty() {
            return Ok(());
        }
        if let Some(exists) = self.changes.exists {
            selected.claim_recent(mailbox);
            reply::exists(turn.output.bytes(), exists);
        }
        if selected.enabled.rev2() {
            return Ok(());
        }
        let recent = selected.count_recent(mailbox)?;
        if self.changes.exists.is_some() || recent != selected.recent_told {
            selected.recent_told = recent;
            reply::recent(turn.output.bytes(), recent);
        }
        Ok(())
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
            let Some(sequence) = selected.view.seq_of_cell(cell) else { continue };
            let state = cells.flags(cell)?;
            if self.known.covers(cell, state.modseq) {
                continue;
            }
            let out = turn.output.bytes();
            fetch_reply::begin(out, sequence);
            // RFC 9051, 7.5.2: what was not asked for always has UID.
            if self.with_uids || selected.enabled.rev2() {
                fetch_reply::uid(out, state.uid.get());
                fetch_reply::separate(out);
            }
            selected.write_flags(out, state.uid.get(), state.flags, keywords);
            fetch_reply::end(out);
        }
        Ok(true)
    }
}

/// The keywords of RFC 9051, 2.3.2, which IMAP4rev2 tells of in every mailbox that has room for one more.
const PREDEFINED: [&str; 5] = ["$MDNSent", "$Forwarded", "$Junk", "$NotJunk", "$Phishing"];

/// Appends FLAGS and PERMANENTFLAGS (RFC 3501, 7.2.6), and remembers which keywords they named.
pub(crate) fn announce_flags(out: &mut Vec<u8>, selected: &mut Selected, keywords: &Keywords) {
    selected.announced_keywords = keywords.iter().count();
    let mut names: Vec<&str> = keywords.iter().map(|(_, name)| name).collect();
    if selected.enabled.rev2() && keywords.first_free().is_some() {
        names.extend(PREDEFINED.iter().filter(|name| keywords.find(name).is_none()));
    }
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
