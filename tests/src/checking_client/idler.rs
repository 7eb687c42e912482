//! An IMAP client that waits for mail, with IDLE or with NOTIFY, and has some sent to itself.

use super::lmtp::read_ids;
use super::{ANSWER, Failed, Record, after_goodbye, begin};
use crate::imap::{Event, Imap, event};
use crate::lmtp::Lmtp;
use crate::mail;
use crate::random::Random;
use crate::server::{Addresses, PASSWORD};
use crate::stream::show;
use std::time::Duration;

const GOODBYE: &str = "* BYE";

/// How it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// IDLE in the mailbox.
    Idle,
    /// NOTIFY for the mailbox and for all others.
    Notify,
}

/// The client.
pub struct Idler {
    addresses: Addresses,
    user: String,
    waits: Waits,
    imap: Option<Imap>,
    /// The tag of the IDLE.
    tag: String,
    /// Messages that it was told of.
    exists: u32,
    /// Messages that there were when the session began, and those that were acknowledged since.
    least: u32,
    sent: u32,
    acknowledged: Vec<String>,
    pub(super) record: Record,
}

impl Idler {
    /// Begins to wait.
    ///
    /// # Errors
    /// What the server did wrong.
    pub fn new(addresses: Addresses, user: &str, waits: Waits) -> Result<Idler, String> {
        let mut idler = Idler {
            addresses,
            user: user.to_string(),
            waits,
            imap: None,
            tag: String::new(),
            exists: 0,
            least: 0,
            sent: 0,
            acknowledged: Vec::new(),
            record: Record::default(),
        };
        idler.begin()?;
        Ok(idler)
    }

    fn begin(&mut self) -> Result<(), String> {
        let (addresses, user, waits) = (self.addresses, self.user.clone(), self.waits);
        let (imap, tag, exists) = begin(&format!("idler {user}"), || wait(addresses, &user, waits))?;
        let least = self.exists.max(self.acknowledged.len() as u32);
        if exists < least {
            return Err(format!("idler {user}: {exists} messages, {least} were told or acknowledged before"));
        }
        (self.imap, self.tag, self.exists, self.least) = (Some(imap), tag, exists, exists);
        Ok(())
    }

    /// Has a message sent to itself and waits to be told; or stops waiting, and begins again.
    ///
    /// # Errors
    /// What the server did wrong.
    pub fn step(&mut self, random: &mut Random) -> Result<(), String> {
        if self.imap.is_none() {
            self.begin()?;
        }
        if let Err(failed) = self.look_idle() {
            let end = self.imap.take().and_then(|mut imap| imap.stream().local().ok());
            return self.record.count_end(failed, end).map_err(|why| format!("idler {}: {why}", self.user));
        }
        let done = if random.below(3) > 0 { self.receive() } else { self.pause() };
        match done {
            Ok(()) => {
                self.record.tally.answered += 1;
                Ok(())
            }
            Err(failed) => {
                self.imap = None;
                // The session may have been about to tell of the message.
                self.record.count_end(failed, None).map_err(|why| format!("idler {}: {why}", self.user))
            }
        }
    }

