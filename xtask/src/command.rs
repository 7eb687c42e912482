//! Runs other programs where the user can see them.

use crate::workspace;
use std::process::Command;

/// Runs a program in the workspace's root, with its output shown; fails if it fails.
pub(crate) fn run(program: &str, arguments: &[&str], environment: &[(&str, String)]) -> Result<(), String> {
    let line = format!("{program} {}", arguments.join(" "));
    println!("$ {line}");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace::root());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let status = command.status().map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` ended with {status}")) }
}

/// The cargo that runs us.
pub(crate) fn cargo(arguments: &[&str], environment: &[(&str, String)]) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_string());
    run(&cargo, arguments, environment)
}
