//! The logs of a page, each from its head to its end: heads, changes, content, and what they say beside the directory and the cells.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Check, Fault, FaultKind, Mend, Target, What};
use crate::change::{Added, Change};
use crate::checkpoint::Checkpoint;
use crate::error::StoreError;
use crate::ids::{MailboxId, MessageId, PageId};
use crate::locks::LockKey;
use crate::log::frame::LOG_HEAD_BYTES;
use crate::log::logs::{log_path, logs_of_page};
use crate::log::reader::{Frame, LogReader, Search, Step};
use crate::log::{LogKind, LogName};
use crate::page::PageFile;
use crate::page::directory::{CellState, Directory};

/// Octets of all logs and directories.
pub(super) fn lengths(check: &Check<'_>, len: &dyn Fn(&Path) -> u64) -> u64 {
    let pages = check.store.pages.all().unwrap_or_default();
    let of_page = |page: PageId| -> u64 {
        let root = check.store.pages.root();
        let logs = logs_of_page(&check.store.derived.disk, root, page).unwrap_or_default();
        logs.into_iter().map(|name| len(&log_path(root, name))).sum()
    };
    pages.into_iter().map(of_page).sum()
}

/// All logs of a page.
pub(super) fn page(check: &Check<'_>, page: PageId) {
    let root = check.store.pages.root();
    let Ok(logs) = logs_of_page(&check.store.derived.disk, root, page) else { return };
    // A bit for each message that a frame was met of.
    let given_out = match check.store.pages.has_directory(page) {
        true => check.store.pages.directory(page).and_then(|directory| directory.given_out()).unwrap_or(0),
        false => 0,
    };
    let met: Vec<AtomicU64> = (0..given_out.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
    check.for_each(&logs, |name| log(check, *name, &met));
    if given_out > 0 {
        not_met(check, page, given_out, &met);
    }
}

fn log(check: &Check<'_>, name: LogName, met: &[AtomicU64]) {
    check.count(What::Logs, 1);
    let store = check.store;
    let path = log_path(store.pages.root(), name);
    let add = |offset: u64, expected: &str, found: &str, meaning: &str| {
        let fault = Fault::new(FaultKind::Log, &path, offset).that(expected, found);
        check.add(fault.means(meaning, Mend::Never));
    };
    let reader = match LogReader::open(&store.derived.disk, &path, name) {
        Ok(Some(reader)) => reader,
        Ok(None) => return,
        Err(error) => {
            let meaning = "what is in this log cannot be made again from it";
            return check.add_error(FaultKind::Log, &path, &error, meaning, Mend::Never);
        }
    };
    if let Some(what) = reader.head_damage() {
        add(0, "the head of the log", what, "it is read by its first frame; no more is appended to it");
    } else if reader.head().epoch > store.derived.epoch {
        let found = format!("epoch {}", reader.head().epoch);
        add(
            28,
            &format!("an epoch up to {}", store.derived.epoch),
            &found,
            "the store was put back to an older state",
        );
    }
    let mut offset = LOG_HEAD_BYTES;
    let mut told = 0;
    loop {
        match reader.step(offset, Search::UptoZeros, false) {
            Ok(Step::Frame(frame)) => {
                check.count(What::Frames, 1);
                told += frame.end() - offset;
                offset = frame.end();
                one_frame(check, &reader, name, &frame, met);
            }
            Ok(Step::Damage { next, what }) => {
                // A bucket may be rewritten and unlinked meanwhile; a frame may have been appended just now.
                if store.derived.disk.exists(&path)
                    && matches!(reader.step(offset, Search::UptoZeros, false), Ok(Step::Damage { .. }))
                {
                    let meaning =
                        format!("changes in the octets up to {next} cannot be made again from the logs");
                    add(offset, "a whole frame", what, &meaning);
                }
                offset = next;
            }
            Ok(Step::End) => break,
            Err(error) => {
                if store.derived.disk.exists(&path) {
                    check.add_error(
                        FaultKind::Log,
                        &path,
                        &error,
                        "the rest of the log is not known",
                        Mend::Never,
                    );
                }
                break;
            }
        }
        if told > 4 << 20 {
            check.count(What::Octets, std::mem::take(&mut told));
        }
    }
    check.count(What::Octets, told);
    let position = Checkpoint::read(&store.derived.disk, &store.path().join("p0"), name.writer)
        .ok()
        .and_then(|checkpoint| checkpoint.position(name));
    if position.is_some_and(|position| position > offset) && store.derived.disk.exists(&path) {
        let expected = format!("frames up to {}, which the checkpoint names", position.unwrap_or(0));
        add(offset, &expected, "the end of the log", "changes cannot be made again from the logs");
    }
}

fn one_frame(check: &Check<'_>, reader: &LogReader, name: LogName, frame: &Frame, met: &[AtomicU64]) {
    if frame.head.is_void() {
        let fault = Fault::new(FaultKind::Log, reader.path(), frame.offset);
        let fault = fault.that("frames", "what a power cut left of some");
        check.add(fault.means("nobody was told that they were durable", Mend::NotNeeded).note());
    }
    let mut own = None;
    if let Some(Change::Message { index, header_size }) = frame.changes.first() {
        let message = MessageId { page: name.page, index: *index };
        own = Some(message);
        if let Some(word) = met.get(*index as usize / 64) {
            word.fetch_or(1 << (index % 64), Ordering::Relaxed);
        }
        of_message(check, reader, name, frame, message, *header_size);
    }
    for change in &frame.changes {
        if let Change::Add { mailbox, added } = change {
            of_add(check, reader, frame, *mailbox, added, own);
        }
    }
}

/// A frame that holds a message, beside the directory, and its content.
fn of_message(
    check: &Check<'_>,
    reader: &LogReader,
    name: LogName,
    frame: &Frame,
    message: MessageId,
    header_size: u32,
) {
    let store = check.store;
    let there = || store.pages.directory(message.page)?.place_and_state(message.index);
    let Ok(Some((place, state))) = there() else { return };
    let is_here =
        (place.writer, place.bucket, place.frame_offset) == (name.writer, name.number, frame.offset);
    if !is_here || state != CellState::InUse {
        // Moved to another bucket, or freed; what is in use and has no frame is told at the end of the page.
        return;
    }
    let of_frame = (frame.head.content_len, frame.head.content_hash, header_size);
    if (place.content_len, place.content_hash, place.header_size) != of_frame {
        let path = store.pages.folder(message.page).join("directory");
        let fault = Fault::new(FaultKind::Directory, &path, Directory::offset_of(message.index));
        let fault = fault
            .that(format!("{of_frame:?}: length, hash and header size of the frame"), format!("{place:?}"));
        check.add(fault.means("the message cannot be read", Mend::FromLogs).about(Target::Message(message)));
        return;
    }
    if !check.options.verify_content || matches!(reader.content_is_whole(frame), Ok(true)) {
        return;
    }
    // It may have been freed, or moved, meanwhile.
    if there().is_ok_and(|now| now == Some((place, state)))
        && !matches!(reader.content_is_whole(frame), Ok(true))
    {
        let fault =
            Fault::new(FaultKind::Content, reader.path(), frame.offset + crate::log::frame::FRAME_HEAD_BYTES);
        let fault = fault.that("octets with the content hash of the frame", "others");
        let fault = fault.means("parts of this message are lost", Mend::Never);
        check.add(fault.about(Target::Message(message)));
    }
}

/// An addition to a mailbox, beside its cell.
fn of_add(
    check: &Check<'_>,
    reader: &LogReader,
    frame: &Frame,
    mailbox: MailboxId,
    added: &Added,
    own: Option<MessageId>,
) {
    let store = check.store;
    // A power cut took the message before anybody was told of it: its content did not come to the disk, though this frame did. Or it was freed, and
    // its tombstone was not made again with the mailbox.
    let is_lost = |message: MessageId| -> Result<bool, StoreError> {
        let directory = match store.pages.has_directory(message.page) {
            true => store.pages.directory(message.page)?,
            false => return Ok(false),
        };
        Ok(matches!(directory.cell_use(message.index)?.state, CellState::Lost | CellState::Freed))
    };
    let is_wrong = || -> Result<Option<String>, StoreError> {
        let open = store.mailbox(mailbox)?;
        // What a later snapshot or a rewriting of the mailbox forgot is not missed.
        if added.uid.get() <= open.settled_uid()? || added.uid.get() >= open.uid_next()? {
            return Ok(None);
        }
        let cells = open.cells()?;
        let Ok(index) = cells.find_uid(added.uid)? else {
            return Ok((!is_lost(added.message)?).then(|| "no cell".to_string()));
        };
        let cell = cells.cell(index)?;
        let is_this =
            (cell.message, cell.size, cell.internal_date) == (added.message, added.size, added.internal_date);
        Ok((!is_this).then(|| "a cell of another message".to_string()))
    };
    let Ok(Some(_)) = is_wrong() else { return };
    let Ok(_held) = store.take(&[LockKey::Mailbox(mailbox)]) else { return };
    if let Ok(Some(found)) = is_wrong() {
        let of = if own == Some(added.message) { "this frame's message" } else { "a message" };
        let expected = format!("{of} in its mailbox");
        let fault = Fault::new(FaultKind::Cells, reader.path(), frame.offset).that(expected, found);
        let fault = fault.means("a message is missing there", Mend::FromLogs).about(Target::Mailbox(mailbox));
        check.add(fault.of_mail(check.affected(mailbox, Some(added.uid.get()))));
    }
}

/// Messages that are in use and that no frame was met of.
fn not_met(check: &Check<'_>, page: PageId, given_out: u32, met: &[AtomicU64]) {
    let store = check.store;
    let Ok(directory) = store.pages.directory(page) else { return };
    for index in 0..given_out {
        let is_met = met[index as usize / 64].load(Ordering::Relaxed) >> (index % 64) & 1 == 1;
        if is_met {
            continue;
        }
        let Ok(Some(place)) = directory.place(index) else { continue };
        // Delivered, or moved, after its log was read: it is looked for where it is said to be.
        let name = LogName { page, kind: LogKind::Bucket, writer: place.writer, number: place.bucket };
        let path = store.pages.path(PageFile::Bucket { page, writer: place.writer, number: place.bucket });
        let frame = LogReader::open(&store.derived.disk, &path, name)
            .and_then(|reader| reader.map_or(Ok(None), |reader| reader.frame_at(place.frame_offset)));
        let is_there = frame.is_ok_and(|frame| {
            frame.is_some_and(|frame| {
                matches!(frame.changes.first(), Some(Change::Message { index: there, .. }) if *there == index)
            })
        });
        if !is_there && directory.place(index).is_ok_and(|now| now == Some(place)) {
            let message = MessageId { page, index };
            let fault = Fault::new(FaultKind::Log, &path, place.frame_offset);
            let fault = fault.that(format!("the frame of message {index}"), "none that is whole");
            let meaning =
                "the message can be read, but neither its place nor its mailboxes can be made again";
            check.add(fault.means(meaning, Mend::Never).about(Target::Message(message)));
        }
    }
}

/// The checkpoints of all writers.
pub(super) fn checkpoints(check: &Check<'_>) {
    let store = check.store;
    let partition = store.path().join("p0");
    for entry in store.derived.disk.read_dir(&partition).unwrap_or_default() {
        let Some(writer) = entry.name.strip_prefix("checkpoint.").and_then(|number| number.parse().ok())
        else {
            continue;
        };
        let path = partition.join(&entry.name);
        if store.derived.disk.read(&path).is_ok_and(|bytes| Checkpoint::parse(&bytes, writer).is_none()) {
            let fault = Fault::new(FaultKind::Checkpoint, &path, 0);
            let fault = fault.that("a checkpoint and its checksum", "other octets");
            check.add(
                fault.means("all logs of this writer are read when the store is opened", Mend::FromViews),
            );
        }
    }
}
