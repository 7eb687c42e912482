//! Builds what `lode demo` needs and runs it.

use crate::{command, test, workspace};

/// Builds the three programs beside each other and runs `lode demo` with the given arguments.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    test::build_programs()?;
    let lode = test::programs().join("lode");
    let mut all = vec!["demo"];
    all.extend(arguments.iter().map(String::as_str));
    println!("in {}", workspace::root().display());
    command::run(&lode.display().to_string(), &all, &[])
}
