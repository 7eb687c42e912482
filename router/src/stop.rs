//! The orderly end: nobody comes in, running commands finish, then everything is gone.

use crate::log::{Level, event};
use crate::server::{Phase, Server};
use shm_abi::ToHandler;
use std::os::fd::AsFd;

/// What handlers get beyond the grace they are told, for their own last steps.
const MARGIN_MS: u64 = 1_000;

impl Server {
    /// Stops accepting and tells every handler to end. A second call changes nothing.
    pub(crate) fn begin_stop(&mut self, why: &str) {
        if self.phase != Phase::Serving {
            return;
        }
        let grace_ms = u64::from(self.settings.limits.grace_seconds) * 1000;
        self.notify.stopping();
        event(Level::Info, "stopping", &[("why", &why), ("grace_ms", &grace_ms)]);
        self.phase = Phase::Stopping { kill_at_ms: self.now_ms + grace_ms + MARGIN_MS };
        for listener in std::mem::take(&mut self.listeners) {
            self.unwatch(listener.descriptor().as_fd());
            listener.close();
        }
        while let Some(client) = self.queue.pop() {
            self.turn_away(client);
        }
        for running in self.handlers.iter_mut().flatten() {
            if running.tell(ToHandler::Shutdown { grace_ms }).is_err() {
                // Nobody reads there any more.
                running.process.kill();
            }
        }
    }

    /// Kills every handler that is still there.
    pub(crate) fn kill_remaining(&mut self) {
        for (handler, running) in self.handlers.iter_mut().enumerate() {
            if let Some(running) = running {
                event(Level::Warn, "handler-killed", &[("handler", &handler), ("why", &"grace is over")]);
                running.process.kill();
            }
        }
        for expected in self.expected.iter().flatten() {
            expected.process.kill();
        }
        self.phase = Phase::Stopping { kill_at_ms: self.now_ms + MARGIN_MS };
    }
}
