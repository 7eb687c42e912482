//! Dates as mail files state them: the odd forms of From_ lines and of `Date:` headers, read leniently; written strictly.
//!
//! Two readers of the same words, because the order differs: `asctime` puts the month first and the year last, RFC 5322 the
//! day first. Both are recognised by [`parse`]. A date without a zone is taken as UTC.

use store::change::ZonedTime;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Words a date can have at most; a longer text is no date.
const WORDS_MAX: usize = 12;

/// The date in `text`, or `None` when there is none. Accepts, with or without a weekday, seconds and a zone in front of or behind the year:
/// `Fri Feb 22 23:06:12 2008`, `Fri Feb 22 23:06:12 +0200 2008`, `Feb 22 23:06 2008 EST`, `22 Feb 08 23:06 +0200 (EET)`.
pub(crate) fn parse(text: &str) -> Option<ZonedTime> {
    let without_comment = text.split('(').next().unwrap_or(text);
    let mut month = None;
    let mut day = None;
    let mut year = None;
    let mut clock = None;
    let mut zone_minutes = None;
    for (position, word) in
        without_comment.split([' ', '\t', ',']).filter(|word| !word.is_empty()).enumerate()
    {
        if position == WORDS_MAX {
            return None;
        }
        if let Some(time) = parse_clock(word) {
            fill(&mut clock, time)?;
        } else if let Some(number) = month_number(word) {
            fill(&mut month, number)?;
        } else if let Some((d, m, y)) = parse_dashed(word) {
            fill(&mut day, d)?;
            fill(&mut month, m)?;
            fill(&mut year, y)?;
        } else if let Some(minutes) = parse_zone(word) {
            // A second zone is a comment in the manner of "-0700 PDT".
            zone_minutes = zone_minutes.or(Some(minutes));
        } else if is_weekday(word) {
            (month.is_none() && day.is_none()).then_some(())?;
        } else if let Some(number) = parse_number(word) {
            if day.is_none() && number <= 31 && word.len() <= 2 {
                day = Some(number);
            } else {
                fill(&mut year, full_year(number, word.len())?)?;
            }
        } else if word != "DST" {
            return None;
        }
    }
    let (hour, minute, second) = clock?;
    let (year, month, day) = (year?, month?, day?);
    if day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let zone_minutes = zone_minutes.unwrap_or(0);
    let local = days_from_civil(year, month, day) * 86_400
        + i64::from(hour) * 3_600
        + i64::from(minute) * 60
        // A leap second is the moment after it.
        + i64::from(second);
    Some(ZonedTime { seconds: local - i64::from(zone_minutes) * 60, zone_minutes })
}

/// The moment in the manner of a From_ line (RFC 4155, Appendix A): UTC, no zone. `Fri Feb 22 21:06:12 2008`
pub(crate) fn format_asctime(time: ZonedTime) -> String {
    let civil = Civil::of(time.seconds);
    format!(
        "{} {} {:2} {:02}:{:02}:{:02} {:04}",
        WEEKDAYS[civil.weekday],
        MONTHS[civil.month as usize - 1],
        civil.day,
        civil.hour,
        civil.minute,
        civil.second,
        civil.year
    )
}

/// The moment as RFC 5322 and `Date:` headers write it. `Fri, 22 Feb 2008 23:06:12 +0200`
pub(crate) fn format_rfc5322(time: ZonedTime) -> String {
    let civil = Civil::of(time.seconds + i64::from(time.zone_minutes) * 60);
    let sign = if time.zone_minutes < 0 { '-' } else { '+' };
    let zone = time.zone_minutes.unsigned_abs();
    format!(
        "{}, {} {} {:04} {:02}:{:02}:{:02} {sign}{:02}{:02}",
        WEEKDAYS[civil.weekday],
        civil.day,
        MONTHS[civil.month as usize - 1],
        civil.year,
        civil.hour,
        civil.minute,
        civil.second,
        zone / 60,
        zone % 60
    )
}

/// A moment taken apart.
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: u32,
    pub(crate) day: u32,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    weekday: usize,
}

impl Civil {
    /// The moment so many seconds after 1970, in UTC.
    pub(crate) fn of(seconds: i64) -> Civil {
        let days = seconds.div_euclid(86_400);
        let rest = seconds.rem_euclid(86_400);
        // Days are counted from 0000-03-01, so that the leap day is the last of its year.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
        Civil {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: (days + 4).rem_euclid(7) as usize,
        }
    }
}

/// Days from 1970-01-01 to that day.
pub(crate) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let shifted_year = year - i64::from(month <= 2);
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = i64::from((153 * shifted_month + 2) / 5 + day - 1);
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// How many days a month has.
pub(crate) fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Fills an empty slot; a date that says a thing twice is none.
fn fill<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.is_none().then(|| *slot = Some(value))
}

/// `23:06` or `23:06:12`, hours with one digit too.
fn parse_clock(word: &str) -> Option<(u32, u32, u32)> {
    let mut fields = word.split(':');
    let hour = parse_number(fields.next()?)?;
    let minute = parse_number(fields.next()?)?;
    let second = fields.next().map_or(Some(0), parse_number)?;
    (fields.next().is_none() && hour < 24 && minute < 60 && second <= 60).then_some((hour, minute, second))
}

