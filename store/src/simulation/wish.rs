//! An operation of a step, with the users, mailboxes and messages that it came to mean; how it is done, and what the model makes of it.

use std::sync::Arc;

use super::history::{DURABLE, Mark, TransactionId};
use super::model::{CellModel, CellState, Difference, Model, keyword_names};
use super::step::{ATTRIBUTE_NAMES, ENTRIES, KEYWORDS, MAILBOX_NAMES, Operation};
use crate::change::{SpecialUse, SystemFlags, ZonedTime};
use crate::draft::Content;
use crate::error::{ChangeError, StoreError};
use crate::history::Which;
use crate::ids::{CellIndex, MailboxId, ModSeq, Uid, UserId};
use crate::lists::INBOX;
use crate::rights::Right;
use crate::store::Store;
use crate::txn::{
    Committed, Copied, Delivery, DepositDelivery, FlagChange, FlagOperation, NewAnnotation, Outcome,
};

/// What is to be done, to whom.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Deliver {
        content: Arc<Vec<u8>>,
        to: Vec<MailboxId>,
        system: u8,
        keywords: u8,
        date: ZonedTime,
        /// Who may have no more mail.
        full: Option<UserId>,
    },
    Together {
        contents: Vec<Arc<Vec<u8>>>,
        to: MailboxId,
        replaced: Option<(MailboxId, u32)>,
        system: u8,
        keywords: u8,
        date: ZonedTime,
    },
    Copy {
        from: MailboxId,
        uids: Vec<u32>,
        to: MailboxId,
        expunge: bool,
    },
    StoreFlags {
        mailbox: MailboxId,
        uids: Vec<u32>,
        how: FlagOperation,
        system: u8,
        keywords: u8,
    },
    Expunge {
        mailbox: MailboxId,
        uids: Vec<u32>,
    },
    /// Messages that were expunged come back as new ones.
    Undelete {
        from: MailboxId,
        uids: Vec<u32>,
        to: MailboxId,
    },
    CreateUser {
        name: String,
    },
    DeleteUser {
        user: UserId,
    },
    CreateMailbox {
        user: UserId,
        name: String,
        special_use: Option<SpecialUse>,
    },
    RenameMailbox {
        user: UserId,
        from: String,
        to: String,
    },
    DeleteMailbox {
        user: UserId,
        name: String,
    },
    Subscribe {
        user: UserId,
        name: String,
        subscribed: bool,
    },
    SpecialUse {
        user: UserId,
        name: String,
        special_use: Option<SpecialUse>,
    },
    Attribute {
        user: UserId,
        mailbox: Option<u32>,
        name: String,
        value: Option<Vec<u8>>,
    },
    Annotate {
        reader: UserId,
        mailbox: MailboxId,
        uids: Vec<u32>,
        entry: &'static str,
        is_shared: bool,
        value: Option<Vec<u8>>,
    },
    MarkSeen {
        reader: UserId,
        mailbox: MailboxId,
        uids: Vec<u32>,
        seen: bool,
    },
}

fn pick<T: Copy>(some: &[T], number: u64) -> Option<T> {
    some.get((number % some.len().max(1) as u64) as usize).copied()
}

/// The name of a user that the number of a step stands for.
pub(super) fn user_name(number: u8) -> String {
    format!("user{number}")
}

