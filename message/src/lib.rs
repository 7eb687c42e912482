//! Turns the bytes of a mail into facts: envelope, structure, offsets, words.
//!
//! A message streams through a [`Scanner`] once, in chunks of any size, and leaves an [`Analysis`]. [`encode`] makes the record of
//! it that the store keeps; [`Record`] answers from those bytes what IMAP asks about a message without opening the message:
//! ENVELOPE, BODY, BODYSTRUCTURE, where each section lies, dates, keys to sort and thread by, and the text of the headers that
//! are searched most.
//!
//! Nothing here does I/O or reads a clock. Whatever the bytes are, work is linear in their number, memory is bounded by the
//! limits in [`limits`], and nothing panics.

pub mod fuzz;
pub mod limits;
pub mod preview;
pub mod record;
pub mod search;

mod address;
mod analysis;
mod content;
mod decoded;
mod describe;
mod envelope;
mod header;
mod keys;
mod message_id;
mod part_structure;
mod scan;
mod section;
mod sent_date;
mod structure;
mod subject;
#[cfg(test)]
mod tests;
mod tree;
mod wire;

pub use analysis::Analysis;
pub use decoded::TransferDecoder;
pub use header::{header_fields, header_lines, header_values};
pub use part_structure::{decoded_structure, part_structure};
pub use record::{Damaged, Record, encode};
pub use scan::Scanner;
pub use section::{Encoding, Globals, HeaderKind, Media, PartKind, Section, SectionText, SortKey};
pub use sent_date::SentDate;
