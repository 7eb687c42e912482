//! A whole message that has NUL in it, as BINARYMIME may (RFC 3030, 3): it is written anew before it is delivered, with the parts that have some
//! in base64, because IMAP cannot send NUL. One that cannot be encoded, since its NULs are where none may be, is delivered as it came.

use protocol::lmtp::Reply;

use super::delivery::reply_to_store_error;
use super::intake::{Intake, Sink};
use super::{Flow, LmtpSession, Running};
use crate::conversation::{Next, Turn};
use crate::log;
use crate::maildrops::inbox_of;
use crate::without_nul::WithoutNul;

impl LmtpSession {
    /// All octets of the message came.
    pub(super) fn finish(&mut self, mut intake: Box<Intake>, turn: &mut Turn<'_>) -> Flow {
        // The time of a delivery is that from the last octet of the message.
        turn.begin_command(shm_abi::Histogram::LmtpDelivery);
        let first = intake.transaction.recipients.places().first().map(|place| inbox_of(place.user));
        let (Some(mailbox), true) = (first, intake.has_nul && intake.refusal().is_none()) else {
            return self.deliver(*intake, turn);
        };
        let store = &turn.shared.store;
        // Until the new draft is there, a message that is given up half-way is refused.
        let begun = match std::mem::replace(&mut intake.sink, Sink::Refused(Reply::FAILED)) {
            Sink::Refused(_) => return self.deliver(*intake, turn),
            Sink::Draft(draft) => WithoutNul::begin(store, *draft, mailbox),
        };
        match begun.and_then(|begun| begun.or_else(|as_it_came| as_it_came.copy(store))) {
            Ok(message) => {
                self.running = Running::Rewriting(intake, Box::new(message));
                Flow::Continue
            }
            Err(error) => self.give_up(*intake, &error, turn),
        }
    }

    /// Writes more of the message anew.
    pub(super) fn go_on_rewriting(
        &mut self,
        mut intake: Box<Intake>,
        mut message: Box<WithoutNul>,
        turn: &mut Turn<'_>,
    ) -> Flow {
        match message.run(&turn.shared.store) {
            Ok(true) => {
                intake.sink = Sink::Draft(Box::new(message.into_draft()));
                self.deliver(*intake, turn)
            }
            Ok(false) => {
                self.running = Running::Rewriting(intake, message);
                Flow::Wait(Next::Again)
            }
            Err(error) => self.give_up(*intake, &error, turn),
        }
    }

    fn give_up(&mut self, mut intake: Intake, error: &store::StoreError, turn: &mut Turn<'_>) -> Flow {
        log::error!("message not taken", id = intake.id, why = error);
        intake.sink = Sink::Refused(reply_to_store_error(error));
        self.deliver(intake, turn)
    }
}
