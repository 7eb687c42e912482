//! Changes as octets, the way a log frame holds them (`FORMAT.md`, "Changes"). Decoding trusts nothing: it allocates no more
//! than the octets it was given can stand for.

use crate::change::{
    Added, AnnotationEntry, Change, Flags, MailboxSnapshot, SnapshotCell, SpecialUse, SystemFlags, ZonedTime,
};
use crate::ids::{MailboxId, MessageId, ModSeq, PageId, Uid, UserId};
use crate::quota::{Limit, Limits};

const MESSAGE: u8 = 1;
const ADD: u8 = 2;
const FLAGS: u8 = 3;
const EXPUNGE: u8 = 4;
const KEYWORD: u8 = 5;
const USER_CREATE: u8 = 6;
const MAILBOX_CREATE: u8 = 7;
const MAILBOX_RENAME: u8 = 8;
const MAILBOX_DELETE: u8 = 9;
const SUBSCRIBE: u8 = 10;
const SPECIAL_USE: u8 = 11;
const USER_DELETE: u8 = 12;
const QUOTA: u8 = 16;
const MAILBOX_NUMBERS: u8 = 17;
const ATTRIBUTE: u8 = 18;
const SEEN: u8 = 19;
const QUOTA_WITH_MAILBOXES: u8 = 20;
const ANNOTATIONS: u8 = 21;
const QUOTA_WITH_ANNOTATIONS: u8 = 22;
const MAILBOX_SNAPSHOT: u8 = 14;
const LIST_SNAPSHOT: u8 = 15;
/// The lowest of 8 types: an Add that is like the one before it but for its user, UID and modseq, and for what these bits of the type say. So a message to
/// very many recipients spends few octets on each.
const ADD_SAME: u8 = 0x80;
/// The user's number is not one higher: the distance is given.
const SAME_FAR_USER: u8 = 1;
/// The mailbox has another number.
const SAME_OTHER_MAILBOX: u8 = 2;
/// The flags or keywords are others.
const SAME_OTHER_FLAGS: u8 = 4;
const SAME_BITS: u8 = SAME_FAR_USER | SAME_OTHER_MAILBOX | SAME_OTHER_FLAGS;

/// The bit of a snapshot cell's flags that makes it a tombstone.
const SNAPSHOT_EXPUNGED: u8 = 0x80;
/// Octets of a snapshot cell at least.
const SNAPSHOT_CELL_LEAST_BYTES: usize = 24;

/// The octets are no changes that this release knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Appends `changes` to `out`.
pub(crate) fn encode(changes: &[Change], out: &mut Vec<u8>) {
    let mut before = None;
    for change in changes {
        if let Change::Add { mailbox, added } = change {
            encode_add(*mailbox, added, before, out);
            before = Some((*mailbox, added));
        } else {
            encode_other(change, out);
        }
    }
}

fn encode_add(mailbox: MailboxId, added: &Added, before: Option<(MailboxId, &Added)>, out: &mut Vec<u8>) {
    let same = before.filter(|(_, before)| {
        before.message == added.message
            && before.internal_date == added.internal_date
            && before.save_seconds == added.save_seconds
            && before.sent_date == added.sent_date
            && before.size == added.size
    });
    if let Some((before_mailbox, before)) = same {
        return encode_add_same(mailbox, added, before_mailbox, before, out);
    }
    out.push(ADD);
    put_mailbox(out, mailbox);
    put(out, u64::from(added.uid.get()));
    put(out, added.modseq.0);
    put_flags(out, added.flags);
    put_constants(out, added);
}

/// What of an Add never changes: dates, size, message.
fn put_constants(out: &mut Vec<u8>, added: &Added) {
    out.extend_from_slice(&added.internal_date.pack().to_le_bytes());
    put(out, u64::from(added.save_seconds));
    out.extend_from_slice(&added.sent_date.map_or(0, ZonedTime::pack).to_le_bytes());
    put(out, u64::from(added.size));
    put(out, u64::from(added.message.page.0));
    put(out, u64::from(added.message.index));
}

