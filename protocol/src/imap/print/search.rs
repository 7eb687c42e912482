//! Prints SEARCH, SORT, THREAD and ESEARCH (RFC 7377): options, charsets and keys.

use super::Printer;
use crate::imap::command::search::{DateComparison, SearchArguments, SearchCharset, SearchKey};
use crate::imap::extension::mailbox_filter::MailboxFilter;
use crate::imap::extension::multi_search::MultiSearchArguments;
use crate::imap::extension::result_options::ResultOptions;
use crate::imap::extension::sort::{Direction, SortArguments, SortKey, ThreadAlgorithm, ThreadArguments};
use crate::imap::syntax::date::Date;
use crate::imap::syntax::flag::SystemFlags;
use crate::imap::syntax::mailbox_name::MailboxName;

impl Printer<'_> {
    pub(super) fn search(&mut self, arguments: &SearchArguments) {
        self.numbered(arguments.numbering, "SEARCH");
        if let Some(options) = &arguments.options {
            self.result_options(options);
        }
        self.program(arguments.charset.as_ref(), &arguments.key);
    }

    pub(super) fn sort(&mut self, arguments: &SortArguments) {
        self.numbered(arguments.numbering, "SORT");
        if let Some(options) = &arguments.options {
            self.result_options(options);
        }
        self.list(|printer| {
            for criterion in &arguments.criteria {
                if criterion.direction == Direction::Descending {
                    printer.word("REVERSE");
                }
                printer.word(match &criterion.key {
                    SortKey::Annotation(annotation) => {
                        printer.sort_annotation(annotation);
                        continue;
                    }
                    SortKey::Arrival => "ARRIVAL",
                    SortKey::Cc => "CC",
                    SortKey::Date => "DATE",
                    SortKey::DisplayFrom => "DISPLAYFROM",
                    SortKey::DisplayTo => "DISPLAYTO",
                    SortKey::From => "FROM",
                    SortKey::Relevancy => "RELEVANCY",
                    SortKey::Size => "SIZE",
                    SortKey::Subject => "SUBJECT",
                    SortKey::To => "TO",
                });
            }
        });
        self.charset(&arguments.charset);
        self.keys(&arguments.key);
    }

    pub(super) fn thread(&mut self, arguments: &ThreadArguments) {
        self.numbered(arguments.numbering, "THREAD");
        self.word(match arguments.algorithm {
            ThreadAlgorithm::OrderedSubject => "ORDEREDSUBJECT",
            ThreadAlgorithm::References => "REFERENCES",
        });
        self.charset(&arguments.charset);
        self.keys(&arguments.key);
    }

    pub(super) fn multi_search(&mut self, arguments: &MultiSearchArguments) {
        self.word("ESEARCH");
        if let Some(sources) = &arguments.sources {
            self.word("IN");
            self.list(|printer| sources.iter().for_each(|source| printer.mailbox_filter(source)));
        }
        self.result_options(&arguments.options);
        self.program(arguments.charset.as_ref(), &arguments.key);
    }

    pub(super) fn mailbox_filter(&mut self, filter: &MailboxFilter) {
        match filter {
            MailboxFilter::Selected => self.word("SELECTED"),
            MailboxFilter::SelectedDelayed => self.word("SELECTED-DELAYED"),
            MailboxFilter::Inboxes => self.word("INBOXES"),
            MailboxFilter::Personal => self.word("PERSONAL"),
            MailboxFilter::Subscribed => self.word("SUBSCRIBED"),
            MailboxFilter::Subtree(names) => self.mailboxes("SUBTREE", names),
            MailboxFilter::SubtreeOne(names) => self.mailboxes("SUBTREE-ONE", names),
            MailboxFilter::Mailboxes(names) => self.mailboxes("MAILBOXES", names),
        }
    }

    fn mailboxes(&mut self, kind: &str, names: &[MailboxName]) {
        self.word(kind);
        self.list(|printer| names.iter().for_each(|name| printer.mailbox(name)));
    }

    fn result_options(&mut self, options: &ResultOptions) {
        self.word("RETURN");
        self.list(|printer| {
            for name in options.names() {
                printer.word(name);
                if name == "UPDATE" && !options.new_items().is_empty() {
                    printer
                        .list(|printer| options.new_items().iter().for_each(|item| printer.fetch_item(item)));
                }
            }
            if let Some(range) = options.partial() {
                printer.word("PARTIAL");
                range.write(printer.begin());
            }
        });
    }

    fn program(&mut self, charset: Option<&SearchCharset>, key: &SearchKey) {
        if let Some(charset) = charset {
            self.word("CHARSET");
            self.charset(charset);
        }
        self.keys(key);
    }

    fn charset(&mut self, charset: &SearchCharset) {
        match charset {
            SearchCharset::UsAscii => self.word("US-ASCII"),
            SearchCharset::Utf8 => self.word("UTF-8"),
            SearchCharset::Other(name) => self.astring(name),
        }
    }

    /// The key of a command or in parentheses, where several stand side by side.
    fn keys(&mut self, key: &SearchKey) {
        match key {
            SearchKey::And(keys) => keys.iter().for_each(|key| self.key(key)),
            key => self.key(key),
        }
    }

    /// One key. As deep as keys may be nested.
    fn key(&mut self, key: &SearchKey) {
        match key {
            SearchKey::All => self.word("ALL"),
            SearchKey::And(_) => self.list(|printer| printer.keys(key)),
            SearchKey::Or(keys) => {
                self.word("OR");
                self.key(&keys.0);
                self.key(&keys.1);
            }
            SearchKey::Not(key) => {
                self.word("NOT");
                self.key(key);
            }
            SearchKey::Fuzzy(key) => {
                self.word("FUZZY");
                self.key(key);
            }
            SearchKey::Sequence(set) => self.set(set),
            SearchKey::Uid(set) => {
                self.word("UID");
                self.set(set);
            }
            SearchKey::Flag(flag, is_set) => self.flag_key(*flag, *is_set),
            SearchKey::New => self.word("NEW"),
            SearchKey::Old => self.word("OLD"),
            SearchKey::Recent => self.word("RECENT"),
            SearchKey::Keyword(keyword, is_set) => {
                self.text_key(if *is_set { "KEYWORD" } else { "UNKEYWORD" }, keyword.as_str().as_bytes());
            }
            SearchKey::Header { field, text } => {
                self.text_key("HEADER", field);
                self.astring(text);
            }
            SearchKey::Body(text) => self.text_key("BODY", text),
            SearchKey::Text(text) => self.text_key("TEXT", text),
            SearchKey::InternalDate(comparison, date) => self.date_key("", *comparison, *date),
            SearchKey::SentDate(comparison, date) => self.date_key("SENT", *comparison, *date),
            SearchKey::SavedDate(comparison, date) => self.date_key("SAVED", *comparison, *date),
            // An atom, never a string.
            SearchKey::Filter(name) => {
                self.word("FILTER");
                self.word(name);
            }
            SearchKey::Annotation(annotation) => self.search_annotation(annotation),
            SearchKey::EmailId(identifier) => self.text_key("EMAILID", identifier.as_str().as_bytes()),
            SearchKey::ThreadId(identifier) => self.text_key("THREADID", identifier.as_str().as_bytes()),
            SearchKey::Older(seconds) => self.number_key("OLDER", u64::from(*seconds)),
            SearchKey::Younger(seconds) => self.number_key("YOUNGER", u64::from(*seconds)),
            SearchKey::MessageNumber(number) => self.number_key("X-GM-MSGID", *number),
            SearchKey::ThreadNumber(number) => self.number_key("X-GM-THRID", *number),
            SearchKey::Larger(octets) => self.number_key("LARGER", *octets),
            SearchKey::Smaller(octets) => self.number_key("SMALLER", *octets),
            SearchKey::ModSeq(modseq) => self.number_key("MODSEQ", *modseq),
            SearchKey::UidAfter(uid) => self.number_key("UIDAFTER", u64::from(*uid)),
            SearchKey::UidBefore(uid) => self.number_key("UIDBEFORE", u64::from(*uid)),
        }
    }

    fn text_key(&mut self, name: &str, text: &[u8]) {
        self.word(name);
        self.astring(text);
    }

    fn number_key(&mut self, name: &str, number: u64) {
        self.word(name);
        self.number(number);
    }

    fn date_key(&mut self, kind: &str, comparison: DateComparison, date: Date) {
        let comparison = match comparison {
            DateComparison::Before => "BEFORE",
            DateComparison::On => "ON",
            DateComparison::Since => "SINCE",
        };
        self.word(&format!("{kind}{comparison}"));
        date.write(self.begin());
    }

    fn flag_key(&mut self, flag: SystemFlags, is_set: bool) {
        let name =
            SystemFlags::NAMES.iter().find(|(known, _)| *known == flag).map_or("", |(_, name)| &name[1..]);
        self.word(&format!("{}{}", if is_set { "" } else { "UN" }, name.to_ascii_uppercase()));
    }
}
