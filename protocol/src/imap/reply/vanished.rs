//! VANISHED (RFC 7162 section 3.2.10): UIDs whose messages are gone.

use crate::imap::syntax::sequence_set;

/// How many ranges one line has at most, so that it stays below the 8,192 octets of RFC 7162 section 4.
pub const RANGES_PER_LINE: usize = 360;

/// Which of the two replies it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vanished {
    /// `VANISHED (EARLIER)`: asked for, of what happened before. Message numbers do not move.
    Earlier,
    /// `VANISHED`: in place of EXPUNGE. Every UID was in the mailbox that the client knows, and message numbers move.
    Now,
}

/// Appends one line with the first of `ranges` (first and last UID, ascending), and says how many it took. Nothing for none.
pub fn line(out: &mut Vec<u8>, kind: Vanished, ranges: &[(u32, u32)]) -> usize {
    let taken = ranges.len().min(RANGES_PER_LINE);
    if taken > 0 {
        out.extend_from_slice(match kind {
            Vanished::Earlier => b"* VANISHED (EARLIER) ".as_slice(),
            Vanished::Now => b"* VANISHED ",
        });
        sequence_set::write_ranges(out, &ranges[..taken]);
        out.extend_from_slice(b"\r\n");
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_ranges_and_no_more_than_fit() {
        let mut out = Vec::new();
        assert_eq!(line(&mut out, Vanished::Now, &[]), 0);
        assert_eq!(line(&mut out, Vanished::Now, &[(405, 405), (407, 410)]), 2);
        assert_eq!(line(&mut out, Vanished::Earlier, &[(1, u32::MAX)]), 1);
        assert_eq!(
            String::from_utf8(out).expect("ASCII"),
            "* VANISHED 405,407:410\r\n* VANISHED (EARLIER) 1:4294967295\r\n"
        );
        let many: Vec<(u32, u32)> =
            (0..1000).map(|n| (4_294_000_000 + 3 * n, 4_294_000_001 + 3 * n)).collect();
        let mut out = Vec::new();
        assert_eq!(line(&mut out, Vanished::Earlier, &many), RANGES_PER_LINE);
        assert!(out.len() <= 8192, "{}", out.len());
    }
}
