//! Another program takes the router's place, in the same process: systemd, handlers and clients notice nothing.
//!
//! ```text
//! asked ──► checking: the new programs say what they are (--abi), the new router reads the state (--rehearse)
//!            │ no                          │ yes
//!            ▼                             ▼
//!         refused ◄── exec fails ── state into a memfd, descriptors open over exec, exec ──► the new program
//!            ▲                                                                                │ cannot take over
//!            └──────────────────────────── execs the old one again ◄──────────────────────────┤
//!                                                                                             ▼
//!                                                         handlers are replaced one by one (`replace.rs`), done
//! ```
//!
//! The check runs in a thread: programs that hang are killed after a while, and nobody waits meanwhile. No exec happens while a thread
//! waits for a handler's start: it would die with the mutex of the start event in its hand.

mod carry;
mod replace;
pub(crate) mod state;

pub(crate) use self::carry::claim;
pub(crate) use self::replace::Replacement;

use crate::log::{Level, event};
use crate::server::{Phase, Server};
use crate::{signals, spawn};
use config::Settings;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::execv;
use shm_abi::{Abi, TableView, UpgradeState};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a new program may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// More than any answer has.
const ANSWER_OCTETS_MAX: u64 = 4096;

/// How far an upgrade is.
#[derive(Debug)]
pub(crate) enum Upgrade {
    /// None was asked for.
    None,
    /// The new programs are being asked.
    Checking(mpsc::Receiver<Result<(), String>>),
    /// They are good; no handler may be starting now.
    Agreed,
    /// This program goes on, and why.
    Refused(String),
    /// This is the new program; handlers of the old one are being replaced.
    Replacing,
    /// Everything is new.
    Done,
}

/// What a new program is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakeOver {
    /// The descriptor of the state.
    pub(crate) state: RawFd,
    /// That of the old program, to go back to; none for the old program itself.
    pub(crate) old_program: Option<RawFd>,
    /// Why the old program has to go on, if it has.
    pub(crate) refused: Option<String>,
}

/// A file in memory, for the state.
pub(crate) fn memory_file() -> Result<File, String> {
    let made = memfd_create(c"lode-upgrade", MFdFlags::MFD_CLOEXEC);
    made.map(File::from).map_err(|errno| format!("cannot make a file in memory: {}", errno.desc()))
}

impl Server {
    /// Begins to become the program that is installed now.
    pub(crate) fn begin_upgrade(&mut self) -> Result<(), String> {
        if self.phase != Phase::Serving {
            return Err("the server is being stopped".into());
        }
        if matches!(self.upgrade, Upgrade::Checking(_) | Upgrade::Agreed | Upgrade::Replacing) {
            return Err("an upgrade is going on already".into());
        }
        if self.expects_handlers() {
            return Err("handlers of the last router have not joined yet: try again in some seconds".into());
        }
        let mut state = memory_file()?;
        let (items, _) = self.items();
        state::write(&mut state, &items)?;
        let (router, config) = (self.router_program.clone(), self.settings_path.clone());
        let (told, verdict) = mpsc::channel();
        let waker = self.waker.clone();
        let check = move || {
            // Nobody waits for it any more only if the router ends.
            let _ = told.send(check(&router, &config, &state));
            let _ = waker.wake();
        };
        let checking = thread::Builder::new().name("upgrade".into()).spawn(check);
        checking.map_err(|error| format!("cannot start a thread: {error}"))?;
        event(Level::Info, "upgrade-begins", &[("program", &self.router_program.display())]);
        self.upgrade = Upgrade::Checking(verdict);
        Ok(())
    }

    /// Goes on with an upgrade, if there is one.
    pub(crate) fn step_upgrade(&mut self) {
        if let Upgrade::Checking(verdict) = &self.upgrade {
            match verdict.try_recv() {
                Ok(Ok(())) => self.upgrade = Upgrade::Agreed,
                Ok(Err(why)) => self.refuse_upgrade(why),
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => {
                    self.refuse_upgrade("the check of the new programs ended".into())
                }
            }
        }
        let is_starting = self.awaited.iter().any(|awaited| *awaited);
        // What the process that speaks TLS says of a handshake must reach the router that asked for it.
        let is_busy = is_starting || self.tls.is_busy(self.now_ms);
        if self.is_about_to_exec() && !is_busy && self.phase == Phase::Serving {
            let why = self.become_new_program();
            self.refuse_upgrade(why);
        }
        self.replace_handlers();
    }

