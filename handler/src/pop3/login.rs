//! Logging in: USER and PASS (RFC 1939, 7), AUTH with PLAIN and LOGIN (RFC 5034), and taking the maildrop.

use config::Plaintext;
use config::users::user_name;
use protocol::pop3::reply::{self, Code};
use protocol::pop3::{Credentials, Decoded, Exchange, Mechanism, Password, Response, Step};
use shm_abi::{Histogram, Tally};
use store::ChangeError;

use super::maildrop::Maildrop;
use super::{Flow, Pop3Session, Running, Stage, code_of, refuse, stopped};
use crate::conversation::{Answer, Next, Turn};
use crate::log;
use crate::maildrops::Taken;
use crate::passwords::{Checked, Verdict};

/// Wrong passwords after which a connection is closed.
const FAILED_LOGINS_MAX: u32 = 3;

/// Whether a password may be sent over this connection.
pub(super) fn may_use_passwords(turn: &Turn<'_>) -> bool {
    turn.peer.is_private || turn.shared.settings().auth.plaintext == Plaintext::Always
}

impl Pop3Session {
    /// USER. Whether there is such a user is not said.
    pub(super) fn take_name(&mut self, name: String, turn: &mut Turn<'_>) -> Flow {
        if !may_use_passwords(turn) {
            return refuse_plaintext(turn);
        }
        self.stage = Stage::Authorization { name: Some(name) };
        reply::ok(turn.output.bytes(), "Send the password");
        Flow::Continue
    }

    /// PASS. The name is good for one attempt.
    pub(super) fn take_password(&mut self, password: &Password, turn: &mut Turn<'_>) -> Flow {
        if !may_use_passwords(turn) {
            return refuse_plaintext(turn);
        }
        let Stage::Authorization { name } = &mut self.stage else { return Flow::Continue };
        match name.take() {
            Some(name) => self.check(&name, password, turn),
            None => refuse(turn, None, "USER goes before PASS"),
        }
    }

    /// AUTH with a mechanism.
    pub(super) fn begin_sasl(
        &mut self,
        mechanism: Mechanism,
        initial: Option<Password>,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let Some(exchange) = Exchange::start(mechanism) else {
            return refuse(turn, None, "Unknown SASL mechanism");
        };
        if !may_use_passwords(turn) {
            return refuse_plaintext(turn);
        }
        match initial {
            Some(response) => self.take_response(exchange, response, turn),
            None => self.challenge(exchange, turn),
        }
    }

    /// A line of the client's in an exchange.
    pub(super) fn go_on_sasl(&mut self, exchange: Exchange, turn: &mut Turn<'_>) -> Flow {
        if let Some(why) = turn.farewell() {
            return Flow::Wait(stopped(turn, &why));
        }
        let (consumed, decoded) = self.decoder.decode_response(turn.input.unread());
        turn.input.consume(consumed);
        match decoded {
            Decoded::NeedMore => {
                self.running = Running::Sasl(exchange);
                Flow::Wait(Next::Input)
            }
            Decoded::Ready(Response::Octets(response)) => {
                // The time that the client takes to answer is not counted.
                turn.begin_command(Histogram::Pop3Login);
                self.take_response(exchange, response, turn)
            }
            Decoded::Ready(Response::Cancelled) => refuse(turn, None, "Cancelled"),
            Decoded::Wrong(fault) => {
                reply::fault(turn.output.bytes(), &fault);
                Flow::Continue
            }
        }
    }

    fn challenge(&mut self, exchange: Exchange, turn: &mut Turn<'_>) -> Flow {
        reply::challenge(turn.output.bytes(), exchange.challenge());
        self.running = Running::Sasl(exchange);
        Flow::Continue
    }

    fn take_response(&mut self, exchange: Exchange, response: Password, turn: &mut Turn<'_>) -> Flow {
        match exchange.step(response) {
            Step::Next(exchange) => self.challenge(exchange, turn),
            Step::Done(Credentials { name, password, authorize: None }) => self.check(&name, &password, turn),
            Step::Done(_) => refuse(turn, Some(Code::Auth), "Nobody may act as somebody else"),
            Step::Malformed => refuse(turn, None, "Not a response of this mechanism"),
        }
    }

    fn check(&mut self, name: &str, password: &Password, turn: &mut Turn<'_>) -> Flow {
        let Ok(user) = user_name(name) else {
            return self.conclude(name.to_owned(), Verdict::Refused, turn);
        };
        match turn.shared.passwords.check(turn, &user, &password.0) {
            Some(checked) => self.answer(user, checked, turn),
            None => {
                self.running = Running::Login(user);
                Flow::Wait(Next::Helper)
            }
        }
    }

