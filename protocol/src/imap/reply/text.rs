//! The small things replies are made of: numbers, sizes of literals, human-readable text.

/// Appends a number in decimal.
pub fn number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    let mut rest = number;
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// Appends `{length}` and a line end; the literal's octets are to follow.
pub fn literal_header(out: &mut Vec<u8>, length: u64) {
    out.push(b'{');
    number(out, length);
    out.extend_from_slice(b"}\r\n");
}

/// Appends `~{length}` and a line end; the octets of the literal8 (RFC 3516), any at all, are to follow.
pub fn literal8_header(out: &mut Vec<u8>, length: u64) {
    out.push(b'~');
    literal_header(out, length);
}

/// Appends human-readable text: what is not printable ASCII becomes `?`. Empty text becomes a dot, for a status line must
/// have some.
pub fn human(out: &mut Vec<u8>, text: &str) {
    if text.is_empty() {
        out.push(b'.');
    }
    out.extend(
        text.chars().map(|character| if matches!(character, ' '..='~') { character as u8 } else { b'?' }),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 7, 10, 99, 100, 4_294_967_295, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
        }
    }

    #[test]
    fn text_cannot_end_a_line() {
        let mut out = Vec::new();
        human(&mut out, "a\r\nb OK \u{e9}\0");
        assert_eq!(out, b"a??b OK ??");
    }
}
