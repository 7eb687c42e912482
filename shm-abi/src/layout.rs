//! Where everything is in the segment: the fixed structures, their sizes, the version and the fingerprint.
//!
//! Owned by this file alone: no other file computes an offset. The drawings are in `ABI.md`. A change here that
//! moves or re-means a word raises [`ABI_VERSION`]; the fingerprint catches the change that forgot to.

use crate::metrics::{Gauge, HISTOGRAM_BUCKETS, Histogram, Tally};
use std::mem::{offset_of, size_of};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Version of the layout and of its rules.
pub const ABI_VERSION: u32 = 1;
/// Most handlers one table can hold: the width of a mailbox row's bitmap.
pub const MAX_HANDLERS: u32 = 64;
/// Most sessions one handler can hold.
pub const MAX_SESSIONS: u32 = 65_536;
/// Octets kept of a user's name; longer names are cut at a character border.
pub const USER_OCTETS: usize = 64;
/// Octets kept of the command being run.
pub const COMMAND_OCTETS: usize = 32;
/// Rows for workers that each handler has.
pub const MAX_WORKERS: u32 = 64;
/// Octets kept of what a client sent in the turn that runs.
pub const INPUT_OCTETS: usize = 1024;
/// Calls kept of those that led to a crash.
pub const CRASH_FRAMES: usize = 24;

/// "LodeTabl", stored last when a table is made.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"LodeTabl");
/// Room for the start event of a handler row, in octets.
pub(crate) const START_EVENT_OCTETS: usize = 128;
/// Words of a session cell for its parked state.
pub(crate) const PARKED_WORDS: usize = 32;
/// Rows for failed logins: enough for some thousand addresses that guess at a time, whatever the number of sessions.
const ATTEMPTS_ROWS_LEAST: usize = 8_192;
const ATTEMPTS_ROWS_MOST: usize = 65_536;

/// Words of a row of measurements, with room for what is added later.
pub(crate) const TALLIES: usize = 64;
pub(crate) const GAUGES: usize = 16;
pub(crate) const HISTOGRAMS: usize = 32;

/// The head of the segment. The first 64 octets keep their place in every version, so that any two versions can
/// name each other and find out whether the router that made the segment is alive.
#[repr(C, align(64))]
pub(crate) struct Header {
    pub(crate) magic: AtomicU64,
    pub(crate) abi_version: AtomicU32,
    pub(crate) router_pid: AtomicU32,
    pub(crate) fingerprint: AtomicU64,
    pub(crate) router_start_ticks: AtomicU64,
    pub(crate) boot_generation: AtomicU64,
    pub(crate) segment_octets: AtomicU64,
    pub(crate) handlers: AtomicU32,
    pub(crate) sessions: AtomicU32,
    pub(crate) mailbox_rows: AtomicU32,
    /// Handlers that serve at a time; 0 is all.
    pub(crate) serving_max: AtomicU32,
    // Second line: written while running.
    pub(crate) created_ms: AtomicU64,
    pub(crate) queue_waiting: AtomicU32,
    /// How often a message was quarantined, whoever did it.
    pub(crate) quarantines: AtomicU32,
    pub(crate) accepted: AtomicU64,
    pub(crate) turned_away: AtomicU64,
    pub(crate) spawned: AtomicU64,
    pub(crate) reserved_3: [AtomicU64; 3],
}

/// One handler's row. Each group that different processes write has a cache line of its own.
#[repr(C, align(64))]
pub(crate) struct HandlerShared {
    /// Generation in the high half, [`crate::HandlerState`] in the low.
    pub(crate) state: AtomicU64,
    pub(crate) pid: AtomicU32,
    pub(crate) sessions: AtomicU32,
    pub(crate) start_ticks: AtomicU64,
    pub(crate) started_ms: AtomicU64,
    pub(crate) reserved: [AtomicU64; 4],
    /// Not 0 from the first announcement until the handler takes it.
    pub(crate) pending: AtomicU32,
    pub(crate) reserved_2: AtomicU32,
    pub(crate) reserved_3: [AtomicU64; 7],
    pub(crate) heartbeats: [AtomicU64; 8],
    /// They go on from one process of the row to the next.
    pub(crate) counters: [AtomicU64; 8],
    /// What `counters` said when the process was started.
    pub(crate) counters_before: [AtomicU64; 8],
    /// A `raw_sync` event: process-shared mutex, condition and flags. Touched through `start.rs` alone.
    pub(crate) start_event: [AtomicU64; START_EVENT_OCTETS / 8],
}

