//! An IMAP client with a mailbox selected: reads, changes flags, appends, expunges, searches, idles.

use super::known::{Change, Known, Message};
use super::{ANSWER, Failed, Record, after_goodbye, begin};
use crate::imap::{Event, Imap, event};
use crate::mail;
use crate::random::Random;
use crate::server::{Addresses, PASSWORD};
use crate::stream::show;
use std::collections::BTreeSet;
use std::time::Duration;

/// Messages that a client keeps at most.
const MESSAGES_MAX: usize = 24;
/// Flags that it sets.
const FLAGS: [&str; 4] = ["\\Seen", "\\Flagged", "\\Answered", "work"];
const GOODBYE: &str = "* BYE";

/// The client.
pub struct ImapClient {
    addresses: Addresses,
    user: String,
    session: Option<Session>,
    known: Known,
    /// UIDs that `$` has, in this session.
    saved: Option<BTreeSet<u32>>,
    appended: u32,
    pub(super) record: Record,
}

/// A session with the mailbox selected.
struct Session {
    imap: Imap,
    /// Messages, as the server said last.
    exists: usize,
}

impl ImapClient {
    /// Logs in and makes a mailbox.
    ///
    /// # Errors
    /// What the server did wrong.
    pub fn new(addresses: Addresses, user: &str) -> Result<ImapClient, String> {
        let mut client = ImapClient {
            addresses,
            user: user.to_string(),
            session: None,
            known: Known::default(),
            saved: None,
            appended: 0,
            record: Record::default(),
        };
        client.begin()?;
        Ok(client)
    }

    /// One command.
    ///
    /// # Errors
    /// What the server did wrong.
    pub fn step(&mut self, random: &mut Random) -> Result<(), String> {
        if self.session.is_none() {
            self.begin()?;
        }
        if let Err(failed) = self.look_idle() {
            let end = self.session.take().and_then(|mut session| session.imap.stream().local().ok());
            return self.record.count_end(failed, end).map_err(|why| self.say(&why));
        }
        let done = if self.known.is_open() { self.find_out() } else { self.act(random) };
        match done {
            Ok(()) => {
                self.record.tally.answered += 1;
                Ok(())
            }
            Err(failed) => {
                self.session = None;
                self.record.count_end(failed, None).map_err(|why| self.say(&why))
            }
        }
    }

    /// Compares the mailbox with what was acknowledged, in a new session.
    ///
    /// # Errors
    /// What is missing, or too much.
    pub fn finish(&mut self) -> Result<(), String> {
        self.session = None;
        self.begin()
    }

    fn say(&self, why: &str) -> String {
        format!("IMAP client {}: {why}\n{:?}", self.user, self.known)
    }

    fn begin(&mut self) -> Result<(), String> {
        let (addresses, user) = (self.addresses, self.user.clone());
        let (session, found) = begin(&format!("IMAP client {user}"), || select(addresses, &user))?;
        self.record.tally.late += self.known.take(found).map_err(|why| self.say(&why))?;
        self.session = Some(session);
        self.saved = None;
        Ok(())
    }

    /// What became of changes that were never answered: appends a message, and then looks what is there.
    fn find_out(&mut self) -> Result<(), Failed> {
        self.send_message()?;
        // Whatever was told with the answer or is told now.
        self.command("NOOP")?;
        let found = self.session.as_mut().expect("a session").read_all()?;
        self.record.tally.late += self.known.take(found).map_err(Failed::Wrong)?;
        self.check_exists()
    }

    /// Nothing may come while nothing is asked.
    fn look_idle(&mut self) -> Result<(), Failed> {
        let session = self.session.as_mut().expect("a session");
        if !session.imap.stream().waiting().map_err(|fault| Failed::of(fault, GOODBYE))? {
            return Ok(());
        }
        match session.imap.response() {
            Ok(line) if line.starts_with(GOODBYE.as_bytes()) => Err(after_goodbye(session.imap.stream())),
            Ok(line) => Err(Failed::Wrong(format!("unasked: {:?}", show(&line)))),
            Err(fault) => Err(Failed::of(fault, GOODBYE)),
        }
    }

    fn act(&mut self, random: &mut Random) -> Result<(), Failed> {
        let picked = random.pick(self.known.messages()).cloned();
        match (random.below(10), picked) {
            (0, _) => self.command("NOOP").map(|_| ()),
            (1 | 2, Some(message)) if self.known.messages().len() >= 4 => self.change_flags(message, random),
            (3, _) => self.compare_flags("1:*"),
            (4, Some(message)) => self.read(&message),
            (5, _) => self.search(),
            (6, _) if self.saved.is_some() => self.compare_flags("$"),
            (7, Some(message)) if self.known.messages().len() > 8 => self.expunge(message.uid),
            (8, _) => self.idle(),
            _ if self.known.messages().len() < MESSAGES_MAX => self.append(),
            _ => self.command("CHECK").map(|_| ()),
        }
    }

