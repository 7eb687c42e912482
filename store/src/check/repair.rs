//! What is done about what a check found. Nothing is removed: what is put aside goes under `lost+found`, with a text that says where from.
//!
//! Each mending is one that is safe on a running store: under the lock of what it is about, from what is the truth of it. What cannot be
//! mended stays as it is, and reading it is an error that says where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{CheckReport, Fault, FaultKind, Target};
use crate::catalog::{cells_path, list_path};
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, PageId, UserId};
use crate::locks::LockKey;
use crate::store::Store;

/// What repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// What was mended, in words.
    pub mended: Vec<String>,
    /// What could not be, and why.
    pub failed: Vec<String>,
    /// The folder that holds what was put aside, if something was.
    pub lost_and_found: Option<PathBuf>,
}

/// One mending; several faults may ask for the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mending {
    User(UserId),
    List(UserId),
    Directory(PageId),
    Mailbox(MailboxId),
    Counts(MailboxId),
    References(PageId),
    Record(crate::ids::MessageId),
}

impl Store {
    /// Mends what `report` says that can be mended, while the store is in use. Check again to see what is left.
    ///
    /// Errors: only where nothing can be done at all.
    pub fn repair(&self, report: &CheckReport) -> Result<RepairReport> {
        self.check_writable()?;
        let mut mendings = BTreeSet::new();
        for fault in report.faults.iter().chain(&report.notes) {
            mendings.extend(mending(fault));
        }
        let mut done = RepairReport::default();
        for mending in mendings {
            match self.mend(mending, &mut done) {
                Ok(what) => done.mended.push(what),
                Err(error) => done.failed.push(format!("{}: {error}", self.describe(mending))),
            }
        }
        // A checkpoint that is damaged is written anew.
        if report.faults.iter().any(|fault| fault.kind == FaultKind::Checkpoint) {
            self.checkpoint()?;
        }
        for fault in report.faults.iter().filter(|fault| fault.kind == FaultKind::Checkpoint) {
            let ours = self.path().join("p0").join(format!("checkpoint.{}", self.writer()));
            if fault.path != ours {
                self.put_in_lost_and_found(&fault.path, &mut done)?;
                done.mended.push(format!("put {} aside: the logs are read instead", fault.path.display()));
            }
        }
        Ok(done)
    }

    fn mend(&self, mending: Mending, done: &mut RepairReport) -> Result<String> {
        let what = self.describe(mending);
        match mending {
            Mending::User(user) => {
                let _held = self.take(&[LockKey::Catalog, LockKey::List(user)])?;
                if matches!(self.derived.catalog.is_deleted(user), Ok(true)) {
                    self.derived.delete_user(user)?;
                    return Ok(format!("the folder of user number {}, who is gone, put away", user.0));
                }
                let name = match self.derived.catalog.name(user) {
                    Err(StoreError::Corrupt { .. }) => self.name_in_logs(user)?,
                    name => name?,
                };
                let name = name.ok_or(StoreError::NotFound("user"))?;
                self.derived.catalog.apply_create(user, &name)?;
                self.derived.catalog.apply_name(user, &name)?;
            }
            Mending::List(user) => {
                self.rebuild_list(user)?;
                let path = list_path(&self.derived.user_folder(user)?).with_extension("damaged");
                self.put_in_lost_and_found(&path, done)?;
            }
            Mending::Directory(page) => {
                self.rebuild_directory(page)?;
                self.pages.directory(page)?.set_recounted_epoch(0)?;
            }
            Mending::Mailbox(mailbox) => {
                self.rebuild_mailbox(mailbox)?;
                let path = cells_path(&self.derived.user_folder(mailbox.user)?, mailbox.number);
                self.put_in_lost_and_found(&path.with_extension("damaged"), done)?;
            }
            Mending::Counts(mailbox) => {
                let held = self.take(&[LockKey::Mailbox(mailbox)])?;
                let open = self.mailbox_held(mailbox, &held)?;
                open.mend_counts()?;
                self.derived.keep_usage(&open)?;
            }
            // Counted by the next collection of space, before it frees anything of the page.
            Mending::References(page) => self.pages.directory(page)?.set_recounted_epoch(0)?,
            Mending::Record(message) => {
                let stored = self.message(message)?;
                self.analyse(&stored)?;
            }
        }
        Ok(what)
    }

