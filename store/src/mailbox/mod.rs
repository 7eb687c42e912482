//! One mailbox: its cells file, mapped by every process that has it open.
//!
//! Invariants:
//! - Only [`Writer`] and recovery store into the file, under the mailbox's lock; the one exception is the mark up to which
//!   messages were \Recent for some session, which any session raises atomically.
//! - Readers take no lock and never wait. Who has read `highest_modseq` *H* (acquire) sees every change up to *H* whole.
//! - Cells are in strictly ascending order of UIDs and keep their places in the file; an expunged one stays as a tombstone with its data. The mailbox
//!   gets another file when tombstones are dropped, while nobody has it pinned.
//! - The file is a view: whatever is wrong with it is reported as `Corrupt` and can be made again from the logs.
//!
//! `layout` is the drawing, `sums` its checks, `cells` and `published` reading without locks, `reader` a mailbox of another user, `writer` patching, `repair` what
//! follows a death or a power cut, `rewrite` dropping tombstones.

mod cells;
mod examine;
mod keywords;
mod layout;
mod published;
pub(crate) mod reader;
mod repair;
mod rewrite;
mod sums;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::annotations::{AnnotationFile, file as annotation_file};
use crate::change::{Added, Flags, ZonedTime};
use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::ids::{CellIndex, MailboxId, MessageId, ModSeq, Uid, UserId};
use crate::mapping::{LINE_BYTES, Line, Mapping, Region};
use crate::quota::usage;
use crate::seen::CachedSeen;
use layout::{header, header_tail};

pub(crate) use cells::low_bits;
pub use cells::{BlockSummary, Cells};
pub use keywords::Keywords;
use published::{change_flags, count_publication};
pub use repair::PowerCutReport;
pub(crate) use repair::Raised;
pub(crate) use repair::{MODSEQS_SKIPPED, SKIPS_MOST, UIDS_SKIPPED};
pub(crate) use writer::AddOutcome;

/// How often a reader tries for numbers of one moment before it takes what is there. A writer needs some 20 ns to store them.
const CONSISTENT_TRIES: u32 = 200;
/// From this try on it gives the processor away between tries: the writer may be waiting for it.
const TRIES_WITHOUT_YIELDING: u32 = 100;

/// An open cells file. Share it as `Arc<Mailbox>`; all reading is lock-free.
#[derive(Debug)]
pub struct Mailbox {
    id: MailboxId,
    uid_validity: u32,
    mapping: Arc<Mapping>,
    /// What the reader has seen to whom this is shown; `None` for the owner, whose \Seen is in the cells.
    seen: Option<Arc<CachedSeen>>,
    /// Annotations of its messages; not looked at before the header says that there are some.
    annotations: Arc<AnnotationFile>,
}

/// What STATUS and SELECT say, all of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxStatus {
    /// Messages.
    pub exists: u32,
    /// Messages without \Seen.
    pub unseen: u32,
    /// Messages with \Deleted.
    pub deleted: u32,
    /// RFC822.SIZE of all messages together.
    pub size: u64,
    /// No message has this UID or a higher one.
    pub uid_next: u32,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// HIGHESTMODSEQ.
    pub highest_modseq: ModSeq,
}

/// One cell, copied out and its checksum verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Identifier in the mailbox.
    pub uid: Uid,
    /// Its flags; of a tombstone, those it had last.
    pub flags: Flags,
    /// Whether it is a tombstone.
    pub expunged: bool,
    /// Whether it is a tombstone that holds no reference to its message any more: the message may be gone.
    pub released: bool,
    /// The last change of it.
    pub modseq: ModSeq,
    /// INTERNALDATE.
    pub internal_date: ZonedTime,
    /// The Date: header, if it could be read.
    pub sent_date: Option<ZonedTime>,
    /// When it was put into this mailbox, seconds since 1970.
    pub save_seconds: u32,
    /// RFC822.SIZE in octets.
    pub size: u32,
    /// When it was expunged, seconds since 1970; 0 while it is live.
    pub expunged_at: u32,
    /// The message.
    pub message: MessageId,
}

