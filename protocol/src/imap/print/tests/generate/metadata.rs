//! What commands of METADATA and QUOTA say.

use super::Draw;
use crate::imap::extension::metadata::{
    Depth, EntryName, GetMetadataArguments, MetadataCommand, SetMetadataArguments,
};
use crate::imap::extension::quota::QuotaCommand;
use crate::imap::syntax::name_encoding::NameEncoding;

const ENTRIES: [&str; 6] =
    ["/private", "/shared", "/shared/comment", "/private/x \"y", "/shared/vendor/a]b", "/private/comment"];

impl Draw {
    pub(super) fn metadata(&mut self, names: NameEncoding) -> MetadataCommand {
        let mailbox = self.maybe(2, |draw| draw.mailbox(names)).filter(|name| !name.as_str().is_empty());
        if self.chance(2) {
            let max_size = self.maybe(2, Draw::number_63);
            let depth = self.one(&[Depth::Zero, Depth::One, Depth::Infinity]);
            let mut entries = self.each_once(&ENTRIES.map(entry));
            if entries.is_empty() {
                entries.push(entry("/shared/a"));
            }
            return MetadataCommand::Get(GetMetadataArguments { mailbox, max_size, depth, entries });
        }
        let mut values = vec![(entry("/private/first"), self.maybe(2, Draw::text))];
        for entry in self.each_once(&ENTRIES.map(entry)) {
            let mut value = self.text();
            if self.chance(3) {
                value.push(0);
            }
            if entry.is_entry() {
                values.push((entry, Some(value)));
            }
        }
        MetadataCommand::Set(SetMetadataArguments { mailbox, values })
    }

    pub(super) fn quota(&mut self, names: NameEncoding) -> QuotaCommand {
        if self.chance(2) {
            return QuotaCommand::GetRoot(self.mailbox(names));
        }
        let root = self.one(&["\"\"", "#user/ann", "\"a b\"", "{2}\r\n\u{e9}"]);
        let limits = self.each_once(&["STORAGE 0", "MESSAGE 9223372036854775807", "MAILBOX 7", "X-OTHER 1"]);
        match self.parsed(&format!(" {root} ({})", limits.join(" ")), QuotaCommand::parse_set) {
            QuotaCommand::Set(root, _) if self.chance(3) => QuotaCommand::Get(root),
            set => set,
        }
    }
}

fn entry(name: &str) -> EntryName {
    EntryName::new(name.as_bytes()).expect("the name of an entry")
}
