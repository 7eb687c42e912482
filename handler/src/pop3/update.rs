//! QUIT (RFC 1939, 4 and 6): what was marked is expunged in one change, and the answer waits until that is durable.

use protocol::pop3::reply::{self, Code};
use store::{ChangeError, Ticket};

use super::maildrop::Maildrop;
use super::{Flow, Pop3Session, Running, Stage};
use crate::conversation::{Next, Turn};
use crate::log;

const NOT_REMOVED: &str = "Some deleted messages were not removed";

impl Pop3Session {
    /// QUIT in any state.
    pub(super) fn quit(&mut self, turn: &mut Turn<'_>) -> Flow {
        let Stage::Transaction(maildrop) = &mut self.stage else {
            reply::ok(turn.output.bytes(), "Bye");
            return Flow::Wait(Next::Close);
        };
        match remove_marked(maildrop, turn) {
            Ok(ticket) => {
                self.running = Running::Update(ticket);
                Flow::Continue
            }
            Err(error) => {
                log::error!("messages not deleted", user = maildrop.name, why = error);
                self.leave(Err(NOT_REMOVED), turn)
            }
        }
    }

    /// The change was made; the session ends when it is known to last.
    pub(super) fn go_on_update(&mut self, ticket: Ticket, turn: &mut Turn<'_>) -> Flow {
        match turn.shared.store.ticket_state(ticket) {
            None => {
                self.running = Running::Update(ticket);
                Flow::Wait(Next::Commit(ticket))
            }
            Some(Ok(())) => self.leave(Ok("Bye"), turn),
            Some(Err(error)) => {
                log::error!("commit failed", why = error);
                self.leave(Err(NOT_REMOVED), turn)
            }
        }
    }

    fn leave(&mut self, result: Result<&str, &str>, turn: &mut Turn<'_>) -> Flow {
        if let Stage::Transaction(maildrop) = &self.stage {
            log::info!("logout", protocol = "pop3", user = maildrop.name, peer = turn.peer.endpoint);
        }
        // Before the reply leaves: a client that has it may log in again at once.
        self.end(turn.shared);
        match result {
            Ok(text) => reply::ok(turn.output.bytes(), text),
            Err(text) => reply::error(turn.output.bytes(), Some(Code::SystemTemporary), text),
        }
        Flow::Wait(Next::Close)
    }
}

fn remove_marked(maildrop: &mut Maildrop, turn: &Turn<'_>) -> Result<Ticket, ChangeError> {
    let cells = maildrop.marked_cells(&turn.shared.store)?;
    if cells.is_empty() {
        return Ok(Ticket(0));
    }
    let mut txn = turn.shared.store.begin();
    txn.expunge(maildrop.inbox, &cells);
    let committed = txn.commit()?;
    turn.announce(committed.ticket, &committed.touched);
    Ok(committed.ticket)
}
