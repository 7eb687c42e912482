//! What commands about messages say: FETCH, STORE, COPY, APPEND and REPLACE.

use super::Draw;
use crate::imap::command::Numbering;
use crate::imap::command::append::{AppendBegin, MessageHeader, Replaced};
use crate::imap::command::copy::CopyArguments;
use crate::imap::command::fetch::{FetchArguments, FetchItem, FetchModifiers, SectionItem};
use crate::imap::command::store::{StoreArguments, StoreChange, StoreFlags, StoreItem, StoreOperation};
use crate::imap::extension::gmail::GmailItem;
use crate::imap::extension::partial::PartialRange;
use crate::imap::extension::preview::Urgency;
use crate::imap::syntax::flag::{Flags, SystemFlags};
use crate::imap::syntax::name_encoding::NameEncoding;
use crate::imap::syntax::section::{Partial, Section, SectionText};

impl Draw {
    pub(super) fn fetch(&mut self) -> FetchArguments {
        let numbering = self.numbering();
        let mut items: Vec<FetchItem> = Vec::new();
        for item in self.some(1, 5, Draw::fetch_item) {
            if !items.contains(&item) {
                items.push(item);
            }
        }
        let is_uid = numbering == Numbering::Uid;
        let changed_since = self.maybe(3, |draw| draw.number(1, i64::MAX as u64));
        let modifiers = FetchModifiers {
            changed_since,
            vanished: is_uid && changed_since.is_some() && self.chance(2),
            partial: self.maybe(3, Draw::partial_range).filter(|_| is_uid),
        };
        FetchArguments { numbering, messages: self.set(), items, modifiers }
    }

    pub(super) fn fetch_item(&mut self) -> FetchItem {
        let (section, partial, peek) = (self.section(), self.maybe(2, Draw::partial), self.chance(2));
        let part = Section { text: None, ..section.clone() };
        match self.below(13) {
            0 | 1 => FetchItem::Section(SectionItem { section, partial, peek }),
            2 => FetchItem::Binary(SectionItem { section: part, partial, peek }),
            3 => FetchItem::BinarySize(part),
            4 => FetchItem::Preview(self.one(&[Urgency::Waits, Urgency::Lazy])),
            6 => FetchItem::Annotation(Box::new(self.fetch_annotation())),
            5 => FetchItem::Gmail(self.one(&GmailItem::EVERY)),
            _ => self.one(&[
                FetchItem::Flags,
                FetchItem::Uid,
                FetchItem::InternalDate,
                FetchItem::Rfc822Size,
                FetchItem::Envelope,
                FetchItem::Body,
                FetchItem::BodyStructure,
                FetchItem::ModSeq,
                FetchItem::Rfc822,
                FetchItem::Rfc822Header,
                FetchItem::Rfc822Text,
                FetchItem::EmailId,
                FetchItem::ThreadId,
                FetchItem::SaveDate,
            ]),
        }
    }

    pub(super) fn section(&mut self) -> Section {
        let part = self.some(0, 3, Draw::number_32);
        let text = match self.below(7) {
            0 => Some(SectionText::Header),
            1 => Some(SectionText::Text),
            2 => Some(SectionText::HeaderFields(self.some(1, 3, Draw::text))),
            3 => Some(SectionText::HeaderFieldsNot(self.some(1, 3, Draw::text))),
            4 if !part.is_empty() => Some(SectionText::Mime),
            _ => None,
        };
        Section { part, text }
    }

    fn partial(&mut self) -> Partial {
        Partial { start: self.number_63(), length: self.number(1, i64::MAX as u64) }
    }

    fn partial_range(&mut self) -> PartialRange {
        let (first, last) = (self.number_32(), self.number_32());
        let text = if self.chance(2) { format!("{first}:{last}") } else { format!("-{first}:-{last}") };
        self.parsed(&text, PartialRange::parse)
    }

    pub(super) fn store(&mut self) -> StoreArguments {
        let operations = [StoreOperation::Add, StoreOperation::Remove, StoreOperation::Set];
        let operation = self.one(&operations);
        let change = if self.chance(4) {
            StoreChange::Annotations(self.annotations())
        } else if self.chance(3) {
            let flags = Flags { system: SystemFlags::default(), ..self.flags() };
            StoreChange::Flags(StoreFlags {
                operation,
                item: StoreItem::Labels,
                silent: self.chance(2),
                flags,
            })
        } else {
            let flags = self.flags();
            let silent = self.chance(2);
            StoreChange::Flags(StoreFlags { operation, item: StoreItem::Flags, silent, flags })
        };
        StoreArguments {
            numbering: self.numbering(),
            messages: self.set(),
            unchanged_since: self.maybe(3, Draw::number_63),
            change,
        }
    }

    pub(super) fn copy(&mut self, names: NameEncoding) -> CopyArguments {
        CopyArguments { numbering: self.numbering(), messages: self.set(), mailbox: self.mailbox(names) }
    }

    pub(in super::super) fn append_begin(&mut self, names: NameEncoding) -> AppendBegin {
        let replaced = self.maybe(3, |draw| {
            let numbering = draw.numbering();
            let text = if draw.chance(4) { "*".to_owned() } else { draw.number_32().to_string() };
            draw.parsed(&text, |cursor| Replaced::parse(cursor, numbering))
        });
        AppendBegin { tag: self.tag(), mailbox: self.mailbox(names), replaced }
    }

    pub(in super::super) fn message_header(&mut self) -> MessageHeader {
        let annotations = self.maybe(3, Draw::annotations).unwrap_or_default();
        MessageHeader { flags: self.flags(), date: self.maybe(2, Draw::moment), annotations }
    }
}
