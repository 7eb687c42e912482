//! The structure of one part, cut out of the BODYSTRUCTURE of its message in wire form (RFC 3501 7.4.2): BODYPARTSTRUCTURE of RFC 5524.
//!
//! The wire form is our own, of a record; where it is not as it should be, there is no such part.

/// The structure of the part with this number, as [`crate::Record::section`] counts. The empty path is the whole.
pub fn part_structure<'a>(body_structure: &'a [u8], path: &[u32]) -> Option<&'a [u8]> {
    let mut here = body_structure;
    let mut inside_part = false;
    for &number in path {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        // What a message/rfc822 encloses is numbered as if it were all there is.
        if inside_part && !is_multipart(here) {
            let start = br#"("MESSAGE" "RFC822""#;
            here.get(..start.len()).filter(|there| there.eq_ignore_ascii_case(start))?;
            here = elements(here)?.nth(8).filter(|enclosed| enclosed.starts_with(b"("))?;
        }
        here = if is_multipart(here) {
            elements(here)?.nth(index).filter(|part| part.starts_with(b"("))?
        } else {
            (index == 0).then_some(here)?
        };
        inside_part = true;
    }
    Some(here)
}

/// The same part once it is decoded, when it has `size` octets: its encoding is BINARY. A multipart stays as it is.
pub fn decoded_structure(part: &[u8], size: u64) -> Vec<u8> {
    let fields: Option<Vec<&[u8]>> = elements(part).map(Iterator::collect);
    match fields {
        Some(fields) if !is_multipart(part) && fields.len() > 6 => {
            let size = size.to_string();
            let mut out = b"(".to_vec();
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b' ');
                }
                out.extend_from_slice(match index {
                    5 => b"\"BINARY\"",
                    6 => size.as_bytes(),
                    _ => field,
                });
            }
            out.push(b')');
            out
        }
        _ => part.to_vec(),
    }
}

fn is_multipart(list: &[u8]) -> bool {
    list.starts_with(b"((")
}

/// The elements of a list.
fn elements(list: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let mut rest = list.strip_prefix(b"(")?.strip_suffix(b")")?;
    Some(std::iter::from_fn(move || {
        while let [b' ', behind @ ..] = rest {
            rest = behind;
        }
        let length = element_length(rest)?;
        let (element, behind) = rest.split_at(length);
        rest = behind;
        Some(element)
    }))
}

/// Octets of the element that `rest` begins with: a list, a string or an atom.
fn element_length(rest: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0usize);
    while let Some(&octet) = rest.get(at) {
        match octet {
            b'"' => {
                at += 1;
                while *rest.get(at)? != b'"' {
                    at += if rest[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' => {
                let line_end = at + memchr::memchr(b'\n', rest.get(at..)?)?;
                let digits = rest.get(at + 1..line_end)?.strip_suffix(b"}\r")?;
                let size: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
                at = line_end.checked_add(size)?;
            }
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            b' ' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
        if depth == 0 && matches!(octet, b')' | b'"' | b'{') {
            return (at <= rest.len()).then_some(at);
        }
    }
    (depth == 0 && at > 0 && at == rest.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: &str = r#"("TEXT" "PLAIN" ("CHARSET" "a)b\"") NIL NIL "BASE64" 12 1 NIL NIL NIL NIL)"#;

    #[test]
    fn parts_are_found_by_their_numbers() {
        let inner = format!(r#"({LEAF}{LEAF} "ALTERNATIVE" ("BOUNDARY" "x"))"#);
        let enclosed =
            format!("(\"MESSAGE\" \"RFC822\" NIL NIL {{3}}\r\n)\"( \"7BIT\" 99 (NIL NIL) {inner} 4 NIL)");
        let single = format!("(\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 99 (NIL) {LEAF} 4 NIL)");
        let whole = format!(r#"({LEAF}{inner}{enclosed}{single} "MIXED" NIL)"#);
        let find = |path: &[u32]| {
            part_structure(whole.as_bytes(), path).map(|part| String::from_utf8_lossy(part).into_owned())
        };
        assert_eq!(find(&[]), Some(whole.clone()));
        assert_eq!(find(&[1]), Some(LEAF.to_owned()));
        assert_eq!(find(&[2]), Some(inner.clone()));
        assert_eq!(find(&[2, 2]), Some(LEAF.to_owned()));
        assert_eq!(find(&[3]), Some(enclosed.clone()));
        assert_eq!(find(&[3, 1]), Some(LEAF.to_owned()));
        assert_eq!(find(&[4, 1]), Some(LEAF.to_owned()));
        for path in [&[5][..], &[0], &[1, 1], &[2, 3], &[4, 2], &[3, 1, 1]] {
            assert_eq!(find(path), None, "{path:?}");
        }
        assert_eq!(part_structure(LEAF.as_bytes(), &[1]), Some(LEAF.as_bytes()));
        assert_eq!(part_structure(b"(((", &[1]), None);
    }

    #[test]
    fn a_decoded_part_says_so() {
        let decoded = decoded_structure(LEAF.as_bytes(), 9);
        let expected = LEAF.replace("\"BASE64\" 12", "\"BINARY\" 9");
        assert_eq!(String::from_utf8_lossy(&decoded), expected);
    }
}
