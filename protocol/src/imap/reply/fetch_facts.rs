//! Items of FETCH replies that extensions bring: OBJECTID (RFC 8474), SAVEDATE (RFC 8514), PREVIEW (RFC 8970), X-GM-EXT-1.

use super::text;
use crate::imap::extension::gmail::GmailItem;
use crate::imap::syntax::date::DateTime;
use crate::imap::syntax::name_encoding::NameEncoding;
use crate::imap::syntax::string;

/// Appends `EMAILID (identifier)`.
pub fn email_id(out: &mut Vec<u8>, identifier: &str) {
    out.extend_from_slice(b"EMAILID (");
    out.extend_from_slice(identifier.as_bytes());
    out.push(b')');
}

/// Appends `THREADID (identifier)`.
pub fn thread_id(out: &mut Vec<u8>, identifier: &str) {
    out.extend_from_slice(b"THREADID (");
    out.extend_from_slice(identifier.as_bytes());
    out.push(b')');
}

/// Appends `SAVEDATE "…"`, in UTC.
pub fn save_date(out: &mut Vec<u8>, unix_seconds: i64) {
    out.extend_from_slice(b"SAVEDATE ");
    DateTime::from_unix_seconds(unix_seconds, 0).write(out);
}

/// Appends `PREVIEW "…"`; `None` is NIL, which only a lazy client understands.
pub fn preview(out: &mut Vec<u8>, preview: Option<&str>, encoding: NameEncoding) {
    out.extend_from_slice(b"PREVIEW ");
    match preview {
        Some(preview) if preview.is_ascii() => string::write_string(out, preview.as_bytes()),
        Some(preview) => string::write_utf8(out, preview, encoding),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Appends `X-GM-MSGID n` or `X-GM-THRID n`.
pub fn gmail_number(out: &mut Vec<u8>, item: GmailItem, number: u64) {
    out.extend_from_slice(item.name().as_bytes());
    out.push(b' ');
    text::number(out, number);
}

/// Appends `X-GM-LABELS (labels)`.
pub fn gmail_labels<'a>(out: &mut Vec<u8>, labels: impl IntoIterator<Item = &'a str>) {
    out.extend_from_slice(b"X-GM-LABELS (");
    for (index, label) in labels.into_iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        string::write_astring(out, label.as_bytes());
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item() {
        let mut out = Vec::new();
        email_id(&mut out, "M1");
        out.push(b' ');
        thread_id(&mut out, "T2");
        out.push(b' ');
        save_date(&mut out, 837_596_665);
        for (text, encoding) in [
            (Some("a \"b\""), NameEncoding::ModifiedUtf7),
            (Some("é"), NameEncoding::ModifiedUtf7),
            (Some("é"), NameEncoding::Utf8),
            (Some(""), NameEncoding::Utf8),
            (None, NameEncoding::Utf8),
        ] {
            out.push(b' ');
            preview(&mut out, text, encoding);
        }
        out.push(b' ');
        gmail_number(&mut out, GmailItem::MessageNumber, u64::MAX);
        out.push(b' ');
        gmail_labels(&mut out, ["$Junk", "a]"]);
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "EMAILID (M1) THREADID (T2) SAVEDATE \"17-Jul-1996 09:44:25 +0000\" PREVIEW \"a \\\"b\\\"\" PREVIEW {2}\r\n\u{e9} \
             PREVIEW \"\u{e9}\" PREVIEW \"\" PREVIEW NIL X-GM-MSGID 18446744073709551615 X-GM-LABELS ($Junk \"a]\")"
        );
    }
}
