//! The two clocks: one that never goes back, for the router's own decisions, and the wall's, for the table.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the router first asked.
pub(crate) fn now_ms() -> u64 {
    START.elapsed().as_millis() as u64
}

/// Milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    wall_ns() / 1_000_000
}

/// Nanoseconds since 1970.
pub(crate) fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
