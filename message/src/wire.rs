//! Strings of the IMAP wire form (RFC 3501 4.3). Used wherever a reply is prepared.

use std::borrow::Cow;

/// Longest string sent in quotes. Clients are known to stumble over very long lines.
const QUOTED_OCTETS_MAX: usize = 1000;

const ESCAPE: u8 = 1;
const LITERAL: u8 = 2;

const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    class[b'"' as usize] = ESCAPE;
    class[b'\\' as usize] = ESCAPE;
    class[0] = LITERAL;
    class[b'\r' as usize] = LITERAL;
    class[b'\n' as usize] = LITERAL;
    let mut octet = 128;
    while octet < 256 {
        class[octet] = LITERAL;
        octet += 1;
    }
    class
};

/// Appends `value` as a quoted string, or as a literal if it has octets that quotes cannot carry. NUL, which neither can carry,
/// becomes `?`.
pub(crate) fn string(out: &mut Vec<u8>, value: &[u8]) {
    let class = value.iter().fold(0, |seen, &octet| seen | CLASS[usize::from(octet)]);
    if class & LITERAL != 0 || value.len() > QUOTED_OCTETS_MAX {
        out.push(b'{');
        number(out, value.len() as u64);
        out.extend_from_slice(b"}\r\n");
        out.extend(value.iter().map(|&octet| if octet == 0 { b'?' } else { octet }));
        return;
    }
    out.push(b'"');
    if class & ESCAPE == 0 {
        out.extend_from_slice(value);
    } else {
        for &octet in value {
            if CLASS[usize::from(octet)] == ESCAPE {
                out.push(b'\\');
            }
            out.push(octet);
        }
    }
    out.push(b'"');
}

/// Appends `value` as a string, NIL if there is none.
pub(crate) fn nstring(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => string(out, value),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Appends a decimal number.
pub(crate) fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A field value without the line ends of its folds and without white space around it (RFC 5322 2.2.3).
pub(crate) fn unfold(raw: &[u8]) -> Cow<'_, [u8]> {
    let raw = raw.trim_ascii();
    if memchr::memchr(b'\n', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut value = Vec::with_capacity(raw.len());
    for line in raw.split(|&octet| octet == b'\n') {
        value.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
    }
    Cow::Owned(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        string(&mut out, value);
        out
    }

    #[test]
    fn quotes_what_quotes_can_carry() {
        assert_eq!(wire(b""), b"\"\"");
        assert_eq!(wire(b"plain"), b"\"plain\"");
        assert_eq!(wire(b"a\"b\\c"), b"\"a\\\"b\\\\c\"");
        assert_eq!(wire(b"a\rb"), b"{3}\r\na\rb");
        assert_eq!(wire("é".as_bytes()), b"{2}\r\n\xc3\xa9");
        assert_eq!(wire(b"a\0b"), b"{3}\r\na?b");
        assert!(wire(&[b'x'; 1001]).starts_with(b"{1001}\r\nxxx"));
    }

    #[test]
    fn unfolds() {
        assert_eq!(unfold(b" a\r\n b\n\tc \r\n").as_ref(), b"a b\tc");
        assert_eq!(unfold(b" one \r\n").as_ref(), b"one");
    }

    #[test]
    fn writes_numbers() {
        let mut out = Vec::new();
        for value in [0, 9, 10, u64::MAX] {
            number(&mut out, value);
            out.push(b' ');
        }
        assert_eq!(out, b"0 9 10 18446744073709551615 ");
    }
}
