//! Comparing without regard to case, close to i;unicode-casemap (RFC 5051): characters that have the same capital are the same.

use memchr::{memchr2_iter, memmem};

/// A needle, folded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    text: String,
}

impl Folded {
    /// Folds `text`.
    pub fn new(text: &str) -> Self {
        Folded { text: fold(text) }
    }

    /// The folded text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// `text` with every character replaced by the small letter of its capital.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            folded.push(character.to_ascii_lowercase());
        } else {
            // By way of the capital: so do both sigmas, the long s and the sharp s find their like.
            folded.extend(character.to_uppercase().flat_map(char::to_lowercase));
        }
    }
    folded
}

/// Does `haystack` contain `needle`, without regard to case? Every text contains the empty one.
pub fn contains_folded(haystack: &str, needle: &Folded) -> bool {
    let needle = needle.text.as_bytes();
    let Some((&first, behind)) = needle.split_first() else { return true };
    if needle.is_ascii() {
        let octets = haystack.as_bytes();
        let starts = memchr2_iter(first, first.to_ascii_uppercase(), octets);
        if (starts.map(|start| &octets[start + 1..]))
            .any(|rest| rest.get(..behind.len()).is_some_and(|text| text.eq_ignore_ascii_case(behind)))
        {
            return true;
        }
    }
    // Other characters fold to ASCII as well (K, the sign of Kelvin), so only now a haystack of ASCII is done with.
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
            ("Größe", "GRÖSSE"),
            ("MÜNCHEN", "münchen"),
            ("273 \u{212a}", "k"),
            ("Привет", "ПРИВЕТ"),
            ("東京都", "京"),
            ("aaab", "aab"),
        ] {
            assert!(contains(haystack, needle), "{haystack} {needle}");
        }
        for (haystack, needle) in [("hello", "hellos"), ("", "a"), ("é", "e"), ("ab", "ba")] {
            assert!(!contains(haystack, needle), "{haystack} {needle}");
        }
    }
}
