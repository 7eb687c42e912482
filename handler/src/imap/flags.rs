//! STORE and UID STORE (RFC 3501, 6.4.6), with UNCHANGEDSINCE (RFC 7162, 3.1.3).
//!
//! What a silent STORE covers up is told nevertheless: the store says under one lock which messages it changed and when they were changed
//! before, and those that others had changed since the client was told are among what the command's end tells.

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::fetch::FetchItem;
use protocol::imap::command::store::{StoreArguments, StoreChange, StoreFlags, StoreItem, StoreOperation};
use protocol::imap::extension::gmail::GmailItem;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::sequence_set::NumberSet;
use store::change::SystemFlags;
use store::txn::{FlagChange, FlagOperation, FlagsChanged, Outcome};
use store::{CellIndex, Mailbox, ModSeq, Right, StoreError, Ticket};

use super::ending::{Ending, Tell};
use super::fetch::Fetch;
use super::message_limit::Limited;
use super::selected::{Selected, Unresolved};
use super::untagged::Known;
use super::{Flow, ImapSession, Running, Stage};
use crate::conversation::Turn;

impl ImapSession {
    pub(super) fn store(&mut self, tag: Tag, mut arguments: StoreArguments, turn: &mut Turn<'_>) -> Flow {
        match &mut arguments.change {
            StoreChange::Annotations(values) => {
                let values = std::mem::take(values);
                self.store_annotations(tag, &arguments, values, turn)
            }
            StoreChange::Flags(change) => {
                let change = change.clone();
                self.store_flags(tag, &arguments, &change, turn)
            }
        }
    }

    fn store_flags(
        &mut self,
        tag: Tag,
        arguments: &StoreArguments,
        change: &StoreFlags,
        turn: &mut Turn<'_>,
    ) -> Flow {
        if arguments.unchanged_since.is_some() {
            self.enable_condstore(turn);
        }
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        if let Some((code, text)) = refusal_of(selected, change) {
            return self.refuse(turn, &tag, Condition::No, Some(code), text);
        }
        let (limited, mailbox) = match find(selected, arguments, turn) {
            Ok(found) => found,
            Err(error) => return self.refuse_unresolved(turn, &tag, &error),
        };
        let cells = selected.cells(&limited.sequences);
        let mut changed = FlagsChanged::default();
        let mut ticket = Ticket(0);
        if !cells.is_empty() {
            let mut txn = turn.shared.store.begin_as(selected.user);
            let change = flag_change(change);
            match arguments.unchanged_since {
                None => txn.store_flags(selected.id, &cells, change),
                Some(since) => txn.store_flags_unless_newer(selected.id, &cells, change, ModSeq(since)),
            }
            match txn.commit() {
                Ok(committed) => {
                    ticket = committed.ticket;
                    turn.announce(ticket, &committed.touched);
                    changed = flags_changed(committed.outcomes);
                }
                Err(error) => return self.refuse_change(turn, &tag, &error, Code::NonExistent),
            }
        }
        let telling = match (change.silent, change.item) {
            (true, _) => Telling::Silent,
            (false, StoreItem::Flags) => Telling::Flags,
            (false, StoreItem::Labels) => Telling::Labels,
        };
        let stored = Stored {
            tag,
            numbering: arguments.numbering,
            is_conditional: arguments.unchanged_since.is_some(),
            telling,
            limited,
            changed,
            cells,
        };
        self.answer_store(stored, ticket, &mailbox, turn)
    }

    /// Answers a STORE whose change is made, once `ticket` is durable.
    pub(super) fn answer_store(
        &mut self,
        stored: Stored,
        ticket: Ticket,
        mailbox: &Mailbox,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let Stage::Selected(_, selected) = &self.stage else { return Flow::Continue };
        let tag = stored.tag.clone();
        match stored.replies(selected, mailbox) {
            Ok(fetch) => {
                self.running = Running::Commit(tag, ticket, Box::new(Running::Fetch(Box::new(fetch))));
                Flow::Continue
            }
            Err(error) => self.refuse_store(turn, &tag, &error),
        }
    }
}

/// Why nothing of a change of flags is done, if so: the user has the right to none of the flags. A user who has it to some changes those (RFC 4314, 4).
fn refusal_of(selected: &Selected, change: &StoreFlags) -> Option<(Code<'static>, &'static str)> {
    let system = SystemFlags(change.flags.system.0);
    let is_of_keywords = change.item == StoreItem::Labels;
    let all = change.operation == StoreOperation::Set && !is_of_keywords;
    let others = system.0 & !(SystemFlags::SEEN.0 | SystemFlags::DELETED.0) != 0;
    let needed = [
        (Right::Seen, all || system.contains(SystemFlags::SEEN)),
        (Right::DeleteMessage, all || system.contains(SystemFlags::DELETED)),
        (Right::Write, all || others || is_of_keywords || !change.flags.keywords.is_empty()),
    ];
    let mut refusals =
        needed.iter().filter(|(_, named)| *named).map(|(right, _)| selected.refusal_of(*right));
    match refusals.next() {
        // Even what changes no flag is refused with EXAMINE.
        None => selected.refusal_of(Right::Read),
        Some(None) => None,
        Some(first) => refusals.try_fold((), |(), other| other.map(|_| ())).and(first),
    }
}

