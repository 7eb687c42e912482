//! A POP3 session (RFC 1939 with TOP, UIDL, CAPA, RESP-CODES, PIPELINING, LOGIN-DELAY, SASL, UTF8 and LANG): its state, and which command goes where.
//!
//! The maildrop is INBOX as it was at login; what comes later is for the next session. Marks of DELE are kept here and become
//! one change at QUIT, so a session that ends in any other way deletes nothing. No command changes a flag: what is retrieved
//! stays unseen for IMAP. A command that cannot end at once leaves its state in [`Running`]; nothing is read meanwhile.

mod listing;
mod login;
mod maildrop;
mod parked;
mod retrieval;
mod update;

use protocol::pop3::reply::{self, Capabilities, Code, Expire};
use protocol::pop3::{Auth, Command, Decoded, Decoder, Exchange};
use shm_abi::Histogram;
use store::{StoreError, Ticket};

use self::listing::Listing;
use self::maildrop::Maildrop;
pub(crate) use self::parked::Parked;
use self::retrieval::{Broken, Retrieval};
use crate::conversation::{Handshake, Next, Turn};
use crate::crashes;
use crate::log;
use crate::passwords::Verdict;
use crate::slots::Causes;

/// Lines that were not understood, one after the other, before a peer that has not logged in is cut off.
const BAD_COMMANDS_MAX: u32 = 10;
/// The same for one that has.
const BAD_COMMANDS_OF_USERS_MAX: u32 = 100;

/// The states of RFC 1939, 3. UPDATE is [`Running::Update`].
enum Stage {
    /// The greeting was not sent yet.
    New,
    /// AUTHORIZATION, with the name that USER gave.
    Authorization { name: Option<String> },
    /// TRANSACTION.
    Transaction(Box<Maildrop>),
}

/// What is being done.
#[derive(Default)]
enum Running {
    /// Nothing: the next command is awaited.
    #[default]
    Nothing,
    /// AUTH: a challenge was sent.
    Sasl(Exchange),
    /// The password of this user is being checked.
    Login(String),
    /// The password of this user was checked, and the answer is held back.
    Answering(String, Verdict),
    /// STLS.
    Secure(Handshake),
    /// LIST or UIDL of all messages.
    Listing(Listing),
    /// RETR or TOP.
    Retrieval(Box<Retrieval>),
    /// QUIT: what was deleted is not durably gone yet.
    Update {
        /// The change.
        ticket: Ticket,
        /// How many messages it deletes.
        marked: u32,
    },
}

/// What a step of a command comes to.
enum Flow {
    /// Go on.
    Continue,
    /// Wait.
    Wait(Next),
}

/// A POP3 session.
pub(crate) struct Pop3Session {
    decoder: Decoder,
    stage: Stage,
    running: Running,
    failed_logins: u32,
    bad_commands: u32,
}

impl Pop3Session {
    /// A session that has not greeted its peer.
    pub(crate) fn new() -> Pop3Session {
        Pop3Session {
            decoder: Decoder::new(),
            stage: Stage::New,
            running: Running::Nothing,
            failed_logins: 0,
            bad_commands: 0,
        }
    }

    /// Whether a user is logged in.
    pub(crate) fn is_authenticated(&self) -> bool {
        matches!(self.stage, Stage::Transaction(_))
    }

    /// Lets go of what a silent session does not need.
    pub(crate) fn rest(&mut self) {
        if let Stage::Transaction(maildrop) = &mut self.stage {
            maildrop.rest();
        }
    }

    /// Lets go of the maildrop. Nothing is deleted.
    pub(crate) fn end(&mut self) {
        if let Stage::Transaction(_) = &self.stage {
            self.stage = Stage::Authorization { name: None };
        }
    }

