//! What is done to sessions by key: the router is asked in a thread, so that the screen goes on while it is slow.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use shm_abi::{ControlAnswer, ControlRequest, SessionId, ask_router};

/// Said to a client that is sent away.
const KICK_REASON: &str = "Disconnected by the administrator";

/// Something to be done to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// End it.
    Kick(SessionId),
    /// Move it to another handler.
    Migrate(SessionId, u32),
}

impl Deed {
    fn request(self) -> ControlRequest {
        match self {
            Deed::Kick(id) => ControlRequest::Kick { sessions: vec![id], reason: KICK_REASON.to_owned() },
            Deed::Migrate(id, to) => ControlRequest::Migrate { sessions: vec![id], to },
        }
    }

    /// What is asked for, as the router is told it.
    fn asked(self) -> String {
        match self {
            Deed::Kick(id) => format!("kick {id}"),
            Deed::Migrate(id, to) => format!("migrate {id} to handler {to}"),
        }
    }
}

/// Deeds under way.
pub(super) struct Deeds {
    runtime_dir: PathBuf,
    answers: Receiver<String>,
    teller: Sender<String>,
}

impl Deeds {
    /// For the router whose runtime folder this is.
    pub(super) fn new(runtime_dir: &Path) -> Deeds {
        let (teller, answers) = channel();
        Deeds { runtime_dir: runtime_dir.to_path_buf(), answers, teller }
    }

    /// Begins a deed: what to say meanwhile.
    pub(super) fn begin(&self, deed: Deed) -> String {
        let (runtime_dir, teller) = (self.runtime_dir.clone(), self.teller.clone());
        std::thread::spawn(move || {
            let outcome = match ask_router(&runtime_dir, deed.request()).map(|incoming| incoming.record) {
                Ok(ControlAnswer::Sessions { told: 0, .. }) => "the session is gone".to_owned(),
                Ok(ControlAnswer::Sessions { .. } | ControlAnswer::Done) => "the handler was told".to_owned(),
                Ok(ControlAnswer::Failed(why)) => format!("not done: {why}"),
                Ok(other) => format!("not understood: {other:?}"),
                Err(error) => format!("not done: {error}"),
            };
            // Nobody listens once the screen is closed.
            let _ = teller.send(format!("{}: {outcome}", deed.asked()));
        });
        format!("{}: asking the router…", deed.asked())
    }

    /// What became of a deed, once that is known.
    pub(super) fn take_answer(&self) -> Option<String> {
        self.answers.try_recv().ok()
    }
}
