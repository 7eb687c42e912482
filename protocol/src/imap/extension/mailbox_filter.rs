//! Which mailboxes an ESEARCH (RFC 7377 section 2.2) or a NOTIFY (RFC 5465 section 6) is about: `filter-mailboxes`.

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::mailbox_name::MailboxName;

/// One kind of mailboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailboxFilter {
    /// `selected`
    Selected,
    /// `selected-delayed`, which only NOTIFY knows.
    SelectedDelayed,
    /// `inboxes`: where mail may be delivered to.
    Inboxes,
    /// `personal`: all of the user's own.
    Personal,
    /// `subscribed`
    Subscribed,
    /// `subtree`: these and all below them.
    Subtree(Vec<MailboxName>),
    /// `subtree-one`: these and those one level below them; only ESEARCH knows it.
    SubtreeOne(Vec<MailboxName>),
    /// `mailboxes`: these.
    Mailboxes(Vec<MailboxName>),
}

impl MailboxFilter {
    /// How many names one filter may have.
    pub const NAMES_MAX: usize = 1000;

    /// Takes one kind.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<MailboxFilter, Fault> {
        Ok(match cursor.keyword()?.as_bytes() {
            b"SELECTED" => MailboxFilter::Selected,
            b"SELECTED-DELAYED" => MailboxFilter::SelectedDelayed,
            b"INBOXES" => MailboxFilter::Inboxes,
            b"PERSONAL" => MailboxFilter::Personal,
            b"SUBSCRIBED" => MailboxFilter::Subscribed,
            b"SUBTREE" => MailboxFilter::Subtree(parse_names(cursor)?),
            b"SUBTREE-ONE" => MailboxFilter::SubtreeOne(parse_names(cursor)?),
            b"MAILBOXES" => MailboxFilter::Mailboxes(parse_names(cursor)?),
            _ => return Err(Fault::syntax("Unknown kind of mailboxes")),
        })
    }
}

/// One name, or some in parentheses.
fn parse_names(cursor: &mut Cursor<'_>) -> Result<Vec<MailboxName>, Fault> {
    cursor.space()?;
    if cursor.peek() != Some(b'(') {
        return Ok(vec![MailboxName::parse(cursor)?]);
    }
    let mut names = Vec::new();
    cursor.list(|cursor| {
        if names.len() == MailboxFilter::NAMES_MAX {
            return Err(Fault::limit("Too many names of mailboxes"));
        }
        names.push(MailboxName::parse(cursor)?);
        Ok(())
    })?;
    if names.is_empty() { Err(Fault::syntax("Expected the name of a mailbox")) } else { Ok(names) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn parse(text: &str) -> Result<MailboxFilter, Fault> {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let filter = MailboxFilter::parse(&mut cursor)?;
        cursor.end()?;
        Ok(filter)
    }

    #[test]
    fn kinds_with_and_without_names() {
        assert_eq!(parse("selected"), Ok(MailboxFilter::Selected));
        assert_eq!(parse("Selected-Delayed"), Ok(MailboxFilter::SelectedDelayed));
        assert_eq!(parse("PERSONAL"), Ok(MailboxFilter::Personal));
        assert_eq!(parse("subtree inbox"), Ok(MailboxFilter::Subtree(vec![MailboxName::inbox()])));
        match parse("mailboxes (a \"b c\" &ANw-)") {
            Ok(MailboxFilter::Mailboxes(names)) => {
                assert_eq!(names.iter().map(MailboxName::as_str).collect::<Vec<_>>(), ["a", "b c", "Ü"]);
            }
            other => panic!("{other:?}"),
        }
        for text in
            ["", "all", "subtree", "subtree ()", "subtree-one (a", "mailboxes", "personal a", "selected()"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        let many = |count: usize| format!("mailboxes ({})", "a ".repeat(count));
        assert!(parse(&many(MailboxFilter::NAMES_MAX)).is_ok());
        assert!(parse(&many(MailboxFilter::NAMES_MAX + 1)).is_err());
    }
}
