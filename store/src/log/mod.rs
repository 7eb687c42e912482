//! Logs: append-only files of frames, the truth from which everything else can be made again. One process appends to a log;
//! everybody may read it.
//!
//! - `frame`: the fixed parts, octet by octet
//! - `ahead`: what is made ready behind the last frame
//! - `file`: one log that this process appends to
//! - `reader`: one log as recovery and repair read it
//! - `walk`: verifies the octets of a log as they pass
//! - `packed`, `pack`: journals of days that are over, compressed; and how they come to be so
//! - `logs`: which logs this process appends to now; rotation, midnight, leases

mod ahead;
pub(crate) mod file;
pub(crate) mod frame;
pub(crate) mod logs;
pub(crate) mod pack;
pub(crate) mod packed;
pub(crate) mod reader;
pub(crate) mod walk;

pub(crate) use file::{InFlight, LogFile};
pub(crate) use frame::{FrameHead, FrameType, LogKind, LogName};
pub(crate) use logs::{Lease, Logs};
pub(crate) use reader::LogReader;
pub(crate) use walk::{Fault, FrameWalk};
