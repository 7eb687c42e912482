//! The workers: each takes the next ready session, runs it until it must wait, and parks it, queues it again, or ends it.

use crate::session::{Outcome, Session};
use crate::shared::Shared;
use crate::slots::SlotNumber;

/// The read buffer of a worker, in octets. Sessions keep only what they have not understood yet.
const SCRATCH_OCTETS: usize = 64 * 1024;

/// Runs sessions until the run queue is closed.
pub(crate) fn run(shared: &Shared) {
    let mut scratch = vec![0; SCRATCH_OCTETS];
    while let Some(slot) = shared.run_queue.pop() {
        let Some(mut session) = shared.slots.take(slot) else { continue };
        match session.run(slot, shared, &mut scratch) {
            Outcome::Park(waits_for, deadline_ms) => {
                shared.slots.park(slot, session, waits_for, deadline_ms, &shared.run_queue);
            }
            Outcome::Requeue => shared.slots.requeue(slot, session, &shared.run_queue),
            Outcome::End => end(shared, slot, session),
        }
    }
}

/// Lets go of everything that the session had, and frees its slot and cell.
fn end(shared: &Shared, slot: SlotNumber, mut session: Box<Session>) {
    session.conversation().end(shared);
    shared.changes.unwatch(shared, slot);
    shared.registrar.forget(&session.socket);
    session.hang_up();
    let generation = session.generation;
    drop(session);
    // The slot before the cell: the router may fill the cell again at once.
    shared.slots.free(slot);
    shared.free_cell(slot, generation);
}