impl Wish {
    /// What `operation` means now; `None` if there is nothing that it could mean. `contents` are the messages that it
    /// brings.
    pub(super) fn of(operation: &Operation, model: &Model, contents: &[Arc<Vec<u8>>]) -> Option<Wish> {
        let mailboxes = model.mailboxes();
        let mailbox = |number: u64| pick(&mailboxes, number);
        let user = |number: u64| pick(&model.users_there(), number);
        let messages = |mailbox: MailboxId, numbers: &[u64]| -> Option<Vec<u32>> {
            let live = model.mailbox(mailbox)?.live();
            let mut uids: Vec<u32> = numbers.iter().filter_map(|number| pick(&live, *number)).collect();
            uids.sort_unstable();
            uids.dedup();
            (!uids.is_empty()).then_some(uids)
        };
        let entry = |user: UserId, number: u64| {
            let entries = model.users[&user].list.entries();
            entries.get((number % entries.len().max(1) as u64) as usize).map(|entry| entry.name.clone())
        };
        let new_name = |number: u8| MAILBOX_NAMES[usize::from(number) % MAILBOX_NAMES.len()].to_string();
        Some(match operation {
            Operation::Begin { .. } | Operation::Drop => return None,
            Operation::Deliver { to, flags, keywords, .. } => Wish::Deliver {
                date: ZonedTime {
                    seconds: 1_000_000 + i64::from(*flags) * 77,
                    zone_minutes: i16::from(*keywords),
                },
                content: Arc::clone(contents.first()?),
                to: to.iter().map(|number| mailbox(*number)).collect::<Option<_>>()?,
                system: *flags,
                keywords: *keywords,
                full: None,
            },
            Operation::Together { to, replaced, flags, keywords, .. } => Wish::Together {
                contents: contents.to_vec(),
                to: mailbox(*to)?,
                replaced: match replaced {
                    Some((from, number)) => {
                        let from = mailbox(*from)?;
                        Some((from, *messages(from, &[*number])?.first()?))
                    }
                    None => None,
                },
                system: *flags,
                keywords: *keywords,
                date: ZonedTime { seconds: 2_000_000, zone_minutes: i16::from(*flags) },
            },
            Operation::Copy { from, messages: numbers, to, expunge } => {
                let from = mailbox(*from)?;
                Wish::Copy { from, uids: messages(from, numbers)?, to: mailbox(*to)?, expunge: *expunge }
            }
            Operation::StoreFlags { mailbox: number, messages: numbers, how, flags, keywords } => {
                let mailbox = mailbox(*number)?;
                let how = match how {
                    0 => FlagOperation::Set,
                    1 => FlagOperation::Add,
                    _ => FlagOperation::Remove,
                };
                let uids = messages(mailbox, numbers)?;
                Wish::StoreFlags { mailbox, uids, how, system: *flags, keywords: *keywords }
            }
            Operation::Expunge { mailbox: number, messages: numbers } => {
                let mailbox = mailbox(*number)?;
                Wish::Expunge { mailbox, uids: messages(mailbox, numbers)? }
            }
            Operation::Undelete { from, messages: numbers, to } => {
                let from = mailbox(*from)?;
                let of_user: Vec<MailboxId> =
                    mailboxes.iter().copied().filter(|other| other.user == from.user).collect();
                let gone = model.mailbox(from)?.gone();
                let mut uids: Vec<u32> = numbers.iter().filter_map(|number| pick(&gone, *number)).collect();
                uids.sort_unstable();
                uids.dedup();
                if uids.is_empty() {
                    return None;
                }
                Wish::Undelete { from, uids, to: pick(&of_user, *to)? }
            }
            Operation::CreateUser { name } => Wish::CreateUser { name: user_name(*name) },
            Operation::DeleteUser { user: number } => Wish::DeleteUser { user: user(*number)? },
            Operation::CreateMailbox { user: number, name, special_use } => Wish::CreateMailbox {
                user: user(*number)?,
                name: new_name(*name),
                special_use: SpecialUse::from_number(*special_use),
            },
            Operation::RenameMailbox { user: number, from, to } => {
                let user = user(*number)?;
                Wish::RenameMailbox { user, from: entry(user, *from)?, to: new_name(*to) }
            }
            Operation::DeleteMailbox { user: number, mailbox } => {
                let user = user(*number)?;
                Wish::DeleteMailbox { user, name: entry(user, *mailbox)? }
            }
            Operation::Subscribe { user: number, name, subscribed } => {
                Wish::Subscribe { user: user(*number)?, name: new_name(*name), subscribed: *subscribed }
            }
            Operation::Attribute { user: number, mailbox, name, value } => {
                let user = user(*number)?;
                let list = &model.users[&user].list;
                let place = (mailbox % (list.entries().len() as u64 + 1)) as usize;
                let name = ATTRIBUTE_NAMES[usize::from(*name) % ATTRIBUTE_NAMES.len()].to_string();
                let value = match (name.starts_with("acl/"), value) {
                    (_, 0..40) => None,
                    (true, _) => Some(b"lrs".to_vec()),
                    (false, value) => Some(vec![*value; usize::from(*value) * 3]),
                };
                let mailbox = list.entries().get(place).map(|entry| entry.number);
                Wish::Attribute { user, mailbox, name, value }
            }
            Operation::Annotate { reader, mailbox: number, messages: numbers, entry, is_shared, value } => {
                let (mailbox, reader) = (mailbox(*number)?, user(*reader)?);
                let rights = model.users[&mailbox.user].list.rights_of(mailbox.number, reader, "");
                let reader = if rights.has(Right::Read) { reader } else { mailbox.user };
                Wish::Annotate {
                    reader,
                    mailbox,
                    uids: messages(mailbox, numbers)?,
                    entry: ENTRIES[usize::from(*entry) % ENTRIES.len()],
                    // Nobody is given the right to set others'.
                    is_shared: *is_shared && reader == mailbox.user,
                    value: (*value >= 60).then(|| vec![*value; usize::from(*value)]),
                }
            }
            Operation::MarkSeen { reader, mailbox: number, messages: numbers, seen } => {
                let reader = user(*reader)?;
                let is_shared = |id: &&MailboxId| {
                    let rights = model.users[&id.user].list.rights_of(id.number, reader, "");
                    id.user != reader && rights.has(Right::Seen)
                };
                let shared: Vec<MailboxId> = mailboxes.iter().filter(is_shared).copied().collect();
                let mailbox = pick(&shared, *number).or(mailbox(*number).filter(|id| id.user != reader))?;
                Wish::MarkSeen { reader, mailbox, uids: messages(mailbox, numbers)?, seen: *seen }
            }
            Operation::SpecialUse { user: number, mailbox, special_use } => {
                let user = user(*number)?;
                let special_use = SpecialUse::from_number(*special_use);
                Wish::SpecialUse { user, name: entry(user, *mailbox)?, special_use }
            }
        })
    }

