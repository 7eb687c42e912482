//! The end of an APPEND or REPLACE: its messages are put into the mailbox, all of them or none.

use protocol::imap::Numbering;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::sequence_set::NumberSet;
use store::txn::{Delivery, DepositDelivery, Outcome, Refused};
use store::{ChangeError, StoreError};

use super::super::annotate;
use super::super::ending::{Ending, Tell};
use super::super::names::Unfound;
use super::super::untagged::Known;
use super::super::{Flow, ImapSession, Running};
use super::binary::Then;
use super::{Append, Message, Step};
use crate::conversation::Turn;

impl ImapSession {
    /// Stores the message that is coming, if there is one, for all of it is there.
    pub(super) fn store_message(&mut self, append: &mut Append, turn: &mut Turn<'_>) -> Result<(), Flow> {
        let (Some(message), Ok(place)) = (append.message.take(), &append.place) else { return Ok(()) };
        if message.draft.is_empty() {
            return Err(self.refuse_empty(turn, &append.tag));
        }
        let (flags, keywords, internal_date) =
            (message.flags(place), message.keywords(place), message.internal_date());
        let Message { draft, header, .. } = message;
        let store = &turn.shared.store;
        let parts = annotate::parts(&header.annotations);
        let stored = draft.finish().and_then(|content| {
            let deposit = store.deposit(content, place.mailbox)?;
            let has_parts = annotate::has_parts(store, deposit.id(), &parts)?;
            Ok((deposit, has_parts))
        });
        match stored {
            Ok((_, false)) => Err(self.refuse_annotations(turn, &append.tag, annotate::NO_SUCH_PART)),
            Ok((deposit, true)) => {
                append.annotations.push(annotate::new_annotations(header.annotations));
                append.stored.push(DepositDelivery { deposit, flags, keywords, internal_date });
                Ok(())
            }
            Err(error) => Err(self.refuse_store(turn, &append.tag, &error)),
        }
    }

    /// The command is complete.
    pub(super) fn finish_append(&mut self, mut append: Box<Append>, turn: &mut Turn<'_>) -> Flow {
        if append.message.as_ref().is_some_and(|message| message.has_nul) {
            return self.begin_conversion(append, Then::End, turn);
        }
        let is_single = append.stored.is_empty();
        if let (true, Ok(place)) = (is_single, &append.place)
            && place.replaced.is_none()
            && append.message.as_ref().is_some_and(Message::is_simple)
            && let Some(message) = append.message.take()
        {
            return self.deliver_one(*append, message, turn);
        }
        if let Err(flow) = self.store_message(&mut append, turn) {
            return flow;
        }
        let (tag, ticket) = (append.tag.clone(), append.ticket());
        append.step = Step::Durable;
        self.running = Running::Commit(tag, ticket, Box::new(Running::Append(append)));
        Flow::Continue
    }

