//! Space that is given back: of messages that nobody has, and of journals of days that are over. Nothing that is shown changes.

use std::sync::Arc;

use super::kill::{Death, until_killed};
use super::model::Difference;
use super::run::Run;
use crate::check::{CheckOptions, FaultKind};
use crate::gc::GcOptions;
use crate::store::Store;

impl Run {
    /// Space is given back. Nothing that is shown changes.
    pub(super) fn collect(&mut self, writer: u8, all: bool, recount: bool) -> Result<(), Difference> {
        if !self.open(writer)? {
            return Ok(());
        }
        let Some(writing) = &self.writers[usize::from(writer)] else { return Ok(()) };
        let outcome = match all {
            true => writing.store.gc(gc_options(recount), &mut |_| ()),
            false => writing.store.collect_expunged(),
        };
        if outcome.is_ok() && all && recount {
            self.check_counts(&writing.store)?;
        }
        self.may_have_failed(outcome, "giving back space")?;
        self.crashes()?;
        self.look(writer)
    }

    /// References were counted anew: each count is what cells hold, neither less nor more.
    fn check_counts(&self, store: &Store) -> Result<(), Difference> {
        let report = store.check(&CheckOptions::default(), &|_| ()).map_err(|error| error.to_string())?;
        let mut all = report.faults.iter().chain(&report.notes);
        match all.find(|fault| !self.faulty && fault.kind == FaultKind::References) {
            Some(fault) => Err(format!("after all was counted, check finds {fault:?}")),
            None => Ok(()),
        }
    }

    /// A writer is killed while it gives back space. Nothing that is shown changes.
    pub(super) fn kill_collecting(&mut self, writer: u8, death: Death) -> Result<(), Difference> {
        if !self.open(writer)? {
            return Ok(());
        }
        let Some(writing) = &self.writers[usize::from(writer)] else { return Ok(()) };
        let store = Arc::clone(&writing.store);
        let outcome = until_killed(death, || store.gc(gc_options(false), &mut |_| ()));
        drop(store);
        self.kill(writer);
        if let Some(outcome) = outcome {
            self.may_have_failed(outcome, "giving back space")?;
        }
        self.crashes()
    }

    pub(super) fn prune(&mut self, writer: u8) -> Result<(), Difference> {
        if !self.open(writer)? {
            return Ok(());
        }
        let Some(writing) = &self.writers[usize::from(writer)] else { return Ok(()) };
        let outcome = writing.store.prune_journals(self.world.today());
        self.may_have_failed(outcome, "pruning journals")?;
        self.crashes()?;
        self.look(writer)
    }
}

fn gc_options(recount: bool) -> GcOptions {
    GcOptions { recount, thin_least_bytes: 512, ..GcOptions::default() }
}