    /// The password was being checked.
    pub(super) fn go_on_login(&mut self, user: String, turn: &mut Turn<'_>) -> Flow {
        match turn.answer.take() {
            Some(Answer::Password(checked)) => self.answer(user, checked, turn),
            _ => {
                self.running = Running::Login(user);
                Flow::Wait(Next::Helper)
            }
        }
    }

    /// Answers now, or when it is time to.
    fn answer(&mut self, user: String, checked: Checked, turn: &mut Turn<'_>) -> Flow {
        if checked.delay_ms == 0 {
            return self.conclude(user, checked.verdict, turn);
        }
        self.running = Running::Answering(user, checked.verdict);
        Flow::Wait(Next::Pause(checked.delay_ms))
    }

    /// The answer was held back.
    pub(super) fn go_on_answering(&mut self, user: String, verdict: Verdict, turn: &mut Turn<'_>) -> Flow {
        if let Some(why) = turn.farewell() {
            return Flow::Wait(stopped(turn, &why));
        }
        self.conclude(user, verdict, turn)
    }

    fn conclude(&mut self, user: String, verdict: Verdict, turn: &mut Turn<'_>) -> Flow {
        match verdict {
            Verdict::Accepted => self.enter(user, turn),
            Verdict::Unavailable => {
                refuse(turn, Some(Code::SystemTemporary), "Passwords cannot be checked now; try again later")
            }
            Verdict::Refused => {
                log::audit_refusal!(
                    "login refused",
                    protocol = "pop3",
                    user = user,
                    peer = turn.peer.endpoint
                );
                turn.shared.metrics().count(Tally::Pop3LoginFailed);
                self.failed_logins += 1;
                reply::error(turn.output.bytes(), Some(Code::Auth), "Wrong user name or password");
                if self.failed_logins >= FAILED_LOGINS_MAX { Flow::Wait(Next::Close) } else { Flow::Continue }
            }
            Verdict::TooMany(seconds) => {
                turn.shared.metrics().count(Tally::LimitedLogins);
                log::audit_refusal!(
                    "login not tried",
                    protocol = "pop3",
                    user = user,
                    peer = turn.peer.endpoint
                );
                // RFC 2449, 8.1.1: a client that knows the code waits, and does not ask its user for another password.
                let text = format!("Too many failed logins, come back in {seconds} seconds");
                reply::error(turn.output.bytes(), Some(Code::LoginDelay), &text);
                Flow::Wait(Next::Close)
            }
        }
    }

    /// Takes the maildrop of a user whose password was right.
    fn enter(&mut self, name: String, turn: &mut Turn<'_>) -> Flow {
        let shared = turn.shared;
        let user = match shared.store.ensure_user(&name) {
            Ok(user) => user,
            Err(ChangeError::Store(error)) => return refuse_entry(turn, &name, code_of(&error), &error),
            Err(error) => return refuse_entry(turn, &name, Code::SystemPermanent, &error),
        };
        let delay_seconds = shared.settings().pop3.login_delay_seconds;
        let held = match shared.maildrops.take(
            user,
            (turn.slot, turn.generation),
            delay_seconds,
            shared.unix_ms(),
        ) {
            Ok(Taken::Held(held)) => held,
            Ok(Taken::InUse) => return refuse(turn, Some(Code::InUse), "Another session has the maildrop"),
            Ok(Taken::TooSoon(seconds)) => {
                return refuse(
                    turn,
                    Some(Code::LoginDelay),
                    &format!("Too soon, come back in {seconds} seconds"),
                );
            }
            Err(error) => return refuse_entry(turn, &name, Code::SystemTemporary, &error),
        };
        let maildrop = match Maildrop::open(&shared.store, user, name.clone(), held) {
            Ok(maildrop) => maildrop,
            Err(error) => return refuse_entry(turn, &name, code_of(&error), &error),
        };
        shared.metrics().count(Tally::Pop3Login);
        log::audit!("login", protocol = "pop3", user = name, peer = turn.peer.endpoint);
        // A maildrop has one session, so there is no other to be counted.
        if let Some(cell) = turn.cell() {
            cell.set_user(&name, shared.unix_ms());
            let key = maildrop.inbox.key();
            cell.set_mailbox(Some((shared.table.row_of(key), key)));
            cell.set_maildrop(true);
        }
        reply::ok(turn.output.bytes(), &format!("Logged in, {} messages", maildrop.remaining()));
        self.stage = Stage::Transaction(Box::new(maildrop));
        Flow::Continue
    }
}

fn refuse_entry(turn: &mut Turn<'_>, user: &str, code: Code, error: &dyn std::error::Error) -> Flow {
    log::error!("maildrop not opened", user = user, why = error);
    refuse(turn, Some(code), "The maildrop cannot be opened now")
}

fn refuse_plaintext(turn: &mut Turn<'_>) -> Flow {
    refuse(turn, None, "Passwords are not taken over a connection that others can read")
}
