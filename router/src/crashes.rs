//! Crashes and hangs that took their handler with them: the report is made from what the table still says.

use crate::handlers::Hung;
use crate::log::{Level, event};
use crate::server::Server;
use crate::time;
use crate::watchdog::Watched;
use shm_abi::{CrashFolder, CrashReport, MAX_WORKERS, QUARANTINE_AFTER, WorkerInfo, WorkerStage};

impl Server {
    /// Keeps a report of each crash that a dead handler noted and did not come to tell of, and of the thread for which it was killed. Called before its rows are cleared,
    /// and before clients hear of it: who comes back at once finds a message that did it for the last time quarantined. True if a session brought the handler down.
    pub(crate) fn report_crashes(&self, handler: u32, pid: u32, hung: Option<Hung>) -> bool {
        let mut by_session = false;
        let folder = CrashFolder::new(&self.settings.runtime.dir);
        for worker in self.table.workers(handler) {
            let hung = hung.filter(|hung| is_it(hung, &worker));
            // One that hung and did not even hear the signal says nothing of where it was.
            if worker.stage != WorkerStage::Crashed && hung.is_none() {
                continue;
            }
            let session = worker.session.and_then(|(cell, generation)| {
                self.table.cell(handler, cell, generation).and_then(|found| found.session(handler, cell))
            });
            by_session |= worker.session.is_some();
            let program = self.program.display().to_string();
            let mut report =
                CrashReport::of(&worker, session.as_ref(), (handler, pid), &program, time::wall_ms());
            if let Some(hung) = hung {
                report.what = "hang".to_owned();
                report.message = format!("no sign of life for {} ms", hung.still_ms);
            }
            match folder.keep(&report) {
                Ok(path) => event(
                    Level::Error,
                    "handler-crashed",
                    &[
                        ("handler", &handler),
                        ("pid", &pid),
                        ("what", &report.what),
                        ("session", &report.session),
                        ("user", &report.user),
                        ("report", &path.display()),
                    ],
                ),
                Err(error) => {
                    event(Level::Error, "crash-not-reported", &[("what", &report.what), ("why", &error)])
                }
            }
            if let Some(id) = worker.message {
                match folder.count_message(id) {
                    Ok(QUARANTINE_AFTER) => {
                        let name = format!("{}.{}", id >> 32, id as u32);
                        event(Level::Error, "message-quarantined", &[("message", &name)]);
                        self.table.note_quarantine();
                    }
                    Ok(_) => {}
                    Err(error) => event(Level::Error, "crash-not-counted", &[("why", &error)]),
                }
            }
        }
        by_session
    }
}

/// Whether a worker's row is that of the thread that hung.
fn is_it(hung: &Hung, worker: &WorkerInfo) -> bool {
    match hung.thread {
        Watched::Worker(number) => {
            worker.worker == number && matches!(worker.stage, WorkerStage::Running | WorkerStage::Crashed)
        }
        // The row of all that are no workers, if the thread came to use it.
        Watched::Poll => worker.worker == MAX_WORKERS - 1 && worker.stage == WorkerStage::Crashed,
    }
}
