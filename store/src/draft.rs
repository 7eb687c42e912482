//! Takes the bytes of a new message as they come: small ones are gathered in memory, bigger ones go straight into a bucket
//! that nobody else appends to meanwhile. Dropping a draft or its content leaves nothing behind.

use crate::error::Result;

/// Up to this many octets a message is gathered in memory.
pub const GATHER_LIMIT_BYTES: usize = 128 * 1024;

/// A message on its way in.
pub struct Draft {}

impl Draft {
    /// Takes the next octets.
    pub fn write(&mut self, _bytes: &[u8]) -> Result<()> {
        todo!()
    }

    /// Octets taken so far.
    pub fn len(&self) -> u64 {
        todo!()
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All octets have come.
    pub fn finish(self) -> Result<Content> {
        todo!()
    }
}

/// A whole message that no mailbox has yet. Give it to `Txn::deliver`.
pub struct Content {}

impl Content {
    /// RFC822.SIZE in octets.
    pub fn len(&self) -> u64 {
        todo!()
    }

    /// Whether the message has no octets at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
