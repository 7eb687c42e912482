//! `RETURN (…)` of SEARCH and SORT: what the reply is to say (RFC 4731 section 3.1, RFC 4466 section 2.6.1).
//!
//! | option | RFC |
//! |---|---|
//! | MIN, MAX, ALL, COUNT | 4731 |
//! | SAVE | 5182 |
//! | UPDATE, CONTEXT | 5267 |
//! | UPDATE with items of new messages | 5465, section 7 |
//! | PARTIAL | 9394, 5267 |
//! | RELEVANCY | 6203 |

use super::partial::PartialRange;
use crate::imap::command::fetch::{FetchArguments, FetchItem};
use crate::imap::command::search::SearchKey;
use crate::imap::syntax::cursor::{Cursor, Fault};

/// An option without an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ResultOption {
    /// The first result.
    Min,
    /// The last result.
    Max,
    /// All results.
    All,
    /// How many there are.
    Count,
    /// Keep them, for `$`.
    Save,
    /// How well each of them fits.
    Relevancy,
    /// Tell of changes to them from now on.
    Update,
    /// The same search is likely to come again.
    Context,
}

impl ResultOption {
    const NAMES: [(&'static [u8], ResultOption); 8] = [
        (b"MIN", ResultOption::Min),
        (b"MAX", ResultOption::Max),
        (b"ALL", ResultOption::All),
        (b"COUNT", ResultOption::Count),
        (b"SAVE", ResultOption::Save),
        (b"RELEVANCY", ResultOption::Relevancy),
        (b"UPDATE", ResultOption::Update),
        (b"CONTEXT", ResultOption::Context),
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The options of one command. At least one: an empty list means ALL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultOptions {
    bits: u8,
    partial: Option<PartialRange>,
    new_items: Vec<FetchItem>,
}

impl ResultOptions {
    /// ALL alone, which an empty list means, and with IMAP4rev2 a missing one.
    pub const ALL: ResultOptions =
        ResultOptions { bits: 1 << ResultOption::All as u8, partial: None, new_items: Vec::new() };

    /// Whether the option is among them.
    pub fn has(&self, option: ResultOption) -> bool {
        self.bits & option.bit() != 0
    }

    /// The names of those without an argument.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        let given = ResultOption::NAMES.iter().filter(|(_, option)| self.has(*option));
        given.map(|(name, _)| std::str::from_utf8(name).unwrap_or_default())
    }

    /// PARTIAL.
    pub fn partial(&self) -> Option<PartialRange> {
        self.partial
    }

    /// What UPDATE is to tell of each new message that is among the results; empty for nothing.
    pub fn new_items(&self) -> &[FetchItem] {
        &self.new_items
    }

    /// Whether there is an ESEARCH reply: SAVE alone brings none (RFC 5182 section 2.2).
    pub fn wants_reply(&self) -> bool {
        self.partial.is_some() || self.bits != ResultOption::Save.bit()
    }

    /// Errors: the options cannot be had with this key.
    pub(crate) fn check(&self, key: &SearchKey) -> Result<(), Fault> {
        if self.has(ResultOption::Relevancy) && !key.has_fuzzy() {
            return Err(Fault::syntax("RELEVANCY needs a FUZZY key"));
        }
        Ok(())
    }

    /// Takes `RETURN (…)` and the space behind it, if that is what comes next.
    ///
    /// Errors: an option that is not known, or that does not go with another.
    pub(crate) fn parse_if_given(cursor: &mut Cursor<'_>) -> Result<Option<ResultOptions>, Fault> {
        const RETURN: &[u8] = b"RETURN";
        let rest = cursor.rest();
        let is_given = rest.get(..RETURN.len()).is_some_and(|word| word.eq_ignore_ascii_case(RETURN))
            && matches!(rest.get(RETURN.len()), Some(b' ' | b'('));
        if !is_given {
            return Ok(None);
        }
        cursor.take(RETURN.len());
        cursor.skip_spaces();
        let mut options = ResultOptions { bits: 0, partial: None, new_items: Vec::new() };
        cursor.list(|cursor| options.parse_one(cursor))?;
        cursor.space()?;
        if options.bits == 0 && options.partial.is_none() {
            return Ok(Some(ResultOptions::ALL));
        }
        if options.partial.is_some() && options.has(ResultOption::All) {
            return Err(Fault::syntax("ALL and PARTIAL do not go together"));
        }
        Ok(Some(options))
    }

    fn parse_one(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let name = cursor.keyword()?;
        if name.as_bytes() == b"PARTIAL" {
            cursor.space()?;
            let range = PartialRange::parse(cursor)?;
            if self.partial.replace(range).is_some() {
                return Err(Fault::syntax("PARTIAL goes only once"));
            }
            return Ok(());
        }
        let known = ResultOption::NAMES.iter().find(|(known, _)| *known == name.as_bytes());
        let (_, option) = known.ok_or(Fault::syntax("Unknown result option"))?;
        self.bits |= option.bit();
        if *option == ResultOption::Update {
            self.parse_new_items(cursor)?;
        }
        Ok(())
    }

    /// Takes the items behind UPDATE, if there are some. The grammar has no space before them, the examples have one.
    fn parse_new_items(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let mut ahead = cursor.clone();
        ahead.skip_spaces();
        if ahead.peek() == Some(b'(') {
            FetchArguments::parse_items(&mut ahead, &mut self.new_items)?;
            *cursor = ahead;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn parse(text: &str) -> Result<Option<ResultOptions>, Fault> {
        ResultOptions::parse_if_given(&mut Cursor::new(text.as_bytes(), &Limits::LOGGED_IN))
    }

    fn options(text: &str) -> ResultOptions {
        parse(text).expect(text).expect(text)
    }

    #[test]
    fn every_option_is_known() {
        for (name, option) in ResultOption::NAMES {
            let name = String::from_utf8_lossy(name).to_lowercase();
            let parsed = options(&format!("return ({name}) ALL"));
            for (_, other) in ResultOption::NAMES {
                assert_eq!(parsed.has(other), other == option, "{name}");
            }
        }
        let many = options("RETURN ( MIN  COUNT PARTIAL -1:-5 ) ALL");
        assert!(many.has(ResultOption::Min) && many.has(ResultOption::Count));
        assert_eq!(many.partial().expect("PARTIAL").resolve(9), 4..9);
    }

    #[test]
    fn update_may_have_items() {
        for text in ["RETURN (COUNT UPDATE (UID FLAGS)) ALL", "RETURN (UPDATE(UID FLAGS UID) COUNT) ALL"] {
            let parsed = options(text);
            assert!(parsed.has(ResultOption::Update) && parsed.has(ResultOption::Count), "{text}");
            assert_eq!(parsed.new_items(), [FetchItem::Uid, FetchItem::Flags], "{text}");
        }
        assert_eq!(options("RETURN (UPDATE) ALL").new_items(), []);
    }

    #[test]
    fn an_empty_list_means_all() {
        assert_eq!(options("RETURN () ALL"), ResultOptions::ALL);
        assert_eq!(options("RETURN( ) ALL"), ResultOptions::ALL);
    }

    #[test]
    fn what_is_no_list_is_left() {
        for text in ["", "ALL", "RETURNED", "RETURN", "RETUR (ALL)"] {
            assert_eq!(parse(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn wrong_options_are_refused() {
        for text in [
            "RETURN (BEST) ALL",
            "RETURN (MIN",
            "RETURN (MIN)",
            "RETURN (MIN)ALL",
            "RETURN MIN ALL",
            "RETURN (ALL PARTIAL 1:2) ALL",
            "RETURN (PARTIAL 1:2 ALL) ALL",
            "RETURN (PARTIAL 1:2 PARTIAL 1:2) ALL",
            "RETURN (PARTIAL) ALL",
            "RETURN (PARTIAL 0:2) ALL",
            "RETURN (MIN(5)) ALL",
            "RETURN (UPDATE ()) ALL",
            "RETURN (UPDATE (NONE)) ALL",
            "RETURN (COUNT (UID)) ALL",
            "RETURN (1:5) ALL",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn save_alone_brings_no_reply() {
        assert!(!options("RETURN (SAVE) ALL").wants_reply());
        assert!(options("RETURN (UPDATE) ALL").wants_reply());
        assert!(options("RETURN (SAVE MIN) ALL").wants_reply());
        assert!(options("RETURN (SAVE PARTIAL 1:2) ALL").wants_reply());
    }
}
