//! `lode check`: reads every structure of a store, compares them with each other, and says exactly where something is wrong.
//!
//! Invariants:
//! - A check changes nothing and stops nobody. What it finds wrong without a lock is looked at again under the lock of
//!   whoever may be changing it, or several times, and is reported only if it is wrong then, too.
//! - Data is read in the order in which it lies. Memory grows with the store by a few octets a message and a mailbox, and by a bounded
//!   list of faults.
//!
//! In this order: files that say who is who (`names`); each mailbox with what it is counted from, and its messages' directory cells
//! (`mailbox`); each log, its frames beside the directory and the cells that they made (`logs`); each directory with its records
//! (`pages`); how often each message is held (`counts`). `report` is what is found, `repair` what is done about it, `opening` what is done
//! about files without which the store cannot be opened.

mod counts;
mod logs;
mod mailbox;
mod names;
mod opening;
mod pages;
mod repair;
mod report;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::gc::walk::{Found, walk};
use crate::ids::{MailboxId, MessageId, UserId};
use crate::store::Store;
pub use opening::mend_opening;
pub use repair::RepairReport;
pub(crate) use report::Target;
pub use report::{
    Affected, CheckOptions, CheckProgress, CheckReport, Checked, Fault, FaultKind, Mend, Severity,
};

/// Told how far a check has come, by any of its threads.
pub type CheckCallback<'a> = &'a (dyn Fn(CheckProgress) + Sync);

/// A check under way: what its threads share.
pub(crate) struct Check<'a> {
    store: &'a Store,
    options: &'a CheckOptions,
    progress: CheckCallback<'a>,
    report: Mutex<CheckReport>,
    counted: [AtomicU64; 7],
    octets_total: AtomicU64,
}

/// The numbers that `Check::count` adds to.
#[derive(Clone, Copy)]
pub(crate) enum What {
    Users,
    Mailboxes,
    Cells,
    Messages,
    Logs,
    Frames,
    Octets,
}

impl Store {
    /// Checks the store, while it is in use.
    ///
    /// Errors: only where nothing can be said at all; what is wrong is in the report.
    pub fn check(&self, options: &CheckOptions, progress: CheckCallback<'_>) -> Result<CheckReport> {
        let check = Check {
            store: self,
            options,
            progress,
            report: Mutex::default(),
            counted: std::array::from_fn(|_| AtomicU64::new(0)),
            octets_total: AtomicU64::new(0),
        };
        check.run()?;
        let checked = check.checked();
        let mut report = check.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.checked = checked;
        let place = |fault: &Fault| (fault.path.clone(), fault.offset);
        report.faults.sort_by_key(place);
        report.faults.dedup();
        report.notes.sort_by_key(place);
        Ok(report)
    }
}

impl Check<'_> {
    fn run(&self) -> Result<()> {
        let users = names::users(self)?;
        let wanted: Option<BTreeSet<UserId>> = self.options.users.as_ref().map(|names| {
            users.iter().filter(|(_, name)| names.contains(name)).map(|(user, _)| *user).collect()
        });
        let found = walk(&self.store.derived.disk, &self.store.path().join("p0").join("users"))?;
        let mailboxes: Vec<Found> = found
            .mailboxes
            .into_iter()
            .filter(|found| wanted.as_ref().is_none_or(|wanted| wanted.contains(&found.id.user)))
            .collect();
        self.octets_total.store(self.estimate(&mailboxes), Ordering::Relaxed);
        let chosen: Vec<&(UserId, String)> = users
            .iter()
            .filter(|(user, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(user)))
            .collect();
        self.for_each(&chosen, |(user, name)| names::user(self, *user, name));
        self.for_each(&mailboxes, |found| mailbox::check(self, found));
        if wanted.is_none() {
            names::folders(self);
            names::not_put_away(self, &mailboxes);
            for page in self.store.pages.all()? {
                logs::page(self, page);
                pages::check(self, page);
            }
            logs::checkpoints(self);
            counts::check(self, &mailboxes)?;
        }
        self.name_affected(&mailboxes);
        Ok(())
    }

    /// Octets that will be read: the files of logs and cells.
    fn estimate(&self, mailboxes: &[Found]) -> u64 {
        let disk = &self.store.derived.disk;
        let len = |path: &std::path::Path| disk.metadata(path).map_or(0, |metadata| metadata.len());
        let mut octets: u64 = mailboxes.iter().map(|found| len(&found.cells)).sum();
        if self.options.users.is_none() {
            octets += logs::lengths(self, &len);
        }
        octets
    }

    /// Does `work` for all `items`, in as many threads as are asked for.
    fn for_each<T: Sync>(&self, items: &[T], work: impl Fn(&T) + Sync) {
        let next = AtomicUsize::new(0);
        let run = || {
            while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                work(item);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.options.threads.clamp(1, items.len().max(1)) {
                scope.spawn(run);
            }
            run();
        });
    }

    fn add(&self, fault: Fault) {
        self.lock().add(fault);
    }

    /// Adds what an operation met, if it says something.
    fn add_error(
        &self,
        kind: FaultKind,
        path: &std::path::Path,
        error: &crate::StoreError,
        meaning: &str,
        mend: Mend,
    ) {
        if let Some(fault) = Fault::of_error(kind, path, error) {
            self.add(fault.means(meaning, mend));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, CheckReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, what: What, number: u64) {
        self.counted[what as usize].fetch_add(number, Ordering::Relaxed);
        if matches!(what, What::Octets) {
            let octets_total = self.octets_total.load(Ordering::Relaxed);
            (self.progress)(CheckProgress { done: self.checked(), octets_total });
        }
    }

    fn checked(&self) -> Checked {
        let [users, mailboxes, cells, messages, logs, frames, octets] =
            std::array::from_fn(|at| self.counted[at].load(Ordering::Relaxed));
        Checked { users, mailboxes, cells, messages, logs, frames, octets }
    }

    /// Says whose mail the messages are of that something is wrong with: one more look at all cells, if there are such.
    fn name_affected(&self, mailboxes: &[Found]) {
        let mut messages: Vec<MessageId> = Vec::new();
        for fault in &self.lock().faults {
            if let (Target::Message(message), true) = (fault.target, fault.affected.is_empty()) {
                messages.push(message);
            }
        }
        messages.sort_unstable();
        messages.dedup();
        if messages.is_empty() {
            return;
        }
        self.for_each(mailboxes, |found| {
            let Ok(cells) = counts::open(self, found).and_then(|open| open.cells()) else { return };
            for index in (0..cells.count()).map(crate::CellIndex) {
                let Ok(cell) = cells.cell(index) else { continue };
                if cell.expunged || messages.binary_search(&cell.message).is_err() {
                    continue;
                }
                let affected = self.affected(found.id, Some(cell.uid.get()));
                for fault in &mut self.lock().faults {
                    if fault.target == Target::Message(cell.message)
                        && fault.affected.len() < report::AFFECTED_MOST
                    {
                        fault.affected.push(affected.clone());
                    }
                }
            }
        });
    }

    /// The names of a mailbox, or its numbers.
    fn affected(&self, mailbox: MailboxId, uid: Option<u32>) -> Affected {
        let user =
            self.store.user_name(mailbox.user).unwrap_or_else(|_| format!("number {}", mailbox.user.0));
        let list = self.store.mailbox_list(mailbox.user).ok();
        let name =
            list.as_ref().and_then(|list| list.by_number(mailbox.number)).map(|entry| entry.name.clone());
        let mailbox = name.unwrap_or_else(|| format!("number {}", mailbox.number));
        Affected { user, mailbox, uid }
    }
}
