//! Which frames of other writers are known to be durable: those before their checkpoints.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Checkpoint;
use crate::date::today;
use crate::error::Result;
use crate::ids::PageId;
use crate::log::{LogKind, LogName};
use crate::page::directory::MessagePlace;

/// What the checkpoints of other writers say, read now and then: which of their frames are known to be durable.
#[derive(Debug)]
pub(crate) struct CheckpointsOfOthers {
    partition: PathBuf,
    seen: Mutex<HashMap<u16, (Instant, Checkpoint)>>,
}

/// How long a checkpoint that was read is believed to be the last one. Believing in an old one costs a sync, nothing else.
const BELIEVED: Duration = Duration::from_secs(5);

impl CheckpointsOfOthers {
    pub(crate) fn new(partition: &Path) -> CheckpointsOfOthers {
        CheckpointsOfOthers { partition: partition.to_path_buf(), seen: Mutex::new(HashMap::new()) }
    }

    /// Whether all frames of `page` have been durable for long: it is neither today's page nor yesterday's.
    pub(crate) fn is_old(&self, page: PageId) -> bool {
        page.0.saturating_add(1) < today().0
    }

    /// Whether the frame of a message is behind none of the checkpoints, that is, durable.
    pub(crate) fn covers(&self, page: PageId, place: &MessagePlace) -> Result<bool> {
        let log = LogName { page, kind: LogKind::Bucket, writer: place.writer, number: place.bucket };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let covered = |checkpoint: &Checkpoint| {
            checkpoint.replay_from(log).is_none_or(|from| place.frame_offset < from)
        };
        if let Some((read, checkpoint)) = seen.get(&place.writer)
            && (covered(checkpoint) || read.elapsed() < BELIEVED)
        {
            return Ok(covered(checkpoint));
        }
        let checkpoint = Checkpoint::read(&self.partition, place.writer)?;
        let covered = covered(&checkpoint);
        seen.insert(place.writer, (Instant::now(), checkpoint));
        Ok(covered)
    }
}
