//! OBJECTID (RFC 8474): identifiers of mailboxes, messages and conversations, as SEARCH has them.

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::string;

/// An identifier: 1 to [`ObjectId::LENGTH_MAX`] letters, digits, `_` and `-`. Letters of different case are different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectId(Box<str>);

impl ObjectId {
    /// The longest identifier, in octets.
    pub const LENGTH_MAX: usize = 255;

    /// The identifier as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a space and an identifier.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<ObjectId, Fault> {
        cursor.space()?;
        let octets = string::parse_astring(cursor)?;
        let is_of_it = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-');
        let identifier = std::str::from_utf8(&octets).ok().filter(|_| octets.iter().all(is_of_it));
        match identifier {
            Some(identifier) if !identifier.is_empty() && identifier.len() <= Self::LENGTH_MAX => {
                Ok(ObjectId(identifier.into()))
            }
            _ => Err(Fault::syntax("Not an identifier of an object")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    #[test]
    fn what_may_be_in_an_identifier() {
        let longest = format!(" {}", "a".repeat(255));
        for (text, is_right) in [
            (" M6d99ac3275bb4e", true),
            (" \"a_-Z9\"", true),
            (longest.as_str(), true),
            ("M1", false),
            (" ", false),
            (" \"\"", false),
            (" a.b", false),
            (" (M1)", false),
            (format!("{longest}a").as_str(), false),
        ] {
            let parsed = ObjectId::parse(&mut Cursor::new(text.as_bytes(), &Limits::LOGGED_IN));
            assert_eq!(parsed.is_ok(), is_right, "{text}");
        }
    }
}
