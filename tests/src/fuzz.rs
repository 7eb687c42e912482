//! Fuzzing with the stable compiler: inputs made from the seeds in `fuzz/corpus`, the same ones that libFuzzer starts
//! from, run through the same entries.
//!
//! An input is a function of the seed of its run and its number. It lies in a file while it runs, so that it is there
//! after a panic, and after a stack overflow or an endless loop too, and can be run again by `LODE_FUZZ_INPUT`.

pub mod growth;
mod mutate;
mod seeds;

use crate::random::{self, Random};
use shm_abi::{ControlAnswer, ControlRequest, FromHandler, ToHandler};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use self::mutate::Mutator;

/// No input is longer, in octets.
const INPUT_OCTETS_MAX: usize = 16 * 1024;

/// An input that takes longer than this is taken to hang.
const HANG: Duration = Duration::from_secs(60);

/// Less than a handler's workers have, so that recursion that input decides is found.
const STACK_OCTETS: usize = 1024 * 1024;

/// What is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Folder of its seeds in `fuzz/corpus`, and name of its libFuzzer target.
    pub name: &'static str,
    /// Panics if something does not hold.
    pub entry: fn(&[u8]),
    /// File of its words in `fuzz/dictionaries`, if there is one.
    pub dictionary: Option<&'static str>,
    /// How many inputs an ordinary run takes: a few seconds of a build without optimisation.
    pub inputs: u64,
}

/// All targets.
pub const TARGETS: [Target; 6] = [IMAP, POP3, LMTP, MESSAGE, RECORDS, STORE];

/// Commands of IMAP clients.
pub const IMAP: Target =
    Target { name: "imap", entry: protocol::imap::fuzz::fuzz_entry, dictionary: Some("imap"), inputs: 4_000 };

/// Commands of POP3 clients, and messages to them.
pub const POP3: Target = Target {
    name: "pop3",
    entry: protocol::pop3::fuzz::fuzz_entry,
    dictionary: Some("lines"),
    inputs: 3_000,
};

/// Commands and messages of mail servers.
pub const LMTP: Target = Target {
    name: "lmtp",
    entry: protocol::lmtp::fuzz::fuzz_entry,
    dictionary: Some("lines"),
    inputs: 3_000,
};

/// Messages, and the records that the store keeps of them.
pub const MESSAGE: Target =
    Target { name: "message", entry: message::fuzz::fuzz_entry, dictionary: Some("mime"), inputs: 1_500 };

/// Records between router, handlers and tools.
pub const RECORDS: Target = Target { name: "records", entry: records, dictionary: None, inputs: 20_000 };

/// What the store decodes from its files: changes, heads of frames, lists.
pub const STORE: Target =
    Target { name: "store", entry: store::fuzz::fuzz_entry, dictionary: None, inputs: 20_000 };

/// Decodes `octets` as each kind of record. What is decoded must survive being encoded.
pub fn records(octets: &[u8]) {
    fn record<T>(octets: &[u8])
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        if let Ok(record) = shm_abi::decode::<T>(octets) {
            let again = shm_abi::encode(&record).and_then(|encoded| shm_abi::decode::<T>(&encoded));
            assert_eq!(again.as_ref(), Ok(&record));
        }
    }
    record::<ToHandler>(octets);
    record::<FromHandler>(octets);
    record::<ControlRequest>(octets);
    record::<ControlAnswer>(octets);
}

