//! STORE and UID STORE (RFC 3501, 6.4.6).

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::fetch::{FetchArguments, FetchItem};
use protocol::imap::command::store::{StoreArguments, StoreFlags, StoreOperation};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use store::change::SystemFlags;
use store::txn::{FlagChange, FlagOperation, Outcome};
use store::{ModSeq, Ticket};

use super::ending::{Ending, Tell};
use super::fetch::Fetch;
use super::selected::{Access, Unresolved};
use super::untagged::Known;
use super::{Flow, ImapSession, Running, Stage};
use crate::conversation::Turn;

impl ImapSession {
    pub(super) fn store_flags(&mut self, tag: Tag, arguments: StoreArguments, turn: &mut Turn<'_>) -> Flow {
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        if selected.access == Access::ReadOnly {
            return self.refuse(
                turn,
                &tag,
                Condition::No,
                Some(Code::ReadOnly),
                "The mailbox was opened with EXAMINE",
            );
        }
        let StoreArguments { numbering, messages, change } = arguments;
        let resolved = selected
            .mailbox(&turn.shared.store)
            .map_err(Unresolved::from)
            .and_then(|mailbox| selected.resolve(&mailbox, numbering, &messages));
        let sequences = match resolved {
            Ok(sequences) => sequences,
            Err(error) => return self.refuse_unresolved(turn, &tag, &error),
        };
        let cells = selected.cells(&sequences);
        // The replies of a STORE that is not silent tell all flags.
        let known = if change.silent {
            let mailbox = selected.mailbox(&turn.shared.store);
            mailbox.and_then(|mailbox| Known::except_untold(selected, &mailbox, &cells))
        } else {
            Ok(Known::default())
        };
        let mut known = match known {
            Ok(known) => known,
            Err(error) => return self.refuse_store(turn, &tag, &error),
        };
        let mut ticket = Ticket(0);
        if !cells.is_empty() {
            let mut txn = turn.shared.store.begin();
            txn.store_flags(selected.id, &cells, flag_change(&change));
            match txn.commit() {
                Ok(committed) => {
                    ticket = committed.ticket;
                    own_change(&committed.outcomes).into_iter().for_each(|change| known.add(change));
                    turn.announce(ticket, &committed.touched);
                }
                Err(error) => return self.refuse_change(turn, &tag, &error, Code::NonExistent),
            }
        }
        if change.silent {
            let ending = Ending::ok(tag.clone(), Tell::by(numbering, known), "STORE completed");
            return self.end_after(tag, ticket, ending);
        }
        let items = match numbering {
            Numbering::Sequence => vec![FetchItem::Flags],
            Numbering::Uid => vec![FetchItem::Uid, FetchItem::Flags],
        };
        let arguments = FetchArguments { numbering, messages, items };
        let fetch = Fetch::new(tag.clone(), arguments, sequences, selected.access).knowing(known);
        self.running = Running::Commit(tag, ticket, Box::new(Running::Fetch(Box::new(fetch))));
        Flow::Continue
    }
}

fn flag_change(change: &StoreFlags) -> FlagChange {
    FlagChange {
        operation: match change.operation {
            StoreOperation::Set => FlagOperation::Set,
            StoreOperation::Add => FlagOperation::Add,
            StoreOperation::Remove => FlagOperation::Remove,
        },
        system: SystemFlags(change.flags.system.0),
        keywords: change.flags.keywords.iter().map(|keyword| keyword.as_str().to_owned()).collect(),
    }
}

/// The modseq of the session's own change, if it altered anything.
fn own_change(outcomes: &[Outcome]) -> Option<ModSeq> {
    outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Flags(changed) if !changed.messages.is_empty() => Some(changed.modseq),
        _ => None,
    })
}
