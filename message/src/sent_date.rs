//! The date a message says it was sent: the Date field (RFC 5322 3.3 and 4.3), read leniently.

/// A point in time with the zone it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentDate {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Minutes east of UTC, −960 to 960.
    pub zone_minutes: i16,
}

impl SentDate {
    /// The calendar day as written, in days since 1970-01-01: what SENTBEFORE, SENTON and SENTSINCE compare (RFC 3501 6.4.4
    /// disregards time and zone).
    pub fn local_day(self) -> i64 {
        (self.seconds + i64::from(self.zone_minutes) * 60).div_euclid(86_400)
    }

    /// Reads a Date field's raw value. `None`: no day can be made out. A time that is missing or impossible counts as midnight, a
    /// zone as UTC (RFC 5256 2.2).
    pub fn parse(raw: &[u8]) -> Option<Self> {
        let tokens = Tokens::read(raw);
        let clock = tokens.clock();
        let day = tokens.day(clock.as_ref())?;
        let time = clock.as_ref().map_or(0, |clock| clock.seconds);
        let zone_minutes = tokens.zone(clock.map_or(0, |clock| clock.end));
        Some(SentDate { seconds: day * 86_400 + time - i64::from(zone_minutes) * 60, zone_minutes })
    }
}

const TOKENS_MAX: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// Its value and how many digits it has.
    Number(u32, u8),
    /// The first three letters in lower case, and how many letters it has.
    Word([u8; 3], u8),
    Sign(u8),
    None,
}

struct Tokens {
    list: [Token; TOKENS_MAX],
    count: usize,
}

/// The time of day, and which tokens say it.
struct Clock {
    seconds: i64,
    start: usize,
    end: usize,
}

impl Tokens {
    fn read(raw: &[u8]) -> Self {
        let mut tokens = Tokens { list: [Token::None; TOKENS_MAX], count: 0 };
        let mut depth = 0_u32;
        let mut octets = raw.iter().copied().peekable();
        while let Some(octet) = octets.next() {
            let token = match octet {
                b'(' => {
                    depth += 1;
                    continue;
                }
                b')' => {
                    depth = depth.saturating_sub(1);
                    continue;
                }
                b'\\' if depth > 0 => {
                    octets.next();
                    continue;
                }
                _ if depth > 0 => continue,
                b'0'..=b'9' => {
                    let mut value = u32::from(octet - b'0');
                    let mut digits = 1_u8;
                    while let Some(digit) = octets.next_if(u8::is_ascii_digit) {
                        value = value.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
                        digits = digits.saturating_add(1);
                    }
                    Token::Number(value, digits)
                }
                b'a'..=b'z' | b'A'..=b'Z' | 128.. => {
                    let mut start = [octet.to_ascii_lowercase(), 0, 0];
                    let mut letters = 1_u8;
                    while let Some(letter) =
                        octets.next_if(|octet| octet.is_ascii_alphabetic() || *octet >= 128)
                    {
                        if let Some(place) = start.get_mut(usize::from(letters)) {
                            *place = letter.to_ascii_lowercase();
                        }
                        letters = letters.saturating_add(1);
                    }
                    Token::Word(start, letters)
                }
                b'+' | b'-' | b':' | b'.' => Token::Sign(octet),
                _ => continue,
            };
            if tokens.count == TOKENS_MAX {
                break;
            }
            tokens.list[tokens.count] = token;
            tokens.count += 1;
        }
        tokens
    }

    fn get(&self, index: usize) -> Token {
        self.list.get(index).copied().unwrap_or(Token::None)
    }