    /// Does it. `content` is the message of a delivery.
    pub(super) fn perform(
        &self,
        store: &Arc<Store>,
        content: Option<Content>,
    ) -> Result<Committed, ChangeError> {
        let mut txn = match self {
            Wish::MarkSeen { reader, .. } | Wish::Annotate { reader, .. } => store.begin_as(*reader),
            _ => store.begin(),
        };
        match self {
            Wish::Deliver { to, system, keywords, date, .. } => {
                let to = to.iter().map(|mailbox| Delivery {
                    mailbox: *mailbox,
                    flags: SystemFlags(*system),
                    keywords: keyword_names(*keywords),
                    internal_date: *date,
                });
                if let Some(content) = content {
                    txn.deliver(content, to.collect());
                }
            }
            Wish::Together { contents, to, replaced, system, keywords, date } => {
                let mut messages = Vec::with_capacity(contents.len());
                for content in contents {
                    let mut draft = store.draft()?;
                    for octets in content.chunks(700) {
                        draft.write(octets)?;
                    }
                    messages.push(DepositDelivery {
                        deposit: store.deposit(draft.finish()?, *to)?,
                        flags: SystemFlags(*system),
                        keywords: keyword_names(*keywords),
                        internal_date: *date,
                    });
                }
                match replaced {
                    None => txn.add_deposits(*to, messages),
                    Some((from, uid)) => {
                        let cell = *indexes(store, *from, &[*uid])?
                            .first()
                            .ok_or(StoreError::NotFound("message"))?;
                        let message = messages.pop().ok_or(StoreError::NotFound("message"))?;
                        txn.replace(*from, cell, *to, message);
                    }
                }
            }
            Wish::Copy { from, uids, to, expunge } => {
                let cells = indexes(store, *from, uids)?;
                if *expunge {
                    txn.move_messages(*from, &cells, *to);
                } else {
                    txn.copy(*from, &cells, *to);
                }
            }
            Wish::StoreFlags { mailbox, uids, how, system, keywords } => {
                let cells = indexes(store, *mailbox, uids)?;
                let keywords = keyword_names(*keywords);
                let change = FlagChange { operation: *how, system: SystemFlags(*system), keywords };
                txn.store_flags(*mailbox, &cells, change);
            }
            Wish::Expunge { mailbox, uids } => txn.expunge(*mailbox, &indexes(store, *mailbox, uids)?),
            Wish::Undelete { from, uids, to } => {
                drop(txn);
                return undelete(store, *from, uids, *to);
            }
            Wish::CreateUser { name } => txn.create_user(name),
            Wish::DeleteUser { user } => txn.delete_user(*user),
            Wish::CreateMailbox { user, name, special_use } => txn.create_mailbox(*user, name, *special_use),
            Wish::RenameMailbox { user, from, to } => txn.rename_mailbox(*user, from, to),
            Wish::DeleteMailbox { user, name } => txn.delete_mailbox(*user, name),
            Wish::Subscribe { user, name, subscribed } => txn.subscribe(*user, name, *subscribed),
            Wish::SpecialUse { user, name, special_use } => txn.special_use(*user, name, *special_use),
            Wish::Attribute { user, mailbox, name, value } => {
                txn.set_attribute(*user, *mailbox, name, value.as_deref());
            }
            Wish::Annotate { mailbox, uids, entry, is_shared, value, .. } => {
                let (entry, value) = ((*entry).to_owned(), value.clone());
                let wanted = vec![NewAnnotation { entry, is_shared: *is_shared, value }];
                txn.annotate(*mailbox, &indexes(store, *mailbox, uids)?, wanted, None);
            }
            Wish::MarkSeen { mailbox, uids, seen, .. } => {
                let operation = if *seen { FlagOperation::Add } else { FlagOperation::Remove };
                let change = FlagChange { operation, system: SystemFlags::SEEN, keywords: Vec::new() };
                txn.store_flags(*mailbox, &indexes(store, *mailbox, uids)?, change);
            }
        }
        txn.commit()
    }

