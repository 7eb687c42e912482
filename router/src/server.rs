//! The router at work: what it owns, and the loop that runs until it is told to stop.
//!
//! One thread does everything but wait for start events. Each turn: poll; records of handlers; control; signals; dead
//! handlers; new connections; the queue. Nothing in a turn waits for a client or a handler.

use crate::activation::STORED;
use crate::addresses::Addresses;
use crate::control::Control;
use crate::descriptors::{Budget, Reserve};
use crate::escrow::Escrow;
use crate::handlers::Running;
use crate::listen::Listener;
use crate::log::{Level, event};
use crate::metrics::{Endpoint, Pulse};
use crate::notify::Notify;
use crate::parts::Parts;
use crate::pid_file::PidFile;
use crate::queue::Queue;
use crate::rejoin::{Expected, Rejoin};
use crate::secure::Tls;
use crate::signals::Signals;
use crate::throttle::Throttle;
use crate::upgrade::{Replacement, Upgrade};
use crate::{privilege, signals, time};
use config::Settings;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use shm_abi::{BootKey, HandlerState, StartWait, Table};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

const SIGNALS: Token = Token(0);
const WAKER: Token = Token(1);
const CONTROL: Token = Token(2);
const REJOIN: Token = Token(3);
const TLS: Token = Token(4);
/// Listeners are numbered from here.
const LISTENERS: usize = 1_000;
/// Handlers are numbered from here by their rows.
const HANDLERS: usize = 1_000_000;
/// Handlers' processes are numbered from here by their rows.
const PROCESSES: usize = 2_000_000;
/// Clients of the control socket are numbered from here.
const CONTROL_CLIENTS: usize = 3_000_000;
/// Handlers that have not said who they are yet are numbered from here.
const KNOCKING: usize = 1 << 40;

/// The longest sleep: a look at everything twice a second costs nothing.
const TICK_MS: u64 = 500;

/// How waiting for a handler's start ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notice {
    pub(crate) handler: u32,
    pub(crate) generation: u32,
    pub(crate) outcome: StartWait,
}

/// Where the router is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Takes connections.
    Serving,
    /// Has told its handlers to end, and kills at this time those that have not.
    Stopping { kill_at_ms: u64 },
}

/// The router.
pub(crate) struct Server {
    pub(crate) settings_path: PathBuf,
    pub(crate) settings: Settings,
    /// The program of handlers.
    pub(crate) program: PathBuf,
    /// This program, as it is found on disk.
    pub(crate) router_program: PathBuf,
    pub(crate) pid_file: PidFile,
    pub(crate) table: Arc<Table>,
    pub(crate) boot_key: BootKey,
    /// One for each row; none while they are still to come from a handler of the last router.
    pub(crate) eventfds: Vec<OwnedFd>,
    pub(crate) listeners: Vec<Listener>,
    /// No accepting until then: descriptors ran out.
    pub(crate) accept_after_ms: u64,
    /// By row.
    pub(crate) handlers: Vec<Option<Running>>,
    /// Handlers of the last router that are to come, by row.
    pub(crate) expected: Vec<Option<Expected>>,
    /// Rows whose last start event is still waited for by a thread; they take no new process.
    pub(crate) awaited: Vec<bool>,
    /// The sockets of the sessions that handlers have.
    pub(crate) escrow: Escrow,
    /// What descriptors there are for.
    pub(crate) budget: Budget,
    pub(crate) reserve: Reserve,
    pub(crate) queue: Queue,
    pub(crate) tls: Tls,
    pub(crate) addresses: Addresses,
    pub(crate) queue_flag: bool,
    pub(crate) throttle: Throttle,
    pub(crate) control: Control,
    /// Where figures are served, if they are.
    pub(crate) metrics: Option<Endpoint>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) rejoin: Rejoin,
    pub(crate) notify: Notify,
    /// Systemd was told that connections are taken.
    is_ready: bool,
    pub(crate) upgrade: Upgrade,
    pub(crate) replacement: Replacement,
    pub(crate) phase: Phase,
    pub(crate) now_ms: u64,
    pub(crate) notices: mpsc::Sender<Notice>,
    pub(crate) waker: Arc<Waker>,
    incoming_notices: mpsc::Receiver<Notice>,
    signals: Signals,
    signal_stream: mio::net::UnixStream,
    poll: Poll,
    last_tick_ms: u64,
}

