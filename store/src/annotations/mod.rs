//! Annotations of messages (RFC 5257): entries that clients attach to a message in a mailbox, shared by all who may read it or private to one of them. They are in a file beside the
//! mailbox's cells, which is there only where a message was ever annotated: the cells' header says so.
//!
//! Invariants:
//! - Changes are logged, and durable, before the file has them. One change says all that one reader, or everybody, sees of a message, with a modseq of the mailbox; the cell
//!   of the message has that modseq, too.
//! - The file has a change before the mailbox's `highest_modseq` is published, so whoever has read that sees all annotations up to it.
//! - The file is a view: it can be made again from the logs, in whatever order changes come.
//!
//! `file` keeps it on disk, `index` knows where in it what is. `txn::annotate` decides changes, `derived.rs` applies them.

pub(crate) mod file;
mod index;
#[cfg(test)]
mod tests;

use crate::change::AnnotationEntry;
use crate::error::Result;
use crate::ids::{MailboxId, ModSeq, Uid, UserId};
use crate::locks::LockKey;
use crate::mailbox::{Cells, Mailbox};
use crate::store::Store;

pub(crate) use file::AnnotationFile;

/// Octets of the name of an entry at most.
pub const NAME_MOST_BYTES: usize = 255;
/// Octets of a value at most.
pub const VALUE_MOST_BYTES: usize = 32 << 10;
/// Entries that everybody sees of a message at most, and as many that each reader has alone.
pub const ENTRIES_MOST: usize = 50;
/// Names of entries that are gone, the last ones, which are remembered for those who are to be told.
pub(crate) const GONE_MOST: usize = 50;

/// An entry of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Who sees it; `None`: everybody who may read the mailbox.
    pub reader: Option<UserId>,
    /// The entry's name, such as `/comment`.
    pub entry: String,
    /// The change that made it so.
    pub modseq: ModSeq,
    /// What it says.
    pub value: Vec<u8>,
}

/// Whether there can be such an entry. Names come from files that anybody may have written.
pub(crate) fn is_possible(name: &str, value: &[u8]) -> bool {
    let is_name = name.starts_with('/') && name.bytes().all(|octet| matches!(octet, b' '..=b'~'));
    is_name && name.len() <= NAME_MOST_BYTES && value.len() <= VALUE_MOST_BYTES
}

/// What an entry takes of the room that a user has for annotations.
pub(crate) fn octets_of(entry: &AnnotationEntry) -> u64 {
    entry.value.as_ref().map_or(0, |value| (entry.name.len() + value.len()) as u64)
}

impl Mailbox {
    /// All annotations of a message, whoever sees them: the shared ones first, then reader by reader, by name. Nothing is looked for where no message was ever annotated.
    ///
    /// Errors: `Corrupt` if the file of annotations is damaged.
    pub fn annotations_of(&self, uid: Uid) -> Result<Vec<Annotation>> {
        if !self.is_annotated()? {
            return Ok(Vec::new());
        }
        let mut annotations = Vec::new();
        for (reader, _, entries) in self.annotation_file().of(uid)? {
            for AnnotationEntry { name, modseq, value } in entries {
                let Some(value) = value else { continue };
                annotations.push(Annotation { reader, entry: name, modseq, value });
            }
        }
        Ok(annotations)
    }

    /// What a reader sees of a message's annotations: the shared ones and the reader's own.
    ///
    /// Errors: as [`Mailbox::annotations_of`].
    pub fn annotations_for(&self, uid: Uid, reader: UserId) -> Result<Vec<Annotation>> {
        if !self.is_annotated()? {
            return Ok(Vec::new());
        }
        let mut annotations = Vec::new();
        for who in [None, Some(reader)] {
            for AnnotationEntry { name, modseq, value } in self.annotation_file().part(uid, who)? {
                let Some(value) = value else { continue };
                annotations.push(Annotation { reader: who, entry: name, modseq, value });
            }
        }
        Ok(annotations)
    }