    /// Whether it changes users or names alone, or for the most part.
    pub(super) fn list_of(&self) -> Option<UserId> {
        match self {
            Wish::DeleteUser { user }
            | Wish::CreateMailbox { user, .. }
            | Wish::RenameMailbox { user, .. }
            | Wish::DeleteMailbox { user, .. }
            | Wish::Subscribe { user, .. }
            | Wish::Attribute { user, .. }
            | Wish::SpecialUse { user, .. } => Some(*user),
            _ => None,
        }
    }

    /// Mailboxes whose cells it changes.
    pub(super) fn mailboxes(&self) -> Vec<MailboxId> {
        let mut touched = match self {
            Wish::Deliver { to, .. } => to.clone(),
            Wish::Together { to, replaced, .. } => {
                replaced.iter().map(|(from, _)| *from).chain([*to]).collect()
            }
            Wish::Copy { from, to, .. } | Wish::Undelete { from, to, .. } => vec![*from, *to],
            Wish::StoreFlags { mailbox, .. }
            | Wish::MarkSeen { mailbox, .. }
            | Wish::Annotate { mailbox, .. }
            | Wish::Expunge { mailbox, .. } => vec![*mailbox],
            Wish::RenameMailbox { user, from, .. } if from == INBOX => {
                vec![MailboxId { user: *user, number: 1 }]
            }
            _ => Vec::new(),
        };
        touched.sort_unstable();
        touched.dedup();
        touched
    }
}

