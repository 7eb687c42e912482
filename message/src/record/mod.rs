//! The record: what the store keeps of an analysis. This file is the one home of its format.
//!
//! A record is read in place and answers without the message. It carries no checksum: the store's directory cell has one. All
//! integers are little-endian. Version 1:
//!
//! ```text
//!  0 version      u8    1
//!  1 flags        u8    bit 0: sent date known, bit 1: subject marks a reply or forward, bit 2: header index is whole
//!  2 zone         i16   minutes east of UTC of the sent date
//!  4 size         u32   octets of the message
//!  8 header size  u32   octets of its header with the blank line
//! 12 body lines   u32   line feeds in its body
//! 16 nodes        u32   how many
//! 20 reserved     u32   0
//! 24 sent         i64   seconds since 1970-01-01T00:00:00Z
//! 32 ends         16 × u32   where each blob ends, counted from where the first begins
//! 96 nodes        24 octets each, outer parts before what is inside them, the first the message itself
//!    blobs        one behind the other
//!
//! node                                                   blobs, by number
//!  0 header start u32                                     0 ENVELOPE        1 BODY            2 BODYSTRUCTURE
//!  4 body start   u32   header end as well                3 charset names, each followed by a line feed
//!  8 body end     u32                                     4 header index: a u16 hash of the name and a LEB128
//! 12 lines        u32   line feeds in the body              length for every field of the header
//! 16 subtree      u32   nodes: this one and all inside    5–9 text of Subject, From, To, Cc, Bcc
//! 20 kind         u8    0 leaf, 1 multipart, 2 message   10 Message-ID      11 references, each followed by a line feed
//! 21 media        u8    0 other, 1 text, 2 html,         12 base subject
//!                       3 message, 4 multipart           13–15 local part of the first From, To, Cc address
//! 22 encoding     u8    0 identity, 1 base64, 2 quoted-printable, 3 unknown
//! 23 charset      u8    0 none, n: name number n of blob 3
//! ```
//!
//! Offsets fit: IMAP has no message of 4 GiB or more. Counts beyond are cut off at the largest number.
//! The hash of a field name is FNV-1a (32 bits) of its octets in lower case, the upper half folded onto the lower by exclusive or.

mod read;
#[cfg(test)]
mod tests;

pub use read::{Damaged, Record};

use crate::analysis::{Analysis, HeaderIndex};
use crate::structure::{self, Form};
use crate::tree::Node;
use crate::{Encoding, Media, PartKind};

const VERSION: u8 = 1;

const FLAG_SENT: u8 = 1;
const FLAG_REPLY: u8 = 2;
const FLAG_INDEX: u8 = 4;

const HEAD_OCTETS: usize = 96;
const ENDS_OFFSET: usize = 32;
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
    MessageId,
    References,
    BaseSubject,
    FromLocalPart,
    ToLocalPart,
    CcLocalPart,
}

const BLOBS: usize = Blob::CcLocalPart as usize + 1;

const _: () = assert!(ENDS_OFFSET + 4 * BLOBS == HEAD_OCTETS);

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
    out.extend_from_slice(facts.message_id.as_bytes());
    end_blob(out);
    facts.references.iter().for_each(|id| line(out, id.as_bytes()));
    end_blob(out);
    out.extend_from_slice(facts.base_subject.as_bytes());
    end_blob(out);
    for local_part in &facts.local_parts {
        out.extend_from_slice(local_part.as_bytes());
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
        if facts.is_reply {
            flags |= FLAG_REPLY;
        }
        if matches!(facts.index, HeaderIndex::Whole(_)) {
            flags |= FLAG_INDEX;
        }
        let (seconds, zone_minutes) = facts.sent.map_or((0, 0), |sent| (sent.seconds, sent.zone_minutes));
        let (header_size, lines) = analysis.nodes.first().map_or((0, 0), |top| (top.body_start, top.lines));
        self.out.extend_from_slice(&[VERSION, flags]);
        self.out.extend_from_slice(&zone_minutes.to_le_bytes());
        for number in [analysis.size, header_size, lines, analysis.nodes.len() as u64, 0] {
            self.u32(number);
        }
        self.out.extend_from_slice(&seconds.to_le_bytes());
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
