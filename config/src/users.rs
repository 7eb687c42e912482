//! The users file: who there is, and the hash of each one's password.
//!
//! One user a line, `name:{SCHEME}hash`, further fields after another colon ignored, `#` comments: a Dovecot
//! passwd-file can be used as it is. A line that cannot be used is kept aside as a problem and costs nobody else the
//! login; a hash that cannot be read is found at login and said with file and line.
//!
//! The handler loads it, asks [`Users::verify`] off its workers, and reloads it when it changed. The `lode` command
//! edits it through [`edit`].

pub mod edit;
mod hash;
mod name;
mod parse;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crate::stamp::Stamp;

pub use hash::{HashError, Verdict, hash_password};
pub use name::{NAME_OCTETS_MAX, NameError, user_name};

/// The largest users file that is read: some hundred thousand users.
const FILE_OCTETS_MAX: u64 = 64 << 20;

/// The users of a file as it was when it was read, in one block of text and 16 octets each.
#[derive(Debug)]
pub struct Users {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// Names and hashes, one after another.
    text: Box<str>,
    /// Sorted by name.
    entries: Box<[Entry]>,
    problems: Vec<Problem>,
}

/// One user: where its name and, right behind, its hash stand in the text.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u32,
    name_octets: u16,
    hash_octets: u16,
    line: u32,
}

/// One user of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User<'a> {
    /// The name, in lower case.
    pub name: &'a str,
    /// The password field as it stands in the file; empty means that the user cannot log in.
    pub stored_hash: &'a str,
    /// The line in the file, from 1.
    pub line: u32,
}

/// A line that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line in the file, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub what: String,
}

/// Why a users file could not be read.
#[derive(Debug)]
pub enum UsersError {
    /// It cannot be opened or read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is larger than any users file should be.
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

impl Users {
    /// Reads a users file.
    pub fn load(path: &Path) -> Result<Users, UsersError> {
        let unreadable = |error| UsersError::Unreadable { path: path.to_path_buf(), error };
        let file = File::open(path).map_err(unreadable)?;
        // Taken before the first read: a change after it gives another stamp, and is seen by the next look.
        let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
        let mut users = Users::from_reader(file, path)?;
        users.stamp = Some(stamp);
        Ok(users)
    }

    /// Reads users from anywhere; `path` names it in what is reported.
    pub fn from_reader(reader: impl Read, path: &Path) -> Result<Users, UsersError> {
        let parsed = parse::parse(BufReader::new(reader), FILE_OCTETS_MAX).map_err(|error| match error {
            parse::Error::TooLarge => UsersError::TooLarge { path: path.to_path_buf() },
            parse::Error::Read(error) => UsersError::Unreadable { path: path.to_path_buf(), error },
        })?;
        Ok(Users {
            path: path.to_path_buf(),
            stamp: None,
            text: parsed.text.into_boxed_str(),
            entries: parsed.entries.into_boxed_slice(),
            problems: parsed.problems,
        })
    }

    /// Nobody at all; the first [`Users::reload_if_changed`] reads the file.
    pub fn empty(path: &Path) -> Users {
        Users {
            path: path.to_path_buf(),
            stamp: None,
            text: Box::default(),
            entries: Box::default(),
            problems: Vec::new(),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is another one than was read, or changed since. One `stat`.
    pub fn changed(&self) -> Result<bool, UsersError> {
        let metadata = std::fs::metadata(&self.path)
            .map_err(|error| UsersError::Unreadable { path: self.path.clone(), error })?;
        Ok(self.stamp != Some(Stamp::of(&metadata)))
    }

    /// Reads the file again if it changed, and says whether it did. After an error the users are as before.
    pub fn reload_if_changed(&mut self) -> Result<bool, UsersError> {
        if !self.changed()? {
            return Ok(false);
        }
        *self = Users::load(&self.path)?;
        Ok(true)
    }

    /// The user with this name, in whatever case.
    pub fn get(&self, name: &str) -> Option<User<'_>> {
        let name = name.to_lowercase();
        let place = self.entries.binary_search_by(|entry| self.user(entry).name.cmp(&name)).ok()?;
        Some(self.user(&self.entries[place]))
    }

    /// All users, by name.
    pub fn iter(&self) -> impl Iterator<Item = User<'_>> {
        self.entries.iter().map(|entry| self.user(entry))
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lines that are not used; at most the first 64.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether `password` is the password of `name`. Takes as long as the hash wants, tens of milliseconds; a name
    /// that nobody has takes as long as a password that is wrong.
    pub fn verify(&self, name: &str, password: &[u8]) -> Verdict {
        let Some(user) = user_name(name).ok().and_then(|name| self.get(&name)) else {
            return hash::refuse_slowly(password);
        };
        match hash::verify(user.stored_hash, password) {
            Verdict::Unreadable { why } => Verdict::Unreadable {
                why: format!("{}:{}: user {}: {why}", self.path.display(), user.line, user.name),
            },
            verdict => verdict,
        }
    }

    fn user(&self, entry: &Entry) -> User<'_> {
        let name = entry.at as usize;
        let hash = name + usize::from(entry.name_octets);
        let end = hash + usize::from(entry.hash_octets);
        User { name: &self.text[name..hash], stored_hash: &self.text[hash..end], line: entry.line }
    }
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsersError::Unreadable { path, error } => {
                write!(f, "cannot read the users file {}: {error}", path.display())?;
                if error.kind() == std::io::ErrorKind::NotFound {
                    write!(f, " (`lode user add NAME` writes one)")?;
                }
                Ok(())
            }
            UsersError::TooLarge { path } => {
                write!(f, "the users file {} is larger than {} MiB", path.display(), FILE_OCTETS_MAX >> 20)
            }
        }
    }
}

impl std::error::Error for UsersError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            UsersError::Unreadable { error, .. } => Some(error),
            UsersError::TooLarge { .. } => None,
        }
    }
}
