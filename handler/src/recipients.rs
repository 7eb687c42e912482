//! The aliases file as it is now: read when it is first asked for, and again when it changed or the settings name another.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use config::Aliases;

use crate::log;
use store::in_hand::Mutex;

/// The aliases that were read last.
#[derive(Default)]
pub(crate) struct Recipients {
    aliases: Mutex<Option<Arc<Aliases>>>,
}

impl Recipients {
    /// The aliases of the file at `path`. When it cannot be read, as they were; `None` if they never were read: then nobody knows for
    /// whom a message is.
    pub(crate) fn aliases(&self, path: &Path) -> Option<Arc<Aliases>> {
        let mut held = self.aliases.lock().unwrap_or_else(PoisonError::into_inner);
        let known = held.take_if(|known| known.path() != path).map_or_else(|| held.clone(), |_| None);
        let now = match &known {
            Some(known) => {
                known.changed().and_then(|changed| changed.then(|| Aliases::load(path)).transpose())
            }
            None => Aliases::load(path).map(Some),
        };
        match now {
            Ok(None) => known,
            Ok(Some(aliases)) => {
                for problem in aliases.problems() {
                    let place = format!("{}:{}", path.display(), problem.line);
                    log::warning!("alias not as meant", place = place, why = problem.what);
                }
                *held = Some(Arc::new(aliases));
                held.clone()
            }
            Err(error) => {
                log::error!("aliases file unreadable", why = error);
                known
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_again_when_it_changed_and_kept_when_it_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("aliases"), folder.path().join("other"));
        let recipients = Recipients::default();
        assert!(recipients.aliases(&path).is_none());
        assert!(recipients.aliases(Path::new("")).is_some_and(|aliases| aliases.is_empty()));
        std::fs::write(&path, "a: b\n").expect("written");
        assert_eq!(recipients.aliases(&path).map(|aliases| aliases.len()), Some(1));
        std::fs::write(&path, "a: b\nc: d\n").expect("written");
        assert_eq!(recipients.aliases(&path).map(|aliases| aliases.len()), Some(2));
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(recipients.aliases(&path).map(|aliases| aliases.len()), Some(2));
        assert!(recipients.aliases(&other).is_none());
    }
}
