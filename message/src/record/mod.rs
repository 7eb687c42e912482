//! The record: what the store keeps of an analysis. This file is the one home of its format.
//!
//! A record is read in place and answers without the message. It carries no checksum: the store's directory cell has one. All
//! integers are little-endian. Version 2:
//!
//! ```text
//!   0 version      u8    2
//!   1 flags        u8    bit 0: sent date known, bit 1: subject marks a reply or forward, bit 2: header index is whole,
//!                        bit 3: the base subject stands in the text of Subject
//!   2 zone         i16   minutes east of UTC of the sent date
//!   4 size         u32   octets of the message
//!   8 header size  u32   octets of its header with the blank line
//!  12 body lines   u32   line feeds in its body
//!  16 nodes        u32   how many
//!  20 base subject 2 × u16  where it begins and ends in blob 5, if bit 3 is set; otherwise
//!                  u32   octets of blob 5 that are of the first Subject field
//!  24 sent         i64   seconds since 1970-01-01T00:00:00Z
//!  32 addresses    3 × u32   where the first address of From, To and Cc begins in blob 0; 0: there is none
//!  44 ends         14 × u32  where each blob ends, counted from where the first begins
//! 100 nodes        24 octets each, outer parts before what is inside them, the first the message itself
//!     blobs        one behind the other
//!
//! node                                                   blobs, by number
//!  0 header start u32                                     0 ENVELOPE        1 BODY            2 BODYSTRUCTURE
//!  4 body start   u32   header end as well                3 charset names, each followed by a line feed
//!  8 body end     u32                                     4 header index: a u16 hash of the name and a LEB128
//! 12 lines        u32   line feeds in the body              length for every field of the header
//! 16 subtree      u32   nodes: this one and all inside    5–9 text of Subject, From, To, Cc, Bcc
//! 20 kind         u8    0 leaf, 1 multipart, 2 message   10 ids: u64 each, that of Message-ID (0: none), then References
//! 21 media        u8    0 other, 1 text, 2 html,         11 key of the base subject
//!                       3 message, 4 multipart           12–13 display keys of From and To
//! 22 encoding     u8    0 identity, 1 base64, 2 quoted-printable, 3 unknown
//! 23 charset      u8    0 none, n: name number n of blob 3
//! ```
//!
//! Offsets fit: IMAP has no message of 4 GiB or more. Counts beyond are cut off at the largest number.
//! The hash of a field name is FNV-1a (32 bits) of its octets in lower case, the upper half folded onto the lower by exclusive or.
//!
//! *Ids* are XXH3 (64 bits) of Message-IDs without brackets, quotes and white space, and 1 where that is 0: at most 256 of References, the
//! first and the last ones, or the first of In-Reply-To if there is none (RFC 5256 3).
//!
//! *Keys* (blobs 11–13) are prepared for i;unicode-casemap (RFC 5051). They are there only if the text is not ASCII and the key has at most
//! 256 octets: otherwise they are made, whenever they are asked for, of the text that `base subject` or `addresses` point to.
//!
//! *Version 1* is read as well. It has a head of 96 octets: 0 in place of `base subject`, no `addresses`, and `ends` of 16 blobs at 32. Blobs
//! 0–9 are the same; 10 is the Message-ID's text, 11 those of References, each followed by a line feed. The others are not looked at:
//! they are keys in lower case. All keys are made of blobs 0 and 5, of which the first line counts as the first Subject field.

mod read;
#[cfg(test)]
mod tests;

pub use read::{Damaged, Record};

use crate::analysis::{Analysis, HeaderIndex};
use crate::keys::SubjectKey;
use crate::structure::{self, Form};
use crate::tree::Node;
use crate::{Encoding, Media, PartKind};

const VERSION: u8 = 2;

const FLAG_SENT: u8 = 1;
const FLAG_REPLY: u8 = 2;
const FLAG_INDEX: u8 = 4;
const FLAG_SUBJECT_IN_TEXT: u8 = 8;

const SUBJECT_OFFSET: usize = 20;
const ADDRESSES_OFFSET: usize = 32;
const ENDS_OFFSET: usize = 44;
const HEAD_OCTETS: usize = 100;
const NODE_OCTETS: usize = 24;

/// Blobs in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blob {
    Envelope,
    Body,
    BodyStructure,
    Charsets,
    HeaderIndex,
    Subject,
    From,
    To,
    Cc,
    Bcc,
    Ids,
    BaseSubject,
    FromDisplay,
    ToDisplay,
}

const BLOBS: usize = Blob::ToDisplay as usize + 1;

const _: () = assert!(ENDS_OFFSET + 4 * BLOBS == HEAD_OCTETS);

