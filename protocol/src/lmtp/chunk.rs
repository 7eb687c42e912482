//! A chunk of a message on its way in (RFC 3030 section 2): so many octets as they stand, whatever they are.

/// Takes the octets of one BDAT out of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkDecoder {
    left_octets: u64,
}

impl ChunkDecoder {
    /// For the octets behind a BDAT of that size.
    pub const fn new(octets: u64) -> ChunkDecoder {
        ChunkDecoder { left_octets: octets }
    }

    /// The front of `input` that is of the chunk, to be dropped from the input then.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let octets = usize::try_from(self.left_octets).unwrap_or(usize::MAX).min(input.len());
        self.left_octets -= octets as u64;
        &input[..octets]
    }

    /// Whether all octets came. What follows in the input is the next command.
    pub fn is_ended(&self) -> bool {
        self.left_octets == 0
    }
}

#[cfg(test)]
mod tests {
    use super::ChunkDecoder;

    #[test]
    fn a_chunk_ends_where_it_says() {
        let mut chunk = ChunkDecoder::new(5);
        assert_eq!(chunk.next(b"ab"), b"ab");
        assert!(!chunk.is_ended());
        assert_eq!(chunk.next(b""), b"");
        assert_eq!(chunk.next(b"\r\n.\r\nRSET"), b"\r\n.");
        assert!(chunk.is_ended());
        assert_eq!(chunk.next(b"RSET"), b"");
        assert!(ChunkDecoder::new(0).is_ended());
        let mut endless = ChunkDecoder::new(u64::MAX);
        assert_eq!(endless.next(b"abc"), b"abc");
        assert!(!endless.is_ended());
    }
}
