//! Backups: the logs of a store as of one moment, in a folder of their own, made while the store is in use. Nothing that is derived is in them. Formats and
//! the argument for their consistency: `FORMAT.md`, "Backup".
//!
//! - `run` (here): one backup, which copies what came since the last
//! - `survey`: what is to be copied, and the moment
//! - `copy`: octets, verified as they pass
//! - `given_up`: messages that nobody has any more leave the backup, too
//! - `manifest`, `folder`: what a backup's folder holds, and whose it is
//! - `verify`: whether a backup is whole
//! - `place`: a backup as a store
//!
//! Called by `lode backup` and `lode restore`.

mod copy;
mod folder;
mod given_up;
mod manifest;
mod place;
mod survey;
#[cfg(test)]
mod tests;
mod verify;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StoreError};
use crate::gc::gate::Gate;
use crate::log::frame::{LOG_HEAD_BYTES, LogHead};
use crate::log::logs::log_path;
use crate::log::{Fault, FrameWalk, LogName, LogReader};
use crate::store::Store;
use copy::copy_range;
use folder::{BackupFolder, absolute, store_id};
use given_up::GivenUp;
use manifest::{Entry, Manifest, Stamp};
use survey::{Survey, Work};

pub use place::{PlaceHow, Placed, lay_out};
pub use verify::{Verified, verify};

/// Steps of who gives space back are short.
const GATE_WAIT_MOST: Duration = Duration::from_secs(60);

/// How far a long work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Octets that are done.
    pub done_octets: u64,
    /// Octets that there are.
    pub total_octets: u64,
}

/// Something in a file that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultInFile {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What is wrong.
    pub what: &'static str,
}

/// What a backup did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// How many backups there were into this folder, this one counted.
    pub generation: u64,
    /// The moment of which the backup is, seconds since 1970.
    pub seconds: u64,
    /// Logs in the backup.
    pub logs: u64,
    /// Those of them of which something was copied.
    pub logs_copied: u64,
    /// Octets of log in the backup, holes counted.
    pub octets: u64,
    /// Octets of log copied by this run, up to the last frame of each, holes counted.
    pub octets_copied: u64,
    /// Octets written by this run.
    pub octets_written: u64,
    /// Octets of messages that the store has given up since they were copied, and the backup now, too.
    pub octets_given_up: u64,
    /// Messages in the backup, as far as it copied them.
    pub messages: u64,
    /// Messages copied by this run.
    pub messages_copied: u64,
    /// What was found damaged in the store on the way; at most some hundred a log.
    pub faults: Vec<FaultInFile>,
}

/// Whether the store and `folder` are on one file system, so that a sync of the one that fails may have dropped what is the other's.
fn is_on_one_disk(store: &Store, folder: &Path) -> Result<bool> {
    let device = |path: &Path| {
        let metadata = store.derived.disk.metadata(path).map_err(StoreError::io(path, "look at"));
        metadata.map(|metadata| metadata.dev())
    };
    Ok(device(store.path())? == device(folder)?)
}

