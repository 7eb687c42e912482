//! How often each message is held, beside the counts of the directories.
//!
//! A count is never below what the cells hold at any moment. It may move while the cells are gone through, so a message whose count seems
//! too low is counted again, and is reported only if its count was the same before and after, several times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Check, Fault, FaultKind, Mend, Target};
use crate::date::page_name;
use crate::error::Result;
use crate::gc::walk::Found;
use crate::ids::{CellIndex, MessageId, PageId};
use crate::mailbox::Mailbox;
use crate::page::directory::{CellState, Directory};

/// Messages that are counted in one go: 128 MiB of numbers.
const MESSAGES_MOST: u64 = 32 << 20;
/// So often a count that seems wrong is made sure of.
const LOOKS: u32 = 3;
/// Messages that are made sure of.
const SUSPECTS_MOST: usize = 100_000;

type Counted = BTreeMap<PageId, (Arc<Directory>, Vec<AtomicU32>)>;

/// A mailbox that was found, whatever became of it since.
pub(super) fn open(check: &Check<'_>, found: &Found) -> Result<Arc<Mailbox>> {
    match check.store.mailbox(found.id) {
        Err(crate::StoreError::NotFound(_)) => {
            let held = check.store.take(&[crate::locks::LockKey::Mailbox(found.id)])?;
            let open = crate::gc::walk::open_held(check.store, found, &held)?;
            open.ok_or(crate::StoreError::NotFound("mailbox"))
        }
        open => open,
    }
}

pub(super) fn check(check: &Check<'_>, mailboxes: &[Found]) -> Result<()> {
    let mut pages = check.store.pages.all()?;
    pages.retain(|page| check.store.pages.has_directory(*page));
    while !pages.is_empty() {
        let mut counted = Counted::new();
        let mut messages = 0;
        while let Some(page) = pages.last().copied() {
            let directory = check.store.pages.directory(page);
            // What is damaged is told with the directory.
            if let Ok((directory, given_out)) =
                directory.and_then(|directory| directory.given_out().map(|given_out| (directory, given_out)))
            {
                messages += u64::from(given_out);
                if messages > MESSAGES_MOST && !counted.is_empty() {
                    break;
                }
                counted.insert(page, (directory, zeros(given_out as usize)));
            }
            pages.pop();
        }
        check.for_each(mailboxes, |found| count(check, found, &counted));
        compare(check, mailboxes, &counted);
    }
    Ok(())
}

fn count(check: &Check<'_>, found: &Found, counted: &Counted) {
    let Ok(open) = open(check, found) else { return };
    if open.is_released().unwrap_or(true) {
        return;
    }
    let Ok(cells) = open.cells() else { return };
    for index in (0..cells.count()).map(CellIndex) {
        let Ok(cell) = cells.cell(index) else { continue };
        if cell.holds_reference()
            && let Some((_, numbers)) = counted.get(&cell.message.page)
            && let Some(number) = numbers.get(cell.message.index as usize)
        {
            number.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn compare(check: &Check<'_>, mailboxes: &[Found], counted: &Counted) {
    let mut suspects: BTreeMap<MessageId, u32> = BTreeMap::new();
    for (page, (directory, numbers)) in counted {
        for (index, number) in (0..).zip(numbers) {
            let held = number.load(Ordering::Relaxed);
            let Ok(now) = directory.cell_use(index) else { continue };
            let is_wrong = match now.state {
                CellState::InUse => now.references != held,
                CellState::Free | CellState::Lost | CellState::Freed => false,
            };
            if is_wrong && suspects.len() < SUSPECTS_MOST {
                suspects.insert(MessageId { page: *page, index }, now.references);
            }
        }
    }
    let references = |message: &MessageId| {
        let (directory, _) = counted.get(&message.page)?;
        let now = directory.cell_use(message.index).ok()?;
        (now.state == CellState::InUse).then_some(now.references)
    };
    let mut again = Counted::new();
    for _ in 0..LOOKS {
        suspects.retain(|message, before| references(message) == Some(*before));
        if suspects.is_empty() {
            return;
        }
        again = suspects
            .keys()
            .filter_map(|message| counted.get_key_value(&message.page))
            .map(|(page, (directory, numbers))| (*page, (Arc::clone(directory), zeros(numbers.len()))))
            .collect();
        check.for_each(mailboxes, |found| count(check, found, &again));
        suspects.retain(|message, before| {
            references(message) == Some(*before) && held(&again, message) != *before
        });
    }
    tell(check, &suspects, &again);
}

fn zeros(count: usize) -> Vec<AtomicU32> {
    (0..count).map(|_| AtomicU32::new(0)).collect()
}

fn held(counted: &Counted, message: &MessageId) -> u32 {
    let number = counted.get(&message.page).and_then(|(_, numbers)| numbers.get(message.index as usize));
    number.map_or(0, |number| number.load(Ordering::Relaxed))
}

/// Tells of those that are wrong for good.
fn tell(check: &Check<'_>, suspects: &BTreeMap<MessageId, u32>, counted: &Counted) {
    for (message, references) in suspects {
        let Some((directory, _)) = counted.get(&message.page) else { continue };
        let held = held(counted, message);
        let path = check.store.pages.folder(message.page).join("directory");
        let fault = Fault::new(FaultKind::References, &path, Directory::offset_of(message.index));
        let fault = fault
            .that(format!("a count of {held}"), format!("{references}"))
            .about(Target::Message(*message));
        if !directory.recounted_epoch().is_ok_and(|epoch| epoch >= check.store.derived.epoch) {
            let meaning = "a power cut came: the page is counted before anything in it is freed";
            check.add(fault.means(meaning, Mend::FromViews).note());
        } else if *references < held {
            let page = page_name(message.page);
            let meaning =
                format!("the message {} of {page} may be freed while mailboxes hold it", message.index);
            check.add(fault.means(meaning, Mend::FromViews));
        } else if *references > held {
            let octets = directory.place(message.index).ok().flatten().map_or(0, |place| place.content_len);
            let kept = if held == 0 { octets } else { 0 };
            check.lock().octets_held_too_long += kept;
            let meaning = format!("{kept} octets are not given back until the page is counted");
            check.add(fault.means(meaning, Mend::FromViews).note());
        }
    }
}
