//! The aliases file: addresses that stand for others, in the format of `/etc/aliases`.
//!
//! One alias a line, `name: target, target`; a line that begins with a space or a tab goes on with the one before it; `#` begins a
//! comment line. The name is a local part, a full address, or `@domain` for whatever nobody has in that domain. A target is a name or
//! an address of a user here or of another alias, perhaps with a folder behind the delimiter; with a `\` in front it is a user and
//! no alias. Commands, files and `:include:` are not followed: only mailboxes of this store can be delivered to.
//!
//! A line that cannot be used costs no other line anything: it is kept aside as a problem. The handler loads the file and reads it
//! again when it changed; [`crate::recipient`] asks it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::stamp::Stamp;

/// The largest aliases file that is read.
const FILE_OCTETS_MAX: u64 = 16 << 20;
/// The longest name of an alias: a local part, an `@`, a domain.
const NAME_OCTETS_MAX: usize = 512;
/// The most targets of one alias.
const TARGETS_MAX: usize = 10_000;
/// How many problems are kept.
const PROBLEMS_MAX: usize = 64;

/// The aliases of a file as it was when it was read.
#[derive(Debug, Default)]
pub struct Aliases {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// By name in lower case.
    entries: BTreeMap<Box<str>, Alias>,
    problems: Vec<Problem>,
}

#[derive(Debug)]
struct Alias {
    line: u32,
    targets: Box<[Box<str>]>,
}

/// A line that is not used, or not as it was meant, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line in the file, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub what: String,
}

/// Why an aliases file could not be read.
#[derive(Debug)]
pub enum AliasesError {
    /// It cannot be opened or read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is larger than any aliases file should be.
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

impl Aliases {
    /// Reads an aliases file. An empty path is an empty file.
    pub fn load(path: &Path) -> Result<Aliases, AliasesError> {
        if path.as_os_str().is_empty() {
            return Ok(Aliases::default());
        }
        let unreadable = |error| AliasesError::Unreadable { path: path.to_path_buf(), error };
        let file = File::open(path).map_err(unreadable)?;
        let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
        let mut octets = Vec::new();
        file.take(FILE_OCTETS_MAX + 1).read_to_end(&mut octets).map_err(unreadable)?;
        if octets.len() as u64 > FILE_OCTETS_MAX {
            return Err(AliasesError::TooLarge { path: path.to_path_buf() });
        }
        let mut aliases = Aliases::parse(&octets);
        aliases.path = path.to_path_buf();
        aliases.stamp = Some(stamp);
        Ok(aliases)
    }

    /// Takes the octets of an aliases file.
    pub fn parse(octets: &[u8]) -> Aliases {
        let mut aliases = Aliases::default();
        // What a line and those that continue it say, and the number of the first.
        let mut logical: Option<(u32, String)> = None;
        for (line, number) in octets.split(|octet| *octet == b'\n').zip(1..) {
            let Ok(line) = std::str::from_utf8(line) else {
                aliases.report(number, "not UTF-8".to_owned());
                continue;
            };
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            match &mut logical {
                Some((_, text)) if line.starts_with([' ', '\t']) => text.push_str(line),
                _ => {
                    if let Some((number, text)) = logical.replace((number, line.to_owned())) {
                        aliases.take(number, &text);
                    }
                }
            }
        }
        if let Some((number, text)) = logical {
            aliases.take(number, &text);
        }
        aliases.report_loops();
        aliases
    }

    /// The file; empty if there is none.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is another one than was read, or changed since. One `stat`.
    pub fn changed(&self) -> Result<bool, AliasesError> {
        if self.path.as_os_str().is_empty() {
            return Ok(false);
        }
        let metadata = std::fs::metadata(&self.path)
            .map_err(|error| AliasesError::Unreadable { path: self.path.clone(), error })?;
        Ok(self.stamp != Some(Stamp::of(&metadata)))
    }

    /// The name as it is kept, and what it stands for.
    pub(crate) fn get(&self, name: &str) -> Option<(&str, &[Box<str>])> {
        if self.entries.is_empty() {
            return None;
        }
        let (name, alias) = self.entries.get_key_value(name.to_lowercase().as_str())?;
        Some((name, &alias.targets))
    }