/// Backs the store up into `target`, which is made if it is missing: copies what came since the backup that is there. Until this returns without an error, the
/// backup before is the one that counts, whatever happens. `progress` is told now and then.
///
/// Errors: `Unusable` if the folder is another store's backup or something else, or inside the store; `Busy` if another process works on it, or a lock of
/// the store is not to be had; `Io`.
pub fn run(store: &Store, target: &Path, progress: &mut dyn FnMut(Progress)) -> Result<BackupReport> {
    let disk = &store.derived.disk;
    let target = absolute(target)?;
    if target.starts_with(absolute(store.path())?) {
        let reason = "it is inside the store; choose a folder elsewhere, best on another disk".to_string();
        return Err(StoreError::Unusable { path: target, reason });
    }
    let folder = BackupFolder::for_backup(disk, &target, store_id(disk, store.path())?)?;
    let before = Manifest::read(disk, &folder.path)?;
    // Whatever is listed from here on stays where it is and as it is, but for frames that are appended.
    let _gate = Gate::shared(&store.runtime_dir, GATE_WAIT_MOST)?;
    let is_on_one_disk = is_on_one_disk(store, &folder.path)?;
    let failed_syncs = store.locks.failed_syncs();
    let mut survey = Survey::begin(store, before.as_ref())?;
    let seconds = survey.cut()?;
    let mut run = Run {
        store,
        folder: &folder,
        same_epoch: survey.is_same_epoch(),
        before: before.as_ref(),
        generation: before.as_ref().map_or(1, |before| before.generation + 1),
        entries: Vec::new(),
        given_up: Vec::new(),
        report: BackupReport::default(),
    };
    run.copy_all(survey.works, progress)?;
    let Run { entries, given_up, mut report, generation, .. } = run;
    // All octets and names before the manifest that counts them in.
    let synced = disk.sync_file_system(&folder.path).map_err(StoreError::io(&folder.path, "sync"));
    if is_on_one_disk {
        // What it has dropped may be the store's own.
        store.committer.note_sync(synced)?;
        if store.locks.failed_syncs() != failed_syncs {
            // What another process's sync has dropped may be the backup's, and then this sync went well without it.
            let what =
                "a sync on the backup's disk has failed meanwhile; back up again, best to another disk";
            return Err(StoreError::Failed(what.to_string()));
        }
    } else {
        synced?;
    }
    let epoch = store.derived.epoch;
    let manifest = Manifest { store_id: folder.store_id, generation, epoch, seconds, entries };
    manifest.write(disk, &folder.path)?;
    report.generation = generation;
    report.seconds = seconds;
    report.logs = manifest.entries.len() as u64;
    report.octets = manifest.entries.iter().map(|entry| entry.len).sum();
    report.messages = manifest.entries.iter().map(|entry| entry.messages).sum();
    remove_leftovers(disk, &folder.path, &manifest)?;
    for log in given_up {
        report.octets_given_up += log.give_up(disk)?;
    }
    Ok(report)
}

/// A log on its way.
struct Task<'a> {
    name: LogName,
    work: Work,
    source: DiskFile,
    source_path: PathBuf,
    /// Its id; `None` if that cannot be read.
    id: Option<u64>,
    head_damage: Option<&'static str>,
    /// What the backup has of it, if that is gone on with.
    known: Option<&'a Entry>,
    to: u64,
}

impl Task<'_> {
    fn from(&self) -> u64 {
        self.known.map_or(0, |known| known.len.min(self.to))
    }
}

struct Run<'a> {
    store: &'a Store,
    folder: &'a BackupFolder,
    before: Option<&'a Manifest>,
    same_epoch: bool,
    generation: u64,
    entries: Vec<Entry>,
    /// What is to be given up in the backup once the manifest is there.
    given_up: Vec<GivenUp>,
    report: BackupReport,
}

