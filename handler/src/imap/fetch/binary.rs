//! BINARY and BINARY.SIZE (RFC 3516) in a FETCH reply.

use message::{Encoding, PartKind, Record};
use protocol::imap::command::fetch::{FetchItem, SectionItem};
use protocol::imap::reply::binary as reply;
use protocol::imap::syntax::section::Section;
use store::{Store, StoreError, StoredMessage};

use super::super::content::decoding::{Decoding, Sent};
use crate::output::Output;

/// An item that is being answered.
pub(super) struct Binary {
    item: Item,
    decoding: Decoding,
    step: Step,
}

enum Item {
    Octets(SectionItem),
    Size(Section),
}

#[derive(PartialEq, Eq)]
enum Step {
    Measure,
    Send,
}

/// What begins with an item.
pub(super) enum Begun {
    /// It is answered.
    Written,
    /// It is answered with nothing: the encoding is not known.
    UnknownEncoding,
    /// It is to be decoded.
    Binary(Box<Binary>),
}

impl Binary {
    /// Begins to answer an item, which is one of BINARY's. `None`: it is another.
    ///
    /// # Errors
    /// The message cannot be read.
    pub(super) fn begin<'r>(
        item: &FetchItem,
        message: impl FnOnce() -> Result<StoredMessage, StoreError>,
        record: impl FnOnce() -> Result<Record<'r>, StoreError>,
        output: &mut Output,
    ) -> Result<Option<Begun>, StoreError> {
        let (section, item) = match item {
            FetchItem::Binary(item) => (&item.section, Item::Octets(item.clone())),
            FetchItem::BinarySize(section) => (section, Item::Size(section.clone())),
            _ => return Ok(None),
        };
        let message = message()?;
        let part = if section.part.is_empty() {
            Some((0..message.size, Encoding::Identity))
        } else {
            // Only leaves are encoded (RFC 2045, 6.4).
            record()?.section(&section.part).map(|part| match part.kind {
                PartKind::Leaf => (part.body, part.encoding),
                PartKind::Multipart | PartKind::Message => (part.body, Encoding::Identity),
            })
        };
        let Some((encoded, encoding)) = part else {
            item.nothing(output);
            return Ok(Some(Begun::Written));
        };
        let partial = match &item {
            Item::Octets(item) => item.partial.map(|partial| (partial.start, partial.length)),
            Item::Size(_) => None,
        };
        Ok(Some(match Decoding::new(message, encoded, encoding, partial) {
            Some(decoding) => Begun::Binary(Box::new(Binary { item, decoding, step: Step::Measure })),
            None => {
                item.nothing(output);
                Begun::UnknownEncoding
            }
        }))
    }

    /// Goes on with it.
    ///
    /// # Errors
    /// The message cannot be read. Unless [`Binary::has_promised`], nothing was written.
    pub(super) fn run(&mut self, store: &Store, output: &mut Output) -> Result<Sent, StoreError> {
        if self.step == Step::Measure {
            let Some(measured) = self.decoding.measure(store)? else { return Ok(Sent::Again) };
            match &self.item {
                Item::Size(section) => {
                    reply::size(output.bytes(), section, measured.length);
                    return Ok(Sent::All);
                }
                Item::Octets(item) => reply::header(output.bytes(), item, measured.length, measured.has_nul),
            }
            self.step = Step::Send;
        }
        self.decoding.send(store, output)
    }

    /// Whether the client was told how many octets come.
    pub(super) fn has_promised(&self) -> bool {
        self.step == Step::Send
    }
}

impl Item {
    fn nothing(&self, output: &mut Output) {
        match self {
            Item::Octets(item) => reply::nil(output.bytes(), item),
            Item::Size(section) => reply::size(output.bytes(), section, 0),
        }
    }
}