    /// One command that must succeed; its untagged replies.
    fn command(&mut self, command: &str) -> Result<Vec<Vec<u8>>, Failed> {
        self.session.as_mut().expect("a session").run(command)
    }

    fn change_flags(&mut self, message: Message, random: &mut Random) -> Result<(), Failed> {
        let flag = FLAGS[random.below(FLAGS.len())];
        let mut flags = message.flags.clone();
        let sign = if flags.remove(flag) { '-' } else { '+' };
        if sign == '+' {
            flags.insert(flag.to_string());
        }
        self.known.ask(Change::Flags(message.uid, flags.clone()));
        let lines = self.command(&format!("UID STORE {} {sign}FLAGS ({flag})", message.uid))?;
        let told = fetches(&lines)?;
        let right = told.iter().any(|(uid, told)| *uid == message.uid && *told == flags);
        if !right {
            return Err(Failed::Wrong(format!("UID STORE told {told:?}, wanted {flags:?}")));
        }
        self.known.answered();
        Ok(())
    }

    fn compare_flags(&mut self, which: &str) -> Result<(), Failed> {
        let lines = self.command(&format!("UID FETCH {which} (UID FLAGS)"))?;
        let is_meant = |message: &&Message| match (&self.saved, which) {
            (Some(saved), "$") => saved.contains(&message.uid),
            _ => true,
        };
        let wanted: Vec<_> = self
            .known
            .messages()
            .iter()
            .filter(is_meant)
            .map(|message| (message.uid, message.flags.clone()))
            .collect();
        let told = fetches(&lines)?;
        if told == wanted {
            return Ok(());
        }
        Err(Failed::Wrong(format!("UID FETCH {which} told {told:?}, wanted {wanted:?}")))
    }

    fn read(&mut self, message: &Message) -> Result<(), Failed> {
        let lines = self.command(&format!("UID FETCH {} (BODY.PEEK[])", message.uid))?;
        let wanted = mail::small(&message.id);
        if lines.iter().any(|line| line.windows(wanted.len()).any(|part| part == wanted)) {
            return Ok(());
        }
        Err(Failed::Wrong(format!("message {} is not as it was appended", message.uid)))
    }

    fn search(&mut self) -> Result<(), Failed> {
        self.command("UID SEARCH RETURN (SAVE) FLAGGED")?;
        let flagged = self.known.messages().iter().filter(|message| message.flags.contains("\\Flagged"));
        self.saved = Some(flagged.map(|message| message.uid).collect());
        Ok(())
    }

    fn append(&mut self) -> Result<(), Failed> {
        self.send_message()?;
        let lines = self.command("UID FETCH * (UID)")?;
        let uid = uids(&lines)?.pop().ok_or(Failed::Wrong("no message after APPEND".into()))?;
        self.known.placed(uid);
        self.check_exists()
    }

    /// APPEND of the next message, answered.
    fn send_message(&mut self) -> Result<(), Failed> {
        self.appended += 1;
        let id = format!("{}-{}", self.user, self.appended);
        let message = mail::small(&id);
        let session = self.session.as_mut().expect("a session");
        let command = format!("APPEND work {{{}}}", message.len());
        let tag = session.imap.begin(&command).map_err(|fault| Failed::of(fault, GOODBYE))?;
        session.continuation()?;
        self.known.ask(Change::Add(id));
        let sent = [message.as_slice(), b"\r\n"].concat();
        session.imap.stream().send(&sent).map_err(|fault| Failed::of(fault, GOODBYE))?;
        session.answer(&tag, "APPEND")?;
        self.known.answered();
        Ok(())
    }

    fn expunge(&mut self, uid: u32) -> Result<(), Failed> {
        let message = self.known.messages().iter().find(|known| known.uid == uid).expect("ours");
        let mut flags = message.flags.clone();
        flags.insert("\\Deleted".into());
        self.known.ask(Change::Flags(uid, flags));
        self.command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"))?;
        self.known.answered();
        self.known.ask(Change::Remove(BTreeSet::from([uid])));
        self.command(&format!("UID EXPUNGE {uid}"))?;
        self.known.answered();
        if let Some(saved) = &mut self.saved {
            saved.remove(&uid);
        }
        self.check_exists()
    }

    fn idle(&mut self) -> Result<(), Failed> {
        let session = self.session.as_mut().expect("a session");
        let tag = session.imap.begin("IDLE").map_err(|fault| Failed::of(fault, GOODBYE))?;
        session.continuation()?;
        std::thread::sleep(Duration::from_millis(30));
        session.imap.stream().send(b"DONE\r\n").map_err(|fault| Failed::of(fault, GOODBYE))?;
        session.answer(&tag, "IDLE").map(|_| ())
    }

