//! Mail as other programs keep it in files: mbox, Maildir, MH, message files. Readers give [`MailItem`]s one after another and hold none of
//! them in memory; writers take a message's octets in pieces. Nothing here knows the store: `import` and `export` join the two.
//!
//! [`recognise`](recognise::recognise) says what a path holds, [`folders::find`] lists the mailboxes there, [`folders::MailFolder::items`] walks the messages of one mailbox.

pub(crate) mod dates;
pub(crate) mod folders;
mod from_line;
mod header_facts;
mod lines;
mod maildir;
mod mbox;
mod mbox_marker;
mod message_file;
mod mh;
mod normalise;
pub(crate) mod recognise;
mod unpack;
pub(crate) mod write;
pub(crate) mod write_maildir;
pub(crate) mod write_mbox;
pub(crate) mod write_mh;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::change::{SystemFlags, ZonedTime};

pub(crate) use normalise::{Normalised, Quoting};

use normalise::FileSpan;

/// Flags and keywords by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MailFlags {
    /// The system flags.
    pub(crate) system: SystemFlags,
    /// The keywords, each once.
    pub(crate) keywords: Vec<String>,
}

impl MailFlags {
    /// Sets a system flag.
    pub(crate) fn add(&mut self, flag: SystemFlags) {
        self.system.0 |= flag.0;
    }

    /// Whether a system flag is set.
    pub(crate) fn has(&self, flag: SystemFlags) -> bool {
        self.system.contains(flag)
    }

    /// Sets a keyword, if it can be one (an atom of RFC 3501, at most 63 octets) and is not set yet.
    pub(crate) fn add_keyword(&mut self, keyword: &str) {
        let possible = (1..=63).contains(&keyword.len())
            && keyword.bytes().all(|octet| octet.is_ascii_graphic() && !b"(){%*\"\\]".contains(&octet));
        if possible && !self.keywords.iter().any(|known| known.eq_ignore_ascii_case(keyword)) {
            self.keywords.push(keyword.to_owned());
        }
    }
}

/// Whether `line` (without its LF) is a From_ line with a sender and a date, as mail servers put in front of a message.
pub(crate) fn is_from_line(line: &[u8]) -> bool {
    from_line::recognise(line.trim_ascii_end()).is_some_and(|from| from.style == from_line::Style::Full)
}

/// The messages of the mbox `file`, which is known as `name` to people.
pub(crate) fn open_mbox(
    file: Arc<File>,
    name: &Path,
) -> io::Result<impl Iterator<Item = io::Result<MailItem>>> {
    mbox::Mbox::open(file, name)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{} is no mbox", name.display())))
}

/// A message in a file.
#[derive(Clone, Debug)]
pub(crate) struct MailItem {
    /// Its flags and keywords.
    pub(crate) flags: MailFlags,
    /// When it arrived, as well as the file can tell.
    pub(crate) date: Option<ZonedTime>,
    /// Where it is, for people: a path, and within an mbox the octet of its From_ line.
    pub(crate) place: String,
    /// Octets of the file that it takes, for the progress bar.
    pub(crate) input_octets: u64,
    body: Body,
}

/// Where the octets of a message are.
#[derive(Clone, Debug)]
enum Body {
    /// A range of an mbox.
    Span { file: Arc<File>, start: u64, end: u64, quoting: Quoting },
    /// A file of its own. It is opened when it is read, so that a folder of 100,000 costs no descriptors.
    File(PathBuf),
}

impl MailItem {
    /// The message, from its first octet, with CRLF line ends.
    pub(crate) fn open(&self) -> io::Result<impl Read + use<>> {
        match &self.body {
            Body::Span { file, start, end, quoting } => {
                Ok(Normalised::new(FileSpan::new(Arc::clone(file), *start, *end), *quoting))
            }
            Body::File(path) => {
                let file = File::open(path)?;
                let length = file.metadata()?.len();
                Ok(Normalised::new(FileSpan::new(Arc::new(file), 0, length), Quoting::None))
            }
        }
    }
}

#[cfg(test)]
mod tests;
