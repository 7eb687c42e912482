//! X-GM-EXT-1: what Gmail tells about messages beyond IMAP, as far as it means something here. Labels are keywords, the numbers
//! are those of EMAILID and THREADID (RFC 8474).

use crate::imap::syntax::cursor::{Cursor, Fault, FaultKind};
use crate::imap::syntax::flag::{Flag, Flags, Keyword};
use crate::imap::syntax::string;

/// An item of FETCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GmailItem {
    /// X-GM-MSGID: the number of the message.
    MessageNumber,
    /// X-GM-THRID: the number of the conversation.
    ThreadNumber,
    /// X-GM-LABELS: the keywords.
    Labels,
}

impl GmailItem {
    /// All of them.
    pub const EVERY: [GmailItem; 3] = [GmailItem::MessageNumber, GmailItem::ThreadNumber, GmailItem::Labels];

    /// The name in commands and replies.
    pub fn name(self) -> &'static str {
        match self {
            GmailItem::MessageNumber => "X-GM-MSGID",
            GmailItem::ThreadNumber => "X-GM-THRID",
            GmailItem::Labels => "X-GM-LABELS",
        }
    }

    /// The item with this name, which is in upper case.
    pub(crate) fn from_upper_name(name: &[u8]) -> Option<GmailItem> {
        Self::EVERY.into_iter().find(|item| item.name().as_bytes() == name)
    }
}

/// X-GM-RAW searches in Gmail's own language, which needs an index of contents.
pub(crate) const RAW: Fault =
    Fault { text: "There is no search in the language of X-GM-RAW", kind: FaultKind::Cannot };

/// Parses `(` labels `)`, or one label: atoms or strings that keywords may be.
pub(crate) fn parse_labels(cursor: &mut Cursor<'_>) -> Result<Flags, Fault> {
    let mut labels = Flags::default();
    let mut add = |cursor: &mut Cursor<'_>| {
        let label = Keyword::new(&string::parse_astring(cursor)?)?;
        labels.insert(Flag::Keyword(label))
    };
    if cursor.peek() == Some(b'(') {
        cursor.list(add)?
    } else {
        add(cursor)?
    }
    Ok(labels)
}

/// Takes a space and a number of 64 bits, as X-GM-MSGID and X-GM-THRID have them in SEARCH.
pub(crate) fn parse_number(cursor: &mut Cursor<'_>) -> Result<u64, Fault> {
    cursor.space()?;
    let digits = cursor.take_while(|octet| octet.is_ascii_digit());
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or(Fault::syntax("Expected a number of at most 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    #[test]
    fn labels_are_keywords() {
        let parse = |text: &str| parse_labels(&mut Cursor::new(text.as_bytes(), &Limits::LOGGED_IN));
        let labels = parse("(Todo \"$Later\" todo)").expect("labels").keywords;
        assert_eq!(labels.iter().map(Keyword::as_str).collect::<Vec<_>>(), ["Todo", "$Later"]);
        assert_eq!(parse("Todo").expect("a label").keywords.len(), 1);
        for text in ["(\\Inbox)", "(\"two words\")", "", "(", "(\"\")"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_have_64_bits() {
        let parse = |text: &str| parse_number(&mut Cursor::new(text.as_bytes(), &Limits::LOGGED_IN));
        assert_eq!(parse(" 1278455344230334865"), Ok(1_278_455_344_230_334_865));
        assert_eq!(parse("  18446744073709551615"), Ok(u64::MAX));
        for text in [" 18446744073709551616", "", " ", " -1", " x", "1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
