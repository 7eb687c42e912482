//! Runs tests where wrong use of memory is found: under AddressSanitizer, or in Miri. Both need a nightly toolchain, so neither is a part of `ci`.

use crate::command;
use std::process::{Command, Stdio};

/// Modules of `store` that compute and touch no file: what Miri, which knows no mapped files, can run.
const PURE: [&str; 6] =
    ["change::", "lists::", "mailbox::layout::", "mailbox::sums::", "log::frame::", "date::"];
/// Where the compiler says that it builds for.
const HOST: &str = "host: ";

/// `address [FILTER…]` or `miri`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let filters: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match arguments.first().map(String::as_str) {
        Some("address") => address(&filters),
        Some("miri") => miri(if filters.is_empty() { &PURE } else { &filters }),
        _ => Err("say `address` or `miri`, and then what to run".to_string()),
    }
}

/// All of `store`: its mapped files are the memory that could be used wrongly.
fn address(filters: &[&str]) -> Result<(), String> {
    // With a target of its own, what runs while building is built without the sanitizer.
    let host = host()?;
    let mut all = vec!["+nightly", "test", "--package", "store", "--lib", "--target", &host, "--"];
    all.extend(filters);
    command::run("cargo", &all, &[("RUSTFLAGS", "-Zsanitizer=address".to_string())])
}

fn miri(filters: &[&str]) -> Result<(), String> {
    let there = Command::new("cargo")
        .args(["+nightly", "miri", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        return Err("Miri is not installed: rustup component add miri --toolchain nightly".to_string());
    }
    let mut all = vec!["+nightly", "miri", "test", "--package", "store", "--lib", "--"];
    all.extend(filters);
    command::run("cargo", &all, &[])
}

/// The target that the nightly compiler runs on.
fn host() -> Result<String, String> {
    let output = Command::new("rustc")
        .args(["+nightly", "--version", "--verbose"])
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .find_map(|line| line.strip_prefix(HOST))
        .map(str::to_string)
        .ok_or_else(|| "there is no nightly toolchain: rustup toolchain install nightly".to_string())
}
