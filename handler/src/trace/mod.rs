//! Somebody reads along (`lode trace`): what a session says and hears, secrets masked, goes into a pipe as lines of text.
//!
//! The pipe's write end comes from the tool by way of the router. It never blocks: what finds no room is dropped and counted, and the reader is told
//! how many lines it lost. So a slow reader costs the session nothing. A line is `MILLISECONDS KIND TEXT`: milliseconds since 1970; kind `C` for what the
//! client said, `S` for the server, `-` for a remark, `E` for the last one; text without control characters, shortened.
//!
//! What is no secret is listed (`imap.rs`, `pop3.rs`, `lmtp.rs`), not what is one: arguments of a command that is not on the list are masked, and so is
//! what comes before it is known where a command begins. Contents of literals and messages are counted, not shown.

mod imap;
mod lines;
mod lmtp;
mod pop3;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::PoisonError;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use shm_abi::Protocol;

use crate::shared::Shared;
use crate::slots::{Causes, SlotNumber};
use imap::ImapMask;
use lines::Lines;
use lmtp::LmtpMask;
use pop3::Pop3Mask;
use store::in_hand::{Mutex, MutexGuard};

/// Most octets written at once: a pipe takes so many whole or not at all (PIPE_BUF).
const BATCH_OCTETS: usize = 4096;

/// Pipes for sessions that have not taken them yet. Filled by the poll thread, which wakes the session.
#[derive(Default)]
pub(crate) struct Traces {
    waiting: Mutex<HashMap<SlotNumber, (u32, OwnedFd)>>,
    /// The pipes that sessions have, with the generations of their cells: who crashes is never dropped, and so closes nothing.
    taken: Mutex<HashMap<SlotNumber, (u32, RawFd)>>,
}

impl Traces {
    /// Gives a pipe to a session, and wakes it. The pipe is closed if the session is not there any more.
    pub(crate) fn give(&self, shared: &Shared, slot: SlotNumber, generation: u32, pipe: OwnedFd) {
        if shared.cell(slot, generation).is_some() {
            self.lock().insert(slot, (generation, pipe));
            shared.slots.wake(slot, Causes::ORDER, &shared.run_queue);
        }
    }

    /// Takes what is meant for this session.
    pub(crate) fn take(&self, slot: SlotNumber, generation: u32) -> Option<OwnedFd> {
        let (meant_for, pipe) = self.lock().remove(&slot)?;
        if meant_for != generation {
            return None;
        }
        self.lock_taken().insert(slot, (generation, pipe.as_raw_fd()));
        Some(pipe)
    }

    /// The session closed its pipe.
    pub(crate) fn given_back(&self, slot: SlotNumber) {
        self.lock_taken().remove(&slot);
    }

    /// Closes the pipe of a session that crashed, and whose memory is not touched any more.
    pub(crate) fn close_lost(&self, slot: SlotNumber, generation: u32) {
        if let Some((of, pipe)) = self.lock_taken().remove(&slot)
            && of == generation
        {
            // The session that owned it is never dropped, so it is closed once.
            let _ = nix::unistd::close(pipe);
        }
    }

    fn lock_taken(&self) -> MutexGuard<'_, HashMap<SlotNumber, (u32, RawFd)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SlotNumber, (u32, OwnedFd)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the session is known to be between two commands when somebody begins to read along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The next octet of the client begins a command.
    BetweenCommands,
    /// Perhaps in the middle of one: nothing of the client is shown until the server has answered.
    Unknown,
}

/// What left for the client since the last look, in order.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    bytes: Vec<u8>,
    /// Octets of files, with the position in `bytes` that they stand before.
    ranges: Vec<(usize, u64)>,
}

impl Trail {
    /// These octets left.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// So many octets of a file left.
    pub(crate) fn add_range(&mut self, octets: u64) {
        match self.ranges.last_mut() {
            Some((at, count)) if *at == self.bytes.len() => *count += octets,
            _ => self.ranges.push((self.bytes.len(), octets)),
        }
    }
}

/// The masks of the protocols.
enum Mask {
    Imap(ImapMask),
    Pop3(Pop3Mask),
    Lmtp(LmtpMask),
}

/// A session's tap.
pub(crate) struct Tap {
    pipe: Pipe,
    mask: Mask,
    lines: Lines,
}

