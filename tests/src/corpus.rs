//! The mail corpus, if it is at hand: `LODE_CORPUS`, or `../shared/corpus` beside the workspace.

use crate::tool;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The corpus folder. Without it the test that asks is skipped, and says so.
pub fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let path = std::env::var_os("LODE_CORPUS").map_or_else(beside, PathBuf::from);
    if path.join("MANIFEST.tsv").is_file() {
        return path.canonicalize().ok();
    }
    println!("skipped: no mail corpus at {} (set LODE_CORPUS)", path.display());
    None
}

/// The mailbox files under `lists/`, unpacked into `into` where they are packed; sorted by name.
#[track_caller]
pub fn lists(corpus: &Path, into: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&corpus.join("lists"), &mut found);
    found.sort();
    let mut unpacked = Vec::new();
    for path in found {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("zst") => {
                let Some(zstd) = tool::program("zstd", "zstd") else { continue };
                let target = into.join(path.file_stem().unwrap_or_default());
                tool::succeed(Command::new(zstd).args(["-q", "-d", "-f", "-o"]).arg(&target).arg(&path));
                unpacked.push(target);
            }
            Some("mbox") => unpacked.push(path),
            _ => {}
        }
    }
    unpacked
}

/// Those of [`lists`] that a run looks at: all of them in a full one, else the ones of at most `quick_octets`.
#[track_caller]
pub fn lists_to_run(corpus: &Path, into: &Path, quick_octets: u64) -> Vec<PathBuf> {
    let mut files = lists(corpus, into);
    files.retain(|path| crate::full() || path.metadata().is_ok_and(|facts| facts.len() <= quick_octets));
    files
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}
