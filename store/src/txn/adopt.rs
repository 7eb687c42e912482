//! The decisions about users, mailboxes and messages that come from another store, or from a backup of this one, and keep the numbers they
//! had: UIDVALIDITY, UIDs, modseqs.
//!
//! Invariants (argued in `FORMAT.md`, "Numbers from elsewhere"):
//! - No UID of a mailbox ever means two messages here. A message gets a UID from elsewhere only in a mailbox that this very store value made
//!   to be filled, above all UIDs that are in it, and below the UIDNEXT that it was made with. Whatever comes in from elsewhere meanwhile gets UIDs from that
//!   UIDNEXT up.
//! - A mailbox whose UIDVALIDITY may have been in use here before skips as many UIDs and modseqs as after a power cut.

use crate::change::{Added, Change, Flags, SpecialUse, SystemFlags, ZonedTime};
use crate::error::ChangeError;
use crate::ids::{CellIndex, MailboxId, ModSeq, Uid, UserId};
use crate::lists::{
    INBOX, MailboxEntry, MailboxList, plan_adopt, plan_create, plan_quota, plan_subscribe, stays_in_its_store,
};
use crate::locks::LockKey;
use crate::mailbox::{Keywords, MODSEQS_SKIPPED, UIDS_SKIPPED};
use crate::quota::Limits;
use crate::rights::{ACL, RightsChange, decode, encode, subject};
use crate::txn::names::{inbox_of, made_mailboxes};
use crate::txn::outcome::{Appended, Outcome, Refused};
use crate::txn::plan::{Plan, Stop};

/// The highest UIDNEXT that is taken over: there must be room for more, and for those that power cuts skip.
const UID_NEXT_MOST: u32 = u32::MAX - (64 << 20);
/// The highest HIGHESTMODSEQ likewise; on the wire modseqs have 63 bits.
const MODSEQ_MOST: ModSeq = ModSeq(1 << 62);

/// A mailbox with the numbers it had elsewhere; its messages come one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedMailbox {
    /// Its name.
    pub name: String,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// Whether it holds no messages, only names below it.
    pub placeholder: bool,
    /// UIDNEXT.
    pub uid_next: u32,
    /// HIGHESTMODSEQ.
    pub highest_modseq: ModSeq,
    /// The names of its keywords, with their bits.
    pub keywords: Vec<(u8, String)>,
    /// What is said of it: rights of others, annotations ([`MailboxList::attributes`]). Rights name users by their names alone.
    pub attributes: Vec<(String, Vec<u8>)>,
}

impl AdoptedMailbox {
    /// Skips UIDs and modseqs that sessions may have seen since these numbers were taken down.
    pub fn skip_numbers(&mut self) {
        self.uid_next = self.uid_next.saturating_add(UIDS_SKIPPED);
        self.highest_modseq.0 = self.highest_modseq.0.saturating_add(MODSEQS_SKIPPED);
    }
}

/// A user with all mailboxes as they were elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedUser {
    /// The user's name.
    pub name: String,
    /// The mailboxes, INBOX among them, names above others before these.
    pub mailboxes: Vec<AdoptedMailbox>,
    /// Subscribed names.
    pub subscriptions: Vec<String>,
    /// The limits of the user's mail.
    pub limits: Limits,
    /// What is said of the user.
    pub attributes: Vec<(String, Vec<u8>)>,
}

/// Where a message goes that keeps its UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdoptedMessage {
    /// The mailbox, which was adopted.
    pub mailbox: MailboxId,
    /// Its UID there.
    pub uid: Uid,
    /// Whether it gets the next UID and modseq if that one cannot be its UID any more, because mail has come in from elsewhere meanwhile.
    pub or_next_uid: bool,
    /// The modseq of its last change.
    pub modseq: ModSeq,
    /// Its flags, keywords by the bits that the mailbox was adopted with.
    pub flags: Flags,
    /// INTERNALDATE.
    pub internal_date: ZonedTime,
    /// When it was put into the mailbox, seconds since 1970.
    pub save_seconds: u32,
}

