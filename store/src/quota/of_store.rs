//! What the open store says of quota.

use crate::error::Result;
use crate::ids::{MailboxId, UserId};
use crate::quota::{Quota, Usage};
use crate::store::Store;

impl Store {
    /// A user's limits and usage, as of now.
    pub fn quota(&self, user: UserId) -> Result<Quota> {
        let list = self.mailbox_list(user)?;
        let mut usage = Usage::default();
        for entry in list.entries().iter().filter(|entry| !entry.placeholder) {
            let status = self.mailbox(MailboxId { user, number: entry.number })?.status();
            usage = usage.and(Usage { octets: status.size, messages: u64::from(status.exists) });
        }
        Ok(Quota { own: list.limits(), limits: list.limits().or(self.default_limits), usage })
    }
}
