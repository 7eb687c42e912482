//! A POP3 client with a maildrop of a few messages: lists, reads, marks, unmarks, and quits now and then, which deletes.

use super::lmtp::read_ids;
use super::{ANSWER, Failed, Tally, begin, count_end};
use crate::lmtp::Lmtp;
use crate::mail;
use crate::pop3::Pop3;
use crate::random::Random;
use crate::server::{Addresses, PASSWORD};
use std::collections::BTreeSet;
use std::time::Duration;

const GOODBYE: &str = "-ERR [SYS/TEMP]";
/// Messages that a maildrop is filled up to.
const MESSAGES: usize = 6;
/// Messages below which it is filled again.
const MESSAGES_LEAST: usize = 3;

/// The client.
pub struct Pop3Client {
    addresses: Addresses,
    user: String,
    pop3: Option<Pop3>,
    /// What is in the maildrop, in order.
    ids: Vec<String>,
    /// Numbers of messages that are marked in this session.
    marked: BTreeSet<usize>,
    /// QUIT was said and not answered.
    is_quitting: bool,
    delivered: usize,
    pub(super) tally: Tally,
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
            ids: Vec::new(),
            marked: BTreeSet::new(),
            is_quitting: false,
            delivered: 0,
            tally: Tally::default(),
        };
        client.begin()?;
        Ok(client)
    }

    fn begin(&mut self) -> Result<(), String> {
        let (addresses, user) = (self.addresses, self.user.clone());
        let what = format!("POP3 client {user}");
        let found = begin(&what, || read_ids(addresses, &user))?;
        let deleted = self.marked.iter().map(|number| self.ids[number - 1].clone()).collect::<BTreeSet<_>>();
        let kept: Vec<_> = self.ids.iter().filter(|id| !deleted.contains(*id)).cloned().collect();
        if found != self.ids && !(self.is_quitting && found == kept) {
            return Err(format!("{what}: there is {found:?}, there was {:?}, marked {deleted:?}", self.ids));
        }
        self.ids = found;
        self.is_quitting = false;
        self.marked.clear();
        if self.ids.len() >= MESSAGES_LEAST {
            return self.log_in(&what);
        }
        while self.ids.len() < MESSAGES {
            self.delivered += 1;
            let id = format!("{user}-{}", self.delivered);
            let message = mail::small(&id);
            // One that is not acknowledged is there or not.
            let accepted =
                Lmtp::connect(addresses.lmtp).and_then(|mut lmtp| lmtp.deliver(&[&user], &message));
            let found = begin(&what, || read_ids(addresses, &user))?;
            if found.last() == Some(&id) {
                self.ids.push(id);
            } else if matches!(accepted.as_deref(), Ok([true])) {
                return Err(format!("{what}: {id} was acknowledged, and {found:?} is there"));
            }
        }
        self.log_in(&what)
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
        let was_idle = self.pop3.as_mut().is_some_and(|pop3| pop3.stream().ready(Duration::ZERO));
        match self.act(random) {
            Ok(()) => {
                self.tally.answered += 1;
                Ok(())
            }
            Err(failed) => {
                self.pop3 = None;
                let what = format!("POP3 client {}, marked {:?}", self.user, self.marked);
                count_end(&mut self.tally, failed, was_idle).map_err(|why| format!("{what}: {why}"))
            }
        }
    }

    fn act(&mut self, random: &mut Random) -> Result<(), Failed> {
        let pop3 = self.pop3.as_mut().expect("a session");
        let number = 1 + random.below(self.ids.len());
        let is_marked = self.marked.contains(&number);
        match random.below(12) {
            0..=2 => {
                let told = pop3.command("STAT").map_err(failed)?;
                let wanted = (self.ids.len() - self.marked.len()).to_string();
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
                let wanted = format!("X-Id: {}", self.ids[number - 1]);
                if !lines.contains(&wanted.clone().into_bytes()) {
                    return Err(Failed::Wrong(format!("message {number} has no {wanted}")));
                }
            }
            8 => {
                let told = pop3.lines("LIST").map_err(failed)?.len();
                if told != self.ids.len() - self.marked.len() {
                    return Err(Failed::Wrong(format!("LIST told {told} messages")));
                }
            }
            9 => {
                pop3.command("RSET").map_err(failed)?;
                self.marked.clear();
            }
            10 if random.below(3) == 0 => {
                self.is_quitting = true;
                pop3.command("QUIT").map_err(failed)?;
                let marked = std::mem::take(&mut self.marked);
                let numbered = std::mem::take(&mut self.ids).into_iter().zip(1..);
                self.ids =
                    numbered.filter(|(_, number)| !marked.contains(number)).map(|(id, _)| id).collect();
                self.is_quitting = false;
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
