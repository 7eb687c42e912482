//! Where lines go, without ever waiting: standard error, whatever it is, or the socket of systemd's journal.
//!
//! Standard error is shared with other processes, so its own file description is never made non-blocking: a pipe and a terminal are
//! opened anew for that, a socket is asked by a flag of the call, and a regular file never makes anybody wait.

use crate::line::{LINE_OCTETS_MAX, Line};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use std::io::stderr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the journal takes entries.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For the journal, if standard error leads there; else as text.
    Auto,
    /// `level event key=value …`.
    Text,
    /// One JSON object a line.
    Json,
    /// Entries of systemd's journal with a field for each; as text, if there is no journal.
    Journald,
}

impl Format {
    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Format> {
        match name {
            "auto" => Some(Format::Auto),
            "text" => Some(Format::Text),
            "json" => Some(Format::Json),
            "journald" => Some(Format::Journald),
            _ => None,
        }
    }
}

/// The way out.
#[derive(Debug)]
pub(crate) struct Sink {
    program: &'static str,
    shape: Shape,
    way: Way,
    /// Only a part of the last line was taken: the next one ends it first.
    is_torn: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Text,
    /// Text on its way to the journal, which has a clock of its own and reads levels.
    Marked,
    Json,
    Entry,
}

#[derive(Debug)]
enum Way {
    /// To standard error, which never makes anybody wait.
    Plain,
    /// To standard error, if it takes a line now.
    Asked,
    /// To standard error, a socket.
    Socket,
    /// To what standard error is, opened anew.
    Reopened(OwnedFd),
    /// To the journal.
    Journal(UnixDatagram),
}

impl Sink {
    pub(crate) fn open(program: &'static str, format: Format) -> Sink {
        let leads_to_journal = std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream));
        let text = if leads_to_journal { Shape::Marked } else { Shape::Text };
        let (shape, way) = match format {
            Format::Journald | Format::Auto if format == Format::Journald || leads_to_journal => {
                match open_journal() {
                    Some(socket) => (Shape::Entry, Way::Journal(socket)),
                    None => (text, Way::of(stderr().as_fd())),
                }
            }
            Format::Json => (Shape::Json, Way::of(stderr().as_fd())),
            _ => (text, Way::of(stderr().as_fd())),
        };
        Sink { program, shape, way, is_torn: AtomicBool::new(false) }
    }

    /// Writes a line; false if it could not be taken at once.
    pub(crate) fn write(&self, line: &Line) -> bool {
        let mut octets = match self.shape {
            Shape::Text => line.text().into_bytes(),
            Shape::Marked => line.marked_text().into_bytes(),
            Shape::Json => line.json(self.program).into_bytes(),
            Shape::Entry => line.journal(self.program),
        };
        if self.is_torn.load(Ordering::Relaxed) {
            octets.insert(0, b'\n');
        }
        let taken = match self.way.send(&octets) {
            Ok(taken) => taken,
            Err(_) => return false,
        };
        self.is_torn.store(taken < octets.len(), Ordering::Relaxed);
        taken == octets.len()
    }
}

impl Way {
    fn of(error: BorrowedFd<'_>) -> Way {
        let Ok(facts) = fstat(error) else { return Way::Plain };
        match kind_of(&facts) {
            SFlag::S_IFSOCK => Way::Socket,
            SFlag::S_IFIFO | SFlag::S_IFCHR => reopen(error).map_or(Way::Asked, Way::Reopened),
            _ => Way::Plain,
        }
    }

    fn send(&self, octets: &[u8]) -> Result<usize, Errno> {
        let error = stderr();
        loop {
            let sent = match self {
                Way::Plain => nix::unistd::write(&error, octets),
                Way::Asked => {
                    let mut writable = [PollFd::new(error.as_fd(), PollFlags::POLLOUT)];
                    match poll(&mut writable, PollTimeout::ZERO) {
                        // A pipe that takes anything takes a line: it has room for a page.
                        Ok(1..) => nix::unistd::write(&error, octets),
                        Ok(_) => Err(Errno::EAGAIN),
                        Err(errno) => Err(errno),
                    }
                }
                Way::Socket => {
                    send(error.as_raw_fd(), octets, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)
                }
                Way::Reopened(descriptor) => nix::unistd::write(descriptor, octets),
                Way::Journal(socket) => {
                    send(socket.as_raw_fd(), octets, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)
                }
            };
            if sent != Err(Errno::EINTR) {
                return sent;
            }
        }
    }
}

fn kind_of(facts: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT
}

/// What a descriptor leads to, with a file description of our own that never makes us wait. `None` if it belongs to somebody who does not let
/// us, as after a change of the user.
fn reopen(descriptor: BorrowedFd<'_>) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(path.as_str(), flags, Mode::empty()).ok()
}

/// Whether `JOURNAL_STREAM`, which is `device:inode`, means standard error (systemd.exec(5)).
fn is_stderr(stream: &str) -> bool {
    let Ok(facts) = fstat(stderr()) else { return false };
    stream == format!("{}:{}", facts.st_dev, facts.st_ino)
}

fn open_journal() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect(JOURNAL_SOCKET).ok()?;
    Some(socket)
}

// A write of no more than this is all or nothing in a pipe.
const _: () = assert!(LINE_OCTETS_MAX <= 4096);

#[cfg(test)]
mod tests;