    /// How many aliases there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lines that are not used, or not as they were meant; at most the first 64.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn take(&mut self, line: u32, text: &str) {
        let Some((name, targets)) = split_name(text) else {
            return self
                .report(line, "no `:` behind a name, where `name: target, target` is expected".to_owned());
        };
        let name = name.to_lowercase();
        if name.is_empty() || name.len() > NAME_OCTETS_MAX || name.chars().any(char::is_control) {
            return self.report(line, "the name cannot be one of an address".to_owned());
        }
        let mut kept: Vec<Box<str>> = Vec::new();
        for target in split_targets(targets) {
            if let Some(what) = target_problem(&target) {
                self.report(line, what);
            } else if kept.len() >= TARGETS_MAX {
                self.report(line, format!("more than {TARGETS_MAX} targets"));
                break;
            } else {
                kept.push(target.into_boxed_str());
            }
        }
        if let Some(first) = self.entries.get(name.as_str()) {
            let what = format!("{name} is already on line {}", first.line);
            return self.report(line, what);
        }
        if kept.is_empty() {
            self.report(line, format!("{name} stands for nobody"));
        }
        self.entries.insert(name.into_boxed_str(), Alias { line, targets: kept.into_boxed_slice() });
    }

    fn report(&mut self, line: u32, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { line, what });
        }
    }

    /// Finds aliases that come back to themselves through others. Mail goes to whoever else they reach; one that names itself is
    /// meant so, to keep a copy.
    fn report_loops(&mut self) {
        let mut found: Vec<(u32, String)> = Vec::new();
        let (mut done, mut above): (HashSet<&str>, HashSet<&str>) = Default::default();
        for start in self.entries.keys() {
            // The way from `start`: names, and how many of their targets were looked at. `above` has the same names.
            let mut way: Vec<(&str, usize)> = Vec::new();
            if !done.contains(&**start) {
                way.push((start, 0));
                above.insert(start);
            }
            while let Some((name, next)) = way.last_mut() {
                let name = *name;
                let target = self.entries.get(name).and_then(|alias| alias.targets.get(*next));
                *next += 1;
                let Some(target) = target else {
                    done.insert(name);
                    above.remove(name);
                    way.pop();
                    continue;
                };
                let target = target.to_lowercase();
                let Some((target, alias)) = self.entries.get_key_value(target.as_str()) else { continue };
                if above.contains(&**target) {
                    if **target != *name {
                        found.push((alias.line, format!("{target} leads back to itself by way of {name}")));
                    }
                } else if !done.contains(&**target) {
                    above.insert(target);
                    way.push((target, 0));
                }
            }
        }
        for (line, what) in found {
            self.report(line, what);
        }
    }
}

/// The name in front of the `:`, which may be in quotes, and what is behind it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (name, rest) = quoted.split_once('"')?;
        return Some((name, rest.trim_start().strip_prefix(':')?));
    }
    let (name, rest) = text.split_once(':')?;
    Some((name.trim(), rest))
}

/// The targets between commas, without quotes and the space around them.
fn split_targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let (mut target, mut quoted) = (String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => targets.push(std::mem::take(&mut target)),
            c => target.push(c),
        }
    }
    targets.push(target);
    targets.into_iter().map(|target| target.trim().to_owned()).filter(|target| !target.is_empty()).collect()
}

fn target_problem(target: &str) -> Option<String> {
    let what = match target.chars().next()? {
        '|' => "a command",
        '/' => "a file",
        ':' => "an include",
        _ if target.chars().any(char::is_control) => "no address",
        _ if target.len() > NAME_OCTETS_MAX => "too long for an address",
        _ => return None,
    };
    Some(format!("`{target}` is {what}, and mail goes to mailboxes of this store only"))
}

impl fmt::Display for AliasesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AliasesError::Unreadable { path, error } => {
                write!(
                    f,
                    "cannot read the aliases file {}: {error} ([lmtp] aliases names it)",
                    path.display()
                )
            }
            AliasesError::TooLarge { path } => {
                write!(f, "the aliases file {} is larger than {} MiB", path.display(), FILE_OCTETS_MAX >> 20)
            }
        }
    }
}

