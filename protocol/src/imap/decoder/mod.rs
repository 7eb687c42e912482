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

mod framing;
mod skip;
#[cfg(test)]
mod tests;

use self::framing::{LineEnd, Literal};
use self::skip::Skip;
use super::command::append::{AppendHeader, AppendStep};
use super::command::authenticate::SaslLine;
use super::command::{self, NameKind, Tag, Tagged};
use super::extension::idle::IdleLine;
use super::limits::Limits;
use super::syntax::cursor::{Cursor, Fault, FaultKind};
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
    /// An APPEND has reached its message. Either
    /// - take it: when it is synchronising, send `+ ` first; take `length` octets from what follows, then call
    ///   [`Decoder::append_rest`] and ask again for [`Decoded::AppendEnd`], or [`Decoder::append_skip`] if taking it failed;
    /// - or refuse it: answer NO with the tag, and call [`Decoder::append_refuse`].
    AppendLiteral(AppendLiteral),
    /// The APPEND whose message was taken is complete: do it and answer.
    AppendEnd,
    /// A command that cannot be done; it is consumed, or will be skipped. Answer with [`Refusal::write`]. When it comes in
    /// place of [`Decoded::AppendEnd`], the message that was taken is not to be kept.
    Bad(Refusal),
    /// Nothing more can be understood: say BYE with this text and close.
    Fatal(&'static str),
}

