#![allow(unsafe_code)]
//! The start event of a handler row: the semaphore on which the router waits for a new handler.
//!
//! The one use of `raw_sync`. Its mutex is not robust and its timeouts are right in whole seconds only, so a wait
//! goes second by second and looks at the row between, and nobody but the new handler itself ever takes the
//! event's mutex while another waits: a handler killed in the middle of posting costs its own start, not a hang.

use crate::handler_row::HandlerState;
use crate::layout::{HandlerShared, START_EVENT_OCTETS};
use crate::table::Table;
use raw_sync::Timeout;
use raw_sync::events::{Event, EventImpl, EventInit, EventState};
use std::mem::offset_of;
use std::time::Duration;

/// How waiting for a handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartWait {
    /// It serves.
    Started,
    /// Its row was cleared or given a new generation: it died.
    Gone,
    /// It did not come up in time.
    TimedOut,
}

impl Table {
    /// Makes the event of a row anew. The router does this before it starts the handler, when no one can be using
    /// the event: the row's last process is reaped and the last wait has ended.
    pub(crate) fn reset_start_event(&self, handler: u32) -> bool {
        let place = self.start_event_place(handler);
        // SAFETY: the place is START_EVENT_OCTETS long, aligned to 64, mapped for writing as long as `self`; the
        // event fits (checked first), and nobody uses it, as this function requires.
        unsafe {
            if Event::size_of(Some(place)) > START_EVENT_OCTETS {
                return false;
            }
            std::ptr::write_bytes(place, 0, START_EVENT_OCTETS);
            Event::new(place, false).is_ok()
        }
    }

    /// Tells the router that this handler serves. The handler calls it once, after setting its row to serving.
    /// False if the event is damaged.
    pub fn post_start(&self, handler: u32) -> bool {
        self.start_event(handler).is_some_and(|event| event.set(EventState::Signaled).is_ok())
    }

    /// Waits until handler `handler` of generation `generation` serves, at most about `seconds`. Blocks, so the
    /// router calls it from a thread of its own.
    pub fn wait_for_start(&self, handler: u32, generation: u32, seconds: u32) -> StartWait {
        let Some(event) = self.start_event(handler) else { return StartWait::TimedOut };
        for _ in 0..seconds.max(1) {
            // Posted or timed out: the row says which it was, also if the event is damaged.
            let _ = event.wait(Timeout::Val(Duration::from_secs(1)));
            let row = self.handler(handler);
            match row.state() {
                _ if row.generation() != generation => return StartWait::Gone,
                HandlerState::Free | HandlerState::Dead | HandlerState::Condemned => return StartWait::Gone,
                HandlerState::Serving | HandlerState::Draining => return StartWait::Started,
                HandlerState::Starting => {}
            }
        }
        StartWait::TimedOut
    }

    fn start_event(&self, handler: u32) -> Option<Box<dyn EventImpl>> {
        let place = self.start_event_place(handler);
        // SAFETY: the place is mapped for writing as long as `self`, and the boxed event does not leave a method of
        // `self`; the router made an event there before it started the handler.
        unsafe { Event::from_existing(place) }.ok().map(|(event, _)| event)
    }

    fn start_event_place(&self, handler: u32) -> *mut u8 {
        let offset = self.handler_offset(handler) + offset_of!(HandlerShared, start_event);
        self.segment().address(offset, START_EVENT_OCTETS).as_ptr()
    }
}
