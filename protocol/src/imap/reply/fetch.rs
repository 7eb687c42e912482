//! FETCH replies (RFC 3501 section 7.4.2), item by item, so that a reply of any size can be written in pieces.
//!
//! ```text
//! begin(out, 12); flags(…); uid(…); section_header(out, &item, 342); … 342 octets … ; end(out)
//! ```
//!
//! A literal's octets follow its header directly, written by the caller or sent from a file.

use super::mailbox::flag_list;
use super::text;
use crate::imap::command::fetch::{FetchItem, SectionItem};
use crate::imap::extension::gmail::GmailItem;
use crate::imap::extension::preview::Urgency;
use crate::imap::syntax::date::DateTime;
use crate::imap::syntax::flag::SystemFlags;

/// Appends `* n FETCH (`.
pub fn begin(out: &mut Vec<u8>, sequence: u32) {
    out.extend_from_slice(b"* ");
    text::number(out, u64::from(sequence));
    out.extend_from_slice(b" FETCH (");
}

/// Appends `* uid UIDFETCH (` (RFC 9586 section 3.3).
pub fn begin_by_uid(out: &mut Vec<u8>, uid: u32) {
    out.extend_from_slice(b"* ");
    text::number(out, u64::from(uid));
    out.extend_from_slice(b" UIDFETCH (");
}

/// Appends `)` and the line end.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b")\r\n");
}

/// Appends the space between two items. Call it before every item but the first.
pub fn separate(out: &mut Vec<u8>) {
    out.push(b' ');
}

/// Appends `FLAGS (…)`.
pub fn flags<'a>(out: &mut Vec<u8>, system: SystemFlags, keywords: impl IntoIterator<Item = &'a str>) {
    out.extend_from_slice(b"FLAGS ");
    flag_list(out, system, keywords);
}

/// Appends `UID n`.
pub fn uid(out: &mut Vec<u8>, uid: u32) {
    out.extend_from_slice(b"UID ");
    text::number(out, u64::from(uid));
}

/// Appends `MODSEQ (n)` (RFC 7162 section 3.1.4.2).
pub fn modseq(out: &mut Vec<u8>, modseq: u64) {
    out.extend_from_slice(b"MODSEQ (");
    text::number(out, modseq);
    out.push(b')');
}

/// Appends `INTERNALDATE "…"`, seen in a zone `zone_minutes` east of UTC.
pub fn internal_date(out: &mut Vec<u8>, unix_seconds: i64, zone_minutes: i16) {
    out.extend_from_slice(b"INTERNALDATE ");
    DateTime::from_unix_seconds(unix_seconds, zone_minutes).write(out);
}

/// Appends `RFC822.SIZE n`.
pub fn size(out: &mut Vec<u8>, octets: u64) {
    out.extend_from_slice(b"RFC822.SIZE ");
    text::number(out, octets);
}

/// Appends `ENVELOPE (…)`, which is given in wire form with its parentheses.
pub fn envelope(out: &mut Vec<u8>, wire: &[u8]) {
    out.extend_from_slice(b"ENVELOPE ");
    out.extend_from_slice(wire);
}

/// Appends `BODY (…)`, which is given in wire form with its parentheses.
pub fn body(out: &mut Vec<u8>, wire: &[u8]) {
    out.extend_from_slice(b"BODY ");
    out.extend_from_slice(wire);
}

/// Appends `BODYSTRUCTURE (…)`, which is given in wire form with its parentheses.
pub fn body_structure(out: &mut Vec<u8>, wire: &[u8]) {
    out.extend_from_slice(b"BODYSTRUCTURE ");
    out.extend_from_slice(wire);
}

/// Appends `BODY[…]<start> {length}` and its line end. `length` octets must follow.
pub fn section_header(out: &mut Vec<u8>, item: &SectionItem, length: u64) {
    section_name(out, b"BODY", item);
    text::literal_header(out, length);
}

