//! FETCH and UID FETCH (RFC 3501, 6.4.5).
//!
//! Runs in turns: it writes messages until the output is full, and goes on when that was sent. Flags and dates come from the
//! cell, ENVELOPE and BODYSTRUCTURE ready-made from the record, content from the bucket: little of it by `pread` into the
//! output, much of it as a range of the bucket file, which the kernel sends.

use std::sync::Arc;

use message::{Record, SectionText, header_fields};
use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::fetch::{FetchArguments, FetchItem, SectionItem};
use protocol::imap::reply::fetch::{self as reply, Rfc822Name};
use protocol::imap::syntax::section;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::change::SystemFlags;
use store::mailbox::Cells;
use store::txn::{FlagChange, FlagOperation, Outcome};
use store::{
    CellIndex, Keywords, Mailbox, MessageId, RecordReader, Store, StoreError, StoredMessage, Ticket,
};

use super::ending::Tell;
use super::selected::{Access, Selected};
use super::untagged::announce_flags;
use crate::conversation::Turn;
use crate::log;
use crate::output::Output;

/// Content up to this many octets is copied into the output; more is sent from the file.
const COPIED_OCTETS: u64 = 16 * 1024;
/// Header sections up to this size are read to be cut into fields.
const HEADER_OCTETS_MAX: u64 = 16 * 1024 * 1024;
/// Messages that are marked `\Seen` at a time, before they are sent.
const SEEN_BATCH: usize = 128;

/// A FETCH on its way.
pub(crate) struct Fetch {
    /// The command's tag.
    pub(crate) tag: Tag,
    items: Vec<FetchItem>,
    sequences: NumberSet,
    /// The range that is being done, and the next number in it.
    range: usize,
    next: u32,
    tell: Tell,
    marks_seen: bool,
    /// Messages before this one are marked.
    marked_before: u32,
    /// Messages of the batch that were not seen before, ascending.
    newly_seen: Vec<CellIndex>,
    /// The last change of flags.
    pub(crate) ticket: Ticket,
    /// Messages that could not be read.
    failures: u32,
}

/// How far a turn came.
pub(crate) enum Progress {
    /// The output is full.
    OutputFull,
    /// Every message was answered; how many could not be read.
    Done {
        /// Messages of which not everything was answered.
        failures: u32,
    },
}

impl Fetch {
    /// A FETCH of messages that were found.
    pub(crate) fn new(tag: Tag, arguments: FetchArguments, sequences: NumberSet, access: Access) -> Fetch {
        let marks_seen = access == Access::ReadWrite && arguments.items.iter().any(FetchItem::sets_seen);
        let next = sequences.ranges().first().map_or(0, |range| range.0);
        let tell = match arguments.numbering {
            Numbering::Sequence => Tell::NoExpunge { own: None },
            Numbering::Uid => Tell::WithUids { own: None },
        };
        Fetch {
            tag,
            tell,
            items: arguments.items,
            sequences,
            range: 0,
            next,
            marks_seen,
            marked_before: 0,
            newly_seen: Vec::new(),
            ticket: Ticket(0),
            failures: 0,
        }
    }

    /// The same, but telling other things at its end.
    pub(crate) fn telling(self, tell: Tell) -> Fetch {
        Fetch { tell, ..self }
    }

