//! An LMTP client that delivers to one user, a command a step, over one connection as long as that lasts.

use super::{ANSWER, Failed, Record, begin, end_if_idle};
use crate::imap::{Event, Imap, event};
use crate::lmtp::{Lmtp, dot_stuffed};
use crate::mail;
use crate::random::Random;
use crate::server::{Addresses, PASSWORD};
use std::collections::BTreeMap;

const GOODBYE: &str = "421";

/// How far the transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Mail,
    Recipient,
}

/// The client.
pub struct LmtpClient {
    addresses: Addresses,
    user: String,
    lmtp: Option<Lmtp>,
    at: At,
    /// Every message that was sent, and whether it was acknowledged.
    sent: BTreeMap<String, bool>,
    pub(super) record: Record,
}

impl LmtpClient {
    /// Connects.
    ///
    /// # Errors
    /// What the server did wrong.
    pub fn new(addresses: Addresses, user: &str) -> Result<LmtpClient, String> {
        let user = user.to_string();
        let mut client = LmtpClient {
            addresses,
            user,
            lmtp: None,
            at: At::Start,
            sent: BTreeMap::new(),
            record: Record::default(),
        };
        client.begin()?;
        Ok(client)
    }

    fn begin(&mut self) -> Result<(), String> {
        let address = self.addresses.lmtp;
        let mut lmtp =
            begin(&format!("LMTP client {}", self.user), || Lmtp::connect(address).map_err(failed))?;
        lmtp.stream().set_patience(ANSWER);
        self.lmtp = Some(lmtp);
        self.at = At::Start;
        Ok(())
    }

    /// One command, or a message.
    ///
    /// # Errors
    /// What the server did wrong.
    pub fn step(&mut self, random: &mut Random) -> Result<(), String> {
        if self.lmtp.is_none() {
            self.begin()?;
        }
        let end = self.lmtp.as_mut().and_then(|lmtp| end_if_idle(lmtp.stream()));
        match self.act(random) {
            Ok(()) => {
                self.record.tally.answered += 1;
                Ok(())
            }
            Err(failed) => {
                self.lmtp = None;
                let what = format!("LMTP client {}, {:?}", self.user, self.at);
                self.record.count_end(failed, end).map_err(|why| format!("{what}: {why}"))
            }
        }
    }

    fn act(&mut self, random: &mut Random) -> Result<(), Failed> {
        let lmtp = self.lmtp.as_mut().expect("a connection");
        let (command, next) = match self.at {
            At::Start => ("MAIL FROM:<sender@example.org> SIZE=500".to_string(), At::Mail),
            At::Mail => (format!("RCPT TO:<{}>", self.user), At::Recipient),
            At::Recipient if random.below(4) == 0 => ("NOOP".to_string(), At::Recipient),
            At::Recipient => return self.send(),
        };
        let answer = lmtp.command(&command).map_err(failed)?;
        match answer.code {
            250 => self.at = next,
            421 => return Err(Failed::Ended { told: true }),
            _ => return Err(Failed::Wrong(format!("{command} was answered {answer:?}"))),
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Failed> {
        let lmtp = self.lmtp.as_mut().expect("a connection");
        let id = format!("{}-{}", self.user, self.sent.len() + 1);
        lmtp.stream().send(b"DATA\r\n").map_err(failed)?;
        lmtp.expect(354).map_err(failed)?;
        self.sent.insert(id.clone(), false);
        lmtp.stream().send(&dot_stuffed(&mail::small(&id))).map_err(failed)?;
        lmtp.expect(250).map_err(failed)?;
        self.sent.insert(id, true);
        self.at = At::Start;
        Ok(())
    }

    /// Looks whether everything that was acknowledged is there once, and everything else once at most.
    ///
    /// # Errors
    /// What is missing, or too much.
    pub fn finish(&mut self) -> Result<(), String> {
        self.lmtp = None;
        let what = format!("deliveries to {}", self.user);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for id in begin(&what, || read_ids(self.addresses, &self.user))? {
            *counts.entry(id).or_default() += 1;
        }
        for (id, acknowledged) in &self.sent {
            let count = counts.remove(id).unwrap_or(0);
            if count > 1 || (*acknowledged && count == 0) {
                return Err(format!("{what}: {id}, acknowledged {acknowledged}, is there {count} times"));
            }
        }
        if counts.is_empty() { Ok(()) } else { Err(format!("{what}: nobody sent {counts:?}")) }
    }
}

fn failed(fault: crate::stream::Fault) -> Failed {
    match fault {
        // How `expect` and the like tell of another code.
        crate::stream::Fault::Wrong(what) if what.contains("code: 421") => Failed::Ended { told: true },
        other => Failed::of(other, GOODBYE),
    }
}

/// The ids of all messages in a user's INBOX.
pub(super) fn read_ids(addresses: Addresses, user: &str) -> Result<Vec<String>, Failed> {
    Ok(read_inbox(addresses, user)?.into_iter().map(|(_, id)| id).collect())
}

/// UIDs and ids of all messages in a user's INBOX, in order.
pub(super) fn read_inbox(addresses: Addresses, user: &str) -> Result<Vec<(u32, String)>, Failed> {
    let goodbye = |fault| Failed::of(fault, "* BYE");
    let mut imap = Imap::connect(addresses.imap).map_err(goodbye)?;
    imap.set_patience(ANSWER);
    imap.command(&format!("LOGIN {user} {PASSWORD}")).map_err(goodbye)?;
    imap.command("EXAMINE INBOX").map_err(goodbye)?;
    let reply = imap.command("FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (X-Id)])").map_err(goodbye)?;
    let mut found = Vec::new();
    for line in &reply.untagged {
        if let Some(id) = mail::id(line)
            && let Ok(Event::Fetch(fetch)) = event(line)
        {
            found.push((fetch.uid().ok_or_else(|| Failed::Wrong("a FETCH without UID".to_string()))?, id));
        }
    }
    Ok(found)
}
