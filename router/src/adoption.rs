//! Sessions that go from one handler to another: those of a dead one, and those that a living one was asked to let go of.
//!
//! What a dead handler's session is worth stands in its cell (`shm-abi/ABI.md`, "Session cell"); [`judge`] reads it, and is pure.
//! What goes on waits in the queue before all new connections and is handed over as they are, with its state.

use crate::client::{Client, Refusal};
use crate::escrow::Kept;
use crate::log::{Level, event};
use crate::server::{Phase, Server};
use shm_abi::{
    CellFlags, CellState, Parked, SessionId, SessionInfo, Tally, ToHandler, WorkerInfo, WorkerStage,
};
use std::collections::HashMap;
use std::fs;

/// How often a handler may die, or be killed for hanging, over the same session before it is told goodbye instead of given to the next.
const SUSPICIONS_MAX: u32 = 2;

/// What a handler needs to go on with a session.
#[derive(Debug)]
pub(crate) struct Resume {
    /// What its old cell said.
    pub(crate) session: SessionInfo,
    /// What it was.
    pub(crate) parked: Parked,
    /// The file with the rest of it.
    pub(crate) annex: Option<String>,
    /// What came since then and is to be done again.
    pub(crate) input: Vec<u8>,
    /// The handler that is to have it, if it has room.
    pub(crate) target: Option<u32>,
}

/// What becomes of a dead handler's session.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It goes on. This came since it was parked.
    GoesOn(Vec<u8>),
    /// It cannot, and may be told so.
    Goodbye(Why),
    /// It cannot, and its peer is in the middle of something that was being said.
    Closed(Why),
}

/// Why a session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// A part of a reply may have been sent, and the rest not.
    Torn,
    /// A command was being done or answered: what it was before is not true any more, and what it is after it is not yet.
    Answering,
    /// What had come was being taken off the socket.
    Reading,
    /// A command had come that nobody could do again: not all of it is known.
    NotAllKnown,
    /// It says of itself that it cannot be kept.
    NotKept,
    /// It made its handler crash.
    Crashed,
    /// Handlers ended over it more than once.
    Suspect,
    /// It was agreeing on TLS with its peer.
    Handshake,
}

impl std::fmt::Display for Why {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Why::Torn => "sending",
            Why::Answering => "answering",
            Why::Reading => "reading",
            Why::NotAllKnown => "command-not-known",
            Why::NotKept => "not-kept",
            Why::Crashed => "crashed",
            Why::Suspect => "suspect",
            Why::Handshake => "tls-handshake",
        })
    }
}

/// What a cell, and the worker that ran its session, if any, come to.
fn judge(flags: CellFlags, is_parked: bool, worker: Option<&WorkerInfo>) -> Verdict {
    let lost = |why| if flags.has(CellFlags::TORN) { Verdict::Closed(why) } else { Verdict::Goodbye(why) };
    if worker.is_some_and(|worker| worker.stage == WorkerStage::Crashed) {
        return lost(Why::Crashed);
    }
    if let Some(why) = [
        (CellFlags::TORN, Why::Torn),
        (CellFlags::ANSWERING, Why::Answering),
        (CellFlags::READING, Why::Reading),
    ]
    .into_iter()
    .find_map(|(flag, why)| flags.has(flag).then_some(why))
    {
        return lost(why);
    }
    if !flags.has(CellFlags::ADOPTABLE) || !is_parked {
        return lost(Why::NotKept);
    }
    match worker {
        None => Verdict::GoesOn(Vec::new()),
        // The row has it as it is when it is not compressed, which nobody could do again.
        Some(worker) if flags.has(CellFlags::COMPRESSED) && worker.input_came > 0 => lost(Why::NotAllKnown),
        Some(worker) if worker.input.len() == worker.input_came as usize => {
            Verdict::GoesOn(worker.input.clone())
        }
        Some(_) => lost(Why::NotAllKnown),
    }
}

/// How a handler's sessions fared.
#[derive(Debug, Default)]
pub(crate) struct Estate {
    /// Sessions that go on.
    pub(crate) adopted: usize,
    /// Sessions that were told goodbye.
    pub(crate) told: usize,
    /// Sessions that were closed without a word.
    pub(crate) closed: usize,
}

