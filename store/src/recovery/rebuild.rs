//! Views made again from all logs: catalog, lists, directories and mailboxes that are missing or damaged. What is there and can be read is
//! left as it is: replay brings it up to date.
//!
//! Memory is bounded: the first pass over the logs counts what there is, each further one takes so many mailboxes (by a hash of their
//! number) as have about a million changes together. Each view appears whole or not at all, so a rebuild that is cut short goes on where it
//! was.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use super::fold::Fold;
use super::scan::{How, read_all};
use crate::annotations;
use crate::catalog::{cells_path, list_path};
use crate::change::Change;
use crate::derived::{Derived, Source, list_of, mailbox_of_cells};
use crate::error::{Result, StoreError};
use crate::ids::{CellIndex, MailboxId, MessageId, ModSeq, PageId, UserId};
use crate::lists::MailboxList;
use crate::mailbox::{MODSEQS_SKIPPED, Mailbox, SKIPS_MOST, UIDS_SKIPPED};
use crate::page::directory::CellState;
use crate::seen;

/// Mailboxes and lists are taken by hash, in so many parts at most.
const PARTS: usize = 4096;

/// How many changes there are, by the part of what they are about.
pub(super) struct Weights(Vec<u64>);

impl Weights {
    fn new() -> Weights {
        Weights(vec![0; PARTS])
    }

    fn count(&mut self, key: u64, changes: usize) {
        self.0[part(key)] += changes as u64;
    }

    /// Ranges of parts that have about `most` changes together.
    fn passes(&self, most: u64) -> Vec<Range<usize>> {
        let mut passes: Vec<Range<usize>> = Vec::new();
        let (mut start, mut sum) = (0, 0);
        for (part, weight) in self.0.iter().enumerate() {
            if sum > 0 && sum + weight > most {
                passes.push(start..part);
                (start, sum) = (part, 0);
            }
            sum += weight;
        }
        if sum > 0 {
            passes.push(start..PARTS);
        }
        passes
    }
}

fn part(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize
}

/// What the first pass over all logs finds.
pub(super) struct Survey {
    /// Changes of the catalog.
    pub(super) users: Vec<Change>,
    /// The highest number of a user that any change mentions.
    highest_user: UserId,
    lists: Weights,
    mailboxes: Weights,
}

/// Reads all logs, and fills the directories on the way.
pub(super) fn survey(derived: &Derived, verify_before_epoch: u32) -> Result<Survey> {
    let mut survey = Survey {
        users: Vec::new(),
        highest_user: UserId(0),
        lists: Weights::new(),
        mailboxes: Weights::new(),
    };
    read_all(derived, How { verify_before_epoch, ..How::WHOLE }, &mut |name, _, frame| {
        let source = Source::new(name, frame.offset, &frame.head);
        for change in frame.changes {
            if let Change::Message { index, header_size } = change {
                derived.fill_message(&source, index, header_size)?;
            } else if let Some(user) = list_of(&change) {
                survey.highest_user = survey.highest_user.max(user);
                if let Change::ListSnapshot { name, .. } = &change {
                    survey.users.push(Change::UserCreate { user, name: name.clone() });
                }
                survey.lists.count(u64::from(user.0), 1);
                // A mailbox may have been made, and nothing else.
                if let Change::MailboxCreate { mailbox, .. } = change {
                    survey.mailboxes.count(mailbox.key(), 1);
                }
            } else if let Some(mailbox) = mailbox_of_cells(&change) {
                survey.highest_user = survey.highest_user.max(mailbox.user);
                survey.mailboxes.count(mailbox.key(), weight(&change));
            } else {
                if let Some(user) = super::user_of(&change) {
                    survey.highest_user = survey.highest_user.max(user);
                }
                survey.users.push(change);
            }
        }
        Ok(())
    })?;
    Ok(survey)
}

/// How much memory a change takes, in messages.
fn weight(change: &Change) -> usize {
    match change {
        Change::Flags { messages, .. } => messages.len().max(1),
        Change::Expunge { uids, .. } => uids.len().max(1),
        Change::Seen { ranges, .. } => ranges.len().max(1),
        Change::Annotations { messages, .. } => messages
            .iter()
            .map(|(_, entries)| 1 + entries.iter().map(annotations::octets_of).sum::<u64>() as usize / 64)
            .sum::<usize>()
            .max(1),
        Change::MailboxSnapshot(snapshot) => snapshot.cells.len().max(1),
        _ => 1,
    }
}

