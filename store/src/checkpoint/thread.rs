//! When this process writes its checkpoints: an interval after the first change, or sooner when there is much to replay.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::commit::Committer;
use crate::counters::Counters;
use crate::disk::{Disk, Mutation};
use crate::error::{Result, StoreError};
use crate::in_hand::{Condvar, Mutex};
use crate::log::Logs;
use crate::reserve::Reserve;

/// So many changes more would take long to replay: a checkpoint is due before its time.
const CHANGES_MOST: usize = 1 << 18;

/// When and how this process writes its checkpoints.
pub(crate) struct CheckpointThread {
    disk: Disk,
    partition: PathBuf,
    writer: u16,
    interval: Duration,
    logs: Arc<Logs>,
    committer: Arc<Committer>,
    counters: Arc<Counters>,
    writing: Mutex<()>,
    /// Checkpoints that were begun, and the number of the last one whose `syncfs` was done.
    begun: AtomicU64,
    synced: AtomicU64,
    pace: Mutex<Pace>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct Pace {
    changes: usize,
    stop: bool,
}

impl CheckpointThread {
    pub(crate) fn new(
        disk: &Disk,
        partition: PathBuf,
        writer: u16,
        interval: Duration,
        logs: Arc<Logs>,
        committer: Arc<Committer>,
        counters: Arc<Counters>,
    ) -> CheckpointThread {
        CheckpointThread {
            disk: disk.clone(),
            partition,
            writer,
            interval,
            logs,
            committer,
            counters,
            writing: Mutex::new(()),
            begun: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            pace: Mutex::new(Pace::default()),
            woken: Condvar::new(),
        }
    }

    /// So many changes more would have to be replayed.
    pub(crate) fn count(&self, changes: usize) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let before = pace.changes;
        pace.changes += changes;
        // The first change starts the interval.
        if before == 0 || (before < CHANGES_MOST && pace.changes >= CHANGES_MOST) {
            self.woken.notify_one();
        }
    }

    /// Has the thread end.
    pub(crate) fn stop(&self) {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.woken.notify_one();
    }

    /// The checkpoint thread.
    pub(crate) fn run(&self) {
        loop {
            let pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            let pace = self.woken.wait_while(pace, |pace| pace.changes == 0 && !pace.stop);
            let pace = pace.unwrap_or_else(PoisonError::into_inner);
            let due = |pace: &mut Pace| pace.changes < CHANGES_MOST && !pace.stop;
            let waited = self.woken.wait_timeout_while(pace, self.interval, due);
            let (mut pace, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if pace.stop {
                return;
            }
            pace.changes = 0;
            drop(pace);
            // If it fails, the last one still holds: more is replayed. The next interval tries again.
            if self.write().is_err() {
                self.count(1);
            }
        }
    }

    /// Writes a checkpoint now. None after a failed sync in any process: what logs and views hold can no longer be vouched for.
    pub(crate) fn write(&self) -> Result<()> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.committer.check_syncs()?;
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        // Frames before these positions are in the views; then the views, as they are at least now, go to the disk.
        let checkpoint = self.logs.positions();
        if self.disk.mutated(Mutation::CheckpointBeforeSync) {
            checkpoint.write(&self.disk, &self.partition, self.writer)?;
        }
        let synced = self.disk.sync_file_system(&self.partition);
        self.committer.note_sync(synced.map_err(StoreError::io(&self.partition, "sync")))?;
        self.committer.check_syncs()?;
        self.synced.store(number, Ordering::SeqCst);
        checkpoint.write(&self.disk, &self.partition, self.writer)?;
        for reserve in Reserve::ALL {
            reserve.make(&self.disk, self.partition.parent().unwrap_or(&self.partition));
        }
        self.logs.prune(&checkpoint);
        self.counters.checkpoints.add(1);
        Ok(())
    }

    /// How many were begun: what was written to logs before this is asked is made durable by the next one.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// The number of the last one whose `syncfs` was done, also if there was no room for the file.
    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::SeqCst)
    }
}
