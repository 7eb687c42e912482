//! The clock of one turn: read once when a worker takes a session, once when it lets go of it. All that wants to know when a turn
//! began or how long it took asks here, so that a turn costs two looks at the clock whatever is measured.

use std::time::{Duration, Instant};

/// When a turn began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnClock {
    began: Instant,
}

impl TurnClock {
    /// A turn begins now.
    pub(crate) fn begin() -> TurnClock {
        TurnClock { began: Instant::now() }
    }

    /// When the turn began.
    pub(crate) fn began(self) -> Instant {
        self.began
    }

    /// How long the turn took; it ends now.
    pub(crate) fn end(self) -> Duration {
        self.began.elapsed()
    }
}
