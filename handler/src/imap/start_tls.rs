//! STARTTLS (RFC 3501, 6.2.1; RFC 9051, 6.2.1).

use protocol::imap::command::Tag;
use protocol::imap::reply::status::{self as reply, Condition};

use super::{Flow, ImapSession, Running};
use crate::conversation::{Handshake, Next, Turn};

impl ImapSession {
    /// Has the peer begin a handshake, if there is a certificate and this is the time for it.
    pub(super) fn start_tls(&mut self, tag: &Tag, turn: &mut Turn<'_>) -> Flow {
        if self.is_authenticated() {
            return self.refuse(turn, tag, Condition::Bad, None, "STARTTLS comes before the login");
        }
        if turn.peer.tls.is_some() {
            return self.refuse(turn, tag, Condition::Bad, None, "TLS is spoken already");
        }
        if !turn.may_begin_tls() {
            return self.refuse(turn, tag, Condition::Bad, None, "TLS is not offered here");
        }
        reply::tagged(turn.output.bytes(), tag, Condition::Ok, None, "Begin the handshake now");
        self.running = Running::Secure(Handshake::Said);
        Flow::Wait(Next::Output)
    }

    /// Waits until the handshake is done; then the next command is awaited, as after the greeting.
    pub(super) fn go_on_start_tls(&mut self, handshake: Handshake, turn: &Turn<'_>) -> Flow {
        match handshake.go_on(turn) {
            Some((handshake, next)) => {
                self.running = Running::Secure(handshake);
                Flow::Wait(next)
            }
            None => Flow::Continue,
        }
    }
}
