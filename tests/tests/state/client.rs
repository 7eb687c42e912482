//! One session: its connection, its model, and what it does to keep that up to date.

use std::time::Duration;

use tests::imap::{Imap, Status};
use tests::server::Server;

use super::kind::Kind;
use super::model::{Flags, Guess, Model};
use super::{MAILBOXES, Seen, World};

/// What a command allows the server to say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    /// EXPUNGE and VANISHED: numbers may move.
    pub(crate) expunge: bool,
    /// VANISHED (EARLIER).
    pub(crate) earlier: bool,
    /// FETCH replies without the UID and MODSEQ that are otherwise due.
    pub(crate) bare_fetch: bool,
    /// A tagged NO.
    pub(crate) no: bool,
}

/// A command that was sent.
pub(crate) struct Sent {
    pub(crate) tag: String,
    pub(crate) command: String,
    pub(crate) allowed: Allowed,
    /// What a silent STORE comes to.
    pub(crate) guess: Option<Guess>,
    /// The connection is cut before the reply is read.
    pub(crate) cut: bool,
    /// A mailbox that is selected when it succeeds; what was known of it before, if that is to be brought up to date.
    pub(crate) selects: Option<(usize, Option<Model>)>,
    /// Leaves the selected state.
    pub(crate) leaves: bool,
}

impl Sent {
    pub(crate) fn new(tag: String, command: &str, allowed: Allowed) -> Sent {
        let command = command.to_string();
        Sent { tag, command, allowed, guess: None, cut: false, selects: None, leaves: false }
    }
}

/// A session.
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) kind: Kind,
    pub(crate) imap: Imap,
    /// The mailbox that is selected, and what is known of it.
    pub(crate) selected: Option<(usize, Model)>,
    /// What was known of mailboxes when they were left.
    pub(crate) cache: [Option<Model>; 2],
    pub(crate) sent: Option<Sent>,
    /// Whether the command that was sent is an IDLE that goes on.
    pub(crate) is_idle: bool,
    /// The last lines of the conversation, for failures.
    pub(crate) heard: Vec<String>,
}

impl Client {
    pub(crate) fn new(server: &Server, number: usize, kind: Kind) -> Client {
        let imap = server.imap(kind.user());
        let mut client = Client {
            number,
            kind,
            imap,
            selected: None,
            cache: [None, None],
            sent: None,
            is_idle: false,
            heard: Vec::new(),
        };
        client.enable();
        client
    }

    /// Logs in anew, with nothing selected.
    pub(crate) fn reconnect(&mut self, server: &Server) {
        self.imap = server.imap(self.kind.user());
        (self.sent, self.is_idle, self.selected) = (None, false, None);
        self.heard.push("-- connects".to_string());
        self.enable();
    }

    fn enable(&mut self) {
        let names = self.kind.names();
        if !names.is_empty() {
            let reply = self.imap.ok(&format!("ENABLE {names}"));
            let told = reply.untagged.iter().map(|line| String::from_utf8_lossy(line).into_owned());
            let told: Vec<String> = told.collect();
            assert!(names.split(' ').all(|name| told[0].contains(name)), "ENABLE {names}: {told:?}");
        }
    }

    pub(crate) fn has_selected(&self, mailbox: usize) -> bool {
        self.selected.as_ref().is_some_and(|(selected, _)| *selected == mailbox)
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, command: &str, allowed: Allowed) -> &mut Sent {
        assert!(self.sent.is_none(), "a command goes on");
        let tag = self.imap.begin(command).expect("sent");
        self.note(format!("C: {tag} {command}"));
        self.sent.insert(Sent::new(tag, command, allowed))
    }

    pub(crate) fn note(&mut self, line: String) {
        if self.heard.len() > 400 {
            self.heard.drain(..200);
        }
        self.heard.push(line);
    }

    /// Sends a command and takes its replies.
    pub(crate) fn run(&mut self, command: &str, allowed: Allowed, world: &mut World) {
        self.send(command, allowed);
        self.finish(world);
    }

