//! The table that is watched: opened, and opened again when another router has made another.

use std::path::{Path, PathBuf};

use shm_abi::{HandlerInfo, SessionInfo, TableInfo, TableView, WorkerStage};

use crate::failure::Result;
use crate::shared_table::{now_ms, open_silently};

/// Where looks come from.
pub(super) struct Source {
    runtime_dir: PathBuf,
    view: TableView,
}

/// One look at the table.
#[derive(Debug)]
pub(super) struct Look {
    /// When, in milliseconds since 1970.
    pub(super) now_ms: u64,
    /// The table's head.
    pub(super) info: TableInfo,
    /// Whether the router that made it runs.
    pub(super) router_alive: bool,
    /// Handlers.
    pub(super) handlers: Vec<HandlerInfo>,
    /// Sessions; the processor time of one that is being run goes up to this moment.
    pub(super) sessions: Vec<SessionInfo>,
}

impl Source {
    /// The table of the router whose runtime folder this is.
    pub(super) fn open(runtime_dir: &Path) -> Result<Source> {
        Ok(Source { runtime_dir: runtime_dir.to_path_buf(), view: open_silently(runtime_dir)? })
    }

    /// Where the router can be asked.
    pub(super) fn runtime_dir(&self) -> &Path {
        &self.runtime_dir
    }

    /// What the table says now. Once its router is dead, another table is looked for; until there is one, the old stays in view, and shows
    /// what went on when the router died.
    pub(super) fn read(&mut self) -> Look {
        let mut router_alive = self.view.info().router.is_alive();
        if !router_alive && let Ok(view) = open_silently(&self.runtime_dir) {
            router_alive = view.info().router.is_alive();
            self.view = view;
        }
        let now_ms = now_ms();
        let handlers = self.view.handlers();
        let mut sessions = self.view.sessions();
        for handler in &handlers {
            self.add_running(handler.handler, now_ms, &mut sessions);
        }
        Look { now_ms, info: self.view.info(), router_alive, handlers, sessions }
    }

    /// A turn is counted when it ends, but whoever hangs in one must be seen before.
    fn add_running(&self, handler: u32, now_ms: u64, sessions: &mut [SessionInfo]) {
        for worker in self.view.workers(handler) {
            let Some((cell, generation)) = worker.session else { continue };
            if worker.stage != WorkerStage::Running || worker.since_ms == 0 {
                continue;
            }
            let id = shm_abi::SessionId { handler, cell, generation };
            if let Ok(at) = sessions.binary_search_by_key(&id, |session| session.id) {
                let runs_ms = now_ms.saturating_sub(worker.since_ms);
                sessions[at].cpu_micros =
                    sessions[at].cpu_micros.saturating_add(runs_ms.saturating_mul(1000));
            }
        }
    }
}
