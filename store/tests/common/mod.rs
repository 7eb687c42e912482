//! What the tests of the store share: a store in a folder of its own, and short ways to say what is done to it.
#![allow(dead_code)]

#[cfg(feature = "simulation")]
pub(crate) mod steps;

use std::path::PathBuf;
use std::sync::Arc;

use store::change::{SystemFlags, ZonedTime};
use store::ids::{CellIndex, MailboxId, MessageId, UserId};
use store::mailbox::Cell;
use store::txn::{Committed, Delivery, FlagChange, FlagOperation, Outcome};
use store::{OpenOptions, Store, WriterChoice};

/// A folder with a store and a runtime folder in it.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
}

impl Place {
    /// In memory where that can be had, so that syncing costs nothing.
    pub(crate) fn new() -> Place {
        match tempfile::tempdir_in("/dev/shm") {
            Ok(folder) => Place { folder },
            Err(_) => Place::on_disk(),
        }
    }

    pub(crate) fn on_disk() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn options(&self, writer: WriterChoice) -> OpenOptions {
        OpenOptions::new(self.store_path(), self.folder.path().join("run"), writer)
    }

    pub(crate) fn open(&self) -> Arc<Store> {
        Store::open(self.options(WriterChoice::Handler(0))).expect("opens")
    }

    pub(crate) fn open_as(&self, handler: u16) -> Arc<Store> {
        Store::open(self.options(WriterChoice::Handler(handler))).expect("opens")
    }
}

pub(crate) const DATE: ZonedTime = ZonedTime { seconds: 1_790_000_000, zone_minutes: 120 };

/// A small message that says `text`.
pub(crate) fn mail(text: &str) -> Vec<u8> {
    format!(
        "From: Ann <ann@example.org>\r\nTo: bob@example.org\r\nSubject: {text}\r\n\
         Date: Sun, 22 Nov 2026 10:00:00 +0100\r\nMessage-ID: <{text}@example.org>\r\n\r\n{text}\r\n"
    )
    .into_bytes()
}

pub(crate) fn inbox(user: UserId) -> MailboxId {
    MailboxId { user, number: 1 }
}

pub(crate) fn to(mailbox: MailboxId) -> Delivery {
    Delivery { mailbox, flags: SystemFlags::default(), keywords: Vec::new(), internal_date: DATE }
}

/// Delivers without waiting for the ticket.
pub(crate) fn deliver(store: &Arc<Store>, bytes: &[u8], recipients: Vec<Delivery>) -> Committed {
    let mut draft = store.draft().expect("open");
    for chunk in bytes.chunks(70_000) {
        draft.write(chunk).expect("space");
    }
    let content = draft.finish().expect("space");
    let mut txn = store.begin();
    txn.deliver(content, recipients);
    txn.commit().expect("delivered")
}

/// The UID that a delivery to one mailbox got.
pub(crate) fn only_uid(committed: &Committed) -> u32 {
    match &committed.outcomes[..] {
        [Outcome::Delivered(results)] => results[0].as_ref().expect("delivered").uid.get(),
        other => panic!("{other:?}"),
    }
}

/// All live cells of a mailbox.
pub(crate) fn live(store: &Store, mailbox: MailboxId) -> Vec<Cell> {
    let open = store.mailbox(mailbox).expect("there");
    let cells = open.cells().expect("readable");
    let all = (0..cells.count()).map(|index| cells.cell(CellIndex(index)).expect("whole"));
    all.filter(|cell| !cell.expunged).collect()
}

/// The places of all live cells of a mailbox.
pub(crate) fn live_indexes(store: &Store, mailbox: MailboxId) -> Vec<CellIndex> {
    let open = store.mailbox(mailbox).expect("there");
    let cells = open.cells().expect("readable");
    let all = (0..cells.count()).map(CellIndex);
    all.filter(|index| !cells.flags(*index).expect("whole").expunged).collect()
}

/// All octets of a message.
pub(crate) fn body(store: &Store, message: MessageId) -> Vec<u8> {
    let stored = store.message(message).expect("there");
    let mut bytes = Vec::new();
    store.read_range(&stored, 0..u64::MAX, &mut bytes).expect("readable");
    bytes
}

pub(crate) fn flags(operation: FlagOperation, system: SystemFlags, keywords: &[&str]) -> FlagChange {
    FlagChange { operation, system, keywords: keywords.iter().map(|name| name.to_string()).collect() }
}

/// Random numbers by xorshift: the same seed, the same numbers.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