/// Brings messages back; what came of it, as of a copy. Those that are held no more are left out.
fn undelete(store: &Store, from: MailboxId, uids: &[u32], to: MailboxId) -> Result<Committed, ChangeError> {
    let wanted = uids.iter().filter_map(|uid| Uid::new(*uid)).collect();
    let again = store.undelete(from, &Which::Uids(wanted), to)?;
    if let Some(uid) = again.damaged.first() {
        let path = store.path().to_path_buf();
        let what = "a message that was to come back";
        return Err(StoreError::Corrupt { path, offset: u64::from(uid.get()), what }.into());
    }
    let uid_validity = store.mailbox(to)?.uid_validity();
    // The modseq is not told.
    let copied = Copied { uid_validity, uids: again.back, modseq: ModSeq(0), expunged_modseq: None };
    Ok(Committed { ticket: again.ticket, outcomes: vec![Outcome::Copied(copied)], touched: vec![to] })
}

/// The places of messages that the mailbox must have.
fn indexes(store: &Store, mailbox: MailboxId, uids: &[u32]) -> Result<Vec<CellIndex>, ChangeError> {
    let open = store.mailbox(mailbox)?;
    let cells = open.cells()?;
    let mut found = Vec::with_capacity(uids.len());
    for uid in uids.iter().filter_map(|uid| crate::ids::Uid::new(*uid)) {
        found.extend(cells.find_uid(uid)?);
    }
    Ok(found)
}

/// What became of a message at one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    /// It has this UID and modseq.
    Added(u32, u64),
    /// The mailbox could not be read, in a run in which the disk fails.
    Unreadable,
    Refused,
}

/// What an operation did, in the words of the model.
#[derive(Clone, Debug)]
pub(super) enum Done {
    /// One a recipient.
    Delivered(Vec<Receipt>),
    /// New UIDs, their modseq, the modseq of the expunge.
    Together(Vec<u32>, u64, Option<u64>),
    /// Old and new UIDs, the modseq of the new, the modseq of the expunge.
    Copied(Vec<(u32, u32)>, u64, Option<u64>),
    /// Old and new UIDs of what came back, and what is shown of the new.
    Back(Vec<(u32, u32, CellState)>),
    Flagged(Vec<u32>, u64),
    Expunged(Vec<u32>, u64),
    /// Users or lists are now as they are.
    Listed,
}

/// The flags that STORE leaves.
pub(super) fn flags_after(before: (u8, u8), how: FlagOperation, system: u8, keywords: u8) -> (u8, u8) {
    match how {
        FlagOperation::Set => (system & 0x1f, keywords),
        FlagOperation::SetKeywords => (before.0, keywords),
        FlagOperation::Add => (before.0 | system & 0x1f, before.1 | keywords),
        FlagOperation::Remove => (before.0 & !system, before.1 & !keywords),
    }
}

impl Model {
    /// Messages that STORE changes, with the flags they get.
    pub(super) fn flags_changed(
        &self,
        mailbox: MailboxId,
        uids: &[u32],
        how: FlagOperation,
        system: u8,
        keywords: u8,
    ) -> Vec<(u32, (u8, u8))> {
        let Some(known) = self.mailbox(mailbox) else { return Vec::new() };
        let changed = uids.iter().filter_map(|uid| match known.cells.get(uid)?.states.now() {
            CellState::Live { system: before, keywords: named, .. } => {
                let before = (*before, *named);
                let after = flags_after(before, how, system, keywords);
                (after != before).then_some((*uid, after))
            }
            CellState::Gone { .. } => None,
        });
        changed.collect()
    }

