//! THREAD and UID THREAD (RFC 5256): finds messages as SEARCH does, reads what they refer to and their subjects, puts threads together
//! and tells them, all in turns.
//!
//! `links` and `ancestry` do step 1 of REFERENCES, `references` the others, `ordered_subject` the other algorithm; `tree` has the siblings in order and
//! writes the reply. Everything comes from cells and records, so no message is opened. Ids and subjects are compared by their hashes.

mod ancestry;
mod ids;
mod links;
mod messages;
mod ordered_subject;
mod references;
#[cfg(test)]
mod tests;
mod tree;

use message::Record;
use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::extension::sort::{ThreadAlgorithm, ThreadArguments};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use store::StoreError;

use self::links::Links;
use self::messages::{Messages, pack_subject};
use self::ordered_subject::OrderedSubject;
use self::references::References;
use self::tree::{Planting, Telling};
use super::ending::Ending;
use super::in_progress::InProgress;
use super::search::{Bearing, Finder, compile};
use super::selected::Selected;
use super::sort::TURN_MS;
use super::sort::gather::{Depth, Facts, Gather, Sink};
use super::{Flow, ImapSession, Running, Stage};
use crate::conversation::{Next, Turn};

/// References that are linked between two looks at the clock.
const STRIDE: usize = 4096;

/// A THREAD on its way.
pub(crate) struct Thread {
    tag: Tag,
    numbering: Numbering,
    bearing: Bearing,
    algorithm: ThreadAlgorithm,
    /// Messages that could not be searched.
    failures: u32,
    progress: InProgress,
    step: Step,
}

impl Thread {
    /// Stops it; its tag, unless its answer has begun to be told.
    pub(in crate::imap) fn stop(self) -> Option<Tag> {
        (!matches!(self.step, Step::Tell(_))).then_some(self.tag)
    }
}

enum Step {
    /// Looking at messages.
    Find(Box<Finder>),
    /// Reading what was found.
    Read(Box<Gather>, Box<Reading>),
    /// Putting threads together.
    Join(Box<Joining>, Messages),
    /// Putting siblings in order.
    Plant(Planting, Messages),
    /// Telling.
    Tell(Telling),
}

/// An algorithm that has all it needs.
enum Joining {
    OrderedSubject(OrderedSubject),
    References(Box<References>),
}

/// What was read.
struct Reading {
    numbering: Numbering,
    messages: Messages,
    /// Of REFERENCES.
    links: Option<Links>,
    /// Of the chunk: of each message its id, its subject and where its references are.
    slots: Vec<Slot>,
    references: Vec<u64>,
    /// How many of the chunk are linked.
    linked: usize,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    id: Option<u64>,
    subject: u64,
    references: (u32, u32),
}

impl Reading {
    fn new(numbering: Numbering, algorithm: ThreadAlgorithm, count: usize) -> Reading {
        let links = (algorithm == ThreadAlgorithm::References).then(|| Links::new(count));
        let messages = Messages::default();
        Reading { numbering, messages, links, slots: Vec::new(), references: Vec::new(), linked: 0 }
    }

    fn join(self) -> (Joining, Messages) {
        let joining = match self.links {
            Some(links) => Joining::References(Box::new(References::new(links.finish(), &self.messages))),
            None => Joining::OrderedSubject(OrderedSubject::new()),
        };
        (joining, self.messages)
    }
}

impl Sink for Reading {
    fn message(&mut self, place: usize, _: &Facts, record: Option<&Record<'_>>) {
        if self.slots.len() <= place {
            self.slots.resize(place + 1, Slot::default());
        }
        let slot = &mut self.slots[place];
        *slot = Slot::default();
        let Some(record) = record else { return };
        slot.subject = pack_subject(record.base_subject_hash(), record.is_reply());
        if self.links.is_some() {
            slot.id = record.message_id();
            slot.references.0 = self.references.len() as u32;
            self.references.extend(record.references());
            slot.references.1 = self.references.len() as u32;
        }
    }

    fn chunk(&mut self, facts: &[Facts], is_time_up: &dyn Fn() -> bool) -> bool {
        let mut work = 0;
        while let (Some(facts), Some(slot)) = (facts.get(self.linked), self.slots.get(self.linked)) {
            let number = match self.numbering {
                Numbering::Sequence => facts.sequence,
                Numbering::Uid => facts.uid,
            };
            self.messages.push(number, facts.sent, slot.subject);
            if let Some(links) = &mut self.links {
                let references = &self.references[slot.references.0 as usize..slot.references.1 as usize];
                links.push(slot.id, references.iter().copied());
                work += references.len();
            }
            self.linked += 1;
            work += 1;
            if work > STRIDE {
                work = 0;
                if is_time_up() {
                    return false;
                }
            }
        }
        self.slots.clear();
        self.references.clear();
        self.linked = 0;
        true
    }
}

