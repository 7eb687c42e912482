//! Logs: append-only files of frames, the truth from which everything else can be made again. One process appends to a log;
//! everybody may read it.
//!
//! - `frame`: the fixed parts, octet by octet
//! - `ahead`: what is made ready behind the last frame
//! - `file`: one log that this process appends to
//! - `reader`: one log as recovery and repair read it
//! - `logs`: which logs this process appends to now; rotation, midnight, leases

mod ahead;
pub(crate) mod file;
pub(crate) mod frame;
pub(crate) mod logs;
pub(crate) mod reader;

pub(crate) use file::{InFlight, LogFile};
pub(crate) use frame::{FrameHead, FrameType, LogKind, LogName};
pub(crate) use logs::{Lease, Logs};
pub(crate) use reader::LogReader;
