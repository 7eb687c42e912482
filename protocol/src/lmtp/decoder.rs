//! From the octets a mail server sends to commands, in whatever pieces they come.

use super::COMMAND_OCTETS_MAX;
use super::command::{Command, Fault, parse};
use crate::line::{Line, LineReader};

/// What the input so far gives: nothing yet, or something right or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Nothing yet: ask again when more octets have come.
    NeedMore,
    /// This command.
    Ready(Command),
    /// A line that is wrong; it is consumed, and the next one will be understood.
    Wrong(Fault),
}

/// Finds commands in what a mail server sends.
///
/// The session gives the decoder all octets that have come and were not consumed yet, and drops as many from their front as
/// it is told to; then it asks again, until the answer is [`Decoded::NeedMore`] or a command makes it wait. After a DATA that
/// it answered with 354 the octets are for a [`super::DataDecoder`] until that says that the message ended.
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
    pub fn decode(&mut self, unread: &[u8]) -> (usize, Decoded) {
        let mut consumed = 0;
        loop {
            match self.lines.next(&unread[consumed..], COMMAND_OCTETS_MAX) {
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