    /// Whether the new program is found good, and only what is under way is waited for.
    pub(crate) fn is_about_to_exec(&self) -> bool {
        matches!(self.upgrade, Upgrade::Agreed)
    }

    /// How far it is, for tools.
    pub(crate) fn upgrade_state(&self) -> UpgradeState {
        match &self.upgrade {
            Upgrade::None => UpgradeState::None,
            Upgrade::Checking(_) | Upgrade::Agreed => UpgradeState::Checking,
            Upgrade::Refused(why) => UpgradeState::Refused(why.clone()),
            Upgrade::Replacing => UpgradeState::Replacing { left: self.replacement.left() },
            Upgrade::Done => UpgradeState::Done,
        }
    }

    pub(crate) fn refuse_upgrade(&mut self, why: String) {
        event(Level::Error, "upgrade-refused", &[("why", &why)]);
        self.upgrade = Upgrade::Refused(why);
    }

    /// Becomes the new program. Returns only if that fails, with the reason; then everything is as it was.
    fn become_new_program(&mut self) -> String {
        for running in self.handlers.iter_mut().flatten() {
            let _ = running.flush();
        }
        let prepared = (|| {
            let mut state = memory_file()?;
            let old =
                File::open("/proc/self/exe").map_err(|error| format!("cannot open this program: {error}"))?;
            let (items, _) = self.items();
            state::write(&mut state, &items)?;
            Ok::<_, String>((state, old))
        })();
        let (state, old) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return why,
        };
        event(Level::Info, "upgrade-execs", &[("program", &self.router_program.display())]);
        self.notify.reloading();
        let (_, mut travelling) = self.items();
        travelling.extend([state.as_fd(), old.as_fd()]);
        let numbers = [state.as_raw_fd().to_string(), old.as_raw_fd().to_string()];
        let arguments: [&OsStr; 7] = [
            self.router_program.as_os_str(),
            "--config".as_ref(),
            self.settings_path.as_os_str(),
            "--take-over".as_ref(),
            numbers[0].as_ref(),
            "--return-to".as_ref(),
            numbers[1].as_ref(),
        ];
        // A signal in between would end the process: the new program has no handlers for them yet.
        signals::block();
        let why = match keep_over_exec(&travelling, true) {
            Ok(()) => execute(&self.router_program, &arguments),
            Err(why) => why,
        };
        let _ = keep_over_exec(&travelling, false);
        signals::unblock();
        self.notify.ready();
        why
    }
}

/// Goes back to the old program. Returns only if that fails, with the reason.
pub(crate) fn return_to(old_program: RawFd, config: &Path, state: RawFd, why: &str) -> String {
    let program = PathBuf::from(format!("/proc/self/fd/{old_program}"));
    let number = state.to_string();
    let arguments: [&OsStr; 7] = [
        "router".as_ref(),
        "--config".as_ref(),
        config.as_os_str(),
        "--take-over".as_ref(),
        number.as_ref(),
        "--refused".as_ref(),
        why.as_ref(),
    ];
    execute(&program, &arguments)
}

/// Whether this program could go on from a state: what is looked at before anything is taken over.
pub(crate) fn rehearse(state: File) -> Result<(), String> {
    let (head, _) = state::read(state)?;
    Settings::parse(&head.settings_text, &head.settings_path).map_err(|error| error.to_string())?;
    TableView::open_read_only(&head.table).map_err(|error| error.to_string())?;
    spawn::find_program("handler").map(|_| ())
}

/// The name of a variable with which tests have a program fail after the exec, to see that the old one comes back.
const FAIL_VARIABLE: &str = "LODE_TEST_TAKE_OVER_FAILS";

