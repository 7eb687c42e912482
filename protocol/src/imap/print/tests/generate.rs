//! Commands, and what they are made of, by chance.

mod annotations;
mod commands;
mod messages;
mod metadata;
mod notify;
mod searches;
mod urls;

use crate::imap::command::{Numbering, Tag};
use crate::imap::limits::Limits;
use crate::imap::syntax::cursor::Cursor;
use crate::imap::syntax::date::{Date, DateTime};
use crate::imap::syntax::flag::{Flag, Flags, Keyword, SystemFlags};
use crate::imap::syntax::mailbox_name::MailboxName;
use crate::imap::syntax::name_encoding::NameEncoding;
use crate::imap::syntax::sequence_set::SequenceSet;

/// Draws values; the same ones for the same seed.
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// Once in `of` times.
    pub(super) fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn maybe<T>(&mut self, of: usize, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(of).then(|| make(self))
    }

    fn some<T>(&mut self, least: usize, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = least + self.below(most - least + 1);
        (0..count).map(|_| make(self)).collect()
    }

    /// Some of these, none twice.
    fn each_once<T: Clone + PartialEq>(&mut self, of: &[T]) -> Vec<T> {
        let mut values = Vec::new();
        for value in self.some(0, 3, |draw| draw.one(of)) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    /// A number from `least` on, mostly small or at a limit.
    fn number(&mut self, least: u64, most: u64) -> u64 {
        let number = match self.below(6) {
            0 => least,
            1 => most,
            2 => most - 1,
            3 => 1 << self.below(63),
            _ => self.below(1000) as u64,
        };
        number.clamp(least, most)
    }

    fn number_32(&mut self) -> u32 {
        self.number(1, u64::from(u32::MAX)) as u32
    }

    fn number_63(&mut self) -> u64 {
        self.number(0, i64::MAX as u64)
    }

    pub(super) fn names(&mut self) -> NameEncoding {
        self.one(&[NameEncoding::ModifiedUtf7, NameEncoding::Utf8])
    }

    fn numbering(&mut self) -> Numbering {
        self.one(&[Numbering::Sequence, Numbering::Uid])
    }

    pub(super) fn tag(&mut self) -> Tag {
        let tag = self.some(1, 8, |draw| draw.one(b"abcXYZ0129.]-_$&'/:;<=>?@[^`|~!#,"));
        Tag::new(&tag).expect("octets of a tag")
    }

    /// Any octets but NUL, with a liking for those that mean something.
    pub(super) fn text(&mut self) -> Vec<u8> {
        let most = if self.chance(20) { 1100 } else { 12 };
        self.some(0, most, |draw| match draw.below(4) {
            0 => draw.one(b" \"\\(){}[]%*\r\n\t&+-<>.~$/"),
            1 => (1 + draw.below(255)) as u8,
            _ => draw.one(b"abcNILnil0123"),
        })
    }

    /// Text without control characters.
    fn words(&mut self) -> String {
        let most = if self.chance(20) { 60 } else { 8 };
        let characters = self.some(0, most, |draw| match draw.below(4) {
            0 => draw
                .one(&[' ', '"', '\\', '(', ')', '{', '}', '[', ']', '%', '*', '&', '-', '/', '~', '+', ',']),
            1 => draw.one(&['é', 'ü', '日', '本', '😀', '\u{301}', '\u{212b}', 'ß', '\u{a0}']),
            _ => draw.one(&['a', 'b', 'I', 'N', 'B', 'O', 'X', 'i', 'n', '1']),
        });
        characters.into_iter().collect()
    }

    fn atom(&mut self) -> String {
        let characters = self.some(1, 8, |draw| draw.one(b"abcXYZ0129.-_$&'+:;<=>?@^`|~!#,"));
        characters.into_iter().map(char::from).collect()
    }

    fn mailbox(&mut self, names: NameEncoding) -> MailboxName {
        let name = match self.below(5) {
            0 => "INBOX".to_owned(),
            1 => "inbox/Übung".to_owned(),
            _ => self.words(),
        };
        match names {
            NameEncoding::Utf8 => MailboxName::from_wire(name.as_bytes(), names),
            NameEncoding::ModifiedUtf7 => MailboxName::from_utf8(&name),
        }
        .expect("a name")
    }

    fn set(&mut self) -> SequenceSet {
        if self.chance(8) {
            return SequenceSet::saved();
        }
        self.numbers(true)
    }

    fn numbers(&mut self, with_star: bool) -> SequenceSet {
        let ranges = self.some(1, 5, |draw| {
            let bound = |draw: &mut Draw| {
                if with_star && draw.chance(6) { "*".to_owned() } else { draw.number_32().to_string() }
            };
            let first = bound(draw);
            if draw.chance(2) { format!("{first}:{}", bound(draw)) } else { first }
        });
        self.parsed(&ranges.join(","), SequenceSet::parse)
    }

    /// What has no other way in than to be parsed.
    fn parsed<T, E: std::fmt::Debug>(
        &mut self,
        text: &str,
        parse: impl FnOnce(&mut Cursor<'_>) -> Result<T, E>,
    ) -> T {
        parse(&mut Cursor::new(text.as_bytes(), &Limits::LOGGED_IN)).expect(text)
    }

    fn keyword(&mut self) -> Keyword {
        let name = self.one(&["$Junk", "$MDNSent", "NonJunk", "a]b", "x", "NIL", "&"]);
        Keyword::new(name.as_bytes()).expect("a keyword")
    }

    fn flags(&mut self) -> Flags {
        let mut flags = Flags::default();
        for _ in 0..self.below(5) {
            let flag = if self.chance(2) {
                Flag::Keyword(self.keyword())
            } else {
                Flag::System(self.one(&SystemFlags::NAMES).0)
            };
            flags.insert(flag).expect("few flags");
        }
        flags
    }

    fn date(&mut self) -> Date {
        Date::from_days_since_1970(self.below(3_652_424) as i64 - 719_528)
    }

    fn moment(&mut self) -> DateTime {
        let zone = self.below(2879) as i16 - 1439;
        let day = self.date().unix_seconds() + self.below(86_400) as i64 - i64::from(zone) * 60;
        DateTime::from_unix_seconds(day, zone)
    }
}
