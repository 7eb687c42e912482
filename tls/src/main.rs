//! The process that speaks TLS. It holds the keys and sees no mail but as octets that go through it; handlers have the mail and no keys. Started by the
//! router, which sends it sockets and gets back one end of a pair for each (`shm_abi::ToTls`).
//!
//! ```text
//!  router ──► process.rs ──► relays.rs (one thread each: mio) ──► relay.rs (one connection)
//!                 │              ▲
//!                 └─► certificates.rs
//! ```
//!
//! Sessions of a handler that dies go on in another with TLS on, since nothing of TLS is in a handler.

mod certificates;
mod process;
mod relay;
mod relays;

use std::process::ExitCode;

fn main() -> ExitCode {
    match process::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::error!("tls-ends", why = error);
            ExitCode::FAILURE
        }
    }
}
