//! The ESEARCH reply (RFC 4731 section 4, RFC 4466 section 2.6.2), written item by item: an answer may be as long as the mailbox has
//! messages, so that it leaves in pieces.

use super::text;
use crate::imap::command::{Numbering, Tag};
use crate::imap::extension::partial::PartialRange;
use crate::imap::syntax::mailbox_name::write_mailbox;
use crate::imap::syntax::name_encoding::NameEncoding;

/// Which search of which mailbox a reply belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Correlator<'a> {
    /// The tag of the command that searched.
    pub tag: &'a Tag,
    /// The mailbox's name in UTF-8, how it is to be written, and its UIDVALIDITY (RFC 7377 section 2.1); `None` for the selected one and a command that
    /// looks at no other.
    pub mailbox: Option<(&'a str, NameEncoding, u32)>,
}

/// An item with one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberItem {
    /// MIN
    Min,
    /// MAX
    Max,
    /// COUNT
    Count,
    /// MODSEQ (RFC 4731, 3.2): the highest one of the results that are told
    ModSeq,
}

/// Changes to the results of an earlier search (RFC 5267 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// ADDTO
    AddTo,
    /// REMOVEFROM
    RemoveFrom,
}

/// Begins a reply: `* ESEARCH (TAG "…")`, with UID if its numbers are UIDs. [`end`] ends it.
pub fn begin(out: &mut Vec<u8>, correlator: Correlator<'_>, numbering: Numbering) {
    out.extend_from_slice(b"* ESEARCH (TAG \"");
    // What may be in a tag needs no escape.
    out.extend_from_slice(correlator.tag.as_str().as_bytes());
    out.push(b'"');
    if let Some((name, encoding, uid_validity)) = correlator.mailbox {
        out.extend_from_slice(b" MAILBOX ");
        write_mailbox(out, name, encoding);
        out.extend_from_slice(b" UIDVALIDITY ");
        text::number(out, u64::from(uid_validity));
    }
    out.push(b')');
    if numbering == Numbering::Uid {
        out.extend_from_slice(b" UID");
    }
}

/// Appends MIN, MAX, COUNT or MODSEQ.
pub fn number(out: &mut Vec<u8>, item: NumberItem, number: u64) {
    out.extend_from_slice(match item {
        NumberItem::Min => b" MIN ",
        NumberItem::Max => b" MAX ",
        NumberItem::Count => b" COUNT ",
        NumberItem::ModSeq => b" MODSEQ ",
    });
    text::number(out, number);
}

/// Appends ` ALL `. [`ranges`] must follow with at least one.
pub fn all_begin(out: &mut Vec<u8>) {
    out.extend_from_slice(b" ALL ");
}

/// Appends ` PARTIAL (range `. [`ranges`] must follow, or NIL with [`partial_nil`], then [`close`].
pub fn partial_begin(out: &mut Vec<u8>, range: PartialRange) {
    out.extend_from_slice(b" PARTIAL (");
    range.write(out);
    out.push(b' ');
}

/// Appends what stands for no results in PARTIAL.
pub fn partial_nil(out: &mut Vec<u8>) {
    out.extend_from_slice(b"NIL");
}

/// Appends ` ADDTO (position ` or ` REMOVEFROM (position `. [`ranges`] must follow with at least one, then [`update_position`] and
/// ranges again, or [`close`]. Position 0 is wherever mailbox order wants it.
pub fn update_begin(out: &mut Vec<u8>, update: Update, position: u32) {
    out.extend_from_slice(match update {
        Update::AddTo => b" ADDTO (".as_slice(),
        Update::RemoveFrom => b" REMOVEFROM (",
    });
    text::number(out, u64::from(position));
    out.push(b' ');
}

/// Appends another position of an update, with spaces around it.
pub fn update_position(out: &mut Vec<u8>, position: u32) {
    out.push(b' ');
    text::number(out, u64::from(position));
    out.push(b' ');
}

/// Ends PARTIAL, ADDTO or REMOVEFROM.
pub fn close(out: &mut Vec<u8>) {
    out.push(b')');
}