impl Plan<'_> {
    pub(super) fn adopt_user(&mut self, wanted: &AdoptedUser) -> Result<Outcome, Stop> {
        if wanted.name == crate::rights::ANYONE {
            return Err(ChangeError::InvalidName("it stands for everybody").into());
        }
        if !crate::catalog::is_user_name(&wanted.name) {
            return Err(ChangeError::InvalidName("it is empty, too long, or has control characters").into());
        }
        let catalog = &self.store.derived.catalog;
        if catalog.find(&wanted.name)?.is_some() {
            return Err(ChangeError::NotAllowed("a user that is there already").into());
        }
        let user = catalog.next_user()?;
        let inbox = inbox_of(user);
        self.need_new_user(user)?;
        let now = self.store.derived.now();
        let mut list = MailboxList::empty(user);
        let mut made = Vec::new();
        // INBOX first: it is number 1 of every user.
        let inbox_wanted = wanted.mailboxes.iter().find(|mailbox| mailbox.name == INBOX);
        match inbox_wanted {
            Some(mailbox) => adopt_into(&mut list, mailbox, now, &mut made)?,
            None => {
                // Its UIDVALIDITY is not one that comes with the others.
                let adopted = wanted.mailboxes.iter().map(|mailbox| mailbox.uid_validity).max().unwrap_or(0);
                let mut above = list.clone();
                above.raise_uid_validity(adopted);
                let changes = plan_create(&above, INBOX, None, now)?;
                changes.iter().for_each(|change| list.apply(change));
                made.extend(changes);
            }
        }
        for mailbox in wanted.mailboxes.iter().filter(|mailbox| mailbox.name != INBOX) {
            adopt_into(&mut list, mailbox, now, &mut made)?;
        }
        for name in &wanted.subscriptions {
            let changes = plan_subscribe(&list, name, true)?;
            changes.iter().for_each(|change| list.apply(change));
            made.extend(changes);
        }
        let changes = plan_quota(&list, wanted.limits);
        changes.iter().for_each(|change| list.apply(change));
        made.extend(changes);
        self.need(made_mailboxes(&made).iter().map(|(mailbox, _)| LockKey::Mailbox(*mailbox)))?;
        self.changes.push(Change::UserCreate { user, name: wanted.name.clone() });
        self.changes.extend(made);
        for mailbox in wanted.mailboxes.iter().filter(|mailbox| !mailbox.placeholder) {
            if let Some(entry) = list.find(&mailbox.name) {
                self.fill_later(MailboxId { user, number: entry.number }, mailbox)?;
            }
        }
        self.lists.insert(user, list);
        for (name, value) in &wanted.attributes {
            self.set_attribute(user, None, name, Some(value))?;
        }
        for mailbox in &wanted.mailboxes {
            self.adopt_attributes(user, &wanted.name, mailbox)?;
        }
        Ok(Outcome::Created(inbox))
    }

    /// Says of a mailbox, which is in the list now, what was said of it elsewhere. Rights of users who are not here are kept for when they are.
    fn adopt_attributes(&mut self, user: UserId, owner: &str, wanted: &AdoptedMailbox) -> Result<(), Stop> {
        if wanted.attributes.is_empty() {
            return Ok(());
        }
        let number = self.list(user)?.find(&wanted.name).map(|entry| entry.number);
        let number = number.ok_or(ChangeError::NoSuchMailbox)?;
        let mut given = Vec::new();
        for (name, value) in &wanted.attributes {
            let identifier = name.strip_prefix(ACL);
            let is_owners = identifier.is_some_and(|identifier| subject(identifier) == owner);
            if is_owners || stays_in_its_store(name) {
                continue;
            }
            let whom = identifier.map_or(Ok(None), |identifier| self.store.find_user(subject(identifier)))?;
            match (identifier, whom) {
                (Some(identifier), Some(whom)) => given.push((identifier, decode(value).0, whom)),
                (Some(_), None) => {
                    let value = encode(decode(value).0, None);
                    self.set_attribute(user, Some(number), name, Some(&value))?;
                }
                (None, _) => {
                    self.set_attribute(user, Some(number), name, Some(value))?;
                }
            }
        }
        self.need(given.iter().map(|(_, _, whom)| LockKey::List(*whom)))?;
        for (identifier, rights, _) in given {
            self.set_rights(MailboxId { user, number }, identifier, RightsChange::Set(rights))?;
        }
        Ok(())
    }

    pub(super) fn adopt_mailbox(&mut self, user: UserId, wanted: &AdoptedMailbox) -> Result<Outcome, Stop> {
        let now = self.store.derived.now();
        let list = self.list(user)?;
        let mut wanted = wanted.clone();
        if wanted.uid_validity <= list.last_uid_validity() {
            // It may be a mailbox that was deleted here after these numbers were taken down.
            wanted.skip_numbers();
        }
        let changes = plan_adopt(list, &entry_of(&wanted), now)?;
        let made = made_mailboxes(&changes);
        self.need(made.iter().map(|(mailbox, _)| LockKey::Mailbox(*mailbox)))?;
        self.change_list(user, changes);
        let (mailbox, _) = made.last().ok_or(ChangeError::NotAllowed("a mailbox that holds nothing"))?;
        self.fill_later(*mailbox, &wanted)?;
        let owner = self.store.user_name(user)?;
        self.adopt_attributes(user, &owner, &wanted)?;
        Ok(Outcome::Created(*mailbox))
    }

    /// The changes that give a mailbox its numbers and keywords. What cannot be a keyword is left out.
    fn fill_later(&mut self, mailbox: MailboxId, wanted: &AdoptedMailbox) -> Result<(), ChangeError> {
        if wanted.uid_next > UID_NEXT_MOST || wanted.highest_modseq > MODSEQ_MOST {
            return Err(ChangeError::NotAllowed("a UIDNEXT or HIGHESTMODSEQ that leaves no room for more"));
        }
        for (bit, name) in &wanted.keywords {
            if usize::from(*bit) < Keywords::MOST && is_keyword(name) {
                self.changes.push(Change::Keyword { mailbox, bit: *bit, name: name.clone() });
            }
        }
        let (uid_next, highest_modseq) = (wanted.uid_next.max(1), wanted.highest_modseq.max(ModSeq(1)));
        self.changes.push(Change::MailboxNumbers { mailbox, uid_next, highest_modseq });
        self.adopted.push((mailbox, uid_next));
        Ok(())
    }

    pub(super) fn adopt_message(&mut self, wanted: &AdoptedMessage) -> Result<Outcome, Stop> {
        let appended = match self.adopt_one(wanted) {
            Ok(appended) => Ok(appended),
            Err(Stop::Refused(ChangeError::NoSuchMailbox)) => Err(Refused::NoSuchMailbox),
            Err(Stop::Refused(ChangeError::NotAllowed(what))) => Err(Refused::Unusable(what.to_string())),
            Err(stop) => return Err(stop),
        };
        Ok(Outcome::Delivered(vec![appended]))
    }

    fn adopt_one(&mut self, wanted: &AdoptedMessage) -> Result<Appended, Stop> {
        let message = self.message.ok_or(ChangeError::NotAllowed("a delivery without a message"))?;
        let id = wanted.mailbox;
        let open = self.open(id)?;
        let below = self.store.adopted_below(id);
        let below = below.ok_or(ChangeError::NotAllowed("a UID in a mailbox that was not made for it"))?;
        let cells = open.cells()?;
        let last = cells.count().checked_sub(1).map(|last| cells.uid(CellIndex(last))).transpose()?;
        let is_free = wanted.uid.get() < below && last.is_none_or(|last| last < wanted.uid);
        if !is_free && !wanted.or_next_uid {
            return Err(ChangeError::NotAllowed("a UID that is not free").into());
        }
        let known = open.keywords()?.iter().fold(0u64, |known, (bit, _)| known | 1 << bit);
        let plan = self.existing(id)?;
        let uid_validity = plan.uid_validity;
        let (uid, modseq) = if is_free {
            plan.count_add();
            // A modseq from elsewhere is at most the mailbox's highest, which came from there, too.
            (wanted.uid, wanted.modseq.clamp(ModSeq(1), plan.modseq()))
        } else {
            (plan.next_uid()?, plan.next_modseq())
        };
        let added = Added {
            uid,
            modseq,
            flags: Flags {
                system: SystemFlags(wanted.flags.system.0 & 0x1f),
                keywords: wanted.flags.keywords & known,
            },
            internal_date: wanted.internal_date,
            save_seconds: wanted.save_seconds,
            sent_date: message.sent_date,
            size: message.size,
            message: message.id,
        };
        self.changes.push(Change::Add { mailbox: id, added });
        self.touched.push(id);
        Ok(Appended { mailbox: id, uid_validity, uid: added.uid, modseq: added.modseq })
    }
}

fn adopt_into(
    list: &mut MailboxList,
    wanted: &AdoptedMailbox,
    now: u32,
    made: &mut Vec<Change>,
) -> Result<(), ChangeError> {
    let changes = plan_adopt(list, &entry_of(wanted), now)?;
    changes.iter().for_each(|change| list.apply(change));
    made.extend(changes);
    Ok(())
}

/// Whether a name can be that of a keyword: an atom (RFC 3501, 9). Names come from files that anybody may have written.
pub fn is_keyword(name: &str) -> bool {
    let possible = |octet: u8| octet.is_ascii_graphic() && !b"(){%*\"\\]".contains(&octet);
    (1..=Keywords::LONGEST_NAME_BYTES).contains(&name.len()) && name.bytes().all(possible)
}

/// The mailbox as a list would name it; its number is chosen there.
fn entry_of(wanted: &AdoptedMailbox) -> MailboxEntry {
    MailboxEntry {
        number: 0,
        name: wanted.name.clone(),
        uid_validity: wanted.uid_validity,
        special_use: wanted.special_use,
        placeholder: wanted.placeholder,
    }
}

#[cfg(test)]
mod tests;
