//! What a power cut leaves: the files and names that a machine would find that starts again now, and folders that hold them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::content::Odds;
use super::random::Random;
use super::tree::{FileNode, Folder, Names, Node, NodeId, ROOT, Tree};
use super::{SimulatedDisk, SimulatedOptions, State};

/// What all of an image is like, so that the ends are not drawn too rarely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Nothing got to the disk but what was synced.
    Durable,
    /// All of it did.
    Current,
    /// Names as they are durable, content as it is now; or the other way round.
    OldNames,
    OldContent,
    /// Each file and folder by itself.
    Any,
}

impl Style {
    fn draw(random: &mut Random) -> Style {
        match random.below(10) {
            0 | 1 => Style::Durable,
            2 => Style::Current,
            3 => Style::OldNames,
            4 => Style::OldContent,
            _ => Style::Any,
        }
    }

    /// How many of a folder's changes are kept.
    fn names(self, pending: usize, random: &mut Random) -> usize {
        match self {
            Style::Durable | Style::OldNames => 0,
            Style::Current | Style::OldContent => pending,
            Style::Any => random.below(pending as u64 + 1) as usize,
        }
    }

    fn content(self, random: &mut Random) -> Odds {
        match self {
            Style::Durable | Style::OldContent => Odds::None,
            Style::Current | Style::OldNames => Odds::All,
            Style::Any => Odds::any(random),
        }
    }
}

/// What a power cut leaves, not yet written anywhere. Files that are the same as in another image share their octets with it.
#[derive(Clone, Debug)]
pub struct Image {
    /// All files and folders by number; the first one is the root.
    nodes: Vec<ImageNode>,
}

#[derive(Clone, Debug)]
enum ImageNode {
    Folder(BTreeMap<String, usize>),
    File(Arc<Vec<u8>>),
}

impl Image {
    /// Images with the same number hold the same.
    pub fn hash(&self) -> u128 {
        let mut hasher = Xxh3::new();
        for node in &self.nodes {
            match node {
                ImageNode::Folder(names) => {
                    hasher.update(&(names.len() as u64).to_le_bytes());
                    for (name, node) in names {
                        hasher.update(&(name.len() as u64).to_le_bytes());
                        hasher.update(name.as_bytes());
                        hasher.update(&(*node as u64).to_le_bytes());
                    }
                }
                ImageNode::File(bytes) => {
                    hasher.update(&(!(bytes.len() as u64)).to_le_bytes());
                    hasher.update(bytes);
                }
            }
        }
        hasher.digest128()
    }

    /// Writes it into the new folder `into`.
    pub fn write(&self, into: &Path) -> io::Result<()> {
        self.put(0, into, &mut Tree::new(), &mut BTreeMap::new()).map(drop)
    }

    /// Writes what is called `path`, and takes it into `tree`.
    fn put(
        &self,
        number: usize,
        path: &Path,
        tree: &mut Tree,
        written: &mut BTreeMap<usize, (NodeId, PathBuf)>,
    ) -> io::Result<NodeId> {
        match &self.nodes[number] {
            ImageNode::Folder(names) => {
                fs::create_dir(path)?;
                let mut below = Names::new();
                for (name, number) in names {
                    below.insert(name.clone(), self.put(*number, &path.join(name), tree, written)?);
                }
                let folder = Folder::new(below);
                if number == 0 {
                    tree.put_root(folder);
                    return Ok(ROOT);
                }
                Ok(tree.add(Node::Folder(folder)))
            }
            ImageNode::File(bytes) => {
                if let Some((node, first)) = written.get(&number) {
                    fs::hard_link(first, path)?;
                    return Ok(*node);
                }
                fs::write(path, &**bytes)?;
                let node = tree.add(Node::File(FileNode::durable(Arc::clone(bytes))));
                written.insert(number, (node, path.to_path_buf()));
                Ok(node)
            }
        }
    }
}

impl SimulatedDisk {
    /// A disk that starts with what a power cut left, in the new folder `root`.
    pub fn after(image: &Image, root: &Path, options: SimulatedOptions) -> io::Result<SimulatedDisk> {
        let mut tree = Tree::new();
        image.put(0, root, &mut tree, &mut BTreeMap::new())?;
        Ok(SimulatedDisk::over(root, tree, options))
    }

    /// What a power cut now could leave. `seed` says which of the many possibilities. This disk goes on.
    pub fn power_cut(&self, seed: u64) -> io::Result<Image> {
        let mut random = Random::new(seed);
        let style = Style::draw(&mut random);
        self.image(&self.lock(), style, &mut random)
    }

    /// Writes into the new folder `into` what a power cut now could leave, as [`SimulatedDisk::power_cut`] says.
    pub fn crash_image(&self, into: &Path, seed: u64) -> io::Result<()> {
        self.power_cut(seed)?.write(into)
    }

    /// As [`SimulatedDisk::crash_image`], with nothing in it but what was synced.
    pub fn durable_image(&self, into: &Path) -> io::Result<()> {
        self.image(&self.lock(), Style::Durable, &mut Random::new(0))?.write(into)
    }

    /// Makes some of what was written durable, as the system does by itself now and then.
    pub fn writeback(&self, seed: u64) -> io::Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut random = Random::new(seed);
        for node in state.tree.files() {
            if let Some(file) = state.tree.file_mut(node) {
                let current = file.current()?;
                file.durable.write_back(&current, &mut random);
            }
        }
        state.tree.write_back(&mut random);
        Ok(())
    }

    fn image(&self, state: &State, style: Style, random: &mut Random) -> io::Result<Image> {
        let kept = state.tree.draw_kept(|pending| style.names(pending, random));
        let mut nodes = vec![ImageNode::Folder(BTreeMap::new())];
        let mut taken: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut folders = vec![(ROOT, 0)];
        while let Some((id, number)) = folders.pop() {
            let Some(folder) = state.tree.folder(id) else { continue };
            let mut names = BTreeMap::new();
            for (name, node) in folder.names_after(kept.get(&id).copied().unwrap_or(0)) {
                let next = nodes.len();
                match state.tree.node(node) {
                    Some(Node::Folder(_)) => {
                        folders.push((node, next));
                        nodes.push(ImageNode::Folder(BTreeMap::new()));
                        names.insert(name, next);
                    }
                    Some(Node::File(file)) => {
                        if let Some(known) = taken.get(&node) {
                            names.insert(name, *known);
                            continue;
                        }
                        let odds = style.content(random);
                        nodes.push(ImageNode::File(match odds {
                            Odds::None => Arc::clone(file.durable.bytes()),
                            _ => file.durable.after_power_cut(&file.current()?, odds, random),
                        }));
                        taken.insert(node, next);
                        names.insert(name, next);
                    }
                    None => (),
                }
            }
            nodes[number] = ImageNode::Folder(names);
        }
        Ok(Image { nodes })
    }
}
