//! The streaming scanner.

use crate::Analysis;

/// Takes a message in chunks of any size and finds its structure.
#[derive(Debug, Default)]
pub struct Scanner {
    size: u64,
}

impl Scanner {
    /// A scanner at the start of a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next octets of the message.
    pub fn push(&mut self, octets: &[u8]) {
        self.size += octets.len() as u64;
    }

    /// The message is complete.
    pub fn finish(self) -> Analysis {
        Analysis { size: self.size }
    }
}
