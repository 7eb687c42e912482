//! The Debian packages of the programs that the tests use.

use crate::command;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Program and package.
const PROGRAMS: [(&str, &str); 9] = [
    ("mbsync", "isync"),
    ("neomutt", "neomutt"),
    ("curl", "curl"),
    ("fetchmail", "fetchmail"),
    ("postfix", "postfix"),
    ("python3", "python3"),
    ("openssl", "openssl"),
    ("zstd", "zstd"),
    ("ps", "procps"),
];

/// Installs what is missing, without asking. Where that cannot be done it says what to install, and the tests decide.
pub(crate) fn install_missing() -> Result<(), String> {
    if std::env::var("LODE_SKIP_CLIENTS").is_ok_and(|value| value == "1") {
        return Ok(());
    }
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if find("apt-get").is_none() {
        return Err(format!("install these programs first, or set LODE_SKIP_CLIENTS=1: {list}"));
    }
    println!("installing {list}");
    // Postfix asks how mail is to be handled; the test brings its own configuration, and the service is not wanted.
    privileged("debconf-set-selections", &[], b"postfix postfix/main_mailer_type select No configuration\n")?;
    privileged("apt-get", &["update", "-q"], b"")?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(missing);
    privileged("apt-get", &arguments, b"")
        .map_err(|what| format!("{what}\ninstall by hand: apt-get install {list}"))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Runs a program as root: directly, or through sudo without a question.
fn privileged(program: &str, arguments: &[&str], input: &[u8]) -> Result<(), String> {
    let root =
        std::fs::metadata("/proc/self").is_ok_and(|facts| std::os::unix::fs::MetadataExt::uid(&facts) == 0);
    let mut all = vec!["env", "DEBIAN_FRONTEND=noninteractive", program];
    all.extend(arguments);
    if !root {
        all.insert(0, "sudo");
        all.insert(1, "-n");
    }
    if input.is_empty() {
        return command::run(all[0], &all[1..], &[]);
    }
    if find(program).is_none() && !Path::new("/usr/bin").join(program).exists() {
        return Ok(());
    }
    let mut child = Command::new(all[0])
        .args(&all[1..])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        std::io::Write::write_all(&mut pipe, input).map_err(|error| format!("{program}: {error}"))?;
    }
    let status = child.wait().map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}")) }
}
