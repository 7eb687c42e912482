//! The queue of slots that are ready to run, in order of arrival. Filled by whoever wakes a session, emptied by the workers.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Instant;

use crate::slots::SlotNumber;
use store::in_hand::{Condvar, Mutex, MutexGuard};

struct State {
    /// Each with the time since when it is ready.
    ready: VecDeque<(SlotNumber, Instant)>,
    /// The longest that `ready` was since somebody asked.
    most: usize,
    /// Workers that wait for something to do.
    idle_workers: usize,
    closed: bool,
}

/// The run queue of the handler.
pub(crate) struct RunQueue {
    state: Mutex<State>,
    filled: Condvar,
}

impl RunQueue {
    /// An empty queue.
    pub(crate) fn new() -> RunQueue {
        RunQueue {
            state: Mutex::new(State { ready: VecDeque::new(), most: 0, idle_workers: 0, closed: false }),
            filled: Condvar::new(),
        }
    }

    /// Adds a slot. Each slot is in the queue at most once: its state sees to that.
    pub(crate) fn push(&self, slot: SlotNumber) {
        let now = Instant::now();
        let mut state = self.lock();
        state.ready.push_back((slot, now));
        state.most = state.most.max(state.ready.len());
        let wake = state.idle_workers > 0;
        drop(state);
        if wake {
            self.filled.notify_one();
        }
    }

    /// The next slot to run, and since when it is ready; waits for one. `None` once the queue is closed and empty.
    pub(crate) fn take(&self) -> Option<(SlotNumber, Instant)> {
        let mut state = self.lock();
        loop {
            if let Some(ready) = state.ready.pop_front() {
                return Some(ready);
            }
            if state.closed {
                return None;
            }
            state.idle_workers += 1;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle_workers -= 1;
        }
    }

    /// [`RunQueue::take`] without the time.
    #[cfg(test)]
    pub(crate) fn pop(&self) -> Option<SlotNumber> {
        self.take().map(|(slot, _)| slot)
    }

    /// How many slots are ready, and how many there were at most since the last call.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        let mut state = self.lock();
        let now = state.ready.len();
        (now, std::mem::replace(&mut state.most, now))
    }

    /// Lets the workers end once the queue is empty.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