/// One session's cell. Words from `user` to `text_lengths` are covered by `sequence`.
#[repr(C, align(64))]
#[cfg_attr(test, derive(Default))]
pub(crate) struct CellShared {
    /// Generation in the high half, [`crate::CellState`] in the low.
    pub(crate) state: AtomicU64,
    /// Odd while the covered words are being written.
    pub(crate) sequence: AtomicU64,
    pub(crate) last_activity_ms: AtomicU64,
    pub(crate) command_since_ms: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) mailbox_key: AtomicU64,
    pub(crate) mailbox_row: AtomicU32,
    pub(crate) lock_held: AtomicU32,
    pub(crate) user: [AtomicU64; USER_OCTETS / 8],
    pub(crate) command: [AtomicU64; COMMAND_OCTETS / 8],
    pub(crate) peer: [AtomicU64; 3],
    pub(crate) accepted_ms: AtomicU64,
    pub(crate) login_ms: AtomicU64,
    /// Octets 0, 1: lengths of user and command. Octet 2: protocol.
    pub(crate) text_lengths: AtomicU64,
    /// Time that workers spent on the session, in microseconds.
    pub(crate) cpu_micros: AtomicU64,
    /// 1 while somebody reads along.
    pub(crate) traced: AtomicU32,
    pub(crate) reserved: AtomicU32,
    /// [`crate::CellFlags`].
    pub(crate) flags: AtomicU64,
    pub(crate) reserved_2: AtomicU64,
    /// Whose session it is, as `accounts.rs` counts it: a hash of user and protocol, 0 before the login.
    pub(crate) account: AtomicU64,
    /// Memory that the session holds.
    pub(crate) memory_octets: AtomicU64,
    pub(crate) parked: [AtomicU64; PARKED_WORDS],
}

/// One worker's row. Words from `stage` to `since_ms` are covered by `turn`.
#[repr(C, align(64))]
pub(crate) struct WorkerShared {
    /// The kernel's number of the thread, 0 for none.
    pub(crate) thread: AtomicU32,
    /// A [`crate::WorkerStage`].
    pub(crate) stage: AtomicU32,
    /// Raised by two at the beginning of a turn and at its end; odd in the middle of either.
    pub(crate) turn: AtomicU64,
    /// Generation in the high half, cell in the low; all ones for none.
    pub(crate) session: AtomicU64,
    pub(crate) since_ms: AtomicU64,
    /// Page in the high half, index in the low; all ones for none.
    pub(crate) message: AtomicU64,
    /// Octets that came in the high half, octets kept in the low.
    pub(crate) input_lengths: AtomicU64,
    pub(crate) reserved: [AtomicU64; 2],
    // Second line: what it crashed with.
    /// `si_code` in the high half, the signal in the low.
    pub(crate) signal: AtomicU64,
    pub(crate) address: AtomicU64,
    pub(crate) instruction: AtomicU64,
    pub(crate) stack: AtomicU64,
    /// Depth in the engine in the high half, depth in the allocator in the low.
    pub(crate) depths: AtomicU64,
    pub(crate) program_base: AtomicU64,
    pub(crate) reserved_2: [AtomicU64; 2],
    pub(crate) frames: [AtomicU64; CRASH_FRAMES],
    pub(crate) input: [AtomicU64; INPUT_OCTETS / 8],
}

/// A histogram: how many values are in each bucket, and their sum.
#[repr(C, align(64))]
pub(crate) struct HistogramShared {
    pub(crate) buckets: [AtomicU64; HISTOGRAM_BUCKETS],
    pub(crate) sum: AtomicU64,
    pub(crate) reserved: AtomicU64,
}

