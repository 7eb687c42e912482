//! Which logs this process appends to now: one bucket and one journal for everybody, and buckets leased one to a big message
//! each. Rotation when a log is full or the day ends.
//!
//! Invariant: `open` and `ended` together name every log of this writer that a checkpoint must mention (see `checkpoint.rs`).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::checkpoint::{Checkpoint, LogPosition};
use crate::date::page_name;
use crate::error::{Result, StoreError};
use crate::files::make_folder;
use crate::ids::PageId;
use crate::log::file::LogFile;
use crate::log::frame::{LOG_HEAD_BYTES, LogKind, LogName};
use crate::log::reader::LogReader;

/// A log that has grown to this is not appended to any more.
const LOG_FULL_BYTES: u64 = 256 << 20;
/// Leased buckets that stay open for the next big message.
const SPARE_LEASES_MOST: usize = 8;

/// The logs of this process.
#[derive(Debug)]
pub(crate) struct Logs {
    pages: PathBuf,
    writer: u16,
    epoch: u32,
    /// Says which page is today's.
    today: fn() -> PageId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The page that the current logs are in.
    page: PageId,
    bucket: Option<Arc<LogFile>>,
    journal: Option<Arc<LogFile>>,
    /// Buckets that nobody leases just now.
    spare: Vec<Arc<LogFile>>,
    /// All logs that frames may still be appended to or in flight in, whatever their page.
    open: Vec<Arc<LogFile>>,
    /// Logs of the current page that get no more frames.
    ended: Vec<LogPosition>,
    next_bucket: u32,
    next_journal: u32,
}

impl State {
    fn empty(page: PageId) -> State {
        State {
            page,
            bucket: None,
            journal: None,
            spare: Vec::new(),
            open: Vec::new(),
            ended: Vec::new(),
            next_bucket: 0,
            next_journal: 0,
        }
    }

    fn take_up(&mut self, log: Arc<LogFile>) {
        self.open.push(Arc::clone(&log));
        match log.name().kind {
            LogKind::Bucket => self.bucket = Some(log),
            LogKind::Journal => self.journal = Some(log),
        }
    }
}

impl Logs {
    /// The logs of `writer`, going on where an earlier process left them. `checkpoint` is that process's last one: what lies
    /// before its positions need not be read. Every frame of these logs must be in the views already.
    pub(crate) fn open(
        pages: &Path,
        writer: u16,
        epoch: u32,
        checkpoint: &Checkpoint,
        today: fn() -> PageId,
    ) -> Result<Logs> {
        let logs = Logs {
            pages: pages.to_path_buf(),
            writer,
            epoch,
            today,
            state: Mutex::new(State::empty(today())),
        };
        let mut state = logs.lock();
        let page = state.page;
        let yesterday = PageId(page.0.saturating_sub(1));
        let mut names = logs_of_page(pages, yesterday)?;
        names.extend(logs_of_page(pages, page)?);
        names.retain(|name| name.writer == writer);
        // The newest first: it alone is gone on with, so that a log that was abandoned stays so.
        for name in names.into_iter().rev() {
            let path = log_path(pages, name);
            // An earlier process may have been killed before it synced what others have seen since.
            let synced = File::open(&path).and_then(|file| file.sync_data());
            synced.map_err(StoreError::io(&path, "sync"))?;
            if name.page != page {
                continue;
            }
            let from = checkpoint.position(name).unwrap_or(LOG_HEAD_BYTES);
            let next = match name.kind {
                LogKind::Bucket => &mut state.next_bucket,
                LogKind::Journal => &mut state.next_journal,
            };
            let is_newest = *next == 0;
            *next = (*next).max(name.number.saturating_add(1));
            if is_newest
                && let Some(log) = LogFile::go_on(&path, name, epoch, from)?
                && log.tail() < LOG_FULL_BYTES
            {
                state.take_up(Arc::new(log));
                continue;
            }
            let reader = LogReader::open(&path, name)?;
            let end = reader.map_or(Ok(LOG_HEAD_BYTES), |reader| reader.end_of_frames(from))?;
            state.ended.push(LogPosition { name, position: end });
        }
        drop(state);
        Ok(logs)
    }

