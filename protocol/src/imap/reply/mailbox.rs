//! Replies about mailboxes (RFC 3501 sections 7.2 to 7.4): FLAGS, EXISTS, RECENT, EXPUNGE, LIST, LSUB, STATUS, SEARCH,
//! NAMESPACE.

use super::text;
use crate::imap::command::status::StatusItem;
use crate::imap::extension::special_use::SpecialUse;
use crate::imap::syntax::flag::SystemFlags;
use crate::imap::syntax::mailbox_name::{HIERARCHY_DELIMITER, write_mailbox};
use crate::imap::syntax::name_encoding::NameEncoding;
use crate::imap::syntax::string;

/// Appends `(` flags `)`, without a line end.
pub fn flag_list<'a>(out: &mut Vec<u8>, system: SystemFlags, keywords: impl IntoIterator<Item = &'a str>) {
    out.push(b'(');
    let start = out.len();
    let system = SystemFlags::NAMES.iter().filter(|(flag, _)| system.contains(*flag)).map(|(_, name)| *name);
    for name in system.chain(keywords) {
        if out.len() > start {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
    }
    out.push(b')');
}

/// Appends `* FLAGS (flags)`.
pub fn flags<'a>(out: &mut Vec<u8>, system: SystemFlags, keywords: impl IntoIterator<Item = &'a str>) {
    out.extend_from_slice(b"* FLAGS ");
    flag_list(out, system, keywords);
    out.extend_from_slice(b"\r\n");
}

/// Appends `* n EXISTS`.
pub fn exists(out: &mut Vec<u8>, messages: u32) {
    numbered(out, messages, b" EXISTS\r\n");
}

/// Appends `* n RECENT`.
pub fn recent(out: &mut Vec<u8>, messages: u32) {
    numbered(out, messages, b" RECENT\r\n");
}

/// Appends `* n EXPUNGE`, `n` being a sequence number.
pub fn expunge(out: &mut Vec<u8>, sequence: u32) {
    numbered(out, sequence, b" EXPUNGE\r\n");
}

fn numbered(out: &mut Vec<u8>, number: u32, rest: &[u8]) {
    out.extend_from_slice(b"* ");
    text::number(out, u64::from(number));
    out.extend_from_slice(rest);
}

/// An attribute of a name in LIST and LSUB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListAttribute {
    /// `\Noselect`
    NoSelect,
    /// `\NoAccess` (RFC 5465): it is there, but may not be read.
    NoAccess,
    /// `\Noinferiors`
    NoInferiors,
    /// `\Marked`
    Marked,
    /// `\Unmarked`
    Unmarked,
    /// `\HasChildren` (RFC 3348)
    HasChildren,
    /// `\HasNoChildren` (RFC 3348)
    HasNoChildren,
    /// `\NonExistent` (RFC 5258): it means `\Noselect` too.
    NonExistent,
    /// `\Subscribed` (RFC 5258)
    Subscribed,
    /// A special use (RFC 6154).
    SpecialUse(SpecialUse),
}

impl ListAttribute {
    /// The attribute with its backslash.
    pub fn name(self) -> &'static str {
        match self {
            ListAttribute::NoSelect => "\\Noselect",
            ListAttribute::NoAccess => "\\NoAccess",
            ListAttribute::NoInferiors => "\\Noinferiors",
            ListAttribute::Marked => "\\Marked",
            ListAttribute::Unmarked => "\\Unmarked",
            ListAttribute::HasChildren => "\\HasChildren",
            ListAttribute::HasNoChildren => "\\HasNoChildren",
            ListAttribute::NonExistent => "\\NonExistent",
            ListAttribute::Subscribed => "\\Subscribed",
            ListAttribute::SpecialUse(special_use) => special_use.attribute(),
        }
    }
}

/// Which command a list is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// LIST
    List,
    /// LSUB
    Lsub,
}

/// Appends `* LIST (attributes) "/" name`. The name is in UTF-8.
pub fn list(
    out: &mut Vec<u8>,
    kind: ListKind,
    attributes: impl IntoIterator<Item = ListAttribute>,
    name: &str,
    extended: Extended<'_>,
    encoding: NameEncoding,
) {
    out.extend_from_slice(match kind {
        ListKind::List => b"* LIST (".as_slice(),
        ListKind::Lsub => b"* LSUB (",
    });
    for (index, attribute) in attributes.into_iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(attribute.name().as_bytes());
    }
    out.extend_from_slice(b") \"");
    out.push(HIERARCHY_DELIMITER as u8);
    out.extend_from_slice(b"\" ");
    write_mailbox(out, name, encoding);
    match extended {
        Extended::None => {}
        Extended::ChildSubscribed => out.extend_from_slice(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))"),
        Extended::OldName(old_name) => {
            out.extend_from_slice(b" (\"OLDNAME\" (");
            // In quotes, as in the RFC, though it may be an atom.
            match encoding {
                NameEncoding::Utf8 => string::write_utf8(out, old_name, encoding),
                NameEncoding::ModifiedUtf7 => write_mailbox(out, old_name, encoding),
            }
            out.extend_from_slice(b"))");
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// An extended data item of a LIST reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extended<'a> {
    /// There is none.
    None,
    /// CHILDINFO: RECURSIVEMATCH with SUBSCRIBED found a child that the client does not see (RFC 9051 section 6.3.9.6).
    ChildSubscribed,
    /// OLDNAME: what the mailbox was called, or what the client called it (RFC 9051 section 6.3.9.7).
    OldName(&'a str),
}

/// Appends the answer to `LIST "" ""`: the hierarchy delimiter.
pub fn list_delimiter(out: &mut Vec<u8>) {
    list(out, ListKind::List, [ListAttribute::NoSelect], "", Extended::None, NameEncoding::ModifiedUtf7);
}

/// The value of a STATUS item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusValue<'a> {
    /// A number.
    Number(u64),
    /// An identifier, which is written in parentheses (RFC 8474 section 4.3).
    Identifier(&'a str),
}

/// Appends `* STATUS name (items)`. The name is in UTF-8.
pub fn status<'a>(
    out: &mut Vec<u8>,
    name: &str,
    encoding: NameEncoding,
    items: impl IntoIterator<Item = (StatusItem, StatusValue<'a>)>,
) {
    out.extend_from_slice(b"* STATUS ");
    write_mailbox(out, name, encoding);
    out.extend_from_slice(b" (");
    for (index, (item, value)) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(item.name().as_bytes());
        out.push(b' ');
        match value {
            StatusValue::Number(number) => text::number(out, number),
            StatusValue::Identifier(identifier) => {
                out.push(b'(');
                out.extend_from_slice(identifier.as_bytes());
                out.push(b')');
            }
        }
    }
    out.extend_from_slice(b")\r\n");
}

