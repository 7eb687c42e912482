//! Which logs this process appends to now: one bucket and one journal for everybody, and buckets leased one to a big message
//! each. Rotation when a log is full or the day ends.
//!
//! Invariant: `open` and `ended` together name every log of this writer that a checkpoint must mention (see `checkpoint.rs`).

use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use nix::sys::resource::{Resource, getrlimit};

use crate::checkpoint::{Checkpoint, LogPosition};
use crate::date::{page_name, parse_page_name};
use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StoreError};
use crate::ids::PageId;
use crate::in_hand::{Mutex, MutexGuard};
use crate::locks::Syncs;
use crate::log::file::LogFile;
use crate::log::frame::{LOG_HEAD_BYTES, LogKind, LogName};
use crate::log::reader::LogReader;
use crate::page::directory::Directory;

/// Buckets that are leased at one time, at most: fewer where the process may not have four times as many files open. As many stay open
/// for the next big messages. So the descriptors and files that big messages take are bounded, however many send how slowly; one
/// more is refused, for a while.
const LEASES_MOST: usize = 1024;
const LEASES_LEAST: usize = 16;
/// The last number of a log of one kind, page and writer: a directory cell has 16 bits for it.
const LOG_NUMBER_MOST: u32 = 65_535;

/// The logs of this process.
#[derive(Debug)]
pub(crate) struct Logs {
    disk: Disk,
    pages: PathBuf,
    writer: u16,
    epoch: u32,
    leases_most: usize,
    /// Says which page is today's.
    today: fn(&Disk) -> PageId,
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
    /// Leases that are out, of whatever page.
    leased: usize,
    /// All logs that frames may still be appended to or in flight in, whatever their page.
    open: Vec<Arc<LogFile>>,
    /// Logs of the current page that get no more frames; and of later ones, if the clock was set back.
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
            leased: 0,
            open: Vec::new(),
            ended: Vec::new(),
            next_bucket: 0,
            next_journal: 0,
        }
    }

    /// Takes note of a log that gets no more frames. One that cannot be read ends where it was read to before: the rest of it is in no view.
    fn end(&mut self, disk: &Disk, path: &Path, name: LogName, from: u64) -> Result<()> {
        let position = match LogReader::open(disk, path, name) {
            Ok(Some(reader)) => reader.end_of_frames(from)?,
            Ok(None) => LOG_HEAD_BYTES,
            Err(StoreError::Corrupt { .. }) => from,
            Err(error) => return Err(error),
        };
        self.ended.push(LogPosition { name, position });
        Ok(())
    }

    /// The name of the next log of that kind.
    fn next_name(&mut self, kind: LogKind, writer: u16) -> LogName {
        let next = match kind {
            LogKind::Bucket => &mut self.next_bucket,
            LogKind::Journal => &mut self.next_journal,
        };
        let number = *next;
        *next = number.saturating_add(1);
        LogName { page: self.page, kind, writer, number }
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
    /// before its positions need not be read. Every frame of these logs must be in the views already. `syncs` says whether they are to be trusted; `on_failed_sync` is
    /// called if one fails here.
    #[expect(clippy::too_many_arguments, reason = "what a process is opened with, part by part")]
    pub(crate) fn open(
        disk: &Disk,
        pages: &Path,
        writer: u16,
        epoch: u32,
        checkpoint: &Checkpoint,
        syncs: Syncs,
        on_failed_sync: &dyn Fn(),
        today: fn(&Disk) -> PageId,
    ) -> Result<Logs> {
        let logs = Logs {
            disk: disk.clone(),
            pages: pages.to_path_buf(),
            writer,
            epoch,
            leases_most: leases_most(),
            today,
            state: Mutex::new(State::empty(today(disk))),
        };
        let mut state = logs.lock();
        let page = state.page;
        let yesterday = PageId(page.0.saturating_sub(1));
        // However old they are by a clock that has jumped: only what a checkpoint covers is known to be durable.
        let oldest = checkpoint.logs.iter().map(|log| log.name.page).min();
        let oldest = oldest.map_or(checkpoint.page, |oldest| oldest.min(checkpoint.page));
        let mut names = Vec::new();
        for earlier in later_pages(disk, pages, PageId(oldest.0.saturating_sub(1)))? {
            if earlier < yesterday {
                names.extend(logs_of_page(disk, pages, earlier)?);
            }
        }
        names.retain(|name| checkpoint.replay_from(*name).is_some());
        names.extend(logs_of_page(disk, pages, yesterday)?);
        names.extend(logs_of_page(disk, pages, page)?);
        // What was written before the clock was set back stays in the checkpoint.
        for later in later_pages(disk, pages, page)? {
            names.extend(logs_of_page(disk, pages, later)?);
        }
        names.retain(|name| name.writer == writer);
        logs.sync_names(&names)?;
        let mut failed = None;
        // The newest first: it alone is gone on with, so that a log that was abandoned stays so.
        for name in names.into_iter().rev() {
            let path = log_path(pages, name);
            // An earlier process may have been killed before it synced what others have seen since.
            let synced = match syncs {
                Syncs::Trusted => disk
                    .open(&path)
                    .and_then(|file| file.sync_data())
                    .inspect_err(|_| on_failed_sync())
                    .is_ok(),
                Syncs::Doubtful => false,
            };
            // What a sync that failed has lost no later one writes. What is before the checkpoint was on the disk then.
            let unproven = checkpoint.replay_from(name).unwrap_or(LOG_HEAD_BYTES)..u64::MAX;
            if !synced && let Err(error) = write_again(disk, &path, unproven) {
                on_failed_sync();
                failed = Some(error);
            }
            if name.page < page {
                continue;
            }
            let from = checkpoint.position(name).unwrap_or(LOG_HEAD_BYTES);
            if name.page > page {
                state.end(disk, &path, name, from)?;
                continue;
            }
            let next = match name.kind {
                LogKind::Bucket => &mut state.next_bucket,
                LogKind::Journal => &mut state.next_journal,
            };
            let is_newest = *next == 0;
            *next = (*next).max(name.number.saturating_add(1));
            // One that the checkpoint declares to be in the views gets no frame, also when the clock was set back to its day: others copy, compress and
            // collect it as one that is finished.
            let is_finished = checkpoint.replay_from(name).is_none();
            if is_newest
                && !is_finished
                && failed.is_none()
                && let Some(log) = LogFile::go_on(disk, &path, name, epoch, from)?
                && log.tail() < disk.sizes().log_full_bytes
            {
                state.take_up(Arc::new(log));
                continue;
            }
            state.end(disk, &path, name, from)?;
        }
        drop(state);
        match failed {
            None => Ok(logs),
            Some(error) => {
                // What was to be synced may be lost, and no later sync says so: the next process must not append behind it.
                let _ = logs.abandon();
                Err(error)
            }
        }
    }

    /// The disk that they are on.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Makes the names of these logs durable. The process that made one may have been killed before it did; and so may one that made the
    /// folders above, down from the store's.
    fn sync_names(&self, logs: &[LogName]) -> Result<()> {
        let mut folders: Vec<PathBuf> = self.pages.ancestors().take(3).map(Path::to_path_buf).collect();
        folders.reverse();
        folders.extend(logs.iter().map(|name| self.pages.join(page_name(name.page))));
        folders.dedup();
        folders
            .iter()
            .try_for_each(|folder| self.disk.sync_folder(folder).map_err(StoreError::io(folder, "sync")))
    }

    /// The bucket for messages that were gathered in memory.
    pub(crate) fn bucket(&self) -> Result<Arc<LogFile>> {
        let mut state = self.lock_today();
        if let Some(bucket) = state.bucket.as_ref().filter(|bucket| self.is_usable(bucket)) {
            return Ok(Arc::clone(bucket));
        }
        let bucket = self.create(&mut state, LogKind::Bucket)?;
        state.bucket = Some(Arc::clone(&bucket));
        Ok(bucket)
    }

    /// The journal.
    pub(crate) fn journal(&self) -> Result<Arc<LogFile>> {
        let mut state = self.lock_today();
        if let Some(journal) = state.journal.as_ref().filter(|journal| self.is_usable(journal)) {
            return Ok(Arc::clone(journal));
        }
        let journal = self.create(&mut state, LogKind::Journal)?;
        state.journal = Some(Arc::clone(&journal));
        Ok(journal)
    }

    /// A bucket that nobody else appends to until the lease is dropped.
    ///
    /// Errors: `Busy` if as many are out as may be.
    pub(crate) fn lease(self: &Arc<Self>) -> Result<Lease> {
        let mut state = self.lock_today();
        if state.leased >= self.leases_most {
            return Err(StoreError::Busy("a bucket for one more big message"));
        }
        state.leased += 1;
        while let Some(log) = state.spare.pop() {
            if self.is_usable(&log) {
                return Ok(Lease { log, logs: Arc::clone(self) });
            }
        }
        drop(state);
        let log = self.create_apart().inspect_err(|_| self.lock().leased -= 1)?;
        Ok(Lease { log, logs: Arc::clone(self) })
    }

    /// Makes a bucket while others go on with theirs: many big messages may begin at once, and each file is synced.
    fn create_apart(&self) -> Result<Arc<LogFile>> {
        loop {
            let name = self.lock_today().next_name(LogKind::Bucket, self.writer);
            let Some(log) = self.create_file(name)? else { continue };
            let mut state = self.lock_today();
            // A checkpoint of a new day that did not know this log must not have come in between.
            if state.page == name.page {
                state.open.push(Arc::clone(&log));
                return Ok(log);
            }
            drop(state);
            // Nobody knows it, and it holds nothing.
            let _ = self.disk.remove_file(log.path());
        }
    }

    fn create(&self, state: &mut State, kind: LogKind) -> Result<Arc<LogFile>> {
        loop {
            let name = state.next_name(kind, self.writer);
            if let Some(log) = self.create_file(name)? {
                state.open.push(Arc::clone(&log));
                return Ok(log);
            }
        }
    }

    /// Makes the file of a new log; `None` if there is one of that name, as there may be if the clock was set back.
    fn create_file(&self, name: LogName) -> Result<Option<Arc<LogFile>>> {
        if name.number > LOG_NUMBER_MOST {
            return Err(StoreError::Busy("a number for one more log"));
        }
        let path = log_path(&self.pages, name);
        if let Some(folder) = path.parent() {
            self.disk.make_folder(folder).map_err(StoreError::io(folder, "make"))?;
            // Who made the folder may not have come to this, or have failed.
            self.disk.sync_folder_of(folder).map_err(StoreError::io(folder, "sync the folder of"))?;
            if name.kind == LogKind::Bucket {
                // Its name gets to the disk before that of the bucket: a page with buckets and without a directory has lost it, and all
                // views would be made again from all logs.
                Directory::open_or_create(&self.disk, folder, name.page, self.epoch)?;
            }
        }
        match LogFile::create(&self.disk, &path, name, self.epoch) {
            Err(StoreError::Io { error, .. }) if error.kind() == ErrorKind::AlreadyExists => {
                if name.number >= LOG_NUMBER_MOST {
                    Err(StoreError::Busy("a number for one more log"))
                } else {
                    Ok(None)
                }
            }
            made => Ok(Some(Arc::new(made?))),
        }
    }

    /// Where replay would have to start now, for the checkpoint that is about to be written; and how to say, once it is written,
    /// which logs need no mention in the next one.
    pub(crate) fn positions(&self) -> Checkpoint {
        let state = self.lock_today();
        let open = state.open.iter().map(|log| LogPosition { name: log.name(), position: log.applied() });
        let logs = state.ended.iter().copied().chain(open).collect();
        Checkpoint { page: state.page, logs }
    }

    /// Whether this process may still append to `name`. One of a day that is over never comes back.
    pub(crate) fn is_open(&self, name: LogName) -> bool {
        self.lock_today().open.iter().any(|log| log.name() == name)
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
            if unused && log.name().page >= page {
                ended.push(LogPosition { name: log.name(), position: end });
            }
            !unused
        });
        state.ended.append(&mut ended);
        state.ended.retain(|log| log.name.page >= page);
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

    /// Gives back what was made ready behind the last frames, for nothing is appended any more. What could not be given back stays: it
    /// costs space until the page is closed.
    pub(crate) fn cut_ahead(&self) {
        let state = self.lock();
        for log in state.bucket.iter().chain(&state.journal).chain(&state.spare) {
            let _ = log.cut_ahead();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, with nothing of yesterday in it that would be appended to.
    fn lock_today(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let page = (self.today)(&self.disk);
        // A clock that was set back does not bring an old page back: names in it may be in use.
        if page > state.page {
            let open = std::mem::take(&mut state.open);
            let mut ended = std::mem::take(&mut state.ended);
            ended.retain(|log| log.name.page >= page);
            *state = State { open, ended, leased: state.leased, ..State::empty(page) };
        }
        state
    }

    fn is_usable(&self, log: &LogFile) -> bool {
        log.tail() < self.disk.sizes().log_full_bytes && !log.is_broken()
    }
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
        state.leased -= 1;
        let fits = state.spare.len() + state.leased < self.logs.leases_most;
        if fits && self.log.name().page == state.page && self.logs.is_usable(&self.log) {
            state.spare.push(Arc::clone(&self.log));
        }
    }
}

