//! The files that may hold `unsafe` are those that `xtask/unsafe.txt` names.

use crate::workspace::{files, read};
use std::collections::BTreeSet;
use std::path::Path;

const LIST: &str = "xtask/unsafe.txt";

/// A file that allows unsafe code must be on the list, and every line of the list be such a file. (The compiler denies
/// unsafe code everywhere else.)
pub(crate) fn check() -> Result<Vec<String>, String> {
    let listed: BTreeSet<String> = read(Path::new(LIST))?
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim().to_string())
        .filter(|line| !line.is_empty())
        .collect();
    let marker = concat!("allow(unsafe", "_code)");
    let mut found = BTreeSet::new();
    for path in files(&[".rs"]) {
        if read(&path)?.contains(marker) {
            found.insert(path.display().to_string());
        }
    }
    let mut faults: Vec<String> = found
        .difference(&listed)
        .map(|path| format!("{path}: allows unsafe code and is not in {LIST}"))
        .collect();
    faults.extend(listed.difference(&found).map(|path| format!("{LIST}: {path} holds no unsafe code")));
    Ok(faults)
}
