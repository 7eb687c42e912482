//! Text of header fields: unfolded, encoded words decoded (RFC 2047).
//!
//! Lenient where mail is: words without white space around them, too long, with spaces inside, or cut within a character are
//! decoded. A word of unknown charset or encoding, or with foreign octets in its base64, stands for itself.

use memchr::memmem;

use super::charset;
use super::transfer::{Base64, q_word};

/// Longest text of an encoded word, in octets. RFC 2047 2 allows 75 for the whole word.
const WORD_OCTETS_MAX: usize = 4096;

/// Longest charset name, in octets.
const CHARSET_OCTETS_MAX: usize = 64;

/// Text of a raw header field value. Octets outside ASCII that are not encoded are UTF-8 or else windows-1252.
pub fn decode_header_text(raw: &[u8]) -> String {
    let unfolded = crate::wire::unfold(raw);
    let mut rest = unfolded.as_ref();
    if memmem::find(rest, b"=?").is_none() {
        return charset::guess(rest);
    }
    let mut text = Text::default();
    while let Some(start) = memmem::find(rest, b"=?") {
        let (plain, at_word) = rest.split_at(start);
        text.plain(plain);
        match Word::read(at_word) {
            Some((word, length)) if text.word(&word) => rest = &at_word[length..],
            _ => {
                text.plain(&at_word[..2]);
                rest = &at_word[2..];
            }
        }
    }
    text.plain(rest);
    text.finish()
}

/// An encoded word, not yet decoded.
struct Word<'a> {
    charset: &'a [u8],
    is_base64: bool,
    encoded: &'a [u8],
}

impl<'a> Word<'a> {
    /// Reads the word that `raw` begins with, and its length.
    fn read(raw: &'a [u8]) -> Option<(Self, usize)> {
        let name = &raw[2..];
        let name_end = memchr::memchr(b'?', &name[..name.len().min(CHARSET_OCTETS_MAX)])?;
        let (name, rest) = name.split_at(name_end);
        let [b'?', encoding, b'?', rest @ ..] = rest else { return None };
        let is_base64 = match encoding {
            b'b' | b'B' => true,
            b'q' | b'Q' => false,
            _ => return None,
        };
        let end = memmem::find(&rest[..rest.len().min(WORD_OCTETS_MAX)], b"?=")?;
        let encoded = &rest[..end];
        if is_base64 && !encoded.iter().all(|&octet| Base64::accepts(octet)) {
            return None;
        }
        // RFC 2231 5 adds a language behind an asterisk.
        let charset = name.split(|&octet| octet == b'*').next().unwrap_or(name);
        let is_name = !charset.is_empty() && charset.iter().all(u8::is_ascii_graphic);
        is_name.then_some((Word { charset, is_base64, encoded }, 2 + name_end + 3 + end + 2))
    }
}

/// Decoded text in the making. Words next to each other are decoded together, since a character may be cut between them.
#[derive(Default)]
struct Text<'a> {
    out: String,
    /// Plain octets since the last word.
    plain: Vec<u8>,
    /// Whether anything in `plain` is not white space. Kept, since to look through all of it at
    /// each word would be quadratic.
    plain_is_text: bool,
    charset: &'a [u8],
    /// Octets of the words since the last plain text.
    octets: Vec<u8>,
    base64: Base64,
    after_word: bool,
}

impl<'a> Text<'a> {
    fn plain(&mut self, plain: &[u8]) {
        self.plain.extend_from_slice(plain);
        self.plain_is_text = self.plain_is_text || !plain.trim_ascii_start().is_empty();
    }

    /// Takes a word. False: its charset is not known.
    fn word(&mut self, word: &Word<'a>) -> bool {
        // White space between two words is not part of the text (RFC 2047 6.2).
        let is_adjacent = self.after_word && !self.plain_is_text;
        let goes_on = is_adjacent && self.charset.eq_ignore_ascii_case(word.charset);
        if !goes_on && charset::decode(word.charset, b"").is_none() {
            return false;
        }
        if is_adjacent {
            self.plain.clear();
        }
        if !goes_on {
            self.flush();
            self.charset = word.charset;
            self.base64 = Base64::default();
        }
        if word.is_base64 {
            self.base64.decode(word.encoded, &mut self.octets);
        } else {
            self.base64 = Base64::default();
            q_word(word.encoded, &mut self.octets);
        }
        self.after_word = true;
        true
    }

    fn flush(&mut self) {
        if !self.octets.is_empty() {
            let decoded = charset::decode(self.charset, &self.octets);
            self.out.push_str(&decoded.unwrap_or_else(|| charset::guess(&self.octets)));
            self.octets.clear();
        }
        if !self.plain.is_empty() {
            self.out.push_str(&charset::guess(&self.plain));
            self.plain.clear();
            self.plain_is_text = false;
        }
    }

    fn finish(mut self) -> String {
        self.flush();
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_words() {
        let cases = [
            ("plain", "plain"),
            ("=?utf-8?q?caf=C3=A9?=", "café"),
            ("a =?UTF-8?B?Y2Fmw6k=?= b", "a café b"),
            ("=?utf-8*en?Q?tagged?=", "tagged"),
            ("=?utf-8?b?w?=\r\n =?utf-8?b?6k=?=", "é"),
            ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
            ("=?utf-8?q?a?= =?koi8-r?Q?=D2?= x", "aр x"),
            ("=?x-unknown?q?abc?=", "=?x-unknown?q?abc?="),
            ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
            ("=?utf-8?q?with space?=", "with space"),
            ("a=?utf-8?q?b?=c", "abc"),
            ("=?iso-2022-jp?B?GyRCJDMkcyRLJEEkTxsoQg==?=", "こんにちは"),
            ("=?gb2312?B?1tDOxA==?=", "中文"),
            ("=?utf-8?q??=", ""),
            ("=?utf-8?b?*&^?=", "=?utf-8?b?*&^?="),
            ("=?us-ascii?q?=E9?=", "é"),
            ("=?utf-8?b?4pyTIOKckw?=", "✓ ✓"),
            ("=?utf-8?Q?=F0=9F=98=80?=", "😀"),
            ("=?utf-16?b?//5hAA==?=", "a"),
            ("=?", "=?"),
            ("=?=?utf-8?q?a?=", "=?a"),
            ("folded\r\n here", "folded here"),
        ];
        for (raw, want) in cases {
            assert_eq!(decode_header_text(raw.as_bytes()), want, "{raw}");
        }
    }

    #[test]
    fn guesses_raw_octets() {
        assert_eq!(decode_header_text("é".as_bytes()), "é");
        assert_eq!(decode_header_text(b"caf\xe9 \x80"), "café €");
    }

    #[test]
    fn ends_on_repetition() {
        for text in ["=?", "=?a?q?", "=?utf-8?q?a?=", "=?utf-8?b?w?= "] {
            decode_header_text(&text.as_bytes().repeat(40_000));
        }
        let spaces = " ".repeat(300_000);
        let unknown = "=?x?q??=".repeat(300_000);
        decode_header_text(format!("=?utf-8?q?a?={spaces}{unknown}").as_bytes());
    }
}
