//! The router as a process, with a handler that speaks the contract and echoes.
//!
//! This test program is the handler, too: the rig puts a script named `handler` beside a copy of the router, which runs
//! this program's one test `fake::handler`.

mod ends;
mod fake;
mod full;
mod hand_over;
mod limits;
mod metrics;
mod rig;
mod systemd;
