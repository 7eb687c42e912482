//! From the octets a mail server sends to commands, in whatever pieces they come.

use super::COMMAND_OCTETS_MAX;
use super::command::{Command, Fault, parse};
use crate::line::{Line, LineReader};

/// What the input so far gives: nothing yet, or something right or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// More octets are needed. What is in the input stays there.
    More,
    /// This command, and its octets were taken out of the input.
    Ready(Command),
    /// A line that is wrong; it was taken out of the input, and the next one will be understood.
    Wrong(Fault),
}

/// Finds commands in what a mail server sends.
///
/// The handler calls [`Decoder::next`] until it answers [`Decoded::More`], or until a command makes it wait. After a
/// DATA that it answered with 354 the input is for a [`super::DataDecoder`] until that says that the message ended.
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
    pub fn next(&mut self, input: &mut Vec<u8>) -> Decoded {
        loop {
            let (octets, decoded) = match self.lines.next(input, COMMAND_OCTETS_MAX) {
                Line::More => return Decoded::More,
                Line::Whole(line, octets) => {
                    (octets, Some(parse(line).map_or_else(Decoded::Wrong, Decoded::Ready)))
                }
                Line::TooLong(octets) => (octets, Some(Decoded::Wrong(Fault::TooLong))),
                Line::Dropped(octets) => (octets, None),
            };
            input.drain(..octets);
            if let Some(decoded) = decoded {
                return decoded;
            }
        }
    }
}
