//! The contract between a session's engine and the protocol that it speaks.
//!
//! The engine (`session.rs`) moves bytes and parks the session; a conversation turns input into commands, commands into
//! work on the store, and results into output. A conversation never blocks: it says what it waits for.

use std::os::fd::OwnedFd;
use std::time::Duration;

use shm_abi::{Cell, Endpoint, Histogram, Protocol, TlsFacts};
use store::{MailboxId, Ticket};

use crate::command_timer::CommandTimer;
use crate::compression::inflate::{Broken, Inflater};
use crate::imap::ImapSession;
use crate::lmtp::LmtpSession;
use crate::output::Output;
use crate::pace::Pace;
use crate::parked::{Parked, Parking, Raw, Unreadable};
use crate::passwords::Checked;
use crate::pop3::Pop3Session;
use crate::shared::Shared;
use crate::slots::{Causes, SlotNumber};

/// What a conversation wants after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on soon: there is more to do, but others should have their turn.
    Again,
    /// More input (RFC commands come in lines).
    Input,
    /// The output is full; go on when it was sent.
    Output,
    /// Go on when the ticket is durable or has failed.
    Commit(Ticket),
    /// More input, or a change in the watched mailbox (IDLE).
    InputOrChange,
    /// The answer of a helper thread.
    Helper,
    /// The peer was told to begin a TLS handshake, and that was sent: go on when it is done. The input is empty then.
    Secure,
    /// Go on after so many milliseconds, whatever comes before; sooner only when the handler is being shut down.
    Pause(u64),
    /// Send what is in the output, then close.
    Close,
}

/// What becomes of a session whose running command was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The client was told, and may give other commands.
    GoesOn,
    /// What is in the output is the last of it.
    Closes,
}

/// A helper thread's answer to a session.
#[derive(Debug)]
pub(crate) enum Answer {
    /// What became of a password check.
    Password(Checked),
    /// The handshake is done: this takes the place of the session's socket.
    Secured(OwnedFd, TlsFacts),
    /// The handshake failed.
    NotSecured,
}

/// How far STARTTLS or STLS is, whose OK is in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// The OK is on its way.
    Said,
    /// Another process has the connection.
    Begun,
}

impl Handshake {
    /// Goes on with it: what is to be waited for, and how far it is then; `None` once the peer speaks TLS.
    pub(crate) fn go_on(self, turn: &Turn<'_>) -> Option<(Handshake, Next)> {
        if turn.peer.tls.is_some() {
            return None;
        }
        if turn.shared.is_shutting_down() {
            // Without a word: whatever is said would be taken for a part of the handshake.
            return Some((Handshake::Begun, Next::Close));
        }
        Some(match self {
            Handshake::Said => (Handshake::Begun, Next::Secure),
            Handshake::Begun => (Handshake::Begun, Next::Helper),
        })
    }
}

/// What the peer sent and nobody has understood yet.
#[derive(Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    /// What of `bytes` was consumed.
    consumed: usize,
    /// The peer sends no more.
    pub(crate) ended: bool,
    compression: Compression,
}

/// Whether what comes is compressed.
#[derive(Default)]
enum Compression {
    #[default]
    Off,
    On(Box<Inflater>),
    /// It ends before anything else is read; the last of it has not come yet.
    Ending(Box<Inflater>),
}

impl Input {
    /// What came and was not consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    /// Drops the first `octets` of what is unread.
    pub(crate) fn consume(&mut self, octets: usize) {
        self.consumed += octets;
        debug_assert!(self.consumed <= self.bytes.len());
        if self.consumed >= self.bytes.len() {
            self.bytes.clear();
            self.consumed = 0;
        }
    }

    /// Adds what came.
    pub(crate) fn extend(&mut self, came: &[u8]) {
        match &mut self.compression {
            Compression::Off => {
                self.drop_consumed();
                self.bytes.extend_from_slice(came);
            }
            Compression::On(inflater) | Compression::Ending(inflater) => inflater.extend(came),
        }
    }

    /// What is unread, and all that comes, is compressed (RFC 4978).
    pub(crate) fn begin_compression(&mut self) {
        let mut inflater = Box::new(Inflater::default());
        inflater.extend(self.unread());
        self.consume(self.unread().len());
        self.compression = Compression::On(inflater);
    }

    /// What comes behind the command that was read last is not compressed any more (RFC 8437).
    pub(crate) fn end_compression(&mut self) {
        if let Compression::On(inflater) = std::mem::take(&mut self.compression) {
            self.compression = Compression::Ending(inflater);
        }
    }

    /// A number that is another whenever other octets of the past must be kept to understand what comes; 0 if none need be. `None` while that cannot
    /// be kept.
    pub(crate) fn wire_stamp(&self) -> Option<u64> {
        match &self.compression {
            Compression::Off => Some(0),
            Compression::On(inflater) => inflater.can_be_kept().then(|| inflater.stamp()),
            Compression::Ending(_) => None,
        }
    }

