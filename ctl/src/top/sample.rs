//! Looks at the table made into what is shown: with rates, which are differences between looks.

use std::collections::{HashMap, VecDeque};

use shm_abi::{Counter, HandlerInfo, SessionId, SessionInfo, TableInfo};

use super::source::Look;

/// Rates are of this long, in milliseconds: some counters move once a second.
const WINDOW_MS: u64 = 3_500;
/// Looks that are remembered at most, however short the interval.
const LOOKS_MAX: usize = 40;

/// What is shown.
#[derive(Debug)]
pub(super) struct Sample {
    /// When, in milliseconds since 1970.
    pub(super) now_ms: u64,
    /// The table's head.
    pub(super) info: TableInfo,
    /// Whether its router runs.
    pub(super) router_alive: bool,
    /// By row.
    pub(super) handlers: Vec<Handler>,
    /// By name.
    pub(super) sessions: Vec<Session>,
}

/// A handler and what it does in a second.
#[derive(Debug)]
pub(super) struct Handler {
    pub(super) info: HandlerInfo,
    pub(super) commands: f64,
    pub(super) commits: f64,
    pub(super) octets_in: f64,
    pub(super) octets_out: f64,
}

/// A session and what it takes.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) info: SessionInfo,
    /// Percent of one processor.
    pub(super) cpu_percent: f64,
}

impl Session {
    /// Octets both ways.
    pub(super) fn octets(&self) -> u64 {
        self.info.bytes_in.saturating_add(self.info.bytes_out)
    }
}

/// Counters of the looks of the last seconds.
#[derive(Debug, Default)]
pub(super) struct History {
    looks: VecDeque<Counters>,
}

#[derive(Debug)]
struct Counters {
    now_ms: u64,
    boot_generation: u64,
    /// By row and generation.
    handlers: HashMap<(u32, u32), [u64; 6]>,
    /// Processor time.
    sessions: HashMap<SessionId, u64>,
}

impl History {
    /// Takes a look in, and says what is to be shown of it.
    pub(super) fn push(&mut self, look: Look) -> Sample {
        let counters = Counters::of(&look);
        // A table made anew, or a clock put back, begins a new history.
        let is_other = |last: &Counters| {
            last.boot_generation != counters.boot_generation || last.now_ms > counters.now_ms
        };
        if self.looks.back().is_some_and(is_other) {
            self.looks.clear();
        }
        while self.looks.len() >= LOOKS_MAX
            || self.looks.front().is_some_and(|first| first.now_ms + WINDOW_MS < look.now_ms)
                && self.looks.len() > 1
        {
            self.looks.pop_front();
        }
        let sample = self.compare(look);
        self.looks.push_back(counters);
        sample
    }

    fn compare(&self, look: Look) -> Sample {
        let before = self.looks.front();
        let passed_ms = before.map_or(0, |before| look.now_ms - before.now_ms);
        let per_second = |now: u64, then: Option<u64>| match then {
            Some(then) if passed_ms > 0 => now.saturating_sub(then) as f64 * 1000.0 / passed_ms as f64,
            _ => 0.0,
        };
        let handler = |info: HandlerInfo| {
            let then = before.and_then(|before| before.handlers.get(&(info.handler, info.generation)));
            let rate = |counter: Counter| {
                per_second(info.counters[counter as usize], then.map(|then| then[counter as usize]))
            };
            Handler {
                commands: rate(Counter::Commands),
                commits: rate(Counter::Commits),
                octets_in: rate(Counter::BytesIn),
                octets_out: rate(Counter::BytesOut),
                info,
            }
        };
        let session = |info: SessionInfo| {
            let micros = match before.and_then(|before| before.sessions.get(&info.id)) {
                Some(then) => per_second(info.cpu_micros, Some(*then)),
                // It came since then: all that it took, over its whole life.
                None => {
                    let age_ms = look.now_ms.saturating_sub(info.accepted_ms).max(1);
                    info.cpu_micros as f64 * 1000.0 / age_ms as f64
                }
            };
            // A turn is counted a little late.
            Session { cpu_percent: (micros / 10_000.0).min(100.0), info }
        };
        Sample {
            now_ms: look.now_ms,
            info: look.info,
            router_alive: look.router_alive,
            handlers: look.handlers.into_iter().map(handler).collect(),
            sessions: look.sessions.into_iter().map(session).collect(),
        }
    }
}

impl Counters {
    fn of(look: &Look) -> Counters {
        let row = |info: &HandlerInfo| {
            let counters = std::array::from_fn(|at| info.counters.get(at).copied().unwrap_or(0));
            ((info.handler, info.generation), counters)
        };
        Counters {
            now_ms: look.now_ms,
            boot_generation: look.info.boot_generation,
            handlers: look.handlers.iter().map(row).collect(),
            sessions: look.sessions.iter().map(|session| (session.id, session.cpu_micros)).collect(),
        }
    }
}
