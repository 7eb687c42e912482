//! How a command ends: first what happened in the mailbox meanwhile, then the tagged reply.

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use store::Ticket;

use super::untagged::{Known, Untagged};
use super::{Flow, ImapSession, Running, Stage};
use crate::conversation::{Next, Turn};
use crate::log;

/// What a command's end may tell of the selected mailbox (RFC 3501, 7.4.1 and 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// Nothing.
    Nothing,
    /// New messages and flags, but no EXPUNGE: sequence numbers must not move during FETCH, STORE and SEARCH.
    NoExpunge(Known),
    /// Everything; with UIDs in FETCH replies.
    WithUids(Known),
    /// Everything.
    Everything,
}

impl Tell {
    /// What FETCH, STORE and SEARCH may tell: with UID before them, sequence numbers may move.
    pub(crate) fn by(numbering: Numbering, known: Known) -> Tell {
        match numbering {
            Numbering::Sequence => Tell::NoExpunge(known),
            Numbering::Uid => Tell::WithUids(known),
        }
    }
}

/// The end of a command.
pub(crate) struct Ending {
    tell: Tell,
    /// What stands before all else; taken once it is written.
    first: Vec<u8>,
    /// What is being told, once that has begun.
    untagged: Option<Untagged>,
    /// The tagged reply.
    reply: Vec<u8>,
}

impl Ending {
    /// The command succeeded.
    pub(crate) fn ok(tag: Tag, tell: Tell, text: &str) -> Ending {
        Ending::with(tag, tell, Condition::Ok, None, text)
    }

    /// The command ended in this way.
    pub(crate) fn with(
        tag: Tag,
        tell: Tell,
        condition: Condition,
        code: Option<Code<'_>>,
        text: &str,
    ) -> Ending {
        let mut line = Vec::with_capacity(64);
        reply::tagged(&mut line, &tag, condition, code, text);
        Ending { tell, first: Vec::new(), untagged: None, reply: line }
    }

    /// With these lines before what happened in the mailbox.
    pub(crate) fn preceded_by(self, first: Vec<u8>) -> Ending {
        Ending { first, ..self }
    }
}

impl ImapSession {
    /// Ends a command that way once `ticket` is durable.
    pub(super) fn end_after_with(
        &mut self,
        tag: Tag,
        tell: Tell,
        condition: Condition,
        code: Option<Code<'_>>,
        text: &str,
        ticket: Ticket,
    ) -> Flow {
        let ending = Ending::with(tag.clone(), tell, condition, code, text);
        self.end_after(tag, ticket, ending)
    }

    /// Ends a command that succeeded.
    pub(super) fn end(&mut self, turn: &mut Turn<'_>, tag: Tag, tell: Tell, text: &str) -> Flow {
        self.go_on_ending(Box::new(Ending::ok(tag, tell, text)), turn)
    }

    pub(super) fn go_on_ending(&mut self, mut ending: Box<Ending>, turn: &mut Turn<'_>) -> Flow {
        turn.output.bytes().append(&mut ending.first);
        if let Stage::Selected(_, selected) = &mut self.stage {
            if ending.untagged.is_none() {
                match Untagged::collect(selected, &ending.tell, turn) {
                    Ok(untagged) => ending.untagged = untagged,
                    Err(error) => {
                        // The mailbox is gone or damaged; the session cannot go on with it, but the command ended.
                        log::warning!("selected mailbox lost", mailbox = selected.id.key(), why = error);
                        turn.output.bytes().extend_from_slice(&ending.reply);
                        return Flow::Wait(super::goodbye(turn, "The selected mailbox is gone"));
                    }
                }
            }
            if let Some(untagged) = &mut ending.untagged {
                match untagged.write(selected, turn) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.running = Running::Ending(ending);
                        return Flow::Wait(Next::Output);
                    }
                    Err(error) => {
                        log::warning!("selected mailbox lost", mailbox = selected.id.key(), why = error);
                        turn.output.bytes().extend_from_slice(&ending.reply);
                        return Flow::Wait(super::goodbye(turn, "The selected mailbox is gone"));
                    }
                }
            }
        }
        turn.output.bytes().extend_from_slice(&ending.reply);
        Flow::Continue
    }
}
