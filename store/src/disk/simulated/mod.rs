//! A disk that knows what of it a power cut would leave.
//!
//! The files are real ones, in a folder that had better be on a file system in memory: they are the page cache, so that mapping them works. Beside
//! them this module keeps what is durable: the octets of each file, and the names of each folder. At any moment it can write a *crash
//! image*, a folder as a power cut at that moment could have left it, while the run goes on (`image`).
//!
//! What it is strict about, where file systems may be kinder:
//! - Each sector of 512 octets gets to the disk by itself, in any order, and so does the length of the file (`content`).
//! - Names get to the disk folder by folder; the sync of a file says nothing of its name (`tree`).
//! - What a failed sync did not write is not written by the next one either.
//!
//! Everything that is drawn is drawn from seeds, and calls are counted (`faults`): the same run again does the same, if one thread makes it.

mod calls;
mod content;
mod faults;
mod file;
mod image;
mod random;
#[cfg(test)]
mod tests;
mod tree;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Backend, Disk, Mutation, Sizes};
use faults::Faults;
use tree::{FileNode, Folder, Names, Node, NodeId, ROOT, Tree};

pub use faults::{Call, Failure};
pub(super) use file::SimulatedFile;
pub use image::Image;
pub use random::Random;

/// How to make a simulated disk.
#[derive(Clone, Copy, Debug)]
pub struct SimulatedOptions {
    /// Of what is drawn while it runs.
    pub seed: u64,
    /// The time at first, in seconds since 1970.
    pub now_seconds: u64,
    /// How long files grow, and in which steps.
    pub sizes: Sizes,
    /// What a store on it does wrong, in a build with the feature `mutations`.
    pub mutation: Option<Mutation>,
}

impl SimulatedOptions {
    /// Small files, in the year 2026.
    pub fn new(seed: u64) -> SimulatedOptions {
        SimulatedOptions { seed, now_seconds: 20_779 * 86_400, sizes: Sizes::SMALL, mutation: None }
    }
}

/// A simulated disk. Clones are the same disk; [`SimulatedDisk::disk`] is what a store is given.
#[derive(Clone)]
pub struct SimulatedDisk(Arc<Inner>);

struct Inner {
    root: PathBuf,
    sizes: Sizes,
    mutation: Option<Mutation>,
    state: Mutex<State>,
    hook: Mutex<Hook>,
}

struct State {
    tree: Tree,
    faults: Faults,
    random: Random,
    now_seconds: u64,
    points: u64,
}

/// Called at each [`SyncPoint`].
pub type SyncHook = Box<dyn FnMut(&SyncPoint) + Send>;

#[derive(Default)]
struct Hook {
    hook: Option<SyncHook>,
    /// How often it was replaced: one that was, while it ran, does not come back.
    set: u64,
}

/// A moment that is worth a crash: next to a sync, or to a change of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncPoint {
    /// On which side.
    pub when: When,
    /// Next to what.
    pub call: Call,
    /// The how-manyth point of this disk, from 1; before and after are the same.
    pub number: u64,
    /// Of which file or folder; of a rename, the new name.
    pub path: PathBuf,
}

/// On which side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It was not begun.
    Before,
    /// It has returned, also if it failed.
    After,
}

impl std::fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedDisk").field("root", &self.0.root).finish_non_exhaustive()
    }
}

impl SimulatedDisk {
    /// A disk whose root is the folder `root`, made if it is missing. What is in it is durable, so a crash image can be gone on with.
    pub fn new(root: &Path, options: SimulatedOptions) -> io::Result<SimulatedDisk> {
        fs::create_dir_all(root)?;
        let mut tree = Tree::new();
        let names = adopt(&mut tree, root)?;
        tree.put_root(Folder::new(names));
        Ok(SimulatedDisk::over(root, tree, options))
    }

    fn over(root: &Path, tree: Tree, options: SimulatedOptions) -> SimulatedDisk {
        let state = State {
            tree,
            faults: Faults::default(),
            random: Random::new(options.seed),
            now_seconds: options.now_seconds,
            points: 0,
        };
        SimulatedDisk(Arc::new(Inner {
            root: root.to_path_buf(),
            sizes: options.sizes,
            mutation: options.mutation,
            state: Mutex::new(state),
            hook: Mutex::new(Hook::default()),
        }))
    }

    /// For the options of a store.
    pub fn disk(&self) -> Disk {
        Disk(Backend::Simulated(self.clone()))
    }

    /// The folder that all of the disk is in.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Sets the clock.
    pub fn set_now(&self, seconds: u64) {
        self.lock().now_seconds = seconds;
    }

    /// Moves the clock on.
    pub fn pass(&self, seconds: u64) {
        self.lock().now_seconds += seconds;
    }

    /// Has `hook` called before and after every sync (of a file, a folder, the file system) and every rename, link and removal. It may call
    /// anything of this disk; while it runs it is not called. `None` ends that: a hook that holds the disk keeps it from ever going away.
    pub fn on_sync(&self, hook: Option<SyncHook>) {
        let mut place = self.0.hook.lock().unwrap_or_else(PoisonError::into_inner);
        place.hook = hook;
        place.set += 1;
    }

