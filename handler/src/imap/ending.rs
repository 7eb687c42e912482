//! How a command ends: first what happened in the mailbox meanwhile, then the tagged reply.

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use store::{ModSeq, Ticket};

use super::enabled::Extension;
use super::notify::SelectedEvents;
use super::selected::Selected;
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
    /// The same; with UIDs in FETCH replies.
    NoExpungeWithUids,
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

/// What the tagged OK of a command says of HIGHESTMODSEQ (RFC 7162, 3.2.7 and 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Highest {
    /// What the client must know.
    IfWrong,
    /// It, always: messages were expunged by the command.
    Always,
}

/// The end of a command.
pub(crate) struct Ending {
    tell: Tell,
    /// What is told after that.
    then: Option<Tell>,
    /// What stands before all else; taken once it is written.
    first: Vec<u8>,
    /// What is being told, once that has begun.
    untagged: Option<Untagged>,
    reply: Reply,
    highest: Highest,
}

/// The tagged reply.
enum Reply {
    /// OK with a text; a code may be put before it.
    Ok(Tag, String),
    /// The whole line.
    Line(Vec<u8>),
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
        let reply = if condition == Condition::Ok && code.is_none() {
            Reply::Ok(tag, text.to_owned())
        } else {
            let mut line = Vec::with_capacity(64);
            reply::tagged(&mut line, &tag, condition, code, text);
            Reply::Line(line)
        };
        Ending { tell, then: None, first: Vec::new(), untagged: None, reply, highest: Highest::IfWrong }
    }

    /// With these lines before what happened in the mailbox.
    pub(crate) fn preceded_by(self, first: Vec<u8>) -> Ending {
        Ending { first, ..self }
    }

    /// As `preceded_by`; and new messages are told before those that are gone.
    pub(crate) fn with_new_messages_first(self, first: Vec<u8>) -> Ending {
        let tell = match &self.tell {
            Tell::WithUids(_) => Tell::NoExpungeWithUids,
            _ => Tell::NoExpunge(Known::default()),
        };
        Ending { first, then: Some(self.tell), tell, ..self }
    }

    /// With HIGHESTMODSEQ for a client that has enabled QRESYNC: the command expunged messages.
    pub(crate) fn after_expunging(self) -> Ending {
        Ending { highest: Highest::Always, ..self }
    }

    fn write(&self, out: &mut Vec<u8>, highest: Option<ModSeq>) {
        let code = highest.map(|modseq| Code::HighestModSeq(modseq.0));
        match &self.reply {
            Reply::Ok(tag, text) => reply::tagged(out, tag, Condition::Ok, code, text),
            Reply::Line(line) => {
                if code.is_some() {
                    reply::untagged(out, Condition::Ok, code, "Told up to this modification sequence");
                }
                out.extend_from_slice(line);
            }
        }
    }
}

/// What HIGHESTMODSEQ must tell the client at the end of a command that told it what there was.
fn highest(selected: &mut Selected, how: Highest) -> Option<ModSeq> {
    // Who is not told of flags knows nothing up to anywhere.
    let tells_flags = match &selected.events {
        SelectedEvents::All => true,
        SelectedEvents::Asked(rule) => rule.tells_flags,
        SelectedEvents::Nothing => false,
    };
    if !selected.enabled.condstore() || !tells_flags {
        return None;
    }
    let with_qresync = selected.enabled.has(Extension::QResync);
    let upto = selected.view.parked().expunged_upto;
    let told = selected.client_modseq.end_command(upto, with_qresync);
    if how == Highest::Always && with_qresync { Some(upto) } else { told }
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
        self.tell_metadata(turn);
        let mut highest_modseq = None;
        if let Stage::Selected(_, selected) = &mut self.stage
            && ending.tell == Tell::Nothing
        {
            selected.client_modseq.settle();
        }
        if let Stage::Selected(_, selected) = &mut self.stage
            && ending.tell != Tell::Nothing
        {
            match tell_all(&mut ending, selected, turn) {
                Ok(true) => highest_modseq = highest(selected, ending.highest),
                Ok(false) => {
                    self.running = Running::Ending(ending);
                    return Flow::Wait(Next::Output);
                }
                Err(error) => {
                    // The mailbox is gone or damaged; the session cannot go on with it, but the command ended.
                    log::warning!("selected mailbox lost", mailbox = selected.id.key(), why = error);
                    ending.write(turn.output.bytes(), None);
                    return Flow::Wait(super::goodbye(turn, "The selected mailbox is gone"));
                }
            }
        }
        ending.write(turn.output.bytes(), highest_modseq);
        Flow::Continue
    }
}

/// Tells what happened in the mailbox; false if the output is full before all is told.
fn tell_all(
    ending: &mut Ending,
    selected: &mut Selected,
    turn: &mut Turn<'_>,
) -> Result<bool, store::StoreError> {
    loop {
        if ending.untagged.is_none() {
            ending.untagged = Untagged::collect(selected, &ending.tell, turn)?;
        }
        if let Some(untagged) = &mut ending.untagged
            && !untagged.write(selected, turn)?
        {
            return Ok(false);
        }
        let Some(tell) = ending.then.take() else { return Ok(true) };
        (ending.tell, ending.untagged) = (tell, None);
    }
}
