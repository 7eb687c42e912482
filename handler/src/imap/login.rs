//! LOGIN (RFC 3501, 6.2.3) and AUTHENTICATE (6.2.2, RFC 4959) with PLAIN (RFC 4616) and LOGIN; LOGIN-REFERRALS (RFC 2221).

use protocol::imap::Limits;
use protocol::imap::command::Tag;
use protocol::imap::command::authenticate::{AuthenticateArguments, SaslLine};
use protocol::imap::command::session::LoginArguments;
use protocol::imap::extension::referral;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use shm_abi::{Histogram, Protocol, Tally};

use super::{Flow, ImapSession, Running, Stage, User, capability, goodbye};
use crate::conversation::{Answer, Next, Turn};
use crate::log;
use crate::passwords::{Checked, Verdict};

/// Wrong passwords after which a connection is closed.
const FAILED_LOGINS_MAX: u32 = 3;

/// A login on its way.
pub(crate) struct Login {
    tag: Tag,
    step: Step,
}

enum Step {
    /// PLAIN's one response is awaited.
    Plain,
    /// LOGIN's user name is awaited.
    LoginUser,
    /// LOGIN's password is awaited.
    LoginPassword(Vec<u8>),
    /// The password is being checked for this user.
    Checking(String),
    /// It was checked for this user, and the answer is held back.
    Answering(String, Verdict),
}

impl ImapSession {
    pub(super) fn begin_login(&mut self, tag: Tag, arguments: LoginArguments, turn: &mut Turn<'_>) -> Flow {
        self.check(tag, &arguments.user, &arguments.password, turn)
    }

    pub(super) fn begin_authenticate(
        &mut self,
        tag: Tag,
        arguments: AuthenticateArguments,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let step = match arguments.mechanism.as_str() {
            "PLAIN" => Step::Plain,
            "LOGIN" => Step::LoginUser,
            _ => return self.refuse(turn, &tag, Condition::No, Some(Code::Cannot), "Unknown SASL mechanism"),
        };
        if !capability::allows_login(turn) {
            return self.refuse_plaintext(&tag, turn);
        }
        if let Some(response) = arguments.initial {
            return self.take_response(Login { tag, step }, response, turn);
        }
        challenge(&step, turn);
        self.running = Running::Login(Box::new(Login { tag, step }));
        Flow::Continue
    }

    pub(super) fn go_on_login(&mut self, login: Box<Login>, turn: &mut Turn<'_>) -> Flow {
        match login.step {
            Step::Checking(user) => {
                return match turn.answer.take() {
                    Some(Answer::Password(checked)) => self.answer(login.tag, user, checked, turn),
                    _ => {
                        let step = Step::Checking(user);
                        self.running = Running::Login(Box::new(Login { tag: login.tag, step }));
                        Flow::Wait(Next::Helper)
                    }
                };
            }
            Step::Answering(user, verdict) => {
                return match turn.farewell() {
                    Some(why) => Flow::Wait(goodbye(turn, &why)),
                    None => self.conclude(&login.tag, &user, verdict, turn),
                };
            }
            Step::Plain | Step::LoginUser | Step::LoginPassword(_) => {}
        }
        let (consumed, line) = self.decoder.decode_sasl(turn.input.unread());
        turn.input.consume(consumed);
        match line {
            SaslLine::NeedMore => {
                self.running = Running::Login(login);
                Flow::Wait(Next::Input)
            }
            SaslLine::Response(response) => {
                // The time that the client takes to answer is not counted.
                turn.begin_command(Histogram::ImapLogin);
                self.take_response(*login, response, turn)
            }
            SaslLine::Cancelled => self.refuse(turn, &login.tag, Condition::Bad, None, "Cancelled"),
            SaslLine::Bad => self.refuse(turn, &login.tag, Condition::Bad, None, "That is not base64"),
            SaslLine::Fatal => Flow::Wait(goodbye(turn, "Line too long")),
        }
    }

    fn take_response(&mut self, login: Login, response: Vec<u8>, turn: &mut Turn<'_>) -> Flow {
        let Login { tag, step } = login;
        match step {
            Step::Plain => {
                let mut parts = response.split(|&octet| octet == 0);
                let (Some(authorize), Some(user), Some(password), None) =
                    (parts.next(), parts.next(), parts.next(), parts.next())
                else {
                    return self.refuse(turn, &tag, Condition::Bad, None, "Not a response of PLAIN");
                };
                if !authorize.is_empty() && authorize != user {
                    let text = "Nobody may act as somebody else";
                    return self.refuse(turn, &tag, Condition::No, Some(Code::AuthorizationFailed), text);
                }
                self.check(tag, user, password, turn)
            }
            Step::LoginUser => {
                let step = Step::LoginPassword(response);
                challenge(&step, turn);
                self.running = Running::Login(Box::new(Login { tag, step }));
                Flow::Continue
            }
            Step::LoginPassword(user) => self.check(tag, &user, &response, turn),
            Step::Checking(_) | Step::Answering(..) => Flow::Continue,
        }
    }

