//! IDLE (RFC 2177): the client is told of changes until it says DONE.

use protocol::imap::command::Tag;
use protocol::imap::extension::idle::IdleLine;
use protocol::imap::reply::status::{self as reply, Condition};
use store::MailboxId;

use super::ending::Tell;
use super::untagged::Untagged;
use super::{Flow, ImapSession, Running, Stage, goodbye};
use crate::conversation::{Next, Turn};
use crate::log;

/// An IDLE that goes on.
pub(crate) struct Idle {
    tag: Tag,
    /// What is being told.
    untagged: Option<Untagged>,
}

impl Idle {
    /// Its tag.
    pub(super) fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Whether something is being told.
    pub(super) fn is_telling(&self) -> bool {
        self.untagged.is_some()
    }
}

impl ImapSession {
    pub(super) fn begin_idle(&mut self, tag: Tag, turn: &mut Turn<'_>) -> Flow {
        reply::continuation(turn.output.bytes(), "idling");
        self.go_on_idling(tag, turn);
        Flow::Continue
    }

    /// Watches what is to be told of. The client knows that it idles.
    pub(super) fn go_on_idling(&mut self, tag: Tag, turn: &Turn<'_>) {
        if !self.watch_for_notify(turn) {
            let selected = self.selected_id();
            let watched = selected.into_iter().chain(self.lists_of_metadata(turn));
            turn.watch(watched.map(MailboxId::key).collect());
        }
        self.running = Running::Idle(Box::new(Idle { tag, untagged: None }));
    }

    pub(super) fn go_on_idle(&mut self, mut idle: Box<Idle>, turn: &mut Turn<'_>) -> Flow {
        if let Some(why) = turn.farewell() {
            return Flow::Wait(goodbye(turn, &why));
        }
        if let Err(next) = self.review_rights(turn) {
            return Flow::Wait(next);
        }
        if idle.untagged.is_none() {
            self.tell_metadata(turn);
        }
        match self.tell_while_idle(&mut idle, turn) {
            Ok(true) => {}
            Ok(false) => {
                self.running = Running::Idle(idle);
                return Flow::Wait(Next::Output);
            }
            Err(error) => {
                log::warning!("selected mailbox lost", why = error);
                return Flow::Wait(goodbye(turn, "The selected mailbox is gone"));
            }
        }
        let (consumed, line) = self.decoder.decode_idle(turn.input.unread());
        turn.input.consume(consumed);
        match line {
            IdleLine::NeedMore => {
                // The time of IDLE is that until it waits.
                turn.end_command();
                self.running = Running::Idle(idle);
                Flow::Wait(Next::InputOrChange)
            }
            IdleLine::Done => {
                self.end_watching(turn);
                self.end(turn, idle.tag, Tell::Everything, "IDLE completed")
            }
            IdleLine::Bad => {
                self.end_watching(turn);
                self.refuse(turn, &idle.tag, Condition::Bad, None, "Expected DONE")
            }
            IdleLine::Fatal => Flow::Wait(goodbye(turn, "Line too long")),
        }
    }

    /// Tells what happened since the last time; false if the output is full before all is told.
    fn tell_while_idle(&mut self, idle: &mut Idle, turn: &mut Turn<'_>) -> Result<bool, store::StoreError> {
        // RFC 5465, 4: exactly what NOTIFY asked for.
        if self.notify.is_some() {
            return self.tell_notifications(true, turn);
        }
        let Stage::Selected(_, selected) = &mut self.stage else { return Ok(true) };
        if idle.untagged.is_none() {
            idle.untagged = Untagged::collect(selected, &Tell::Everything, turn)?;
        }
        let Some(untagged) = &mut idle.untagged else { return Ok(true) };
        if !untagged.write(selected, turn)? {
            return Ok(false);
        }
        idle.untagged = None;
        Ok(true)
    }

    /// Nothing is watched any more but what NOTIFY asked for.
    fn end_watching(&self, turn: &Turn<'_>) {
        if self.notify.is_none() {
            turn.unwatch();
        }
    }
}
