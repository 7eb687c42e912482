//! A POP3 client with a maildrop of a few messages: lists, reads, marks, unmarks, and quits now and then, which deletes.

use super::known::{Change, Known, Message};
use super::lmtp::read_inbox;
use super::{ANSWER, Failed, Record, begin, end_if_idle};
use crate::lmtp::Lmtp;
use crate::mail;
use crate::pop3::Pop3;
use crate::random::Random;
use crate::server::{Addresses, PASSWORD};
use std::collections::BTreeSet;

const GOODBYE: &str = "-ERR [SYS/TEMP]";
/// Messages that a maildrop is filled up to.
const MESSAGES: usize = 6;
/// Messages below which it is filled again.
const MESSAGES_LEAST: usize = 3;
/// Deliveries that are tried before a session.
const DELIVERIES_MOST: usize = 100;

/// The client.
pub struct Pop3Client {
    addresses: Addresses,
    user: String,
    pop3: Option<Pop3>,
    known: Known,
    /// Numbers of messages that are marked in this session.
    marked: BTreeSet<usize>,
    delivered: usize,
    pub(super) record: Record,
}

impl Pop3Client {
    /// Fills the maildrop and logs in.
    ///
    /// # Errors
    /// What the server did wrong.
    pub fn new(addresses: Addresses, user: &str) -> Result<Pop3Client, String> {
        let mut client = Pop3Client {
            addresses,
            user: user.to_string(),
            pop3: None,
            known: Known::default(),
            marked: BTreeSet::new(),
            delivered: 0,
            record: Record::default(),
        };
        client.begin()?;
        Ok(client)
    }

    fn begin(&mut self) -> Result<(), String> {
        self.marked.clear();
        let what = format!("POP3 client {}", self.user);
        self.look(&what)?;
        let is_low = self.known.messages().len() < MESSAGES_LEAST;
        // Also to find out what became of a QUIT that was not answered.
        for _ in 0..DELIVERIES_MOST {
            let fills = is_low && self.known.messages().len() < MESSAGES;
            if !fills && !self.known.is_open() {
                return self.log_in(&what);
            }
            self.deliver();
            self.look(&what)?;
        }
        Err(format!("{what}: no message was accepted for certain"))
    }

    /// Compares what is in the maildrop with what may be.
    fn look(&mut self, what: &str) -> Result<(), String> {
        let found = begin(what, || read_inbox(self.addresses, &self.user))?;
        let found = found.into_iter().map(|(uid, id)| Message { uid, id, flags: BTreeSet::new() }).collect();
        self.record.tally.late += self.known.take(found).map_err(|why| format!("{what}: {why}"))?;
        Ok(())
    }

    /// Sends the next message, if there is anybody to send it to; it may not be answered.
    fn deliver(&mut self) {
        let Ok(mut lmtp) = Lmtp::connect(self.addresses.lmtp) else { return };
        self.delivered += 1;
        let id = format!("{}-{}", self.user, self.delivered);
        let message = mail::small(&id);
        self.known.ask(Change::Add(id));
        if matches!(lmtp.deliver(&[&self.user], &message).as_deref(), Ok([true])) {
            self.known.answered();
        }
    }

    fn log_in(&mut self, what: &str) -> Result<(), String> {
        let (address, user) = (self.addresses.pop3, self.user.clone());
        let pop3 = begin(what, || {
            let mut pop3 = Pop3::connect(address).map_err(failed)?;
            pop3.stream().set_patience(ANSWER);
            pop3.command(&format!("USER {user}")).map_err(failed)?;
            match pop3.command(&format!("PASS {PASSWORD}")) {
                // The session before is not over yet.
                Err(crate::stream::Fault::Wrong(why)) if why.contains("[IN-USE]") => {
                    Err(Failed::Ended { told: true })
                }
                Err(fault) => Err(failed(fault)),
                Ok(_) => Ok(pop3),
            }
        })?;
        self.pop3 = Some(pop3);
        Ok(())
    }

    /// One command.
    ///
    /// # Errors
    /// What the server did wrong.
    pub fn step(&mut self, random: &mut Random) -> Result<(), String> {
        if self.pop3.is_none() {
            self.begin()?;
        }
        let end = self.pop3.as_mut().and_then(|pop3| end_if_idle(pop3.stream()));
        match self.act(random) {
            Ok(()) => {
                self.record.tally.answered += 1;
                Ok(())
            }
            Err(failed) => {
                self.pop3 = None;
                let what = format!("POP3 client {}, marked {:?}", self.user, self.marked);
                self.record.count_end(failed, end).map_err(|why| format!("{what}: {why}"))
            }
        }
    }

    fn act(&mut self, random: &mut Random) -> Result<(), Failed> {
        let pop3 = self.pop3.as_mut().expect("a session");
        let number = 1 + random.below(self.known.messages().len());
        let is_marked = self.marked.contains(&number);
        match random.below(12) {
            0..=2 => {
                let told = pop3.command("STAT").map_err(failed)?;
                let wanted = (self.known.messages().len() - self.marked.len()).to_string();
                if told.split(' ').next() != Some(&wanted) {
                    return Err(Failed::Wrong(format!("STAT said {told}, wanted {wanted}")));
                }
            }
            3 | 4 if !is_marked => {
                pop3.command(&format!("DELE {number}")).map_err(failed)?;
                self.marked.insert(number);
            }
            5..=7 if !is_marked => {
                let lines = pop3.lines(&format!("RETR {number}")).map_err(failed)?;
                let wanted = format!("X-Id: {}", self.known.messages()[number - 1].id);
                if !lines.contains(&wanted.clone().into_bytes()) {
                    return Err(Failed::Wrong(format!("message {number} has no {wanted}")));
                }
            }
            8 => {
                let told = pop3.lines("LIST").map_err(failed)?.len();
                if told != self.known.messages().len() - self.marked.len() {
                    return Err(Failed::Wrong(format!("LIST told {told} messages")));
                }
            }
            9 => {
                pop3.command("RSET").map_err(failed)?;
                self.marked.clear();
            }
            10 if random.below(3) == 0 => {
                let uids = self.marked.iter().map(|number| self.known.messages()[number - 1].uid);
                let change = Change::Remove(uids.collect());
                self.known.ask(change);
                pop3.command("QUIT").map_err(failed)?;
                self.known.answered();
                self.pop3 = None;
            }
            _ => {
                pop3.command("NOOP").map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Compares the maildrop with what was acknowledged.
    ///
    /// # Errors
    /// What is missing, or too much.
    pub fn finish(&mut self) -> Result<(), String> {
        self.pop3 = None;
        self.begin()
    }
}

fn failed(fault: crate::stream::Fault) -> Failed {
    Failed::of(fault, GOODBYE)
}
