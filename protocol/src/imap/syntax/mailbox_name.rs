//! Names of mailboxes: UTF-8 in Lode; on the wire modified UTF-7 (RFC 3501 section 5.1.3), or UTF-8 for those who enabled it
//! (RFC 9051 section 5.1).
//!
//! Invariants of a [`MailboxName`]: no control characters; when its first level is INBOX in any case of letters, it is
//! written `INBOX`; one that came in UTF-8 is in Unicode's normal form C (RFC 5198). It may be empty, and its levels may be: whether such a mailbox can be is not for the grammar to say.
//!
//! Leniency: where modified UTF-7 is due, a name that is not well-formed but is UTF-8 is taken as it stands. So `A&B` and `Übung` reach the
//! mailboxes that `A&-B` and `&ANw-bung` reach.

use super::cursor::{Cursor, Fault};
use super::name_encoding::NameEncoding;
use super::string;
use crate::imap::utf7;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// What stands between the levels of a name.
pub const HIERARCHY_DELIMITER: char = '/';

/// The name of a mailbox.
#[derive(Debug, Clone)]
pub struct MailboxName {
    name: String,
    /// What the client called it, if that is not its name.
    sent: Option<Box<str>>,
}

/// What matters is the name, however it was sent.
impl PartialEq for MailboxName {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for MailboxName {}

impl MailboxName {
    /// The longest name in UTF-8, in octets.
    pub const LENGTH_MAX: usize = 1024;

    /// The mailbox every user has.
    pub fn inbox() -> MailboxName {
        MailboxName { name: "INBOX".to_owned(), sent: None }
    }

    /// The name for text in UTF-8.
    ///
    /// Errors: control characters, or longer than [`MailboxName::LENGTH_MAX`].
    pub fn from_utf8(name: &str) -> Result<MailboxName, Fault> {
        if name.len() > Self::LENGTH_MAX {
            return Err(Fault::limit("A mailbox name is too long"));
        }
        // RFC 5198 and RFC 6855 section 3 name the two separators beside the controls.
        if name
            .chars()
            .any(|character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}'))
        {
            return Err(Fault::syntax("A mailbox name contains control characters"));
        }
        let canonical = canonical_inbox(name.to_owned());
        let sent = (canonical != name).then(|| name.into());
        Ok(MailboxName { name: canonical, sent })
    }

    /// The name for octets from the wire.
    ///
    /// Errors: neither modified UTF-7 nor UTF-8, and those of [`MailboxName::from_utf8`].
    pub fn from_wire(octets: &[u8], encoding: NameEncoding) -> Result<MailboxName, Fault> {
        let sent = decode(octets, encoding)?;
        if encoding == NameEncoding::ModifiedUtf7 || is_nfc(&sent) {
            return MailboxName::from_utf8(&sent);
        }
        let normal: String = sent.nfc().collect();
        Ok(MailboxName { sent: Some(sent.into()), ..MailboxName::from_utf8(&normal)? })
    }

    /// What the client called it, if that is not its name: in another case of letters, or not in normal form C. Only such a
    /// name goes into OLDNAME (RFC 9051 section 6.3.9.7).
    pub fn sent_as(&self) -> Option<&str> {
        self.sent.as_deref()
    }

    /// The name in UTF-8.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The name in UTF-8.
    pub fn into_string(self) -> String {
        self.name
    }

    /// Whether it is the mailbox every user has.
    pub fn is_inbox(&self) -> bool {
        self.name == "INBOX"
    }

