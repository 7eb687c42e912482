//! Cuts an APPEND or REPLACE into pieces, of which a session is given one after the other, so that no more of the command is held
//! than the line that is coming.
//!
//! ```text
//! tag APPEND mailbox ─► [(flags)] ["date"] [ANNOTATION (…)] ─► {n} … octets … ──────────────────┬─► end
//!                  ▲                      └─► CATENATE ( TEXT {n} …, URL x ) ──┤
//!                  │                      └─► UTF8 (~{n} … octets … ) ─────────┤
//!                  └───────────────────────────────────────────────────────────┘
//! ```
//!
//! A line is found once, with the literals that are arguments in it (a mailbox, a URL), and parsed from its front, piece by piece. Every
//! piece that is given is consumed.

use super::framing::{self, LineEnd, Literal};
use super::skip::Skip;
use super::{Decoded, Decoder, Gathering, LINE_TOO_LONG, LITERAL_TOO_LONG, Refusal, State, too_long};
use crate::imap::command::Tag;
use crate::imap::command::append::{
    AppendBegin, AppendKind, AppendLiteral, AppendPiece, LiteralKind, MessageHeader, Replaced,
};
use crate::imap::limits::Limits;
use crate::imap::syntax::cursor::{Cursor, Fault, FaultKind};
use crate::imap::syntax::mailbox_name::MailboxName;
use crate::imap::syntax::string;

/// An APPEND or REPLACE that has begun.
#[derive(Debug)]
pub(super) struct Append {
    tag: Tag,
    kind: AppendKind,
    place: Place,
    /// Messages that have begun.
    messages: usize,
    line: Coming,
    /// Octets of literals that are arguments in what was not consumed of the line.
    gathered: usize,
    /// Octets of text that the rest of the command may have.
    text_left: usize,
}

/// Where in the command the next octet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind the command's name.
    Begin,
    /// Before a message, or the end.
    Message,
    /// Behind a message's flags and date.
    Data,
    /// Before the first part of a CATENATE.
    FirstPart,
    /// Behind a part of a CATENATE.
    NextPart,
    /// Behind the literal of `UTF8 (`: a whole message, or a part.
    Utf8MessageEnd,
    Utf8PartEnd,
    /// In the octets of a message, which the session takes.
    Octets(Literal, After),
}

/// What is behind the octets of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Message,
    Part,
    Utf8Message,
    Utf8Part,
}

/// The line that is coming. Offsets are from the first octet that was not consumed.
#[derive(Debug)]
enum Coming {
    /// Its end has not been found. `text`: octets of the lines before a literal that is an argument, without other such literals.
    Searched { end: LineEnd, text: usize },
    /// All of it is there: text up to `end`, `next` behind its line end, and the literal whose size it ends with, if it is one that
    /// was not gathered.
    Found { end: usize, next: usize, literal: Option<Literal> },
}

const NEW_LINE: Coming = Coming::Searched { end: LineEnd::starting_at(0), text: 0 };

/// What the text before the cursor's end comes to.
enum Step {
    /// A piece; what is before the cursor is done with.
    Piece(AppendPiece),
    /// The beginning.
    Begin(AppendBegin),
    /// The literal at the end of the line is octets of the message.
    Octets(LiteralKind, After),
    /// It is an argument, which must come first.
    Argument,
    /// The command is complete.
    End,
}

impl Append {
    pub(super) fn new(tag: Tag, kind: AppendKind, limits: &Limits) -> Append {
        Append {
            tag,
            kind,
            place: Place::Begin,
            messages: 0,
            line: NEW_LINE,
            gathered: 0,
            text_left: limits.append_text,
        }
    }

