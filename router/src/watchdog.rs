//! Finds handlers that hang: a poll thread whose heart stands still, or a worker whose turn does not end.
//!
//! Nothing here compares clocks of two processes. A sign of life is a word that changes, and a thread is as long still as the
//! router itself has watched it not change. Three kinds of stillness are no hang: waiting for the disk (state D), waiting
//! for a processor, and the router's own absence. So of a thread that runs (state R) only the time counts for which it had a processor: on a machine with
//! ten times too much to do, a turn of half a second takes five. A handler that hangs is condemned, asked by a signal to say what it does (which ends
//! it), and killed if it does not; its sessions go on as those of any that died.

use crate::handlers::Hung;
use crate::log::{Level, event};
use crate::server::Server;
use shm_abi::{HandlerRow, HandlerState, Heartbeat, MAX_WORKERS, Table, WorkerStage};
use std::collections::HashMap;
use std::fs;

/// How long a handler that hangs has to say what it does.
const LAST_WORDS_MS: u64 = 1000;
/// Milliseconds of a clock tick in `/proc`, which has a hundred a second on every machine.
const PROC_TICK_MS: u64 = 10;

/// A thread of a handler that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Watched {
    /// The one that waits for the network.
    Poll,
    /// A worker, by its row.
    Worker(u32),
}

/// The watched threads of one handler that were still at the last look.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    still: HashMap<Watched, Still>,
}

/// One thread that has not moved since it was first found so.
#[derive(Debug, Default, Clone, Copy)]
struct Still {
    sign: u64,
    still_ms: u64,
    processor_ms: Option<u64>,
}

/// What the kernel says of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ThreadState {
    /// Runs, or could; the time it has had a processor so far.
    Runs { processor_ms: u64 },
    /// Waits for the disk.
    Disk,
    /// Waits for something else, or is stopped, or gone.
    Waits,
}

impl Watch {
    /// Looks at a thread whose sign of life is now `sign`, `passed_ms` after the last look: for how long it has been still, in ms.
    fn look(
        &mut self,
        thread: Watched,
        sign: u64,
        passed_ms: u64,
        state: impl FnOnce() -> ThreadState,
    ) -> u64 {
        let still = self.still.entry(thread).or_insert(Still { sign: !sign, ..Still::default() });
        if still.sign != sign {
            *still = Still { sign, ..Still::default() };
            return 0;
        }
        match state() {
            ThreadState::Disk => {}
            ThreadState::Waits => still.still_ms += passed_ms,
            ThreadState::Runs { processor_ms } => {
                let got = still
                    .processor_ms
                    .replace(processor_ms)
                    .map(|before| processor_ms.saturating_sub(before));
                still.still_ms += got.map_or(0, |got| got.min(passed_ms));
            }
        }
        still.still_ms
    }

    /// A thread that has nothing to do shows no sign of life, and need not.
    fn forget(&mut self, thread: Watched) {
        self.still.remove(&thread);
    }
}

impl Server {
    /// Looks at every handler that should be alive, `passed_ms` after the last look.
    pub(crate) fn watch_all(&mut self, passed_ms: u64) {
        let limit_ms = u64::from(self.settings.limits.hang_seconds) * 1000;
        if limit_ms == 0 {
            return;
        }
        for (handler, running) in (0..).zip(&mut self.handlers) {
            let Some(running) = running else { continue };
            let row = self.table.handler(handler);
            if !matches!(row.state(), HandlerState::Serving | HandlerState::Draining) {
                continue;
            }
            let pid = running.process.pid();
            let Some((thread, still_ms)) =
                longest(&mut running.watch, &self.table, &row, (handler, pid), passed_ms)
            else {
                continue;
            };
            if still_ms < limit_ms {
                continue;
            }
            let (what, number) = match thread {
                Watched::Poll => ("poll", 0),
                Watched::Worker(number) => ("worker", number),
            };
            event(
                Level::Error,
                "handler-hung",
                &[
                    ("handler", &handler),
                    ("pid", &pid),
                    ("thread", &what),
                    ("number", &number),
                    ("still_ms", &still_ms),
                ],
            );
            running.hung = Some(Hung { thread, still_ms, kill_at_ms: self.now_ms + LAST_WORDS_MS });
            row.set_state(HandlerState::Condemned);
            match thread {
                Watched::Poll => running.process.abort(),
                Watched::Worker(_) => running.process.accuse(),
            }
        }
    }
}

