//! Sizes, headers and marks of unfinished work.

use crate::workspace::{files, read};

const LINES_MAX: usize = 800;

/// No file over 800 lines, none without a header that says what it is, no marks of unfinished work.
pub(crate) fn check() -> Result<Vec<String>, String> {
    let marks =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("XX", "X:")];
    let mut faults = Vec::new();
    for path in files(&[".rs", ".py", ".sh"]) {
        let text = read(&path)?;
        let name = path.display();
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{name}: {lines} lines; what second subject moved in?"));
        }
        if name.to_string().ends_with(".rs") && !starts_with_header(&text) {
            faults.push(format!("{name}: does not begin with a //! header"));
        }
        for (number, line) in text.lines().enumerate() {
            for mark in marks.iter().filter(|mark| line.contains(**mark)) {
                faults.push(format!("{name}:{}: {mark}", number + 1));
            }
        }
    }
    Ok(faults)
}

/// The header may stand behind inner attributes.
fn starts_with_header(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    first.is_some_and(|line| line.starts_with("//!"))
}
