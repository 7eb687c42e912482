//! The critical-signal thread: ends the session of a worker that met a critical signal, and that session only.
//!
//! It waits for the bell of the seats, notes where the worker was, and decides: a worker that was neither in the allocator nor held a lock
//! of the process leaves alone; one that did takes the process with it, for nobody would ever release what it held. What needs memory or
//! locks (the report, the quarantine of a message, the slot, watches, another worker) is done by the poll thread (`mend.rs`), and by
//! the router if the process ends. The client hears of it from them, after the report: who comes back finds all of it done.
//!
//! A worker that hangs is brought to a critical signal, so that there is a report of it, too: when the router has lost patience, and is
//! about to kill the process in any case.
//!
//! Nothing here allocates or locks: another worker may have crashed in the allocator at the same moment.

use std::os::fd::RawFd;

use nix::libc::SIGABRT;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};
use shm_abi::{CellFlags, Counter, CrashFacts, Heartbeat, MAX_WORKERS, Protocol, Tally, WorkerStage};

use crate::seats::{Seat, Stage};
use crate::shared::Shared;
use crate::signals;

/// How often the thread says that it lives, in milliseconds.
const BEAT_EVERY_MS: u16 = 500;

/// Takes care of crashed workers until the seats are closed.
pub(crate) fn run(shared: &Shared) {
    while !shared.seats.are_closed() {
        shared.table.handler(shared.handler).beat(Heartbeat::CriticalSignal, shared.unix_ms());
        let mut bell = [PollFd::new(shared.seats.bell(), PollFlags::POLLIN)];
        // Interrupted or not, the seats tell.
        let _ = poll(&mut bell, PollTimeout::from(BEAT_EVERY_MS));
        shared.seats.hush();
        if shared.seats.take_accusation() {
            interrupt_longest(shared);
        }
        for (number, seat) in shared.seats.all() {
            if seat.stage() == Stage::Crashed {
                attend(shared, number, seat);
            }
        }
    }
}

/// Whether a crash with these facts leaves the rest of the process as it was.
pub(crate) fn is_clean(facts: &CrashFacts) -> bool {
    facts.signal != SIGABRT && facts.allocator_depth == 0 && facts.engine_depth == 0
}

/// Stops the worker whose turn began first.
fn interrupt_longest(shared: &Shared) {
    let rows = (0..MAX_WORKERS).map(|number| shared.table.worker(shared.handler, number));
    let running = rows.filter(|row| row.stage() == WorkerStage::Running && row.thread() != 0);
    if let Some(row) = running.min_by_key(|row| row.since_ms()) {
        signals::interrupt(row.thread());
    }
}

fn attend(shared: &Shared, number: u32, seat: &Seat) {
    let row = shared.table.worker(shared.handler, number);
    let mut facts = row.facts();
    facts.frames = signals::frames(seat.stack(), facts.stack);
    row.crash(&facts);
    shared.table.handler(shared.handler).count(Counter::Crashes, 1);
    shared.metrics().count(Tally::CrashSignal);
    if !is_clean(&facts) {
        signals::die(shared);
    }
    seat.set_stage(Stage::Leaving);
    // The poll thread looks at the seats whenever its eventfd wakes it.
    shared.wake_handler(shared.handler);
}

/// Tells the client that the session ends, if that cannot be taken for part of a reply, and ends the connection.
pub(crate) fn say_last_words(shared: &Shared, slot: u32, generation: u32, socket: RawFd) {
    if let Some(cell) = shared.cell(slot, generation) {
        let flags = cell.flags();
        let answering = flags.has(CellFlags::ANSWERING);
        // IMAP's word stands on its own; those of the others are the answer to the command, if that has none yet.
        let words: &[u8] = match cell.protocol() {
            Some(Protocol::Imap) => b"* BYE [SERVERBUG] A fault of the server ends this session\r\n",
            Some(Protocol::Pop3) if !answering => {
                b"-ERR [SYS/TEMP] A fault of the server ends this session\r\n"
            }
            Some(Protocol::Lmtp) if !answering => b"421 4.3.0 A fault of the server ends this session\r\n",
            _ => b"",
        };
        if !flags.has(CellFlags::TORN | CellFlags::COMPRESSED) && !words.is_empty() {
            // A client that is gone already needs none.
            let _ = send(socket, words, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        }
    }
    let _ = shutdown(socket, Shutdown::Both);
}
