//! Moments as people write them on a command line: a date, a date with a time, or how long ago. Without a zone they are in UTC, like everything that
//! Lode prints.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::mailfiles::dates::{Civil, days_from_civil, days_in_month};

/// How moments are written, for help texts.
pub(crate) const FORMS: &str = "TIME is 2026-11-20T14:05, 2026-11-20 (its first second) or \"2h ago\" (s, min, h, d, w). It is in UTC unless a zone like \
                                +01:00 follows.";

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) u32);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
        parse(text.trim(), now.try_into().unwrap_or(i64::MAX))
            .and_then(|seconds| u32::try_from(seconds).ok())
            .map(Moment)
            .ok_or_else(|| "write 2026-11-20T14:05, 2026-11-20 or \"2h ago\"".to_owned())
    }
}

impl Moment {
    /// `2026-11-20 14:05:00`, UTC.
    pub(crate) fn shown(self) -> String {
        let Civil { year, month, day, hour, minute, second, .. } = Civil::of(i64::from(self.0));
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }

    /// `2026-11-20 14.05`, for names of mailboxes; with seconds if there are any.
    pub(crate) fn in_a_name(self) -> String {
        let Civil { year, month, day, hour, minute, second, .. } = Civil::of(i64::from(self.0));
        let seconds = if second == 0 { String::new() } else { format!(".{second:02}") };
        format!("{year:04}-{month:02}-{day:02} {hour:02}.{minute:02}{seconds}")
    }
}

fn parse(text: &str, now: i64) -> Option<i64> {
    if let Some(span) = text.strip_suffix("ago") {
        return now.checked_sub(parse_span(span.trim())?);
    }
    let (date, rest) = text.split_at_checked(10)?;
    let mut fields = date.splitn(3, '-');
    let year = number(fields.next()?, 4)?;
    let (month, day) = (number(fields.next()?, 2)?, number(fields.next()?, 2)?);
    if !(1970..=2105).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    if !(1..=days_in_month(i64::from(year), month)).contains(&day) {
        return None;
    }
    let days = days_from_civil(i64::from(year), month, day);
    let Some(rest) = rest.strip_prefix(['T', 't', ' ']) else {
        return rest.is_empty().then_some(days * 86_400);
    };
    let (clock, zone_minutes) = split_zone(rest)?;
    let mut fields = clock.splitn(3, ':');
    let (hour, minute) = (number(fields.next()?, 2)?, number(fields.next()?, 2)?);
    let second = fields.next().map_or(Some(0), |second| number(second, 2))?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let local = days * 86_400 + i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
    Some(local - zone_minutes * 60)
}

/// The time of day without the zone behind it, and the zone in minutes east.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = text.find(['+', '-']) else { return Some((text, 0)) };
    let (clock, zone) = text.split_at(at);
    let (hours, minutes) = zone[1..].split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let east = i64::from(hours * 60 + minutes);
    Some((clock, if zone.starts_with('-') { -east } else { east }))
}

/// `2h`, `90 min`: seconds.
fn parse_span(text: &str) -> Option<i64> {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (digits, unit) = text.split_at(unit_at);
    let unit = match unit.trim() {
        "s" | "sec" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 7 * 86_400,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(unit)
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<u32> {
    let is_number = text.len() == digits && text.bytes().all(|octet| octet.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_795_176_000;

    #[test]
    fn moments_are_read() {
        for (text, seconds) in [
            ("2026-11-20", NOON - 43_200),
            ("2026-11-20T12:00", NOON),
            ("2026-11-20 12:00:07", NOON + 7),
            ("2026-11-20T12:00Z", NOON),
            ("2026-11-20T12:00+01:30", NOON - 5_400),
            ("2026-11-20T07:00:00-05:00", NOON),
            ("2h ago", NOON - 7_200),
            ("90 min ago", NOON - 5_400),
            ("1 week ago", NOON - 604_800),
            ("0s ago", NOON),
        ] {
            assert_eq!(parse(text, NOON), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "now",
            "2026-11",
            "2026-11-31",
            "2026-13-01",
            "20-11-2026",
            "2026-11-20T24:00",
            "2026-11-20T1:00",
            "2026-11-20T12:00+1",
            "2026-11-20T12:00 CET",
            "2 ago",
            "h ago",
            "-2h ago",
            "99999999999999999999h ago",
            "2026-11-20x",
            "é026-11-20",
        ] {
            assert_eq!(parse(text, NOON), None, "{text}");
        }
        assert!("3000w ago".parse::<Moment>().is_err(), "before 1970");
    }

    #[test]
    fn moments_are_shown() {
        let moment = Moment(NOON as u32 + 300);
        assert_eq!(moment.shown(), "2026-11-20 12:05:00");
        assert_eq!(moment.in_a_name(), "2026-11-20 12.05");
        assert_eq!(Moment(NOON as u32 + 301).in_a_name(), "2026-11-20 12.05.01");
    }
}
