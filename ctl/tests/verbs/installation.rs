//! A settings file, a users file and a store in a temporary folder, and the `lode` command run on them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Everything a verb needs, gone when it is dropped.
pub(crate) struct Installation {
    folder: tempfile::TempDir,
}

/// What a verb printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Installation {
    /// An empty store without users.
    pub(crate) fn new() -> Installation {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().display();
        fs::create_dir(folder.path().join("run")).expect("made");
        let settings = format!(
            "[store]\npath = \"{path}/store\"\n[runtime]\ndir = \"{path}/run\"\n[auth]\nusers = \"{path}/users\"\n\
             [listen]\nlmtp = [\"unix:{path}/run/lmtp\"]\n"
        );
        fs::write(folder.path().join("lode.toml"), settings).expect("written");
        Installation { folder }
    }

    /// An installation with the user ann. The users file is written by hand: argon2 takes its time.
    pub(crate) fn with_ann() -> Installation {
        let installation = Installation::new();
        fs::write(installation.path("users"), "ann:{PLAIN}secret\n").expect("written");
        installation
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `lode ARGUMENTS` with `input` as standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        run(
            Command::new(env!("CARGO_BIN_EXE_lode"))
                .args(arguments)
                .env("LODE_CONFIG", self.path("lode.toml")),
            input,
        )
    }

    /// Runs `lode ARGUMENTS`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, b"")
    }

    /// Runs `lode ARGUMENTS`, which must end with 0, and gives what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "lode {arguments:?}: {ran:?}");
        ran.stdout
    }

    /// Runs `lode ARGUMENTS`, which must end with `code`, and gives what it said.
    pub(crate) fn fails(&self, arguments: &[&str], code: i32) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, code, "lode {arguments:?}: {ran:?}");
        ran.stderr
    }

    /// Runs `lode ARGUMENTS --json`, which must end with 0.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str::<Value>(&text).expect("JSON").as_array().expect("an array").clone()
    }

    /// Messages in a mailbox of ann, as `lode mailbox list` says.
    pub(crate) fn messages_in(&self, mailbox: &str) -> Option<u64> {
        let rows = self.json(&["mailbox", "list", "--user", "ann"]);
        rows.iter().find(|row| row["mailbox"] == mailbox)?["messages"].as_u64()
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lode started");
    // A verb that reads nothing may be gone already.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("lode ended");
    Ran {
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        code: output.status.code().expect("an exit code"),
    }
}

/// The mail corpus, or `None` with a note when it is not there.
pub(crate) fn corpus() -> Option<PathBuf> {
    let folder = match std::env::var_os("LODE_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
    };
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: there is no mail corpus at {} (set LODE_CORPUS)", folder.display());
    None
}
