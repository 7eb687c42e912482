//! COPY and UID COPY (RFC 3501, 6.4.7) with COPYUID (RFC 4315); MOVE and UID MOVE (RFC 6851).

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::copy::CopyArguments;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::sequence_set::NumberSet;
use store::Right;
use store::txn::{Copied, Outcome};

use super::ending::{Ending, Tell};
use super::message_limit::Limited;
use super::selected::Unresolved;
use super::untagged::Known;
use super::{Flow, ImapSession, Stage};
use crate::conversation::Turn;

/// What becomes of the messages in the source mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// They stay.
    Copy,
    /// They go.
    Move,
}

impl ImapSession {
    pub(super) fn copy(
        &mut self,
        tag: Tag,
        arguments: &CopyArguments,
        kind: Kind,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let target = self.find(&arguments.mailbox, Right::Insert, turn);
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        // MOVE is also STORE of \Deleted and EXPUNGE (RFC 6851, 4.4).
        let rights = [Right::DeleteMessage, Right::Expunge].into_iter().filter(|_| kind == Kind::Move);
        if let Some((code, text)) = rights.filter_map(|right| selected.refusal_of(right)).next() {
            return self.refuse(turn, &tag, Condition::No, Some(code), text);
        }
        let resolved = selected.mailbox(&turn.shared.store).map_err(Unresolved::from).and_then(|mailbox| {
            let sequences = selected.resolve(&mailbox, arguments.numbering, &arguments.messages)?;
            Ok(Limited::new(sequences, selected, &mailbox))
        });
        let limited = match resolved {
            Ok(limited) => limited,
            Err(error) => return self.refuse_unresolved(turn, &tag, &error),
        };
        // COPY is done whole or not at all (RFC 9738, 3.1).
        if kind == Kind::Copy && limited.lowest.is_some() {
            let text = "Too many messages at once";
            return self.refuse(turn, &tag, Condition::No, limited.code(), text);
        }
        let cells = selected.cells(&limited.sequences);
        let target = match target {
            Ok(target) => target.id,
            Err(error) => return self.refuse_target(turn, &tag, &arguments.mailbox, &error),
        };
        let tell = match arguments.numbering {
            Numbering::Sequence => Tell::Everything,
            Numbering::Uid => Tell::WithUids(Known::default()),
        };
        if cells.is_empty() {
            return self.end(turn, tag, tell, "Nothing to copy");
        }
        let mut txn = turn.shared.store.begin_as(selected.user);
        match kind {
            Kind::Copy => txn.copy(selected.id, &cells, target),
            Kind::Move => txn.move_messages(selected.id, &cells, target),
        }
        let committed = match txn.commit() {
            Ok(committed) => committed,
            Err(error) => return self.refuse_change(turn, &tag, &error, Code::TryCreate),
        };
        turn.announce(committed.ticket, &committed.touched);
        let copied = committed.outcomes.into_iter().find_map(|outcome| match outcome {
            Outcome::Copied(copied) if !copied.uids.is_empty() => Some(copied),
            _ => None,
        });
        let Some(copied) = copied else {
            let text = "All of the messages were expunged meanwhile";
            return self.end_after_with(
                tag,
                tell,
                Condition::No,
                Some(Code::ExpungeIssued),
                text,
                committed.ticket,
            );
        };
        let (from, to) = uid_sets(&copied);
        if kind == Kind::Move {
            turn.shared.metrics().add(shm_abi::Tally::ExpungedMessages, copied.uids.len() as u64);
            crate::log::audit!(
                "moved",
                protocol = "imap",
                owner = selected.id.user.0,
                mailbox = crate::log::mailbox_name(turn.shared, selected.id),
                to_owner = target.user.0,
                to_mailbox = crate::log::mailbox_name(turn.shared, target),
                messages = copied.uids.len(),
                ticket = committed.ticket.0,
            );
        }
        let code = Code::CopyUid(copied.uid_validity, &from, &to);
        let ending = match kind {
            Kind::Copy => Ending::with(tag.clone(), tell, Condition::Ok, Some(code), "COPY completed"),
            // RFC 6851, 4.3: COPYUID in an untagged OK before the EXPUNGEs.
            Kind::Move => {
                let mut first = Vec::new();
                reply::untagged(&mut first, Condition::Ok, Some(code), "Moved");
                let limit = limited.code();
                let ending = Ending::with(tag.clone(), tell, Condition::Ok, limit, "MOVE completed");
                ending.preceded_by(first).after_expunging()
            }
        };
        self.end_after(tag, committed.ticket, ending)
    }
}

/// The UIDs there were and the UIDs there are, as sets that a client reads in parallel: both ascend.
fn uid_sets(copied: &Copied) -> (NumberSet, NumberSet) {
    (
        NumberSet::from_ascending(copied.uids.iter().map(|(from, _)| from.get())),
        NumberSet::from_ascending(copied.uids.iter().map(|(_, to)| to.get())),
    )
}
