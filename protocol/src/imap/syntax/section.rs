//! What part of a message `BODY[…]` names (RFC 3501 section 6.4.5, `section`), in commands and in replies.

use super::cursor::{Cursor, Fault};
use super::string;
use crate::imap::limits::Limits;

/// A section of a message. Empty `part` and no `text`: the whole message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// The numbers of the part, outermost first, none of them 0.
    pub part: Vec<u32>,
    /// What of the part (or of the message) is meant; `None` for the part's body, or the whole message.
    pub text: Option<SectionText>,
}

/// What of a part or a message is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// `HEADER`: the header of the message, or of the message that the part is.
    Header,
    /// `HEADER.FIELDS`: these fields of it, and the empty line. Never empty.
    HeaderFields(Vec<Vec<u8>>),
    /// `HEADER.FIELDS.NOT`: all fields of it but these, and the empty line. Never empty.
    HeaderFieldsNot(Vec<Vec<u8>>),
    /// `TEXT`: what follows the header.
    Text,
    /// `MIME`: the part's own MIME header. Only with a part.
    Mime,
}

/// `<start.length>`: which octets of a section are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// The first octet, from 0.
    pub start: u64,
    /// How many at most; never 0.
    pub length: u64,
}

impl Section {
    /// How deep a part number may go: deeper messages are not analysed either.
    const PART_DEPTH_MAX: usize = 256;

    /// Parses `[` section `]`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Section, Fault> {
        cursor.expect(b'[', "Expected [ of a section")?;
        let mut section = Section::default();
        cursor.skip_spaces();
        let mut more = true;
        while more && cursor.peek().is_some_and(|octet| octet.is_ascii_digit()) {
            if section.part.len() == Self::PART_DEPTH_MAX {
                return Err(Fault::limit("A section's part is nested too deep"));
            }
            section.part.push(cursor.nonzero_number()?);
            more = cursor.take_if(b'.');
        }
        if more && (!section.part.is_empty() || cursor.peek() != Some(b']')) {
            section.text = Some(SectionText::parse(cursor, !section.part.is_empty())?);
        }
        cursor.skip_spaces();
        cursor.expect(b']', "Expected ] after a section")?;
        Ok(section)
    }

    /// The section of the text between the brackets, for those who have it from elsewhere.
    pub(crate) fn from_text(text: &[u8], limits: &Limits) -> Result<Section, Fault> {
        let bracketed = [b"[".as_slice(), text, b"]"].concat();
        let mut cursor = Cursor::new(&bracketed, limits);
        let section = Section::parse(&mut cursor)?;
        if cursor.is_at_end() { Ok(section) } else { Err(Fault::syntax("More behind a section")) }
    }

    /// The same, if it is a part or the whole message (RFC 3516, `section-binary`).
    pub(crate) fn of_part(self) -> Result<Section, Fault> {
        if self.text.is_none() { Ok(self) } else { Err(Fault::syntax("Only a part can be decoded")) }
    }

    /// Appends the section as a reply names it, with its brackets.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, number) in self.part.iter().enumerate() {
            if index > 0 {
                out.push(b'.');
            }
            crate::imap::reply::text::number(out, u64::from(*number));
        }
        if let Some(text) = &self.text {
            if !self.part.is_empty() {
                out.push(b'.');
            }
            text.write(out);
        }
        out.push(b']');
    }
}

impl SectionText {
    fn parse(cursor: &mut Cursor<'_>, in_part: bool) -> Result<SectionText, Fault> {
        let name = cursor.keyword()?;
        match name.as_bytes() {
            b"HEADER" => Ok(SectionText::Header),
            b"TEXT" => Ok(SectionText::Text),
            b"MIME" if in_part => Ok(SectionText::Mime),
            b"HEADER.FIELDS" => Ok(SectionText::HeaderFields(Self::parse_fields(cursor)?)),
            b"HEADER.FIELDS.NOT" => Ok(SectionText::HeaderFieldsNot(Self::parse_fields(cursor)?)),
            _ => Err(Fault::syntax("Unknown section")),
        }
    }

    fn parse_fields(cursor: &mut Cursor<'_>) -> Result<Vec<Vec<u8>>, Fault> {
        let mut fields = Vec::new();
        cursor.space()?;
        cursor.list(|cursor| {
            fields.push(string::parse_astring(cursor)?.into_owned());
            Ok(())
        })?;
        if fields.is_empty() {
            return Err(Fault::syntax("A list of header fields is empty"));
        }
        Ok(fields)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (name, fields): (&[u8], &[Vec<u8>]) = match self {
            SectionText::Header => (b"HEADER", &[]),
            SectionText::Text => (b"TEXT", &[]),
            SectionText::Mime => (b"MIME", &[]),
            SectionText::HeaderFields(fields) => (b"HEADER.FIELDS ", fields),
            SectionText::HeaderFieldsNot(fields) => (b"HEADER.FIELDS.NOT ", fields),
        };
        out.extend_from_slice(name);
        for (index, field) in fields.iter().enumerate() {
            out.push(if index == 0 { b'(' } else { b' ' });
            string::write_astring(out, field);
        }
        if !fields.is_empty() {
            out.push(b')');
        }
    }
}

impl Partial {
    /// Parses `<start.length>`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Partial, Fault> {
        cursor.expect(b'<', "Expected <")?;
        let start = cursor.number()?;
        cursor.expect(b'.', "Expected a length in <start.length>")?;
        let length = cursor.number()?;
        cursor.expect(b'>', "Expected > after a length")?;
        if length == 0 {
            return Err(Fault::syntax("A length of 0 octets"));
        }
        Ok(Partial { start, length })
    }
}