/// An error if a test wants one.
pub(crate) fn fails_on_purpose(is_old: bool) -> Result<(), String> {
    let wanted = !is_old && std::env::var_os(FAIL_VARIABLE).is_some();
    if wanted { Err("a test wants it so".into()) } else { Ok(()) }
}

/// Asks the new programs what they are, and the new router whether it can go on.
fn check(router: &Path, config: &Path, state: &File) -> Result<(), String> {
    let handler = router.with_file_name("handler");
    let handler = if handler.is_file() { handler } else { Path::new(spawn::INSTALLED).join("handler") };
    for program in [router, &handler] {
        let mut command = Command::new(program);
        let text = answer(command.arg("--abi").stdin(Stdio::null()))?;
        let shown = program.display();
        let abi = Abi::parse(&text).ok_or_else(|| {
            format!("{shown} does not say what table and records it knows; it said {:?}", text.trim_end())
        })?;
        if abi != Abi::OWN {
            return Err(format!(
                "{shown} cannot go on with the running handlers: it has {abi}; the running router has {}. \
                 Stop the server and start it again with the new programs",
                Abi::OWN
            ));
        }
    }
    let stdin = state.try_clone().map_err(|error| format!("cannot duplicate the state: {error}"))?;
    let mut command = Command::new(router);
    answer(command.arg("--config").arg(config).arg("--rehearse").stdin(stdin)).map(|_| ())
}

/// Runs a program to its end, and gives what it printed; an error if it fails or takes too long.
fn answer(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| format!("cannot start {program}: {error}"))?;
    let deadline = Instant::now() + ANSWER;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            other => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(match other {
                    Err(error) => format!("cannot wait for {program}: {error}"),
                    _ => format!("{program} did not answer within {} seconds", ANSWER.as_secs()),
                });
            }
        }
    };
    let text = |stream: Option<&mut dyn Read>| {
        let mut octets = Vec::new();
        let _ = stream.map(|stream| stream.take(ANSWER_OCTETS_MAX).read_to_end(&mut octets));
        String::from_utf8_lossy(&octets).into_owned()
    };
    let out = text(child.stdout.as_mut().map(|stream| stream as &mut dyn Read));
    if status.success() {
        return Ok(out);
    }
    let said = text(child.stderr.as_mut().map(|stream| stream as &mut dyn Read));
    Err(format!("{program} ended with {status}: {}", said.trim_end()))
}

/// Has descriptors stay open over exec, or not.
fn keep_over_exec(descriptors: &[BorrowedFd<'_>], keep: bool) -> Result<(), String> {
    let flags = if keep { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    for descriptor in descriptors {
        fcntl(descriptor, FcntlArg::F_SETFD(flags))
            .map_err(|errno| format!("cannot keep a descriptor open: {}", errno.desc()))?;
    }
    Ok(())
}

fn execute(program: &Path, arguments: &[&OsStr]) -> String {
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(|_| "a NUL in an argument".to_string());
    let prepared = text(program.as_os_str()).and_then(|program| {
        Ok((program, arguments.iter().map(|each| text(each)).collect::<Result<Vec<_>, _>>()?))
    });
    match prepared {
        Ok((path, arguments)) => match execv(&path, &arguments) {
            Ok(never) => match never {},
            Err(errno) => format!("cannot execute {}: {}", program.display(), errno.desc()),
        },
        Err(why) => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_was_printed_and_failures_say_why() {
        let run = |script: &str| answer(Command::new("sh").args(["-c", script]).stdin(Stdio::null()));
        assert_eq!(run("echo yes").as_deref(), Ok("yes\n"));
        assert!(run("echo no >&2; exit 3").unwrap_err().contains("no"));
        assert!(answer(&mut Command::new("/no/such/program")).unwrap_err().contains("cannot start"));
    }

    #[test]
    fn a_program_that_cannot_be_executed_is_named() {
        let why = execute(Path::new("/no/such/program"), &["x".as_ref()]);
        assert!(why.contains("/no/such/program"), "{why}");
    }
}
