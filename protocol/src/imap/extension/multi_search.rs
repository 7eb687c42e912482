//! ESEARCH: a search of several mailboxes (MULTISEARCH, RFC 7377).

use super::mailbox_filter::MailboxFilter;
use super::result_options::ResultOptions;
use crate::imap::command::search::{SearchCharset, SearchKey, parse_program};
use crate::imap::syntax::cursor::{Cursor, Fault};

/// What is looked for, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiSearchArguments {
    /// The mailboxes; `None` for the selected one.
    pub sources: Option<Vec<MailboxFilter>>,
    /// What the replies are to say.
    pub options: ResultOptions,
    /// How texts are encoded.
    pub charset: Option<SearchCharset>,
    /// What a message must be.
    pub key: SearchKey,
}

impl MultiSearchArguments {
    /// How many kinds of mailboxes may be named.
    pub const SOURCES_MAX: usize = 64;

    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let sources = parse_sources(cursor)?;
        let options = ResultOptions::parse_if_given(cursor)?.unwrap_or(ResultOptions::ALL);
        let (charset, key) = parse_program(cursor)?;
        options.check(&key)?;
        Ok(MultiSearchArguments { sources, options, charset, key })
    }
}

/// `IN (kinds)` and the space behind it, if that is what comes next.
fn parse_sources(cursor: &mut Cursor<'_>) -> Result<Option<Vec<MailboxFilter>>, Fault> {
    let is_given = match cursor.rest() {
        [b'i' | b'I', b'n' | b'N', b' ' | b'(', ..] => cursor.take(2).is_some(),
        _ => false,
    };
    if !is_given {
        return Ok(None);
    }
    cursor.skip_spaces();
    let mut sources = Vec::new();
    cursor.list(|cursor| {
        if cursor.peek() == Some(b'(') && !sources.is_empty() {
            return Err(Fault::syntax("Unknown scope option"));
        }
        if sources.len() == MultiSearchArguments::SOURCES_MAX {
            return Err(Fault::limit("Too many kinds of mailboxes"));
        }
        match MailboxFilter::parse(cursor)? {
            MailboxFilter::SelectedDelayed => Err(Fault::syntax("selected-delayed is for NOTIFY alone")),
            filter => {
                sources.push(filter);
                Ok(())
            }
        }
    })?;
    cursor.space()?;
    if sources.is_empty() { Err(Fault::syntax("IN needs mailboxes")) } else { Ok(Some(sources)) }
}

#[cfg(test)]
mod tests {
    use super::super::result_options::ResultOption;
    use super::*;
    use crate::imap::limits::Limits;

    fn parse(text: &str) -> Result<MultiSearchArguments, Fault> {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let arguments = MultiSearchArguments::parse(&mut cursor)?;
        cursor.end()?;
        Ok(arguments)
    }

    #[test]
    fn sources_options_and_charset_may_be_missing() {
        let arguments = parse(" ALL").expect("a key alone");
        assert_eq!((arguments.sources, arguments.options), (None, ResultOptions::ALL));
        let arguments =
            parse(" in (personal mailboxes (a b) subtree-one c) return (count) charset utf-8 unseen")
                .expect("everything");
        assert_eq!(arguments.sources.map(|sources| sources.len()), Some(3));
        assert!(arguments.options.has(ResultOption::Count));
        assert_eq!(arguments.charset, Some(SearchCharset::Utf8));
        assert!(parse(" IN(selected) ALL").is_ok());
    }

    #[test]
    fn wrong_sources_are_refused() {
        for text in [
            "",
            " ",
            " IN (selected)",
            " IN () ALL",
            " IN selected ALL",
            " IN (selected-delayed) ALL",
            " IN (selected (scope)) ALL",
            " IN (nowhere) ALL",
            " RETURN (MIN) IN (selected) ALL",
            " IN (selected) RETURN (RELEVANCY) ALL",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let many = |count: usize| format!(" IN ({}) ALL", "selected ".repeat(count));
        assert!(parse(&many(MultiSearchArguments::SOURCES_MAX)).is_ok());
        assert!(parse(&many(MultiSearchArguments::SOURCES_MAX + 1)).is_err());
    }
}
