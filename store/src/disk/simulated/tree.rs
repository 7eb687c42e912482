//! Which names are in which folder, now and on the disk.
//!
//! The names of a folder get to the disk in the order in which they were changed, each folder by itself: a power cut leaves what was durable and a
//! first part of what came after. A rename between two folders is on the disk in both or in neither.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::content::Durable;
use super::random::Random;

/// A file or folder, however it is called.
pub(super) type NodeId = u64;
pub(super) type Names = BTreeMap<String, NodeId>;

pub(super) const ROOT: NodeId = 0;

#[derive(Debug)]
pub(super) enum Node {
    File(FileNode),
    Folder(Folder),
}

#[derive(Debug, Default)]
pub(super) struct FileNode {
    pub(super) durable: Durable,
    /// The file in memory, once it was opened for writing: it may have lost its names. Before that, it holds what is durable.
    pub(super) memory: Option<File>,
    /// Space is taken up to here.
    pub(super) reserved: u64,
}

impl FileNode {
    /// A file all of which is durable.
    pub(super) fn durable(bytes: Arc<Vec<u8>>) -> FileNode {
        let reserved = bytes.len() as u64;
        FileNode { durable: Durable::new(bytes), memory: None, reserved }
    }

    /// What the file holds now, in memory.
    pub(super) fn current(&self) -> io::Result<Arc<Vec<u8>>> {
        let Some(memory) = &self.memory else { return Ok(Arc::clone(self.durable.bytes())) };
        let mut bytes = vec![0; usize::try_from(memory.metadata()?.len()).unwrap_or(usize::MAX)];
        memory.read_exact_at(&mut bytes, 0)?;
        let is_durable = bytes == **self.durable.bytes();
        Ok(if is_durable { Arc::clone(self.durable.bytes()) } else { Arc::new(bytes) })
    }
}

#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) current: Names,
    durable: Names,
    pending: Vec<Pending>,
}

/// A change of names that is not durable yet.
#[derive(Debug)]
struct Pending {
    change: NameChange,
    /// Which change it was of all, and the other folder that it was made in as well.
    partner: Option<(u64, NodeId)>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, NodeId),
    Remove(String),
    Rename(String, String),
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Set(name, node) => drop(names.insert(name.clone(), *node)),
            NameChange::Remove(name) => drop(names.remove(name)),
            NameChange::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

impl Folder {
    /// A folder with these names, all durable.
    pub(super) fn new(names: Names) -> Folder {
        Folder { current: names.clone(), durable: names, pending: Vec::new() }
    }

    fn change(&mut self, change: NameChange, partner: Option<(u64, NodeId)>) {
        change.apply(&mut self.current);
        self.pending.push(Pending { change, partner });
    }

    /// The names after a power cut that left so many changes.
    pub(super) fn names_after(&self, kept: usize) -> Names {
        let mut names = self.durable.clone();
        self.pending.iter().take(kept).for_each(|pending| pending.change.apply(&mut names));
        names
    }
}

/// How many of its changes each folder keeps; folders without any are not in it.
pub(super) type Kept = BTreeMap<NodeId, usize>;

/// All files and folders.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    next_node: NodeId,
    renames: u64,
}

impl Tree {
    pub(super) fn new() -> Tree {
        let nodes = BTreeMap::from([(ROOT, Node::Folder(Folder::default()))]);
        Tree { nodes, next_node: ROOT + 1, renames: 0 }
    }

    pub(super) fn add(&mut self, node: Node) -> NodeId {
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        id
    }