    /// Messages that a reader's mark changes: those that are there, if the reader may mark any.
    pub(super) fn marks_changed(&self, reader: UserId, id: MailboxId, uids: &[u32], seen: bool) -> Vec<u32> {
        let (Some(owner), Some(known)) = (self.users.get(&id.user), self.mailbox(id)) else {
            return Vec::new();
        };
        let name = self.users.get(&reader).map_or("", |user| &user.name);
        if !owner.list.rights_of(id.number, reader, name).has(Right::Seen) {
            return Vec::new();
        }
        let live = known.live();
        let is_changed = |uid: &u32| live.contains(uid) && known.seen.contains(&(reader, *uid)) != seen;
        uids.iter().copied().filter(is_changed).collect()
    }

    /// Messages that an annotation changes: those that are there and have another.
    pub(super) fn annotations_changed(
        &self,
        id: MailboxId,
        uids: &[u32],
        (reader, entry): (Option<UserId>, &str),
        value: Option<&[u8]>,
    ) -> Vec<u32> {
        let Some(known) = self.mailbox(id) else { return Vec::new() };
        let live = known.live();
        let is_changed = |uid: &u32| {
            let before = known.annotations.get(&(*uid, reader, entry.to_owned()));
            live.contains(uid) && before.map(Vec::as_slice) != value
        };
        uids.iter().copied().filter(is_changed).collect()
    }

    /// Annotations are durable before they are shown.
    fn annotate(
        &mut self,
        id: MailboxId,
        uids: &[u32],
        (reader, entry): (Option<UserId>, &str),
        value: Option<&[u8]>,
    ) {
        let Some(known) = self.mailbox_mut(id) else { return };
        for uid in uids {
            let key = (*uid, reader, entry.to_owned());
            match value {
                Some(value) => drop(known.annotations.insert(key, value.to_vec())),
                None => drop(known.annotations.remove(&key)),
            }
        }
    }

    /// A copy has those annotations that all see and the owner's, and what comes back those of all readers.
    fn copy_annotations(&mut self, from: MailboxId, to: MailboxId, (old, new): (u32, u32), all: bool) {
        let Some(known) = self.mailbox(from) else { return };
        let of_message = known.annotations.iter().filter(|((uid, ..), _)| *uid == old);
        let copied: Vec<_> = of_message
            .filter_map(|((_, reader, entry), value)| {
                let reader = match reader {
                    Some(reader) if *reader == from.user => Some(to.user),
                    Some(reader) if all => Some(*reader),
                    None => None,
                    Some(_) => return None,
                };
                Some(((new, reader, entry.clone()), value.clone()))
            })
            .collect();
        if let Some(known) = self.mailbox_mut(to) {
            known.annotations.extend(copied);
        }
    }

    /// What a reader has seen is durable before it is shown.
    fn mark(&mut self, reader: UserId, id: MailboxId, uids: &[u32], seen: bool) {
        let Some(known) = self.mailbox_mut(id) else { return };
        for uid in uids {
            if seen {
                known.seen.insert((reader, *uid));
            } else {
                known.seen.remove(&(reader, *uid));
            }
        }
    }

