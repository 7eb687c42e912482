//! Messages that are stored before it is decided that a mailbox gets them: several that are put into one together or not at all, or one that
//! takes the place of another. `FORMAT.md`, "Deposits", has the argument.
//!
//! Invariants: no cell points to a deposit before its frame is durable; a deposit has no references but those of cells, and that of the
//! transaction which makes them while it does.

use std::sync::Arc;

use crate::change::{Added, Change, Flags, SystemFlags, ZonedTime, codec};
use crate::derived::Source;
use crate::disk::Mutation;
use crate::draft::Content;
use crate::error::{ChangeError, StoreError};
use crate::ids::{CellIndex, MailboxId, MessageId, Ticket};
use crate::locks::LockKey;
use crate::log::LogFile;
use crate::mailbox::Cell;
use crate::quota::Usage;
use crate::store::Store;
use crate::txn::acting::{Actor, Ranges};
use crate::txn::outcome::{Deposited, Outcome};
use crate::txn::own::OwnMessage;
use crate::txn::plan::{Make, Plan, Stop};
use crate::txn::{MESSAGES_MOST, append};

/// A message that is in a log, and in no mailbox. One that is dropped is given back by collection.
#[derive(Debug)]
pub struct Deposit {
    id: MessageId,
    size: u32,
    sent_date: Option<ZonedTime>,
    log: Arc<LogFile>,
    ticket: Ticket,
}

impl Deposit {
    /// Where the message is: it can be read from there.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// RFC822.SIZE in octets.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Once this is durable, so is the message. Who waits for it before the transaction spares that a sync of its own.
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }
}

/// What a mailbox gets of a deposit.
#[derive(Debug)]
pub struct DepositDelivery {
    /// The message.
    pub deposit: Deposit,
    /// Its system flags.
    pub flags: SystemFlags,
    /// Its keywords, by name.
    pub keywords: Vec<String>,
    /// INTERNALDATE.
    pub internal_date: ZonedTime,
}

impl Store {
    /// Stores a message that `mailbox` is to get later, with others or in the place of another.
    pub fn deposit(&self, mut content: Content, mailbox: MailboxId) -> Result<Deposit, StoreError> {
        self.check_writable()?;
        let own = OwnMessage::new(self, &mut content)?;
        let mut bytes = Vec::new();
        codec::encode(&[Change::Message { index: own.id.index, header_size: own.header_size }], &mut bytes);
        // With a lock, and its intent, the message is as visible as others at the moments that matter: a repair, a backup.
        let held = self.take(&[LockKey::Mailbox(mailbox)])?;
        let record = content.record_place;
        let (hash, size) = (content.hash, content.size);
        let entry = (&own, content);
        let (log, head, in_flight) =
            append(self, &held, Some(&entry), &bytes).map_err(|error| match error {
                ChangeError::Store(error) => error,
                _ => StoreError::NotFound("room for a message"),
            })?;
        let source = Source::new(log.name(), in_flight.offset(), &head);
        let directory = self.pages.directory(own.id.page)?;
        directory.fill(own.id.index, &source.place(own.header_size), 0)?;
        if let Some(record) = &record {
            directory.set_record(own.id.index, record)?;
        }
        held.clear();
        in_flight.applied();
        self.counters.commits.add(1);
        self.count_changes(1);
        let ticket = self.committer.ticket(&log, Vec::new());
        self.equal.remember(hash, size, own.id);
        Ok(Deposit { id: own.id, size: own.size, sent_date: own.sent_date, log, ticket })
    }

    /// Waits until all of `deposits` are durable: what is not on its way is synced now.
    pub(super) fn sync_deposits<'a>(
        &self,
        deposits: impl Iterator<Item = &'a Deposit>,
    ) -> Result<(), StoreError> {
        for deposit in deposits {
            if self.derived.disk.mutated(Mutation::DepositsNotDurableFirst) {
                continue;
            }
            match self.committer.state_of(deposit.ticket) {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(StoreError::Failed(error.0)),
                None => self.committer.sync_now(&deposit.log, &self.logs)?,
            }
        }
        Ok(())
    }

    /// Counts a reference to each, so that none is freed before its cell is there.
    ///
    /// Errors: `Gone` if one has been freed; then none is held.
    pub(super) fn hold_deposits<'a>(
        &'a self,
        deposits: impl Iterator<Item = &'a Deposit>,
    ) -> Result<HeldDeposits<'a>, StoreError> {
        let mut held = HeldDeposits { store: self, ids: Vec::new() };
        for deposit in deposits {
            self.pages.directory(deposit.id.page)?.add_reference(deposit.id.index)?;
            held.ids.push(deposit.id);
        }
        Ok(held)
    }
}

