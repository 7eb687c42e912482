//! A buffered connection with a deadline on every read, shared by the three clients. It can be compressed (RFC 4978).

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// How long a client waits for octets unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Why a conversation could not go on.
#[derive(Debug)]
pub enum Fault {
    /// The server closed the connection; what it had sent before is inside.
    Closed(Vec<u8>),
    /// Nothing complete came in time; what had come is inside.
    Silent(Vec<u8>),
    /// The operating system said no.
    Io(std::io::Error),
    /// The server said something that the protocol does not allow here.
    Wrong(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Closed(rest) => write!(out, "closed by the server after {:?}", show(rest)),
            Fault::Silent(rest) => write!(out, "no answer in time; had {:?}", show(rest)),
            Fault::Io(error) => write!(out, "{error}"),
            Fault::Wrong(what) => write!(out, "{what}"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Fault {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                Fault::Closed(Vec::new())
            }
            _ => Fault::Io(error),
        }
    }
}

/// Octets as text for a message, the middle of long ones left out.
pub fn show(octets: &[u8]) -> String {
    if octets.len() <= 600 {
        return String::from_utf8_lossy(octets).into_owned();
    }
    format!(
        "{} … ({} octets) … {}",
        String::from_utf8_lossy(&octets[..300]),
        octets.len(),
        String::from_utf8_lossy(&octets[octets.len() - 200..])
    )
}

/// One end of a TCP connection, with what was read and not yet taken.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    buffer: Vec<u8>,
    taken: usize,
    patience: Duration,
    deflate: Option<Box<Compress>>,
    inflate: Option<Box<Decompress>>,
}

impl Stream {
    /// Connects within [`PATIENCE`].
    pub fn connect(address: SocketAddr) -> Result<Stream, Fault> {
        Stream::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// Connects from an address of this machine's, one of 127.0.0.0/8 for example.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Result<Stream, Fault> {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};
        use std::os::fd::AsRawFd;
        let family = if source.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let socket =
            socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(std::io::Error::from)?;
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(source, 0)))
            .map_err(std::io::Error::from)?;
        connect(socket.as_raw_fd(), &SockaddrStorage::from(address)).map_err(std::io::Error::from)?;
        Stream::over(TcpStream::from(socket))
    }

    fn over(socket: TcpStream) -> Result<Stream, Fault> {
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Stream { socket, buffer: Vec::new(), taken: 0, patience: PATIENCE, deflate: None, inflate: None })
    }

    /// Sets how long later reads wait.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Compresses what is sent, and takes what comes as compressed, from now on.
    pub fn begin_compression(&mut self) {
        self.deflate = Some(Box::new(Compress::new(Compression::default(), false)));
        self.inflate = Some(Box::new(Decompress::new(false)));
    }

    /// Compresses no more. What comes may be compressed as long as its stream does not end.
    pub fn end_compression(&mut self) {
        self.deflate = None;
    }

    /// Sends octets; whole, so that the server can read all of them.
    pub fn send(&mut self, octets: &[u8]) -> Result<(), Fault> {
        let Some(deflate) = &mut self.deflate else { return Ok(self.socket.write_all(octets)?) };
        let mut wire = Vec::with_capacity(octets.len() + octets.len() / 8 + 64);
        let before = deflate.total_in();
        loop {
            let done = (deflate.total_in() - before) as usize;
            deflate
                .compress_vec(&octets[done..], &mut wire, FlushCompress::Sync)
                .map_err(|error| Fault::Wrong(error.to_string()))?;
            if wire.len() < wire.capacity() {
                return Ok(self.socket.write_all(&wire)?);
            }
            wire.reserve(octets.len() + 64);
        }
    }

    /// The next line, without its CRLF (or LF).
    pub fn line(&mut self) -> Result<Vec<u8>, Fault> {
        let deadline = Instant::now() + self.patience;
        let mut seen = 0;
        loop {
            let waiting = &self.buffer[self.taken..];
            if let Some(end) = waiting[seen..].iter().position(|&octet| octet == b'\n') {
                let end = seen + end;
                let mut line = waiting[..end].to_vec();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                self.taken += end + 1;
                return Ok(line);
            }
            seen = waiting.len();
            self.fill(deadline)?;
        }
    }

    /// Exactly `count` octets.
    pub fn exactly(&mut self, count: usize) -> Result<Vec<u8>, Fault> {
        let deadline = Instant::now() + self.patience;
        while self.buffer.len() - self.taken < count {
            self.fill(deadline)?;
        }
        let octets = self.buffer[self.taken..self.taken + count].to_vec();
        self.taken += count;
        Ok(octets)
    }

    /// Whether octets are waiting or come within `time`. A close counts as nothing.
    pub fn ready(&mut self, time: Duration) -> bool {
        if time.is_zero() {
            return self.waiting().unwrap_or(false);
        }
        self.buffer.len() > self.taken || self.fill(Instant::now() + time).is_ok()
    }

    /// Whether octets are there already.
    ///
    /// # Errors
    /// None are, and the server has closed the connection.
    pub fn waiting(&mut self) -> Result<bool, Fault> {
        if self.buffer.len() > self.taken {
            return Ok(true);
        }
        self.socket.set_nonblocking(true)?;
        let came = self.read();
        self.socket.set_nonblocking(false)?;
        match came {
            Ok(()) => Ok(self.buffer.len() > self.taken),
            Err(Fault::Silent(_)) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// The client's end.
    ///
    /// # Errors
    /// The operating system does not know it.
    pub fn local(&self) -> Result<SocketAddr, Fault> {
        Ok(self.socket.local_addr()?)
    }

    /// Reads until the server closes; everything that came.
    pub fn rest(&mut self) -> Result<Vec<u8>, Fault> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.fill(deadline) {
                Ok(()) => {}
                Err(Fault::Closed(octets)) => return Ok(octets),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Ends the client's direction only.
    pub fn finish_sending(&mut self) -> Result<(), Fault> {
        Ok(self.socket.shutdown(std::net::Shutdown::Write)?)
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), Fault> {
        if self.taken > 1 << 16 || self.taken == self.buffer.len() {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Fault::Silent(self.buffer[self.taken..].to_vec()));
        }
        self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        self.read()
    }

    fn read(&mut self) -> Result<(), Fault> {
        let mut chunk = [0u8; 65536];
        match self.socket.read(&mut chunk) {
            Ok(0) => Err(Fault::Closed(self.buffer[self.taken..].to_vec())),
            Ok(count) => self.take(&chunk[..count]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                    Err(Fault::Silent(self.buffer[self.taken..].to_vec()))
                }
                ErrorKind::Interrupted => Ok(()),
                ErrorKind::ConnectionReset => Err(Fault::Closed(self.buffer[self.taken..].to_vec())),
                _ => Err(Fault::Io(error)),
            },
        }
    }

    fn take(&mut self, mut came: &[u8]) -> Result<(), Fault> {
        while let Some(inflate) = &mut self.inflate {
            self.buffer.reserve(65536);
            let (read, written) = (inflate.total_in(), inflate.total_out());
            let status = inflate
                .decompress_vec(came, &mut self.buffer, FlushDecompress::None)
                .map_err(|error| Fault::Wrong(format!("what came is not compressed well: {error}")))?;
            came = &came[(inflate.total_in() - read) as usize..];
            match status {
                Status::StreamEnd => self.inflate = None,
                _ if came.is_empty() && inflate.total_out() - written < 65536 => return Ok(()),
                _ => {}
            }
        }
        self.buffer.extend_from_slice(came);
        Ok(())
    }
}
