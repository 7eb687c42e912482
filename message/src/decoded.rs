//! The content of a part without its Content-Transfer-Encoding (RFC 2045 6), decoded as the octets come, in bounded memory.
//!
//! What is no valid code is passed over or kept, never an error. What comes out depends on the octets alone, not on the pieces they come in:
//! so its length can be found by one run and promised for the next.

use crate::Encoding;
use crate::search::{Base64, quoted_printable};

/// Quoted-printable lines longer than this are cut: white space at a cut stays.
const LINE_OCTETS_MAX: usize = 8192;

/// Decodes one part.
#[derive(Debug)]
pub enum TransferDecoder {
    /// The octets are the content.
    Identity,
    /// base64
    Base64(Base64),
    /// quoted-printable: the line so far.
    QuotedPrintable(Vec<u8>),
}

impl TransferDecoder {
    /// A decoder of this encoding; `None` if that is not known.
    pub fn new(encoding: Encoding) -> Option<TransferDecoder> {
        match encoding {
            Encoding::Identity => Some(TransferDecoder::Identity),
            Encoding::Base64 => Some(TransferDecoder::Base64(Base64::default())),
            Encoding::QuotedPrintable => Some(TransferDecoder::QuotedPrintable(Vec::new())),
            Encoding::Unknown => None,
        }
    }

    /// Decodes the next octets, as far as they can be without those behind them.
    pub fn push(&mut self, mut octets: &[u8], out: &mut Vec<u8>) {
        match self {
            TransferDecoder::Identity => out.extend_from_slice(octets),
            TransferDecoder::Base64(base64) => base64.decode(octets, out),
            TransferDecoder::QuotedPrintable(line) => {
                while !octets.is_empty() {
                    let room = &octets[..octets.len().min(LINE_OCTETS_MAX - line.len())];
                    let line_end = memchr::memchr(b'\n', room);
                    let (now, later) = octets.split_at(line_end.map_or(room.len(), |at| at + 1));
                    line.extend_from_slice(now);
                    octets = later;
                    if line_end.is_some() {
                        out.extend_from_slice(&quoted_printable(line));
                        line.clear();
                    } else if line.len() == LINE_OCTETS_MAX {
                        cut(line, out);
                    }
                }
            }
        }
    }

    /// All octets have come.
    pub fn finish(self, out: &mut Vec<u8>) {
        if let TransferDecoder::QuotedPrintable(line) = self {
            out.extend_from_slice(&quoted_printable(&line));
        }
    }
}

/// Decodes a line of which more is to come, but for what may be the beginning of an escape.
fn cut(line: &mut Vec<u8>, out: &mut Vec<u8>) {
    let last = line.len().saturating_sub(2);
    let kept = line[last..].iter().position(|&octet| octet == b'=').map_or(line.len(), |at| last + at);
    // With an octet behind it that is neither white space nor `=`, nothing at the end is taken for added or for a soft line end.
    let behind = line.split_off(kept);
    line.push(b'.');
    out.extend_from_slice(&quoted_printable(line));
    out.pop();
    *line = behind;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoding: Encoding, octets: &[u8], piece: usize) -> Vec<u8> {
        let mut decoder = TransferDecoder::new(encoding).expect("known");
        let mut out = Vec::new();
        octets.chunks(piece).for_each(|octets| decoder.push(octets, &mut out));
        decoder.finish(&mut out);
        out
    }

    #[test]
    fn what_comes_out_does_not_depend_on_pieces() {
        let long = [&b"=41".repeat(5000)[..], &b" ".repeat(9000), b"=\r\nend= \t\r\n."].concat();
        let cases: [(Encoding, &[u8], &[u8]); 6] = [
            (Encoding::Identity, b"a\0b\r\n", b"a\0b\r\n"),
            (Encoding::Base64, b"AAEC\r\nAw==\r\nBA==", b"\0\x01\x02\x03\x04"),
            (Encoding::Base64, b"", b""),
            (Encoding::QuotedPrintable, b"a=00b =\r\nc \t\r\nd=", b"a\0b cd".as_slice()),
            (Encoding::QuotedPrintable, b"a \t\r\n=C3=A9\n=ZZ=4", b"a\r\n\xc3\xa9\n=ZZ=4"),
            (Encoding::QuotedPrintable, &long, b""),
        ];
        for (encoding, octets, expected) in cases {
            let whole = decode(encoding, octets, usize::MAX);
            if octets.len() < 1000 {
                let expected = if expected == b"a\0b cd" { b"a\0b c\r\nd".as_slice() } else { expected };
                assert_eq!(whole, expected, "{encoding:?} {}", octets.escape_ascii());
            } else {
                assert!(whole.starts_with(&[b'A'; 5000]) && whole.ends_with(b"end."), "{}", whole.len());
            }
            for piece in [1, 2, 3, 7, 64, 8191] {
                assert_eq!(decode(encoding, octets, piece), whole, "{encoding:?} in pieces of {piece}");
            }
        }
        assert!(TransferDecoder::new(Encoding::Unknown).is_none());
    }
}
