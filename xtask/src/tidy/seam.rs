//! What `store` does to its folder goes through its disk, so that a simulated one sees it.

use crate::workspace::{files, read};

const WHERE: &str = "store/src";
/// The seam itself, and what runs a store on a simulated disk from outside.
const OUTSIDE: [&str; 2] = ["store/src/disk/", "store/src/simulation/"];
/// Files of these reach what is no disk: the runtime folder, and the name that the kernel has for this run of it.
const BESIDE: [&str; 4] =
    ["store/src/gc/gate.rs", "store/src/locks.rs", "store/src/pins.rs", "store/src/state.rs"];
/// What is reached without asking the disk.
const WORDS: [&str; 11] = [
    "fs::read",
    "fs::write",
    "fs::rename",
    "fs::remove",
    "fs::hard_link",
    "fs::create",
    "File::",
    "SystemTime",
    "urandom",
    ".exists()",
    ".is_dir()",
];

/// No file of `store` opens, makes or removes files, asks for the time or for random numbers by itself. Tests may.
pub(crate) fn check() -> Result<Vec<String>, String> {
    let mut faults = Vec::new();
    for path in files(&[".rs"]) {
        let name = path.display().to_string();
        let is_tests = name.ends_with("/tests.rs") || name.contains("/tests/");
        let is_free =
            OUTSIDE.iter().any(|folder| name.starts_with(folder)) || BESIDE.contains(&name.as_str());
        if !name.starts_with(WHERE) || is_free || is_tests {
            continue;
        }
        faults.extend(faults_of(&name, &read(&path)?));
    }
    Ok(faults)
}

fn faults_of(name: &str, text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        let is_comment = line.trim_start().starts_with("//");
        for word in WORDS.iter().filter(|word| !is_comment && names(line, word)) {
            faults.push(format!("{name}:{number}: {word} goes around the disk (store/src/disk)"));
        }
    }
    faults
}

/// Whether `word` begins a name in `line`: `File::open` does, `PageFile::Bucket` does not.
fn names(line: &str, word: &str) -> bool {
    let is_part = |before: char| before.is_alphanumeric() || before == '_';
    line.match_indices(word).any(|(place, _)| word.starts_with('.') || !line[..place].ends_with(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_around_the_disk_is_found_and_nothing_else() {
        let text = "// File::open\nPageFile::Bucket\nlet a = File::open(path);\nstd::fs::rename(a, b);\n\
                    #[cfg(test)]\nmod tests {\nfs::write(a)\n}\n";
        let faults = faults_of("a.rs", text);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("a.rs:3: File::") && faults[1].starts_with("a.rs:4: fs::rename"));
    }
}