impl Joining {
    fn go_on(&mut self, messages: &Messages, is_time_up: &dyn Fn() -> bool) -> Option<Planting> {
        match self {
            Joining::OrderedSubject(threads) => threads.go_on(messages, is_time_up),
            Joining::References(threads) => threads.go_on(messages, is_time_up),
        }
    }
}

impl ImapSession {
    pub(super) fn begin_thread(
        &mut self,
        tag: Tag,
        arguments: &ThreadArguments,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let charset = Some(&arguments.charset);
        let key = self.with_filters(charset, &arguments.key, turn);
        let bearing = Bearing::of(key.as_deref().unwrap_or(&arguments.key), arguments.numbering);
        if bearing.tells_modseq {
            self.enable_condstore(turn);
        }
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        match key.and_then(|key| compile(selected, charset, &key, &turn.shared.store)) {
            Ok(condition) => {
                self.running = Running::Thread(Box::new(Thread {
                    tag,
                    numbering: arguments.numbering,
                    bearing,
                    algorithm: arguments.algorithm,
                    failures: 0,
                    progress: InProgress::new(turn),
                    step: Step::Find(Box::new(Finder::new(condition))),
                }));
                Flow::Continue
            }
            Err(error) => self.refuse_unsearchable(turn, &tag, &error),
        }
    }

    pub(super) fn go_on_thread(&mut self, mut thread: Box<Thread>, turn: &mut Turn<'_>) -> Flow {
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        match thread.go_on(selected, turn) {
            Ok(Some(next)) => {
                let done = thread.done(selected);
                thread.progress.tell_of(turn, &thread.tag, next, done, selected.view.exists());
                self.running = Running::Thread(thread);
                Flow::Wait(next)
            }
            Ok(None) => {
                let tell = thread.bearing.tell();
                if thread.failures == 0 {
                    return self.end(turn, thread.tag, tell, "THREAD completed");
                }
                let text = format!("{} messages could not be read", thread.failures);
                let ending = Ending::with(thread.tag, tell, Condition::No, Some(Code::ServerBug), &text);
                self.go_on_ending(Box::new(ending), turn)
            }
            Err(error) => self.refuse_store(turn, &thread.tag, &error),
        }
    }
}

impl Thread {
    /// How many of the messages of the mailbox have been searched.
    fn done(&self, selected: &Selected) -> u32 {
        match &self.step {
            Step::Find(finder) => finder.done(&selected.view),
            _ => selected.view.exists(),
        }
    }

    /// Goes on until it must wait; `None` when all is told.
    fn go_on(&mut self, selected: &mut Selected, turn: &mut Turn<'_>) -> Result<Option<Next>, StoreError> {
        let shared = turn.shared;
        let until_ms = shared.now_ms() + TURN_MS;
        let is_time_up = || shared.now_ms() >= until_ms;
        loop {
            let next = match &mut self.step {
                Step::Find(finder) => {
                    let mailbox = selected.mailbox(&shared.store)?;
                    if !finder.go_on(selected.id, &mailbox, &selected.view, turn)? {
                        return Ok(Some(Next::Again));
                    }
                    self.failures = finder.failures();
                    let found = finder.take_found();
                    let count = usize::try_from(found.count()).unwrap_or(usize::MAX);
                    let reading = Reading::new(self.numbering, self.algorithm, count);
                    Step::Read(Box::new(Gather::new(found, Depth::Records)), Box::new(reading))
                }
                Step::Read(gather, reading) => {
                    if !gather.go_on(selected, turn, &mut **reading, &is_time_up)? {
                        return Ok(Some(Next::Again));
                    }
                    let empty = Reading::new(self.numbering, ThreadAlgorithm::OrderedSubject, 0);
                    let (joining, messages) = std::mem::replace(&mut **reading, empty).join();
                    Step::Join(Box::new(joining), messages)
                }
                Step::Join(joining, messages) => match joining.go_on(messages, &is_time_up) {
                    Some(planting) => Step::Plant(planting, std::mem::take(messages)),
                    None => return Ok(Some(Next::Again)),
                },
                Step::Plant(planting, messages) => {
                    if !planting.go_on(&is_time_up) {
                        return Ok(Some(Next::Again));
                    }
                    let planting = std::mem::replace(planting, Planting::new(Vec::new(), 0));
                    Step::Tell(Telling::new(planting.finish(std::mem::take(messages).into_numbers())))
                }
                Step::Tell(telling) => {
                    return Ok(if telling.write(turn.output) { None } else { Some(Next::Output) });
                }
            };
            self.step = next;
            if is_time_up() {
                return Ok(Some(Next::Again));
            }
        }
    }
}
