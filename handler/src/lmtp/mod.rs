//! An LMTP session (RFC 2033 with PIPELINING, SIZE, 8BITMIME, SMTPUTF8, ENHANCEDSTATUSCODES, CHUNKING, BINARYMIME, XCLIENT and
//! XFORWARD): its state, and which command goes where.
//!
//! A message is streamed from the input into a draft of the store as it comes, is delivered to all recipients by one change,
//! and each of them is answered once that is durable. A connection that is lost before the end of the message leaves nothing
//! behind. Nothing is logged, locked or copied for a single RCPT beyond its user's number: fifty recipients must not cost
//! fifty deliveries.
//!
//! DSN (RFC 3461) is not announced, though its parameters are understood: who is told of each recipient's fate is the mail server
//! before us, and it notifies the sender.

mod answers;
mod chunks;
mod delivery;
mod folder;
mod intake;
mod origin;
mod outcomes;
mod parked;
mod recipients;
mod rewriting;
mod transaction;

use protocol::lmtp::reply;
use protocol::lmtp::{Body, ChunkDecoder, Command, DataDecoder, Decoded, Decoder, Extensions, Fault, Reply};
use shm_abi::Histogram;
use store::Ticket;

use self::answers::Answers;
use self::delivery::Delivered;
use self::intake::Intake;
use self::origin::Client;
use self::parked::History;
pub(crate) use self::parked::Parked;
use self::transaction::Transaction;
use crate::conversation::{Next, Turn};
use crate::slots::Causes;
use crate::without_nul::WithoutNul;

/// Lines that were not understood, one after the other, before the peer is cut off.
const FAULTS_MAX: u32 = 20;

/// How far the dialogue is (RFC 5321, 4.1.4).
enum Stage {
    /// The greeting was not sent yet.
    New,
    /// LHLO is awaited.
    Greeted,
    /// Between transactions.
    Idle,
    /// MAIL was taken.
    Mail(Box<Transaction>),
    /// A chunk came that was not the last: BDAT or RSET is awaited (RFC 3030, 2).
    Chunks(Box<Intake>),
}

/// What is being done.
#[derive(Default)]
enum Running {
    /// Nothing: the next command is awaited.
    #[default]
    Nothing,
    /// DATA: the message is coming.
    Intake(Box<Intake>, DataDecoder),
    /// BDAT: a chunk is coming.
    Chunk(Box<Intake>, ChunkDecoder, Last),
    /// The whole message is there, and is written anew without NUL.
    Rewriting(Box<Intake>, Box<WithoutNul>),
    /// BDAT: a chunk is coming that nobody wants; then this is said, if anything.
    Skip(ChunkDecoder, Option<Reply>),
    /// The message was delivered, and is not durable yet.
    Commit(Ticket, Box<Delivered>),
    /// The recipients are being answered.
    Answers(Answers),
}

/// Whether a chunk is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// The message ends with it.
    Yes,
    /// Others follow.
    No,
}

/// What a step of a command comes to.
enum Flow {
    /// Go on.
    Continue,
    /// Wait.
    Wait(Next),
}

/// An LMTP session.
pub(crate) struct LmtpSession {
    decoder: Decoder,
    stage: Stage,
    running: Running,
    /// Where mail comes from.
    client: Client,
    /// Transactions so far, to name each in the log and in the message.
    transactions: u32,
    faults: u32,
    /// What another handler does again to go on.
    history: History,
}

impl LmtpSession {
    /// A session that has not greeted its peer.
    pub(crate) fn new() -> LmtpSession {
        LmtpSession {
            decoder: Decoder::new(),
            stage: Stage::New,
            running: Running::Nothing,
            client: Client::default(),
            transactions: 0,
            faults: 0,
            history: History::default(),
        }
    }

    /// Does what can be done now.
    pub(crate) fn run(&mut self, turn: &mut Turn<'_>) -> Next {
        if matches!(self.stage, Stage::New) {
            reply::greeting(turn.output.bytes(), intake::host());
            self.stage = Stage::Greeted;
        }
        let awaits_client =
            !matches!(self.running, Running::Commit(..) | Running::Answers(_) | Running::Rewriting(..));
        if turn.causes.has(Causes::TIME) && !turn.causes.has(Causes::INPUT) && awaits_client {
            return goodbye(turn, &Reply::IDLE);
        }
        loop {
            if turn.output.is_full() {
                return Next::Output;
            }
            let flow = match std::mem::take(&mut self.running) {
                Running::Nothing => self.next_command(turn),
                Running::Intake(intake, decoder) => self.go_on_intake(intake, decoder, turn),
                Running::Chunk(intake, chunk, last) => self.go_on_chunk(intake, chunk, last, turn),
                Running::Rewriting(intake, message) => self.go_on_rewriting(intake, message, turn),
                Running::Skip(chunk, reply) => self.go_on_skip(chunk, reply, turn),
                Running::Commit(ticket, delivered) => self.go_on_commit(ticket, delivered, turn),
                Running::Answers(answers) => self.go_on_answers(answers, turn),
            };
            if let Flow::Wait(next) = flow {
                return next;
            }
        }
    }

