//! Content-Transfer-Encodings (RFC 2045 6), decoded leniently: what is no valid code is passed over or kept, never an error.

/// A base64 decoder that can be fed in pieces.
#[derive(Debug, Default)]
pub struct Base64 {
    bits: u32,
    bit_count: u32,
}

impl Base64 {
    /// Decodes a piece. White space and foreign octets are passed over; padding ends a group, and more may follow it.
    pub(crate) fn decode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len() / 4 * 3 + 3);
        for &octet in piece {
            let value = VALUES[usize::from(octet)];
            if value < 64 {
                self.bits = self.bits << 6 | u32::from(value);
                self.bit_count += 6;
                if self.bit_count >= 8 {
                    self.bit_count -= 8;
                    out.push((self.bits >> self.bit_count) as u8);
                }
            } else if octet == b'=' {
                *self = Base64::default();
            }
        }
    }

    /// Is this an octet of base64, padding and white space included?
    pub(super) fn accepts(octet: u8) -> bool {
        VALUES[usize::from(octet)] < 64 || matches!(octet, b'=' | b' ' | b'\t' | b'\r' | b'\n')
    }
}

const VALUES: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [255; 256];
    let mut value = 0;
    while value < 64 {
        values[alphabet[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Decodes quoted-printable. An invalid escape stands for itself.
pub(crate) fn quoted_printable(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len());
    for line in encoded.split_inclusive(|&octet| octet == b'\n') {
        // White space at the end of a line was added on the way (RFC 2045 6.7).
        let content = line.trim_ascii_end();
        match content.strip_suffix(b"=") {
            Some(content) => escapes(content, &mut out),
            None => {
                escapes(content, &mut out);
                if line.ends_with(b"\r\n") {
                    out.extend_from_slice(b"\r\n");
                } else if line.ends_with(b"\n") {
                    out.push(b'\n');
                }
            }
        }
    }
    out
}

/// Decodes the Q encoding of header words (RFC 2047 4.2).
pub(super) fn q_word(text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    escapes(text, out);
    // An underscore that was escaped is `=5F`, so decode those that stand in `text` only.
    if memchr::memchr(b'_', text).is_some() {
        out.truncate(start);
        for (index, piece) in text.split(|&octet| octet == b'_').enumerate() {
            if index > 0 {
                out.push(b' ');
            }
            escapes(piece, out);
        }
    }
}

fn escapes(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(equals) = memchr::memchr(b'=', rest) {
        out.extend_from_slice(&rest[..equals]);
        rest = &rest[equals..];
        let code = match rest {
            [_, high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        let length = if code.is_some() { 3 } else { 1 };
        out.push(code.unwrap_or(b'='));
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_base64() {
        let decode = |text: &[u8]| {
            let mut out = Vec::new();
            Base64::default().decode(text, &mut out);
            out
        };
        assert_eq!(decode(b"aGVs\r\nbG8="), b"hello");
        assert_eq!(decode(b"aGVsbG8"), b"hello");
        assert_eq!(decode(b"aGk=aGk="), b"hihi");
        assert_eq!(decode(b"a!G*k="), b"hi");
        assert_eq!(decode(b""), b"");
    }

    #[test]
    fn decodes_quoted_printable() {
        assert_eq!(
            quoted_printable(b"a=3D=c3=A9 \t\r\nsoft= \r\nbreak=\nend=ZZ="),
            b"a=\xc3\xa9\r\nsoftbreakend=ZZ"
        );
        let mut out = Vec::new();
        q_word(b"a_b=5Fc", &mut out);
        assert_eq!(out, b"a b_c");
    }
}
