//! The simulation finds no difference in the store as it is, and finds each way in which it is broken on purpose. The long form is
//! `cargo xtask sim`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use store::simulation::run_seed;

/// A folder in memory where that can be had.
fn folder(name: &str) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    base.join(format!("lode-simulation-{name}-{}", std::process::id()))
}

#[test]
fn a_few_seeds_show_no_difference() {
    let folder = folder("few");
    let is_full = std::env::var_os("LODE_FULL").is_some();
    let until = Instant::now() + Duration::from_secs(25);
    for seed in 1..=if is_full { 1000 } else { 40 } {
        let (tally, outcome) = run_seed(seed, &folder);
        if let Err(failure) = outcome {
            panic!("{failure}\nThe fewest steps: cargo xtask sim --seed {seed}");
        }
        assert!(tally.crashes > 20, "{tally:?}");
        // Some are enough on a slow machine.
        if seed >= 8 && !is_full && Instant::now() > until {
            break;
        }
    }
}

#[test]
fn a_seed_is_one_run() {
    let folder = folder("one");
    for seed in [3, 7] {
        let (first, outcome) = run_seed(seed, &folder);
        outcome.expect("no difference");
        assert_eq!(run_seed(seed, &folder).0, first, "seed {seed}");
    }
}

#[cfg(feature = "mutations")]
#[test]
fn every_mutation_is_found() {
    use store::disk::Mutation;
    use store::simulation::{find, holds, run_mutated};

    const RANDOM_SEEDS_MOST: u64 = 150;

    let folder = folder("mutations");
    let only = std::env::var("LODE_MUTATION").ok();
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        if only.as_ref().is_some_and(|only| *only != format!("{mutation:?}")) {
            continue;
        }
        match find(mutation, &folder) {
            Ok(Some(found)) => println!("{mutation:?}: in run {}: {}", found.runs, found.failure.difference),
            Ok(None) => missed.push(mutation),
            Err(failure) => panic!("without {mutation:?}: {failure}"),
        }
        if std::env::var_os("LODE_FULL").is_none() {
            continue;
        }
        if let Err(failure) = holds(mutation, &folder) {
            panic!("without {mutation:?}: {failure}");
        }
        // Among all the rest that is done, too. What is found must be the mutation's doing.
        let found = (1..=RANDOM_SEEDS_MOST).find_map(|seed| {
            let failure = run_mutated(seed, &folder, Some(mutation)).1.err()?;
            run_seed(seed, &folder).1.is_ok().then_some(failure)
        });
        match found {
            Some(failure) => println!("{mutation:?}: at seed {}: {}", failure.seed, failure.difference),
            None => println!("{mutation:?}: at none of {RANDOM_SEEDS_MOST} seeds"),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