impl Cell {
    /// What a log would say of it.
    pub fn as_added(&self) -> Added {
        Added {
            uid: self.uid,
            modseq: self.modseq,
            flags: self.flags,
            internal_date: self.internal_date,
            save_seconds: self.save_seconds,
            sent_date: self.sent_date,
            size: self.size,
            message: self.message,
        }
    }

    /// Whether the directory counts it among those that point to the message.
    pub fn holds_reference(&self) -> bool {
        !self.released
    }
}

/// What changes in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellFlags {
    /// Identifier in the mailbox.
    pub uid: Uid,
    /// Its flags; of a tombstone, those it had last.
    pub flags: Flags,
    /// The last change of it.
    pub modseq: ModSeq,
    /// Whether it is a tombstone.
    pub expunged: bool,
}

/// How far a mailbox's changes go: what a view is brought up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) highest_modseq: ModSeq,
    pub(crate) uid_next: u32,
}

impl Mailbox {
    /// Makes an empty cells file at `path` (its folder is made, too) in place of one that may be there. It appears whole or
    /// not at all. Under the mailbox's lock.
    pub fn create(disk: &Disk, path: &Path, id: MailboxId, uid_validity: u32, epoch: u32) -> Result<Mailbox> {
        let (temporary, mut mapping) = Mailbox::make(disk, path, id, uid_validity, epoch)?;
        disk.rename(&temporary, path).map_err(StoreError::io(path, "put in place"))?;
        mapping.renamed(path);
        Ok(Mailbox::of(disk, path, id, uid_validity, mapping))
    }

    /// Makes a cells file at `path` in place of one that may be there, with what `fill` puts into it. It appears whole or not at all. Under
    /// the mailbox's lock.
    pub(crate) fn create_filled(
        disk: &Disk,
        path: &Path,
        id: MailboxId,
        uid_validity: u32,
        epoch: u32,
        fill: impl FnOnce(&Mailbox) -> Result<()>,
    ) -> Result<Mailbox> {
        let (temporary, mapping) = Mailbox::make(disk, path, id, uid_validity, epoch)?;
        let mut made = Mailbox::of(disk, path, id, uid_validity, mapping);
        let put = (|| {
            fill(&made)?;
            made.mapping.sync()?;
            disk.rename(&temporary, path).map_err(StoreError::io(path, "put in place"))
        })();
        if let Err(error) = put {
            // Nobody knows the file.
            let _ = disk.remove_file(&temporary);
            return Err(error);
        }
        if let Some(mapping) = Arc::get_mut(&mut made.mapping) {
            mapping.renamed(path);
        }
        Ok(made)
    }

