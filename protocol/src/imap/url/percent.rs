//! Percent codes (RFC 3986 section 2.1), and which octets stand for themselves where (RFC 5092 section 11).

/// What stands for itself in a user's name: `achar`.
pub(super) fn is_achar(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~!$'()*+,&=".contains(&octet)
}

/// What stands for itself in a mailbox or a section: `bchar`.
pub(super) fn is_bchar(octet: u8) -> bool {
    is_achar(octet) || b":@/".contains(&octet)
}

/// Appends `octets`, with codes for those that do not stand for themselves.
pub(super) fn encode(octets: &[u8], stands: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    for &octet in octets {
        if stands(octet) {
            out.push(octet);
        } else {
            out.push(b'%');
            out.extend([octet >> 4, octet & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]));
        }
    }
}

/// The octets that `text` stands for; `None` if a code is none.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [octet, behind @ ..] = rest {
        rest = behind;
        if *octet != b'%' {
            out.push(*octet);
            continue;
        }
        let (code, behind) = rest.split_first_chunk::<2>()?;
        let [high, low] = code.map(|digit| char::from(digit).to_digit(16));
        // Two hex digits fit.
        out.push((high? << 4 | low?) as u8);
        rest = behind;
    }
    Some(out)
}
