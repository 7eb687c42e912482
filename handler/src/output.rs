//! What a session still has to send: bytes, and ranges of bucket files between them, in order.
//!
//! Replies of any size stay small here: a conversation stops adding when [`Output::is_full`] says so, and the content of
//! big messages never enters it, only where it is. Owned by the session, used by the worker that runs it.
//!
//! What answers a change that is not durable yet is held: it, and all behind it, leaves when the change's ticket is settled. So the
//! commands behind it can begin, and their changes share its sync.
//!
//! With COMPRESS all of it goes through a [`Deflater`], in pieces, and each flush ends where the peer can read everything.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, send};
use store::{CommitError, FileRange, Ticket};

use crate::compression::deflate::Deflater;
use crate::trace::Trail;

/// How many octets of replies may wait before a conversation must stop, in octets.
const FULL_OCTETS: usize = 64 * 1024;
/// How many file ranges may wait before a conversation must stop.
const FULL_RANGES: usize = 32;
/// The capacity that an emptied buffer may keep while its session runs, in octets.
const KEPT_CAPACITY_OCTETS: usize = 256 * 1024;
/// How many replies may be held before a conversation must wait for the first.
const HOLDS_MAX: usize = 256;
/// Octets that are compressed at a time.
const PIECE_OCTETS: usize = 16 * 1024;
/// Compressed octets that may wait before they are sent.
const WIRE_FULL_OCTETS: usize = 64 * 1024;
/// Shorter ranges of files are compressed without a look at whether that makes them smaller, in octets.
const PROBED_OCTETS: usize = 5 * 1024;

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything is with the kernel.
    All,
    /// Everything but what waits for this ticket.
    Held(Ticket),
    /// The socket takes no more now.
    Blocked,
}

/// What is behind a change that is not durable yet.
struct Hold {
    /// Where in `bytes` it begins.
    at: usize,
    ticket: Ticket,
    /// What is said in its place if the change may not last.
    refusal: Vec<u8>,
}

/// A change of what the connection speaks, behind all that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    /// To compressed octets.
    On,
    /// To octets as they are.
    Off,
    /// The same; the end of the compressed stream is written.
    Ended,
}

