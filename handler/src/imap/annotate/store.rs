//! STORE and UID STORE of annotations (RFC 5257, 4.5), with UNCHANGEDSINCE (RFC 7162, 3.1.3). It is silent: of what it did only modseqs are told, to who has enabled CONDSTORE.

use protocol::imap::command::Tag;
use protocol::imap::command::store::StoreArguments;
use protocol::imap::extension::annotate::AnnotationValue;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use store::change::Flags;
use store::mailbox::Cells;
use store::txn::{FlagsChanged, Outcome};
use store::{CellIndex, ModSeq, Right, Store, StoreError, Ticket};

use super::super::flags::{Stored, Telling};
use super::super::{Flow, ImapSession, Stage};
use super::{NO_SUCH_PART, Refusal, has_parts, new_annotations, parts, refusal_of};
use crate::conversation::Turn;

impl ImapSession {
    pub(in crate::imap) fn store_annotations(
        &mut self,
        tag: Tag,
        arguments: &StoreArguments,
        values: Vec<AnnotationValue>,
        turn: &mut Turn<'_>,
    ) -> Flow {
        if arguments.unchanged_since.is_some() {
            self.enable_condstore(turn);
        }
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        if let Some((code, text)) = selected.refusal_of(Right::Read) {
            return self.refuse(turn, &tag, Condition::No, Some(code), text);
        }
        if let Some(refusal) = refusal_of(&values, selected.rights) {
            return self.refuse_annotations(turn, &tag, refusal);
        }
        let (limited, mailbox) = match super::super::flags::find(selected, arguments, turn) {
            Ok(found) => found,
            Err(error) => return self.refuse_unresolved(turn, &tag, &error),
        };
        let cells = selected.cells(&limited.sequences);
        let all_have_parts =
            mailbox.cells().and_then(|all| all_have(&turn.shared.store, &all, &cells, &values));
        match all_have_parts {
            Ok(true) => {}
            Ok(false) => return self.refuse_annotations(turn, &tag, NO_SUCH_PART),
            Err(error) => return self.refuse_store(turn, &tag, &error),
        }
        let mut changed = FlagsChanged::default();
        let mut ticket = Ticket(0);
        if !cells.is_empty() {
            let mut txn = turn.shared.store.begin_as(selected.user);
            let since = arguments.unchanged_since.map(ModSeq);
            txn.annotate(selected.id, &cells, new_annotations(values), since);
            match txn.commit() {
                Ok(committed) => {
                    ticket = committed.ticket;
                    turn.announce(ticket, &committed.touched);
                    changed = as_flags_changed(committed.outcomes);
                }
                Err(error) => return self.refuse_change(turn, &tag, &error, Code::NonExistent),
            }
        }
        let stored = Stored {
            tag,
            numbering: arguments.numbering,
            is_conditional: arguments.unchanged_since.is_some(),
            telling: Telling::Silent,
            limited,
            changed,
            cells,
        };
        self.answer_store(stored, ticket, &mailbox, turn)
    }

    /// Ends a command that would set annotations which cannot be.
    pub(in crate::imap) fn refuse_annotations(
        &mut self,
        turn: &mut Turn<'_>,
        tag: &Tag,
        Refusal { condition, code, text }: Refusal,
    ) -> Flow {
        self.refuse(turn, tag, condition, code, text)
    }
}

/// Whether all these messages that are there have the parts that values are about.
fn all_have(
    store: &Store,
    all: &Cells,
    cells: &[CellIndex],
    values: &[AnnotationValue],
) -> Result<bool, StoreError> {
    let parts = parts(values);
    if parts.is_empty() {
        return Ok(true);
    }
    for index in cells {
        let cell = all.cell(*index)?;
        if !cell.expunged && !has_parts(store, cell.message, &parts)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What was changed, as STORE of flags tells it: a silent change says of no flags what they are.
fn as_flags_changed(outcomes: Vec<Outcome>) -> FlagsChanged {
    let annotated = outcomes.into_iter().find_map(|outcome| match outcome {
        Outcome::Annotated(annotated) => Some(annotated),
        _ => None,
    });
    let Some(annotated) = annotated else { return FlagsChanged::default() };
    let messages = annotated.messages.into_iter().map(|(cell, uid)| (cell, uid, Flags::default()));
    FlagsChanged {
        modseq: annotated.modseq,
        messages: messages.collect(),
        modseqs_before: annotated.modseqs_before,
        newer: annotated.newer,
    }
}
