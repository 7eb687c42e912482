//! MH: a message a file, whose name is its number; `.mh_sequences` names sets of numbers. Those of `unseen` are not yet read, all
//! others are; `replied`, `flagged`, `deleted` and `draft` are system flags, `cur` is nothing, any other sequence is a keyword.
//!
//! The time of arrival is the file's modification time.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use store::change::{SystemFlags, ZonedTime};

use super::{Body, MailFlags, MailItem};

/// Name of the file that lists sequences.
pub(crate) const SEQUENCES_FILE: &str = ".mh_sequences";

/// Sequences that are system flags. `unseen` is the contrary of one.
pub(crate) const FLAG_SEQUENCES: [(&str, SystemFlags); 4] = [
    ("replied", SystemFlags::ANSWERED),
    ("flagged", SystemFlags::FLAGGED),
    ("deleted", SystemFlags::DELETED),
    ("draft", SystemFlags::DRAFT),
];

/// One line of `.mh_sequences`.
#[derive(Debug, PartialEq, Eq)]
struct Sequence {
    name: String,
    ranges: Vec<(u32, u32)>,
}

/// The messages of one MH folder, without its subfolders.
pub(crate) struct Mh {
    files: std::vec::IntoIter<(u32, PathBuf)>,
    sequences: Vec<Sequence>,
    /// Octets of all messages together.
    pub(crate) octets: u64,
}

/// The number that a file name of a message is.
pub(crate) fn message_number(name: &str) -> Option<u32> {
    (name.bytes().all(|octet| octet.is_ascii_digit()) && !name.starts_with('0')).then(|| name.parse().ok())?
}

impl Mh {
    /// Lists the messages, in the order of their numbers.
    pub(crate) fn open(path: &Path) -> io::Result<Mh> {
        let mut files = Vec::new();
        let mut octets = 0;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Some(number) = message_number(&entry.file_name().to_string_lossy()) else { continue };
            let metadata = fs::metadata(entry.path())?;
            if metadata.is_file() {
                octets += metadata.len();
                files.push((number, entry.path()));
            }
        }
        files.sort();
        let sequences = match fs::read(path.join(SEQUENCES_FILE)) {
            Ok(text) => String::from_utf8_lossy(&text).lines().filter_map(parse_sequence).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Mh { files: files.into_iter(), sequences, octets })
    }

    fn flags(&self, number: u32) -> MailFlags {
        let mut flags = MailFlags::default();
        let mut seen = true;
        for sequence in &self.sequences {
            if !sequence.ranges.iter().any(|(first, last)| (*first..=*last).contains(&number)) {
                continue;
            }
            match FLAG_SEQUENCES.iter().find(|(name, _)| *name == sequence.name) {
                Some((_, flag)) => flags.add(*flag),
                None if sequence.name == "unseen" => seen = false,
                None if sequence.name == "cur" => {}
                None => flags.add_keyword(&sequence.name),
            }
        }
        if seen {
            flags.add(SystemFlags::SEEN);
        }
        flags
    }

    fn item(&self, number: u32, path: PathBuf) -> io::Result<MailItem> {
        let metadata = fs::metadata(&path)?;
        Ok(MailItem {
            flags: self.flags(number),
            date: Some(ZonedTime { seconds: metadata.mtime(), zone_minutes: 0 }),
            place: path.display().to_string(),
            input_octets: metadata.len(),
            body: Body::File(path),
        })
    }
}

impl Iterator for Mh {
    type Item = io::Result<MailItem>;

    fn next(&mut self) -> Option<io::Result<MailItem>> {
        let (number, path) = self.files.next()?;
        Some(self.item(number, path))
    }
}

/// `name: 1-3 5`. A keyword may have a colon in it, so the last one counts.
fn parse_sequence(line: &str) -> Option<Sequence> {
    let (name, numbers) = line.rsplit_once(':')?;
    let ranges = numbers
        .split_ascii_whitespace()
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some((first.parse().ok()?, last.parse().ok()?))
        })
        .collect();
    Some(Sequence { name: name.trim().to_owned(), ranges })
}

/// Ascending numbers in the notation of `.mh_sequences`.
pub(crate) fn format_numbers(numbers: &[u32]) -> String {
    let mut text = String::new();
    let mut at = 0;
    while at < numbers.len() {
        let first = numbers[at];
        while at + 1 < numbers.len() && numbers[at + 1] == numbers[at] + 1 {
            at += 1;
        }
        text.push(' ');
        text.push_str(&first.to_string());
        if numbers[at] != first {
            text.push_str(&format!("-{}", numbers[at]));
        }
        at += 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_sequences() {
        let sequence = parse_sequence("unseen: 1-3 5 x 7").expect("a sequence");
        assert_eq!(sequence, Sequence { name: "unseen".to_owned(), ranges: vec![(1, 3), (5, 5), (7, 7)] });
        assert_eq!(parse_sequence("a:b: 4").map(|sequence| sequence.name), Some("a:b".to_owned()));
        assert_eq!(parse_sequence("nothing"), None);
        assert_eq!(format_numbers(&[1, 2, 3, 5, 7, 8]), " 1-3 5 7-8");
        assert_eq!(format_numbers(&[]), "");
    }

    #[test]
    fn message_names_are_numbers() {
        assert_eq!(message_number("12"), Some(12));
        for name in ["", "0", "012", "12a", ".mh_sequences", "99999999999"] {
            assert_eq!(message_number(name), None, "{name}");
        }
    }
}