/// How many buckets this process may lease.
fn leases_most() -> usize {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(now, _)| now);
    usize::try_from(files / 4).unwrap_or(LEASES_MOST).clamp(LEASES_LEAST, LEASES_MOST)
}

/// The pages behind `page` that have folders: the clock was set back.
fn later_pages(disk: &Disk, pages: &Path, page: PageId) -> Result<Vec<PageId>> {
    let entries = match disk.read_dir(pages) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io(pages, "read")(error)),
    };
    let mut later = Vec::new();
    for entry in entries {
        later.extend(parse_page_name(&entry.name).filter(|found| *found > page));
    }
    later.sort_unstable();
    Ok(later)
}

/// Makes a part of a log durable, as far as it goes, that its owner did not sync, or could not: octets of a failed sync are written by the
/// next one only if they are put there once more.
pub(crate) fn write_again(disk: &Disk, path: &Path, part: Range<u64>) -> Result<()> {
    let file = put_again(disk, path, part)?;
    file.sync_data().map_err(StoreError::io(path, "sync"))
}

/// As `write_again`, for who syncs the file later.
pub(crate) fn put_again(disk: &Disk, path: &Path, part: Range<u64>) -> Result<DiskFile> {
    const STEP_BYTES: u64 = 1 << 20;
    let again = || {
        let file = disk.open_writable(path)?;
        let end = part.end.min(file.len()?);
        let mut at = part.start;
        while at < end {
            let mut octets = vec![0; STEP_BYTES.min(end - at) as usize];
            file.read_exact_at(&mut octets, at)?;
            file.write_all_at(&octets, at)?;
            at += octets.len() as u64;
        }
        Ok(file)
    };
    again().map_err(StoreError::io(path, "write"))
}

/// The file of a log.
pub(crate) fn log_path(pages: &Path, name: LogName) -> PathBuf {
    pages.join(page_name(name.page)).join(name.file_name())
}

/// All logs in the folder of `page`, in the order of their names; none if there is no such folder.
pub(crate) fn logs_of_page(disk: &Disk, pages: &Path, page: PageId) -> Result<Vec<LogName>> {
    let folder = pages.join(page_name(page));
    let entries = match disk.read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io(&folder, "read")(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(LogName::parse(page, &entry.name));
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests;