fn encode_add_same(
    mailbox: MailboxId,
    added: &Added,
    before_mailbox: MailboxId,
    before: &Added,
    out: &mut Vec<u8>,
) {
    let distance = i64::from(mailbox.user.0) - i64::from(before_mailbox.user.0);
    let far = if distance == 1 { 0 } else { SAME_FAR_USER };
    let other_mailbox = if mailbox.number == before_mailbox.number { 0 } else { SAME_OTHER_MAILBOX };
    let other_flags = if added.flags == before.flags { 0 } else { SAME_OTHER_FLAGS };
    out.push(ADD_SAME | far | other_mailbox | other_flags);
    if far != 0 {
        put(out, zigzag(distance));
    }
    if other_mailbox != 0 {
        put(out, u64::from(mailbox.number));
    }
    put(out, u64::from(added.uid.get()));
    // Mostly not far from the UID.
    put(out, zigzag(added.modseq.0.wrapping_sub(u64::from(added.uid.get())) as i64));
    if other_flags != 0 {
        put_flags(out, added.flags);
    }
}

/// A number with a sign as one without: small ones stay small.
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn encode_other(change: &Change, out: &mut Vec<u8>) {
    match change {
        Change::Add { mailbox, added } => encode_add(*mailbox, added, None, out),
        Change::Message { index, header_size } => {
            out.push(MESSAGE);
            put(out, u64::from(*index));
            put(out, u64::from(*header_size));
        }
        Change::Flags { mailbox, modseq, messages } => {
            out.push(FLAGS);
            put_mailbox(out, *mailbox);
            put(out, modseq.0);
            put(out, messages.len() as u64);
            let mut before = 0;
            for (uid, flags) in messages {
                put(out, u64::from(uid.get().wrapping_sub(before)));
                put_flags(out, *flags);
                before = uid.get();
            }
        }
        Change::Expunge { mailbox, modseq, uids } => {
            out.push(EXPUNGE);
            put_mailbox(out, *mailbox);
            put(out, modseq.0);
            put(out, uids.len() as u64);
            let mut before = 0;
            for uid in uids {
                put(out, u64::from(uid.get().wrapping_sub(before)));
                before = uid.get();
            }
        }
        Change::Seen { mailbox, reader, modseq, seen, ranges } => {
            out.push(SEEN);
            put_mailbox(out, *mailbox);
            put(out, u64::from(reader.0));
            put(out, modseq.0);
            out.push(u8::from(*seen));
            put(out, ranges.len() as u64);
            let mut before = 0;
            for (first, last) in ranges {
                put(out, u64::from(first.get().wrapping_sub(before)));
                put(out, u64::from(last.get().wrapping_sub(first.get())));
                before = last.get();
            }
        }
        Change::Annotations { mailbox, reader, modseq, messages } => {
            out.push(ANNOTATIONS);
            put_mailbox(out, *mailbox);
            put(out, reader.map_or(0, |reader| u64::from(reader.0) + 1));
            put(out, modseq.0);
            put(out, messages.len() as u64);
            let mut before = 0;
            for (uid, entries) in messages {
                put(out, u64::from(uid.get().wrapping_sub(before)));
                put_annotations(out, *modseq, entries);
                before = uid.get();
            }
        }
        Change::Keyword { mailbox, bit, name } => {
            out.push(KEYWORD);
            put_mailbox(out, *mailbox);
            out.push(*bit);
            put_text(out, name);
        }
        Change::MailboxNumbers { mailbox, uid_next, highest_modseq } => {
            out.push(MAILBOX_NUMBERS);
            put_mailbox(out, *mailbox);
            put(out, u64::from(*uid_next));
            put(out, highest_modseq.0);
        }
        Change::MailboxSnapshot(snapshot) => encode_snapshot(snapshot, out),
        Change::ListSnapshot { user, name, list_version, list } => {
            out.push(LIST_SNAPSHOT);
            put(out, u64::from(user.0));
            put_text(out, name);
            put(out, *list_version);
            put(out, list.len() as u64);
            out.extend_from_slice(list);
        }
        Change::UserCreate { user, name } => {
            out.push(USER_CREATE);
            put(out, u64::from(user.0));
            put_text(out, name);
        }
        Change::UserDelete { user } => {
            out.push(USER_DELETE);
            put(out, u64::from(user.0));
        }
        Change::MailboxCreate { mailbox, list_version, uid_validity, name, special_use, placeholder } => {
            out.push(MAILBOX_CREATE);
            put_mailbox(out, *mailbox);
            put(out, *list_version);
            put(out, u64::from(*uid_validity));
            put_text(out, name);
            out.push(special_use.map_or(0, |special_use| special_use as u8));
            out.push(u8::from(*placeholder));
        }
        Change::MailboxRename { mailbox, list_version, name } => {
            out.push(MAILBOX_RENAME);
            put_mailbox(out, *mailbox);
            put(out, *list_version);
            put_text(out, name);
        }
        Change::MailboxDelete { mailbox, list_version } => {
            out.push(MAILBOX_DELETE);
            put_mailbox(out, *mailbox);
            put(out, *list_version);
        }
        Change::Subscribe { user, list_version, name, subscribed } => {
            out.push(SUBSCRIBE);
            put(out, u64::from(user.0));
            put(out, *list_version);
            put_text(out, name);
            out.push(u8::from(*subscribed));
        }
        Change::SpecialUse { mailbox, list_version, special_use } => {
            out.push(SPECIAL_USE);
            put_mailbox(out, *mailbox);
            put(out, *list_version);
            out.push(special_use.map_or(0, |special_use| special_use as u8));
        }
        Change::Quota { user, list_version, limits } => {
            let has_annotations = limits.annotations != Limit::Default;
            let has_mailboxes = has_annotations || limits.mailboxes != Limit::Default;
            out.push(match (has_mailboxes, has_annotations) {
                (_, true) => QUOTA_WITH_ANNOTATIONS,
                (true, false) => QUOTA_WITH_MAILBOXES,
                (false, false) => QUOTA,
            });
            put(out, u64::from(user.0));
            put(out, *list_version);
            put(out, limits.octets.to_number());
            put(out, limits.messages.to_number());
            if has_mailboxes {
                put(out, limits.mailboxes.to_number());
            }
            if has_annotations {
                put(out, limits.annotations.to_number());
            }
        }
        Change::Attribute { user, list_version, mailbox, name, value } => {
            out.push(ATTRIBUTE);
            put(out, u64::from(user.0));
            put(out, *list_version);
            // No mailbox has the number 0.
            put(out, u64::from(mailbox.unwrap_or(0)));
            put_text(out, name);
            put_value(out, value.as_deref());
        }
    }
}