    /// Makes an empty cells file at `path` unless there is one. Two processes that repair what a third left half-done may do so at the same
    /// time, each with another of its locks: both end with the same file.
    pub(crate) fn create_missing(
        disk: &Disk,
        path: &Path,
        id: MailboxId,
        uid_validity: u32,
        epoch: u32,
    ) -> Result<()> {
        let (temporary, _) = Mailbox::make(disk, path, id, uid_validity, epoch)?;
        let linked = disk.hard_link(&temporary, path);
        let _ = disk.remove_file(&temporary);
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(StoreError::io(path, "put in place")(error))
            }
            _ => Ok(()),
        }
    }

    /// A file beside `path` with the header of an empty mailbox.
    fn make(
        disk: &Disk,
        path: &Path,
        id: MailboxId,
        uid_validity: u32,
        epoch: u32,
    ) -> Result<(PathBuf, Mapping)> {
        if let Some(folder) = path.parent() {
            disk.create_dir_all(folder).map_err(StoreError::io(folder, "create"))?;
        }
        let temporary = path.with_extension(format!("{:016x}.new", disk.random_number()?));
        let mapping = Mapping::create(disk, &temporary, layout::EMPTY_FILE_BYTES)?;
        let region = mapping.region();
        let line = region.line(0)?;
        line.store_u64::<{ header::MAGIC }>(layout::MAGIC, Relaxed);
        line.store_u32::<{ header::FORMAT }>(layout::FORMAT, Relaxed);
        line.store_u32::<{ header::EPOCH }>(epoch, Relaxed);
        line.store_u32::<{ header::USER }>(id.user.0, Relaxed);
        line.store_u32::<{ header::MAILBOX }>(id.number, Relaxed);
        line.store_u32::<{ header::UID_VALIDITY }>(uid_validity, Relaxed);
        line.store_u32::<{ header::UID_NEXT }>(1, Relaxed);
        line.store_u64::<{ header::HIGHEST_MODSEQ }>(1, Relaxed);
        let tail = region.line(header_tail::LINE)?;
        let mut flags = 0;
        if has_usage_view(disk, path) {
            // A file that takes the place of another: there may be a row of that one.
            flags |= header_tail::FLAG_USAGE_KEPT;
        }
        if disk.exists(&annotation_file::path(path)) {
            flags |= header_tail::FLAG_ANNOTATED;
        }
        tail.store_u32::<{ header_tail::FLAGS }>(layout::mailbox_flags_word(flags), Relaxed);
        tail.store_u64::<{ header_tail::FIRST_RECENT_UID }>(with_complement(1), Relaxed);
        published::seal(&region);
        tail.store_u32::<{ header_tail::CRC }>(layout::header_crc(&line.copy_out()), Relaxed);
        drop(region);
        // Else a power cut could leave the name and the length without the header: a damaged view, and all logs to be replayed.
        mapping.sync()?;
        Ok((temporary, mapping))
    }

    /// Opens the cells file at `path` and verifies its header. If [`Mailbox::epoch`] is then below the store's, recovery comes
    /// first (`after_power_cut`).
    ///
    /// Errors: `NotFound` if there is no file, `Corrupt` if it is not the file of this mailbox.
    pub fn open(disk: &Disk, path: &Path, id: MailboxId) -> Result<Mailbox> {
        let mapping = match Mapping::open(disk, path) {
            Err(StoreError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {
                return Err(StoreError::NotFound("mailbox"));
            }
            mapping => mapping?,
        };
        if mapping.len() < layout::EMPTY_FILE_BYTES {
            return Err(StoreError::corrupt(path, mapping.len(), "the file ends within its header"));
        }
        let region = mapping.region();
        let bytes = region.copy_out(0)?;
        let tail = region.copy_out(header_tail::LINE)?;
        if layout::u64_at(&bytes, header::MAGIC) != layout::MAGIC {
            return Err(StoreError::corrupt(path, header::MAGIC as u64, "this is not a cells file"));
        }
        if layout::u32_at(&bytes, header::FORMAT) != layout::FORMAT {
            return Err(StoreError::corrupt(path, header::FORMAT as u64, "the format is unknown"));
        }
        if layout::header_crc(&bytes) != layout::u32_at(&tail, header_tail::CRC) {
            return Err(StoreError::corrupt(path, 0, "the checksum of the header is wrong"));
        }
        let owner = (layout::u32_at(&bytes, header::USER), layout::u32_at(&bytes, header::MAILBOX));
        if owner != (id.user.0, id.number) {
            return Err(StoreError::corrupt(path, header::USER as u64, "this is another mailbox's file"));
        }
        let uid_validity = layout::u32_at(&bytes, header::UID_VALIDITY);
        Ok(Mailbox::of(disk, path, id, uid_validity, mapping))
    }

    /// The mailbox whose cells, which are or will be at `path`, are mapped so.
    fn of(disk: &Disk, path: &Path, id: MailboxId, uid_validity: u32, mapping: Mapping) -> Mailbox {
        let annotations = Arc::new(AnnotationFile::new(disk, path, id));
        Mailbox { id, uid_validity, mapping: Arc::new(mapping), seen: None, annotations }
    }

    /// Whose cells file there is at `path`.
    ///
    /// Errors: `NotFound` if there is no file, `Corrupt` if it is no cells file.
    pub(crate) fn id_in(disk: &Disk, path: &Path) -> Result<MailboxId> {
        let mut bytes = [0; 2 * LINE_BYTES];
        let read = disk.open(path).and_then(|file| file.read_exact_at(&mut bytes, 0));
        match read {
            Ok(()) => (),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(StoreError::NotFound("mailbox"));
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(StoreError::corrupt(path, 0, "the file ends within its header"));
            }
            Err(error) => return Err(StoreError::io(path, "read")(error)),
        }
        let (mut head, mut tail) = ([0; LINE_BYTES], [0; LINE_BYTES]);
        head.copy_from_slice(&bytes[..LINE_BYTES]);
        tail.copy_from_slice(&bytes[LINE_BYTES..]);
        let head = &head;
        if layout::u64_at(head, header::MAGIC) != layout::MAGIC {
            return Err(StoreError::corrupt(path, 0, "this is not a cells file"));
        }
        if layout::header_crc(head) != layout::u32_at(&tail, header_tail::CRC) {
            return Err(StoreError::corrupt(path, 0, "the checksum of the header is wrong"));
        }
        Ok(MailboxId {
            user: UserId(layout::u32_at(head, header::USER)),
            number: layout::u32_at(head, header::MAILBOX),
        })
    }

    /// The cells file.
    pub fn path(&self) -> &Path {
        self.mapping.path()
    }

    /// Which mailbox this is.
    pub fn id(&self) -> MailboxId {
        self.id
    }

    /// UIDVALIDITY.
    pub fn uid_validity(&self) -> u32 {
        self.uid_validity
    }

    /// The store's epoch when the file was last made sure of.
    pub fn epoch(&self) -> u32 {
        head(&self.mapping.region()).load_u32::<{ header::EPOCH }>(Acquire)
    }

    /// Whether the mailbox was deleted; what is in it can still be read.
    ///
    /// Errors: as the others that read the header, `Corrupt`.
    pub fn is_deleted(&self) -> Result<bool> {
        Ok(self.flags_word()? & header_tail::FLAG_DELETED != 0)
    }

    /// When the mailbox was deleted, seconds since 1970; 0 if it was not.
    pub fn deleted_at(&self) -> Result<u32> {
        self.header().map(|header| header.deleted_at())
    }

    /// Whether this is a deleted mailbox none of whose cells holds a reference any more, whatever they say themselves.
    pub fn is_released(&self) -> Result<bool> {
        Ok(self.flags_word()? & header_tail::FLAG_RELEASED != 0)
    }

    /// Whether what is in it is also kept in the user's usage view.
    pub(crate) fn is_usage_kept(&self) -> Result<bool> {
        Ok(self.flags_word()? & header_tail::FLAG_USAGE_KEPT != 0)
    }

    /// From now on the usage view must be told of every publication. Under the mailbox's lock.
    pub(crate) fn keep_usage(&self) {
        change_flags(&self.mapping.region(), |flags| flags | header_tail::FLAG_USAGE_KEPT);
    }

    /// Whether any of its messages was ever annotated: then there is a file of annotations. The folder of a deleted mailbox goes file by file, and a power cut may leave its cells
    /// without the annotations: then there are none.
    ///
    /// Errors: as the others that read the header, `Corrupt`.
    pub fn is_annotated(&self) -> Result<bool> {
        let flags = self.flags_word()?;
        let was_annotated = flags & header_tail::FLAG_ANNOTATED != 0;
        Ok(was_annotated && (flags & header_tail::FLAG_DELETED == 0 || self.annotations.is_there()))
    }

    /// From now on the file of annotations is looked at. Under the mailbox's lock, once the file is there.
    pub(crate) fn mark_annotated(&self) {
        change_flags(&self.mapping.region(), |flags| flags | header_tail::FLAG_ANNOTATED);
    }

    /// The file of annotations.
    pub(crate) fn annotation_file(&self) -> &AnnotationFile {
        &self.annotations
    }

    /// Tombstones that still hold references.
    pub fn unreleased(&self) -> Result<u32> {
        self.header().map(|header| header.unreleased())
    }

    /// UIDNEXT.
    pub fn uid_next(&self) -> Result<u32> {
        self.header().map(|header| header.uid_next())
    }

    /// HIGHESTMODSEQ; all changes up to it are visible to whoever has read it.
    pub fn highest_modseq(&self) -> Result<ModSeq> {
        self.header().map(|header| header.highest_modseq())
    }

    /// The numbers of this moment. Reads the header alone.
    pub fn status(&self) -> Result<MailboxStatus> {
        let header = self.header()?;
        Ok(MailboxStatus {
            exists: header.live(),
            unseen: match self.seen {
                None => header.unseen(),
                Some(_) => self.unseen_by_reader()?,
            },
            deleted: header.deleted(),
            size: header.size(),
            uid_next: header.uid_next(),
            uid_validity: self.uid_validity,
            highest_modseq: header.highest_modseq(),
        })
    }

    /// RFC822.SIZE of all messages with `\Deleted` together. Looks at the blocks that have such messages, and there at their cells.
    pub fn deleted_octets(&self) -> Result<u64> {
        if self.header()?.deleted() == 0 {
            return Ok(0);
        }
        let cells = self.cells()?;
        let mut octets = 0u64;
        for block in 0..cells.blocks() {
            let summary = cells.block_summary(block)?;
            let mut left = summary.live & summary.deleted;
            while left != 0 {
                let index = CellIndex(block * layout::CELLS_PER_BLOCK + left.trailing_zeros());
                left &= left - 1;
                octets = octets.saturating_add(u64::from(cells.cell(index)?.size));
            }
        }
        Ok(octets)
    }

    /// `highest_modseq` and the `uid_next` that goes with it. Should a writer have died while it stored them, `uid_next` may
    /// be a later one: its cells are visible, too, and are only told of twice.
    pub(crate) fn marks(&self) -> Result<Marks> {
        let header = self.header()?;
        Ok(Marks { highest_modseq: header.highest_modseq(), uid_next: header.uid_next() })
    }

    /// The cells of now.
    ///
    /// Errors: `Corrupt` if the file is shorter than its header says.
    pub fn cells(&self) -> Result<Cells> {
        let count = self.header()?.cells_used();
        let region = self.mapping.region();
        let bytes = layout::bytes_for(count);
        let region = if region.len() >= bytes { region } else { self.mapping.ensure_len(bytes)? };
        let cells = Cells::new(region, count);
        Ok(match &self.seen {
            None => cells,
            Some(seen) => cells.shown_to(seen.get()?),
        })
    }

    /// Cells, tombstones among them.
    pub fn cell_count(&self) -> Result<u32> {
        self.header().map(|header| header.cells_used())
    }

    /// One cell, as [`Cells::cell`]. For more than a few, take [`Mailbox::cells`] once.
    pub fn cell(&self, index: CellIndex) -> Result<Cell> {
        self.cells()?.cell(index)
    }

    /// The place of a UID, as [`Cells::find_uid`].
    pub fn find_uid(&self, uid: Uid) -> Result<std::result::Result<CellIndex, CellIndex>> {
        self.cells()?.find_uid(uid)
    }

    /// The UID of a cell.
    pub fn uid_at(&self, index: CellIndex) -> Result<Uid> {
        self.cells()?.uid(index)
    }

    /// Flags and modseq of a cell.
    pub fn flags_at(&self, index: CellIndex) -> Result<(Flags, ModSeq)> {
        let flags = self.cells()?.flags(index)?;
        Ok((flags.flags, flags.modseq))
    }

    /// The keywords of now.
    pub fn keywords(&self) -> Result<Keywords> {
        let used = self.header()?.keywords_used();
        keywords::read(&self.mapping.region(), used)
    }

    /// Takes the messages up to `uid_upto` that were \Recent in no session yet for the caller's session; their UIDs.
    pub fn claim_recent(&self, uid_upto: u32) -> Range<u32> {
        let end = uid_upto.saturating_add(1);
        let region = self.mapping.region();
        let offset = header_tail::LINE + header_tail::FIRST_RECENT_UID as u64;
        loop {
            let known = tail(&region).load_u64::<{ header_tail::FIRST_RECENT_UID }>(Acquire);
            let first = without_complement(known);
            let new = with_complement(first.max(end));
            // The line was mapped when the file was opened, so there is no error.
            if known == new || !matches!(region.compare_exchange_u64(offset, known, new, AcqRel), Ok(Err(_)))
            {
                return first.min(end)..end;
            }
        }
    }

    /// From this UID on, messages were \Recent in no session yet. It is not logged; if it is damaged, all messages are \Recent, as RFC
    /// 3501, 2.3.2 asks of servers that do not know.
    pub fn first_recent_uid(&self) -> u32 {
        let region = self.mapping.region();
        without_complement(tail(&region).load_u64::<{ header_tail::FIRST_RECENT_UID }>(Acquire))
    }

    /// How many messages were \Recent in no session yet.
    pub fn recent_count(&self) -> Result<u32> {
        let cells = self.cells()?;
        let first = cells.count_up_to(self.first_recent_uid().saturating_sub(1))?;
        let mut recent = 0;
        for block in first / layout::CELLS_PER_BLOCK..cells.blocks() {
            let start = block * layout::CELLS_PER_BLOCK;
            let wanted = low_bits(cells.count() - start) & !low_bits(first.saturating_sub(start));
            recent += (cells.block_summary(block)?.live & wanted).count_ones();
        }
        Ok(recent)
    }

    /// Makes room for `cells` more, before anything is logged. Under the mailbox's lock.
    ///
    /// Errors: `Io` when the disk is full, `Corrupt` when there can be no more cells.
    pub(crate) fn reserve(&self, cells: u32) -> Result<()> {
        // A number that the file does not bear out must not make it as long as it says.
        let count = self.cells()?.count().checked_add(cells).ok_or_else(|| {
            StoreError::corrupt(self.path(), header::CELLS_USED as u64, "more cells than can be counted")
        })?;
        self.mapping.grow(layout::bytes_for(count)).map(|_| ())
    }
}

/// Whether the user whose cells file is at `path` has a usage view.
fn has_usage_view(disk: &Disk, path: &Path) -> bool {
    let folder = path.parent().and_then(Path::parent);
    folder.is_some_and(|folder| disk.exists(&folder.join(usage::FILE_NAME)))
}

/// The first line of the header.
fn head(region: &Region) -> Line<'_> {
    region.line(0).expect("the header was mapped when the file was opened")
}

/// The second line of the header.
fn tail(region: &Region) -> Line<'_> {
    region.line(header_tail::LINE).expect("the header was mapped when the file was opened")
}

/// A number with its complement above it: one that no flipped bit goes unseen in.
fn with_complement(number: u32) -> u64 {
    u64::from(number) | u64::from(!number) << 32
}

/// The number in `word`; 1 if it is damaged.
fn without_complement(word: u64) -> u32 {
    let number = word as u32;
    if with_complement(number) == word { number } else { 1 }
}

/// Between two looks at what a writer may be storing.
fn wait_a_little(turn: u32) {
    if turn < TRIES_WITHOUT_YIELDING {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}