    /// Does what can be done now.
    pub(crate) fn run(&mut self, turn: &mut Turn<'_>) -> Next {
        if matches!(self.stage, Stage::New) {
            reply::ok(turn.output.bytes(), "Lode ready");
            self.stage = Stage::Authorization { name: None };
        }
        let awaits_client = matches!(self.running, Running::Nothing | Running::Sasl(_));
        if turn.causes.has(Causes::TIME) && !turn.causes.has(Causes::INPUT) && awaits_client {
            // RFC 1939, 3 would have nothing said; a line tells the user of a client that shows it what happened.
            return goodbye(turn, None, "Silent for too long");
        }
        loop {
            if turn.output.is_full() {
                return Next::Output;
            }
            let flow = match std::mem::take(&mut self.running) {
                Running::Nothing => self.next_command(turn),
                Running::Sasl(exchange) => self.go_on_sasl(exchange, turn),
                Running::Login(name) => self.go_on_login(name, turn),
                Running::Answering(name, verdict) => self.go_on_answering(name, verdict, turn),
                Running::Secure(handshake) => match handshake.go_on(turn) {
                    Some((handshake, next)) => {
                        self.running = Running::Secure(handshake);
                        Flow::Wait(next)
                    }
                    None => Flow::Continue,
                },
                Running::Listing(listing) => self.go_on_listing(listing, turn),
                Running::Retrieval(retrieval) => self.go_on_retrieval(retrieval, turn),
                Running::Update { ticket, marked } => self.go_on_update(ticket, marked, turn),
            };
            if let Flow::Wait(next) = flow {
                return next;
            }
        }
    }

    fn next_command(&mut self, turn: &mut Turn<'_>) -> Flow {
        turn.end_command();
        if let Some(why) = turn.farewell() {
            return Flow::Wait(stopped(turn, &why));
        }
        let (consumed, decoded) = self.decoder.decode(turn.input.unread());
        turn.input.consume(consumed);
        match decoded {
            Decoded::NeedMore => {
                if let Some(cell) = turn.cell() {
                    cell.end_command(turn.timer.unix_ms());
                }
                Flow::Wait(Next::Input)
            }
            Decoded::Ready(command) => {
                self.bad_commands = 0;
                begin_in_table(turn, name_of(&command));
                turn.begin_command(class_of(&command));
                self.begin(command, turn)
            }
            Decoded::Wrong(fault) => {
                reply::fault(turn.output.bytes(), &fault);
                turn.pace.count();
                self.bad_commands += 1;
                let most = if self.is_authenticated() { BAD_COMMANDS_OF_USERS_MAX } else { BAD_COMMANDS_MAX };
                if self.bad_commands > most {
                    return Flow::Wait(goodbye(turn, None, "Too many lines that are no commands"));
                }
                Flow::Continue
            }
        }
    }

    fn begin(&mut self, command: Command, turn: &mut Turn<'_>) -> Flow {
        match command {
            Command::Capa => {
                let offered = capabilities(turn);
                reply::capabilities(turn.output.bytes(), offered);
                Flow::Continue
            }
            Command::Quit => self.quit(turn),
            Command::Stls if turn.peer.tls.is_some() => refuse(turn, None, "TLS is spoken already"),
            Command::Stls if self.is_authenticated() => refuse(turn, None, "STLS comes before the login"),
            Command::Stls if !turn.may_begin_tls() => refuse(turn, None, "TLS is not offered here"),
            Command::Stls => {
                // RFC 2595, 4. A name that USER gave is forgotten, since it came in the clear.
                reply::ok(turn.output.bytes(), "Begin the handshake now");
                self.stage = Stage::Authorization { name: None };
                self.running = Running::Secure(Handshake::Said);
                Flow::Wait(Next::Output)
            }
            Command::Apop { .. } => {
                refuse(turn, None, "APOP is not offered: it needs passwords stored in the clear")
            }
            Command::Auth(Auth::List) => {
                let offered = capabilities(turn);
                reply::mechanisms(turn.output.bytes(), offered);
                Flow::Continue
            }
            Command::Lang { range } => {
                match range {
                    Some(range) => reply::language(turn.output.bytes(), &range),
                    None => reply::languages(turn.output.bytes()),
                }
                Flow::Continue
            }
            Command::Utf8 if self.is_authenticated() => refuse(turn, None, "UTF8 goes before the login"),
            // A message is the same for everybody: see ARCHITECTURE.md, "Decisions".
            Command::Utf8 => {
                reply::ok(turn.output.bytes(), "UTF-8 it is");
                Flow::Continue
            }
            Command::User { .. } | Command::Pass { .. } | Command::Auth(_) if self.is_authenticated() => {
                refuse(turn, None, "Already logged in")
            }
            Command::User { name } => self.take_name(name, turn),
            Command::Pass { password } => self.take_password(&password, turn),
            Command::Auth(Auth::Start { mechanism, initial }) => self.begin_sasl(mechanism, initial, turn),
            command => self.begin_in_maildrop(&command, turn),
        }
    }

