//! From the lines of a users file to a table, line by line, in memory bounded by the file's permitted size.

use std::io::{BufRead, Read};

use super::{Entry, Problem, user_name};

/// The longest line; longer ones are skipped and reported.
const LINE_OCTETS_MAX: usize = 4096;

/// How many problems are kept.
const PROBLEMS_MAX: usize = 64;

/// What a file gave.
pub(super) struct Parsed {
    pub(super) text: String,
    pub(super) entries: Vec<Entry>,
    pub(super) problems: Vec<Problem>,
}

/// Why a file gave nothing.
pub(super) enum Error {
    /// It has more octets than permitted.
    TooLarge,
    /// Reading failed.
    Read(std::io::Error),
}

/// Reads every line; of two lines for one user the first counts.
pub(super) fn parse(mut reader: impl BufRead, octets_max: u64) -> Result<Parsed, Error> {
    let mut parsed = Parsed { text: String::new(), entries: Vec::new(), problems: Vec::new() };
    let mut line = Vec::new();
    let mut octets: u64 = 0;
    for number in 1.. {
        let length = read_line(&mut reader, &mut line, octets_max - octets).map_err(Error::Read)?;
        octets += length;
        if octets >= octets_max {
            return Err(Error::TooLarge);
        }
        if length == 0 {
            break;
        }
        if let Err(what) = parsed.take(&line, number) {
            parsed.report(number, what);
        }
    }
    parsed.sort();
    Ok(parsed)
}

/// Reads a line of at most `octets_max` octets and gives its length, 0 at the end of the file. Of a line that is
/// longer than [`LINE_OCTETS_MAX`] only as much is kept as shows that it is.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>, octets_max: u64) -> std::io::Result<u64> {
    line.clear();
    let first =
        reader.by_ref().take(octets_max.min(LINE_OCTETS_MAX as u64 + 1)).read_until(b'\n', line)? as u64;
    if first == 0 || line.ends_with(b"\n") || line.len() <= LINE_OCTETS_MAX {
        return Ok(first);
    }
    Ok(first + reader.by_ref().take(octets_max - first).skip_until(b'\n')? as u64)
}

impl Parsed {
    fn take(&mut self, line: &[u8], number: u32) -> Result<(), String> {
        if line.len() > LINE_OCTETS_MAX {
            return Err(format!("longer than {LINE_OCTETS_MAX} octets"));
        }
        let line = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
        let line = line.trim_end_matches(['\n', '\r']);
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let Some((name, rest)) = line.split_once(':') else {
            return Err("no `:`, where `name:{SCHEME}hash` is expected".to_owned());
        };
        let name = user_name(name).map_err(|error| error.to_string())?;
        let hash = rest.split(':').next().unwrap_or_default().trim();
        self.entries.push(Entry {
            at: self.text.len() as u32,
            name_octets: name.len() as u16,
            hash_octets: hash.len() as u16,
            line: number,
        });
        self.text.push_str(&name);
        self.text.push_str(hash);
        Ok(())
    }

    fn report(&mut self, line: u32, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { line, what });
        }
    }

    fn sort(&mut self) {
        let text = std::mem::take(&mut self.text);
        let name =
            |entry: &Entry| &text[entry.at as usize..entry.at as usize + usize::from(entry.name_octets)];
        self.entries.sort_by(|a, b| name(a).cmp(name(b)).then(a.line.cmp(&b.line)));
        let mut kept: Vec<Entry> = Vec::with_capacity(self.entries.len());
        for entry in std::mem::take(&mut self.entries) {
            match kept.last() {
                Some(first) if name(first) == name(&entry) => {
                    let what = format!("user {} is already on line {}", name(&entry), first.line);
                    self.report(entry.line, what);
                }
                _ => kept.push(entry),
            }
        }
        self.entries = kept;
        self.text = text;
    }
}
