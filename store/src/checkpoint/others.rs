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

    /// Up to where the log of a message is known to be durable, if that is before the message's frame. What a checkpoint says once is so for ever, unless the clock is set
    /// back: then its writer may make new logs of a page that it declared to be in the views, and says so before it does.
    pub(crate) fn proven_before(&self, page: PageId, place: &MessagePlace) -> Result<Option<u64>> {
        let log = LogName { page, kind: LogKind::Bucket, writer: place.writer, number: place.bucket };
        let now = self.disk.now_seconds();
        let set_back = self.locks.checkpoints_set_back();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = |checkpoint: &Checkpoint| {
            checkpoint.replay_from(log).filter(|proven| *proven <= place.frame_offset)
        };
        if let Some(known) = seen.get(&place.writer)
            && known.set_back == set_back
            && (before(&known.checkpoint).is_none() || now.abs_diff(known.at_seconds) < BELIEVED_SECONDS)
        {
            return Ok(before(&known.checkpoint));
        }
        let checkpoint = Checkpoint::read(&self.disk, &self.partition, place.writer)?;
        let proven = before(&checkpoint);
        seen.insert(place.writer, Seen { at_seconds: now, set_back, checkpoint });
        Ok(proven)
    }
}
