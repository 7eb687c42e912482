//! Frees messages that no mailbox cell holds, and gives the space of their content back.
//!
//! A message is freed by one exchange, and only if its page's counts are known not to be too low and its frame is before its writer's
//! checkpoint: then all its mailbox cells were made, and what is in its frame is durable. From that exchange on nobody gets it. The
//! directory is synced before the first octet is given back, and so is a mark in the frame's head, so that a message without its content is
//! always known to be freed, by the directory and by the log. What is given back are whole blocks inside of the content; the frame's head,
//! its changes and the edges stay.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

use crate::checkpoint::Checkpoint;
use crate::error::{Result, StoreError};
use crate::gc::gate::Gate;
use crate::ids::PageId;
use crate::log::frame::{FRAME_HEAD_BYTES, mark_content_gone};
use crate::log::{LogKind, LogName};
use crate::page::PageFile;
use crate::page::directory::{CellState, Directory, MessagePlace};
use crate::state::is_writer_alive;
use crate::store::Store;

/// Space is given back in units of this many octets.
pub(crate) const PUNCH_UNIT_BYTES: u64 = 4096;
/// How long to wait for somebody who copies logs. What was not punched is found by the next pass.
const GATE_WAIT_MOST: Duration = Duration::from_secs(1);
/// So many messages are punched while the gate is held.
const PUNCHED_AT_ONCE: usize = 256;

/// What was freed.
#[derive(Debug, Default)]
pub(super) struct Freed {
    pub(super) messages: u64,
    pub(super) octets: u64,
    pub(super) punched_octets: u64,
    /// Messages that nobody has, but that may not be freed yet.
    pub(super) postponed: Vec<u32>,
}

/// The checkpoints of all writers, as they were when first asked for since one was set back.
#[derive(Default)]
pub(super) struct Checkpoints {
    read: HashMap<u16, Checkpoint>,
    set_back: u64,
}

impl Checkpoints {
    fn of(&mut self, store: &Store, writer: u16) -> Result<&Checkpoint> {
        let set_back = store.locks.checkpoints_set_back();
        if self.set_back != set_back {
            self.read.clear();
            self.set_back = set_back;
        }
        if let std::collections::hash_map::Entry::Vacant(entry) = self.read.entry(writer) {
            entry.insert(Checkpoint::read(&store.derived.disk, &store.partition, writer)?);
        }
        Ok(&self.read[&writer])
    }

    /// Whether the frame at `place` is durable, and everything it says was put into the views.
    fn cover(&mut self, store: &Store, page: PageId, place: &MessagePlace) -> Result<bool> {
        let log = LogName { page, kind: LogKind::Bucket, writer: place.writer, number: place.bucket };
        let from = self.of(store, place.writer)?.replay_from(log);
        Ok(from.is_none_or(|from| place.frame_offset < from))
    }

    /// Whether nobody has `log` in hand, so that no frame comes behind the last one. A log that its writer's checkpoint names is one that the writer may still append to:
    /// a big message that began to come on its day may end days later.
    pub(super) fn is_finished(&mut self, store: &Store, log: LogName) -> Result<bool> {
        if self.of(store, log.writer)?.replay_from(log).is_none() {
            return Ok(true);
        }
        if log.writer == store.writer() {
            return Ok(!store.logs.is_open(log));
        }
        // Whoever takes up a writer number appends to logs of today alone.
        Ok(!is_writer_alive(&store.runtime_dir, log.writer)?)
    }

    /// Whether nothing from `end` on will ever be replayed from `log`, so that it may go.
    pub(super) fn cover_log(&mut self, store: &Store, log: LogName, end: u64) -> Result<bool> {
        Ok(self.of(store, log.writer)?.replay_from(log).is_none_or(|from| from >= end))
    }
}

