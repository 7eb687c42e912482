//! UNAUTHENTICATE (RFC 8437): the connection is as it was before its login, for another user.
//!
//! Nothing of the user stays: the session is a new one but for what protects against guessing of passwords. So no extension needs
//! to know of this command, but COMPRESS, which is the engine's and ends. What a mailbox has marked with `\Deleted` is not expunged.

use protocol::imap::command::Tag;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};

use super::{Flow, ImapSession, Stage, capability};
use crate::conversation::{Next, Turn};
use crate::log;

impl ImapSession {
    pub(super) fn unauthenticate(&mut self, tag: &Tag, turn: &mut Turn<'_>) -> Flow {
        if let Some(user) = self.user() {
            log::audit!("logout", protocol = "imap", user = user.name, peer = turn.peer.endpoint);
        }
        self.deselect(turn);
        turn.unwatch();
        *self = ImapSession {
            stage: Stage::NotAuthenticated,
            failed_logins: self.failed_logins,
            ..ImapSession::new()
        };
        if let Some(cell) = turn.cell() {
            turn.shared.table.leave(cell);
            cell.set_user("", turn.shared.unix_ms());
        }
        let names = capability::names(turn, false);
        let code = Some(Code::Capability(&names));
        reply::tagged(turn.output.bytes(), tag, Condition::Ok, code, "UNAUTHENTICATE completed");
        if turn.output.is_compressed() {
            turn.input.end_compression();
            turn.output.end_compression();
            return Flow::Wait(Next::Output);
        }
        Flow::Continue
    }
}
