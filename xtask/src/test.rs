//! The one command that builds and runs all tests.

use crate::{command, packages, workspace};
use std::path::PathBuf;

/// Installs missing clients, builds the programs as they are shipped, and runs all tests against those.
///
/// The tests themselves are a debug build: their own assertions and those of the unit tests count, not their speed.
pub(crate) fn run(filter: &[String]) -> Result<(), String> {
    packages::install_missing()?;
    build_programs()?;
    let mut arguments = vec!["test", "--workspace", "--no-fail-fast", "--features", "store/mutations"];
    arguments.extend(filter.iter().map(String::as_str));
    command::cargo(&arguments, &[("LODE_BIN_DIR", programs().display().to_string())])?;
    println!("all tests passed");
    Ok(())
}

/// Builds `lode`, `router` and `handler` beside each other.
pub(crate) fn build_programs() -> Result<(), String> {
    command::cargo(
        &[
            "build",
            "--release",
            "--package",
            "ctl",
            "--package",
            "router",
            "--package",
            "handler",
            "--package",
            "tls",
        ],
        &[],
    )
}

/// Where [`build_programs`] puts them.
pub(crate) fn programs() -> PathBuf {
    workspace::target().join("release")
}
