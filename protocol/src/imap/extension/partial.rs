//! PARTIAL (RFC 9394 section 4; RFC 5267 section 4.4): a stretch of results by their places, counted from either end.
//!
//! Used by the result options of SEARCH and SORT, and by the modifier of UID FETCH.

use std::ops::Range;

use crate::imap::reply::text;
use crate::imap::syntax::cursor::{Cursor, Fault};

/// Places of results. The first result is 1, or -1 where they are counted from the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialRange {
    /// Which end is 1.
    counted_from: End,
    /// The bounds as sent, never 0, in either order.
    bounds: (u32, u32),
}

/// How many results must be known for a [`PartialRange`]: what lies behind them does not change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// So many, the first of them.
    FromFirst(u64),
    /// So many, the last of them.
    FromLast(u64),
}

/// An end of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

impl PartialRange {
    /// Takes `1:500` or `-1:-500`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<PartialRange, Fault> {
        let counted_from = if cursor.take_if(b'-') { End::Last } else { End::First };
        let first = cursor.nonzero_number()?;
        cursor.expect(b':', "PARTIAL needs a range such as 1:500")?;
        if counted_from == End::Last {
            cursor.expect(b'-', "Both ends of the range of PARTIAL must be negative, or none")?;
        }
        let last = cursor.nonzero_number()?;
        Ok(PartialRange { counted_from, bounds: (first, last) })
    }

    /// Which of `count` results are meant, the first of them being 0; empty where there are none at these places.
    pub fn resolve(self, count: u64) -> Range<u64> {
        let low = u64::from(self.bounds.0.min(self.bounds.1)) - 1;
        let high = u64::from(self.bounds.0.max(self.bounds.1)).min(count);
        let low = low.min(high);
        match self.counted_from {
            End::First => low..high,
            End::Last => count - high..count - low,
        }
    }

    /// How many results must be known, and from which end.
    pub fn reach(self) -> Reach {
        let count = u64::from(self.bounds.0.max(self.bounds.1));
        match self.counted_from {
            End::First => Reach::FromFirst(count),
            End::Last => Reach::FromLast(count),
        }
    }

    /// Appends the range as it was sent.
    pub fn write(self, out: &mut Vec<u8>) {
        let sign: &[u8] = if self.counted_from == End::Last { b"-" } else { b"" };
        out.extend_from_slice(sign);
        text::number(out, u64::from(self.bounds.0));
        out.push(b':');
        out.extend_from_slice(sign);
        text::number(out, u64::from(self.bounds.1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn parse(text: &str) -> Result<PartialRange, Fault> {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let range = PartialRange::parse(&mut cursor)?;
        cursor.end()?;
        Ok(range)
    }

    #[test]
    fn prints_as_it_was() {
        for text in ["1:500", "-1:-100", "500:400", "-500:-400", "4294967295:1"] {
            let mut out = Vec::new();
            parse(text).expect(text).write(&mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in
            ["", "1", "0:1", "1:0", "-1:5", "1:-5", "-0:-1", "1:*", "*:1", "1:2,3", "4294967296:1", "--1:-2"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_farther_bound_says_how_many_must_be_known() {
        let reach = |text| parse(text).expect(text).reach();
        assert_eq!(reach("500:400"), Reach::FromFirst(500));
        assert_eq!(reach("-1:-100"), Reach::FromLast(100));
    }

    #[test]
    fn places_are_those_that_there_are() {
        for (text, count, want) in [
            ("1:3", 10, 0..3),
            ("3:1", 10, 0..3),
            ("8:12", 10, 7..10),
            ("11:12", 10, 10..10),
            ("1:1", 0, 0..0),
            ("-1:-3", 10, 7..10),
            ("-3:-1", 10, 7..10),
            ("-9:-20", 10, 0..2),
            ("-11:-20", 10, 0..0),
            ("-1:-1", 0, 0..0),
            ("1:4294967295", 7, 0..7),
        ] {
            assert_eq!(parse(text).expect(text).resolve(count), want, "{text} of {count}");
        }
    }
}
