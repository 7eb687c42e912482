//! FETCH and UID FETCH (RFC 3501, 6.4.5), with CHANGEDSINCE and VANISHED (RFC 7162, 3.1.4.1 and 3.2.6).
//!
//! Runs in turns: it writes messages until the output is full, and goes on when that was sent. Flags and dates come from the
//! cell, ENVELOPE and BODYSTRUCTURE ready-made from the record, content from the bucket: little of it by `pread` into the
//! output, much of it as a range of the bucket file, which the kernel sends.

mod begin;
mod binary;
mod message;

use std::sync::Arc;

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::fetch::FetchItem;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use protocol::imap::reply::vanished::{self, Vanished};
use protocol::imap::syntax::sequence_set::NumberSet;
use store::change::SystemFlags;
use store::txn::{FlagChange, FlagOperation, Outcome};
use store::{CellIndex, Mailbox, MessageId, ModSeq, Right, Store, StoreError, Ticket};

use self::binary::Binary;
use self::message::{Message, Written};
use super::content::decoding::Sent;
use super::ending::{Ending, Tell};
use super::selected::Selected;
use super::untagged::{Known, announce_flags};
use crate::conversation::Turn;
use crate::crashes;
use crate::log;

/// Messages that are marked `\Seen` at a time, before they are sent.
const SEEN_BATCH: usize = 128;

/// A FETCH on its way, or the replies of a STORE or of a SELECT.
pub(crate) struct Fetch {
    /// The command's tag.
    pub(crate) tag: Tag,
    items: Vec<FetchItem>,
    sequences: NumberSet,
    /// The range that is being done, and the next number in it.
    range: usize,
    next: u32,
    /// The next item of that message; not 0 when the output was full within it.
    next_item: usize,
    numbering: Numbering,
    /// UIDs of messages that are gone, told before the others.
    vanished: NumberSet,
    /// Ranges of them that were told.
    vanished_told: usize,
    /// Flags that need not be told at its end.
    known: Known,
    marks_seen: bool,
    /// Messages before this one are marked.
    marked_before: u32,
    /// Messages whose flags are told besides the items, ascending: those of the batch that were not seen before, or those that STORE
    /// left as they are.
    and_flags: Vec<CellIndex>,
    /// The last change of flags.
    pub(crate) ticket: Ticket,
    /// The item that is being decoded, of the message and at the place of `next_item`.
    binary: Option<Box<Binary>>,
    failures: Failures,
    /// How the command ends if everything could be read; `None` for an OK that says no more.
    ending: Option<Ending>,
}

/// What could not be answered.
#[derive(Default)]
struct Failures {
    /// Items of messages that could not be read.
    count: u32,
    /// A part has an encoding that is not known (RFC 3516, 4.3).
    unknown_encoding: bool,
    /// One of the messages is quarantined: reading it has crashed sessions.
    withheld: Option<MessageId>,
}

/// How far a turn came.
pub(crate) enum Progress {
    /// There is more to do, but others should have their turn.
    Again,
    /// The message that was promised cannot be read on: nothing right can be said any more.
    Broken,
    /// The output is full.
    OutputFull,
    /// Every message was answered.
    Done,
}

impl Fetch {
    /// The replies to `items` for messages that were found, told as `numbering` says.
    pub(crate) fn new(
        tag: Tag,
        numbering: Numbering,
        mut items: Vec<FetchItem>,
        sequences: NumberSet,
        selected: &Selected,
    ) -> Fetch {
        // UIDFETCH says the UID itself (RFC 9586, 3.3).
        let needs_uid = numbering == Numbering::Uid && !selected.enabled.uid_only();
        if needs_uid && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        let marks_seen = selected.refusal_of(Right::Seen).is_none() && items.iter().any(FetchItem::sets_seen);
        let next = sequences.ranges().first().map_or(0, |range| range.0);
        Fetch {
            tag,
            numbering,
            known: Known::default(),
            items,
            sequences,
            range: 0,
            next,
            next_item: 0,
            vanished: NumberSet::default(),
            vanished_told: 0,
            marks_seen,
            marked_before: 0,
            and_flags: Vec::new(),
            ticket: Ticket(0),
            binary: None,
            failures: Failures::default(),
            ending: None,
        }
    }