fn encode_snapshot(snapshot: &MailboxSnapshot, out: &mut Vec<u8>) {
    out.push(MAILBOX_SNAPSHOT);
    put_mailbox(out, snapshot.mailbox);
    put(out, u64::from(snapshot.part));
    put(out, u64::from(snapshot.parts));
    put(out, u64::from(snapshot.uid_next));
    put(out, snapshot.highest_modseq.0);
    put(out, snapshot.keywords.len() as u64);
    for (bit, name) in &snapshot.keywords {
        out.push(*bit);
        put_text(out, name);
    }
    put(out, snapshot.cells.len() as u64);
    let mut before = 0;
    for SnapshotCell { added, expunged_at } in &snapshot.cells {
        put(out, u64::from(added.uid.get().wrapping_sub(before)));
        before = added.uid.get();
        out.push(added.flags.system.0 | if expunged_at.is_some() { SNAPSHOT_EXPUNGED } else { 0 });
        put(out, added.flags.keywords);
        put(out, added.modseq.0);
        put_constants(out, added);
        if let Some(seconds) = expunged_at {
            put(out, u64::from(*seconds));
        }
    }
}

/// Appends the entries of one message, whose modseqs are told from `modseq`.
pub(crate) fn put_annotations(out: &mut Vec<u8>, modseq: ModSeq, entries: &[AnnotationEntry]) {
    put(out, entries.len() as u64);
    for entry in entries {
        put_text(out, &entry.name);
        put(out, modseq.0.saturating_sub(entry.modseq.0));
        put_value(out, entry.value.as_deref());
    }
}