/// The thread that has been still longest, of those that should not be.
fn longest(
    watch: &mut Watch,
    table: &Table,
    row: &HandlerRow<'_>,
    (handler, pid): (u32, u32),
    passed_ms: u64,
) -> Option<(Watched, u64)> {
    // The poll thread is the one the process began with, whose number is the process's.
    let beat = row.heartbeat(Heartbeat::Poll);
    let poll = watch.look(Watched::Poll, beat, passed_ms, || thread_state(pid, pid));
    let mut longest = (Watched::Poll, poll);
    for number in 0..MAX_WORKERS {
        let (worker, thread) = (table.worker(handler, number), Watched::Worker(number));
        if worker.stage() != WorkerStage::Running {
            watch.forget(thread);
            continue;
        }
        let still_ms =
            watch.look(thread, worker.since_ms(), passed_ms, || thread_state(pid, worker.thread()));
        if still_ms > longest.1 {
            longest = (thread, still_ms);
        }
    }
    (longest.1 > 0).then_some(longest)
}

fn thread_state(pid: u32, thread: u32) -> ThreadState {
    let line = fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat")).unwrap_or_default();
    parse_state(&line)
}

/// Reads a line of `/proc/PID/task/TID/stat`; proc(5) numbers its fields from 1.
fn parse_state(line: &str) -> ThreadState {
    // The name is in parentheses and may hold anything.
    let after_name = line.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    match fields.first() {
        Some(&"D") => ThreadState::Disk,
        Some(&"R") => ThreadState::Runs { processor_ms: (ticks(14) + ticks(15)) * PROC_TICK_MS },
        _ => ThreadState::Waits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn still(looks: &[(u64, ThreadState)]) -> Vec<u64> {
        let mut watch = Watch::default();
        looks.iter().map(|&(sign, state)| watch.look(Watched::Poll, sign, 500, || state)).collect()
    }

    #[test]
    fn a_thread_that_waits_and_shows_no_sign_grows_still() {
        let waits = ThreadState::Waits;
        assert_eq!(
            still(&[(7, waits), (7, waits), (7, waits), (8, waits), (8, waits)]),
            [0, 500, 1000, 0, 500]
        );
        // Also one that never showed any.
        assert_eq!(still(&[(0, waits), (0, waits)]), [0, 500]);
    }

    #[test]
    fn who_waits_for_the_disk_or_for_a_processor_does_not_hang() {
        assert_eq!(
            still(&[(7, ThreadState::Waits), (7, ThreadState::Disk), (7, ThreadState::Disk)]),
            [0, 0, 0]
        );
        let runs = |processor_ms| (7, ThreadState::Runs { processor_ms });
        // It had been watched for a while before it ran: that is not counted.
        assert_eq!(still(&[runs(9000), runs(9100), runs(9140), runs(9140), runs(9700)]), [0, 0, 40, 40, 540]);
    }

    #[test]
    fn a_worker_without_a_turn_is_forgotten() {
        let mut watch = Watch::default();
        let worker = Watched::Worker(3);
        watch.look(worker, 7, 500, || ThreadState::Waits);
        assert_eq!(watch.look(worker, 7, 500, || ThreadState::Waits), 500);
        watch.forget(worker);
        assert_eq!(watch.look(worker, 7, 500, || ThreadState::Waits), 0);
    }

    #[test]
    fn states_are_read_behind_any_name() {
        let line =
            |state: &str| format!("12 (a) D (b) {state} 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0 1 0 99 0");
        assert_eq!(parse_state(&line("D")), ThreadState::Disk);
        assert_eq!(parse_state(&line("S")), ThreadState::Waits);
        assert_eq!(parse_state(&line("R")), ThreadState::Runs { processor_ms: 1500 });
        assert_eq!(parse_state(""), ThreadState::Waits);
        let own = std::process::id();
        // Whoever asks runs, and this thread is one of its process.
        let thread = fs::read_link("/proc/thread-self").unwrap();
        let thread: u32 = thread.file_name().unwrap().to_str().unwrap().parse().unwrap();
        assert!(matches!(thread_state(own, thread), ThreadState::Runs { .. }));
    }
}
