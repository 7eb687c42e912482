//! The FETCH response of one message, item by item.
//!
//! An item that cannot be read becomes NIL, so that what a client gets can always be parsed; the command then ends with NO.

use std::cell::OnceCell;
use std::ops::Range;

use message::preview;
use message::{Globals, Record, Scanner};
use protocol::imap::command::fetch::{FetchItem, SectionItem};
use protocol::imap::extension::gmail::GmailItem;
use protocol::imap::reply::fetch::{self as reply, Rfc822Name};
use protocol::imap::reply::fetch_facts as facts;
use store::mailbox::{CellFlags, Cells};
use store::{Cell, CellIndex, Keywords, Mailbox, ModSeq, RecordReader, Store, StoreError, StoredMessage};

use super::super::annotate::fetch::Annotations;
use super::super::content::{self, Content};
use super::super::object_id;
use super::super::selected::Selected;
use super::Failures;
use super::binary::{Begun, Binary};
use crate::log;
use crate::output::Output;

/// Content up to this many octets is copied into the output; more is sent from the file.
const COPIED_OCTETS: u64 = 16 * 1024;
/// A message that is larger is not read once more for the sake of parts of type message/global: that would keep others from their turn.
const GLOBALS_OCTETS_MAX: u64 = 4 * 1024 * 1024;
/// How much of a message is read at a time to be scanned.
const SCANNED_OCTETS: u64 = 256 * 1024;

/// One message that is being answered.
pub(super) struct Message<'a> {
    pub(super) store: &'a Store,
    pub(super) selected: &'a Selected,
    pub(super) keywords: &'a Keywords,
    pub(super) sequence: u32,
    state: CellFlags,
    cell: Option<Cell>,
    /// Its annotations, if they are asked for and can be read.
    annotations: Result<Option<Annotations>, StoreError>,
    /// The record with parts of type message/global taken for messages, once it was needed.
    with_globals: OnceCell<Vec<u8>>,
}

/// How far the items of a message came.
pub(super) enum Written {
    /// The output is full before this item.
    Before(usize),
    /// This item is to be decoded.
    Binary(usize, Box<Binary>),
    /// All of them.
    All,
}

