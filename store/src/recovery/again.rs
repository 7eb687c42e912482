//! One damaged view made again from all logs while the store is in use: what `lode check --repair` asks for, and what follows when a mailbox
//! turns out to have lost cells in a power cut.
//!
//! Most of the logs is read before any lock is taken, and what was appended meanwhile under it. What is damaged keeps its file as
//! `….damaged` beside it.

use std::collections::BTreeMap;

use super::fold::Fold;
use super::rebuild;
use super::scan::{How, read_log};
use crate::change::Change;
use crate::derived::{Derived, Source, list_of, mailbox_of_cells};
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, PageId, UserId};
use crate::locks::LockKey;
use crate::log::LogName;
use crate::log::logs::logs_of_page;
use crate::mailbox::Mailbox;
use crate::store::Store;

/// Reads all logs, and those that grew once more.
#[derive(Default)]
struct Reading {
    ends: BTreeMap<LogName, u64>,
}

impl Reading {
    /// Reads what was not read before.
    fn go_on(&mut self, derived: &Derived, take: &mut dyn FnMut(u32, u32, &Change)) -> Result<()> {
        for page in derived.pages.all()? {
            for name in logs_of_page(&derived.disk, derived.pages.root(), page)? {
                let from = self.ends.get(&name).copied().unwrap_or(How::WHOLE.from);
                let how = How { from, ..How::WHOLE };
                let read = read_log(derived, name, how, &mut |epoch, frame| {
                    frame.changes.iter().for_each(|change| take(epoch, frame.head.seconds, change));
                    Ok(())
                })?;
                self.ends.extend(read.map(|read| (name, read.end)));
            }
        }
        Ok(())
    }
}

impl Store {
    /// Makes the cells of one mailbox again from all logs, which takes as long as reading them. Others use the store meanwhile.
    ///
    /// Errors: `NotFound` if its user's list does not name it; `Busy` if a session has it open: the places of its cells change.
    pub fn rebuild_mailbox(&self, mailbox: MailboxId) -> Result<()> {
        self.check_writable()?;
        let (mut reading, mut fold) = (Reading::default(), Fold::default());
        let mut take = |epoch, seconds, change: &Change| {
            if mailbox_of_cells(change) == Some(mailbox) {
                fold.take(epoch, seconds, change);
            }
        };
        reading.go_on(&self.derived, &mut take)?;
        let _held = self.take(&[LockKey::Mailbox(mailbox), LockKey::List(mailbox.user)])?;
        reading.go_on(&self.derived, &mut take)?;
        let uid_validity = rebuild::named(&self.derived, mailbox)?.ok_or(StoreError::NotFound("mailbox"))?;
        let path = self.derived.cells_path(mailbox)?;
        Mailbox::begin_replacing(&self.derived.disk, &path)?;
        if self.pins.is_pinned(mailbox)? {
            if let Ok(open) = Mailbox::open(&self.derived.disk, &path, mailbox) {
                open.end_rewriting();
            }
            return Err(StoreError::Busy("the mailbox, which a session has open,"));
        }
        replace(&self.derived, mailbox, uid_validity, &fold)
    }

    /// Makes a mailbox again that has lost cells. The caller has its lock, and nobody has read the file since the power cut that did it.
    pub(crate) fn rebuild_held(&self, mailbox: MailboxId) -> Result<()> {
        let Some(uid_validity) = rebuild::named(&self.derived, mailbox)? else { return Ok(()) };
        let mut fold = Fold::default();
        Reading::default().go_on(&self.derived, &mut |epoch, seconds, change| {
            if mailbox_of_cells(change) == Some(mailbox) {
                fold.take(epoch, seconds, change);
            }
        })?;
        replace(&self.derived, mailbox, uid_validity, &fold)
    }

    /// Makes the list of a user's mailboxes again from all logs. Others use the store meanwhile.
    ///
    /// Errors: `NotFound` if there is no such user, or the logs do not say what mailboxes there are.
    pub fn rebuild_list(&self, user: UserId) -> Result<()> {
        self.check_writable()?;
        let (mut reading, mut changes) = (Reading::default(), Vec::new());
        let mut take = |_, _, change: &Change| {
            if list_of(change) == Some(user) {
                changes.push(change.clone());
            }
        };
        reading.go_on(&self.derived, &mut take)?;
        let _held = self.take(&[LockKey::List(user)])?;
        reading.go_on(&self.derived, &mut take)?;
        self.derived.user_folder(user)?;
        if changes.is_empty() {
            return Err(StoreError::NotFound("change of this mailbox list"));
        }
        rebuild::make_list(&self.derived, user, changes)
    }

    /// Makes damaged cells of a page's directory good again from the page's buckets, in place.
    ///
    /// Errors: `Corrupt` if the head of the directory is damaged, for others may have it open: it is made again when the store is opened
    /// the next time.
    pub fn rebuild_directory(&self, page: PageId) -> Result<()> {
        self.check_writable()?;
        self.pages.directory(page)?;
        for name in logs_of_page(&self.derived.disk, self.pages.root(), page)? {
            read_log(&self.derived, name, How::WHOLE, &mut |_, frame| {
                let source = Source::new(name, frame.offset, &frame.head);
                match frame.changes.first() {
                    Some(Change::Message { index, header_size }) => {
                        self.derived.mend_message(&source, *index, *header_size)
                    }
                    _ => Ok(()),
                }
            })?;
        }
        Ok(())
    }
}

/// Puts the new file in place. Its references are counted first, beside those of the damaged one, so that no count is too low; the pages are
/// to be recounted before anything in them is freed.
pub(super) fn replace(derived: &Derived, mailbox: MailboxId, uid_validity: u32, fold: &Fold) -> Result<()> {
    let mut last: Option<PageId> = None;
    for message in fold.messages() {
        let page = message.added.message.page;
        if !derived.pages.has_directory(page) {
            continue;
        }
        let directory = derived.pages.directory(page)?;
        if last != Some(page) {
            directory.set_recounted_epoch(0)?;
            last = Some(page);
        }
        match directory.add_reference(message.added.message.index) {
            Err(StoreError::Gone(_)) => (),
            added => added?,
        }
    }
    rebuild::make_mailbox(derived, mailbox, uid_validity, fold)?;
    derived.keep_usage(&*derived.mailbox(mailbox)?)
}
