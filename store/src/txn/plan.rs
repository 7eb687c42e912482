//! Decides what a transaction changes: reads the views under the locks, chooses UIDs and modseqs, and lists the changes. Nothing
//! is changed here, so a plan can be dropped and made again with more locks.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::change::{Change, Flags};
use crate::commit::OtherLog;
use crate::error::{ChangeError, StoreError};
use crate::ids::{MailboxId, ModSeq, Uid, UserId};
use crate::locks::{Held, LockKey};
use crate::mailbox::{Keywords, Mailbox};
use crate::store::Store;
use crate::txn::room::Rooms;
use crate::txn::{Operation, Outcome, OwnMessage};

/// Why a plan was not completed.
pub(super) enum Stop {
    /// These locks are needed, too.
    Needs(Vec<LockKey>),
    /// What is in these mailboxes of one user must be in the usage view first.
    Uncounted(Vec<MailboxId>),
    /// The transaction cannot be.
    Refused(ChangeError),
}

impl<E: Into<ChangeError>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Refused(error.into())
    }
}

/// One mailbox, with what the changes planned so far make of it.
pub(super) struct MailboxPlan {
    /// `None`: a mailbox that this transaction makes.
    pub(super) open: Option<Arc<Mailbox>>,
    pub(super) uid_validity: u32,
    uid_next: u32,
    highest_modseq: u64,
    keywords: Option<Keywords>,
    /// Keywords that this transaction makes.
    new_keywords: Vec<(u8, String)>,
    adds: u32,
}

/// What a transaction comes to.
pub(super) struct Planned {
    pub(super) changes: Vec<Change>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) touched: Vec<MailboxId>,
    /// How many cells which mailbox gets.
    pub(super) reserves: Vec<(Arc<Mailbox>, u32)>,
    /// Buckets of other writers that must be durable for these changes to be.
    pub(super) others: Vec<OtherLog>,
    /// Mailboxes that are made to be filled under UIDs from elsewhere, which are below these.
    pub(super) adopted: Vec<(MailboxId, u32)>,
}

/// A transaction's changes in the making.
pub(super) struct Plan<'a> {
    /// Who does it; `None` for the owner of whatever it is about.
    pub(super) actor: Option<UserId>,
    pub(super) store: &'a Store,
    pub(super) held: &'a Held<'a>,
    pub(super) message: Option<&'a OwnMessage>,
    pub(super) changes: Vec<Change>,
    pub(super) touched: Vec<MailboxId>,
    pub(super) others: Vec<OtherLog>,
    pub(super) adopted: Vec<(MailboxId, u32)>,
    pub(super) rooms: Rooms,
    /// Mailboxes that cannot be counted; no quota is refused because of them.
    pub(super) uncounted: &'a [MailboxId],
    /// In order, so that the disk is asked in the same order in every run.
    mailboxes: BTreeMap<MailboxId, MailboxPlan>,
    /// Lists as the changes planned so far leave them.
    pub(super) lists: BTreeMap<UserId, crate::lists::MailboxList>,
}

