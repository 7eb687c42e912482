//! A range of a bucket that is lent to whoever sends it (`sendfile`), verified before it is sent: the first of it when it is lent, so that
//! a damaged message is refused before a client is promised its octets; what lies further behind, block by block, on the way.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use crate::content::blocks::{self, BLOCK_BYTES};
use crate::disk::DiskFile;
use crate::error::{Result, StoreError};
use crate::ids::MessageId;
use crate::in_hand::Mutex;
use crate::page::directory::{CellState, Directory};

/// So many octets are verified when a range is lent. A message that is not longer is refused before anything of it is sent.
pub(super) const VERIFIED_WHEN_LENT_BYTES: u64 = 4 << 20;
/// So many at a time later.
const STEP_BYTES: u64 = 256 * 1024;
/// So many are read at a time: what fits in a processor's cache.
const READ_BYTES: u64 = 64 * 1024;
/// Damaged blocks that are remembered.
const DAMAGE_MOST: usize = 1024;

/// Blocks that turned out to be damaged while they were being sent. Whoever wants them again is refused at once.
#[derive(Debug, Default)]
pub(crate) struct KnownDamage(Mutex<Vec<(PathBuf, u64)>>);

impl KnownDamage {
    fn remember(&self, path: &PathBuf, offset: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < DAMAGE_MOST && !known.iter().any(|(file, at)| (file, *at) == (path, offset)) {
            known.push((path.clone(), offset));
        }
    }

    /// Whether something between `start` and `end` of the file is known to be damaged.
    pub(super) fn is_in(&self, path: &PathBuf, start: u64, end: u64) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().any(|(file, at)| file == path && (start..end).contains(at))
    }
}

/// How a range's octets are verified.
#[derive(Debug)]
pub(super) struct Verification {
    pub(super) path: PathBuf,
    /// Where the message begins in the file.
    pub(super) content_offset: u64,
    /// Octets of the message.
    pub(super) size: u64,
    /// A checksum a block.
    pub(super) sums: Vec<u32>,
    pub(super) damage: Arc<KnownDamage>,
    /// Where it is said whether the message is still there.
    pub(super) directory: Arc<Directory>,
    pub(super) id: MessageId,
}

/// A range of an open file, for `sendfile`.
#[derive(Clone, Debug)]
pub struct FileRange {
    file: Arc<DiskFile>,
    offset: u64,
    len: u64,
    /// Octets before this place of the file are verified.
    verified_upto: u64,
    verification: Arc<Verification>,
}

impl FileRange {
    pub(super) fn new(
        file: Arc<DiskFile>,
        offset: u64,
        len: u64,
        verification: Arc<Verification>,
    ) -> FileRange {
        FileRange { file, offset, len, verified_upto: offset, verification }
    }

    /// The bucket.
    pub fn file(&self) -> &Arc<File> {
        self.file.file()
    }

    /// The first octet that is still to be sent.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Octets from there.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether all of it is sent.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Octets from [`FileRange::offset`] on that may be sent now, verified if they have not been yet; 0 only if none are left.
    ///
    /// Errors: `Corrupt` with the place of the damage, `Io`. Nothing more may be sent then.
    pub fn verified(&mut self) -> Result<u64> {
        if self.verified_upto <= self.offset && self.len > 0 {
            self.verify(STEP_BYTES)?;
        }
        Ok((self.verified_upto - self.offset).min(self.len))
    }

    /// `octets` were sent.
    ///
    /// Errors: `Gone` if the message was freed meanwhile: what was sent may have been zeros by then, so the receiver must not take
    /// it for whole. A message that is freed gives its octets back only later, so what was sent before this returns `Ok` is right.
    pub fn advance(&mut self, octets: u64) -> Result<()> {
        let octets = octets.min(self.len);
        self.offset += octets;
        self.len -= octets;
        let Verification { directory, id, .. } = &*self.verification;
        match directory.cell_use(id.index)?.state {
            CellState::Freed => Err(StoreError::Gone(*id)),
            _ => Ok(()),
        }
    }

    /// Verifies `octets` more, at least a block.
    pub(super) fn verify(&mut self, octets: u64) -> Result<()> {
        thread_local! {
            static BUFFER: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
        }
        let Verification { path, content_offset, size, sums, damage, .. } = &*self.verification;
        let end = (self.offset + self.len).min(self.verified_upto.saturating_add(octets));
        BUFFER.with_borrow_mut(|buffer| {
            while self.verified_upto < end {
                let block = (self.verified_upto - content_offset) / BLOCK_BYTES;
                let start = block * BLOCK_BYTES;
                // Whole blocks, but not many more than are asked for.
                let wanted = (end - content_offset).next_multiple_of(BLOCK_BYTES).min(start + READ_BYTES);
                let read_len = (wanted.min(*size) - start) as usize;
                buffer.resize(read_len, 0);
                let at = content_offset + start;
                self.file.read_exact_at(buffer, at).map_err(|error| super::reading(path, at, error))?;
                if let Some(damaged) = blocks::first_damaged(buffer, block, sums) {
                    let offset = content_offset + damaged * BLOCK_BYTES;
                    damage.remember(path, offset);
                    return Err(StoreError::corrupt(path, offset, super::WRONG_BLOCK));
                }
                self.verified_upto = at + read_len as u64;
            }
            Ok(())
        })
    }
}
