//! Prints commands about messages: FETCH, STORE, COPY, MOVE.

use super::Printer;
use crate::imap::command::copy::CopyArguments;
use crate::imap::command::fetch::{FetchArguments, FetchItem, FetchModifiers, SectionItem};
use crate::imap::command::store::{StoreArguments, StoreChange, StoreItem, StoreOperation};
use crate::imap::extension::preview::Urgency;
use crate::imap::syntax::section::Section;

impl Printer<'_> {
    pub(super) fn fetch(&mut self, arguments: &FetchArguments) {
        self.numbered(arguments.numbering, "FETCH");
        self.set(&arguments.messages);
        self.list(|printer| arguments.items.iter().for_each(|item| printer.fetch_item(item)));
        if arguments.modifiers != FetchModifiers::default() {
            self.list(|printer| printer.fetch_modifiers(&arguments.modifiers));
        }
    }

    fn fetch_modifiers(&mut self, modifiers: &FetchModifiers) {
        if let Some(modseq) = modifiers.changed_since {
            self.word("CHANGEDSINCE");
            self.number(modseq);
        }
        if modifiers.vanished {
            self.word("VANISHED");
        }
        if let Some(range) = modifiers.partial {
            self.word("PARTIAL");
            range.write(self.begin());
        }
    }

    pub(super) fn fetch_item(&mut self, item: &FetchItem) {
        match item {
            FetchItem::Flags => self.word("FLAGS"),
            FetchItem::Uid => self.word("UID"),
            FetchItem::InternalDate => self.word("INTERNALDATE"),
            FetchItem::Rfc822Size => self.word("RFC822.SIZE"),
            FetchItem::Envelope => self.word("ENVELOPE"),
            FetchItem::Body => self.word("BODY"),
            FetchItem::BodyStructure => self.word("BODYSTRUCTURE"),
            FetchItem::ModSeq => self.word("MODSEQ"),
            FetchItem::Rfc822 => self.word("RFC822"),
            FetchItem::Rfc822Header => self.word("RFC822.HEADER"),
            FetchItem::Rfc822Text => self.word("RFC822.TEXT"),
            FetchItem::Section(item) => self.section("BODY", item),
            FetchItem::Binary(item) => self.section("BINARY", item),
            FetchItem::BinarySize(section) => self.named_section("BINARY.SIZE", section),
            FetchItem::EmailId => self.word("EMAILID"),
            FetchItem::ThreadId => self.word("THREADID"),
            FetchItem::SaveDate => self.word("SAVEDATE"),
            FetchItem::Preview(Urgency::Waits) => self.word("PREVIEW"),
            FetchItem::Preview(Urgency::Lazy) => self.word("PREVIEW (LAZY)"),
            FetchItem::Annotation(annotation) => self.fetch_annotation(annotation),
            FetchItem::Gmail(item) => self.word(item.name()),
        }
    }

    fn section(&mut self, name: &str, item: &SectionItem) {
        self.named_section(&format!("{name}{}", if item.peek { ".PEEK" } else { "" }), &item.section);
        if let Some(partial) = item.partial {
            let range = format!("<{}.{}>", partial.start, partial.length);
            self.out.extend_from_slice(range.as_bytes());
        }
    }

    fn named_section(&mut self, name: &str, section: &Section) {
        self.word(name);
        section.write(self.out);
    }

    pub(super) fn store(&mut self, arguments: &StoreArguments) {
        self.numbered(arguments.numbering, "STORE");
        self.set(&arguments.messages);
        if let Some(modseq) = arguments.unchanged_since {
            self.list(|printer| {
                printer.word("UNCHANGEDSINCE");
                printer.number(modseq);
            });
        }
        let change = match &arguments.change {
            StoreChange::Flags(change) => change,
            StoreChange::Annotations(values) => return self.annotations(values),
        };
        let sign = match change.operation {
            StoreOperation::Set => "",
            StoreOperation::Add => "+",
            StoreOperation::Remove => "-",
        };
        let name = match change.item {
            StoreItem::Flags => "FLAGS",
            StoreItem::Labels => "X-GM-LABELS",
        };
        self.word(&format!("{sign}{name}{}", if change.silent { ".SILENT" } else { "" }));
        self.flags(&change.flags);
    }

    pub(super) fn copy(&mut self, name: &str, arguments: &CopyArguments) {
        self.numbered(arguments.numbering, name);
        self.set(&arguments.messages);
        self.mailbox(&arguments.mailbox);
    }
}