    fn check_exists(&self) -> Result<(), Failed> {
        let told = self.session.as_ref().expect("a session").exists;
        if told == self.known.messages().len() {
            return Ok(());
        }
        let there = self.known.messages().len();
        Err(Failed::Wrong(format!("{told} messages were told, {there} are there")))
    }
}

impl Session {
    /// One command that must succeed; its untagged replies.
    fn run(&mut self, command: &str) -> Result<Vec<Vec<u8>>, Failed> {
        let tag = self.imap.begin(command).map_err(|fault| Failed::of(fault, GOODBYE))?;
        self.answer(&tag, command)
    }

    /// All that is in the mailbox.
    fn read_all(&mut self) -> Result<Vec<Message>, Failed> {
        let mut found = Vec::new();
        for line in self.run("UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (X-Id)])")? {
            let id = mail::id(&line).ok_or(Failed::Wrong(format!("no X-Id in {:?}", show(&line))))?;
            let (uid, flags) = fetches(std::slice::from_ref(&line))?.pop().expect("a FETCH reply");
            found.push(Message { uid, id, flags });
        }
        Ok(found)
    }

    fn continuation(&mut self) -> Result<(), Failed> {
        match self.imap.response() {
            Ok(line) if line.starts_with(b"+") => Ok(()),
            Ok(line) if line.starts_with(GOODBYE.as_bytes()) => Err(after_goodbye(self.imap.stream())),
            Ok(line) => Err(Failed::Wrong(format!("no continuation but {:?}", show(&line)))),
            Err(fault) => Err(Failed::of(fault, GOODBYE)),
        }
    }

    fn answer(&mut self, tag: &str, command: &str) -> Result<Vec<Vec<u8>>, Failed> {
        let mut lines = Vec::new();
        let wanted = format!("{tag} OK ");
        loop {
            let line = self.imap.response().map_err(|fault| Failed::of(fault, GOODBYE))?;
            if line.starts_with(GOODBYE.as_bytes()) {
                return Err(after_goodbye(self.imap.stream()));
            }
            if line.starts_with(wanted.as_bytes()) {
                return Ok(lines);
            }
            if !line.starts_with(b"* ") {
                return Err(Failed::Wrong(format!("{command} was answered {:?}", show(&line))));
            }
            match event(&line).map_err(|fault| Failed::Wrong(fault.to_string()))? {
                Event::Exists(count) => self.exists = count as usize,
                Event::Expunge(_) => self.exists = self.exists.saturating_sub(1),
                _ => {}
            }
            lines.push(line);
        }
    }
}

/// Begins a session with the mailbox selected, and reads all of it.
fn select(addresses: Addresses, user: &str) -> Result<(Session, Vec<Message>), Failed> {
    let imap = Imap::connect(addresses.imap).map_err(|fault| Failed::of(fault, GOODBYE))?;
    if imap.greeting.starts_with(GOODBYE.as_bytes()) {
        return Err(Failed::Ended { told: true });
    }
    let mut session = Session { imap, exists: 0 };
    session.imap.set_patience(ANSWER);
    session.run(&format!("LOGIN {user} {PASSWORD}"))?;
    let lines = session.run("LIST \"\" work")?;
    if !lines.iter().any(|line| line.starts_with(b"* LIST ")) {
        session.run("CREATE work")?;
    }
    if user.len().is_multiple_of(2) {
        session.run("COMPRESS DEFLATE")?;
        session.imap.stream().begin_compression();
    }
    session.run("SELECT work")?;
    let found = session.read_all()?;
    Ok((session, found))
}

/// UIDs and flags of the FETCH replies, without `\Recent`.
fn fetches(lines: &[Vec<u8>]) -> Result<Vec<(u32, BTreeSet<String>)>, Failed> {
    let mut found = Vec::new();
    for line in lines {
        if let Event::Fetch(fetch) = event(line).map_err(|fault| Failed::Wrong(fault.to_string()))? {
            let (Some(uid), Some(flags)) = (fetch.uid(), fetch.flags()) else {
                return Err(Failed::Wrong(format!("no UID or FLAGS in {:?}", show(line))));
            };
            found.push((uid, flags.into_iter().filter(|flag| flag != "\\Recent").collect()));
        }
    }
    Ok(found)
}

fn uids(lines: &[Vec<u8>]) -> Result<Vec<u32>, Failed> {
    let events = lines.iter().map(|line| event(line).map_err(|fault| Failed::Wrong(fault.to_string())));
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let fetch = |event| if let Event::Fetch(fetch) = event { fetch.uid() } else { None };
    Ok(events.into_iter().filter_map(fetch).collect())
}
