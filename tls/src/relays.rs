//! The threads that relay: each polls the connections that it was given, and gives each its turn.

use std::collections::{HashMap, VecDeque};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::ServerConfig;
use shm_abi::{Channel, Endpoint, FromTls, SendError};

use crate::relay::{Relay, State};

/// How long a handshake may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a peer to which everything was sent may take to close its end.
const LINGER: Duration = Duration::from_secs(5);
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_secs(1);
/// The buffer of a thread.
const SCRATCH_OCTETS: usize = 64 * 1024;
const WAKER: Token = Token(usize::MAX);

/// A connection that begins.
pub(crate) struct Beginning {
    /// What the router calls it.
    pub(crate) number: u64,
    /// Whose it is.
    pub(crate) peer: Endpoint,
    /// Its socket.
    pub(crate) socket: OwnedFd,
    /// By what TLS is spoken.
    pub(crate) config: Arc<ServerConfig>,
}

/// What a thread is told from outside.
pub(crate) struct Inbox {
    waiting: Mutex<Vec<Beginning>>,
    is_ending: AtomicBool,
    waker: Waker,
}

impl Inbox {
    /// Gives the thread a connection.
    pub(crate) fn give(&self, beginning: Beginning) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(beginning);
        self.wake();
    }

    /// No more come: the thread ends with its last connection.
    pub(crate) fn end(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            logging::error!("cannot-wake", why = error);
        }
    }
}

/// How far a connection is, for its deadline.
enum Phase {
    /// The router waits to hear how the handshake goes.
    Handshake { number: u64, until: Instant },
    /// It relays.
    Open,
    /// Both ends are over but for the peer's closing.
    Lingers { until: Instant },
}

struct Entry {
    relay: Relay,
    peer: Endpoint,
    phase: Phase,
    is_queued: bool,
}

/// A thread's own.
pub(crate) struct Relays {
    poll: Poll,
    inbox: Arc<Inbox>,
    router: Arc<Channel>,
    entries: HashMap<usize, Entry>,
    next: usize,
    queued: VecDeque<usize>,
}

