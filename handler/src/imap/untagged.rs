//! What others, or the session itself, changed in the selected mailbox, told to the client piece by piece.

use std::sync::Arc;

use protocol::imap::Numbering;
use protocol::imap::reply::annotate::Annotations;
use protocol::imap::reply::code::{Code, NewKeywords};
use protocol::imap::reply::fetch as fetch_reply;
use protocol::imap::reply::mailbox as reply;
use protocol::imap::reply::status::{self, Condition};
use protocol::imap::reply::vanished::{self, Vanished};
use protocol::imap::syntax::flag::SystemFlags;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::txn::FlagsChanged;
use store::view::{Changes, Refresh};
use store::{CellIndex, Keywords, Mailbox, ModSeq, StoreError};

use super::ending::Tell;
use super::fetch::{Fetch, Progress};
use super::notify::{SelectedEvents, SelectedRule};
use super::search::Notices;
use super::selected::Selected;
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

    /// A later change of the session's own, which may have covered changes of others that the client, told all up to `told`, does not
    /// know. The store saw both under one lock.
    pub(crate) fn add_silent(&mut self, change: &FlagsChanged, told: ModSeq) {
        if change.messages.is_empty() {
            return;
        }
        self.add(change.modseq);
        let changed = change.messages.iter().zip(&change.modseqs_before);
        self.except.extend(changed.filter(|(_, before)| **before > told).map(|((cell, ..), _)| *cell));
    }

    fn covers(&self, cell: CellIndex, change: ModSeq) -> bool {
        self.changes.binary_search(&change).is_ok() && self.except.binary_search(&cell).is_err()
    }
}

/// How the client is told what is gone.
enum Expunged {
    /// EXPUNGE.
    Numbers,
    /// VANISHED (RFC 7162, 3.2.10; RFC 9586, 3.4).
    Uids(NumberSet),
}

