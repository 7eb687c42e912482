//! Search by words (RFC 6203): every word of what is looked for, in any order, without regard to case and accents.
//!
//! A word is a run of letters and digits. In scripts that are written without spaces each letter is a word. What is looked for may be spread over
//! several texts of one message.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Words beyond this many are not looked for.
const WORDS_MAX: usize = 64;
/// A word of a text is not longer than this many octets: what is longer is cut into several.
const WORD_OCTETS_MAX: usize = 256;

/// Words that are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// In the order of the text they come from, in capitals, without accents.
    words: Vec<String>,
}

/// What was found of them in a message so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WordsFound {
    /// The words that were found, as bits.
    found: u64,
    /// How near they are.
    nearness: Nearness,
}

/// How near to each other words were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    /// In several texts.
    #[default]
    Apart,
    /// In one text.
    Together,
    /// One behind the other.
    Phrase,
}

impl Words {
    /// The words of `text`.
    pub fn new(text: &str) -> Words {
        let mut words = Vec::new();
        each_word(text, |word| {
            if words.len() < WORDS_MAX {
                words.push(word.to_owned());
            }
        });
        Words { words }
    }

    /// Looks at another text of a message. Whether all words have been found.
    pub fn look(&self, text: &str, so_far: &mut WordsFound) -> bool {
        let mut here = 0;
        // How many words from the first on stand here one behind the other.
        let mut run = 0;
        let mut is_phrase = false;
        each_word(text, |word| {
            for (index, wanted) in self.words.iter().enumerate() {
                here |= u64::from(wanted == word) << index;
            }
            run = match self.words.get(run) {
                Some(next) if next == word => run + 1,
                _ => usize::from(self.words.first().is_some_and(|first| first == word)),
            };
            if run == self.words.len() {
                is_phrase = true;
                run = 0;
            }
        });
        let nearness = match here {
            _ if is_phrase => Nearness::Phrase,
            here if here == self.all() => Nearness::Together,
            _ => Nearness::Apart,
        };
        so_far.nearness = so_far.nearness.max(nearness);
        so_far.found |= here;
        so_far.found == self.all()
    }

    /// How well they were found, from 1 to 100.
    pub fn score(&self, found: &WordsFound) -> u8 {
        match found.nearness {
            _ if found.found != self.all() => 1,
            Nearness::Phrase => 100,
            Nearness::Together => 60,
            Nearness::Apart => 30,
        }
    }

    /// Whether nothing that is found later makes the score better.
    pub fn is_best(&self, found: &WordsFound) -> bool {
        found.nearness == Nearness::Phrase
    }

    fn all(&self) -> u64 {
        match self.words.len() {
            64.. => u64::MAX,
            count => (1 << count) - 1,
        }
    }
}

fn each_word(text: &str, mut take: impl FnMut(&str)) {
    if text.is_ascii() {
        let is_letter = |octet: &u8| octet.is_ascii_alphanumeric();
        let mut folded = [0; WORD_OCTETS_MAX];
        for word in text.as_bytes().split(|octet| !is_letter(octet)) {
            for piece in word.chunks(WORD_OCTETS_MAX) {
                folded[..piece.len()].copy_from_slice(piece);
                folded[..piece.len()].make_ascii_uppercase();
                if let Ok(word) = std::str::from_utf8(&folded[..piece.len()]) {
                    take(word);
                }
            }
        }
        return;
    }
    let mut word = String::new();
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            take(word);
            word.clear();
        }
    };
    for character in text.nfkd().filter(|character| !is_combining_mark(*character)) {
        let is_whole = stands_alone(character);
        if is_whole || !character.is_alphanumeric() || word.len() >= WORD_OCTETS_MAX {
            end(&mut word);
        }
        if character.is_alphanumeric() {
            // Whole capitals, so that sharp s is two.
            word.extend(character.to_uppercase());
        }
        if is_whole {
            end(&mut word);
        }
    }
    end(&mut word);
}

/// Whether the letter is of a script without spaces between words.
fn stands_alone(character: char) -> bool {
    matches!(character,
        '\u{e00}'..='\u{eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Burmese
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3040}'..='\u{30ff}' // Kana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(words: &str, text: &str) -> bool {
        Words::new(words).look(text, &mut WordsFound::default())
    }

    #[test]
    fn words_in_any_order_without_case_and_accents() {
        for (words, text) in [
            ("break imap", "IMAP, when will you break?"),
            ("uber", "Über alles"),
            ("ÜBER", "uber"),
            ("cafe", "le cafe\u{301} noir"),
            ("CAFÉ", "cafe"),
            ("strasse", "Straße"),
            ("京", "東京都"),
            ("都京", "東京都"),
            ("ﬁne", "fine"),
            ("a a", "a"),
            ("ПРИВЕТ", "привет, мир"),
            ("", "anything"),
            ("?!", "anything"),
            ("x2", "x2"),
        ] {
            assert!(is_in(words, text), "{words} in {text}");
        }
        for (words, text) in
            [("imap break", "IMAP only"), ("swim", "swimming"), ("a", ""), ("京", "東"), ("x 2", "x2")]
        {
            assert!(!is_in(words, text), "{words} in {text}");
        }
    }

    #[test]
    fn what_is_nearer_scores_better() {
        let words = Words::new("old friends");
        let score = |texts: &[&str]| {
            let mut found = WordsFound::default();
            let all = texts.iter().map(|text| words.look(text, &mut found)).last();
            (all, words.score(&found))
        };
        assert_eq!(score(&["my old, old friends!"]), (Some(true), 100));
        assert_eq!(score(&["friends are old"]), (Some(true), 60));
        assert_eq!(score(&["old", "friends"]), (Some(true), 30));
        assert_eq!(score(&["old"]), (Some(false), 1));
    }

    #[test]
    fn long_texts_and_long_words_are_bounded() {
        let long = "x".repeat(1_000_000);
        assert!(is_in(&"x".repeat(WORD_OCTETS_MAX), &long));
        assert!(!is_in("y", &"é".repeat(1_000_000)));
        let many: String = (0..1000).map(|number| format!("w{number} ")).collect();
        assert_eq!(Words::new(&many).words.len(), WORDS_MAX);
        assert!(is_in(&many, &many));
    }
}
