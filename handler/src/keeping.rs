//! How a session tells its cell what it is worth, turn by turn, in case that its handler dies (`shm-abi/ABI.md`, "Session cell").
//!
//! Invariants, at every instruction:
//! - While the cell says *adoptable* and neither *reading* nor *answering*, the parked state and the input in the worker's row are the whole
//!   truth: nothing of that input was answered, and nothing was changed by it.
//! - *Answering* is said before the first octet of an answer is sent, before a change is made in the store, before the parked state is
//!   written anew, and before the worker's row forgets the input.
//! - *Torn* is said before the first octet is sent, and holds until everything is sent and ends with a whole reply: the session parks between two
//!   commands, or one of its commands waits for the disk or for a helper.
//!
//! The words are written by the one worker that runs the session. Stores that a thread makes in this order are seen so by whoever reads
//! them after its process is dead.

use std::cell::Cell as Local;

use shm_abi::{CellFlags, SessionId, WorkerRow};

use crate::conversation::{Conversation, Input, Turn};
use crate::log;
use crate::parked::{Keeper, Kept, Place, Raw};
use crate::shared::Shared;
use crate::slots::SlotNumber;

thread_local! {
    /// The session that this thread runs.
    static RUNNING: Local<Option<(SlotNumber, u32)>> = const { Local::new(None) };
}

/// One turn of a session: who runs it, and where.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    /// What the sessions share.
    pub(crate) shared: &'a Shared,
    /// The session's slot.
    pub(crate) slot: SlotNumber,
    /// The worker's row.
    pub(crate) row: WorkerRow<'a>,
}

/// What is kept of one session, and whether it is to go elsewhere.
#[derive(Default)]
pub(crate) struct Keeping {
    keeper: Keeper,
    /// What another handler parked, until the first turn makes a conversation of it.
    resume: Option<Box<Raw>>,
    /// The router wants the session elsewhere.
    is_called_away: bool,
    /// What became of the last wish to keep it.
    kept: Kept,
}

/// Has the cell of whatever session a thread runs say so before the thread changes something in the store.
pub(crate) fn note_change(shared: &Shared) {
    if let Some((slot, generation)) = RUNNING.get()
        && let Some(cell) = shared.cell(slot, generation)
    {
        cell.add_flags(CellFlags::ANSWERING);
    }
}

/// The thread runs this session from now on, or none.
pub(crate) fn set_running(session: Option<(SlotNumber, u32)>) {
    RUNNING.set(session);
}

impl Keeping {
    /// Of a session that is new; or of one that another handler parked, once `place` has all of it again. Nothing of it was understood yet.
    pub(crate) fn begin(place: &Place<'_>, conversation: &Conversation) -> Keeping {
        let mut keeping = Keeping::default();
        if keeping.keeper.keep(place, &Input::default(), conversation) == Kept::Yes {
            place.cell.set_flags(CellFlags::ADOPTABLE);
        }
        keeping
    }

    /// Of a session that another handler parked. `is_again`: what is unread had begun to be done there.
    pub(crate) fn take_over(place: &Place<'_>, raw: Raw, is_again: bool) -> Keeping {
        let mut keeping = Keeping::default();
        let compressed = compressed_flag(!raw.wire().is_empty());
        place.cell.set_flags(compressed);
        if keeping.keeper.keep_raw(place, &raw, is_again) == Kept::Yes {
            place.cell.set_flags(CellFlags::ADOPTABLE | compressed);
        }
        keeping.resume = Some(Box::new(raw));
        keeping
    }

    /// Makes the conversation what it was, in the first turn of a session that another handler had. False if the session cannot go on;
    /// then its last words are in the output.
    pub(crate) fn resume(&mut self, conversation: &mut Conversation, turn: &mut Turn<'_>) -> bool {
        let Some(raw) = self.resume.take() else { return true };
        turn.input.extend(&raw.unread);
        if !raw.wire().is_empty() {
            turn.output.begin_compression();
            if !turn.input.resume_compression(raw.wire()) {
                // Nothing that the peer sends could be understood.
                conversation.say_lost("its compression cannot go on", turn.output);
                return false;
            }
        }
        match conversation.resume(&raw, turn) {
            Ok(()) => {
                log::info!("session adopted", peer = turn.peer.endpoint);
                true
            }
            Err(why) => {
                log::warning!("session lost", peer = turn.peer.endpoint, why = why);
                conversation.say_lost(why.0, turn.output);
                false
            }
        }
    }

