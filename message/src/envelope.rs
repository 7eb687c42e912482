//! ENVELOPE in wire form (RFC 3501 7.4.2), for the message and for messages enclosed in it: written once, and read again for the
//! addresses that SORT compares.

use std::borrow::Cow;

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

/// Where in an envelope the first From, To and Cc addresses begin; 0: there is none.
pub(crate) fn first_addresses(envelope: &[u8]) -> [u32; 3] {
    // (date subject from sender reply-to to cc bcc in-reply-to message-id)
    let mut reader = Reader { octets: envelope, at: 1 };
    let mut first = [0; 3];
    for field in 0..7 {
        reader.space();
        let kind = match field {
            2 => 0,
            5 => 1,
            6 => 2,
            _ => {
                if reader.skip_value().is_none() {
                    break;
                }
                continue;
            }
        };
        if reader.octets.get(reader.at..reader.at + 2) == Some(b"((") {
            first[kind] = u32::try_from(reader.at + 1).unwrap_or(0);
        }
        if kind == 2 || reader.skip_value().is_none() {
            break;
        }
    }
    first
}

/// What an envelope says of a field that is no list of addresses, in lower case or not: date, subject, in-reply-to or message-id. `None`: nothing,
/// or the name is another.
pub(crate) fn text_of<'a>(envelope: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    const TEXTS: [(usize, &[u8]); 4] =
        [(0, b"date"), (1, b"subject"), (8, b"in-reply-to"), (9, b"message-id")];
    let &(place, _) = TEXTS.iter().find(|(_, known)| known.eq_ignore_ascii_case(name))?;
    let mut reader = Reader { octets: envelope, at: 1 };
    for _ in 0..place {
        reader.skip_value()?;
        reader.space();
    }
    reader.string()?
}

/// An address of an envelope (RFC 3501 7.4.2). `None` is NIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    pub(crate) name: Option<Cow<'a, [u8]>>,
    pub(crate) mailbox: Option<Cow<'a, [u8]>>,
    pub(crate) host: Option<Cow<'a, [u8]>>,
}

/// The address that begins there. `None`: the envelope is damaged.
pub(crate) fn address_at(envelope: &[u8], at: usize) -> Option<Address<'_>> {
    let mut reader = Reader { octets: envelope, at };
    reader.take(b'(')?;
    let name = reader.string()?;
    reader.space();
    reader.string()?;
    reader.space();
    let mailbox = reader.string()?;
    reader.space();
    let host = reader.string()?;
    Some(Address { name, mailbox, host })
}

/// Reads what `write` wrote. Whatever it reads it ends, within the octets.
struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, octet: u8) -> Option<()> {
        (self.octets.get(self.at) == Some(&octet)).then(|| self.at += 1)
    }

    fn space(&mut self) {
        self.take(b' ');
    }

    /// A string, or NIL as `Some(None)`.
    fn string(&mut self) -> Option<Option<Cow<'a, [u8]>>> {
        let rest = self.octets.get(self.at..)?;
        match rest.first()? {
            b'N' => {
                self.at += 3;
                Some(None)
            }
            b'"' => {
                let inside = &rest[1..];
                let stop = memchr::memchr2(b'"', b'\\', inside)?;
                if inside[stop] == b'"' {
                    self.at += stop + 2;
                    return Some(Some(Cow::Borrowed(&inside[..stop])));
                }
                let mut value = Vec::new();
                let mut octets = inside.iter().enumerate();
                while let Some((index, &octet)) = octets.next() {
                    match octet {
                        b'"' => {
                            self.at += index + 2;
                            return Some(Some(Cow::Owned(value)));
                        }
                        b'\\' => value.push(*octets.next()?.1),
                        _ => value.push(octet),
                    }
                }
                None
            }
            b'{' => {
                let end = memchr::memchr(b'}', &rest[..rest.len().min(12)])?;
                let length: usize = std::str::from_utf8(&rest[1..end]).ok()?.parse().ok()?;
                let start = end + 3;
                let value = rest.get(start..start.checked_add(length)?)?;
                self.at += start + length;
                Some(Some(Cow::Borrowed(value)))
            }
            _ => None,
        }
    }

    /// Passes over a string, NIL, or a list of addresses.
    fn skip_value(&mut self) -> Option<()> {
        if self.take(b'(').is_none() {
            return self.string().map(|_| ());
        }
        while self.take(b'(').is_some() {
            for _ in 0..4 {
                self.string()?;
                self.space();
            }
            self.take(b')')?;
        }
        self.take(b')')
    }
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

    #[test]
    fn finds_texts_again() {
        let mut out = Vec::new();
        let header =
            b"Date: d\nSubject: a \"b\" \\ (c\nFrom: \"A (x\" <a@x>, b@y\nTo: g:;\nMessage-ID: <\xff\n @x>\n";
        write(&KnownFields::read(header), &mut out);
        let text = |name: &str| text_of(&out, name.as_bytes()).map(Cow::into_owned);
        assert_eq!(text("Date").as_deref(), Some(&b"d"[..]));
        assert_eq!(text("subject").as_deref(), Some(&b"a \"b\" \\ (c"[..]));
        assert_eq!(text("MESSAGE-ID").as_deref(), Some(&b"<\xff @x>"[..]));
        assert_eq!([text("in-reply-to"), text("from"), text("x")], [None, None, None]);
        for end in 0..out.len() {
            text_of(&out[..end], b"message-id");
        }
    }

    #[test]
    fn finds_first_addresses_again() {
        let mut out = Vec::new();
        let header = b"Date: \xff\nSubject: a \"b\" \\ (c\nFrom: \"A (x\" <a@x>, b@y\nTo: g:;\nCc: \"\xc3\xa9\" <c@z>\n";
        write(&KnownFields::read(header), &mut out);
        let [from, to, cc] =
            first_addresses(&out).map(|at| address_at(&out, at as usize).expect("an address"));
        let text = |value: &Option<Cow<'_, [u8]>>| {
            value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let all = |address: &Address<'_>| [&address.name, &address.mailbox, &address.host].map(text);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(all(&from), [some("A (x"), some("a"), some("x")]);
        assert_eq!(all(&to), [None, some("g"), None]);
        assert_eq!(all(&cc), [some("é"), some("c"), some("z")]);
        assert_eq!(first_addresses(EMPTY), [0; 3]);
        for end in 0..out.len() {
            first_addresses(&out[..end]);
            address_at(&out[..end], end / 2);
        }
    }
}