impl Server {
    /// Takes the sessions of a dead handler out of the table and the escrow: those that can go on wait for another. `is_suspect`: the
    /// handler died of itself or hung, so whatever it ran may be the reason.
    pub(crate) fn inherit(&mut self, handler: u32, is_suspect: bool) -> Estate {
        let mut estate = Estate::default();
        let workers: HashMap<(u32, u32), WorkerInfo> = self
            .table
            .workers(handler)
            .into_iter()
            .filter_map(|worker| worker.session.map(|session| (session, worker)))
            .collect();
        for (number, kept) in self.escrow.take_all(handler) {
            let Some(cell) = self.table.cell(handler, number, kept.generation) else { continue };
            if cell.state() == CellState::Closing {
                continue;
            }
            let Kept { generation, mut client, target } = kept;
            let worker = workers.get(&(number, generation));
            client.is_compressed = cell.flags().has(CellFlags::COMPRESSED);
            if is_suspect && worker.is_some() {
                client.suspicions += 1;
            }
            let parked = cell.parked();
            let verdict = match judge(cell.flags(), parked.is_some(), worker) {
                // Whatever is said now is taken for a part of the handshake.
                _ if client.is_at_handshake => Verdict::Closed(Why::Handshake),
                Verdict::GoesOn(_) if client.suspicions >= SUSPICIONS_MAX => Verdict::Goodbye(Why::Suspect),
                other => other,
            };
            if let Verdict::Goodbye(why) | Verdict::Closed(why) = &verdict {
                let session = SessionId { handler, cell: number, generation };
                event(
                    Level::Info,
                    "session-lost",
                    &[("session", &session), ("peer", &client.peer), ("why", why)],
                );
            }
            match (verdict, parked, cell.session(handler, number)) {
                (Verdict::GoesOn(input), Some(parked), Some(session)) => {
                    estate.adopted += 1;
                    let again = !input.is_empty();
                    self.count(if again { Tally::AdoptedAgain } else { Tally::Adopted });
                    self.resume(client, Resume::new(session, parked, input, target));
                }
                (Verdict::Closed(_), ..) => {
                    estate.closed += 1;
                    self.count(Tally::AdoptionLost);
                    client.close();
                }
                _ => {
                    estate.told += 1;
                    self.count(Tally::AdoptionLost);
                    let crashed = worker.is_some_and(|worker| worker.stage == WorkerStage::Crashed);
                    client.turn_away(if crashed { Refusal::Crashed } else { Refusal::Lost });
                }
            }
        }
        self.remove_annexes(handler);
        estate
    }

    /// Asks a handler to let go of a session, which then goes to the handler `target` if that has room, else to any. False if the router
    /// does not know the session.
    pub(crate) fn release(&mut self, handler: u32, cell: u32, generation: u32, target: Option<u32>) -> bool {
        let Some(kept) = self.escrow.get_mut(handler, cell, generation) else { return false };
        kept.target = target;
        let Some(running) = self.handlers.get_mut(handler as usize).and_then(Option::as_mut) else {
            return false;
        };
        running.tell(ToHandler::Release { cell, generation }).is_ok()
    }

    /// A handler has let go of a session.
    pub(crate) fn on_released(&mut self, handler: u32, number: u32, generation: u32) {
        let Some(kept) = self.escrow.take(handler, number, generation) else { return };
        let Some(cell) = self.table.cell(handler, number, generation) else { return };
        let (parked, session) = (cell.parked(), cell.session(handler, number));
        let mut client = kept.client;
        client.is_compressed = cell.flags().has(CellFlags::COMPRESSED);
        match (parked, session) {
            (Some(parked), Some(session)) => {
                self.count(Tally::Migrated);
                // The annex goes by the name that the old cell gave it, until it was read.
                self.resume(client, Resume::new(session, parked, Vec::new(), kept.target));
            }
            _ => {
                event(Level::Error, "released-without-state", &[("handler", &handler), ("cell", &number)]);
                client.turn_away(Refusal::Lost);
            }
        }
        self.table.free(handler, number, generation);
    }

