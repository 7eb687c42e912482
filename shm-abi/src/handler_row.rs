//! A handler's row: who it is, whether it serves, whether it still beats, what it has done.
//!
//! The router writes a row while it is free or starting and after the process is reaped; between them the handler
//! does. `sessions` is counted up by the router and down by the handler; `pending` is written by everybody.

use crate::layout::HandlerShared;
use crate::process::Process;
use std::sync::atomic::Ordering;

/// Where a handler is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum HandlerState {
    /// No process.
    Free = 0,
    /// Started, not ready.
    Starting = 1,
    /// Takes connections.
    Serving = 2,
    /// Finishes its sessions and takes no more.
    Draining = 3,
    /// Not to be trusted; about to be killed.
    Condemned = 4,
    /// Reaped; its row is being cleared.
    Dead = 5,
}

impl HandlerState {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            HandlerState::Free => "free",
            HandlerState::Starting => "starting",
            HandlerState::Serving => "serving",
            HandlerState::Draining => "draining",
            HandlerState::Condemned => "condemned",
            HandlerState::Dead => "dead",
        }
    }

    fn from_number(number: u32) -> HandlerState {
        match number {
            0 => HandlerState::Free,
            1 => HandlerState::Starting,
            2 => HandlerState::Serving,
            3 => HandlerState::Draining,
            5 => HandlerState::Dead,
            // 4, and numbers nobody writes.
            _ => HandlerState::Condemned,
        }
    }
}

/// The threads of a handler that say they live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Heartbeat {
    /// The thread that learns what became readable.
    Poll = 0,
    /// The thread that cleans up after signals.
    CriticalSignal = 1,
    /// The thread that started the others.
    Init = 2,
    /// The thread that makes changes durable.
    Commit = 3,
}

/// What a handler counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Connections taken.
    Connections = 0,
    /// Commands done.
    Commands = 1,
    /// Commits, each for any number of changes.
    Commits = 2,
    /// Octets from clients.
    BytesIn = 3,
    /// Octets to clients.
    BytesOut = 4,
    /// Sessions ended by a crash of their own.
    Crashes = 5,
}

/// What a row says, copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerInfo {
    /// The row.
    pub handler: u32,
    /// Its process.
    pub process: Process,
    /// Its generation.
    pub generation: u32,
    /// Where it is in its life.
    pub state: HandlerState,
    /// Sessions it has.
    pub sessions: u32,
    /// When it was started.
    pub started_ms: u64,
    /// When each thread last beat, by [`Heartbeat`]; 0 for never.
    pub heartbeats_ms: [u64; 4],
    /// What this process counted, by [`Counter`].
    pub counters: [u64; 6],
}

/// Access to one row.
#[derive(Clone, Copy)]
pub struct HandlerRow<'a> {
    shared: &'a HandlerShared,
}

impl<'a> HandlerRow<'a> {
    pub(crate) fn new(shared: &'a HandlerShared) -> HandlerRow<'a> {
        HandlerRow { shared }
    }

    /// Where the handler is in its life.
    pub fn state(&self) -> HandlerState {
        HandlerState::from_number(self.shared.state.load(Ordering::Acquire) as u32)
    }

    /// How many times the row was given to a process.
    pub fn generation(&self) -> u32 {
        (self.shared.state.load(Ordering::Acquire) >> 32) as u32
    }

    /// Moves the row on. Never from condemned back to serving: the word is exchanged, not stored.
    pub fn set_state(&self, state: HandlerState) {
        let _ = self.shared.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            let condemned = HandlerState::from_number(word as u32) == HandlerState::Condemned;
            let allowed = !condemned || matches!(state, HandlerState::Dead | HandlerState::Free);
            allowed.then_some(word & !0xffff_ffff | state as u64)
        });
    }

    /// The process in the row.
    pub fn process(&self) -> Process {
        Process {
            pid: self.shared.pid.load(Ordering::Acquire),
            start_ticks: self.shared.start_ticks.load(Ordering::Acquire),
        }
    }

    /// Names the process; the router does it after the fork.
    pub fn set_process(&self, process: Process) {
        self.shared.start_ticks.store(process.start_ticks, Ordering::Release);
        self.shared.pid.store(process.pid, Ordering::Release);
    }

    /// Says that a thread lives.
    pub fn beat(&self, thread: Heartbeat, now_ms: u64) {
        self.shared.heartbeats[thread as usize].store(now_ms, Ordering::Relaxed);
    }

    /// When a thread last said that it lives, by its own clock; 0 for never.
    pub fn heartbeat(&self, thread: Heartbeat) -> u64 {
        self.shared.heartbeats[thread as usize].load(Ordering::Relaxed)
    }

    /// Counts.
    pub fn count(&self, counter: Counter, by: u64) {
        self.shared.counters[counter as usize].fetch_add(by, Ordering::Relaxed);
    }

    /// A new process's row: starting, nothing counted, no beat, nothing pending.
    pub(crate) fn begin(&self, generation: u32, now_ms: u64) {
        let shared = self.shared;
        for word in &shared.heartbeats {
            word.store(0, Ordering::Relaxed);
        }
        for (before, counter) in shared.counters_before.iter().zip(&shared.counters) {
            before.store(counter.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        shared.pid.store(0, Ordering::Relaxed);
        shared.start_ticks.store(0, Ordering::Relaxed);
        shared.sessions.store(0, Ordering::Relaxed);
        shared.started_ms.store(now_ms, Ordering::Relaxed);
        shared.pending.store(0, Ordering::SeqCst);
        shared.state.store(u64::from(generation) << 32 | HandlerState::Starting as u64, Ordering::Release);
    }

    /// The row, copied; `None` if it is free.
    pub(crate) fn info(&self, handler: u32) -> Option<HandlerInfo> {
        let shared = self.shared;
        let word = shared.state.load(Ordering::Acquire);
        let state = HandlerState::from_number(word as u32);
        (state != HandlerState::Free).then(|| HandlerInfo {
            handler,
            process: self.process(),
            generation: (word >> 32) as u32,
            state,
            sessions: shared.sessions.load(Ordering::Acquire),
            started_ms: shared.started_ms.load(Ordering::Relaxed),
            heartbeats_ms: std::array::from_fn(|at| shared.heartbeats[at].load(Ordering::Relaxed)),
            counters: std::array::from_fn(|at| {
                let before = shared.counters_before[at].load(Ordering::Relaxed);
                shared.counters[at].load(Ordering::Relaxed).wrapping_sub(before)
            }),
        })
    }

    /// What all processes of the row have counted together.
    pub(crate) fn counter_total(&self, counter: Counter) -> u64 {
        self.shared.counters[counter as usize].load(Ordering::Relaxed)
    }
}
