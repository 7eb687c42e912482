//! Backups: a writer makes one while others have the store open, into the same folder each time, and what is restored from it after a power cut is what was
//! shown when it was made.

use std::path::PathBuf;

use super::compare::{Whole, compare_shown};
use super::crash::Machine;
use super::model::Difference;
use super::run::Run;
use crate::backup::{self, PlaceHow};

impl Run {
    /// A writer backs the store up, and the backup is restored.
    pub(super) fn back_up(&mut self, writer: u8) -> Result<(), Difference> {
        if !self.open(writer)? {
            return Ok(());
        }
        let Some(writing) = &self.writers[usize::from(writer)] else { return Ok(()) };
        let outcome = backup::run(&writing.store, &self.world.backup_path(), &mut |_| ());
        let is_made = outcome.is_ok();
        if let Ok(report) = &outcome
            && !self.model.sync_failed
            && let Some(fault) = report.faults.first()
        {
            return Err(format!("the backup finds {fault:?}"));
        }
        self.may_have_failed(outcome, "a backup")?;
        self.crashes()?;
        if is_made {
            self.restore().map_err(|what| format!("restored from a backup: {what}"))
        } else {
            Ok(())
        }
    }

    /// Whatever a power cut leaves now, the backup is whole.
    fn restore(&mut self) -> Result<(), Difference> {
        let how = if self.random.once_in(2) { PlaceHow::Copy } else { PlaceHow::Link };
        let seed = self.random.next();
        let (machine, folder) = self.world.machine_with_backup(seed)?;
        let outcome = self.restored(machine, folder, how, seed);
        outcome.map_err(|what| format!("{how:?}: {what}"))
    }

    fn restored(
        &self,
        mut machine: Machine,
        folder: PathBuf,
        how: PlaceHow,
        seed: u64,
    ) -> Result<(), Difference> {
        let disk = machine.disk();
        let verified = backup::verify(&disk, &folder, &mut |_| ()).map_err(|error| error.to_string())?;
        if !self.model.sync_failed && !verified.faults.is_empty() {
            return Err(format!("it has faults {:?}", verified.faults));
        }
        let placed = backup::lay_out(&disk, &folder, &machine.store_path(), how, &mut |_| ());
        let placed = placed.map_err(|error| format!("laid out: {error}"))?;
        let store = machine.open()?;
        let whole = Whole::read(&store)?;
        compare_shown(&self.model, &whole)?;
        if how == PlaceHow::Copy {
            machine.go_on(store, &whole, seed, self.model.sync_failed)?;
        } else {
            store.abandon();
        }
        drop(placed);
        machine.end();
        Ok(())
    }
}
