//! The workers: each takes the next ready session, runs it until it must wait, and parks it, queues it again, or ends it.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use shm_abi::{CellState, Counter, FromHandler, Histogram, SessionId, Tally};

use crate::critical;
use crate::keeping::{self, Desk};
use crate::log;
use crate::orphan;
use crate::panics::{self, InTurn};
use crate::parked::{self, Place};
use crate::raw_thread;
use crate::session::{Outcome, Session};
use crate::shared::Shared;
use crate::signals::AtWork;
use crate::slots::SlotNumber;
use crate::turn_clock::TurnClock;

/// The read buffer of a worker, in octets. Sessions keep only what they have not understood yet.
const SCRATCH_OCTETS: usize = 64 * 1024;

/// Runs sessions until the run queue is closed, as worker `number`.
pub(crate) fn run(shared: &Shared, number: u32) {
    let row = shared.table.worker(shared.handler, number);
    row.begin(raw_thread::thread_number());
    let seat = shared.seats.seat(number);
    let _at_work = AtWork::begin(shared, number);
    // On the stack, which is given back whatever way the thread ends.
    let mut scratch = [0; SCRATCH_OCTETS];
    while let Some((slot, ready_since)) = shared.run_queue.take() {
        let Some(mut session) = shared.slots.take(slot) else { continue };
        let clock = TurnClock::begin();
        let waited = clock.began().saturating_duration_since(ready_since);
        shared.metrics().observe_time(Histogram::RunQueueWait, waited);
        let unix_ms = shared.unix_ms();
        session.begin_turn(clock.began(), unix_ms);
        log::runs(Some((slot, session.generation)));
        seat.set_socket(Some(session.socket.as_fd().as_raw_fd()));
        row.begin_turn(slot, session.generation, unix_ms);
        keeping::set_running(Some((slot, session.generation)));
        store::reading::forget();
        shared.crashes.look_if_told(shared);
        say_state(shared, slot, &session, CellState::Running);
        // A session owns all that it works on, and no lock is held while it runs, so nothing that others see is left
        // half done by a panic in it. It alone ends.
        let run = AssertUnwindSafe(|| {
            let _in_turn = InTurn::begin();
            session.memory.begin_turn();
            session.run(Desk { shared, slot, row }, &mut scratch)
        });
        let outcome = catch_unwind(run).unwrap_or_else(|_| {
            shared.table.handler(shared.handler).count(Counter::Crashes, 1);
            shared.metrics().count(Tally::CrashPanic);
            shared.crashes.keep(shared, number, panics::take_message());
            critical::say_last_words(shared, slot, session.generation, session.socket.as_fd().as_raw_fd());
            row.begin(raw_thread::thread_number());
            Outcome::End
        });
        count_time(shared, slot, &mut session, clock);
        let octets = session.memory.end_turn();
        if let Some(cell) = shared.cell(slot, session.generation) {
            cell.set_memory(octets);
        }
        if !matches!(outcome, Outcome::Park(..) | Outcome::Release) {
            keeping::note_requeue(shared, slot, session.generation);
        }
        keeping::set_running(None);
        match outcome {
            Outcome::Park(waits_for, deadline_ms) => {
                row.end_turn();
                seat.set_socket(None);
                say_state(shared, slot, &session, CellState::Parked);
                shared.slots.park(slot, session, waits_for, deadline_ms, &shared.run_queue);
            }
            Outcome::Requeue => {
                row.end_turn();
                seat.set_socket(None);
                say_state(shared, slot, &session, CellState::Queued);
                shared.slots.requeue(slot, session, &shared.run_queue);
            }
            Outcome::Release => {
                release(shared, slot, session);
                row.end_turn();
                seat.set_socket(None);
            }
            Outcome::End => {
                end(shared, slot, session);
                row.end_turn();
                seat.set_socket(None);
            }
        }
        log::runs(None);
    }
}

fn say_state(shared: &Shared, slot: SlotNumber, session: &Session, state: CellState) {
    if let Some(cell) = shared.cell(slot, session.generation) {
        cell.set_state(state);
    }
}

/// Adds the turn's time to the session's.
fn count_time(shared: &Shared, slot: SlotNumber, session: &mut Session, clock: TurnClock) {
    let took = clock.end();
    shared.metrics().observe_time(Histogram::Turn, took);
    session.end_turn(clock.began() + took, shared);
    if let Some(cell) = shared.cell(slot, session.generation) {
        cell.add_cpu(took.as_micros() as u64);
    }
}

/// Lets go of everything that the session had, but for what is parked of it, and gives it to the router.
fn release(shared: &Shared, slot: SlotNumber, mut session: Box<Session>) {
    say_state(shared, slot, &session, CellState::Parked);
    session.conversation().end();
    shared.changes.unwatch(shared, slot);
    shared.registrar.forget(&session.socket);
    match orphan::held(slot, &session) {
        Ok((held, socket)) => shared.released.add(held, socket),
        // The router has the socket as well.
        Err(error) => log::warning!("keep the socket of a session that goes elsewhere", why = error),
    }
    let generation = session.generation;
    // The socket is closed and not shut down: the router has it, too.
    drop(session);
    shared.slots.free(slot);
    shared.router.send(&FromHandler::Released { cell: slot, generation });
}

/// Lets go of everything that the session had, and frees its slot and cell.
fn end(shared: &Shared, slot: SlotNumber, mut session: Box<Session>) {
    say_state(shared, slot, &session, CellState::Closing);
    session.conversation().end();
    session.end_trace("the session ended", slot, shared);
    shared.changes.unwatch(shared, slot);
    shared.registrar.forget(&session.socket);
    session.hang_up();
    let generation = session.generation;
    session.keeping().end(shared, slot, generation);
    drop(session);
    // The slot before the cell: the router may fill the cell again at once.
    shared.slots.free(slot);
    shared.free_cell(slot, generation);
}

/// Lets go of everything that a crashed session had outside of its memory, which is not touched, and frees its slot and cell.
pub(crate) fn end_lost(shared: &Shared, slot: SlotNumber, generation: u32, socket: Option<RawFd>) {
    shared.changes.unwatch(shared, slot);
    shared.maildrops.release_of(slot, generation);
    shared.traces.close_lost(slot, generation);
    if let Some(cell) = shared.cell(slot, generation) {
        let id = SessionId { handler: shared.handler, cell: slot, generation };
        parked::remove_lost(&Place { cell, id, folder: &shared.annex_folder });
    }
    if let Some(socket) = socket {
        shared.registrar.forget_descriptor(socket);
        // The session that owned it is never dropped, so it is closed once.
        let _ = nix::unistd::close(socket);
    }
    // The slot before the cell: the router may fill the cell again at once.
    shared.slots.free(slot);
    shared.free_cell(slot, generation);
}