    /// Whether the first turn is still to come in which the conversation becomes what it was.
    pub(crate) fn is_to_resume(&self) -> bool {
        self.resume.is_some()
    }

    /// The router wants the session elsewhere, as soon as it is between two commands.
    pub(crate) fn call_away(&mut self) {
        self.is_called_away = true;
    }

    /// Whether the session is to go elsewhere. Without a router that has its socket, it stays.
    pub(crate) fn is_called_away(&self, shared: &Shared) -> bool {
        (self.is_called_away || shared.is_draining()) && shared.router.is_open()
    }

    /// The session has done all that came, and will wait for more once its output is sent: writes what is to be kept of it then.
    pub(crate) fn prepare(
        &mut self,
        desk: Desk<'_>,
        generation: u32,
        (input, is_compressed): (&Input, bool),
        conversation: &Conversation,
    ) {
        self.kept = Kept::Later;
        let Some(place) = place(desk.shared, desk.slot, generation) else { return };
        // Neither the old state nor the new is the truth until everything is sent.
        place.cell.set_flags(CellFlags::ANSWERING | compressed_flag(is_compressed));
        self.kept = self.keeper.keep(&place, input, conversation);
        if self.kept == Kept::Yes {
            desk.row.forget_input();
        } else {
            place.cell.unpark();
        }
    }

    /// Everything is sent: what was prepared is the truth. To be called at once, for until then the session does not outlive the handler.
    pub(crate) fn settle(&self, desk: Desk<'_>, generation: u32, is_compressed: bool) {
        if let Some(cell) = desk.shared.cell(desk.slot, generation) {
            let adoptable = if self.kept == Kept::Yes { CellFlags::ADOPTABLE } else { CellFlags::default() };
            cell.set_flags(adoptable | compressed_flag(is_compressed));
        }
    }

    /// Whether what was prepared and settled last is all of the session.
    pub(crate) fn kept(&self) -> Kept {
        self.kept
    }

    /// The session parks in the middle of something: what came is forgotten when the turn ends.
    pub(crate) fn forget(&mut self, desk: Desk<'_>, generation: u32, is_compressed: bool) {
        self.kept = Kept::Later;
        if let Some(cell) = desk.shared.cell(desk.slot, generation) {
            cell.add_flags(CellFlags::ANSWERING | compressed_flag(is_compressed));
        }
    }

    /// The session is over.
    pub(crate) fn end(&mut self, shared: &Shared, slot: SlotNumber, generation: u32) {
        if let Some(place) = place(shared, slot, generation) {
            place.cell.unpark();
            self.keeper.remove(&place);
        }
    }
}

/// The session has more to do and will be run again: what came is forgotten when the turn ends.
pub(crate) fn note_requeue(shared: &Shared, slot: SlotNumber, generation: u32) {
    if let Some(cell) = shared.cell(slot, generation) {
        cell.add_flags(CellFlags::ANSWERING);
    }
}

/// Octets are about to be sent.
pub(crate) fn note_answer(shared: &Shared, slot: SlotNumber, generation: u32) {
    if let Some(cell) = shared.cell(slot, generation) {
        cell.add_flags(CellFlags::ANSWERING | CellFlags::TORN);
    }
}

/// What was sent ends with a whole reply, though the command has not ended.
pub(crate) fn note_whole(shared: &Shared, slot: SlotNumber, generation: u32) {
    if let Some(cell) = shared.cell(slot, generation) {
        cell.remove_flags(CellFlags::TORN);
    }
}

/// The socket is about to be read.
pub(crate) fn note_reading(desk: Desk<'_>, generation: u32) {
    if let Some(cell) = desk.shared.cell(desk.slot, generation) {
        cell.add_flags(CellFlags::READING);
    }
}

/// This came from it.
pub(crate) fn note_read(desk: Desk<'_>, generation: u32, came: &[u8]) {
    if !came.is_empty() {
        desk.row.note_input(came);
    }
    if let Some(cell) = desk.shared.cell(desk.slot, generation) {
        cell.remove_flags(CellFlags::READING);
    }
}

fn compressed_flag(is_compressed: bool) -> CellFlags {
    if is_compressed { CellFlags::COMPRESSED } else { CellFlags::default() }
}

/// Where a session is kept; `None` if the slot is another's.
pub(crate) fn place(shared: &Shared, slot: SlotNumber, generation: u32) -> Option<Place<'_>> {
    let cell = shared.cell(slot, generation)?;
    let id = SessionId { handler: shared.handler, cell: slot, generation };
    Some(Place { cell, id, folder: &shared.annex_folder })
}