impl Relays {
    /// For a new thread, and what it is to be told through.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn new(router: Arc<Channel>) -> std::io::Result<(Relays, Arc<Inbox>)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let inbox = Arc::new(Inbox { waiting: Mutex::default(), is_ending: AtomicBool::new(false), waker });
        let relays = Relays {
            poll,
            inbox: Arc::clone(&inbox),
            router,
            entries: HashMap::new(),
            next: 0,
            queued: VecDeque::new(),
        };
        Ok((relays, inbox))
    }

    /// Relays until no more connections come and the last one is over.
    ///
    /// # Errors
    /// The operating system's: there is no polling any more.
    pub(crate) fn run(mut self) -> std::io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; SCRATCH_OCTETS];
        let mut looked = Instant::now();
        loop {
            let wait = if self.queued.is_empty() { TICK } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                let readable = event.is_readable() || event.is_read_closed() || event.is_error();
                let writable = event.is_writable() || event.is_write_closed() || event.is_error();
                self.note(event.token(), readable, writable);
            }
            self.take_in();
            for _ in 0..self.queued.len() {
                if let Some(id) = self.queued.pop_front() {
                    self.turn(id, &mut scratch);
                }
            }
            if looked.elapsed() >= TICK {
                looked = Instant::now();
                self.end_overdue(looked);
            }
            if self.entries.is_empty() && self.inbox.is_ending.load(Ordering::SeqCst) {
                return Ok(());
            }
        }
    }

    fn note(&mut self, token: Token, readable: bool, writable: bool) {
        if token == WAKER {
            return;
        }
        let id = token.0 / 2;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match token.0 % 2 {
            0 => entry.relay.on_network(readable, writable),
            _ => entry.relay.on_local(readable, writable),
        }
        if !std::mem::replace(&mut entry.is_queued, true) {
            self.queued.push_back(id);
        }
    }

    fn take_in(&mut self) {
        let waiting = std::mem::take(&mut *self.inbox.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for beginning in waiting {
            let Beginning { number, peer, socket, config } = beginning;
            if let Err(why) = self.begin(number, peer, socket, config) {
                self.tell(&FromTls::Failed { number, why }, None);
            }
        }
    }

    fn begin(
        &mut self,
        number: u64,
        peer: Endpoint,
        socket: OwnedFd,
        config: Arc<ServerConfig>,
    ) -> Result<(), String> {
        let socket = TcpStream::from(socket);
        socket.set_nonblocking(true).map_err(|error| error.to_string())?;
        let mut relay =
            Relay::new(config, mio::net::TcpStream::from_std(socket)).map_err(|error| error.to_string())?;
        let id = self.next;
        self.next += 1;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(relay.network(), Token(id * 2), both)
            .map_err(|error| error.to_string())?;
        let phase = Phase::Handshake { number, until: Instant::now() + HANDSHAKE_PATIENCE };
        self.entries.insert(id, Entry { relay, peer, phase, is_queued: true });
        self.queued.push_back(id);
        Ok(())
    }

    fn turn(&mut self, id: usize, scratch: &mut [u8]) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.is_queued = false;
        match entry.relay.run(scratch) {
            State::Waits => {
                if entry.relay.is_lingering() && !matches!(entry.phase, Phase::Lingers { .. }) {
                    entry.phase = Phase::Lingers { until: Instant::now() + LINGER };
                }
            }
            State::Again => {
                entry.is_queued = true;
                self.queued.push_back(id);
            }
            State::Secured(facts) => {
                let opened = entry.relay.open().and_then(|theirs| {
                    let both = Interest::READABLE | Interest::WRITABLE;
                    match entry.relay.local() {
                        Some(local) => self.poll.registry().register(local, Token(id * 2 + 1), both)?,
                        None => return Err(std::io::ErrorKind::NotConnected.into()),
                    }
                    Ok(theirs)
                });
                match opened {
                    Ok(theirs) => {
                        if let Phase::Handshake { number, .. } =
                            std::mem::replace(&mut entry.phase, Phase::Open)
                        {
                            // What the peer sent right behind the handshake is there already.
                            entry.is_queued = true;
                            self.queued.push_back(id);
                            self.tell(&FromTls::Secured { number, facts }, Some(theirs));
                        }
                    }
                    Err(error) => self.end(id, Some(format!("no local sockets: {error}"))),
                }
            }
            State::Over => self.end(id, None),
            State::Failed(why) => self.end(id, Some(why)),
        }
    }

    /// Ends those who take too long.
    fn end_overdue(&mut self, now: Instant) {
        let overdue = |entry: &Entry| match entry.phase {
            Phase::Handshake { until, .. } | Phase::Lingers { until } => now >= until,
            Phase::Open => false,
        };
        let ids: Vec<usize> =
            self.entries.iter().filter(|(_, entry)| overdue(entry)).map(|(id, _)| *id).collect();
        for id in ids {
            self.end(id, Some("the handshake took too long".to_owned()));
        }
    }

    fn end(&mut self, id: usize, why: Option<String>) {
        let Some(mut entry) = self.entries.remove(&id) else { return };
        // Closed sockets leave the poll by themselves, unless a copy of the descriptor lives elsewhere, as the router's does for a while.
        let _ = self.poll.registry().deregister(entry.relay.network());
        if let Some(local) = entry.relay.local() {
            let _ = self.poll.registry().deregister(local);
        }
        entry.relay.close();
        match entry.phase {
            Phase::Handshake { number, .. } => {
                let why = why.unwrap_or_else(|| "the connection broke".to_owned());
                self.tell(&FromTls::Failed { number, why }, None);
            }
            Phase::Open => {
                if let Some(why) = why {
                    logging::info!("tls-broken", peer = entry.peer, why = why);
                }
            }
            Phase::Lingers { .. } => {}
        }
    }

    fn tell(&self, record: &FromTls, descriptor: Option<OwnedFd>) {
        tell(&self.router, record, descriptor);
    }
}

/// Tells the router something. Waits while the channel is full; a router that is gone is told nothing.
pub(crate) fn tell(router: &Channel, record: &FromTls, descriptor: Option<OwnedFd>) {
    let descriptors: Vec<_> = descriptor.iter().map(AsFd::as_fd).collect();
    loop {
        match router.send(record, &descriptors) {
            Ok(()) | Err(SendError::Closed) => return,
            Err(SendError::WouldBlock) => {
                let mut writable = [PollFd::new(router.as_fd(), PollFlags::POLLOUT)];
                // Interrupted or not, the next attempt tells.
                let _ = poll(&mut writable, PollTimeout::from(1000u16));
            }
            Err(error) => {
                logging::error!("send-to-router", why = error);
                return;
            }
        }
    }
}
