//! Reading a record in place. Every number is checked before it is used: damaged octets give wrong answers or none, never a panic.
//! Blobs that both versions have have the same numbers.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::{
    ADDRESSES_OFFSET, BLOBS, Blob, ENDS_OFFSET, FLAG_INDEX, FLAG_REPLY, FLAG_SENT, FLAG_SUBJECT_IN_TEXT,
    HEAD_OCTETS, NODE_OCTETS, SUBJECT_OFFSET, VERSION, version_1,
};
use crate::analysis::name_hash;
use crate::envelope::{self, Address};
use crate::{
    Encoding, HeaderKind, Media, PartKind, Section, SectionText, SentDate, SortKey, keys, message_id, subject,
};

/// The octets are no record of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("damaged message record")
    }
}

impl std::error::Error for Damaged {}

/// A record, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    version: Version,
    /// Of at least as many octets as the version says.
    head: &'a [u8],
    nodes: &'a [[u8; NODE_OCTETS]],
    blobs: &'a [u8],
}

/// How a record is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    fn of(bytes: &[u8]) -> Option<Version> {
        match *bytes.first()? {
            version_1::VERSION => Some(Version::One),
            VERSION => Some(Version::Two),
            _ => None,
        }
    }

    fn head_octets(self) -> usize {
        match self {
            Version::One => version_1::HEAD_OCTETS,
            Version::Two => HEAD_OCTETS,
        }
    }

    fn ends_offset(self) -> usize {
        match self {
            Version::One => version_1::ENDS_OFFSET,
            Version::Two => ENDS_OFFSET,
        }
    }

    fn blobs(self) -> usize {
        match self {
            Version::One => version_1::BLOBS,
            Version::Two => BLOBS,
        }
    }
}

