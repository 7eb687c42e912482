//! APPEND (RFC 3501, 6.3.11) with APPENDUID (RFC 4315). The message goes to the store as it comes.

use protocol::imap::Decoded;
use protocol::imap::command::Tag;
use protocol::imap::command::append::AppendHeader;
use protocol::imap::decoder::AppendLiteral;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::mailbox_name::MailboxName;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::change::{SystemFlags, ZonedTime};
use store::txn::{Delivery, Outcome};
use store::{ChangeError, Draft, MailboxId, Right, StoreError};

use super::ending::{Ending, Tell};
use super::names::Unfound;
use super::{Flow, ImapSession, Running, goodbye};
use crate::clock;
use crate::conversation::{Next, Turn};

/// An APPEND whose message is coming.
pub(crate) struct Append {
    tag: Tag,
    header: AppendHeader,
    mailbox: MailboxId,
    draft: Draft,
    /// Octets of the message that have not come yet.
    left: u64,
}

impl ImapSession {
    pub(super) fn begin_append(&mut self, literal: AppendLiteral, turn: &mut Turn<'_>) -> Flow {
        let AppendLiteral { tag, header, length, synchronising } = literal;
        if length == 0 {
            self.decoder.append_refuse();
            let text = "A message of no octets is none";
            return self.refuse(turn, &tag, Condition::No, Some(Code::Cannot), text);
        }
        let target = self.find(&header.mailbox, Right::Insert, turn);
        let started = target.and_then(|found| Ok((found.id, turn.shared.store.draft()?)));
        match started {
            Ok((mailbox, draft)) => {
                if synchronising {
                    reply::continuation(turn.output.bytes(), "Ready for the message");
                }
                self.running =
                    Running::Append(Box::new(Append { tag, header, mailbox, draft, left: length }));
                Flow::Continue
            }
            Err(error) => {
                self.decoder.append_refuse();
                self.refuse_target(turn, &tag, &header.mailbox, &error)
            }
        }
    }

    pub(super) fn go_on_append(&mut self, mut append: Box<Append>, turn: &mut Turn<'_>) -> Flow {
        if append.left > 0 {
            let unread = turn.input.unread();
            let wanted = usize::try_from(append.left).unwrap_or(usize::MAX);
            let taken = &unread[..unread.len().min(wanted)];
            let count = taken.len();
            let written = append.draft.write(taken);
            turn.input.consume(count);
            append.left -= count as u64;
            if let Err(error) = written {
                self.decoder.append_skip(append.left);
                return self.refuse_append(turn, &append.tag, &append.header.mailbox, &error);
            }
            if append.left > 0 {
                self.running = Running::Append(append);
                return Flow::Wait(Next::Input);
            }
            self.decoder.append_rest();
        }
        let (consumed, decoded) = self.decoder.decode(turn.input.unread());
        turn.input.consume(consumed);
        match decoded {
            Decoded::AppendEnd => self.finish_append(*append, turn),
            Decoded::Bad(refusal) => {
                refusal.write(turn.output.bytes());
                Flow::Continue
            }
            Decoded::Fatal(text) => Flow::Wait(goodbye(turn, text)),
            _ => {
                self.running = Running::Append(append);
                Flow::Wait(Next::Input)
            }
        }
    }

    fn finish_append(&mut self, append: Append, turn: &mut Turn<'_>) -> Flow {
        let Append { tag, header, mailbox, draft, .. } = append;
        let content = match draft.finish() {
            Ok(content) => content,
            Err(error) => return self.refuse_append(turn, &tag, &header.mailbox, &error),
        };
        let date = header.message.date;
        let internal_date = date.map(|date| ZonedTime {
            seconds: date.unix_seconds(),
            zone_minutes: clamp_zone(date.zone_minutes),
        });
        let flags = &header.message.flags;
        let delivery = Delivery {
            mailbox,
            flags: SystemFlags(flags.system.0),
            keywords: flags.keywords.iter().map(|keyword| keyword.as_str().to_owned()).collect(),
            internal_date: internal_date.unwrap_or_else(clock::now),
        };
        let mut txn = turn.shared.store.begin();
        txn.deliver(content, vec![delivery]);
        let committed = match txn.commit() {
            Ok(committed) => committed,
            Err(ChangeError::Store(error)) => {
                return self.refuse_append(turn, &tag, &header.mailbox, &error);
            }
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
                let code = Code::AppendUid(appended.uid_validity, &uids);
                let ending = Ending::with(
                    tag.clone(),
                    Tell::Everything,
                    Condition::Ok,
                    Some(code),
                    "APPEND completed",
                );
                self.end_after(tag, committed.ticket, ending)
            }
            Some(Err(store::txn::Refused::Unusable(why))) => {
                crate::log::error!("append refused", mailbox = mailbox.key(), why = why);
                self.refuse(
                    turn,
                    &tag,
                    Condition::No,
                    Some(Code::ServerBug),
                    "The mailbox cannot take the message",
                )
            }
            Some(Err(store::txn::Refused::OverQuota(what))) => self.refuse_over_quota(turn, &tag, what),
            Some(Err(store::txn::Refused::NoSuchMailbox)) | None => {
                self.refuse_target(turn, &tag, &header.mailbox, &Unfound::NonExistent)
            }
        }
    }

    fn refuse_append(
        &mut self,
        turn: &mut Turn<'_>,
        tag: &Tag,
        mailbox: &MailboxName,
        error: &StoreError,
    ) -> Flow {
        match error {
            StoreError::NotFound(_) => self.refuse_target(turn, tag, mailbox, &Unfound::NonExistent),
            error => self.refuse_store(turn, tag, error),
        }
    }
}

/// A zone as the store can keep it.
fn clamp_zone(minutes: i16) -> i16 {
    minutes.clamp(-1023, 1023)
}
