//! What becomes of a command for which a session took more memory than it may have: NO \[LIMIT] (RFC 5530) where nothing of its answer was
//! sent, and the end of the session where there was, or where it is not the command that holds what there is.

use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};

use super::{ImapSession, Running};
use crate::conversation::Stopped;
use crate::memory::TOO_MUCH;
use crate::output::Output;

impl ImapSession {
    /// Stops what is running.
    pub(crate) fn stop_for_memory(&mut self, output: &mut Output) -> Stopped {
        let tag = match std::mem::take(&mut self.running) {
            Running::Search(search) => search.stop(),
            Running::Sort(sort) => sort.stop(),
            Running::Thread(thread) => thread.stop(),
            // Lines are whole here, so that one more is understood.
            Running::Nothing | Running::Idle(_) => {
                reply::untagged(output.bytes(), Condition::Bye, Some(Code::Limit), TOO_MUCH);
                return Stopped::Closes;
            }
            _ => None,
        };
        let Some(tag) = tag else { return Stopped::Closes };
        reply::tagged(output.bytes(), &tag, Condition::No, Some(Code::Limit), TOO_MUCH);
        Stopped::GoesOn
    }
}