/// References that are dropped with this.
pub(super) struct HeldDeposits<'a> {
    store: &'a Store,
    ids: Vec<MessageId>,
}

impl Drop for HeldDeposits<'_> {
    fn drop(&mut self) {
        for id in &self.ids {
            if let Ok(directory) = self.store.pages.directory(id.page) {
                // A count that stays too high is safe.
                let _ = directory.drop_reference(id.index);
            }
        }
    }
}

impl Plan<'_> {
    /// Puts all of `messages` into `to`, and expunges `replaced`, if that is given.
    pub(super) fn add_deposits(
        &mut self,
        to: MailboxId,
        messages: &[DepositDelivery],
        replaced: Option<(MailboxId, CellIndex)>,
    ) -> Result<Outcome, Stop> {
        if messages.len() > MESSAGES_MOST {
            return Err(ChangeError::Limit("messages at once").into());
        }
        self.existing(to)?;
        let replaced = match replaced {
            Some((from, index)) => Some((from, self.live_cell(from, index)?)),
            None => None,
        };
        let octets: u64 = messages.iter().map(|message| u64::from(message.deposit.size)).sum();
        let freed = replaced.as_ref().filter(|(from, _)| from.user == to.user);
        let more = Usage {
            octets: octets.saturating_sub(freed.map_or(0, |(_, cell)| u64::from(cell.size))),
            messages: (messages.len() as u64).saturating_sub(u64::from(freed.is_some())),
        };
        if more != Usage::default() {
            self.admit(to.user, more)?;
        }
        let actor = self.acting_in(to)?;
        let may_write = actor.is_none_or(Actor::may_write);
        let mut keywords = Vec::with_capacity(messages.len());
        for message in messages {
            let names = message.keywords.iter().filter(|_| may_write).map(String::as_str);
            keywords.push(self.keyword_bits(to, names, Make::IfRoom)?);
        }
        let save_seconds = self.store.derived.now();
        let plan = self.existing(to)?;
        let (uid_validity, modseq) = (plan.uid_validity, plan.next_modseq());
        let mut uids = Vec::with_capacity(messages.len());
        let mut seen = Ranges::default();
        for (message, keywords) in messages.iter().zip(keywords) {
            let uid = self.existing(to)?.next_uid()?;
            let flags = Flags { system: message.flags, keywords };
            if actor.is_some_and(Actor::may_see) && flags.system.contains(SystemFlags::SEEN) {
                seen.add_new(uid);
            }
            let added = Added {
                uid,
                modseq,
                flags: actor.map_or(flags, |actor| actor.reached(Flags::default(), flags)),
                internal_date: message.internal_date,
                save_seconds,
                sent_date: message.deposit.sent_date,
                size: message.deposit.size,
                message: message.deposit.id,
            };
            self.changes.push(Change::Add { mailbox: to, added });
            uids.push(uid);
        }
        self.touched.push(to);
        if let Some(actor) = actor {
            self.mark(to, actor, true, modseq, seen.into_vec());
        }
        let mut expunged_modseq = None;
        if let Some((from, cell)) = replaced {
            let modseq = self.existing(from)?.next_modseq();
            self.changes.push(Change::Expunge { mailbox: from, modseq, uids: vec![cell.uid] });
            self.touched.push(from);
            expunged_modseq = Some(modseq);
        }
        Ok(Outcome::Deposited(Deposited { uid_validity, uids, modseq, expunged_modseq }))
    }

    /// A message that is there.
    fn live_cell(&mut self, mailbox: MailboxId, index: CellIndex) -> Result<Cell, Stop> {
        let open = self.open(mailbox)?;
        let cells = open.cells()?;
        let cell = if index.0 < cells.count() { Some(cells.cell(index)?) } else { None };
        cell.filter(|cell| !cell.expunged).ok_or_else(|| StoreError::NotFound("message").into())
    }
}

#[cfg(test)]
mod tests;