    fn next_command(&mut self, turn: &mut Turn<'_>) -> Flow {
        turn.end_command();
        if turn.farewell().is_some() && !matches!(self.stage, Stage::Mail(_) | Stage::Chunks(_)) {
            return Flow::Wait(goodbye(turn, &Reply::SHUTDOWN));
        }
        let (consumed, decoded) = self.decoder.decode(turn.input.unread());
        if let Decoded::Ready(command) = &decoded
            // What is refused now might not be when it is done again.
            && (!matches!(command, Command::Xclient(_)) || self.may_say_origin(turn).is_ok())
        {
            self.history.note(command, &turn.input.unread()[..consumed]);
        }
        turn.input.consume(consumed);
        match decoded {
            Decoded::NeedMore => {
                if let Some(cell) = turn.cell() {
                    cell.end_command(turn.timer.unix_ms());
                }
                Flow::Wait(Next::Input)
            }
            Decoded::Ready(command) => {
                self.faults = 0;
                begin_in_table(turn, &command);
                turn.begin_command(match command {
                    Command::Mail(_) | Command::Rcpt { .. } => Histogram::LmtpEnvelope,
                    _ => Histogram::LmtpOther,
                });
                self.begin(command, turn)
            }
            Decoded::Wrong(fault) => {
                self.faults += 1;
                if self.faults > FAULTS_MAX {
                    return Flow::Wait(goodbye(turn, &Reply::TOO_MANY_FAULTS));
                }
                if fault == Fault::ChunkSize {
                    // Nobody knows what is message and what is command from here on.
                    return Flow::Wait(goodbye(turn, &Reply::from(fault)));
                }
                say(turn, &Reply::from(fault))
            }
        }
    }

    fn begin(&mut self, command: Command, turn: &mut Turn<'_>) -> Flow {
        match command {
            Command::Lhlo { domain } => {
                self.client.name = domain;
                self.stage = Stage::Idle;
                let extensions = Extensions {
                    message_octets_max: turn.shared.settings().limits.message_bytes,
                    origin: origin::is_trusted(turn),
                };
                reply::lhlo(turn.output.bytes(), intake::host(), extensions);
                Flow::Continue
            }
            Command::Mail(mail) => match &self.stage {
                Stage::New | Stage::Greeted => say(turn, &Reply::NEED_LHLO),
                Stage::Mail(_) => say(turn, &Reply::NESTED_MAIL),
                Stage::Chunks(_) => say(turn, &Reply::BETWEEN_CHUNKS),
                Stage::Idle => {
                    let transaction = match Transaction::new(mail, turn.shared) {
                        Ok(transaction) => transaction,
                        Err(reply) => return say(turn, &reply),
                    };
                    if transaction.is_too_large() {
                        return say(turn, &Reply::TOO_LARGE);
                    }
                    self.stage = Stage::Mail(Box::new(transaction));
                    say(turn, &Reply::SENDER_OK)
                }
            },
            Command::Rcpt { recipient } => match &mut self.stage {
                Stage::New | Stage::Greeted => say(turn, &Reply::NEED_LHLO),
                Stage::Idle => say(turn, &Reply::NEED_MAIL),
                Stage::Chunks(_) => say(turn, &Reply::BETWEEN_CHUNKS),
                Stage::Mail(transaction) => {
                    let reply = transaction.add(recipient, turn.shared);
                    if reply.code >= 400 {
                        outcomes::count(&reply, turn.shared);
                    }
                    say(turn, &reply)
                }
            },
            Command::Data => self.begin_data(turn),
            Command::Bdat { octets, last } => {
                let last = if last { Last::Yes } else { Last::No };
                self.begin_chunk(ChunkDecoder::new(octets), last, turn)
            }
            Command::Xclient(origin) => match self.may_say_origin(turn) {
                Ok(()) => {
                    self.client.become_other(origin);
                    self.stage = Stage::Greeted;
                    reply::greeting(turn.output.bytes(), intake::host());
                    Flow::Continue
                }
                Err(reply) => say(turn, &reply),
            },
            Command::Xforward(origin) => match self.may_say_origin(turn) {
                Ok(()) => {
                    self.client.forward(origin);
                    say(turn, &Reply::OK)
                }
                Err(reply) => say(turn, &reply),
            },
            Command::Rset => {
                if matches!(self.stage, Stage::Mail(_) | Stage::Chunks(_)) {
                    self.stage = Stage::Idle;
                }
                self.client.end_message();
                self.history.end_transaction();
                say(turn, &Reply::OK)
            }
            Command::Noop => say(turn, &Reply::OK),
            Command::Vrfy => say(turn, &Reply::VRFY),
            Command::Help => say(turn, &Reply::HELP),
            Command::Quit => Flow::Wait(goodbye(turn, &Reply::BYE)),
        }
    }

