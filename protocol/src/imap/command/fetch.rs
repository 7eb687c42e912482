//! FETCH and UID FETCH (RFC 3501 section 6.4.5). Modifiers of extensions stand behind the items: [`FetchModifiers`].

use super::Numbering;
use crate::imap::extension::annotate::FetchAnnotation;
use crate::imap::extension::condstore;
use crate::imap::extension::gmail::GmailItem;
use crate::imap::extension::partial::PartialRange;
use crate::imap::extension::preview::Urgency;
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::section::{Partial, Section};
use crate::imap::syntax::sequence_set::SequenceSet;

/// What is asked, of which messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchArguments {
    /// What the numbers are. Replies to UID FETCH have UID also when it is not among the items.
    pub numbering: Numbering,
    /// The messages.
    pub messages: SequenceSet,
    /// What is asked, macros expanded, each item once, in the order of the command; never empty.
    pub items: Vec<FetchItem>,
    /// What else is said of the messages and the replies.
    pub modifiers: FetchModifiers,
}

/// What extensions add behind the items.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchModifiers {
    /// CHANGEDSINCE (RFC 7162 section 3.1.4.1): only messages with a higher modification sequence.
    pub changed_since: Option<u64>,
    /// VANISHED (RFC 7162 section 3.2.6): also tell which of the UIDs were expunged since then.
    pub vanished: bool,
    /// PARTIAL (RFC 9394 section 3.3): of the messages that the set names, only those at these places.
    pub partial: Option<PartialRange>,
}

/// One fact about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// FLAGS
    Flags,
    /// UID
    Uid,
    /// INTERNALDATE
    InternalDate,
    /// RFC822.SIZE
    Rfc822Size,
    /// ENVELOPE
    Envelope,
    /// BODY without a section: BODYSTRUCTURE without its extension data.
    Body,
    /// BODYSTRUCTURE
    BodyStructure,
    /// MODSEQ (RFC 7162 section 3.1.4.2)
    ModSeq,
    /// RFC822: as BODY\[], but answered under its own name. Sets `\Seen`.
    Rfc822,
    /// RFC822.HEADER: as BODY.PEEK\[HEADER].
    Rfc822Header,
    /// RFC822.TEXT: as BODY\[TEXT]. Sets `\Seen`.
    Rfc822Text,
    /// BODY\[…] and BODY.PEEK\[…]
    Section(SectionItem),
    /// BINARY\[…] and BINARY.PEEK\[…] (RFC 3516): the content of a part without its transfer encoding. The section is a part.
    Binary(SectionItem),
    /// BINARY.SIZE\[…] (RFC 3516): its length. The section is a part.
    BinarySize(Section),
    /// EMAILID (RFC 8474)
    EmailId,
    /// THREADID (RFC 8474)
    ThreadId,
    /// SAVEDATE (RFC 8514)
    SaveDate,
    /// PREVIEW (RFC 8970)
    Preview(Urgency),
    /// ANNOTATION (RFC 5257)
    Annotation(Box<FetchAnnotation>),
    /// An item of X-GM-EXT-1.
    Gmail(GmailItem),
}

/// Octets of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionItem {
    /// Which part of the message.
    pub section: Section,
    /// Which octets of that; `None` for all.
    pub partial: Option<Partial>,
    /// Whether it was PEEK, which does not set `\Seen`.
    pub peek: bool,
}

impl FetchItem {
    /// Whether fetching it sets `\Seen`.
    pub fn sets_seen(&self) -> bool {
        match self {
            FetchItem::Rfc822 | FetchItem::Rfc822Text => true,
            FetchItem::Section(item) | FetchItem::Binary(item) => !item.peek,
            _ => false,
        }
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<FetchItem, Fault> {
        let name = cursor.keyword()?;
        Ok(match name.as_bytes() {
            b"FLAGS" => FetchItem::Flags,
            b"UID" => FetchItem::Uid,
            b"INTERNALDATE" => FetchItem::InternalDate,
            b"RFC822.SIZE" => FetchItem::Rfc822Size,
            b"ENVELOPE" => FetchItem::Envelope,
            b"MODSEQ" => FetchItem::ModSeq,
            b"BODYSTRUCTURE" => FetchItem::BodyStructure,
            b"BODY" if cursor.peek() == Some(b'[') => FetchItem::Section(SectionItem::parse(cursor, false)?),
            b"BODY.PEEK" => FetchItem::Section(SectionItem::parse(cursor, true)?),
            b"BODY" => FetchItem::Body,
            b"RFC822" => FetchItem::Rfc822,
            b"RFC822.HEADER" => FetchItem::Rfc822Header,
            b"RFC822.TEXT" => FetchItem::Rfc822Text,
            b"BINARY" => FetchItem::Binary(SectionItem::parse(cursor, false)?.of_part()?),
            b"BINARY.PEEK" => FetchItem::Binary(SectionItem::parse(cursor, true)?.of_part()?),
            b"BINARY.SIZE" => FetchItem::BinarySize(Section::parse(cursor)?.of_part()?),
            b"EMAILID" => FetchItem::EmailId,
            b"THREADID" => FetchItem::ThreadId,
            b"SAVEDATE" => FetchItem::SaveDate,
            b"ANNOTATION" => FetchItem::Annotation(Box::new(FetchAnnotation::parse(cursor)?)),
            b"PREVIEW" => FetchItem::Preview(Urgency::parse(cursor)?),
            name => match GmailItem::from_upper_name(name) {
                Some(item) => FetchItem::Gmail(item),
                None => return Err(Fault::syntax("Unknown item of FETCH")),
            },
        })
    }

    fn macro_items(name: &[u8]) -> Option<&'static [FetchItem]> {
        const FULL: [FetchItem; 5] = [
            FetchItem::Flags,
            FetchItem::InternalDate,
            FetchItem::Rfc822Size,
            FetchItem::Envelope,
            FetchItem::Body,
        ];
        const ITEMS: &[FetchItem] = &FULL;
        if name.eq_ignore_ascii_case(b"ALL") {
            Some(&ITEMS[..4])
        } else if name.eq_ignore_ascii_case(b"FAST") {
            Some(&ITEMS[..3])
        } else if name.eq_ignore_ascii_case(b"FULL") {
            Some(ITEMS)
        } else {
            None
        }
    }
}

