//! What a mailbox already has, by content, so that an import can be run again without doubling: a multiset of (size, hash).
//! Each message that comes in takes one equal message out of it; what finds none is new.
//!
//! Messages are hashed only when something of their size comes in, so a first import into a full mailbox reads next to nothing.

use std::collections::HashMap;

use store::Store;
use store::error::Result;
use store::ids::{CellIndex, MessageId};
use store::mailbox::Mailbox;
use xxhash_rust::xxh3::Xxh3;

/// Octets of a stored message that are read at once.
const CHUNK: u64 = 1_024 * 1_024;

/// The messages of a mailbox that no incoming message has been matched with yet.
#[derive(Debug)]
pub(super) struct Known {
    by_size: HashMap<u64, SameSize>,
}

/// Messages of one size.
#[derive(Debug)]
enum SameSize {
    /// Nobody has asked.
    Unread(Vec<MessageId>),
    /// How many there are of each hash.
    Hashed(HashMap<u64, u32>),
}

impl Known {
    /// The messages that `mailbox` has now.
    pub(super) fn of(mailbox: &Mailbox) -> Result<Known> {
        let mut by_size = HashMap::new();
        let cells = mailbox.cells()?;
        for index in (0..cells.count()).map(CellIndex) {
            if cells.flags(index).is_none_or(|flags| flags.expunged) {
                continue;
            }
            let cell = cells.cell(index)?;
            match by_size.entry(u64::from(cell.size)).or_insert_with(|| SameSize::Unread(Vec::new())) {
                SameSize::Unread(messages) => messages.push(cell.message),
                SameSize::Hashed(_) => {}
            }
        }
        Ok(Known { by_size })
    }

    /// Takes a message of that size and hash out, if there is one.
    pub(super) fn take(&mut self, store: &Store, size: u64, hash: u64) -> Result<bool> {
        let Some(same_size) = self.by_size.get_mut(&size) else { return Ok(false) };
        if let SameSize::Unread(messages) = same_size {
            let mut counts = HashMap::new();
            for message in messages {
                *counts.entry(hash_of(store, *message)?).or_insert(0) += 1;
            }
            *same_size = SameSize::Hashed(counts);
        }
        let SameSize::Hashed(counts) = same_size else { return Ok(false) };
        match counts.get_mut(&hash) {
            Some(count) if *count > 0 => {
                *count -= 1;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

fn hash_of(store: &Store, id: MessageId) -> Result<u64> {
    let message = store.message(id)?;
    let mut hash = Xxh3::new();
    let mut chunk = Vec::new();
    let mut offset = 0;
    while offset < message.size {
        let end = message.size.min(offset + CHUNK);
        chunk.clear();
        store.read_range(&message, offset..end, &mut chunk)?;
        hash.update(&chunk);
        offset = end;
    }
    Ok(hash.digest())
}
