//! DEFLATE (RFC 1951) on both ways of a connection, as COMPRESS asks for it (RFC 4978): raw, without a header or checksum.
//!
//! Owned by the session's [`crate::conversation::Input`] and [`crate::output::Output`]; no conversation sees compressed octets.
//!
//! # Memory
//!
//! While a session talks: some 45 KiB for what comes (the window of 32 KiB that DEFLATE lets a client refer to, and tables), some 320 KiB
//! for what goes. While it rests: nothing for what goes, since each batch of replies ends at an octet (a sync flush) and a compressor
//! that begins anew there continues the stream; for what comes, the octets that the client may still refer to: all that it
//! sent, at most the last 32 KiB, deflated, so rarely more than 2 KiB. A client that stops in the middle of a block keeps its tables.
//!
//! # Crate
//!
//! `miniz_oxide` itself, in place of `flate2` that wraps it: it is Rust without `unsafe`, it inflates into a window of the
//! caller's in steps of the caller's size, and it can lay down its state between two blocks, which makes resting cheap. Its compressor has
//! one size for all levels.

pub(crate) mod deflate;
pub(crate) mod inflate;

#[cfg(test)]
mod tests;
