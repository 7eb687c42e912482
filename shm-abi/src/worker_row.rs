//! A worker's row: which session one thread of a handler runs, since when, for what input, and what it crashed with.
//!
//! One writer: the worker itself, its signal handler included; once a row is crashed, the thread that cleans up behind it.
//! Everything here is a store into an atomic: nothing allocates or locks but the copies made for readers, so the signal handler
//! may call all that writes. A row outlives its process, so that the router can read it until the handler's row is begun anew.
//!
//! The input is what the client sent, passwords included. It is there only while the turn runs, and after a crash.

use crate::layout::{CRASH_FRAMES, INPUT_OCTETS, WorkerShared};
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum WorkerStage {
    /// No thread, or one that waits for a session.
    Idle = 0,
    /// Runs a session.
    Running = 1,
    /// Was ended by a signal or a panic; the row says by what.
    Crashed = 2,
}

impl WorkerStage {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            WorkerStage::Idle => "idle",
            WorkerStage::Running => "running",
            WorkerStage::Crashed => "crashed",
        }
    }

    fn from_number(number: u32) -> WorkerStage {
        match number {
            0 => WorkerStage::Idle,
            1 => WorkerStage::Running,
            // 2, and numbers nobody writes.
            _ => WorkerStage::Crashed,
        }
    }
}

/// What a thread crashed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashFacts {
    /// The signal; 0 for a panic.
    pub signal: i32,
    /// The signal's code (`si_code`).
    pub code: i32,
    /// The address that was touched.
    pub address: u64,
    /// The instruction that did it.
    pub instruction: u64,
    /// The stack pointer.
    pub stack: u64,
    /// How deep the thread was in the allocator: 0 if it was not in it.
    pub allocator_depth: u32,
    /// How many locks of the process, and other work that must not be left half done, the thread had in hand.
    pub engine_depth: u32,
    /// Where the program is loaded: taken from an instruction, it gives the place in the program's file.
    pub program_base: u64,
    /// Addresses of the calls that led there, innermost first; 0 behind the last.
    pub frames: [u64; CRASH_FRAMES],
}

impl Default for CrashFacts {
    fn default() -> CrashFacts {
        CrashFacts {
            signal: 0,
            code: 0,
            address: 0,
            instruction: 0,
            stack: 0,
            allocator_depth: 0,
            engine_depth: 0,
            program_base: 0,
            frames: [0; CRASH_FRAMES],
        }
    }
}

/// What a row says, copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerInfo {
    /// The number of the row.
    pub worker: u32,
    /// The kernel's number of the thread, 0 if there is none.
    pub thread: u32,
    /// What it does.
    pub stage: WorkerStage,
    /// Cell and generation of the session that it runs, or ran when it crashed.
    pub session: Option<(u32, u32)>,
    /// Since when the turn runs, 0 if none does.
    pub since_ms: u64,
    /// Turns begun.
    pub turns: u64,
    /// The message being read, by page (high half) and index (low half).
    pub message: Option<u64>,
    /// What came from the client in this turn, the first [`INPUT_OCTETS`] of it.
    pub input: Vec<u8>,
    /// How many octets came. `input` is all of it only if it is as long.
    pub input_came: u32,
    /// What the worker crashed with.
    pub crash: Option<CrashFacts>,
}

/// Access to one row.
#[derive(Clone, Copy)]
pub struct WorkerRow<'a> {
    shared: &'a WorkerShared,
}

/// No session, no message.
const NONE: u64 = u64::MAX;