    /// Names of entries that were changed after `since`, and were or are seen by `reader`; sorted. Of those that are gone the last ones.
    ///
    /// Errors: as [`Mailbox::annotations_of`].
    pub fn annotations_changed_since(&self, uid: Uid, reader: UserId, since: ModSeq) -> Result<Vec<String>> {
        let mut names = Vec::new();
        if !self.is_annotated()? {
            return Ok(names);
        }
        for who in [None, Some(reader)] {
            let entries = self.annotation_file().part(uid, who)?;
            names.extend(entries.into_iter().filter(|entry| entry.modseq > since).map(|entry| entry.name));
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// UIDs from `from` up that have annotations, or had some: `most` of them, ascending. Messages that were expunged may be among them. So all annotations of a mailbox are
    /// read a part at a time.
    ///
    /// Errors: as [`Mailbox::annotations_of`].
    pub fn annotated_uids(&self, from: Uid, most: usize) -> Result<Vec<Uid>> {
        if !self.is_annotated()? {
            return Ok(Vec::new());
        }
        self.annotation_file().uids(from, most)
    }

    /// Octets of the names and values of all annotations of messages that are there.
    ///
    /// Errors: as [`Mailbox::annotations_of`], and of the cells.
    pub fn annotation_octets(&self) -> Result<u64> {
        if !self.is_annotated()? {
            return Ok(0);
        }
        let cells = self.cells()?;
        let mut octets = 0u64;
        let mut from = Uid::new(1);
        while let Some(first) = from {
            let some = self.annotation_file().octets(first, UIDS_AT_ONCE)?;
            from = match some.last() {
                Some((uid, _)) if some.len() >= UIDS_AT_ONCE => Uid::new(uid.get().saturating_add(1)),
                _ => None,
            };
            for (uid, of_message) in some {
                if let Ok(index) = cells.find_uid(uid)?
                    && !cells.flags(index)?.expunged
                {
                    octets = octets.saturating_add(of_message);
                }
            }
        }
        Ok(octets)
    }
}

/// UIDs that are looked at between two looks at the file.
const UIDS_AT_ONCE: usize = 1 << 12;

/// Whether anybody may ask for annotations under that UID: its message is there, or may be brought back.
fn is_held(cells: &Cells, uid: Uid) -> Result<bool> {
    let Ok(index) = cells.find_uid(uid)? else { return Ok(false) };
    Ok(cells.cell(index)?.holds_reference())
}

impl Store {
    /// Makes the annotations of a mailbox anew without those of messages that nobody can bring back, and of readers who were deleted, if these outweigh the rest.
    pub(crate) fn tidy_annotations(&self, mailbox: MailboxId) -> Result<()> {
        match self.derived.mailbox(mailbox) {
            Ok(open) if open.is_annotated()? => (),
            Ok(_) | Err(crate::StoreError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        let held = self.take(&[LockKey::Mailbox(mailbox)])?;
        let open = match self.mailbox_held(mailbox, &held) {
            Err(crate::StoreError::NotFound(_)) => return Ok(()),
            open => open?,
        };
        self.derived.tidy_annotations(&open, true)
    }
}

impl crate::derived::Derived {
    /// Makes the file of annotations anew if little of it is needed. Under the mailbox's lock. Whether messages are still there is asked only if `by_cells`: else what was
    /// replaced by later records counts alone.
    pub(crate) fn tidy_annotations(&self, open: &Mailbox, by_cells: bool) -> Result<()> {
        let file = open.annotation_file();
        let cells = open.cells()?;
        let is_needed = |uid: Uid, reader: Option<UserId>| -> Result<bool> {
            if let Some(reader) = reader
                && self.catalog.name(reader)?.is_none()
            {
                return Ok(false);
            }
            is_held(&cells, uid)
        };
        file.tidy(by_cells.then_some(&is_needed as &dyn Fn(Uid, Option<UserId>) -> Result<bool>))
    }
}
