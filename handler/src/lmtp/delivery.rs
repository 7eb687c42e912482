//! A whole message into a mailbox of each recipient, by one change. A mailbox that several recipients mean gets it once.

use std::fmt::Write;

use protocol::lmtp::{Address, Reply};
use shm_abi::Tally;
use store::change::SystemFlags;
use store::txn::{Appended, Delivery, Outcome, Refused};
use store::{ChangeError, CommitError, MailboxId, StoreError, Ticket};

use super::answers::Answers;
use super::intake::{Intake, Sink};
use crate::clock;
use crate::conversation::Turn;
use crate::log;
use crate::maildrops::inbox_of;

/// Places of a message that its log line names.
const LOGGED_PLACES_MAX: usize = 8;

/// A message that was delivered, and is not known to last yet.
pub(super) struct Delivered {
    id: String,
    sender: Option<Address>,
    /// What the sender calls it (ENVID), for the log.
    envelope: String,
    /// The client that a trusted peer has it from, for the log.
    client: String,
    octets: u64,
    ticket: Ticket,
    /// Where it is: `user:UID`, for the log.
    places: String,
    mailboxes: usize,
    answers: Answers,
}

impl Intake {
    /// Delivers the message. An error is the answers of recipients of whom none got it.
    pub(super) fn deliver(self, turn: &Turn<'_>) -> Result<(Ticket, Delivered), Answers> {
        let Intake { transaction, id, sink, octets, client, .. } = self;
        let transaction = *transaction;
        let over_quota = transaction.over_quota();
        let recipients = transaction.recipients.into_mailboxes(turn);
        let draft = match sink {
            Sink::Draft(draft) => draft,
            Sink::Refused(reply) => return Err(Answers::new(recipients, reply)),
        };
        // In order, so that the answers of the store are found again; who is named twice gets the message once.
        let mut mailboxes = recipients.places().to_vec();
        mailboxes.sort_unstable();
        mailboxes.dedup();
        let internal_date = clock::now();
        let delivery = |&mailbox: &MailboxId| Delivery {
            mailbox,
            flags: SystemFlags::default(),
            keywords: Vec::new(),
            internal_date,
        };
        let committed = draft.finish().map_err(ChangeError::from).and_then(|content| {
            let mut txn = turn.shared.store.begin();
            txn.deliver(content, mailboxes.iter().map(delivery).collect());
            txn.commit()
        });
        let committed = match committed {
            Ok(committed) => committed,
            Err(error) => {
                log::error!("message not delivered", id = id, why = error);
                let reply = match &error {
                    ChangeError::Store(error) => reply_to_store_error(error),
                    _ => Reply::FAILED,
                };
                return Err(Answers::new(recipients, reply));
            }
        };
        turn.announce(committed.ticket, &committed.touched);
        let Some(Outcome::Delivered(results)) = committed.outcomes.into_iter().next() else {
            log::error!("message not delivered", id = id, why = "the store did not say where it is");
            return Err(Answers::new(recipients, Reply::FAILED));
        };
        let text = Reply::DELIVERED.with_text(format!("Delivered, {id}"));
        let mut answers = Answers::new(recipients, text);
        let mut places = String::new();
        let mut delivered = 0;
        for (&mailbox, result) in mailboxes.iter().zip(results) {
            match result {
                Ok(appended) => {
                    delivered += 1;
                    log_place(&mut places, delivered, &appended);
                }
                Err(refused) => answers.refuse(mailbox, refusal(&id, mailbox, &refused, &over_quota)),
            }
        }
        let (sender, ticket) = (transaction.mail.sender, committed.ticket);
        let envelope = transaction.mail.envelope_id.unwrap_or_default();
        let mailboxes = delivered;
        Ok((ticket, Delivered { id, sender, envelope, client, octets, ticket, places, mailboxes, answers }))
    }
}

impl Delivered {
    /// The answers, now that it is known whether the message lasts.
    pub(super) fn conclude(self, state: Result<(), CommitError>, turn: &Turn<'_>) -> Answers {
        if let Err(error) = state {
            log::error!("commit failed", id = self.id, why = error);
            return self.answers.all(Reply::FAILED);
        }
        let metrics = turn.shared.metrics();
        metrics.count(Tally::DeliveredMessages);
        metrics.add(Tally::DeliveredOctets, self.octets);
        log::audit!(
            "delivered",
            id = self.id,
            peer = turn.peer.endpoint,
            client = self.client,
            envelope = self.envelope,
            from = self.sender.map(|sender| sender.to_string()).unwrap_or_default(),
            recipients = self.answers.recipients(),
            mailboxes = self.mailboxes,
            octets = self.octets,
            ticket = self.ticket.0,
            places = self.places,
        );
        self.answers
    }
}

fn log_place(places: &mut String, number: usize, appended: &Appended) {
    if number <= LOGGED_PLACES_MAX {
        let separator = if number == 1 { "" } else { "," };
        // Writing into a String cannot fail.
        let _ = write!(places, "{separator}{}:{}", appended.mailbox.user.0, appended.uid);
    } else if number == LOGGED_PLACES_MAX + 1 {
        places.push_str(",…");
    }
}

fn refusal(id: &str, mailbox: MailboxId, refused: &Refused, over_quota: &Reply) -> Reply {
    let (user, number) = (mailbox.user.0, mailbox.number);
    match refused {
        Refused::NoSuchMailbox if mailbox == inbox_of(mailbox.user) => Reply::NO_USER,
        // The folder was deleted since RCPT: next time the message goes to INBOX.
        Refused::NoSuchMailbox => Reply::FAILED,
        Refused::OverQuota(what) => {
            log::warning!("recipient over quota", id = id, user = user, of = what);
            over_quota.clone()
        }
        Refused::Unusable(why) => {
            log::error!("recipient refused", id = id, user = user, mailbox = number, why = why);
            Reply::FAILED
        }
    }
}

/// What the peer is told of an error of the store: all of them may pass, so it tries again.
pub(super) fn reply_to_store_error(error: &StoreError) -> Reply {
    if error.is_out_of_space() { Reply::NO_SPACE } else { Reply::FAILED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        let error =
            |kind: std::io::ErrorKind| StoreError::io(std::path::Path::new("b"), "write")(kind.into());
        assert_eq!(reply_to_store_error(&error(std::io::ErrorKind::StorageFull)), Reply::NO_SPACE);
        assert_eq!(reply_to_store_error(&error(std::io::ErrorKind::Other)), Reply::FAILED);
        assert_eq!(reply_to_store_error(&StoreError::Failed(String::new())), Reply::FAILED);
    }
}