impl<'a> Record<'a> {
    /// Checks that `bytes` hold a record of a version that is known.
    ///
    /// # Errors
    /// [`Damaged`] if not.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let version = Version::of(bytes).ok_or(Damaged)?;
        let (head, rest) = bytes.split_at_checked(version.head_octets()).ok_or(Damaged)?;
        let nodes_octets = (u32_at(head, 16) as usize).checked_mul(NODE_OCTETS).ok_or(Damaged)?;
        let (nodes, blobs) = rest.split_at_checked(nodes_octets).ok_or(Damaged)?;
        let (nodes, _) = nodes.as_chunks::<NODE_OCTETS>();
        let mut end = 0;
        for blob in 0..version.blobs() {
            let next = u32_at(head, version.ends_offset() + 4 * blob) as usize;
            if next < end {
                return Err(Damaged);
            }
            end = next;
        }
        if nodes.is_empty() || end != blobs.len() {
            return Err(Damaged);
        }
        Ok(Record { version, head, nodes, blobs })
    }

    /// Octets of the message.
    pub fn size(&self) -> u64 {
        u64::from(u32_at(self.head, 4))
    }

    /// Octets of the top-level header with its blank line.
    pub fn header_size(&self) -> u64 {
        u64::from(u32_at(self.head, 8))
    }

    /// Line feeds in the top-level body.
    pub fn body_lines(&self) -> u32 {
        u32_at(self.head, 12)
    }

    /// ENVELOPE in wire form (RFC 3501 7.4.2), a parenthesised list.
    pub fn envelope(&self) -> &'a [u8] {
        self.blob(Blob::Envelope)
    }

    /// BODY in wire form.
    pub fn body(&self) -> &'a [u8] {
        self.blob(Blob::Body)
    }

    /// BODYSTRUCTURE in wire form.
    pub fn body_structure(&self) -> &'a [u8] {
        self.blob(Blob::BodyStructure)
    }

    /// Whether a part may be of type message/global, so that a scanner with [`crate::Globals::Messages`] would find more.
    pub fn has_global(&self) -> bool {
        let structure = self.body();
        let name = b"\"global\"";
        memchr::memchr_iter(b'"', structure)
            .any(|at| structure[at..].get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)))
    }

    /// The Date field, if it can be understood.
    pub fn sent(&self) -> Option<SentDate> {
        let zone_minutes = i16::from_le_bytes([self.head[2], self.head[3]]);
        let valid = self.head[1] & FLAG_SENT != 0 && (-960..=960).contains(&zone_minutes);
        let mut seconds = [0; 8];
        seconds.copy_from_slice(&self.head[24..32]);
        let seconds = i64::from_le_bytes(seconds);
        // No date that is parsed lies outside, so arithmetic on it cannot overflow.
        let valid = valid && seconds.unsigned_abs() < 1 << 40;
        valid.then_some(SentDate { seconds, zone_minutes })
    }

    /// The part with this number (RFC 3501 6.4.5). The empty path is the whole message; `[1]` of a message that is no multipart
    /// is its only part, and so within a message/rfc822.
    pub fn section(&self, path: &[u32]) -> Option<Section<'a>> {
        self.section_at(self.find(path)?)
    }

    /// Where the octets of `BODY[path.text]` lie in the message. `None`: there is no such section.
    pub fn section_range(&self, path: &[u32], text: SectionText) -> Option<Range<u64>> {
        let index = self.find(path)?;
        let section = self.section_at(index)?;
        match text {
            SectionText::Whole if path.is_empty() => Some(0..self.size()),
            SectionText::Whole => Some(section.body),
            SectionText::Mime => (!path.is_empty()).then_some(section.header),
            SectionText::Header | SectionText::Text => {
                let message = if path.is_empty() {
                    section
                } else if section.kind == PartKind::Message {
                    self.section_at(index + 1)?
                } else {
                    return None;
                };
                Some(if text == SectionText::Header { message.header } else { message.body })
            }
        }
    }

    /// All parts, outer ones before inner ones; the first is the message itself. A message/rfc822 is followed by the message
    /// enclosed in it.
    pub fn parts(&self) -> impl Iterator<Item = Section<'a>> + use<'a> {
        let record = *self;
        (0..record.nodes.len()).filter_map(move |index| record.section_at(index))
    }

    /// The stretch of the top-level header in which all fields with these names lie. Empty: there is none of them. Fields with
    /// other names may lie in it too: cut with [`header_fields`](crate::header_fields).
    pub fn header_stretch(&self, names: &[&[u8]]) -> Range<u64> {
        let all = 0..self.header_size();
        if self.head[1] & FLAG_INDEX == 0 {
            return all;
        }
        let mut stretch: Option<Range<u64>> = None;
        let mut at = 0_u64;
        let mut index = self.blob(Blob::HeaderIndex);
        while let Some((&hash, rest)) = index.split_first_chunk::<2>() {
            let Some((octets, rest)) = leb128(rest) else { return all };
            index = rest;
            let end = at + u64::from(octets);
            if names.iter().any(|name| name_hash(name).to_le_bytes() == hash) {
                stretch = Some(stretch.map_or(at, |stretch| stretch.start)..end);
            }
            at = end;
        }
        let stretch = stretch.unwrap_or(0..0);
        if stretch.end <= all.end { stretch } else { all }
    }

    /// What the only field with this name says, unfolded, where the envelope has it: Date, Subject, In-Reply-To, Message-ID. `None`: look
    /// into the message.
    pub fn only_value(&self, name: &[u8]) -> Option<Cow<'a, [u8]>> {
        let value = envelope::text_of(self.envelope(), name)?;
        if self.head[1] & FLAG_INDEX == 0 {
            return None;
        }
        let hash = name_hash(name).to_le_bytes();
        let mut index = self.blob(Blob::HeaderIndex);
        let mut count = 0;
        while let Some((&field, rest)) = index.split_first_chunk::<2>() {
            count += usize::from(field == hash);
            (_, index) = leb128(rest)?;
        }
        (count == 1).then_some(value)
    }

    /// Decoded text of a header field, several of one name joined with line feeds; empty if there is none. Behind it are
    /// addresses that comments or white space break in the text, whole.
    pub fn search_text(&self, header: HeaderKind) -> &'a str {
        self.text(match header {
            HeaderKind::Subject => Blob::Subject,
            HeaderKind::From => Blob::From,
            HeaderKind::To => Blob::To,
            HeaderKind::Cc => Blob::Cc,
            HeaderKind::Bcc => Blob::Bcc,
        })
    }

    /// The Message-ID as a hash; `None` if there is no valid one. The hashes of ids that are the same but for quotes are the same.
    pub fn message_id(&self) -> Option<u64> {
        match self.version {
            Version::One => message_id::hash(self.blob_number(version_1::MESSAGE_ID)),
            Version::Two => {
                self.blob(Blob::Ids).first_chunk().map(|&id| u64::from_le_bytes(id)).filter(|&id| id != 0)
            }
        }
    }

    /// Ids of References, or else the first of In-Reply-To (RFC 5256 3), oldest first, as hashes.
    pub fn references(&self) -> impl Iterator<Item = u64> + use<'a> {
        let (texts, ids) = match self.version {
            Version::One => (self.blob_number(version_1::REFERENCES), &[][..]),
            Version::Two => (&[][..], self.blob(Blob::Ids).get(8..).unwrap_or(&[])),
        };
        let (ids, _) = ids.as_chunks::<8>();
        let of_texts = texts.split(|&octet| octet == b'\n').filter_map(message_id::hash);
        ids.iter().map(|&id| u64::from_le_bytes(id)).chain(of_texts)
    }

    /// The id that a thread goes by: of the first message that this one refers to, or its own. It never changes. `None`: there is
    /// none, so it is a thread by itself.
    pub fn thread_root(&self) -> Option<u64> {
        self.references().next().or_else(|| self.message_id())
    }

    /// Appends a key to sort by, prepared for i;unicode-casemap (RFC 5051): keys are compared octet by octet. Whatever the
    /// message does not have appends nothing.
    pub fn sort_key(&self, key: SortKey, out: &mut Vec<u8>) {
        match key {
            SortKey::BaseSubject => self.base_subject(out),
            SortKey::From => self.mailbox_key(0, out),
            SortKey::To => self.mailbox_key(1, out),
            SortKey::Cc => self.mailbox_key(2, out),
            SortKey::DisplayFrom => self.display_key(0, Blob::FromDisplay, out),
            SortKey::DisplayTo => self.display_key(1, Blob::ToDisplay, out),
        }
    }

    /// A hash of the base subject as it is compared; `None` if that is empty.
    pub fn base_subject_hash(&self) -> Option<u64> {
        let mut key = Vec::new();
        self.base_subject(&mut key);
        (!key.is_empty()).then(|| xxh3_64(&key))
    }

    /// Does the subject mark a reply or a forwarded message (RFC 5256 2.1)?
    pub fn is_reply(&self) -> bool {
        match self.version {
            Version::One => subject::base(self.first_subject()).is_reply,
            Version::Two => self.head[1] & FLAG_REPLY != 0,
        }
    }

    fn base_subject(&self, out: &mut Vec<u8>) {
        if self.version == Version::Two {
            let key = self.blob(Blob::BaseSubject);
            if !key.is_empty() {
                out.extend_from_slice(key);
                return;
            }
            if self.head[1] & FLAG_SUBJECT_IN_TEXT != 0 {
                let place = u32_at(self.head, SUBJECT_OFFSET);
                let range = (place & 0xffff) as usize..(place >> 16) as usize;
                keys::push_text(self.text(Blob::Subject).get(range).unwrap_or_default(), out);
                return;
            }
        }
        keys::push_text(&subject::base(self.first_subject()).text, out);
    }

    /// The text of the first Subject field.
    fn first_subject(&self) -> &'a str {
        let text = self.text(Blob::Subject);
        match self.version {
            Version::One => text.split('\n').next().unwrap_or_default(),
            Version::Two => text.get(..u32_at(self.head, SUBJECT_OFFSET) as usize).unwrap_or_default(),
        }
    }

    fn mailbox_key(&self, field: usize, out: &mut Vec<u8>) {
        if let Some(address) = self.first_address(field) {
            keys::push_mailbox(&address, out);
        }
    }

    fn display_key(&self, field: usize, blob: Blob, out: &mut Vec<u8>) {
        let kept = if self.version == Version::Two { self.blob(blob) } else { &[] };
        if !kept.is_empty() {
            out.extend_from_slice(kept);
        } else if let Some(address) = self.first_address(field) {
            keys::push_display(&address, out);
        }
    }

    /// The first address of From (0), To (1) or Cc (2).
    fn first_address(&self, field: usize) -> Option<Address<'a>> {
        let at = match self.version {
            Version::One => envelope::first_addresses(self.envelope())[field],
            Version::Two => u32_at(self.head, ADDRESSES_OFFSET + 4 * field),
        };
        keys::address_at(self.envelope(), at)
    }

    /// The node of a part number.
    fn find(&self, path: &[u32]) -> Option<usize> {
        let mut index = 0;
        let mut is_top = true;
        for &number in path {
            // A message, be it the whole or an enclosed one, numbers the parts of its multipart, or is part 1 itself.
            let kind = self.kind(index)?;
            let message = match kind {
                _ if is_top => index,
                PartKind::Message => index + 1,
                _ => index,
            };
            let is_message = is_top || kind == PartKind::Message;
            index = match self.kind(message)? {
                PartKind::Multipart => self.child(message, number)?,
                _ if is_message && number == 1 => message,
                _ => return None,
            };
            is_top = false;
        }
        Some(index)
    }

    fn child(&self, parent: usize, number: u32) -> Option<usize> {
        let behind = parent.checked_add(self.subtree(parent)?)?;
        let mut index = parent + 1;
        for _ in 1..number {
            index = index.checked_add(self.subtree(index)?)?;
            if index >= behind {
                return None;
            }
        }
        (number > 0 && index < behind).then_some(index)
    }

    fn subtree(&self, index: usize) -> Option<usize> {
        let subtree = u32_at(self.nodes.get(index)?, 16) as usize;
        (subtree > 0).then_some(subtree)
    }

    fn kind(&self, index: usize) -> Option<PartKind> {
        match self.nodes.get(index)?[20] {
            0 => Some(PartKind::Leaf),
            1 => Some(PartKind::Multipart),
            2 => Some(PartKind::Message),
            _ => None,
        }
    }

    fn section_at(&self, index: usize) -> Option<Section<'a>> {
        let node = self.nodes.get(index)?;
        let [header_start, body_start, body_end] = [0, 4, 8].map(|offset| u64::from(u32_at(node, offset)));
        if header_start > body_start || body_start > body_end || body_end > self.size() {
            return None;
        }
        Some(Section {
            header: header_start..body_start,
            body: body_start..body_end,
            lines: u32_at(node, 12),
            kind: self.kind(index)?,
            media: match node[21] {
                0 => Media::Other,
                1 => Media::Text,
                2 => Media::Html,
                3 => Media::Message,
                4 => Media::Multipart,
                _ => return None,
            },
            encoding: match node[22] {
                0 => Encoding::Identity,
                1 => Encoding::Base64,
                2 => Encoding::QuotedPrintable,
                3 => Encoding::Unknown,
                _ => return None,
            },
            charset: match usize::from(node[23]).checked_sub(1) {
                Some(index) => self.text(Blob::Charsets).split_terminator('\n').nth(index)?,
                None => "",
            },
        })
    }

    fn text(&self, blob: Blob) -> &'a str {
        std::str::from_utf8(self.blob(blob)).unwrap_or("")
    }

    fn blob(&self, blob: Blob) -> &'a [u8] {
        self.blob_number(blob as usize)
    }

    fn blob_number(&self, number: usize) -> &'a [u8] {
        let end = |number: usize| u32_at(self.head, self.version.ends_offset() + 4 * number) as usize;
        let start = if number == 0 { 0 } else { end(number - 1) };
        self.blobs.get(start..end(number)).unwrap_or(&[])
    }
}

/// The number at a fixed offset of a fixed layout.
fn u32_at(octets: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes([octets[offset], octets[offset + 1], octets[offset + 2], octets[offset + 3]])
}

fn leb128(octets: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0;
    for (index, &octet) in octets.iter().enumerate().take(5) {
        number |= u32::from(octet & 0x7f).checked_shl(7 * index as u32)?;
        if octet & 0x80 == 0 {
            return Some((number, &octets[index + 1..]));
        }
    }
    None
}
