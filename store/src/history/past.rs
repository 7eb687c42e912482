//! What there was: a mailbox as of a time, and the mailboxes that were deleted.

use std::collections::BTreeMap;

use message::{HeaderKind, Record};

use super::bring_back::each_cell;
use super::gather::{CellHistory, ListHistory};
use super::scan::{Wanted, each_change};
use super::{DeletedMailbox, HistoryError, PastMailbox, PastMessage};
use crate::change::{Flags, SystemFlags};
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, MessageId, UserId};
use crate::lists::MailboxList;
use crate::locks::LockKey;
use crate::recovery::fold::Fold;
use crate::store::Store;

impl Store {
    /// The mailbox that a user had under `name` at `seconds` since 1970, as it was at the end of that second.
    pub fn mailbox_at(
        &self,
        user: UserId,
        name: &str,
        seconds: u32,
    ) -> std::result::Result<PastMailbox, HistoryError> {
        let (list, _) = self.list_until(user, seconds)?;
        let entry = list.find(name).ok_or(HistoryError::NoSuchMailbox)?;
        if entry.placeholder {
            return Err(HistoryError::Placeholder);
        }
        let mailbox = MailboxId { user, number: entry.number };
        let mut history = CellHistory::new(mailbox, seconds);
        each_change(&self.derived, Wanted::AndBucketsUntil(seconds), &mut |seen| history.take(&seen))?;
        let (cells, mut unknown) = history.cells()?;
        let mut messages = messages_of(&cells);
        messages.extend(self.tombstones_of(mailbox, seconds, &cells)?);
        messages.sort_by_key(|message| message.uid);
        messages.iter().for_each(|message| {
            unknown.remove(&message.uid);
        });
        Ok(PastMailbox {
            mailbox,
            name: entry.name.clone(),
            uid_validity: entry.uid_validity,
            seconds,
            messages,
            unknown: unknown.into_iter().collect(),
        })
    }

    /// The mailboxes of a user that were deleted and still hold their messages, the one deleted last first.
    pub fn deleted_mailboxes(&self, user: UserId) -> Result<Vec<DeletedMailbox>> {
        let there = self.mailbox_list(user)?;
        let names = match self.list_until(user, u32::MAX) {
            Err(HistoryError::Store(error)) => return Err(error),
            // All journals that there are say nothing of the names.
            Err(_) => BTreeMap::new(),
            Ok((_, names)) => names,
        };
        let mut deleted = Vec::new();
        for number in self.mailbox_folders(user)? {
            if there.by_number(number).is_some() {
                continue;
            }
            let mailbox = MailboxId { user, number };
            let held = self.take(&[LockKey::Mailbox(mailbox)])?;
            let open = match self.mailbox_even_deleted(mailbox, &held) {
                // Being collected, or damaged: there is nothing to be brought back.
                Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => continue,
                open => open?,
            };
            if open.is_deleted()? && !open.is_released()? {
                let status = open.status()?;
                deleted.push(DeletedMailbox {
                    mailbox,
                    name: names.get(&mailbox).cloned(),
                    deleted_at: open.deleted_at()?,
                    messages: status.exists,
                    octets: status.size,
                });
            }
        }
        deleted.sort_by_key(|deleted| std::cmp::Reverse((deleted.deleted_at, deleted.mailbox)));
        Ok(deleted)
    }

    /// What the Subject: of a message says, decoded; `None` if the message is gone or has none.
    pub fn subject(&self, message: MessageId) -> Result<Option<String>> {
        let record = match self.record(message) {
            Err(StoreError::NotFound(_) | StoreError::Gone(_) | StoreError::Corrupt { .. }) => {
                return Ok(None);
            }
            record => record?,
        };
        let subject =
            Record::parse(&record).ok().map(|record| record.search_text(HeaderKind::Subject).to_owned());
        Ok(subject.filter(|subject| !subject.is_empty()))
    }

    /// Messages that were in a mailbox at that time and are tombstones now, as far as `known` does not have them: the logs that told of them
    /// are gone with their content. If no change of its flags is known, a message is shown with those it had last.
    fn tombstones_of(&self, mailbox: MailboxId, seconds: u32, known: &Fold) -> Result<Vec<PastMessage>> {
        let open = match self.past_mailbox(mailbox) {
            Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => return Ok(Vec::new()),
            open => open?,
        };
        let names = open.keywords()?;
        let mut found = Vec::new();
        each_cell(&open, &mut |cell| {
            let was_there = cell.save_seconds <= seconds && cell.expunged && cell.expunged_at > seconds;
            if !was_there || known.has_add(cell.uid) {
                return;
            }
            let without_deleted = SystemFlags(cell.flags.system.0 & !SystemFlags::DELETED.0);
            let last = Flags { system: without_deleted, ..cell.flags };
            let flags = known.flags_of(cell.uid).unwrap_or(last);
            let named = names.iter().filter(|(bit, _)| flags.keywords & 1 << bit != 0);
            found.push(PastMessage {
                uid: cell.uid,
                flags: flags.system,
                keywords: named.map(|(_, name)| name.to_string()).collect(),
                internal_date: cell.internal_date,
                save_seconds: cell.save_seconds,
                size: cell.size,
                message: cell.message,
            });
        })?;
        Ok(found)
    }

    /// A user's list as it was at that time, and the names that deleted mailboxes had last.
    fn list_until(
        &self,
        user: UserId,
        seconds: u32,
    ) -> std::result::Result<(MailboxList, BTreeMap<MailboxId, String>), HistoryError> {
        let mut history = ListHistory::new(user, seconds);
        each_change(&self.derived, Wanted::Journals, &mut |seen| history.take(seen))?;
        history.list()
    }

    /// The numbers of all mailboxes of a user that have a folder.
    pub(super) fn mailbox_folders(&self, user: UserId) -> Result<Vec<u32>> {
        let folder = self.derived.user_folder(user)?;
        let entries = self.derived.disk.read_dir(&folder).map_err(StoreError::io(&folder, "read"))?;
        let number = |name: &str| name.strip_prefix('m').and_then(|digits| digits.parse().ok());
        Ok(entries.iter().filter(|entry| entry.is_dir).filter_map(|entry| number(&entry.name)).collect())
    }
}

/// The messages that were not expunged.
fn messages_of(cells: &Fold) -> Vec<PastMessage> {
    let named = |flags: Flags| {
        let set = cells.keywords().filter(|(bit, _)| flags.keywords & 1 << bit != 0);
        set.map(|(_, name)| name.to_owned()).collect()
    };
    let live = cells.messages().filter(|message| message.expunged.is_none());
    live.map(|message| message.added)
        .map(|added| PastMessage {
            uid: added.uid,
            flags: added.flags.system,
            keywords: named(added.flags),
            internal_date: added.internal_date,
            save_seconds: added.save_seconds,
            size: added.size,
            message: added.message,
        })
        .collect()
}