    /// Takes in what an operation on messages did, as made by `id`. The traces that it leaves.
    pub(super) fn take_in(
        &mut self,
        wish: &Wish,
        done: &Done,
        id: TransactionId,
    ) -> Result<Vec<Mark>, Difference> {
        let mut marks = Vec::new();
        match (wish, done) {
            (Wish::Deliver { content, to, system, keywords, date, full }, Done::Delivered(results)) => {
                for (mailbox, result) in to.iter().zip(results) {
                    let (uid, modseq) = match result {
                        Receipt::Added(..) if Some(mailbox.user) == *full => {
                            return Err(format!("mailbox {mailbox:?} takes no more, and took it"));
                        }
                        Receipt::Refused if Some(mailbox.user) == *full => continue,
                        Receipt::Added(uid, modseq) => (uid, modseq),
                        Receipt::Unreadable => continue,
                        Receipt::Refused => {
                            return Err(format!("mailbox {mailbox:?} is there and was refused"));
                        }
                    };
                    let state = CellState::Live { system: *system, keywords: *keywords, modseq: *modseq };
                    let cell = CellModel::stored(id, content, *date, state);
                    self.add(*mailbox, *uid, *modseq, cell)?;
                    marks.push(Mark::Added { mailbox: *mailbox, uid: *uid });
                }
            }
            (
                Wish::Together { contents, to, replaced, system, keywords, date },
                Done::Together(uids, modseq, expunged),
            ) => {
                if uids.len() != contents.len() || expunged.is_some() != replaced.is_some() {
                    return Err(format!("{wish:?} came to {done:?}"));
                }
                for (content, uid) in contents.iter().zip(uids) {
                    let state = CellState::Live { system: *system, keywords: *keywords, modseq: *modseq };
                    let cell = CellModel::stored(id, content, *date, state);
                    self.add(*to, *uid, *modseq, cell)?;
                    marks.push(Mark::Added { mailbox: *to, uid: *uid });
                }
                if let (Some((from, uid)), Some(modseq)) = (replaced, expunged) {
                    self.expunge(*from, &[*uid], *modseq, id, &mut marks)?;
                }
            }
            (Wish::Copy { from, uids, to, .. }, Done::Copied(pairs, modseq, expunged)) => {
                let copied: Vec<u32> = pairs.iter().map(|(old, _)| *old).collect();
                if copied != *uids {
                    return Err(format!("UIDs {uids:?} are there, and {copied:?} were copied"));
                }
                self.take_in_copies(*from, *to, pairs, *modseq, id, &mut marks)?;
                if let Some(modseq) = expunged {
                    self.expunge(*from, uids, *modseq, id, &mut marks)?;
                }
            }
            (Wish::Undelete { from, to, .. }, Done::Back(back)) => {
                for (old, new, state) in back {
                    let known = self.mailbox(*from).and_then(|known| known.cells.get(old));
                    let (Some(known), CellState::Live { modseq, .. }) = (known, *state) else {
                        return Err(format!("UID {old} came back as {new}: {state:?}"));
                    };
                    let cell = known.copied(id, *state);
                    self.add(*to, *new, modseq, cell)?;
                    self.copy_annotations(*from, *to, (*old, *new), true);
                    marks.push(Mark::Added { mailbox: *to, uid: *new });
                }
            }
            (Wish::StoreFlags { mailbox, uids, how, system, keywords }, Done::Flagged(changed, modseq)) => {
                let expected = self.flags_changed(*mailbox, uids, *how, *system, *keywords);
                let uids: Vec<u32> = expected.iter().map(|(uid, _)| *uid).collect();
                if uids != *changed {
                    return Err(format!("flags of UIDs {changed:?} changed, and of {uids:?} they should"));
                }
                if !uids.is_empty() {
                    self.raise(*mailbox, *modseq)?;
                }
                for (uid, (system, keywords)) in expected {
                    let state = CellState::Live { system, keywords, modseq: *modseq };
                    self.push(*mailbox, uid, id, state);
                    marks.push(Mark::Flagged { mailbox: *mailbox, uid, modseq: *modseq });
                }
            }
            (
                Wish::Annotate { reader, mailbox, uids, entry, is_shared, value },
                Done::Flagged(changed, modseq),
            ) => {
                let whose = ((!is_shared).then_some(*reader), *entry);
                let expected = self.annotations_changed(*mailbox, uids, whose, value.as_deref());
                if expected != *changed {
                    return Err(format!(
                        "annotations of UIDs {changed:?} changed, and of {expected:?} they should"
                    ));
                }
                if !expected.is_empty() {
                    self.raise(*mailbox, *modseq)?;
                }
                self.annotate(*mailbox, &expected, whose, value.as_deref());
                for uid in expected {
                    let known = self.mailbox(*mailbox).and_then(|known| known.cells.get(&uid));
                    let Some(CellState::Live { system, keywords, .. }) = known.map(|cell| *cell.states.now())
                    else {
                        continue;
                    };
                    self.push(*mailbox, uid, id, CellState::Live { system, keywords, modseq: *modseq });
                    marks.push(Mark::Flagged { mailbox: *mailbox, uid, modseq: *modseq });
                }
            }
            (Wish::MarkSeen { reader, mailbox, uids, seen }, Done::Flagged(changed, modseq)) => {
                let expected = self.marks_changed(*reader, *mailbox, uids, *seen);
                if expected != *changed {
                    return Err(format!(
                        "marks of UIDs {changed:?} changed, and of {expected:?} they should"
                    ));
                }
                if !expected.is_empty() {
                    self.raise(*mailbox, *modseq)?;
                }
                self.mark(*reader, *mailbox, &expected, *seen);
            }
            (Wish::Expunge { mailbox, uids }, Done::Expunged(gone, modseq)) => {
                if uids != gone {
                    return Err(format!("UIDs {uids:?} are there, and {gone:?} were expunged"));
                }
                self.expunge(*mailbox, uids, *modseq, id, &mut marks)?;
            }
            (_, Done::Listed) => (),
            (wish, done) => return Err(format!("{wish:?} came to {done:?}")),
        }
        Ok(marks)
    }

