//! The streaming scanner: finds line starts, header ends and boundary lines, and tells the tree.
//!
//! Lines end with LF or CRLF. Over a body only lines that begin with two hyphens matter, so that is what is searched for; line
//! feeds are counted on the way. Kept of the message: the header being read, and the beginning of a line that a chunk cut.
//! However the message is cut into chunks, the analysis is the same.

use memchr::memmem;

use crate::header::is_blank_line;
use crate::limits::{BOUNDARY_OCTETS_MAX, PART_HEADER_OCTETS_MAX, TOP_HEADER_OCTETS_MAX};
use crate::tree::{LineEnd, Next, Place, Tree};
use crate::{Analysis, Globals};

/// A line longer than this is no boundary line: hyphens on both sides, the boundary, and some white space.
const BOUNDARY_LINE_OCTETS_MAX: u64 = BOUNDARY_OCTETS_MAX as u64 + 128;

/// Takes a message in chunks of any size and finds its structure.
#[derive(Debug)]
pub struct Scanner {
    tree: Tree,
    mode: Mode,
    /// Where the current chunk begins.
    chunk_start: u64,
    /// Up to where line feeds are counted.
    counted: Place,
    line: Line,
    header: HeaderBuffer,
    last_octet: u8,
    hyphens: memmem::Finder<'static>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Header,
    Body,
    /// In a line of a body that is no boundary line.
    BodyInLine,
}

/// The line being read.
#[derive(Debug)]
struct Line {
    start: u64,
    line_end_before: LineEnd,
    /// Its first octets, if a chunk ended in it.
    held: Vec<u8>,
}

/// The header being read, as far as it is analysed.
#[derive(Debug)]
struct HeaderBuffer {
    octets: Vec<u8>,
    octets_max: usize,
    is_whole: bool,
    /// Where the current line begins in `octets`.
    line_start: usize,
}

impl HeaderBuffer {
    fn restart(&mut self, octets_max: usize) {
        self.octets.clear();
        self.octets_max = octets_max;
        self.is_whole = true;
        self.line_start = 0;
    }

