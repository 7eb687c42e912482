//! What can go wrong in the store, by who must act: a damaged or foreign file, the machine, or the caller's wish.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::date::page_name;
use crate::ids::MessageId;
use crate::quota::Resource;

/// Why the store could not be opened or read.
#[expect(missing_docs, reason = "each variant says what its fields are")]
#[derive(Debug)]
pub enum StoreError {
    /// The operating system refused: which file, doing what, why.
    Io { path: PathBuf, doing: &'static str, error: io::Error },
    /// A file holds what the store never writes: which file, where, what is wrong.
    Corrupt { path: PathBuf, offset: u64, what: &'static str },
    /// The folder is not a store, or one of another format or in other hands; `reason` says what to do.
    Unusable { path: PathBuf, reason: String },
    /// The message, mailbox or user asked for is not there (any more).
    NotFound(&'static str),
    /// No mailbox held the message any more, and its content was given back to the disk.
    Gone(MessageId),
    /// The message is not to be read, because reading it has crashed a program.
    Withheld(MessageId),
    /// A lock was not to be had within the time allowed.
    Busy(&'static str),
    /// A sync failed earlier; this process writes nothing more to the store until it opens it anew.
    Failed(String),
}

/// What every reading operation of the store returns.
pub type Result<T> = std::result::Result<T, StoreError>;

impl StoreError {
    /// For `map_err`: an I/O error on `path` while `doing` something ("open", "write" …).
    pub fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_path_buf();
        move |error| StoreError::Io { path, doing, error }
    }

    /// A damaged file.
    pub fn corrupt(path: &Path, offset: u64, what: &'static str) -> StoreError {
        StoreError::Corrupt { path: path.to_path_buf(), offset, what }
    }

    /// Whether the disk (or the quota) is full: trying again later makes sense.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, StoreError::Io { error, .. }
            if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Whether the process has too few descriptors or too little memory, for the moment.
    pub fn is_shortage(&self) -> bool {
        let StoreError::Io { error, .. } = self else { return false };
        let errno = error.raw_os_error().map(nix::errno::Errno::from_raw);
        use nix::errno::Errno::{EAGAIN, EMFILE, ENFILE, ENOMEM};
        matches!(errno, Some(EMFILE | ENFILE | ENOMEM | EAGAIN))
    }

    /// Whether what was asked for is not there (any more): nothing is wrong with the store.
    pub fn is_gone(&self) -> bool {
        matches!(self, StoreError::NotFound(_) | StoreError::Gone(_))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Io { path, doing, error } => write!(f, "{doing} {}: {error}", path.display()),
            StoreError::Corrupt { path, offset, what } => {
                write!(f, "{} is damaged at offset {offset}: {what}", path.display())
            }
            StoreError::Unusable { path, reason } => write!(f, "{}: {reason}", path.display()),
            StoreError::NotFound(what) => write!(f, "there is no such {what}"),
            StoreError::Gone(MessageId { page, index }) => {
                write!(f, "message {index} of {} was expunged, and its content is gone", page_name(*page))
            }
            StoreError::Withheld(MessageId { page, index }) => {
                write!(f, "message {index} of {} is not to be read", page_name(*page))
            }
            StoreError::Busy(what) => write!(f, "{what} did not become free in time"),
            StoreError::Failed(reason) => write!(f, "the store is closed for writing: {reason}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Why a transaction changed nothing.
#[derive(Debug)]
pub enum ChangeError {
    /// The mailbox is not there (any more).
    NoSuchMailbox,
    /// There is a mailbox of that name already.
    MailboxExists,
    /// The name cannot be used for a mailbox; why.
    InvalidName(&'static str),
    /// INBOX cannot be deleted, or something else that a mailbox of this kind does not allow; what.
    NotAllowed(&'static str),
    /// A limit of the formats was met; which.
    Limit(&'static str),
    /// A message would have more annotations than it may.
    TooManyAnnotations,
    /// The user would have more of it than allowed.
    OverQuota(Resource),
    /// The disk, a damaged file, or a store that is closed for writing.
    Store(StoreError),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::NoSuchMailbox => f.write_str("there is no such mailbox"),
            ChangeError::MailboxExists => f.write_str("there is a mailbox of that name already"),
            ChangeError::InvalidName(why) => write!(f, "the mailbox name cannot be used: {why}"),
            ChangeError::NotAllowed(what) => write!(f, "not allowed: {what}"),
            ChangeError::Limit(what) => write!(f, "too many: {what}"),
            ChangeError::TooManyAnnotations => f.write_str("a message would have too many annotations"),
            ChangeError::OverQuota(what) => write!(f, "the user would have more {what} than allowed"),
            ChangeError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ChangeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ChangeError::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> ChangeError {
        ChangeError::Store(error)
    }
}

/// Why a change that was made may not last: the log could not be synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitError(pub String);

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the change could not be made durable: {}", self.0)
    }
}

impl std::error::Error for CommitError {}
