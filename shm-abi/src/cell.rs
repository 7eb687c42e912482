//! A session cell: what one session is doing, for `lode who` and for the router.
//!
//! One writer at a time: the router until the hand-over record is sent and after the handler is reaped, between them
//! the worker that runs the session. Words that are changed often stand alone; texts and what belongs to them are
//! written under the cell's sequence counter, so that a reader sees one state of them or none.

use crate::endpoint::Endpoint;
use crate::handover::Protocol;
use crate::layout::CellShared;
use crate::notify::RowIndex;
use crate::parked::CellFlags;
use crate::session_id::SessionId;
use crate::{parked, text};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Attempts of a reader before it gives up a cell whose writer stopped in the middle.
const READ_ATTEMPTS: u32 = 64;

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub enum CellState {
    /// No session.
    Free = 0,
    /// Given to a connection that the handler has not taken yet.
    Assigned = 1,
    /// Waits for its client or for a change, owning no thread.
    Parked = 2,
    /// Has something to do and waits for a worker.
    Queued = 3,
    /// A worker runs it.
    Running = 4,
    /// Is being ended.
    Closing = 5,
}

impl CellState {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            CellState::Free => "free",
            CellState::Assigned => "assigned",
            CellState::Parked => "parked",
            CellState::Queued => "queued",
            CellState::Running => "running",
            CellState::Closing => "closing",
        }
    }

    fn from_number(number: u32) -> CellState {
        match number {
            0 => CellState::Free,
            1 => CellState::Assigned,
            2 => CellState::Parked,
            3 => CellState::Queued,
            4 => CellState::Running,
            // A number nobody writes: the session is not to be trusted with more.
            _ => CellState::Closing,
        }
    }
}

/// What a cell says, copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its name: row of the handler, cell, generation of the cell.
    pub id: SessionId,
    /// What the session is doing.
    pub state: CellState,
    /// What it speaks; `None` if it could not be read.
    pub protocol: Option<Protocol>,
    /// Who logged in, empty before that.
    pub user: String,
    /// Who called; `None` if it could not be read.
    pub peer: Option<Endpoint>,
    /// When the connection was accepted.
    pub accepted_ms: u64,
    /// When the user logged in, 0 before that.
    pub login_ms: u64,
    /// When something last came or went.
    pub last_activity_ms: u64,
    /// Row and key of the selected mailbox.
    pub mailbox: Option<(RowIndex, u64)>,
    /// Whether it holds the maildrop of its user (POP3).
    pub maildrop: bool,
    /// The command being run, empty if none is.
    pub command: String,
    /// Since when it is run, 0 if none is.
    pub command_since_ms: u64,
    /// Octets from the client.
    pub bytes_in: u64,
    /// Octets to the client.
    pub bytes_out: u64,
    /// Memory that it holds, in octets.
    pub memory_octets: u64,
    /// Time that workers spent on it, waits for the disk included, in microseconds.
    pub cpu_micros: u64,
    /// Whether somebody reads along.
    pub traced: bool,
    /// What its worker tells of it besides.
    pub flags: CellFlags,
}

/// Access to one cell.
#[derive(Clone, Copy)]
pub struct Cell<'a> {
    shared: &'a CellShared,
}

impl<'a> Cell<'a> {
    pub(crate) fn new(shared: &'a CellShared) -> Cell<'a> {
        Cell { shared }
    }

    pub(crate) fn shared(&self) -> &'a CellShared {
        self.shared
    }

    /// What the session is doing.
    pub fn state(&self) -> CellState {
        CellState::from_number(self.shared.state.load(Ordering::Acquire) as u32)
    }

    /// How many times the cell was given away.
    pub fn generation(&self) -> u32 {
        (self.shared.state.load(Ordering::Acquire) >> 32) as u32
    }

    /// Says what the session is doing. Not for [`CellState::Free`]: that is [`crate::Table::free`].
    pub fn set_state(&self, state: CellState) {
        debug_assert!(state != CellState::Free);
        let generation = self.shared.state.load(Ordering::Relaxed) & !0xffff_ffff;
        self.shared.state.store(generation | state as u64, Ordering::Release);
    }

    /// What the session speaks.
    pub fn protocol(&self) -> Option<Protocol> {
        Protocol::from_number(self.shared.text_lengths.load(Ordering::Acquire).to_le_bytes()[2])
    }

    /// Says who logged in.
    pub fn set_user(&self, user: &str, now_ms: u64) {
        self.write_texts(|shared| {
            let length = text::store(&shared.user, user);
            set_octet(&shared.text_lengths, 0, length);
            shared.login_ms.store(now_ms, Ordering::Relaxed);
        });
    }

    /// Says which mailbox is selected.
    pub fn set_mailbox(&self, mailbox: Option<(RowIndex, u64)>) {
        let (row, key) = mailbox.map_or((u32::MAX, 0), |(row, key)| (row.0, key));
        self.shared.mailbox_row.store(row, Ordering::Relaxed);
        self.shared.mailbox_key.store(key, Ordering::Relaxed);
    }