/// The measurements of one handler row, or of the router. See `metrics.rs`.
#[repr(C, align(64))]
pub(crate) struct MetricsShared {
    pub(crate) tallies: [AtomicU64; TALLIES],
    pub(crate) gauges: [AtomicU64; GAUGES],
    pub(crate) histograms: [HistogramShared; HISTOGRAMS],
}

/// One row of change notification; shared by all mailboxes whose key falls on it.
#[repr(C, align(32))]
pub(crate) struct MailboxShared {
    pub(crate) generation: AtomicU64,
    pub(crate) watchers: AtomicU64,
    /// The key announced last; for people who look, never read by the program.
    pub(crate) last_key: AtomicU64,
    pub(crate) reserved: AtomicU64,
}

/// Failed logins of somebody, see `attempts.rs`.
#[repr(C, align(32))]
pub(crate) struct AttemptsShared {
    /// Who: a keyed hash, 0 for nobody.
    pub(crate) key: AtomicU64,
    /// Until when something is remembered, on the machine's own clock.
    pub(crate) until_ms: AtomicU64,
    /// Digests of the two passwords that were wrong last.
    pub(crate) passwords: AtomicU64,
    /// Until when it is known that a password was right.
    pub(crate) proven_until_ms: AtomicU64,
}

const _: () = assert!(size_of::<Header>() == 128 && offset_of!(Header, created_ms) == 64);
const _: () = assert!(size_of::<HandlerShared>() == 448 && offset_of!(HandlerShared, pending) == 64);
const _: () = assert!(size_of::<CellShared>() == 512 && offset_of!(CellShared, user) == 64);
const _: () = assert!(offset_of!(CellShared, parked) == 256);
const _: () = assert!(size_of::<MailboxShared>() == 32);
const _: () = assert!(size_of::<WorkerShared>() == 1344 && offset_of!(WorkerShared, signal) == 64);
const _: () = assert!(size_of::<AttemptsShared>() == 32);
const _: () = assert!(size_of::<HistogramShared>() == 192 && size_of::<MetricsShared>() == 6784);
const _: () = assert!(Tally::ALL.len() <= TALLIES && Gauge::ALL.len() <= GAUGES);
const _: () = assert!(Histogram::ALL.len() <= HISTOGRAMS);

/// Offsets of the areas in a segment of given limits, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Areas {
    pub(crate) handlers: usize,
    pub(crate) metrics: usize,
    pub(crate) free_words: usize,
    pub(crate) free_words_each: usize,
    pub(crate) mailboxes: usize,
    pub(crate) mailbox_rows: usize,
    pub(crate) workers: usize,
    pub(crate) cells: usize,
    pub(crate) attempts: usize,
    pub(crate) attempts_rows: usize,
    pub(crate) accounts: usize,
    pub(crate) accounts_rows: usize,
    pub(crate) total: usize,
}

impl Areas {
    /// The areas for `handlers` × `sessions`, both already within [`MAX_HANDLERS`] and [`MAX_SESSIONS`].
    pub(crate) fn of(handlers: u32, sessions: u32) -> Areas {
        let (handler_count, session_count) = (handlers as usize, sessions as usize);
        let free_words_each = session_count.div_ceil(64).next_multiple_of(8);
        let mailbox_rows = (handler_count * session_count * 2).next_power_of_two().max(1024);
        let at_handlers = size_of::<Header>();
        let at_metrics = at_handlers + handler_count * size_of::<HandlerShared>();
        // The last row is the router's.
        let at_free_words = at_metrics + (handler_count + 1) * size_of::<MetricsShared>();
        let at_mailboxes = at_free_words + handler_count * free_words_each * 8;
        let at_workers = at_mailboxes + mailbox_rows * size_of::<MailboxShared>();
        let at_cells = at_workers + handler_count * MAX_WORKERS as usize * size_of::<WorkerShared>();
        let accounts_rows = (handler_count * session_count).next_power_of_two().max(1024);
        let attempts_rows = (2 * accounts_rows).clamp(ATTEMPTS_ROWS_LEAST, ATTEMPTS_ROWS_MOST);
        let at_attempts = at_cells + handler_count * session_count * size_of::<CellShared>();
        let at_accounts = at_attempts + attempts_rows * size_of::<AttemptsShared>();
        let total = (at_accounts + accounts_rows * size_of::<AtomicU64>()).next_multiple_of(4096);
        Areas {
            handlers: at_handlers,
            metrics: at_metrics,
            free_words: at_free_words,
            free_words_each,
            mailboxes: at_mailboxes,
            mailbox_rows,
            workers: at_workers,
            cells: at_cells,
            attempts: at_attempts,
            attempts_rows,
            accounts: at_accounts,
            accounts_rows,
            total,
        }
    }
}