    /// What must be kept to understand what comes; nothing if it is not compressed.
    pub(crate) fn wire(&self) -> Vec<u8> {
        match &self.compression {
            Compression::On(inflater) => inflater.keep().unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// What comes is compressed as it was in another handler, which kept this. False if that makes no sense.
    pub(crate) fn resume_compression(&mut self, wire: &[u8]) -> bool {
        match Inflater::resume(wire) {
            Some(inflater) => self.compression = Compression::On(Box::new(inflater)),
            None => return false,
        }
        true
    }

    /// Whether there is something that [`Input::inflate`] could turn into input.
    pub(crate) fn has_compressed(&self) -> bool {
        match &self.compression {
            Compression::Off => false,
            Compression::On(inflater) => inflater.has_more(),
            Compression::Ending(_) => true,
        }
    }

    /// Makes a piece of what came compressed readable. False if there is nothing more: then new octets are needed.
    ///
    /// # Errors
    /// The peer sends what makes no sense.
    pub(crate) fn inflate(&mut self) -> Result<bool, Broken> {
        self.drop_consumed();
        let before = self.bytes.len();
        match &mut self.compression {
            Compression::Off => Ok(false),
            Compression::On(inflater) => Ok(inflater.inflate(&mut self.bytes)? || self.bytes.len() > before),
            Compression::Ending(inflater) => {
                let Some(plain) = inflater.end()? else { return Ok(false) };
                self.compression = Compression::Off;
                self.bytes.extend_from_slice(&plain);
                Ok(!plain.is_empty())
            }
        }
    }

    fn drop_consumed(&mut self) {
        if self.consumed > 0 {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
    }

    /// Gives back memory that an idle session does not need.
    pub(crate) fn shrink(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
        if let Compression::On(inflater) = &mut self.compression {
            inflater.rest();
        }
    }
}

/// All that a conversation can reach in one turn.
pub(crate) struct Turn<'a> {
    /// What the sessions of this handler share.
    pub(crate) shared: &'a Shared,
    /// This session's slot.
    pub(crate) slot: SlotNumber,
    /// The session's generation, which tells it from earlier users of the slot.
    pub(crate) generation: u32,
    /// What the peer sent.
    pub(crate) input: &'a mut Input,
    /// What the peer will get.
    pub(crate) output: &'a mut Output,
    /// What woke the session.
    pub(crate) causes: Causes,
    /// A helper's answer, if that is what woke it.
    pub(crate) answer: Option<Answer>,
    /// The peer and how it came here.
    pub(crate) peer: &'a Peer,
    /// Measures the commands.
    pub(crate) timer: &'a mut CommandTimer,
    /// Why this session alone is to leave, if it is.
    pub(crate) leave: Option<&'a str>,
    /// How fast it gives commands: each is counted.
    pub(crate) pace: &'a Pace,
}

impl Turn<'_> {
    /// A command of this class was read: it is measured from now on. One that still runs goes on as this one.
    pub(crate) fn begin_command(&mut self, class: Histogram) {
        self.timer.begin(class, self.shared.metrics());
    }

    /// The command that runs, if one does, has said all that it says.
    pub(crate) fn end_command(&mut self) {
        self.timer.end();
    }

    /// Why the session is to say goodbye, if it is.
    pub(crate) fn farewell(&self) -> Option<String> {
        match self.leave {
            Some(reason) => Some(reason.to_string()),
            None => self.shared.is_shutting_down().then(|| "The server is being stopped".to_string()),
        }
    }

    /// Has the session woken by changes of what has these keys from now on, and of nothing else. It must look at that after this.
    pub(crate) fn watch(&self, keys: Vec<u64>) {
        self.shared.changes.watch(self.shared, self.slot, &keys);
    }

    /// A number that is another whenever the mailbox, or the list, has changed. Read it before looking.
    pub(crate) fn generation(&self, mailbox: MailboxId) -> u64 {
        self.shared.table.generation(self.shared.table.row_of(mailbox.key()))
    }

    /// Ends [`Turn::watch`].
    pub(crate) fn unwatch(&self) {
        self.shared.changes.unwatch(self.shared, self.slot);
    }

    /// The session's cell in the table, to say there what it does.
    pub(crate) fn cell(&self) -> Option<Cell<'_>> {
        self.shared.cell(self.slot, self.generation)
    }

    /// Whether STARTTLS or STLS may be said now: there is a certificate, and the peer does not speak TLS yet.
    pub(crate) fn may_begin_tls(&self) -> bool {
        self.peer.tls.is_none() && self.shared.settings().tls.is_on()
    }

    /// Tells the sessions of all processes of a change once its ticket is durable.
    pub(crate) fn announce(&self, ticket: Ticket, touched: &[MailboxId]) {
        self.shared.commits.announce(self.shared, ticket, touched);
    }
}

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Between two things it says.
    Silence(Duration),
    /// From the connection to the login: an octet now and then does not prolong it.
    Login(Duration),
}