    /// Parses on in a line. `has_literal`: it ends with the size of a literal, which `cursor` does not have.
    fn step(&mut self, cursor: &mut Cursor<'_>, has_literal: bool) -> Result<Step, Fault> {
        loop {
            match self.place {
                Place::Begin => return self.begin(cursor, has_literal),
                Place::Message => {
                    let mut ahead = cursor.clone();
                    ahead.skip_spaces();
                    if ahead.is_at_end() && !has_literal {
                        return match self.messages {
                            0 => Err(Fault::syntax("Expected a literal with the message")),
                            _ => Ok(Step::End),
                        };
                    }
                    if self.messages > 0 && self.kind != AppendKind::Append {
                        return Err(Fault::syntax("REPLACE takes one message"));
                    }
                    let mut ahead = cursor.clone();
                    let header = match MessageHeader::parse(&mut ahead) {
                        // A name or a value of an annotation.
                        Err(_) if has_literal && is_in_annotations(cursor, &ahead) => {
                            return Ok(Step::Argument);
                        }
                        header => header?,
                    };
                    *cursor = ahead;
                    self.place = Place::Data;
                    self.messages += 1;
                    return Ok(Step::Piece(AppendPiece::Message(header)));
                }
                Place::Data => {
                    if let Some(kind) = literal_here(cursor, has_literal) {
                        return Ok(Step::Octets(kind, After::Message));
                    }
                    let text = "Expected flags, a date or a literal";
                    match cursor.keyword().map_err(|_| Fault::syntax(text))?.as_bytes() {
                        b"CATENATE" => {
                            cursor.space()?;
                            cursor.expect(b'(', "Expected ( behind CATENATE")?;
                            cursor.skip_spaces();
                            self.place = Place::FirstPart;
                        }
                        b"UTF8" => {
                            cursor.space()?;
                            return utf8(cursor, has_literal, After::Utf8Message);
                        }
                        _ => return Err(Fault::syntax(text)),
                    }
                }
                Place::NextPart if cursor.take_if(b')') => self.place = Place::Message,
                Place::NextPart => {
                    cursor.space()?;
                    if cursor.peek() != Some(b')') {
                        return self.part(cursor, has_literal);
                    }
                }
                Place::FirstPart => return self.part(cursor, has_literal),
                Place::Utf8MessageEnd => {
                    cursor.expect(b')', "Expected ) behind the message")?;
                    self.place = Place::Message;
                }
                Place::Utf8PartEnd => {
                    cursor.expect(b')', "Expected ) behind the part")?;
                    self.place = Place::NextPart;
                }
                Place::Octets(..) => return Err(Fault::syntax("Expected the octets of a message")),
            }
        }
    }

    fn begin(&mut self, cursor: &mut Cursor<'_>, has_literal: bool) -> Result<Step, Fault> {
        cursor.space()?;
        let replaced = match self.kind {
            AppendKind::Append => None,
            AppendKind::Replace(numbering) => {
                let replaced = Replaced::parse(cursor, numbering)?;
                cursor.space()?;
                Some(replaced)
            }
        };
        if cursor.is_at_end() && has_literal {
            return Ok(Step::Argument);
        }
        let mailbox = MailboxName::parse(cursor)?;
        self.place = Place::Message;
        Ok(Step::Begin(AppendBegin { tag: self.tag.clone(), mailbox, replaced }))
    }

    fn part(&mut self, cursor: &mut Cursor<'_>, has_literal: bool) -> Result<Step, Fault> {
        let text = "Expected TEXT or URL";
        let mut ahead = cursor.clone();
        match ahead.keyword().map_err(|_| Fault::syntax(text))?.as_bytes() {
            b"TEXT" => {
                ahead.space()?;
                match literal_here(&ahead, has_literal) {
                    Some(kind) => Ok(Step::Octets(kind, After::Part)),
                    None => Err(Fault::syntax("Expected a literal behind TEXT")),
                }
            }
            b"UTF8" => {
                ahead.space()?;
                utf8(&mut ahead, has_literal, After::Utf8Part)
            }
            b"URL" => {
                ahead.space()?;
                if ahead.is_at_end() && has_literal {
                    return Ok(Step::Argument);
                }
                let url = string::parse_astring(&mut ahead)?.into_owned();
                *cursor = ahead;
                self.place = Place::NextPart;
                Ok(Step::Piece(AppendPiece::Url(url)))
            }
            _ => Err(Fault::syntax(text)),
        }
    }
}