/// Appends an item with NIL for its value: it could not be read.
pub fn nil(out: &mut Vec<u8>, item: &FetchItem) {
    out.extend_from_slice(match item {
        FetchItem::Flags => b"FLAGS ()".as_slice(),
        FetchItem::Uid => b"UID NIL",
        FetchItem::InternalDate => b"INTERNALDATE NIL",
        FetchItem::Rfc822Size => b"RFC822.SIZE NIL",
        FetchItem::Envelope => b"ENVELOPE NIL",
        FetchItem::Body => b"BODY NIL",
        FetchItem::BodyStructure => b"BODYSTRUCTURE NIL",
        FetchItem::ModSeq => b"MODSEQ NIL",
        FetchItem::Rfc822 => b"RFC822 NIL",
        FetchItem::Rfc822Header => b"RFC822.HEADER NIL",
        FetchItem::Rfc822Text => b"RFC822.TEXT NIL",
        FetchItem::Section(item) => return section_nil(out, item),
        FetchItem::Binary(item) => return super::binary::nil(out, item),
        FetchItem::BinarySize(section) => return super::binary::size(out, section, 0),
        FetchItem::EmailId => b"EMAILID NIL",
        FetchItem::ThreadId => b"THREADID NIL",
        FetchItem::SaveDate => b"SAVEDATE NIL",
        // RFC 8970 section 3.2: NIL only to who is not in a hurry.
        FetchItem::Preview(Urgency::Waits) => b"PREVIEW \"\"",
        FetchItem::Preview(Urgency::Lazy) => b"PREVIEW NIL",
        FetchItem::Annotation(_) => b"ANNOTATION ()",
        FetchItem::Gmail(GmailItem::MessageNumber) => b"X-GM-MSGID NIL",
        FetchItem::Gmail(GmailItem::ThreadNumber) => b"X-GM-THRID NIL",
        FetchItem::Gmail(GmailItem::Labels) => b"X-GM-LABELS ()",
    });
}

/// Appends `BODY[…] NIL`: the message has no such part.
pub fn section_nil(out: &mut Vec<u8>, item: &SectionItem) {
    section_name(out, b"BODY", item);
    out.extend_from_slice(b"NIL");
}

/// Appends `ITEM[…]<start> `, the item being BODY or BINARY.
pub(super) fn section_name(out: &mut Vec<u8>, name: &[u8], item: &SectionItem) {
    out.extend_from_slice(name);
    item.section.write(out);
    if let Some(partial) = item.partial {
        out.push(b'<');
        text::number(out, partial.start);
        out.push(b'>');
    }
    out.push(b' ');
}

/// The items that are answered under a name from RFC 822.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rfc822Name {
    /// RFC822
    Message,
    /// RFC822.HEADER
    Header,
    /// RFC822.TEXT
    Text,
}

/// Appends `RFC822 {length}`, or one of its kind, and the line end. `length` octets must follow.
pub fn rfc822_header(out: &mut Vec<u8>, name: Rfc822Name, length: u64) {
    out.extend_from_slice(match name {
        Rfc822Name::Message => b"RFC822 ".as_slice(),
        Rfc822Name::Header => b"RFC822.HEADER ",
        Rfc822Name::Text => b"RFC822.TEXT ",
    });
    text::literal_header(out, length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::syntax::section::{Partial, Section, SectionText};

    #[test]
    fn a_reply_of_every_item() {
        let mut out = Vec::new();
        begin(&mut out, 12);
        flags(&mut out, SystemFlags::SEEN, ["$Label1"]);
        separate(&mut out);
        uid(&mut out, 7);
        separate(&mut out);
        internal_date(&mut out, 837_596_665, -420);
        separate(&mut out);
        size(&mut out, 4286);
        separate(&mut out);
        envelope(&mut out, b"(NIL)");
        separate(&mut out);
        body(&mut out, b"(b)");
        separate(&mut out);
        body_structure(&mut out, b"(s)");
        separate(&mut out);
        let fields = vec![b"From".to_vec(), b"a b".to_vec()];
        let section = Section { part: vec![4, 1], text: Some(SectionText::HeaderFieldsNot(fields)) };
        let item = SectionItem { section, partial: Some(Partial { start: 5, length: 9 }), peek: true };
        section_header(&mut out, &item, 3);
        out.extend_from_slice(b"abc ");
        section_nil(&mut out, &SectionItem { section: Section::default(), partial: None, peek: false });
        separate(&mut out);
        rfc822_header(&mut out, Rfc822Name::Text, 0);
        end(&mut out);
        assert_eq!(
            String::from_utf8(out).expect("ASCII"),
            "* 12 FETCH (FLAGS (\\Seen $Label1) UID 7 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 4286 \
             ENVELOPE (NIL) BODY (b) BODYSTRUCTURE (s) BODY[4.1.HEADER.FIELDS.NOT (From \"a b\")]<5> {3}\r\nabc \
             BODY[] NIL RFC822.TEXT {0}\r\n)\r\n"
        );
    }
}
