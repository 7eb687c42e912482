//! Runs the simulation of the store: whole workloads on a simulated disk, with power cuts.

use crate::command;

/// Builds it as fast as it can be, and runs it with the given arguments.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mut all =
        vec!["run", "--release", "--package", "store", "--features", "simulation", "--example", "sim", "--"];
    all.extend(arguments.iter().map(String::as_str));
    command::cargo(&all, &[])
}
