//! What a check is asked, and what it finds.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::ids::{MailboxId, MessageId, PageId, UserId};

/// Faults and notes that a report holds, each; what is beyond is only counted.
pub(crate) const FINDINGS_MOST: usize = 10_000;
/// Mailboxes that a fault names.
pub(crate) const AFFECTED_MOST: usize = 16;

/// How to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOptions {
    /// Threads over users and logs; at least one.
    pub threads: usize,
    /// Whether the octets of all messages are read and their hashes compared. Without, everything but these is checked.
    pub verify_content: bool,
    /// Only the mailboxes of these users; `None`: everything.
    pub users: Option<Vec<String>>,
}

impl Default for CheckOptions {
    fn default() -> CheckOptions {
        CheckOptions { threads: 1, verify_content: true, users: None }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong for any user; space may be wasted, or a file is not the store's.
    Note,
    /// The store does not say what was put into it.
    Fault,
}

/// What kind of thing is wrong: what repair goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// `FORMAT`, `state`, `catalog`, a `number` file: who is who.
    Store,
    /// A list of mailboxes.
    List,
    /// The cells of a mailbox.
    Cells,
    /// What is counted from cells: summaries, the counts of a header, usage.
    Counts,
    /// A directory of messages.
    Directory,
    /// A reference count.
    References,
    /// A record of a message.
    Record,
    /// The octets of a message.
    Content,
    /// A log: its head, a frame, its changes.
    Log,
    /// A checkpoint.
    Checkpoint,
    /// A file that the store does not know.
    Unknown,
}

/// Whether repair mends it, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Made again from other views.
    FromViews,
    /// Made again from the logs.
    FromLogs,
    /// Made again from the octets of the message.
    FromContent,
    /// Taken out of the way, and kept.
    PutAside,
    /// There is nothing it could be made from; a backup may have it.
    Never,
    /// There is nothing to be mended.
    NotNeeded,
}

/// Whose mail a fault touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// The user's name, or the number where the name is not known.
    pub user: String,
    /// The mailbox's name, or its number where the name is not known; empty: all of them.
    pub mailbox: String,
    /// The message; `None`: the mailbox as a whole.
    pub uid: Option<u32>,
}

/// What a fault is about: what repair makes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Target {
    #[default]
    Nothing,
    User(UserId),
    Mailbox(MailboxId),
    Page(PageId),
    Message(MessageId),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of thing.
    pub kind: FaultKind,
    /// How bad.
    pub severity: Severity,
    /// The file.
    pub path: PathBuf,
    /// The octet in it.
    pub offset: u64,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What it means for users.
    pub meaning: String,
    /// Whose mail it touches; not more than a few.
    pub affected: Vec<Affected>,
    /// Whether repair mends it.
    pub mend: Mend,
    pub(crate) target: Target,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, path: &Path, offset: u64) -> Fault {
        Fault {
            kind,
            severity: Severity::Fault,
            path: path.to_path_buf(),
            offset,
            expected: String::new(),
            found: String::new(),
            meaning: String::new(),
            affected: Vec::new(),
            mend: Mend::Never,
            target: Target::Nothing,
        }
    }

    /// What a reading operation met. `None` if it says nothing of the store (it is gone meanwhile).
    pub(crate) fn of_error(kind: FaultKind, path: &Path, error: &StoreError) -> Option<Fault> {
        let fault = match error {
            StoreError::Corrupt { path, offset, what } => {
                Fault::new(kind, path, *offset).that("what was written there", what)
            }
            StoreError::NotFound(_) | StoreError::Gone(_) | StoreError::Busy(_) => return None,
            error => Fault::new(kind, path, 0).that("a file that can be read", error),
        };
        Some(fault)
    }

    pub(crate) fn that(mut self, expected: impl fmt::Display, found: impl fmt::Display) -> Fault {
        (self.expected, self.found) = (expected.to_string(), found.to_string());
        self
    }

    pub(crate) fn means(mut self, meaning: impl fmt::Display, mend: Mend) -> Fault {
        (self.meaning, self.mend) = (meaning.to_string(), mend);
        self
    }

    pub(crate) fn note(mut self) -> Fault {
        self.severity = Severity::Note;
        self
    }

    pub(crate) fn about(mut self, target: Target) -> Fault {
        self.target = target;
        self
    }

    pub(crate) fn of_mail(mut self, affected: Affected) -> Fault {
        if self.affected.len() < AFFECTED_MOST {
            self.affected.push(affected);
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { path, offset, expected, found, meaning, .. } = self;
        write!(f, "{} at offset {offset}: expected {expected}, found {found}; {meaning}", path.display())?;
        for Affected { user, mailbox, uid } in &self.affected {
            write!(f, "; user {user}")?;
            if !mailbox.is_empty() {
                write!(f, ", mailbox {mailbox}")?;
            }
            if let Some(uid) = uid {
                write!(f, ", UID {uid}")?;
            }
        }
        Ok(())
    }
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Users.
    pub users: u64,
    /// Mailboxes, deleted ones that still hold messages among them.
    pub mailboxes: u64,
    /// Mailbox cells, tombstones among them.
    pub cells: u64,
    /// Directory cells.
    pub messages: u64,
    /// Logs.
    pub logs: u64,
    /// Frames in them.
    pub frames: u64,
    /// Octets read or mapped.
    pub octets: u64,
}

/// How far a check has come; told now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckProgress {
    /// What was looked at so far.
    pub done: Checked,
    /// Octets that are to be looked at altogether, as far as it is known.
    pub octets_total: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// What is wrong, in the order of files and offsets.
    pub faults: Vec<Fault>,
    /// What is not wrong, but worth knowing.
    pub notes: Vec<Fault>,
    /// Faults that are too many to be listed.
    pub faults_unlisted: u64,
    /// Notes likewise.
    pub notes_unlisted: u64,
    /// Octets that counts that are too high keep from being given back.
    pub octets_held_too_long: u64,
    /// How much was looked at.
    pub checked: Checked,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty() && self.faults_unlisted == 0
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        let (list, unlisted) = match fault.severity {
            Severity::Fault => (&mut self.faults, &mut self.faults_unlisted),
            Severity::Note => (&mut self.notes, &mut self.notes_unlisted),
        };
        if list.len() < FINDINGS_MOST {
            list.push(fault);
        } else {
            *unlisted += 1;
        }
    }

    /// The faults of one file.
    pub fn faults_of<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Fault> {
        self.faults.iter().filter(move |fault| fault.path == path)
    }
}
