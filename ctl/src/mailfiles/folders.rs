//! The mailboxes below a path: subfolders of a Maildir or of MH, files and folders in a folder. What is no mail is counted, named and left
//! out.
//!
//! Names: a Maildir++ subfolder `.Lists.Rust` is `Lists/Rust`, written in modified UTF-7 on disk; an MH subfolder and a plain folder go by their own
//! names; an mbox in a folder by its name without `.mbox`, `.zst` and `.gz`; Thunderbird's `Inbox.sbd` holds the folders below `Inbox`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::imap::utf7;

use super::maildir::Maildir;
use super::mbox::Mbox;
use super::message_file::MessageFiles;
use super::mh::{Mh, message_number};
use super::recognise::{Format, RecogniseError, recognise, recognise_found};
use super::{MailItem, unpack};

/// Folders in folders that are followed. A link that leads back up ends here.
const DEPTH_MAX: usize = 24;

/// One mailbox among mail files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MailFolder {
    /// Its name as parts, relative to the path that was given; none for that path itself.
    pub(crate) names: Vec<String>,
    /// Where it is.
    pub(crate) path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Mbox,
    Maildir,
    Mh,
    Messages(Vec<PathBuf>),
}

/// The messages of a mailbox, to be walked once.
pub(crate) struct Items {
    /// Octets of all of them together, as [`MailItem::input_octets`] counts.
    pub(crate) octets: u64,
    /// The messages.
    pub(crate) messages: Box<dyn Iterator<Item = io::Result<MailItem>>>,
}

/// What is below a path.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Mailboxes, in order of their names.
    pub(crate) folders: Vec<MailFolder>,
    /// Files that hold no mail.
    pub(crate) left_out: Vec<PathBuf>,
}

impl MailFolder {
    /// Walks the messages.
    pub(crate) fn items(&self) -> io::Result<Items> {
        Ok(match &self.kind {
            Kind::Mbox => {
                let file = unpack::open(&self.path)?;
                let octets = file.metadata()?.len();
                match Mbox::open(Arc::new(file), &self.path)? {
                    Some(mbox) => Items { octets, messages: Box::new(mbox) },
                    None => return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no mbox any more")),
                }
            }
            Kind::Maildir => {
                let maildir = Maildir::open(&self.path)?;
                Items { octets: maildir.octets, messages: Box::new(maildir) }
            }
            Kind::Mh => {
                let mh = Mh::open(&self.path)?;
                Items { octets: mh.octets, messages: Box::new(mh) }
            }
            Kind::Messages(files) => {
                let files = MessageFiles::new(files.clone())?;
                Items { octets: files.octets, messages: Box::new(files) }
            }
        })
    }
}

/// All mailboxes at and below `path`, which is of `format`.
pub(crate) fn find(path: &Path, format: Format) -> Result<Found, RecogniseError> {
    let mut found = Found::default();
    walk(path, format, &[], 0, &mut found)?;
    found.folders.sort_by(|one, other| (&one.names, &one.path).cmp(&(&other.names, &other.path)));
    Ok(found)
}

fn walk(
    path: &Path,
    format: Format,
    names: &[String],
    depth: usize,
    found: &mut Found,
) -> Result<(), RecogniseError> {
    let folder = |kind| MailFolder { names: names.to_vec(), path: path.to_owned(), kind };
    match format {
        Format::Mbox => found.folders.push(folder(Kind::Mbox)),
        Format::Message => found.folders.push(folder(Kind::Messages(vec![path.to_owned()]))),
        Format::Maildir => {
            found.folders.push(folder(Kind::Maildir));
            each_folder(path, names, depth, found, |name| match name.strip_prefix('.') {
                Some(dotted) => Some(dotted.split('.').map(decode).collect()),
                None if matches!(name, "cur" | "new" | "tmp") => None,
                None => Some(vec![decode(name)]),
            })?;
        }
        Format::Mh => {
            found.folders.push(folder(Kind::Mh));
            each_folder(path, names, depth, found, plain_name)?;
        }
        Format::Folder => {
            walk_files(path, names, found)?;
            each_folder(path, names, depth, found, plain_name)?;
        }
    }
    Ok(())
}

/// Walks the folders in `path`; `parts` says what one is called, or that it is no mailbox.
fn each_folder(
    path: &Path,
    names: &[String],
    depth: usize,
    found: &mut Found,
    parts: impl Fn(&str) -> Option<Vec<String>>,
) -> Result<(), RecogniseError> {
    if depth == DEPTH_MAX {
        return Ok(());
    }
    for (name, entry) in entries(path)? {
        if !entry.is_dir() {
            continue;
        }
        let Some(parts) = parts(&name) else { continue };
        let mut below = names.to_vec();
        below.extend(parts);
        let format = recognise(&entry)?;
        walk(&entry, format, &below, depth + 1, found)?;
    }
    Ok(())
}

/// The files of a plain folder: messages are this mailbox, an mbox is one below.
fn walk_files(path: &Path, names: &[String], found: &mut Found) -> Result<(), RecogniseError> {
    let mut messages = Vec::new();
    for (name, entry) in entries(path)? {
        if !entry.is_file() {
            continue;
        }
        match recognise_found(&entry)? {
            Some(Format::Message) => messages.push(entry),
            // An empty file is an mbox only by its name.
            Some(Format::Mbox) if name.contains(".mbox") || !is_empty(&entry) => {
                let mut below = names.to_vec();
                below.push(mbox_name(&name).to_owned());
                found.folders.push(MailFolder { names: below, path: entry, kind: Kind::Mbox });
            }
            _ => found.left_out.push(entry),
        }
    }
    if !messages.is_empty() {
        found.folders.push(MailFolder {
            names: names.to_vec(),
            path: path.to_owned(),
            kind: Kind::Messages(messages),
        });
    }
    Ok(())
}

fn is_empty(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0)
}

/// What is in a folder, in order of names with numbers by their value, so that `2.eml` comes before `10.eml`.
fn entries(path: &Path) -> Result<Vec<(String, PathBuf)>, RecogniseError> {
    let unreadable = |error| RecogniseError::Unreadable(path.to_owned(), error);
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    let key = |name: &str| {
        let number = name.split(|letter: char| !letter.is_ascii_digit()).next().and_then(message_number);
        (number.unwrap_or(u32::MAX), name.to_owned())
    };
    entries.sort_by_cached_key(|(name, _)| key(name));
    Ok(entries)
}

fn plain_name(name: &str) -> Option<Vec<String>> {
    (!name.starts_with('.')).then(|| vec![name.strip_suffix(".sbd").unwrap_or(name).to_owned()])
}

fn mbox_name(name: &str) -> &str {
    let name = name.strip_suffix(".zst").or_else(|| name.strip_suffix(".gz")).unwrap_or(name);
    match name.strip_suffix(".mbox") {
        Some("") | None => name,
        Some(stem) => stem,
    }
}

/// A name in modified UTF-7; one that is not stands for itself.
fn decode(name: &str) -> String {
    utf7::decode(name.as_bytes()).unwrap_or_else(|| name.to_owned())
}
