//! Content-Type, Content-Disposition and the other MIME fields (RFC 2045, 2183, 2231), read leniently.

use crate::address::{quoted_end, skip_comment, unescape};
use crate::{Encoding, Globals, Media};

/// Longest type, subtype or encoding name that is believed (RFC 6838 4.2 allows 127).
const NAME_OCTETS_MAX: usize = 127;

/// A value with parameters: a token, then `; attribute=value` any number of times. Where white space alone stands in front of a
/// parameter, the semicolon was forgotten: what that hides may be the boundary, and with it all attachments.
#[derive(Debug)]
pub(crate) struct Parameters<'a> {
    raw: &'a [u8],
    at: usize,
    value: Vec<u8>,
}

impl<'a> Parameters<'a> {
    pub(crate) fn new(raw: &'a [u8]) -> Self {
        Parameters { raw, at: 0, value: Vec::new() }
    }

    /// The token that comes next, up to a separator; empty if there is none.
    pub(crate) fn token(&mut self) -> &'a [u8] {
        self.skip_space();
        let start = self.at;
        while let Some(&octet) = self.raw.get(self.at) {
            if matches!(octet, 0..=b' ' | b';' | b'/' | b'(' | b'"' | b',' | b'=' | 127..) {
                break;
            }
            self.at += 1;
        }
        &self.raw[start..self.at]
    }

    /// Takes `octet` if it comes next.
    pub(crate) fn take(&mut self, octet: u8) -> bool {
        self.skip_space();
        let there = self.raw.get(self.at) == Some(&octet);
        self.at += usize::from(there);
        there
    }

    /// The next parameter: attribute as written, value without quotes. What is none is passed over.
    pub(crate) fn parameter(&mut self) -> Option<(&'a [u8], &[u8])> {
        loop {
            let is_behind_space = self.raw.get(self.at).is_some_and(u8::is_ascii_whitespace);
            let is_separated = self.take(b';');
            let attribute = self.attribute();
            let is_one = is_separated || is_behind_space && is_attribute(attribute);
            if is_one && !attribute.is_empty() && self.take(b'=') {
                self.read_value();
                return Some((attribute, &self.value));
            }
            self.at += memchr::memchr(b';', &self.raw[self.at..])?;
        }
    }

    fn attribute(&mut self) -> &'a [u8] {
        self.skip_space();
        let start = self.at;
        while let Some(&octet) = self.raw.get(self.at) {
            if matches!(octet, b'=' | b';' | b'"' | b'\r' | b'\n') {
                break;
            }
            self.at += 1;
        }
        self.raw[start..self.at].trim_ascii_end()
    }

    fn read_value(&mut self) {
        self.value.clear();
        self.skip_space();
        let rest = &self.raw[self.at..];
        if rest.first() == Some(&b'"') {
            let (inside, end) = match quoted_end(rest) {
                Some(end) => (&rest[1..end - 1], end),
                None => (&rest[1..], rest.len()),
            };
            unescape(inside, &mut self.value);
            self.at += end;
            return;
        }
        // An unquoted value should be a token. Names with spaces and brackets are seen, so it goes to the next semicolon or comment.
        let mut before = b' ';
        while let Some(&octet) = self.raw.get(self.at) {
            match octet {
                b';' => break,
                b'(' if before.is_ascii_whitespace() => break,
                b'\r' | b'\n' => {}
                _ => self.value.push(octet),
            }
            before = octet;
            self.at += 1;
        }
        let length = self.value.trim_ascii_end().len();
        self.value.truncate(length);
    }

    fn skip_space(&mut self) {
        while let Some(&octet) = self.raw.get(self.at) {
            match octet {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'(' => self.at = skip_comment(self.raw, self.at, None),
                _ => break,
            }
        }
    }
}

/// Can these octets be an attribute and nothing else (RFC 2045 5.1, token)?
fn is_attribute(name: &[u8]) -> bool {
    name.iter().all(|octet| matches!(octet, b'!'..=b'~') && !b"()<>@,;:\\\"/[]?=".contains(octet))
}

