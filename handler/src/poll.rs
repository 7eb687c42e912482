//! The poll thread: the one that waits for the network, for the router, and for other handlers' changes. It runs no session;
//! it only queues those that became ready.

use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use nix::errno::Errno;
use shm_abi::{Counter, Gauge, Heartbeat, Tally};

use crate::log;
use crate::mend;
use crate::orphan::Orphan;
use crate::router::Wish;
use crate::session::Socket;
use crate::shared::Shared;
use crate::slots::{Causes, SlotNumber};

/// Tokens above every slot's.
const ROUTER: Token = Token(usize::MAX - 1);
const CHANGES: Token = Token(usize::MAX - 2);

/// Events taken at a time.
const EVENTS: usize = 256;
/// How often deadlines are looked at, and the heartbeat is written, in milliseconds. The router takes a handler whose heart stops for
/// some seconds for hung.
const TICK_MS: u64 = 500;
/// How often a handler that drains looks whether it is done, in milliseconds.
const DRAINING_MS: u64 = 20;

/// Registers sockets with the poll thread, from any thread.
pub(crate) struct Registrar {
    registry: Registry,
}

impl Registrar {
    /// For `poll`.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn new(poll: &Poll) -> std::io::Result<Registrar> {
        Ok(Registrar { registry: poll.registry().try_clone()? })
    }

    /// Has the poll thread wake `slot` when `socket` can be read or written.
    ///
    /// # Errors
    /// The operating system's, such as the limit on watches.
    pub(crate) fn watch(&self, socket: &Socket, slot: SlotNumber) -> std::io::Result<()> {
        let descriptor = socket.as_fd().as_raw_fd();
        self.registry.register(
            &mut SourceFd(&descriptor),
            Token(slot as usize),
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    /// No longer. It must precede the closing of the socket: another process may have a copy of it.
    pub(crate) fn forget(&self, socket: &Socket) {
        self.forget_descriptor(socket.as_fd().as_raw_fd());
    }

    /// As [`Registrar::forget`], for a socket whose owner is lost.
    pub(crate) fn forget_descriptor(&self, descriptor: RawFd) {
        match self.registry.deregister(&mut SourceFd(&descriptor)) {
            // One that was given away for its handshake is not watched.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                log::error!("forget socket", why = error)
            }
            _ => {}
        }
    }
}

/// Waits and wakes until the router says that the handler is to end; says how long that may take.
///
/// # Errors
/// The operating system's; without polling the handler cannot serve.
pub(crate) fn run(poll: &mut Poll, shared: &Arc<Shared>) -> std::io::Result<Duration> {
    let own_eventfd = shared.eventfds[shared.handler as usize].as_raw_fd();
    let registry = &poll.registry().try_clone()?;
    registry.register(&mut SourceFd(&shared.router.descriptor().as_raw_fd()), ROUTER, Interest::READABLE)?;
    registry.register(&mut SourceFd(&own_eventfd), CHANGES, Interest::READABLE)?;
    let mut events = Events::with_capacity(EVENTS);
    let mut next_tick_ms = 0;
    let mut commits_told = 0;
    // The router may have spoken before the channel was watched.
    let mut wish = shared.router.receive(shared);
    let mut orphan = Orphan::new(shared);
    loop {
        match wish {
            Wish::None => {}
            Wish::End(grace) => return Ok(grace),
            Wish::Orphaned => orphan.lost(shared, registry),
            Wish::Welcomed { wants_eventfds } => {
                orphan.welcomed(shared, wants_eventfds);
                wish = shared.router.receive(shared);
                continue;
            }
        }
        if orphan.step(shared, registry, ROUTER) {
            return Ok(Duration::from_secs(shared.settings().limits.grace_seconds.into()));
        }
        if shared.is_draining()
            && shared.router.is_open()
            && shared.slots.used() == 0
            && shared.released.settle(shared)
        {
            log::info!("drained");
            return Ok(Duration::ZERO);
        }
        let now_ms = shared.now_ms();
        if now_ms >= next_tick_ms {
            next_tick_ms = now_ms + TICK_MS;
            tick(shared, now_ms, &mut commits_told);
        }
        let due_ms = orphan.due_ms(now_ms).unwrap_or(u64::MAX).min(next_tick_ms - now_ms);
        // The router says nothing when it has what it was given.
        let due_ms = if shared.is_draining() { due_ms.min(DRAINING_MS) } else { due_ms };
        match poll.poll(&mut events, Some(Duration::from_millis(due_ms))) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                wish = Wish::None;
                continue;
            }
            result => result?,
        }
        wish = dispatch(shared, &events);
    }
}

/// Goes on waking sessions, but takes no orders any more, until `done` says so. For the time of saying goodbye.
pub(crate) fn linger(
    poll: &mut Poll,
    shared: &Arc<Shared>,
    mut done: impl FnMut() -> bool,
) -> std::io::Result<()> {
    let mut events = Events::with_capacity(EVENTS);
    while !done() {
        match poll.poll(&mut events, Some(Duration::from_millis(20))) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        dispatch(shared, &events);
        shared.table.handler(shared.handler).beat(Heartbeat::Poll, shared.unix_ms());
    }
    Ok(())
}

fn dispatch(shared: &Arc<Shared>, events: &Events) -> Wish {
    let mut wish = Wish::None;
    for event in events {
        match event.token() {
            ROUTER => wish = shared.router.receive(shared),
            CHANGES => {
                empty_eventfd(shared);
                shared.changes.deliver(shared);
                mend::look(shared);
            }
            Token(slot) => {
                let mut causes = Causes::default();
                if event.is_readable() {
                    causes = causes | Causes::INPUT;
                }
                if event.is_read_closed() || event.is_error() {
                    causes = causes | Causes::INPUT | Causes::HANG_UP;
                }
                if event.is_writable() || event.is_write_closed() || event.is_error() {
                    causes = causes | Causes::OUTPUT;
                }
                shared.slots.wake(slot as SlotNumber, causes, &shared.run_queue);
            }
        }
    }
    wish
}

fn empty_eventfd(shared: &Shared) {
    let mut count = [0; 8];
    match nix::unistd::read(&shared.eventfds[shared.handler as usize], &mut count) {
        Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
        Err(error) => log::error!("read eventfd", why = error),
    }
}

fn tick(shared: &Arc<Shared>, now_ms: u64, commits_told: &mut u64) {
    let row = shared.table.handler(shared.handler);
    row.beat(Heartbeat::Poll, shared.unix_ms());
    let commits = shared.store.counters().commits.get();
    row.count(Counter::Commits, commits.saturating_sub(std::mem::replace(commits_told, commits)));
    let (ready, most_ready) = shared.run_queue.lengths();
    let metrics = shared.metrics();
    metrics.set(Gauge::RunQueue, ready as u64);
    metrics.set(Gauge::RunQueueMost, most_ready as u64);
    metrics.add(Tally::LogLinesDropped, logging::take_dropped());
    shared.slots.wake_overdue(now_ms, &shared.run_queue);
    shared.released.settle(shared);
    mend::look(shared);
    mend::start_missing(shared);
    shared.crashes.look(shared);
    shared.memory.look(shared);
    // A tool that was killed between marking news and writing the eventfd has left the mark.
    shared.changes.deliver(shared);
}