    /// What came while nothing was done: news alone.
    fn look_idle(&mut self) -> Result<(), Failed> {
        let of = |fault| Failed::of(fault, GOODBYE);
        while self.imap.as_mut().expect("a session").stream().waiting().map_err(of)? {
            let imap = self.imap.as_mut().expect("a session");
            let line = imap.response().map_err(of)?;
            self.take(&line)?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Failed> {
        self.sent += 1;
        let id = format!("{}-{}", self.user, self.sent);
        let message = mail::small(&id);
        let accepted =
            Lmtp::connect(self.addresses.lmtp).and_then(|mut lmtp| lmtp.deliver(&[&self.user], &message));
        if !matches!(accepted.as_deref(), Ok([true])) {
            // It may have come all the same: then it is told of some time.
            return Ok(());
        }
        self.acknowledged.push(id);
        // Others may be there, too.
        self.least += 1;
        while self.exists < self.least {
            let imap = self.imap.as_mut().expect("a session");
            let line = imap.response().map_err(|fault| Failed::of(fault, GOODBYE))?;
            self.take(&line)?;
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Failed> {
        if line.starts_with(GOODBYE.as_bytes()) {
            return Err(after_goodbye(self.imap.as_mut().expect("a session").stream()));
        }
        match event(line).map_err(|fault| Failed::Wrong(fault.to_string()))? {
            Event::Exists(count) if count > self.sent => {
                Err(Failed::Wrong(format!("{:?}, and {} were sent", show(line), self.sent)))
            }
            Event::Exists(count) if count < self.exists => {
                Err(Failed::Wrong(format!("{:?} after {} messages", show(line), self.exists)))
            }
            Event::Exists(count) => {
                self.exists = count;
                Ok(())
            }
            _ if line.starts_with(b"* ") => Ok(()),
            _ => Err(Failed::Wrong(format!("unasked: {:?}", show(line)))),
        }
    }

    /// DONE and IDLE, or NOOP.
    fn pause(&mut self) -> Result<(), Failed> {
        let of = |fault| Failed::of(fault, GOODBYE);
        let imap = self.imap.as_mut().expect("a session");
        let tag = match self.waits {
            Waits::Idle => {
                imap.stream().send(b"DONE\r\n").map_err(of)?;
                self.tag.clone()
            }
            Waits::Notify => imap.begin("NOOP").map_err(of)?,
        };
        let wanted = format!("{tag} OK ");
        loop {
            let line = self.imap.as_mut().expect("a session").response().map_err(of)?;
            if line.starts_with(wanted.as_bytes()) {
                break;
            }
            self.take(&line)?;
        }
        if self.waits == Waits::Notify {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
        self.tag = self.imap.as_mut().expect("a session").begin("IDLE").map_err(of)?;
        loop {
            let line = self.imap.as_mut().expect("a session").response().map_err(of)?;
            if line.starts_with(b"+") {
                return Ok(());
            }
            self.take(&line)?;
        }
    }

    /// Looks whether everything that was acknowledged is there, and nothing twice.
    ///
    /// # Errors
    /// What is missing, or too much.
    pub fn finish(&mut self) -> Result<(), String> {
        self.imap = None;
        let what = format!("mail of idler {}", self.user);
        let mut ids = begin(&what, || read_ids(self.addresses, &self.user))?;
        let missing: Vec<_> = self.acknowledged.iter().filter(|id| !ids.contains(id)).collect();
        if !missing.is_empty() {
            return Err(format!("{what}: {missing:?} are missing"));
        }
        let all = ids.len();
        ids.sort();
        ids.dedup();
        if ids.len() == all { Ok(()) } else { Err(format!("{what}: a message is there twice")) }
    }
}

/// Logs in, selects INBOX and waits: the session, the tag of the IDLE, and how many messages there are.
fn wait(addresses: Addresses, user: &str, waits: Waits) -> Result<(Imap, String, u32), Failed> {
    let of = |fault| Failed::of(fault, GOODBYE);
    let mut imap = Imap::connect(addresses.imap).map_err(of)?;
    imap.set_patience(ANSWER);
    imap.command(&format!("LOGIN {user} {PASSWORD}")).map_err(of)?;
    let exists = imap.command("SELECT INBOX").map_err(of)?.exists().unwrap_or(0);
    if waits == Waits::Notify {
        let events = "(MessageNew MessageExpunge)";
        let reply =
            imap.command(&format!("NOTIFY SET (SELECTED {events}) (PERSONAL {events})")).map_err(of)?;
        let exists = reply.exists().unwrap_or(exists).max(exists);
        return Ok((imap, String::new(), exists));
    }
    let tag = imap.begin("IDLE").map_err(of)?;
    let mut told = exists;
    loop {
        let line = imap.response().map_err(of)?;
        if line.starts_with(b"+") {
            return Ok((imap, tag, told));
        }
        if let Ok(Event::Exists(count)) = event(&line) {
            told = count;
        }
        if line.starts_with(GOODBYE.as_bytes()) {
            return Err(Failed::Ended { told: true });
        }
    }
}
