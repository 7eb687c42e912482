//! Which messages a power cut took: directory cells whose frames are not in the logs any more are marked lost, so that mailboxes drop what points to
//! them. Called by recovery when all frames behind the checkpoints have been read.

use std::collections::BTreeSet;

use super::Replay;
use super::scan::{How, read_log};
use crate::change::Change;
use crate::derived::Source;
use crate::error::{Result, StoreError};
use crate::ids::PageId;
use crate::log::logs::{log_path, logs_of_page};
use crate::log::{LogKind, LogName, LogReader};
use crate::page::directory::Directory;

impl Replay<'_> {
    /// Directory cells of frames that are not in the logs any more.
    pub(super) fn mark_lost(&mut self) -> Result<()> {
        let Some(oldest) = self.oldest_page() else {
            return Ok(());
        };
        for page in self.derived.pages.all()?.into_iter().filter(|page| *page >= oldest) {
            let directory = self.derived.pages.directory(page)?;
            let known = self.messages.remove(&page).unwrap_or_default();
            let given_out =
                directory.given_out()?.saturating_add(self.derived.disk.sizes().directory_cells_skipped);
            directory.give_out_from(given_out)?;
            // Nearly all cells are of frames before the checkpoints: those are passed over as fast as they can be read.
            let mut last: Option<((u16, u32), Option<u64>)> = None;
            let suspects = directory.cells_but_those_at(given_out, |writer, bucket, offset| {
                let from = match last {
                    Some((known, from)) if known == (writer, bucket) => from,
                    _ => {
                        let log = LogName { page, kind: LogKind::Bucket, writer, number: bucket };
                        let from = self.checkpoint_of(writer)?.replay_from(log);
                        last = Some(((writer, bucket), from));
                        from
                    }
                };
                Ok(from.is_none_or(|from| offset < from))
            })?;
            let mut damaged = BTreeSet::new();
            for index in suspects.into_iter().filter(|index| !known.contains(index)) {
                let lost = match directory.place(index) {
                    Ok(Some(place)) => {
                        let log = LogName {
                            page,
                            kind: LogKind::Bucket,
                            writer: place.writer,
                            number: place.bucket,
                        };
                        // A frame behind the checkpoint that replay did not meet. Those before it are on the disk.
                        let from = self.checkpoint_of(place.writer)?.replay_from(log);
                        from.is_some_and(|from| place.frame_offset >= from)
                    }
                    // Given out, but its frame is not there; or not given out, and will not be.
                    Ok(None) => true,
                    Err(StoreError::Corrupt { .. }) => {
                        damaged.insert(index);
                        false
                    }
                    Err(error) => return Err(error),
                };
                if lost {
                    directory.mark_lost(index)?;
                }
            }
            self.judge_damaged(page, &directory, damaged)?;
        }
        Ok(())
    }

    /// Directory cells with wrong checksums, whose frames replay did not meet: a flipped bit in the cell of a message that is there, or what a
    /// power cut left of one whose frame is lost. The place has a checksum of its own; where that is wrong, too, the page's buckets say.
    fn judge_damaged(&mut self, page: PageId, directory: &Directory, damaged: BTreeSet<u32>) -> Result<()> {
        let mut nowhere = BTreeSet::new();
        for index in damaged {
            let Some((writer, number, offset)) = directory.place_alone(index)? else {
                nowhere.insert(index);
                continue;
            };
            let log = LogName { page, kind: LogKind::Bucket, writer, number };
            let from = self.checkpoint_of(writer)?.replay_from(log);
            if from.is_some_and(|from| offset >= from) {
                directory.mark_lost(index)?;
            }
        }
        if nowhere.is_empty() {
            return Ok(());
        }
        // A damaged log may be the one that has it.
        let mut certain = true;
        for name in logs_of_page(&self.derived.disk, self.derived.pages.root(), page)? {
            if name.kind != LogKind::Bucket {
                continue;
            }
            let how = How { verify_before_epoch: self.derived.epoch, ..How::WHOLE };
            let read = read_log(self.derived, name, how, &mut |_, frame| match frame.changes.first() {
                Some(Change::Message { index, header_size }) if nowhere.remove(index) => {
                    let source = Source::new(name, frame.offset, &frame.head);
                    self.derived.fill_message(&source, *index, *header_size)
                }
                _ => Ok(()),
            })?;
            certain &= match read {
                Some(read) => !read.is_damaged,
                None => {
                    let path = log_path(self.derived.pages.root(), name);
                    LogReader::open(&self.derived.disk, &path, name).is_ok()
                }
            };
        }
        nowhere.into_iter().filter(|_| certain).try_for_each(|index| directory.mark_lost(index))
    }

    /// The first page that frames may have been lost in.
    fn oldest_page(&self) -> Option<PageId> {
        self.checkpoints
            .values()
            .flat_map(|checkpoint| {
                checkpoint.logs.iter().map(|log| log.name.page).chain(std::iter::once(checkpoint.page))
            })
            .min()
    }
}
