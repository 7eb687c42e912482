//! A message on its way in (RFC 5321 section 4.5.2): dots that were doubled made single, and the end found.
//!
//! Only CRLF ends a line here, so only CRLF, dot, CRLF ends the message. A lone CR or LF is an octet of the message like
//! any other: a server that took LF, dot, LF for the end would let a sender smuggle commands past one that does not.
//!
//! Pieces of the message are given as they stand in the input, not copied; nothing is kept between calls but where in
//! a line the last one ended.

use memchr::memmem;

/// Where in a line the input so far ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the beginning of a line.
    LineStart,
    /// Behind a dot that began a line; it was left out.
    Dot,
    /// Behind that dot and a CR, which is held back.
    DotCr,
    /// Behind a CR.
    Cr,
    /// Elsewhere in a line.
    Middle,
    /// Behind the end of the message.
    Ended,
}

/// What the front of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// Octets of the message; never empty.
    Octets(&'a [u8]),
    /// The message ended. What follows in the input is the next command.
    End,
    /// The input is used up, and the message goes on.
    More,
}

/// Takes a message out of the input.
#[derive(Clone, Debug)]
pub struct DataDecoder {
    place: Place,
}

impl Default for DataDecoder {
    fn default() -> Self {
        DataDecoder::new()
    }
}

impl DataDecoder {
    /// A decoder for the octets behind `DATA`.
    pub const fn new() -> DataDecoder {
        DataDecoder { place: Place::LineStart }
    }

    /// Whether the message ended.
    pub fn is_ended(&self) -> bool {
        self.place == Place::Ended
    }

    /// Looks at the front of `input`: how many octets of it are done with, and what they are. Called again with the
    /// rest until it says [`Data::More`] or [`Data::End`].
    pub fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Data<'a>) {
        let mut taken = 0;
        loop {
            if self.place == Place::Ended {
                return (taken, Data::End);
            }
            let rest = &input[taken..];
            let Some(first) = rest.first() else {
                return (taken, Data::More);
            };
            match (self.place, first) {
                (Place::LineStart, b'.') => {
                    self.place = Place::Dot;
                    taken += 1;
                }
                (Place::Dot, b'\r') => {
                    self.place = Place::DotCr;
                    taken += 1;
                }
                (Place::DotCr, b'\n') => {
                    self.place = Place::Ended;
                    taken += 1;
                }
                // The CR that was held back is of the message after all; what is behind it is looked at next.
                (Place::DotCr, _) => {
                    self.place = Place::Cr;
                    return (taken, Data::Octets(b"\r"));
                }
                _ => {
                    let octets = self.run(rest);
                    return (taken + octets.len(), Data::Octets(octets));
                }
            }
        }
    }

    /// Appends to `out` all octets of the message that `input` has. Returns how many octets of `input` are done with,
    /// which is all of them unless the message ended.
    pub fn append(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut taken = 0;
        loop {
            let (octets, data) = self.next(&input[taken..]);
            taken += octets;
            match data {
                Data::Octets(octets) => out.extend_from_slice(octets),
                Data::More | Data::End => return taken,
            }
        }
    }

    /// The longest front of `rest` that is octets of the message as it stands. The first octet is: what it would be
    /// otherwise was seen to by the caller.
    fn run<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        if self.place == Place::Cr && rest.starts_with(b"\n.") {
            self.place = Place::LineStart;
            return &rest[..1];
        }
        let before = self.place;
        if let Some(at) = memmem::find(rest, b"\r\n.") {
            self.place = Place::LineStart;
            return &rest[..at + 2];
        }
        self.place = match rest {
            [.., b'\r', b'\n'] => Place::LineStart,
            [b'\n'] if before == Place::Cr => Place::LineStart,
            [.., b'\r'] => Place::Cr,
            _ => Place::Middle,
        };
        rest
    }
}