    /// The first `h:mm`, `h:mm:ss`, or the same with dots.
    fn clock(&self) -> Option<Clock> {
        (0..self.count).find_map(|start| {
            let Token::Number(hour, 1..=2) = self.get(start) else { return None };
            let Token::Sign(separator @ (b':' | b'.')) = self.get(start + 1) else { return None };
            let Token::Number(minute, 1..=2) = self.get(start + 2) else { return None };
            let mut end = start + 3;
            let mut second = 0;
            if let (Token::Sign(sign), Token::Number(value, 1..=2)) = (self.get(end), self.get(end + 1))
                && sign == separator
            {
                second = value;
                end += 2;
            }
            // Fractions of a second.
            if let (Token::Sign(b'.'), Token::Number(..)) = (self.get(end), self.get(end + 1)) {
                end += 2;
            }
            let valid = hour < 24 && minute < 60 && second <= 60;
            // A leap second stays in its day.
            let seconds = if valid { hour * 3600 + minute * 60 + second.min(59) } else { 0 };
            Some(Clock { seconds: i64::from(seconds), start, end })
        })
    }

    /// The calendar day in days since 1970-01-01.
    fn day(&self, clock: Option<&Clock>) -> Option<i64> {
        let mut month = None;
        let mut numbers = [(0, 0); 3];
        let mut count = 0;
        for index in 0..self.count {
            if clock.is_some_and(|clock| (clock.start..clock.end).contains(&index)) {
                continue;
            }
            match self.get(index) {
                Token::Word(start, letters) if letters >= 3 && month.is_none() => month = month_number(start),
                // A number behind a sign behind the time is the zone.
                Token::Number(..)
                    if clock.is_some_and(|clock| index >= clock.end)
                        && matches!(self.get(index - 1), Token::Sign(_)) => {}
                Token::Number(value, digits) if count < numbers.len() => {
                    numbers[count] = (value, digits);
                    count += 1;
                }
                _ => {}
            }
        }
        let (year, month, day) = match (month, numbers) {
            (Some(month), [(year, 4), (day, 1..=2), _]) if count >= 2 => (year, month, day),
            (Some(month), [(day, 1..=2), (year, digits @ 2..=4), _]) if count >= 2 => {
                (full_year(year, digits), month, day)
            }
            // 2024-02-29, as ISO 8601 writes it.
            (None, [(year, 4), (month, 1..=2), (day, 1..=2)]) if count == 3 => (year, month, day),
            _ => return None,
        };
        day_number(year, month, day)
    }

    /// Minutes east of UTC, read from the first sign or known word behind the time.
    fn zone(&self, start: usize) -> i16 {
        for index in start..self.count {
            match (self.get(index), self.get(index + 1)) {
                (Token::Sign(sign @ (b'+' | b'-')), Token::Number(value, digits)) => {
                    let (hours, minutes) = match digits {
                        1..=2 => match (self.get(index + 2), self.get(index + 3)) {
                            (Token::Sign(b':'), Token::Number(minutes, 2)) => (value, minutes),
                            _ => (value, 0),
                        },
                        _ => (value / 100, value % 100),
                    };
                    return offset(sign, hours, minutes);
                }
                (Token::Word(start, letters @ 1..=4), _) => {
                    if let Some(hours) = zone_hours(start, letters) {
                        return hours * 60;
                    }
                }
                _ => {}
            }
        }
        0
    }
}

fn offset(sign: u8, hours: u32, minutes: u32) -> i16 {
    match i16::try_from(hours.saturating_mul(60).saturating_add(minutes)) {
        Ok(offset @ 0..=960) if minutes < 60 => {
            if sign == b'-' {
                -offset
            } else {
                offset
            }
        }
        _ => 0,
    }
}

/// Zones by name (RFC 5322 4.3). The letters of the military ones were used with both signs, so all of them are UTC.
fn zone_hours(start: [u8; 3], letters: u8) -> Option<i16> {
    Some(match (&start, letters) {
        (b"gmt" | b"utc", 3) | ([b'u', b't', 0], 2) | (_, 1) => 0,
        (b"edt", 3) => -4,
        (b"est" | b"cdt", 3) => -5,
        (b"cst" | b"mdt", 3) => -6,
        (b"mst" | b"pdt", 3) => -7,
        (b"pst", 3) => -8,
        (b"bst", 3) | (b"cet" | b"met", 3) => 1,
        (b"ces", 4) | (b"mes", 4) | (b"eet", 3) => 2,
        (b"jst", 3) => 9,
        _ => return None,
    })
}

