//! Writes a Maildir: each message to `tmp`, then by renaming to `cur` with its flags in the name, its time of arrival as
//! the file's modification time, and keywords as letters that `dovecot-keywords` explains. There are 26 letters.

use std::fs::{self, File, FileTimes};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use protocol::imap::utf7;

use super::maildir::{FLAG_LETTERS, FORWARDED, KEYWORDS_FILE};
use super::write::{MailWriter, Outgoing, Quote, copy_lines};

/// A Maildir being written.
pub(crate) struct MaildirWriter {
    path: PathBuf,
    /// Keywords in the order of their letters; those behind the 26th have none.
    keywords: Vec<String>,
}

/// The folder of a mailbox in the Maildir at `root`; no parts for the Maildir itself.
pub(crate) fn folder_path(root: &Path, names: &[&str]) -> PathBuf {
    if names.is_empty() {
        return root.to_owned();
    }
    let mut name = Vec::new();
    for part in names {
        name.push(b'.');
        let mut encoded = Vec::new();
        utf7::encode(part, &mut encoded);
        for octet in encoded {
            // A dot divides names here, so one within a name goes the long way.
            match octet {
                b'.' => name.extend_from_slice(b"&AC4-"),
                other => name.push(other),
            }
        }
    }
    root.join(String::from_utf8_lossy(&name).as_ref())
}

impl MaildirWriter {
    /// Makes the folder with its parts. It must not have messages yet.
    pub(crate) fn create(path: &Path) -> io::Result<MaildirWriter> {
        fs::create_dir_all(path)?;
        for part in ["tmp", "new", "cur"] {
            fs::create_dir(path.join(part))?;
        }
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            // How Maildir++ marks a subfolder.
            File::create(path.join("maildirfolder"))?;
        }
        Ok(MaildirWriter { path: path.to_owned(), keywords: Vec::new() })
    }

    fn letters(&mut self, mail: &Outgoing) -> String {
        let mut letters: Vec<char> = FLAG_LETTERS
            .iter()
            .filter(|(_, flag)| mail.flags.has(*flag))
            .map(|(letter, _)| *letter)
            .collect();
        for keyword in &mail.flags.keywords {
            if keyword.eq_ignore_ascii_case(FORWARDED) {
                letters.push('P');
                continue;
            }
            let number = match self.keywords.iter().position(|known| known == keyword) {
                Some(number) => number,
                None => {
                    self.keywords.push(keyword.clone());
                    self.keywords.len() - 1
                }
            };
            if let Some(letter) = ('a'..='z').nth(number) {
                letters.push(letter);
            }
        }
        // Readers may expect the letters in order.
        letters.sort_unstable();
        letters.into_iter().collect()
    }
}

impl MailWriter for MaildirWriter {
    fn append(&mut self, mail: &Outgoing, content: &mut dyn Read) -> io::Result<()> {
        let name = format!("{:010}.U{}.lode", mail.date.seconds.max(0), mail.uid);
        let unfinished = self.path.join("tmp").join(&name);
        let mut output = BufWriter::new(File::create_new(&unfinished)?);
        copy_lines(content, &mut output, Quote::Nothing)?;
        output.flush()?;
        set_time(output.get_ref(), mail.date.seconds)?;
        let letters = self.letters(mail);
        fs::rename(unfinished, self.path.join("cur").join(format!("{name}:2,{letters}")))
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<String>> {
        let mut keywords = self.keywords;
        let too_many = keywords.split_off(keywords.len().min(26));
        if !keywords.is_empty() {
            let lines: String =
                keywords.iter().enumerate().map(|(number, name)| format!("{number} {name}\n")).collect();
            fs::write(self.path.join(KEYWORDS_FILE), lines)?;
        }
        Ok(too_many)
    }
}

/// Sets a file's modification time.
pub(crate) fn set_time(file: &File, seconds: i64) -> io::Result<()> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    match time {
        Some(time) => file.set_times(FileTimes::new().set_modified(time)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_as_maildir_plus_plus_does() {
        let root = Path::new("/m");
        assert_eq!(folder_path(root, &[]), Path::new("/m"));
        assert_eq!(folder_path(root, &["Lists", "Rust"]), Path::new("/m/.Lists.Rust"));
        assert_eq!(folder_path(root, &["Entwürfe", "v1.0"]), Path::new("/m/.Entw&APw-rfe.v1&AC4-0"));
    }
}
