//! The record: what the store keeps of an analysis, and the one home of its format.

use std::fmt;
use std::ops::Range;

use crate::{Analysis, HeaderKind, Section, SectionText, SentDate, SortKey};

/// The octets are no record of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("damaged message record")
    }
}

impl std::error::Error for Damaged {}

/// Encodes an analysis as a record.
pub fn encode(analysis: &Analysis) -> Vec<u8> {
    let _ = analysis.size;
    Vec::new()
}

/// A record, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// Checks that `bytes` hold a record of this version.
    ///
    /// # Errors
    /// [`Damaged`] if not.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Damaged> {
        Ok(Record { bytes })
    }

    /// Octets of the message.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Octets of the top-level header with its blank line.
    pub fn header_size(&self) -> u64 {
        0
    }

    /// Line feeds in the top-level body.
    pub fn body_lines(&self) -> u32 {
        0
    }

    /// ENVELOPE in wire form (RFC 3501 7.4.2), a parenthesised list.
    pub fn envelope(&self) -> &'a [u8] {
        &[]
    }

    /// BODY in wire form.
    pub fn body(&self) -> &'a [u8] {
        &[]
    }

    /// BODYSTRUCTURE in wire form.
    pub fn body_structure(&self) -> &'a [u8] {
        &[]
    }

    /// The Date field, if it can be understood.
    pub fn sent(&self) -> Option<SentDate> {
        None
    }

    /// The part with this number (RFC 3501 6.4.5). The empty path is the whole message.
    pub fn section(&self, path: &[u32]) -> Option<Section<'a>> {
        let _ = path;
        None
    }

    /// Where the octets of `BODY[path.text]` lie in the message. `None`: there is no such section.
    pub fn section_range(&self, path: &[u32], text: SectionText) -> Option<Range<u64>> {
        let _ = (path, text);
        None
    }

    /// All parts, outer ones before inner ones; the first is the message itself.
    pub fn parts(&self) -> impl Iterator<Item = Section<'a>> + use<'a> {
        std::iter::empty()
    }

    /// The stretch of the top-level header in which all fields with these names lie. Empty: there is none of them. Fields with
    /// other names may lie in it too: cut with [`header_fields`](crate::header_fields).
    pub fn header_stretch(&self, names: &[&[u8]]) -> Range<u64> {
        let _ = names;
        0..self.header_size()
    }

    /// Decoded text of a header field, several of one name joined with line feeds; empty if there is none.
    pub fn search_text(&self, header: HeaderKind) -> &'a str {
        let _ = header;
        ""
    }

    /// Message-ID without angle brackets; empty if there is none.
    pub fn message_id(&self) -> &'a str {
        ""
    }

    /// Ids of References, or else of In-Reply-To (RFC 5256 3), oldest first, without angle brackets.
    pub fn references(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        std::iter::empty()
    }

    /// A key to sort by.
    pub fn sort_key(&self, key: SortKey) -> &'a str {
        let _ = key;
        ""
    }
}
