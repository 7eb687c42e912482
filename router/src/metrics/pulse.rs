//! What the router's loop tells the endpoint's thread: that it turns, and what is not in the table.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Written by the loop, read by the endpoint.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// On the router's own clock, in milliseconds.
    beat_ms: AtomicU64,
    queued: AtomicU64,
    stopping: AtomicBool,
}

/// The pulse, copied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Felt {
    /// When the loop turned last.
    pub(crate) beat_ms: u64,
    /// Connections that wait for room.
    pub(crate) queued: u64,
    /// Whether the router is ending.
    pub(crate) stopping: bool,
}

impl Pulse {
    /// Of a loop that begins now.
    pub(crate) fn new(now_ms: u64) -> Pulse {
        let beat_ms = AtomicU64::new(now_ms);
        Pulse { beat_ms, queued: AtomicU64::new(0), stopping: AtomicBool::new(false) }
    }

    /// The loop turns.
    pub(crate) fn beat(&self, now_ms: u64, queued: usize, stopping: bool) {
        self.queued.store(queued as u64, Ordering::Relaxed);
        self.stopping.store(stopping, Ordering::Relaxed);
        self.beat_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(super) fn felt(&self) -> Felt {
        Felt {
            beat_ms: self.beat_ms.load(Ordering::Relaxed),
            queued: self.queued.load(Ordering::Relaxed),
            stopping: self.stopping.load(Ordering::Relaxed),
        }
    }
}
