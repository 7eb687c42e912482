//! Takes the bytes of a new message as they come: small ones are gathered in memory, bigger ones go straight into a bucket
//! that nobody else appends to meanwhile. Each octet is hashed and scanned once, when it comes.
//!
//! Dropping a draft or its content leaves nothing behind: the position in the bucket has not moved.

use std::io;
use std::sync::Arc;

use message::{Record, Scanner};

use crate::change::ZonedTime;
use crate::content::ContentHasher;
use crate::content::blocks::{BlockSummer, sums_len};
use crate::error::{Result, StoreError};
use crate::log::frame::CONTENT_MOST_BYTES;
use crate::log::{Lease, Logs};
use crate::page::directory::RecordPlace;
use crate::store::Store;

/// A message on its way in.
pub struct Draft {
    store: Arc<Store>,
    scanner: Scanner,
    hasher: ContentHasher,
    summer: BlockSummer,
    size: u64,
    /// Octets that are not in the bucket yet.
    gathered: Vec<u8>,
    streaming: Option<Streaming>,
}

/// A message that takes a bucket for itself.
struct Streaming {
    lease: Lease,
    /// Octets of the content that are in the bucket.
    written: u64,
}

impl Draft {
    pub(crate) fn new(store: &Arc<Store>) -> Draft {
        Draft {
            store: Arc::clone(store),
            scanner: Scanner::new(),
            hasher: ContentHasher::new(),
            summer: BlockSummer::default(),
            size: 0,
            gathered: Vec::new(),
            streaming: None,
        }
    }

    /// Takes the next octets. After an error the draft is of no more use.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let size = self.size + bytes.len() as u64;
        if size > CONTENT_MOST_BYTES {
            let root = self.store.pages.root();
            return Err(StoreError::io(root, "store a message in")(io::ErrorKind::FileTooLarge.into()));
        }
        self.scanner.push(bytes);
        self.hasher.update(bytes);
        self.summer.push(bytes);
        self.size = size;
        let gathered_most = self.store.derived.disk.sizes().gathered_most_bytes;
        if self.gathered.len() + bytes.len() <= gathered_most {
            self.gathered.extend_from_slice(bytes);
            return Ok(());
        }
        let streaming = match &mut self.streaming {
            Some(streaming) => streaming,
            None => self.streaming.insert(Streaming { lease: Logs::lease(&self.store.logs)?, written: 0 }),
        };
        streaming.write(&self.gathered)?;
        self.gathered.clear();
        if bytes.len() >= gathered_most / 2 {
            streaming.write(bytes)
        } else {
            self.gathered.extend_from_slice(bytes);
            Ok(())
        }
    }

    /// Octets taken so far.
    pub fn len(&self) -> u64 {
        self.size
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// All octets have come.
    pub fn finish(self) -> Result<Content> {
        let mut record = message::encode(&self.scanner.finish());
        let facts = Record::parse(&record).ok();
        let header_size = facts.as_ref().map_or(0, |facts| facts.header_size().min(self.size));
        let sent_date = facts
            .and_then(|facts| facts.sent())
            .map(|sent| ZonedTime { seconds: sent.seconds, zone_minutes: sent.zone_minutes });
        self.summer.append_to(&mut record);
        let body = match self.streaming {
            None => Body::Gathered(self.gathered),
            Some(mut streaming) => {
                streaming.write(&self.gathered)?;
                Body::Streamed(streaming.lease)
            }
        };
        Ok(Content {
            size: self.size,
            hash: self.hasher.digest(),
            header_size: u32::try_from(header_size).unwrap_or(u32::MAX),
            sent_date,
            record,
            record_place: None,
            body,
        })
    }
}

impl Streaming {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.lease.log().write_content(self.written, bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// A whole message that no mailbox has yet. Give it to `Txn::deliver`.
pub struct Content {
    pub(crate) size: u64,
    pub(crate) hash: u64,
    pub(crate) header_size: u32,
    pub(crate) sent_date: Option<ZonedTime>,
    /// What `message` says of it, encoded, and the checksums of its blocks behind it.
    pub(crate) record: Vec<u8>,
    /// Where the record was put.
    pub(crate) record_place: Option<RecordPlace>,
    pub(crate) body: Body,
}

/// Where the octets are meanwhile.
pub(crate) enum Body {
    /// In memory.
    Gathered(Vec<u8>),
    /// In a bucket, behind the place where the frame's head will be.
    Streamed(Lease),
}

impl Content {
    /// RFC822.SIZE in octets.
    pub fn len(&self) -> u64 {
        self.size
    }

    /// Whether the message has no octets at all.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// XXH3 of all octets, as [`crate::StoredMessage::content_hash`].
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The encoded record of the message (`message::Record` reads it).
    pub fn record(&self) -> &[u8] {
        &self.record[..self.record.len().saturating_sub(sums_len(self.size))]
    }
}
