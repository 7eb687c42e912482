//! Keys that SORT and THREAD compare, prepared for i;unicode-casemap (RFC 5051): what of them is kept, and how the rest is made of
//! the subject's text and of the envelope.
//!
//! Most subjects, names and addresses are ASCII, and their keys are made in no time. The others are prepared when the message comes
//! in, and kept if they are short. So a record is hardly longer for its keys.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

use crate::envelope::{self, Address};
use crate::header::{Known, KnownFields};
use crate::search::{decode_header_text, fold};
use crate::subject::{self, Base};

/// Octets of a prepared key that is kept. A longer one is prepared anew whenever it is asked for.
const KEPT_OCTETS_MAX: usize = 256;

/// What is kept of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) is_reply: bool,
    pub(crate) subject: SubjectKey,
    /// Where the first From, To and Cc addresses begin in the envelope; 0: there is none.
    pub(crate) addresses: [u32; 3],
    /// Prepared display keys of From and To; empty where they are ASCII, or long.
    pub(crate) display: [String; 2],
}

/// What is kept of the base subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SubjectKey {
    /// It stands in the text of Subject, and is ASCII, or long.
    InText(Range<u16>),
    /// Its key. It is not empty.
    Prepared(String),
    /// Nothing: it is made of so many octets of the text of Subject, which are the first field's.
    OfText(u32),
}

impl Default for SubjectKey {
    fn default() -> Self {
        SubjectKey::InText(0..0)
    }
}

impl Keys {
    /// `subject` is the text of Subject, which begins with that of the first field; `envelope` the message's.
    pub(crate) fn of(fields: &KnownFields<'_>, subject: &str, envelope: &[u8]) -> Self {
        let first_octets = match fields.all(Known::Subject).nth(1) {
            None => subject.len(),
            Some(_) => fields.first(Known::Subject).map_or(0, |raw| decode_header_text(raw).len()),
        };
        let first = subject.get(..first_octets).unwrap_or_default();
        let base = subject::base(first);
        let addresses = envelope::first_addresses(envelope);
        let display = [addresses[0], addresses[1]].map(|at| {
            let address = address_at(envelope, at);
            if address.as_ref().is_none_or(|address| is_plain(display_source(address))) {
                return String::new();
            }
            kept(fold(&address.as_ref().map(display).unwrap_or_default())).unwrap_or_default()
        });
        Keys { is_reply: base.is_reply, subject: SubjectKey::of(&base, first), addresses, display }
    }
}

impl SubjectKey {
    fn of(base: &Base<'_>, subject: &str) -> Self {
        let whole = u32::try_from(subject.len()).unwrap_or(u32::MAX);
        let prepared = if base.text.is_ascii() { None } else { kept(fold(&base.text)) };
        match (&base.text, prepared) {
            (_, Some(key)) => SubjectKey::Prepared(key),
            (Cow::Borrowed(text), None) => {
                // The base is a part of the subject's first 4096 octets.
                let start = text.as_ptr() as usize - subject.as_ptr() as usize;
                match (u16::try_from(start), u16::try_from(start + text.len())) {
                    (Ok(start), Ok(end)) => SubjectKey::InText(start..end),
                    _ => SubjectKey::OfText(whole),
                }
            }
            (Cow::Owned(_), None) => SubjectKey::OfText(whole),
        }
    }
}

fn kept(key: String) -> Option<String> {
    (!key.is_empty() && key.len() <= KEPT_OCTETS_MAX).then_some(key)
}

/// The first address at this place of an envelope; none at 0.
pub(crate) fn address_at(envelope: &[u8], at: u32) -> Option<Address<'_>> {
    if at == 0 { None } else { envelope::address_at(envelope, at as usize) }
}

/// Appends the key of an addr-mailbox (RFC 5256, FROM, TO and CC).
pub(crate) fn push_mailbox(address: &Address<'_>, out: &mut Vec<u8>) {
    if let Some(mailbox) = &address.mailbox {
        push_raw(mailbox, out);
    }
}

/// Appends the key of an address as it is displayed (RFC 5957 3).
pub(crate) fn push_display(address: &Address<'_>, out: &mut Vec<u8>) {
    let source = display_source(address);
    if !is_plain(source) {
        out.extend_from_slice(fold(&display(address)).as_bytes());
    } else if address.name.as_deref() == Some(source) {
        push_ascii(source, out);
    } else {
        push_raw(source, out);
        push_host(address, out);
    }
}

