//! The endpoint's thread: takes connections, reads a request from each, answers, and cuts off who is slow.
//!
//! Bounded in everything: connections at a time, octets of a request, time of a connection from its first octet to its last. None of it
//! concerns the router's loop, and a client that does not read holds up nobody else.

use super::exposition::CONTENT_TYPE;
use super::families;
use super::health::{self, Verdict};
use super::http::{self, REQUEST_OCTETS_MAX, Read as Understood, Request, Status};
use super::pulse::Pulse;
use crate::time;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use shm_abi::{Table, Tally};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Connections at a time; more wait in the kernel's queue.
const CLIENTS_MAX: usize = 16;
/// How long a connection may last.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is read of a client that was answered and still sends.
const REST_OCTETS_MAX: usize = 64 * 1024;

const LISTENER: Token = Token(usize::MAX - 1);
const WAKER: Token = Token(usize::MAX - 2);

/// The endpoint. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct Endpoint {
    wanted: SocketAddr,
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Serves at `address` in a thread of its own.
    pub(crate) fn start(address: SocketAddr, table: Arc<Table>, pulse: Arc<Pulse>) -> io::Result<Endpoint> {
        let mut listener = TcpListener::bind(address)?;
        let bound = listener.local_addr()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let stop = Arc::new(AtomicBool::new(false));
        let service = Service {
            table,
            pulse,
            stop: stop.clone(),
            poll,
            listener,
            may_accept: true,
            clients: HashMap::new(),
            next: 0,
        };
        let thread = thread::Builder::new()
            .name("metrics".to_string())
            .stack_size(256 * 1024)
            .spawn(move || service.run())?;
        Ok(Endpoint { wanted: address, address: bound, stop, waker, thread: Some(thread) })
    }

    /// The address that was asked for.
    pub(crate) fn wanted(&self) -> SocketAddr {
        self.wanted
    }

    /// The address that it has; another where port 0 was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if self.waker.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            // A panic in it is in the log, and ends only the figures.
            let _ = thread.join();
        }
    }
}

/// How far a client is.
enum Stage {
    /// Its request is being read.
    Reading(Vec<u8>),
    /// It is being answered: the answer, and how much of it was sent.
    Answering(Vec<u8>, usize),
    /// It was answered. What it still sends is read, so that the answer is not lost by a reset.
    Ending(usize),
}

struct Client {
    socket: TcpStream,
    stage: Stage,
    deadline: Instant,
}

/// What becomes of a client.
#[derive(PartialEq, Eq)]
enum Then {
    Stays,
    Goes,
}

struct Service {
    table: Arc<Table>,
    pulse: Arc<Pulse>,
    stop: Arc<AtomicBool>,
    poll: Poll,
    listener: TcpListener,
    /// Connections may wait to be accepted.
    may_accept: bool,
    clients: HashMap<usize, Client>,
    next: usize,
}