    /// The bucket for messages that were gathered in memory.
    pub(crate) fn bucket(&self) -> Result<Arc<LogFile>> {
        let mut state = self.lock_today();
        if let Some(bucket) = state.bucket.as_ref().filter(|bucket| is_usable(bucket)) {
            return Ok(Arc::clone(bucket));
        }
        let bucket = self.create(&mut state, LogKind::Bucket)?;
        state.bucket = Some(Arc::clone(&bucket));
        Ok(bucket)
    }

    /// The journal.
    pub(crate) fn journal(&self) -> Result<Arc<LogFile>> {
        let mut state = self.lock_today();
        if let Some(journal) = state.journal.as_ref().filter(|journal| is_usable(journal)) {
            return Ok(Arc::clone(journal));
        }
        let journal = self.create(&mut state, LogKind::Journal)?;
        state.journal = Some(Arc::clone(&journal));
        Ok(journal)
    }

    /// A bucket that nobody else appends to until the lease is dropped.
    pub(crate) fn lease(self: &Arc<Self>) -> Result<Lease> {
        let mut state = self.lock_today();
        while let Some(log) = state.spare.pop() {
            if is_usable(&log) {
                return Ok(Lease { log, logs: Arc::clone(self) });
            }
        }
        let log = self.create(&mut state, LogKind::Bucket)?;
        Ok(Lease { log, logs: Arc::clone(self) })
    }

    fn create(&self, state: &mut State, kind: LogKind) -> Result<Arc<LogFile>> {
        let folder = self.pages.join(page_name(state.page));
        make_folder(&folder)?;
        let next = match kind {
            LogKind::Bucket => &mut state.next_bucket,
            LogKind::Journal => &mut state.next_journal,
        };
        let number = *next;
        *next = number.saturating_add(1);
        let name = LogName { page: state.page, kind, writer: self.writer, number };
        let log = Arc::new(LogFile::create(&folder.join(name.file_name()), name, self.epoch)?);
        state.open.push(Arc::clone(&log));
        Ok(log)
    }

    /// Where replay would have to start now, for the checkpoint that is about to be written; and how to say, once it is written,
    /// which logs need no mention in the next one.
    pub(crate) fn positions(&self) -> Checkpoint {
        let state = self.lock_today();
        let open = state.open.iter().map(|log| LogPosition { name: log.name(), position: log.applied() });
        let logs = state.ended.iter().copied().chain(open).collect();
        Checkpoint { page: state.page, logs }
    }

    /// Forgets logs that get no more frames and whose last ones are in the views; `written` mentions them.
    pub(crate) fn prune(&self, written: &Checkpoint) {
        let mut state = self.lock();
        let page = state.page;
        let mut ended = Vec::new();
        state.open.retain(|log| {
            // Nobody but this list knows the log, and the checkpoint has seen all of it.
            let end = log.tail();
            let unused = Arc::strong_count(log) == 1 && written.position(log.name()) == Some(end);
            if unused && log.name().page == page {
                ended.push(LogPosition { name: log.name(), position: end });
            }
            !unused
        });
        state.ended.append(&mut ended);
        state.ended.retain(|log| log.name.page == page);
    }

