//! Formatting, lints, tidy: what must be clean before anything is merged.

use crate::{command, tidy};

/// All of them; says all that is wrong, not only the first.
pub(crate) fn run() -> Result<(), String> {
    let checks = [
        command::cargo(&["fmt", "--all", "--check"], &[]),
        command::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]),
        command::cargo(
            &[
                "clippy",
                "--package",
                "store",
                "--features",
                "simulation",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
            &[],
        ),
        tidy::run(),
    ];
    let faults: Vec<String> = checks.into_iter().filter_map(Result::err).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}
