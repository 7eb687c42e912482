//! The selected mailbox of an IMAP session: what the session has been told of it, and how its numbers become messages.

use std::ops::Range;
use std::sync::Arc;

use protocol::imap::Numbering;
use protocol::imap::reply::code::Code;
use protocol::imap::syntax::flag::SystemFlags;
use protocol::imap::syntax::sequence_set::{NumberSet, SequenceSet};
use store::change::Flags;
use store::mailbox::Cells;
use store::view::View;
use store::{CellIndex, Keywords, Mailbox, MailboxId, Pin, Right, Rights, Store, StoreError, Uid, UserId};

use super::enabled::Enabled;
use super::modseq::ClientModSeq;
use super::names::Found;
use super::notify::SelectedEvents;
use super::search::Contexts;
use crate::parked::next_stamp;

/// Ranges of recent UIDs that a session remembers; more only happen when sessions race for new mail, and then the oldest are
/// forgotten: `\Recent` promises nothing.
const RECENT_RANGES_MAX: usize = 16;

/// Ranges of UIDs that `$` may have: half a megabyte.
const SAVED_RANGES_MAX: usize = 64 * 1024;

/// How a mailbox was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// SELECT
    ReadWrite,
    /// EXAMINE
    ReadOnly,
}

/// A selected mailbox.
pub(crate) struct Selected {
    /// The mailbox.
    pub(crate) id: MailboxId,
    /// Who selected it.
    pub(crate) user: UserId,
    /// What the user may do with it, as of the last command.
    pub(crate) rights: Rights,
    /// How it was selected.
    pub(crate) access: Access,
    /// Extensions that the session has enabled.
    pub(crate) enabled: Enabled,
    /// Whether it is told which annotations change (RFC 5257, 4.2).
    pub(crate) tells_annotations: bool,
    /// What the session is told of changes.
    pub(crate) events: SelectedEvents,
    /// What the session has been told.
    pub(crate) view: View,
    /// The modseq from which the client would go on.
    pub(crate) client_modseq: ClientModSeq,
    /// The open mailbox; let go of while the session rests.
    mailbox: Option<Arc<Mailbox>>,
    /// Keeps the places of cells that the view means, also while the session rests.
    _pin: Pin,
    /// UIDs that a search saved last, for `$` (RFC 5182).
    pub(crate) saved: NumberSet,
    /// Another number whenever [`Selected::save`] keeps some.
    saved_stamp: u64,
    /// Searches whose results are kept up to date (RFC 5267).
    pub(crate) contexts: Contexts,
    /// UIDs that are recent in this session.
    recent: Vec<Range<u32>>,
    /// How many messages the last RECENT counted.
    pub(crate) recent_told: u32,
    /// Keywords that were announced in FLAGS.
    pub(crate) announced_keywords: usize,
}

impl Selected {
    /// Selects the mailbox.
    ///
    /// # Errors
    /// It is gone, or cannot be read.
    pub(crate) fn open(
        store: &Store,
        Found { id, rights, user }: Found,
        access: Access,
        enabled: Enabled,
    ) -> Result<Selected, StoreError> {
        let pin = store.pin(id)?;
        let mailbox = store.mailbox_as(id, user)?;
        let view = View::open(&mailbox)?;
        let mut selected = Selected {
            id,
            user,
            rights,
            access,
            enabled,
            tells_annotations: false,
            events: SelectedEvents::default(),
            client_modseq: ClientModSeq::new(view.parked().expunged_upto),
            view,
            mailbox: None,
            _pin: pin,
            saved: NumberSet::default(),
            saved_stamp: 0,
            contexts: Contexts::default(),
            recent: Vec::new(),
            recent_told: 0,
            announced_keywords: 0,
        };
        selected.claim_recent(&mailbox);
        selected.mailbox = Some(mailbox);
        Ok(selected)
    }

    /// A mailbox that was selected before, as it was; what the client was told comes by [`Selected::set_told`].
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn reopen(
        store: &Store,
        id: MailboxId,
        user: UserId,
        rights: Rights,
        access: Access,
        enabled: Enabled,
        view: View,
    ) -> Result<Selected, StoreError> {
        Ok(Selected {
            id,
            user,
            rights,
            access,
            enabled,
            events: SelectedEvents::default(),
            client_modseq: ClientModSeq::new(view.parked().expunged_upto),
            view,
            tells_annotations: false,
            mailbox: None,
            _pin: store.pin(id)?,
            saved: NumberSet::default(),
            saved_stamp: 0,
            contexts: Contexts::default(),
            recent: Vec::new(),
            recent_told: 0,
            announced_keywords: 0,
        })
    }

