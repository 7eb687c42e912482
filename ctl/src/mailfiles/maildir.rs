//! Maildir: a message a file in `new` and `cur`, flags behind `:2,` in its name (`!2,` and `;2,` where a colon cannot be in a
//! name), keywords as the letters a to z that `dovecot-keywords` explains, subfolders as `.Name.Below` (Maildir++).
//!
//! The time of arrival is the earlier of two: the file's modification time, which well-behaved programs set, and the seconds at the beginning
//! of its name. A copy made carelessly raises the first, a move by a mail program the second; nothing lowers them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use store::change::{SystemFlags, ZonedTime};

use super::{Body, MailFlags, MailItem};

/// Name of the file that explains keyword letters.
pub(crate) const KEYWORDS_FILE: &str = "dovecot-keywords";

/// What the letters of a name mean. P, "passed on", is the keyword `$Forwarded`.
pub(crate) const FLAG_LETTERS: [(char, SystemFlags); 5] = [
    ('D', SystemFlags::DRAFT),
    ('F', SystemFlags::FLAGGED),
    ('R', SystemFlags::ANSWERED),
    ('S', SystemFlags::SEEN),
    ('T', SystemFlags::DELETED),
];

/// Keyword of the letter P.
pub(crate) const FORWARDED: &str = "$Forwarded";

/// The messages of one Maildir, without its subfolders.
pub(crate) struct Maildir {
    files: std::vec::IntoIter<(PathBuf, String)>,
    keywords: Vec<Option<String>>,
    /// Octets of all messages together.
    pub(crate) octets: u64,
}

impl Maildir {
    /// Lists the messages. Their order is that of their names, so that of their delivery.
    pub(crate) fn open(path: &Path) -> io::Result<Maildir> {
        let mut files = Vec::new();
        let mut octets = 0;
        for folder in ["cur", "new"] {
            let entries = match fs::read_dir(path.join(folder)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if !name.starts_with('.') {
                    let metadata = fs::metadata(entry.path())?;
                    if metadata.is_file() {
                        octets += metadata.len();
                        files.push((entry.path(), name));
                    }
                }
            }
        }
        files.sort_by(|(_, one), (_, other)| order_of(one).cmp(&order_of(other)));
        Ok(Maildir { files: files.into_iter(), keywords: read_keywords(path)?, octets })
    }

    fn item(&self, path: PathBuf, name: &str) -> io::Result<MailItem> {
        let metadata = fs::metadata(&path)?;
        let in_cur = path.parent().is_some_and(|folder| folder.ends_with("cur"));
        let flags = if in_cur { flags_of(name, &self.keywords) } else { MailFlags::default() };
        let stated = leading_seconds(name);
        let seconds = stated.map_or(metadata.mtime(), |stated| stated.min(metadata.mtime()));
        Ok(MailItem {
            flags,
            date: Some(ZonedTime { seconds, zone_minutes: 0 }),
            place: path.display().to_string(),
            input_octets: metadata.len(),
            body: Body::File(path),
        })
    }
}

impl Iterator for Maildir {
    type Item = io::Result<MailItem>;

    fn next(&mut self) -> Option<io::Result<MailItem>> {
        let (path, name) = self.files.next()?;
        Some(self.item(path, &name))
    }
}

/// Seconds first, as a number; a name without them after all others.
fn order_of(name: &str) -> (i64, &str) {
    (leading_seconds(name).unwrap_or(i64::MAX), name)
}

/// The seconds since 1970 with which a delivered name begins (`1220863087.12663_23.host`).
fn leading_seconds(name: &str) -> Option<i64> {
    let (digits, _) = name.split_once('.')?;
    // From 2001 to 2286: other numbers in front of a dot are no time.
    (digits.len() == 10).then(|| digits.parse().ok())?
}

fn flags_of(name: &str, keywords: &[Option<String>]) -> MailFlags {
    let mut flags = MailFlags::default();
    let Some(at) = [":2,", "!2,", ";2,"].iter().filter_map(|mark| name.rfind(mark)).max() else {
        return flags;
    };
    for letter in name[at + 3..].chars() {
        match letter {
            // Some programs append fields of their own.
            ',' => break,
            'P' => flags.add_keyword(FORWARDED),
            'a'..='z' => {
                if let Some(Some(keyword)) = keywords.get(letter as usize - 'a' as usize) {
                    flags.add_keyword(keyword);
                }
            }
            _ => {
                if let Some((_, flag)) = FLAG_LETTERS.iter().find(|(known, _)| *known == letter) {
                    flags.add(*flag);
                }
            }
        }
    }
    flags
}

/// Lines of `number name`, numbers from 0.
fn read_keywords(path: &Path) -> io::Result<Vec<Option<String>>> {
    let text = match fs::read(path.join(KEYWORDS_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut keywords = vec![None; 26];
    for line in String::from_utf8_lossy(&text).lines() {
        if let Some((number, name)) = line.split_once(' ')
            && let Ok(number) = number.parse::<usize>()
            && let Some(keyword) = keywords.get_mut(number)
        {
            *keyword = Some(name.trim().to_owned());
        }
    }
    Ok(keywords)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_flags_behind_any_mark() {
        let keywords = [Some("work".to_owned()), None];
        for name in ["1.2.h:2,FS", "1.2.h!2,FS", "1.2.h;2,SF,extra=D"] {
            let flags = flags_of(name, &keywords);
            assert_eq!(flags.system.0, SystemFlags::FLAGGED.0 | SystemFlags::SEEN.0, "{name}");
        }
        assert_eq!(flags_of("x:2,Pab", &keywords).keywords, [FORWARDED, "work"]);
        assert_eq!(flags_of("x", &keywords), MailFlags::default());
        assert_eq!(flags_of("x:1,S", &keywords), MailFlags::default());
    }

    #[test]
    fn reads_the_time_of_a_name() {
        assert_eq!(leading_seconds("1220863087.12663_23.mindcrime"), Some(1_220_863_087));
        assert_eq!(leading_seconds("multimime!2,FS"), None);
        assert_eq!(leading_seconds("12.x"), None);
    }
}