impl Tap {
    /// Somebody reads along from now on.
    pub(crate) fn begin(pipe: OwnedFd, protocol: Protocol, place: Place, unix_ms: u64) -> Tap {
        let mask = match protocol {
            Protocol::Imap => Mask::Imap(ImapMask::new(place)),
            Protocol::Pop3 => Mask::Pop3(Pop3Mask::new(place)),
            Protocol::Lmtp => Mask::Lmtp(LmtpMask::new(place)),
        };
        let mut tap =
            Tap { pipe: Pipe { end: pipe, lost: 0, is_gone: false }, mask, lines: Lines::default() };
        tap.remark('-', unix_ms, "the trace begins");
        tap
    }

    /// These octets came from the client.
    pub(crate) fn client(&mut self, octets: &[u8], unix_ms: u64) {
        self.lines.set_time(unix_ms);
        match &mut self.mask {
            Mask::Imap(mask) => mask.client(octets, &mut self.lines),
            Mask::Pop3(mask) => mask.client(octets, &mut self.lines),
            Mask::Lmtp(mask) => mask.client(octets, &mut self.lines),
        }
        self.pipe.write(&mut self.lines);
    }

    /// This left for the client.
    pub(crate) fn server(&mut self, trail: &mut Trail, unix_ms: u64) {
        self.lines.set_time(unix_ms);
        let mut from = 0;
        for (at, octets) in trail.ranges.drain(..) {
            server(&mut self.mask, &trail.bytes[from..at], &mut self.lines);
            match &mut self.mask {
                Mask::Imap(mask) => mask.server_content(octets, &mut self.lines),
                Mask::Pop3(mask) => mask.server_content(octets),
                Mask::Lmtp(_) => {}
            }
            from = at;
        }
        server(&mut self.mask, &trail.bytes[from..], &mut self.lines);
        trail.bytes.clear();
        self.pipe.write(&mut self.lines);
    }

    /// Tells the reader why nothing more comes. A pipe that ends without this word is one of a session that goes on elsewhere, or whose handler
    /// died.
    pub(crate) fn end(mut self, unix_ms: u64, why: &str) {
        self.remark('E', unix_ms, why);
    }

    fn remark(&mut self, kind: char, unix_ms: u64, text: &str) {
        self.lines.set_time(unix_ms);
        self.lines.add(kind, text.as_bytes());
        self.pipe.write(&mut self.lines);
    }

    /// Whether nobody reads any more.
    pub(crate) fn is_over(&mut self) -> bool {
        self.pipe.look();
        self.pipe.is_gone
    }
}

fn server(mask: &mut Mask, octets: &[u8], lines: &mut Lines) {
    match mask {
        Mask::Imap(mask) => mask.server(octets, lines),
        Mask::Pop3(mask) => mask.server(octets, lines),
        Mask::Lmtp(mask) => mask.server(octets, lines),
    }
}

/// The write end.
struct Pipe {
    end: OwnedFd,
    /// Lines that found no room since the last that did.
    lost: u64,
    is_gone: bool,
}

impl Pipe {
    /// Writes whole lines, as many as find room.
    fn write(&mut self, lines: &mut Lines) {
        if !self.is_gone && self.lost > 0 && !lines.is_empty() {
            let told = lines.remark(&format!("{} lines lost: the reader is slow", self.lost));
            if self.write_once(&told) {
                self.lost = 0;
            }
        }
        for (batch, count) in lines.batches(BATCH_OCTETS) {
            // Once something is lost, all is until there is room to say so: lines are not reordered.
            if self.is_gone || self.lost > 0 || !self.write_once(batch) {
                self.lost += count;
            }
        }
        lines.clear();
    }

    /// True if all was written.
    fn write_once(&mut self, octets: &[u8]) -> bool {
        loop {
            match nix::unistd::write(&self.end, octets) {
                Ok(_) => return true,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return false,
                Err(_) => {
                    self.is_gone = true;
                    return false;
                }
            }
        }
    }

    /// Learns whether the reader is there although nothing is to be written.
    fn look(&mut self) {
        let mut end = [PollFd::new(self.end.as_fd(), PollFlags::empty())];
        if let Ok(1..) = poll(&mut end, PollTimeout::ZERO) {
            let events = end[0].revents().unwrap_or(PollFlags::empty());
            self.is_gone |= events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL);
        }
    }
}
