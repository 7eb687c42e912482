//! What time it is, for dates that are stored.

use std::time::{SystemTime, UNIX_EPOCH};

use store::change::ZonedTime;

/// The present moment in UTC.
pub(crate) fn now() -> ZonedTime {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
    ZonedTime { seconds, zone_minutes: 0 }
}
