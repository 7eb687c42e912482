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
    let until = Instant::now() + Duration::from_secs(30);
    for seed in 1..=if std::env::var_os("LODE_FULL").is_some() { 1000 } else { 60 } {
        let (tally, outcome) = run_seed(seed, &folder);
        if let Err(failure) = outcome {
            panic!("{failure}\nThe fewest steps: cargo xtask sim --seed {seed}");
        }
        assert!(tally.crashes > 20, "{tally:?}");
        // Some are enough on a slow machine.
        if seed > 20 && Instant::now() > until && std::env::var_os("LODE_FULL").is_none() {
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
    use store::simulation::{run_death, run_mutated};

    const DEATHS_MOST: u32 = 60;
    const SEEDS_MOST: u64 = 150;

    let folder = folder("mutations");
    let only = std::env::var("LODE_MUTATION").ok();
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        if only.as_ref().is_some_and(|only| *only != format!("{mutation:?}")) {
            continue;
        }
        // What is found must be the mutation's doing.
        let death = |at_call| {
            let failure = run_death(at_call, &folder, Some(mutation)).err()?;
            run_death(at_call, &folder, None).is_ok().then_some(failure)
        };
        let seed = |seed| {
            let failure = run_mutated(seed, &folder, Some(mutation)).1.err()?;
            run_seed(seed, &folder).1.is_ok().then_some(failure)
        };
        let found = (1..DEATHS_MOST).find_map(death).or_else(|| (1..=SEEDS_MOST).find_map(seed));
        match found {
            Some(failure) => println!("{mutation:?}: seed {}: {}", failure.seed, failure.difference),
            None => missed.push(mutation),
        }
    }
    assert!(missed.is_empty(), "not found in {SEEDS_MOST} seeds: {missed:?}");
}
