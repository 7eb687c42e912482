//! A handler: one of the worker processes that run sessions. Started by the router, which hands it connections.
//!
//! ```text
//!  router ──► router.rs ──► slots.rs ◄── poll.rs (sockets, changes.rs) ◄── commits.rs (syncs) ◄── passwords.rs
//!                              │
//!                         run_queue.rs ──► worker.rs ──► session.rs ──► conversation.rs ──► imap/, pop3.rs, lmtp.rs
//! ```

mod allocator;
mod changes;
mod clock;
mod command_timer;
mod commits;
mod compression;
mod conversation;
mod crashes;
mod critical;
mod guard;
mod handshake;
mod imap;
mod keeping;
mod lmtp;
mod log;
mod maildrops;
mod memory;
mod mend;
mod orders;
mod orphan;
mod output;
mod pace;
mod panics;
mod parked;
mod passwords;
mod poll;
mod pop3;
mod process;
mod raw_thread;
mod recipients;
mod released;
mod router;
mod run_queue;
mod seats;
mod session;
mod shared;
mod signals;
mod slots;
mod store_sizes;
#[cfg(test)]
mod tests;
mod trace;
mod turn_clock;
mod without_nul;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--abi") {
        println!("{}", shm_abi::Abi::OWN.line());
        return ExitCode::SUCCESS;
    }
    match process::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("handler ends", why = error);
            ExitCode::FAILURE
        }
    }
}