    fn push(&mut self, octets: &[u8]) {
        let room = self.octets_max - self.octets.len();
        if octets.len() > room {
            self.is_whole = false;
        }
        self.octets.extend_from_slice(&octets[..octets.len().min(room)]);
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the start of a message.
    pub fn new() -> Self {
        Self::with_globals(Globals::default())
    }

    /// A scanner at the start of a message that takes parts of type message/global for this.
    pub fn with_globals(globals: Globals) -> Self {
        Scanner {
            tree: Tree::new(globals),
            mode: Mode::Header,
            chunk_start: 0,
            counted: Place::default(),
            line: Line { start: 0, line_end_before: LineEnd::None, held: Vec::new() },
            header: HeaderBuffer {
                octets: Vec::with_capacity(4096),
                octets_max: TOP_HEADER_OCTETS_MAX,
                is_whole: true,
                line_start: 0,
            },
            last_octet: 0,
            hyphens: memmem::Finder::new(b"\n--"),
        }
    }

    /// The next octets of the message.
    pub fn push(&mut self, chunk: &[u8]) {
        let Some(&last_octet) = chunk.last() else { return };
        let mut at = 0;
        while at < chunk.len() {
            at = match self.mode {
                Mode::Header => self.header_line(chunk, at),
                Mode::Body => self.body_line(chunk, at),
                Mode::BodyInLine => self.skip_lines(chunk, at),
            };
        }
        self.count(chunk, chunk.len());
        self.chunk_start += chunk.len() as u64;
        self.last_octet = last_octet;
    }

    /// The message is complete.
    pub fn finish(mut self) -> Analysis {
        let end = self.counted;
        let held = std::mem::take(&mut self.line.held);
        if self.mode != Mode::BodyInLine && !held.is_empty() {
            self.try_boundary(&held, Place { offset: self.line.start, lines: end.lines }, end.offset);
        }
        if self.mode == Mode::Header {
            self.end_header(end);
        }
        self.tree.finish(end)
    }

    /// Takes one line of a header, or what the chunk has of it.
    fn header_line(&mut self, chunk: &[u8], at: usize) -> usize {
        let newline = memchr::memchr(b'\n', &chunk[at..]).map(|newline| at + newline);
        let end = newline.map_or(chunk.len(), |newline| newline + 1);
        let piece = &chunk[at..end];
        self.header.push(piece);
        let Some(newline) = newline else {
            self.hold(piece);
            return end;
        };
        let held = self.take_held(piece);
        let line = held.as_deref().unwrap_or(piece);
        if is_blank_line(line) {
            self.count(chunk, end);
            self.begin_line(chunk, newline);
            if self.finish_header(self.counted) == Next::Body {
                self.mode = Mode::Body;
            }
        } else {
            if line.starts_with(b"--") && self.tree.awaits_boundary() {
                self.count(chunk, newline);
                let place = Place { offset: self.line.start, lines: self.counted.lines };
                self.try_boundary(line, place, self.chunk_start + end as u64);
            }
            self.begin_line(chunk, newline);
            self.header.line_start = self.header.octets.len();
        }
        end
    }

    /// Takes one line of a body, or what the chunk has of it, that may be a boundary line.
    fn body_line(&mut self, chunk: &[u8], at: usize) -> usize {
        let rest = &chunk[at..];
        let is_boundary_like = match self.line.held.as_slice() {
            [] => rest.starts_with(b"--") || rest == b"-",
            [b'-'] => rest[0] == b'-',
            _ => true,
        };
        if !is_boundary_like || !self.tree.awaits_boundary() {
            self.line.held.clear();
            self.mode = Mode::BodyInLine;
            return at;
        }
        let Some(newline) = memchr::memchr(b'\n', rest).map(|newline| at + newline) else {
            self.hold(rest);
            return chunk.len();
        };
        let piece = &chunk[at..=newline];
        let held = self.take_held(piece);
        self.count(chunk, newline);
        let place = Place { offset: self.line.start, lines: self.counted.lines };
        self.try_boundary(held.as_deref().unwrap_or(piece), place, self.chunk_start + newline as u64 + 1);
        self.begin_line(chunk, newline);
        newline + 1
    }

    /// Goes to the next line of a body that may be a boundary line.
    fn skip_lines(&mut self, chunk: &[u8], at: usize) -> usize {
        if !self.tree.awaits_boundary() {
            return chunk.len();
        }
        let rest = &chunk[at..];
        let newline = match self.hyphens.find(rest) {
            Some(newline) => newline,
            None if rest.ends_with(b"\n") => rest.len() - 1,
            None if rest.ends_with(b"\n-") => rest.len() - 2,
            None => return chunk.len(),
        };
        self.begin_line(chunk, at + newline);
        self.mode = Mode::Body;
        at + newline + 1
    }

    /// Acts on the line if it is a boundary line, of which `place` is the beginning and `after` the end.
    fn try_boundary(&mut self, line: &[u8], place: Place, after: u64) {
        if line.len() as u64 > BOUNDARY_LINE_OCTETS_MAX {
            return;
        }
        let Some(boundary) = self.tree.boundary(line) else { return };
        if self.mode == Mode::Header {
            let line_start = self.header.line_start;
            self.header.octets.truncate(line_start);
            self.end_header(self.line.line_end_before.remove(place));
        }
        let next = self.tree.split(boundary, place, self.line.line_end_before, after);
        self.enter(next);
    }

    /// The header being read was cut off at `end`, and with it those of messages enclosed in its part.
    fn end_header(&mut self, end: Place) {
        while self.finish_header(end) == Next::Header {}
    }

    fn finish_header(&mut self, body: Place) -> Next {
        let next = self.tree.header_ended(&self.header.octets, self.header.is_whole, body);
        self.header.restart(PART_HEADER_OCTETS_MAX);
        next
    }

    fn enter(&mut self, next: Next) {
        self.header.restart(PART_HEADER_OCTETS_MAX);
        self.mode = match next {
            Next::Header => Mode::Header,
            Next::Body => Mode::Body,
        };
    }

    /// Keeps the beginning of a line that goes on in the next chunk. One octet more than a boundary line can have is enough to see
    /// that it is none.
    fn hold(&mut self, piece: &[u8]) {
        let room = (BOUNDARY_LINE_OCTETS_MAX as usize + 1).saturating_sub(self.line.held.len());
        self.line.held.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// The whole line of which `piece` is the end, if earlier chunks had some of it.
    fn take_held(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        if self.line.held.is_empty() {
            return None;
        }
        self.hold(piece);
        Some(std::mem::take(&mut self.line.held))
    }

    /// A line begins behind the line feed at `newline` of the chunk.
    fn begin_line(&mut self, chunk: &[u8], newline: usize) {
        let before = match newline.checked_sub(1) {
            Some(before) => chunk[before],
            None => self.last_octet,
        };
        self.line.line_end_before = if before == b'\r' { LineEnd::CrLf } else { LineEnd::Lf };
        self.line.start = self.chunk_start + newline as u64 + 1;
        self.line.held.clear();
    }

    /// Counts line feeds up to an index of the chunk.
    fn count(&mut self, chunk: &[u8], until: usize) {
        let from = (self.counted.offset - self.chunk_start) as usize;
        self.counted.lines += memchr::memchr_iter(b'\n', &chunk[from..until]).count() as u64;
        self.counted.offset = self.chunk_start + until as u64;
    }
}