impl SectionItem {
    fn parse(cursor: &mut Cursor<'_>, peek: bool) -> Result<SectionItem, Fault> {
        let section = Section::parse(cursor)?;
        let partial = if cursor.peek() == Some(b'<') { Some(Partial::parse(cursor)?) } else { None };
        Ok(SectionItem { section, partial, peek })
    }

    fn of_part(self) -> Result<SectionItem, Fault> {
        Ok(SectionItem { section: self.section.of_part()?, ..self })
    }
}

impl FetchArguments {
    /// How many items one FETCH may have.
    pub const ITEMS_MAX: usize = 256;

    pub(crate) fn parse(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Self, Fault> {
        cursor.space()?;
        let messages = SequenceSet::parse(cursor)?;
        cursor.space()?;
        let mut items = Vec::with_capacity(4);
        Self::parse_items(cursor, &mut items)?;
        let modifiers = FetchModifiers::parse(cursor, numbering)?;
        Ok(FetchArguments { numbering, messages, items, modifiers })
    }

    /// Takes one item, a macro, or some items in parentheses.
    pub(crate) fn parse_items(cursor: &mut Cursor<'_>, items: &mut Vec<FetchItem>) -> Result<(), Fault> {
        if cursor.peek() == Some(b'(') {
            let mut is_empty = true;
            cursor.list(|cursor| {
                is_empty = false;
                add(items, FetchItem::parse(cursor)?)
            })?;
            return if is_empty { Err(Fault::syntax("FETCH needs an item")) } else { Ok(()) };
        }
        let word = cursor.rest();
        let length = word.iter().take_while(|octet| octet.is_ascii_alphabetic()).count();
        if let Some(expanded) = FetchItem::macro_items(&word[..length]) {
            cursor.take(length);
            return expanded.iter().try_for_each(|item| add(items, item.clone()));
        }
        add(items, FetchItem::parse(cursor)?)
    }
}

impl FetchModifiers {
    /// Parses ` (modifiers)`, if they are there.
    fn parse(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Self, Fault> {
        let mut modifiers = FetchModifiers::default();
        cursor.skip_spaces();
        if cursor.peek() != Some(b'(') {
            return Ok(modifiers);
        }
        let mut is_empty = true;
        cursor.list(|cursor| {
            is_empty = false;
            match cursor.keyword()?.as_bytes() {
                b"CHANGEDSINCE" if modifiers.changed_since.is_none() => {
                    cursor.space()?;
                    modifiers.changed_since = Some(condstore::parse_modseq(cursor)?);
                }
                b"VANISHED" => modifiers.vanished = true,
                b"PARTIAL" if numbering == Numbering::Uid && modifiers.partial.is_none() => {
                    cursor.space()?;
                    modifiers.partial = Some(PartialRange::parse(cursor)?);
                }
                b"PARTIAL" => return Err(Fault::syntax("PARTIAL goes with UID FETCH, and once")),
                b"CHANGEDSINCE" => return Err(Fault::syntax("CHANGEDSINCE twice")),
                _ => return Err(Fault::syntax("Unknown modifier of FETCH")),
            }
            Ok(())
        })?;
        if is_empty {
            return Err(Fault::syntax("No modifier of FETCH in the parentheses"));
        }
        if modifiers.vanished && (numbering == Numbering::Sequence || modifiers.changed_since.is_none()) {
            return Err(Fault::syntax("VANISHED needs UID FETCH and CHANGEDSINCE"));
        }
        Ok(modifiers)
    }
}

fn add(items: &mut Vec<FetchItem>, item: FetchItem) -> Result<(), Fault> {
    if items.contains(&item) {
        return Ok(());
    }
    if items.len() == FetchArguments::ITEMS_MAX {
        return Err(Fault::limit("Too many items of FETCH"));
    }
    items.push(item);
    Ok(())
}
