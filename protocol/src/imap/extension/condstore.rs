//! CONDSTORE (RFC 7162 section 3.1): modification sequences in commands.

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::string;

/// How long the name of an entry in SEARCH MODSEQ may be, in octets.
const ENTRY_NAME_MAX: usize = 256;

/// A modification sequence, or 0: `mod-sequence-valzer`.
pub(crate) fn parse_modseq_or_zero(cursor: &mut Cursor<'_>) -> Result<u64, Fault> {
    cursor.number()
}

/// A modification sequence: `mod-sequence-value`, 1 to 2^63 - 1.
pub(crate) fn parse_modseq(cursor: &mut Cursor<'_>) -> Result<u64, Fault> {
    match cursor.number()? {
        0 => Err(Fault::syntax("A modification sequence is not 0")),
        modseq => Ok(modseq),
    }
}

/// The modifiers of STORE: `(UNCHANGEDSINCE n)`, if they are there.
pub(crate) fn parse_store_modifiers(cursor: &mut Cursor<'_>) -> Result<Option<u64>, Fault> {
    if cursor.peek() != Some(b'(') {
        return Ok(None);
    }
    let mut unchanged_since = None;
    cursor.list(|cursor| {
        if cursor.keyword()?.as_bytes() != b"UNCHANGEDSINCE" {
            return Err(Fault::syntax("Unknown modifier of STORE"));
        }
        cursor.space()?;
        match unchanged_since.replace(parse_modseq_or_zero(cursor)?) {
            None => Ok(()),
            Some(_) => Err(Fault::syntax("UNCHANGEDSINCE twice")),
        }
    })?;
    if unchanged_since.is_none() {
        return Err(Fault::syntax("No modifier of STORE in the parentheses"));
    }
    cursor.space()?;
    Ok(unchanged_since)
}

/// What stands behind MODSEQ in SEARCH: a modification sequence, perhaps after the name of an entry and whose it is. We have one
/// for all flags of a message, so that entries make no difference (RFC 7162 section 3.1.5).
pub(crate) fn parse_search_modseq(cursor: &mut Cursor<'_>) -> Result<u64, Fault> {
    if cursor.peek() == Some(b'"') {
        let name = string::parse_string(cursor)?;
        if name.len() > ENTRY_NAME_MAX {
            return Err(Fault::limit("The name of an entry is too long"));
        }
        if !name.starts_with(b"/") {
            return Err(Fault::syntax("The name of an entry begins with /"));
        }
        cursor.space()?;
        if !matches!(cursor.keyword()?.as_bytes(), b"ALL" | b"PRIV" | b"SHARED") {
            return Err(Fault::syntax("Expected all, priv or shared"));
        }
        cursor.space()?;
    }
    parse_modseq_or_zero(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn with<T>(text: &str, parse: impl Fn(&mut Cursor<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let parsed = parse(&mut cursor)?;
        cursor.end()?;
        Ok(parsed)
    }

    #[test]
    fn a_modification_sequence_has_63_bits() {
        assert_eq!(with("9223372036854775807", parse_modseq), Ok(i64::MAX as u64));
        assert_eq!(with("1", parse_modseq), Ok(1));
        assert_eq!(with("0", parse_modseq_or_zero), Ok(0));
        for wrong in ["0", "9223372036854775808", "-1", "", "x"] {
            assert!(with(wrong, parse_modseq).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unchangedsince_is_the_one_modifier_of_store() {
        assert_eq!(with("(UNCHANGEDSINCE 12) ", parse_store_modifiers), Ok(Some(12)));
        assert_eq!(with("( unchangedsince  0 ) ", parse_store_modifiers), Ok(Some(0)));
        assert_eq!(with("", parse_store_modifiers), Ok(None));
        for wrong in [
            "() ",
            "(UNCHANGEDSINCE) ",
            "(UNCHANGEDSINCE 1 UNCHANGEDSINCE 2) ",
            "(CHANGEDSINCE 1) ",
            "(UNCHANGEDSINCE 1)",
            "(UNCHANGEDSINCE 1",
        ] {
            assert!(with(wrong, parse_store_modifiers).is_err(), "{wrong}");
        }
    }

    #[test]
    fn entries_of_search_are_read_and_make_no_difference() {
        for text in ["7", "\"/flags/\\\\draft\" all 7", "\"/flags/$Junk\" PRIV 7", "\"/flags/x\" shared 7"] {
            assert_eq!(with(text, parse_search_modseq), Ok(7), "{text}");
        }
        let long = format!("\"/{}\" all 7", "x".repeat(ENTRY_NAME_MAX));
        for wrong in ["\"/flags/x\" 7", "\"/flags/x\" some 7", "\"flags\" all 7", "/flags/x all 7", &long] {
            assert!(with(wrong, parse_search_modseq).is_err(), "{wrong}");
        }
    }
}
