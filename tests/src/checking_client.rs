//! Clients that know which answer each of their commands must get, for tests in which processes die, are replaced or are upgraded while
//! sessions go on.
//!
//! Each has a mailbox for itself, so it knows what is in it: everything that was acknowledged, and of the one command that a lost
//! session left unanswered either all or nothing. A client does one [`CheckingClient::step`] after the other. A session that the server ends is
//! begun anew, and counted; an answer that is wrong, comes twice, belongs to no command, or does not come, is an error.

mod idler;
mod imap;
mod lmtp;
mod pop3;

pub use idler::{Idler, Waits};
pub use imap::ImapClient;
pub use lmtp::LmtpClient;
pub use pop3::Pop3Client;

use crate::random::Random;
use crate::server::Addresses;
use crate::stream::{Fault, show};
use std::time::{Duration, Instant};

/// How long an answer may take: a command may wait for a new handler, and many clients share two processors.
pub const ANSWER: Duration = Duration::from_secs(20);
/// How long a new session may take to begin, with all attempts.
const BEGIN: Duration = Duration::from_secs(40);

/// What happened to a client's sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Commands that were answered, and answered right.
    pub answered: u64,
    /// Sessions that ended with a word while a command was being done.
    pub told: u64,
    /// Sessions that ended without one while a command was being done.
    pub cut: u64,
    /// Sessions that ended while nothing was being done.
    pub lost_idle: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.answered += other.answered;
        self.told += other.told;
        self.cut += other.cut;
        self.lost_idle += other.lost_idle;
    }
}

/// One client of any protocol.
pub enum CheckingClient {
    /// IMAP, with commands.
    Imap(Box<ImapClient>),
    /// IMAP, waiting for mail.
    Idler(Box<Idler>),
    /// POP3.
    Pop3(Box<Pop3Client>),
    /// LMTP.
    Lmtp(Box<LmtpClient>),
}

impl CheckingClient {
    /// A client of the kind that `number` stands for; any number does. `user` must have no other client.
    ///
    /// # Errors
    /// What the server did wrong.
    pub fn of_kind(number: usize, addresses: Addresses, user: &str) -> Result<CheckingClient, String> {
        Ok(match number % 6 {
            0 | 1 => CheckingClient::Imap(Box::new(ImapClient::new(addresses, user)?)),
            2 => CheckingClient::Idler(Box::new(Idler::new(addresses, user, Waits::Idle)?)),
            3 => CheckingClient::Pop3(Box::new(Pop3Client::new(addresses, user)?)),
            4 => CheckingClient::Lmtp(Box::new(LmtpClient::new(addresses, user)?)),
            _ => CheckingClient::Idler(Box::new(Idler::new(addresses, user, Waits::Notify)?)),
        })
    }

    /// Does one thing and checks the answer.
    ///
    /// # Errors
    /// What the server did wrong.
    pub fn step(&mut self, random: &mut Random) -> Result<(), String> {
        match self {
            CheckingClient::Imap(client) => client.step(random),
            CheckingClient::Idler(client) => client.step(random),
            CheckingClient::Pop3(client) => client.step(random),
            CheckingClient::Lmtp(client) => client.step(random),
        }
    }

    /// Looks whether everything that was acknowledged is there, and nothing twice.
    ///
    /// # Errors
    /// What is missing, or too much.
    pub fn finish(&mut self) -> Result<(), String> {
        match self {
            CheckingClient::Imap(client) => client.finish(),
            CheckingClient::Idler(client) => client.finish(),
            CheckingClient::Pop3(client) => client.finish(),
            CheckingClient::Lmtp(client) => client.finish(),
        }
    }

    /// What happened to its sessions so far.
    pub fn tally(&self) -> Tally {
        match self {
            CheckingClient::Imap(client) => client.tally,
            CheckingClient::Idler(client) => client.tally,
            CheckingClient::Pop3(client) => client.tally,
            CheckingClient::Lmtp(client) => client.tally,
        }
    }
}

/// How an exchange failed.
#[derive(Debug)]
enum Failed {
    /// The server ended the session; whether it said so.
    Ended { told: bool },
    /// The server did something wrong.
    Wrong(String),
}

impl Failed {
    /// What a fault of the stream means, if `goodbye` is how the server says goodbye.
    fn of(fault: Fault, goodbye: &str) -> Failed {
        match fault {
            Fault::Closed(rest) => {
                let text = String::from_utf8_lossy(&rest);
                Failed::Ended { told: text.lines().any(|line| line.starts_with(goodbye)) }
            }
            Fault::Wrong(line) if line.starts_with(goodbye) => Failed::Ended { told: true },
            Fault::Silent(rest) => Failed::Wrong(format!("no answer; had {:?}", show(&rest))),
            Fault::Io(error) => Failed::Wrong(error.to_string()),
            Fault::Wrong(what) => Failed::Wrong(what),
        }
    }
}

/// Counts the end of a session; an error if the server did something else.
fn count_end(tally: &mut Tally, failed: Failed, was_idle: bool) -> Result<(), String> {
    match failed {
        Failed::Wrong(what) => return Err(what),
        Failed::Ended { .. } if was_idle => tally.lost_idle += 1,
        Failed::Ended { told: true } => tally.told += 1,
        Failed::Ended { told: false } => tally.cut += 1,
    }
    Ok(())
}

/// Tries until it succeeds: a session that is just beginning may lose its handler, too.
fn begin<T>(what: &str, mut attempt: impl FnMut() -> Result<T, Failed>) -> Result<T, String> {
    let deadline = Instant::now() + BEGIN;
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(Failed::Wrong(why)) => return Err(format!("{what}: {why}")),
            Err(Failed::Ended { .. }) if Instant::now() > deadline => {
                return Err(format!("{what}: no session could be begun"));
            }
            Err(Failed::Ended { .. }) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
