//! URLAUTH (RFC 4467) and URLAUTH=BINARY (RFC 5524): URLs that allow others to read a message, and their content.

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::mailbox_name::MailboxName;
use crate::imap::syntax::string;

/// How many URLs one command may have.
pub const URLS_MAX: usize = 64;

/// URLs that are to be authorized, each with the mechanism's name in upper case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenUrlAuthArguments(pub Vec<(Vec<u8>, String)>);

/// URLs whose content is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlFetchArguments(pub Vec<UrlFetchItem>);

/// One URL and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlFetchItem {
    /// The URL as it came.
    pub url: Vec<u8>,
    /// What is asked; `None` for the content alone, in the plain form of the reply.
    pub parameters: Option<UrlFetchParameters>,
}

/// What the extended form asks for (RFC 5524 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UrlFetchParameters {
    /// BODYPARTSTRUCTURE
    pub structure: bool,
    /// The content, and how.
    pub content: Option<UrlContent>,
}

/// How content is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlContent {
    /// BODY: as it is.
    Body,
    /// BINARY: without its transfer encoding.
    Binary,
}

/// Whose keys are to be made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResetKeyArguments {
    /// All keys of the user are to go.
    All,
    /// That of this mailbox is to be another, for these mechanisms; in upper case.
    Mailbox(MailboxName, Vec<String>),
}

impl GenUrlAuthArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let mut urls = Vec::new();
        cursor.space()?;
        loop {
            if urls.len() == URLS_MAX {
                return Err(Fault::limit("Too many URLs"));
            }
            let url = string::parse_astring(cursor)?.into_owned();
            cursor.space()?;
            urls.push((url, parse_mechanism(cursor)?));
            if !cursor.take_space_before_more() {
                return Ok(GenUrlAuthArguments(urls));
            }
        }
    }
}

impl UrlFetchArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let mut items = Vec::new();
        cursor.space()?;
        loop {
            if items.len() == URLS_MAX {
                return Err(Fault::limit("Too many URLs"));
            }
            items.push(UrlFetchItem::parse(cursor)?);
            if !cursor.take_space_before_more() {
                return Ok(UrlFetchArguments(items));
            }
        }
    }
}

impl UrlFetchItem {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        if cursor.peek() != Some(b'(') {
            return Ok(UrlFetchItem { url: string::parse_astring(cursor)?.into_owned(), parameters: None });
        }
        let mut url = None;
        let mut parameters = None;
        cursor.list(|cursor| {
            if url.is_none() {
                url = Some(string::parse_astring(cursor)?.into_owned());
                return Ok(());
            }
            parameters.get_or_insert_with(UrlFetchParameters::default).parse(cursor)
        })?;
        Ok(UrlFetchItem { url: url.ok_or(Fault::syntax("Expected a URL"))?, parameters })
    }
}

impl UrlFetchParameters {
    fn parse(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let content = match cursor.keyword()?.as_bytes() {
            b"BODYPARTSTRUCTURE" if !self.structure => {
                self.structure = true;
                return Ok(());
            }
            b"BODY" => UrlContent::Body,
            b"BINARY" => UrlContent::Binary,
            b"BODYPARTSTRUCTURE" => return Err(Fault::syntax("BODYPARTSTRUCTURE twice")),
            _ => return Err(Fault::syntax("Unknown parameter of URLFETCH")),
        };
        if self.content.replace(content).is_some() {
            return Err(Fault::syntax("Only one of BODY and BINARY, once"));
        }
        Ok(())
    }
}

impl ResetKeyArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        if !cursor.take_space_before_more() {
            return Ok(ResetKeyArguments::All);
        }
        let mailbox = MailboxName::parse(cursor)?;
        let mut mechanisms = Vec::new();
        while cursor.take_space_before_more() {
            if mechanisms.len() == URLS_MAX {
                return Err(Fault::limit("Too many mechanisms"));
            }
            mechanisms.push(parse_mechanism(cursor)?);
        }
        Ok(ResetKeyArguments::Mailbox(mailbox, mechanisms))
    }
}

fn parse_mechanism(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    let name = cursor.take_while(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.'));
    if name.is_empty() {
        return Err(Fault::syntax("Expected a mechanism"));
    }
    Ok(name.iter().map(|octet| char::from(octet.to_ascii_uppercase())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn parse<T>(
        text: &str,
        parser: impl FnOnce(&mut Cursor<'_>) -> Result<T, Fault>,
    ) -> Result<T, &'static str> {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let parsed = parser(&mut cursor).map_err(|fault| fault.text)?;
        cursor.end().map(|()| parsed).map_err(|fault| fault.text)
    }

    #[test]
    fn urls_and_mechanisms() {
        let parsed = parse(" \"u v\" INTERNAL w internal", GenUrlAuthArguments::parse).expect("two");
        let expected = [(b"u v".to_vec(), "INTERNAL".to_owned()), (b"w".to_vec(), "INTERNAL".to_owned())];
        assert_eq!(parsed.0, expected);
        for text in ["", " u", " u ", " u (", " u INTERNAL v"] {
            assert!(parse(text, GenUrlAuthArguments::parse).is_err(), "{text}");
        }
        assert_eq!(parse(&" u X".repeat(65), GenUrlAuthArguments::parse), Err("Too many URLs"));
    }

    #[test]
    fn what_is_fetched_of_urls() {
        let parsed = parse(
            " u (v) (w BODY) (x BINARY BODYPARTSTRUCTURE) ( y bodypartstructure )",
            UrlFetchArguments::parse,
        )
        .expect("five")
        .0;
        let parameters: Vec<_> = parsed.iter().map(|item| item.parameters).collect();
        let of = |structure, content| Some(UrlFetchParameters { structure, content });
        assert_eq!(
            parameters,
            [
                None,
                None,
                of(false, Some(UrlContent::Body)),
                of(true, Some(UrlContent::Binary)),
                of(true, None)
            ]
        );
        for text in [
            "",
            " ()",
            " (u FOO)",
            " (u BODY BINARY)",
            " (u BODY BODY)",
            " (u",
            " (u BODYPARTSTRUCTURE BODYPARTSTRUCTURE)",
        ] {
            assert!(parse(text, UrlFetchArguments::parse).is_err(), "{text}");
        }
        assert_eq!(parse(&" u".repeat(65), UrlFetchArguments::parse), Err("Too many URLs"));
    }

    #[test]
    fn keys() {
        assert_eq!(parse("", ResetKeyArguments::parse), Ok(ResetKeyArguments::All));
        let inbox = ResetKeyArguments::Mailbox(MailboxName::inbox(), vec!["INTERNAL".to_owned()]);
        assert_eq!(parse(" inbox internal", ResetKeyArguments::parse), Ok(inbox));
        assert!(parse(" inbox (", ResetKeyArguments::parse).is_err());
    }
}
