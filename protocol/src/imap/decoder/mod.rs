//! Cuts what a client sends into commands (RFC 3501 section 2.2.1, LITERAL+ of RFC 7888).
//!
//! The session gives the decoder all octets that have come and were not consumed yet, and drops as many from their front as
//! it is told to; then it asks again, until the answer is [`Decoded::NeedMore`]. A command is consumed when all of it is
//! there, so its octets lie in one piece, literals among them, and are parsed once, without copying.
//!
//! Invariants: no octet is looked at twice in search of a line end, however the input is cut; the same input gives the same
//! answers in every cut; every answer but NeedMore, Continue and Fatal consumes something; nothing is kept here but
//! counts and the tag of an APPEND.
//!
//! What ends a command: CRLF, and a bare LF too, for it does no harm. What ends a session: a line or a
//! non-synchronising literal beyond every limit, for to skip those would be to read whatever the peer likes to send.
//!
//! ```
//! use protocol::imap::{Command, Decoded, Decoder, Limits};
//!
//! let mut decoder = Decoder::new(Limits::BEFORE_LOGIN);
//! let mut unread = b"a1 NOOP\r\na2 LOG".to_vec();
//! let mut commands = Vec::new();
//! loop {
//!     let (consumed, decoded) = decoder.decode(&unread);
//!     unread.drain(..consumed);
//!     match decoded {
//!         Decoded::Command(tagged) => commands.push(tagged.command),
//!         Decoded::NeedMore => break,
//!         other => panic!("{other:?}"),
//!     }
//! }
//! assert_eq!(commands, [Command::Noop]);
//! assert_eq!(unread, b"a2 LOG");
//! ```

mod append;
mod framing;
mod skip;
#[cfg(test)]
mod tests;
mod too_long;

use self::append::Append;
use self::framing::{LineEnd, Literal};
use self::skip::Skip;
use super::command::append::{AppendBegin, AppendKind, AppendPiece};
use super::command::authenticate::SaslLine;
use super::command::{self, Tag, Tagged};
use super::extension::idle::IdleLine;
use super::limits::Limits;
use super::syntax::cursor::{Cursor, Fault};
use super::syntax::name_encoding::NameEncoding;

/// What the octets so far amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// Nothing yet: ask again when more octets have come.
    NeedMore,
    /// The client waits for leave to send a literal: send `+ ` (see [`super::reply::status::continuation`]), ask again.
    Continue,
    /// A command.
    Command(Tagged),
    /// An APPEND or REPLACE has begun. Ask again for its pieces; or refuse it: answer NO with the tag, and call
    /// [`Decoder::append_refuse`], which can be done after every piece.
    AppendBegin(AppendBegin),
    /// What comes next in it. Of a [`AppendPiece::Literal`], either
    /// - take it: when it is synchronising, send `+ ` first; take `length` octets from what follows, then call
    ///   [`Decoder::append_rest`] and ask again, or [`Decoder::append_skip`] if taking it failed;
    /// - or refuse the command, as above.
    AppendPiece(AppendPiece),
    /// The APPEND or REPLACE is complete: do it and answer.
    AppendEnd,
    /// A command that cannot be done; it is consumed, or will be skipped. Answer with [`Refusal::write`]. When it comes after
    /// [`Decoded::AppendBegin`], it ends that command, and the messages that were taken are not to be kept.
    Bad(Refusal),
    /// Nothing more can be understood: say BYE with this text and close.
    Fatal(&'static str),
}

/// Why a command cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The command's tag; `None` when it has none that could be understood.
    pub tag: Option<Tag>,
    /// What is wrong.
    pub fault: Fault,
}

/// Cuts the input of one session into commands.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A command is coming; with a fresh [`Gathering`], nothing of it has come.
    Command(Gathering),
    /// An APPEND or REPLACE is coming, piece by piece.
    Append(Box<Append>),
    /// What is left of a command that was refused is coming.
    Skipping(Skip),
    /// The session is to be closed.
    Dead(&'static str),
}