/// Gathers the value of one parameter, however it is written: plain, encoded, or in sections (RFC 2231 3 and 4).
#[derive(Debug)]
pub(crate) struct Gathered {
    name: &'static [u8],
    plain: Option<Vec<u8>>,
    sections: Vec<(u16, Vec<u8>)>,
}

/// Sections of one parameter that are looked at.
const SECTIONS_MAX: usize = 64;

impl Gathered {
    pub(crate) fn new(name: &'static [u8]) -> Self {
        Gathered { name, plain: None, sections: Vec::new() }
    }

    /// Takes a parameter if it is, or is a section of, the one looked for.
    pub(crate) fn take(&mut self, attribute: &[u8], value: &[u8]) {
        let Some((start, rest)) = attribute.split_at_checked(self.name.len()) else { return };
        if !start.eq_ignore_ascii_case(self.name) {
            return;
        }
        if rest.is_empty() {
            self.plain.get_or_insert_with(|| value.to_vec());
            return;
        }
        let Some(rest) = rest.strip_prefix(b"*") else { return };
        let (number, is_encoded) = match rest.strip_suffix(b"*") {
            Some(number) => (number, true),
            None => (rest, rest.is_empty()),
        };
        let Some(number) = section_number(number) else { return };
        if self.sections.len() < SECTIONS_MAX {
            self.sections.push((
                number,
                if is_encoded { percent_decoded(value, number == 0) } else { value.to_vec() },
            ));
        }
    }

    /// The value; a plain one counts more than sections. Empty if there is none.
    pub(crate) fn value(mut self) -> Vec<u8> {
        self.plain.unwrap_or_else(|| {
            self.sections.sort_by_key(|&(number, _)| number);
            self.sections.into_iter().flat_map(|(_, value)| value).collect()
        })
    }
}

/// The number of a section. None stands for the first.
fn section_number(digits: &[u8]) -> Option<u16> {
    match digits {
        [] => Some(0),
        _ => std::str::from_utf8(digits).ok()?.parse().ok(),
    }
}

/// Without charset and language, which stand before two apostrophes in the first section, and without percent codes.
fn percent_decoded(value: &[u8], is_first: bool) -> Vec<u8> {
    let text =
        if is_first { value.splitn(3, |&octet| octet == b'\'').nth(2).unwrap_or(value) } else { value };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [octet, behind @ ..] = rest {
        let code = match rest {
            [b'%', high, low, ..] => std::str::from_utf8(&[*high, *low])
                .ok()
                .filter(|code| code.bytes().all(|digit| digit.is_ascii_hexdigit()))
                .and_then(|code| u8::from_str_radix(code, 16).ok()),
            _ => None,
        };
        out.push(code.unwrap_or(*octet));
        rest = if code.is_some() { &rest[3..] } else { behind };
    }
    out
}

/// The media type of a part, in upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MediaType {
    pub(crate) main: Vec<u8>,
    pub(crate) sub: Vec<u8>,
}

impl MediaType {
    pub(crate) fn new(main: &[u8], sub: &[u8]) -> Self {
        MediaType { main: main.to_ascii_uppercase(), sub: sub.to_ascii_uppercase() }
    }

    /// Reads the beginning of a Content-Type value. `None`: it is no media type.
    pub(crate) fn read(parameters: &mut Parameters<'_>) -> Option<Self> {
        let main = parameters.token();
        if !parameters.take(b'/') {
            return None;
        }
        let sub = parameters.token();
        let valid = |name: &[u8]| !name.is_empty() && name.len() <= NAME_OCTETS_MAX;
        (valid(main) && valid(sub)).then(|| MediaType::new(main, sub))
    }

    pub(crate) fn media(&self, globals: Globals) -> Media {
        match (self.main.as_slice(), self.sub.as_slice()) {
            (b"TEXT", b"HTML") => Media::Html,
            (b"TEXT", _) => Media::Text,
            (b"MESSAGE", b"RFC822") => Media::Message,
            (b"MESSAGE", b"GLOBAL") if globals == Globals::Messages => Media::Message,
            (b"MULTIPART", _) => Media::Multipart,
            _ => Media::Other,
        }
    }
}