/// An APPEND up to its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendLiteral {
    /// The command's tag.
    pub tag: Tag,
    /// Where the message goes, and what is said about it.
    pub header: AppendHeader,
    /// How many octets the message has; at most [`Limits::append`].
    pub length: u64,
    /// Whether the client waits for `+ ` before it sends them.
    pub synchronising: bool,
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
    /// The session takes the message of an APPEND.
    Message { tag: Tag, literal: Literal },
    /// The message was taken, the rest of the line is coming.
    AfterMessage { tag: Tag, line: LineEnd },
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
    /// The command's name, once a literal made it necessary to know it.
    name: Option<(NameKind, usize)>,
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
            State::Skipping(_) | State::Message { .. } | State::AfterMessage { .. } | State::Dead(_) => false,
        }
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
            State::AfterMessage { .. } => self.decode_after_message(unread),
            State::Message { .. } => (0, Decoded::NeedMore),
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
        let (kind, arguments) = match gathering.name {
            Some(name) => name,
            None => match read_name(head, &self.limits) {
                Ok(name) => *gathering.name.insert(name),
                Err(refusal) => return Some(self.refuse_at_literal(line, literal, refusal)),
            },
        };
        if kind == NameKind::Append {
            let mut cursor = Cursor::new(&head[arguments..], &self.limits);
            let refusal = match AppendHeader::parse(&mut cursor) {
                Ok(AppendStep::Argument) => None,
                Ok(AppendStep::Message(header)) => {
                    return Some(self.reach_message(unread, line, literal, header));
                }
                Err(fault) => Some(Refusal { tag: read_tag(head), fault }),
            };
            if let Some(refusal) = refusal {
                return Some(self.refuse_at_literal(line, literal, refusal));
            }
        }
        let room = (self.limits.literals - gathering.literals.min(self.limits.literals)) as u64;
        if literal.length > room {
            let fault = Fault::limit("A literal is too long");
            let refusal = Refusal { tag: read_tag(head), fault };
            return Some(self.refuse_at_literal(line, literal, refusal));
        }
        // Not more than the room, so it fits.
        let length = literal.length as usize;
        gathering.text += line.next - line.start;
        gathering.literals += length;
        gathering.line = LineEnd::starting_at(line.next + length);
        literal.synchronising.then_some((0, Decoded::Continue))
    }

    fn reach_message(
        &mut self,
        unread: &[u8],
        line: framing::Line,
        literal: Literal,
        header: AppendHeader,
    ) -> (usize, Decoded) {
        let Some(tag) = read_tag(unread) else {
            return (0, self.die("A tag is gone"));
        };
        if literal.length > self.limits.append {
            let fault = Fault { text: "The message is too large", kind: FaultKind::TooBig };
            return self.refuse_at_literal(line, literal, Refusal { tag: Some(tag), fault });
        }
        self.state = State::Message { tag: tag.clone(), literal };
        let Literal { length, synchronising, .. } = literal;
        (line.next, Decoded::AppendLiteral(AppendLiteral { tag, header, length, synchronising }))
    }

    /// Refuses a command of which a literal is still to come, or would be.
    ///
    /// After a synchronising literal's size the client waits, and learns from the refusal that it need not send it: the
    /// command is over. A non-synchronising one comes in any case, and the rest of the command behind it (RFC 7888 section 4).
    fn refuse_at_literal(
        &mut self,
        line: framing::Line,
        literal: Literal,
        refusal: Refusal,
    ) -> (usize, Decoded) {
        self.state = State::Command(Gathering::default());
        if !literal.synchronising {
            match Skip::new(literal.length, self.limits.skip) {
                Some(skip) => self.state = State::Skipping(skip),
                None => return (0, self.die(LITERAL_TOO_LONG)),
            }
        }
        (line.next, Decoded::Bad(refusal))
    }

    /// All octets of the message of an APPEND were taken: the rest of the command is to be decoded.
    pub fn append_rest(&mut self) {
        if let State::Message { tag, .. } = &self.state {
            self.state = State::AfterMessage { tag: tag.clone(), line: LineEnd::default() };
        }
    }

    /// The session has answered NO to an APPEND of which it took nothing, and for which it sent no `+ `.
    pub fn append_refuse(&mut self) {
        if let State::Message { literal, .. } = &self.state {
            let length = literal.length;
            if literal.synchronising {
                self.state = State::Command(Gathering::default());
            } else {
                self.append_skip(length);
            }
        }
    }

    /// The session has answered NO to an APPEND, `left` octets of whose message will still come.
    pub fn append_skip(&mut self, left: u64) {
        if matches!(self.state, State::Message { .. }) {
            // A message within its limit may be skipped whatever the limit of skipping is.
            let budget = self.limits.skip.max(left.saturating_add(self.limits.line as u64));
            self.state = match Skip::new(left, budget) {
                Some(skip) => State::Skipping(skip),
                None => State::Dead(LITERAL_TOO_LONG),
            };
        }
    }

    /// Here MULTIAPPEND would find the header of the next message.
    fn decode_after_message(&mut self, unread: &[u8]) -> (usize, Decoded) {
        let State::AfterMessage { tag, line } = &mut self.state else {
            return (0, Decoded::NeedMore);
        };
        let line = match line.find(unread, self.limits.line) {
            framing::Found::Nothing => return (0, Decoded::NeedMore),
            framing::Found::TooLong => return (0, self.die(LINE_TOO_LONG)),
            framing::Found::Line(line) => line,
        };
        let rest = &unread[line.start..line.end];
        if rest.iter().all(|&octet| octet == b' ') {
            self.state = State::Command(Gathering::default());
            return (line.next, Decoded::AppendEnd);
        }
        let fault = Fault::syntax("Expected the end of the command behind the message");
        let refusal = Refusal { tag: Some(tag.clone()), fault };
        match framing::literal_at_end(rest) {
            Some(literal) => self.refuse_at_literal(line, literal, refusal),
            None => {
                self.state = State::Command(Gathering::default());
                (line.next, Decoded::Bad(refusal))
            }
        }
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

/// The name of the command that `head` begins, and where its arguments are.
fn read_name(head: &[u8], limits: &Limits) -> Result<(NameKind, usize), Refusal> {
    let mut cursor = Cursor::new(head, limits);
    let Some(tag) = Tag::parse(&mut cursor) else {
        return Err(Refusal { tag: None, fault: Fault::syntax("Expected a tag") });
    };
    match command::parse_name_kind(&mut cursor) {
        Ok(kind) => Ok((kind, cursor.position())),
        Err(fault) => Err(Refusal { tag: Some(tag), fault }),
    }
}
