//! Patterns of LIST and LSUB (RFC 3501 section 6.3.8): `*` is any text, `%` any text without a `/`.
//!
//! INBOX, as the first level of a name, matches in any case of letters. The time is at most the pattern's length times the
//! name's, whatever the pattern.

use super::syntax::mailbox_name::HIERARCHY_DELIMITER;

const DELIMITER: u8 = HIERARCHY_DELIMITER as u8;

/// A pattern behind its reference, ready to be matched with names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

impl Pattern {
    /// The pattern of a LIST: the reference and the pattern, one behind the other.
    pub fn new(reference: &str, pattern: &str) -> Pattern {
        let mut text = String::with_capacity(reference.len() + pattern.len());
        text.push_str(reference);
        for character in pattern.chars() {
            // What follows `*` or `**` is the same, and so are `*%` and `%*`.
            let repeats = text.ends_with('*') && matches!(character, '*' | '%')
                || text.ends_with('%') && character == '%';
            if repeats {
                continue;
            }
            if character == '*' && text.ends_with('%') {
                text.pop();
            }
            text.push(character);
        }
        Pattern { text }
    }

    /// Whether a name in UTF-8 is what the pattern describes.
    pub fn matches(&self, name: &str) -> bool {
        let any_case_to = if name == "INBOX" || name.starts_with("INBOX/") { "INBOX".len() } else { 0 };
        matches_text(self.text.as_bytes(), name.as_bytes(), any_case_to)
    }

    /// The text before the first wildcard: every name that matches begins with it, in any case of letters when it begins
    /// with INBOX.
    pub fn fixed_beginning(&self) -> &str {
        let end = self.text.find(['*', '%']).unwrap_or(self.text.len());
        &self.text[..end]
    }
}

/// Follows all ways to match at once, octet by octet: `places` are the offsets in the pattern from which the rest of the name
/// may be matched, ascending.
fn matches_text(pattern: &[u8], name: &[u8], any_case_to: usize) -> bool {
    let mut places = Vec::with_capacity(8);
    let mut next = Vec::with_capacity(8);
    add_place(pattern, &mut places, 0);
    for (index, &octet) in name.iter().enumerate() {
        for &place in &places {
            match pattern.get(place) {
                Some(b'*') => add_place(pattern, &mut next, place),
                Some(b'%') if octet == DELIMITER => {}
                Some(b'%') => add_place(pattern, &mut next, place),
                Some(&other) if other == octet => add_place(pattern, &mut next, place + 1),
                Some(other) if index < any_case_to && other.eq_ignore_ascii_case(&octet) => {
                    add_place(pattern, &mut next, place + 1);
                }
                _ => {}
            }
        }
        std::mem::swap(&mut places, &mut next);
        next.clear();
        if places.is_empty() {
            return false;
        }
    }
    places.last() == Some(&pattern.len())
}

/// Adds a place, and those behind the wildcards at it, for they may stand for nothing.
fn add_place(pattern: &[u8], places: &mut Vec<usize>, mut place: usize) {
    while places.last().is_none_or(|&last| last < place) {
        places.push(place);
        if !matches!(pattern.get(place), Some(b'*' | b'%')) {
            return;
        }
        place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new("", pattern).matches(name)
    }

    #[test]
    fn wildcards_and_levels() {
        for (pattern, name, expected) in [
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("%", "", true),
            ("", "", true),
            ("", "a", false),
            ("a/%", "a/b", true),
            ("a/%", "a/b/c", false),
            ("a/*", "a/b/c", true),
            ("a/*", "a", false),
            ("a*", "a", true),
            ("%/%", "a/b", true),
            ("%/%", "a/b/c", false),
            ("%/*", "a/b/c", true),
            ("*c", "a/b/c", true),
            ("*%c", "a/b/c", true),
            ("%*c", "a/b/c", true),
            ("%b%", "abc", true),
            ("%b%", "a/b", false),
            ("*b%d*", "ab/bcd/e", true),
            ("*b%d*", "ab/cd", false),
            ("a%b/c%d", "axb/cyd", true),
            ("foo", "Foo", false),
            ("日*", "日本", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn inbox_matches_in_any_case() {
        for pattern in ["inbox", "InBox", "i%", "in*", "INBOX"] {
            assert!(matches(pattern, "INBOX"), "{pattern}");
        }
        assert!(matches("inbox/%", "INBOX/a"));
        assert!(!matches("inbox/A", "INBOX/a"));
        assert!(!matches("inboxes", "INBOX"));
        assert!(!matches("INBOXES", "inboxes"));
    }

    #[test]
    fn a_reference_stands_before_the_pattern() {
        let pattern = Pattern::new("a/", "%");
        assert!(pattern.matches("a/b") && !pattern.matches("b"));
        assert_eq!(Pattern::new("a/b", "/c%*d").fixed_beginning(), "a/b/c");
    }

    #[test]
    fn agrees_with_the_definition() {
        fn slow(pattern: &[u8], name: &[u8]) -> bool {
            match pattern.split_first() {
                None => name.is_empty(),
                Some((wildcard @ (b'*' | b'%'), rest)) => {
                    slow(rest, name)
                        || name.split_first().is_some_and(|(octet, others)| {
                            (*wildcard == b'*' || *octet != b'/') && slow(pattern, others)
                        })
                }
                Some((octet, rest)) => {
                    name.split_first().is_some_and(|(other, others)| octet == other && slow(rest, others))
                }
            }
        }
        let mut seed = 1u64;
        let mut random_text = |alphabet: &[u8], longest: u64| -> String {
            let mut draw = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                seed >> 33
            };
            let length = draw() % longest;
            (0..length).map(|_| char::from(alphabet[(draw() % alphabet.len() as u64) as usize])).collect()
        };
        for _ in 0..20_000 {
            let pattern = random_text(b"ab/*%", 8);
            let name = random_text(b"ab/", 10);
            assert_eq!(
                matches(&pattern, &name),
                slow(pattern.as_bytes(), name.as_bytes()),
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn no_pattern_is_slow() {
        let name = "a".repeat(1024);
        assert!(!matches(&format!("{}b", "*a%a".repeat(200)), &name));
    }
}