fn month_number(start: [u8; 3]) -> Option<u32> {
    const MONTHS: [&[u8; 3]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    MONTHS.iter().position(|month| **month == start).map(|index| index as u32 + 1)
}

/// The year meant by one of two or three digits (RFC 5322 4.3).
fn full_year(year: u32, digits: u8) -> u32 {
    match digits {
        2 if year < 50 => year + 2000,
        2 | 3 => year + 1900,
        _ => year,
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. `None`: there is no such day.
fn day_number(year: u32, month: u32, day: u32) -> Option<i64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || !(1..=9999).contains(&year) {
        return None;
    }
    // Years that begin in March, so that the leap day is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_before = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(i64::from(days_before) - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(i64, i16)> {
        SentDate::parse(text.as_bytes()).map(|date| (date.seconds, date.zone_minutes))
    }

    #[test]
    fn reads_dates() {
        let march_4 = 1_709_510_400;
        let cases = [
            ("Thu, 01 Jan 1970 00:00:00 -0000", 0, 0),
            ("Tue, 1 Feb 94 08:17:22 PST", 760_119_442, -480),
            ("1 Feb 2024 8:17 GMT", 1_706_775_420, 0),
            ("Fri, 31 Dec 9999 23:59:60 +1400", 253_402_300_799 - 14 * 3600, 840),
            ("2024-02-29T12:00:00Z", 1_709_208_000, 0),
            ("2024-02-29 12:00:00.123 +01:00", 1_709_204_400, 60),
            ("Thursday, 29-Feb-24 12:00:00 GMT", 1_709_208_000, 0),
            ("Thu Feb 29 12:00:00 2024", 1_709_208_000, 0),
            ("Thu Feb 29 12:00:00 EST 2024", 1_709_208_000 + 5 * 3600, -300),
            ("(comment) Mon, 4 (x) Mar 2024 (y) 10:00:00 (z) +0530 (India)", march_4 + 36_000 - 19_800, 330),
            ("Mon,4Mar2024 10:00:00+0530", march_4 + 36_000 - 19_800, 330),
            ("Mon, 4 Mar 24 10:00:00 EDT", march_4 + 50_400, -240),
            ("Mon, 4 Mar 124 10:00:00 Z", march_4 + 36_000, 0),
            ("Mon, 4 Mar 2024 10:00:00 +9999", march_4 + 36_000, 0),
            ("Mon, 4 Mar 2024 24:00:00 +0000", march_4, 0),
            ("Mon, 4 Mar 2024 10.00.00 +0100", march_4 + 32_400, 60),
            ("Mon, 4 Mar 2024", march_4, 0),
            ("Mon, 4 Mar 2024 10:00:00 \"GMT\"", march_4 + 36_000, 0),
        ];
        for (text, seconds, zone_minutes) in cases {
            assert_eq!(parse(text), Some((seconds, zone_minutes)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_day() {
        for text in [
            "",
            "   ",
            "yesterday",
            "Thu, 32 Jan 2024 00:00:00 +0000",
            "Thu, 29 Feb 2023 12:00:00 +0000",
            "Wed, 0 Mar 2024 00:00:00 +0000",
            "Mon, 4 März 2024 10:00:00 +0100",
            "4 Mar",
            "99999999999 Mar 2024",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn knows_the_day_as_written() {
        let date = SentDate::parse(b"Mon, 4 Mar 2024 23:30:00 -0500").map(SentDate::local_day);
        assert_eq!(date, Some(19_786));
        assert_eq!(SentDate::parse(b"4 Mar 1899 10:00 +0000").map(SentDate::local_day), Some(-25_870));
    }
}
