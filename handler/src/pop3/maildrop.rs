//! The maildrop of a POP3 session: INBOX as it was at login, and which messages are marked to be deleted.
//!
//! Message numbers are the sequence numbers of a view that is never brought up to date, so they mean the same all session
//! long (RFC 1939, 4). A message that somebody else expunges meanwhile keeps its number; whether it can still be read is the
//! store's to say.
//!
//! Sizes are those that the store keeps. A message with lone LFs grows when it is sent, by one octet for each of them, since
//! every line of POP3 ends with CRLF; only a second reading of all messages could tell that beforehand.

use std::borrow::Cow;
use std::sync::Arc;

use store::view::View;
use store::{CellIndex, Mailbox, MailboxId, Pin, Store, StoreError, UserId};

use super::Refused;
use super::parked::ParkedMaildrop;
use crate::maildrops::{Held, inbox_of};

/// A locked maildrop.
pub(super) struct Maildrop {
    /// Nobody else has it meanwhile.
    _held: Held,
    /// The user's name.
    pub(super) name: String,
    /// INBOX.
    pub(super) inbox: MailboxId,
    view: View,
    /// The open mailbox; let go of while the session rests.
    mailbox: Option<Arc<Mailbox>>,
    /// Keeps the places of cells that the view means, also while the session rests.
    _pin: Pin,
    /// The octets of all messages, marked ones too, once somebody asked.
    octets: Option<u64>,
    marks: Marks,
    /// How many times messages were marked, or unmarked.
    marks_changes: u64,
}

impl Maildrop {
    /// The maildrop of `user` as it is now.
    ///
    /// # Errors
    /// INBOX cannot be read.
    pub(super) fn open(
        store: &Store,
        user: UserId,
        name: String,
        held: Held,
    ) -> Result<Maildrop, StoreError> {
        let inbox = inbox_of(user);
        let pin = store.pin(inbox)?;
        let mailbox = store.mailbox(inbox)?;
        let view = View::open(&mailbox)?;
        let mailbox = Some(mailbox);
        Ok(Maildrop {
            _held: held,
            name,
            inbox,
            view,
            mailbox,
            _pin: pin,
            octets: None,
            marks: Marks::default(),
            marks_changes: 0,
        })
    }

    /// The maildrop of `user` as it was in a session that another handler had.
    ///
    /// # Errors
    /// INBOX cannot be read, or messages of the view are gone; or marks are of no messages.
    pub(super) fn reopen(
        store: &Store,
        user: UserId,
        name: String,
        held: Held,
        view: View,
        marks: Vec<u64>,
        marked_octets: u64,
    ) -> Result<Maildrop, StoreError> {
        let inbox = inbox_of(user);
        let marks = Marks::from_words(marks, marked_octets);
        if marks.last() > view.exists() || marks.has(0) {
            return Err(StoreError::NotFound("message that was marked"));
        }
        let pin = store.pin(inbox)?;
        let mut maildrop = Maildrop {
            _held: held,
            name,
            inbox,
            view,
            mailbox: None,
            _pin: pin,
            octets: None,
            marks,
            marks_changes: 0,
        };
        maildrop.mailbox(store)?;
        Ok(maildrop)
    }

