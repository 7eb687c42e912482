//! `lode trace`: shows the conversation of a session while it goes on.
//!
//! The handler writes it, masked, into a pipe whose other end is read here. Which sessions there are is read from the shared table: so a session
//! that goes on in another handler is found again by its client and the moment it came, and one whose handler died without a word is missed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use shm_abi::{ControlAnswer, ControlRequest, SessionId, SessionInfo, TableView};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::moment::Moment;
use crate::output::write_out;
use crate::router::answer_with;
use crate::shared_table::{now_ms, open, open_silently};

/// How often the table is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// How long a session that left its handler may take to turn up in another.
const MOVE_PATIENCE: Duration = Duration::from_secs(5);
/// Room asked for in a pipe, in octets: so much may come while the terminal is slow.
const PIPE_OCTETS: i32 = 1024 * 1024;
/// Sessions that are shown at once.
const SESSIONS_MAX: usize = 32;
/// Longest line of a handler, in octets.
const LINE_OCTETS_MAX: usize = 8 * 1024;

/// Show what a session and its client say to each other
#[derive(Debug, Args)]
#[command(
    after_help = "Each line has the time (UTC), the session, C for the client or S for the server, and what was said. Passwords and other secrets\n\
                        are masked; of messages only the size is shown. It ends with the session; for a user it goes on with later sessions until it\n\
                        is interrupted. Who reads too slowly loses lines, and is told how many. Only root and the user whom the daemons run as may do\n\
                        this; that it was done is in the log.\n\
                        Examples:\n  lode trace 0.17.3\n  lode trace ann"
)]
pub(crate) struct Arguments {
    /// A session's name, or a user for all of that user's
    #[arg(value_name = "SESSION|USER")]
    what: String,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    let runtime_dir = context.settings.runtime.dir;
    let view = open(&runtime_dir)?;
    let mut reader =
        Reader { runtime_dir, view, traced: Vec::new(), missed: Vec::new(), over: HashSet::new() };
    if let Ok(id) = arguments.what.parse() {
        let session = reader.view.session(id).ok_or_else(|| {
            Failure::Failed(format!("there is no session {id}; `lode who` shows all sessions"))
        })?;
        reader.attach(&session)?;
        reader.read_until(|reader| reader.traced.is_empty() && reader.missed.is_empty())
    } else {
        reader.attach_all_of(&arguments.what)?;
        if reader.traced.is_empty() {
            eprintln!("lode: {} has no session; waiting for one", arguments.what);
        }
        let user = arguments.what.clone();
        reader.read_until(|reader| {
            if let Err(failure) = reader.attach_all_of(&user) {
                eprintln!("lode: {failure}");
            }
            false
        })
    }
}

/// A session that is shown.
struct Traced {
    session: SessionInfo,
    pipe: File,
    /// The beginning of a line.
    partial: Vec<u8>,
    /// Since when the table does not have it any more.
    gone_since: Option<Instant>,
    /// The handler has said why nothing more comes.
    is_over: bool,
}

struct Reader {
    runtime_dir: PathBuf,
    view: TableView,
    traced: Vec<Traced>,
    /// Sessions whose pipes ended although they may go on elsewhere, and since when.
    missed: Vec<(SessionInfo, Instant)>,
    /// Sessions that are over, or that somebody else reads by now.
    over: HashSet<SessionId>,
}