impl std::error::Error for AliasesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AliasesError::Unreadable { error, .. } => Some(error),
            AliasesError::TooLarge { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(aliases: &Aliases, name: &str) -> Vec<String> {
        aliases
            .get(name)
            .map(|(_, targets)| targets.iter().map(|target| target.to_string()).collect())
            .unwrap_or_default()
    }

    #[test]
    fn the_format_of_etc_aliases_is_read() {
        let aliases = Aliases::parse(
            b"# comment\nPostmaster: root\nteam:\tann,\n  bob@Example.org ,\n# in between\n\t\"c d\"\n\n\
              \"two words\": \\ann\r\nsales@example.org: ann+sales\n@example.net: ann",
        );
        assert_eq!(aliases.problems(), []);
        assert_eq!(targets(&aliases, "postmaster"), ["root"]);
        assert_eq!(targets(&aliases, "TEAM"), ["ann", "bob@Example.org", "c d"]);
        assert_eq!(targets(&aliases, "two words"), ["\\ann"]);
        assert_eq!(targets(&aliases, "sales@example.org"), ["ann+sales"]);
        assert_eq!(targets(&aliases, "@example.net"), ["ann"]);
        assert!(aliases.get("ann").is_none());
        assert_eq!(aliases.len(), 5);
    }

    #[test]
    fn what_cannot_be_used_is_reported_and_the_rest_counts() {
        let aliases = Aliases::parse(
            b"nothing\nx: |prog, /var/mail/x, :include:/x, \"|a, b\"\nann: bob\nAnn: carl\n: y\n\xff: z\ne:\n",
        );
        let mut lines: Vec<u32> = aliases.problems().iter().map(|problem| problem.line).collect();
        lines.sort_unstable();
        assert_eq!(lines, [1, 2, 2, 2, 2, 2, 4, 5, 6, 7], "{:?}", aliases.problems());
        assert_eq!(targets(&aliases, "ann"), ["bob"]);
    }

    #[test]
    fn loops_are_found_and_copies_to_oneself_are_none() {
        let aliases = Aliases::parse(b"ann: ann, bob\na: b\nb: c, ann\nc: a\nd: a\n");
        let problems = aliases.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].line, 2);
        assert!(problems[0].what.contains("leads back to itself"));
        let many: String = (0..100_000).map(|n| format!("a{n}: a{}\n", n + 1)).collect();
        assert_eq!(Aliases::parse(many.as_bytes()).problems(), []);
    }

    #[test]
    fn limits_hold() {
        let many: Vec<&str> = vec!["a"; TARGETS_MAX + 1];
        let aliases = Aliases::parse(format!("x: {}\n", many.join(",")).as_bytes());
        assert_eq!(targets(&aliases, "x").len(), TARGETS_MAX);
        assert_eq!(aliases.problems().len(), 1);
        let long = "n".repeat(NAME_OCTETS_MAX + 1);
        assert_eq!(Aliases::parse(format!("{long}: a\n{}: a\n", &long[1..]).as_bytes()).problems().len(), 1);
        assert_eq!(Aliases::parse("x\n".repeat(1000).as_bytes()).problems().len(), PROBLEMS_MAX);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("aliases");
        File::create(&path).and_then(|file| file.set_len(FILE_OCTETS_MAX + 1)).expect("made");
        assert!(matches!(Aliases::load(&path), Err(AliasesError::TooLarge { .. })));
        assert!(matches!(Aliases::load(&folder.path().join("no")), Err(AliasesError::Unreadable { .. })));
        std::fs::write(&path, "a: b\n").expect("written");
        let aliases = Aliases::load(&path).expect("read");
        assert!(!aliases.changed().expect("there"));
        std::fs::write(&path, "a: b, c\n").expect("written");
        assert!(aliases.changed().expect("there"));
        assert!(Aliases::load(Path::new("")).expect("nothing").is_empty());
    }
}
