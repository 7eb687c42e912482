//! Small text files whose last line is a checksum of those before it: `FORMAT`, `state`, `checkpoint.<writer>`.

/// `body`, which ends with a line feed, and its checksum behind it.
pub(crate) fn with_crc(mut body: String) -> String {
    use std::fmt::Write;
    let crc = crc32c::crc32c(body.as_bytes());
    // Writing to a string does not fail.
    let _ = writeln!(body, "crc {crc:08x}");
    body
}

/// The lines before the checksum, if they are what was written.
pub(crate) fn without_crc(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let body_len = text.rfind('\n')? + 1;
    let (body, last) = text.split_at(body_len);
    let digits = last.strip_prefix("crc ")?;
    let crc = u32::from_str_radix(digits, 16).ok()?;
    (crc == crc32c::crc32c(body.as_bytes()) && digits == format!("{crc:08x}")).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flipped_bit_passes() {
        let text = with_crc("lode something 1\nepoch 17\n".to_string());
        assert_eq!(without_crc(text.as_bytes()), Some("lode something 1\nepoch 17\n"));
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut flipped = text.clone().into_bytes();
                flipped[at] ^= 1 << bit;
                assert_eq!(without_crc(&flipped), None, "bit {bit} of {at}");
            }
            assert_eq!(without_crc(&text.as_bytes()[..at]), None);
        }
    }
}