impl Operation {
    /// The locks that it needs for certain.
    pub(super) fn keys(&self) -> Vec<LockKey> {
        match self {
            Operation::Deliver { to } => to.iter().map(|to| LockKey::Mailbox(to.mailbox)).collect(),
            Operation::Copy { from, to, .. } | Operation::BringBack { from, to, .. } => {
                vec![LockKey::Mailbox(*from), LockKey::Mailbox(*to)]
            }
            Operation::AddDeposits { to, replaced, .. } => {
                let from = replaced.iter().map(|(from, _)| LockKey::Mailbox(*from));
                from.chain([LockKey::Mailbox(*to)]).collect()
            }
            Operation::StoreFlags { mailbox, .. }
            | Operation::Annotate { mailbox, .. }
            | Operation::AnnotateAdded { mailbox, .. }
            | Operation::Expunge { mailbox, .. } => {
                vec![LockKey::Mailbox(*mailbox)]
            }
            Operation::CreateUser { .. } | Operation::AdoptUser { .. } => vec![LockKey::Catalog],
            Operation::AdoptMessage { message } => vec![LockKey::Mailbox(message.mailbox)],
            Operation::Rights { mailbox, .. } => vec![LockKey::List(mailbox.user)],
            Operation::DeleteUser { user, .. } => vec![LockKey::Catalog, LockKey::List(*user)],
            Operation::CreateMailbox { user, .. }
            | Operation::RenameMailbox { user, .. }
            | Operation::DeleteMailbox { user, .. }
            | Operation::Subscribe { user, .. }
            | Operation::SpecialUse { user, .. }
            | Operation::AdoptMailbox { user, .. }
            | Operation::Attribute { user, .. }
            | Operation::Quota { user, .. } => vec![LockKey::List(*user)],
        }
    }
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        store: &'a Store,
        held: &'a Held<'a>,
        message: Option<&'a OwnMessage>,
        uncounted: &'a [MailboxId],
        actor: Option<UserId>,
    ) -> Plan<'a> {
        Plan {
            actor,
            store,
            held,
            message,
            changes: Vec::new(),
            touched: Vec::new(),
            others: Vec::new(),
            adopted: Vec::new(),
            rooms: Rooms::default(),
            uncounted,
            mailboxes: BTreeMap::new(),
            lists: BTreeMap::new(),
        }
    }

    /// Plans all operations.
    pub(super) fn run(mut self, operations: &[Operation]) -> Result<Planned, Stop> {
        let mut outcomes = Vec::with_capacity(operations.len());
        for operation in operations {
            let outcome = match operation {
                Operation::Deliver { to } => self.deliver(to)?,
                Operation::AddDeposits { to, messages, replaced } => {
                    self.add_deposits(*to, messages, *replaced)?
                }
                Operation::Copy { from, cells, to, expunge } => self.copy(*from, cells, *to, *expunge)?,
                Operation::BringBack { from, messages, to } => self.bring_back(*from, messages, *to)?,
                Operation::StoreFlags { mailbox, cells, change, since } => {
                    self.store_flags(*mailbox, cells, change, *since)?
                }
                Operation::Annotate { mailbox, cells, wanted, since } => {
                    self.annotate(*mailbox, cells, wanted, *since)?
                }
                Operation::AnnotateAdded { mailbox, place, wanted } => {
                    self.annotate_added(*mailbox, *place, wanted)?
                }
                Operation::Expunge { mailbox, cells } => self.expunge(*mailbox, cells)?,
                Operation::CreateUser { name } => self.create_user(name)?,
                Operation::DeleteUser { user, unused } => self.delete_user(*user, *unused)?,
                Operation::CreateMailbox { user, name, special_use } => {
                    self.create_mailbox(*user, name, *special_use)?
                }
                Operation::RenameMailbox { user, from, to } => self.rename_mailbox(*user, from, to)?,
                Operation::DeleteMailbox { user, name } => self.delete_mailbox(*user, name)?,
                Operation::Subscribe { user, name, subscribed } => {
                    self.subscribe(*user, name, *subscribed)?
                }
                Operation::SpecialUse { user, name, special_use } => {
                    self.special_use(*user, name, *special_use)?
                }
                Operation::Quota { user, limits } => self.set_quota(*user, *limits)?,
                Operation::Rights { mailbox, identifier, change } => {
                    self.set_rights(*mailbox, identifier, *change)?
                }
                Operation::Attribute { user, mailbox, name, value } => {
                    self.set_attribute(*user, *mailbox, name, value.as_deref())?
                }
                Operation::AdoptUser { user } => self.adopt_user(user)?,
                Operation::AdoptMailbox { user, mailbox } => self.adopt_mailbox(*user, mailbox)?,
                Operation::AdoptMessage { message } => self.adopt_message(message)?,
            };
            outcomes.push(outcome);
        }
        let adds = self.mailboxes.into_values().filter(|plan| plan.adds > 0);
        let reserves = adds.filter_map(|plan| Some((plan.open?, plan.adds))).collect();
        self.touched.extend(self.changes.iter().filter_map(Change::list).map(MailboxId::list_of));
        self.touched.sort_unstable();
        self.touched.dedup();
        let Plan { changes, touched, others, adopted, .. } = self;
        Ok(Planned { changes, outcomes, touched, reserves, others, adopted })
    }

    /// Stops unless all `keys` are held.
    pub(super) fn need(&self, keys: impl IntoIterator<Item = LockKey>) -> Result<(), Stop> {
        let missing: Vec<LockKey> = keys.into_iter().filter(|key| !self.held.covers(*key)).collect();
        if missing.is_empty() { Ok(()) } else { Err(Stop::Needs(missing)) }
    }

    /// The mailbox `id`, opened when it is first asked for.
    pub(super) fn mailbox(&mut self, id: MailboxId) -> Result<&mut MailboxPlan, StoreError> {
        match self.mailboxes.entry(id) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let open = self.store.mailbox_held(id, self.held)?;
                Ok(entry.insert(MailboxPlan {
                    uid_validity: open.uid_validity(),
                    uid_next: open.uid_next()?,
                    highest_modseq: open.highest_modseq()?.0,
                    keywords: None,
                    new_keywords: Vec::new(),
                    adds: 0,
                    open: Some(open),
                }))
            }
        }
    }

    /// The mailbox of an operation that is refused without it.
    pub(super) fn existing(&mut self, id: MailboxId) -> Result<&mut MailboxPlan, Stop> {
        self.mailbox(id).map_err(|error| match error {
            StoreError::NotFound(_) => Stop::Refused(ChangeError::NoSuchMailbox),
            error => error.into(),
        })
    }

    /// A mailbox that this transaction makes, to put messages into.
    pub(super) fn new_mailbox(&mut self, id: MailboxId, uid_validity: u32) {
        let plan = MailboxPlan {
            open: None,
            uid_validity,
            uid_next: 1,
            highest_modseq: 1,
            keywords: None,
            new_keywords: Vec::new(),
            adds: 0,
        };
        self.mailboxes.insert(id, plan);
    }

    /// The bits of keywords by name in mailbox `id`. Where one is new and `make` says so, it is given the next free bit; otherwise
    /// it is left out.
    pub(super) fn keyword_bits<'n>(
        &mut self,
        id: MailboxId,
        names: impl Iterator<Item = &'n str>,
        make: Make,
    ) -> Result<u64, Stop> {
        let mut bits = 0;
        for name in names {
            let bit = match self.existing(id)?.keyword(name, make)? {
                Keyword::Known(bit) => bit,
                Keyword::New(bit) => {
                    self.changes.push(Change::Keyword { mailbox: id, bit, name: name.to_string() });
                    bit
                }
                Keyword::LeftOut => continue,
            };
            bits |= 1 << bit;
        }
        Ok(bits)
    }
}

