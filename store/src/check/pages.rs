//! The directory of a page, cell by cell, and the records that it points to.

use super::{Check, Fault, FaultKind, Mend, Target, What};
use crate::content::blocks::split_sums;
use crate::ids::{MessageId, PageId};
use crate::page::directory::{CellState, Directory};

pub(super) fn check(check: &Check<'_>, page: PageId) {
    let store = check.store;
    if !store.pages.has_directory(page) {
        return;
    }
    let path = store.pages.folder(page).join("directory");
    let directory = store.pages.directory(page);
    let given_out = directory.as_ref().map_or(Ok(0), |directory| directory.given_out());
    let (directory, given_out) = match (directory, given_out) {
        (Ok(directory), Ok(given_out)) => (directory, given_out),
        (Err(error), _) | (_, Err(error)) => {
            if let Some(fault) = Fault::of_error(FaultKind::Directory, &path, &error) {
                let meaning = "messages of this day cannot be read, or no more be stored";
                check.add(fault.means(meaning, Mend::FromLogs).about(Target::Page(page)));
            }
            return;
        }
    };
    if let Err(error) = directory.check_numbers()
        && let Some(fault) = Fault::of_error(FaultKind::Directory, &path, &error)
    {
        let fault = fault.means("messages of this day are counted before any is freed", Mend::FromViews);
        check.add(fault.about(Target::Page(page)));
    }
    let blocks: Vec<u32> = (0..given_out.div_ceil(1024)).collect();
    check.for_each(&blocks, |block| {
        for index in block * 1024..((block + 1) * 1024).min(given_out) {
            one(check, &directory, MessageId { page, index }, &path);
        }
    });
    check.count(What::Messages, u64::from(given_out));
    check.count(What::Octets, u64::from(given_out) * 64);
}

fn one(check: &Check<'_>, directory: &Directory, message: MessageId, path: &std::path::Path) {
    let there = directory.cell_use(message.index).and_then(|now| match now.state {
        CellState::InUse | CellState::Freed => directory.place_and_state(message.index),
        CellState::Free | CellState::Lost => Ok(None),
    });
    let place = match there {
        Ok(Some((place, CellState::InUse))) => place,
        Ok(_) => return,
        Err(_) => {
            // A cell is filled word by word before it says that it is in use; a place changes in one exchange.
            check.store.derived.disk.pause_ms(2);
            let again =
                directory.cell_use(message.index).and_then(|_| directory.place_and_state(message.index));
            if let Err(error) = again
                && let Some(fault) = Fault::of_error(FaultKind::Directory, path, &error)
            {
                check.add(
                    fault.means("the message cannot be read", Mend::FromLogs).about(Target::Message(message)),
                );
            }
            return;
        }
    };
    let record = || -> Result<(), &'static str> {
        let Ok(Some(record)) = directory.record(message.index) else { return Ok(()) };
        let stored = check.store.stored_record(message.page, &record).ok_or("none with that checksum")?;
        let (record, _) = split_sums(&stored, place.content_len).ok_or("one without checksums of blocks")?;
        match message::Record::parse(record) {
            Ok(facts) if facts.size() == place.content_len => Ok(()),
            Ok(_) => Err("one of a message of another size"),
            Err(_) => Err("one that cannot be read"),
        }
    };
    if let Err(found) = record()
        && record().is_err()
        && directory.place(message.index).is_ok_and(|now| now.is_some())
    {
        let fault = Fault::new(FaultKind::Record, path, Directory::offset_of(message.index) + 32);
        let fault = fault.that("a record of the message", found);
        let fault = fault.means("the message is read once more when its record is wanted", Mend::FromContent);
        // Every power cut may take some.
        check.add(fault.about(Target::Message(message)).note());
    }
}
