//! IMAP (IMAP4rev1, RFC 3501; IMAP4rev2, RFC 9051) without I/O: bytes → commands ([`decoder`]) and replies → bytes ([`reply`]).
//!
//! ```text
//!  bytes ──► decoder ──► command::* ──► handler ──► reply::* ──► bytes
//!            framing     parsing over                 writers into a Vec<u8>
//!            only        syntax::*
//! ```
//!
//! - [`decoder`] finds where a command ends (lines, literals, skipping) and never looks deeper than that;
//! - [`command`] has one file per family of commands: the types it parses to, and the parser;
//! - [`extension`] has one file per extension that brings commands of its own;
//! - [`syntax`] has what commands and replies are made of: strings, sets, flags, dates, mailbox names;
//! - [`url`] has the URLs of messages; [`reply`] writes; [`print`] writes commands, for tests; [`utf7`] and [`pattern`] are the two small algorithms of mailbox names.
//!
//! Invariants: nothing here panics on input, recursion is bounded by [`limits::Limits::depth`], memory by the octets that
//! have arrived, and time is linear in them however they are cut into pieces.

pub mod command;
pub mod decoder;
pub mod extension;
pub mod fuzz;
pub mod limits;
pub mod pattern;
pub mod print;
pub mod reply;
pub mod syntax;
pub mod url;
pub mod utf7;

pub use command::{Command, Numbering, Tagged};
pub use decoder::{Decoded, Decoder, Refusal};
pub use limits::Limits;
pub use reply::code::Code;
pub use syntax::cursor::Fault;
