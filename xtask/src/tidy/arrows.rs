//! The arrows between crates: what `Cargo.toml` files say against the table in `ARCHITECTURE.md`.

use crate::workspace::read;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a crate may use.
#[derive(Debug, PartialEq, Eq)]
enum Allowed {
    These(BTreeSet<String>),
    Leaves,
    All,
}

/// Every dependency on a crate of the workspace must be allowed by the map, and every crate be on it.
pub(crate) fn check() -> Result<Vec<String>, String> {
    let map = table(&read(Path::new("ARCHITECTURE.md"))?);
    let root = read(Path::new("Cargo.toml"))?;
    let members = members(&root);
    let mut faults = Vec::new();
    for member in &members {
        let Some(allowed) = map.get(member) else {
            faults.push(format!("ARCHITECTURE.md: {member} is not in the table of crates"));
            continue;
        };
        let manifest = read(&Path::new(member).join("Cargo.toml"))?;
        for used in dependencies(&manifest).intersection(&members) {
            if !permits(&map, allowed, used) {
                faults.push(format!("{member}/Cargo.toml: {member} must not use {used} (ARCHITECTURE.md)"));
            }
        }
    }
    if map.is_empty() {
        faults.push("ARCHITECTURE.md: the table of crates was not found".to_string());
    }
    Ok(faults)
}

fn permits(map: &BTreeMap<String, Allowed>, allowed: &Allowed, used: &str) -> bool {
    match allowed {
        Allowed::All => true,
        // A leaf is a crate that uses only named ones, or none.
        Allowed::Leaves => matches!(map.get(used), Some(Allowed::These(_))),
        Allowed::These(names) => names.contains(used),
    }
}

/// Rows such as ``| `store` | … | `message` |``; several crates may share a row.
fn table(text: &str) -> BTreeMap<String, Allowed> {
    let mut map = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (Some(crates), Some(may_use)) = (cells.first(), cells.get(2)) else { continue };
        for name in quoted(crates) {
            let allowed = match *may_use {
                "all" => Allowed::All,
                "leaves" => Allowed::Leaves,
                _ => Allowed::These(quoted(may_use)),
            };
            map.insert(name, allowed);
        }
    }
    map
}

fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_string).collect()
}

fn members(manifest: &str) -> BTreeSet<String> {
    let list = manifest.split_once("members = [").and_then(|(_, rest)| rest.split_once(']'));
    list.map(|(list, _)| list.split('"').skip(1).step_by(2).map(str::to_string).collect()).unwrap_or_default()
}

/// Names under `[dependencies]` and `[build-dependencies]`. What only tests use is no arrow.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            let name = line.trim_matches(|octet| octet == '[' || octet == ']');
            inside =
                name == "dependencies" || name == "build-dependencies" || name.ends_with(".dependencies");
        } else if inside {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default().trim();
            found.insert(name.to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "| crate | what | may use |\n|---|---|---|\n| `message` | mail | – |\n| `store` | disk | `message` |\n\
                       | `ctl` | tool | leaves |\n| `tests`, `xtask` | roof | all |\n";

    #[test]
    fn the_map_is_read_and_asked() {
        let map = table(MAP);
        let may = |user: &str, used: &str| permits(&map, &map[user], used);
        assert!(may("store", "message") && may("ctl", "store") && may("xtask", "ctl"));
        assert!(!may("message", "store") && !may("ctl", "tests") && !may("store", "store"));
    }

    #[test]
    fn dependencies_of_tests_are_no_arrows() {
        let manifest = "[dependencies]\nmessage.workspace = true\nnix = \"1\"\n[dev-dependencies]\nstore.workspace = true\n";
        assert_eq!(dependencies(manifest), BTreeSet::from(["message".to_string(), "nix".to_string()]));
    }
}
