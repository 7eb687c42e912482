//! ENVELOPE in wire form (RFC 3501 7.4.2), for the message and for messages enclosed in it.

use crate::address::{self, Item};
use crate::header::{Known, KnownFields};
use crate::wire;

/// The envelope of a message whose header says nothing.
pub(crate) const EMPTY: &[u8] = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)";

/// Appends the envelope of the header whose fields these are. Of a field that may be there once the first counts; address fields
/// of one name count as one long field.
pub(crate) fn write(fields: &KnownFields<'_>, out: &mut Vec<u8>) {
    out.push(b'(');
    text(fields, Known::Date, out);
    out.push(b' ');
    text(fields, Known::Subject, out);
    out.push(b' ');
    let from_start = out.len();
    if !addresses(fields, Known::From, out) {
        out.extend_from_slice(b"NIL");
    }
    let from = from_start..out.len();
    for known in [Known::Sender, Known::ReplyTo] {
        out.push(b' ');
        if !addresses(fields, known, out) {
            out.extend_from_within(from.clone());
        }
    }
    for known in [Known::To, Known::Cc, Known::Bcc] {
        out.push(b' ');
        if !addresses(fields, known, out) {
            out.extend_from_slice(b"NIL");
        }
    }
    out.push(b' ');
    text(fields, Known::InReplyTo, out);
    out.push(b' ');
    text(fields, Known::MessageId, out);
    out.push(b')');
}

fn text(fields: &KnownFields<'_>, known: Known, out: &mut Vec<u8>) {
    match fields.first(known) {
        Some(raw) => wire::string(out, &wire::unfold(raw)),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Appends an address list. False, and nothing appended: there is no address.
fn addresses(fields: &KnownFields<'_>, known: Known, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.push(b'(');
    for raw in fields.all(known) {
        address::parse(raw, &mut |item| match item {
            Item::Mailbox { name, route, local_part, domain } => {
                out.push(b'(');
                wire::nstring(out, Some(name).filter(|name| !name.is_empty()));
                out.push(b' ');
                wire::nstring(out, Some(route).filter(|route| !route.is_empty()));
                out.push(b' ');
                // NIL would mean a group here, so a part that is missing is an empty string.
                wire::string(out, local_part);
                out.push(b' ');
                wire::string(out, domain);
                out.push(b')');
            }
            Item::GroupStart { name } => {
                out.extend_from_slice(b"(NIL NIL ");
                wire::string(out, name);
                out.extend_from_slice(b" NIL)");
            }
            Item::GroupEnd => out.extend_from_slice(b"(NIL NIL NIL NIL)"),
        });
    }
    if out.len() == start + 1 {
        out.truncate(start);
        return false;
    }
    out.push(b')');
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(header: &[u8]) -> String {
        let mut out = Vec::new();
        write(&KnownFields::read(header), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn writes_envelopes() {
        assert_eq!(envelope(b""), String::from_utf8_lossy(EMPTY));
        assert_eq!(
            envelope(
                b"Date: d\nSubject: =?utf-8?q?x?=\r\n y\nFrom: A <a@x>\nTo: g:b@y;\nCC: <@r:c@z>\n\
                  In-Reply-To: <i>\nMessage-ID: <m>\nSubject: second\nTo: d@y\n"
            ),
            "(\"d\" \"=?utf-8?q?x?= y\" ((\"A\" NIL \"a\" \"x\")) ((\"A\" NIL \"a\" \"x\")) ((\"A\" NIL \"a\" \"x\")) \
             ((NIL NIL \"g\" NIL)(NIL NIL \"b\" \"y\")(NIL NIL NIL NIL)(NIL NIL \"d\" \"y\")) ((NIL \"@r\" \"c\" \"z\")) \
             NIL \"<i>\" \"<m>\")"
        );
    }

    #[test]
    fn empty_sender_defaults_to_from() {
        assert_eq!(
            envelope(b"From: u@d (N)\nSender: \nReply-To:\n"),
            "(NIL NIL ((\"N\" NIL \"u\" \"d\")) ((\"N\" NIL \"u\" \"d\")) ((\"N\" NIL \"u\" \"d\")) NIL NIL NIL NIL NIL)"
        );
    }
}
