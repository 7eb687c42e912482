//! What a path holds: which of the formats, and which mailboxes. Decided by looking, never by a name alone, but for `.eml`.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::from_line;
use super::mh::{SEQUENCES_FILE, message_number};
use super::unpack;

/// Octets at the beginning of a file that are looked at.
const LOOK_OCTETS: usize = 16 * 1_024;

/// A format of mail files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// An mbox file, perhaps compressed.
    Mbox,
    /// A folder with `cur` in it, or with `new` and `tmp`.
    Maildir,
    /// A folder with numbered files.
    Mh,
    /// A file with one message.
    Message,
    /// A folder of folders and files of any of these formats.
    Folder,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Mbox => "mbox",
            Format::Maildir => "Maildir",
            Format::Mh => "MH folder",
            Format::Message => "message file",
            Format::Folder => "folder of mail files",
        })
    }
}

/// Why a path is of no use.
#[derive(Debug)]
pub(crate) enum RecogniseError {
    /// It cannot be read.
    Unreadable(PathBuf, io::Error),
    /// It can, but it is no mail.
    Unknown(PathBuf, &'static str),
}

impl fmt::Display for RecogniseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecogniseError::Unreadable(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            RecogniseError::Unknown(path, why) => write!(
                f,
                "{} is no mail in a format that Lode knows: {why}. Known are mbox (also .gz and .zst), Maildir, MH, \
                 a message file, and a folder of these",
                path.display()
            ),
        }
    }
}

impl std::error::Error for RecogniseError {}

/// What `path` holds.
pub(crate) fn recognise(path: &Path) -> Result<Format, RecogniseError> {
    let unreadable = |error| RecogniseError::Unreadable(path.to_owned(), error);
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return recognise_folder(path).map_err(unreadable);
    }
    if !metadata.is_file() {
        return Err(RecogniseError::Unknown(path.to_owned(), "it is neither a file nor a folder"));
    }
    let beginning = unpack::beginning(path, LOOK_OCTETS).map_err(unreadable)?;
    match recognise_beginning(&beginning) {
        None if has_message_name(path) => Ok(Format::Message),
        None => Err(RecogniseError::Unknown(
            path.to_owned(),
            "it begins neither with a From_ line (\"From …\") nor with a header field (\"Name: …\")",
        )),
        Some(format) => Ok(format),
    }
}

/// Whether a file that nobody named, found in a folder, is mail: more than a word and a colon is asked of it.
pub(crate) fn recognise_found(path: &Path) -> Result<Option<Format>, RecogniseError> {
    let named_message = has_message_name(path);
    match recognise(path) {
        Err(RecogniseError::Unknown(..)) => Ok(None),
        // In a folder of messages, one that begins with a From_ line or with an empty line is still a message.
        Ok(Format::Mbox) if named_message && fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0) => {
            Ok(Some(Format::Message))
        }
        Ok(Format::Message) if !named_message => {
            let beginning = unpack::beginning(path, LOOK_OCTETS)
                .map_err(|error| RecogniseError::Unreadable(path.to_owned(), error))?;
            Ok(has_mail_field(&beginning).then_some(Format::Message))
        }
        Ok(format) => Ok(Some(format)),
        Err(error) => Err(error),
    }
}

fn has_message_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("eml"))
}

/// By the first octets of a file. An empty file is an mbox without messages.
fn recognise_beginning(beginning: &[u8]) -> Option<Format> {
    let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning);
    let Some(first) =
        text.split(|&octet| octet == b'\n').map(without_carriage_return).find(|line| !line.is_empty())
    else {
        return Some(Format::Mbox);
    };
    if from_line::recognise(first).is_some() {
        Some(Format::Mbox)
    } else if from_line::looks_like_header(first) && !text.contains(&0) {
        Some(Format::Message)
    } else {
        None
    }
}

fn has_mail_field(beginning: &[u8]) -> bool {
    const FIELDS: [&[u8]; 10] = [
        b"from:",
        b"to:",
        b"subject:",
        b"date:",
        b"received:",
        b"return-path:",
        b"message-id:",
        b"mime-version:",
        b"delivered-to:",
        b"resent-from:",
    ];
    beginning
        .split(|&octet| octet == b'\n')
        .map(without_carriage_return)
        .take_while(|line| !line.is_empty())
        .any(|line| {
            FIELDS
                .iter()
                .any(|field| line.get(..field.len()).is_some_and(|start| start.eq_ignore_ascii_case(field)))
        })
}

fn without_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn recognise_folder(path: &Path) -> io::Result<Format> {
    if path.join("cur").is_dir() || path.join("new").is_dir() && path.join("tmp").is_dir() {
        return Ok(Format::Maildir);
    }
    if path.join(SEQUENCES_FILE).is_file() {
        return Ok(Format::Mh);
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if message_number(&entry.file_name().to_string_lossy()).is_some()
            && fs::metadata(entry.path())?.is_file()
        {
            return Ok(Format::Mh);
        }
    }
    Ok(Format::Folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_the_first_line() {
        for (beginning, format) in [
            (&b""[..], Some(Format::Mbox)),
            (b"From a@example.org Fri Feb 22 23:06:12 2008\n", Some(Format::Mbox)),
            (b"\xef\xbb\xbfFrom -\r\nSubject: x\r\n", Some(Format::Mbox)),
            (b"\nFrom -\n", Some(Format::Mbox)),
            (b"Received: by x\n", Some(Format::Message)),
            (b"From: a@example.org\n", Some(Format::Message)),
            (b"From time to time\n", None),
            (b"{\"a\": 1}\n", None),
            (b"\x89PNG\r\n", None),
        ] {
            let seen = recognise_beginning(beginning);
            // `{"a": 1}` has a colon: as a file that was named it may be tried, as one that was found it is not.
            if beginning.starts_with(b"{") {
                assert!(!has_mail_field(beginning));
            } else {
                assert_eq!(seen, format, "{}", beginning.escape_ascii());
            }
        }
    }

    #[test]
    fn looks_into_folders() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path();
        assert_eq!(recognise(path).expect("recognised"), Format::Folder);
        fs::write(path.join("1"), "Subject: x\n\n").expect("written");
        assert_eq!(recognise(path).expect("recognised"), Format::Mh);
        fs::create_dir(path.join("cur")).expect("made");
        assert_eq!(recognise(path).expect("recognised"), Format::Maildir);
        let error = recognise(&path.join("none")).expect_err("nothing there").to_string();
        assert!(error.starts_with("cannot read ") && error.contains("none"), "{error}");
    }
}
