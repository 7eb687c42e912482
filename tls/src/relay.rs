//! One connection: TLS over a TCP socket on one side, the same octets in the clear over a local socket on the other.
//!
//! Neither side is read while what came from it before has not gone out on the other, so that a connection holds a bounded number of octets
//! whoever is slow. The end of one direction is passed on, and the other goes on; when both are over, what was written is left to arrive.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use mio::net::{TcpStream, UnixStream};
use rustls::{ServerConfig, ServerConnection};
use shm_abi::TlsFacts;

/// Octets in the clear that rustls may hold for the network, and records that it may hold for us.
const BUFFERED_OCTETS_MAX: usize = 64 * 1024;
/// Rounds that a connection may have before others have theirs.
const ROUNDS_MAX: usize = 32;

/// How a connection stands after it was given its turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits for either side.
    Waits,
    /// It has more to do at once.
    Again,
    /// The handshake is done, and there is no other side yet: [`Relay::open`].
    Secured(TlsFacts),
    /// It is over.
    Over,
    /// The handshake failed, or what came is no TLS.
    Failed(String),
}

/// What a side's descriptor has to offer, as far as is known.
#[derive(Debug)]
struct Readiness {
    readable: bool,
    writable: bool,
}

impl Readiness {
    /// Nothing is known: then trying tells.
    const UNKNOWN: Readiness = Readiness { readable: true, writable: true };
}

/// A connection.
pub(crate) struct Relay {
    tls: ServerConnection,
    network: TcpStream,
    network_is: Readiness,
    /// The side in the clear, once the handshake is done.
    local: Option<UnixStream>,
    local_is: Readiness,
    /// Deciphered, and not yet taken by the local side; from this offset on.
    to_local: Vec<u8>,
    to_local_from: usize,
    /// The network sends no more.
    network_ended: bool,
    /// The local side was told so.
    local_told: bool,
    /// The local side sends no more, and the network was told so.
    local_ended: bool,
    /// The end of what we write was put on the network.
    network_shut: bool,
}

impl Relay {
    /// A connection whose peer is to begin.
    ///
    /// # Errors
    /// The settings of TLS cannot be used.
    pub(crate) fn new(config: Arc<ServerConfig>, network: TcpStream) -> Result<Relay, rustls::Error> {
        let mut tls = ServerConnection::new(config)?;
        tls.set_buffer_limit(Some(BUFFERED_OCTETS_MAX));
        Ok(Relay {
            tls,
            network,
            network_is: Readiness::UNKNOWN,
            local: None,
            local_is: Readiness::UNKNOWN,
            to_local: Vec::new(),
            to_local_from: 0,
            network_ended: false,
            local_told: false,
            local_ended: false,
            network_shut: false,
        })
    }

    /// The socket of the network, to watch it.
    pub(crate) fn network(&mut self) -> &mut TcpStream {
        &mut self.network
    }

    /// The local side, to watch it.
    pub(crate) fn local(&mut self) -> Option<&mut UnixStream> {
        self.local.as_mut()
    }

    /// Whether everything was said on our part, and only the peer's end is awaited.
    pub(crate) fn is_lingering(&self) -> bool {
        self.network_shut
    }

    /// Ends both sides for good, whoever else has their descriptors.
    pub(crate) fn close(&self) {
        // They may be gone already, which is as well.
        let _ = self.network.shutdown(Shutdown::Both);
        if let Some(local) = &self.local {
            let _ = local.shutdown(Shutdown::Both);
        }
    }