    /// What may be told at its end.
    pub(crate) fn tell(&self) -> Tell {
        self.tell
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
        let mailbox = selected.mailbox(&turn.shared.store)?;
        let keywords = mailbox.keywords()?;
        if keywords.iter().count() != selected.announced_keywords {
            announce_flags(turn.output.bytes(), selected, &keywords);
        }
        let cells = mailbox.cells()?;
        let store: Arc<Store> = Arc::clone(&turn.shared.store);
        let mut records = store.records();
        while let Some(&(_, last)) = self.sequences.ranges().get(self.range) {
            if self.marks_seen && self.next >= self.marked_before {
                self.mark_seen(selected, &mailbox, turn)?;
            }
            let until = if self.marks_seen { last.min(self.marked_before - 1) } else { last };
            for (sequence, cell) in selected.view.cells_in_seq_range(self.next..=until) {
                if turn.output.is_full() {
                    self.next = sequence;
                    return Ok(Progress::OutputFull);
                }
                let context =
                    Message { store: &store, selected, cells: &cells, keywords: &keywords, sequence, cell };
                let newly_seen = self.newly_seen.binary_search(&cell).is_ok();
                if let Err(error) = context.write(&self.items, newly_seen, &mut records, turn.output) {
                    log::error!(
                        "message not readable",
                        mailbox = selected.id.key(),
                        sequence = sequence,
                        why = error
                    );
                    self.failures += 1;
                }
            }
            self.next = until + 1;
            if self.next > last {
                self.range += 1;
                self.next = self.sequences.ranges().get(self.range).map_or(0, |range| range.0);
            }
        }
        Ok(Progress::Done { failures: self.failures })
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
            let state = cells.flags(cell);
            if state.is_some_and(|state| !state.expunged && !state.flags.system.contains(SystemFlags::SEEN)) {
                unseen.push(cell);
            }
        }
        self.newly_seen.clear();
        if unseen.is_empty() {
            return Ok(());
        }
        let mut txn = turn.shared.store.begin();
        let change =
            FlagChange { operation: FlagOperation::Add, system: SystemFlags::SEEN, keywords: Vec::new() };
        txn.store_flags(selected.id, &unseen, change);
        match txn.commit() {
            Ok(committed) => {
                self.ticket = self.ticket.max(committed.ticket);
                turn.announce(committed.ticket, &committed.touched);
                for outcome in committed.outcomes {
                    if let Outcome::Flags(changed) = outcome {
                        self.newly_seen.extend(changed.messages.iter().map(|&(cell, ..)| cell));
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

/// One message that is being answered.
struct Message<'a> {
    store: &'a Store,
    selected: &'a Selected,
    cells: &'a Cells,
    keywords: &'a Keywords,
    sequence: u32,
    cell: CellIndex,
}

impl Message<'_> {
    /// Writes the FETCH response. On an error nothing of it remains in the output.
    fn write(
        &self,
        items: &[FetchItem],
        newly_seen: bool,
        records: &mut RecordReader<'_>,
        output: &mut Output,
    ) -> Result<(), StoreError> {
        let mark = output.mark();
        let result = self.write_items(items, newly_seen, records, output);
        if result.is_err() {
            output.reset_to(mark);
        }
        result
    }

    fn write_items(
        &self,
        items: &[FetchItem],
        newly_seen: bool,
        records: &mut RecordReader<'_>,
        output: &mut Output,
    ) -> Result<(), StoreError> {
        let state = self.cells.flags(self.cell).ok_or(StoreError::NotFound("message"))?;
        reply::begin(output.bytes(), self.sequence);
        let mut wrote_flags = false;
        for (index, item) in items.iter().enumerate() {
            let out = output.bytes();
            if index > 0 {
                reply::separate(out);
            }
            match item {
                FetchItem::Uid => reply::uid(out, state.uid.get()),
                FetchItem::Flags => {
                    wrote_flags = true;
                    self.selected.write_flags(out, state.uid.get(), state.flags, self.keywords);
                }
                FetchItem::InternalDate => {
                    let date = self.cells.cell(self.cell)?.internal_date;
                    reply::internal_date(out, date.seconds, date.zone_minutes);
                }
                FetchItem::Rfc822Size => reply::size(out, u64::from(self.cells.cell(self.cell)?.size)),
                FetchItem::Envelope => reply::envelope(out, self.record(records)?.envelope()),
                FetchItem::Body => reply::body(out, self.record(records)?.body()),
                FetchItem::BodyStructure => {
                    reply::body_structure(out, self.record(records)?.body_structure())
                }
                FetchItem::Rfc822 => {
                    let message = self.message()?;
                    reply::rfc822_header(out, Rfc822Name::Message, message.size);
                    self.write_range(&message, 0..message.size, output)?;
                }
                FetchItem::Rfc822Header => {
                    let message = self.message()?;
                    let header_size = u64::from(message.header_size);
                    reply::rfc822_header(out, Rfc822Name::Header, header_size);
                    self.write_range(&message, 0..header_size, output)?;
                }
                FetchItem::Rfc822Text => {
                    let message = self.message()?;
                    let header_size = u64::from(message.header_size);
                    reply::rfc822_header(out, Rfc822Name::Text, message.size - header_size);
                    self.write_range(&message, header_size..message.size, output)?;
                }
                FetchItem::Section(item) => self.write_section(item, records, output)?,
            }
        }
        if newly_seen && !wrote_flags {
            let out = output.bytes();
            reply::separate(out);
            self.selected.write_flags(out, state.uid.get(), state.flags, self.keywords);
        }
        reply::end(output.bytes());
        Ok(())
    }

    fn id(&self) -> Result<MessageId, StoreError> {
        Ok(self.cells.cell(self.cell)?.message)
    }

    fn message(&self) -> Result<StoredMessage, StoreError> {
        self.store.message(self.id()?)
    }

    fn record<'r>(&self, records: &'r mut RecordReader<'_>) -> Result<Record<'r>, StoreError> {
        Record::parse(records.record(self.id()?)?)
            .map_err(|_| StoreError::NotFound("record that can be read"))
    }

    /// `BODY[…]<start> content`
    fn write_section(
        &self,
        item: &SectionItem,
        records: &mut RecordReader<'_>,
        output: &mut Output,
    ) -> Result<(), StoreError> {
        let message = self.message()?;
        let (text, fields) = match &item.section.text {
            None => (SectionText::Whole, None),
            Some(section::SectionText::Header) => (SectionText::Header, None),
            Some(section::SectionText::Text) => (SectionText::Text, None),
            Some(section::SectionText::Mime) => (SectionText::Mime, None),
            Some(section::SectionText::HeaderFields(fields)) => (SectionText::Header, Some((fields, false))),
            Some(section::SectionText::HeaderFieldsNot(fields)) => {
                (SectionText::Header, Some((fields, true)))
            }
        };
        let header_size = u64::from(message.header_size);
        let range = match (item.section.part.as_slice(), text) {
            // These need no record.
            ([], SectionText::Whole) => Some(0..message.size),
            ([], SectionText::Header) => Some(0..header_size),
            ([], SectionText::Text) => Some(header_size..message.size),
            (part, text) => self.record(records)?.section_range(part, text),
        };
        let Some(mut range) = range else {
            reply::section_nil(output.bytes(), item);
            return Ok(());
        };
        let Some((fields, except)) = fields else {
            if let Some(partial) = item.partial {
                range.start = range.start.saturating_add(partial.start).min(range.end);
                range.end = range.start.saturating_add(partial.length).min(range.end);
            }
            reply::section_header(output.bytes(), item, range.end - range.start);
            return self.write_range(&message, range, output);
        };
        let names: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
        if item.section.part.is_empty() && !except {
            range = self.record(records)?.header_stretch(&names);
        }
        range.end = range.end.min(range.start + HEADER_OCTETS_MAX);
        let mut header = Vec::new();
        self.store.read_range(&message, range, &mut header)?;
        let mut cut = Vec::new();
        header_fields(&header, &names, except, &mut cut);
        let mut content = cut.as_slice();
        if let Some(partial) = item.partial {
            let start = usize::try_from(partial.start).unwrap_or(usize::MAX).min(content.len());
            let length = usize::try_from(partial.length).unwrap_or(usize::MAX).min(content.len() - start);
            content = &content[start..start + length];
        }
        reply::section_header(output.bytes(), item, content.len() as u64);
        output.bytes().extend_from_slice(content);
        Ok(())
    }

    /// The octets of a literal: this range of the message.
    fn write_range(
        &self,
        message: &StoredMessage,
        range: std::ops::Range<u64>,
        output: &mut Output,
    ) -> Result<(), StoreError> {
        if range.end - range.start <= COPIED_OCTETS {
            self.store.read_range(message, range, output.bytes())
        } else {
            output.push_range(self.store.file_range(message, range)?);
            Ok(())
        }
    }
}