    /// The name that the logs give a user.
    fn name_in_logs(&self, user: UserId) -> Result<Option<String>> {
        use crate::change::Change;
        use crate::recovery::scan::{How, read_log};
        let mut found = None;
        for page in self.pages.all()? {
            for log in crate::log::logs::logs_of_page(&self.derived.disk, self.pages.root(), page)? {
                read_log(&self.derived, log, How::WHOLE, &mut |_, frame| {
                    for change in &frame.changes {
                        match change {
                            Change::UserCreate { user: made, name } if *made == user => {
                                found = Some(name.clone())
                            }
                            Change::UserDelete { user: gone } if *gone == user => found = None,
                            _ => (),
                        }
                    }
                    Ok(())
                })?;
            }
        }
        Ok(found)
    }

    fn describe(&self, mending: Mending) -> String {
        let user = |user: UserId| self.user_name(user).unwrap_or_else(|_| format!("number {}", user.0));
        let page = crate::date::page_name;
        match mending {
            Mending::User(id) => format!("the name of user {} from the catalog or the logs", user(id)),
            Mending::List(id) => format!("the list of mailboxes of user {} from the logs", user(id)),
            Mending::Directory(id) => format!("the directory of {} from its buckets", page(id)),
            Mending::Mailbox(id) => format!("mailbox {} of user {} from the logs", id.number, user(id.user)),
            Mending::Counts(id) => {
                format!("counts of mailbox {} of user {} from its cells", id.number, user(id.user))
            }
            Mending::References(id) => {
                format!("reference counts of {}: counted by the next collection", page(id))
            }
            Mending::Record(id) => {
                format!("the record of message {} of {} from its octets", id.index, page(id.page))
            }
        }
    }

    /// Moves a file under `lost+found`, and says there where it was. Nothing is done if there is none.
    fn put_in_lost_and_found(&self, path: &Path, done: &mut RepairReport) -> Result<()> {
        let disk = &self.derived.disk;
        if !disk.exists(path) {
            return Ok(());
        }
        let folder = match &done.lost_and_found {
            Some(folder) => folder.clone(),
            None => {
                let made = self.path().join("lost+found").join(format!("{:012}", disk.now_seconds()));
                disk.make_folder(&made).map_err(StoreError::io(&made, "make"))?;
                done.lost_and_found = Some(made.clone());
                made
            }
        };
        let from = path.strip_prefix(self.path()).unwrap_or(path).display().to_string();
        let to = folder.join(from.replace('/', "!"));
        disk.rename(path, &to).map_err(StoreError::io(path, "put aside"))?;
        let text = folder.join("WHERE-FROM");
        let mut lines = match disk.exists(&text) {
            true => disk.read(&text).map_err(StoreError::io(&text, "read"))?,
            false => Vec::new(),
        };
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        lines
            .extend_from_slice(format!("{name} was {from} and was damaged; it was made again.\n").as_bytes());
        disk.replace_file(&text, &lines).map_err(StoreError::io(&text, "write"))
    }
}

/// What mends a fault.
fn mending(fault: &Fault) -> Option<Mending> {
    Some(match (fault.kind, fault.target) {
        (FaultKind::Store, Target::User(user)) => Mending::User(user),
        (FaultKind::List, Target::User(user)) => Mending::List(user),
        (FaultKind::Cells, Target::Mailbox(mailbox)) => Mending::Mailbox(mailbox),
        (FaultKind::Counts, Target::Mailbox(mailbox)) => Mending::Counts(mailbox),
        (FaultKind::Directory, Target::Page(page)) => Mending::Directory(page),
        (FaultKind::Directory, Target::Message(message)) => Mending::Directory(message.page),
        (FaultKind::References, Target::Message(message)) => Mending::References(message.page),
        (FaultKind::Record, Target::Message(message)) => Mending::Record(message),
        _ => return None,
    })
}