/// How far the octets of a command have been understood. Offsets are from the command's first octet.
#[derive(Debug, Default)]
struct Gathering {
    /// The line that is coming.
    line: LineEnd,
    /// Octets of the lines before it.
    text: usize,
    /// Octets of all literals.
    literals: usize,
    /// Whether the command's name is known to be of one that literals can belong to, once there was one.
    takes_literals: bool,
}

const LINE_TOO_LONG: &str = "A line is too long";
const LITERAL_TOO_LONG: &str = "A literal is too long";

impl Decoder {
    /// A decoder for a session that has sent nothing.
    pub fn new(limits: Limits) -> Decoder {
        Decoder { limits, state: State::Command(Gathering::default()) }
    }

    /// The limits as they are.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sets the limits for what comes from now on, as when a client has logged in.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How names of mailboxes are written from now on: UTF-8 once the client has enabled it.
    pub fn set_names(&mut self, names: NameEncoding) {
        self.limits.names = names;
    }

    /// Whether no command has begun. `unread` is what was not consumed.
    pub fn is_between_commands(&self, unread: &[u8]) -> bool {
        match &self.state {
            State::Command(_) => unread.is_empty(),
            State::Skipping(_) | State::Append(_) | State::Dead(_) => false,
        }
    }

    /// Whether nothing was answered of the command that is coming, if one is: a fresh decoder would make the same of what is unread.
    pub fn awaits_first_line(&self) -> bool {
        matches!(&self.state, State::Command(gathering) if gathering.text == 0 && gathering.literals == 0)
    }

    /// Looks for the next command in `unread`, all octets that have come and were not consumed. Returns how many of them are
    /// to be dropped, and what they were.
    pub fn decode(&mut self, unread: &[u8]) -> (usize, Decoded) {
        let mut consumed = 0;
        if let State::Skipping(skip) = &mut self.state {
            let (skipped, outcome) = skip.advance(unread);
            consumed = skipped;
            match outcome {
                skip::Outcome::NeedMore => return (consumed, Decoded::NeedMore),
                skip::Outcome::TooMuch => return (consumed, self.die(LITERAL_TOO_LONG)),
                skip::Outcome::Done => self.state = State::Command(Gathering::default()),
            }
        }
        let unread = &unread[consumed..];
        let (more, decoded) = match &self.state {
            State::Command(_) => self.decode_command(unread),
            State::Append(_) => self.decode_append(unread),
            State::Dead(text) => (0, Decoded::Fatal(text)),
            State::Skipping(_) => (0, Decoded::NeedMore),
        };
        (consumed + more, decoded)
    }

    fn die(&mut self, text: &'static str) -> Decoded {
        self.state = State::Dead(text);
        Decoded::Fatal(text)
    }

    fn decode_command(&mut self, unread: &[u8]) -> (usize, Decoded) {
        loop {
            let State::Command(gathering) = &mut self.state else {
                return (0, Decoded::NeedMore);
            };
            let line = match gathering.line.find(unread, self.limits.line.saturating_sub(gathering.text)) {
                framing::Found::Nothing => return (0, Decoded::NeedMore),
                framing::Found::TooLong => return (0, self.die(LINE_TOO_LONG)),
                framing::Found::Line(line) => line,
            };
            if line.start == 0
                && let Some((kind, arguments)) = AppendKind::of_line(&unread[..line.end])
                && let Some(tag) = read_tag(unread)
            {
                self.state = State::Append(Box::new(Append::new(tag, kind, &self.limits)));
                let (consumed, decoded) = self.decode_append(&unread[arguments..]);
                return (arguments + consumed, decoded);
            }
            let Some(literal) = framing::literal_at_end(&unread[line.start..line.end]) else {
                self.state = State::Command(Gathering::default());
                let decoded = match Tagged::parse(&unread[..line.end], &self.limits) {
                    Ok(tagged) => Decoded::Command(tagged),
                    Err((tag, fault)) => Decoded::Bad(Refusal { tag, fault }),
                };
                return (line.next, decoded);
            };
            if let Some(outcome) = self.reach_literal(unread, line, literal) {
                return outcome;
            }
        }
    }

