//! Command lines for the protocols that are made of them, POP3 and LMTP: finds where a line ends, however the octets
//! come in, and never looks at more than it must.
//!
//! A line that grows past its limit is reported once, as soon as that is known, and the rest of it is dropped as it
//! comes: memory is bounded by the limit, time is linear in the octets.

use memchr::memchr;

/// What the octets so far give.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// No whole line yet.
    More,
    /// A line without its end, and how many octets it and its end take from the front of the input.
    Whole(&'a [u8], usize),
    /// The line is longer than permitted; so many octets are to be dropped. The next line comes as ever.
    TooLong(usize),
    /// So many octets belong to a line that was reported already, and are to be dropped.
    Dropped(usize),
}

/// Where in a line the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a line; so many of its octets were seen to hold no line end.
    Reading(usize),
    /// In the rest of a line that was too long.
    Dropping,
}

/// Finds lines. Both CRLF and a lone LF end one.
#[derive(Clone, Debug)]
pub(crate) struct LineReader {
    state: State,
}

impl LineReader {
    pub(crate) const fn new() -> LineReader {
        LineReader { state: State::Reading(0) }
    }

    /// Whether a fresh reader would make the same of what is unread.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self.state, State::Reading(_))
    }

    /// Looks for the next line at the front of `input`, which begins where the last answer's octets ended.
    /// `octets_max` is the longest line permitted, without its end.
    pub(crate) fn next<'a>(&mut self, input: &'a [u8], octets_max: usize) -> Line<'a> {
        match self.state {
            State::Reading(seen) => self.read(input, seen.min(input.len()), octets_max),
            State::Dropping if input.is_empty() => Line::More,
            State::Dropping => match memchr(b'\n', input) {
                Some(end) => {
                    self.state = State::Reading(0);
                    Line::Dropped(end + 1)
                }
                None => Line::Dropped(input.len()),
            },
        }
    }

    fn read<'a>(&mut self, input: &'a [u8], seen: usize, octets_max: usize) -> Line<'a> {
        // Two more octets than the line may have: its end.
        let window = &input[..input.len().min(octets_max + 2)];
        let Some(end) = memchr(b'\n', &window[seen.min(window.len())..]).map(|at| at + seen) else {
            if window.len() == octets_max + 2 {
                self.state = State::Dropping;
                return Line::TooLong(window.len());
            }
            self.state = State::Reading(window.len());
            return Line::More;
        };
        self.state = State::Reading(0);
        let line = &window[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > octets_max { Line::TooLong(end + 1) } else { Line::Whole(line, end + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_either_end() {
        let mut reader = LineReader::new();
        assert_eq!(reader.next(b"", 10), Line::More);
        assert_eq!(reader.next(b"ab", 10), Line::More);
        assert_eq!(reader.next(b"abc\r\nd", 10), Line::Whole(b"abc", 5));
        assert_eq!(reader.next(b"d\n", 10), Line::Whole(b"d", 2));
        assert_eq!(reader.next(b"\r\n", 10), Line::Whole(b"", 2));
        assert_eq!(reader.next(b"a\rb\r\n", 10), Line::Whole(b"a\rb", 5));
    }

    #[test]
    fn the_limit_is_exact_and_reported_once() {
        let mut reader = LineReader::new();
        assert_eq!(reader.next(b"1234\r\n", 4), Line::Whole(b"1234", 6));
        assert_eq!(reader.next(b"12345\n", 4), Line::TooLong(6));
        assert_eq!(reader.next(b"x\n", 4), Line::Whole(b"x", 2));
        assert_eq!(reader.next(b"12345", 4), Line::More);
        assert_eq!(reader.next(b"123456789", 4), Line::TooLong(6));
        assert_eq!(reader.next(b"789", 4), Line::Dropped(3));
        assert_eq!(reader.next(b"", 4), Line::More);
        assert_eq!(reader.next(b"a\nok\n", 4), Line::Dropped(2));
        assert_eq!(reader.next(b"ok\n", 4), Line::Whole(b"ok", 3));
    }
}
