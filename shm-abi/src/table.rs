//! The shared table: made by the router, opened by handlers and tools.
//!
//! [`TableView`] reads, also from a read-only mapping; [`Table`] writes too and is a view by `Deref`. Limits found in
//! a segment are checked against its size once, at opening; after that every index is within them, and an index out
//! of them is our own fault and asserted.

use crate::cell::{Cell, CellState};
use crate::error::{TableError, table_error};
use crate::handler_row::{HandlerRow, HandlerState};
use crate::layout::{
    ABI_VERSION, Areas, AttemptsShared, CellShared, FINGERPRINT, HandlerShared, Header, MAGIC, MAX_HANDLERS,
    MAX_SESSIONS, MAX_WORKERS, MailboxShared, MetricsShared, WorkerShared,
};
use crate::left_over::remove_left_over;
use crate::process::Process;
use crate::segment::{Segment, SegmentError};
use crate::worker_row::{WorkerInfo, WorkerRow};
use nix::errno::Errno;
use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::mem::size_of;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// How much a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Handlers, 1 to [`MAX_HANDLERS`].
    pub handlers: u32,
    /// Sessions of each handler, 1 to [`MAX_SESSIONS`].
    pub sessions: u32,
}

/// A table that can be read.
pub struct TableView {
    segment: Segment,
    name: String,
    limits: Limits,
    areas: Areas,
}

/// A table that can be written, too.
pub struct Table {
    view: TableView,
}

impl fmt::Debug for TableView {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TableView")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Table").field(&self.view).finish()
    }
}

impl Deref for Table {
    type Target = TableView;

    fn deref(&self) -> &TableView {
        &self.view
    }
}

/// Facts of the header, copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableInfo {
    /// Layout version.
    pub abi_version: u32,
    /// The router that made it.
    pub router: Process,
    /// A number no two boots of the router share.
    pub boot_generation: u64,
    /// When it was made.
    pub created_ms: u64,
    /// Its size.
    pub segment_octets: u64,
    /// How many handlers serve at a time, and how many sessions each has at most. There may be a row more.
    pub limits: Limits,
    /// Connections accepted since then.
    pub accepted: u64,
    /// Connections turned away since then.
    pub turned_away: u64,
    /// Handlers started since then.
    pub spawned: u64,
}

impl Table {
    /// Makes the table `name` for the calling process, which is the router; a table left by a dead router is
    /// replaced. The name is removed when the value is dropped.
    pub fn create(
        name: &str,
        limits: Limits,
        boot_generation: u64,
        now_ms: u64,
    ) -> Result<Table, TableError> {
        if !limits_are_good(limits) {
            return Err(TableError::Limits(limits));
        }
        let areas = Areas::of(limits.handlers, limits.sessions);
        let segment = match Segment::create(name, areas.total) {
            Err(SegmentError::Exists) => {
                remove_left_over(name)?;
                Segment::create(name, areas.total)
            }
            other => other,
        }
        .map_err(|error| table_error(name, areas.total, error))?;
        let table = Table { view: TableView { segment, name: name.to_string(), limits, areas } };
        table.fill_header(boot_generation, now_ms);
        Ok(table)
    }

    fn fill_header(&self, boot_generation: u64, now_ms: u64) {
        let header = self.header();
        let router = Process::current();
        header.abi_version.store(ABI_VERSION, Ordering::Relaxed);
        header.fingerprint.store(FINGERPRINT, Ordering::Relaxed);
        header.router_pid.store(router.pid, Ordering::Relaxed);
        header.router_start_ticks.store(router.start_ticks, Ordering::Relaxed);
        header.boot_generation.store(boot_generation, Ordering::Relaxed);
        header.segment_octets.store(self.areas.total as u64, Ordering::Relaxed);
        header.handlers.store(self.limits.handlers, Ordering::Relaxed);
        header.sessions.store(self.limits.sessions, Ordering::Relaxed);
        header.mailbox_rows.store(self.areas.mailbox_rows as u32, Ordering::Relaxed);
        header.created_ms.store(now_ms, Ordering::Relaxed);
        for handler in 0..self.limits.handlers {
            self.fill_free_words(handler);
        }
        // Last: who sees the magic sees all of the above.
        header.magic.store(MAGIC, Ordering::Release);
    }