    /// The same, with the flags of these messages besides the items; ascending.
    pub(crate) fn with_flags_of(self, messages: Vec<CellIndex>) -> Fetch {
        Fetch { and_flags: messages, ..self }
    }

    /// The same, with `VANISHED (EARLIER)` of these UIDs before.
    pub(crate) fn after_vanished(self, uids: Vec<(u32, u32)>) -> Fetch {
        Fetch { vanished: NumberSet::from_ranges(uids), ..self }
    }

    /// The same, with this end of the command.
    pub(crate) fn ending_with(self, ending: Ending) -> Fetch {
        Fetch { ending: Some(ending), ..self }
    }

    /// What may be told at its end.
    pub(crate) fn tell(&self) -> Tell {
        Tell::by(self.numbering, self.known.clone())
    }

    /// The end of the command.
    pub(crate) fn end(&mut self) -> Ending {
        if self.failures.count == 0 && self.failures.unknown_encoding {
            let text = "A part has an encoding that is not known";
            return Ending::with(self.tag.clone(), self.tell(), Condition::No, Some(Code::UnknownCte), text);
        }
        if let Some(message) = self.failures.withheld {
            let text = crashes::quarantined(message);
            return Ending::with(self.tag.clone(), self.tell(), Condition::No, Some(Code::ServerBug), &text);
        }
        if self.failures.count > 0 {
            let text = format!("{} messages could not be read", self.failures.count);
            return Ending::with(self.tag.clone(), self.tell(), Condition::No, Some(Code::ServerBug), &text);
        }
        self.ending.take().unwrap_or_else(|| Ending::ok(self.tag.clone(), self.tell(), "Completed"))
    }

    /// Answers messages until the output is full or all are done.
    ///
    /// # Errors
    /// The mailbox cannot be read or changed.
    pub(crate) fn run(
        &mut self,
        selected: &mut Selected,
        turn: &mut Turn<'_>,
    ) -> Result<Progress, StoreError> {
        while let Some(rest) =
            self.vanished.ranges().get(self.vanished_told..).filter(|rest| !rest.is_empty())
        {
            if turn.output.is_full() {
                return Ok(Progress::OutputFull);
            }
            self.vanished_told += vanished::line(turn.output.bytes(), Vanished::Earlier, rest);
        }
        let mut highest = ModSeq(0);
        let progress = self.answer(selected, &mut highest, turn);
        selected.client_modseq.send(highest);
        progress
    }

