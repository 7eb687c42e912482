//! Dates and date-times (RFC 3501 section 9, `date` and `date-time`), and their seconds since 1970 in UTC.
//!
//! Invariant: what was parsed is a day that exists, in the proleptic Gregorian calendar.

use super::cursor::{Cursor, Fault};

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 0 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// A moment, as seen in a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// The day in that zone.
    pub date: Date,
    /// Seconds since midnight in that zone, 0 to 86,400 (a leap second).
    pub second_of_day: u32,
    /// The zone, minutes east of UTC, -1,439 to 1,439.
    pub zone_minutes: i16,
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

impl Date {
    /// The day, if there is one with these numbers.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Date> {
        let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last_day = match month {
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        (year <= 9999 && (1..=last_day).contains(&day)).then_some(Date { year, month, day })
    }

    /// Days since 1970-01-01, negative before it.
    pub fn days_since_1970(self) -> i64 {
        // Years that begin in March put the leap day at their end.
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let month_from_march = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(self.day) - 1;
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
    }

    /// Seconds from 1970 to the midnight with which the day begins, were it in UTC.
    pub fn unix_seconds(self) -> i64 {
        self.days_since_1970() * 86_400
    }

    /// The day that is `days` after 1970-01-01; years outside 0 to 9999 become the nearest day inside.
    pub fn from_days_since_1970(days: i64) -> Date {
        let days = days.clamp(-719_528, 2_932_896) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Date { year: year as u16, month: month as u8, day: day as u8 }
    }

    /// Parses a day as SEARCH has it, with or without quotes: `1-Feb-1994`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Date, Fault> {
        if cursor.take_if(b'"') {
            let date = Self::parse_text(cursor)?;
            cursor.expect(b'"', "Expected \" after a date")?;
            return Ok(date);
        }
        Self::parse_text(cursor)
    }

    /// Appends the day as SEARCH has it: `1-Feb-1994`.
    pub fn write(self, out: &mut Vec<u8>) {
        let Date { year, month, day } = self;
        let month = MONTHS[usize::from(month.clamp(1, 12) - 1)];
        out.extend_from_slice(format!("{day}-{}-{year:04}", month.escape_ascii()).as_bytes());
    }

    fn parse_text(cursor: &mut Cursor<'_>) -> Result<Date, Fault> {
        const FAULT: Fault = Fault::syntax("Invalid date");
        cursor.skip_spaces();
        let day = digits(cursor, 1, 2).ok_or(FAULT)?;
        cursor.expect(b'-', FAULT.text)?;
        let name = cursor.take(3).ok_or(FAULT)?;
        let month = MONTHS.iter().position(|known| known.eq_ignore_ascii_case(name)).ok_or(FAULT)? + 1;
        cursor.expect(b'-', FAULT.text)?;
        let year = digits(cursor, 4, 4).ok_or(FAULT)?;
        Date::new(year as u16, month as u8, day as u8).ok_or(Fault::syntax("There is no such day"))
    }
}

impl DateTime {
    /// The moment that RFC 3339 writes so: `2026-11-23T04:05:06Z`, or with a fraction, which is passed over, or a zone.
    pub(crate) fn parse_rfc3339(text: &str) -> Option<DateTime> {
        let octets = text.as_bytes();
        let number = |at: usize, length: usize| -> Option<u32> {
            let digits = octets.get(at..at + length)?;
            digits.iter().try_fold(0, |number, digit| Some(number * 10 + char::from(*digit).to_digit(10)?))
        };
        let has =
            |at: usize, octet: u8| octets.get(at).is_some_and(|there| there.eq_ignore_ascii_case(&octet));
        let date = Date::new(number(0, 4)? as u16, number(5, 2)? as u8, number(8, 2)? as u8)?;
        let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
        let is_framed = has(4, b'-') && has(7, b'-') && has(10, b'T') && has(13, b':') && has(16, b':');
        if !is_framed || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut zone = octets.get(19..)?;
        if let Some(fraction) = zone.strip_prefix(b".") {
            let digits = fraction.iter().take_while(|octet| octet.is_ascii_digit()).count();
            zone = fraction.get(digits..).filter(|_| digits > 0)?;
        }
        let zone_minutes = match zone {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let at = octets.len() - 5;
                let (hours, minutes) = (number(at, 2)?, number(at + 3, 2)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                // At most 1,439.
                let minutes = (hours * 60 + minutes) as i16;
                if *sign == b'-' { -minutes } else { minutes }
            }
            _ => return None,
        };
        Some(DateTime { date, second_of_day: hour * 3600 + minute * 60 + second, zone_minutes })
    }