/// Frees those of the cells `indexes` of `page` that nobody holds.
pub(super) fn free(
    store: &Store,
    checkpoints: &mut Checkpoints,
    page: PageId,
    indexes: impl Iterator<Item = u32>,
) -> Result<Freed> {
    let directory = store.pages.directory(page)?;
    let mut freed = Freed::default();
    let may_be_freed = directory.recounted_epoch()? == store.derived.epoch;
    let mut to_punch = Vec::new();
    for index in indexes {
        let now = directory.cell_use(index)?;
        match now.state {
            CellState::InUse if now.references == 0 => {
                let place = match directory.place(index) {
                    Ok(Some(place)) => place,
                    Ok(None) => continue,
                    // A damaged cell is for the check.
                    Err(StoreError::Corrupt { .. }) => continue,
                    Err(error) => return Err(error),
                };
                if !may_be_freed || !checkpoints.cover(store, page, &place)? {
                    freed.postponed.push(index);
                } else if directory.free_if_unreferenced(index)? {
                    freed.messages += 1;
                    freed.octets += place.content_len;
                    to_punch.push(index);
                }
            }
            // An earlier pass did not come to it.
            CellState::Freed if !now.punched => to_punch.push(index),
            _ => (),
        }
    }
    if !to_punch.is_empty() {
        store.committer.note_sync(directory.sync())?;
        for some in to_punch.chunks(PUNCHED_AT_ONCE) {
            let Some(_gate) = Gate::exclusive(&store.runtime_dir, GATE_WAIT_MOST)? else { break };
            freed.punched_octets += punch(store, &directory, page, some)?;
        }
    }
    Ok(freed)
}

/// How many messages of a page would be freed if `dropped` references fell, and their octets.
pub(super) fn would_free(store: &Store, page: PageId, dropped: &HashMap<u32, u32>) -> Result<(u64, u64)> {
    let directory = store.pages.directory(page)?;
    let mut sum = (0, 0);
    for index in 0..directory.given_out()? {
        let now = directory.cell_use(index)?;
        let falls = dropped.get(&index).copied().unwrap_or(0);
        if now.state == CellState::InUse && now.references <= falls {
            sum.0 += 1;
            sum.1 += directory.place(index).ok().flatten().map_or(0, |place| place.content_len);
        }
    }
    Ok(sum)
}

/// The whole units inside of a content; `None` if there are none.
pub(crate) fn inner_units(content_at: u64, content_len: u64) -> Option<Range<u64>> {
    let start = content_at.checked_next_multiple_of(PUNCH_UNIT_BYTES)?;
    let end = content_at.checked_add(content_len)? / PUNCH_UNIT_BYTES * PUNCH_UNIT_BYTES;
    (start < end).then_some(start..end)
}

/// What is given back of a frame: where the frame begins, and which octets of the bucket.
type Hole = (u64, Range<u64>);

/// Gives back the blocks of freed messages: bucket by bucket, all marked in their frames first, durably.
fn punch(store: &Store, directory: &Directory, page: PageId, indexes: &[u32]) -> Result<u64> {
    let mut buckets: BTreeMap<(u16, u32), Vec<Hole>> = BTreeMap::new();
    for index in indexes {
        let place = match directory.place_and_state(*index) {
            Ok(Some((place, CellState::Freed))) => place,
            Ok(_) | Err(StoreError::Corrupt { .. }) => continue,
            Err(error) => return Err(error),
        };
        if let Some(units) = inner_units(place.frame_offset + FRAME_HEAD_BYTES, place.content_len) {
            let frames = buckets.entry((place.writer, place.bucket)).or_default();
            frames.push((place.frame_offset, units));
        }
    }
    let mut punched = 0;
    for ((writer, number), frames) in buckets {
        let path = store.pages.path(PageFile::Bucket { page, writer, number });
        let file = match store.derived.disk.open_writable(&path) {
            Ok(file) => file,
            // Unlinked already.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::io(&path, "open")(error)),
        };
        let punch_all = || -> std::io::Result<u64> {
            for (frame, _) in &frames {
                mark_content_gone(&file, *frame)?;
            }
            file.sync_data()?;
            let mut octets = 0;
            for (_, units) in &frames {
                file.punch(units.start, units.end - units.start)?;
                octets += units.end - units.start;
            }
            Ok(octets)
        };
        let punched_here = punch_all().map_err(StoreError::io(&path, "give back space of"));
        punched += store.committer.note_sync(punched_here)?;
    }
    indexes.iter().try_for_each(|index| directory.mark_punched(*index))?;
    Ok(punched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_units_inside_of_a_content_are_given_back() {
        assert_eq!(inner_units(112, 4096), None);
        assert_eq!(inner_units(112, 8191), Some(4096..8192));
        assert_eq!(inner_units(4096, 4096), Some(4096..8192));
        assert_eq!(inner_units(4097, 4096), None);
        assert_eq!(inner_units(u64::MAX - 1, 4096), None);
    }
}
