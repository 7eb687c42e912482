//! The octets of a message, taken as they come. What is too large, not allowed, or beyond a quota is refused before the client sends
//! it, if it waits for leave.

use protocol::imap::command::append::{AppendLiteral, LiteralKind};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use store::MailboxId;
use store::quota::{Resource, Usage};

use super::super::enabled::Extension;
use super::super::{Flow, ImapSession, Running};
use super::{Append, Step};
use crate::conversation::{Next, Turn};

/// Octets that are coming.
#[derive(Clone, Copy)]
pub(super) struct Coming {
    kind: LiteralKind,
    /// How many have not come yet.
    left: u64,
}

impl ImapSession {
    pub(super) fn begin_octets(
        &mut self,
        mut append: Box<Append>,
        literal: AppendLiteral,
        turn: &mut Turn<'_>,
    ) -> Flow {
        if literal.length == 0 && !literal.is_part {
            self.decoder.append_refuse();
            return self.refuse_empty(turn, &append.tag);
        }
        if literal.kind == LiteralKind::Utf8 && !self.enabled.has(Extension::Utf8Accept) {
            self.decoder.append_refuse();
            let text = "UTF8 is for those who have enabled UTF8=ACCEPT";
            return self.refuse(turn, &append.tag, Condition::Bad, None, text);
        }
        if let Err(flow) = self.check_size(&append, literal.length, turn) {
            self.decoder.append_refuse();
            return flow;
        }
        if literal.synchronising {
            reply::continuation(turn.output.bytes(), "Ready for the message");
        }
        append.step = Step::Octets(Coming { kind: literal.kind, left: literal.length });
        self.running = Running::Append(append);
        Flow::Continue
    }

    /// Refuses a message that would get too large with `more` octets, and one that nobody could keep.
    pub(super) fn check_size(&mut self, append: &Append, more: u64, turn: &mut Turn<'_>) -> Result<(), Flow> {
        let so_far = append.message.as_ref().map_or(0, |message| message.draft.len());
        if so_far.saturating_add(more) > self.decoder.limits().append {
            let text = "The message is too large";
            return Err(self.refuse(turn, &append.tag, Condition::No, Some(Code::TooBig), text));
        }
        let Ok(place) = &append.place else { return Ok(()) };
        if place.replaced.is_some() {
            // What is left of the old message counts, too, once the new one is there.
            return Ok(());
        }
        let stored: u64 = append.stored.iter().map(|stored| u64::from(stored.deposit.size())).sum();
        let coming = Usage { octets: stored + so_far + more, messages: append.stored.len() as u64 + 1 };
        match exceeded(turn, place.mailbox, coming) {
            Some(what) => Err(self.refuse_over_quota(turn, &append.tag, what)),
            None => Ok(()),
        }
    }

    pub(super) fn take_octets(
        &mut self,
        mut append: Box<Append>,
        mut coming: Coming,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let Some(message) = &mut append.message else { return Flow::Continue };
        let unread = turn.input.unread();
        let wanted = usize::try_from(coming.left).unwrap_or(usize::MAX);
        let taken = &unread[..unread.len().min(wanted)];
        let count = taken.len();
        let has_nul = taken.contains(&0);
        message.has_nul |= has_nul;
        let is_refused = has_nul && coming.kind != LiteralKind::Binary;
        let written = if is_refused { Ok(()) } else { message.draft.write(taken) };
        turn.input.consume(count);
        coming.left -= count as u64;
        if is_refused {
            self.decoder.append_skip(coming.left);
            let text = "NUL may only be in a literal8, ~{n}";
            return self.refuse(turn, &append.tag, Condition::Bad, None, text);
        }
        if let Err(error) = written {
            self.decoder.append_skip(coming.left);
            return self.refuse_store(turn, &append.tag, &error);
        }
        if coming.left == 0 {
            self.decoder.append_rest();
            self.running = Running::Append(append);
            return Flow::Continue;
        }
        append.step = Step::Octets(coming);
        self.running = Running::Append(append);
        Flow::Wait(Next::Input)
    }
}

/// What the owner of `mailbox` would have too much of. The last word is the store's, when it puts the messages there.
fn exceeded(turn: &Turn<'_>, mailbox: MailboxId, more: Usage) -> Option<Resource> {
    let quota = turn.shared.store.quota(mailbox.user).ok()?;
    quota.limits.exceeded_by(quota.usage.and(more))
}