    /// Seconds since 1970 in UTC, negative before it.
    pub fn unix_seconds(self) -> i64 {
        self.date.unix_seconds() + i64::from(self.second_of_day) - i64::from(self.zone_minutes) * 60
    }

    /// The moment `unix_seconds` after 1970, seen in a zone `zone_minutes` east of UTC.
    pub fn from_unix_seconds(unix_seconds: i64, zone_minutes: i16) -> DateTime {
        let zone_minutes = zone_minutes.clamp(-1439, 1439);
        let local = unix_seconds.saturating_add(i64::from(zone_minutes) * 60);
        DateTime {
            date: Date::from_days_since_1970(local.div_euclid(86_400)),
            second_of_day: local.rem_euclid(86_400) as u32,
            zone_minutes,
        }
    }

    /// Parses `"17-Jul-1996 02:44:25 -0700"`, with its quotes.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<DateTime, Fault> {
        const FAULT: Fault = Fault::syntax("Invalid date and time");
        cursor.expect(b'"', FAULT.text)?;
        let date = Date::parse_text(cursor)?;
        cursor.space()?;
        let hour = digits(cursor, 2, 2).filter(|&hour| hour <= 23).ok_or(FAULT)?;
        cursor.expect(b':', FAULT.text)?;
        let minute = digits(cursor, 2, 2).filter(|&minute| minute <= 59).ok_or(FAULT)?;
        cursor.expect(b':', FAULT.text)?;
        let second = digits(cursor, 2, 2).filter(|&second| second <= 60).ok_or(FAULT)?;
        cursor.space()?;
        let is_east = match cursor.take(1) {
            Some(b"+") => true,
            Some(b"-") => false,
            _ => return Err(FAULT),
        };
        let zone = digits(cursor, 4, 4).filter(|zone| zone / 100 <= 23 && zone % 100 <= 59).ok_or(FAULT)?;
        cursor.expect(b'"', FAULT.text)?;
        let east = (zone / 100 * 60 + zone % 100) as i16;
        Ok(DateTime {
            date,
            second_of_day: hour * 3600 + minute * 60 + second,
            zone_minutes: if is_east { east } else { -east },
        })
    }

    /// Appends it as INTERNALDATE has it, with quotes and a day of two places.
    pub fn write(self, out: &mut Vec<u8>) {
        let two = |number: u32| [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
        let Date { year, month, day } = self.date;
        out.push(b'"');
        let [tens, ones] = two(u32::from(day));
        out.extend_from_slice(&[if tens == b'0' { b' ' } else { tens }, ones, b'-']);
        out.extend_from_slice(MONTHS[usize::from(month.clamp(1, 12) - 1)]);
        out.push(b'-');
        out.extend_from_slice(&two(u32::from(year) / 100));
        out.extend_from_slice(&two(u32::from(year) % 100));
        let second = self.second_of_day;
        for (mark, number) in [(b' ', second / 3600), (b':', second / 60 % 60), (b':', second % 60)] {
            out.push(mark);
            out.extend_from_slice(&two(number));
        }
        out.push(b' ');
        out.push(if self.zone_minutes < 0 { b'-' } else { b'+' });
        let zone = u32::from(self.zone_minutes.unsigned_abs());
        out.extend_from_slice(&two(zone / 60));
        out.extend_from_slice(&two(zone % 60));
        out.push(b'"');
    }
}