pub(super) fn find(
    selected: &mut Selected,
    arguments: &StoreArguments,
    turn: &Turn<'_>,
) -> Result<(Limited, std::sync::Arc<Mailbox>), Unresolved> {
    let mailbox = selected.mailbox(&turn.shared.store)?;
    let sequences = selected.resolve(&mailbox, arguments.numbering, &arguments.messages)?;
    Ok((Limited::new(sequences, selected, &mailbox), mailbox))
}

/// What is told of changes that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// Nothing but modseqs.
    Silent,
    /// FLAGS
    Flags,
    /// FLAGS, and X-GM-LABELS.
    Labels,
}

/// A change of flags or annotations that is made.
pub(super) struct Stored {
    pub(super) tag: Tag,
    pub(super) numbering: Numbering,
    /// Whether it was to leave messages as they are that others had changed.
    pub(super) is_conditional: bool,
    pub(super) telling: Telling,
    pub(super) limited: Limited,
    pub(super) changed: FlagsChanged,
    /// The messages it was asked for.
    pub(super) cells: Vec<CellIndex>,
}

impl Stored {
    /// What is told of it, and how the command ends.
    pub(super) fn replies(self, selected: &Selected, mailbox: &Mailbox) -> Result<Fetch, StoreError> {
        let numbering = self.numbering;
        let silent = self.telling == Telling::Silent;
        let condstore = selected.enabled.condstore();
        let mut known = Known::default();
        if silent {
            known.add_silent(&self.changed, selected.view.parked().flags_upto);
        } else if !self.changed.messages.is_empty() {
            // The replies tell all flags.
            known.add(self.changed.modseq);
        }
        let mut items = Vec::new();
        if condstore && !selected.enabled.uid_only() {
            items.push(FetchItem::Uid);
        }
        if !silent {
            items.push(FetchItem::Flags);
            if self.telling == Telling::Labels {
                items.push(FetchItem::Gmail(GmailItem::Labels));
            }
        }
        if condstore {
            items.push(FetchItem::ModSeq);
        }
        let sequence_of = |cell: CellIndex| selected.view.seq_of_cell(cell);
        let told = if self.is_conditional {
            self.living(selected, mailbox)?
        } else if !silent {
            self.limited.sequences.clone()
        } else if condstore {
            NumberSet::from_ascending(
                self.changed.messages.iter().filter_map(|&(cell, ..)| sequence_of(cell)),
            )
        } else {
            NumberSet::default()
        };
        let newer = self.changed.newer.iter().map(|&(cell, _)| cell).collect();
        let modified =
            NumberSet::from_ascending(self.changed.newer.iter().filter_map(|&(cell, uid)| match numbering {
                Numbering::Sequence => sequence_of(cell),
                Numbering::Uid => Some(uid.get()),
            }));
        let tell = Tell::by(numbering, known);
        let ending = self.end(tell, &modified);
        Ok(Fetch::new(self.tag, numbering, items, told, selected).with_flags_of(newer).ending_with(ending))
    }

    fn end(&self, tell: Tell, modified: &NumberSet) -> Ending {
        let limit = self.limited.code();
        let tag = self.tag.clone();
        if modified.is_empty() {
            return Ending::with(tag, tell, Condition::Ok, limit, "STORE completed");
        }
        let mut first = Vec::new();
        if limit.is_some() {
            reply::untagged(&mut first, Condition::No, limit, "STORE of the last of the messages");
        }
        let code = Some(Code::Modified(modified));
        Ending::with(tag, tell, Condition::Ok, code, "Some messages were changed meanwhile")
            .preceded_by(first)
    }

    /// The messages it was asked for that are not expunged.
    fn living(&self, selected: &Selected, mailbox: &Mailbox) -> Result<NumberSet, StoreError> {
        let cells = mailbox.cells()?;
        let mut living = NumberSet::default();
        for &cell in &self.cells {
            if let Some(sequence) = selected.view.seq_of_cell(cell)
                && !cells.flags(cell)?.expunged
            {
                living.push(sequence);
            }
        }
        Ok(living)
    }
}

fn flag_change(change: &StoreFlags) -> FlagChange {
    FlagChange {
        operation: match change.operation {
            StoreOperation::Set if change.item == StoreItem::Labels => FlagOperation::SetKeywords,
            StoreOperation::Set => FlagOperation::Set,
            StoreOperation::Add => FlagOperation::Add,
            StoreOperation::Remove => FlagOperation::Remove,
        },
        system: SystemFlags(change.flags.system.0),
        keywords: change.flags.keywords.iter().map(|keyword| keyword.as_str().to_owned()).collect(),
    }
}

fn flags_changed(outcomes: Vec<Outcome>) -> FlagsChanged {
    let changed = outcomes.into_iter().find_map(|outcome| match outcome {
        Outcome::Flags(changed) => Some(changed),
        _ => None,
    });
    changed.unwrap_or_default()
}
