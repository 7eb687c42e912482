//! Text of fixed room, carried by atomic words.
//!
//! Called by `cell.rs` under the cell's sequence counter; on its own it does not protect against tearing.

use std::sync::atomic::{AtomicU64, Ordering};

/// Stores what fits of `text`, cut at a character border, zeros behind it; gives the number of octets kept.
pub(crate) fn store(words: &[AtomicU64], text: &str) -> u8 {
    let mut kept = text.len().min(words.len() * 8).min(255);
    while !text.is_char_boundary(kept) {
        kept -= 1;
    }
    let bytes = &text.as_bytes()[..kept];
    for (at, word) in words.iter().enumerate() {
        let mut octets = [0; 8];
        let from = (at * 8).min(kept);
        let part = &bytes[from..(from + 8).min(kept)];
        octets[..part.len()].copy_from_slice(part);
        word.store(u64::from_le_bytes(octets), Ordering::Relaxed);
    }
    kept as u8
}

/// Copies `length` octets out; what is not UTF-8 is replaced, a length too large is cut.
pub(crate) fn load(words: &[u64], length: u8) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).take(length.into()).collect();
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> String {
        let words = [const { AtomicU64::new(u64::MAX) }; 2];
        let length = store(&words, text);
        load(&words.each_ref().map(|word| word.load(Ordering::Relaxed)), length)
    }

    #[test]
    fn keeps_what_fits_and_cuts_at_a_character() {
        assert_eq!(round(""), "");
        assert_eq!(round("select"), "select");
        assert_eq!(round("0123456789abcdef"), "0123456789abcdef");
        assert_eq!(round("0123456789abcdefgh"), "0123456789abcdef");
        assert_eq!(round("0123456789abcdé"), "0123456789abcdé");
        assert_eq!(round("0123456789abcdeé"), "0123456789abcde");
    }

    #[test]
    fn a_length_from_a_broken_table_is_bounded() {
        assert_eq!(load(&[u64::from_le_bytes(*b"abcdefgh")], 200), "abcdefgh");
    }
}