    /// What is to be kept of it, with the marks.
    pub(super) fn park(&self) -> ParkedMaildrop<'_> {
        let view = self.view.parked();
        ParkedMaildrop {
            user: self.inbox.user.0,
            name: Cow::Borrowed(&self.name),
            uid_upto: view.uid_upto,
            expunged_upto: view.expunged_upto.0,
            exists: self.view.exists(),
            marks: Some(Cow::Borrowed(&self.marks.words)),
            marked_octets: self.marks.octets,
        }
    }

    /// The marks, a bit a message.
    pub(super) fn marks(&self) -> &[u64] {
        &self.marks.words
    }

    /// A number that is another when other messages are marked. Never 0.
    pub(super) fn marks_stamp(&self) -> u64 {
        self.marks_changes + 1
    }

    /// The open mailbox.
    ///
    /// # Errors
    /// It is gone, or cannot be read.
    pub(super) fn mailbox(&mut self, store: &Store) -> Result<Arc<Mailbox>, StoreError> {
        let mailbox = match &self.mailbox {
            Some(mailbox) => Arc::clone(mailbox),
            None => Arc::clone(self.mailbox.insert(store.mailbox(self.inbox)?)),
        };
        self.view.ensure_cache(&mailbox)?;
        Ok(mailbox)
    }

    /// Lets go of the open mailbox and of what can be computed again.
    pub(super) fn rest(&mut self) {
        self.mailbox = None;
        self.view.forget_cache();
    }

    /// How many messages are not marked.
    pub(super) fn remaining(&self) -> u32 {
        self.view.exists() - self.marks.count
    }

    /// The octets of all messages that are not marked.
    ///
    /// # Errors
    /// The mailbox cannot be read. A single cell that is damaged counts nothing: RETR will say so.
    pub(super) fn remaining_octets(&mut self, store: &Store) -> Result<u64, StoreError> {
        let octets = match self.octets {
            Some(octets) => octets,
            None => {
                let cells = self.mailbox(store)?.cells()?;
                let sizes =
                    self.view.cells().filter_map(|(_, cell)| Some(u64::from(cells.cell(cell).ok()?.size)));
                *self.octets.insert(sizes.sum())
            }
        };
        Ok(octets.saturating_sub(self.marks.octets))
    }

    /// The mailbox, and the cell of a message.
    ///
    /// # Errors
    /// No message has the number, or it is marked; or the mailbox cannot be read.
    pub(super) fn find(&mut self, store: &Store, message: u32) -> Result<(Arc<Mailbox>, CellIndex), Refused> {
        let mailbox = self.mailbox(store)?;
        match self.view.cell_of_seq(message) {
            Some(cell) if !self.marks.has(message) => Ok((mailbox, cell)),
            _ => Err(Refused::NoSuchMessage),
        }
    }

    /// Numbers and cells of all messages from `first` that are not marked. [`Maildrop::mailbox`] goes before.
    pub(super) fn messages_from(&self, first: u32) -> impl Iterator<Item = (u32, CellIndex)> {
        self.view.cells_in_seq_range(first..=u32::MAX).filter(|&(message, _)| !self.marks.has(message))
    }

    /// Marks a message to be deleted.
    ///
    /// # Errors
    /// As [`Maildrop::find`].
    pub(super) fn mark(&mut self, store: &Store, message: u32) -> Result<(), Refused> {
        let (mailbox, cell) = self.find(store, message)?;
        // A damaged cell can be deleted all the same.
        let octets = mailbox.cell(cell).map_or(0, |cell| u64::from(cell.size));
        self.marks.set(message, octets);
        self.marks_changes += 1;
        Ok(())
    }

    /// How many messages are marked.
    pub(super) fn marked(&self) -> u32 {
        self.marks.count
    }

    /// Takes all marks back.
    pub(super) fn unmark_all(&mut self) {
        self.marks = Marks::default();
        self.marks_changes += 1;
    }

    /// The cells of marked messages, ascending.
    ///
    /// # Errors
    /// The mailbox cannot be read.
    pub(super) fn marked_cells(&mut self, store: &Store) -> Result<Vec<CellIndex>, StoreError> {
        if self.marks.count == 0 {
            return Ok(Vec::new());
        }
        self.mailbox(store)?;
        Ok(self.view.cells().filter(|&(message, _)| self.marks.has(message)).map(|(_, cell)| cell).collect())
    }
}

/// A set of message numbers.
#[derive(Default)]
struct Marks {
    /// A bit for each number, as far as one is set.
    words: Vec<u64>,
    /// How many are set.
    count: u32,
    /// The sizes of these messages together.
    octets: u64,
}

impl Marks {
    /// Those that were kept as words.
    fn from_words(words: Vec<u64>, octets: u64) -> Marks {
        let count = words.iter().map(|word| word.count_ones()).sum();
        Marks { words, count, octets }
    }

    /// The highest number that is set, 0 if none is.
    fn last(&self) -> u32 {
        let word = self.words.iter().rposition(|word| *word != 0);
        word.map_or(0, |at| {
            (at as u32).saturating_mul(64).saturating_add(63 - self.words[at].leading_zeros())
        })
    }

    fn has(&self, message: u32) -> bool {
        self.words.get(message as usize / 64).is_some_and(|word| word & (1 << (message % 64)) != 0)
    }

    /// `message` is a number that exists and is not set yet.
    fn set(&mut self, message: u32, octets: u64) {
        let word = message as usize / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (message % 64);
        self.count += 1;
        self.octets += octets;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_and_found() {
        let mut marks = Marks::default();
        for message in [1, 63, 64, 100_000] {
            assert!(!marks.has(message));
            marks.set(message, 10);
        }
        assert_eq!((marks.count, marks.octets), (4, 40));
        assert!([1, 63, 64, 100_000].into_iter().all(|message| marks.has(message)));
        assert!(![0, 2, 62, 65, 99_999, 100_001, u32::MAX].into_iter().any(|message| marks.has(message)));
    }
}
