//! Buckets of ended days: those whose messages are all freed are unlinked, thin ones are written anew with what is still held.
//! One into which a message may still be on its way stays as it is.
//!
//! What is dropped with a frame are the Adds of a message that was freed: each of its cells was released, because an Expunge or the end of
//! the mailbox is durable, so a rebuild without them makes the same mailboxes. Names of keywords and what readers have seen are carried over; a bucket with a frame
//! that says anything else is left as it is.
//!
//! Order of rewriting: the new bucket with all frames, under a name that is no log's, synced; then its own name, and that synced; each message's place, by one
//! exchange; the directory synced; the old bucket unlinked. So what a power cut has torn is never taken for a log: recovery does not go through those of ended days.
//! A process that dies in between leaves a file that is no log, or two buckets with the same message: the directory says which one is read, the other is dead.
//! Both go with the next pass.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3Default;

use crate::change::{Change, codec};
use crate::derived::Source;
use crate::error::{Result, StoreError};
use crate::gc::free::Checkpoints;
use crate::gc::gate::Gate;
use crate::gc::report::{GcOptions, GcReport};
use crate::ids::{MessageId, PageId};
use crate::log::frame::LOG_HEAD_BYTES;
use crate::log::logs::{log_path, logs_of_page};
use crate::log::reader::Frame;
use crate::log::{FrameHead, LogFile, LogKind, LogName, LogReader};
use crate::page::directory::{CellState, Directory, MessagePlace};
use crate::store::Store;

const GATE_WAIT_MOST: Duration = Duration::from_secs(5);
/// Content is copied in steps of this.
const COPY_STEP_BYTES: u64 = 128 * 1024;
const BLOCK_BYTES: u64 = 512;
/// What a bucket is called behind its name until it is whole.
const ASIDE: &str = ".rewritten";

/// Messages in use, by the bucket they are in.
type Live = HashMap<(u16, u32), Vec<(u32, MessagePlace)>>;

/// A bucket that may go or shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) log: LogName,
    /// Space it takes.
    allocated: u64,
    has_live: bool,
}

/// The buckets of `page` that are dead or thin, by what the directory says.
pub(super) fn look(store: &Store, page: PageId, options: &GcOptions) -> Result<Vec<Wanted>> {
    let directory = store.pages.directory(page)?;
    let live = live_messages(&directory)?;
    let mut wanted = Vec::new();
    for log in logs_of_page(&store.derived.disk, store.pages.root(), page)? {
        if log.kind != LogKind::Bucket {
            continue;
        }
        let path = log_path(store.pages.root(), log);
        let metadata = store.derived.disk.metadata(&path).map_err(StoreError::io(&path, "look at"))?;
        let allocated = metadata.blocks() * BLOCK_BYTES;
        let messages = live.get(&(log.writer, log.number));
        let octets: u64 = messages.into_iter().flatten().map(|(_, place)| place.content_len).sum();
        let is_thin = octets <= allocated / 100 * u64::from(options.thin_percent)
            && allocated.saturating_sub(octets) >= options.thin_least_bytes;
        if messages.is_none() || is_thin {
            wanted.push(Wanted { log, allocated, has_live: messages.is_some() });
        }
    }
    if !wanted.is_empty() {
        // A sync that failed in an earlier pass may have left places behind that are not on the disk and look as if they were.
        directory.store_again()?;
    }
    Ok(wanted)
}

/// Removes what passes that did not come to their end have left in the folder of `page`. By who alone goes through the store.
pub(super) fn remove_left(store: &Store, page: PageId) -> Result<()> {
    let disk = &store.derived.disk;
    let folder = store.pages.folder(page);
    for entry in disk.read_dir(&folder).map_err(StoreError::io(&folder, "read"))? {
        if entry.name.strip_suffix(ASIDE).is_some_and(|name| LogName::parse(page, name).is_some()) {
            let path = folder.join(entry.name);
            disk.remove_file(&path).map_err(StoreError::io(&path, "remove"))?;
        }
    }
    Ok(())
}

fn live_messages(directory: &Directory) -> Result<Live> {
    let mut live = Live::new();
    for index in 0..directory.given_out()? {
        match directory.place(index) {
            Ok(Some(place)) => live.entry((place.writer, place.bucket)).or_default().push((index, place)),
            Ok(None) => (),
            // It is not known whose bucket it is in: none of this page may go.
            Err(error) => return Err(error),
        }
    }
    Ok(live)
}

