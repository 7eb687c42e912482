//! What the handler does when its router is gone: its sessions go on, and it looks for the next router, for a while.
//!
//! ```text
//! joined ── channel closed ──► alone ── connected ──► knocked ── welcome ──► joined, handing over duplicates of sockets
//!                                ▲  └── limits.orphan_seconds ──► the end       │
//!                                └──────────── closed ◄──────────┘
//! ```
//!
//! The next router listens at [`rejoin_path`]. It keeps a duplicate of each session's socket, as for sessions that it gave itself.
//! Sessions that a worker runs are sent when they are parked; those that came from the new router are known to it. All of this is
//! the poll thread's.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use shm_abi::{Channel, Endpoint, FromHandler, Held, SendError, rejoin_path};

use crate::log;
use crate::session::{Session, Socket};
use crate::shared::Shared;
use crate::slots::{Lent, SlotNumber};

/// How often the next router is looked for, in milliseconds.
const RETRY_MS: u64 = 100;
/// How long a connection to it may take. Its listener answers at once, or not at all.
const PATIENCE: Duration = Duration::from_millis(200);
/// How often sessions that were being run are looked at again, in milliseconds.
const HAND_OVER_MS: u64 = 5;
/// Sockets in one record.
const BATCH: usize = 64;

#[derive(Debug, PartialEq, Eq)]
enum Bond {
    /// There is a router.
    Joined,
    /// There is none.
    Alone { since_ms: u64, next_try_ms: u64 },
    /// There may be one: it has not answered yet.
    Knocked { since_ms: u64 },
}

/// How the handler stands with its router.
#[derive(Debug)]
pub(crate) struct Orphan {
    path: PathBuf,
    bond: Bond,
    /// Sessions whose sockets the router does not have yet.
    unknown: Vec<SlotNumber>,
}

impl Orphan {
    /// A handler that has a router.
    pub(crate) fn new(shared: &Shared) -> Orphan {
        Orphan { path: rejoin_path(&shared.settings().runtime.dir), bond: Bond::Joined, unknown: Vec::new() }
    }

    /// The channel was closed at the other end.
    pub(crate) fn lost(&mut self, shared: &Shared, registry: &Registry) {
        shared.router.close();
        unwatch(registry, shared.router.descriptor().as_fd());
        let now_ms = shared.now_ms();
        let (since_ms, next_try_ms) = match self.bond {
            Bond::Joined => {
                let settings = shared.settings();
                log::error!(
                    "the router is gone",
                    sessions = shared.slots.used(),
                    waits_seconds = settings.limits.orphan_seconds,
                );
                // The next one may be there already.
                (now_ms, now_ms)
            }
            Bond::Alone { since_ms, .. } | Bond::Knocked { since_ms } => (since_ms, now_ms + RETRY_MS),
        };
        self.unknown.clear();
        self.bond = Bond::Alone { since_ms, next_try_ms };
    }

    /// The next router has taken the handler in.
    pub(crate) fn welcomed(&mut self, shared: &Shared, wants_eventfds: bool) {
        let Bond::Knocked { since_ms } = self.bond else {
            return log::error!("a welcome that nobody asked for");
        };
        self.bond = Bond::Joined;
        self.unknown = shared.slots.used_slots();
        let alone_ms = shared.now_ms() - since_ms;
        log::info!("joined another router", sessions = self.unknown.len(), alone_ms = alone_ms);
        if wants_eventfds {
            let eventfds: Vec<BorrowedFd<'_>> = shared.eventfds.iter().map(AsFd::as_fd).collect();
            if let Err(error) = shared.router.try_send(&FromHandler::Eventfds, &eventfds) {
                log::error!("send eventfds to router", why = error);
            }
        }
        if self.unknown.is_empty() {
            self.complete(shared);
        }
    }

    /// Does what is due; true once there is no hope of another router.
    pub(crate) fn step(&mut self, shared: &Shared, registry: &Registry, channel: Token) -> bool {
        let now_ms = shared.now_ms();
        if let Bond::Alone { since_ms, .. } | Bond::Knocked { since_ms } = self.bond {
            let limit_ms = u64::from(shared.settings().limits.orphan_seconds) * 1000;
            if now_ms - since_ms >= limit_ms {
                log::error!("no other router came", alone_ms = now_ms - since_ms);
                return true;
            }
        }
        match self.bond {
            Bond::Alone { since_ms, next_try_ms } if now_ms >= next_try_ms => {
                self.bond = match self.knock(shared, registry, channel) {
                    true => Bond::Knocked { since_ms },
                    false => Bond::Alone { since_ms, next_try_ms: now_ms + RETRY_MS },
                };
            }
            Bond::Joined if !self.unknown.is_empty() => self.hand_over(shared),
            _ => {}
        }
        false
    }

