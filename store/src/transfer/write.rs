//! Writes an export file: a user's list first, then message by message, and at the end a frame that says so. Each message is read and verified before the
//! first octet of its frame is written, so that one that is damaged is left out and the file stays whole.

use std::io::{self, Write};

use crate::change::{Added, AnnotationEntry, Change};
use crate::error::{Result, StoreError};
use crate::ids::{MailboxId, MessageId, PageId, UserId};
use crate::log::frame::FRAME_HEAD_BYTES;
use crate::log::{FrameHead, FrameType};
use crate::mailbox::Cell;
use crate::quota::Limits;
use crate::store::Store;
use crate::transfer::UserSnapshot;
use crate::transfer::format::{ExportHead, put_change, put_end};
use crate::txn::NewAnnotation;

/// Octets of a message that are in memory at one time.
const STEP_BYTES: u64 = 1 << 20;
const ZEROS: [u8; 8] = [0; 8];
/// Mailboxes described in one frame.
const MAILBOXES_A_FRAME: usize = 500;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportSums {
    /// Messages, each as often as mailboxes have it.
    pub messages: u64,
    /// Octets of the file.
    pub octets: u64,
}

/// An export file being written.
pub struct ExportWriter<W: Write> {
    out: W,
    id: u64,
    seconds: u32,
    sums: ExportSums,
}

impl<W: Write> ExportWriter<W> {
    /// Begins a file with the facts of `snapshot`: the user's name, mailboxes, subscriptions and limits.
    pub fn begin(store: &Store, snapshot: &UserSnapshot, out: W) -> io::Result<ExportWriter<W>> {
        let disk = &store.derived.disk;
        let id = disk.random_number().map_err(io::Error::other)?;
        let seconds = disk.now_seconds();
        let mut writer = ExportWriter {
            out,
            id,
            seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
            sums: ExportSums::default(),
        };
        writer.put(&ExportHead { id, seconds }.encode())?;
        let user = UserId(0);
        let mut records = Vec::new();
        put_change(&Change::UserCreate { user, name: snapshot.name.clone() }, &mut records);
        if snapshot.limits != Limits::default() {
            put_change(&Change::Quota { user, list_version: 1, limits: snapshot.limits }, &mut records);
        }
        for name in &snapshot.subscriptions {
            let change = Change::Subscribe { user, list_version: 1, name: name.clone(), subscribed: true };
            put_change(&change, &mut records);
        }
        let attribute = |mailbox, (name, value): &(String, Vec<u8>)| Change::Attribute {
            user,
            list_version: 1,
            mailbox,
            name: name.clone(),
            value: Some(value.clone()),
        };
        snapshot.attributes.iter().for_each(|said| put_change(&attribute(None, said), &mut records));
        writer.put_records(&records)?;
        for some in snapshot.mailboxes.chunks(MAILBOXES_A_FRAME) {
            records.clear();
            for mailbox in some {
                let facts = &mailbox.facts;
                let id = MailboxId { user, number: mailbox.id.number };
                let create = Change::MailboxCreate {
                    mailbox: id,
                    list_version: 1,
                    uid_validity: facts.uid_validity,
                    name: facts.name.clone(),
                    special_use: facts.special_use,
                    placeholder: facts.placeholder,
                };
                put_change(&create, &mut records);
                let (uid_next, highest_modseq) = (facts.uid_next, facts.highest_modseq);
                put_change(&Change::MailboxNumbers { mailbox: id, uid_next, highest_modseq }, &mut records);
                for (bit, name) in &facts.keywords {
                    let keyword = Change::Keyword { mailbox: id, bit: *bit, name: name.clone() };
                    put_change(&keyword, &mut records);
                }
                let said = facts.attributes.iter();
                said.for_each(|said| put_change(&attribute(Some(id.number), said), &mut records));
            }
            writer.put_records(&records)?;
        }
        Ok(writer)
    }

