//! One log that this process appends to.
//!
//! Invariants:
//! - Frames lie one behind the other from the head of the file to `tail`; a frame is written whole under the mutex, so no
//!   reader ever finds a frame behind a hole, whenever this process dies.
//! - `tail` never moves back. What a failed or aborted write left behind it is overwritten by the next frame.
//! - A frame whose changes are not in the views yet is *in flight*; no checkpoint goes past the first of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};

use crate::disk::{Disk, DiskFile, Mutation};
use crate::error::{Result, StoreError};
use crate::in_hand::{Mutex, MutexGuard};
use crate::log::ahead::{Ahead, Step};
use crate::log::frame::{FRAME_HEAD_BYTES, FrameHead, LOG_HEAD_BYTES, LogHead, LogKind, LogName};
use crate::log::reader::LogReader;

/// Zeros are written ahead of the tail in steps of this many octets, others appending in between, …
const ZERO_STEP_BYTES: usize = 128 * 1024;
/// … and page by page: pages that were made by one long write are one to the kernel, which counts all of them as written again when a
/// frame is put into one of them (`COST.md`).
const PAGE_BYTES: u64 = 4096;

static ZEROS: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];

/// How often a sync is made again because one of another process has failed meanwhile.
const SYNCS_MOST: usize = 16;
/// How much is put there once more by one write.
const AGAIN_STEP_BYTES: u64 = 1 << 20;

/// A log open for appending.
#[derive(Debug)]
pub(crate) struct LogFile {
    name: LogName,
    id: u64,
    path: PathBuf,
    file: DiskFile,
    append: Mutex<Append>,
    /// Whether the commit thread has it on its list of files to sync.
    pub(crate) queued: AtomicBool,
    /// Held while it is synced.
    syncing: Mutex<Syncing>,
}

/// What is known of a log's syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syncing {
    /// What precedes `proven` is on the disk, whatever fails later.
    Possible { proven: u64 },
    /// One failed: what was appended cannot be vouched for, whatever a later one says.
    Failed,
}

#[derive(Debug)]
struct Append {
    tail: u64,
    /// What is ready behind the tail.
    ahead: Ahead,
    /// Offsets of the frames whose changes are not in the views yet.
    in_flight: Vec<u64>,
    /// A write failed and its traces could not be wiped out: nothing may be appended any more.
    broken: bool,
}

impl LogFile {
    /// Makes the log `name` at `path`, synced with the folder it is in.
    pub(crate) fn create(disk: &Disk, path: &Path, name: LogName, epoch: u32) -> Result<LogFile> {
        let id = disk.random_number()?;
        let file = disk.create_new(path).map_err(StoreError::io(path, "create"))?;
        let made = (|| {
            file.write_all_at(&LogHead { id, name, epoch, packed: None }.encode(), 0)?;
            file.sync_all()?;
            if disk.mutated(Mutation::FolderNotSynced) { Ok(()) } else { disk.sync_folder_of(path) }
        })();
        if let Err(error) = made {
            // Nobody knows the file yet, and its name is wanted by the next attempt.
            let _ = disk.remove_file(path);
            return Err(StoreError::io(path, "write")(error));
        }
        Ok(LogFile::over(disk, path, name, id, file, [0, LOG_HEAD_BYTES, LOG_HEAD_BYTES]))
    }

