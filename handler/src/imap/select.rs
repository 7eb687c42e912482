//! SELECT, EXAMINE, CLOSE and UNSELECT (RFC 3501, 6.3.1, 6.3.2, 6.4.2; RFC 9051, 6.3.2, 6.3.3, 6.4.1, 6.4.2; RFC 3691).

use protocol::imap::command::Tag;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::mailbox as mailbox_reply;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::mailbox_name::MailboxName;
use store::{Right, Ticket};

use super::ending::{Ending, Tell};
use super::names::Unfound;
use super::selected::{Access, Selected};
use super::untagged::announce_flags;
use super::{Flow, ImapSession, Stage, object_id};
use crate::conversation::Turn;

impl ImapSession {
    pub(super) fn select(
        &mut self,
        tag: Tag,
        name: &MailboxName,
        access: Access,
        turn: &mut Turn<'_>,
    ) -> Flow {
        // Whether it succeeds or not, the mailbox selected before is no longer.
        if matches!(self.stage, Stage::Selected(..)) && self.enabled.rev2() {
            let text = "The mailbox selected before is closed";
            reply::untagged(turn.output.bytes(), Condition::Ok, Some(Code::Closed), text);
        }
        self.deselect(turn);
        let selected = match self
            .find(name, Right::Read, turn)
            .and_then(|found| Ok(Selected::open(&turn.shared.store, found, access, self.enabled)?))
        {
            Ok(selected) => selected,
            Err(error) => return self.refuse_unfound(turn, &tag, &error),
        };
        match self.greet(&tag, name, selected, turn) {
            Ok(()) => Flow::Continue,
            Err(error) => self.refuse_unfound(turn, &tag, &error),
        }
    }

    fn greet(
        &mut self,
        tag: &Tag,
        name: &MailboxName,
        mut selected: Selected,
        turn: &mut Turn<'_>,
    ) -> Result<(), Unfound> {
        let mailbox = selected.mailbox(&turn.shared.store)?;
        let keywords = mailbox.keywords()?;
        let mut out = Vec::with_capacity(512);
        let out = &mut out;
        announce_flags(out, &mut selected, &keywords);
        mailbox_reply::exists(out, selected.view.exists());
        if self.enabled.rev2() {
            self.list_selected(out, name, turn)?;
        } else {
            let recent = selected.count_recent(&mailbox)?;
            selected.recent_told = recent;
            mailbox_reply::recent(out, recent);
            if let Some(first_unseen) = selected.view.first_unseen(&mailbox)? {
                reply::untagged(out, Condition::Ok, Some(Code::Unseen(first_unseen)), "First unseen message");
            }
        }
        let uid_validity = Some(Code::UidValidity(mailbox.uid_validity()));
        reply::untagged(out, Condition::Ok, uid_validity, "UIDs are valid");
        let uid_next = Some(Code::UidNext(selected.view.uid_upto() + 1));
        reply::untagged(out, Condition::Ok, uid_next, "Predicted next UID");
        let identifier = object_id::mailbox_id(selected.id, mailbox.uid_validity());
        reply::untagged(out, Condition::Ok, Some(Code::MailboxId(&identifier)), "Identifier of the mailbox");
        let (code, text) = match selected.access {
            Access::ReadWrite => (Code::ReadWrite, "SELECT completed"),
            Access::ReadOnly => (Code::ReadOnly, "EXAMINE completed"),
        };
        reply::tagged(out, tag, Condition::Ok, Some(code), text);
        turn.output.bytes().append(out);
        if let Some(cell) = turn.cell() {
            let key = selected.id.key();
            cell.set_mailbox(Some((turn.shared.table.row_of(key), key)));
        }
        self.stage = match std::mem::replace(&mut self.stage, Stage::NotAuthenticated) {
            Stage::Authenticated(user) | Stage::Selected(user, _) => {
                Stage::Selected(user, Box::new(selected))
            }
            stage => stage,
        };
        Ok(())
    }

    /// Goes back to the authenticated state.
    pub(super) fn deselect(&mut self, turn: &Turn<'_>) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::NotAuthenticated) {
            Stage::Selected(user, _) => {
                if let Some(cell) = turn.cell() {
                    cell.set_mailbox(None);
                }
                Stage::Authenticated(user)
            }
            stage => stage,
        };
    }

    /// CLOSE expunges without a word.
    pub(super) fn close(&mut self, tag: Tag, turn: &mut Turn<'_>) -> Flow {
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        let mut ticket = Ticket(0);
        if selected.access == Access::ReadWrite {
            match super::expunge::expunge_deleted(selected, None, turn) {
                Ok(committed) => ticket = committed,
                Err(error) => return self.refuse_change(turn, &tag, &error, Code::NonExistent),
            }
        }
        self.deselect(turn);
        let ending = Ending::ok(tag.clone(), Tell::Nothing, "CLOSE completed");
        self.end_after(tag, ticket, ending)
    }

    pub(super) fn unselect(&mut self, tag: Tag, turn: &mut Turn<'_>) -> Flow {
        self.deselect(turn);
        self.end(turn, tag, Tell::Nothing, "UNSELECT completed")
    }
}