/// What becomes of keywords that the mailbox does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Make {
    /// They are left out.
    Nothing,
    /// They are made while there is room, and left out otherwise.
    IfRoom,
    /// They are made; without room, the transaction is refused.
    OrRefuse,
}

enum Keyword {
    Known(u8),
    New(u8),
    LeftOut,
}

impl MailboxPlan {
    /// The next UID.
    pub(super) fn next_uid(&mut self) -> Result<Uid, ChangeError> {
        // The last one stays free, so that UIDNEXT is a UID, too.
        if self.uid_next == u32::MAX {
            return Err(ChangeError::Limit("messages ever in this mailbox"));
        }
        let uid = Uid::new(self.uid_next).ok_or(ChangeError::Limit("messages ever in this mailbox"))?;
        self.uid_next += 1;
        self.adds += 1;
        Ok(uid)
    }

    /// Whether there ever was a message in it.
    pub(super) fn was_used(&self) -> bool {
        self.uid_next > 1
    }

    /// One cell more, under a UID that is not the next one.
    pub(super) fn count_add(&mut self) {
        self.adds += 1;
    }

    /// The modseq of the next change.
    pub(super) fn next_modseq(&mut self) -> ModSeq {
        self.highest_modseq += 1;
        ModSeq(self.highest_modseq)
    }

    /// The highest modseq so far.
    pub(super) fn modseq(&self) -> ModSeq {
        ModSeq(self.highest_modseq)
    }

    fn known_keywords(&mut self) -> Result<&Keywords, StoreError> {
        if self.keywords.is_none() {
            let keywords = self.open.as_ref().map_or(Ok(Keywords::default()), |open| open.keywords())?;
            self.keywords = Some(keywords);
        }
        self.keywords.as_ref().ok_or(StoreError::NotFound("mailbox"))
    }

    fn keyword(&mut self, name: &str, make: Make) -> Result<Keyword, ChangeError> {
        let known = self.known_keywords()?.find(name);
        let planned = self.new_keywords.iter().find(|(_, new)| new.eq_ignore_ascii_case(name));
        if let Some(bit) = known.or(planned.map(|(bit, _)| *bit)) {
            return Ok(Keyword::Known(bit));
        }
        if make == Make::Nothing {
            return Ok(Keyword::LeftOut);
        }
        let taken = self.new_keywords.iter().fold(0u64, |taken, (bit, _)| taken | 1 << bit);
        let keywords = self.known_keywords()?;
        let free = (0..Keywords::MOST as u8)
            .find(|bit| keywords.name(*bit).is_none() && taken & 1 << bit == 0)
            .filter(|_| !name.is_empty() && name.len() <= Keywords::LONGEST_NAME_BYTES);
        match free {
            Some(bit) => {
                self.new_keywords.push((bit, name.to_string()));
                Ok(Keyword::New(bit))
            }
            None if make == Make::IfRoom => Ok(Keyword::LeftOut),
            None if name.len() > Keywords::LONGEST_NAME_BYTES => {
                Err(ChangeError::Limit("octets in a keyword"))
            }
            None => Err(ChangeError::Limit("keywords in this mailbox")),
        }
    }

    /// Takes back keywords that were to be made.
    pub(super) fn forget_keywords(&mut self, not_made: &[Change]) {
        let is_made = |bit: u8| {
            !not_made.iter().any(|change| matches!(change, Change::Keyword { bit: made, .. } if *made == bit))
        };
        self.new_keywords.retain(|(bit, _)| is_made(*bit));
    }

    /// The names of the keywords in `flags`.
    pub(super) fn keyword_names(&mut self, flags: Flags) -> Result<Vec<String>, StoreError> {
        if flags.keywords == 0 {
            return Ok(Vec::new());
        }
        let keywords = self.known_keywords()?;
        let named = keywords.iter().filter(|(bit, _)| flags.keywords & 1 << bit != 0);
        Ok(named.map(|(_, name)| name.to_string()).collect())
    }
}
