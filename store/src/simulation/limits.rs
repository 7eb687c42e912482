//! Users who have as much mail as they may: what comes for them is refused, and nothing of it is there, while other recipients of the same message get it.

use super::model::Difference;
use super::run::Run;
use super::step::Operation;
use super::wish::Wish;
use crate::change::ZonedTime;
use crate::error::ChangeError;
use crate::ids::UserId;
use crate::quota::{Limit, Limits};
use crate::store::Store;

/// Sets the limits of a user; durable when it returns.
pub(super) fn set_limits(store: &Store, user: UserId, limits: Limits) -> Result<(), Difference> {
    let mut txn = store.begin();
    txn.set_quota(user, limits);
    let set = txn.commit().and_then(|committed| {
        store
            .wait(committed.ticket)
            .map_err(|error| ChangeError::Store(crate::error::StoreError::Failed(error.to_string())))
    });
    set.map_err(|error| format!("limits of user {}: {error}", user.0))
}

impl Run {
    /// A message comes for mailboxes of which those of the first one's user take no more. On a disk that fails it is not known which limit holds.
    pub(super) fn over_quota(&mut self, writer: u8, to: &[u64], size: u32) -> Result<(), Difference> {
        if self.faulty || !self.open(writer)? {
            return Ok(());
        }
        let mailboxes = self.model.mailboxes();
        let to: Vec<_> = to
            .iter()
            .filter_map(|number| mailboxes.get((number % mailboxes.len().max(1) as u64) as usize).copied())
            .collect();
        let Some(full) = to.first().map(|mailbox| mailbox.user) else { return Ok(()) };
        let live: usize = self.model.users[&full].mailboxes.values().map(|known| known.live().len()).sum();
        self.limit(writer, full, Limits { messages: Limit::Most(live as u64), ..Limits::default() })?;
        let content = self.new_message(size, false);
        let date = ZonedTime { seconds: 2_000_000, zone_minutes: 0 };
        let wish = Wish::Deliver { content, to, system: 0, keywords: 0, date, full: Some(full) };
        self.wish(writer, &wish, None, None)?;
        self.limit(writer, full, Limits::default())
    }

    /// Something that adds to what a user has is done when the user may have no more of it: it is refused, and nothing of it is there.
    pub(super) fn do_over_quota(&mut self, writer: u8, what: &Operation) -> Result<(), Difference> {
        if self.faulty || !self.open(writer)? {
            return Ok(());
        }
        let contents: Vec<_> = match what {
            Operation::Together { sizes, .. } => {
                sizes.iter().map(|size| self.new_message(*size, false)).collect()
            }
            _ => Vec::new(),
        };
        let Some(wish) = Wish::of(what, &self.model, &contents) else { return Ok(()) };
        let full = match &wish {
            Wish::Copy { to, .. } | Wish::Together { to, .. } => to.user,
            Wish::CreateMailbox { user, .. } => *user,
            _ => return Ok(()),
        };
        let known = &self.model.users[&full].mailboxes;
        let live: usize = known.values().map(|mailbox| mailbox.live().len()).sum();
        let [messages, mailboxes] = [live, known.len()].map(|many| Limit::Most(many as u64));
        self.limit(writer, full, Limits { messages, mailboxes, ..Limits::default() })?;
        self.full = Some(full);
        let outcome = self.wish(writer, &wish, None, None);
        self.full = None;
        outcome?;
        self.limit(writer, full, Limits::default())
    }

    /// Whether a wish would have somebody have more than is allowed.
    pub(super) fn is_too_much(&self, wish: &Wish) -> bool {
        let Some(full) = self.full else { return false };
        match wish {
            // What only goes to another mailbox of the same user is no more than it was.
            Wish::Copy { from, to, expunge, .. } => to.user == full && !(*expunge && from.user == full),
            Wish::Together { to, .. } => to.user == full,
            Wish::CreateMailbox { user, .. } => *user == full,
            _ => false,
        }
    }

    fn limit(&mut self, writer: u8, user: UserId, limits: Limits) -> Result<(), Difference> {
        let Some(writing) = &self.writers[usize::from(writer)] else { return Ok(()) };
        set_limits(&writing.store, user, limits)?;
        self.crashes()?;
        self.acknowledge(writer);
        Ok(())
    }
}
