//! The message of a transaction, before it is in a log: stored anew, or one that came before and is counted.

use std::sync::Arc;

use crate::change::ZonedTime;
use crate::draft::{Body, Content};
use crate::error::{Result, StoreError};
use crate::ids::MessageId;
use crate::log::LogFile;
use crate::store::Store;
use crate::txn::equal;

/// The message of a transaction: its directory cell is chosen.
pub(crate) struct OwnMessage {
    storage: Storage,
    pub(crate) id: MessageId,
    pub(crate) size: u32,
    pub(crate) header_size: u32,
    pub(crate) sent_date: Option<ZonedTime>,
}

/// Where its octets are, or will be.
enum Storage {
    /// They will be in the next frame of this bucket.
    New(Arc<LogFile>),
    /// They are there, in the frame of an equal message. A reference of our own is counted while the transaction is written, so that
    /// it is not freed meanwhile.
    Counted { held: bool },
}

impl OwnMessage {
    pub(super) fn prepare(store: &Store, content: &mut Content) -> Result<OwnMessage> {
        match equal::find(store, content) {
            Some(id) => Ok(OwnMessage::of(Storage::Counted { held: false }, id, content)),
            None => OwnMessage::new(store, content),
        }
    }

    /// A message that is to be stored.
    pub(super) fn new(store: &Store, content: &mut Content) -> Result<OwnMessage> {
        let log = match &content.body {
            Body::Gathered(_) => store.logs.bucket()?,
            Body::Streamed(lease) => Arc::clone(lease.log()),
        };
        let page = log.name().page;
        let directory = store.pages.directory(page)?;
        let id = MessageId { page, index: directory.allocate()? };
        // Before any mailbox shows the message, so that nobody analyses it again. A record that cannot be written is made when
        // it is asked for.
        if let Ok(record) = store.own_records.append(&store.pages, page, &content.record) {
            content.record_place = Some(record);
        }
        Ok(OwnMessage::of(Storage::New(log), id, content))
    }

    fn of(storage: Storage, id: MessageId, content: &Content) -> OwnMessage {
        OwnMessage {
            storage,
            id,
            size: u32::try_from(content.size).unwrap_or(u32::MAX),
            header_size: content.header_size,
            sent_date: content.sent_date,
        }
    }

    /// The bucket that it will be in; `None` if it is counted.
    pub(super) fn log(&self) -> Option<&Arc<LogFile>> {
        match &self.storage {
            Storage::New(log) => Some(log),
            Storage::Counted { .. } => None,
        }
    }

    /// Whether an equal message is counted instead.
    pub(super) fn is_counted(&self) -> bool {
        matches!(self.storage, Storage::Counted { .. })
    }

    /// Keeps the message that is to be counted from being freed, until `let_go`. False if it was freed.
    pub(super) fn hold(&mut self, store: &Store) -> Result<bool> {
        match store.pages.directory(self.id.page)?.add_reference(self.id.index) {
            Err(StoreError::Gone(_)) => Ok(false),
            added => {
                added?;
                self.storage = Storage::Counted { held: true };
                Ok(true)
            }
        }
    }

    /// Its mailbox cells hold it now, or it is not needed.
    pub(super) fn let_go(&self, store: &Store) {
        if let Storage::Counted { held: true } = self.storage
            && let Ok(directory) = store.pages.directory(self.id.page)
        {
            // A count that stays too high is safe.
            let _ = directory.drop_reference(self.id.index);
        }
    }

    /// Counts what it saved that it was not stored again.
    pub(super) fn note_saved(&self, store: &Store) {
        let octets = u64::from(self.size);
        store.counters.equal_messages.add(1);
        store.counters.equal_bytes_saved.add(octets);
        if let Ok(directory) = store.pages.directory(self.id.page) {
            let _ = directory.note_counted(octets);
        }
    }
}