/// Appends the key of a decoded text.
pub(crate) fn push_text(text: &str, out: &mut Vec<u8>) {
    if text.is_ascii() {
        push_ascii(text.as_bytes(), out);
    } else {
        out.extend_from_slice(fold(text).as_bytes());
    }
}

/// The name, if there is one, or else the mailbox.
fn display_source<'a>(address: &'a Address<'_>) -> &'a [u8] {
    let name = address.name.as_deref().filter(|name| !name.is_empty());
    name.or(address.mailbox.as_deref()).unwrap_or_default()
}

/// What an address is displayed as, decoded.
fn display(address: &Address<'_>) -> String {
    let name = address.name.as_deref().map(decode_header_text).unwrap_or_default();
    if !name.is_empty() {
        return name;
    }
    let mut text = address.mailbox.as_deref().map(decode_header_text).unwrap_or_default();
    if let Some(host) = &address.host {
        text.push('@');
        text.push_str(&decode_header_text(host));
    }
    text
}

fn push_host(address: &Address<'_>, out: &mut Vec<u8>) {
    if let (Some(_), Some(host)) = (&address.mailbox, &address.host) {
        out.push(b'@');
        push_raw(host, out);
    }
}

/// Whether a raw value is its own text, and in ASCII.
fn is_plain(raw: &[u8]) -> bool {
    raw.is_ascii() && memmem::find(raw, b"=?").is_none()
}

fn push_raw(raw: &[u8], out: &mut Vec<u8>) {
    if is_plain(raw) {
        push_ascii(raw, out);
    } else {
        out.extend_from_slice(fold(&decode_header_text(raw)).as_bytes());
    }
}

fn push_ascii(text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(text);
    out[start..].make_ascii_uppercase();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(header: &str) -> (Keys, String, Vec<u8>) {
        let fields = KnownFields::read(header.as_bytes());
        let subject = fields.all(Known::Subject).map(decode_header_text).collect::<Vec<_>>().join("\n");
        let mut out = Vec::new();
        envelope::write(&fields, &mut out);
        (Keys::of(&fields, &subject, &out), subject, out)
    }

    #[test]
    fn keeps_what_is_not_ascii() {
        let subject = |subject: &str| keys(&format!("Subject: {subject}\n")).0.subject;
        assert_eq!(subject("Re: [x] Hello"), SubjectKey::InText(8..13));
        assert_eq!(subject(""), SubjectKey::InText(0..0));
        assert_eq!(subject("Re: a  b"), SubjectKey::OfText(8));
        assert_eq!(subject("Re: a  b\nSubject: c"), SubjectKey::OfText(8));
        assert_eq!(subject("Re: é"), SubjectKey::Prepared("E\u{301}".to_owned()));
        assert_eq!(
            subject(&format!("Re: é{}", "x".repeat(253))),
            SubjectKey::Prepared(fold(&format!("é{}", "x".repeat(253))))
        );
        assert_eq!(subject(&format!("Re: é{}", "x".repeat(254))), SubjectKey::InText(4..260));
        assert_eq!(subject(&format!("é{}", "  x".repeat(254))), SubjectKey::OfText(764));
        let (keys, ..) = keys("From: =?utf-8?q?=C3=A9?= <a@x>\nTo: b@y\n");
        assert_eq!(keys.display, ["E\u{301}".to_owned(), String::new()]);
    }

    #[test]
    fn displays_addresses_as_rfc_5957_says() {
        for (from, key) in [
            ("Jane Doe <j@x>", "JANE DOE"),
            ("\"=?utf-8?q?=C3=A9?=\" <j@x>", "E\u{301}"),
            ("=?utf-8?q??= <j@x>", "J@X"),
            ("\"\" <j@x>", "J@X"),
            ("J@x.Example", "J@X.EXAMPLE"),
            ("friends: a@x;", "FRIENDS"),
            ("\"a\\\"b\" <j@x>", "A\"B"),
        ] {
            let (_, _, envelope) = keys(&format!("From: {from}\n"));
            let [at, ..] = envelope::first_addresses(&envelope);
            let mut out = Vec::new();
            push_display(&address_at(&envelope, at).expect("an address"), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), key, "{from}");
        }
    }
}