    fn resume(&mut self, mut client: Client, resume: Resume) {
        client.since_ms = self.now_ms;
        client.attempts = 0;
        client.resume = Some(Box::new(resume));
        if self.phase == Phase::Serving {
            self.queue.push_returning(client);
        } else {
            self.turn_away(client);
        }
    }

    /// Removes a file that nobody needs any more.
    pub(crate) fn remove_annex(&self, name: &str) {
        // It may never have been written, or be gone with the folder.
        let _ = fs::remove_file(self.annex_folder().join(name));
    }

    /// Removes what a dead handler wrote and nobody goes on with.
    fn remove_annexes(&self, handler: u32) {
        let Ok(found) = fs::read_dir(self.annex_folder()) else { return };
        let prefix = format!("{handler}-");
        for name in found.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
            let is_needed = || {
                self.queue.returning().any(|resume| resume.annex.as_deref() == Some(&name))
                    || self.handlers.iter().flatten().any(|running| running.awaits_annex(&name))
            };
            if name.starts_with(&prefix) && !is_needed() {
                self.remove_annex(&name);
            }
        }
    }

    fn annex_folder(&self) -> std::path::PathBuf {
        self.settings.runtime.dir.join("parked")
    }
}

impl Resume {
    fn new(session: SessionInfo, parked: Parked, input: Vec<u8>, target: Option<u32>) -> Resume {
        let id = session.id;
        let annex = parked.annex.map(|annex| annex.file_name(id.handler, id.cell, id.generation));
        Resume { session, parked, annex, input, target }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(stage: WorkerStage, input: &[u8], came: u32) -> WorkerInfo {
        WorkerInfo {
            worker: 0,
            thread: 1,
            stage,
            session: Some((1, 1)),
            since_ms: 1,
            turns: 1,
            message: None,
            input: input.to_vec(),
            input_came: came,
            crash: None,
        }
    }

    #[test]
    fn who_waits_goes_on_and_who_was_answered_does_not() {
        let good = CellFlags::ADOPTABLE | CellFlags::COMPRESSED;
        assert_eq!(judge(good, true, None), Verdict::GoesOn(Vec::new()));
        assert_eq!(judge(good, false, None), Verdict::Goodbye(Why::NotKept));
        assert_eq!(judge(CellFlags::default(), true, None), Verdict::Goodbye(Why::NotKept));
        assert_eq!(judge(good | CellFlags::READING, true, None), Verdict::Goodbye(Why::Reading));
        assert_eq!(judge(good | CellFlags::ANSWERING, true, None), Verdict::Goodbye(Why::Answering));
        assert_eq!(
            judge(good | CellFlags::ANSWERING | CellFlags::TORN, true, None),
            Verdict::Closed(Why::Torn)
        );
        assert_eq!(judge(CellFlags::TORN, false, None), Verdict::Closed(Why::Torn));
    }

    #[test]
    fn a_command_is_done_again_if_all_of_it_is_known_and_it_did_not_crash() {
        let good = CellFlags::ADOPTABLE;
        let runs = worker(WorkerStage::Running, b"a noop\r\n", 8);
        assert_eq!(
            judge(good | CellFlags::COMPRESSED, true, Some(&runs)),
            Verdict::Goodbye(Why::NotAllKnown)
        );
        assert_eq!(judge(good, true, Some(&runs)), Verdict::GoesOn(b"a noop\r\n".to_vec()));
        assert_eq!(
            judge(good, true, Some(&worker(WorkerStage::Running, b"a no", 8))),
            Verdict::Goodbye(Why::NotAllKnown)
        );
        assert_eq!(
            judge(good, true, Some(&worker(WorkerStage::Crashed, b"a noop\r\n", 8))),
            Verdict::Goodbye(Why::Crashed)
        );
        assert_eq!(judge(good | CellFlags::ANSWERING, true, Some(&runs)), Verdict::Goodbye(Why::Answering));
    }
}
