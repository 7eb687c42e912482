//! Finds out what there is to copy, and where each log ends at one moment.
//!
//! A log that nobody appends to any more is known by its writer's checkpoint, which names every log that frames may still come into; what it does not
//! name is copied once, and one look at the file (length, date, inode) says later that nothing was changed. All others end where they end
//! while all lock stripes are held: then no change is half-way, and what one frame needs of others is in the logs, too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;

use crate::backup::manifest::{Manifest, Stamp};
use crate::checkpoint::Checkpoint;
use crate::error::{Result, StoreError};
use crate::ids::PageId;
use crate::log::frame::LOG_HEAD_BYTES;
use crate::log::logs::{log_path, logs_of_page};
use crate::log::{LogName, LogReader};
use crate::store::Store;

/// What is to be done about one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// It is as it was when it was copied.
    Nothing,
    /// Nobody appends to it any more: it is looked at up to its file's end.
    Closed(Stamp),
    /// Frames may still come: those up to here are of the backup.
    Open { end: u64 },
}

/// All logs of the store, and what is to be done about each.
pub(super) struct Survey<'a> {
    store: &'a Store,
    before: Option<&'a Manifest>,
    checkpoints: HashMap<u16, Checkpoint>,
    pub(super) works: BTreeMap<LogName, Work>,
    /// The day on which the survey began.
    first_day: PageId,
}

impl<'a> Survey<'a> {
    /// Lists all logs; those that are open are looked through up to about where they end now.
    pub(super) fn begin(store: &'a Store, before: Option<&'a Manifest>) -> Result<Survey<'a>> {
        let first_day = store.derived.disk.today();
        let mut survey =
            Survey { store, before, checkpoints: HashMap::new(), works: BTreeMap::new(), first_day };
        for page in store.pages.all()? {
            for name in logs_of_page(&store.derived.disk, store.pages.root(), page)? {
                if let Some(work) = survey.look_at(name)? {
                    survey.works.insert(name, work);
                }
            }
        }
        Ok(survey)
    }

    /// `None` if the log is gone, or was never written.
    fn look_at(&mut self, name: LogName) -> Result<Option<Work>> {
        let store = self.store;
        let known = self.before.and_then(|before| before.entry(name));
        let checkpoint = match self.checkpoints.entry(name.writer) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let partition = store.partition();
                entry.insert(Checkpoint::read(&store.derived.disk, partition, name.writer)?)
            }
        };
        let path = log_path(store.pages.root(), name);
        let closed = || {
            let stamp = match store.derived.disk.metadata(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                metadata => stamp_of(&metadata.map_err(StoreError::io(&path, "look at"))?),
            };
            let same = known.is_some_and(|entry| entry.stamp == Some(stamp));
            Ok(Some(if same { Work::Nothing } else { Work::Closed(stamp) }))
        };
        let Some(from) = checkpoint.replay_from(name) else { return closed() };
        match LogReader::open(&store.derived.disk, &path, name) {
            // A clock that was set back has the checkpoint name it once more.
            Ok(Some(reader)) if reader.is_packed() => closed(),
            Ok(Some(reader)) => {
                let copied = known.filter(|entry| entry.id == reader.head().id && self.is_same_epoch());
                let from = copied.map_or(from, |entry| entry.len.max(from));
                Ok(Some(Work::Open { end: reader.end_of_frames(from)? }))
            }
            Ok(None) => Ok(None),
            // Its head cannot be read: nobody appends to it.
            Err(StoreError::Corrupt { .. }) => closed(),
            Err(error) => Err(error),
        }
    }

    /// Whether no power cut came since the backup before: after one, frames that it has may be gone.
    pub(super) fn is_same_epoch(&self) -> bool {
        self.before.is_some_and(|before| before.epoch == self.store.derived.epoch)
    }

    /// Finds the ends of all open logs at one moment, at which no change is half-way. Returns that moment, in seconds since 1970.
    pub(super) fn cut(&mut self) -> Result<u64> {
        let taken = self.store.take_all()?;
        let disk = &self.store.derived.disk;
        let seconds = disk.now_seconds();
        for name in self.new_logs()? {
            if let Some(work) = self.look_at(name)? {
                self.works.insert(name, work);
            }
        }
        for (name, work) in &mut self.works {
            let Work::Open { end } = work else { continue };
            let path = log_path(self.store.pages.root(), *name);
            if let Some(reader) = LogReader::open(disk, &path, *name)? {
                *end = reader.end_of_frames((*end).max(LOG_HEAD_BYTES))?;
            }
        }
        drop(taken);
        Ok(seconds)
    }

    /// Logs that were made since `begin`: they are of its day or of a later one, or of this day if the clock was set back.
    fn new_logs(&self) -> Result<Vec<LogName>> {
        let today = self.store.derived.disk.today();
        let oldest = PageId(self.first_day.min(today).0.saturating_sub(1));
        let mut pages: BTreeSet<PageId> = self
            .works
            .iter()
            .filter(|(_, work)| matches!(work, Work::Open { .. }))
            .map(|(name, _)| name.page)
            .collect();
        pages.extend(self.store.pages.all()?.into_iter().filter(|page| *page >= oldest));
        let mut new = Vec::new();
        for page in pages {
            let logs = logs_of_page(&self.store.derived.disk, self.store.pages.root(), page)?;
            new.extend(logs.into_iter().filter(|name| !self.works.contains_key(name)));
        }
        Ok(new)
    }
}

pub(super) fn stamp_of(metadata: &std::fs::Metadata) -> Stamp {
    let seconds = u64::try_from(metadata.mtime()).unwrap_or_default();
    let nanoseconds = u64::try_from(metadata.mtime_nsec()).unwrap_or_default();
    let modified_ns = seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
    Stamp { len: metadata.len(), modified_ns, inode: metadata.ino() }
}