impl<'a> WorkerRow<'a> {
    pub(crate) fn new(shared: &'a WorkerShared) -> WorkerRow<'a> {
        WorkerRow { shared }
    }

    /// A new thread takes the row: idle, nothing noted, no crash.
    pub fn begin(&self, thread: u32) {
        let shared = self.shared;
        self.set_stage(WorkerStage::Idle);
        self.drop_turn();
        self.note_crash(&CrashFacts::default());
        shared.thread.store(thread, Ordering::Release);
    }

    /// Nobody has the row.
    pub fn end(&self) {
        self.begin(0);
    }

    /// The thread runs a session from now on.
    pub fn begin_turn(&self, cell: u32, generation: u32, now_ms: u64) {
        let shared = self.shared;
        let turn = shared.turn.load(Ordering::Relaxed) | 1;
        shared.turn.store(turn, Ordering::Relaxed);
        // No store below may become visible before the odd number.
        fence(Ordering::Release);
        shared.session.store(u64::from(generation) << 32 | u64::from(cell), Ordering::Relaxed);
        shared.since_ms.store(now_ms, Ordering::Relaxed);
        self.set_stage(WorkerStage::Running);
        shared.turn.store(turn.wrapping_add(1), Ordering::Release);
    }

    /// Octets came from the client in this turn: they are kept behind what came before, as far as there is room.
    pub fn note_input(&self, came: &[u8]) {
        let shared = self.shared;
        let (kept, total) = self.input_lengths();
        let taken = came.len().min(INPUT_OCTETS - kept);
        for (number, chunk) in Chunks::new(kept, &came[..taken]) {
            let word = &shared.input[number];
            let mut octets = word.load(Ordering::Relaxed).to_le_bytes();
            octets[chunk.at..chunk.at + chunk.octets.len()].copy_from_slice(chunk.octets);
            word.store(u64::from_le_bytes(octets), Ordering::Relaxed);
        }
        let total = total.saturating_add(u32::try_from(came.len()).unwrap_or(u32::MAX));
        let lengths = u64::from(total) << 32 | (kept + taken) as u64;
        shared.input_lengths.store(lengths, Ordering::Release);
    }

    /// What came is kept elsewhere by now, or is of no use any more.
    pub fn forget_input(&self) {
        let (kept, _) = self.input_lengths();
        if kept == 0 {
            return;
        }
        self.shared.input_lengths.store(0, Ordering::Release);
        for word in &self.shared.input[..kept.div_ceil(8)] {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// A message is being read or parsed from now on; `None`: no longer.
    pub fn note_message(&self, message: Option<u64>) {
        self.shared.message.store(message.unwrap_or(NONE), Ordering::Relaxed);
    }

    /// The thread runs no session any more. What the client sent is wiped.
    pub fn end_turn(&self) {
        let shared = self.shared;
        let turn = shared.turn.load(Ordering::Relaxed) | 1;
        shared.turn.store(turn, Ordering::Relaxed);
        fence(Ordering::Release);
        self.set_stage(WorkerStage::Idle);
        self.drop_turn();
        shared.turn.store(turn.wrapping_add(1), Ordering::Release);
    }

    fn drop_turn(&self) {
        let shared = self.shared;
        shared.session.store(NONE, Ordering::Relaxed);
        shared.since_ms.store(0, Ordering::Relaxed);
        shared.message.store(NONE, Ordering::Relaxed);
        self.forget_input();
    }

    /// The worker crashed with this. What it ran stays noted.
    pub fn crash(&self, facts: &CrashFacts) {
        self.note_crash(facts);
        self.set_stage(WorkerStage::Crashed);
    }

    /// What the worker does.
    pub fn stage(&self) -> WorkerStage {
        WorkerStage::from_number(self.shared.stage.load(Ordering::Acquire))
    }

    /// The kernel's number of the thread, 0 if there is none.
    pub fn thread(&self) -> u32 {
        self.shared.thread.load(Ordering::Acquire)
    }

    /// Cell and generation of the session being run.
    pub fn session(&self) -> Option<(u32, u32)> {
        some(self.shared.session.load(Ordering::Acquire)).map(|word| (word as u32, (word >> 32) as u32))
    }

    /// Since when the turn runs, 0 if none does. What watches for turns that last too long needs no more.
    pub fn since_ms(&self) -> u64 {
        self.shared.since_ms.load(Ordering::Relaxed)
    }

    /// The message being read.
    pub fn message(&self) -> Option<u64> {
        some(self.shared.message.load(Ordering::Relaxed))
    }

    /// Copies what is kept of the input into `buffer`, as far as that has room: how much was copied, and how much came.
    pub fn copy_input(&self, buffer: &mut [u8]) -> (usize, u32) {
        let (kept, total) = self.input_lengths();
        let copied = kept.min(buffer.len());
        for (chunk, word) in buffer[..copied].chunks_mut(8).zip(&self.shared.input) {
            let octets = word.load(Ordering::Relaxed).to_le_bytes();
            chunk.copy_from_slice(&octets[..chunk.len()]);
        }
        (copied, total)
    }

    /// What the worker crashed with; zeros if it did not.
    pub fn facts(&self) -> CrashFacts {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let shared = self.shared;
        let (signal, depths) = (load(&shared.signal), load(&shared.depths));
        CrashFacts {
            signal: signal as u32 as i32,
            code: (signal >> 32) as u32 as i32,
            address: load(&shared.address),
            instruction: load(&shared.instruction),
            stack: load(&shared.stack),
            allocator_depth: depths as u32,
            engine_depth: (depths >> 32) as u32,
            program_base: load(&shared.program_base),
            frames: shared.frames.each_ref().map(load),
        }
    }

    fn note_crash(&self, facts: &CrashFacts) {
        let shared = self.shared;
        let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        shared.signal.store(pair(facts.signal as u32, facts.code as u32), Ordering::Relaxed);
        shared.depths.store(pair(facts.allocator_depth, facts.engine_depth), Ordering::Relaxed);
        shared.address.store(facts.address, Ordering::Relaxed);
        shared.instruction.store(facts.instruction, Ordering::Relaxed);
        shared.stack.store(facts.stack, Ordering::Relaxed);
        shared.program_base.store(facts.program_base, Ordering::Relaxed);
        for (word, frame) in shared.frames.iter().zip(facts.frames) {
            word.store(frame, Ordering::Relaxed);
        }
    }

    /// The row, copied; `None` if nobody has it and nobody crashed in it.
    pub fn info(&self, worker: u32) -> Option<WorkerInfo> {
        let shared = self.shared;
        // A writer that is stopped, or dead, in the middle does not keep readers waiting: they take what is there.
        for _ in 0..READ_ATTEMPTS {
            let before = shared.turn.load(Ordering::Acquire);
            let info = self.copy(worker);
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && shared.turn.load(Ordering::Relaxed) == before {
                return info;
            }
            std::hint::spin_loop();
        }
        self.copy(worker)
    }

    fn copy(&self, worker: u32) -> Option<WorkerInfo> {
        let (thread, stage) = (self.thread(), self.stage());
        if thread == 0 && stage != WorkerStage::Crashed {
            return None;
        }
        let mut input = vec![0; self.input_lengths().0];
        let (copied, input_came) = self.copy_input(&mut input);
        input.truncate(copied);
        Some(WorkerInfo {
            worker,
            thread,
            stage,
            session: self.session(),
            since_ms: self.since_ms(),
            turns: self.shared.turn.load(Ordering::Relaxed) / 4,
            message: self.message(),
            input,
            input_came,
            crash: (stage == WorkerStage::Crashed).then(|| self.facts()),
        })
    }

    /// Octets kept, and octets that came.
    fn input_lengths(&self) -> (usize, u32) {
        let lengths = self.shared.input_lengths.load(Ordering::Acquire);
        ((lengths as u32 as usize).min(INPUT_OCTETS), (lengths >> 32) as u32)
    }

    fn set_stage(&self, stage: WorkerStage) {
        self.shared.stage.store(stage as u32, Ordering::Release);
    }
}

/// Attempts of a reader before it takes what is there.
const READ_ATTEMPTS: u32 = 64;

fn some(word: u64) -> Option<u64> {
    (word != NONE).then_some(word)
}

/// A piece of octets that goes into one word.
struct Chunk<'o> {
    /// Where in the word.
    at: usize,
    octets: &'o [u8],
}

/// Octets from a place on, by the words that they fall into.
struct Chunks<'o> {
    place: usize,
    rest: &'o [u8],
}

impl<'o> Chunks<'o> {
    fn new(place: usize, octets: &'o [u8]) -> Chunks<'o> {
        Chunks { place, rest: octets }
    }
}

impl<'o> Iterator for Chunks<'o> {
    type Item = (usize, Chunk<'o>);

    fn next(&mut self) -> Option<(usize, Chunk<'o>)> {
        if self.rest.is_empty() {
            return None;
        }
        let (number, at) = (self.place / 8, self.place % 8);
        let (octets, rest) = self.rest.split_at(self.rest.len().min(8 - at));
        self.place += octets.len();
        self.rest = rest;
        Some((number, Chunk { at, octets }))
    }
}

#[cfg(test)]
mod tests {
    use crate::handover::Protocol;
    use crate::layout::INPUT_OCTETS;
    use crate::table::{Limits, Table};
    use crate::{CrashFacts, Endpoint, WorkerStage};

