//! PREVIEW (RFC 8970): the first words of a message, an item of FETCH.

use crate::imap::syntax::cursor::{Cursor, Fault};

/// How much a client wants a preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// It waits until there is one.
    Waits,
    /// LAZY: only if it costs no time; NIL if it would.
    Lazy,
}

impl Urgency {
    /// Takes `(LAZY)` behind the item, if it is there. Other parentheses may be modifiers of FETCH, and stay.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Urgency, Fault> {
        let behind = cursor.rest().trim_ascii_start();
        let inside = behind.strip_prefix(b"(").map(<[u8]>::trim_ascii_start);
        let is_lazy = |word: &[u8]| {
            word.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"LAZY"))
                && matches!(word.get(4), Some(b' ' | b')'))
        };
        if cursor.peek() != Some(b' ') || !inside.is_some_and(is_lazy) {
            return Ok(Urgency::Waits);
        }
        cursor.space()?;
        cursor.list(|cursor| match cursor.keyword()?.as_bytes() {
            b"LAZY" => Ok(()),
            _ => Err(Fault::syntax("Unknown modifier of PREVIEW")),
        })?;
        Ok(Urgency::Lazy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::command::fetch::FetchItem;
    use crate::imap::{Command, Limits, Tagged};

    fn items(text: &str) -> Option<Vec<FetchItem>> {
        match Tagged::parse(format!("a {text}").as_bytes(), &Limits::LOGGED_IN).ok()?.command {
            Command::Fetch(arguments) => Some(arguments.items),
            _ => None,
        }
    }

    #[test]
    fn lazy_stands_in_parentheses_behind_the_item() {
        let (lazy, waits) = (FetchItem::Preview(Urgency::Lazy), FetchItem::Preview(Urgency::Waits));
        assert_eq!(items("FETCH 1 PREVIEW"), Some(vec![waits.clone()]));
        assert_eq!(items("FETCH 1 preview (lazy)"), Some(vec![lazy.clone()]));
        assert_eq!(items("FETCH 1 (PREVIEW ( LAZY LAZY ) FLAGS)"), Some(vec![lazy, FetchItem::Flags]));
        assert_eq!(items("FETCH 1 (PREVIEW FLAGS)"), Some(vec![waits, FetchItem::Flags]));
        for text in [
            "FETCH 1 (PREVIEW (LAZYY))",
            "FETCH 1 (PREVIEW ())",
            "FETCH 1 (PREVIEW (LAZY x))",
            "FETCH 1 (PREVIEW (LAZY)",
            "FETCH 1 (PREVIEW(LAZY))",
        ] {
            assert_eq!(items(text), None, "{text}");
        }
    }

    #[test]
    fn the_other_items_have_no_modifiers() {
        assert_eq!(
            items("FETCH 1 (EMAILID threadid SaveDate X-GM-LABELS)").map(|items| items.len()),
            Some(4)
        );
        assert_eq!(items("FETCH 1 (EMAILID (LAZY))"), None);
        assert_eq!(items("FETCH 1 X-GM-RAW"), None);
    }
}
