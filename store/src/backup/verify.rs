//! Whether a backup is whole: every file that its manifest names, octet by octet.

use std::path::Path;

use crate::backup::folder::BackupFolder;
use crate::backup::manifest::{Entry, Manifest};
use crate::backup::{FaultInFile, Progress};
use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::log::frame::{LOG_HEAD_BYTES, LogHead};
use crate::log::pack::end_of_whole;
use crate::log::{FrameWalk, LogName, LogReader};

const STEP_BYTES: u64 = 1 << 20;

/// What there is in a backup, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many backups there were into this folder.
    pub generation: u64,
    /// The moment of which the backup is, seconds since 1970.
    pub seconds: u64,
    /// Logs.
    pub logs: u64,
    /// Octets of log.
    pub octets: u64,
    /// Whole messages.
    pub messages: u64,
    /// Messages that the store had given up already: nobody had them any more.
    pub given_up: u64,
    /// What is not as it was written; at most some hundred a log.
    pub faults: Vec<FaultInFile>,
}

/// Reads the whole backup in `folder` and verifies heads, checksums, and the hash of every message.
///
/// Errors: `Unusable` if there is no backup, `Busy` if one is being made there, `Corrupt` if its manifest is damaged, `Io`.
pub fn verify(disk: &Disk, folder: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Verified> {
    let held = BackupFolder::for_reading(disk, folder)?;
    let manifest = complete(disk, &held)?;
    let mut verified = Verified {
        generation: manifest.generation,
        seconds: manifest.seconds,
        logs: manifest.entries.len() as u64,
        ..Verified::default()
    };
    let total_octets = manifest.entries.iter().map(|entry| entry.len).sum();
    let mut shown = Progress { done_octets: 0, total_octets };
    for entry in &manifest.entries {
        let mut passed = |octets| {
            shown.done_octets += octets;
            progress(shown);
        };
        verify_entry(disk, folder, entry, &mut verified, &mut passed)?;
        verified.octets += entry.len;
    }
    Ok(verified)
}

/// The manifest of a backup that was completed.
pub(super) fn complete(disk: &Disk, held: &BackupFolder) -> Result<Manifest> {
    Manifest::read(disk, &held.path)?.ok_or_else(|| StoreError::Unusable {
        path: held.path.clone(),
        reason: "no backup was completed there".to_string(),
    })
}

fn verify_entry(
    disk: &Disk,
    folder: &Path,
    entry: &Entry,
    verified: &mut Verified,
    passed: &mut dyn FnMut(u64),
) -> Result<()> {
    let path = entry.path(folder);
    let mut fault = |offset, what| verified.faults.push(FaultInFile { path: path.clone(), offset, what });
    let file = match disk.open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fault(0, "the file is missing");
            return Ok(());
        }
        file => file.map_err(StoreError::io(&path, "open"))?,
    };
    let len = file.len().map_err(StoreError::io(&path, "look at"))?;
    if len < entry.len {
        fault(len, "the file is cut");
    }
    let mut head = [0; LOG_HEAD_BYTES as usize];
    file.read_up_to(&mut head, 0).map_err(StoreError::io(&path, "read"))?;
    let head = LogHead::decode(&head).filter(|head| head.name == entry.name && head.id == entry.id);
    if head.is_none() {
        fault(0, "the log's head");
    }
    if head.is_some_and(|head| head.packed.is_some()) {
        // No frame lies in it as it is.
        if !is_whole_if_packed(disk, &path, entry.name)? {
            fault(0, "a block of a compressed journal");
        }
        passed(len.saturating_sub(LOG_HEAD_BYTES));
        return Ok(());
    }
    let mut walk = FrameWalk::new(entry.id, LOG_HEAD_BYTES);
    let end = entry.len.min(len);
    let mut buffer = vec![0; STEP_BYTES as usize];
    let mut at = LOG_HEAD_BYTES;
    while at < end {
        let bytes = &mut buffer[..(end - at).min(STEP_BYTES) as usize];
        file.read_exact_at(bytes, at).map_err(StoreError::io(&path, "read"))?;
        walk.push(bytes);
        at += bytes.len() as u64;
        passed(bytes.len() as u64);
    }
    // A log that nobody appended to any more may end in zeros.
    let walked = walk.finish(entry.stamp.is_none().then_some(entry.len));
    for one in &walked.faults {
        verified.faults.push(FaultInFile { path: path.clone(), offset: one.offset, what: one.what });
    }
    if walked.messages < entry.messages && walked.fault_count == 0 {
        let what = "fewer messages than were copied";
        verified.faults.push(FaultInFile { path: path.clone(), offset: walked.end, what });
    }
    verified.messages += walked.messages - walked.given_up;
    verified.given_up += walked.given_up;
    Ok(())
}

/// Whether all of a compressed journal can be read. True of any other log.
pub(super) fn is_whole_if_packed(disk: &Disk, path: &Path, name: LogName) -> Result<bool> {
    match LogReader::open(disk, path, name) {
        Ok(Some(reader)) if reader.is_packed() => Ok(end_of_whole(&reader)? == Some(reader.len()?)),
        // What is wrong with a head is told where it is read.
        Ok(_) | Err(StoreError::Corrupt { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}
