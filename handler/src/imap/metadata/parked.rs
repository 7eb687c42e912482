//! What is kept of a session that is told of METADATA (`crate::parked`): what it knows of entries, so that the next handler tells what was changed since.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use store::UserId;

use super::changes::{Entry, Known, Part, Watch};

/// Lists that are read back at most: a session sees three at a time, and remembers those it saw.
const LISTS_MAX: usize = 4096;

/// What a session knows.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::imap) struct ParkedWatch<'a> {
    lists: Vec<ParkedList<'a>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ParkedList<'a> {
    list: u32,
    part: Part,
    version: u64,
    entries: Cow<'a, [Entry]>,
}

impl Watch {
    /// What is to be kept of it.
    pub(in crate::imap) fn park(&self) -> ParkedWatch<'_> {
        let lists = self.lists.iter().map(|known| ParkedList {
            list: known.list.0,
            part: known.part,
            version: known.version,
            entries: Cow::Borrowed(&known.entries),
        });
        ParkedWatch { lists: lists.collect() }
    }

    /// A number that is another when what it knows is. Never 0.
    pub(in crate::imap) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// What was kept so.
    pub(in crate::imap) fn resume(parked: ParkedWatch<'_>) -> Watch {
        let lists = parked.lists.into_iter().take(LISTS_MAX).map(|parked| {
            let mut entries = parked.entries.into_owned();
            // Looked up by halving.
            entries.sort_by(|one, other| one.key().cmp(&other.key()));
            Known { list: UserId(parked.list), part: parked.part, version: parked.version, entries }
        });
        Watch { lists: lists.collect(), ..Watch::default() }
    }
}
