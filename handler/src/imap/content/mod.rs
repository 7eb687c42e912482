//! What a section of a message is: octets of its bucket, or fields cut from a header. For FETCH, and for URLs that stand for sections.

pub(crate) mod decoding;

use std::ops::Range;

use message::{Record, SectionText, header_fields};
use protocol::imap::syntax::section::{self, Section};
use store::{Store, StoreError, StoredMessage};

/// How much of a header is looked through for fields.
const HEADER_OCTETS_MAX: u64 = 1024 * 1024;

/// What a section is.
pub(crate) enum Content {
    /// These octets of the message.
    Range(Range<u64>),
    /// Fields of a header.
    Fields(Vec<u8>),
}

impl Content {
    /// How many octets.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Content::Range(range) => range.end - range.start,
            Content::Fields(fields) => fields.len() as u64,
        }
    }

    /// No more than `length` octets from `start` on.
    pub(crate) fn cut(self, start: u64, length: u64) -> Content {
        let start = start.min(self.len());
        let end = start.saturating_add(length).min(self.len());
        match self {
            Content::Range(range) => Content::Range(range.start + start..range.start + end),
            // Both fit: they are at most the length of what is in memory.
            Content::Fields(fields) => Content::Fields(fields[start as usize..end as usize].to_vec()),
        }
    }
}

/// What `section` of a message is; `record` is asked for only when that takes more than the message's size. `None`: it has no such section.
///
/// # Errors
/// The message or its record cannot be read.
pub(crate) fn locate<'r>(
    store: &Store,
    message: &StoredMessage,
    section: &Section,
    record: impl FnOnce() -> Result<Record<'r>, StoreError>,
) -> Result<Option<Content>, StoreError> {
    let (text, fields) = match &section.text {
        None => (SectionText::Whole, None),
        Some(section::SectionText::Header) => (SectionText::Header, None),
        Some(section::SectionText::Text) => (SectionText::Text, None),
        Some(section::SectionText::Mime) => (SectionText::Mime, None),
        Some(section::SectionText::HeaderFields(fields)) => (SectionText::Header, Some((fields, false))),
        Some(section::SectionText::HeaderFieldsNot(fields)) => (SectionText::Header, Some((fields, true))),
    };
    let header_size = u64::from(message.header_size);
    let Some((fields, except)) = fields else {
        let range = match (section.part.as_slice(), text) {
            // These need no record.
            ([], SectionText::Whole) => Some(0..message.size),
            ([], SectionText::Header) => Some(0..header_size),
            ([], SectionText::Text) => Some(header_size..message.size),
            (part, text) => record()?.section_range(part, text),
        };
        return Ok(range.map(Content::Range));
    };
    let names: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    let range = match section.part.as_slice() {
        [] if except => Some(0..header_size),
        [] => Some(record()?.header_stretch(&names)),
        part => record()?.section_range(part, text),
    };
    let Some(mut range) = range else { return Ok(None) };
    range.end = range.end.min(range.start + HEADER_OCTETS_MAX);
    let mut header = Vec::new();
    store.read_range(message, range, &mut header)?;
    let mut cut = Vec::new();
    header_fields(&header, &names, except, &mut cut);
    Ok(Some(Content::Fields(cut)))
}
