//! Figures and health over HTTP, for monitoring: `/metrics`, `/healthz`, `/readyz`.
//!
//! ```text
//!  server.rs ── beats ──► pulse.rs ◄── health.rs ◄┐
//!                                                  ├─ endpoint.rs (one thread, HTTP by http.rs)
//!  shared table ◄──────────────── families.rs ◄───┘
//! ```
//!
//! Everything is read from the shared table and the pulse, in a thread of its own: the router's loop knows nothing of requests, and
//! the endpoint answers while the loop is stuck, and says so. It can change nothing, and shows no user's name.

mod endpoint;
mod exposition;
mod families;
mod health;
mod http;
mod pulse;

pub(crate) use endpoint::Endpoint;
pub(crate) use pulse::Pulse;

use crate::log::{Level, event};
use crate::server::Server;

impl Server {
    /// Serves figures where the settings say so. An address that cannot be had is a warning: mail goes on without.
    pub(crate) fn begin_metrics(&mut self) {
        let wanted = self.settings.metrics.listen;
        if self.metrics.as_ref().map(Endpoint::wanted) == wanted {
            return;
        }
        // The old one lets go of its address first.
        self.metrics = None;
        let Some(address) = wanted else { return };
        match Endpoint::start(address, self.table.clone(), self.pulse.clone()) {
            Ok(endpoint) => {
                event(
                    Level::Info,
                    "listening",
                    &[("protocol", &"metrics"), ("address", &endpoint.address())],
                );
                self.metrics = Some(endpoint);
            }
            Err(error) => {
                event(Level::Warn, "metrics-not-served", &[("address", &address), ("why", &error)]);
            }
        }
    }

    /// Counts what the router itself has done.
    pub(crate) fn count(&self, tally: shm_abi::Tally) {
        self.table.router_metrics().count(tally);
    }

    /// Says that the loop turns, and how things are with it.
    pub(crate) fn beat(&self) {
        self.pulse.beat(self.now_ms, self.queue.len(), self.phase != crate::server::Phase::Serving);
        let dropped = logging::take_dropped();
        if dropped > 0 {
            self.table.router_metrics().add(shm_abi::Tally::LogLinesDropped, dropped);
        }
    }
}
