//! A POP3 client for tests.

use crate::stream::{Fault, Stream, show};
use std::net::SocketAddr;

/// A POP3 connection.
#[derive(Debug)]
pub struct Pop3 {
    stream: Stream,
}

impl Pop3 {
    /// Connects and reads the greeting.
    pub fn connect(address: SocketAddr) -> Result<Pop3, Fault> {
        let mut pop3 = Pop3 { stream: Stream::connect(address)? };
        pop3.status()?;
        Ok(pop3)
    }

    /// Connects and logs in.
    pub fn login(address: SocketAddr, user: &str, password: &str) -> Result<Pop3, Fault> {
        let mut pop3 = Pop3::connect(address)?;
        pop3.command(&format!("USER {user}"))?;
        pop3.command(&format!("PASS {password}"))?;
        Ok(pop3)
    }

    /// The connection itself.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// A command with a reply of one line, which must be `+OK`; the text behind it.
    pub fn command(&mut self, command: &str) -> Result<String, Fault> {
        self.stream.send(format!("{command}\r\n").as_bytes())?;
        self.status()
    }

    /// A command with a reply of many lines; the lines with the dots taken off.
    pub fn lines(&mut self, command: &str) -> Result<Vec<Vec<u8>>, Fault> {
        self.command(command)?;
        let mut lines = Vec::new();
        loop {
            let line = self.stream.line()?;
            match line.strip_prefix(b".") {
                Some(b"") => return Ok(lines),
                Some(rest) => lines.push(rest.to_vec()),
                None => lines.push(line),
            }
        }
    }

    fn status(&mut self) -> Result<String, Fault> {
        let line = self.stream.line()?;
        match line.strip_prefix(b"+OK") {
            Some(rest) => Ok(String::from_utf8_lossy(rest).trim_start().to_string()),
            None => Err(Fault::Wrong(show(&line))),
        }
    }
}