    /// Makes the local side. The other end of it is for a handler.
    ///
    /// # Errors
    /// The operating system's: no descriptors left.
    pub(crate) fn open(&mut self) -> std::io::Result<OwnedFd> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        self.local = Some(UnixStream::from_std(ours));
        Ok(theirs.into())
    }

    /// Notes what the poll said of the network's socket.
    pub(crate) fn on_network(&mut self, readable: bool, writable: bool) {
        self.network_is.readable |= readable;
        self.network_is.writable |= writable;
    }

    /// Notes what the poll said of the local side.
    pub(crate) fn on_local(&mut self, readable: bool, writable: bool) {
        self.local_is.readable |= readable;
        self.local_is.writable |= writable;
    }

    /// Moves octets until neither side gives or takes more. `scratch` is the thread's buffer.
    pub(crate) fn run(&mut self, scratch: &mut [u8]) -> State {
        for _ in 0..ROUNDS_MAX {
            match self.round(scratch) {
                Ok(true) => {}
                Ok(false) => return self.rest(),
                // The peer is gone, which ends both directions; or its octets make no sense.
                Err(Fault::Gone) => return State::Over,
                Err(Fault::Tls(error)) => {
                    // Perhaps an alert that says what was wrong.
                    let _ = self.tls.write_tls(&mut self.network);
                    let _ = self.network.shutdown(Shutdown::Both);
                    return State::Failed(error.to_string());
                }
            }
        }
        State::Again
    }

    /// One attempt at each way; whether anything moved.
    fn round(&mut self, scratch: &mut [u8]) -> Result<bool, Fault> {
        let mut moved = self.send_to_network()?;
        moved |= self.take_from_network()?;
        if self.local.is_some() {
            moved |= self.send_to_local(scratch)?;
            moved |= self.take_from_local(scratch)?;
        }
        Ok(moved)
    }

    fn rest(&mut self) -> State {
        if self.local.is_none() {
            return match (
                self.tls.is_handshaking(),
                self.tls.protocol_version(),
                self.tls.negotiated_cipher_suite(),
            ) {
                (false, Some(version), Some(suite)) => {
                    State::Secured(TlsFacts { version: version.into(), cipher_suite: suite.suite().into() })
                }
                _ if self.network_ended => {
                    State::Failed("the peer left before the handshake was done".to_owned())
                }
                _ => State::Waits,
            };
        }
        if self.local_ended && !self.tls.wants_write() && !self.network_shut {
            self.network_shut = true;
            // Only the sending half: closing over unread octets resets the connection, and the reset may overtake what was sent.
            let _ = self.network.shutdown(Shutdown::Write);
        }
        if self.network_shut && self.network_ended { State::Over } else { State::Waits }
    }

    fn send_to_network(&mut self) -> Result<bool, Fault> {
        let mut moved = false;
        while self.tls.wants_write() && self.network_is.writable {
            match self.tls.write_tls(&mut self.network) {
                Ok(0) => return Err(Fault::Gone),
                Ok(_) => moved = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.network_is.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Fault::Gone),
            }
        }
        Ok(moved)
    }

    /// Reads from the network while the local side keeps up.
    fn take_from_network(&mut self) -> Result<bool, Fault> {
        if !self.network_is.readable || self.network_ended || self.to_local.len() > self.to_local_from {
            return Ok(false);
        }
        match self.tls.read_tls(&mut self.network) {
            Ok(0) => {
                self.network_ended = true;
                self.network_is.readable = false;
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.network_is.readable = false;
                return Ok(false);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            // What was deciphered and not taken yet fills the buffer.
            Err(error) if error.kind() == ErrorKind::Other => return Ok(false),
            Err(_) => return Err(Fault::Gone),
        }
        let state = self.tls.process_new_packets().map_err(Fault::Tls)?;
        self.network_ended |= state.peer_has_closed();
        Ok(true)
    }

    /// Hands on what was deciphered.
    fn send_to_local(&mut self, scratch: &mut [u8]) -> Result<bool, Fault> {
        let Some(local) = &mut self.local else { return Ok(false) };
        let mut moved = false;
        loop {
            if self.to_local_from < self.to_local.len() {
                if !self.local_is.writable {
                    return Ok(moved);
                }
                match local.write(&self.to_local[self.to_local_from..]) {
                    Ok(count) => {
                        self.to_local_from += count;
                        moved = true;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.local_is.writable = false,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // The session is over; what the peer still says is for nobody.
                    Err(_) => self.to_local_from = self.to_local.len(),
                }
                continue;
            }
            if !self.to_local.is_empty() {
                self.to_local = Vec::new();
                self.to_local_from = 0;
            }
            match self.tls.reader().read(scratch) {
                // An end without a goodbye is one as well: the protocols say for themselves what is whole.
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    let written =
                        if self.local_is.writable { local.write(&scratch[..count]).unwrap_or(0) } else { 0 };
                    moved = true;
                    if written < count {
                        self.to_local.extend_from_slice(&scratch[written..count]);
                    }
                }
            }
        }
        if self.network_ended && !self.local_told {
            self.local_told = true;
            let _ = local.shutdown(Shutdown::Write);
        }
        Ok(moved)
    }

    /// Reads from the local side while the network keeps up.
    fn take_from_local(&mut self, scratch: &mut [u8]) -> Result<bool, Fault> {
        let Some(local) = &mut self.local else { return Ok(false) };
        if !self.local_is.readable || self.local_ended || self.tls.wants_write() {
            return Ok(false);
        }
        // No more than rustls takes at once.
        let room = scratch.len().min(BUFFERED_OCTETS_MAX / 2);
        match local.read(&mut scratch[..room]) {
            Ok(0) => {
                self.local_ended = true;
                self.tls.send_close_notify();
            }
            Ok(count) => self.tls.writer().write_all(&scratch[..count]).map_err(|_| Fault::Gone)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.local_is.readable = false;
                return Ok(false);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => {
                self.local_ended = true;
                self.tls.send_close_notify();
            }
        }
        Ok(true)
    }
}

enum Fault {
    /// The network's side is gone.
    Gone,
    /// What came is not TLS as it should be.
    Tls(rustls::Error),
}