    /// How many calls of that kind there were.
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().faults.made(call)
    }

    /// Has the `nth` call of that kind from now on fail, from 1.
    pub fn fail(&self, call: Call, nth: u64, failure: Failure) {
        self.lock().faults.plan(call, nth.max(1), failure);
    }

    /// How many of the planned failures have not come yet.
    pub fn failures_to_come(&self) -> usize {
        self.lock().faults.planned()
    }

    /// Nothing of what was planned fails any more.
    pub fn forget_failures(&self) {
        self.lock().faults.forget_planned();
    }

    /// Nothing fails while `run` runs, and its calls are not counted.
    pub fn without_faults<T>(&self, run: impl FnOnce() -> T) -> T {
        let faults = std::mem::take(&mut self.lock().faults);
        let outcome = run();
        self.lock().faults = faults;
        outcome
    }

    /// From now on there is room for so many octets more; `Some(0)` is a full disk, `None` one without an end. What lies in space that is taken
    /// already can always be written.
    pub fn set_room(&self, octets: Option<u64>) {
        self.lock().faults.set_room(octets);
    }

    /// From now on every call fails, and no file is kept: for the end of stores that a crash left behind, some of which nobody closes.
    pub fn power_off(&self) {
        let mut state = self.lock();
        state.faults.power_off();
        for node in state.tree.files() {
            if let Some(file) = state.tree.file_mut(node) {
                *file = FileNode::default();
            }
        }
    }

    /// Removes the root and all that is in it: nothing is asked of this disk any more. Its names are known, so no folder has to be read.
    pub fn remove_root(&self) {
        let state = self.lock();
        let mut folders = vec![(ROOT, self.0.root.clone())];
        let mut empty = Vec::new();
        while let Some((id, path)) = folders.pop() {
            for (name, node) in state.tree.folder(id).map(|folder| &folder.current).into_iter().flatten() {
                match state.tree.node(*node) {
                    Some(Node::Folder(_)) => folders.push((*node, path.join(name))),
                    _ => drop(fs::remove_file(path.join(name))),
                }
            }
            empty.push(path);
        }
        // What is below another folder comes after it.
        let removed = empty.iter().rev().all(|path| fs::remove_dir(path).is_ok());
        if !removed {
            let _ = fs::remove_dir_all(&self.0.root);
        }
    }

    /// Flips a bit of a file, on the medium and in memory.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> io::Result<()> {
        self.damage(path, |bytes| {
            if let Some(octet) = usize::try_from(bit / 8).ok().and_then(|place| bytes.get_mut(place)) {
                *octet ^= 1 << (bit % 8);
            }
        })
    }

    /// Cuts a file off, on the medium and in memory. Not while it is mapped.
    pub fn cut(&self, path: &Path, len: u64) -> io::Result<()> {
        self.damage(path, |bytes| bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX)))
    }

    fn damage(&self, path: &Path, change: impl Fn(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.lock();
        let node = self.find(&state, path)?;
        let mut bytes = fs::read(path)?;
        let length = bytes.len();
        change(&mut bytes);
        let file = fs::File::options().write(true).open(path)?;
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0)?;
        if bytes.len() < length {
            file.set_len(bytes.len() as u64)?;
        }
        if let Some(file) = state.tree.file_mut(node) {
            file.durable.damage(change);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        crate::simulation::kill::count_call();
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names from the root to `path`.
    fn names<'a>(&self, path: &'a Path) -> io::Result<Vec<&'a str>> {
        let outside = || {
            let what =
                format!("{} is outside of the simulated disk {}", path.display(), self.0.root.display());
            io::Error::new(io::ErrorKind::InvalidInput, what)
        };
        let below = path.strip_prefix(&self.0.root).map_err(|_| outside())?;
        below
            .components()
            .map(|component| match component {
                std::path::Component::Normal(name) => name.to_str().ok_or_else(outside),
                _ => Err(outside()),
            })
            .collect()
    }

    fn find(&self, state: &State, path: &Path) -> io::Result<NodeId> {
        state.tree.find(self.names(path)?).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The folder of `path` and its name there.
    fn find_place<'a>(&self, state: &State, path: &'a Path) -> io::Result<(NodeId, &'a str)> {
        let names = self.names(path)?;
        let (name, folders) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = state.tree.find(folders.iter().copied()).ok_or(io::ErrorKind::NotFound)?;
        Ok((folder, name))
    }

    /// Calls `call` between two points.
    fn between_points<T>(&self, call: Call, path: &Path, run: impl FnOnce() -> T) -> T {
        let number = {
            let mut state = self.lock();
            state.points += 1;
            state.points
        };
        self.point(SyncPoint { when: When::Before, call, number, path: path.to_path_buf() });
        let outcome = run();
        self.point(SyncPoint { when: When::After, call, number, path: path.to_path_buf() });
        outcome
    }

    fn point(&self, point: SyncPoint) {
        let place = || self.0.hook.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = place();
        let set = taken.set;
        let Some(mut hook) = taken.hook.take() else { return };
        drop(taken);
        hook(&point);
        let mut now = place();
        if now.set == set {
            now.hook = Some(hook);
        }
    }
}

/// Takes over what is in a folder.
fn adopt(tree: &mut Tree, folder: &Path) -> io::Result<Names> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<fs::DirEntry>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut names = Names::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let node = if entry.file_type()?.is_dir() {
            let below = adopt(tree, &entry.path())?;
            tree.add(Node::Folder(Folder::new(below)))
        } else {
            let bytes = fs::read(entry.path())?;
            tree.add(Node::File(FileNode::durable(Arc::new(bytes))))
        };
        names.insert(name, node);
    }
    Ok(names)
}
