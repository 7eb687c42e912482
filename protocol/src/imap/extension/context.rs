//! CANCELUPDATE (RFC 5267 section 4.3.5): no more news of the results of earlier searches.

use crate::imap::command::Tag;
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::string;

/// The tags of the commands that asked for updates; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelUpdateArguments(pub Vec<Tag>);

impl CancelUpdateArguments {
    /// How many tags one command may name.
    pub const TAGS_MAX: usize = 64;

    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let mut tags = Vec::new();
        loop {
            if tags.len() == Self::TAGS_MAX {
                return Err(Fault::limit("Too many tags"));
            }
            if cursor.peek() != Some(b'"') {
                return Err(Fault::syntax("Expected a tag in quotes"));
            }
            let tag = string::parse_string(cursor)?;
            tags.push(Tag::new(&tag).ok_or(Fault::syntax("Expected a tag in quotes"))?);
            if !cursor.take_space_before_more() {
                return Ok(CancelUpdateArguments(tags));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn parse(text: &str) -> Result<Vec<String>, Fault> {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let CancelUpdateArguments(tags) = CancelUpdateArguments::parse(&mut cursor)?;
        cursor.end()?;
        Ok(tags.iter().map(|tag| tag.as_str().to_owned()).collect())
    }

    #[test]
    fn tags_are_quoted() {
        assert_eq!(parse(" \"B01\""), Ok(vec!["B01".to_owned()]));
        assert_eq!(parse(" \"a\"  \"b]\" "), Ok(vec!["a".to_owned(), "b]".to_owned()]));
        for text in ["", " ", " B01", " \"\"", " \"a b\"", " \"+\"", " \"a\",\"b\"", " (\"a\")", " \"a\" b"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&" \"a\"".repeat(CancelUpdateArguments::TAGS_MAX)).is_ok());
        assert!(parse(&" \"a\"".repeat(CancelUpdateArguments::TAGS_MAX + 1)).is_err());
    }
}