    /// The commands of the TRANSACTION state (RFC 1939, 5 and 7).
    fn begin_in_maildrop(&mut self, command: &Command, turn: &mut Turn<'_>) -> Flow {
        let Stage::Transaction(maildrop) = &mut self.stage else {
            return refuse(turn, None, &format!("{} needs a login first", name_of(command)));
        };
        let done = match *command {
            Command::Stat => stat(maildrop, turn),
            Command::List { message: Some(message) } => listing::size_of(maildrop, message, turn),
            Command::Uidl { message: Some(message) } => listing::unique_id_of(maildrop, message, turn),
            Command::List { message: None } => self.begin_listing(Listing::sizes(), turn),
            Command::Uidl { message: None } => self.begin_listing(Listing::unique_ids(), turn),
            Command::Retr { message } => self.begin_retrieval(message, None, turn),
            Command::Top { message, lines } => self.begin_retrieval(message, Some(lines), turn),
            Command::Dele { message } => delete(maildrop, message, turn),
            Command::Rset => {
                maildrop.unmark_all();
                reply::ok(turn.output.bytes(), &format!("{} messages", maildrop.remaining()));
                Ok(())
            }
            // NOOP; `begin` has taken all others.
            _ => {
                reply::ok(turn.output.bytes(), "");
                Ok(())
            }
        };
        match done {
            Ok(()) => Flow::Continue,
            Err(Refused::NoSuchMessage) => refuse(turn, None, "No such message"),
            Err(Refused::Store(error)) if error.is_gone() => refuse(turn, None, "The message is gone"),
            Err(Refused::Store(StoreError::Withheld(message))) => {
                refuse(turn, Some(Code::SystemPermanent), &crashes::quarantined(message))
            }
            Err(Refused::Store(error)) => {
                log::error!("maildrop not readable", peer = turn.peer.endpoint, why = error);
                refuse(turn, Some(code_of(&error)), "This could not be read")
            }
        }
    }

    fn begin_listing(&mut self, listing: Listing, turn: &mut Turn<'_>) -> Result<(), Refused> {
        if let Stage::Transaction(maildrop) = &mut self.stage {
            maildrop.mailbox(&turn.shared.store)?;
            reply::ok(turn.output.bytes(), &format!("{} messages", maildrop.remaining()));
            self.running = Running::Listing(listing);
        }
        Ok(())
    }

    fn go_on_listing(&mut self, mut listing: Listing, turn: &mut Turn<'_>) -> Flow {
        let Stage::Transaction(maildrop) = &mut self.stage else { return Flow::Continue };
        match listing.run(maildrop, turn) {
            Ok(listing::Progress::Done) => Flow::Continue,
            Ok(listing::Progress::OutputFull) => {
                self.running = Running::Listing(listing);
                Flow::Wait(Next::Output)
            }
            Err(error) => {
                // The client was told that all is well, and there is no way to take that back.
                log::error!("maildrop not readable", peer = turn.peer.endpoint, why = error);
                Flow::Wait(Next::Close)
            }
        }
    }

    fn begin_retrieval(
        &mut self,
        message: u32,
        lines: Option<u64>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refused> {
        if let Stage::Transaction(maildrop) = &mut self.stage {
            let retrieval = Retrieval::begin(maildrop, message, lines, turn)?;
            self.running = Running::Retrieval(Box::new(retrieval));
        }
        Ok(())
    }

    fn go_on_retrieval(&mut self, mut retrieval: Box<Retrieval>, turn: &mut Turn<'_>) -> Flow {
        match retrieval.run(turn) {
            Ok(retrieval::Progress::Done) => Flow::Continue,
            Ok(retrieval::Progress::OutputFull) => {
                self.running = Running::Retrieval(retrieval);
                Flow::Wait(Next::Output)
            }
            Err(Broken(error)) => {
                // Without the line of one dot the client knows that the message is not whole.
                log::error!("message cut off", peer = turn.peer.endpoint, why = error);
                Flow::Wait(Next::Close)
            }
        }
    }
}

/// Why a command of the TRANSACTION state was not done.
#[derive(Debug)]
enum Refused {
    /// The number is of no message, or of one that was deleted.
    NoSuchMessage,
    /// The store cannot read it.
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        Refused::Store(error)
    }
}

