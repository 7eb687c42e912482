//! Backups: a writer makes one while others have the store open, into the same folder each time, and what is restored from it after a power cut is what was
//! shown when it was made.

use std::path::PathBuf;
use std::sync::Arc;

use super::compare::{Whole, compare_shown, model_of};
use super::crash::Machine;
use super::history::DURABLE;
use super::model::{Difference, Model};
use super::run::Run;
use super::step::Step;
use crate::backup::{self, PlaceHow};

impl Run {
    /// A writer backs the store up, while others do something, and the backup is restored.
    pub(super) fn back_up(&mut self, writer: u8, meanwhile: &[Step]) -> Result<(), Difference> {
        if !self.open(writer)? {
            return Ok(());
        }
        let Some(writing) = &self.writers[usize::from(writer)] else { return Ok(()) };
        let store = Arc::clone(&writing.store);
        // What others do while octets are copied came after the moment of the backup.
        let at_the_moment = if meanwhile.is_empty() {
            None
        } else {
            let shown = Whole::read(&store);
            self.crashes()?;
            match shown {
                Ok(whole) => Some(self.model_as_of(&whole)),
                Err(_) if self.faulty => return Ok(()),
                Err(what) => return Err(what),
            }
        };
        let folder = self.world.backup_path();
        let (mut steps, mut difference) = (meanwhile.iter(), None);
        let outcome = backup::run(&store, &folder, &mut |_| {
            if difference.is_none()
                && let Some(step) = steps.next()
            {
                difference = self.step(step).err();
            }
        });
        drop(store);
        if let Some(difference) = difference {
            return Err(format!("while a backup is made: {difference}"));
        }
        let is_made = outcome.is_ok();
        if let Ok(report) = &outcome
            && !self.model.sync_failed
            && let Some(fault) = report.faults.first()
        {
            return Err(format!("the backup finds {fault:?}"));
        }
        self.may_have_failed(outcome, "a backup")?;
        self.crashes()?;
        if !is_made {
            return Ok(());
        }
        let restored = match at_the_moment {
            None => self.restore(None),
            Some(model) => self.restore(Some(&model)),
        };
        restored.map_err(|what| format!("restored from a backup: {what}"))
    }

    /// The model of what is shown now, for later. Expunged messages that are not there any more may be there again in a store that is made from all logs.
    fn model_as_of(&self, whole: &Whole) -> Model {
        let mut model = model_of(whole);
        for id in whole.mailboxes.keys() {
            let (Some(known), Some(now)) = (self.model.mailbox(*id), model.mailbox_mut(*id)) else {
                continue;
            };
            for (uid, cell) in &known.cells {
                now.cells.entry(*uid).or_insert_with(|| cell.copied(DURABLE, *cell.states.now()));
            }
        }
        model
    }

    /// Whatever a power cut leaves now, the backup is whole, and shows what `model` says, or what is shown now.
    fn restore(&mut self, model: Option<&Model>) -> Result<(), Difference> {
        let how = if self.random.once_in(2) { PlaceHow::Copy } else { PlaceHow::Link };
        let seed = self.random.next();
        let (machine, folder) = self.world.machine_with_backup(seed)?;
        let outcome = self.restored(model.unwrap_or(&self.model), machine, folder, how, seed);
        outcome.map_err(|what| format!("{how:?}: {what}"))
    }

    fn restored(
        &self,
        model: &Model,
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
        compare_shown(model, &whole)?;
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
