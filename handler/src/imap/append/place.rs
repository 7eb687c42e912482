//! Where the messages of an APPEND go, and which message a REPLACE takes away for them.

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::append::{AppendBegin, Replaced};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use protocol::imap::syntax::mailbox_name::MailboxName;
use store::change::SystemFlags;
use store::{CellIndex, MailboxId, Right, Rights};

use super::super::names::Found;
use super::super::selected::{Access, Unresolved};
use super::super::{ImapSession, Stage};
use crate::conversation::Turn;

/// What an APPEND or REPLACE does to which mailboxes.
pub(super) struct Place {
    /// The mailbox's name, as the client wrote it.
    pub(super) name: MailboxName,
    /// The mailbox that gets the messages.
    pub(super) mailbox: MailboxId,
    /// What the user may do there: flags that the user may not set are left out (RFC 4314, 4).
    pub(super) rights: Rights,
    /// The message that goes, in the selected mailbox, and how the client named it.
    pub(super) replaced: Option<(MailboxId, CellIndex, Numbering)>,
}

impl Place {
    /// Those of `flags` that the user may set there.
    pub(super) fn allowed(&self, flags: SystemFlags) -> SystemFlags {
        let mut refused = 0;
        for (right, flags) in [
            (Right::Seen, SystemFlags::SEEN.0),
            (Right::DeleteMessage, SystemFlags::DELETED.0),
            (Right::Write, !(SystemFlags::SEEN.0 | SystemFlags::DELETED.0)),
        ] {
            if !self.rights.has(right) {
                refused |= flags;
            }
        }
        SystemFlags(flags.0 & !refused)
    }
}

impl ImapSession {
    /// `None`: it cannot be, and the reply is written.
    pub(super) fn append_place(&mut self, begin: &AppendBegin, turn: &mut Turn<'_>) -> Option<Place> {
        let replaced = match &begin.replaced {
            Some(replaced) => Some(self.replaced(&begin.tag, replaced, turn)?),
            None => None,
        };
        match self.find(&begin.mailbox, Right::Insert, turn) {
            Ok(Found { id, rights, .. }) => {
                Some(Place { name: begin.mailbox.clone(), mailbox: id, rights, replaced })
            }
            Err(error) => {
                self.refuse_target(turn, &begin.tag, &begin.mailbox, &error);
                None
            }
        }
    }

    fn replaced(
        &mut self,
        tag: &Tag,
        replaced: &Replaced,
        turn: &mut Turn<'_>,
    ) -> Option<(MailboxId, CellIndex, Numbering)> {
        let Stage::Selected(_, selected) = &mut self.stage else {
            self.refuse(turn, tag, Condition::Bad, None, "REPLACE needs a selected mailbox");
            return None;
        };
        if self.enabled.uid_only() && replaced.numbering == Numbering::Sequence {
            let text = "Message numbers are not used once UIDONLY is enabled";
            self.refuse(turn, tag, Condition::Bad, Some(Code::UidRequired), text);
            return None;
        }
        if selected.access == Access::ReadOnly {
            let text = "The mailbox was opened with EXAMINE";
            self.refuse(turn, tag, Condition::No, Some(Code::ReadOnly), text);
            return None;
        }
        // RFC 8508, 4.1: those of STORE and of EXPUNGE.
        if ![Right::DeleteMessage, Right::Expunge].iter().all(|&right| selected.rights.has(right)) {
            self.refuse(turn, tag, Condition::No, Some(Code::NoPerm), "Messages may not be expunged here");
            return None;
        }
        let found = selected
            .mailbox(&turn.shared.store)
            .map_err(Unresolved::from)
            .and_then(|mailbox| selected.resolve(&mailbox, replaced.numbering, &replaced.message));
        match found {
            Ok(sequences) => match selected.cells(&sequences).as_slice() {
                [cell] => Some((selected.id, *cell, replaced.numbering)),
                _ => {
                    let text = "There is no such message to replace";
                    self.refuse(turn, tag, Condition::No, Some(Code::NonExistent), text);
                    None
                }
            },
            Err(error) => {
                self.refuse_unresolved(turn, tag, &error);
                None
            }
        }
    }
}
