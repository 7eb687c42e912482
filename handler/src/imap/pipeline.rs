//! Commands that wait for the disk, and those that a client has sent behind them (RFC 9051, 5.5).
//!
//! A change is made in memory by one command after the other, and becomes durable together with others, later. A command whose change is
//! made has its replies written at once, but held in the output until the change is durable. If the client has sent more, the next
//! command begins meanwhile. So twenty STOREs, APPENDs or COPYs that come at once share a sync or two.
//!
//! Nothing is ambiguous by that: each command still begins with what the one before has left, and the replies keep their order, with
//! all that RFC 9051, 5.5 and 7.5.1 say of EXPUNGE and message numbers. What a later command shows of an earlier one's change is held with
//! it. If a sync fails, each held command is answered with NO, and the session ends: what it was about to say was built on changes
//! that may not last.

use protocol::imap::command::Tag;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use store::Ticket;

use super::{Flow, ImapSession, Running};
use crate::conversation::{Next, Turn};
use crate::log;
use crate::output::Output;

const FAILED: &str = "The change may not last: the disk failed";

impl ImapSession {
    /// Goes on with a command whose change is durable, or held.
    pub(super) fn go_on_commit(
        &mut self,
        tag: Tag,
        ticket: Ticket,
        then: Box<Running>,
        turn: &mut Turn<'_>,
    ) -> Flow {
        match turn.shared.store.ticket_state(ticket) {
            // Nothing of these is left to do but to tell.
            None if matches!(*then, Running::Ending(_) | Running::Fetch(_))
                && !turn.input.unread().is_empty()
                && turn.output.may_hold() =>
            {
                let mut refusal = Vec::with_capacity(80);
                reply::tagged(&mut refusal, &tag, Condition::No, Some(Code::ServerBug), FAILED);
                turn.output.hold(ticket, refusal);
                turn.timer.hold(ticket);
                self.running = *then;
                Flow::Continue
            }
            None => {
                self.running = Running::Commit(tag, ticket, then);
                Flow::Wait(Next::Commit(ticket))
            }
            Some(Ok(())) => {
                self.running = *then;
                Flow::Continue
            }
            Some(Err(error)) => {
                log::error!("commit failed", why = error);
                self.refuse(turn, &tag, Condition::No, Some(Code::ServerBug), FAILED)
            }
        }
    }

    /// Says goodbye: what was held is lost.
    pub(crate) fn give_up(&mut self, output: &mut Output) {
        self.running = Running::Nothing;
        reply::untagged(output.bytes(), Condition::Bye, None, FAILED);
    }
}
