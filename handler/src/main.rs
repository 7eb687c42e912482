//! A handler: one of the worker processes that run sessions. Started by the router, which hands it connections.
//!
//! ```text
//!  router ──► router.rs ──► slots.rs ◄── poll.rs (sockets, changes.rs) ◄── commits.rs (syncs) ◄── passwords.rs
//!                              │
//!                         run_queue.rs ──► worker.rs ──► session.rs ──► conversation.rs ──► imap/, pop3.rs, lmtp.rs
//! ```

mod changes;
mod clock;
mod command_timer;
mod commits;
mod compression;
mod conversation;
mod guard;
mod imap;
mod lmtp;
mod log;
mod maildrops;
mod orders;
mod output;
mod pace;
mod passwords;
mod poll;
mod pop3;
mod process;
mod recipients;
mod router;
mod run_queue;
mod session;
mod shared;
mod slots;
#[cfg(test)]
mod tests;
mod turn_clock;
mod without_nul;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    match process::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("handler ends", why = error);
            ExitCode::FAILURE
        }
    }
}
