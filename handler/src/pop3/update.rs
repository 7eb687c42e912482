//! QUIT (RFC 1939, 4 and 6): what was marked is expunged in one change, and the answer waits until that is durable.

use protocol::pop3::reply::{self, Code};
use store::{ChangeError, Ticket};

use super::maildrop::Maildrop;
use super::{Flow, Pop3Session, Running, Stage, code_of};
use crate::conversation::{Next, Turn};
use crate::log;

impl Pop3Session {
    /// QUIT in any state.
    pub(super) fn quit(&mut self, turn: &mut Turn<'_>) -> Flow {
        let Stage::Transaction(maildrop) = &mut self.stage else {
            reply::ok(turn.output.bytes(), "Bye");
            return Flow::Wait(Next::Close);
        };
        let marked = maildrop.marked();
        match remove_marked(maildrop, turn) {
            Ok(ticket) => {
                self.running = Running::Update { ticket, marked };
                Flow::Continue
            }
            Err(error) => {
                log::error!("messages not deleted", user = maildrop.name, why = error);
                let code = if let ChangeError::Store(error) = &error {
                    code_of(error)
                } else {
                    Code::SystemTemporary
                };
                self.leave(Err((code, marked)), turn)
            }
        }
    }

    /// The change was made; the session ends when it is known to last.
    pub(super) fn go_on_update(&mut self, ticket: Ticket, marked: u32, turn: &mut Turn<'_>) -> Flow {
        match turn.shared.store.ticket_state(ticket) {
            None => {
                self.running = Running::Update { ticket, marked };
                Flow::Wait(Next::Commit(ticket))
            }
            Some(Ok(())) => self.leave(Ok(marked), turn),
            Some(Err(error)) => {
                log::error!("commit failed", why = error);
                self.leave(Err((Code::SystemTemporary, marked)), turn)
            }
        }
    }

    /// Ends the session; `result`: how many messages were removed, or were not, and why.
    fn leave(&mut self, result: Result<u32, (Code, u32)>, turn: &mut Turn<'_>) -> Flow {
        if let Stage::Transaction(maildrop) = &self.stage {
            turn.shared.metrics().count(shm_abi::Tally::Pop3Logout);
            log::audit!("logout", protocol = "pop3", user = maildrop.name, peer = turn.peer.endpoint);
        }
        // Before the reply leaves: a client that has it may log in again at once.
        self.end();
        if let Some(cell) = turn.cell() {
            cell.set_maildrop(false);
            cell.set_mailbox(None);
        }
        if let Ok(removed @ 1..) = result {
            turn.shared.metrics().add(shm_abi::Tally::ExpungedMessages, removed.into());
            log::audit!("expunged", protocol = "pop3", messages = removed);
        }
        match result {
            Ok(0) => reply::ok(turn.output.bytes(), "Bye"),
            Ok(removed) => reply::ok(turn.output.bytes(), &format!("Bye, {removed} messages deleted")),
            Err((code, kept)) => {
                let text = format!("{kept} deleted messages were not removed");
                reply::error(turn.output.bytes(), Some(code), &text);
            }
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
