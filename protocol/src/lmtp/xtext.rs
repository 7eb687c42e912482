//! xtext (RFC 3461 section 4): text without spaces, in which `+` and two hex digits in capitals stand for an octet.

/// The text that `encoded` stands for; `None` if it is no xtext, or stands for no UTF-8.
pub(super) fn decode(encoded: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => {
                let ([high, low], tail) = (tail.first_chunk::<2>()?, tail.get(2..)?);
                octets.push(digit(*high)? << 4 | digit(*low)?);
                rest = tail;
            }
            b'=' => return None,
            b'!'..=b'~' => octets.push(*first),
            _ => return None,
        }
    }
    String::from_utf8(octets).ok()
}

fn digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn only_xtext_is_decoded() {
        for (encoded, text) in
            [("", ""), ("abc", "abc"), ("a+2Bb+3D", "a+b="), ("+C3+A4", "ä"), ("a+20b", "a b")]
        {
            assert_eq!(decode(encoded).as_deref(), Some(text), "{encoded}");
        }
        for encoded in ["+", "+2", "+2b", "+GG", "a=b", "a b", "ä", "+FF", "a\t"] {
            assert_eq!(decode(encoded), None, "{encoded}");
        }
    }
}