impl Server {
    /// Puts everything together; nothing runs yet.
    pub(crate) fn new(parts: Parts, upgrade: Upgrade) -> Result<Server, String> {
        let fault = |what: &str, error: io::Error| format!("cannot {what}: {error}");
        let poll = Poll::new().map_err(|error| fault("make a poll", error))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(|error| fault("make a waker", error))?;
        let (signals, signal_stream) = signals::catch().map_err(|error| fault("catch signals", error))?;
        signals::unblock();
        let Parts { settings_path, settings, program, router_program, table, boot_key, pid_file, .. } = parts;
        let Parts { listeners, control, rejoin, eventfds, handlers, mut escrow, queue, .. } = parts;
        let (handlers_max, sessions_each) = (settings.handlers.max, settings.handlers.sessions);
        let descriptors = privilege::descriptor_limit();
        let budget = Budget::of(descriptors, handlers_max, sessions_each, settings.limits.queue);
        if let Some(shortage) = budget.shortage(handlers_max, sessions_each) {
            event(Level::Warn, "descriptors-few", &[("limit", &descriptors), ("so", &shortage)]);
        }
        escrow.set_most(budget.kept_most);
        let count = handlers.len();
        let (notices, incoming_notices) = mpsc::channel();
        let addresses = Addresses::of(&table);
        let pulse = Pulse::new(time::now_ms());
        let mut server = Server {
            settings_path,
            settings,
            program,
            table: Arc::new(table),
            router_program,
            boot_key,
            pid_file,
            eventfds,
            listeners,
            accept_after_ms: 0,
            handlers,
            expected: (0..count).map(|_| None).collect(),
            awaited: vec![false; count],
            escrow,
            budget,
            reserve: Reserve::take(),
            queue,
            tls: Tls::default(),
            addresses,
            queue_flag: false,
            throttle: Throttle::default(),
            control,
            metrics: None,
            pulse: Arc::new(pulse),
            rejoin,
            notify: Notify::from_environment(),
            is_ready: false,
            upgrade,
            replacement: Replacement::default(),
            phase: Phase::Serving,
            now_ms: time::now_ms(),
            notices,
            waker: Arc::new(waker),
            incoming_notices,
            signals,
            signal_stream,
            poll,
            last_tick_ms: 0,
        };
        server.begin_metrics();
        server.keep_listeners();
        server.register_all().map_err(|error| fault("poll", error))?;
        Ok(server)
    }

