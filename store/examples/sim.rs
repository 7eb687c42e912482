//! Runs the simulation: `sim [--seeds N] [--minutes M] [--seed S] [--verbose] [--keep-going]`. Ends with 1 if a seed shows a difference.
//!
//! With `--keep-going` it is a survey: all seeds are run, and each failure is one line, without the steps that it needs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use store::simulation::{Tally, minimize, run_seed, tell};

/// Runs that finding the steps of a failure may take.
const MINIMIZE_RUNS: u32 = 400;
/// Failures after which it is enough.
const FAILURES_MOST: usize = 3;

struct Arguments {
    first: u64,
    seeds: u64,
    minutes: u64,
    threads: usize,
    verbose: bool,
    keep_going: bool,
}

fn arguments() -> Result<Arguments, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut parsed =
        Arguments { first: 1, seeds: 100, minutes: u64::MAX, threads, verbose: false, keep_going: false };
    let mut all = std::env::args().skip(1);
    while let Some(name) = all.next() {
        let mut number = || -> Result<u64, String> {
            let text = all.next().ok_or_else(|| format!("{name} needs a number"))?;
            text.parse().map_err(|_| format!("{name} {text}: not a number"))
        };
        match &name[..] {
            "--seeds" => parsed.seeds = number()?,
            "--minutes" => parsed.minutes = number()?,
            "--seed" => (parsed.first, parsed.seeds) = (number()?, 1),
            "--first" => parsed.first = number()?,
            "--threads" => parsed.threads = number()? as usize,
            "--verbose" => parsed.verbose = true,
            "--keep-going" => parsed.keep_going = true,
            _ => return Err(format!("{name} is not known")),
        }
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(what) => {
            eprintln!(
                "sim: {what}\nsim [--seeds N] [--minutes M] [--seed S] [--first S] [--threads N] [--verbose] [--keep-going]"
            );
            return ExitCode::from(2);
        }
    };
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let base = base.join(format!("lode-sim-{}", std::process::id()));
    let begun = Instant::now();
    let until = Duration::from_secs(arguments.minutes.saturating_mul(60));
    let next = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let result = Mutex::new((Tally::default(), 0u64, Vec::new()));
    // With --verbose, what was done is told and what power cuts left is kept. Without, where a panic came from is not needed beside what a
    // difference is found by.
    if arguments.verbose {
        tell();
    } else {
        std::panic::set_hook(Box::new(|_| ()));
    }
    std::thread::scope(|scope| {
        for thread in 0..arguments.threads.max(1) {
            let folder = base.join(thread.to_string());
            let (arguments, next, enough, result) = (&arguments, &next, &enough, &result);
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) && begun.elapsed() < until {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= arguments.seeds {
                        return;
                    }
                    let seed = arguments.first + number;
                    let (tally, outcome) = run_seed(seed, &folder);
                    if arguments.verbose {
                        println!("seed {seed}: {tally:?}");
                    }
                    let failure = outcome.err().map(|failure| {
                        println!("seed {seed} shows a difference: {}", failure.difference);
                        if arguments.verbose || arguments.keep_going {
                            return failure;
                        }
                        minimize(seed, &folder, MINIMIZE_RUNS).unwrap_or(failure)
                    });
                    let mut result = result.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    result.0.add(&tally);
                    result.1 += 1;
                    if result.1.is_multiple_of(100) {
                        println!("{} seeds, {} crashes, {:?}", result.1, result.0.crashes, begun.elapsed());
                    }
                    if let Some(failure) = failure {
                        if !arguments.keep_going {
                            println!("{failure}");
                        }
                        result.2.push(failure);
                        let is_enough = !arguments.keep_going && result.2.len() >= FAILURES_MOST;
                        enough.fetch_or(is_enough, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    if arguments.verbose {
        println!("what power cuts left is in {}", base.display());
    } else {
        let _ = std::fs::remove_dir_all(&base);
    }
    let (tally, seeds, failures) = result.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!(
        "{seeds} seeds in {:.1} s: {} steps, {} syncs, {} power cuts recovered from ({} of them within recovery), {} differences",
        begun.elapsed().as_secs_f64(),
        tally.steps,
        tally.syncs,
        tally.crashes,
        tally.crashes_in_recovery,
        failures.len()
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