/// What is in a bucket.
enum Inside {
    /// Nothing that is needed.
    Nothing,
    /// These frames are held, and these names of keywords and marks of readers are in others.
    Some { held: Vec<u64>, carried: Vec<Change> },
    /// Something that is not for this file to judge.
    Unclear(&'static str),
}

/// Unlinks or rewrites one bucket, if on a close look that is right.
pub(super) fn collect(
    store: &Arc<Store>,
    checkpoints: &mut Checkpoints,
    wanted: &Wanted,
    report: &mut GcReport,
) -> Result<()> {
    let log = wanted.log;
    let path = log_path(store.pages.root(), log);
    // Asked first: of one that is finished the end stays where it is found.
    if !checkpoints.is_finished(store, log)? {
        return Ok(());
    }
    let Some(reader) = LogReader::open(&store.derived.disk, &path, log)? else {
        return Ok(());
    };
    if !checkpoints.cover_log(store, log, reader.end_of_frames(LOG_HEAD_BYTES)?)? {
        return Ok(());
    }
    let directory = store.pages.directory(log.page)?;
    match look_inside(&reader, &directory, log)? {
        Inside::Nothing => {
            if unlink(store, &directory, log)? {
                report.unlinked_buckets += 1;
                report.unlinked_octets += wanted.allocated;
            }
        }
        // Only names and marks, which somebody may still need: rewritten once, and then it is as small as it gets.
        Inside::Some { held, .. } if held.is_empty() && wanted.allocated <= COPY_STEP_BYTES => (),
        Inside::Some { held, carried } => {
            let written = rewrite(store, &reader, &directory, log, &held, &carried)?;
            report.rewritten_buckets += 1;
            report.rewritten_octets += wanted.allocated.saturating_sub(written);
        }
        Inside::Unclear(why) => report.left.push(format!("{}: {why}", path.display())),
    }
    Ok(())
}

/// What `collect` would do, by what the directory says.
pub(super) fn would_collect(wanted: &Wanted, report: &mut GcReport) {
    if wanted.has_live {
        report.rewritten_buckets += 1;
    } else {
        report.unlinked_buckets += 1;
        report.unlinked_octets += wanted.allocated;
    }
}

fn look_inside(reader: &LogReader, directory: &Directory, log: LogName) -> Result<Inside> {
    let mut in_use = live_messages(directory)?.remove(&(log.writer, log.number)).unwrap_or_default();
    let (mut held, mut carried) = (Vec::new(), Vec::new());
    let mut offset = LOG_HEAD_BYTES;
    while let Some(frame) = reader.frame_at(offset)? {
        offset = frame.end();
        let own = own_message(&frame, log);
        for change in &frame.changes {
            match change {
                Change::Message { .. } => (),
                Change::Add { added, .. } if Some(added.message) == own => (),
                change if is_carried(change) => carried.push(change.clone()),
                _ => return Ok(Inside::Unclear("it says more than who got which message")),
            }
        }
        let Some(own) = own else { continue };
        match directory.place_and_state(own.index)? {
            Some((place, CellState::InUse)) if is_at(&place, log, frame.offset) => {
                in_use.retain(|(index, _)| *index != own.index);
                held.push(frame.offset);
            }
            // Freed, or moved to another bucket.
            Some(_) => (),
            None => return Ok(Inside::Unclear("a message in it is not in the directory")),
        }
    }
    if !in_use.is_empty() {
        return Ok(Inside::Unclear("a message that the directory says is in it was not found"));
    }
    if held.is_empty() && carried.is_empty() {
        return Ok(Inside::Nothing);
    }
    Ok(Inside::Some { held, carried })
}

/// Whether a change is said again in a frame of its own, because it may be needed when the message of its frame is not.
fn is_carried(change: &Change) -> bool {
    matches!(change, Change::Keyword { .. } | Change::Seen { .. } | Change::Annotations { .. })
}

fn own_message(frame: &Frame, log: LogName) -> Option<MessageId> {
    match frame.changes.first() {
        Some(Change::Message { index, .. }) => Some(MessageId { page: log.page, index: *index }),
        _ => None,
    }
}

fn is_at(place: &MessagePlace, log: LogName, offset: u64) -> bool {
    (place.writer, place.bucket, place.frame_offset) == (log.writer, log.number, offset)
}

/// Removes a bucket that nobody needs. False if somebody copies logs just now.
fn unlink(store: &Store, directory: &Directory, log: LogName) -> Result<bool> {
    let Some(_gate) = Gate::exclusive(&store.runtime_dir, GATE_WAIT_MOST)? else { return Ok(false) };
    // What says that its messages are freed, or elsewhere, lasts longer than the bucket.
    store.committer.note_sync(directory.sync())?;
    // A sync that another process has failed to make since may have dropped that.
    store.committer.check_syncs()?;
    let path = log_path(store.pages.root(), log);
    let disk = &store.derived.disk;
    disk.remove_file(&path)
        .and_then(|()| disk.sync_folder_of(&path))
        .map_err(StoreError::io(&path, "remove"))?;
    store.pages.forget_bucket(log);
    Ok(true)
}

/// Writes the frames at `held` into a new bucket, and unlinks the old one. Returns the octets of the new one.
fn rewrite(
    store: &Store,
    reader: &LogReader,
    directory: &Directory,
    log: LogName,
    held: &[u64],
    carried: &[Change],
) -> Result<u64> {
    let number = next_number(store, directory, log.page)?;
    let name = LogName { number, writer: store.writer(), ..log };
    let disk = &store.derived.disk;
    let path = log_path(store.pages.root(), name);
    let aside = path.with_file_name(format!("{}{ASIDE}", name.file_name()));
    let new = Arc::new(LogFile::create(disk, &aside, name, store.derived.epoch)?);
    let copied = copy_frames(reader, log, &new, held, carried)
        .and_then(|moves| store.committer.sync_apart(&new).map(|()| moves))
        .and_then(|moves| {
            disk.rename(&aside, &path).map(|()| moves).map_err(StoreError::io(&path, "put in place"))
        });
    let moves = match copied {
        Ok(moves) => moves,
        Err(error) => {
            // Nothing points into it.
            let _ = disk.remove_file(&aside);
            return Err(error);
        }
    };
    disk.sync_folder_of(&path).map_err(StoreError::io(&path, "sync"))?;
    for (index, from, to) in &moves {
        directory.move_place(*index, from, to)?;
    }
    // If logs are being copied just now, the old one is dead until the next pass.
    unlink(store, directory, log)?;
    Ok(new.tail())
}

/// A number that no bucket of the page had before, so that nobody takes the new file for one that is open somewhere.
fn next_number(store: &Store, directory: &Directory, page: PageId) -> Result<u32> {
    let logs = logs_of_page(&store.derived.disk, store.pages.root(), page)?;
    let known = logs.iter().map(|log| log.number.saturating_add(1)).max().unwrap_or(0);
    directory.take_bucket_number(known)
}

/// Copies frames. Returns which message goes from where to where.
fn copy_frames(
    reader: &LogReader,
    log: LogName,
    new: &Arc<LogFile>,
    held: &[u64],
    carried: &[Change],
) -> Result<Vec<(u32, MessagePlace, MessagePlace)>> {
    let mut moves = Vec::with_capacity(held.len());
    if !carried.is_empty() {
        // Of no time: they were there before whatever means them.
        append(new, &FrameHead::of_changes(new.id(), &[], 0), carried, &[])?;
    }
    for offset in held {
        let gone = || StoreError::corrupt(reader.path(), *offset, "a frame that was there a moment ago");
        let frame = reader.frame_at(*offset)?.ok_or_else(gone)?;
        let Some(Change::Message { index, header_size }) = frame.changes.first() else {
            return Err(gone());
        };
        let at = copy_frame(reader, &frame, new)?;
        let place = |log, offset| Source::new(log, offset, &frame.head).place(*header_size);
        moves.push((*index, place(log, *offset), place(new.name(), at)));
    }
    Ok(moves)
}

/// Appends a frame with `content`; what depends on the log and on the changes is put into the head here.
fn append(new: &Arc<LogFile>, head: &FrameHead, changes: &[Change], content: &[u8]) -> Result<u64> {
    let mut bytes = Vec::new();
    codec::encode(changes, &mut bytes);
    let head = head_of(new, head, &bytes);
    let in_flight = new.append(&head, content, &bytes, |_| ())?;
    let offset = in_flight.offset();
    in_flight.applied();
    Ok(offset)
}

fn head_of(new: &LogFile, head: &FrameHead, changes: &[u8]) -> FrameHead {
    FrameHead {
        log_id: new.id(),
        changes_len: changes.len() as u32,
        changes_crc: crc32c::crc32c(changes),
        ..*head
    }
}

/// Copies one frame, its content verified. Returns its offset in the new bucket.
fn copy_frame(reader: &LogReader, frame: &Frame, new: &Arc<LogFile>) -> Result<u64> {
    let damaged = || StoreError::corrupt(reader.path(), frame.offset, "the content of a message");
    let changes: Vec<Change> = frame.changes.iter().filter(|change| !is_carried(change)).cloned().collect();
    let mut hasher = Xxh3Default::new();
    let mut content = Vec::new();
    let len = frame.head.content_len;
    if len <= COPY_STEP_BYTES {
        reader.read_content(frame, 0, len, &mut content)?;
        hasher.update(&content);
        if hasher.digest() != frame.head.content_hash {
            return Err(damaged());
        }
        return append(new, &frame.head, &changes, &content);
    }
    let mut at = 0;
    while at < len {
        let step = COPY_STEP_BYTES.min(len - at);
        reader.read_content(frame, at, step, &mut content)?;
        hasher.update(&content);
        new.write_content(at, &content)?;
        at += step;
    }
    if hasher.digest() != frame.head.content_hash {
        return Err(damaged());
    }
    let mut bytes = Vec::new();
    codec::encode(&changes, &mut bytes);
    let in_flight = new.append_written(&head_of(new, &frame.head, &bytes), &bytes, |_| ())?;
    let offset = in_flight.offset();
    in_flight.applied();
    Ok(offset)
}