    fn register_all(&mut self) -> io::Result<()> {
        let registry = self.poll.registry();
        registry.register(&mut self.signal_stream, SIGNALS, Interest::READABLE)?;
        let control = self.control.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&control), CONTROL, Interest::READABLE)?;
        let rejoin = self.rejoin.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&rejoin), REJOIN, Interest::READABLE)?;
        for (number, listener) in self.listeners.iter().enumerate() {
            let descriptor = listener.descriptor().as_raw_fd();
            registry.register(&mut SourceFd(&descriptor), Token(LISTENERS + number), Interest::READABLE)?;
            event(
                Level::Info,
                "listening",
                &[("protocol", &listener.service.name()), ("address", &listener.address)],
            );
        }
        Ok(())
    }

    /// Polls the handlers that the program before this one had.
    fn watch_handlers(&mut self) {
        for handler in 0..self.handlers.len() as u32 {
            let Some(running) = &self.handlers[handler as usize] else { continue };
            let watched = self
                .watch_handler(handler, running.channel.as_fd())
                .and_then(|()| self.watch_process(handler, running.process.as_fd()));
            if let Err(error) = watched {
                event(Level::Error, "handler-not-watched", &[("handler", &handler), ("why", &error)]);
                running.process.kill();
            }
        }
        if matches!(self.upgrade, Upgrade::Replacing) {
            self.replace_all();
        }
    }

    /// Has systemd keep the listening sockets, so that nobody is refused while this program is started again; those of socket units it
    /// has anyway. What it kept for earlier settings goes.
    fn keep_listeners(&self) {
        self.notify.forget(STORED);
        for listener in self.listeners.iter().filter(|listener| !listener.is_of_unit) {
            self.notify.keep(STORED, listener.descriptor());
        }
    }

    /// Tells systemd that connections are taken, once a handler serves, and what goes on.
    pub(crate) fn tell_systemd(&mut self) {
        let serving = |handler: &u32| self.table.handler(*handler).state() == HandlerState::Serving;
        let rows = 0..self.handlers.len() as u32;
        let running = rows.filter(|row| self.handlers[*row as usize].is_some());
        let handlers: Vec<u32> = running.filter(serving).collect();
        if !self.is_ready && !handlers.is_empty() {
            self.is_ready = true;
            self.notify.ready();
        }
        if self.phase == Phase::Serving {
            let sessions: u32 = handlers.iter().map(|handler| self.table.session_count(*handler)).sum();
            self.notify.status(format!("{sessions} sessions in {} handlers", handlers.len()));
        }
    }

    /// Runs until a stop is complete.
    pub(crate) fn serve(mut self) -> Result<(), String> {
        self.watch_handlers();
        self.expect_handlers();
        self.settle_expected();
        self.start_if_none();
        if self.handlers.iter().all(Option::is_none) && !self.expects_handlers() {
            return Err("the first handler cannot be started".into());
        }
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = Duration::from_millis(self.sleep_ms());
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(format!("cannot poll: {error}"));
                }
                _ => {}
            }
            self.now_ms = time::now_ms();
            self.beat();
            for found in &events {
                self.on_event(
                    found.token(),
                    found.is_readable() || found.is_read_closed(),
                    found.is_writable(),
                );
            }
            while let Ok(notice) = self.incoming_notices.try_recv() {
                self.on_start_notice(notice);
            }
            if self.now_ms >= self.last_tick_ms + TICK_MS {
                self.tick();
            }
            if self.signals.take_stop() {
                self.begin_stop("signal");
            }
            if self.signals.take_reload() {
                // A failure is in the log.
                let _ = self.reload();
            }
            match self.phase {
                Phase::Serving => {
                    self.step_upgrade();
                    self.start_if_none();
                    self.start_tls_if_none();
                    self.settle_queue();
                    self.accept_bursts();
                    self.settle_queue();
                }
                Phase::Stopping { kill_at_ms } => {
                    if self.handlers.iter().all(Option::is_none) && !self.expects_handlers() {
                        return Ok(());
                    }
                    if self.now_ms >= kill_at_ms {
                        self.kill_remaining();
                    }
                }
            }
        }
    }

    fn on_event(&mut self, token: Token, readable: bool, writable: bool) {
        match token {
            SIGNALS => signals::drain(&mut self.signal_stream),
            WAKER => {}
            CONTROL => self.accept_control(),
            REJOIN => self.accept_rejoin(),
            Token(number) if number >= KNOCKING => self.hear_knocking(number - KNOCKING),
            TLS => self.read_tls(),
            Token(number) if number >= CONTROL_CLIENTS => self.answer_control(number - CONTROL_CLIENTS),
            Token(number) if number >= PROCESSES => self.reap_one((number - PROCESSES) as u32),
            Token(number) if number >= HANDLERS => {
                let handler = (number - HANDLERS) as u32;
                if writable {
                    self.on_writable(handler);
                }
                if readable {
                    self.read_records(handler);
                }
            }
            Token(number) => {
                if let Some(listener) = self.listeners.get_mut(number - LISTENERS) {
                    listener.ready = true;
                }
            }
        }
    }

    /// What is done twice a second: against everything that was missed, and for what nobody tells.
    fn tick(&mut self) {
        let passed_ms = self.now_ms - std::mem::replace(&mut self.last_tick_ms, self.now_ms);
        // A router that was stopped itself has seen no more than one tick of what others did meanwhile.
        self.watch_all(passed_ms.min(2 * TICK_MS));
        self.notify.feed(self.now_ms);
        self.tell_systemd();
        for running in self.handlers.iter_mut().flatten() {
            running.congested = false;
            // An error is the channel's end, which the poll reports too.
            let _ = running.flush();
        }
        self.reap();
        self.settle_expected();
        self.reap_tls();
        self.send_unsent();
        self.kill_closed();
        self.escrow.sweep(&self.table);
        let sessions =
            (0..self.handlers.len() as u32).map(|handler| self.table.session_count(handler) as usize);
        self.addresses.tidy(&self.table, sessions.sum());
    }

    /// Milliseconds until something is to be done without an event.
    fn sleep_ms(&self) -> u64 {
        let mut sleep = TICK_MS;
        match self.phase {
            Phase::Serving => {
                if self.may_accept() && self.listeners.iter().any(|listener| listener.ready) {
                    return 0;
                }
                if self.accept_after_ms > self.now_ms {
                    sleep = sleep.min(self.accept_after_ms - self.now_ms);
                }
                if let Some(expiry) = self.queue.next_expiry_ms(self.now_ms, self.prospect()) {
                    sleep = sleep.min(expiry);
                }
                if !self.throttle.may_start(self.now_ms) {
                    sleep = sleep.min(self.throttle.delay_ms(self.now_ms));
                }
            }
            Phase::Stopping { kill_at_ms } => {
                sleep = sleep.min(kill_at_ms.saturating_sub(self.now_ms).max(20))
            }
        }
        sleep.max(1)
    }

    /// Polls a handler's channel.
    pub(crate) fn watch_handler(&self, handler: u32, channel: BorrowedFd<'_>) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(HANDLERS + handler as usize);
        self.poll.registry().register(&mut SourceFd(&channel.as_raw_fd()), token, interest)
    }

    /// Polls for the end of a handler's process.
    pub(crate) fn watch_process(&self, handler: u32, process: BorrowedFd<'_>) -> io::Result<()> {
        let token = Token(PROCESSES + handler as usize);
        self.poll.registry().register(&mut SourceFd(&process.as_raw_fd()), token, Interest::READABLE)
    }

    /// Polls a handler that has not said who it is yet.
    pub(crate) fn watch_knocking(&self, number: usize, socket: BorrowedFd<'_>) -> io::Result<()> {
        let token = Token(KNOCKING + number);
        self.poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)
    }

    /// Polls the channel to the process that speaks TLS.
    pub(crate) fn watch_tls(&self, channel: BorrowedFd<'_>) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut SourceFd(&channel.as_raw_fd()), TLS, interest)
    }

    /// Polls a client of the control socket.
    pub(crate) fn watch_control_client(&self, number: usize, socket: BorrowedFd<'_>) -> io::Result<()> {
        let token = Token(CONTROL_CLIENTS + number);
        self.poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)
    }

    /// No longer polls a descriptor. Done before each close: a duplicate elsewhere would keep the events coming.
    pub(crate) fn unwatch(&self, socket: BorrowedFd<'_>) {
        let _ = self.poll.registry().deregister(&mut SourceFd(&socket.as_raw_fd()));
    }
}