/// No number of a user that any change mentions is given to another.
pub(super) fn reserve_users(derived: &Derived, survey: &Survey) -> Result<()> {
    derived.catalog.reserve_numbers(survey.highest_user)
}

/// Makes the lists that are missing.
pub(super) fn lists(derived: &Derived, survey: &Survey) -> Result<()> {
    for parts in survey.lists.passes(derived.disk.sizes().rebuild_changes_at_once) {
        let mut found: BTreeMap<UserId, Option<Vec<Change>>> = BTreeMap::new();
        read_all(derived, How::WHOLE, &mut |_, _, frame| {
            for change in frame.changes {
                let Some(user) = list_of(&change).filter(|user| parts.contains(&part(u64::from(user.0))))
                else {
                    continue;
                };
                let wanted = match found.entry(user) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert(is_list_missing(derived, user)?.then(Vec::new))
                    }
                };
                if let Some(changes) = wanted {
                    changes.push(change);
                }
            }
            Ok(())
        })?;
        for (user, changes) in found {
            make_list(derived, user, changes.unwrap_or_default())?;
        }
    }
    Ok(())
}

/// Makes one list from all logs.
pub(super) fn list(derived: &Derived, user: UserId) -> Result<()> {
    let mut changes = Vec::new();
    read_all(derived, How::WHOLE, &mut |_, _, frame| {
        changes.extend(frame.changes.into_iter().filter(|change| list_of(change) == Some(user)));
        Ok(())
    })?;
    make_list(derived, user, changes)
}

