//! Why a table could not be made or opened, in words for an administrator.

use crate::layout::{MAX_HANDLERS, MAX_SESSIONS};
use crate::segment::SegmentError;
use crate::table::Limits;
use nix::errno::Errno;
use std::fmt;

/// Why a table could not be made or opened.
#[derive(Debug)]
pub enum TableError {
    /// Limits out of range.
    Limits(Limits),
    /// A living router has a table of this name.
    InUse {
        /// Its process number.
        router_pid: u32,
    },
    /// There is no such table: no router runs there.
    Missing(String),
    /// The segment is no table, or its maker has not finished it.
    NotATable(String),
    /// It has another size than its limits ask for: it is not whole.
    Size {
        /// Name of the segment, or of the file.
        name: String,
        /// Octets that it has.
        octets: u64,
        /// Octets that it should have.
        expected: u64,
    },
    /// Table and program are of different versions.
    Version {
        /// Version of the table.
        table: u32,
        /// Version of this program.
        program: u32,
    },
    /// Same version, different layout: the program was built otherwise.
    Fingerprint {
        /// Fingerprint of the table.
        table: u64,
        /// Fingerprint of this program.
        program: u64,
    },
    /// There is not enough shared memory.
    NoSpace {
        /// Octets wanted.
        octets: usize,
    },
    /// Another refusal of the operating system.
    Os {
        /// Name of the segment.
        name: String,
        /// The system's error.
        errno: Errno,
    },
}

impl fmt::Display for TableError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableError::Limits(limits) => write!(
                out,
                "{} handlers of {} sessions are out of range (1 to {MAX_HANDLERS} handlers, 1 to {MAX_SESSIONS} sessions)",
                limits.handlers, limits.sessions
            ),
            TableError::InUse { router_pid } => {
                write!(out, "a router runs here already (process {router_pid})")
            }
            TableError::Missing(name) => write!(out, "there is no shared table {name}: no router runs here"),
            TableError::NotATable(name) => write!(out, "{name} is not a finished table of sessions"),
            TableError::Size { name, octets, expected } => {
                write!(out, "{name} is not a whole table: it has {octets} octets of {expected}")
            }
            TableError::Version { table, program } => write!(
                out,
                "the shared table has version {table}, this program has version {program}: restart the one that is older"
            ),
            TableError::Fingerprint { table, program } => write!(
                out,
                "the shared table has layout {table:016x}, this program has layout {program:016x}: they are not of one build"
            ),
            TableError::NoSpace { octets } => {
                write!(
                    out,
                    "/dev/shm has no room for the shared table of {octets} octets: make it larger, or lower max or sessions of [handlers]"
                )
            }
            TableError::Os { name, errno } => write!(out, "table of sessions {name}: {}", errno.desc()),
        }
    }
}

impl std::error::Error for TableError {}

/// What happened to the segment, as what happened to the table.
pub(crate) fn table_error(name: &str, octets: usize, error: SegmentError) -> TableError {
    match error {
        SegmentError::Missing => TableError::Missing(name.to_string()),
        SegmentError::Exists => TableError::Os { name: name.to_string(), errno: Errno::EEXIST },
        SegmentError::Os(Errno::ENOSPC | Errno::ENOMEM) => TableError::NoSpace { octets },
        SegmentError::Os(errno) => TableError::Os { name: name.to_string(), errno },
    }
}