/// What version 1 has at other places.
mod version_1 {
    pub(super) const VERSION: u8 = 1;
    pub(super) const HEAD_OCTETS: usize = 96;
    pub(super) const ENDS_OFFSET: usize = 32;
    pub(super) const BLOBS: usize = 16;
    pub(super) const MESSAGE_ID: usize = 10;
    pub(super) const REFERENCES: usize = 11;
}

/// Encodes an analysis as a record.
pub fn encode(analysis: &Analysis) -> Vec<u8> {
    let facts = &analysis.facts;
    let texts: usize = facts.texts.iter().map(String::len).sum();
    let mut writer =
        Writer { out: Vec::with_capacity(512 + facts.envelope.len() + 2 * analysis.arena.len() + texts) };
    writer.head(analysis);
    analysis.nodes.iter().for_each(|node| writer.node(node));

    let start = writer.out.len();
    let mut blob = 0;
    let mut end_blob = |out: &mut Vec<u8>| {
        let end = clip((out.len() - start) as u64).to_le_bytes();
        out[ENDS_OFFSET + 4 * blob..][..4].copy_from_slice(&end);
        blob += 1;
    };
    let out = &mut writer.out;
    out.extend_from_slice(&facts.envelope);
    end_blob(out);
    structure::write(analysis, Form::Body, out);
    end_blob(out);
    structure::write(analysis, Form::BodyStructure, out);
    end_blob(out);
    analysis.charsets.iter().skip(1).for_each(|name| line(out, name));
    end_blob(out);
    if let HeaderIndex::Whole(fields) = &facts.index {
        for &(hash, octets) in fields {
            out.extend_from_slice(&hash.to_le_bytes());
            leb128(out, octets);
        }
    }
    end_blob(out);
    for text in &facts.texts {
        out.extend_from_slice(text.as_bytes());
        end_blob(out);
    }
    for id in std::iter::once(&facts.message_id).chain(&facts.references) {
        out.extend_from_slice(&id.to_le_bytes());
    }
    end_blob(out);
    if let SubjectKey::Prepared(key) = &facts.keys.subject {
        out.extend_from_slice(key.as_bytes());
    }
    end_blob(out);
    for key in &facts.keys.display {
        out.extend_from_slice(key.as_bytes());
        end_blob(out);
    }
    writer.out
}

struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn head(&mut self, analysis: &Analysis) {
        let facts = &analysis.facts;
        let mut flags = 0;
        if facts.sent.is_some() {
            flags |= FLAG_SENT;
        }
        if facts.keys.is_reply {
            flags |= FLAG_REPLY;
        }
        if matches!(facts.index, HeaderIndex::Whole(_)) {
            flags |= FLAG_INDEX;
        }
        let subject = match facts.keys.subject {
            SubjectKey::InText(ref range) => {
                flags |= FLAG_SUBJECT_IN_TEXT;
                u64::from(range.start) | u64::from(range.end) << 16
            }
            SubjectKey::OfText(octets) => u64::from(octets),
            SubjectKey::Prepared(_) => 0,
        };
        let (seconds, zone_minutes) = facts.sent.map_or((0, 0), |sent| (sent.seconds, sent.zone_minutes));
        let (header_size, lines) = analysis.nodes.first().map_or((0, 0), |top| (top.body_start, top.lines));
        self.out.extend_from_slice(&[VERSION, flags]);
        self.out.extend_from_slice(&zone_minutes.to_le_bytes());
        for number in [analysis.size, header_size, lines, analysis.nodes.len() as u64, subject] {
            self.u32(number);
        }
        self.out.extend_from_slice(&seconds.to_le_bytes());
        facts.keys.addresses.iter().for_each(|&at| self.u32(u64::from(at)));
        self.out.resize(HEAD_OCTETS, 0);
    }

    fn node(&mut self, node: &Node) {
        for number in [node.header_start, node.body_start, node.body_end, node.lines, u64::from(node.subtree)]
        {
            self.u32(number);
        }
        let kind = match node.kind {
            PartKind::Leaf => 0,
            PartKind::Multipart => 1,
            PartKind::Message => 2,
        };
        let media = match node.media {
            Media::Other => 0,
            Media::Text => 1,
            Media::Html => 2,
            Media::Message => 3,
            Media::Multipart => 4,
        };
        let encoding = match node.encoding {
            Encoding::Identity => 0,
            Encoding::Base64 => 1,
            Encoding::QuotedPrintable => 2,
            Encoding::Unknown => 3,
        };
        self.out.extend_from_slice(&[kind, media, encoding, node.charset]);
    }

    fn u32(&mut self, number: u64) {
        self.out.extend_from_slice(&clip(number).to_le_bytes());
    }
}

fn clip(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn line(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(b'\n');
}

fn leb128(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