/// A number of `least` to `most` digits.
fn digits(cursor: &mut Cursor<'_>, least: usize, most: usize) -> Option<u32> {
    let length = cursor.rest().iter().take(most).take_while(|octet| octet.is_ascii_digit()).count();
    if length < least {
        return None;
    }
    let digits = cursor.take(length)?;
    Some(digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn date_time(text: &str) -> Result<DateTime, Fault> {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let parsed = DateTime::parse(&mut cursor)?;
        cursor.end()?;
        Ok(parsed)
    }

    fn date(text: &str) -> Result<Date, Fault> {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let parsed = Date::parse(&mut cursor)?;
        cursor.end()?;
        Ok(parsed)
    }

    #[test]
    fn moments_and_their_seconds() {
        for (text, seconds) in [
            ("\" 1-Jan-1970 00:00:00 +0000\"", 0),
            ("\"17-Jul-1996 02:44:25 -0700\"", 837_596_665),
            ("\"29-Feb-2024 23:59:60 +0130\"", 1_709_245_800),
            ("\"31-Dec-1969 23:59:59 +0000\"", -1),
            ("\" 1-Jan-0000 00:00:00 +0000\"", -62_167_219_200),
            ("\"31-Dec-9999 23:59:59 +0000\"", 253_402_300_799),
        ] {
            assert_eq!(date_time(text).expect(text).unix_seconds(), seconds, "{text}");
        }
        assert_eq!(date_time("\"1-jan-1970 00:00:00 +0000\""), date_time("\"01-JAN-1970 00:00:00 -0000\""));
    }

    #[test]
    fn what_is_written_parses_to_the_same() {
        for (seconds, zone) in
            [(0, 0), (837_596_665, -420), (1_709_164_799, 330), (-1, 1439), (253_402_300_799, 0)]
        {
            let moment = DateTime::from_unix_seconds(seconds, zone);
            let mut out = Vec::new();
            moment.write(&mut out);
            let text = String::from_utf8(out).expect("ASCII");
            let parsed = date_time(&text).expect(&text);
            assert_eq!((parsed, parsed.unix_seconds()), (moment, seconds), "{text}");
        }
        let mut out = Vec::new();
        DateTime::from_unix_seconds(i64::MAX, 0).write(&mut out);
        DateTime::from_unix_seconds(i64::MIN, 5000).write(&mut out);
    }

    #[test]
    fn every_day_of_four_centuries_goes_both_ways() {
        for days in -719_528..-719_528 + 146_097 * 2 {
            let date = Date::from_days_since_1970(days);
            assert_eq!(date.days_since_1970(), days);
            assert_eq!(Date::new(date.year, date.month, date.day), Some(date));
        }
    }

    #[test]
    fn days_with_and_without_quotes() {
        let expected = Date { year: 1994, month: 2, day: 1 };
        for text in ["1-Feb-1994", "\"1-Feb-1994\"", "01-FEB-1994", "\" 1-feb-1994\""] {
            assert_eq!(date(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "1-Feb-94",
            "30-Feb-1994",
            "0-Jan-1994",
            "1-Foo-1994",
            "1 Feb 1994",
            "\"1-Feb-1994",
            "1-Feb-19945",
        ] {
            assert!(date(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "17-Jul-1996 02:44:25 -0700",
            "\"17-Jul-1996\"",
            "\"17-Jul-1996 24:00:00 +0000\"",
            "\"17-Jul-1996 02:60:00 +0000\"",
            "\"17-Jul-1996 02:44:25 GMT\"",
            "\"17-Jul-1996 02:44:25 +2460\"",
            "\"17-Jul-1996 02:44:25 +0000",
        ] {
            assert!(date_time(text).is_err(), "{text}");
        }
    }
}
