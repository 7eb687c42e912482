//! A session that somebody reads along with: what is read and sent goes past its tap (`trace/`).

use std::os::fd::OwnedFd;

use super::{REST_AFTER_MS, Session};
use crate::log;
use crate::output::Flushed;
use crate::parked::Parking;
use crate::shared::Shared;
use crate::slots::SlotNumber;
use crate::trace::{Place, Tap};

impl Session {
    /// Somebody reads along from now on, in place of who did so before.
    pub(super) fn begin_trace(&mut self, pipe: OwnedFd, slot: SlotNumber, shared: &Shared) {
        self.end_trace("another reader took the trace over", slot, shared);
        let protocol = self.conversation.protocol();
        self.tap = Some(Box::new(Tap::begin(pipe, protocol, self.place(), shared.unix_ms())));
        self.output.keep_trail(true);
        if let Some(cell) = shared.cell(slot, self.generation) {
            cell.set_traced(true);
        }
        log::audit!("trace begun");
    }

    /// Whether the client's next octet is known to begin a command, and the server's next to begin a line.
    fn place(&self) -> Place {
        let nothing_waits = self.input.unread().is_empty() && self.output.is_empty();
        let is_between = !matches!(self.conversation.parking(), Parking::Later);
        if is_between && nothing_waits && !self.keeping.is_to_resume() {
            Place::BetweenCommands
        } else {
            Place::Unknown
        }
    }

    /// Nobody reads along any more; the reader is told why.
    pub(crate) fn end_trace(&mut self, why: &str, slot: SlotNumber, shared: &Shared) {
        let Some(tap) = self.tap.take() else { return };
        shared.traces.given_back(slot);
        tap.end(shared.unix_ms(), why);
        self.output.keep_trail(false);
        if let Some(cell) = shared.cell(slot, self.generation) {
            cell.set_traced(false);
        }
        log::audit!("trace ended", why = why);
    }

    /// Ends the trace if its reader is gone.
    pub(super) fn look_after_reader(&mut self, slot: SlotNumber, shared: &Shared) {
        if self.tap.as_mut().is_some_and(|tap| tap.is_over()) {
            self.end_trace("the reader is gone", slot, shared);
        }
    }

    /// Until when a session that is parked may sleep, on the handler's clock: while somebody reads along it is looked now and then whether the
    /// reader is still there.
    pub(super) fn sleep_until_ms(&self, shared: &Shared) -> u64 {
        let look_ms = if self.tap.is_some() { shared.now_ms() + REST_AFTER_MS } else { u64::MAX };
        self.idle_deadline_ms.min(look_ms)
    }

    /// Sends what may be sent, and shows it to who reads along.
    pub(super) fn flush(&mut self, shared: &Shared) -> std::io::Result<Flushed> {
        let flushed = self.output.flush(std::os::fd::AsFd::as_fd(&self.socket));
        if let (Some(tap), Some(trail)) = (&mut self.tap, self.output.trail()) {
            tap.server(trail, shared.unix_ms());
        }
        flushed
    }

    /// Shows what became unread behind the first `before` octets to who reads along.
    pub(super) fn trace_input(&mut self, before: usize, shared: &Shared) {
        if let Some(tap) = &mut self.tap {
            tap.client(&self.input.unread()[before..], shared.unix_ms());
        }
    }
}
