//! What all sessions and threads of the handler share.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use config::Settings;
use shm_abi::{Cell, FromHandler, HandlerState, Metrics, Protocol, Table};
use store::Store;
use store::in_hand::{Mutex, RwLock};

use crate::changes::Changes;
use crate::commits::Commits;
use crate::conversation::Answer;
use crate::crashes::Crashes;
use crate::log;
use crate::maildrops::Maildrops;
use crate::memory::Memory;
use crate::mend::Workers;
use crate::orders::Orders;
use crate::passwords::Passwords;
use crate::poll::Registrar;
use crate::recipients::Recipients;
use crate::released::Released;
use crate::router::RouterLink;
use crate::run_queue::RunQueue;
use crate::seats::Seats;
use crate::slots::{Causes, SlotNumber, Slots};
use crate::store_sizes::StoreSizes;
use crate::trace::Traces;

/// What all sessions of this handler share.
pub(crate) struct Shared {
    /// This handler's row in the table.
    pub(crate) handler: u32,
    /// The shared table.
    pub(crate) table: Table,
    /// The mail.
    pub(crate) store: Arc<Store>,
    /// Parked sessions.
    pub(crate) slots: Slots,
    /// Sessions that are ready.
    pub(crate) run_queue: RunQueue,
    /// Who waits for a sync.
    pub(crate) commits: Commits,
    /// Who watches which mailbox.
    pub(crate) changes: Changes,
    /// Who may log in.
    pub(crate) passwords: Passwords,
    /// Which POP3 sessions hold a maildrop.
    pub(crate) maildrops: Arc<Maildrops>,
    /// Looks at how large the store is.
    pub(crate) sizes: StoreSizes,
    /// What addresses stand for.
    pub(crate) recipients: Recipients,
    /// Where sockets are watched.
    pub(crate) registrar: Registrar,
    /// How much memory sessions may hold.
    pub(crate) memory: Memory,
    /// What the router orders for single sessions.
    pub(crate) orders: Orders,
    /// Pipes of those who want to read along with single sessions.
    pub(crate) traces: Traces,
    /// The channel to the router.
    pub(crate) router: RouterLink,
    /// What the router was given and may not have yet.
    pub(crate) released: Released,
    /// One eventfd for each handler row.
    pub(crate) eventfds: Vec<OwnedFd>,
    /// Where the settings came from, for messages.
    pub(crate) settings_path: PathBuf,
    /// What workers and the critical-signal thread tell each other.
    pub(crate) seats: Seats,
    /// The workers.
    pub(crate) workers: Workers,
    /// What is kept of crashes.
    pub(crate) crashes: Crashes,
    /// Where the parts of parked sessions are that their cells have no room for.
    pub(crate) annex_folder: PathBuf,
    /// What changes while the handler runs.
    pub(crate) state: State,
}

/// What changes while the handler runs; reached through [`Shared`].
pub(crate) struct State {
    settings: RwLock<Arc<Settings>>,
    answers: Mutex<HashMap<SlotNumber, (u32, Answer)>>,
    shutting_down: AtomicBool,
    draining: AtomicBool,
    start: Instant,
}

impl State {
    /// The state of a handler that begins now.
    pub(crate) fn new(settings: Settings) -> State {
        State {
            settings: RwLock::new(Arc::new(settings)),
            answers: Mutex::default(),
            shutting_down: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            start: Instant::now(),
        }
    }
}

impl Shared {
    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.state.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts new settings in force, for what is asked of them from now on.
    pub(crate) fn set_settings(&self, settings: Settings) {
        self.memory.set(&settings.limits);
        *self.state.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Milliseconds on the handler's own clock, which never runs backwards.
    pub(crate) fn now_ms(&self) -> u64 {
        self.state.start.elapsed().as_millis() as u64
    }

    /// Milliseconds since 1970, as the table has them.
    pub(crate) fn unix_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
    }

    /// What this handler counts and measures.
    pub(crate) fn metrics(&self) -> Metrics<'_> {
        self.table.metrics(self.handler)
    }

    /// The session's cell in the table.
    pub(crate) fn cell(&self, slot: SlotNumber, generation: u32) -> Option<Cell<'_>> {
        self.table.cell(self.handler, slot, generation)
    }

    /// Says in the table who logged in. False, and nothing said, if the user has as many sessions of the protocol as are allowed,
    /// over all handlers.
    pub(crate) fn enter(&self, slot: SlotNumber, generation: u32, protocol: Protocol, user: &str) -> bool {
        let settings = self.settings();
        // A submission server logs in as one user for all.
        let is_counted = !settings.auth.submitters.iter().any(|submitter| submitter == user);
        let limit = if is_counted { settings.limits.connections_per_user } else { 0 };
        self.cell(slot, generation).is_none_or(|cell| {
            let entered = self.table.enter(cell, protocol, user, limit);
            if entered {
                cell.set_user(user, self.unix_ms());
            }
            entered
        })
    }

    /// With how much memory each session of this handler is charged: slot, generation, octets.
    pub(crate) fn accounts(&self) -> Vec<(SlotNumber, u32, u64)> {
        let own = self.table.sessions().into_iter().filter(|session| session.id.handler == self.handler);
        own.map(|session| (session.id.cell, session.id.generation, session.memory_octets)).collect()
    }

    /// Gives a session the answer it waits for, if it still is the same session.
    pub(crate) fn answer(&self, slot: SlotNumber, generation: u32, answer: Answer) {
        self.state.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, (generation, answer));
        self.slots.wake(slot, Causes::HELPER, &self.run_queue);
    }

    /// Takes the answer meant for this session.
    pub(crate) fn take_answer(&self, slot: SlotNumber, generation: u32) -> Option<Answer> {
        let (meant_for, answer) =
            self.state.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(&slot)?;
        (meant_for == generation).then_some(answer)
    }

    /// Wakes the poll thread of any handler, to look for changed mailboxes.
    pub(crate) fn wake_handler(&self, handler: u32) {
        if let Some(eventfd) = self.eventfds.get(handler as usize)
            && let Err(error) = nix::unistd::write(eventfd, &1u64.to_ne_bytes())
            && error != nix::errno::Errno::EAGAIN
        {
            log::error!("wake handler", handler = handler, why = error);
        }
    }

    /// Whether sessions are to say goodbye.
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.state.shutting_down.load(Ordering::SeqCst)
    }

    /// Whether sessions are to go to other handlers.
    pub(crate) fn is_draining(&self) -> bool {
        self.state.draining.load(Ordering::SeqCst)
    }

    /// Has all sessions go to other handlers as they park.
    pub(crate) fn drain(&self) {
        self.table.handler(self.handler).set_state(HandlerState::Draining);
        self.state.draining.store(true, Ordering::SeqCst);
        self.slots.wake_all(Causes::ORDER, &self.run_queue);
    }

    /// Has all sessions say goodbye once their running command is done.
    pub(crate) fn shut_down(&self) {
        self.state.shutting_down.store(true, Ordering::SeqCst);
        self.slots.wake_all(Causes::SHUTDOWN, &self.run_queue);
    }

    /// Frees a session's cell, and tells the router if somebody waits for room.
    pub(crate) fn free_cell(&self, slot: SlotNumber, generation: u32) {
        if self.table.free(self.handler, slot, generation)
            && self.table.queue_waiting()
            && self.router.is_open()
        {
            self.router.send(&FromHandler::Room);
        }
    }
}
