//! An LMTP client for tests.

use crate::stream::{Fault, Stream, show};
use std::net::SocketAddr;

/// An LMTP connection.
#[derive(Debug)]
pub struct Lmtp {
    stream: Stream,
    /// The lines of the reply to LHLO, without the code.
    pub extensions: Vec<String>,
}

/// One reply: its code and its lines.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The three digits.
    pub code: u16,
    /// The text of each line.
    pub lines: Vec<String>,
}

impl Lmtp {
    /// Connects, reads the greeting and says LHLO.
    pub fn connect(address: SocketAddr) -> Result<Lmtp, Fault> {
        let mut lmtp = Lmtp { stream: Stream::connect(address)?, extensions: Vec::new() };
        lmtp.expect(220)?;
        lmtp.stream.send(b"LHLO client.example\r\n")?;
        lmtp.extensions = lmtp.expect(250)?.lines;
        Ok(lmtp)
    }

    /// The connection itself.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The next reply.
    pub fn answer(&mut self) -> Result<Answer, Fault> {
        let mut lines = Vec::new();
        loop {
            let line = self.stream.line()?;
            let text = String::from_utf8_lossy(&line).into_owned();
            let code = text.get(..3).and_then(|digits| digits.parse().ok());
            let code = code.ok_or_else(|| Fault::Wrong(format!("no reply code in {:?}", show(&line))))?;
            lines.push(text.get(4..).unwrap_or_default().to_string());
            if text.as_bytes().get(3) != Some(&b'-') {
                return Ok(Answer { code, lines });
            }
        }
    }

    /// The next reply, which must have this code.
    pub fn expect(&mut self, code: u16) -> Result<Answer, Fault> {
        let answer = self.answer()?;
        if answer.code == code {
            Ok(answer)
        } else {
            Err(Fault::Wrong(format!("wanted {code}, got {answer:?}")))
        }
    }

    /// One command and its reply.
    pub fn command(&mut self, command: &str) -> Result<Answer, Fault> {
        self.stream.send(format!("{command}\r\n").as_bytes())?;
        self.answer()
    }

    /// Delivers one message; for each recipient whether it was accepted.
    pub fn deliver(&mut self, recipients: &[&str], message: &[u8]) -> Result<Vec<bool>, Fault> {
        self.stream.send(b"MAIL FROM:<sender@example.org>\r\n")?;
        self.expect(250)?;
        let mut accepted = Vec::new();
        for recipient in recipients {
            accepted.push(self.command(&format!("RCPT TO:<{recipient}>"))?.code == 250);
        }
        if !accepted.contains(&true) {
            self.command("RSET")?;
            return Ok(accepted);
        }
        self.stream.send(b"DATA\r\n")?;
        self.expect(354)?;
        self.stream.send(&dot_stuffed(message))?;
        for each in accepted.iter_mut().filter(|each| **each) {
            *each = self.answer()?.code == 250;
        }
        Ok(accepted)
    }
}

/// A message as DATA carries it, the closing dot included.
pub fn dot_stuffed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + 8);
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    if !message.is_empty() && !message.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
