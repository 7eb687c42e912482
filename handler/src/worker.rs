//! The workers: each takes the next ready session, runs it until it must wait, and parks it, queues it again, or ends it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shm_abi::{CellState, Counter, Histogram, Tally};

use crate::log;
use crate::session::{Outcome, Session};
use crate::shared::Shared;
use crate::slots::SlotNumber;
use crate::turn_clock::TurnClock;

/// The read buffer of a worker, in octets. Sessions keep only what they have not understood yet.
const SCRATCH_OCTETS: usize = 64 * 1024;

/// Runs sessions until the run queue is closed.
pub(crate) fn run(shared: &Shared) {
    let mut scratch = vec![0; SCRATCH_OCTETS];
    while let Some((slot, ready_since)) = shared.run_queue.take() {
        let Some(mut session) = shared.slots.take(slot) else { continue };
        let clock = TurnClock::begin();
        let waited = clock.began().saturating_duration_since(ready_since);
        shared.metrics().observe_time(Histogram::RunQueueWait, waited);
        session.begin_turn(clock.began());
        log::runs(Some((slot, session.generation)));
        say_state(shared, slot, &session, CellState::Running);
        // A session owns all that it works on, and no lock is held while it runs, so nothing that others see is left
        // half done by a panic in it. It alone ends.
        let run = AssertUnwindSafe(|| session.run(slot, shared, &mut scratch));
        let outcome = catch_unwind(run).unwrap_or_else(|_| {
            log::error!("session panicked", slot = slot);
            shared.table.handler(shared.handler).count(Counter::Crashes, 1);
            shared.metrics().count(Tally::CrashPanic);
            Outcome::End
        });
        count_time(shared, slot, &mut session, clock);
        match outcome {
            Outcome::Park(waits_for, deadline_ms) => {
                say_state(shared, slot, &session, CellState::Parked);
                shared.slots.park(slot, session, waits_for, deadline_ms, &shared.run_queue);
            }
            Outcome::Requeue => {
                say_state(shared, slot, &session, CellState::Queued);
                shared.slots.requeue(slot, session, &shared.run_queue);
            }
            Outcome::End => end(shared, slot, session),
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

/// Lets go of everything that the session had, and frees its slot and cell.
fn end(shared: &Shared, slot: SlotNumber, mut session: Box<Session>) {
    session.conversation().end();
    shared.changes.unwatch(shared, slot);
    shared.registrar.forget(&session.socket);
    session.hang_up();
    let generation = session.generation;
    drop(session);
    // The slot before the cell: the router may fill the cell again at once.
    shared.slots.free(slot);
    shared.free_cell(slot, generation);
}
