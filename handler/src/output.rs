//! What a session still has to send: bytes, and ranges of bucket files between them, in order.
//!
//! Replies of any size stay small here: a conversation stops adding when [`Output::is_full`] says so, and the content of
//! big messages never enters it, only where it is. Owned by the session, used by the worker that runs it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, send};
use std::os::fd::AsRawFd;
use store::FileRange;

/// How many octets of replies may wait before a conversation must stop, in octets.
const FULL_OCTETS: usize = 64 * 1024;
/// How many file ranges may wait before a conversation must stop.
const FULL_RANGES: usize = 32;
/// The capacity that an emptied buffer may keep while its session runs, in octets.
const KEPT_CAPACITY_OCTETS: usize = 256 * 1024;

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything is with the kernel.
    All,
    /// The socket takes no more now.
    Blocked,
}

/// A place in the output.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    bytes: usize,
    ranges: usize,
}

/// The output queue of a session.
#[derive(Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// How much of `bytes` was sent.
    sent: usize,
    /// File ranges, each with the position in `bytes` that it stands before.
    ranges: VecDeque<(usize, FileRange)>,
    /// Octets sent and not yet reported.
    sent_octets: u64,
}

impl Output {
    /// Where replies are written.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Adds a range of a file behind what was written so far.
    pub(crate) fn push_range(&mut self, range: FileRange) {
        if !range.is_empty() {
            self.ranges.push_back((self.bytes.len(), range));
        }
    }

    /// Where the output ends now, to come back to with [`Output::reset_to`] before anything is sent.
    pub(crate) fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), ranges: self.ranges.len() }
    }

    /// Takes back what was added since the mark.
    pub(crate) fn reset_to(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.ranges.truncate(mark.ranges);
    }

    /// Whether so much waits that the conversation must let it be sent first.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() - self.sent >= FULL_OCTETS || self.ranges.len() >= FULL_RANGES
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && self.ranges.is_empty()
    }

    /// Octets sent since the last call.
    pub(crate) fn take_sent_octets(&mut self) -> u64 {
        std::mem::take(&mut self.sent_octets)
    }

    /// Gives back memory that an idle session does not need.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.bytes = Vec::new();
            self.ranges = VecDeque::new();
        }
    }

    /// Sends until all is sent or the socket takes no more.
    ///
    /// # Errors
    /// The connection's own; `UnexpectedEof` when a file is shorter than a range that was promised to the peer; `Other` when what was
    /// promised is damaged, saying in which file and where.
    pub(crate) fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<Flushed> {
        loop {
            let border = self.ranges.front().map_or(self.bytes.len(), |range| range.0);
            if self.sent < border {
                let mut flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
                if !self.ranges.is_empty() {
                    flags |= MsgFlags::from_bits_retain(nix::libc::MSG_MORE);
                }
                match send(socket.as_raw_fd(), &self.bytes[self.sent..border], flags) {
                    Ok(count) => {
                        self.sent += count;
                        self.sent_octets += count as u64;
                    }
                    Err(Errno::EAGAIN) => return Ok(Flushed::Blocked),
                    Err(Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
                continue;
            }
            let Some((_, range)) = self.ranges.front_mut() else { break };
            // Nothing leaves that was not verified. What is already promised cannot be taken back, so the connection ends.
            let verified = range.verified().map_err(io::Error::other)?;
            let mut offset = range.offset() as nix::libc::off_t;
            let length = usize::try_from(verified).unwrap_or(usize::MAX).min(1 << 30);
            match sendfile(socket, &**range.file(), Some(&mut offset), length) {
                Ok(0) => {
                    return Err(io::Error::new(
                        ErrorKind::UnexpectedEof,
                        "a bucket is shorter than its directory says",
                    ));
                }
                Ok(count) => {
                    self.sent_octets += count as u64;
                    range.advance(count as u64).map_err(io::Error::other)?;
                    if range.is_empty() {
                        self.ranges.pop_front();
                    }
                }
                Err(Errno::EAGAIN) => return Ok(Flushed::Blocked),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.sent = 0;
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_CAPACITY_OCTETS {
            self.bytes = Vec::new();
        }
        Ok(Flushed::All)
    }
}