    /// What the client was told besides the view.
    pub(crate) fn set_told(
        &mut self,
        client_modseq: (u64, u64, Option<u64>),
        mut recent: Vec<Range<u32>>,
        recent_told: u32,
        announced_keywords: usize,
    ) {
        self.client_modseq = ClientModSeq::from_numbers(client_modseq);
        recent.truncate(RECENT_RANGES_MAX);
        self.recent = recent;
        self.recent_told = recent_told;
        self.announced_keywords = announced_keywords;
    }

    /// The UIDs that are recent in this session.
    pub(crate) fn recent(&self) -> &[Range<u32>] {
        &self.recent
    }

    /// A number that is another when `$` has another value of more than a few ranges.
    pub(crate) fn saved_stamp(&self) -> u64 {
        self.saved_stamp
    }

    /// The open mailbox.
    ///
    /// # Errors
    /// It is gone, or cannot be read.
    pub(crate) fn mailbox(&mut self, store: &Store) -> Result<Arc<Mailbox>, StoreError> {
        let mailbox = match &self.mailbox {
            Some(mailbox) => Arc::clone(mailbox),
            None => Arc::clone(self.mailbox.insert(store.mailbox_as(self.id, self.user)?)),
        };
        self.view.ensure_cache(&mailbox)?;
        Ok(mailbox)
    }

    /// Why a command that changes the mailbox is refused, if it is: with EXAMINE nothing is changed, and the user may lack the right.
    pub(crate) fn refusal_of(&self, right: Right) -> Option<(Code<'static>, &'static str)> {
        match self.access {
            Access::ReadOnly => Some((Code::ReadOnly, "The mailbox was opened with EXAMINE")),
            Access::ReadWrite if self.rights.has(right) => None,
            Access::ReadWrite => Some((Code::NoPerm, "You have no right to do that in this mailbox")),
        }
    }

    /// The system flags that the user may change for good; and whether keywords, too.
    pub(crate) fn permanent_flags(&self) -> (SystemFlags, bool) {
        let of = [
            (SystemFlags::SEEN, Right::Seen),
            (SystemFlags::DELETED, Right::DeleteMessage),
            (SystemFlags::ANSWERED, Right::Write),
            (SystemFlags::FLAGGED, Right::Write),
            (SystemFlags::DRAFT, Right::Write),
        ];
        let allowed = of.iter().filter(|(_, right)| self.refusal_of(*right).is_none());
        let flags = allowed.fold(0, |all, (flag, _)| all | flag.0);
        (SystemFlags(flags), self.refusal_of(Right::Write).is_none())
    }

    /// Lets go of the open mailbox and of what can be computed again.
    pub(crate) fn rest(&mut self) {
        self.mailbox = None;
        self.view.forget_cache();
        self.recent.shrink_to_fit();
    }

