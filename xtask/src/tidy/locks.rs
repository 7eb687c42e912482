//! Locks of the handler's process are counted by thread, so that a crash with one in hand is known for what it is.

use crate::workspace::{files, read};

const WHERE: [&str; 2] = ["store/src/", "handler/src/"];
/// The counted locks themselves, and what runs in programs that have no sessions.
const OUTSIDE: [&str; 4] =
    ["store/src/in_hand.rs", "store/src/check/", "store/src/disk/simulated/", "store/src/simulation/"];
const LOCKS: [&str; 3] = ["Mutex", "RwLock", "Condvar"];

/// Files of `store` and `handler` take their locks from `store::in_hand`. Tests may use any.
pub(crate) fn check() -> Result<Vec<String>, String> {
    let mut faults = Vec::new();
    for path in files(&[".rs"]) {
        let name = path.display().to_string();
        let is_tests = name.ends_with("/tests.rs") || name.contains("/tests/");
        let is_free = OUTSIDE.iter().any(|outside| name.starts_with(outside));
        if is_free || is_tests || !WHERE.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        faults.extend(faults_of(&name, &read(&path)?));
    }
    Ok(faults)
}

fn faults_of(name: &str, text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = (1..).zip(code.lines());
    let of_std =
        lines.filter(|(_, line)| line.contains("std::sync::") && !line.trim_start().starts_with("//"));
    let found = of_std.flat_map(|(number, line)| {
        let used = LOCKS.iter().filter(move |lock| line.contains(**lock));
        used.map(move |lock| format!("{name}:{number}: {lock} of std is not counted: take store::in_hand's"))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_that_are_not_counted_are_found() {
        let faults = faults_of("a.rs", "use std::sync::{Arc, Mutex};\nuse store::in_hand::Condvar;\n");
        assert_eq!(faults, ["a.rs:1: Mutex of std is not counted: take store::in_hand's"]);
        assert!(faults_of("a.rs", "use std::sync::{Arc, PoisonError};\n// std::sync::Mutex\n").is_empty());
        assert!(faults_of("a.rs", "#[cfg(test)]\nmod tests {\n    use std::sync::Mutex;\n").is_empty());
    }
}
