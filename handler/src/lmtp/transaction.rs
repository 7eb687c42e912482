//! What MAIL and RCPT gather: the sender, and for whom the message is.

use std::sync::Arc;

use config::{Aliases, Directory, Folders, OverQuota, Recipient, Settings, Target, Users};
use protocol::lmtp::{Address, Fault, Mail, Reply};
use store::quota::Usage;
use store::{ChangeError, StoreError, UserId};

use super::delivery::reply_to_store_error;
use super::folder::{self, Folder};
use super::recipients::{Place, Recipients};
use crate::log;
use crate::shared::Shared;

/// The most recipients of one message, and the most users they may stand for; RFC 5321, 4.5.3.1.8 asks for 100.
const RECIPIENTS_MAX: usize = 10_000;

/// A mail transaction before DATA. Settings, users and aliases are as they were at MAIL, so that RCPT need not ask for them.
pub(super) struct Transaction {
    /// What MAIL said.
    pub(super) mail: Mail,
    /// The recipients that were taken, in the order of their RCPTs, as often as they came.
    pub(super) recipients: Recipients<Place>,
    /// The recipient's address while there is but one.
    pub(super) only_recipient: Option<Address>,
    settings: Arc<Settings>,
    users: Arc<Users>,
    aliases: Arc<Aliases>,
}

impl Transaction {
    /// A transaction without recipients.
    ///
    /// # Errors
    /// The answer to MAIL when it is not known what addresses stand for.
    pub(super) fn new(mail: Mail, shared: &Shared) -> Result<Transaction, Reply> {
        let settings = shared.settings();
        let aliases = shared.recipients.aliases(&settings.lmtp.aliases).ok_or(Reply::NO_ALIASES)?;
        let (recipients, users) = (Recipients::default(), shared.passwords.users());
        Ok(Transaction { mail, recipients, only_recipient: None, settings, users, aliases })
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
        self.recipients.count() > 0
    }

    /// What is said of mail for who has as much as allowed.
    pub(super) fn over_quota(&self) -> Reply {
        match self.settings.lmtp.over_quota {
            OverQuota::Defer => Reply::OVER_QUOTA,
            OverQuota::Reject => Reply::OVER_QUOTA_FINALLY,
        }
    }

    /// Takes a recipient if it leads to users of ours who may get the message; the answer to RCPT. A user who never had mail gets a
    /// mailbox.
    pub(super) fn add(&mut self, address: Address, shared: &Shared) -> Reply {
        if self.recipients.count() >= RECIPIENTS_MAX {
            return Reply::TOO_MANY_RECIPIENTS;
        }
        if !self.mail.smtputf8 && !address.is_ascii() {
            return Reply::from(Fault::NeedsSmtpUtf8);
        }
        let directory = Directory { lmtp: &self.settings.lmtp, users: &self.users, aliases: &self.aliases };
        let targets = match directory.resolve(&address.local, address.domain.as_deref()) {
            Recipient::Targets(targets) => targets,
            Recipient::UnknownUser => return Reply::NO_USER,
            Recipient::ForeignDomain => return Reply::FOREIGN_DOMAIN,
            Recipient::DeadAlias => {
                log::warning!("alias leads to nobody", alias = address);
                return Reply::BAD_ALIAS;
            }
        };
        let room = RECIPIENTS_MAX - self.recipients.places().len().min(RECIPIENTS_MAX);
        if targets.len() > room {
            return Reply::TOO_MANY_RECIPIENTS;
        }
        let mut places = Vec::with_capacity(targets.len());
        let mut refusal = None;
        for target in targets {
            match self.place(&target, shared) {
                Ok(place) => places.push(place),
                Err(reply) => refusal = Some(reply),
            }
        }
        if let (true, Some(reply)) = (places.is_empty(), refusal) {
            return reply;
        }
        self.only_recipient = (!self.has_recipients()).then_some(address);
        self.recipients.add(places);
        Reply::RECIPIENT_OK
    }

    /// Where the copy for `target` goes; the answer to RCPT if it can go nowhere.
    fn place(&self, target: &Target, shared: &Shared) -> Result<Place, Reply> {
        let user = shared.store.ensure_user(&target.user).map_err(|error| {
            log::error!("recipient refused", user = target.user, why = error);
            match error {
                ChangeError::Store(error) => reply_to_store_error(&error),
                _ => Reply::FAILED,
            }
        })?;
        self.look_at(user, target.detail.as_deref(), shared).unwrap_or_else(|error| {
            log::error!("recipient refused", user = target.user, why = error);
            Err(reply_to_store_error(&error))
        })
    }

    fn look_at(
        &self,
        user: UserId,
        detail: Option<&str>,
        shared: &Shared,
    ) -> Result<Result<Place, Reply>, StoreError> {
        let list = shared.store.mailbox_list(user)?;
        // Usage is looked up for those only who have limits.
        if list.limits().or(shared.store.default_limits()).is_limited() {
            let quota = shared.store.quota(user)?;
            let message = Usage { octets: self.mail.size_octets.unwrap_or(1), messages: 1 };
            if quota.limits.exceeded_by(quota.usage.and(message)).is_some() {
                return Ok(Err(self.over_quota()));
            }
        }
        let folder = match detail {
            Some(detail) if self.settings.lmtp.folders != Folders::Ignore => {
                folder::find(&list, detail, self.settings.lmtp.folders)
            }
            _ => Folder::Inbox,
        };
        Ok(Ok(Place { user, folder }))
    }
}
