//! What a simulated disk does when it is asked what [`Disk`](crate::disk::Disk) is asked.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

use super::faults::Call;
use super::file::SimulatedFile;
use super::tree::{FileNode, Folder, Node};
use super::{SimulatedDisk, State};
use crate::disk::{DirEntry, DiskFile, Mutation, Sizes};
use crate::error::Result;

impl SimulatedDisk {
    pub(in crate::disk) fn open(&self, path: &Path) -> io::Result<DiskFile> {
        let state = self.begin(Call::Open)?;
        let node = self.find(&state, path)?;
        Ok(SimulatedFile::new(self.clone(), node, path, File::open(path)?).into())
    }

    pub(in crate::disk) fn open_writable(&self, path: &Path) -> io::Result<DiskFile> {
        let mut state = self.begin(Call::Open)?;
        let file = File::options().read(true).write(true).open(path)?;
        self.opened(&mut state, path, file)
    }

    pub(in crate::disk) fn create_new(&self, path: &Path) -> io::Result<DiskFile> {
        let mut state = self.begin(Call::Create)?;
        let (folder, name) = self.find_place(&state, path)?;
        check_room(&state)?;
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        let node = state.tree.add(Node::File(FileNode::default()));
        state.tree.set(folder, name, node);
        self.opened(&mut state, path, file)
    }

    pub(in crate::disk) fn open_or_create(&self, path: &Path) -> io::Result<DiskFile> {
        if path.exists() { self.open_writable(path) } else { self.create_new(path) }
    }

    pub(in crate::disk) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.between_points(Call::Rename, to, || {
            let mut state = self.begin(Call::Rename)?;
            let old = self.find_place(&state, from)?;
            let new = self.find_place(&state, to)?;
            fs::rename(from, to)?;
            if from != to {
                state.tree.rename(old, new);
            }
            Ok(())
        })
    }

    pub(in crate::disk) fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
        self.between_points(Call::Link, name, || {
            let mut state = self.begin(Call::Link)?;
            let node = self.find(&state, file)?;
            let (folder, new) = self.find_place(&state, name)?;
            fs::hard_link(file, name)?;
            state.tree.set(folder, new, node);
            Ok(())
        })
    }

    pub(in crate::disk) fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.remove(path, |path| fs::remove_file(path))
    }

    pub(in crate::disk) fn remove_dir_all(&self, folder: &Path) -> io::Result<()> {
        for entry in self.read_dir(folder)? {
            let path = folder.join(entry.name);
            if entry.is_dir { self.remove_dir_all(&path)? } else { self.remove_file(&path)? }
        }
        self.remove(folder, |path| fs::remove_dir(path))
    }

    fn remove(&self, path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        self.between_points(Call::Remove, path, || {
            let mut state = self.begin(Call::Remove)?;
            let (folder, name) = self.find_place(&state, path)?;
            let given_back = self.space_of(&state, path)?;
            remove(path)?;
            state.tree.remove(folder, name);
            state.faults.give_room(given_back);
            Ok(())
        })
    }

    /// Octets that a file gives back when it loses this name. (At once, also if somebody has it open.)
    fn space_of(&self, state: &State, path: &Path) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() || metadata.nlink() > 1 {
            return Ok(0);
        }
        let reserved = state.tree.file(self.find(state, path)?).map_or(0, |file| file.reserved);
        Ok(metadata.len().max(reserved))
    }

    pub(in crate::disk) fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin(Call::CreateFolder)?;
        let (folder, name) = self.find_place(&state, path)?;
        check_room(&state)?;
        fs::create_dir(path)?;
        let node = state.tree.add(Node::Folder(Folder::default()));
        state.tree.set(folder, name, node);
        Ok(())
    }

    pub(in crate::disk) fn read_dir(&self, folder: &Path) -> io::Result<Vec<DirEntry>> {
        drop(self.begin(Call::Look)?);
        crate::disk::real::RealDisk { clock: None }.read_dir(folder)
    }

    pub(in crate::disk) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        drop(self.begin(Call::Look)?);
        fs::metadata(path)
    }

    pub(in crate::disk) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.between_points(Call::SyncFolder, folder, || {
            let mut guard = self.lock();
            let state = &mut *guard;
            let node = self.find(state, folder)?;
            if let Err(failure) = state.faults.call(Call::SyncFolder) {
                if !state.faults.is_off() {
                    state.tree.write_back(&mut state.random);
                }
                return Err(failure.error());
            }
            state.tree.commit_all_of(node);
            Ok(())
        })
    }

    pub(in crate::disk) fn sync_file_system(&self, path: &Path) -> io::Result<()> {
        self.between_points(Call::SyncFileSystem, path, || {
            let mut guard = self.lock();
            let state = &mut *guard;
            self.find(state, path)?;
            let outcome = state.faults.call(Call::SyncFileSystem);
            if state.faults.is_off() {
                return outcome.map_err(|failure| failure.error());
            }
            for node in state.tree.files() {
                let Some(file) = state.tree.file_mut(node) else { continue };
                let current = file.current()?;
                match outcome {
                    Ok(()) => file.durable.sync(current),
                    // Which of the files it was that could not be written is not said.
                    Err(_) => file.durable.fail(&current, &mut state.random),
                }
            }
            if let Err(failure) = outcome {
                state.tree.write_back(&mut state.random);
                return Err(failure.error());
            }
            state.tree.commit_all();
            state.tree.sweep();
            Ok(())
        })
    }

    pub(in crate::disk) fn now_seconds(&self) -> u64 {
        self.lock().now_seconds
    }

    pub(in crate::disk) fn pause_ms(&self, _: u64) {}

    pub(in crate::disk) fn random_number(&self) -> Result<u64> {
        Ok(self.lock().random.number())
    }

    pub(in crate::disk) fn mutated(&self, mutation: Mutation) -> bool {
        crate::simulation::kill::count_question(mutation);
        cfg!(feature = "mutations") && self.0.mutation == Some(mutation)
    }

    pub(in crate::disk) fn sizes(&self) -> &Sizes {
        &self.0.sizes
    }

    /// Counts a call that is about to be made.
    pub(super) fn begin(&self, call: Call) -> io::Result<std::sync::MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.faults.call(call).map_err(|failure| failure.error())?;
        Ok(state)
    }

    /// A file was opened for writing.
    fn opened(&self, state: &mut State, path: &Path, file: File) -> io::Result<DiskFile> {
        let node = self.find(state, path)?;
        if let Some(known) = state.tree.file_mut(node)
            && known.memory.is_none()
        {
            // Another opening: locks on the one that the store gets go with it.
            known.memory = Some(File::open(path)?);
        }
        Ok(SimulatedFile::new(self.clone(), node, path, file).into())
    }
}

fn check_room(state: &State) -> io::Result<()> {
    if state.faults.has_room() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
}
