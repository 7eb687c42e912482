//! Whole workloads on a simulated disk, against a plain model, with a power cut at every sync and now and then in between. One seed is one run,
//! the same to the last octet on every machine.
//!
//! - `step`: what a run does, made from its seed beforehand
//! - `wish`, `resolve`: what a step comes to mean, and what it came to
//! - `model`, `history`: what was shown and what of it was acknowledged
//! - `observe`, `compare`: what a store shows, and whether it may
//! - `run`: does the steps, with several writers in one process
//! - `session`: what a session relies on while mailboxes are rewritten
//! - `space`: space that is given back
//! - `limits`: mail that is refused because there is enough
//! - `restore`: backups, and what is restored from them
//! - `crash`: recovers what a power cut leaves, and goes on with it
//! - `kill`: how a writer is killed in the middle of what it does
//! - `directed`: runs that catch each way in which the store is broken on purpose
//! - `minimize`: finds the few steps that a failure needs

mod compare;
mod crash;
mod directed;
#[cfg(test)]
mod found;
mod history;
pub(crate) mod kill;
mod limits;
mod minimize;
mod model;
mod observe;
mod random;
mod resolve;
mod restore;
mod run;
mod session;
mod space;
mod step;
mod wish;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::Mutation;
use step::{Step, steps_of};

pub use directed::{Find, find, holds};

/// What runs did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps.
    pub steps: u64,
    /// Syncs of files, folders and file systems.
    pub syncs: u64,
    /// Power cuts that were recovered from.
    pub crashes: u64,
    /// Power cuts within recovery among them.
    pub crashes_in_recovery: u64,
    /// A number that is the same for the same run.
    pub trace: u64,
}

impl Tally {
    /// Adds another one's numbers.
    pub fn add(&mut self, other: &Tally) {
        self.steps += other.steps;
        self.syncs += other.syncs;
        self.crashes += other.crashes;
        self.crashes_in_recovery += other.crashes_in_recovery;
        self.trace ^= other.trace;
    }
}

/// A run that showed what it must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// When it was: the step, and the power cut if there was one.
    pub place: String,
    /// What was wrong.
    pub difference: String,
    /// The steps up to it; after [`minimize`], only those that it needs.
    pub steps: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.difference)?;
        writeln!(f, "  {}", self.place)?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {number:3} {step}")?;
        }
        Ok(())
    }
}

/// Whether runs tell what they do.
static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// From now on, runs tell what they do.
pub fn tell() {
    IS_TOLD.store(true, Ordering::Relaxed);
}

fn is_told() -> bool {
    IS_TOLD.load(Ordering::Relaxed)
}

/// Runs `seed` in `folder`, which is emptied before and should be in memory.
pub fn run_seed(seed: u64, folder: &Path) -> (Tally, Result<(), Failure>) {
    run_mutated(seed, folder, None)
}

/// Runs `seed` with a store that does something wrong on purpose, in a build with the feature `mutations`.
pub fn run_mutated(seed: u64, folder: &Path, mutation: Option<Mutation>) -> (Tally, Result<(), Failure>) {
    let steps = steps_of(seed);
    let (tally, outcome) = run::run(seed, &steps, folder, mutation);
    (tally, outcome.map_err(|stop| failure(seed, &steps, stop)))
}

/// Runs `seed` with fewer and fewer steps, as long as it fails and no longer than `most_runs` runs. The failure of the shortest run.
pub fn minimize(seed: u64, folder: &Path, most_runs: u32) -> Option<Failure> {
    let (steps, stop) = minimize::shortest(seed, steps_of(seed), folder, most_runs)?;
    Some(failure(seed, &steps, stop))
}

fn failure(seed: u64, steps: &[Step], stop: run::Stop) -> Failure {
    let done = steps.iter().take(stop.step + 1);
    Failure {
        seed,
        place: stop.place,
        difference: stop.difference,
        steps: done.map(|step| format!("{step:?}")).collect(),
    }
}
