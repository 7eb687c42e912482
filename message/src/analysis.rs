//! What one pass over a message found out, before it is encoded.

use crate::address::{self, Item};
use crate::envelope;
use crate::header::{Fields, Known, KnownFields};
use crate::keys::Keys;
use crate::limits::HEADER_INDEX_MAX;
use crate::search::decode_header_text;
use crate::sent_date::SentDate;
use crate::tree::Node;
use crate::{HeaderKind, message_id};

/// Addresses of one field name that are added to its text because it does not have them in one piece.
const BROKEN_ADDRESSES_MAX: usize = 64;

/// Everything a record says. Made by a [`Scanner`](crate::Scanner), encoded by [`encode`](crate::encode).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    pub(crate) size: u64,
    /// In the order of the tree; the first is the message itself.
    pub(crate) nodes: Vec<Node>,
    /// What the pieces of the nodes are ranges of.
    pub(crate) arena: Vec<u8>,
    /// Charset names, the first empty.
    pub(crate) charsets: Vec<Vec<u8>>,
    pub(crate) facts: Facts,
}

/// What the top-level header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) envelope: Vec<u8>,
    pub(crate) sent: Option<SentDate>,
    /// In the order of [`SEARCHED`].
    pub(crate) texts: [String; SEARCHED.len()],
    /// Hash of Message-ID; 0 if there is none.
    pub(crate) message_id: u64,
    pub(crate) references: Vec<u64>,
    pub(crate) keys: Keys,
    pub(crate) index: HeaderIndex,
}

/// The headers whose text a record has.
pub(crate) const SEARCHED: [(HeaderKind, Known); 5] = [
    (HeaderKind::Subject, Known::Subject),
    (HeaderKind::From, Known::From),
    (HeaderKind::To, Known::To),
    (HeaderKind::Cc, Known::Cc),
    (HeaderKind::Bcc, Known::Bcc),
];

/// Which fields the header has, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderIndex {
    /// Hash of the name and length in octets of every field, in order. A line that is no field has the hash of no name.
    Whole(Vec<(u16, u32)>),
    /// There are more fields than an index holds.
    TooLong,
}

impl Default for HeaderIndex {
    fn default() -> Self {
        HeaderIndex::Whole(Vec::new())
    }
}

impl HeaderIndex {
    fn add(&mut self, name: &[u8], octets: usize) {
        let HeaderIndex::Whole(fields) = self else { return };
        match u32::try_from(octets) {
            Ok(octets) if fields.len() < HEADER_INDEX_MAX => fields.push((name_hash(name), octets)),
            _ => *self = HeaderIndex::TooLong,
        }
    }
}

/// Hash of a field name without regard to case. Part of the record format.
pub(crate) fn name_hash(name: &[u8]) -> u16 {
    let hash = name.iter().fold(0x811c_9dc5_u32, |hash, octet| {
        (hash ^ u32::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    });
    (hash ^ (hash >> 16)) as u16
}

impl Facts {
    /// Reads the top-level header. `is_whole`: nothing of it was left out.
    pub(crate) fn read(header: &[u8], is_whole: bool) -> (Self, KnownFields<'_>) {
        let mut fields = KnownFields::default();
        let mut index = if is_whole { HeaderIndex::default() } else { HeaderIndex::TooLong };
        for field in Fields::new(header) {
            index.add(field.name, field.raw.len());
            fields.add(field);
        }
        let mut envelope = Vec::with_capacity(512);
        envelope::write(&fields, &mut envelope);
        let texts = SEARCHED.map(|(kind, known)| {
            let mut text = text(&fields, known);
            if kind != HeaderKind::Subject {
                add_broken_addresses(&fields, known, &mut text);
            }
            text
        });
        let keys = Keys::of(&fields, &texts[0], &envelope);
        let facts = Facts {
            envelope,
            sent: fields.first(Known::Date).and_then(SentDate::parse),
            message_id: fields.first(Known::MessageId).map_or(0, message_id::of_field),
            references: message_id::references(&fields),
            keys,
            texts,
            index,
        };
        (facts, fields)
    }
}

fn text(fields: &KnownFields<'_>, known: Known) -> String {
    let mut values = fields.all(known).map(decode_header_text);
    let mut text = values.next().unwrap_or_default();
    for value in values {
        text.push('\n');
        text.push_str(&value);
    }
    text
}

/// A search for an address is one in the envelope (RFC 3501, 6.4.4), which has it without comments and white space. So an address
/// that is broken by such is put behind the text, once more and whole.
fn add_broken_addresses(fields: &KnownFields<'_>, known: Known, text: &mut String) {
    let as_written = text.len();
    let mut looked_through = 0;
    let mut added = 0;
    for raw in fields.all(known).filter(|raw| may_break_addresses(raw)) {
        address::parse(raw, &mut |item| {
            let Item::Mailbox { local_part, domain, .. } = item else { return };
            if domain.is_empty() || added == BROKEN_ADDRESSES_MAX {
                return;
            }
            let whole =
                format!("{}@{}", String::from_utf8_lossy(local_part), String::from_utf8_lossy(domain));
            // Addresses come in the order of the text, so nothing of it is looked through twice but for the broken ones.
            match text.get(looked_through..as_written).and_then(|rest| rest.find(&whole)) {
                Some(at) => looked_through += at + whole.len(),
                None => {
                    text.push('\n');
                    text.push_str(&whole);
                    added += 1;
                }
            }
        });
    }
}

/// Whether there may be a comment or white space within an address.
fn may_break_addresses(raw: &[u8]) -> bool {
    memchr::memchr(b'(', raw).is_some()
        || memchr::memchr_iter(b'@', raw).any(|at| {
            let is_white = |octet: Option<&u8>| octet.is_some_and(u8::is_ascii_whitespace);
            is_white(raw.get(at + 1)) || is_white(at.checked_sub(1).and_then(|before| raw.get(before)))
        })
}