/// Changes on their way to the client.
pub(crate) struct Untagged {
    changes: Changes,
    expunged: Expunged,
    /// EXPUNGEs, or ranges of VANISHED, that were written.
    written: usize,
    /// Whether EXISTS and RECENT were written, if they are to be.
    counts_told: bool,
    /// Flags that were written.
    flags: usize,
    with_uids: bool,
    known: Known,
    /// Whether flags that changed are told, and names of annotations.
    tells_flags: bool,
    tells_annotations: bool,
    /// The modseq up to which the client knows all changes of messages.
    told_upto: ModSeq,
    /// News of searches that are kept up to date.
    notices: Option<Notices>,
    /// What NOTIFY asked for of new messages.
    new_messages: Option<Box<Fetch>>,
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
        let (expunges, mut with_uids, known) = match tell {
            Tell::Nothing => return Ok(None),
            Tell::NoExpunge(known) => (false, false, known.clone()),
            Tell::NoExpungeWithUids => (false, true, Known::default()),
            Tell::WithUids(known) => (true, true, known.clone()),
            Tell::Everything => (true, false, Known::default()),
        };
        let mailbox = selected.mailbox(&turn.shared.store)?;
        if mailbox.is_deleted()? {
            return Err(StoreError::NotFound("mailbox"));
        }
        let rule = match &selected.events {
            SelectedEvents::All => None,
            SelectedEvents::Asked(rule) => Some(Arc::clone(rule)),
            SelectedEvents::Nothing => return Ok(None),
        };
        // RFC 5465, 5.1.
        with_uids |= rule.is_some();
        let told = selected.view.parked();
        let highest = mailbox.highest_modseq()?;
        if told.flags_upto == highest && (told.expunged_upto == highest || !expunges) {
            return Ok(None);
        }
        let exists_before = selected.view.exists();
        let mut changes = selected.view.refresh(&mailbox, Refresh { expunges })?;
        if changes.is_empty() {
            return Ok(None);
        }
        let expunged = if selected.enabled.vanished() {
            let uids = changes.expunged_uids.iter().map(|uid| uid.get());
            Expunged::Uids(NumberSet::from_ascending(uids))
        } else {
            Expunged::Numbers
        };
        let notices = Notices::new(selected, &changes, exists_before);
        let (mut tells_flags, mut tells_annotations) = (true, selected.tells_annotations);
        let mut new_messages = None;
        if let Some(rule) = rule {
            tells_flags = rule.tells_flags;
            tells_annotations |= rule.tells_annotations;
            if !tells_flags && !tells_annotations {
                changes.flags.clear();
            }
            new_messages = fetch_new(&rule, &changes, exists_before, selected).map(Box::new);
        }
        Ok(Some(Untagged {
            changes,
            expunged,
            written: 0,
            counts_told: false,
            flags: 0,
            with_uids,
            known,
            tells_flags,
            tells_annotations,
            told_upto: told.flags_upto,
            notices,
            new_messages,
        }))
    }

    /// Writes until the output is full; true when all was written.
    ///
    /// # Errors
    /// The mailbox is gone or cannot be read.
    pub(crate) fn write(&mut self, selected: &mut Selected, turn: &mut Turn<'_>) -> Result<bool, StoreError> {
        let mailbox = selected.mailbox(&turn.shared.store)?;
        if let Some(notices) = &mut self.notices
            && !notices.tell_gone(selected, turn.output)
        {
            return Ok(false);
        }
        if !self.write_expunged(turn) {
            return Ok(false);
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
            if !self.write_flags(selected, &mailbox, &keywords, turn)? {
                return Ok(false);
            }
        }
        if let Some(notices) = &mut self.notices
            && !notices.tell_changed(selected, turn)?
        {
            return Ok(false);
        }
        let Some(fetch) = &mut self.new_messages else { return Ok(true) };
        match fetch.run(selected, turn)? {
            Progress::Done => Ok(true),
            Progress::Again | Progress::OutputFull => Ok(false),
            Progress::Broken => Err(StoreError::NotFound("rest of a message")),
        }
    }

    /// EXPUNGE or VANISHED, until the output is full; true when all was written.
    fn write_expunged(&mut self, turn: &mut Turn<'_>) -> bool {
        loop {
            if turn.output.is_full() {
                return self.is_expunged_written();
            }
            let out = turn.output.bytes();
            match &self.expunged {
                Expunged::Numbers if self.written < self.changes.expunged.len() => {
                    reply::expunge(out, self.changes.expunged[self.written]);
                    self.written += 1;
                }
                Expunged::Uids(uids) if self.written < uids.ranges().len() => {
                    self.written += vanished::line(out, Vanished::Now, &uids.ranges()[self.written..]);
                }
                _ => return true,
            }
        }
    }

    fn is_expunged_written(&self) -> bool {
        match &self.expunged {
            Expunged::Numbers => self.written == self.changes.expunged.len(),
            Expunged::Uids(uids) => self.written == uids.ranges().len(),
        }
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
        selected: &mut Selected,
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
            let annotations = match self.tells_annotations {
                true => mailbox.annotations_changed_since(state.uid, selected.user, self.told_upto)?,
                false => Vec::new(),
            };
            if !self.tells_flags && annotations.is_empty() {
                continue;
            }
            let out = turn.output.bytes();
            let enabled = selected.enabled;
            selected.begin_fetch(out, sequence, state.uid);
            // RFC 9051, 7.5.2, and RFC 7162, 3.2.4: what was not asked for always has UID.
            if (self.with_uids || enabled.condstore() || enabled.rev2()) && !enabled.uid_only() {
                fetch_reply::uid(out, state.uid.get());
                fetch_reply::separate(out);
            }
            selected.write_flags(out, state.uid.get(), state.flags, keywords);
            write_annotations(out, &annotations);
            if enabled.condstore() {
                fetch_reply::separate(out);
                fetch_reply::modseq(out, state.modseq.0);
                selected.client_modseq.send(state.modseq);
            }
            fetch_reply::end(out);
        }
        Ok(true)
    }
}

/// Appends which annotations have changed, without what they say (RFC 5257, 4.4); nothing if none has.
fn write_annotations(out: &mut Vec<u8>, changed: &[String]) {
    if changed.is_empty() {
        return;
    }
    fetch_reply::separate(out);
    let mut reply = Annotations::begin(out);
    changed.iter().for_each(|entry| reply.name(entry));
    reply.end();
}

/// The FETCH of the new messages that NOTIFY asked for (RFC 5465, 5.2); `exists_before` messages were in view.
fn fetch_new(
    rule: &SelectedRule,
    changes: &Changes,
    exists_before: u32,
    selected: &Selected,
) -> Option<Fetch> {
    let (tag, items) = rule.fetch.clone()?;
    let first = exists_before + 1 - changes.expunged.len() as u32;
    let last = changes.exists.filter(|last| first <= *last)?;
    let new = NumberSet::from_ranges(vec![(first, last)]);
    Some(Fetch::new(tag, Numbering::Sequence, items, new, selected))
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
    let (system, keeps_keywords) = selected.permanent_flags();
    let (names, new) = match keeps_keywords {
        true if keywords.first_free().is_some() => (&names[..], NewKeywords::Allowed),
        true => (&names[..], NewKeywords::Refused),
        false => (&[][..], NewKeywords::Refused),
    };
    let permanent = Code::PermanentFlags(system, names, new);
    status::untagged(out, Condition::Ok, Some(permanent), "Flags that are kept");
}