/// What becomes of the file range that is being compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Content {
    /// None of it was sent yet.
    #[default]
    Unknown,
    /// It becomes smaller.
    Deflated,
    /// It does not.
    Stored,
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
    holds: VecDeque<Hold>,
    deflater: Option<Box<Deflater>>,
    content: Content,
    switch: Option<Switch>,
    /// What was sent, kept while somebody reads along.
    trail: Option<Box<Trail>>,
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
        self.sent == self.bytes.len()
            && self.ranges.is_empty()
            && self.deflater.as_ref().is_none_or(|deflater| deflater.is_empty())
    }

    /// Whether another reply may be held.
    pub(crate) fn may_hold(&self) -> bool {
        self.holds.len() < HOLDS_MAX
    }

    /// Holds what is written from now on until `ticket` is settled, which is no older than those before. If the change may not last, `refusal` is
    /// said instead, and the session ends.
    pub(crate) fn hold(&mut self, ticket: Ticket, refusal: Vec<u8>) {
        self.holds.push_back(Hold { at: self.bytes.len(), ticket, refusal });
    }

    /// Lets go of what is held for tickets that are settled.
    ///
    /// # Errors
    /// A change may not last. All that was held is replaced by refusals; what was to be said later is lost, so the session must end.
    pub(crate) fn release(
        &mut self,
        state: impl Fn(Ticket) -> Option<Result<(), CommitError>>,
    ) -> Result<(), CommitError> {
        while let Some(first) = self.holds.front() {
            match state(first.ticket) {
                None => break,
                Some(Ok(())) => {
                    self.holds.pop_front();
                }
                Some(Err(error)) => {
                    let at = first.at;
                    self.bytes.truncate(at);
                    self.ranges.retain(|range| range.0 < at);
                    self.switch = None;
                    for hold in self.holds.drain(..) {
                        self.bytes.extend_from_slice(&hold.refusal);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether replies are compressed, or will be.
    pub(crate) fn is_compressed(&self) -> bool {
        self.deflater.is_some() || self.switch == Some(Switch::On)
    }

    /// All that is written from now on is compressed (RFC 4978). Nothing may be written before what is there was sent.
    pub(crate) fn begin_compression(&mut self) {
        self.switch = Some(Switch::On);
    }

    /// What is written from now on is not compressed. Nothing may be written before what is there was sent.
    pub(crate) fn end_compression(&mut self) {
        self.switch = Some(Switch::Off);
    }

    /// Keeps what is sent from now on, or no longer.
    pub(crate) fn keep_trail(&mut self, keep: bool) {
        self.trail = keep.then(Box::default);
    }

    /// What was sent since it was last taken, while it is kept.
    pub(crate) fn trail(&mut self) -> Option<&mut Trail> {
        self.trail.as_deref_mut()
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
            self.holds.shrink_to_fit();
        }
        if let Some(deflater) = &mut self.deflater {
            deflater.rest();
        }
    }

    /// Sends until all is sent or the socket takes no more.
    ///
    /// # Errors
    /// The connection's own; `UnexpectedEof` when a file is shorter than a range that was promised to the peer; `Other` when what was
    /// promised is damaged, saying in which file and where.
    pub(crate) fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<Flushed> {
        loop {
            if self.wire_octets() >= WIRE_FULL_OCTETS && !self.send_wire(socket)? {
                return Ok(Flushed::Blocked);
            }
            let limit = self.holds.front().map_or(self.bytes.len(), |hold| hold.at);
            let border = self.ranges.front().map_or(limit, |range| range.0.min(limit));
            let is_open = self.holds.is_empty();
            let has_range = self.ranges.front().is_some_and(|range| is_open || range.0 < limit);
            let goes_on = match &mut self.deflater {
                _ if self.sent == border && !has_range => break,
                Some(deflater) if self.sent < border => {
                    let upto = border.min(self.sent + PIECE_OCTETS);
                    deflater.push(&self.bytes[self.sent..upto]);
                    if let Some(trail) = &mut self.trail {
                        trail.add(&self.bytes[self.sent..upto]);
                    }
                    self.sent = upto;
                    true
                }
                Some(_) => self.deflate_range()?,
                None if self.sent < border => self.send_bytes(socket, border, has_range)?,
                None => self.send_range(socket)?,
            };
            if !goes_on {
                return Ok(Flushed::Blocked);
            }
        }
        if let Some(deflater) = &mut self.deflater {
            if self.holds.is_empty() && self.switch == Some(Switch::Off) {
                deflater.finish();
                self.switch = Some(Switch::Ended);
            }
            deflater.flush();
            if !self.send_wire(socket)? {
                return Ok(Flushed::Blocked);
            }
        }
        if let Some(first) = self.holds.front() {
            let ticket = first.ticket;
            self.drop_sent();
            return Ok(Flushed::Held(ticket));
        }
        match self.switch.take() {
            Some(Switch::On) => self.deflater = Some(Box::default()),
            Some(Switch::Off | Switch::Ended) => self.deflater = None,
            None => {}
        }
        self.sent = 0;
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_CAPACITY_OCTETS {
            self.bytes = Vec::new();
        }
        Ok(Flushed::All)
    }

    /// Sends of the bytes before `border`; false if the socket takes no more.
    fn send_bytes(&mut self, socket: BorrowedFd<'_>, border: usize, has_range: bool) -> io::Result<bool> {
        let more =
            if has_range { MsgFlags::from_bits_retain(nix::libc::MSG_MORE) } else { MsgFlags::empty() };
        let count = send_some(socket, &self.bytes[self.sent..border], more)?;
        if let (Some(trail), Some(count)) = (&mut self.trail, count) {
            trail.add(&self.bytes[self.sent..self.sent + count]);
        }
        self.sent += count.unwrap_or(0);
        self.sent_octets += count.unwrap_or(0) as u64;
        Ok(count.is_some())
    }

    /// Sends of the first file range; false if the socket takes no more.
    fn send_range(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        let Some((_, range)) = self.ranges.front_mut() else { return Ok(true) };
        // Nothing leaves that was not verified. What is already promised cannot be taken back, so the connection ends.
        let verified = range.verified().map_err(io::Error::other)?;
        let mut offset = range.offset() as nix::libc::off_t;
        let length = usize::try_from(verified).unwrap_or(usize::MAX).min(1 << 30);
        match sendfile(socket, &**range.file(), Some(&mut offset), length) {
            Ok(0) => {
                let why = "a bucket is shorter than its directory says";
                Err(io::Error::new(ErrorKind::UnexpectedEof, why))
            }
            Ok(count) => {
                self.sent_octets += count as u64;
                if let Some(trail) = &mut self.trail {
                    trail.add_range(count as u64);
                }
                range.advance(count as u64).map_err(io::Error::other)?;
                if range.is_empty() {
                    self.ranges.pop_front();
                }
                Ok(true)
            }
            Err(Errno::EAGAIN) => Ok(false),
            Err(Errno::EINTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Compresses a piece of the first file range. What does not become smaller, by its first piece, goes as it is.
    fn deflate_range(&mut self) -> io::Result<bool> {
        let (Some((_, range)), Some(deflater)) = (self.ranges.front_mut(), &mut self.deflater) else {
            return Ok(true);
        };
        let verified = range.verified().map_err(io::Error::other)?;
        let mut piece = vec![0; usize::try_from(verified).unwrap_or(usize::MAX).min(PIECE_OCTETS)];
        range.file().read_exact_at(&mut piece, range.offset())?;
        range.advance(piece.len() as u64).map_err(io::Error::other)?;
        if let Some(trail) = &mut self.trail {
            trail.add_range(piece.len() as u64);
        }
        match self.content {
            Content::Unknown if piece.len() >= PROBED_OCTETS => {
                let is_smaller = deflater.try_push(&piece);
                self.content = if is_smaller { Content::Deflated } else { Content::Stored };
            }
            Content::Stored => deflater.store(&piece),
            Content::Unknown | Content::Deflated => deflater.push(&piece),
        }
        if range.is_empty() {
            self.ranges.pop_front();
            self.content = Content::Unknown;
        }
        Ok(true)
    }

    fn wire_octets(&self) -> usize {
        self.deflater.as_ref().map_or(0, |deflater| deflater.unsent().len())
    }

    /// Sends what is compressed; false if the socket takes no more.
    fn send_wire(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        let Some(deflater) = &mut self.deflater else { return Ok(true) };
        while !deflater.unsent().is_empty() {
            let Some(count) = send_some(socket, deflater.unsent(), MsgFlags::empty())? else {
                return Ok(false);
            };
            deflater.advance(count);
            self.sent_octets += count as u64;
        }
        Ok(true)
    }

    /// Forgets the bytes that were sent, while others are held.
    fn drop_sent(&mut self) {
        if self.sent >= FULL_OCTETS {
            self.bytes.drain(..self.sent);
            self.ranges.iter_mut().for_each(|range| range.0 -= self.sent);
            self.holds.iter_mut().for_each(|hold| hold.at -= self.sent);
            self.sent = 0;
        }
    }
}

/// How many octets the socket took; `None` if it takes none now.
fn send_some(socket: BorrowedFd<'_>, octets: &[u8], flags: MsgFlags) -> io::Result<Option<usize>> {
    match send(socket.as_raw_fd(), octets, flags | MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(Errno::EINTR) => Ok(Some(0)),
        Err(error) => Err(error.into()),
    }
}
