//! One mailbox: its header, summaries and cells beside each other, and its messages' directory cells.

use super::{Check, Fault, FaultKind, Mend, Target, What, counts};
use crate::error::StoreError;
use crate::gc::walk::Found;
use crate::ids::CellIndex;
use crate::locks::LockKey;
use crate::mailbox::{Cell, Cells, Mailbox};
use crate::page::directory::CellState;
use crate::quota::usage::{ROWS_MOST, usage_of};

/// Faults of one mailbox that are told one by one.
const FAULTS_MOST: usize = 200;

/// Without a lock first. What is wrong then may be a change under way, so it is looked at again under the lock.
pub(super) fn check(check: &Check<'_>, found: &Found) {
    check.count(What::Mailboxes, 1);
    let open = match counts::open(check, found) {
        Ok(open) => open,
        Err(error) => {
            if let Some(fault) = Fault::of_error(FaultKind::Cells, &found.cells, &error) {
                let fault = fault.means("the mailbox cannot be opened", Mend::FromLogs);
                check.add(fault.about(Target::Mailbox(found.id)).of_mail(check.affected(found.id, None)));
            }
            return;
        }
    };
    let mut faults = Vec::new();
    examine(check, found, &open, &mut faults);
    if !faults.is_empty() {
        let Ok(held) = check.store.take(&[LockKey::Mailbox(found.id)]) else { return };
        faults.clear();
        if let Ok(Some(open)) = crate::gc::walk::open_held(check.store, found, &held) {
            examine(check, found, &open, &mut faults);
        }
    }
    faults.into_iter().for_each(|fault| check.add(fault));
    let cells = open.cell_count().unwrap_or(0);
    check.count(What::Cells, u64::from(cells));
    check.count(What::Octets, open.octets());
}

fn examine(check: &Check<'_>, found: &Found, open: &Mailbox, faults: &mut Vec<Fault>) {
    let add_error = |faults: &mut Vec<Fault>, error: &StoreError, uid: Option<u32>, meaning: &str| {
        if let Some(fault) = Fault::of_error(FaultKind::Cells, open.path(), error) {
            let fault = fault.means(meaning, Mend::FromLogs).about(Target::Mailbox(found.id));
            faults.push(fault.of_mail(check.affected(found.id, uid)));
        }
    };
    let (cells, status) = match open.cells().and_then(|cells| Ok((cells, open.status()?))) {
        Ok(whole) => whole,
        Err(error) => return add_error(faults, &error, None, "the mailbox cannot be read"),
    };
    if let Err(error) = open.keywords().and_then(|_| open.is_deleted()) {
        add_error(faults, &error, None, "names of keywords or flags of the mailbox cannot be read");
    }
    if !open.is_first_recent_uid_whole() {
        let fault = Fault::new(FaultKind::Counts, open.path(), open.first_recent_offset());
        let fault = fault
            .that("a number and its complement", "others")
            .means("all messages are \\Recent", Mend::FromViews);
        faults.push(fault.about(Target::Mailbox(found.id)));
    }
    let is_released = open.is_released().unwrap_or(false);
    let is_dead = found.user_is_deleted || open.is_deleted().unwrap_or(false);
    let mut last_uid = 0;
    for index in (0..cells.count()).map(CellIndex) {
        if faults.len() >= FAULTS_MOST {
            return;
        }
        let cell = match cells.cell(index) {
            Ok(cell) => cell,
            Err(error) => {
                let uid = cells.perhaps_uid(index).map(|uid| uid.get());
                add_error(faults, &error, uid, "the message cannot be read in this mailbox");
                continue;
            }
        };
        let mut wrong = |expected: String, what: String, kind, target, mend| {
            let fault = Fault::new(kind, open.path(), cells.offset_of(index)).that(expected, what);
            let fault = fault.means("the message cannot be trusted in this mailbox", mend).about(target);
            faults.push(fault.of_mail(check.affected(found.id, Some(cell.uid.get()))));
        };
        let mailbox = Target::Mailbox(found.id);
        if cell.uid.get() <= last_uid || cell.uid.get() >= status.uid_next {
            let expected = format!("a UID above {last_uid} and below {}", status.uid_next);
            wrong(expected, cell.uid.to_string(), FaultKind::Cells, mailbox, Mend::FromLogs);
        }
        last_uid = last_uid.max(cell.uid.get());
        if cell.modseq > status.highest_modseq {
            let expected = format!("a modseq up to {}", status.highest_modseq.0);
            wrong(expected, cell.modseq.0.to_string(), FaultKind::Cells, mailbox, Mend::FromLogs);
        }
        if cell.holds_reference() && !is_released {
            beside_directory(check, &cell, is_dead || cell.expunged, &mut wrong);
        }
    }
    seen(check, found, open, faults);
    annotations(found, open, faults);
    summaries(found, open, &cells, faults);
    usage(check, found, open, faults);
}

