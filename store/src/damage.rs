//! What was found damaged in the logs while they were read, for whoever asks (`Store::damage`, `lode check`). Reading goes on behind it.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use crate::in_hand::{Mutex, MutexGuard};

/// More than this are not kept: they are of the same few files.
const KEPT_MOST: usize = 1000;

/// A place that cannot be read as what it was written to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in the file, in octets.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, octet {}: {}", self.path.display(), self.offset, self.what)
    }
}

/// All damage found since the store was opened, each place once.
#[derive(Debug, Default)]
pub(crate) struct Damages(Mutex<Vec<Damage>>);

impl Damages {
    pub(crate) fn add(&self, path: &Path, offset: u64, what: &'static str) {
        let mut known = self.lock();
        let is_new = known.iter().all(|damage| damage.offset != offset || damage.path != path);
        if is_new && known.len() < KEPT_MOST {
            known.push(Damage { path: path.to_path_buf(), offset, what });
        }
    }

    pub(crate) fn all(&self) -> Vec<Damage> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Damage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_kept_once_and_no_more_than_some() {
        let damages = Damages::default();
        for offset in (0..KEPT_MOST as u64 + 5).chain(0..5) {
            damages.add(Path::new("/a"), offset, "broken");
        }
        assert_eq!(damages.all().len(), KEPT_MOST);
        assert_eq!(damages.all()[4].to_string(), "/a, octet 4: broken");
    }
}