    /// A single message needs no more than one change.
    fn deliver_one(&mut self, append: Append, message: Message, turn: &mut Turn<'_>) -> Flow {
        let Append { tag, place, .. } = append;
        let Ok(place) = place else { return Flow::Continue };
        if message.draft.is_empty() {
            return self.refuse_empty(turn, &tag);
        }
        let delivery = Delivery {
            mailbox: place.mailbox,
            flags: message.flags(&place),
            keywords: message.keywords(&place),
            internal_date: message.internal_date(),
        };
        let content = match message.draft.finish() {
            Ok(content) => content,
            Err(error) => return self.refuse_store(turn, &tag, &error),
        };
        let mut txn = self.begin_change(turn);
        txn.deliver(content, vec![delivery]);
        txn.annotate_added(place.mailbox, 0, annotate::new_annotations(message.header.annotations));
        let committed = match txn.commit() {
            Ok(committed) => committed,
            Err(error) => return self.refuse_change(turn, &tag, &error, Code::TryCreate),
        };
        turn.announce(committed.ticket, &committed.touched);
        let appended = committed.outcomes.into_iter().find_map(|outcome| match outcome {
            Outcome::Delivered(mut results) => results.pop(),
            _ => None,
        });
        match appended {
            Some(Ok(appended)) => {
                let uids = NumberSet::from_ascending([appended.uid.get()]);
                let code = Some(Code::AppendUid(appended.uid_validity, &uids));
                let text = "APPEND completed";
                let ending = Ending::with(tag.clone(), Tell::Everything, Condition::Ok, code, text)
                    .preceded_by(self.told_as_sent(&place.name, turn));
                self.end_after(tag, committed.ticket, ending)
            }
            Some(Err(Refused::Unusable(why))) => {
                crate::log::error!("append refused", mailbox = place.mailbox.key(), why = why);
                let text = "The mailbox cannot take the message";
                self.refuse(turn, &tag, Condition::No, Some(Code::ServerBug), text)
            }
            Some(Err(Refused::OverQuota(what))) => self.refuse_over_quota(turn, &tag, what),
            Some(Err(Refused::NoSuchMailbox)) | None => {
                self.refuse_target(turn, &tag, &place.name, &Unfound::NonExistent)
            }
        }
    }

    /// All messages are stored and durable.
    pub(super) fn put_together(&mut self, append: Append, turn: &mut Turn<'_>) -> Flow {
        let Append { tag, name, place, mut stored, annotations, .. } = append;
        let Ok(place) = place else { return Flow::Continue };
        let mut txn = self.begin_change(turn);
        match (place.replaced, stored.pop()) {
            (Some((from, cell, _)), Some(message)) => txn.replace(from, cell, place.mailbox, message),
            (None, Some(last)) => {
                stored.push(last);
                txn.add_deposits(place.mailbox, stored);
            }
            (_, None) => return self.refuse_empty(turn, &tag),
        }
        for (nth, annotations) in annotations.into_iter().enumerate() {
            txn.annotate_added(place.mailbox, nth, annotations);
        }
        let committed = match txn.commit() {
            Ok(committed) => committed,
            Err(ChangeError::Store(StoreError::NotFound("message"))) => {
                let text = "The message to replace was expunged meanwhile";
                return self.refuse(turn, &tag, Condition::No, Some(Code::ExpungeIssued), text);
            }
            Err(ChangeError::Store(StoreError::Gone(_))) => {
                let text = "It took so long that the messages were given up; send them again";
                return self.refuse(turn, &tag, Condition::No, Some(Code::Unavailable), text);
            }
            Err(error) => return self.refuse_change(turn, &tag, &error, Code::TryCreate),
        };
        turn.announce(committed.ticket, &committed.touched);
        let done = committed.outcomes.into_iter().find_map(|outcome| match outcome {
            Outcome::Deposited(done) => Some(done),
            _ => None,
        });
        let Some(done) = done else {
            return self.refuse_target(turn, &tag, &place.name, &Unfound::NonExistent);
        };
        let uids = NumberSet::from_ascending(done.uids.iter().map(|uid| uid.get()));
        let code = Some(Code::AppendUid(done.uid_validity, &uids));
        let text = format!("{name} completed");
        let ending = match place.replaced {
            None => Ending::with(tag.clone(), Tell::Everything, Condition::Ok, code, &text)
                .preceded_by(self.told_as_sent(&place.name, turn)),
            Some((.., numbering)) => {
                // RFC 8508, 4.3: APPENDUID comes before EXPUNGE; and so does EXISTS, for the new message is there before the old one goes.
                let mut first = Vec::new();
                reply::untagged(&mut first, Condition::Ok, code, "The new message is there");
                let tell = match numbering {
                    Numbering::Sequence => Tell::Everything,
                    Numbering::Uid => Tell::WithUids(Known::default()),
                };
                Ending::ok(tag.clone(), tell, &text).with_new_messages_first(first).after_expunging()
            }
        };
        self.end_after(tag, committed.ticket, ending)
    }
}