    fn begin_data(&mut self, turn: &mut Turn<'_>) -> Flow {
        let transaction = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Mail(transaction)
                if transaction.has_recipients() && transaction.mail.body != Body::Binary =>
            {
                transaction
            }
            stage => {
                let reply = match &stage {
                    Stage::New | Stage::Greeted => Reply::NEED_LHLO,
                    Stage::Idle => Reply::NEED_MAIL,
                    Stage::Mail(transaction) if transaction.mail.body == Body::Binary => Reply::NEED_CHUNKS,
                    Stage::Mail(_) => Reply::NO_RECIPIENTS,
                    Stage::Chunks(_) => Reply::BETWEEN_CHUNKS,
                };
                self.stage = stage;
                return say(turn, &reply);
            }
        };
        let intake = self.begin_intake(transaction, turn);
        if let Some(reply) = intake.refusal() {
            return say(turn, reply);
        }
        self.running = Running::Intake(Box::new(intake), DataDecoder::new());
        turn.end_command();
        say(turn, &Reply::START_DATA)
    }

    fn begin_intake(&mut self, transaction: Box<Transaction>, turn: &Turn<'_>) -> Intake {
        self.transactions += 1;
        let intake = Intake::begin(transaction, &self.client, self.transactions, turn);
        self.client.end_message();
        self.history.end_transaction();
        intake
    }

    fn go_on_intake(
        &mut self,
        mut intake: Box<Intake>,
        mut decoder: DataDecoder,
        turn: &mut Turn<'_>,
    ) -> Flow {
        if intake.take(&mut decoder, turn) {
            self.finish(intake, turn)
        } else {
            self.running = Running::Intake(intake, decoder);
            Flow::Wait(Next::Input)
        }
    }

    fn deliver(&mut self, intake: Intake, turn: &mut Turn<'_>) -> Flow {
        self.running = match intake.deliver(turn) {
            Ok((ticket, delivered)) => Running::Commit(ticket, Box::new(delivered)),
            Err(answers) => Running::Answers(answers),
        };
        Flow::Continue
    }

    fn go_on_commit(&mut self, ticket: Ticket, delivered: Box<Delivered>, turn: &mut Turn<'_>) -> Flow {
        match turn.shared.store.ticket_state(ticket) {
            None => {
                self.running = Running::Commit(ticket, delivered);
                Flow::Wait(Next::Commit(ticket))
            }
            Some(state) => {
                self.running = Running::Answers(delivered.conclude(state, turn));
                Flow::Continue
            }
        }
    }

    fn go_on_answers(&mut self, mut answers: Answers, turn: &mut Turn<'_>) -> Flow {
        if answers.write(turn.output, |reply| outcomes::count(reply, turn.shared)) {
            return Flow::Continue;
        }
        self.running = Running::Answers(answers);
        Flow::Wait(Next::Output)
    }
}

impl LmtpSession {
    /// Whether XCLIENT and XFORWARD may be said now, and by this peer.
    fn may_say_origin(&self, turn: &Turn<'_>) -> Result<(), Reply> {
        if !origin::is_trusted(turn) {
            return Err(Reply::NOT_TRUSTED);
        }
        match self.stage {
            Stage::Mail(_) | Stage::Chunks(_) => Err(Reply::ORIGIN_TOO_LATE),
            Stage::New | Stage::Greeted | Stage::Idle => Ok(()),
        }
    }
}

fn say(turn: &mut Turn<'_>, reply: &Reply) -> Flow {
    reply.write(turn.output.bytes());
    Flow::Continue
}

fn goodbye(turn: &mut Turn<'_>, reply: &Reply) -> Next {
    reply.write(turn.output.bytes());
    Next::Close
}

fn begin_in_table(turn: &Turn<'_>, command: &Command) {
    turn.pace.count();
    turn.shared.table.handler(turn.shared.handler).count(shm_abi::Counter::Commands, 1);
    let name = match command {
        Command::Lhlo { .. } => "LHLO",
        Command::Mail(_) => "MAIL",
        // To tell of it would cost more than to do it, and MAIL says enough.
        Command::Rcpt { .. } => return,
        Command::Data => "DATA",
        Command::Bdat { .. } => "BDAT",
        Command::Xclient(_) => "XCLIENT",
        Command::Xforward(_) => "XFORWARD",
        Command::Rset => "RSET",
        Command::Noop => "NOOP",
        Command::Vrfy => "VRFY",
        Command::Help => "HELP",
        Command::Quit => "QUIT",
    };
    if let Some(cell) = turn.cell() {
        cell.begin_command(name, turn.timer.unix_ms());
    }
}
