//! What is said of a literal that is longer than any the command may have: where an extension has its own words for a value that is too
//! large, those, whatever the octets would have been. Called by the decoder at the literal's size.

use super::LITERAL_TOO_LONG;
use crate::imap::command::{self, Tag};
use crate::imap::limits::{ANNOTATION_VALUE_MAX, Limits, METADATA_VALUE_MAX};
use crate::imap::syntax::cursor::{Cursor, Fault, FaultKind};
use crate::imap::syntax::string;

const NO_VALUE: Fault = Fault::limit(LITERAL_TOO_LONG);

/// For a literal of `length` octets of the command that begins with `head`, which ends before the literal's size.
pub(super) fn in_command(head: &[u8], length: u64, limits: &Limits) -> Fault {
    let mut cursor = Cursor::new(head, limits);
    if Tag::parse(&mut cursor).is_none() {
        return NO_VALUE;
    }
    match command::parse_name(&mut cursor).as_ref().map(|name| name.as_bytes()) {
        Ok(b"STORE") => in_annotations(head, length),
        Ok(b"UID") if command::parse_name(&mut cursor).is_ok_and(|name| name.as_bytes() == b"STORE") => {
            in_annotations(head, length)
        }
        Ok(b"SETMETADATA") if length > METADATA_VALUE_MAX as u64 && is_among_entries(&mut cursor) => {
            Fault { text: "The value is too long", kind: FaultKind::MetadataTooBig }
        }
        _ => NO_VALUE,
    }
}

/// For a literal behind `text` of a STORE or of an APPEND: RFC 5257, 4.5, if it is the value of an annotation.
pub(super) fn in_annotations(text: &[u8], length: u64) -> Fault {
    let word = text.trim_ascii_end().rsplit(|octet| matches!(octet, b' ' | b'(')).next();
    match word {
        Some(b"value.priv" | b"value.shared") if length > ANNOTATION_VALUE_MAX as u64 => {
            Fault { text: "The annotation is too long", kind: FaultKind::AnnotationTooBig }
        }
        _ => NO_VALUE,
    }
}

/// Whether the name of a mailbox is next, and then names and values of entries (RFC 5464, 4.3).
fn is_among_entries(cursor: &mut Cursor<'_>) -> bool {
    let has_mailbox = cursor.space().is_ok() && string::parse_astring(cursor).is_ok();
    has_mailbox && cursor.space().is_ok() && cursor.peek() == Some(b'(')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(head: &str, length: usize) -> FaultKind {
        in_command(head.as_bytes(), length as u64, &Limits::LOGGED_IN).kind
    }

    #[test]
    fn values_are_told_from_other_literals() {
        use FaultKind::{AnnotationTooBig, Limit, MetadataTooBig};
        let most = ANNOTATION_VALUE_MAX.max(METADATA_VALUE_MAX);
        for (head, expected) in [
            ("a STORE 1:* ANNOTATION (/comment (value.priv ", AnnotationTooBig),
            ("a uid store 1 annotation (/comment (value.priv \"a\" value.shared ", AnnotationTooBig),
            ("a STORE 1 ANNOTATION (", Limit),
            ("a STORE 1 ANNOTATION (/comment (value.priv", AnnotationTooBig),
            ("a SEARCH ANNOTATION /comment value.priv ", Limit),
            ("a UID SEARCH ANNOTATION /comment value.priv ", Limit),
            ("a SETMETADATA INBOX (/private/comment ", MetadataTooBig),
            ("a SETMETADATA {1}\r\na (", MetadataTooBig),
            ("a SETMETADATA ", Limit),
            ("a SETMETADATA INBOX ", Limit),
            ("a LOGIN ", Limit),
            ("a ", Limit),
            ("", Limit),
        ] {
            assert_eq!(kind(head, most + 1), expected, "{head}");
            assert_eq!(kind(head, 1), Limit, "{head}: it is what came before that is too much");
        }
    }
}