    /// Copies in `to` of messages of `from`: old and new UIDs.
    pub(super) fn take_in_copies(
        &mut self,
        from: MailboxId,
        to: MailboxId,
        pairs: &[(u32, u32)],
        modseq: u64,
        id: TransactionId,
        marks: &mut Vec<Mark>,
    ) -> Result<(), Difference> {
        for (old, new) in pairs {
            let known = self.mailbox(from).and_then(|known| known.cells.get(old));
            let Some((known, CellState::Live { system, keywords, .. })) =
                known.map(|known| (known, *known.states.now()))
            else {
                return Err(format!("UID {old} of {from:?} is not there, and was copied"));
            };
            let cell = known.copied(id, CellState::Live { system, keywords, modseq });
            self.add(to, *new, modseq, cell)?;
            self.copy_annotations(from, to, (*old, *new), false);
            marks.push(Mark::Added { mailbox: to, uid: *new });
        }
        Ok(())
    }

    fn add(&mut self, id: MailboxId, uid: u32, modseq: u64, cell: CellModel) -> Result<(), Difference> {
        let known = self.mailbox_mut(id).ok_or("a mailbox that nobody knows")?;
        if uid < known.uid_next || modseq < known.highest_modseq {
            let (next, highest) = (known.uid_next, known.highest_modseq);
            return Err(format!("{id:?}: UID {uid} and modseq {modseq} behind {next} and {highest}"));
        }
        known.uid_next = uid + 1;
        known.highest_modseq = modseq;
        known.cells.insert(uid, cell);
        Ok(())
    }

    fn raise(&mut self, id: MailboxId, modseq: u64) -> Result<(), Difference> {
        let known = self.mailbox_mut(id).ok_or("a mailbox that nobody knows")?;
        if modseq <= known.highest_modseq {
            return Err(format!("{id:?}: modseq {modseq} behind {}", known.highest_modseq));
        }
        known.highest_modseq = modseq;
        Ok(())
    }

    fn push(&mut self, id: MailboxId, uid: u32, transaction: TransactionId, state: CellState) {
        if let Some(cell) = self.mailbox_mut(id).and_then(|known| known.cells.get_mut(&uid)) {
            cell.states.push(transaction, state);
        }
    }

    pub(super) fn expunge(
        &mut self,
        mailbox: MailboxId,
        uids: &[u32],
        modseq: u64,
        id: TransactionId,
        marks: &mut Vec<Mark>,
    ) -> Result<(), Difference> {
        self.raise(mailbox, modseq)?;
        for uid in uids {
            self.push(mailbox, *uid, id, CellState::Gone { modseq });
            marks.push(Mark::Expunged { mailbox, uid: *uid, modseq });
        }
        Ok(())
    }
}

const _: () = assert!(KEYWORDS.len() <= 8);
const _: TransactionId = DURABLE;
