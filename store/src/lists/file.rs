//! The file `mailboxes`: read whole, replaced whole. Drawn in `FORMAT.md`, "Mailbox list".
//!
//! The file is written beside, synced, and renamed, so that there is always a whole one. Its modification time says the list's
//! version in its nanoseconds: two lists never look the same to `stat`, however fast one follows the other.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use super::{MailboxEntry, MailboxList, plan};
use crate::change::SpecialUse;
use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StoreError};
use crate::ids::UserId;
use crate::in_hand::Mutex;
use crate::quota::Limit;

const MAGIC: &[u8; 8] = b"LODELST4";
/// A list without a limit of annotations, as earlier releases wrote it.
const MAGIC_WITHOUT_ANNOTATION_LIMIT: &[u8; 8] = b"LODELST3";
/// A list without a limit of mailboxes, too.
const MAGIC_WITHOUT_MAILBOX_LIMIT: &[u8; 8] = b"LODELST2";
/// A list without attributes, too.
const MAGIC_WITHOUT_ATTRIBUTES: &[u8; 8] = b"LODELST1";
/// More than the longest list that can be made.
const LONGEST_FILE_BYTES: u64 = 32 << 20;
const PLACEHOLDER: u8 = 1;
const NANOSECONDS: u64 = 1_000_000_000;

impl MailboxList {
    /// The list in the file at `path`; `None` if there is none, or if it is that of a user who had this name before.
    pub fn read(disk: &Disk, path: &Path, user: UserId) -> Result<Option<MailboxList>> {
        match disk.open(path) {
            Ok(file) => read_open(path, &file, user),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(path, "open")(error)),
        }
    }

    /// Replaces the file at `path`. Under the list's lock.
    pub(crate) fn write(&self, disk: &Disk, path: &Path) -> Result<()> {
        let temporary = path.with_extension("new");
        let bytes = encode(self);
        let file = disk.create_or_empty(&temporary).map_err(StoreError::io(&temporary, "create"))?;
        file.write_all_at(&bytes, 0).map_err(StoreError::io(&temporary, "write"))?;
        let time = Duration::new(disk.now_seconds(), (self.version % NANOSECONDS) as u32);
        file.set_modified(UNIX_EPOCH + time).map_err(StoreError::io(&temporary, "date"))?;
        file.sync_all().map_err(StoreError::io(&temporary, "sync"))?;
        disk.rename(&temporary, path).map_err(StoreError::io(path, "put in place"))
    }
}

fn read_open(path: &Path, file: &DiskFile, user: UserId) -> Result<Option<MailboxList>> {
    let length = file.len().map_err(StoreError::io(path, "look at"))?.min(LONGEST_FILE_BYTES + 1);
    let mut bytes = vec![0; length as usize];
    let read = file.read_up_to(&mut bytes, 0).map_err(StoreError::io(path, "read"))?;
    bytes.truncate(read);
    let list = decode(&bytes).map_err(|(offset, what)| StoreError::corrupt(path, offset as u64, what))?;
    Ok((list.user == user).then_some(list))
}