/// `22-Feb-2008`
fn parse_dashed(word: &str) -> Option<(u32, u32, i64)> {
    let mut fields = word.split('-');
    let day = parse_number(fields.next()?)?;
    let month = month_number(fields.next()?)?;
    let year_text = fields.next()?;
    let year = full_year(parse_number(year_text)?, year_text.len())?;
    (fields.next().is_none() && day <= 31).then_some((day, month, year))
}

/// A numeric zone, or a name that RFC 5322, 4.3 defines; other short names in capitals mean nothing known, so UTC.
fn parse_zone(word: &str) -> Option<i16> {
    if let Some(digits) = word.strip_prefix(['+', '-']) {
        let number = i16::try_from(parse_number(digits)?).ok()?;
        let minutes = number / 100 * 60 + number % 100;
        return (digits.len() == 4 && minutes <= 1_023).then_some(if word.starts_with('-') {
            -minutes
        } else {
            minutes
        });
    }
    Some(match word {
        "EST" => -5 * 60,
        "EDT" => -4 * 60,
        "CST" => -6 * 60,
        "CDT" => -5 * 60,
        "MST" => -7 * 60,
        "MDT" => -6 * 60,
        "PST" => -8 * 60,
        "PDT" => -7 * 60,
        "MET" | "CET" => 60,
        "MEST" | "CEST" | "EET" => 2 * 60,
        "EEST" => 3 * 60,
        "DST" => return None,
        _ if (1..=5).contains(&word.len()) && word.bytes().all(|octet| octet.is_ascii_uppercase()) => 0,
        _ => return None,
    })
}

fn parse_number(word: &str) -> Option<u32> {
    ((1..=4).contains(&word.len()) && word.bytes().all(|octet| octet.is_ascii_digit()))
        .then(|| word.parse().ok())?
}

/// RFC 5322, 4.3: two digits below 50 are of this century, others and three digits count from 1900.
fn full_year(number: u32, digits: usize) -> Option<i64> {
    let number = i64::from(number);
    match digits {
        4 if number >= 1_900 => Some(number),
        3 => Some(number + 1_900),
        2 if number < 50 => Some(number + 2_000),
        2 => Some(number + 1_900),
        _ => None,
    }
}

fn month_number(word: &str) -> Option<u32> {
    let start = word.get(..3)?;
    let number = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(start))? as u32 + 1;
    // "June" and "Sept." do occur; "Marvin" does not mean March.
    const LONG: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let lower = word.trim_end_matches('.').to_ascii_lowercase();
    LONG[number as usize - 1].starts_with(&lower).then_some(number)
}

fn is_weekday(word: &str) -> bool {
    const LONG: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    let lower = word.trim_end_matches('.').to_ascii_lowercase();
    lower.len() >= 3 && LONG.iter().any(|name| name.starts_with(&lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_forms_of_from_lines_and_date_headers() {
        // The moments were worked out with `date -u -d … +%s`.
        for (text, seconds, zone_minutes) in [
            ("Fri Feb 22 23:06:12 2008", 1_203_721_572, 0),
            ("Fri Feb 22 23:06:12 2008 +0200", 1_203_714_372, 120),
            ("Fri Feb 22 23:06:12 +0200 2008", 1_203_714_372, 120),
            ("Feb 22 23:06 2008", 1_203_721_560, 0),
            ("Fri Feb 22 23:06:12 EST 2008", 1_203_739_572, -300),
            ("Thu Feb  8 18:49:08 1996", 823_805_348, 0),
            ("Fri, 22 Feb 2008 23:06:12 -0330", 1_203_734_172, -210),
            ("22 Feb 08 23:06:12 GMT", 1_203_721_572, 0),
            ("22-Feb-2008 23:06:12 +0200", 1_203_714_372, 120),
            ("Fri, 22 Feb 2008 23:06:12 -0700 (PDT)", 1_203_746_772, -420),
            ("Sun, 06 Nov 94 08:49:37 GMT", 784_111_777, 0),
            ("Thursday, 1 January 1970 00:00:00 UT", 0, 0),
            ("Tue Feb 29 00:00:00 2000", 951_782_400, 0),
        ] {
            assert_eq!(parse(text), Some(ZonedTime { seconds, zone_minutes }), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            "with love",
            "Fri Feb 30 23:06:12 2008",
            "Fri Feb 22 2008",
            "Fri Feb 22 25:06:12 2008",
            "Fri Feb 22 23:06:12",
            "Feb 22 23:06:12 2008 and more words",
            "Feb Mar 22 23:06:12 2008",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for seconds in (-2_000_000_000..4_000_000_000_i64).step_by(86_399 * 17) {
            let time = ZonedTime { seconds, zone_minutes: 0 };
            assert_eq!(parse(&format_asctime(time)), Some(time));
            let time = ZonedTime { seconds, zone_minutes: -570 };
            assert_eq!(parse(&format_rfc5322(time)), Some(time));
        }
    }
}
