//! The table of sessions in shared memory, and the records that travel between processes.
//!
//! The router makes one [`Table`] and starts handlers with a [`Channel`] each. Handlers write their own rows and
//! session cells; tools read a [`TableView`]. The layout, its rules and its version are in `ABI.md`.
//!
//! Invariants: the segment is touched through atomics only; no reference into it leaves this crate; what is read
//! from it is checked before it becomes a type. Time is always given by the caller, in milliseconds since 1970.

mod abi;
mod accounts;
mod assign;
mod attempts;
mod cell;
mod channel;
mod control;
mod crash;
mod endpoint;
mod error;
mod handler_row;
mod handover;
mod layout;
mod left_over;
mod listener;
mod metrics;
mod name;
mod notify;
mod parked;
mod process;
mod secure;
mod segment;
mod session_counts;
mod session_id;
mod start;
mod table;
mod text;
mod wire;
mod worker_row;

pub use abi::{Abi, hash_of_code};
pub use attempts::{Attempts, Standing};
pub use cell::{Cell, CellState, SessionInfo};
pub use channel::{Channel, Incoming, ReceiveError, SendError, inherited};
pub use control::{
    AskError, CONTROL_SESSIONS_MAX, ControlAnswer, ControlRequest, RouterStatus, UpgradeState, ask_router,
    ask_router_with,
};
pub use crash::{
    CrashFolder, CrashReport, CrashedMessage, OPEN_IMAP_COMMANDS, QUARANTINE_AFTER, masked, signal_name,
};
pub use endpoint::Endpoint;
pub use error::TableError;
pub use handler_row::{Counter, HandlerInfo, HandlerRow, HandlerState, Heartbeat};
pub use handover::{
    Accepted, Adopt, BootKey, Connection, FromHandler, Held, Hello, Protocol, Refusal, Refused, TlsFacts,
    ToHandler,
};
pub use layout::{
    ABI_VERSION, COMMAND_OCTETS, CRASH_FRAMES, INPUT_OCTETS, MAX_HANDLERS, MAX_SESSIONS, MAX_WORKERS,
    USER_OCTETS,
};
pub use left_over::left_over_handlers;
pub use listener::ChannelListener;
pub use metrics::{
    FAMILIES, Family, Gauge, HISTOGRAM_BOUNDS, HISTOGRAM_BUCKETS, Histogram, HistogramInfo, Kind, Label,
    Metrics, Scale, Tally,
};
pub use name::{read_table_name, rejoin_path, table_name, write_table_name};
pub use notify::{RowIndex, Watches};
pub use parked::{Annex, CellFlags, PARKED_OCTETS, Parked};
pub use process::{Process, process_start_ticks};
pub use secure::{FromTls, ToTls};
pub use session_counts::SessionCounts;
pub use session_id::{NoSessionId, SessionId};
pub use start::StartWait;
pub use table::{Limits, Table, TableInfo, TableView};
pub use wire::{
    MAX_ANNEX_OCTETS, MAX_RECORD_OCTETS, WireError, decode, decode_annex, decode_front, encode, encode_annex,
    encode_into,
};
pub use worker_row::{CrashFacts, WorkerInfo, WorkerRow, WorkerStage};