/// A cell that holds its message, beside the directory. One that `is_gone` is shown to nobody: of a time before a power cut, it may say that it
/// holds a message that was freed, or lost.
fn beside_directory(
    check: &Check<'_>,
    cell: &Cell,
    is_gone: bool,
    wrong: &mut dyn FnMut(String, String, FaultKind, Target, Mend),
) {
    let message = cell.message;
    let target = Target::Message(message);
    let mut missing = |what: &str| {
        let expected = format!(
            "a message at {} in the directory of {}",
            message.index,
            crate::date::page_name(message.page)
        );
        wrong(expected, what.to_string(), FaultKind::Directory, target, Mend::FromLogs);
    };
    if !check.store.pages.has_directory(message.page) {
        return missing("no directory");
    }
    let there = check.store.pages.directory(message.page).and_then(|directory| {
        let state = directory.cell_use(message.index)?.state;
        Ok((directory.given_out()?, state, directory.place_and_state(message.index)?))
    });
    match there {
        Ok((given_out, ..)) if message.index >= given_out => missing("an index that was not given out"),
        Ok((_, CellState::Lost, _)) if is_gone => (),
        Ok((_, _, None)) => missing("a cell that is not in use"),
        Ok((_, _, Some((_, CellState::Freed)))) if !is_gone => missing("a message that was freed"),
        Ok((_, _, Some((place, _)))) if place.content_len != u64::from(cell.size) => {
            missing(&format!("one of {} octets instead of {}", place.content_len, cell.size));
        }
        // A damaged directory cell is told with the directory.
        Ok(_) | Err(_) => (),
    }
}

/// What readers who are not the owner have seen.
fn seen(check: &Check<'_>, found: &Found, open: &Mailbox, faults: &mut Vec<Fault>) {
    let disk = &check.store.derived.disk;
    let readers = crate::seen::readers(disk, open.path()).unwrap_or_default();
    for reader in readers.into_iter().filter(|_| !found.user_is_deleted) {
        let key = (found.id, reader);
        let Err(error) = crate::seen::CachedSeen::new(disk, open.path(), key).get() else { continue };
        if let Some(fault) =
            Fault::of_error(FaultKind::Cells, &crate::seen::file::path(open.path(), reader), &error)
        {
            let fault = fault.means("a reader cannot open the mailbox of another user", Mend::FromLogs);
            faults.push(fault.about(Target::Mailbox(found.id)));
        }
    }
}

/// The annotations of messages.
fn annotations(found: &Found, open: &Mailbox, faults: &mut Vec<Fault>) {
    if found.user_is_deleted || !open.is_annotated().unwrap_or(false) {
        return;
    }
    let file = open.annotation_file();
    let Err(error) = file.verify() else { return };
    if let Some(fault) = Fault::of_error(FaultKind::Cells, file.path(), &error) {
        let fault = fault.means("annotations of messages cannot be read", Mend::FromLogs);
        faults.push(fault.about(Target::Mailbox(found.id)));
    }
}

/// Summaries and counts, beside the cells.
fn summaries(found: &Found, open: &Mailbox, cells: &Cells, faults: &mut Vec<Fault>) {
    for (offset, expected, what) in open.wrong_counts(cells) {
        let fault = Fault::new(FaultKind::Counts, open.path(), offset).that(expected, what);
        let fault = fault.means(
            "flags and numbers of messages are told from the cells instead, or wrongly",
            Mend::FromViews,
        );
        faults.push(fault.about(Target::Mailbox(found.id)));
    }
}

/// The usage view.
fn usage(check: &Check<'_>, found: &Found, open: &Mailbox, faults: &mut Vec<Fault>) {
    if found.user_is_deleted || found.id.number >= ROWS_MOST || !open.is_usage_kept().unwrap_or(false) {
        return;
    }
    let Ok(folder) = check.store.derived.user_folder(found.id.user) else { return };
    let Ok(Some(file)) = check.store.derived.usages.find(found.id.user, &folder) else { return };
    // A row that does not count is made again by whoever needs it.
    if let (Some(row), Ok(usage)) = (file.read(found.id.number), usage_of(open))
        && row != usage
    {
        let fault = Fault::new(FaultKind::Counts, &folder.join(crate::quota::usage::FILE_NAME), 0);
        let fault = fault.that(format!("{usage:?} for mailbox {}", found.id.number), format!("{row:?}"));
        let fault = fault.means("quota counts too much or too little", Mend::FromViews);
        faults.push(fault.about(Target::Mailbox(found.id)));
    }
}