/// Appends `* SEARCH numbers`; there may be none.
pub fn search(out: &mut Vec<u8>, numbers: impl IntoIterator<Item = u32>) {
    search_begin(out);
    for number in numbers {
        search_number(out, number);
    }
    search_end(out);
}

/// Begins a SEARCH reply that is written piece by piece.
pub fn search_begin(out: &mut Vec<u8>) {
    out.extend_from_slice(b"* SEARCH");
}

/// Appends one number to a SEARCH reply.
pub fn search_number(out: &mut Vec<u8>, number: u32) {
    out.push(b' ');
    text::number(out, u64::from(number));
}

/// Appends the highest modification sequence of the messages found (RFC 7162 section 3.1.6).
pub fn search_modseq(out: &mut Vec<u8>, modseq: u64) {
    out.extend_from_slice(b" (MODSEQ ");
    text::number(out, modseq);
    out.push(b')');
}

/// Ends a SEARCH reply.
pub fn search_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Appends the NAMESPACE reply of a server with one personal namespace, which has no prefix, and one of other users (RFC 2342). The
/// prefix is in UTF-8, and ends with the hierarchy delimiter.
pub fn namespace(out: &mut Vec<u8>, others: &str, encoding: NameEncoding) {
    out.extend_from_slice(b"* NAMESPACE ((\"\" \"");
    out.push(HIERARCHY_DELIMITER as u8);
    out.extend_from_slice(b"\")) ((");
    let mut prefix = Vec::with_capacity(others.len() + 2);
    write_mailbox(&mut prefix, others, encoding);
    // RFC 9051, 9: a prefix is a string, so never without quotes.
    if matches!(prefix.first(), Some(b'"' | b'{')) {
        out.append(&mut prefix);
    } else {
        out.push(b'"');
        out.append(&mut prefix);
        out.push(b'"');
    }
    out.extend_from_slice(b" \"");
    out.push(HIERARCHY_DELIMITER as u8);
    out.extend_from_slice(b"\")) NIL\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn numbers_and_flags() {
        assert_eq!(written(|out| exists(out, 23)), "* 23 EXISTS\r\n");
        assert_eq!(written(|out| recent(out, 0)), "* 0 RECENT\r\n");
        assert_eq!(written(|out| expunge(out, 44)), "* 44 EXPUNGE\r\n");
        assert_eq!(written(|out| search(out, [2, 84, 882])), "* SEARCH 2 84 882\r\n");
        assert_eq!(written(|out| search(out, [])), "* SEARCH\r\n");
        assert_eq!(
            written(|out| flags(out, SystemFlags::ALL, ["$Junk"])),
            "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk)\r\n"
        );
    }

    #[test]
    fn names_and_attributes() {
        let attributes = [ListAttribute::HasNoChildren, ListAttribute::SpecialUse(SpecialUse::Sent)];
        assert_eq!(
            written(|out| list(
                out,
                ListKind::List,
                attributes,
                "Übung & so",
                Extended::None,
                NameEncoding::ModifiedUtf7
            )),
            "* LIST (\\HasNoChildren \\Sent) \"/\" \"&ANw-bung &- so\"\r\n"
        );
        assert_eq!(
            written(|out| list(out, ListKind::List, [], "a", Extended::ChildSubscribed, NameEncoding::Utf8)),
            "* LIST () \"/\" a (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
        );
        assert_eq!(
            written(|out| list(out, ListKind::Lsub, [], "INBOX", Extended::None, NameEncoding::Utf8)),
            "* LSUB () \"/\" INBOX\r\n"
        );
        assert_eq!(written(list_delimiter), "* LIST (\\Noselect) \"/\" \"\"\r\n");
        assert_eq!(
            written(|out| status(
                out,
                "blurdybloop",
                NameEncoding::Utf8,
                [
                    (StatusItem::Messages, StatusValue::Number(231)),
                    (StatusItem::MailboxId, StatusValue::Identifier("F2212ea87"))
                ]
            )),
            "* STATUS blurdybloop (MESSAGES 231 MAILBOXID (F2212ea87))\r\n"
        );
        assert_eq!(
            written(|out| list(
                out,
                ListKind::List,
                [],
                "ü",
                Extended::OldName("u\u{308}"),
                NameEncoding::Utf8
            )),
            "* LIST () \"/\" \"ü\" (\"OLDNAME\" (\"u\u{308}\"))\r\n"
        );
        let others = |prefix| written(|out| namespace(out, prefix, NameEncoding::ModifiedUtf7));
        assert_eq!(others("Other Users/"), "* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL\r\n");
        assert_eq!(others("~/"), "* NAMESPACE ((\"\" \"/\")) ((\"~/\" \"/\")) NIL\r\n");
    }
}
