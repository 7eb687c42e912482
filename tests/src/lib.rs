//! What the end-to-end tests stand on: a server to start and to kill, clients that speak the protocols octet by octet,
//! and the runner of the conversations under `wire/`.
//!
//! The clients are deliberately not those of `protocol`: a fault that parser and printer share would stay unseen.
//! Everything here may panic with a message, because its only callers are tests.
//!
//! With `LODE_TEST_PEER` set, the tests run against a server that is there already ([`server::Peer`]). It is how the
//! tests themselves are checked: what fails against two independent servers is a fault of the test.

pub mod checking_client;
pub mod corpus;
pub mod fuzz;
pub mod imap;
pub mod lmtp;
pub mod mail;
pub mod openmetrics;
pub mod order;
pub mod pattern;
pub mod pop3;
pub mod process;
pub mod random;
pub mod script;
pub mod server;
pub mod service_manager;
pub mod stream;
pub mod tool;
pub mod value;
pub mod wire;

/// Whether the long form of a test was asked for (`LODE_FULL=1`).
pub fn full() -> bool {
    std::env::var("LODE_FULL").is_ok_and(|value| value == "1")
}
