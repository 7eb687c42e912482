//! Clients that know which answer each of their commands must get, for tests in which processes die, are replaced or are upgraded while
//! sessions go on.
//!
//! Each has a mailbox for itself, so it knows what is in it: everything that was acknowledged, and of the one command that a lost
//! session left unanswered either all or nothing, sooner or later (`known.rs`). A client does one [`CheckingClient::step`] after the other. A session that the server ends is
//! begun anew, and counted; an answer that is wrong, comes twice, belongs to no command, or does not come, is an error.

mod idler;
mod imap;
mod known;
mod lmtp;
mod pop3;

pub use idler::{Idler, Waits};
pub use imap::ImapClient;
pub use lmtp::LmtpClient;
pub use pop3::Pop3Client;

use crate::random::Random;
use crate::server::Addresses;
use crate::stream::{Fault, Stream, show};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long an answer may take: a command may wait for a new handler, and many clients share two processors with whatever else runs.
pub const ANSWER: Duration = Duration::from_secs(60);
/// How long a new session may take to begin, with all attempts.
const BEGIN: Duration = Duration::from_secs(120);

/// What happened to a client's sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Commands that were answered, and answered right.
    pub answered: u64,
    /// Sessions that ended with a word while a command was being done.
    pub told: u64,
    /// Sessions that ended without one while a command was being done.
    pub cut: u64,
    /// Sessions that ended while nothing was being done, as far as their clients know.
    pub lost_idle: u64,
    /// Changes without an answer that showed, but not when the mailbox was next looked at.
    pub late: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.answered += other.answered;
        self.told += other.told;
        self.cut += other.cut;
        self.lost_idle += other.lost_idle;
        self.late += other.late;
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
        self.record().tally
    }

    /// The clients' ends of the sessions that were lost while nothing was being done. A client does not know whether the server had come to the end of what it
    /// did last; the log tells, in the line `session-lost` of that peer.
    pub fn lost_idle(&self) -> &[SocketAddr] {
        &self.record().lost_idle
    }

    fn record(&self) -> &Record {
        match self {
            CheckingClient::Imap(client) => &client.record,
            CheckingClient::Idler(client) => &client.record,
            CheckingClient::Pop3(client) => &client.record,
            CheckingClient::Lmtp(client) => &client.record,
        }
    }
}

/// Which of the sessions with these clients' ends ([`CheckingClient::lost_idle`]) were lost without reason, with what `log` says of each. For a client with its answer
/// nothing is being done any more; for a handler, when it has noted that everything is sent, a moment later. If it dies in that moment, its router says that the
/// session was being answered.
pub fn lost_while_parked(log: &str, ends: &[SocketAddr]) -> Vec<String> {
    let mut lost = Vec::new();
    for end in ends {
        let peer = format!(" peer={end} ");
        let told: Vec<&str> = log.lines().filter(|line| line.contains(&peer)).collect();
        let is_excuse = |line: &&str| {
            let why = ["sending", "answering", "reading"].map(|why| format!(" why={why} "));
            line.contains("session-lost") && why.iter().any(|why| line.contains(why))
        };
        if !told.iter().any(is_excuse) {
            lost.push(format!("the session of {end} was lost while it waited: {told:#?}"));
        }
    }
    lost
}

/// What a client counts.
#[derive(Clone, Debug, Default)]
struct Record {
    tally: Tally,
    lost_idle: Vec<SocketAddr>,
}

impl Record {
    /// Counts the end of a session; an error if the server did something else. `idle`: the client's end, if nothing was being done.
    fn count_end(&mut self, failed: Failed, idle: Option<SocketAddr>) -> Result<(), String> {
        match (failed, idle) {
            (Failed::Wrong(what), _) => return Err(what),
            (Failed::Ended { .. }, Some(end)) => {
                self.tally.lost_idle += 1;
                self.lost_idle.push(end);
            }
            (Failed::Ended { told: true }, None) => self.tally.told += 1,
            (Failed::Ended { told: false }, None) => self.tally.cut += 1,
        }
        Ok(())
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

/// The client's end of a connection over which something came, or that was closed, while nothing was being done.
fn end_if_idle(stream: &mut Stream) -> Option<SocketAddr> {
    let is_quiet = matches!(stream.waiting(), Ok(false));
    if is_quiet { None } else { stream.local().ok() }
}

/// The server said goodbye: nothing may come after that.
fn after_goodbye(stream: &mut Stream) -> Failed {
    match stream.rest() {
        Ok(rest) if rest.is_empty() => Failed::Ended { told: true },
        Ok(rest) => Failed::Wrong(format!("after its goodbye the server said {:?}", show(&rest))),
        Err(Fault::Silent(_)) => Failed::Wrong("the server said goodbye and stays".to_string()),
        Err(_) => Failed::Ended { told: true },
    }
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
