//! A message with NUL in it (RFC 3516, 4.4), which is written anew without it ([`crate::without_nul`]) before the command goes on.

use protocol::imap::command::append::MessageHeader;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;

use super::super::{Flow, ImapSession, Running};
use super::{Append, Step};
use crate::conversation::{Next, Turn};
use crate::without_nul::WithoutNul;

/// What the command goes on with.
pub(super) enum Then {
    /// The next message.
    Message(MessageHeader),
    /// Its end.
    End,
}

/// A message that is being written anew.
pub(super) struct Conversion {
    message: WithoutNul,
    then: Then,
}

impl ImapSession {
    /// Writes the message that has come anew, and then goes on.
    pub(super) fn begin_conversion(
        &mut self,
        mut append: Box<Append>,
        then: Then,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let (Some(message), Ok(place)) = (append.message.take(), &append.place) else {
            return Flow::Continue;
        };
        match WithoutNul::begin(&turn.shared.store, message.draft, place.mailbox) {
            Ok(Ok(rewritten)) => {
                append.header = Some(message.header);
                let conversion = Conversion { message: rewritten, then };
                append.step = Step::Convert(Box::new(conversion));
                self.running = Running::Append(append);
                Flow::Continue
            }
            Ok(Err(_)) => {
                self.decoder.append_refuse();
                let text = "There is NUL outside of the parts that can be encoded";
                self.refuse(turn, &append.tag, Condition::No, Some(Code::UnknownCte), text)
            }
            Err(error) => {
                self.decoder.append_refuse();
                self.refuse_store(turn, &append.tag, &error)
            }
        }
    }

    pub(super) fn convert(
        &mut self,
        mut append: Box<Append>,
        mut conversion: Box<Conversion>,
        turn: &mut Turn<'_>,
    ) -> Flow {
        match conversion.message.run(&turn.shared.store) {
            Ok(false) => {
                append.step = Step::Convert(conversion);
                self.running = Running::Append(append);
                Flow::Wait(Next::Again)
            }
            Ok(true) => {
                let Conversion { message, then } = *conversion;
                let draft = message.into_draft();
                let header = append.header.take().unwrap_or_default();
                append.message = Some(super::Message { header, draft, has_nul: false });
                // What was added counts, too.
                if let Err(flow) = self.check_size(&append, 0, turn) {
                    self.decoder.append_refuse();
                    return flow;
                }
                match then {
                    Then::End => self.finish_append(append, turn),
                    Then::Message(header) => match self.begin_message(&mut append, header, turn) {
                        Ok(()) => {
                            self.running = Running::Append(append);
                            Flow::Continue
                        }
                        Err(flow) => flow,
                    },
                }
            }
            Err(error) => {
                self.decoder.append_refuse();
                self.refuse_store(turn, &append.tag, &error)
            }
        }
    }
}
