//! Where in the file of annotations the records are that count: of each message and reader the newest.
//!
//! Invariant: of two records for one message and reader the one with the higher modseq counts. The index holds some fifty octets a record, and no values.

use std::collections::BTreeMap;

use crate::ids::{ModSeq, Uid, UserId};

/// Whose annotations of which message a record has. `None` as a reader: those that all see, which come first.
pub(super) type Key = (u32, Option<UserId>);

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// The newest change that is in it.
    pub(super) modseq: ModSeq,
    /// Octets of its entries as they are encoded.
    pub(super) body_bytes: u32,
    /// Octets of names and values of those that are there.
    pub(super) octets: u32,
    /// Octets of the record in the file.
    pub(super) record_bytes: u64,
}

/// The records of a file that count.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: BTreeMap<Key, Place>,
    /// Octets of the records that do not count any more.
    pub(super) replaced_bytes: u64,
    /// Octets of those that count.
    pub(super) counting_bytes: u64,
}

impl Index {
    pub(super) fn get(&self, key: Key) -> Option<Place> {
        self.places.get(&key).copied()
    }

    /// Takes a record that was found in the file.
    pub(super) fn put(&mut self, key: Key, place: Place) {
        if let Some(before) = self.places.get(&key) {
            if before.modseq > place.modseq {
                self.replaced_bytes += place.record_bytes;
                return;
            }
            self.replaced_bytes += before.record_bytes;
            self.counting_bytes -= before.record_bytes;
        }
        self.counting_bytes += place.record_bytes;
        self.places.insert(key, place);
    }

    /// The records of one message.
    pub(super) fn of(&self, uid: Uid) -> impl Iterator<Item = (Option<UserId>, Place)> {
        let range = (uid.get(), None)..=(uid.get(), Some(UserId(u32::MAX)));
        self.places.range(range).map(|((_, reader), place)| (*reader, *place))
    }

    /// All records, by UID and reader.
    pub(super) fn all(&self) -> impl Iterator<Item = (Key, Place)> {
        self.places.iter().map(|(key, place)| (*key, *place))
    }

    /// All records from `from` up, by UID and reader.
    pub(super) fn from(&self, from: Uid) -> impl Iterator<Item = (Key, Place)> {
        self.places.range((from.get(), None)..).map(|(key, place)| (*key, *place))
    }
}