/// Appends ranges in the order given, with a comma before the first if `goes_on`. The first of a range is not above its last.
pub fn ranges(out: &mut Vec<u8>, ranges: &[(u32, u32)], goes_on: bool) {
    for (index, &(first, last)) in ranges.iter().enumerate() {
        if index > 0 || goes_on {
            out.push(b',');
        }
        text::number(out, u64::from(first));
        if first != last {
            out.push(b':');
            text::number(out, u64::from(last));
        }
    }
}

/// Appends ` RELEVANCY (`. [`scores`] may follow, then [`close`] (RFC 6203 section 4).
pub fn relevancy_begin(out: &mut Vec<u8>) {
    out.extend_from_slice(b" RELEVANCY (");
}

/// Appends scores from 1 to 100, with a space before the first if `goes_on`.
pub fn scores(out: &mut Vec<u8>, scores: &[u8], goes_on: bool) {
    for (index, &score) in scores.iter().enumerate() {
        if index > 0 || goes_on {
            out.push(b' ');
        }
        text::number(out, u64::from(score));
    }
}

/// Ends the reply.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;
    use crate::imap::syntax::cursor::Cursor;

    fn written(
        mailbox: Option<(&str, NameEncoding, u32)>,
        numbering: Numbering,
        items: impl Fn(&mut Vec<u8>),
    ) -> String {
        let tag = Tag::new(b"A282").expect("a tag");
        let mut out = Vec::new();
        begin(&mut out, Correlator { tag: &tag, mailbox }, numbering);
        items(&mut out);
        end(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn rfc_4731_examples() {
        let reply = written(None, Numbering::Sequence, |out| {
            number(out, NumberItem::Min, 2);
            number(out, NumberItem::Count, 3);
        });
        assert_eq!(reply, "* ESEARCH (TAG \"A282\") MIN 2 COUNT 3\r\n");
        let reply = written(None, Numbering::Sequence, |out| {
            all_begin(out);
            ranges(out, &[(2, 2), (10, 11)], false);
            ranges(out, &[(21, 22)], true);
        });
        assert_eq!(reply, "* ESEARCH (TAG \"A282\") ALL 2,10:11,21:22\r\n");
        assert_eq!(written(None, Numbering::Uid, |_| {}), "* ESEARCH (TAG \"A282\") UID\r\n");
    }

    #[test]
    fn parts_and_updates() {
        let mut cursor = Cursor::new(b"-1:-100", &Limits::LOGGED_IN);
        let range = PartialRange::parse(&mut cursor).expect("a range");
        let reply = written(None, Numbering::Uid, |out| {
            partial_begin(out, range);
            partial_nil(out);
            close(out);
        });
        assert_eq!(reply, "* ESEARCH (TAG \"A282\") UID PARTIAL (-1:-100 NIL)\r\n");
        let reply = written(None, Numbering::Uid, |out| {
            update_begin(out, Update::RemoveFrom, 0);
            ranges(out, &[(32_768, 32_768)], false);
            close(out);
            update_begin(out, Update::AddTo, 1);
            ranges(out, &[(2733, 2733)], false);
            update_position(out, 1);
            ranges(out, &[(2731, 2732)], false);
            close(out);
        });
        assert_eq!(reply, "* ESEARCH (TAG \"A282\") UID REMOVEFROM (0 32768) ADDTO (1 2733 1 2731:2732)\r\n");
    }

    #[test]
    fn rfc_6203_example() {
        let reply = written(None, Numbering::Sequence, |out| {
            all_begin(out);
            ranges(out, &[(1, 1), (5, 5), (10, 10)], false);
            relevancy_begin(out);
            scores(out, &[4, 99], false);
            scores(out, &[42], true);
            close(out);
        });
        assert_eq!(reply, "* ESEARCH (TAG \"A282\") ALL 1,5,10 RELEVANCY (4 99 42)\r\n");
    }

    #[test]
    fn names_the_mailbox() {
        assert_eq!(
            written(Some(("folder \"1\"", NameEncoding::Utf8, 7)), Numbering::Uid, |out| number(
                out,
                NumberItem::Max,
                9
            )),
            "* ESEARCH (TAG \"A282\" MAILBOX \"folder \\\"1\\\"\" UIDVALIDITY 7) UID MAX 9\r\n"
        );
    }
}
