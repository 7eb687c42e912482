//! Programs of others that the tests use.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// Whether it ended with 0.
    pub success: bool,
    /// Its exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error, as text.
    pub err: String,
}

impl Said {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

/// Where a program is. When it is not there: `None` if `LODE_SKIP_CLIENTS=1`, else a failure that names the package.
#[track_caller]
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/bin"].map(PathBuf::from));
    if let Some(found) = folders.map(|folder| folder.join(name)).find(|path| path.is_file()) {
        return Some(found);
    }
    assert!(
        std::env::var("LODE_SKIP_CLIENTS").is_ok_and(|value| value == "1"),
        "{name} is missing: apt-get install {package} (or set LODE_SKIP_CLIENTS=1)"
    );
    println!("skipped: {name} is missing");
    None
}

/// Runs a program to its end; kills it and fails after `limit`.
#[track_caller]
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut out = child.stdout.take().expect("a pipe");
    let mut err = child.stderr.take().expect("a pipe");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let out = std::thread::spawn(move || {
        let mut octets = Vec::new();
        let _ = out.read_to_end(&mut octets);
        octets
    });
    let err = std::thread::spawn(move || {
        let mut octets = Vec::new();
        let _ = err.read_to_end(&mut octets);
        String::from_utf8_lossy(&octets).into_owned()
    });
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child to wait for") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            let said = err.join().unwrap_or_default();
            panic!("{command:?} did not end within {limit:?}: {said}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let _ = writer.join();
    Said {
        success: status.success(),
        code: status.code(),
        out: out.join().unwrap_or_default(),
        err: err.join().unwrap_or_default(),
    }
}

/// Runs a program that has to end with 0; its standard output.
#[track_caller]
pub fn succeed(command: &mut Command) -> Vec<u8> {
    let said = run(command, b"", Duration::from_secs(120));
    assert!(said.success, "{command:?} ended with {:?}\n{}\n{}", said.code, said.text(), said.err);
    said.out
}

/// One of the scripts under `python/`, ready for arguments.
#[track_caller]
pub fn python(script: &str) -> Option<Command> {
    let mut command = Command::new(program("python3", "python3")?);
    command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script));
    Some(command)
}