impl Service {
    fn run(mut self) {
        let mut events = Events::with_capacity(CLIENTS_MAX * 2);
        while !self.stop.load(Ordering::SeqCst) {
            // What fails here, fails again or not at all; a second is short enough for both.
            let timeout = if self.clients.is_empty() { PATIENCE } else { Duration::from_millis(250) };
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != ErrorKind::Interrupted
            {
                thread::sleep(Duration::from_secs(1));
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.may_accept = true,
                    WAKER => {}
                    Token(number) => self.serve(number),
                }
            }
            self.cut_off_the_slow();
            self.accept();
        }
    }

    fn accept(&mut self) {
        while self.may_accept && self.clients.len() < CLIENTS_MAX {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.may_accept = false;
                    return;
                }
                // Descriptors ran out, or the client is gone: later is early enough.
                Err(_) => return,
            };
            let number = self.next;
            self.next = (self.next + 1) % (usize::MAX / 2);
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut socket, Token(number), interest).is_err() {
                continue;
            }
            let client =
                Client { socket, stage: Stage::Reading(Vec::new()), deadline: Instant::now() + PATIENCE };
            self.clients.insert(number, client);
            self.serve(number);
        }
    }

    fn serve(&mut self, number: usize) {
        let Some(mut client) = self.clients.remove(&number) else { return };
        match self.go_on(&mut client) {
            Ok(Then::Stays) => drop(self.clients.insert(number, client)),
            // Closing ends the watch, too: nobody else has the descriptor.
            Ok(Then::Goes) | Err(_) => {}
        }
    }

    fn go_on(&self, client: &mut Client) -> io::Result<Then> {
        loop {
            match &mut client.stage {
                Stage::Reading(octets) => {
                    let mut buffer = [0; 1024];
                    let count = match client.socket.read(&mut buffer) {
                        Ok(0) => return Ok(Then::Goes),
                        Ok(count) => count.min(REQUEST_OCTETS_MAX - octets.len()),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Then::Stays),
                        Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                        Err(error) => return Err(error),
                    };
                    octets.extend_from_slice(&buffer[..count]);
                    let answer = match http::read(octets) {
                        Understood::Partial => continue,
                        Understood::Request(request) => self.answer(&request),
                        Understood::Refused(status) => self.refuse(status),
                    };
                    client.stage = Stage::Answering(answer, 0);
                }
                Stage::Answering(answer, sent) => {
                    match client.socket.write(&answer[*sent..]) {
                        Ok(count) => *sent += count,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Then::Stays),
                        Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                        Err(error) => return Err(error),
                    }
                    if *sent == answer.len() {
                        client.socket.shutdown(Shutdown::Write)?;
                        client.stage = Stage::Ending(0);
                    }
                }
                Stage::Ending(read) => {
                    let mut buffer = [0; 4096];
                    match client.socket.read(&mut buffer) {
                        Ok(0) => return Ok(Then::Goes),
                        Ok(count) => *read += count,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Then::Stays),
                        Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                        Err(error) => return Err(error),
                    }
                    if *read > REST_OCTETS_MAX {
                        return Ok(Then::Goes);
                    }
                }
            }
        }
    }

    fn answer(&self, request: &Request) -> Vec<u8> {
        let (felt, now_ms, wall_ms) = (self.pulse.felt(), time::now_ms(), time::wall_ms());
        let said = match request.path.as_str() {
            "/metrics" => {
                self.table.router_metrics().count(Tally::MetricsServed);
                let text = families::text(&self.table, felt, wall_ms);
                return http::answer(Status::Ok, CONTENT_TYPE, &text, request.is_head);
            }
            "/healthz" => health::alive(felt, now_ms),
            "/readyz" => health::ready(felt, now_ms, &self.table.handlers(), wall_ms),
            _ => return self.refuse(Status::NotFound),
        };
        tell(said, request.is_head)
    }

    fn refuse(&self, status: Status) -> Vec<u8> {
        self.table.router_metrics().count(Tally::MetricsRefused);
        let body = "There are /metrics, /healthz and /readyz, for GET and HEAD.\n";
        http::answer(status, "text/plain; charset=utf-8", body, false)
    }

    fn cut_off_the_slow(&mut self) {
        let now = Instant::now();
        let before = self.clients.len();
        // One that was answered in full has lost nothing.
        let slow = self
            .clients
            .values()
            .filter(|client| client.deadline <= now && !matches!(client.stage, Stage::Ending(_)))
            .count();
        self.clients.retain(|_, client| client.deadline > now);
        if self.clients.len() < before {
            self.table.router_metrics().add(Tally::MetricsRefused, slow as u64);
        }
    }
}

fn tell(said: Verdict, is_head: bool) -> Vec<u8> {
    let (status, text) = match said {
        Ok(text) => (Status::Ok, text),
        Err(text) => (Status::Unavailable, text),
    };
    http::answer(status, "text/plain; charset=utf-8", &format!("{text}\n"), is_head)
}
