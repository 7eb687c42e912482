//! Modified UTF-7 (RFC 3501 section 5.1.3), in which names of mailboxes travel.
//!
//! Printable ASCII stands for itself, `&-` for `&`, and `&` … `-` for UTF-16 in base64 with `,` in place of `/` and without
//! padding. Both ways are linear.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// The text that `octets` stand for; `None` when they are not well-formed.
///
/// Accepted although nobody should send them: ASCII in base64, and one run of base64 right after another. They mean one
/// thing only.
pub fn decode(octets: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        match octet {
            b'&' => {
                let end = memchr::memchr(b'-', rest)?;
                if end == 0 {
                    text.push('&');
                } else {
                    decode_run(&rest[..end], &mut text)?;
                }
                rest = &rest[end + 1..];
            }
            b' '..=b'~' => text.push(char::from(octet)),
            _ => return None,
        }
    }
    Some(text)
}

fn decode_run(digits: &[u8], text: &mut String) -> Option<()> {
    let mut bits: u32 = 0;
    let mut bit_count = 0;
    let units = digits.iter().map(|&digit| digit_value(digit)).filter_map(|value| {
        let Some(value) = value else {
            return Some(None);
        };
        bits = bits << 6 | value;
        bit_count += 6;
        if bit_count < 16 {
            return None;
        }
        bit_count -= 16;
        let unit = (bits >> bit_count) as u16;
        bits &= (1 << bit_count) - 1;
        Some(Some(unit))
    });
    // A digit that is none becomes half of a surrogate pair, which no text contains.
    let units = units.map(|unit| unit.unwrap_or(0xDFFF));
    for decoded in char::decode_utf16(units) {
        text.push(decoded.ok()?);
    }
    (bit_count < 6 && bits == 0).then_some(())
}

fn digit_value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b',' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// Appends `text` in modified UTF-7.
pub fn encode(text: &str, out: &mut Vec<u8>) {
    let mut bits: u32 = 0;
    let mut bit_count = 0;
    let mut in_run = false;
    let mut units = [0; 2];
    for character in text.chars() {
        let is_plain = matches!(character, ' '..='~');
        if is_plain && in_run {
            end_run(bits, bit_count, out);
            (bits, bit_count, in_run) = (0, 0, false);
        }
        if character == '&' {
            out.extend_from_slice(b"&-");
        } else if is_plain {
            out.push(character as u8);
        } else {
            if !in_run {
                out.push(b'&');
                in_run = true;
            }
            for unit in character.encode_utf16(&mut units) {
                bits = bits << 16 | u32::from(*unit);
                bit_count += 16;
                while bit_count >= 6 {
                    bit_count -= 6;
                    out.push(ALPHABET[(bits >> bit_count & 63) as usize]);
                }
                bits &= (1 << bit_count) - 1;
            }
        }
    }
    if in_run {
        end_run(bits, bit_count, out);
    }
}

fn end_run(bits: u32, bit_count: u32, out: &mut Vec<u8>) {
    if bit_count > 0 {
        out.push(ALPHABET[(bits << (6 - bit_count) & 63) as usize]);
    }
    out.push(b'-');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (text, wire) in [
            ("", ""),
            ("INBOX", "INBOX"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("A&B", "A&-B"),
            ("Übung", "&ANw-bung"),
            ("☺!", "&Jjo-!"),
            ("&&", "&-&-"),
            ("😀", "&2D3eAA-"),
            ("é&é", "&AOk-&-&AOk-"),
        ] {
            let mut out = Vec::new();
            encode(text, &mut out);
            assert_eq!(out, wire.as_bytes(), "{text}");
            assert_eq!(decode(wire.as_bytes()).as_deref(), Some(text));
        }
    }

    #[test]
    fn every_character_survives() {
        for character in (0..=0x10FFFF).step_by(7).filter_map(char::from_u32) {
            let text = format!("a{character}{character}&{character}-");
            let mut out = Vec::new();
            encode(&text, &mut out);
            assert_eq!(decode(&out), Some(text));
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for wire in
            ["&", "&AO", "a&b", "&A-", "&AOkA-", "&AOl-", "&2D0-", "&3gA-", "&AO/-", "é", "a\tb", "&A=-"]
        {
            assert_eq!(decode(wire.as_bytes()), None, "{wire}");
        }
        assert_eq!(decode(b"&AGE-").as_deref(), Some("a"));
    }
}
