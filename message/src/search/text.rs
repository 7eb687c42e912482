//! Text of a part's body, for SEARCH BODY and TEXT.

use std::borrow::Cow;

use mail_parser::decoders::html::html_to_text;

use super::charset;
use super::transfer::{Base64, quoted_printable};
use crate::{Encoding, Media};

/// Text of a part's raw body: transfer encoding and charset decoded, HTML without its tags. Parts that are no text have none. An
/// encoding that is not known is taken as none; a charset that is not known, or empty, as UTF-8 or windows-1252.
pub fn part_text(raw: &[u8], encoding: Encoding, charset: &str, media: Media) -> String {
    if matches!(media, Media::Other | Media::Multipart) {
        return String::new();
    }
    let octets = match encoding {
        Encoding::Identity | Encoding::Unknown => Cow::Borrowed(raw),
        Encoding::QuotedPrintable => Cow::Owned(quoted_printable(raw)),
        Encoding::Base64 => {
            let mut octets = Vec::new();
            Base64::default().decode(raw, &mut octets);
            Cow::Owned(octets)
        }
    };
    let text = charset::decode(charset.as_bytes(), &octets).unwrap_or_else(|| charset::guess(&octets));
    if media == Media::Html { html_to_text(&text) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_bodies() {
        let text = part_text(b"caf=C3=A9=\r\n!", Encoding::QuotedPrintable, "utf-8", Media::Text);
        assert_eq!(text, "café!");
        assert_eq!(part_text(b"Y2Fm6Q==", Encoding::Base64, "iso-8859-1", Media::Text), "café");
        assert_eq!(part_text(b"caf\xe9", Encoding::Identity, "no-such-charset", Media::Text), "café");
        assert_eq!(
            part_text(b"<p>caf&eacute; <b>au</b> lait</p>", Encoding::Identity, "", Media::Html).trim(),
            "café au lait"
        );
        assert_eq!(part_text(b"text", Encoding::Identity, "", Media::Other), "");
    }
}