    /// Goes on with a log of this writer: `from` is a place where a frame begins or the log ends. `None` if it may not be gone
    /// on with: it is of another epoch, it was compressed when its day was over, or its head is damaged.
    pub(crate) fn go_on(
        disk: &Disk,
        path: &Path,
        name: LogName,
        epoch: u32,
        from: u64,
    ) -> Result<Option<LogFile>> {
        let reader = match LogReader::open(disk, path, name) {
            Ok(Some(reader)) => reader,
            Ok(None) | Err(StoreError::Corrupt { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if reader.head().epoch != epoch || reader.is_packed() {
            return Ok(None);
        }
        let tail = reader.end_of_frames(from)?;
        let file = disk.open_writable(path).map_err(StoreError::io(path, "open"))?;
        let len = file.len().map_err(StoreError::io(path, "look at"))?;
        Ok(Some(LogFile::over(disk, path, name, reader.head().id, file, [from, tail, len])))
    }

    fn over(
        disk: &Disk,
        path: &Path,
        name: LogName,
        id: u64,
        file: DiskFile,
        [proven, tail, len]: [u64; 3],
    ) -> LogFile {
        let append =
            Append { tail, ahead: Ahead::new(disk.sizes(), tail, len), in_flight: Vec::new(), broken: false };
        LogFile {
            name,
            id,
            path: path.to_path_buf(),
            file,
            append: Mutex::new(append),
            syncing: Mutex::new(Syncing::Possible { proven }),
            queued: AtomicBool::new(false),
        }
    }

    pub(crate) fn name(&self) -> LogName {
        self.name
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next frame goes.
    pub(crate) fn tail(&self) -> u64 {
        self.lock().tail
    }

    /// Whether a failed write made it useless.
    pub(crate) fn is_broken(&self) -> bool {
        self.lock().broken
    }

    /// Up to here all frames are in the views.
    pub(crate) fn applied(&self) -> u64 {
        let append = self.lock();
        append.in_flight.iter().copied().min().unwrap_or(append.tail)
    }

    /// Appends a frame. `announce` is told the frame's offset before the first octet is written.
    pub(crate) fn append(
        self: &Arc<Self>,
        head: &FrameHead,
        content: &[u8],
        changes: &[u8],
        announce: impl FnOnce(u64),
    ) -> Result<InFlight> {
        let head_bytes = head.encode();
        let frame_len = head.frame_len();
        let padding = frame_len as usize - head_bytes.len() - content.len() - changes.len();
        let mut append = self.lock();
        let offset = self.start(&mut append, announce)?;
        let parts = [&head_bytes[..], content, changes, &ZEROS[..padding]];
        if let Err(error) = self.file.write_parts_at(&parts, offset) {
            self.wipe(&mut append, offset);
            return Err(StoreError::io(&self.path, "write")(error));
        }
        Ok(self.written(&mut append, offset, frame_len))
    }

    /// Completes the frame whose content `write_content` has put behind the tail: changes first, the head last, so that it is a
    /// frame only when all of it is there.
    pub(crate) fn append_written(
        self: &Arc<Self>,
        head: &FrameHead,
        changes: &[u8],
        announce: impl FnOnce(u64),
    ) -> Result<InFlight> {
        let frame_len = head.frame_len();
        let changes_at = head.changes_at();
        let padding = (frame_len - changes_at) as usize - changes.len();
        let mut append = self.lock();
        let offset = self.start(&mut append, announce)?;
        let write_rest = || {
            self.file.write_parts_at(&[changes, &ZEROS[..padding]], offset + changes_at)?;
            self.file.write_all_at(&head.encode(), offset)
        };
        let written = match self.file.mutated(Mutation::HeadBeforeContent) {
            true => self.write_before_content(head, offset, write_rest),
            false => write_rest(),
        };
        if let Err(error) = written {
            self.wipe(&mut append, offset);
            return Err(StoreError::io(&self.path, "write")(error));
        }
        Ok(self.written(&mut append, offset, frame_len))
    }

    /// What a store would do that writes all of a frame before its content: a death in between leaves a frame without it.
    fn write_before_content(
        &self,
        head: &FrameHead,
        offset: u64,
        write_rest: impl FnOnce() -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let place = offset + FRAME_HEAD_BYTES;
        let mut content = vec![0; head.content_len as usize];
        self.file.read_exact_at(&mut content, place)?;
        self.file.write_all_at(&vec![0; content.len()], place)?;
        write_rest()?;
        if self.file.mutated(Mutation::HeadBeforeContent) {
            self.file.write_all_at(&content, place)?;
        }
        Ok(())
    }

    /// Puts content octets where they will lie in the next frame, from `at` in the content on. Only for the one who has leased
    /// the log.
    pub(crate) fn write_content(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let mut append = self.lock();
        let start = append.tail + FRAME_HEAD_BYTES + at;
        if at == 0 {
            // Zero what may lie there from an aborted message: the head must not be one until it is written.
            let zeros = &ZEROS[..FRAME_HEAD_BYTES as usize];
            self.file.write_all_at(zeros, append.tail).map_err(StoreError::io(&self.path, "write"))?;
        }
        append.ahead.is_for_big_messages();
        append.ahead.written = append.ahead.written.max(start + bytes.len() as u64);
        drop(append);
        self.file.write_all_at(bytes, start).map_err(StoreError::io(&self.path, "write"))
    }

    fn start(&self, append: &mut Append, announce: impl FnOnce(u64)) -> Result<u64> {
        if append.broken {
            return Err(StoreError::Failed(format!("{} could not be written", self.path.display())));
        }
        announce(append.tail);
        Ok(append.tail)
    }

    fn written(self: &Arc<Self>, append: &mut Append, offset: u64, frame_len: u64) -> InFlight {
        append.tail = offset + frame_len;
        append.ahead.written = append.ahead.written.max(append.tail);
        append.in_flight.push(offset);
        InFlight { log: Arc::clone(self), offset }
    }

    /// After a failed write: makes sure that no head stands at `offset`.
    fn wipe(&self, append: &mut Append, offset: u64) {
        let len = self.file.len().unwrap_or(u64::MAX);
        let present = len.saturating_sub(offset).min(FRAME_HEAD_BYTES) as usize;
        if self.file.write_all_at(&ZEROS[..present], offset).is_err() {
            append.broken = true;
        }
    }

    /// After a group was synced: makes ready what the next ones are put into, so that appending and syncing need little metadata
    /// (`ahead`). Stops quietly when the disk is full: whoever needs the space will say so.
    pub(crate) fn make_ahead(&self) {
        let mut append = self.lock();
        if append.broken {
            return;
        }
        let tail = append.tail;
        match append.ahead.synced(tail) {
            Step::Nothing => (),
            Step::Zeros { upto } => self.write_zeros(append, upto),
            Step::Extents { from, upto } => {
                drop(append);
                // Behind the end of the file: whoever appends meanwhile is not in the way.
                if self.file.allocate(from, upto - from, true).is_err_and(|error| is_unknown_call(&error)) {
                    self.lock().ahead.cannot_reserve();
                }
            }
        }
    }

    /// Writes zeros up to `upto`, in steps.
    fn write_zeros<'a>(&'a self, mut append: MutexGuard<'a, Append>, upto: u64) {
        while append.ahead.written < upto {
            let step_end = (append.ahead.written + ZERO_STEP_BYTES as u64).min(upto);
            while append.ahead.written < step_end {
                let end = (append.ahead.written + 1).next_multiple_of(PAGE_BYTES);
                let zeros = &ZEROS[..(end - append.ahead.written) as usize];
                if self.file.write_all_at(zeros, append.ahead.written).is_err() {
                    return;
                }
                append.ahead.written = end;
            }
            drop(append);
            append = self.lock();
        }
    }

    /// Gives back what was made ready behind the last frame. For a log that will not be appended to soon; a frame may still follow.
    pub(crate) fn cut_ahead(&self) -> Result<()> {
        let mut append = self.lock();
        let tail = append.tail;
        // Under the lock, so that it is no frame that is cut off.
        self.file.set_len(tail).map_err(StoreError::io(&self.path, "cut off"))?;
        append.ahead.cut(tail);
        Ok(())
    }

    /// Reads octets that were put there, in a frame or behind the last.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(bytes, offset).map_err(StoreError::io(&self.path, "read"))
    }

    /// Makes all that was appended before durable. `failed_syncs` says how many syncs have failed in all processes.
    pub(crate) fn sync(&self, failed_syncs: &dyn Fn() -> u32) -> io::Result<()> {
        // The kernel tells one caller of an octet that it could not write: so one at a time, and who comes after a failure fails.
        let mut syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let Syncing::Possible { proven } = *syncing else {
            return Err(io::Error::other("an earlier sync failed"));
        };
        let skips = match self.name.kind {
            LogKind::Journal => Mutation::SkipJournalSync,
            LogKind::Bucket => Mutation::SkipBucketSync,
        };
        if self.file.mutated(skips) {
            return Ok(());
        }
        let synced = self.sync_from(proven, failed_syncs);
        *syncing = synced.as_ref().map_or(Syncing::Failed, |upto| Syncing::Possible { proven: *upto });
        synced.map(drop)
    }

    /// Makes what lies behind `proven` durable; up to where. A sync that has failed anywhere may have dropped some of it, and one that goes well
    /// later does not say so: from then on, all of it is written once more before.
    fn sync_from(&self, proven: u64, failed_syncs: &dyn Fn() -> u32) -> io::Result<u64> {
        let upto = self.tail();
        for _ in 0..SYNCS_MOST {
            let failed = failed_syncs();
            if failed > 0 {
                self.put_again(proven, upto)?;
            }
            self.file.sync_data()?;
            // Who failed meanwhile may have dropped what was put there.
            if failed_syncs() == failed {
                return Ok(upto);
            }
        }
        Err(io::Error::other("syncs of other processes fail again and again"))
    }

    /// Writes octets before the tail once more, which change no more.
    fn put_again(&self, from: u64, upto: u64) -> io::Result<()> {
        let mut at = from;
        while at < upto {
            let mut octets = vec![0; AGAIN_STEP_BYTES.min(upto - at) as usize];
            self.file.read_exact_at(&mut octets, at)?;
            self.file.write_all_at(&octets, at)?;
            at += octets.len() as u64;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Append> {
        self.append.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A frame that was written and whose changes are on their way into the views. Kept past a panic or an error, it holds
/// checkpoints back, so that the frame is applied by whoever opens the store next.
#[derive(Debug)]
pub(crate) struct InFlight {
    log: Arc<LogFile>,
    offset: u64,
}

impl InFlight {
    /// Where the frame begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Its changes are in the views.
    pub(crate) fn applied(self) {
        let mut append = self.log.lock();
        if let Some(place) = append.in_flight.iter().position(|offset| *offset == self.offset) {
            append.in_flight.swap_remove(place);
        }
    }
}

fn is_unknown_call(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS))
}

#[cfg(test)]
mod tests;
