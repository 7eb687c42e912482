//! The file `manifest` of a backup: which octets of which files are the backup. It is replaced as a whole, last of all and synced, so that a backup that
//! is cut short leaves the one before as it was. Drawn in `FORMAT.md`, "Backup".

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use crate::date::{page_name, parse_page_name};
use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::log::LogName;

const FIRST_LINE: &str = "lode backup 1";

/// What a file of the store looked like when it was copied, so that one look tells that nothing was changed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) len: u64,
    pub(super) modified_ns: u64,
    pub(super) inode: u64,
}

/// One log in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: LogName,
    /// The log's random id; 0 if its head could not be read.
    pub(super) id: u64,
    /// So many octets of the file are the backup's.
    pub(super) len: u64,
    /// Messages in them.
    pub(super) messages: u64,
    /// The store's file when nobody appended to it any more; `None` if somebody may have.
    pub(super) stamp: Option<Stamp>,
    /// 0, or the generation that copied the log anew, under a name of its own.
    pub(super) copy: u64,
}

impl Entry {
    /// The file in the backup's folder.
    pub(super) fn path(&self, backup: &Path) -> PathBuf {
        let name = self.name.file_name();
        let name = if self.copy == 0 { name } else { format!("{name}.{}", self.copy) };
        backup.join("pages").join(page_name(self.name.page)).join(name)
    }
}

/// A backup as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) store_id: u64,
    /// How many backups were made into this folder.
    pub(super) generation: u64,
    /// The store's epoch then.
    pub(super) epoch: u32,
    /// The moment, seconds since 1970.
    pub(super) seconds: u64,
    /// The logs, in order of their names.
    pub(super) entries: Vec<Entry>,
}

impl Manifest {
    pub(super) fn path(backup: &Path) -> PathBuf {
        backup.join("manifest")
    }

    /// The manifest of the backup in that folder; `None` if no backup was completed there.
    pub(super) fn read(disk: &Disk, backup: &Path) -> Result<Option<Manifest>> {
        let path = Manifest::path(backup);
        match disk.read(&path) {
            Ok(bytes) => match Manifest::parse(&bytes) {
                Some(manifest) => Ok(Some(manifest)),
                None => Err(StoreError::corrupt(&path, 0, "the list of what a backup consists of")),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path, "read")(error)),
        }
    }

    /// Makes this the backup, durably.
    pub(super) fn write(&self, disk: &Disk, backup: &Path) -> Result<()> {
        let path = Manifest::path(backup);
        disk.replace_file(&path, self.to_text().as_bytes()).map_err(StoreError::io(&path, "write"))
    }

    /// The entry of a log.
    pub(super) fn entry(&self, name: LogName) -> Option<&Entry> {
        let place = self.entries.binary_search_by_key(&name, |entry| entry.name).ok()?;
        self.entries.get(place)
    }

    fn to_text(&self) -> String {
        let Manifest { store_id, generation, epoch, seconds, entries } = self;
        let mut text = format!(
            "{FIRST_LINE}\nstore {store_id:016x}\ngeneration {generation}\nepoch {epoch}\nseconds {seconds}\n"
        );
        for Entry { name, id, len, messages, stamp, copy } in entries {
            let (page, name) = (page_name(name.page), name.file_name());
            let _ = write!(text, "{page} {name} {id:016x} {len} {messages} {copy}");
            if let Some(Stamp { len, modified_ns, inode }) = stamp {
                let _ = write!(text, " {len} {modified_ns} {inode}");
            }
            text.push('\n');
        }
        let crc = crc32c::crc32c(text.as_bytes());
        let _ = writeln!(text, "crc {crc:08x}");
        text
    }

    fn parse(bytes: &[u8]) -> Option<Manifest> {
        let text = std::str::from_utf8(bytes).ok()?;
        let body_len = text.strip_suffix('\n')?.rfind('\n')? + 1;
        let (body, last) = text.split_at(body_len);
        let crc = u32::from_str_radix(last.trim_end().strip_prefix("crc ")?, 16).ok()?;
        if crc != crc32c::crc32c(body.as_bytes()) {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let store_id = u64::from_str_radix(lines.next()?.strip_prefix("store ")?, 16).ok()?;
        let generation = lines.next()?.strip_prefix("generation ")?.parse().ok()?;
        let epoch = lines.next()?.strip_prefix("epoch ")?.parse().ok()?;
        let seconds = lines.next()?.strip_prefix("seconds ")?.parse().ok()?;
        let entries = lines.map(parse_entry).collect::<Option<Vec<Entry>>>()?;
        let ascend = entries.windows(2).all(|pair| pair[0].name < pair[1].name);
        ascend.then_some(Manifest { store_id, generation, epoch, seconds, entries })
    }
}

fn parse_entry(line: &str) -> Option<Entry> {
    let words: Vec<&str> = line.split(' ').collect();
    let name = LogName::parse(parse_page_name(words.first()?)?, words.get(1)?)?;
    let id = u64::from_str_radix(words.get(2)?, 16).ok()?;
    let numbers = words[3..].iter().map(|word| word.parse().ok()).collect::<Option<Vec<u64>>>()?;
    let (len, messages, copy, stamp) = match numbers[..] {
        [len, messages, copy] => (len, messages, copy, None),
        [len, messages, copy, source_len, modified_ns, inode] => {
            (len, messages, copy, Some(Stamp { len: source_len, modified_ns, inode }))
        }
        _ => return None,
    };
    Some(Entry { name, id, len, messages, stamp, copy })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PageId;
    use crate::log::LogKind;

    fn manifest() -> Manifest {
        let name = |page, number| LogName { page: PageId(page), kind: LogKind::Bucket, writer: 65, number };
        let stamp = Some(Stamp { len: 9, modified_ns: u64::MAX, inode: 3 });
        Manifest {
            store_id: 0xabc,
            generation: 7,
            epoch: 2,
            seconds: 1_800_000_000,
            entries: vec![
                Entry { name: name(20_000, 0), id: 0xfedc, len: 1 << 40, messages: 5, stamp, copy: 0 },
                Entry { name: name(20_000, 1), id: 1, len: 64, messages: 0, stamp: None, copy: 6 },
            ],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::real();
        assert_eq!(Manifest::read(&disk, folder.path()).expect("readable"), None);
        manifest().write(&disk, folder.path()).expect("written");
        assert_eq!(Manifest::read(&disk, folder.path()).expect("readable"), Some(manifest()));
        let paths: Vec<_> = manifest().entries.iter().map(|entry| entry.path(Path::new("b"))).collect();
        assert_eq!(paths[0], Path::new("b/pages/2024-10-04/bucket.65.0"));
        assert_eq!(paths[1], Path::new("b/pages/2024-10-04/bucket.65.1.6"));
    }

    #[test]
    fn an_altered_manifest_is_none() {
        let text = manifest().to_text().into_bytes();
        assert_eq!(Manifest::parse(&text), Some(manifest()));
        for at in 0..text.len() {
            let mut altered = text.clone();
            altered[at] ^= 1;
            assert_ne!(Manifest::parse(&altered), Some(manifest()), "octet {at}");
            assert_eq!(Manifest::parse(&text[..at]), None, "cut at {at}");
        }
    }
}
