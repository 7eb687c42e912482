//! From the octets a client sends to commands and SASL responses, in whatever pieces they come.

use super::command::{Command, Fault, Password, is_auth, parse};
use super::{AUTH_OCTETS_MAX, COMMAND_OCTETS_MAX, sasl};
use crate::line::{Line, LineReader};

/// What the input so far gives: nothing yet, or something right or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<T> {
    /// Nothing yet: ask again when more octets have come.
    NeedMore,
    /// This.
    Ready(T),
    /// A line that is wrong; it is consumed, and the next one will be understood.
    Wrong(Fault),
}

/// A client's answer in a SASL exchange (RFC 5034 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The octets, decoded.
    Octets(Password),
    /// `*`: the client gives up.
    Cancelled,
}

/// Finds commands in what a client sends.
///
/// The session gives the decoder all octets that have come and were not consumed yet, and drops as many from their front as
/// it is told to; then it asks again, until the answer is [`Decoded::NeedMore`] or a command makes it wait. While a SASL
/// exchange goes on it calls [`Decoder::decode_response`] instead of [`Decoder::decode`]. Pipelined commands are not moved.
#[derive(Clone, Debug)]
pub struct Decoder {
    lines: LineReader,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// Whether a fresh decoder would make the same of what is unread.
    pub fn is_fresh(&self) -> bool {
        self.lines.is_fresh()
    }

    /// A decoder at the beginning of a connection.
    pub const fn new() -> Decoder {
        Decoder { lines: LineReader::new() }
    }

    /// Looks for the next command at the front of `unread`. Returns how many octets are to be dropped, and what they were.
    pub fn decode(&mut self, unread: &[u8]) -> (usize, Decoded<Command>) {
        // Until five octets are there it cannot be known whether the line may be a long one; before that, no limit
        // is reached either.
        self.take(unread, |line| if is_auth(line) { AUTH_OCTETS_MAX } else { COMMAND_OCTETS_MAX }, parse)
    }

    /// Looks for the next line of a SASL exchange, as [`Decoder::decode`].
    pub fn decode_response(&mut self, unread: &[u8]) -> (usize, Decoded<Response>) {
        let parse_response = |line: &[u8]| match line {
            b"*" => Ok(Response::Cancelled),
            line => sasl::decode(line).map(|octets| Response::Octets(Password(octets))),
        };
        self.take(unread, |_| AUTH_OCTETS_MAX, parse_response)
    }

    fn take<T>(
        &mut self,
        unread: &[u8],
        octets_max: impl Fn(&[u8]) -> usize,
        parse: impl Fn(&[u8]) -> Result<T, Fault>,
    ) -> (usize, Decoded<T>) {
        let mut consumed = 0;
        loop {
            let rest = &unread[consumed..];
            match self.lines.next(rest, octets_max(rest)) {
                Line::More => return (consumed, Decoded::NeedMore),
                Line::Whole(line, octets) => {
                    return (consumed + octets, parse(line).map_or_else(Decoded::Wrong, Decoded::Ready));
                }
                Line::TooLong(octets) => return (consumed + octets, Decoded::Wrong(Fault::TooLong)),
                Line::Dropped(octets) => consumed += octets,
            }
        }
    }
}