fn is_list_missing(derived: &Derived, user: UserId) -> Result<bool> {
    match derived.list(user) {
        Ok(list) => Ok(list.version() == 0),
        Err(StoreError::Corrupt { .. }) => Ok(true),
        // The user was deleted.
        Err(StoreError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn make_list(derived: &Derived, user: UserId, mut changes: Vec<Change>) -> Result<()> {
    let Ok(folder) = derived.user_folder(user) else { return Ok(()) };
    if changes.is_empty() {
        return Ok(());
    }
    changes.sort_by_key(super::list_order);
    let mut list = MailboxList::empty(user);
    changes.iter().for_each(|change| list.apply(change));
    let path = list_path(&folder);
    derived.set_aside(&path)?;
    derived.disk.make_folder(&folder).map_err(StoreError::io(&folder, "make"))?;
    list.write(&derived.disk, &path)
}

/// Which mailboxes are to be made again, as `wanted` says: with which UIDVALIDITY.
pub(super) type Wanted<'a> = &'a dyn Fn(MailboxId) -> Result<Option<u32>>;

/// Puts a mailbox in place as a fold says.
pub(super) type Make<'a> = &'a dyn Fn(&Derived, MailboxId, u32, &Fold) -> Result<()>;

/// Makes mailboxes of all parts that the survey has counted.
pub(super) fn mailboxes(derived: &Derived, survey: &Survey, wanted: Wanted<'_>) -> Result<()> {
    for parts in survey.mailboxes.passes(derived.disk.sizes().rebuild_changes_at_once) {
        mailboxes_of(
            derived,
            &|mailbox| {
                if parts.contains(&part(mailbox.key())) { wanted(mailbox) } else { Ok(None) }
            },
            &make_mailbox,
        )?;
    }
    Ok(())
}

/// Makes mailboxes again, all in one pass over the logs.
pub(super) fn mailboxes_of(derived: &Derived, wanted: Wanted<'_>, make: Make<'_>) -> Result<()> {
    let mut found: BTreeMap<MailboxId, Option<(u32, Fold)>> = BTreeMap::new();
    read_all(derived, How::WHOLE, &mut |_, epoch, frame| {
        for change in &frame.changes {
            let made = match change {
                Change::MailboxCreate { mailbox, .. } => Some(*mailbox),
                change => mailbox_of_cells(change),
            };
            let Some(mailbox) = made else { continue };
            let entry = match found.entry(mailbox) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(wanted(mailbox)?.map(|uid_validity| (uid_validity, Fold::default())))
                }
            };
            if let Some((_, fold)) = entry {
                fold.take(epoch, frame.head.seconds, change);
            }
        }
        Ok(())
    })?;
    for (mailbox, found) in found {
        if let Some((uid_validity, fold)) = found {
            make(derived, mailbox, uid_validity, &fold)?;
        }
    }
    Ok(())
}

/// Puts a mailbox in place as the fold says, with no reference counted.
pub(super) fn make_mailbox(
    derived: &Derived,
    mailbox: MailboxId,
    uid_validity: u32,
    fold: &Fold,
) -> Result<()> {
    let path = derived.cells_path(mailbox)?;
    // The new file takes its place at one stroke: at no moment is the mailbox without one.
    derived.keep_aside(&path)?;
    make_annotations(derived, &path, mailbox, fold)?;
    let mut states = States { derived, page: None };
    Mailbox::create_filled(&derived.disk, &path, mailbox, uid_validity, fold.epoch(), |made| {
        made.reserve(u32::try_from(fold.len()).unwrap_or(u32::MAX))?;
        let mut writer = made.writer()?;
        for (bit, name) in fold.keywords() {
            writer.apply_keyword(bit, name)?;
        }
        let mut settled = fold.last_added();
        for message in fold.messages() {
            match (states.of(message.added.message)?, message.expunged) {
                // Its tombstone was released before the content was given up.
                (CellState::Freed, Some(_)) => continue,
                // A power cut took it before anybody was told of it.
                (CellState::Lost, _) => continue,
                (CellState::Free, None) => {
                    derived.damages.add(&path, 0, "a message of this mailbox is in no log");
                    settled = settled.min(message.added.uid.get() - 1);
                    continue;
                }
                (CellState::Free, Some(_)) => continue,
                _ => (),
            }
            writer.apply_add(&message.added)?;
            if let Some((modseq, seconds)) = message.expunged {
                writer.apply_expunge(message.added.uid, modseq, seconds)?;
            }
        }
        // Every epoch may have skipped from where the logs end, also the last of which they say something: that it skipped need not have got to the
        // disk. The one that is now skips when the mailbox is opened.
        let skips = skips_unsaid(fold.epoch(), derived.epoch);
        let highest_modseq =
            ModSeq(fold.highest_modseq().0.saturating_add(MODSEQS_SKIPPED * u64::from(skips)));
        let uid_next = fold.uid_next().saturating_add(UIDS_SKIPPED.saturating_mul(skips));
        writer.publish(highest_modseq, uid_next);
        // Tombstones of messages that were given up are not made again, and logs that had others may be gone.
        made.raise_expunge_floor(highest_modseq);
        made.raise_settled_uid(settled);
        // They were recent for somebody before.
        made.claim_recent(uid_next - 1);
        Ok(())
    })?;
    make_seen(derived, &path, mailbox, fold)?;
    derived.forget(mailbox);
    Ok(())
}

/// How often numbers were skipped of which logs that end in the epoch `said` know nothing, before the epoch `now`. Logs that say nothing at all leave
/// that to whoever opens the mailbox.
fn skips_unsaid(said: u32, now: u32) -> u32 {
    if said == 0 || said >= now {
        return 0;
    }
    // Nothing was skipped in the first one.
    (now - said - 1 + u32::from(said > 1)).min(SKIPS_MOST)
}

/// Puts in place the annotations, as the fold says, before the cells, whose header says whether there are any. A file of which the logs know nothing is put aside.
fn make_annotations(derived: &Derived, cells: &Path, mailbox: MailboxId, fold: &Fold) -> Result<()> {
    let file = annotations::AnnotationFile::new(&derived.disk, cells, mailbox);
    if fold.annotations().next().is_none() {
        return derived.set_aside(file.path());
    }
    derived.keep_aside(file.path())?;
    file.replace(
        fold.annotations().map(|(uid, reader, modseq, entries)| (uid, reader, modseq, entries.to_vec())),
    )
}

/// Puts in place what readers have seen, as the fold says. Files of which the logs know nothing are put aside.
fn make_seen(derived: &Derived, cells: &Path, mailbox: MailboxId, fold: &Fold) -> Result<()> {
    let known: BTreeSet<UserId> = fold.seen().map(|(reader, _)| reader).collect();
    for reader in seen::readers(&derived.disk, cells)?.iter().filter(|reader| !known.contains(reader)) {
        let path = seen::file::path(cells, *reader);
        let aside = cells.with_file_name(format!("{}{}.damaged", seen::file::NAME, reader.0));
        derived.disk.rename(&path, &aside).map_err(StoreError::io(&path, "put aside"))?;
    }
    for (reader, runs) in fold.seen() {
        seen::file::write(&derived.disk, &seen::file::path(cells, reader), (mailbox, reader), runs)?;
    }
    Ok(())
}

/// Says what became of messages; remembers whether the page asked for last is there.
struct States<'a> {
    derived: &'a Derived,
    page: Option<(PageId, bool)>,
}