/// A hash of sizes and offsets: two programs with the same value agree where every word is.
pub(crate) const FINGERPRINT: u64 = {
    let facts = [
        size_of::<Header>(),
        offset_of!(Header, queue_waiting),
        offset_of!(Header, accepted),
        size_of::<HandlerShared>(),
        offset_of!(HandlerShared, sessions),
        offset_of!(HandlerShared, pending),
        offset_of!(HandlerShared, heartbeats),
        offset_of!(HandlerShared, counters),
        offset_of!(HandlerShared, counters_before),
        offset_of!(HandlerShared, start_event),
        START_EVENT_OCTETS,
        size_of::<CellShared>(),
        offset_of!(CellShared, sequence),
        offset_of!(CellShared, mailbox_key),
        offset_of!(CellShared, user),
        offset_of!(CellShared, command),
        offset_of!(CellShared, peer),
        offset_of!(CellShared, text_lengths),
        offset_of!(CellShared, cpu_micros),
        offset_of!(CellShared, traced),
        offset_of!(CellShared, account),
        offset_of!(CellShared, memory_octets),
        offset_of!(CellShared, flags),
        offset_of!(CellShared, parked),
        size_of::<AttemptsShared>(),
        offset_of!(AttemptsShared, passwords),
        size_of::<MailboxShared>(),
        offset_of!(MailboxShared, watchers),
        size_of::<WorkerShared>(),
        MAX_WORKERS as usize,
        offset_of!(WorkerShared, session),
        offset_of!(WorkerShared, signal),
        offset_of!(WorkerShared, frames),
        offset_of!(WorkerShared, input),
        size_of::<MetricsShared>(),
        offset_of!(MetricsShared, gauges),
        offset_of!(MetricsShared, histograms),
        // What a word of these means follows from the order of the lists.
        Tally::ALL.len(),
        Gauge::ALL.len(),
        Histogram::ALL.len(),
        // The memory order of a multi-octet word is part of the layout.
        cfg!(target_endian = "big") as usize,
    ];
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < facts.len() {
        hash = (hash ^ facts[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_follow_each_other_and_keep_their_alignment() {
        for (handlers, sessions) in [(1, 1), (2, 3), (16, 1000), (64, 65_536)] {
            let areas = Areas::of(handlers, sessions);
            assert_eq!(areas.handlers % 64, 0);
            assert_eq!(areas.metrics % 64, 0);
            assert_eq!(areas.free_words % 64, 0);
            assert_eq!(areas.mailboxes % 64, 0);
            assert_eq!(areas.workers % 64, 0);
            assert_eq!(areas.cells % 64, 0);
            assert_eq!(areas.attempts % 64, 0);
            assert!(areas.attempts_rows.is_power_of_two() && areas.accounts_rows.is_power_of_two());
            assert!(areas.free_words_each * 64 >= sessions as usize);
            assert!(areas.mailbox_rows.is_power_of_two());
            let cells_end = areas.cells + handlers as usize * sessions as usize * size_of::<CellShared>();
            assert_eq!(areas.attempts, cells_end);
            let end = areas.accounts + areas.accounts_rows * 8;
            assert!(areas.total >= end && areas.total < end + 4096);
        }
    }

    /// Fails when the layout moves: raise `ABI_VERSION`, redraw `ABI.md`, then put the new value here.
    #[test]
    fn the_fingerprint_is_the_one_of_this_version() {
        assert_eq!((ABI_VERSION, FINGERPRINT), (1, 12_328_626_829_765_810_929));
    }
}