    /// After a failed sync: logs made so far get no more frames, not even from the next process with this writer number, for
    /// the highest numbers are new ones.
    pub(crate) fn abandon(&self) -> Result<()> {
        let mut state = self.lock_today();
        state.spare.clear();
        state.bucket = None;
        state.journal = None;
        self.create(&mut state, LogKind::Bucket)?;
        self.create(&mut state, LogKind::Journal)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, with nothing of yesterday in it that would be appended to.
    fn lock_today(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let page = (self.today)();
        // A clock that was set back does not bring an old page back: names in it may be in use.
        if page > state.page {
            let open = std::mem::take(&mut state.open);
            *state = State { open, ..State::empty(page) };
        }
        state
    }
}

fn is_usable(log: &LogFile) -> bool {
    log.tail() < LOG_FULL_BYTES && !log.is_broken()
}

/// A bucket in the hands of one message.
#[derive(Debug)]
pub(crate) struct Lease {
    log: Arc<LogFile>,
    logs: Arc<Logs>,
}

impl Lease {
    pub(crate) fn log(&self) -> &Arc<LogFile> {
        &self.log
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.logs.lock();
        if state.spare.len() < SPARE_LEASES_MOST && self.log.name().page == state.page && is_usable(&self.log)
        {
            state.spare.push(Arc::clone(&self.log));
        }
    }
}

/// The file of a log.
pub(crate) fn log_path(pages: &Path, name: LogName) -> PathBuf {
    pages.join(page_name(name.page)).join(name.file_name())
}

/// All logs in the folder of `page`, in the order of their names; none if there is no such folder.
pub(crate) fn logs_of_page(pages: &Path, page: PageId) -> Result<Vec<LogName>> {
    let folder = pages.join(page_name(page));
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io(&folder, "read")(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io(&folder, "read"))?;
        names.extend(entry.file_name().to_str().and_then(|text| LogName::parse(page, text)));
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::log::frame::{FrameHead, FrameType};

    static DAY: AtomicU32 = AtomicU32::new(100);

    fn day() -> PageId {
        PageId(DAY.load(Ordering::Relaxed))
    }

    fn head(log: &LogFile, content: &[u8]) -> FrameHead {
        FrameHead {
            log_id: log.id(),
            frame_type: FrameType::Delivery,
            changes_len: 0,
            content_len: content.len() as u64,
            content_hash: xxhash_rust::xxh3::xxh3_64(content),
            changes_crc: crc32c::crc32c(&[]),
        }
    }

    #[test]
    fn a_new_day_has_new_logs_and_a_message_that_began_yesterday_is_not_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = |checkpoint: &Checkpoint| {
            Arc::new(Logs::open(folder.path(), 7, 1, checkpoint, day).expect("readable"))
        };
        let logs = open(&Checkpoint::default());
        let bucket = logs.bucket().expect("space");
        let lease = logs.lease().expect("space");
        assert_ne!(bucket.name(), lease.log().name());
        lease.log().write_content(0, b"begun yesterday").expect("space");
        DAY.fetch_add(1, Ordering::Relaxed);
        assert_eq!(logs.bucket().expect("space").name().page, PageId(101));
        assert_eq!(logs.bucket().expect("space").name().number, 0);

        // Midnight has passed, and a checkpoint with it; the message of yesterday comes after.
        drop(bucket);
        let checkpoint = logs.positions();
        logs.prune(&checkpoint);
        let begun = head(lease.log(), b"begun yesterday");
        let in_flight = lease.log().append_written(&begun, &[], |_| ()).expect("space");
        let name = lease.log().name();
        drop(lease);
        let checkpoint = logs.positions();
        assert_eq!(checkpoint.page, PageId(101));
        assert_eq!(checkpoint.replay_from(name), Some(in_flight.offset()), "in flight holds it back");
        let end = in_flight.offset() + begun.frame_len();
        in_flight.applied();
        let checkpoint = logs.positions();
        assert_eq!(checkpoint.replay_from(name), Some(end));
        logs.prune(&checkpoint);
        assert_eq!(logs.positions().replay_from(name), None, "all of it is in the views");

        // The next process goes on with the newest logs of today.
        let today = logs.bucket().expect("space");
        today.append(&head(&today, b"x"), b"x", &[], |_| ()).expect("space").applied();
        let checkpoint = logs.positions();
        drop(logs);
        let logs = open(&checkpoint);
        let again = logs.bucket().expect("space");
        assert_eq!((again.name(), again.tail()), (today.name(), today.tail()));
    }
}
