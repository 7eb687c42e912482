//! A message in a file of its own (`.eml`). It arrived when its topmost `Received:` says, else when its `Date:` says; the file's
//! modification time is only that of its saving. Flags are those its header states.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use store::change::ZonedTime;

use super::header_facts::HeaderFacts;
use super::lines::Lines;
use super::{Body, MailItem};

/// Lines of a header that are read for dates and flags. There may be more; what matters stands near the top.
const LINES_MAX: usize = 1_000;

/// Messages in files, one after another.
pub(crate) struct MessageFiles {
    files: std::vec::IntoIter<PathBuf>,
    /// Octets of all messages together.
    pub(crate) octets: u64,
}

impl MessageFiles {
    /// These files, in this order.
    pub(crate) fn new(files: Vec<PathBuf>) -> io::Result<MessageFiles> {
        let mut octets = 0;
        for file in &files {
            octets += fs::metadata(file)?.len();
        }
        Ok(MessageFiles { files: files.into_iter(), octets })
    }
}

impl Iterator for MessageFiles {
    type Item = io::Result<MailItem>;

    fn next(&mut self) -> Option<io::Result<MailItem>> {
        self.files.next().map(|path| read(&path))
    }
}

fn read(path: &Path) -> io::Result<MailItem> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut facts = HeaderFacts::default();
    let mut lines = Lines::from(&file, 0);
    for _ in 0..LINES_MAX {
        match lines.next_line()? {
            Some(line) if !line.is_blank() => facts.line(&line.prefix),
            _ => break,
        }
    }
    facts.field_ended();
    let saved = ZonedTime { seconds: metadata.mtime(), zone_minutes: 0 };
    Ok(MailItem {
        date: Some(facts.received.or(facts.date).unwrap_or(saved)),
        flags: facts.flags,
        place: path.display().to_string(),
        input_octets: metadata.len(),
        body: Body::File(path.to_owned()),
    })
}
