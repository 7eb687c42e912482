//! Every conversation under `tests/wire` is run by a test.

use crate::workspace::{files, read};
use std::path::Path;

/// A script is used when a file under `tests/tests` names it.
pub(crate) fn check() -> Result<Vec<String>, String> {
    let mut tests = String::new();
    for path in files(&[".rs"]).iter().filter(|path| path.starts_with("tests/tests")) {
        tests.push_str(&read(path)?);
    }
    let scripts = files(&[".txt"]).into_iter().filter(|path| path.starts_with("tests/wire"));
    let unused = scripts.filter(|path| {
        let name = path.strip_prefix(Path::new("tests/wire")).unwrap_or(path).display().to_string();
        !tests.contains(&format!("\"{name}\""))
    });
    Ok(unused.map(|path| format!("{}: no test runs it", path.display())).collect())
}