impl MailboxList {
    /// The octets of the list's file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

fn encode(list: &MailboxList) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(
        64 + list.entries.len() * 48
            + list.subscriptions.len() * 32
            + list.attributes.len() * 10
            + list.attributes.octets(),
    );
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&list.user.0.to_le_bytes());
    bytes.extend_from_slice(&list.next_number.to_le_bytes());
    bytes.extend_from_slice(&list.version.to_le_bytes());
    bytes.extend_from_slice(&list.last_uid_validity.to_le_bytes());
    bytes.extend_from_slice(&(list.entries.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(list.subscriptions.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&list.limits.octets.to_number().to_le_bytes());
    bytes.extend_from_slice(&list.limits.messages.to_number().to_le_bytes());
    bytes.extend_from_slice(&list.limits.mailboxes.to_number().to_le_bytes());
    bytes.extend_from_slice(&list.limits.annotations.to_number().to_le_bytes());
    for entry in &list.entries {
        bytes.extend_from_slice(&entry.number.to_le_bytes());
        bytes.extend_from_slice(&entry.uid_validity.to_le_bytes());
        bytes.push(entry.special_use.map_or(0, |special_use| special_use as u8));
        bytes.push(if entry.placeholder { PLACEHOLDER } else { 0 });
        put_name(&mut bytes, &entry.name);
    }
    for name in &list.subscriptions {
        put_name(&mut bytes, name);
    }
    bytes.extend_from_slice(&(list.attributes.len() as u32).to_le_bytes());
    for (mailbox, name, value) in list.attributes.all() {
        bytes.extend_from_slice(&mailbox.unwrap_or(0).to_le_bytes());
        put_name(&mut bytes, name);
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(value);
    }
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn put_name(bytes: &mut Vec<u8>, name: &str) {
    // Names are at most 512 octets long, those of attributes 1,024.
    bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
}

/// What is wrong, and where.
pub(crate) type Fault = (usize, &'static str);

/// The list that the octets of a file are.
pub(crate) fn decode(bytes: &[u8]) -> std::result::Result<MailboxList, Fault> {
    let Some((body, crc)) = bytes.split_last_chunk::<4>() else { return Err((0, "the file is cut")) };
    let (has_attributes, has_mailbox_limit, has_annotation_limit) = match body.first_chunk::<8>() {
        Some(MAGIC) => (true, true, true),
        Some(MAGIC_WITHOUT_ANNOTATION_LIMIT) => (true, true, false),
        Some(MAGIC_WITHOUT_MAILBOX_LIMIT) => (true, false, false),
        Some(MAGIC_WITHOUT_ATTRIBUTES) => (false, false, false),
        _ => return Err((0, "this is not a mailbox list")),
    };
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err((body.len(), "the checksum of the mailbox list is wrong"));
    }
    let mut reader = Reader { bytes: body, place: MAGIC.len() };
    let mut list = MailboxList::empty(UserId(reader.u32()?));
    list.next_number = reader.u32()?;
    list.version = u64::from_le_bytes(reader.take()?);
    list.last_uid_validity = reader.u32()?;
    let entries = reader.u32()?;
    let subscriptions = reader.u32()?;
    list.limits.octets = Limit::from_number(u64::from_le_bytes(reader.take()?));
    list.limits.messages = Limit::from_number(u64::from_le_bytes(reader.take()?));
    if has_mailbox_limit {
        list.limits.mailboxes = Limit::from_number(u64::from_le_bytes(reader.take()?));
    }
    if has_annotation_limit {
        list.limits.annotations = Limit::from_number(u64::from_le_bytes(reader.take()?));
    }
    for _ in 0..entries {
        let number = reader.u32()?;
        let uid_validity = reader.u32()?;
        let [special_use, flags] = reader.take()?;
        let special_use = special_use_of(special_use).ok_or((reader.place, "an unknown special use"))?;
        let name = reader.name()?;
        let placeholder = flags & PLACEHOLDER != 0;
        list.entries.push(MailboxEntry { number, name, uid_validity, special_use, placeholder });
    }
    for _ in 0..subscriptions {
        list.subscriptions.push(reader.name()?);
    }
    for _ in 0..if has_attributes { reader.u32()? } else { 0 } {
        let mailbox = Some(reader.u32()?).filter(|number| *number != 0);
        let name = reader.name()?;
        let value = reader.value()?;
        if !list.attributes.push(mailbox, &name, value) {
            return Err((reader.place, "the attributes of the mailbox list are not in order"));
        }
    }
    if reader.place != body.len() {
        return Err((reader.place, "something follows the mailbox list"));
    }
    if !plan::are_unique(&list.entries) {
        return Err((0, "the mailbox list is not in order"));
    }
    Ok(list)
}

fn special_use_of(code: u8) -> Option<Option<SpecialUse>> {
    use SpecialUse::{All, Archive, Drafts, Flagged, Important, Junk, Sent, Trash};
    if code == 0 {
        return Some(None);
    }
    let all = [All, Archive, Drafts, Flagged, Junk, Sent, Trash, Important];
    all.into_iter().find(|special_use| *special_use as u8 == code).map(Some)
}

struct Reader<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl Reader<'_> {
    fn take<const COUNT: usize>(&mut self) -> std::result::Result<[u8; COUNT], Fault> {
        let rest = self.bytes.get(self.place..).unwrap_or_default();
        let taken = rest.first_chunk::<COUNT>().ok_or((self.place, "the mailbox list is cut"))?;
        self.place += COUNT;
        Ok(*taken)
    }

    fn u32(&mut self) -> std::result::Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn name(&mut self) -> std::result::Result<String, Fault> {
        let length = usize::from(u16::from_le_bytes(self.take()?));
        let octets = self.bytes.get(self.place..self.place + length);
        let name = octets.and_then(|octets| std::str::from_utf8(octets).ok());
        let name = name.ok_or((self.place, "a name in the mailbox list cannot be read"))?;
        self.place += length;
        Ok(name.to_owned())
    }

    fn value(&mut self) -> std::result::Result<&[u8], Fault> {
        let length = self.u32()? as usize;
        let value = self.bytes[self.place..].get(..length).ok_or((self.place, "the mailbox list is cut"))?;
        self.place += length;
        Ok(value)
    }
}

/// What tells one file of that name from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Stamp {
        Stamp {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// The list of one user as this process read it last; read again when the file was replaced. One `stat` an access.
#[derive(Debug)]
pub struct CachedList {
    disk: Disk,
    path: PathBuf,
    user: UserId,
    last: Mutex<Option<(Stamp, Arc<MailboxList>)>>,
}

impl CachedList {
    /// Nothing is read yet.
    pub fn new(disk: &Disk, path: &Path, user: UserId) -> CachedList {
        CachedList { disk: disk.clone(), path: path.to_path_buf(), user, last: Mutex::new(None) }
    }

    /// The list of now; that of a new user if there is no file.
    pub fn get(&self) -> Result<Arc<MailboxList>> {
        let metadata = match self.disk.metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Arc::new(MailboxList::empty(self.user)));
            }
            Err(error) => return Err(StoreError::io(&self.path, "look at")(error)),
        };
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((stamp, list)) = last
            && stamp == Stamp::of(&metadata)
        {
            return Ok(list);
        }
        // The stamp of the very file that is read: another may have taken its place since.
        let file = self.disk.open(&self.path).map_err(StoreError::io(&self.path, "open"))?;
        let stamp = Stamp::of(&file.metadata().map_err(StoreError::io(&self.path, "look at"))?);
        let list = read_open(&self.path, &file, self.user)?;
        let list = Arc::new(list.unwrap_or_else(|| MailboxList::empty(self.user)));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((stamp, Arc::clone(&list)));
        Ok(list)
    }
}