    /// Takes over the table `name`, whose router is dead and whose handlers may live: the calling process is its router from now on,
    /// and the name is removed when the value is dropped. The boot generation grows by one. A process that made the table itself and
    /// became another program takes it over as it is.
    pub fn take_over(name: &str) -> Result<Table, TableError> {
        let mut table = Table::open(name)?;
        let (header, router) = (table.header(), Process::current());
        let before = router_of(header);
        if before != router {
            if before.is_alive() {
                return Err(TableError::InUse { router_pid: before.pid });
            }
            // In this order: who reads between the two stores finds a process that does not exist.
            header.router_start_ticks.store(router.start_ticks, Ordering::Release);
            header.router_pid.store(router.pid, Ordering::Release);
            header.boot_generation.fetch_add(1, Ordering::Relaxed);
        }
        table.view.segment.own();
        Ok(table)
    }

    /// Opens an existing table for reading and writing.
    pub fn open(name: &str) -> Result<Table, TableError> {
        let segment = Segment::open(name).map_err(|error| table_error(name, 0, error))?;
        Ok(Table { view: TableView::check(segment, name)? })
    }

    /// Says how many handlers serve at a time, if there are more rows. The router does it when it has made the table.
    pub fn set_serving_max(&self, handlers: u32) {
        self.header().serving_max.store(handlers, Ordering::Relaxed);
    }