    /// Answers messages; `highest` becomes the highest modseq that was sent.
    fn answer(
        &mut self,
        selected: &mut Selected,
        highest: &mut ModSeq,
        turn: &mut Turn<'_>,
    ) -> Result<Progress, StoreError> {
        let mailbox = selected.mailbox(&turn.shared.store)?;
        let keywords = mailbox.keywords()?;
        if keywords.iter().count() != selected.announced_keywords {
            announce_flags(turn.output.bytes(), selected, &keywords);
        }
        let mut cells = mailbox.cells()?;
        let store: Arc<Store> = Arc::clone(&turn.shared.store);
        let mut records = store.records();
        let sends_modseq = self.items.contains(&FetchItem::ModSeq);
        while let Some(&(_, last)) = self.sequences.ranges().get(self.range) {
            if self.marks_seen && self.next >= self.marked_before {
                self.mark_seen(selected, &mailbox, turn)?;
                // What a reader of another user's mailbox has seen is as of when the cells were asked for.
                cells = mailbox.cells()?;
            }
            let until = if self.marks_seen { last.min(self.marked_before - 1) } else { last };
            for (sequence, cell) in selected.view.cells_in_seq_range(self.next..=until) {
                if turn.output.is_full() {
                    self.next = sequence;
                    return Ok(Progress::OutputFull);
                }
                let place = (sequence, cell);
                let message =
                    Message::new(&store, selected, (&mailbox, &cells), &keywords, place, &self.items);
                let message = match message {
                    Ok(message) => message,
                    Err(error) => {
                        let mailbox = selected.id.key();
                        log::error!("cell not readable", mailbox = mailbox, sequence = sequence, why = error);
                        self.failures.count += 1;
                        continue;
                    }
                };
                let and_flags = self.and_flags.binary_search(&cell).is_ok();
                if sends_modseq || and_flags {
                    *highest = message.modseq().max(*highest);
                }
                let mut first = std::mem::take(&mut self.next_item);
                loop {
                    if let Some(mut binary) = self.binary.take() {
                        let progress = match binary.run(&store, turn.output) {
                            Ok(Sent::All) => None,
                            Ok(Sent::Again) => Some(Progress::Again),
                            Ok(Sent::OutputFull) => Some(Progress::OutputFull),
                            Err(error) if binary.has_promised() => {
                                let mailbox = selected.id.key();
                                log::error!("reply cut short", mailbox = mailbox, why = error);
                                return Ok(Progress::Broken);
                            }
                            Err(error) => {
                                let (item, failures) = (&self.items[first], &mut self.failures);
                                message.write_failed(item, &error, turn.output, failures);
                                None
                            }
                        };
                        if let Some(progress) = progress {
                            (self.next, self.next_item, self.binary) = (sequence, first, Some(binary));
                            return Ok(progress);
                        }
                        first += 1;
                    }
                    let written = message.write(
                        &self.items,
                        first,
                        and_flags,
                        &mut records,
                        turn.output,
                        &mut self.failures,
                    );
                    match written {
                        Written::All => break,
                        Written::Before(item) => {
                            (self.next, self.next_item) = (sequence, item);
                            return Ok(Progress::OutputFull);
                        }
                        Written::Binary(item, binary) => (first, self.binary) = (item, Some(binary)),
                    }
                }
            }
            self.next = until + 1;
            if self.next > last {
                self.range += 1;
                self.next = self.sequences.ranges().get(self.range).map_or(0, |range| range.0);
            }
        }
        Ok(Progress::Done)
    }

    /// Sets `\Seen` on the next messages of the current range that lack it, in one change.
    fn mark_seen(
        &mut self,
        selected: &Selected,
        mailbox: &Mailbox,
        turn: &mut Turn<'_>,
    ) -> Result<(), StoreError> {
        let Some(&(_, last)) = self.sequences.ranges().get(self.range) else { return Ok(()) };
        let cells = mailbox.cells()?;
        let mut unseen = Vec::new();
        self.marked_before = last.saturating_add(1);
        for (count, (sequence, cell)) in selected.view.cells_in_seq_range(self.next..=last).enumerate() {
            if count == SEEN_BATCH {
                self.marked_before = sequence;
                break;
            }
            let state = cells.flags(cell)?;
            if !state.expunged && !state.flags.system.contains(SystemFlags::SEEN) {
                unseen.push(cell);
            }
        }
        self.and_flags.clear();
        if unseen.is_empty() {
            return Ok(());
        }
        let mut txn = turn.shared.store.begin_as(selected.user);
        let change =
            FlagChange { operation: FlagOperation::Add, system: SystemFlags::SEEN, keywords: Vec::new() };
        txn.store_flags(selected.id, &unseen, change);
        match txn.commit() {
            Ok(committed) => {
                self.ticket = self.ticket.max(committed.ticket);
                turn.announce(committed.ticket, &committed.touched);
                for outcome in committed.outcomes {
                    if let Outcome::Flags(changed) = outcome {
                        self.and_flags.extend(changed.messages.iter().map(|&(cell, ..)| cell));
                        if !self.and_flags.is_empty() {
                            self.known.add(changed.modseq);
                        }
                    }
                }
                Ok(())
            }
            // What the client asked for is the content; a full disk need not keep it from that.
            Err(error) => {
                log::warning!("seen flags not stored", mailbox = selected.id.key(), why = error);
                self.marks_seen = false;
                Ok(())
            }
        }
    }
}
