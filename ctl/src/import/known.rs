//! What a mailbox already has, by content, so that an import can be run again without doubling: a multiset of (size, hash).
//! Each message that comes in takes one equal message out of it; what finds none is new.
//!
//! The store keeps the hash of each message, so that no message is read back. What has the size and the 64-bit hash of another is taken to be the
//! same: among a million messages of one size, two different ones would be mixed up by chance once in 37 million such mailboxes. Hashes are
//! looked up only for messages of a size that comes in.

use std::collections::HashMap;

use store::error::Result;
use store::ids::{CellIndex, MessageId};
use store::mailbox::Mailbox;
use store::{Store, StoreError};

/// The messages of a mailbox that no incoming message has been matched with yet.
#[derive(Debug)]
pub(crate) struct Known {
    by_size: HashMap<u64, SameSize>,
}

/// Messages of one size.
#[derive(Debug)]
enum SameSize {
    /// Nobody has asked.
    Unasked(Vec<MessageId>),
    /// How many there are of each hash.
    Hashed(HashMap<u64, u32>),
}

impl Known {
    /// The messages that `mailbox` has now.
    pub(crate) fn of(mailbox: &Mailbox) -> Result<Known> {
        let mut by_size = HashMap::new();
        let cells = mailbox.cells()?;
        for index in (0..cells.count()).map(CellIndex) {
            if cells.flags(index)?.expunged {
                continue;
            }
            let cell = cells.cell(index)?;
            match by_size.entry(u64::from(cell.size)).or_insert_with(|| SameSize::Unasked(Vec::new())) {
                SameSize::Unasked(messages) => messages.push(cell.message),
                SameSize::Hashed(_) => {}
            }
        }
        Ok(Known { by_size })
    }

    /// Takes a message of that size and hash out, if there is one.
    pub(crate) fn take(&mut self, store: &Store, size: u64, hash: u64) -> Result<bool> {
        let Some(same_size) = self.by_size.get_mut(&size) else { return Ok(false) };
        if let SameSize::Unasked(messages) = same_size {
            let mut counts = HashMap::new();
            for message in messages {
                match store.message(*message) {
                    Ok(stored) => *counts.entry(stored.content_hash).or_insert(0) += 1,
                    // One that was lost is no reason not to import it.
                    Err(StoreError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
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

#[cfg(test)]
mod tests {
    use store::change::{SystemFlags, ZonedTime};
    use store::ids::MailboxId;
    use store::txn::Delivery;
    use store::{ContentHasher, OpenOptions, WriterChoice};

    use super::*;

    fn hash(octets: &[u8]) -> u64 {
        let mut hasher = ContentHasher::new();
        octets.chunks(7).for_each(|chunk| hasher.update(chunk));
        hasher.digest()
    }

    #[test]
    fn known_messages_are_found_once_each_and_none_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let options =
            OpenOptions::new(folder.path().join("store"), folder.path().join("run"), WriterChoice::Tool);
        let store = Store::open(options).expect("opens");
        let user = store.ensure_user("ann").expect("made");
        let id = MailboxId { user, number: 1 };
        let big = b"0123456789abcdef\r\n".repeat(20_000);
        let messages: [&[u8]; 4] = [b"a: 1\r\n\r\nx", b"a: 1\r\n\r\nx", b"a: 2\r\n\r\nx", &big];
        for message in messages {
            let mut draft = store.draft().expect("open");
            draft.write(message).expect("space");
            let internal_date = ZonedTime { seconds: 0, zone_minutes: 0 };
            let to = Delivery { mailbox: id, flags: SystemFlags(0), keywords: Vec::new(), internal_date };
            let mut change = store.begin();
            change.deliver(draft.finish().expect("space"), vec![to]);
            change.commit().expect("delivered");
        }
        let mailbox = store.mailbox(id).expect("there");
        let before = store.counters().preads.get();
        let mut known = Known::of(&mailbox).expect("readable");
        for message in messages {
            assert!(known.take(&store, message.len() as u64, hash(message)).expect("readable"));
        }
        for message in [messages[0], messages[3], b"a: 3\r\n\r\nx"] {
            assert!(!known.take(&store, message.len() as u64, hash(message)).expect("readable"));
        }
        assert_eq!(store.counters().preads.get(), before);
    }
}