/// The name of a Content-Transfer-Encoding in upper case; `7BIT` if there is none.
pub(crate) fn encoding_name(raw: Option<&[u8]>) -> Vec<u8> {
    let name = raw.map_or(&b""[..], |raw| {
        let mut parameters = Parameters::new(raw);
        parameters.take(b'"');
        parameters.token()
    });
    if name.is_empty() || name.len() > NAME_OCTETS_MAX { b"7BIT".to_vec() } else { name.to_ascii_uppercase() }
}

/// What to do for an encoding.
pub(crate) fn encoding(name: &[u8]) -> Encoding {
    match name {
        b"7BIT" | b"8BIT" | b"BINARY" => Encoding::Identity,
        b"BASE64" => Encoding::Base64,
        b"QUOTED-PRINTABLE" => Encoding::QuotedPrintable,
        _ => Encoding::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> String {
        let mut parameters = Parameters::new(raw.as_bytes());
        let mut out = match MediaType::read(&mut parameters) {
            Some(media) => [media.main, media.sub].join(&b"/"[..]),
            None => b"-".to_vec(),
        };
        while let Some((attribute, value)) = parameters.parameter() {
            out.extend_from_slice(&[b"; ", attribute, b"=", value].concat());
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn reads_content_types() {
        let cases = [
            (" text/plain; charset=utf-8\r\n", "TEXT/PLAIN; charset=utf-8"),
            ("text / html (c) ; (c) Charset = \"a\\\"b\" ; x=y (c)", "TEXT/HTML; Charset=a\"b; x=y"),
            ("multipart/mixed; boundary=\"foo\n bar\"", "MULTIPART/MIXED; boundary=foo bar"),
            ("a/b; name*0*=utf-8'en'%C3; name*1*=%A9", "A/B; name*0*=utf-8'en'%C3; name*1*=%A9"),
            ("a/b; filename=un quoted name.txt", "A/B; filename=un quoted name.txt"),
            ("a/b; filename=\"un;closed", "A/B; filename=un;closed"),
            ("a/b;;; =x; y; z=", "A/B; z="),
            ("a/b; n=f(1).txt", "A/B; n=f(1).txt"),
            ("a/b\r\n\tx=\"1\" y=2", "A/B; x=1; y=2"),
            ("a/b x y=1; z=2", "A/B; z=2"),
            ("a/b/x=1 y=2; z=3", "A/B; z=3"),
            ("a/b; x=\"1\"y=2; z=3", "A/B; x=1; z=3"),
            ("text", "-"),
            ("text/; charset=x", "-; charset=x"),
            ("/", "-"),
            ("", "-"),
        ];
        for (raw, want) in cases {
            assert_eq!(read(raw), want, "{raw}");
        }
    }

    #[test]
    fn gathers_sections() {
        let cases: [(&str, &str); 7] = [
            ("boundary=plain; boundary=second", "plain"),
            ("boundary*0*=us-ascii''%3D_88; boundary*1*=24f3", "=_8824f3"),
            ("Boundary*1=b; BOUNDARY*0=a", "ab"),
            ("boundary*=utf-8'en'a%3", "a%3"),
            ("boundary*0=a; boundary=plain", "plain"),
            ("boundary*x=a", ""),
            ("bound=a", ""),
        ];
        for (raw, want) in cases {
            let mut gathered = Gathered::new(b"boundary");
            let raw = format!("; {raw}");
            let mut parameters = Parameters::new(raw.as_bytes());
            while let Some((attribute, value)) = parameters.parameter() {
                gathered.take(attribute, value);
            }
            assert_eq!(gathered.value(), want.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn reads_encodings() {
        assert_eq!(encoding_name(None), b"7BIT");
        assert_eq!(encoding_name(Some(b" (c) base64 ; x")), b"BASE64");
        assert_eq!(encoding_name(Some(b"\"quoted-printable\"")), b"QUOTED-PRINTABLE");
        assert_eq!(encoding(b"X-UUENCODE"), Encoding::Unknown);
    }
}