    /// Milliseconds until [`Orphan::step`] has something to do; `None` for never.
    pub(crate) fn due_ms(&self, now_ms: u64) -> Option<u64> {
        match self.bond {
            Bond::Joined => (!self.unknown.is_empty()).then_some(HAND_OVER_MS),
            Bond::Alone { next_try_ms, .. } => Some(next_try_ms.saturating_sub(now_ms)),
            Bond::Knocked { .. } => Some(RETRY_MS),
        }
    }

    /// Connects to the next router, if there is one.
    fn knock(&self, shared: &Shared, registry: &Registry, token: Token) -> bool {
        let Ok(channel) = Channel::connect(&self.path, PATIENCE) else { return false };
        let generation = shared.table.handler(shared.handler).generation();
        let sessions = shared.slots.used() as u32;
        let record = FromHandler::Rejoin { handler: shared.handler, generation, sessions };
        if channel.send(&record, &[]).is_err() {
            return false;
        }
        let joined = shared.router.replace(channel).and_then(|()| {
            let descriptor = shared.router.descriptor().as_raw_fd();
            registry.register(&mut SourceFd(&descriptor), token, Interest::READABLE)
        });
        if let Err(error) = &joined {
            log::error!("join the next router", why = error);
        }
        joined.is_ok()
    }

    /// Sends duplicates of the sockets of sessions that the router does not know.
    fn hand_over(&mut self, shared: &Shared) {
        let mut busy = Vec::new();
        while !self.unknown.is_empty() {
            let from = self.unknown.len().saturating_sub(BATCH);
            let batch = self.unknown.split_off(from);
            let (mut sessions, mut sockets) = (Vec::new(), Vec::new());
            for &slot in &batch {
                match shared.slots.look(slot, |session| held(slot, session)) {
                    Lent::Free => {}
                    Lent::Busy | Lent::Seen(Err(_)) => busy.push(slot),
                    Lent::Seen(Ok((session, socket))) => {
                        sessions.push(session);
                        sockets.push(socket);
                    }
                }
            }
            if sessions.is_empty() {
                continue;
            }
            let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
            match shared.router.try_send(&FromHandler::Sockets { sessions }, &descriptors) {
                Ok(()) => {}
                Err(error) => {
                    if !matches!(error, SendError::WouldBlock | SendError::Closed) {
                        log::warning!("send sockets to router", why = error);
                    }
                    // Later, when it has read some.
                    busy.extend(batch);
                    busy.append(&mut self.unknown);
                    break;
                }
            }
        }
        // A batch that found no room may name one that was busy twice.
        busy.sort_unstable();
        busy.dedup();
        self.unknown = busy;
        if self.unknown.is_empty() {
            self.complete(shared);
        }
    }

    /// The router has all sockets: sessions may go elsewhere again, and it hears of room.
    fn complete(&self, shared: &Shared) {
        shared.released.give_again(shared);
        shared.router.open();
        log::info!("the router has all sockets");
        if shared.is_draining() {
            shared.drain();
        }
        shared.router.send(&FromHandler::Room);
    }
}

/// What the router is to know of a session, and a duplicate of its socket.
pub(crate) fn held(slot: SlotNumber, session: &Session) -> std::io::Result<(Held, OwnedFd)> {
    let local = match &session.socket {
        Socket::Tcp(stream) => Endpoint::Inet(stream.local_addr()?),
        Socket::Unix(_) => {
            Endpoint::Unix { pid: std::process::id(), uid: nix::unistd::Uid::effective().as_raw() }
        }
    };
    let socket = session.socket.as_fd().try_clone_to_owned()?;
    Ok((Held { cell: slot, generation: session.generation, local, tls: None }, socket))
}

fn unwatch(registry: &Registry, channel: BorrowedFd<'_>) {
    // It may not be watched: then there is nothing to do.
    let _ = registry.deregister(&mut SourceFd(&channel.as_raw_fd()));
}