/// Whether what stands before a message ended, at `end`, within its annotations.
fn is_in_annotations(begin: &Cursor<'_>, end: &Cursor<'_>) -> bool {
    const NAME: &[u8] = b" ANNOTATION";
    let parsed = &begin.rest()[..begin.rest().len() - end.rest().len()];
    matches!(end.rest(), b"" | b"~")
        && parsed.windows(NAME.len()).any(|window| window.eq_ignore_ascii_case(NAME))
}

/// `(~{n}`
fn utf8(cursor: &mut Cursor<'_>, has_literal: bool, after: After) -> Result<Step, Fault> {
    cursor.expect(b'(', "Expected ( behind UTF8")?;
    match literal_here(cursor, has_literal) {
        Some(LiteralKind::Binary) => Ok(Step::Octets(LiteralKind::Utf8, after)),
        _ => Err(Fault::syntax("Expected ~{ behind UTF8 (")),
    }
}

/// What kind of literal follows, if nothing else stands before it.
fn literal_here(cursor: &Cursor<'_>, has_literal: bool) -> Option<LiteralKind> {
    match cursor.rest() {
        b"" if has_literal => Some(LiteralKind::Text),
        b"~" if has_literal => Some(LiteralKind::Binary),
        _ => None,
    }
}

impl Decoder {
    pub(super) fn decode_append(&mut self, unread: &[u8]) -> (usize, Decoded) {
        loop {
            let State::Append(append) = &mut self.state else {
                return (0, Decoded::NeedMore);
            };
            if let Place::Octets(..) = append.place {
                return (0, Decoded::NeedMore);
            }
            let (end, next, literal) = match &mut append.line {
                Coming::Found { end, next, literal } => (*end, *next, *literal),
                Coming::Searched { end, text } => {
                    let longest = self.limits.line.min(append.text_left).saturating_sub(*text);
                    let line = match end.find(unread, longest) {
                        framing::Found::Nothing => return (0, Decoded::NeedMore),
                        framing::Found::TooLong => return (0, self.die(LINE_TOO_LONG)),
                        framing::Found::Line(line) => line,
                    };
                    let literal = framing::literal_at_end(&unread[line.start..line.end]);
                    let text = line.end - literal.map_or(0, |literal| literal.marker_length);
                    append.line = Coming::Found { end: text, next: line.next, literal };
                    (text, line.next, literal)
                }
            };
            let mut cursor = Cursor::new(&unread[..end], &self.limits);
            let place = append.place;
            let step = append.step(&mut cursor, literal.is_some());
            let position = cursor.position();
            match step {
                Ok(Step::Begin(begin)) => {
                    append.consume(position);
                    return (position, Decoded::AppendBegin(begin));
                }
                Ok(Step::Piece(piece)) => {
                    append.consume(position);
                    return (position, Decoded::AppendPiece(piece));
                }
                Ok(Step::End) => {
                    self.state = State::Command(Gathering::default());
                    return (next, Decoded::AppendEnd);
                }
                Ok(Step::Octets(kind, after)) => return self.reach_octets(next, literal, kind, after),
                Ok(Step::Argument) => {
                    // It is parsed again from here, together with the argument.
                    append.place = place;
                    if let Some(outcome) = self.await_argument(&unread[..end], next, literal) {
                        return outcome;
                    }
                }
                Err(fault) => return self.refuse_append(next, literal, fault),
            }
        }
    }

    fn reach_octets(
        &mut self,
        next: usize,
        literal: Option<Literal>,
        kind: LiteralKind,
        after: After,
    ) -> (usize, Decoded) {
        let (State::Append(append), Some(literal)) = (&mut self.state, literal) else {
            return (0, Decoded::NeedMore);
        };
        if literal.length > self.limits.append {
            let fault = Fault { text: "The message is too large", kind: FaultKind::TooBig };
            return self.refuse_append(next, Some(literal), fault);
        }
        append.consume(next);
        append.line = NEW_LINE;
        append.place = Place::Octets(literal, after);
        let Literal { length, synchronising, .. } = literal;
        let is_part = matches!(after, After::Part | After::Utf8Part);
        let literal = AppendLiteral { kind, length, synchronising, is_part };
        (next, Decoded::AppendPiece(AppendPiece::Literal(literal)))
    }