    /// Reads the replies to what was sent.
    pub(crate) fn finish(&mut self, world: &mut World) {
        let Some(mut sent) = self.sent.take() else { return };
        if let Some((mailbox, known)) = &mut sent.selects {
            // What is said before CLOSED would be of the mailbox before; nothing is.
            let model = known.take().unwrap_or_default();
            self.selected = Some((*mailbox, model));
        }
        let mut lines = Vec::new();
        let tagged = loop {
            let line = self.imap.response().unwrap_or_else(|fault| self.fail(&format!("{fault}"), &sent));
            let text = String::from_utf8_lossy(&line).into_owned();
            self.note(format!("S: {text}"));
            if line.starts_with(b"* ") {
                lines.push(line);
                continue;
            }
            if line.starts_with(b"+") {
                continue;
            }
            break text;
        };
        let Some(rest) = tagged.strip_prefix(&format!("{} ", sent.tag)) else {
            self.fail(&format!("the tag of {tagged}"), &sent)
        };
        let status = match rest.split(' ').next() {
            Some("OK") => Status::Ok,
            Some("NO") if sent.allowed.no => Status::No,
            _ => self.fail("the command was refused", &sent),
        };
        let selecting = sent.selects.is_some();
        let take = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.take_all(&lines, rest, selecting, &mut sent, world);
        }));
        if take.is_err() {
            self.fail("see above", &sent);
        }
        if sent.leaves || (selecting && status != Status::Ok) {
            self.selected = None;
        }
    }

    /// Reads some of the replies to what was sent, and takes them: those that came before the connection was lost.
    pub(crate) fn hear_some(&mut self, lines: usize, world: &mut World) {
        let Some(mut sent) = self.sent.take() else { return };
        for _ in 0..lines {
            if !self.imap.stream().ready(Duration::from_millis(1)) {
                return;
            }
            let line = self.imap.response().unwrap_or_else(|fault| self.fail(&format!("{fault}"), &sent));
            if line.starts_with(b"+") {
                continue;
            }
            if !line.starts_with(b"* ") {
                return;
            }
            self.note(format!("S: {} (and then the connection is lost)", String::from_utf8_lossy(&line)));
            self.take(&line, None, &mut sent, world);
        }
    }

    /// The model must be what is there.
    pub(crate) fn compare(&mut self, seen: &[Seen], highest: u64) {
        let (_, model) = self.selected.as_ref().expect("selected");
        let told: Vec<(u32, Flags)> = model
            .messages
            .iter()
            .map(|message| (message.uid.expect("a UID"), message.flags.clone().expect("flags")))
            .collect();
        let is: Vec<(u32, Flags)> = seen.iter().map(|(uid, flags, _)| (*uid, flags.clone())).collect();
        let mut wrong = None;
        if told != is {
            wrong = Some(format!("told {told:?}\nis {is:?}"));
        }
        if self.kind.condstore {
            let told: Vec<Option<u64>> = model.messages.iter().map(|message| message.modseq).collect();
            let is: Vec<Option<u64>> = seen.iter().map(|(_, _, modseq)| Some(*modseq)).collect();
            if told != is {
                wrong = Some(format!("modseqs told {told:?}\nare {is:?}"));
            }
            let is_right =
                if self.kind.qresync { model.highest == highest } else { model.highest <= highest };
            if !is_right {
                wrong = Some(format!("HIGHESTMODSEQ told {}, is {highest}", model.highest));
            }
        }
        if let Some(wrong) = wrong {
            self.fail(&wrong, &Sent::new(String::new(), "checkpoint", Allowed::default()));
        }
    }

    /// Nothing goes on, and everything was told.
    pub(crate) fn settle(&mut self, world: &mut World) {
        self.end_idle(world);
        self.finish(world);
        if self.selected.is_some() {
            let everything = Allowed { expunge: true, ..Allowed::default() };
            self.run("NOOP", everything, world);
            self.learn(world);
            assert!(
                !self.imap.stream().ready(Duration::ZERO),
                "client {}: more than was asked for",
                self.number
            );
        }
    }

    /// Fetches what is new.
    pub(crate) fn learn(&mut self, world: &mut World) {
        let mut tries = 0;
        while let Some((_, model)) = &self.selected
            && model.unknown() > 0
        {
            tries += 1;
            if tries > 5 {
                self.fail(
                    "new messages are not there",
                    &Sent::new(String::new(), "learn", Allowed::default()),
                );
            }
            let items = if self.kind.condstore { "(UID FLAGS MODSEQ)" } else { "(UID FLAGS)" };
            if self.kind.uid_only {
                let allowed = Allowed { expunge: true, ..Allowed::default() };
                self.run(&format!("UID FETCH 1:* {items}"), allowed, world);
            } else {
                let first = model.messages.iter().position(|message| message.uid.is_none()).unwrap_or(0) + 1;
                self.run(&format!("FETCH {first}:* {items}"), Allowed::default(), world);
            }
        }
    }

    /// Ends an IDLE.
    pub(crate) fn end_idle(&mut self, world: &mut World) {
        if std::mem::take(&mut self.is_idle) {
            self.imap.stream().send(b"DONE\r\n").expect("sent");
            self.note("C: DONE".to_string());
            self.finish(world);
        }
    }

    /// Says what was said before.
    pub(crate) fn fail(&self, what: &str, sent: &Sent) -> ! {
        let mailbox = self.selected.as_ref().map(|(mailbox, _)| MAILBOXES[*mailbox]);
        let heard = &self.heard[self.heard.len().saturating_sub(60)..];
        panic!(
            "client {} ({:?}) in {mailbox:?}, {}: {what}\n{}",
            self.number,
            self.kind,
            sent.command,
            heard.join("\n")
        )
    }
}
