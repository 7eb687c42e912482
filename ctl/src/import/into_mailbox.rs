//! Puts messages of mail files into one mailbox: what is there already is skipped, what is new is committed one transaction a message, and
//! many tickets are waited for at once.

use std::io::Read;
use std::sync::Arc;

use store::error::{ChangeError, CommitError, StoreError};
use store::ids::Ticket;
use store::mailbox::Mailbox;
use store::txn::{Delivery, Outcome, Refused};
use store::{Content, ContentHasher, Store};

use super::known::Known;
use crate::deliver::now;
use crate::mailfiles::{MailFlags, MailItem};
use crate::notify::Notifier;

/// Messages that may be on their way to the disk at once.
const IN_FLIGHT: u32 = 256;
const CHUNK: usize = 128 * 1_024;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in the mailbox now.
    Imported,
    /// It was there before.
    Known,
}

/// Why a message was not imported.
#[derive(Debug)]
pub(crate) enum ItemError {
    /// This one cannot be; others may. The text says why.
    Skip(String),
    /// No other will be either.
    Stop(String),
}

/// A mailbox being filled.
pub(crate) struct IntoMailbox<'a> {
    store: &'a Arc<Store>,
    mailbox: Arc<Mailbox>,
    known: Known,
    notifier: &'a Notifier,
    message_bytes_max: u64,
    last_ticket: Ticket,
    in_flight: u32,
    chunk: Vec<u8>,
}

impl<'a> IntoMailbox<'a> {
    /// Looks at what `mailbox` has now.
    pub(crate) fn new(
        store: &'a Arc<Store>,
        mailbox: Arc<Mailbox>,
        notifier: &'a Notifier,
        message_bytes_max: u64,
    ) -> Result<IntoMailbox<'a>, StoreError> {
        Ok(IntoMailbox {
            store,
            known: Known::of(&mailbox)?,
            mailbox,
            notifier,
            message_bytes_max,
            last_ticket: Ticket::default(),
            in_flight: 0,
            chunk: vec![0; CHUNK],
        })
    }

    /// Imports a message, unless it is there.
    pub(crate) fn take(&mut self, item: &MailItem) -> Result<Fate, ItemError> {
        let unreadable = |error| ItemError::Skip(format!("cannot read it: {error}"));
        // Read twice: most of a second import is known, and a known message should not reach a bucket.
        let mut hash = ContentHasher::new();
        let mut size = 0;
        let mut first_chunk = 0;
        let mut message = item.open().map_err(unreadable)?;
        loop {
            let length = fill(&mut message, &mut self.chunk).map_err(unreadable)?;
            if size == 0 {
                first_chunk = length;
            }
            hash.update(&self.chunk[..length]);
            size += length as u64;
            if length < self.chunk.len() {
                break;
            }
        }
        if size > self.message_bytes_max {
            let limit = self.message_bytes_max;
            return Err(ItemError::Skip(format!(
                "it has {size} octets, and [limits] message_bytes in the settings allows {limit}"
            )));
        }
        if self.known.take(self.store, size, hash.digest()).map_err(stop)? {
            return Ok(Fate::Known);
        }
        let mut draft = self.store.draft().map_err(stop)?;
        if size == first_chunk as u64 {
            draft.write(&self.chunk[..first_chunk]).map_err(stop)?;
        } else {
            let mut message = item.open().map_err(unreadable)?;
            loop {
                let length = fill(&mut message, &mut self.chunk).map_err(unreadable)?;
                if length == 0 {
                    break;
                }
                draft.write(&self.chunk[..length]).map_err(stop)?;
            }
        }
        let content = draft.finish().map_err(stop)?;
        self.commit(content, item)?;
        Ok(Fate::Imported)
    }

    fn commit(&mut self, content: Content, item: &MailItem) -> Result<(), ItemError> {
        let MailFlags { system, keywords } = item.flags.clone();
        let mailbox = self.mailbox.id();
        let internal_date = item.date.unwrap_or_else(now);
        let mut change = self.store.begin();
        change.deliver(content, vec![Delivery { mailbox, flags: system, keywords, internal_date }]);
        let committed = change.commit().map_err(|error| match error {
            ChangeError::Store(error) => stop(error),
            // More keywords than a mailbox can have, for example.
            ChangeError::Limit(_) => ItemError::Skip(error.to_string()),
            other => ItemError::Stop(other.to_string()),
        })?;
        let refused = committed.outcomes.into_iter().find_map(|outcome| match outcome {
            Outcome::Delivered(results) => results.into_iter().find_map(Result::err),
            _ => None,
        });
        match refused {
            None => {}
            Some(Refused::NoSuchMailbox) => {
                return Err(ItemError::Stop("the mailbox was deleted meanwhile".to_owned()));
            }
            Some(Refused::OverQuota(what)) => {
                return Err(ItemError::Stop(format!(
                    "the user would have more {what} than allowed (`lode quota set` allows more)"
                )));
            }
            Some(Refused::Unusable(why)) => return Err(ItemError::Stop(why)),
        }
        self.last_ticket = committed.ticket;
        self.in_flight += 1;
        if self.in_flight >= IN_FLIGHT {
            self.wait().map_err(|error| ItemError::Stop(error.to_string()))?;
        }
        Ok(())
    }

    /// Waits until all that was taken is durable, and tells whoever has the mailbox open.
    pub(crate) fn wait(&mut self) -> Result<(), CommitError> {
        if self.in_flight > 0 {
            self.in_flight = 0;
            self.notifier.changed(self.mailbox.id());
            self.store.wait(self.last_ticket)?;
        }
        Ok(())
    }
}

/// Reads until `chunk` is full or the end has come.
fn fill(source: &mut impl Read, chunk: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < chunk.len() {
        match source.read(&mut chunk[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn stop(error: StoreError) -> ItemError {
    let hint = if error.is_out_of_space() {
        " (make room, then run the import again; nothing is doubled)"
    } else {
        ""
    };
    ItemError::Stop(format!("{error}{hint}"))
}