    /// The line goes on behind a literal that is an argument, after `head`. `None`: it is awaited without a word.
    fn await_argument(
        &mut self,
        head: &[u8],
        next: usize,
        literal: Option<Literal>,
    ) -> Option<(usize, Decoded)> {
        let (State::Append(append), Some(literal)) = (&mut self.state, literal) else {
            return Some((0, Decoded::NeedMore));
        };
        let gathered = usize::try_from(literal.length)
            .map_or(usize::MAX, |length| append.gathered.saturating_add(length));
        if literal.length > self.limits.literals as u64 || gathered > append.text_left {
            return Some(self.refuse_append(
                next,
                Some(literal),
                too_long::in_annotations(head, literal.length),
            ));
        }
        // Not more than the limit, so it fits.
        let length = literal.length as usize;
        let text = next.saturating_sub(append.gathered);
        append.gathered = gathered;
        append.line = Coming::Searched { end: LineEnd::starting_at(next + length), text };
        literal.synchronising.then_some((0, Decoded::Continue))
    }

    /// Refuses an APPEND at the line that ends before `next`, and what comes behind.
    fn refuse_append(&mut self, next: usize, literal: Option<Literal>, fault: Fault) -> (usize, Decoded) {
        let State::Append(append) = &self.state else {
            return (0, Decoded::NeedMore);
        };
        let refusal = Refusal { tag: Some(append.tag.clone()), fault };
        match literal {
            Some(literal) => self.refuse_at_literal(next, literal, refusal),
            None => {
                self.state = State::Command(Gathering::default());
                (next, Decoded::Bad(refusal))
            }
        }
    }

    /// All octets of the literal were taken: the rest of the command is to be decoded.
    pub fn append_rest(&mut self) {
        if let State::Append(append) = &mut self.state
            && let Place::Octets(_, after) = append.place
        {
            append.place = match after {
                After::Message => Place::Message,
                After::Part => Place::NextPart,
                After::Utf8Message => Place::Utf8MessageEnd,
                After::Utf8Part => Place::Utf8PartEnd,
            };
        }
    }

    /// The session has answered NO to an APPEND, and took nothing of the literal it was told of last, nor sent a `+ ` for it. What is left
    /// of the command is passed over.
    pub fn append_refuse(&mut self) {
        let State::Append(append) = &self.state else { return };
        match append.place {
            Place::Octets(literal, _) if literal.synchronising => {
                self.state = State::Command(Gathering::default());
            }
            Place::Octets(literal, _) => self.append_skip(literal.length),
            // The rest of the line, and what it announces.
            _ => self.skip(0),
        }
    }

    /// The session has answered NO to an APPEND, `left` octets of whose literal will still come.
    pub fn append_skip(&mut self, left: u64) {
        if matches!(&self.state, State::Append(append) if matches!(append.place, Place::Octets(..))) {
            self.skip(left);
        }
    }

    fn skip(&mut self, left: u64) {
        // A message within its limit may be skipped whatever the limit of skipping is.
        let budget = self.limits.skip.max(left.saturating_add(self.limits.line as u64));
        self.state = match Skip::new(left, budget) {
            Some(skip) => State::Skipping(skip),
            None => State::Dead(LITERAL_TOO_LONG),
        };
    }
}

impl Append {
    /// `octets` are consumed.
    fn consume(&mut self, octets: usize) {
        self.text_left = self.text_left.saturating_sub(octets);
        // A piece ends behind the literals that it needed.
        self.gathered = 0;
        if let Coming::Found { end, next, .. } = &mut self.line {
            *end = end.saturating_sub(octets);
            *next = next.saturating_sub(octets);
        }
    }
}
