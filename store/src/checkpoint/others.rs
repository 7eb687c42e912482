//! Which frames of other writers are known to be durable: those before their checkpoints.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::Checkpoint;
use crate::disk::Disk;
use crate::error::Result;
use crate::ids::PageId;
use crate::in_hand::Mutex;
use crate::locks::Locks;
use crate::log::{LogKind, LogName};
use crate::page::directory::MessagePlace;

/// What the checkpoints of other writers say, read now and then: which of their frames are known to be durable.
#[derive(Debug)]
pub(crate) struct CheckpointsOfOthers {
    disk: Disk,
    partition: PathBuf,
    locks: Arc<Locks>,
    seen: Mutex<HashMap<u16, Seen>>,
}

/// A checkpoint that was read.
#[derive(Debug)]
struct Seen {
    at_seconds: u64,
    /// How often checkpoints had been set back before.
    set_back: u64,
    checkpoint: Checkpoint,
}

/// How long a checkpoint that was read is believed to be the last one. Believing in an old one costs a sync, nothing else.
const BELIEVED_SECONDS: u64 = 5;

impl CheckpointsOfOthers {
    pub(crate) fn new(disk: &Disk, partition: &Path, locks: Arc<Locks>) -> CheckpointsOfOthers {
        CheckpointsOfOthers {
            disk: disk.clone(),
            partition: partition.to_path_buf(),
            locks,
            seen: Mutex::new(HashMap::new()),
        }
    }

    /// Whether nobody appends to logs of `page` any more: it is neither today's page nor yesterday's. It says nothing of what is durable, for the
    /// clock may have jumped.
    pub(crate) fn is_old(&self, page: PageId) -> bool {
        page.0.saturating_add(1) < self.disk.today().0
    }

    /// Whether the frame of a message is behind none of the checkpoints, that is, durable. What a checkpoint says once is so for ever, unless the clock is set back: then its
    /// writer may make new logs of a page that it declared to be in the views, and says so before it does.
    pub(crate) fn covers(&self, page: PageId, place: &MessagePlace) -> Result<bool> {
        let log = LogName { page, kind: LogKind::Bucket, writer: place.writer, number: place.bucket };
        let now = self.disk.now_seconds();
        let set_back = self.locks.checkpoints_set_back();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let covered = |checkpoint: &Checkpoint| {
            checkpoint.replay_from(log).is_none_or(|from| place.frame_offset < from)
        };
        if let Some(known) = seen.get(&place.writer)
            && known.set_back == set_back
            && (covered(&known.checkpoint) || now.abs_diff(known.at_seconds) < BELIEVED_SECONDS)
        {
            return Ok(covered(&known.checkpoint));
        }
        let checkpoint = Checkpoint::read(&self.disk, &self.partition, place.writer)?;
        let covered = covered(&checkpoint);
        seen.insert(place.writer, Seen { at_seconds: now, set_back, checkpoint });
        Ok(covered)
    }
}
