//! Comparing without regard to case: the collation i;unicode-casemap (RFC 5051), which I18NLEVEL=1 asks for (RFC 5255, 4.2).
//!
//! A text is prepared, character by character: its titlecase character of UnicodeData.txt, if it has one, and then the whole
//! compatibility decomposition of that. Prepared texts are compared octet by octet. So `é` begins with `E`, and `ß` is not `SS`:
//! that one is not in UnicodeData.txt.

use memchr::{memchr2_iter, memmem};
use unicode_normalization::char::decompose_compatible;

/// A needle, prepared once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    text: String,
}

impl Folded {
    /// Prepares `text`.
    pub fn new(text: &str) -> Self {
        Folded { text: fold(text) }
    }

    /// The prepared text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// `text`, prepared.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    let mut folded = String::with_capacity(text.len() + text.len() / 2);
    for character in text.chars() {
        if character.is_ascii() {
            folded.push(character.to_ascii_uppercase());
        } else {
            decompose_compatible(titlecase(character), |part| folded.push(part));
        }
    }
    folded
}

/// The titlecase character that UnicodeData.txt has for `character`, or itself. The standard library knows upper case only, and
/// that of SpecialCasing.txt, which may be several characters.
fn titlecase(character: char) -> char {
    match character {
        // Digraphs have a titlecase of their own.
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        // Georgian letters are their own titlecase.
        '\u{10d0}'..='\u{10ff}' => character,
        // Greek letters with a small iota: one character with a capital letter, where upper case has two.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
            char::from_u32(character as u32 + 8).unwrap_or(character)
        }
        '\u{1fb3}' => '\u{1fbc}',
        '\u{1fc3}' => '\u{1fcc}',
        '\u{1ff3}' => '\u{1ffc}',
        _ => {
            let mut capitals = character.to_uppercase();
            match (capitals.next(), capitals.next()) {
                (Some(capital), None) => capital,
                _ => character,
            }
        }
    }
}

/// Does `haystack` contain `needle`, without regard to case? Every text contains the empty one.
pub fn contains_folded(haystack: &str, needle: &Folded) -> bool {
    let needle = needle.text.as_bytes();
    let Some((&first, behind)) = needle.split_first() else { return true };
    if needle.is_ascii() {
        let octets = haystack.as_bytes();
        let starts = memchr2_iter(first, first.to_ascii_lowercase(), octets);
        if (starts.map(|start| &octets[start + 1..]))
            .any(|rest| rest.get(..behind.len()).is_some_and(|text| text.eq_ignore_ascii_case(behind)))
        {
            return true;
        }
    }
    // Other characters become ASCII as well (accents are taken off letters), so only now a haystack of ASCII is done with.
    !haystack.is_ascii() && memmem::find(fold(haystack).as_bytes(), needle).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(haystack: &str, needle: &str) -> bool {
        contains_folded(haystack, &Folded::new(needle))
    }

    #[test]
    fn finds_without_case() {
        for (haystack, needle) in [
            ("Hello World", "o w"),
            ("hello", "HELLO"),
            ("x", ""),
            ("", ""),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Größe", "GRÖß"),
            ("MÜNCHEN", "münchen"),
            ("273 \u{212a}", "k"),
            ("Привет", "ПРИВЕТ"),
            ("東京都", "京"),
            ("aaab", "aab"),
            ("é", "e"),
            ("e\u{301}", "É"),
        ] {
            assert!(contains(haystack, needle), "{haystack} {needle}");
        }
        for (haystack, needle) in
            [("hello", "hellos"), ("", "a"), ("e", "é"), ("ab", "ba"), ("Größe", "GRÖSSE")]
        {
            assert!(!contains(haystack, needle), "{haystack} {needle}");
        }
    }

    #[test]
    fn prepares_as_rfc_5051_says() {
        for (text, prepared) in [
            ("Hello, [x]_^", "HELLO, [X]_^"),
            // The example of the RFC, 2 (2).
            ("\u{1c4}", "Dz\u{30c}"),
            ("\u{1c6}", "Dz\u{30c}"),
            ("ß", "ß"),
            ("\u{1fb3}", "\u{391}\u{345}"),
            ("\u{1f80}", "\u{391}\u{313}\u{345}"),
            ("\u{10d0}", "\u{10d0}"),
            ("½", "1\u{2044}2"),
            ("\u{a0}", " "),
            ("ſ", "S"),
            // Decomposed after the case was mapped.
            ("ﬁ", "fi"),
            ("가", "\u{1100}\u{1161}"),
        ] {
            assert_eq!(fold(text), prepared, "{text}");
        }
    }
}