    /// Makes messages that nobody has been told of recent in this session, or with EXAMINE only counts them so.
    pub(crate) fn claim_recent(&mut self, mailbox: &Mailbox) {
        let upto = self.view.uid_upto();
        let range = match self.access {
            // Readers of another user's mailbox do not take what is recent for its owner.
            Access::ReadWrite if self.id.user == self.user => mailbox.claim_recent(upto),
            _ => mailbox.first_recent_uid()..upto.saturating_add(1),
        };
        if range.is_empty() {
            return;
        }
        match self.recent.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => {
                if self.recent.len() == RECENT_RANGES_MAX {
                    self.recent.remove(0);
                }
                self.recent.push(range);
            }
        }
    }

    /// Whether the message is recent in this session.
    pub(crate) fn is_recent(&self, uid: u32) -> bool {
        self.recent.iter().any(|range| range.contains(&uid))
    }

    /// How many messages are recent in this session.
    ///
    /// # Errors
    /// The mailbox cannot be read.
    pub(crate) fn count_recent(&self, mailbox: &Mailbox) -> Result<u32, StoreError> {
        let mut count = 0;
        for range in &self.recent {
            count += self.view.count_uids(mailbox, range.clone())?;
        }
        Ok(count)
    }

    /// Keeps these UIDs for `$`; false, and nothing is kept, if they are too many ranges.
    pub(crate) fn save(&mut self, uids: NumberSet) -> bool {
        let is_kept = uids.ranges().len() <= SAVED_RANGES_MAX;
        self.saved_stamp = next_stamp();
        self.saved = if is_kept { uids } else { NumberSet::default() };
        is_kept
    }

    /// The sequence numbers of the messages that are recent in this session.
    ///
    /// # Errors
    /// The mailbox cannot be read.
    pub(crate) fn recent_sequences(&self, mailbox: &Mailbox) -> Result<NumberSet, StoreError> {
        let ranges = self.recent.iter().map(|range| (range.start, range.end.saturating_sub(1))).collect();
        sequences_of_uids(&self.view, mailbox, &NumberSet::from_ranges(ranges))
    }

    /// The messages that a command names, as ascending ranges of sequence numbers in the view.
    ///
    /// # Errors
    /// [`Unresolved::NoSuchMessage`] for a sequence number that no message has; a UID need not exist.
    pub(crate) fn resolve(
        &self,
        mailbox: &Mailbox,
        numbering: Numbering,
        set: &SequenceSet,
    ) -> Result<NumberSet, Unresolved> {
        let exists = self.view.exists();
        match numbering {
            _ if set.is_saved() => Ok(sequences_of_uids(&self.view, mailbox, &self.saved)?),
            Numbering::Sequence if exists == 0 && set.has_star() => Ok(NumberSet::default()),
            Numbering::Sequence if set.exceeds(exists) => Err(Unresolved::NoSuchMessage),
            Numbering::Sequence => Ok(set.resolve(exists)),
            Numbering::Uid => {
                let uids = set.resolve(self.last_uid(mailbox)?);
                Ok(sequences_of_uids(&self.view, mailbox, &uids)?)
            }
        }
    }

    /// The UID of the last message in the view, 0 if there is none.
    ///
    /// # Errors
    /// The mailbox cannot be read.
    pub(crate) fn last_uid(&self, mailbox: &Mailbox) -> Result<u32, StoreError> {
        match self.view.cell_of_seq(self.view.exists()) {
            Some(cell) => Ok(mailbox.uid_at(cell)?.get()),
            None => Ok(0),
        }
    }

    /// The cells of messages given by sequence numbers, ascending.
    pub(crate) fn cells(&self, sequences: &NumberSet) -> Vec<CellIndex> {
        let ranges = sequences.ranges().iter();
        ranges
            .flat_map(|&(first, last)| self.view.cells_in_seq_range(first..=last))
            .map(|(_, cell)| cell)
            .collect()
    }

    /// Begins the FETCH reply of one message, or its UIDFETCH reply.
    pub(crate) fn begin_fetch(&self, out: &mut Vec<u8>, sequence: u32, uid: Uid) {
        if self.enabled.uid_only() {
            protocol::imap::reply::fetch::begin_by_uid(out, uid.get());
        } else {
            protocol::imap::reply::fetch::begin(out, sequence);
        }
    }

    /// Appends `FLAGS (…)` for one message.
    pub(crate) fn write_flags(&self, out: &mut Vec<u8>, uid: u32, flags: Flags, keywords: &Keywords) {
        let mut system = flags.system.0;
        // RFC 9051 has no such flag.
        if !self.enabled.rev2() && self.is_recent(uid) {
            system |= SystemFlags::RECENT.0;
        }
        let names = keywords.iter().filter(|(bit, _)| flags.keywords & (1 << bit) != 0).map(|(_, name)| name);
        protocol::imap::reply::fetch::flags(out, SystemFlags(system), names);
    }
}

/// The sequence numbers in `view` of the messages with these UIDs; a UID need not exist.
///
/// # Errors
/// The mailbox cannot be read.
pub(crate) fn sequences_of_uids(
    view: &View,
    mailbox: &Mailbox,
    uids: &NumberSet,
) -> Result<NumberSet, StoreError> {
    let mut found = NumberSet::default();
    for &(first, last) in uids.ranges() {
        let (Some(first), Some(last)) = (Uid::new(first), Uid::new(last)) else { continue };
        let sequences = view.seqs_for_uid_range(mailbox, first, last)?;
        if !sequences.is_empty() {
            found.push_range(sequences.start, sequences.end - 1);
        }
    }
    Ok(found)
}

/// The UIDs of the messages with these sequence numbers in `view`. Of a stretch whose UIDs follow each other only the ends are
/// looked at.
///
/// # Errors
/// The mailbox cannot be read.
pub(crate) fn uids_of_sequences(
    view: &View,
    cells: &Cells,
    sequences: &NumberSet,
) -> Result<NumberSet, StoreError> {
    let uid = |sequence| match view.cell_of_seq(sequence) {
        Some(cell) => Ok(cells.uid(cell)?.get()),
        None => Err(StoreError::NotFound("message")),
    };
    let mut found = NumberSet::default();
    // Stretches that are left, the next one last.
    let mut left = Vec::new();
    for &(first, last) in sequences.ranges() {
        left.push((first, uid(first)?, last, uid(last)?));
        while let Some((first, first_uid, last, last_uid)) = left.pop() {
            if last_uid - first_uid == last - first {
                found.push_range(first_uid, last_uid);
            } else {
                let middle = first + (last - first) / 2;
                left.push((middle + 1, uid(middle + 1)?, last, last_uid));
                left.push((first, first_uid, middle, uid(middle)?));
            }
        }
    }
    Ok(found)
}

/// Why the messages of a command could not be found.
#[derive(Debug)]
pub(crate) enum Unresolved {
    /// A sequence number is beyond the last message.
    NoSuchMessage,
    /// The mailbox cannot be read.
    Store(StoreError),
}

impl From<StoreError> for Unresolved {
    fn from(error: StoreError) -> Unresolved {
        Unresolved::Store(error)
    }
}
