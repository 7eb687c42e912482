//! A message on its way out in RETR and TOP (RFC 1939 sections 3 and 7): line ends made CRLF, a dot at the beginning
//! of a line doubled, the whole ended by a line with one dot.
//!
//! The message comes in chunks of any size, cut anywhere, and nothing of it is kept between them but where in a line
//! the last one ended. What needs no change is copied in runs over many lines.

use memchr::memchr_iter;

/// Where the octets so far ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the beginning of a line.
    LineStart,
    /// Behind a CR that is the first octet of its line.
    FirstCr,
    /// Behind another CR.
    Cr,
    /// Elsewhere in a line.
    Middle,
}

/// How much of the message is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// All of it.
    Whole,
    /// The header, which has not ended, and then so many lines.
    Header { lines: u64 },
    /// So many more lines.
    Body { lines: u64 },
}

/// Whether more of the message is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Yes, if there is more.
    More,
    /// No: all lines that TOP asked for were given.
    Nothing,
}

/// Turns chunks of a message into the lines of an answer.
#[derive(Clone, Debug)]
pub struct DotStuffer {
    place: Place,
    part: Part,
}

impl DotStuffer {
    /// For RETR: all of the message.
    pub const fn whole() -> DotStuffer {
        DotStuffer { place: Place::LineStart, part: Part::Whole }
    }

    /// For TOP: the header, the empty line, and so many lines of the body.
    pub const fn top(lines: u64) -> DotStuffer {
        DotStuffer { place: Place::LineStart, part: Part::Header { lines } }
    }

    /// Takes the next octets of the message and appends what they become to `out`: at most twice as many.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Wants {
        let wanted = self.wanted(chunk);
        self.stuff(&chunk[..wanted], out);
        if self.part == (Part::Body { lines: 0 }) { Wants::Nothing } else { Wants::More }
    }

    /// Ends the last line if the message did not, and the answer.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match self.place {
            Place::LineStart => {}
            // A message that ends in a CR lost the LF that belongs to it.
            Place::FirstCr | Place::Cr => out.push(b'\n'),
            Place::Middle => out.extend_from_slice(b"\r\n"),
        }
        self.place = Place::LineStart;
        out.extend_from_slice(b".\r\n");
    }

    /// How much of the chunk is wanted, counting lines where they count.
    fn wanted(&mut self, chunk: &[u8]) -> usize {
        match self.part {
            Part::Whole => return chunk.len(),
            Part::Body { lines: 0 } => return 0,
            Part::Header { .. } | Part::Body { .. } => {}
        }
        let mut place = self.place;
        let mut start = 0;
        for end in memchr_iter(b'\n', chunk) {
            let empty = match place {
                Place::LineStart => matches!(&chunk[start..end], [] | [b'\r']),
                Place::FirstCr => start == end,
                Place::Cr | Place::Middle => false,
            };
            (start, place) = (end + 1, Place::LineStart);
            self.part = match self.part {
                Part::Header { lines } if empty => Part::Body { lines },
                Part::Body { lines } => Part::Body { lines: lines - 1 },
                part => part,
            };
            if self.part == (Part::Body { lines: 0 }) {
                return start;
            }
        }
        chunk.len()
    }

    fn stuff(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else {
            return;
        };
        out.reserve(chunk.len() + 2);
        if self.place == Place::LineStart && *first == b'.' {
            out.push(b'.');
        }
        let cr_before = matches!(self.place, Place::FirstCr | Place::Cr);
        let mut copied = 0;
        for end in memchr_iter(b'\n', chunk) {
            let has_cr = if end == 0 { cr_before } else { chunk[end - 1] == b'\r' };
            if !has_cr {
                out.extend_from_slice(&chunk[copied..end]);
                out.push(b'\r');
                copied = end;
            }
            if chunk.get(end + 1) == Some(&b'.') {
                out.extend_from_slice(&chunk[copied..=end]);
                out.push(b'.');
                copied = end + 1;
            }
        }
        out.extend_from_slice(&chunk[copied..]);
        let alone = chunk.len() == 1 && self.place == Place::LineStart;
        let behind_end = chunk.len() > 1 && chunk[chunk.len() - 2] == b'\n';
        self.place = match last {
            b'\n' => Place::LineStart,
            b'\r' if alone || behind_end => Place::FirstCr,
            b'\r' => Place::Cr,
            _ => Place::Middle,
        };
    }
}