fn stat(maildrop: &mut Maildrop, turn: &mut Turn<'_>) -> Result<(), Refused> {
    let octets = maildrop.remaining_octets(&turn.shared.store)?;
    reply::stat(turn.output.bytes(), maildrop.remaining(), octets);
    Ok(())
}

fn delete(maildrop: &mut Maildrop, message: u32, turn: &mut Turn<'_>) -> Result<(), Refused> {
    maildrop.mark(&turn.shared.store, message)?;
    reply::ok(turn.output.bytes(), "Marked to be deleted");
    Ok(())
}

fn capabilities(turn: &Turn<'_>) -> Capabilities {
    let settings = turn.shared.settings();
    Capabilities {
        passwords: login::may_use_passwords(turn),
        starttls: turn.may_begin_tls(),
        login_delay_seconds: settings.pop3.login_delay_seconds,
        expire: match settings.pop3.expire {
            config::Expire::Never => Expire::Never,
            config::Expire::Days(days) => Expire::Days(days),
        },
    }
}

/// What RFC 3206 has for an error of the store: whether it may pass, or somebody must do something.
fn code_of(error: &StoreError) -> Code {
    match error {
        StoreError::Corrupt { .. } | StoreError::Unusable { .. } => Code::SystemPermanent,
        _ => Code::SystemTemporary,
    }
}

fn refuse(turn: &mut Turn<'_>, code: Option<Code>, text: &str) -> Flow {
    reply::error(turn.output.bytes(), code, text);
    Flow::Continue
}

/// Says why the session ends. Nothing is deleted.
fn goodbye(turn: &mut Turn<'_>, code: Option<Code>, text: &str) -> Next {
    reply::error(turn.output.bytes(), code, text);
    Next::Close
}

fn stopped(turn: &mut Turn<'_>, why: &str) -> Next {
    goodbye(turn, Some(Code::SystemTemporary), why)
}

fn begin_in_table(turn: &Turn<'_>, name: &str) {
    turn.pace.count();
    if let Some(cell) = turn.cell() {
        cell.begin_command(name, turn.timer.unix_ms());
    }
    turn.shared.table.handler(turn.shared.handler).count(shm_abi::Counter::Commands, 1);
}

/// The class under which the command's time is shown.
fn class_of(command: &Command) -> Histogram {
    match command {
        Command::User { .. } | Command::Pass { .. } | Command::Apop { .. } | Command::Auth(_) => {
            Histogram::Pop3Login
        }
        Command::Retr { .. } | Command::Top { .. } => Histogram::Pop3Read,
        Command::Stat | Command::List { .. } | Command::Uidl { .. } => Histogram::Pop3List,
        Command::Dele { .. } | Command::Rset => Histogram::Pop3Change,
        Command::Quit => Histogram::Pop3Quit,
        _ => Histogram::Pop3Other,
    }
}

fn name_of(command: &Command) -> &'static str {
    match command {
        Command::User { .. } => "USER",
        Command::Pass { .. } => "PASS",
        Command::Apop { .. } => "APOP",
        Command::Auth(_) => "AUTH",
        Command::Capa => "CAPA",
        Command::Stls => "STLS",
        Command::Stat => "STAT",
        Command::List { .. } => "LIST",
        Command::Uidl { .. } => "UIDL",
        Command::Retr { .. } => "RETR",
        Command::Top { .. } => "TOP",
        Command::Dele { .. } => "DELE",
        Command::Rset => "RSET",
        Command::Noop => "NOOP",
        Command::Quit => "QUIT",
        Command::Utf8 => "UTF8",
        Command::Lang { .. } => "LANG",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_somebody_must_mend_is_told_from_what_passes() {
        let path = Path::new("cells");
        let full = StoreError::io(path, "write")(std::io::ErrorKind::StorageFull.into());
        for (error, code) in [
            (StoreError::corrupt(path, 64, "checksum"), Code::SystemPermanent),
            (full, Code::SystemTemporary),
            (StoreError::Busy("lock"), Code::SystemTemporary),
        ] {
            assert_eq!(code_of(&error), code, "{error}");
        }
    }
}