    /// The line that was found ends with a literal's size. `None`: the literal is awaited without a word.
    fn reach_literal(
        &mut self,
        unread: &[u8],
        line: framing::Line,
        literal: Literal,
    ) -> Option<(usize, Decoded)> {
        let State::Command(gathering) = &mut self.state else {
            return None;
        };
        let head = &unread[..line.end - literal.marker_length];
        if !gathering.takes_literals {
            match check_name(head, &self.limits) {
                Ok(()) => gathering.takes_literals = true,
                Err(refusal) => return Some(self.refuse_at_literal(line.next, literal, refusal)),
            }
        }
        let room = (self.limits.literals - gathering.literals.min(self.limits.literals)) as u64;
        if literal.length > room {
            let fault = too_long::in_command(head, literal.length, &self.limits);
            let refusal = Refusal { tag: read_tag(head), fault };
            return Some(self.refuse_at_literal(line.next, literal, refusal));
        }
        // Not more than the room, so it fits.
        let length = literal.length as usize;
        gathering.text += line.next - line.start;
        gathering.literals += length;
        gathering.line = LineEnd::starting_at(line.next + length);
        literal.synchronising.then_some((0, Decoded::Continue))
    }

    /// Refuses a command of which a literal is still to come, or would be.
    ///
    /// After a synchronising literal's size the client waits, and learns from the refusal that it need not send it: the
    /// command is over. A non-synchronising one comes in any case, and the rest of the command behind it (RFC 7888 section 4).
    fn refuse_at_literal(&mut self, next: usize, literal: Literal, refusal: Refusal) -> (usize, Decoded) {
        self.state = State::Command(Gathering::default());
        if !literal.synchronising {
            match Skip::new(literal.length, self.limits.skip) {
                Some(skip) => self.state = State::Skipping(skip),
                None => return (0, self.die(LITERAL_TOO_LONG)),
            }
        }
        (next, Decoded::Bad(refusal))
    }

    /// Looks for a line of an authentication: call it instead of [`Decoder::decode`] after a `+ ` was sent for AUTHENTICATE.
    /// Returns how many octets are to be dropped, and what they were.
    pub fn decode_sasl(&mut self, unread: &[u8]) -> (usize, SaslLine) {
        match self.take_line(unread) {
            framing::Found::Nothing => (0, SaslLine::NeedMore),
            framing::Found::TooLong => (0, SaslLine::Fatal),
            framing::Found::Line(line) => (line.next, SaslLine::parse(&unread[line.start..line.end])),
        }
    }

    /// Looks for the line that ends IDLE: call it instead of [`Decoder::decode`] after the `+ ` of IDLE was sent. Returns how
    /// many octets are to be dropped, and what they were.
    pub fn decode_idle(&mut self, unread: &[u8]) -> (usize, IdleLine) {
        match self.take_line(unread) {
            framing::Found::Nothing => (0, IdleLine::NeedMore),
            framing::Found::TooLong => (0, IdleLine::Fatal),
            framing::Found::Line(line) => (line.next, IdleLine::parse(&unread[line.start..line.end])),
        }
    }

    fn take_line(&mut self, unread: &[u8]) -> framing::Found {
        let State::Command(gathering) = &mut self.state else {
            return framing::Found::TooLong;
        };
        let found = gathering.line.find(unread, self.limits.line);
        match found {
            framing::Found::Nothing => {}
            framing::Found::TooLong => self.state = State::Dead(LINE_TOO_LONG),
            framing::Found::Line(_) => self.state = State::Command(Gathering::default()),
        }
        found
    }
}

fn read_tag(octets: &[u8]) -> Option<Tag> {
    Tag::parse(&mut Cursor::new(octets, &Limits::BEFORE_LOGIN))
}

/// Whether literals can belong to the command that `head` begins.
fn check_name(head: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let mut cursor = Cursor::new(head, limits);
    let Some(tag) = Tag::parse(&mut cursor) else {
        return Err(Refusal { tag: None, fault: Fault::syntax("Expected a tag") });
    };
    command::check_takes_literals(&mut cursor).map_err(|fault| Refusal { tag: Some(tag), fault })
}