impl States<'_> {
    fn of(&mut self, message: MessageId) -> Result<CellState> {
        let is_there = match self.page {
            Some((page, is_there)) if page == message.page => is_there,
            _ => {
                let is_there = self.derived.pages.has_directory(message.page);
                self.page = Some((message.page, is_there));
                is_there
            }
        };
        // A page that is gone was given up altogether, and one that was lost in a power cut before anybody was told of its first message never got a
        // directory: either way no mailbox has a message of it.
        if !is_there {
            return Ok(CellState::Free);
        }
        let directory = self.derived.pages.directory(message.page)?;
        Ok(directory.cell_use(message.index)?.state)
    }
}

/// The UIDVALIDITY of a mailbox that its user's list names; `None` for others and for placeholders.
pub(super) fn named(derived: &Derived, mailbox: MailboxId) -> Result<Option<u32>> {
    match derived.list(mailbox.user) {
        Ok(list) => Ok(list
            .by_number(mailbox.number)
            .filter(|entry| !entry.placeholder)
            .map(|entry| entry.uid_validity)),
        Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the user's list is there.
pub(super) fn is_there(derived: &Derived, user: UserId) -> Result<bool> {
    is_list_missing(derived, user).map(|missing| !missing)
}

/// As `named`, of mailboxes whose cells are missing or cannot be opened.
pub(super) fn named_and_missing(derived: &Derived, mailbox: MailboxId) -> Result<Option<u32>> {
    let Some(uid_validity) = named(derived, mailbox)? else { return Ok(None) };
    match Mailbox::open(&derived.disk, &derived.cells_path(mailbox)?, mailbox) {
        Ok(open) => Ok((open.uid_validity() != uid_validity).then_some(uid_validity)),
        Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => Ok(Some(uid_validity)),
        Err(error) => Err(error),
    }
}

/// Lists and mailboxes agree: every name has its cells, every user with a list is found, and what no list names is marked as deleted.
pub(super) fn agree(derived: &Derived) -> Result<()> {
    let seconds = derived.now();
    for (user, name) in derived.catalog.users()? {
        let list = derived.list(user)?;
        if list.version() == 0 {
            continue;
        }
        derived.catalog.apply_name(user, &name)?;
        let mut named_here = BTreeSet::new();
        for entry in list.entries().iter().filter(|entry| !entry.placeholder) {
            let mailbox = MailboxId { user, number: entry.number };
            named_here.insert(entry.number);
            if let Some(uid_validity) = named_and_missing(derived, mailbox)? {
                // No log says anything of it. Epoch 0 has UIDs skipped that may have been seen.
                let path = derived.cells_path(mailbox)?;
                derived.set_aside(&path)?;
                Mailbox::create(&derived.disk, &path, mailbox, uid_validity, 0)?;
                derived.forget(mailbox);
            }
        }
        for number in mailbox_folders(derived, &derived.user_folder(user)?)? {
            let mailbox = MailboxId { user, number };
            if named_here.contains(&number) {
                continue;
            }
            let open = match derived.mailbox(mailbox) {
                Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => continue,
                open => open?,
            };
            if !open.is_deleted()? {
                let mut writer = open.writer()?;
                writer.mark_deleted(seconds);
                writer.publish(open.highest_modseq()?, open.uid_next()?);
            }
            derived.forget(mailbox);
        }
    }
    Ok(())
}

/// The numbers of the mailboxes that have folders in a user's.
fn mailbox_folders(derived: &Derived, folder: &std::path::Path) -> Result<Vec<u32>> {
    match derived.disk.read_dir(folder) {
        Ok(entries) => Ok(entries
            .iter()
            .filter(|entry| entry.is_dir)
            .filter_map(|entry| entry.name.strip_prefix('m')?.parse().ok())
            .collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::io(folder, "read")(error)),
    }
}

/// Counts the references of all directories anew. With the store to itself.
pub(super) fn recount(derived: &Derived) -> Result<()> {
    let mut pages = BTreeSet::new();
    for page in derived.pages.all()? {
        if !derived.pages.has_directory(page) {
            continue;
        }
        let directory = derived.pages.directory(page)?;
        for index in 0..directory.given_out()? {
            directory.begin_recount(index)?;
            directory.end_recount(index, 0)?;
        }
        pages.insert(page);
    }
    // A cell that cannot be read may hold any message: counts may be too low then, and nothing is freed.
    let mut certain = true;
    let next = derived.catalog.next_user()?.0;
    for user in (1..next).map(UserId) {
        let folder = match derived.user_folder(user) {
            Err(StoreError::NotFound(_)) => match derived.catalog.folder_put_away(user)? {
                Some(folder) => folder,
                None => continue,
            },
            folder => folder?,
        };
        for number in mailbox_folders(derived, &folder)? {
            let path = cells_path(&folder, number);
            match Mailbox::open(&derived.disk, &path, MailboxId { user, number }) {
                Ok(open) => match open.is_released() {
                    Ok(true) => (),
                    Ok(false) => certain &= count_cells(derived, &open, &pages)?,
                    Err(StoreError::Corrupt { .. }) => certain = false,
                    Err(error) => return Err(error),
                },
                Err(StoreError::NotFound(_)) => (),
                Err(StoreError::Corrupt { .. }) => certain = false,
                Err(error) => return Err(error),
            }
        }
    }
    for page in pages {
        derived.pages.directory(page)?.set_recounted_epoch(if certain { derived.epoch } else { 0 })?;
    }
    Ok(())
}

/// Counts what the cells of one mailbox hold. False if some cannot be read.
fn count_cells(derived: &Derived, open: &Mailbox, pages: &BTreeSet<PageId>) -> Result<bool> {
    // A deleted mailbox is not made again, and what it has lost held nothing that anybody sees.
    let mut certain = !open.has_lost_cells() || open.is_deleted()?;
    let cells = match open.cells() {
        Err(StoreError::Corrupt { .. }) => return Ok(false),
        cells => cells?,
    };
    for index in (0..cells.count()).map(CellIndex) {
        let Ok(cell) = cells.cell(index) else {
            certain = false;
            continue;
        };
        if cell.holds_reference() && pages.contains(&cell.message.page) {
            match derived.pages.directory(cell.message.page)?.add_reference(cell.message.index) {
                Err(StoreError::Gone(_)) => (),
                added => added?,
            }
        }
    }
    Ok(certain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_cover_all_that_there_is_and_are_no_bigger_than_must_be() {
        let mut weights = Weights::new();
        assert_eq!(weights.passes(10), []);
        for (key, changes) in [(1, 4), (2, 5), (3, 6), (4, 30), (5, 1), (6, 1)] {
            weights.count(key, changes);
        }
        let passes = weights.passes(10);
        let sums: Vec<u64> = passes.iter().map(|parts| weights.0[parts.clone()].iter().sum()).collect();
        assert_eq!(sums.iter().sum::<u64>(), 47);
        assert!(sums.iter().filter(|sum| **sum > 10).count() == 1, "{sums:?}");
        assert!(passes.windows(2).all(|two| two[0].end == two[1].start));
    }

    #[test]
    fn each_epoch_that_the_logs_do_not_tell_of_has_skipped() {
        // The first one skipped nothing, and the one that is now skips when the mailbox is opened.
        assert_eq!([1, 2, 3, 4].map(|now| skips_unsaid(1, now)), [0, 0, 1, 2]);
        // What the second one skipped need not be in the logs, though they tell of changes in it.
        assert_eq!([2, 3, 4].map(|now| skips_unsaid(2, now)), [0, 1, 2]);
        assert_eq!(skips_unsaid(0, 9), 0);
        assert_eq!(skips_unsaid(1, u32::MAX), SKIPS_MOST);
    }
}
