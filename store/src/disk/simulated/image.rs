//! What a power cut leaves: a folder with the files and names that a machine would find that starts again now.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::content::Odds;
use super::random::Random;
use super::tree::{Node, NodeId, ROOT};
use super::{SimulatedDisk, State};

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

impl SimulatedDisk {
    /// Writes into the new folder `into` what a power cut now could leave. `seed` says which of the many possibilities. This disk goes on.
    pub fn crash_image(&self, into: &Path, seed: u64) -> io::Result<()> {
        let state = self.lock();
        let mut random = Random::new(seed);
        let style = Style::draw(&mut random);
        self.write_image(&state, into, style, &mut random)
    }

    /// As [`SimulatedDisk::crash_image`], with nothing in it but what was synced.
    pub fn durable_image(&self, into: &Path) -> io::Result<()> {
        self.write_image(&self.lock(), into, Style::Durable, &mut Random::new(0))
    }

    /// Makes some of what was written durable, as the system does by itself now and then.
    pub fn writeback(&self, seed: u64) -> io::Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut random = Random::new(seed);
        for node in state.tree.files() {
            let current = self.current(node)?;
            if let Some(file) = state.tree.file_mut(node) {
                file.durable.write_back(&current, &mut random);
            }
        }
        state.tree.write_back(&mut random);
        Ok(())
    }

    fn write_image(&self, state: &State, into: &Path, style: Style, random: &mut Random) -> io::Result<()> {
        let kept = state.tree.draw_kept(|pending| style.names(pending, random));
        let mut written: BTreeMap<NodeId, PathBuf> = BTreeMap::new();
        let mut folders = vec![(ROOT, into.to_path_buf())];
        while let Some((id, path)) = folders.pop() {
            fs::create_dir(&path)?;
            let Some(folder) = state.tree.folder(id) else { continue };
            for (name, node) in folder.names_after(kept.get(&id).copied().unwrap_or(0)) {
                let path = path.join(name);
                match state.tree.node(node) {
                    Some(Node::Folder(_)) => folders.push((node, path)),
                    Some(Node::File(file)) => match written.get(&node) {
                        Some(first) => fs::hard_link(first, &path)?,
                        None => {
                            let odds = style.content(random);
                            let bytes = match odds {
                                Odds::None => file.durable.bytes().to_vec(),
                                _ => file.durable.after_power_cut(&self.current(node)?, odds, random),
                            };
                            fs::write(&path, bytes)?;
                            written.insert(node, path);
                        }
                    },
                    None => (),
                }
            }
        }
        Ok(())
    }
}