/// The other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// Whether nobody on the way can read what is said.
    pub(crate) is_private: bool,
    /// By what TLS it came, if it did.
    pub(crate) tls: Option<TlsFacts>,
}

/// One of the protocols, with its state.
pub(crate) enum Conversation {
    /// IMAP.
    Imap(Box<ImapSession>),
    /// POP3.
    Pop3(Box<Pop3Session>),
    /// LMTP.
    Lmtp(Box<LmtpSession>),
}

impl Conversation {
    /// Does what can be done now. With [`Causes::TIME`] or [`Causes::SHUTDOWN`] it says goodbye and returns
    /// [`Next::Close`], unless a change of its own must be waited for first.
    pub(crate) fn run(&mut self, turn: &mut Turn<'_>) -> Next {
        match self {
            Conversation::Imap(session) => session.run(turn),
            Conversation::Pop3(session) => session.run(turn),
            Conversation::Lmtp(session) => session.run(turn),
        }
    }

    /// What is spoken.
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Conversation::Imap(_) => Protocol::Imap,
            Conversation::Pop3(_) => Protocol::Pop3,
            Conversation::Lmtp(_) => Protocol::Lmtp,
        }
    }

    /// How long the peer may take in the present state.
    pub(crate) fn patience(&self, shared: &Shared) -> Patience {
        let limits = &shared.settings().limits;
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        match self {
            Conversation::Imap(session) if session.is_authenticated() => {
                Patience::Silence(seconds(limits.imap_idle_seconds))
            }
            Conversation::Pop3(session) if session.is_authenticated() => {
                Patience::Silence(seconds(limits.pop3_idle_seconds))
            }
            Conversation::Lmtp(_) => Patience::Silence(seconds(limits.lmtp_idle_seconds)),
            Conversation::Imap(_) | Conversation::Pop3(_) => Patience::Login(seconds(limits.login_seconds)),
        }
    }

    /// Lets go of what the session holds in the store and elsewhere; it is about to be dropped.
    pub(crate) fn end(&mut self) {
        if let Conversation::Pop3(session) = self {
            session.end();
        }
    }

    /// Says goodbye, because changes that were answered in advance may not last.
    pub(crate) fn give_up(&mut self, output: &mut Output) {
        if let Conversation::Imap(session) = self {
            session.give_up(output);
        }
    }

    /// Stops the running command, for which the session took more memory than it may have.
    pub(crate) fn stop_for_memory(&mut self, output: &mut Output) -> Stopped {
        match self {
            Conversation::Imap(session) => session.stop_for_memory(output),
            // What these two hold is limited by structure, so that it is the handler that is short; a reply may be half said.
            Conversation::Pop3(_) | Conversation::Lmtp(_) => Stopped::Closes,
        }
    }

    /// What is to be kept of it now, so that another handler can go on.
    pub(crate) fn parking(&self) -> Parking<'_> {
        match self {
            Conversation::Imap(session) => session.parking(),
            Conversation::Pop3(session) => session.parking(),
            Conversation::Lmtp(session) => session.parking(),
        }
    }

    /// The part of that which is in the annex.
    pub(crate) fn large(&self) -> Vec<u8> {
        match self {
            Conversation::Imap(session) => session.large(),
            Conversation::Pop3(session) => session.large(),
            Conversation::Lmtp(session) => session.large(),
        }
    }

    /// Becomes the conversation that was parked so, in another handler.
    ///
    /// # Errors
    /// What was parked makes no sense, or what it stands for is gone.
    pub(crate) fn resume(&mut self, raw: &Raw, turn: &mut Turn<'_>) -> Result<(), Unreadable> {
        *self = match (&*self, raw.small()?) {
            (Conversation::Imap(_), Parked::Imap(parked)) => {
                Conversation::Imap(Box::new(ImapSession::resume(parked, raw.large(), turn)?))
            }
            (Conversation::Pop3(_), Parked::Pop3(parked)) => {
                Conversation::Pop3(Box::new(Pop3Session::resume(parked, raw.large(), turn)?))
            }
            (Conversation::Lmtp(_), Parked::Lmtp(parked)) => {
                Conversation::Lmtp(Box::new(LmtpSession::resume(parked, raw.large(), turn)?))
            }
            _ => return Err(Unreadable("it is of another protocol")),
        };
        Ok(())
    }

    /// Says that the session cannot go on, and why. Nothing that was being done is done.
    pub(crate) fn say_lost(&mut self, why: &str, output: &mut Output) {
        let text = format!("The session cannot go on: {why}");
        match self {
            Conversation::Imap(session) => session.say_lost(&text, output),
            Conversation::Pop3(session) => session.say_lost(&text, output),
            Conversation::Lmtp(_) => protocol::lmtp::Reply::SHUTDOWN.write(output.bytes()),
        }
    }

    /// Lets go of caches before the session is parked for long.
    pub(crate) fn rest(&mut self) {
        match self {
            Conversation::Imap(session) => session.rest(),
            Conversation::Pop3(session) => session.rest(),
            Conversation::Lmtp(_) => {}
        }
    }
}
