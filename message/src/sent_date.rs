//! The date a message says it was sent.

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
}
