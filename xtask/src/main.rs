//! The project's own checks: `cargo xtask ci|tidy|test|demo|sim|sanitize|wire|deb`.
//!
//! `.ci/run` calls `test` and then `ci`; a contributor does the same. Nothing here is part of what Lode installs.

mod ci;
mod command;
mod deb;
mod demo;
mod packages;
mod sanitize;
mod sim;
mod test;
mod tidy;
mod wire;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  demo [ARGUMENTS]   build Lode and run `lode demo`
  test [FILTER]      install missing clients, build, and run all tests
                     (LODE_FULL=1: the long forms; LODE_SKIP_CLIENTS=1: without other people's clients)
  ci                 formatting, lints, tidy
  tidy               what no other tool checks: arrows between crates, list of unsafe, sizes, leftovers
  sim [ARGUMENTS]    the store on a simulated disk, with power cuts: --seeds N --minutes M [--seed S] [--verbose]
  sanitize KIND      tests of the store under AddressSanitizer (`address`) or in Miri (`miri`), with a nightly toolchain
  wire ARGUMENTS     the conversations under tests/wire against any server
  deb [ARGUMENTS]    a Debian package: --programs DIR (built already) --out DIR --version VERSION --fast
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (verb, rest) = match arguments.split_first() {
        Some((verb, rest)) => (verb.as_str(), rest),
        None => ("", &[][..]),
    };
    let result = match verb {
        "demo" => demo::run(rest),
        "test" => test::run(rest),
        "ci" => ci::run(),
        "tidy" => tidy::run(),
        "sim" => sim::run(rest),
        "sanitize" => sanitize::run(rest),
        "wire" => wire::run(rest),
        "deb" => deb::run(rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("xtask {verb}: {what}");
            ExitCode::FAILURE
        }
    }
}
