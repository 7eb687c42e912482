//! From octets of a named charset to text. The decoders are those of `mail-parser`, but for UTF-7,
//! of which it drops what follows a base64 run without a hyphen.

use super::transfer::Base64;
use mail_parser::decoders::charsets::map::charset_decoder;

/// The text, or `None` if the charset is not known. What a charset cannot say becomes U+FFFD.
pub fn decode(charset: &[u8], octets: &[u8]) -> Option<String> {
    let is = |names: &[&[u8]]| names.iter().any(|name| name.eq_ignore_ascii_case(charset));
    if is(&[b"utf-8", b"utf8", b"unicode-1-1-utf-8", b"x-unicode20utf8"]) {
        return Some(String::from_utf8_lossy(octets).into_owned());
    }
    if is(&[b"us-ascii", b"ascii", b"ansi_x3.4-1968"]) {
        return Some(guess(octets));
    }
    if is(&[b"utf-7", b"unicode-1-1-utf-7"]) {
        return Some(utf_7(octets));
    }
    if charset.is_empty() || charset.len() > 45 {
        return None;
    }
    charset_decoder(charset).map(|decoder| decoder(octets))
}

/// Text of octets whose charset nobody names: UTF-8 if they are valid UTF-8, otherwise windows-1252, in which every octet is something.
pub(super) fn guess(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => match charset_decoder(b"windows-1252") {
            Some(decoder) => decoder(octets),
            None => String::from_utf8_lossy(octets).into_owned(),
        },
    }
}

/// UTF-7 (RFC 2152): ASCII, with UTF-16 in base64 between a plus and the first octet that is no base64.
fn utf_7(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(plus) = memchr::memchr(b'+', rest) {
        text.push_str(&guess(&rest[..plus]));
        rest = &rest[plus + 1..];
        let is_base64 = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/');
        let (run, behind) =
            rest.split_at(rest.iter().position(|octet| !is_base64(octet)).unwrap_or(rest.len()));
        let mut utf_16 = Vec::new();
        Base64::default().decode(run, &mut utf_16);
        let (units, _) = utf_16.as_chunks::<2>();
        let characters = char::decode_utf16(units.iter().map(|&unit| u16::from_be_bytes(unit)));
        text.extend(characters.map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)));
        rest = match behind.strip_prefix(b"-") {
            Some(behind) => {
                if run.is_empty() {
                    text.push('+');
                }
                behind
            }
            None => behind,
        };
    }
    text.push_str(&guess(rest));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_utf_7() {
        for (encoded, want) in [
            ("na+AO8-ve caf+AOk +APw-ber", "naïve café über"),
            ("1 +- 1 +2D3eAA-", "1 + 1 😀"),
            ("Hi Mom -+Jjo--!", "Hi Mom -☺-!"),
            ("+AOk", "é"),
            ("+", ""),
        ] {
            assert_eq!(utf_7(encoded.as_bytes()), want, "{encoded}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(decode(b"UTF8", "é".as_bytes()).as_deref(), Some("é"));
        assert_eq!(decode(b"us-ascii", b"\xe9").as_deref(), Some("é"));
        assert_eq!(decode(b"x-none", b"a"), None);
        assert_eq!(decode(b"", b"a"), None);
    }
}
