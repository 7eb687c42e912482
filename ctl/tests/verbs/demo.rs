//! `lode demo` up to the start of the server.

use std::fs;
use std::process::Command;

use crate::installation::{Ran, run};

fn demo(folder: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lode"));
    run(command.args(["demo", "--prepare-only", "--dir", folder]), b"")
}

#[test]
fn a_demo_is_made_once_and_used_again() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("demo");
    let name = path.to_str().expect("UTF-8");
    let first = demo(name);
    assert_eq!(first.code, 0, "{first:?}");
    for words in [
        "user demo, password demo; 38 messages in 8 mailboxes",
        "curl -s 'imap://demo:demo@127.0.0.1:",
        "rm -r",
    ] {
        assert!(first.stdout.contains(words), "{words}: {}", first.stdout);
    }
    let users = fs::read(path.join("users")).expect("a users file");
    let second = demo(name);
    assert_eq!(second.code, 0, "{second:?}");
    assert!(second.stdout.contains("38 messages in 8 mailboxes"), "{}", second.stdout);
    assert_eq!(fs::read(path.join("users")).expect("a users file"), users);
    let settings = path.join("lode.toml");
    let list = run(
        Command::new(env!("CARGO_BIN_EXE_lode"))
            .args(["mailbox", "list", "--user", "demo", "--config"])
            .arg(settings),
        b"",
    );
    assert!(list.stdout.contains("Lists/footbridges") && list.stdout.contains("\\Drafts"), "{list:?}");
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let ran = demo("/proc/lode-demo");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("cannot make the folder /proc/lode-demo"), "{ran:?}");
    let ran = demo(&format!("/tmp/{}", "long/".repeat(30)));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("too long") && ran.stderr.contains("--dir"), "{ran:?}");
}
