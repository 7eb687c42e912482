//! What SEARCH, SORT, THREAD and ESEARCH say.

use super::Draw;
use crate::imap::command::search::{DateComparison, SearchArguments, SearchCharset, SearchKey};
use crate::imap::extension::mailbox_filter::MailboxFilter;
use crate::imap::extension::multi_search::MultiSearchArguments;
use crate::imap::extension::object_id::ObjectId;
use crate::imap::extension::result_options::ResultOptions;
use crate::imap::extension::sort::{
    Direction, SortArguments, SortCriterion, SortKey, ThreadAlgorithm, ThreadArguments,
};
use crate::imap::syntax::flag::SystemFlags;
use crate::imap::syntax::name_encoding::NameEncoding;

/// How deep keys are nested.
const DEPTH: usize = 5;

impl Draw {
    pub(super) fn search(&mut self) -> SearchArguments {
        let key = self.keys();
        SearchArguments {
            numbering: self.numbering(),
            options: self.maybe(2, |draw| draw.result_options(&key)),
            charset: self.maybe(3, Draw::charset),
            key,
        }
    }

    pub(super) fn sort(&mut self) -> SortArguments {
        let mut criteria: Vec<SortCriterion> = Vec::new();
        for criterion in self.some(1, 4, Draw::criterion) {
            if criteria.iter().all(|earlier| earlier.key != criterion.key) {
                criteria.push(criterion);
            }
        }
        let key = self.keys();
        if key.has_fuzzy() && self.chance(2) {
            let direction = self.one(&[Direction::Ascending, Direction::Descending]);
            criteria.push(SortCriterion { key: SortKey::Relevancy, direction });
        }
        let options = self.maybe(2, |draw| draw.result_options(&key));
        SortArguments { numbering: self.numbering(), options, criteria, charset: self.charset(), key }
    }

    fn criterion(&mut self) -> SortCriterion {
        let annotation = SortKey::Annotation(Box::new(self.sort_annotation()));
        let key = self.one(&[
            SortKey::Arrival,
            SortKey::Cc,
            SortKey::Date,
            SortKey::DisplayFrom,
            SortKey::DisplayTo,
            SortKey::From,
            SortKey::Size,
            SortKey::Subject,
            SortKey::To,
            annotation,
        ]);
        SortCriterion { key, direction: self.one(&[Direction::Ascending, Direction::Descending]) }
    }

    pub(super) fn thread(&mut self) -> ThreadArguments {
        let algorithm = self.one(&[ThreadAlgorithm::OrderedSubject, ThreadAlgorithm::References]);
        ThreadArguments { numbering: self.numbering(), algorithm, charset: self.charset(), key: self.keys() }
    }

    pub(super) fn multi_search(&mut self, names: NameEncoding) -> MultiSearchArguments {
        let key = self.keys();
        MultiSearchArguments {
            sources: self.maybe(2, |draw| draw.some(1, 3, |draw| draw.mailbox_filter(names))),
            options: self.result_options(&key),
            charset: self.maybe(3, Draw::charset),
            key,
        }
    }

    /// Those that ESEARCH has.
    fn mailbox_filter(&mut self, names: NameEncoding) -> MailboxFilter {
        let mailboxes = self.some(1, 3, |draw| draw.mailbox(names));
        self.one(&[
            MailboxFilter::Selected,
            MailboxFilter::Inboxes,
            MailboxFilter::Personal,
            MailboxFilter::Subscribed,
            MailboxFilter::Subtree(mailboxes.clone()),
            MailboxFilter::SubtreeOne(mailboxes.clone()),
            MailboxFilter::Mailboxes(mailboxes),
        ])
    }

    fn result_options(&mut self, key: &SearchKey) -> ResultOptions {
        let mut options = self.each_once(&["MIN", "MAX", "COUNT", "SAVE", "CONTEXT"].map(str::to_owned));
        match self.below(4) {
            0 => options.push("UPDATE".to_owned()),
            1 => options.push("UPDATE (UID FLAGS BODY.PEEK[HEADER.FIELDS (TO)])".to_owned()),
            _ => {}
        }
        match self.below(3) {
            0 => options.push("ALL".to_owned()),
            1 => options.push(format!("PARTIAL -{}:-{}", self.number_32(), self.number_32())),
            _ => {}
        }
        if key.has_fuzzy() && self.chance(2) {
            options.push("RELEVANCY".to_owned());
        }
        let text = format!("RETURN ({}) ALL", options.join(" "));
        self.parsed(&text, ResultOptions::parse_if_given).expect("options are given")
    }

    fn charset(&mut self) -> SearchCharset {
        let other = self.one(&[&b"KOI8-R"[..], b"x y", b"", b"\xff"]);
        self.one(&[SearchCharset::UsAscii, SearchCharset::Utf8, SearchCharset::Other(other.to_vec())])
    }

    /// One key, or several side by side.
    fn keys(&mut self) -> SearchKey {
        if self.chance(2) { self.key(DEPTH) } else { self.and(DEPTH) }
    }

    fn and(&mut self, depth: usize) -> SearchKey {
        SearchKey::And(self.some(2, 4, |draw| draw.key(depth)))
    }

    fn key(&mut self, depth: usize) -> SearchKey {
        if depth > 0 && self.chance(3) {
            return match self.below(4) {
                0 => self.and(depth - 1),
                1 => SearchKey::Or(Box::new((self.key(depth - 1), self.key(depth - 1)))),
                2 => SearchKey::Not(Box::new(self.key(depth - 1))),
                _ => SearchKey::Fuzzy(Box::new(self.key(depth - 1))),
            };
        }
        let comparison = self.one(&[DateComparison::Before, DateComparison::On, DateComparison::Since]);
        match self.below(27) {
            0 => SearchKey::All,
            1 => SearchKey::New,
            2 => SearchKey::Old,
            3 => SearchKey::Recent,
            4 => SearchKey::Sequence(self.set()),
            5 => SearchKey::Uid(self.set()),
            6 => SearchKey::Flag(self.one(&SystemFlags::NAMES[..5]).0, self.chance(2)),
            7 => SearchKey::Keyword(self.keyword(), self.chance(2)),
            8 | 9 => SearchKey::Header { field: self.text(), text: self.text() },
            10 => SearchKey::Body(self.text()),
            11 => SearchKey::Text(self.text()),
            12 => SearchKey::InternalDate(comparison, self.date()),
            13 => SearchKey::SentDate(comparison, self.date()),
            14 => SearchKey::SavedDate(comparison, self.date()),
            15 => SearchKey::Filter(self.one(&["on-the-road", "]x", "NIL"]).to_owned()),
            16 => SearchKey::Older(self.number_32()),
            17 => SearchKey::Younger(self.number_32()),
            18 => SearchKey::EmailId(self.parsed(" M-_0aZ", ObjectId::parse)),
            19 => SearchKey::ThreadId(self.parsed(" NIL", ObjectId::parse)),
            20 => SearchKey::MessageNumber(self.number(0, u64::MAX)),
            21 => SearchKey::ThreadNumber(self.number(0, u64::MAX)),
            22 => SearchKey::Larger(self.number_63()),
            23 => SearchKey::Smaller(self.number_63()),
            25 => SearchKey::Annotation(Box::new(self.search_annotation())),
            24 => SearchKey::ModSeq(self.number_63()),
            _ => self.one(&[SearchKey::UidAfter(7), SearchKey::UidBefore(u32::MAX)]),
        }
    }
}
