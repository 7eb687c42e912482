//! `lode config`, and how settings are found.

use std::fs;
use std::process::Command;

use crate::installation::{Installation, run};

#[test]
fn the_default_settings_are_right() {
    let installation = Installation::new();
    let text = installation.ok(&["config", "default"]);
    assert!(text.contains("[store]") && text.contains("path = \"/var/lib/lode\""));
    let path = installation.path("default.toml");
    fs::write(&path, text).expect("written");
    let said = installation.ok(&["config", "check", "--config", path.to_str().expect("UTF-8")]);
    assert!(said.ends_with("default.toml: no mistakes found\n"), "{said}");
}

#[test]
fn mistakes_are_named() {
    let installation = Installation::new();
    fs::write(installation.path("lode.toml"), "[handlers]\nmax = 0\nsessions = 0\n").expect("written");
    let said = installation.fails(&["config", "check"], 1);
    assert!(said.contains("2 mistakes") && said.contains("[handlers] max"), "{said}");
    fs::write(installation.path("lode.toml"), "[store]\npth = \"/x\"\n").expect("written");
    let said = installation.fails(&["config", "check"], 1);
    assert!(said.contains("lode.toml:2") && said.contains("pth"), "{said}");
    // Every other verb says the same.
    assert!(installation.fails(&["user", "list"], 1).contains("lode.toml:2"));
}

#[test]
fn show_says_what_is_in_force() {
    let installation = Installation::new();
    let text = installation.ok(&["config", "show"]);
    assert!(text.contains(&format!("path = \"{}\"", installation.path("store").display())), "{text}");
    assert!(text.contains("imap_idle_seconds = 1800"), "{text}");
    let json = installation.ok(&["config", "show", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["limits"]["imap_idle_seconds"], 1800);
}

#[test]
fn a_missing_file_is_a_hint() {
    let ran = run(
        Command::new(env!("CARGO_BIN_EXE_lode")).args(["user", "list", "--config", "/nonexistent/lode.toml"]),
        b"",
    );
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("/nonexistent/lode.toml") && ran.stderr.contains("lode config default"),
        "{ran:?}"
    );
}

#[test]
fn used_wrongly_is_exit_code_2() {
    let installation = Installation::new();
    for arguments in [&["nonsense"][..], &[], &["import", "--user", "ann"], &["deliver"]] {
        assert_eq!(installation.run(arguments).code, 2, "{arguments:?}");
    }
    assert_eq!(installation.run(&["--help"]).code, 0);
    assert!(installation.ok(&["--version"]).starts_with("lode "));
}
