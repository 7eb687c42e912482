//! What MAIL and RCPT gather: the sender, and for whom the message is.

use std::sync::Arc;

use config::{Recipient, Settings, Users, recipient};
use protocol::lmtp::{Address, Fault, Mail, Reply};
use store::{ChangeError, UserId};

use super::delivery::reply_to_store_error;
use crate::log;
use crate::shared::Shared;

/// The most recipients of one message; RFC 5321, 4.5.3.1.8 asks for 100.
const RECIPIENTS_MAX: usize = 10_000;

/// A mail transaction before DATA. Settings and users are as they were at MAIL, so that RCPT need not ask for them.
pub(super) struct Transaction {
    /// What MAIL said.
    pub(super) mail: Mail,
    /// The recipients that were taken, in the order of their RCPTs, as often as they came.
    pub(super) recipients: Vec<UserId>,
    /// The recipient's address while there is but one.
    pub(super) only_recipient: Option<Address>,
    settings: Arc<Settings>,
    users: Arc<Users>,
}

impl Transaction {
    /// A transaction without recipients.
    pub(super) fn new(mail: Mail, shared: &Shared) -> Transaction {
        Transaction {
            mail,
            recipients: Vec::new(),
            only_recipient: None,
            settings: shared.settings(),
            users: shared.passwords.users(),
        }
    }

    /// The most octets that the message may have.
    pub(super) fn message_octets_max(&self) -> u64 {
        self.settings.limits.message_bytes
    }

    /// Whether the message was announced as larger than permitted (RFC 1870, 6.1).
    pub(super) fn is_too_large(&self) -> bool {
        self.mail.size_octets.is_some_and(|octets| octets > self.message_octets_max())
    }

    /// Whether a recipient was taken.
    pub(super) fn has_recipients(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// Takes a recipient if it is one of our users; the answer to RCPT. A user who never had mail gets a mailbox.
    pub(super) fn add(&mut self, address: Address, shared: &Shared) -> Reply {
        if self.recipients.len() >= RECIPIENTS_MAX {
            return Reply::TOO_MANY_RECIPIENTS;
        }
        if !self.mail.smtputf8 && !address.is_ascii() {
            return Reply::from(Fault::NeedsSmtpUtf8);
        }
        let found = recipient(&address.local, address.domain.as_deref(), &self.settings.lmtp, &self.users);
        let name = match found {
            Recipient::User(name) => name,
            Recipient::UnknownUser => return Reply::NO_USER,
            Recipient::ForeignDomain => return Reply::FOREIGN_DOMAIN,
        };
        match shared.store.ensure_user(&name) {
            Ok(user) => {
                self.only_recipient = self.recipients.is_empty().then_some(address);
                self.recipients.push(user);
                Reply::RECIPIENT_OK
            }
            Err(error) => {
                log::error!("recipient refused", user = name, why = error);
                match error {
                    ChangeError::Store(error) => reply_to_store_error(&error),
                    _ => Reply::FAILED,
                }
            }
        }
    }
}