impl<'a> Run<'a> {
    fn copy_all(
        &mut self,
        works: std::collections::BTreeMap<LogName, Work>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let mut shown = Progress::default();
        // An estimate, for the bar: what is known already need not be opened for it.
        for (name, work) in &works {
            let has = self.known(*name).map_or(0, |entry| entry.len);
            shown.total_octets += match work {
                Work::Nothing => 0,
                Work::Closed(stamp) => stamp.len.saturating_sub(has),
                Work::Open { end } => end.saturating_sub(has),
            };
        }
        progress(shown);
        for (name, work) in works {
            match (work, self.known(name)) {
                (Work::Nothing, Some(entry)) => self.entries.push(entry.clone()),
                _ => {
                    let mut passed = |octets| {
                        shown.done_octets += octets;
                        shown.total_octets = shown.total_octets.max(shown.done_octets);
                        progress(shown);
                    };
                    if let Some(task) = self.task(name, work)? {
                        self.copy(&task, &mut passed)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn known(&self, name: LogName) -> Option<&'a Entry> {
        self.before.and_then(|before| before.entry(name))
    }

    /// `None` if the log is gone.
    fn task(&self, name: LogName, work: Work) -> Result<Option<Task<'a>>> {
        let disk = &self.store.derived.disk;
        let source_path = log_path(self.store.pages.root(), name);
        let source = match disk.open(&source_path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            source => source.map_err(StoreError::io(&source_path, "open"))?,
        };
        let mut head = [0; LOG_HEAD_BYTES as usize];
        source.read_up_to(&mut head, 0).map_err(StoreError::io(&source_path, "read"))?;
        // A compressed journal is another file than the journal was, with an id of its own.
        let of_file = LogHead::decode(&head).filter(|head| head.name == name).map(|head| head.id);
        let (id, head_damage) = match LogReader::open(disk, &source_path, name) {
            Ok(Some(reader)) => (Some(of_file.unwrap_or(reader.head().id)), reader.head_damage()),
            // Its maker died before it was a log.
            Ok(None) => return Ok(None),
            Err(StoreError::Corrupt { what, .. }) => (None, Some(what)),
            Err(error) => return Err(error),
        };
        let to = match work {
            Work::Open { end } => end,
            Work::Closed(_) | Work::Nothing => {
                source.len().map_err(StoreError::io(&source_path, "look at"))?
            }
        };
        let known = self.known(name).filter(|entry| {
            // What was open when the machine went down may have lost frames that the backup has.
            Some(entry.id) == id && (entry.stamp.is_some() || self.same_epoch)
        });
        Ok(Some(Task { name, work, source, source_path, id, head_damage, known, to }))
    }

    fn copy(&mut self, task: &Task<'_>, passed: &mut dyn FnMut(u64)) -> Result<()> {
        let disk = &self.store.derived.disk;
        let stamp = match task.work {
            Work::Closed(stamp) => Some(stamp),
            Work::Open { .. } | Work::Nothing => None,
        };
        let copy = match (task.known, self.known(task.name)) {
            (Some(known), _) => known.copy,
            (None, Some(_)) => self.generation,
            (None, None) => 0,
        };
        let mut entry = Entry {
            name: task.name,
            id: task.id.unwrap_or(0),
            len: task.to,
            messages: task.known.map_or(0, |known| known.messages),
            stamp,
            copy,
        };
        let path = entry.path(&self.folder.path);
        if let Some(known) = task.known.filter(|known| known.len > task.to) {
            // Zeros ahead of the last frame were cut off, or else the log was: then the backup keeps what it has.
            if !is_zero_from(disk, &path, task.to, known.len)? {
                let what = "the log is shorter than its backup, which keeps what it has";
                self.report.faults.push(FaultInFile {
                    path: task.source_path.clone(),
                    offset: task.to,
                    what,
                });
                entry.len = known.len;
            }
            self.entries.push(entry);
            return Ok(());
        }
        if let Some(known) = task.known.filter(|_| stamp.is_some()) {
            let given_up = GivenUp::find(disk, (&task.source_path, &path), task.name, known.len)?;
            if let Some(given_up) = given_up {
                // Until that is done, the log is looked at again. Nobody appends to it all the same: it may end in zeros.
                entry.stamp = stamp.map(|stamp| Stamp { modified_ns: 0, ..stamp });
                self.given_up.push(given_up);
            }
        }
        let mut from = task.from();
        if from < task.to {
            if let Some(folder) = path.parent() {
                disk.create_dir_all(folder).map_err(StoreError::io(folder, "make"))?;
            }
            let target = disk.open_or_create(&path).map_err(StoreError::io(&path, "open"))?;
            let ends = ((&task.source, &*task.source_path), (&target, &*path));
            let mut unread = FrameWalk::new(0, 0);
            if from == 0 {
                // The log's head is no frame.
                from = LOG_HEAD_BYTES.min(task.to);
                let written = copy_range(ends.0, ends.1, 0, from, &mut unread, passed)?;
                self.report.octets_written += written;
                self.report.octets_copied += from;
            }
            let mut walk = FrameWalk::new(entry.id, from);
            let written = copy_range(ends.0, ends.1, from, task.to, &mut walk, passed)?;
            let known_end = matches!(task.work, Work::Open { .. }).then_some(task.to);
            let walked = walk.finish(known_end);
            entry.messages += walked.messages;
            self.report.messages_copied += walked.messages;
            self.report.octets_written += written;
            // Zeros ahead of the last frame are none of the log's.
            self.report.octets_copied += walked.end.min(task.to).saturating_sub(from);
            self.report.logs_copied += 1;
            self.report.faults.extend(task.faults(&walked.faults));
            if !verify::is_whole_if_packed(disk, &task.source_path, task.name)? {
                let fault = Fault { offset: LOG_HEAD_BYTES, what: "a block of a compressed journal" };
                self.report.faults.extend(task.faults(&[fault]));
            }
        }
        self.entries.push(entry);
        Ok(())
    }
}

impl Task<'_> {
    fn faults(&self, faults: &[Fault]) -> Vec<FaultInFile> {
        let head = self.head_damage.map(|what| Fault { offset: 0, what });
        let all = head.into_iter().chain(faults.iter().copied());
        let path = &self.source_path;
        all.map(|Fault { offset, what }| FaultInFile { path: path.clone(), offset, what }).collect()
    }
}

/// Whether octets `from..to` of a file are zeros, or beyond its end.
fn is_zero_from(disk: &Disk, path: &Path, from: u64, to: u64) -> Result<bool> {
    let file = disk.open(path).map_err(StoreError::io(path, "open"))?;
    let mut buffer = vec![0; 64 << 10];
    let mut at = from;
    while at < to {
        let step = (to - at).min(buffer.len() as u64) as usize;
        let read = file.read_up_to(&mut buffer[..step], at).map_err(StoreError::io(path, "read"))?;
        if buffer[..read].iter().any(|octet| *octet != 0) {
            return Ok(false);
        }
        at += step as u64;
    }
    Ok(true)
}

/// Removes copies that the manifest does not name: replaced ones, those of logs that are gone, and what a backup that was cut short left.
fn remove_leftovers(disk: &Disk, backup: &Path, manifest: &Manifest) -> Result<()> {
    // Nobody restores a part meanwhile: who does holds the folder.
    for entry in disk.read_dir(backup).map_err(StoreError::io(backup, "read"))? {
        if entry.is_dir && entry.name.starts_with("restoring.") {
            let path = backup.join(&entry.name);
            disk.remove_dir_all(&path).map_err(StoreError::io(&path, "remove"))?;
        }
    }
    let wanted: std::collections::HashSet<PathBuf> =
        manifest.entries.iter().map(|entry| entry.path(backup)).collect();
    let pages = backup.join("pages");
    if !disk.is_dir(&pages) {
        return Ok(());
    }
    for page in disk.read_dir(&pages).map_err(StoreError::io(&pages, "read"))? {
        let folder = pages.join(&page.name);
        if !page.is_dir {
            continue;
        }
        let files = disk.read_dir(&folder).map_err(StoreError::io(&folder, "read"))?;
        let mut left = 0;
        for file in files.iter().filter(|file| !file.is_dir) {
            let path = folder.join(&file.name);
            if wanted.contains(&path) {
                left += 1;
            } else {
                disk.remove_file(&path).map_err(StoreError::io(&path, "remove"))?;
            }
        }
        if left == 0 && files.iter().all(|file| !file.is_dir) {
            disk.remove_dir_all(&folder).map_err(StoreError::io(&folder, "remove"))?;
        }
    }
    Ok(())
}