    fn make(test: &str) -> Table {
        let limits = Limits { handlers: 2, sessions: 3 };
        Table::create(&format!("/lode-test-{}-{test}", std::process::id()), limits, 1, 1).unwrap()
    }

    #[test]
    fn a_turn_is_seen_while_it_runs_and_wiped_behind_it() {
        let table = make("turn");
        assert!(table.workers(1).is_empty());
        let row = table.worker(1, 63);
        row.begin(4711);
        row.begin_turn(2, 9, 5000);
        row.note_input(b"a LOGIN ann ");
        row.note_input(b"secret\r\n");
        row.note_message(Some(7 << 32 | 3));
        let [info] = table.workers(1).try_into().expect("one worker");
        assert_eq!((info.worker, info.thread, info.stage), (63, 4711, WorkerStage::Running));
        assert_eq!((info.session, info.since_ms, info.turns), (Some((2, 9)), 5000, 0));
        assert_eq!((info.input.as_slice(), info.input_came), (&b"a LOGIN ann secret\r\n"[..], 20));
        assert_eq!((info.message, info.crash), (Some(7 << 32 | 3), None));
        row.end_turn();
        let [info] = table.workers(1).try_into().expect("one worker");
        assert_eq!((info.session, info.since_ms, info.turns, info.message), (None, 0, 1, None));
        assert!(info.input.is_empty() && info.input_came == 0);
        // The octets themselves are gone, too, not only their length.
        row.note_input(&[]);
        assert!(row.shared.input.iter().all(|word| word.load(super::Ordering::Relaxed) == 0));
        assert!(table.workers(0).is_empty());
    }