impl<'a> Message<'a> {
    /// The message of a cell; looked at no further than `items` ask for.
    ///
    /// # Errors
    /// There is no such cell, or it is damaged.
    pub(super) fn new(
        store: &'a Store,
        selected: &'a Selected,
        (mailbox, cells): (&Mailbox, &Cells),
        keywords: &'a Keywords,
        (sequence, index): (u32, CellIndex),
        items: &[FetchItem],
    ) -> Result<Message<'a>, StoreError> {
        let state = cells.flags(index)?;
        let is_in_flags = |item: &FetchItem| {
            matches!(item, FetchItem::Flags | FetchItem::Uid | FetchItem::ModSeq | FetchItem::Annotation(_))
        };
        let cell = if items.iter().all(is_in_flags) { None } else { Some(cells.cell(index)?) };
        let annotations = Annotations::if_asked(items, mailbox, state.uid, selected.user);
        let with_globals = OnceCell::new();
        Ok(Message { store, selected, keywords, sequence, state, cell, annotations, with_globals })
    }

    /// Writes the response from item `first` on, with FLAGS behind the items if `and_flags`; what it could not read it counts in
    /// `failures`.
    pub(super) fn write(
        &self,
        items: &[FetchItem],
        first: usize,
        and_flags: bool,
        records: &mut RecordReader<'_>,
        output: &mut Output,
        failures: &mut Failures,
    ) -> Written {
        if first == 0
            && let Err(error) = &self.annotations
        {
            self.count_failed(error, failures);
        }
        let Some(first_told) = items.iter().position(|item| self.is_told(item)) else {
            if and_flags {
                self.selected.begin_fetch(output.bytes(), self.sequence, self.state.uid);
                self.write_flags(output);
                self.write_change(&[FetchItem::Flags], output);
                reply::end(output.bytes());
            }
            return Written::All;
        };
        if first == 0 {
            self.selected.begin_fetch(output.bytes(), self.sequence, self.state.uid);
        }
        for (index, item) in items.iter().enumerate().skip(first) {
            if !self.is_told(item) {
                continue;
            }
            if index > first && output.is_full() {
                return Written::Before(index);
            }
            if index > first_told {
                reply::separate(output.bytes());
            }
            let mark = output.mark();
            let written = match Binary::begin(item, || self.message(), || self.record(records), output) {
                Ok(Some(Begun::Binary(binary))) => return Written::Binary(index, binary),
                Ok(Some(Begun::UnknownEncoding)) => {
                    failures.unknown_encoding = true;
                    continue;
                }
                Ok(Some(Begun::Written)) => continue,
                Ok(None) => self.write_item(item, records, output),
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                output.reset_to(mark);
                self.write_failed(item, &error, output, failures);
            }
        }
        if and_flags {
            self.write_change(items, output);
        }
        reply::end(output.bytes());
        Written::All
    }

    /// An item that cannot be read.
    pub(super) fn write_failed(
        &self,
        item: &FetchItem,
        error: &StoreError,
        output: &mut Output,
        failures: &mut Failures,
    ) {
        self.count_failed(error, failures);
        reply::nil(output.bytes(), item);
    }

    fn count_failed(&self, error: &StoreError, failures: &mut Failures) {
        let mailbox = self.selected.id.key();
        log::error!("message not readable", mailbox = mailbox, uid = self.state.uid, why = error);
        failures.count += 1;
        if let StoreError::Withheld(message) = error {
            failures.withheld = Some(*message);
        }
    }

    /// Whether there is anything to tell of an item: annotations that there are none of are not told.
    fn is_told(&self, item: &FetchItem) -> bool {
        match (item, &self.annotations) {
            (FetchItem::Annotation(asked), Ok(Some(annotations))) => annotations.has_any(asked),
            (FetchItem::Annotation(_), _) => false,
            _ => true,
        }
    }

    /// What tells of a change of flags, but for what is among `items` (RFC 7162, 3.2.4).
    fn write_change(&self, items: &[FetchItem], output: &mut Output) {
        if !items.contains(&FetchItem::Flags) {
            reply::separate(output.bytes());
            self.write_flags(output);
        }
        let enabled = self.selected.enabled;
        if enabled.condstore() && !enabled.uid_only() && !items.contains(&FetchItem::Uid) {
            reply::separate(output.bytes());
            reply::uid(output.bytes(), self.state.uid.get());
        }
        if enabled.condstore() && !items.contains(&FetchItem::ModSeq) {
            reply::separate(output.bytes());
            reply::modseq(output.bytes(), self.state.modseq.0);
        }
    }

    /// The message's modseq.
    pub(super) fn modseq(&self) -> ModSeq {
        self.state.modseq
    }

    fn write_item(
        &self,
        item: &FetchItem,
        records: &mut RecordReader<'_>,
        output: &mut Output,
    ) -> Result<(), StoreError> {
        match item {
            FetchItem::Uid => reply::uid(output.bytes(), self.state.uid.get()),
            FetchItem::Flags => self.write_flags(output),
            FetchItem::ModSeq => reply::modseq(output.bytes(), self.state.modseq.0),
            FetchItem::InternalDate => {
                let date = self.cell()?.internal_date;
                reply::internal_date(output.bytes(), date.seconds, date.zone_minutes);
            }
            FetchItem::Rfc822Size => reply::size(output.bytes(), u64::from(self.cell()?.size)),
            FetchItem::Envelope => reply::envelope(output.bytes(), self.record(records)?.envelope()),
            FetchItem::Body => reply::body(output.bytes(), self.record(records)?.body()),
            FetchItem::BodyStructure => {
                reply::body_structure(output.bytes(), self.record(records)?.body_structure());
            }
            FetchItem::Rfc822 => {
                let message = self.message()?;
                self.write_rfc822(&message, Rfc822Name::Message, 0..message.size, output)?;
            }
            FetchItem::Rfc822Header => {
                let message = self.message()?;
                let range = 0..u64::from(message.header_size);
                self.write_rfc822(&message, Rfc822Name::Header, range, output)?;
            }
            FetchItem::Rfc822Text => {
                let message = self.message()?;
                let range = u64::from(message.header_size)..message.size;
                self.write_rfc822(&message, Rfc822Name::Text, range, output)?;
            }
            FetchItem::Section(item) => self.write_section(item, records, output)?,
            // `Binary` has these.
            FetchItem::Binary(_) | FetchItem::BinarySize(_) => {}
            FetchItem::EmailId => {
                facts::email_id(output.bytes(), &object_id::email_id(self.cell()?.message));
            }
            FetchItem::ThreadId => {
                let identifier = object_id::thread_id(&self.record(records)?, self.cell()?.message);
                facts::thread_id(output.bytes(), &identifier);
            }
            FetchItem::SaveDate => facts::save_date(output.bytes(), i64::from(self.cell()?.save_seconds)),
            FetchItem::Preview(_) => {
                let text = self.preview(records)?;
                facts::preview(output.bytes(), Some(&text), self.selected.enabled.names());
            }
            FetchItem::Annotation(asked) => {
                if let Ok(Some(annotations)) = &self.annotations {
                    annotations.write(asked, output.bytes());
                }
            }
            FetchItem::Gmail(item) => self.write_gmail(*item, records, output)?,
        }
        Ok(())
    }

    fn write_gmail(
        &self,
        item: GmailItem,
        records: &mut RecordReader<'_>,
        output: &mut Output,
    ) -> Result<(), StoreError> {
        let message = self.cell()?.message;
        match item {
            GmailItem::MessageNumber => {
                facts::gmail_number(output.bytes(), item, object_id::message_number(message));
            }
            GmailItem::ThreadNumber => {
                let number = object_id::thread_number(&self.record(records)?, message);
                facts::gmail_number(output.bytes(), item, number);
            }
            GmailItem::Labels => {
                let keywords = self.state.flags.keywords;
                let names = self.keywords.iter().filter(|(bit, _)| keywords & (1 << bit) != 0);
                facts::gmail_labels(output.bytes(), names.map(|(_, name)| name));
            }
        }
        Ok(())
    }

    /// The first words of the message. Reads a few KiB of at most [`preview::PARTS_MAX`] parts, all in the message's one bucket.
    fn preview(&self, records: &mut RecordReader<'_>) -> Result<String, StoreError> {
        let record = self.record(records)?;
        let mut parts = preview::readable_parts(&record).peekable();
        if parts.peek().is_none() {
            return Ok(String::new());
        }
        let message = self.message()?;
        let mut octets = Vec::new();
        for part in parts {
            octets.clear();
            let end = part.body.end.min(part.body.start + preview::octets_max(part.media));
            self.store.read_range(&message, part.body.start..end, &mut octets)?;
            let text = preview::preview(&octets, &part);
            if !text.is_empty() {
                return Ok(text);
            }
        }
        Ok(String::new())
    }

    fn write_flags(&self, output: &mut Output) {
        self.selected.write_flags(output.bytes(), self.state.uid.get(), self.state.flags, self.keywords);
    }

    fn cell(&self) -> Result<&Cell, StoreError> {
        self.cell.as_ref().ok_or(StoreError::NotFound("message"))
    }

    fn message(&self) -> Result<StoredMessage, StoreError> {
        self.store.message(self.cell()?.message)
    }

    fn record<'r>(&'r self, records: &'r mut RecordReader<'_>) -> Result<Record<'r>, StoreError> {
        let unreadable = |_| StoreError::NotFound("record that can be read");
        let record = Record::parse(records.record(self.cell()?.message)?).map_err(unreadable)?;
        if !self.selected.enabled.rev2() || !record.has_global() || record.size() > GLOBALS_OCTETS_MAX {
            return Ok(record);
        }
        if self.with_globals.get().is_none() {
            // Nobody else fills it meanwhile.
            let _ = self.with_globals.set(self.scan_with_globals()?);
        }
        let bytes = self.with_globals.get().map_or(&[][..], Vec::as_slice);
        Record::parse(bytes).map_err(unreadable)
    }

    /// RFC 9051, 7.5.2: message/global is as message/rfc822, which in IMAP4rev1 it is not. So rare are both that nothing is kept of it: the
    /// message is read once more.
    fn scan_with_globals(&self) -> Result<Vec<u8>, StoreError> {
        let message = self.message()?;
        let mut scanner = Scanner::with_globals(Globals::Messages);
        let mut octets = Vec::new();
        let mut at = 0;
        while at < message.size {
            let end = message.size.min(at + SCANNED_OCTETS);
            octets.clear();
            self.store.read_range(&message, at..end, &mut octets)?;
            scanner.push(&octets);
            at = end;
        }
        Ok(message::encode(&scanner.finish()))
    }

    fn write_rfc822(
        &self,
        message: &StoredMessage,
        name: Rfc822Name,
        range: Range<u64>,
        output: &mut Output,
    ) -> Result<(), StoreError> {
        reply::rfc822_header(output.bytes(), name, range.end - range.start);
        self.write_range(message, range, output)
    }

    /// `BODY[…]<start> content`
    fn write_section(
        &self,
        item: &SectionItem,
        records: &mut RecordReader<'_>,
        output: &mut Output,
    ) -> Result<(), StoreError> {
        let message = self.message()?;
        let content = content::locate(self.store, &message, &item.section, || self.record(records))?;
        let Some(mut content) = content else {
            reply::section_nil(output.bytes(), item);
            return Ok(());
        };
        if let Some(partial) = item.partial {
            content = content.cut(partial.start, partial.length);
        }
        reply::section_header(output.bytes(), item, content.len());
        match content {
            Content::Range(range) => self.write_range(&message, range, output),
            Content::Fields(fields) => {
                output.bytes().extend_from_slice(&fields);
                Ok(())
            }
        }
    }

    /// The octets of a literal: this range of the message.
    fn write_range(
        &self,
        message: &StoredMessage,
        range: Range<u64>,
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
