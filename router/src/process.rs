//! A handler's process, held by a pidfd: it can be killed and waited for without ever meaning another process that got
//! its number, and also when it is no child of this router but of one that died.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use shm_abi::{Process, process_start_ticks};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;

/// One process.
#[derive(Debug)]
pub(crate) struct HandlerProcess {
    identity: Process,
    pidfd: OwnedFd,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this exit code.
    Exit(i32),
    /// By SIGKILL: somebody else's will, or the router's.
    Killed,
    /// By another signal.
    Signal(Signal),
    /// It was another's child: only its parent learns how.
    Unknown,
}

impl fmt::Display for Ended {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Exit(code) => write!(out, "exit-{code}"),
            Ended::Killed => out.write_str(Signal::SIGKILL.as_str()),
            Ended::Signal(signal) => out.write_str(signal.as_str()),
            Ended::Unknown => out.write_str("unknown"),
        }
    }
}

impl HandlerProcess {
    /// A child just started. It is killed if no pidfd can be had: a process that cannot be watched is of no use.
    pub(crate) fn of_child(mut child: Child) -> io::Result<HandlerProcess> {
        match open(child.id()) {
            Ok(pidfd) => {
                let start_ticks = process_start_ticks(child.id()).unwrap_or(0);
                Ok(HandlerProcess { identity: Process { pid: child.id(), start_ticks }, pidfd })
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// A process that the program before this one, in the same process as this one, had started or taken over.
    pub(crate) fn carried(identity: Process, pidfd: OwnedFd) -> HandlerProcess {
        HandlerProcess { identity, pidfd }
    }

    /// The pidfd of a process that the table names, which need not be a child. `None` if it is gone.
    pub(crate) fn of_row(identity: Process) -> io::Result<Option<HandlerProcess>> {
        let pidfd = match open(identity.pid) {
            Ok(pidfd) => pidfd,
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => return Ok(None),
            Err(error) => return Err(error),
        };
        // It is the one that was meant, then it was so too when the pidfd was opened: it is older than that.
        Ok(identity.is_alive().then_some(HandlerProcess { identity, pidfd }))
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// Its number and start, as the table has them.
    pub(crate) fn identity(&self) -> Process {
        self.identity
    }

    /// SIGKILL. Nothing if it has ended.
    pub(crate) fn kill(&self) {
        let _ = pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
    }

    /// Asks it to end and to leave word of what its thread with the number of the process was doing.
    pub(crate) fn abort(&self) {
        // The kernel gives a signal for a process to that thread if it takes it.
        let _ = pidfd_send_signal(&self.pidfd, rustix::process::Signal::ABORT);
    }

    /// Asks it to end and to leave word of what its busiest worker was doing.
    pub(crate) fn accuse(&self) {
        let _ = pidfd_send_signal(&self.pidfd, rustix::process::Signal::USR2);
    }

    /// How it ended; `None` while it runs. A child is reaped by it.
    pub(crate) fn ended(&self) -> io::Result<Option<Ended>> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        match waitid(Id::PIDFd(self.pidfd.as_fd()), flags) {
            Ok(WaitStatus::Exited(_, code)) => Ok(Some(Ended::Exit(code))),
            Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _)) => Ok(Some(Ended::Killed)),
            Ok(WaitStatus::Signaled(_, signal, _)) => Ok(Some(Ended::Signal(signal))),
            Ok(_) | Err(Errno::EINTR) => Ok(None),
            // Not a child of ours. A pidfd is readable once its process has ended.
            Err(Errno::ECHILD) => Ok(self.is_readable()?.then_some(Ended::Unknown)),
            Err(errno) => Err(errno.into()),
        }
    }

    fn is_readable(&self) -> io::Result<bool> {
        let mut watched = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut watched, PollTimeout::ZERO) {
            Ok(count) => Ok(count > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for HandlerProcess {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::from(Errno::ESRCH))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    fn until_ended(process: &HandlerProcess) -> Ended {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(ended) = process.ended().unwrap() {
                return ended;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_child_is_killed_and_reaped() {
        let process = HandlerProcess::of_child(Command::new("sleep").arg("60").spawn().unwrap()).unwrap();
        assert!(process.ended().unwrap().is_none());
        assert!(process.identity().is_alive());
        process.kill();
        assert_eq!(until_ended(&process), Ended::Killed);
        let code = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
        let process = HandlerProcess::of_child(code).unwrap();
        assert_eq!(until_ended(&process), Ended::Exit(7));
        assert_eq!(until_ended(&process).to_string(), "unknown", "it was reaped before");
        process.kill();
    }

    #[test]
    fn a_stranger_is_watched_too() {
        // Its parent is the shell, or whoever takes orphans.
        let shell =
            Command::new("sh").args(["-c", "sleep 60 >/dev/null & echo $!"]).stdout(Stdio::piped()).spawn();
        let mut shell = shell.unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        shell.wait().unwrap();
        let pid: u32 = line.trim().parse().unwrap();
        let identity = Process { pid, start_ticks: process_start_ticks(pid).unwrap() };
        let other = Process { pid, start_ticks: identity.start_ticks + 1 };
        assert!(HandlerProcess::of_row(other).unwrap().is_none(), "another process with its number");
        let process = HandlerProcess::of_row(identity).unwrap().unwrap();
        assert!(process.ended().unwrap().is_none());
        process.kill();
        assert_eq!(until_ended(&process), Ended::Unknown);
    }
}