    #[test]
    fn input_has_a_limit_and_says_how_much_came() {
        let table = make("input");
        let row = table.worker(0, 0);
        row.begin(1);
        row.begin_turn(0, 1, 1);
        let octets: Vec<u8> = (0..=250).cycle().take(INPUT_OCTETS + 100).collect();
        for piece in octets.chunks(13) {
            row.note_input(piece);
        }
        let info = row.info(0).expect("a worker");
        assert_eq!(info.input, octets[..INPUT_OCTETS]);
        assert_eq!(info.input_came as usize, octets.len());
        let mut small = [0; 5];
        assert_eq!(row.copy_input(&mut small), (5, octets.len() as u32));
        assert_eq!(small, octets[..5]);
    }

    #[test]
    fn a_crash_stays_until_the_row_is_taken_again() {
        let table = make("facts");
        let row = table.worker(0, 5);
        row.begin(12);
        row.begin_turn(1, 2, 3);
        row.note_input(b"x");
        let mut facts =
            CrashFacts { signal: 11, code: -6, address: 8, engine_depth: 2, ..CrashFacts::default() };
        facts.frames[1] = u64::MAX;
        row.crash(&facts);
        let info = row.info(5).expect("a worker");
        assert_eq!(
            (info.stage, info.crash, info.input.as_slice()),
            (WorkerStage::Crashed, Some(facts), &b"x"[..])
        );
        row.begin(13);
        let info = row.info(5).expect("a worker");
        assert_eq!((info.stage, info.crash, info.session), (WorkerStage::Idle, None, None));
        row.end();
        assert_eq!(row.info(5), None);
    }

    #[test]
    fn a_new_process_finds_the_rows_empty() {
        let table = make("begin");
        let generation = table.begin_handler(0, 1);
        assert!(generation.is_some());
        assert!(table.assign(0, Protocol::Imap, Endpoint::Unix { pid: 1, uid: 0 }, 1).is_some());
        let row = table.worker(0, 1);
        row.begin(12);
        row.begin_turn(0, 1, 3);
        row.crash(&CrashFacts { signal: 7, ..CrashFacts::default() });
        table.clear_handler(0);
        assert_eq!(table.workers(0).len(), 1, "what is known of a crash outlives the process");
        table.begin_handler(0, 2).expect("the row is free");
        assert!(table.workers(0).is_empty());
    }
}
