//! The FETCH items of BINARY (RFC 3516 section 4.3).

use super::fetch::section_name;
use super::text;
use crate::imap::command::fetch::SectionItem;
use crate::imap::syntax::section::Section;

/// Appends `BINARY[…]<start> {length}` and its line end, or with `~{length}` if there is a NUL among the octets, `length` of which must
/// follow.
pub fn header(out: &mut Vec<u8>, item: &SectionItem, length: u64, has_nul: bool) {
    section_name(out, b"BINARY", item);
    if has_nul {
        text::literal8_header(out, length);
    } else {
        text::literal_header(out, length);
    }
}

/// Appends `BINARY[…] NIL`: the message has no such part, or it cannot be decoded.
pub fn nil(out: &mut Vec<u8>, item: &SectionItem) {
    section_name(out, b"BINARY", item);
    out.extend_from_slice(b"NIL");
}

/// Appends `BINARY.SIZE[…] n`.
pub fn size(out: &mut Vec<u8>, section: &Section, octets: u64) {
    out.extend_from_slice(b"BINARY.SIZE");
    section.write(out);
    out.push(b' ');
    text::number(out, octets);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::syntax::section::Partial;

    #[test]
    fn items_of_every_form() {
        let section = Section { part: vec![2, 1], text: None };
        let mut item = SectionItem { section: section.clone(), partial: None, peek: true };
        let mut out = Vec::new();
        header(&mut out, &item, 3, true);
        item.partial = Some(Partial { start: 5, length: 9 });
        header(&mut out, &item, 3, false);
        nil(&mut out, &item);
        size(&mut out, &section, 70);
        assert_eq!(
            String::from_utf8(out).expect("ASCII"),
            "BINARY[2.1] ~{3}\r\nBINARY[2.1]<5> {3}\r\nBINARY[2.1]<5> NILBINARY.SIZE[2.1] 70"
        );
    }
}