/// Runs inputs through a target: the one that `LODE_FUZZ_INPUT` names; or for `LODE_FUZZ_SECONDS`; or as many as the
/// target says, which are the same ones each time. Panics if an input panics or hangs.
pub fn fuzz(target: Target) {
    if let Some(path) = std::env::var_os("LODE_FUZZ_INPUT") {
        let input = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", Path::new(&path).display()));
        return (target.entry)(&input);
    }
    let limit = match seconds() {
        Some(seconds) => Limit::Until(Instant::now() + Duration::from_secs(seconds)),
        None => Limit::Count(target.inputs),
    };
    let seed = match limit {
        Limit::Count(_) if std::env::var_os("LODE_SEED").is_none() => 1,
        _ => random::seed(),
    };
    let current = Current::new(target.name, seed);
    let done = AtomicU64::new(0);
    let (end, ended) = channel::<()>();
    thread::scope(|scope| {
        let worker = thread::Builder::new().stack_size(STACK_OCTETS).spawn_scoped(scope, || {
            let _end_on_return_and_panic = end;
            run(target, seed, limit, &current, &done);
        });
        let worker = worker.unwrap_or_else(|error| panic!("cannot start a thread: {error}"));
        let mut seen = (0, Instant::now());
        while ended.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout) {
            let count = done.load(Ordering::Relaxed);
            if count != seen.0 {
                seen = (count, Instant::now());
            } else if seen.1.elapsed() > HANG {
                // A thread cannot be ended from outside.
                eprintln!("{}: input {count} hangs\n{}", target.name, current.how_to_repeat());
                std::process::abort();
            }
        }
        if worker.join().is_err() {
            panic!("{} failed, see above", target.name);
        }
    });
    println!("{}: {} inputs, seed {seed}", target.name, done.load(Ordering::Relaxed));
}

/// How long each target is to run, if `LODE_FUZZ_SECONDS` says so.
pub fn seconds() -> Option<u64> {
    std::env::var("LODE_FUZZ_SECONDS").ok()?.parse().ok()
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    Count(u64),
    Until(Instant),
}

fn run(target: Target, seed: u64, limit: Limit, current: &Current, done: &AtomicU64) {
    let mutator = Mutator::new(seeds::of(&target), seeds::dictionary(&target));
    // The seeds as they are come first.
    for seed_input in mutator.seeds() {
        check(target, seed_input, current);
    }
    for number in 0.. {
        match limit {
            Limit::Count(count) if number >= count => break,
            Limit::Until(end) if number % 16 == 0 && Instant::now() >= end => break,
            Limit::Count(_) | Limit::Until(_) => {}
        }
        let mut random = Random::new(seed ^ number.wrapping_mul(0xD134_2543_DE82_EF95));
        check(target, &mutator.input(&mut random, INPUT_OCTETS_MAX), current);
        done.store(number + 1, Ordering::Relaxed);
    }
    current.forget();
}

fn check(target: Target, input: &[u8], current: &Current) {
    current.keep(input);
    if catch_unwind(AssertUnwindSafe(|| (target.entry)(input))).is_err() {
        panic!("{} panicked on {} octets\n{}", target.name, input.len(), current.how_to_repeat());
    }
}

/// The file with the input that runs.
struct Current {
    target: &'static str,
    seed: u64,
    path: PathBuf,
    file: File,
}

impl Current {
    fn new(target: &'static str, seed: u64) -> Current {
        // The build's folder for tests' files, or wherever files may be.
        let folder = std::env::current_exe().ok().and_then(|test| Some(test.ancestors().nth(3)?.join("tmp")));
        let folder = folder.unwrap_or_else(std::env::temp_dir).join("fuzz");
        let path = folder.join(format!("{target}-{seed}-{}.input", std::process::id()));
        let file = fs::create_dir_all(&folder).and_then(|()| File::create(&path));
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Current { target, seed, path, file }
    }

    fn keep(&self, input: &[u8]) {
        let kept = self.file.set_len(input.len() as u64).and_then(|()| self.file.write_all_at(input, 0));
        kept.unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
    }

    fn forget(&self) {
        fs::remove_file(&self.path).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
    }

    fn how_to_repeat(&self) -> String {
        format!(
            "seed of the run: LODE_SEED={}\nrun this input alone:\nLODE_FUZZ_INPUT={} cargo test -p tests --test fuzz inputs::{}",
            self.seed,
            self.path.display(),
            self.target
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_panics_is_kept_and_named() {
        fn no_stat(octets: &[u8]) {
            assert!(!octets.starts_with(b"STAT"), "found it");
        }
        let current = Current::new("self-test", 7);
        let target = Target { entry: no_stat, ..POP3 };
        check(target, b"NOOP", &current);
        let failed = catch_unwind(AssertUnwindSafe(|| check(target, b"STAT\r\n", &current)));
        let said = failed.unwrap_err().downcast::<String>().unwrap();
        assert!(said.contains("LODE_SEED=7") && said.contains(&current.path.display().to_string()), "{said}");
        assert_eq!(fs::read(&current.path).unwrap(), b"STAT\r\n");
        current.forget();
    }
}
