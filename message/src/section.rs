//! What a section of a message is: its ranges, its encoding, and the names by which a record is asked.

use std::ops::Range;

/// How a part is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// No parts inside.
    Leaf,
    /// A multipart with at least one part.
    Multipart,
    /// A message/rfc822 with a message inside.
    Message,
}

/// What a part of type message/global is (RFC 6532 3.7): a message with UTF-8 in its headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Globals {
    /// A part that is not looked into, as IMAP4rev1 has it.
    #[default]
    Parts,
    /// A message with parts of its own, as message/rfc822 is (RFC 9051 7.5.2).
    Messages,
}

/// Content-Transfer-Encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 7bit, 8bit or binary: the octets are the content.
    Identity,
    /// base64
    Base64,
    /// quoted-printable
    QuotedPrintable,
    /// Anything else: the content cannot be decoded.
    Unknown,
}

/// What SEARCH needs to know of a media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// text/html: text with tags.
    Html,
    /// Any other text.
    Text,
    /// message/rfc822
    Message,
    /// multipart/*
    Multipart,
    /// Anything else.
    Other,
}

/// The last element of a section specification (RFC 3501 6.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionText {
    /// No word: `BODY[]`, `BODY[2.1]`.
    Whole,
    /// `HEADER`; also what HEADER.FIELDS cuts from.
    Header,
    /// `TEXT`
    Text,
    /// `MIME`
    Mime,
}

/// A part and where it lies. Offsets count the message's octets as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Header of the part with its blank line.
    pub header: Range<u64>,
    /// Body of the part, still encoded.
    pub body: Range<u64>,
    /// Line feeds in the body.
    pub lines: u32,
    /// How the part is built.
    pub kind: PartKind,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// Media type, as far as searching cares.
    pub media: Media,
    /// Charset parameter in lower case; empty if there is none.
    pub charset: &'a str,
}

/// Header fields whose decoded text is in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderKind {
    /// Subject
    Subject,
    /// From
    From,
    /// To
    To,
    /// Cc
    Cc,
    /// Bcc
    Bcc,
}

/// Keys of SORT and THREAD that are texts (RFC 5256, RFC 5957).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// Base subject (RFC 5256 2.1).
    BaseSubject,
    /// Local part of the first From address, or name of the group that is first.
    From,
    /// The same of To.
    To,
    /// The same of Cc.
    Cc,
    /// What the first From address is displayed as (RFC 5957 3).
    DisplayFrom,
    /// What the first To address is displayed as.
    DisplayTo,
}