    /// Marks whether connections wait for room. The router sets it, then looks for room once more.
    pub fn set_queue_waiting(&self, waiting: bool) {
        self.header().queue_waiting.store(waiting.into(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// A message was quarantined, and its mark is in the runtime folder: all handlers are to look before they run a session.
    pub fn note_quarantine(&self) {
        self.header().quarantines.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts an accepted connection.
    pub fn count_accepted(&self) {
        self.header().accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was turned away.
    pub fn count_turned_away(&self) {
        self.header().turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// The row of a handler.
    pub fn handler(&self, handler: u32) -> HandlerRow<'_> {
        HandlerRow::new(self.handler_shared(handler))
    }

    /// A row for a worker of a handler, `worker` below [`MAX_WORKERS`]. The handler writes it; anybody reads.
    pub fn worker(&self, handler: u32, worker: u32) -> WorkerRow<'_> {
        self.worker_row(handler, worker)
    }

    /// A session's cell, if it still has this generation and is not free. The owner keeps the value as long as the
    /// session lasts; anybody else asks each time.
    pub fn cell(&self, handler: u32, cell: u32, generation: u32) -> Option<Cell<'_>> {
        if handler >= self.limits.handlers || cell >= self.limits.sessions {
            return None;
        }
        let found = self.any_cell(handler, cell);
        (found.generation() == generation && found.state() != CellState::Free).then_some(found)
    }
}

impl TableView {
    /// Opens an existing table for reading only.
    pub fn open_read_only(name: &str) -> Result<TableView, TableError> {
        let segment = Segment::open_read_only(name).map_err(|error| table_error(name, 0, error))?;
        TableView::check(segment, name)
    }

    /// Reads a copy of a table from a plain file, called `name` in errors, to its end. What a writer had half done when the copy was
    /// made reads as in a table whose writer died.
    pub fn read_copy(file: &mut File, name: &str) -> Result<TableView, TableError> {
        let failed = |error: io::Error| TableError::Os {
            name: name.to_string(),
            errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
        };
        let octets = file.metadata().map_err(failed)?.len();
        if octets < size_of::<Header>() as u64 {
            let expected = size_of::<Header>() as u64;
            return Err(TableError::Size { name: name.to_string(), octets, expected });
        }
        // The header alone at first: memory is taken for what it announces only if the file has that many octets.
        let header =
            Segment::copy_of(file, size_of::<Header>()).map_err(|error| table_error(name, 0, error))?;
        let (_, areas) = checked_limits(header.at(0), octets, name)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let segment =
            Segment::copy_of(file, areas.total).map_err(|error| table_error(name, areas.total, error))?;
        TableView::check(segment, name)
    }

    fn check(segment: Segment, name: &str) -> Result<TableView, TableError> {
        if segment.octets() < size_of::<Header>() {
            return Err(TableError::NotATable(name.to_string()));
        }
        let (limits, areas) = checked_limits(segment.at(0), segment.octets() as u64, name)?;
        Ok(TableView { segment, name: name.to_string(), limits, areas })
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The table's limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// True while connections wait for room; a handler asks after it freed a cell.
    pub fn queue_waiting(&self) -> bool {
        self.header().queue_waiting.load(Ordering::SeqCst) != 0
    }

    /// A number that is another after every [`Table::note_quarantine`].
    pub fn quarantines(&self) -> u32 {
        self.header().quarantines.load(Ordering::Acquire)
    }

    /// The facts of the header.
    pub fn info(&self) -> TableInfo {
        let header = self.header();
        let limits = match header.serving_max.load(Ordering::Relaxed) {
            0 => self.limits,
            most => Limits { handlers: most.min(self.limits.handlers), ..self.limits },
        };
        TableInfo {
            abi_version: header.abi_version.load(Ordering::Relaxed),
            router: router_of(header),
            boot_generation: header.boot_generation.load(Ordering::Relaxed),
            created_ms: header.created_ms.load(Ordering::Relaxed),
            segment_octets: self.areas.total as u64,
            limits,
            accepted: header.accepted.load(Ordering::Relaxed),
            turned_away: header.turned_away.load(Ordering::Relaxed),
            spawned: header.spawned.load(Ordering::Relaxed),
        }
    }

    /// What the rows of all handlers that are not free say, with their numbers.
    pub fn handlers(&self) -> Vec<crate::HandlerInfo> {
        (0..self.limits.handlers)
            .filter_map(|handler| HandlerRow::new(self.handler_shared(handler)).info(handler))
            .collect()
    }

    /// What all handlers have counted since the table was made, those that are gone included.
    pub fn counter_total(&self, counter: crate::Counter) -> u64 {
        let rows = 0..self.limits.handlers;
        rows.fold(0, |sum, row| {
            sum.wrapping_add(HandlerRow::new(self.handler_shared(row)).counter_total(counter))
        })
    }

    /// What the cells of all sessions of all handlers say.
    pub fn sessions(&self) -> Vec<crate::SessionInfo> {
        let mut sessions = Vec::new();
        for handler in 0..self.limits.handlers {
            if HandlerRow::new(self.handler_shared(handler)).state() == HandlerState::Free {
                continue;
            }
            let cells = 0..self.limits.sessions;
            sessions.extend(cells.filter_map(|cell| self.any_cell(handler, cell).info(handler, cell)));
        }
        sessions
    }

    /// What the cell of this session says; `None` once it ended.
    pub fn session(&self, id: crate::SessionId) -> Option<crate::SessionInfo> {
        if id.handler >= self.limits.handlers || id.cell >= self.limits.sessions {
            return None;
        }
        let info = self.any_cell(id.handler, id.cell).info(id.handler, id.cell)?;
        (info.id == id).then_some(info)
    }

    /// What the rows of a handler's workers say, those that nobody has left out.
    pub fn workers(&self, handler: u32) -> Vec<WorkerInfo> {
        (0..MAX_WORKERS).filter_map(|worker| self.worker_row(handler, worker).info(worker)).collect()
    }

    /// Sessions a handler has, without reading its cells.
    pub fn session_count(&self, handler: u32) -> u32 {
        self.handler_shared(handler).sessions.load(Ordering::Acquire)
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(crate) fn header(&self) -> &Header {
        self.segment.at(0)
    }

    pub(crate) fn handler_offset(&self, handler: u32) -> usize {
        assert!(handler < self.limits.handlers, "handler {handler} of {}", self.limits.handlers);
        self.areas.handlers + handler as usize * size_of::<HandlerShared>()
    }

    pub(crate) fn handler_shared(&self, handler: u32) -> &HandlerShared {
        self.segment.at(self.handler_offset(handler))
    }

    pub(crate) fn handler_state(&self, handler: u32) -> HandlerState {
        HandlerRow::new(self.handler_shared(handler)).state()
    }

    /// A row of measurements; that of the router is behind those of all handler rows.
    pub(crate) fn metrics_shared(&self, row: u32) -> &MetricsShared {
        assert!(row <= self.limits.handlers);
        self.segment.at(self.areas.metrics + row as usize * size_of::<MetricsShared>())
    }

    pub(crate) fn mailbox_rows(&self) -> usize {
        self.areas.mailbox_rows
    }

    pub(crate) fn mailbox(&self, row: usize) -> &MailboxShared {
        assert!(row < self.areas.mailbox_rows);
        self.segment.at(self.areas.mailboxes + row * size_of::<MailboxShared>())
    }

    /// Word `at` of the free bits of a handler.
    pub(crate) fn free_word(&self, handler: u32, at: usize) -> &AtomicU64 {
        assert!(handler < self.limits.handlers && at < self.areas.free_words_each);
        let offset = self.areas.free_words + (handler as usize * self.areas.free_words_each + at) * 8;
        self.segment.at(offset)
    }

    pub(crate) fn free_words_each(&self) -> usize {
        self.areas.free_words_each
    }

    pub(crate) fn worker_row(&self, handler: u32, worker: u32) -> WorkerRow<'_> {
        assert!(handler < self.limits.handlers && worker < MAX_WORKERS);
        let number = handler as usize * MAX_WORKERS as usize + worker as usize;
        WorkerRow::new(
            self.segment.at::<WorkerShared>(self.areas.workers + number * size_of::<WorkerShared>()),
        )
    }

    /// How many sessions are counted on a row of accounts, see `accounts.rs`.
    pub(crate) fn account_row(&self, account: u64) -> &AtomicU64 {
        self.segment.at(self.areas.accounts + (account as usize & (self.areas.accounts_rows - 1)) * 8)
    }

    /// The row of failed logins at `at`, which is taken modulo their number.
    pub(crate) fn attempts_row(&self, at: usize) -> &AttemptsShared {
        let at = at & (self.areas.attempts_rows - 1);
        self.segment.at(self.areas.attempts + at * size_of::<AttemptsShared>())
    }

    /// A cell whatever its generation.
    pub(crate) fn any_cell(&self, handler: u32, cell: u32) -> Cell<'_> {
        assert!(handler < self.limits.handlers && cell < self.limits.sessions);
        let number = handler as usize * self.limits.sessions as usize + cell as usize;
        Cell::new(self.segment.at::<CellShared>(self.areas.cells + number * size_of::<CellShared>()))
    }
}

/// The limits and areas of a table of `octets` octets whose header this is.
fn checked_limits(header: &Header, octets: u64, name: &str) -> Result<(Limits, Areas), TableError> {
    let not_a_table = || TableError::NotATable(name.to_string());
    if header.magic.load(Ordering::Acquire) != MAGIC {
        return Err(not_a_table());
    }
    let version = header.abi_version.load(Ordering::Relaxed);
    if version != ABI_VERSION {
        return Err(TableError::Version { table: version, program: ABI_VERSION });
    }
    let fingerprint = header.fingerprint.load(Ordering::Relaxed);
    if fingerprint != FINGERPRINT {
        return Err(TableError::Fingerprint { table: fingerprint, program: FINGERPRINT });
    }
    let limits = Limits {
        handlers: header.handlers.load(Ordering::Relaxed),
        sessions: header.sessions.load(Ordering::Relaxed),
    };
    if !limits_are_good(limits) {
        return Err(not_a_table());
    }
    let areas = Areas::of(limits.handlers, limits.sessions);
    if areas.mailbox_rows != header.mailbox_rows.load(Ordering::Relaxed) as usize {
        return Err(not_a_table());
    }
    if areas.total as u64 != octets {
        return Err(TableError::Size { name: name.to_string(), octets, expected: areas.total as u64 });
    }
    Ok((limits, areas))
}

fn limits_are_good(limits: Limits) -> bool {
    (1..=MAX_HANDLERS).contains(&limits.handlers) && (1..=MAX_SESSIONS).contains(&limits.sessions)
}

pub(crate) fn router_of(header: &Header) -> Process {
    Process {
        pid: header.router_pid.load(Ordering::Relaxed),
        start_ticks: header.router_start_ticks.load(Ordering::Relaxed),
    }
}

#[cfg(test)]
mod tests;
