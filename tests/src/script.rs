//! What a script under `wire/` says of itself: which capabilities it needs, and what other servers do differently and why.
//!
//! Nothing here speaks to a server. [`crate::wire`] plays the scripts; `wire --differences NAME` prints the list that is kept in
//! `wire/DOVECOT.md`, and the tests hold the scripts to it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The folder of all scripts.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("wire")
}

/// The scripts there are, as paths below `wire/`, in order.
pub fn all() -> Vec<String> {
    let mut found = Vec::new();
    for protocol in ["imap", "pop3", "lmtp"] {
        for entry in std::fs::read_dir(folder().join(protocol)).into_iter().flatten().flatten() {
            found.push(format!("{protocol}/{}", entry.file_name().to_string_lossy()));
        }
    }
    found.sort();
    found
}

/// The text of one.
pub fn read(script: &str) -> Result<String, String> {
    let path = folder().join(script);
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The capabilities that stand in its `needs` lines.
pub fn needs(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("needs ")).flat_map(str::split_whitespace).collect()
}

/// Whether an announced capability is the one that a script needs: the same, or one with any value if the need ends in `=`.
pub fn is_meant(need: &str, announced: &str) -> bool {
    let start = announced.get(..need.len());
    let long_enough = if need.ends_with('=') { start.is_some() } else { need.len() == announced.len() };
    long_enough && start.is_some_and(|start| start.eq_ignore_ascii_case(need))
}

/// Why that server is known to fail the whole script.
pub fn differs<'a>(text: &'a str, server: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix("differs ")?.strip_prefix(server)?.strip_prefix(':'))
        .map(str::trim)
}

/// The reasons for the `at` lines of that server, each with the number of the first line it speaks of, and the lines that have none.
pub fn reasons<'a>(text: &'a str, server: &str) -> (Vec<(usize, &'a str)>, Vec<usize>) {
    let (mut reasons, mut open) = (Vec::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let of = |word: &str| line.strip_prefix(word)?.strip_prefix(server)?.strip_prefix(':').map(str::trim);
        if of("at ").is_some() {
            open.push(at + 1);
        } else if let Some(reason) = of("why ") {
            // One that explains nothing is as wrong as a line without one.
            reasons.push((open.first().copied().unwrap_or_default(), reason));
            open.clear();
        }
    }
    (reasons, open)
}

/// All that a server is known to do differently, as a table in Markdown.
pub fn differences(server: &str) -> Result<String, String> {
    let mut table = String::from("| script | from the line | what and why |\n|---|---|---|\n");
    for script in all() {
        let text = read(&script)?;
        if let Some(reason) = differs(&text, server) {
            let _ = writeln!(table, "| {script} | all | {reason} |");
        }
        let lines: Vec<&str> = text.lines().collect();
        for (at, reason) in reasons(&text, server).0 {
            let replaced =
                lines[..at].iter().rev().find(|line| !line.starts_with("at ") && !line.starts_with("why "));
            let _ = writeln!(table, "| {script} | `{}` | {reason} |", replaced.unwrap_or(&""));
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let text = "# x\nneeds SORT APPENDLIMIT=\nneeds ESORT\nC1: needs\n";
        assert_eq!(needs(text), ["SORT", "APPENDLIMIT=", "ESORT"]);
        assert!(
            is_meant("sort", "SORT")
                && !is_meant("SORT", "SORT=DISPLAY")
                && !is_meant("SORT=DISPLAY", "SORT")
        );
        assert!(is_meant("APPENDLIMIT=", "APPENDLIMIT=1") && !is_meant("APPENDLIMIT=", "APPENDLIMIT"));
    }

    #[test]
    fn a_reason_covers_the_lines_before_it() {
        let text = "S1: a\nat other: S1: b\nS1: c\nat other: S1: d\nwhy other: so\nS1: e\nat other: S1: f\nat third: S1: g\n";
        assert_eq!(reasons(text, "other"), (vec![(2, "so")], vec![7]));
        assert_eq!(reasons(text, "third"), (vec![], vec![8]));
        assert_eq!(reasons("why other: nothing", "other").0, [(0, "nothing")]);
        assert_eq!(differs("x\ndiffers other: so it is", "other"), Some("so it is"));
        assert_eq!(differs("x\ndiffers others: so it is", "other"), None);
    }
}