    fn check(&mut self, tag: Tag, user: &[u8], password: &[u8], turn: &mut Turn<'_>) -> Flow {
        if !capability::allows_login(turn) {
            return self.refuse_plaintext(&tag, turn);
        }
        let known = std::str::from_utf8(user).ok().and_then(|user| config::users::user_name(user).ok());
        let Some(user) = known else {
            return self.conclude(&tag, &String::from_utf8_lossy(user), Verdict::Refused, turn);
        };
        match turn.shared.passwords.check(turn, &user, password) {
            Some(checked) => self.answer(tag, user, checked, turn),
            None => {
                self.running = Running::Login(Box::new(Login { tag, step: Step::Checking(user) }));
                Flow::Wait(Next::Helper)
            }
        }
    }

    /// Answers now, or when it is time to.
    fn answer(&mut self, tag: Tag, user: String, checked: Checked, turn: &mut Turn<'_>) -> Flow {
        if checked.delay_ms == 0 {
            return self.conclude(&tag, &user, checked.verdict, turn);
        }
        let step = Step::Answering(user, checked.verdict);
        self.running = Running::Login(Box::new(Login { tag, step }));
        Flow::Wait(Next::Pause(checked.delay_ms))
    }

    fn conclude(&mut self, tag: &Tag, user: &str, verdict: Verdict, turn: &mut Turn<'_>) -> Flow {
        match verdict {
            Verdict::Accepted => {}
            Verdict::Refused => {
                log::audit_refusal!(
                    "login refused",
                    protocol = "imap",
                    user = user,
                    peer = turn.peer.endpoint
                );
                turn.shared.metrics().count(Tally::ImapLoginFailed);
                self.failed_logins += 1;
                let code = Some(Code::AuthenticationFailed);
                self.refuse(turn, tag, Condition::No, code, "Wrong user name or password");
                if self.failed_logins >= FAILED_LOGINS_MAX {
                    return Flow::Wait(goodbye(turn, "Too many failed logins"));
                }
                return Flow::Continue;
            }
            Verdict::Unavailable => {
                let text = "Passwords cannot be checked now; try again later";
                return self.refuse(turn, tag, Condition::No, Some(Code::Unavailable), text);
            }
            Verdict::TooMany(seconds) => {
                turn.shared.metrics().count(Tally::LimitedLogins);
                log::audit_refusal!(
                    "login not tried",
                    protocol = "imap",
                    user = user,
                    peer = turn.peer.endpoint
                );
                let text = format!("Too many failed logins, come back in {seconds} seconds");
                self.refuse(turn, tag, Condition::No, Some(Code::Limit), &text);
                return Flow::Wait(goodbye(turn, "Too many failed logins"));
            }
        }
        if let Some(server) = turn.shared.settings().auth.referrals.get(user) {
            let url = referral::url(user, server);
            let text = "Your mail is on another server";
            return self.refuse(turn, tag, Condition::No, Some(Code::Referral(&url)), text);
        }
        let id = match turn.shared.store.ensure_user(user) {
            Ok(id) => id,
            Err(error) => return self.refuse_change(turn, tag, &error, Code::NonExistent),
        };
        if !turn.shared.enter(turn.slot, turn.generation, Protocol::Imap, user) {
            turn.shared.metrics().count(Tally::LimitedUserConnections);
            log::audit_refusal!(
                "too many sessions",
                protocol = "imap",
                user = user,
                peer = turn.peer.endpoint
            );
            let most = turn.shared.settings().limits.connections_per_user;
            let text = format!("There are {most} sessions of this user already, end one of them first");
            return self.refuse(turn, tag, Condition::No, Some(Code::Limit), &text);
        }
        turn.shared.metrics().count(Tally::ImapLogin);
        log::audit!("login", protocol = "imap", user = user, peer = turn.peer.endpoint);
        self.raise_limits(turn);
        self.stage = Stage::Authenticated(User { id, name: user.to_owned() });
        let names = capability::names(turn, true);
        reply::tagged(turn.output.bytes(), tag, Condition::Ok, Some(Code::Capability(&names)), "Logged in");
        Flow::Continue
    }

    /// Of who is logged in more is read.
    pub(super) fn raise_limits(&mut self, turn: &Turn<'_>) {
        let append = turn.shared.settings().limits.message_bytes;
        // A message that is somewhat too large is read away and answered clearly; see `Limits::skip`.
        self.decoder.set_limits(Limits { append, skip: append.saturating_mul(2), ..Limits::LOGGED_IN });
    }

    fn refuse_plaintext(&mut self, tag: &Tag, turn: &mut Turn<'_>) -> Flow {
        let text = "Passwords are not taken over a connection that others can read";
        self.refuse(turn, tag, Condition::No, Some(Code::PrivacyRequired), text)
    }
}

fn challenge(step: &Step, turn: &mut Turn<'_>) {
    let text: &[u8] = match step {
        Step::LoginUser => b"Username:",
        Step::LoginPassword(_) => b"Password:",
        Step::Plain | Step::Checking(_) | Step::Answering(..) => b"",
    };
    reply::challenge(turn.output.bytes(), text);
}
