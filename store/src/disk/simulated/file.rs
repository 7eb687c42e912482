//! An open file of a simulated disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::faults::{Call, Failure, part_written};
use super::tree::NodeId;
use super::{SimulatedDisk, State};
use crate::disk::real::RealFile;

#[derive(Clone, Debug)]
pub(in crate::disk) struct SimulatedFile {
    disk: SimulatedDisk,
    node: NodeId,
    /// Its name when it was opened.
    path: Arc<PathBuf>,
    file: RealFile,
}

impl SimulatedFile {
    pub(super) fn new(disk: SimulatedDisk, node: NodeId, path: &Path, file: File) -> SimulatedFile {
        SimulatedFile { disk, node, path: Arc::new(path.to_path_buf()), file: RealFile::over(file) }
    }

    pub(in crate::disk) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        drop(self.disk.begin(Call::Read)?);
        self.file.read_at(bytes, offset)
    }

    pub(in crate::disk) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_parts_at(&[bytes], offset)
    }

    pub(in crate::disk) fn write_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        let bytes = parts.concat();
        let mut guard = self.disk.lock();
        let state = &mut *guard;
        if let Err(failure) = state.faults.call(Call::Write) {
            let part = if state.faults.is_off() { 0 } else { part_written(bytes.len(), &mut state.random) };
            self.put(state, &bytes[..part], offset)?;
            return Err(failure.error());
        }
        let needed = self.missing(state, offset + bytes.len() as u64)?;
        let short = needed - state.faults.take_room(needed);
        let part = bytes.len() - usize::try_from(short).unwrap_or(bytes.len()).min(bytes.len());
        self.put(state, &bytes[..part], offset)?;
        if short == 0 { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn put(&self, state: &mut State, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.file.file().write_all_at(bytes, offset)?;
        self.reserve(state, offset + bytes.len() as u64);
        if let Some(file) = state.tree.file_mut(self.node) {
            file.durable.written(offset, bytes.len() as u64);
        }
        Ok(())
    }

    /// How many octets have no space yet, if the file is to go up to `end`.
    fn missing(&self, state: &State, end: u64) -> io::Result<u64> {
        let len = self.file.file().metadata()?.len();
        let reserved = state.tree.file(self.node).map_or(0, |file| file.reserved);
        Ok(end.saturating_sub(len.max(reserved)))
    }

    fn reserve(&self, state: &mut State, end: u64) {
        if let Some(file) = state.tree.file_mut(self.node) {
            file.reserved = file.reserved.max(end);
        }
    }

    pub(in crate::disk) fn sync_data(&self) -> io::Result<()> {
        self.sync_all()
    }

    pub(in crate::disk) fn sync_all(&self) -> io::Result<()> {
        self.disk.between_points(Call::Sync, &self.path, || {
            let mut guard = self.disk.lock();
            let state = &mut *guard;
            let outcome = state.faults.call(Call::Sync);
            if state.faults.is_off() {
                return outcome.map_err(Failure::error);
            }
            // A file that is gone for good has no more to lose.
            let Some(file) = state.tree.file_mut(self.node) else { return outcome.map_err(Failure::error) };
            let current = file.current()?;
            match outcome {
                Ok(()) => file.durable.sync(current),
                Err(_) => file.durable.fail(&current, &mut state.random),
            }
            outcome.map_err(Failure::error)
        })
    }

    pub(in crate::disk) fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.begin(Call::SetLen)?;
        let before = self.file.file().metadata()?.len();
        self.file.set_len(bytes)?;
        if bytes < before
            && let Some(file) = state.tree.file_mut(self.node)
        {
            file.reserved = bytes;
        }
        Ok(())
    }

    pub(in crate::disk) fn allocate(&self, offset: u64, bytes: u64, keep_size: bool) -> io::Result<()> {
        let mut guard = self.disk.begin(Call::Allocate)?;
        let state = &mut *guard;
        let needed = self.missing(state, offset + bytes)?;
        let taken = state.faults.take_room(needed);
        if taken < needed {
            state.faults.give_room(taken);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.allocate(offset, bytes, keep_size)?;
        self.reserve(state, offset + bytes);
        Ok(())
    }

    pub(in crate::disk) fn punch(&self, offset: u64, bytes: u64) -> io::Result<()> {
        drop(self.disk.begin(Call::Allocate)?);
        self.file.punch(offset, bytes)
    }

    pub(in crate::disk) fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.file.set_modified(time)
    }

    pub(in crate::disk) fn mutated(&self, mutation: crate::disk::Mutation) -> bool {
        self.disk.mutated(mutation)
    }

    pub(in crate::disk) fn file(&self) -> &Arc<File> {
        self.file.file()
    }
}
