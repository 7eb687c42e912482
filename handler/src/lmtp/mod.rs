//! An LMTP session (RFC 2033 with PIPELINING, SIZE, 8BITMIME, SMTPUTF8 and ENHANCEDSTATUSCODES): its state, and which command
//! goes where.
//!
//! A message is streamed from the input into a draft of the store as it comes, is delivered to all recipients by one change,
//! and each of them is answered once that is durable. A connection that is lost before the end of the message leaves nothing
//! behind. Nothing is logged, locked or copied for a single RCPT beyond its user's number: fifty recipients must not cost
//! fifty deliveries.

mod answers;
mod delivery;
mod intake;
mod transaction;

use protocol::lmtp::reply;
use protocol::lmtp::{Command, Decoded, Decoder, Reply};
use store::Ticket;

use self::answers::Answers;
use self::delivery::Delivered;
use self::intake::Intake;
use self::transaction::Transaction;
use crate::conversation::{Next, Turn};
use crate::slots::Causes;

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
}

/// What is being done.
#[derive(Default)]
enum Running {
    /// Nothing: the next command is awaited.
    #[default]
    Nothing,
    /// DATA: the message is coming.
    Intake(Box<Intake>),
    /// The message was delivered, and is not durable yet.
    Commit(Ticket, Box<Delivered>),
    /// The recipients are being answered.
    Answers(Answers),
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
    /// What the peer calls itself; empty before LHLO.
    client: String,
    /// Transactions so far, to name each in the log and in the message.
    transactions: u32,
    faults: u32,
}

impl LmtpSession {
    /// A session that has not greeted its peer.
    pub(crate) fn new() -> LmtpSession {
        LmtpSession {
            decoder: Decoder::new(),
            stage: Stage::New,
            running: Running::Nothing,
            client: String::new(),
            transactions: 0,
            faults: 0,
        }
    }

    /// Does what can be done now.
    pub(crate) fn run(&mut self, turn: &mut Turn<'_>) -> Next {
        if matches!(self.stage, Stage::New) {
            reply::greeting(turn.output.bytes(), intake::host());
            self.stage = Stage::Greeted;
        }
        let awaits_client = matches!(self.running, Running::Nothing | Running::Intake(_));
        if turn.causes.has(Causes::TIME) && !turn.causes.has(Causes::INPUT) && awaits_client {
            return goodbye(turn, &Reply::IDLE);
        }
        loop {
            if turn.output.is_full() {
                return Next::Output;
            }
            let flow = match std::mem::take(&mut self.running) {
                Running::Nothing => self.next_command(turn),
                Running::Intake(intake) => self.go_on_intake(intake, turn),
                Running::Commit(ticket, delivered) => self.go_on_commit(ticket, delivered, turn),
                Running::Answers(answers) => self.go_on_answers(answers, turn),
            };
            if let Flow::Wait(next) = flow {
                return next;
            }
        }
    }

    fn next_command(&mut self, turn: &mut Turn<'_>) -> Flow {
        if turn.shared.is_shutting_down() && !matches!(self.stage, Stage::Mail(_)) {
            return Flow::Wait(goodbye(turn, &Reply::SHUTDOWN));
        }
        let (consumed, decoded) = self.decoder.decode(turn.input.unread());
        turn.input.consume(consumed);
        match decoded {
            Decoded::NeedMore => {
                if let Some(cell) = turn.cell() {
                    cell.end_command(turn.shared.unix_ms());
                }
                Flow::Wait(Next::Input)
            }
            Decoded::Ready(command) => {
                self.faults = 0;
                begin_in_table(turn, &command);
                self.begin(command, turn)
            }
            Decoded::Wrong(fault) => {
                self.faults += 1;
                if self.faults > FAULTS_MAX {
                    return Flow::Wait(goodbye(turn, &Reply::TOO_MANY_FAULTS));
                }
                say(turn, &Reply::from(fault))
            }
        }
    }

    fn begin(&mut self, command: Command, turn: &mut Turn<'_>) -> Flow {
        match command {
            Command::Lhlo { domain } => {
                self.client = domain;
                self.stage = Stage::Idle;
                let message_octets_max = turn.shared.settings().limits.message_bytes;
                reply::lhlo(turn.output.bytes(), intake::host(), message_octets_max);
                Flow::Continue
            }
            Command::Mail(mail) => match &self.stage {
                Stage::New | Stage::Greeted => say(turn, &Reply::NEED_LHLO),
                Stage::Mail(_) => say(turn, &Reply::NESTED_MAIL),
                Stage::Idle => {
                    let transaction = Transaction::new(mail, turn.shared);
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
                Stage::Mail(transaction) => {
                    let reply = transaction.add(recipient, turn.shared);
                    say(turn, &reply)
                }
            },
            Command::Data => self.begin_data(turn),
            Command::Rset => {
                if matches!(self.stage, Stage::Mail(_)) {
                    self.stage = Stage::Idle;
                }
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
            Stage::Mail(transaction) if transaction.has_recipients() => transaction,
            stage => {
                let reply = match &stage {
                    Stage::New | Stage::Greeted => Reply::NEED_LHLO,
                    Stage::Idle => Reply::NEED_MAIL,
                    Stage::Mail(_) => Reply::NO_RECIPIENTS,
                };
                self.stage = stage;
                return say(turn, &reply);
            }
        };
        self.transactions += 1;
        match Intake::begin(transaction, &self.client, self.transactions, turn) {
            Ok(intake) => {
                self.running = Running::Intake(Box::new(intake));
                say(turn, &Reply::START_DATA)
            }
            Err(reply) => say(turn, &reply),
        }
    }

    fn go_on_intake(&mut self, mut intake: Box<Intake>, turn: &mut Turn<'_>) -> Flow {
        if !intake.take(turn) {
            self.running = Running::Intake(intake);
            return Flow::Wait(Next::Input);
        }
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
        if answers.write(turn.output) {
            return Flow::Continue;
        }
        self.running = Running::Answers(answers);
        Flow::Wait(Next::Output)
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
    turn.shared.table.handler(turn.shared.handler).count(shm_abi::Counter::Commands, 1);
    let name = match command {
        Command::Lhlo { .. } => "LHLO",
        Command::Mail(_) => "MAIL",
        // To tell of it would cost more than to do it, and MAIL says enough.
        Command::Rcpt { .. } => return,
        Command::Data => "DATA",
        Command::Rset => "RSET",
        Command::Noop => "NOOP",
        Command::Vrfy => "VRFY",
        Command::Help => "HELP",
        Command::Quit => "QUIT",
    };
    if let Some(cell) = turn.cell() {
        cell.begin_command(name, turn.shared.unix_ms());
    }
}
