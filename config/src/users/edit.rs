//! Changing the users file: one line is added, replaced or removed, every other octet stays.
//!
//! A change is all or nothing: the new file is written beside the old one, synced, and renamed over it, then the
//! folder is synced. Two editors at once take turns by a lock on the folder. Owner and permissions of an existing file
//! stay; a new one is for its owner, and for the group of its folder to read: daemons that are not root are in that group. Called by the `lode` command.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::{FILE_OCTETS_MAX, NameError, user_name};

/// The permissions of a new users file.
const MODE: u32 = 0o640;

/// Why the file was not changed.
#[derive(Debug)]
pub enum EditError {
    /// The name is none.
    Name(NameError),
    /// There is a user with this name already.
    Exists(String),
    /// There is no user with this name.
    Unknown(String),
    /// The password field is empty, or has a colon or a line end.
    Hash,
    /// The system refused.
    System {
        /// The file or folder it is about.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
}

/// Adds a user with this password field, as [`super::hash_password`] makes it. Writes the file if there is none.
pub fn add(path: &Path, name: &str, stored_hash: &str) -> Result<(), EditError> {
    let name = user_name(name).map_err(EditError::Name)?;
    check_hash(stored_hash)?;
    change(path, |text| {
        if text.split_inclusive(|octet| *octet == b'\n').any(|line| is_of(line, &name)) {
            return Err(EditError::Exists(name.clone()));
        }
        let mut text = text.to_vec();
        if text.last().is_some_and(|octet| *octet != b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(format!("{name}:{stored_hash}\n").as_bytes());
        Ok(text)
    })
}

/// Replaces the password field of a user; further fields of the line stay.
pub fn set_hash(path: &Path, name: &str, stored_hash: &str) -> Result<(), EditError> {
    check_hash(stored_hash)?;
    replace(path, name, |line| {
        let mut fields: Vec<&[u8]> = line.split(|octet| *octet == b':').collect();
        fields[1] = stored_hash.as_bytes();
        fields.join(&b':')
    })
}

/// Removes a user from the file. The mail stays.
pub fn remove(path: &Path, name: &str) -> Result<(), EditError> {
    replace(path, name, |_| Vec::new())
}

fn check_hash(stored_hash: &str) -> Result<(), EditError> {
    if stored_hash.is_empty() || stored_hash.contains(|c: char| c == ':' || c.is_control()) {
        return Err(EditError::Hash);
    }
    Ok(())
}

/// Puts `new(line)` in place of each line of the user; the line comes without its end, and with at least two fields.
fn replace(path: &Path, name: &str, new: impl Fn(&[u8]) -> Vec<u8>) -> Result<(), EditError> {
    let name = user_name(name).map_err(EditError::Name)?;
    change(path, |text| {
        let mut out = Vec::with_capacity(text.len() + 128);
        let mut found = false;
        for line in text.split_inclusive(|octet| *octet == b'\n') {
            if !is_of(line, &name) {
                out.extend_from_slice(line);
                continue;
            }
            found = true;
            let body = line.strip_suffix(b"\n").unwrap_or(line);
            let replacement = new(body.strip_suffix(b"\r").unwrap_or(body));
            if !replacement.is_empty() {
                out.extend_from_slice(&replacement);
                out.push(b'\n');
            }
        }
        if found { Ok(out) } else { Err(EditError::Unknown(name.clone())) }
    })
}

/// Whether a line is the entry of this user.
fn is_of(line: &[u8], name: &str) -> bool {
    let Some(colon) = line.iter().position(|octet| *octet == b':') else {
        return false;
    };
    std::str::from_utf8(&line[..colon]).is_ok_and(|field| user_name(field).is_ok_and(|found| found == name))
}

/// Reads the file, lets `new` make its new text, and puts that in its place, all under the lock.
fn change(path: &Path, new: impl FnOnce(&[u8]) -> Result<Vec<u8>, EditError>) -> Result<(), EditError> {
    // A link is followed once, so that what is replaced is the file it leads to, not the link.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let system = |path: &Path, error: std::io::Error| EditError::System { path: path.to_path_buf(), error };
    let folder_file = File::open(&folder).map_err(|error| system(&folder, error))?;
    let folder_lock = Flock::lock(folder_file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| system(&folder, std::io::Error::from(errno)))?;
    let old = read(&path).map_err(|error| system(&path, error))?;
    let text = new(old.as_ref().map_or(&[][..], |old| &old.text))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = folder.join(name);
    if let Err(error) = write(&beside, &text, old.as_ref()).and_then(|()| std::fs::rename(&beside, &path)) {
        // What is left beside is of no use; that it may stay does no harm, the next change writes over it.
        let _ = std::fs::remove_file(&beside);
        return Err(system(&beside, error));
    }
    folder_lock.sync_all().map_err(|error| system(&folder, error))
}

/// A users file that is there already.
struct Old {
    text: Vec<u8>,
    mode: u32,
    owner: u32,
    group: u32,
}

fn read(path: &Path) -> std::io::Result<Option<Old>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let mut text = Vec::new();
    if Read::by_ref(&mut file).take(FILE_OCTETS_MAX).read_to_end(&mut text)? as u64 == FILE_OCTETS_MAX {
        return Err(std::io::Error::other("larger than a users file may be"));
    }
    Ok(Some(Old { text, mode: metadata.mode() & 0o7777, owner: metadata.uid(), group: metadata.gid() }))
}

fn write(path: &Path, text: &[u8], old: Option<&Old>) -> std::io::Result<()> {
    let _ = std::fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    if let Some(old) = old {
        // A daemon that dropped root must still be able to read what root edited.
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (old.owner, old.group) {
            fchown(&file, Some(old.owner), Some(old.group))?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(old.mode))?;
    } else {
        let folder = std::fs::metadata(path.parent().unwrap_or(Path::new("/")))?;
        // Where the group is not ours to give, nobody else reads it.
        let is_given =
            folder.gid() == file.metadata()?.gid() || fchown(&file, None, Some(folder.gid())).is_ok();
        let mode = if is_given { MODE } else { MODE & 0o700 };
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    file.write_all(text)?;
    file.sync_all()
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditError::Name(error) => write!(f, "{error}"),
            EditError::Exists(name) => {
                write!(f, "there is a user {name} already (`lode user passwd {name}` changes the password)")
            }
            EditError::Unknown(name) => {
                write!(f, "there is no user {name} (`lode user list` shows who there is)")
            }
            EditError::Hash => {
                write!(f, "the password field is empty, or has a colon or a control character")
            }
            EditError::System { path, error } => write!(f, "cannot change {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for EditError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EditError::Name(error) => Some(error),
            EditError::System { error, .. } => Some(error),
            EditError::Exists(_) | EditError::Unknown(_) | EditError::Hash => None,
        }
    }
}