impl Reader {
    /// Has a session shown from now on.
    fn attach(&mut self, session: &SessionInfo) -> Result<()> {
        let failed = Failure::because::<nix::Error>("cannot make a pipe");
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(failed)?;
        // Less room does, too.
        let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PIPE_OCTETS));
        let request = ControlRequest::Trace { session: session.id };
        match answer_with(&self.runtime_dir, &request, &[writer.as_fd()])? {
            ControlAnswer::Done => {}
            other => return Err(Failure::Failed(format!("the router's answer makes no sense: {other:?}"))),
        }
        let session = session.clone();
        self.traced.push(Traced {
            session,
            pipe: reader.into(),
            partial: Vec::new(),
            gone_since: None,
            is_over: false,
        });
        Ok(())
    }

    /// Has all sessions of a user shown that are not yet.
    fn attach_all_of(&mut self, user: &str) -> Result<()> {
        for session in self.view.sessions() {
            let is_shown = self.traced.iter().any(|traced| traced.session.id == session.id)
                || self.over.contains(&session.id);
            if session.user == user && !is_shown && self.traced.len() < SESSIONS_MAX {
                self.attach(&session)?;
            }
        }
        Ok(())
    }

    /// Shows what comes until `is_done`, which is asked whenever the table was looked at.
    fn read_until(&mut self, mut is_done: impl FnMut(&mut Reader) -> bool) -> Result<()> {
        let mut next_look = Instant::now() + LOOK;
        loop {
            self.wait(next_look.saturating_duration_since(Instant::now()))?;
            if !self.show()? {
                return Ok(());
            }
            if Instant::now() >= next_look || self.traced.is_empty() {
                next_look = Instant::now() + LOOK;
                self.look();
                if is_done(self) {
                    return Ok(());
                }
            }
        }
    }

    fn wait(&self, most: Duration) -> Result<()> {
        let mut ends: Vec<PollFd<'_>> =
            self.traced.iter().map(|traced| PollFd::new(traced.pipe.as_fd(), PollFlags::POLLIN)).collect();
        let most = PollTimeout::try_from(most).unwrap_or(PollTimeout::ZERO);
        match poll(&mut ends, most) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(Failure::Failed(format!("cannot wait for the conversation: {error}"))),
        }
    }

    /// Prints what came. False if nobody reads what is printed.
    fn show(&mut self) -> Result<bool> {
        let mut ended = Vec::new();
        for (at, traced) in self.traced.iter_mut().enumerate() {
            let mut text = String::new();
            if traced.read(&mut text) {
                ended.push(at);
            }
            if !write_out(&text)? {
                return Ok(false);
            }
        }
        for at in ended.into_iter().rev() {
            let traced = self.traced.remove(at);
            if traced.is_over {
                self.over.insert(traced.session.id);
            } else {
                self.missed.push((traced.session, Instant::now()));
            }
        }
        Ok(true)
    }

    /// Looks at the table: for sessions that ended without a word, and for those that go on elsewhere.
    fn look(&mut self) {
        if !self.view.info().router.is_alive()
            && let Ok(view) = open_silently(&self.runtime_dir)
        {
            self.view = view;
        }
        for at in (0..self.traced.len()).rev() {
            let traced = &mut self.traced[at];
            if self.view.session(traced.session.id).is_some() {
                traced.gone_since = None;
            } else if traced.gone_since.get_or_insert_with(Instant::now).elapsed() > LOOK {
                let traced = self.traced.remove(at);
                self.missed.push((traced.session, Instant::now()));
            }
        }
        for (session, since) in std::mem::take(&mut self.missed) {
            match self.elsewhere(&session) {
                Some(new) if self.attach(&new).is_ok() => say(session.id, &format!("goes on as {}", new.id)),
                _ if since.elapsed() < MOVE_PATIENCE => self.missed.push((session, since)),
                _ => say(session.id, "the trace ends"),
            }
        }
    }

    /// The session under the name that it has by now.
    fn elsewhere(&self, session: &SessionInfo) -> Option<SessionInfo> {
        let known = |of: &SessionInfo| (of.peer, of.protocol, of.accepted_ms);
        let is_same = |other: &SessionInfo| other.id != session.id && known(other) == known(session);
        self.view.sessions().into_iter().find(is_same)
    }
}

impl Traced {
    /// Takes what is in the pipe, as text to print; true once it has ended.
    fn read(&mut self, text: &mut String) -> bool {
        let mut octets = [0; 16 * 1024];
        loop {
            match self.pipe.read(&mut octets) {
                Ok(0) => return true,
                Ok(count) => self.take(&octets[..count], text),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
    }

    fn take(&mut self, octets: &[u8], text: &mut String) {
        for piece in octets.split_inclusive(|octet| *octet == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.partial).into_owned();
                self.is_over |= line.split(' ').nth(1) == Some("E");
                *text += &shown(self.session.id, &line);
                self.partial.clear();
            } else if self.partial.len() > LINE_OCTETS_MAX {
                self.partial.clear();
            }
        }
    }
}

/// A handler's line as it is printed.
fn shown(id: SessionId, line: &str) -> String {
    let mut parts = line.trim_end_matches('\n').splitn(3, ' ');
    let unix_ms: u64 = parts.next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let kind = match parts.next() {
        Some("C") => "C:",
        Some("S") => "S:",
        _ => "--",
    };
    let said = parts.next().unwrap_or("").replace(char::is_control, "?");
    format!("{} {id} {kind} {said}\n", clock(unix_ms))
}

fn clock(unix_ms: u64) -> String {
    let seconds = Moment(u32::try_from(unix_ms / 1000).unwrap_or(u32::MAX));
    format!("{}.{:03}", seconds.shown(), unix_ms % 1000)
}

/// A remark of this program's own.
fn say(id: SessionId, what: &str) {
    // Whether anybody reads it is found out with the next line.
    let _ = write_out(&format!("{} {id} -- {what}\n", clock(now_ms())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_with_time_and_session() {
        let id = SessionId { handler: 1, cell: 2, generation: 3 };
        assert_eq!(shown(id, "1795415696789 C a NOOP\n"), "2026-11-23 06:34:56.789 1.2.3 C: a NOOP\n");
        assert_eq!(
            shown(id, "1795415696001 S * OK  two\x1b\n"),
            "2026-11-23 06:34:56.001 1.2.3 S: * OK  two?\n"
        );
        assert_eq!(shown(id, "what\n"), "1970-01-01 00:00:00.000 1.2.3 -- \n");
    }
}