    /// Writes a message of mailbox number `mailbox` with its annotations. The outer error is the file's, and ends it; the inner one is the message's, of which nothing was written.
    pub fn message(
        &mut self,
        store: &Store,
        mailbox: u32,
        cell: &Cell,
        annotations: &[NewAnnotation],
    ) -> io::Result<Result<()>> {
        let mut octets = Vec::new();
        let stored = match read_whole(store, cell.message, &mut octets) {
            Ok(stored) => stored,
            Err(error) => return Ok(Err(error)),
        };
        let added = Added { message: MessageId { page: PageId(0), index: 0 }, ..cell.as_added() };
        let mut records = Vec::new();
        let mailbox = MailboxId { user: UserId(0), number: mailbox };
        put_change(&Change::Add { mailbox, added }, &mut records);
        for reader in [None, Some(mailbox.user)] {
            let of_reader = annotations.iter().filter(|annotation| annotation.is_shared == reader.is_none());
            let entries = of_reader.map(|NewAnnotation { entry, value, .. }| AnnotationEntry {
                name: entry.clone(),
                modseq: cell.modseq,
                value: value.clone(),
            });
            let messages = vec![(cell.uid, entries.collect::<Vec<_>>())];
            if !messages[0].1.is_empty() {
                put_change(
                    &Change::Annotations { mailbox, reader, modseq: cell.modseq, messages },
                    &mut records,
                );
            }
        }
        let head = self.head(FrameType::Delivery, &records, stored.size, stored.content_hash);
        self.put(&head.encode())?;
        if stored.size <= STEP_BYTES {
            self.put(&octets)?;
        } else {
            let mut at = 0;
            while at < stored.size {
                octets.clear();
                let end = stored.size.min(at + STEP_BYTES);
                // It was readable a moment ago; that it is no more cannot be taken back.
                store.read_range(&stored, at..end, &mut octets).map_err(io::Error::other)?;
                self.put(&octets)?;
                at = end;
            }
        }
        self.put(&records)?;
        self.pad(&head)?;
        self.sums.messages += 1;
        Ok(Ok(()))
    }

    /// Writes the end. Without it, readers say that the file is cut.
    pub fn finish(mut self) -> io::Result<(ExportSums, W)> {
        let mut records = Vec::new();
        put_end(self.sums.messages, &mut records);
        self.put_records(&records)?;
        self.out.flush()?;
        Ok((self.sums, self.out))
    }

    fn put_records(&mut self, records: &[u8]) -> io::Result<()> {
        let head = self.head(FrameType::Changes, records, 0, 0);
        self.put(&head.encode())?;
        self.put(records)?;
        self.pad(&head)
    }

    fn head(&self, frame_type: FrameType, records: &[u8], content_len: u64, content_hash: u64) -> FrameHead {
        FrameHead {
            log_id: self.id,
            frame_type,
            changes_len: records.len() as u32,
            content_len,
            content_hash,
            changes_crc: crc32c::crc32c(records),
            content_gone: false,
            seconds: self.seconds,
        }
    }

    fn pad(&mut self, head: &FrameHead) -> io::Result<()> {
        let used = FRAME_HEAD_BYTES + head.content_len + u64::from(head.changes_len);
        self.put(&ZEROS[..(head.frame_len() - used) as usize])
    }

    fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.out.write_all(octets)?;
        self.sums.octets += octets.len() as u64;
        Ok(())
    }
}

/// Reads a message to its end; `octets` has all of it if it is a small one.
fn read_whole(store: &Store, id: MessageId, octets: &mut Vec<u8>) -> Result<crate::StoredMessage> {
    let stored = store.message(id)?;
    let mut hash = crate::ContentHasher::new();
    let mut at = 0;
    while at < stored.size {
        octets.clear();
        let end = stored.size.min(at + STEP_BYTES);
        store.read_range(&stored, at..end, octets)?;
        hash.update(octets);
        at = end;
    }
    if hash.digest() != stored.content_hash {
        let path = store.pages.folder(id.page);
        return Err(StoreError::corrupt(&path, u64::from(id.index), "a message is not what its hash says"));
    }
    Ok(stored)
}