    /// Says whether the session has the maildrop of its user, which no other POP3 session may have then.
    pub fn set_maildrop(&self, held: bool) {
        self.shared.lock_held.store(held.into(), Ordering::Relaxed);
    }

    /// Says which command is run from now on. Its name alone: never an argument, which may be a password.
    pub fn begin_command(&self, name: &str, now_ms: u64) {
        self.write_texts(|shared| {
            let length = text::store(&shared.command, name);
            set_octet(&shared.text_lengths, 1, length);
            shared.command_since_ms.store(now_ms, Ordering::Relaxed);
        });
        self.shared.last_activity_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Says that no command is run any more.
    pub fn end_command(&self, now_ms: u64) {
        self.write_texts(|shared| {
            set_octet(&shared.text_lengths, 1, 0);
            shared.command_since_ms.store(0, Ordering::Relaxed);
        });
        self.shared.last_activity_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Counts octets that came and went.
    pub fn add_bytes(&self, bytes_in: u64, bytes_out: u64, now_ms: u64) {
        // One writer at a time: a load and a store do, and cost less than a locked addition.
        let add = |word: &AtomicU64, count| {
            word.store(word.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed)
        };
        add(&self.shared.bytes_in, bytes_in);
        add(&self.shared.bytes_out, bytes_out);
        self.shared.last_activity_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Counts time that a worker spent on the session.
    pub fn add_cpu(&self, micros: u64) {
        let word = &self.shared.cpu_micros;
        word.store(word.load(Ordering::Relaxed).wrapping_add(micros), Ordering::Relaxed);
    }

    /// Says whether somebody reads along.
    pub fn set_traced(&self, traced: bool) {
        self.shared.traced.store(traced.into(), Ordering::Relaxed);
    }

    /// Says how much memory the session holds.
    pub fn set_memory(&self, octets: u64) {
        self.shared.memory_octets.store(octets, Ordering::Relaxed);
    }

    /// How much memory the session holds, as its owner said last.
    pub fn memory_octets(&self) -> u64 {
        self.shared.memory_octets.load(Ordering::Relaxed)
    }

    /// As whose session it is counted; for `accounts.rs`.
    pub(crate) fn account(&self) -> &'a AtomicU64 {
        &self.shared.account
    }

    /// Gives the free cell to a connection: its new generation.
    pub(crate) fn assign(&self, protocol: Protocol, peer: Endpoint, now_ms: u64) -> u32 {
        let shared = self.shared;
        self.write_texts(|shared| {
            shared.text_lengths.store(0, Ordering::Relaxed);
            set_octet(&shared.text_lengths, 2, protocol as u8);
            for (word, value) in shared.peer.iter().zip(peer.to_words()) {
                word.store(value, Ordering::Relaxed);
            }
            shared.accepted_ms.store(now_ms, Ordering::Relaxed);
            shared.login_ms.store(0, Ordering::Relaxed);
            shared.command_since_ms.store(0, Ordering::Relaxed);
        });
        self.set_mailbox(None);
        shared.bytes_in.store(0, Ordering::Relaxed);
        shared.bytes_out.store(0, Ordering::Relaxed);
        shared.cpu_micros.store(0, Ordering::Relaxed);
        shared.traced.store(0, Ordering::Relaxed);
        shared.lock_held.store(0, Ordering::Relaxed);
        shared.memory_octets.store(0, Ordering::Relaxed);
        parked::reset(shared);
        shared.last_activity_ms.store(now_ms, Ordering::Relaxed);
        let generation = self.generation().wrapping_add(1);
        shared.state.store(u64::from(generation) << 32 | CellState::Assigned as u64, Ordering::Release);
        generation
    }

    /// Says of a cell that was just assigned what another cell said of the session.
    pub(crate) fn take_over(&self, session: &SessionInfo) {
        self.write_texts(|shared| {
            let length = text::store(&shared.user, &session.user);
            set_octet(&shared.text_lengths, 0, length);
            shared.accepted_ms.store(session.accepted_ms, Ordering::Relaxed);
            shared.login_ms.store(session.login_ms, Ordering::Relaxed);
        });
        self.set_mailbox(session.mailbox);
        self.shared.bytes_in.store(session.bytes_in, Ordering::Relaxed);
        self.shared.bytes_out.store(session.bytes_out, Ordering::Relaxed);
        self.shared.last_activity_ms.store(session.last_activity_ms, Ordering::Relaxed);
        self.shared.cpu_micros.store(session.cpu_micros, Ordering::Relaxed);
        self.set_maildrop(session.maildrop);
    }

    /// The cell's session, copied with what a router needs to give it to another handler; `None` if it is free. Not to be asked while a
    /// worker runs it.
    pub fn session(&self, handler: u32, cell: u32) -> Option<SessionInfo> {
        self.info(handler, cell)
    }

    /// Frees the cell if it has this generation and is not free; true for exactly one caller.
    pub(crate) fn release(&self, generation: u32) -> bool {
        let free = u64::from(generation) << 32 | CellState::Free as u64;
        let taken = |word: u64| (word >> 32) as u32 == generation && word != free;
        self.shared
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| taken(word).then_some(free))
            .is_ok()
    }

    /// Number of the protocol and whether somebody is logged in; for figures, since both may be of different sessions.
    pub(crate) fn glance(&self) -> (u8, bool) {
        let [_, _, protocol, ..] = self.shared.text_lengths.load(Ordering::Relaxed).to_le_bytes();
        (protocol, self.shared.login_ms.load(Ordering::Relaxed) != 0)
    }

    /// Frees the cell whatever it says, and closes a write its dead owner left open.
    pub(crate) fn wipe(&self) {
        let word = self.shared.state.load(Ordering::Acquire);
        // A cell that was never used is not touched: its page costs no memory yet.
        if self.state() != CellState::Free {
            self.shared.state.store(word & !0xffff_ffff, Ordering::Release);
        }
        if self.shared.sequence.load(Ordering::Relaxed) % 2 == 1 {
            self.write_texts(|shared| shared.text_lengths.store(0, Ordering::Relaxed));
        }
    }

    /// The cell of a session, copied; `None` if it is free.
    pub(crate) fn info(&self, handler: u32, cell: u32) -> Option<SessionInfo> {
        let shared = self.shared;
        let word = shared.state.load(Ordering::Acquire);
        let state = CellState::from_number(word as u32);
        if state == CellState::Free {
            return None;
        }
        let row = shared.mailbox_row.load(Ordering::Relaxed);
        let mut info = SessionInfo {
            id: SessionId { handler, cell, generation: (word >> 32) as u32 },
            state,
            protocol: None,
            user: String::new(),
            peer: None,
            accepted_ms: 0,
            login_ms: 0,
            last_activity_ms: shared.last_activity_ms.load(Ordering::Relaxed),
            mailbox: (row != u32::MAX).then(|| (RowIndex(row), shared.mailbox_key.load(Ordering::Relaxed))),
            maildrop: shared.lock_held.load(Ordering::Relaxed) != 0,
            command: String::new(),
            command_since_ms: 0,
            bytes_in: shared.bytes_in.load(Ordering::Relaxed),
            bytes_out: shared.bytes_out.load(Ordering::Relaxed),
            memory_octets: shared.memory_octets.load(Ordering::Relaxed),
            cpu_micros: shared.cpu_micros.load(Ordering::Relaxed),
            traced: shared.traced.load(Ordering::Relaxed) != 0,
            flags: self.flags(),
        };
        if let Some(texts) = self.read_texts() {
            let [user_length, command_length, protocol, ..] = texts.lengths.to_le_bytes();
            info.protocol = Protocol::from_number(protocol);
            info.user = text::load(&texts.user, user_length);
            info.command = text::load(&texts.command, command_length);
            info.peer = Endpoint::from_words(texts.peer);
            info.accepted_ms = texts.accepted_ms;
            info.login_ms = texts.login_ms;
            info.command_since_ms = texts.command_since_ms;
        }
        // A cell that went to another session meanwhile would be half of one and half of the other.
        fence(Ordering::Acquire);
        let generation_now = (shared.state.load(Ordering::Relaxed) >> 32) as u32;
        (generation_now == info.id.generation).then_some(info)
    }

    /// Runs `write` with the sequence odd. A sequence left odd by a writer that died is simply taken over.
    fn write_texts(&self, write: impl FnOnce(&CellShared)) {
        let sequence = &self.shared.sequence;
        let odd = sequence.load(Ordering::Relaxed) | 1;
        sequence.store(odd, Ordering::Relaxed);
        // No covered store may become visible before the odd number.
        fence(Ordering::Release);
        write(self.shared);
        // No covered store may become visible after the even number.
        sequence.store(odd.wrapping_add(1), Ordering::Release);
    }

    /// One state of the covered words, or `None` if a writer stopped in the middle.
    fn read_texts(&self) -> Option<Texts> {
        let shared = self.shared;
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        for _ in 0..READ_ATTEMPTS {
            let before = shared.sequence.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                let texts = Texts {
                    user: shared.user.each_ref().map(load),
                    command: shared.command.each_ref().map(load),
                    peer: shared.peer.each_ref().map(load),
                    accepted_ms: load(&shared.accepted_ms),
                    login_ms: load(&shared.login_ms),
                    command_since_ms: load(&shared.command_since_ms),
                    lengths: load(&shared.text_lengths),
                };
                // No covered load may happen after the second look at the sequence.
                fence(Ordering::Acquire);
                if shared.sequence.load(Ordering::Relaxed) == before {
                    return Some(texts);
                }
            }
            std::hint::spin_loop();
        }
        None
    }
}

/// The words covered by the sequence, copied.
struct Texts {
    user: [u64; 8],
    command: [u64; 4],
    peer: [u64; 3],
    accepted_ms: u64,
    login_ms: u64,
    command_since_ms: u64,
    lengths: u64,
}

fn set_octet(word: &AtomicU64, at: usize, value: u8) {
    let mut octets = word.load(Ordering::Relaxed).to_le_bytes();
    octets[at] = value;
    word.store(u64::from_le_bytes(octets), Ordering::Relaxed);
}
