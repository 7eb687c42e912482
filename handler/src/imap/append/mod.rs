//! APPEND (RFC 3501, 6.3.11) with APPENDUID (RFC 4315), of several messages (RFC 3502) and of parts (RFC 4469); REPLACE and UID REPLACE
//! (RFC 8508). Messages go to the store as they come.
//!
//! A single message is delivered in one change. Several, and one that replaces another, are stored one by one as they end, and put into the mailbox
//! together when all are durable: nobody ever sees some of them.
//!
//! - `place`: where the messages go, and which one goes for them
//! - `octets`: takes what is in literals
//! - `catenate`: takes what URLs stand for
//! - `binary`: what has NUL in it is stored in base64
//! - `finish`: puts the messages into the mailbox

mod binary;
mod catenate;
mod finish;
mod octets;
mod place;

use protocol::imap::Decoded;
use protocol::imap::command::Tag;
use protocol::imap::command::append::{AppendBegin, AppendPiece, MessageHeader};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use shm_abi::Histogram;
use store::change::{SystemFlags, ZonedTime};
use store::txn::{DepositDelivery, NewAnnotation};
use store::{Draft, Right, Ticket};

use self::binary::{Conversion, Then};
use self::catenate::Copying;
use self::octets::Coming;
use self::place::Place;
use super::message_limit::MESSAGES_MAX;
use super::{Flow, ImapSession, Running, annotate, goodbye};
use crate::clock;
use crate::conversation::{Next, Turn};

/// Messages of one command that are stored in a row before others have their turn.
const MESSAGES_IN_A_ROW: u32 = 64;

/// An APPEND or REPLACE on its way.
pub(crate) struct Append {
    tag: Tag,
    /// The command's name in replies.
    name: &'static str,
    /// Where the messages go; or the reply that says why they go nowhere. That one is sent when the first octets would come: what is before
    /// them may be wrong in itself.
    place: Result<Place, Vec<u8>>,
    /// Messages that are stored.
    stored: Vec<DepositDelivery>,
    /// What each of them is annotated with.
    annotations: Vec<Vec<NewAnnotation>>,
    /// The one that is coming.
    message: Option<Message>,
    /// What is said about that one, while it is written anew.
    header: Option<MessageHeader>,
    step: Step,
}

/// The message that is coming.
struct Message {
    header: MessageHeader,
    draft: Draft,
    /// Whether a literal8 of it has NUL.
    has_nul: bool,
}

/// What is awaited.
enum Step {
    /// The next piece of the command.
    Piece,
    /// Octets of the message.
    Octets(Coming),
    /// Octets of another message.
    Copy(Copying),
    /// The message that has come is being written anew.
    Convert(Box<Conversion>),
    /// All messages are stored and durable: the mailbox can have them.
    Durable,
}

impl ImapSession {
    pub(super) fn begin_append(&mut self, begin: AppendBegin, turn: &mut Turn<'_>) -> Flow {
        let name = if begin.replaced.is_some() { "REPLACE" } else { "APPEND" };
        super::begin_in_table(turn, name);
        turn.begin_command(Histogram::ImapAppend);
        if !self.is_authenticated() {
            self.decoder.append_refuse();
            let text = format!("{name} needs a login first");
            return self.refuse(turn, &begin.tag, Condition::Bad, None, &text);
        }
        let mark = turn.output.bytes().len();
        let place = self.append_place(&begin, turn);
        let refusal = turn.output.bytes().split_off(mark);
        let place = place.ok_or(refusal);
        let tag = begin.tag;
        let append = Append {
            tag,
            name,
            place,
            stored: Vec::new(),
            annotations: Vec::new(),
            message: None,
            header: None,
            step: Step::Piece,
        };
        self.running = Running::Append(Box::new(append));
        Flow::Continue
    }

