//! The conversations under `tests/wire` against any server.

use crate::command;

/// Passes its arguments to the runner of the tests crate.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mut all = vec!["run", "--quiet", "--package", "tests", "--bin", "wire", "--"];
    all.extend(arguments.iter().map(String::as_str));
    command::cargo(&all, &[])
}
