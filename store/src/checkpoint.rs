//! Where replay of a writer's logs starts. All frames before the positions are in the views, and the views as they were then are on the
//! disk (`syncfs` comes between noting the positions and writing the file).
//!
//! A log that a checkpoint does not mention is replayed whole if its page is the checkpoint's or a later one, and not at all if
//! its page is earlier.

mod others;
mod thread;

pub(crate) use others::CheckpointsOfOthers;
pub(crate) use thread::CheckpointThread;

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::ids::PageId;
use crate::log::frame::{LOG_HEAD_BYTES, LogKind, LogName};
use crate::reserve::Reserve;
use crate::text::{with_crc, without_crc};

const FIRST_LINE: &str = "lode checkpoint 1";

/// Up to where a log is in the views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogPosition {
    pub(crate) name: LogName,
    pub(crate) position: u64,
}

/// What a checkpoint file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Logs of earlier pages that are not in `logs` are in the views altogether.
    pub(crate) page: PageId,
    pub(crate) logs: Vec<LogPosition>,
}

impl Default for Checkpoint {
    /// What is true of a writer without a checkpoint: nothing is known to be in the views.
    fn default() -> Checkpoint {
        Checkpoint { page: PageId(0), logs: Vec::new() }
    }
}

impl Checkpoint {
    /// From where `name` must be replayed; `None` if this checkpoint does not mention it.
    pub(crate) fn position(&self, name: LogName) -> Option<u64> {
        self.logs.iter().find(|log| log.name == name).map(|log| log.position)
    }

    /// From where `name` must be replayed; `None` if not at all.
    pub(crate) fn replay_from(&self, name: LogName) -> Option<u64> {
        self.position(name).or((name.page >= self.page).then_some(LOG_HEAD_BYTES))
    }

    /// Whether logs of the page that `now` is of would be taken to be in the views: the clock was set back since.
    pub(crate) fn is_ahead_of(&self, now: &Checkpoint) -> bool {
        self.page > now.page
    }

    /// This one, saying no more than `before` of what is in the views, and no less.
    pub(crate) fn no_further_than(mut self, before: &Checkpoint) -> Checkpoint {
        for log in &mut self.logs {
            if let Some(from) = before.replay_from(log.name) {
                log.position = log.position.min(from);
            }
        }
        let others = before.logs.iter().filter(|log| self.position(log.name).is_none());
        let others: Vec<LogPosition> = others.copied().collect();
        self.logs.extend(others);
        self
    }

    /// The checkpoint of `writer` in the partition's folder. A missing or damaged one means that everything is replayed, which is slow but
    /// right.
    pub(crate) fn read(disk: &Disk, partition: &Path, writer: u16) -> Result<Checkpoint> {
        let path = checkpoint_path(partition, writer);
        match disk.read(&path) {
            Ok(bytes) => Ok(Checkpoint::parse(&bytes, writer).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Checkpoint::default()),
            Err(error) => Err(StoreError::io(&path, "read")(error)),
        }
    }

    /// Makes this the checkpoint of `writer`, durably.
    pub(crate) fn write(&self, disk: &Disk, partition: &Path, writer: u16) -> Result<()> {
        let path = checkpoint_path(partition, writer);
        let text = self.to_text(writer);
        let folder = partition.parent().unwrap_or(partition);
        Reserve::State
            .with(disk, folder, || disk.replace_file(&path, text.as_bytes()))
            .map_err(StoreError::io(&path, "write"))
    }

    fn to_text(&self, writer: u16) -> String {
        use std::fmt::Write;
        let mut text = format!("{FIRST_LINE}\nwriter {writer}\npage {}\n", self.page.0);
        for LogPosition { name, position } in &self.logs {
            let _ = writeln!(text, "{} {} {} {position}", name.kind.word(), name.page.0, name.number);
        }
        with_crc(text)
    }

    /// The checkpoint of `writer` that the octets of a file are; `None` if they are none.
    pub(crate) fn parse(bytes: &[u8], writer: u16) -> Option<Checkpoint> {
        let mut lines = without_crc(bytes)?.lines();
        if lines.next()? != FIRST_LINE
            || lines.next()?.strip_prefix("writer ")?.parse::<u16>().ok()? != writer
        {
            return None;
        }
        let page = PageId(lines.next()?.strip_prefix("page ")?.parse().ok()?);
        let logs = lines.map(|line| parse_log(line, writer)).collect::<Option<Vec<LogPosition>>>()?;
        Some(Checkpoint { page, logs })
    }
}

fn parse_log(line: &str, writer: u16) -> Option<LogPosition> {
    let mut words = line.split(' ');
    let kind = match words.next()? {
        "bucket" => LogKind::Bucket,
        "journal" => LogKind::Journal,
        _ => return None,
    };
    let page = PageId(words.next()?.parse().ok()?);
    let name = LogName { page, kind, writer, number: words.next()?.parse().ok()? };
    let position = words.next()?.parse().ok()?;
    words.next().is_none().then_some(LogPosition { name, position })
}

fn checkpoint_path(partition: &Path, writer: u16) -> PathBuf {
    partition.join(format!("checkpoint.{writer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let name = |page, kind, number| LogName { page: PageId(page), kind, writer: 66, number };
        Checkpoint {
            page: PageId(20),
            logs: vec![
                LogPosition { name: name(20, LogKind::Bucket, 0), position: 64 },
                LogPosition { name: name(19, LogKind::Journal, 3), position: 1 << 40 },
            ],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(
            Checkpoint::read(&Disk::real(), folder.path(), 66).expect("readable"),
            Checkpoint::default()
        );
        checkpoint().write(&Disk::real(), folder.path(), 66).expect("written");
        assert_eq!(Checkpoint::read(&Disk::real(), folder.path(), 66).expect("readable"), checkpoint());
    }

    #[test]
    fn an_altered_file_is_no_checkpoint() {
        let text = checkpoint().to_text(66);
        assert_eq!(Checkpoint::parse(text.as_bytes(), 66), Some(checkpoint()));
        assert_eq!(Checkpoint::parse(text.as_bytes(), 67), None);
        for at in 0..text.len() - 1 {
            let mut altered = text.clone().into_bytes();
            altered[at] ^= 1;
            assert_ne!(Checkpoint::parse(&altered, 66), Some(checkpoint()), "octet {at}");
            assert_eq!(Checkpoint::parse(&text.as_bytes()[..at], 66), None, "cut at {at}");
        }
    }

    #[test]
    fn logs_that_are_not_mentioned_are_replayed_by_their_page() {
        let log = |page, number| LogName { page: PageId(page), kind: LogKind::Bucket, writer: 66, number };
        assert_eq!(checkpoint().replay_from(log(20, 0)), Some(64));
        assert_eq!(checkpoint().replay_from(log(20, 1)), Some(64));
        assert_eq!(checkpoint().replay_from(log(21, 0)), Some(64));
        assert_eq!(checkpoint().replay_from(log(19, 0)), None);
    }
}