    pub(super) fn go_on_append(&mut self, mut append: Box<Append>, turn: &mut Turn<'_>) -> Flow {
        match std::mem::replace(&mut append.step, Step::Piece) {
            Step::Piece => {}
            Step::Octets(coming) => return self.take_octets(append, coming, turn),
            Step::Copy(copying) => return self.copy_octets(append, copying, turn),
            Step::Convert(conversion) => return self.convert(append, conversion, turn),
            Step::Durable => return self.put_together(*append, turn),
        }
        for _ in 0..MESSAGES_IN_A_ROW {
            let (consumed, decoded) = self.decoder.decode(turn.input.unread());
            turn.input.consume(consumed);
            match decoded {
                Decoded::AppendPiece(AppendPiece::Message(header)) => {
                    if append.message.as_ref().is_some_and(|message| message.has_nul) {
                        return self.begin_conversion(append, Then::Message(header), turn);
                    }
                    if let Err(flow) = self.begin_message(&mut append, header, turn) {
                        return flow;
                    }
                }
                Decoded::AppendPiece(piece) => {
                    if let Err(refusal) = &append.place {
                        self.decoder.append_refuse();
                        turn.output.bytes().extend_from_slice(refusal);
                        return Flow::Continue;
                    }
                    return match piece {
                        AppendPiece::Literal(literal) => self.begin_octets(append, literal, turn),
                        AppendPiece::Url(url) => self.begin_copy(append, &url, turn),
                        AppendPiece::Message(_) => Flow::Continue,
                    };
                }
                Decoded::AppendEnd => {
                    // The time of APPEND is that from its last octet.
                    turn.begin_command(Histogram::ImapAppend);
                    return self.finish_append(append, turn);
                }
                Decoded::Continue => {
                    protocol::imap::reply::status::continuation(turn.output.bytes(), "Ready for the literal");
                }
                Decoded::Bad(refusal) => {
                    refusal.write(turn.output.bytes());
                    return Flow::Continue;
                }
                Decoded::Fatal(text) => return Flow::Wait(goodbye(turn, text)),
                Decoded::NeedMore | Decoded::AppendBegin(_) | Decoded::Command(_) => {
                    self.running = Running::Append(append);
                    return Flow::Wait(Next::Input);
                }
            }
        }
        self.running = Running::Append(append);
        Flow::Wait(Next::Again)
    }

    /// Stores the message that is complete, and begins the next one.
    fn begin_message(
        &mut self,
        append: &mut Append,
        header: MessageHeader,
        turn: &mut Turn<'_>,
    ) -> Result<(), Flow> {
        let Ok(place) = &append.place else { return Ok(()) };
        if let Some(refusal) = annotate::refusal_of(&header.annotations, place.rights) {
            self.decoder.append_refuse();
            return Err(self.refuse_annotations(turn, &append.tag, refusal));
        }
        if let Err(flow) = self.store_message(append, turn) {
            self.decoder.append_refuse();
            return Err(flow);
        }
        if append.stored.len() >= MESSAGES_MAX as usize {
            self.decoder.append_refuse();
            // RFC 9738, 3.1: all of them or none.
            let code = Some(Code::MessageLimit(MESSAGES_MAX, None));
            return Err(self.refuse(turn, &append.tag, Condition::No, code, "Too many messages at once"));
        }
        match turn.shared.store.draft() {
            Ok(draft) => {
                append.message = Some(Message { header, draft, has_nul: false });
                Ok(())
            }
            Err(error) => {
                self.decoder.append_refuse();
                Err(self.refuse_store(turn, &append.tag, &error))
            }
        }
    }

    /// Ends a command whose messages are not kept.
    fn refuse_empty(&mut self, turn: &mut Turn<'_>, tag: &Tag) -> Flow {
        // RFC 3502: this is how a client gives it up.
        self.refuse(turn, tag, Condition::No, Some(Code::Cannot), "A message of no octets is none")
    }
}

impl Append {
    /// The last change that must be durable before the messages can be put into the mailbox.
    fn ticket(&self) -> Ticket {
        self.stored.iter().map(|stored| stored.deposit.ticket()).max().unwrap_or(Ticket(0))
    }
}

impl Message {
    /// Whether it can be put into the mailbox without being looked at before: no annotation of it is about a part.
    fn is_simple(&self) -> bool {
        annotate::parts(&self.header.annotations).is_empty()
    }

    fn flags(&self, place: &Place) -> SystemFlags {
        place.allowed(SystemFlags(self.header.flags.system.0))
    }

    fn keywords(&self, place: &Place) -> Vec<String> {
        if !place.rights.has(Right::Write) {
            return Vec::new();
        }
        self.header.flags.keywords.iter().map(|keyword| keyword.as_str().to_owned()).collect()
    }

    fn internal_date(&self) -> ZonedTime {
        let date = self.header.date.map(|date| ZonedTime {
            seconds: date.unix_seconds(),
            // As the store can keep it.
            zone_minutes: date.zone_minutes.clamp(-1023, 1023),
        });
        date.unwrap_or_else(clock::now)
    }
}
