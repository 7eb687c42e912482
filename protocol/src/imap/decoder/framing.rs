//! Line ends, and the sizes of literals before them.

/// Where the line that is coming begins, and up to where there is no line end in it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LineEnd {
    start: usize,
    scanned: usize,
}

/// A whole line: `start..end` without its line end, `next` behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) next: usize,
}

/// What a search for a line end came to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found {
    Nothing,
    TooLong,
    Line(Line),
}

impl LineEnd {
    pub(super) const fn starting_at(start: usize) -> LineEnd {
        LineEnd { start, scanned: start }
    }

    /// Looks in what has come since the last search. A line, with its end, may have `longest` octets.
    pub(super) fn find(&mut self, unread: &[u8], longest: usize) -> Found {
        let allowed_to = self.start.saturating_add(longest).min(unread.len());
        let Some(window) = unread.get(self.scanned..allowed_to) else {
            return if unread.len() > allowed_to && unread.len() > self.scanned {
                Found::TooLong
            } else {
                Found::Nothing
            };
        };
        match memchr::memchr(b'\n', window) {
            Some(offset) => {
                let line_feed = self.scanned + offset;
                let has_return = line_feed > self.start && unread[line_feed - 1] == b'\r';
                let end = line_feed - usize::from(has_return);
                Found::Line(Line { start: self.start, end, next: line_feed + 1 })
            }
            None if unread.len() > allowed_to => Found::TooLong,
            None => {
                self.scanned = allowed_to;
                Found::Nothing
            }
        }
    }
}

/// The size of a literal, at the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Literal {
    /// How many octets follow; `u64::MAX` when it is more than that.
    pub(super) length: u64,
    /// Whether the client waits for leave to send them.
    pub(super) synchronising: bool,
    /// The octets of `{n}` or `{n+}`.
    pub(super) marker_length: usize,
}

/// No literal's size has more octets than this.
pub(super) const MARKER_MAX: usize = 2 + 1 + DIGITS_MAX;
const DIGITS_MAX: usize = 20;

/// The literal that a line, given without its line end, ends with.
pub(super) fn literal_at_end(line: &[u8]) -> Option<Literal> {
    let inner = line.strip_suffix(b"}")?;
    let (digits_and_before, synchronising) = match inner.strip_suffix(b"+") {
        Some(before) => (before, false),
        None => (inner, true),
    };
    let digits = digits_and_before
        .iter()
        .rev()
        .take(DIGITS_MAX + 1)
        .take_while(|octet| octet.is_ascii_digit())
        .count();
    let before = digits_and_before.len() - digits;
    if digits == 0 || digits > DIGITS_MAX || before == 0 || digits_and_before[before - 1] != b'{' {
        return None;
    }
    let length = digits_and_before[before..]
        .iter()
        .try_fold(0u64, |length, digit| length.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .unwrap_or(u64::MAX);
    Some(Literal { length, synchronising, marker_length: line.len() - before + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_literals() {
        for (line, expected) in [
            ("{3}", Some((3, true, 3))),
            ("a LOGIN {12+}", Some((12, false, 5))),
            ("~{0}", Some((0, true, 3))),
            ("{99999999999999999999}", Some((u64::MAX, true, 22))),
            ("{00000000000000000001+}", Some((1, false, 23))),
            ("{000000000000000000001+}", None),
            ("3}", None),
            ("{}", None),
            ("{+}", None),
            ("{3", None),
            ("{3-}", None),
            ("{3++}", None),
            ("{3} ", None),
            ("", None),
        ] {
            let found = literal_at_end(line.as_bytes());
            assert_eq!(
                found.map(|found| (found.length, found.synchronising, found.marker_length)),
                expected,
                "{line}"
            );
            assert!(found.is_none_or(|found| found.marker_length <= MARKER_MAX));
        }
    }

    #[test]
    fn a_line_may_be_just_as_long_as_allowed() {
        assert!(matches!(
            LineEnd::default().find(b"abc\n", 4),
            Found::Line(Line { start: 0, end: 3, next: 4 })
        ));
        assert!(matches!(LineEnd::default().find(b"abc\n", 3), Found::TooLong));
        let mut line = LineEnd::default();
        assert!(matches!(line.find(b"abc", 3), Found::Nothing));
        assert!(matches!(line.find(b"abc\n", 3), Found::TooLong));
        assert!(matches!(LineEnd::default().find(b"\r\n", 3), Found::Line(Line { end: 0, next: 2, .. })));
        assert!(matches!(LineEnd::default().find(b"\n", 3), Found::Line(Line { end: 0, next: 1, .. })));
    }
}
