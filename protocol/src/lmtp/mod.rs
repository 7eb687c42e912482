//! LMTP (RFC 2033) without I/O, with PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531),
//! ENHANCEDSTATUSCODES (RFC 2034), CHUNKING and BINARYMIME (RFC 3030), the parameters of RFC 3461, XCLIENT and XFORWARD.
//!
//! ```text
//!  bytes ──► Decoder ──► Command ──► handler ──► Reply ──► bytes
//!        ──► DataDecoder, ChunkDecoder ──► octets of the message
//! ```
//!
//! Nothing here knows whether a command is permitted now, who the recipients are, or where a message goes; that is
//! the handler's. Nothing here panics on input or keeps more of it than one line.

mod address;
mod chunk;
mod command;
mod data;
mod decoder;
pub mod fuzz;
pub mod origin;
mod parameters;
pub mod reply;
pub mod trace;
mod xtext;

#[cfg(test)]
mod tests;

pub use address::{Address, AddressFault};
pub use chunk::ChunkDecoder;
pub use command::{Body, Command, Fault, Mail};
pub use data::{Data, DataDecoder};
pub use decoder::{Decoded, Decoder};
pub use origin::Origin;
pub use reply::{Extensions, Reply, Status};

/// The longest command line without its end: RFC 5321 asks for 512 octets, and the parameters of extensions add to it.
pub const COMMAND_OCTETS_MAX: usize = 2048;
