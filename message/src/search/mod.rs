//! Text to search in: case folding, header words (RFC 2047), decoded bodies.
//!
//! The callers are SEARCH, whose texts may be in any charset and which compares without regard to case, and the analysis, which
//! puts decoded headers into the record.

mod charset;
mod fold;
mod fuzzy;
mod text;
mod transfer;
mod words;

pub use charset::decode as decode_charset;
pub use fold::{Folded, contains_folded, fold};
pub use fuzzy::{Words, WordsFound};
pub use text::part_text;
pub use transfer::Base64;
pub(crate) use transfer::quoted_printable;
pub use words::decode_header_text;