/// Decodes what `put_annotations` has put, to the end of `bytes`.
pub(crate) fn decode_annotations(bytes: &[u8], modseq: ModSeq) -> Result<Vec<AnnotationEntry>, Malformed> {
    let mut input = Input { bytes };
    let entries = input.annotations(modseq)?;
    if input.bytes.is_empty() { Ok(entries) } else { Err(Malformed) }
}

fn put_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    put(out, value.map_or(0, |value| value.len() as u64 + 1));
    out.extend_from_slice(value.unwrap_or_default());
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_mailbox(out: &mut Vec<u8>, mailbox: MailboxId) {
    put(out, u64::from(mailbox.user.0));
    put(out, u64::from(mailbox.number));
}

fn put_flags(out: &mut Vec<u8>, flags: Flags) {
    out.push(flags.system.0);
    put(out, flags.keywords);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Decodes all of `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Change>, Malformed> {
    let mut input = Input { bytes };
    let mut changes = Vec::new();
    let mut before = None;
    while !input.bytes.is_empty() {
        let change = input.change(before)?;
        if let Change::Add { mailbox, added } = &change {
            before = Some((*mailbox, *added));
        }
        changes.push(change);
    }
    Ok(changes)
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn change(&mut self, before: Option<(MailboxId, Added)>) -> Result<Change, Malformed> {
        Ok(match self.octet()? {
            MESSAGE => Change::Message { index: self.number32()?, header_size: self.number32()? },
            ADD => Change::Add { mailbox: self.mailbox()?, added: self.added()? },
            kind if kind & !SAME_BITS == ADD_SAME => {
                let (mailbox, before) = before.ok_or(Malformed)?;
                self.add_same(kind & SAME_BITS, mailbox, &before)?
            }
            FLAGS => {
                let (mailbox, modseq) = (self.mailbox()?, ModSeq(self.number()?));
                let count = self.count(3)?;
                let mut messages = Vec::with_capacity(count);
                let mut before = 0;
                for _ in 0..count {
                    let uid = self.uid_after(&mut before)?;
                    messages.push((uid, self.flags()?));
                }
                Change::Flags { mailbox, modseq, messages }
            }
            EXPUNGE => {
                let (mailbox, modseq) = (self.mailbox()?, ModSeq(self.number()?));
                let count = self.count(1)?;
                let mut uids = Vec::with_capacity(count);
                let mut before = 0;
                for _ in 0..count {
                    uids.push(self.uid_after(&mut before)?);
                }
                Change::Expunge { mailbox, modseq, uids }
            }
            SEEN => {
                let (mailbox, reader) = (self.mailbox()?, UserId(self.number32()?));
                let (modseq, seen) = (ModSeq(self.number()?), self.boolean()?);
                let count = self.count(2)?;
                let mut ranges = Vec::with_capacity(count);
                let mut before = 0;
                for _ in 0..count {
                    let first = self.uid_after(&mut before)?;
                    if ranges.last().is_some_and(|(_, last)| first <= *last) {
                        return Err(Malformed);
                    }
                    ranges.push((first, self.uid_after(&mut before)?));
                }
                Change::Seen { mailbox, reader, modseq, seen, ranges }
            }
            ANNOTATIONS => {
                let mailbox = self.mailbox()?;
                let reader = self.number()?.checked_sub(1);
                let reader = reader.map(u32::try_from).transpose().map_err(|_| Malformed)?.map(UserId);
                let modseq = ModSeq(self.number()?);
                let count = self.count(2)?;
                let mut messages = Vec::with_capacity(count);
                let mut before = 0;
                for _ in 0..count {
                    let uid = self.uid_after(&mut before)?;
                    messages.push((uid, self.annotations(modseq)?));
                }
                Change::Annotations { mailbox, reader, modseq, messages }
            }
            KEYWORD => {
                Change::Keyword { mailbox: self.mailbox()?, bit: self.keyword_bit()?, name: self.text()? }
            }
            USER_CREATE => Change::UserCreate { user: UserId(self.number32()?), name: self.text()? },
            USER_DELETE => Change::UserDelete { user: UserId(self.number32()?) },
            MAILBOX_CREATE => Change::MailboxCreate {
                mailbox: self.mailbox()?,
                list_version: self.number()?,
                uid_validity: self.number32()?,
                name: self.text()?,
                special_use: self.special_use()?,
                placeholder: self.boolean()?,
            },
            MAILBOX_RENAME => Change::MailboxRename {
                mailbox: self.mailbox()?,
                list_version: self.number()?,
                name: self.text()?,
            },
            MAILBOX_DELETE => {
                Change::MailboxDelete { mailbox: self.mailbox()?, list_version: self.number()? }
            }
            SUBSCRIBE => Change::Subscribe {
                user: UserId(self.number32()?),
                list_version: self.number()?,
                name: self.text()?,
                subscribed: self.boolean()?,
            },
            SPECIAL_USE => Change::SpecialUse {
                mailbox: self.mailbox()?,
                list_version: self.number()?,
                special_use: self.special_use()?,
            },
            kind @ (QUOTA | QUOTA_WITH_MAILBOXES | QUOTA_WITH_ANNOTATIONS) => Change::Quota {
                user: UserId(self.number32()?),
                list_version: self.number()?,
                limits: Limits {
                    octets: Limit::from_number(self.number()?),
                    messages: Limit::from_number(self.number()?),
                    mailboxes: match kind {
                        QUOTA => Limit::Default,
                        _ => Limit::from_number(self.number()?),
                    },
                    annotations: match kind {
                        QUOTA_WITH_ANNOTATIONS => Limit::from_number(self.number()?),
                        _ => Limit::Default,
                    },
                },
            },
            ATTRIBUTE => Change::Attribute {
                user: UserId(self.number32()?),
                list_version: self.number()?,
                mailbox: Some(self.number32()?).filter(|number| *number != 0),
                name: self.text()?,
                value: self.value()?,
            },
            MAILBOX_SNAPSHOT => Change::MailboxSnapshot(Box::new(self.snapshot()?)),
            LIST_SNAPSHOT => Change::ListSnapshot {
                user: UserId(self.number32()?),
                name: self.text()?,
                list_version: self.number()?,
                list: {
                    let len = self.count(1)?;
                    self.take(len)?.to_vec()
                },
            },
            MAILBOX_NUMBERS => Change::MailboxNumbers {
                mailbox: self.mailbox()?,
                uid_next: self.number32()?,
                highest_modseq: ModSeq(self.number()?),
            },
            _ => return Err(Malformed),
        })
    }

    fn add_same(&mut self, bits: u8, before: MailboxId, added: &Added) -> Result<Change, Malformed> {
        let distance = if bits & SAME_FAR_USER != 0 { unzigzag(self.number()?) } else { 1 };
        let user = i64::from(before.user.0).checked_add(distance).ok_or(Malformed)?;
        let user = UserId(u32::try_from(user).map_err(|_| Malformed)?);
        let number = if bits & SAME_OTHER_MAILBOX != 0 { self.number32()? } else { before.number };
        let uid = Uid::new(self.number32()?).ok_or(Malformed)?;
        let modseq = ModSeq(u64::from(uid.get()).wrapping_add(unzigzag(self.number()?) as u64));
        let flags = if bits & SAME_OTHER_FLAGS != 0 { self.flags()? } else { added.flags };
        let added = Added { uid, modseq, flags, ..*added };
        Ok(Change::Add { mailbox: MailboxId { user, number }, added })
    }

    fn added(&mut self) -> Result<Added, Malformed> {
        let uid = Uid::new(self.number32()?).ok_or(Malformed)?;
        let modseq = ModSeq(self.number()?);
        let flags = self.flags()?;
        self.constants(uid, modseq, flags)
    }

    /// The part of an Add that never changes, with the rest of it.
    fn constants(&mut self, uid: Uid, modseq: ModSeq, flags: Flags) -> Result<Added, Malformed> {
        Ok(Added {
            uid,
            modseq,
            flags,
            internal_date: ZonedTime::unpack(self.fixed()?).ok_or(Malformed)?,
            save_seconds: self.number32()?,
            sent_date: ZonedTime::unpack(self.fixed()?),
            size: self.number32()?,
            message: MessageId { page: PageId(self.number32()?), index: self.number32()? },
        })
    }

    fn snapshot(&mut self) -> Result<MailboxSnapshot, Malformed> {
        let mailbox = self.mailbox()?;
        let (part, parts) = (self.number32()?, self.number32()?);
        if part >= parts {
            return Err(Malformed);
        }
        let (uid_next, highest_modseq) = (self.number32()?, ModSeq(self.number()?));
        let mut keywords = Vec::new();
        for _ in 0..self.count(2)? {
            keywords.push((self.keyword_bit()?, self.text()?));
        }
        let count = self.count(SNAPSHOT_CELL_LEAST_BYTES)?;
        let mut cells = Vec::with_capacity(count);
        let mut before = 0;
        for _ in 0..count {
            let uid = self.uid_after(&mut before)?;
            let system = self.octet()?;
            let flags = Flags { system: SystemFlags(system & 0x1f), keywords: self.number()? };
            let modseq = ModSeq(self.number()?);
            let added = self.constants(uid, modseq, flags)?;
            let expunged_at = if system & SNAPSHOT_EXPUNGED != 0 { Some(self.number32()?) } else { None };
            cells.push(SnapshotCell { added, expunged_at });
        }
        Ok(MailboxSnapshot { mailbox, part, parts, uid_next, highest_modseq, keywords, cells })
    }

    fn annotations(&mut self, modseq: ModSeq) -> Result<Vec<AnnotationEntry>, Malformed> {
        let count = self.count(3)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let name = self.text()?;
            let behind = self.number()?;
            let modseq = ModSeq(modseq.0.checked_sub(behind).ok_or(Malformed)?);
            entries.push(AnnotationEntry { name, modseq, value: self.value()? });
        }
        Ok(entries)
    }

    /// Octets that may be none at all.
    fn value(&mut self) -> Result<Option<Vec<u8>>, Malformed> {
        let Some(len) = self.number()?.checked_sub(1) else { return Ok(None) };
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        Ok(Some(self.take(len)?.to_vec()))
    }

    fn octet(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.bytes.split_first().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn fixed(&mut self) -> Result<u64, Malformed> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| Malformed)?))
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let octet = self.octet()?;
            let bits = u64::from(octet & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << shift;
            if octet & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn number32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed)
    }

    /// A number of things that take at least so many octets each.
    fn count(&mut self, each: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        if count > self.bytes.len() / each { Err(Malformed) } else { Ok(count) }
    }

    fn uid_after(&mut self, before: &mut u32) -> Result<Uid, Malformed> {
        *before = before.checked_add(self.number32()?).ok_or(Malformed)?;
        Uid::new(*before).ok_or(Malformed)
    }

    fn flags(&mut self) -> Result<Flags, Malformed> {
        Ok(Flags { system: SystemFlags(self.octet()? & 0x1f), keywords: self.number()? })
    }

    fn mailbox(&mut self) -> Result<MailboxId, Malformed> {
        Ok(MailboxId { user: UserId(self.number32()?), number: self.number32()? })
    }

    fn keyword_bit(&mut self) -> Result<u8, Malformed> {
        let bit = self.octet()?;
        if bit < 64 { Ok(bit) } else { Err(Malformed) }
    }

    fn boolean(&mut self) -> Result<bool, Malformed> {
        match self.octet()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn special_use(&mut self) -> Result<Option<SpecialUse>, Malformed> {
        match self.octet()? {
            0 => Ok(None),
            number => SpecialUse::from_number(number).map(Some).ok_or(Malformed),
        }
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let len = self.count(1)?;
        let bytes = self.take(len)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
    }
}

#[cfg(test)]
mod tests;
