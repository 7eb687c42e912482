//! From the octets a client sends to commands and SASL responses, in whatever pieces they come.

use super::command::{Command, Fault, Password, is_auth, parse};
use super::{AUTH_OCTETS_MAX, COMMAND_OCTETS_MAX, sasl};
use crate::line::{Line, LineReader};

/// What the input so far gives: nothing yet, or something right or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<T> {
    /// More octets are needed. What is in the input stays there.
    More,
    /// This, and its octets were taken out of the input.
    Ready(T),
    /// A line that is wrong; it was taken out of the input, and the next one will be understood.
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
/// The handler calls [`Decoder::next`] until it answers [`Decoded::More`], or until a command makes it wait; while a
/// SASL exchange goes on it calls [`Decoder::next_response`] instead. Pipelined commands stay in the input.
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
    /// A decoder at the beginning of a connection.
    pub const fn new() -> Decoder {
        Decoder { lines: LineReader::new() }
    }

    /// The next command.
    pub fn next(&mut self, input: &mut Vec<u8>) -> Decoded<Command> {
        // Until five octets are there it cannot be known whether the line may be a long one; before that, no limit
        // is reached either.
        let octets_max = if is_auth(input) { AUTH_OCTETS_MAX } else { COMMAND_OCTETS_MAX };
        self.take(input, octets_max, parse)
    }

    /// The next line of a SASL exchange.
    pub fn next_response(&mut self, input: &mut Vec<u8>) -> Decoded<Response> {
        self.take(input, AUTH_OCTETS_MAX, |line| match line {
            b"*" => Ok(Response::Cancelled),
            line => sasl::decode(line).map(|octets| Response::Octets(Password(octets))),
        })
    }

    fn take<T: PartialEq>(
        &mut self,
        input: &mut Vec<u8>,
        octets_max: usize,
        parse: impl Fn(&[u8]) -> Result<T, Fault>,
    ) -> Decoded<T> {
        loop {
            let (octets, decoded) = match self.lines.next(input, octets_max) {
                Line::More => return Decoded::More,
                Line::Whole(line, octets) => {
                    (octets, parse(line).map_or_else(Decoded::Wrong, Decoded::Ready))
                }
                Line::TooLong(octets) => (octets, Decoded::Wrong(Fault::TooLong)),
                Line::Dropped(octets) => (octets, Decoded::More),
            };
            input.drain(..octets);
            if decoded != Decoded::More {
                return decoded;
            }
        }
    }
}