    pub(super) fn put_root(&mut self, folder: Folder) {
        self.nodes.insert(ROOT, Node::Folder(folder));
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(super) fn folder(&self, id: NodeId) -> Option<&Folder> {
        match self.nodes.get(&id) {
            Some(Node::Folder(folder)) => Some(folder),
            _ => None,
        }
    }

    fn folder_mut(&mut self, id: NodeId) -> Option<&mut Folder> {
        match self.nodes.get_mut(&id) {
            Some(Node::Folder(folder)) => Some(folder),
            _ => None,
        }
    }

    pub(super) fn file(&self, id: NodeId) -> Option<&FileNode> {
        match self.nodes.get(&id) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    pub(super) fn file_mut(&mut self, id: NodeId) -> Option<&mut FileNode> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    /// All files, in the order in which they were made.
    pub(super) fn files(&self) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, node)| matches!(node, Node::File(_))).map(|(id, _)| *id).collect()
    }

    fn folders(&self) -> impl Iterator<Item = (NodeId, &Folder)> {
        self.nodes.iter().filter_map(|(id, node)| match node {
            Node::Folder(folder) => Some((*id, folder)),
            Node::File(_) => None,
        })
    }

    /// What the names lead to, from the root.
    pub(super) fn find<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Option<NodeId> {
        names.into_iter().try_fold(ROOT, |folder, name| self.folder(folder)?.current.get(name).copied())
    }

    pub(super) fn set(&mut self, folder: NodeId, name: &str, node: NodeId) {
        if let Some(folder) = self.folder_mut(folder) {
            folder.change(NameChange::Set(name.to_string(), node), None);
        }
    }

    pub(super) fn remove(&mut self, folder: NodeId, name: &str) {
        if let Some(folder) = self.folder_mut(folder) {
            folder.change(NameChange::Remove(name.to_string()), None);
        }
    }

    pub(super) fn rename(&mut self, from: (NodeId, &str), to: (NodeId, &str)) {
        if from.0 == to.0 {
            if let Some(folder) = self.folder_mut(from.0) {
                folder.change(NameChange::Rename(from.1.to_string(), to.1.to_string()), None);
            }
            return;
        }
        let Some(node) = self.folder(from.0).and_then(|folder| folder.current.get(from.1).copied()) else {
            return;
        };
        self.renames += 1;
        let number = self.renames;
        if let Some(folder) = self.folder_mut(to.0) {
            folder.change(NameChange::Set(to.1.to_string(), node), Some((number, from.0)));
        }
        if let Some(folder) = self.folder_mut(from.0) {
            folder.change(NameChange::Remove(from.1.to_string()), Some((number, to.0)));
        }
    }

    /// Makes the first `count` changes of a folder durable, and what they are one with.
    pub(super) fn commit(&mut self, folder: NodeId, count: usize) {
        let mut owed = vec![(folder, count)];
        while let Some((id, count)) = owed.pop() {
            let Some(folder) = self.folder_mut(id) else { continue };
            let count = count.min(folder.pending.len());
            let mut partners = Vec::new();
            for pending in folder.pending.drain(..count) {
                pending.change.apply(&mut folder.durable);
                partners.extend(pending.partner);
            }
            for (number, partner) in partners {
                let place = self.folder(partner).and_then(|folder| place_of(folder, number));
                owed.extend(place.map(|place| (partner, place + 1)));
            }
        }
    }

    /// Makes all names in a folder durable.
    pub(super) fn commit_all_of(&mut self, folder: NodeId) {
        self.commit(folder, usize::MAX);
    }

    /// Makes all names durable.
    pub(super) fn commit_all(&mut self) {
        let folders: Vec<NodeId> = self.folders().map(|(id, _)| id).collect();
        folders.into_iter().for_each(|folder| self.commit_all_of(folder));
    }

    /// Draws what a power cut leaves. `draw` is asked for a number from 0 to the one it is given.
    pub(super) fn draw_kept(&self, mut draw: impl FnMut(usize) -> usize) -> Kept {
        let mut kept = Kept::new();
        for (id, folder) in self.folders().filter(|(_, folder)| !folder.pending.is_empty()) {
            kept.insert(id, draw(folder.pending.len()).min(folder.pending.len()));
        }
        // What is in one folder and not in its partner is in neither. Numbers only go down, so this ends.
        loop {
            let cut = kept.iter().find_map(|(id, count)| {
                let place = self.folder(*id)?.pending[..*count].iter().position(|pending| {
                    pending.partner.is_some_and(|(number, partner)| {
                        let place = self.folder(partner).and_then(|folder| place_of(folder, number));
                        place.is_some_and(|place| place >= kept.get(&partner).copied().unwrap_or(0))
                    })
                })?;
                Some((*id, place))
            });
            let Some((id, place)) = cut else { return kept };
            kept.insert(id, place);
        }
    }

    /// Some names get to the disk by themselves.
    pub(super) fn write_back(&mut self, random: &mut Random) {
        let kept = self.draw_kept(|pending| random.below(pending as u64 + 1) as usize);
        kept.into_iter().for_each(|(folder, count)| self.commit(folder, count));
    }

    /// Forgets files and folders that no name leads to, not even one on the disk.
    pub(super) fn sweep(&mut self) {
        let mut known = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(id) = open.pop() {
            let Some(folder) = self.folder(id) else { continue };
            let pending = folder.pending.iter().filter_map(|pending| match &pending.change {
                NameChange::Set(_, node) => Some(node),
                NameChange::Remove(_) | NameChange::Rename(..) => None,
            });
            for node in folder.current.values().chain(folder.durable.values()).chain(pending) {
                if known.insert(*node) {
                    open.push(*node);
                }
            }
        }
        self.nodes.retain(|id, _| known.contains(id));
    }
}

fn place_of(folder: &Folder, number: u64) -> Option<usize> {
    folder.pending.iter().position(|pending| pending.partner.is_some_and(|(known, _)| known == number))
}
