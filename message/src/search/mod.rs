//! Text to search in: case folding, header words (RFC 2047), decoded bodies.
//!
//! The callers are SEARCH, which compares without regard to case, and the analysis, which puts decoded headers into the record.

mod charset;
mod fold;
mod text;
mod transfer;
mod words;

pub use fold::{Folded, contains_folded, fold};
pub use text::part_text;
pub use words::decode_header_text;
