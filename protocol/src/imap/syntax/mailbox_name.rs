//! Names of mailboxes: UTF-8 in Lode, modified UTF-7 on the wire (RFC 3501 section 5.1.3).
//!
//! Invariants of a [`MailboxName`]: no control characters; when its first level is INBOX in any case of letters, it is
//! written `INBOX`. It may be empty, and its levels may be: whether such a mailbox can be is not for the grammar to say.
//!
//! Leniency: a name that is not well-formed modified UTF-7 but is UTF-8 is taken as it stands. So `A&B` and `Übung` reach the
//! mailboxes that `A&-B` and `&ANw-bung` reach.

use super::cursor::{Cursor, Fault};
use super::string;
use crate::imap::utf7;

/// What stands between the levels of a name.
pub const HIERARCHY_DELIMITER: char = '/';

/// The name of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(String);

impl MailboxName {
    /// The longest name in UTF-8, in octets.
    pub const LENGTH_MAX: usize = 1024;

    /// The mailbox every user has.
    pub fn inbox() -> MailboxName {
        MailboxName("INBOX".to_owned())
    }

    /// The name for text in UTF-8.
    ///
    /// Errors: control characters, or longer than [`MailboxName::LENGTH_MAX`].
    pub fn from_utf8(name: &str) -> Result<MailboxName, Fault> {
        if name.len() > Self::LENGTH_MAX {
            return Err(Fault::limit("A mailbox name is too long"));
        }
        if name.chars().any(char::is_control) {
            return Err(Fault::syntax("A mailbox name contains control characters"));
        }
        Ok(MailboxName(canonical_inbox(name.to_owned())))
    }

    /// The name for octets from the wire.
    ///
    /// Errors: neither modified UTF-7 nor UTF-8, and those of [`MailboxName::from_utf8`].
    pub fn from_wire(octets: &[u8]) -> Result<MailboxName, Fault> {
        MailboxName::from_utf8(&decode(octets)?)
    }

    /// The name in UTF-8.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in UTF-8.
    pub fn into_string(self) -> String {
        self.0
    }

    /// Whether it is the mailbox every user has.
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }

    /// The name without one hierarchy delimiter at its end.
    pub(crate) fn without_last_delimiter(mut self) -> MailboxName {
        if self.0.len() > 1 && self.0.ends_with(HIERARCHY_DELIMITER) {
            self.0.pop();
        }
        self
    }

    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<MailboxName, Fault> {
        Self::from_wire(&string::parse_astring(cursor)?)
    }
}

/// Appends a name in UTF-8 as a reply has it: modified UTF-7, quoted unless it is an atom.
pub fn write_mailbox(out: &mut Vec<u8>, name: &str) {
    if name.bytes().all(|octet| string::is_atom_octet(octet) && octet != b'&') {
        string::write_astring(out, name.as_bytes());
    } else {
        let mut encoded = Vec::with_capacity(name.len() + name.len() / 2 + 8);
        utf7::encode(name, &mut encoded);
        string::write_astring(out, &encoded);
    }
}

/// A pattern of LIST or LSUB, or its reference, in UTF-8.
pub(crate) fn decode_pattern(octets: &[u8]) -> Result<String, Fault> {
    let pattern = decode(octets)?;
    if pattern.len() > MailboxName::LENGTH_MAX {
        return Err(Fault::limit("A pattern is too long"));
    }
    Ok(pattern)
}

fn decode(octets: &[u8]) -> Result<String, Fault> {
    if let Some(name) = utf7::decode(octets) {
        return Ok(name);
    }
    match std::str::from_utf8(octets) {
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err(Fault::syntax("A mailbox name is neither modified UTF-7 nor UTF-8")),
    }
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
            assert_eq!(MailboxName::from_wire(wire.as_bytes()).expect(wire).as_str(), expected);
        }
        assert!(MailboxName::inbox().is_inbox());
    }

    #[test]
    fn names_come_in_either_encoding() {
        for (wire, expected) in
            [("&ANw-bung", "Übung"), ("Übung", "Übung"), ("A&-B", "A&B"), ("A&B", "A&B"), ("&&&", "&&&")]
        {
            assert_eq!(MailboxName::from_wire(wire.as_bytes()).expect(wire).as_str(), expected);
        }
        for wire in [&b"\xff"[..], b"a\nb", b"a\x7f", b"&AAo-", &[b'x'; 1025]] {
            assert!(MailboxName::from_wire(wire).is_err(), "{}", wire.escape_ascii());
        }
    }

    #[test]
    fn what_is_written_parses_to_the_same() {
        for name in
            ["INBOX", "a b", "A&B", "Übung/日本語", "\"\\", "NIL", "%*", "[x]", "", "~peter/mail/台北"]
        {
            let mut out = Vec::new();
            write_mailbox(&mut out, name);
            assert!(out.is_ascii());
            let parsed = MailboxName::parse(&mut Cursor::new(&out, &crate::imap::limits::Limits::LOGGED_IN));
            assert_eq!(parsed.expect(name).as_str(), name);
        }
    }
}