    /// The name without one hierarchy delimiter at its end.
    pub(crate) fn without_last_delimiter(mut self) -> MailboxName {
        if self.name.len() > 1 && self.name.ends_with(HIERARCHY_DELIMITER) {
            self.name.pop();
            self.sent = self.sent.map(|sent| sent.strip_suffix(HIERARCHY_DELIMITER).unwrap_or(&sent).into());
        }
        self
    }

    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<MailboxName, Fault> {
        Self::from_wire(&string::parse_astring(cursor)?, cursor.names())
    }
}

/// Appends a name in UTF-8 as a reply has it, quoted unless it is an atom.
pub fn write_mailbox(out: &mut Vec<u8>, name: &str, encoding: NameEncoding) {
    if encoding == NameEncoding::Utf8 {
        let is_atom = !name.is_empty() && name.bytes().all(string::is_atom_octet);
        if is_atom && !name.eq_ignore_ascii_case("NIL") {
            out.extend_from_slice(name.as_bytes());
        } else {
            string::write_utf8(out, name, encoding);
        }
    } else if name.bytes().all(|octet| string::is_atom_octet(octet) && octet != b'&') {
        string::write_astring(out, name.as_bytes());
    } else {
        let mut encoded = Vec::with_capacity(name.len() + name.len() / 2 + 8);
        utf7::encode(name, &mut encoded);
        string::write_astring(out, &encoded);
    }
}

/// A pattern of LIST or LSUB, or its reference, in UTF-8.
pub(crate) fn decode_pattern(octets: &[u8], encoding: NameEncoding) -> Result<String, Fault> {
    let pattern = decode(octets, encoding)?;
    if pattern.len() > MailboxName::LENGTH_MAX {
        return Err(Fault::limit("A pattern is too long"));
    }
    Ok(pattern)
}

fn decode(octets: &[u8], encoding: NameEncoding) -> Result<String, Fault> {
    if encoding == NameEncoding::ModifiedUtf7
        && let Some(name) = utf7::decode(octets)
    {
        return Ok(name);
    }
    match (std::str::from_utf8(octets), encoding) {
        (Ok(name), _) => Ok(name.to_owned()),
        (Err(_), NameEncoding::Utf8) => Err(Fault::syntax("A mailbox name is not UTF-8")),
        (Err(_), NameEncoding::ModifiedUtf7) => {
            Err(Fault::syntax("A mailbox name is neither modified UTF-7 nor UTF-8"))
        }
    }
}

fn is_nfc(name: &str) -> bool {
    name.is_ascii() || is_nfc_quick(name.chars()) == IsNormalized::Yes || name.nfc().eq(name.chars())
}

fn canonical_inbox(mut name: String) -> String {
    let first_level = name.find(HIERARCHY_DELIMITER).unwrap_or(name.len());
    if name[..first_level].eq_ignore_ascii_case("INBOX") {
        name[..first_level].make_ascii_uppercase();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inbox_is_one_mailbox_in_any_case() {
        for (wire, expected) in [
            ("inbox", "INBOX"),
            ("InBox/a", "INBOX/a"),
            ("inboxes", "inboxes"),
            ("a/inbox", "a/inbox"),
            ("", ""),
        ] {
            assert_eq!(
                MailboxName::from_wire(wire.as_bytes(), NameEncoding::ModifiedUtf7).expect(wire).as_str(),
                expected
            );
        }
        assert!(MailboxName::inbox().is_inbox());
    }

    #[test]
    fn names_come_in_either_encoding() {
        for (wire, expected) in
            [("&ANw-bung", "Übung"), ("Übung", "Übung"), ("A&-B", "A&B"), ("A&B", "A&B"), ("&&&", "&&&")]
        {
            assert_eq!(
                MailboxName::from_wire(wire.as_bytes(), NameEncoding::ModifiedUtf7).expect(wire).as_str(),
                expected
            );
        }
        for wire in [&b"\xff"[..], b"a\nb", b"a\x7f", b"&AAo-", &[b'x'; 1025]] {
            assert!(
                MailboxName::from_wire(wire, NameEncoding::ModifiedUtf7).is_err(),
                "{}",
                wire.escape_ascii()
            );
        }
    }

    #[test]
    fn what_the_client_called_it_is_known() {
        let parse = |name: &str, encoding| MailboxName::from_wire(name.as_bytes(), encoding).expect(name);
        for (sent, name) in [("inbox/a", "INBOX/a"), ("u\u{308}", "\u{fc}"), ("\u{212b}", "\u{c5}")] {
            let parsed = parse(sent, NameEncoding::Utf8);
            assert_eq!((parsed.as_str(), parsed.sent_as()), (name, Some(sent)));
            assert_eq!(parse(name, NameEncoding::Utf8).sent_as(), None);
        }
        // Who uses modified UTF-7 gets the very name.
        assert_eq!(parse("u\u{308}", NameEncoding::ModifiedUtf7).as_str(), "u\u{308}");
        let folder = parse("inbox/", NameEncoding::Utf8).without_last_delimiter();
        assert_eq!((folder.as_str(), folder.sent_as()), ("INBOX", Some("inbox")));
        assert!(MailboxName::from_wire("u\u{308}".repeat(400).as_bytes(), NameEncoding::Utf8).is_ok());
        assert!(MailboxName::from_wire("\u{1d160}".repeat(200).as_bytes(), NameEncoding::Utf8).is_err());
    }

    #[test]
    fn to_who_enabled_utf8_modified_utf7_is_a_name_like_any_other() {
        for (wire, expected) in [("&ANw-bung", "&ANw-bung"), ("Übung", "Übung"), ("A&-B", "A&-B")] {
            let name = MailboxName::from_wire(wire.as_bytes(), NameEncoding::Utf8).expect(wire);
            assert_eq!(name.as_str(), expected);
        }
        for wire in [&b"caf\xe9"[..], "a\u{2028}b".as_bytes(), "a\u{85}".as_bytes()] {
            assert!(MailboxName::from_wire(wire, NameEncoding::Utf8).is_err(), "{}", wire.escape_ascii());
        }
        let mut out = Vec::new();
        write_mailbox(&mut out, "Übung", NameEncoding::Utf8);
        write_mailbox(&mut out, "Übung", NameEncoding::ModifiedUtf7);
        assert_eq!(out, "\"Übung\"&ANw-bung".as_bytes());
    }

    #[test]
    fn what_is_written_parses_to_the_same() {
        for name in
            ["INBOX", "a b", "A&B", "Übung/日本語", "\"\\", "NIL", "%*", "[x]", "", "~peter/mail/台北"]
        {
            for names in [NameEncoding::ModifiedUtf7, NameEncoding::Utf8] {
                let mut out = Vec::new();
                write_mailbox(&mut out, name, names);
                assert!(out.is_ascii() || names == NameEncoding::Utf8);
                let limits = crate::imap::limits::Limits { names, ..crate::imap::limits::Limits::LOGGED_IN };
                let parsed = MailboxName::parse(&mut Cursor::new(&out, &limits));
                assert_eq!(parsed.expect(name).as_str(), name);
            }
        }
    }
}
