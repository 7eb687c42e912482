#![allow(unsafe_code)]
//! The mapped segment: makes, opens and unmaps it, and hands out references to the structures in it.
//!
//! Invariants: every structure reached through here consists of atomics; every access is inside the mapping,
//! checked by [`Segment::at`]; a segment made here has its memory set aside, so that a full /dev/shm is an error
//! at creation and not a SIGBUS at some later store. Called by `table.rs` and `start.rs`.

use nix::errno::Errno;
use nix::fcntl::{OFlag, posix_fallocate};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap, shm_open, shm_unlink};
use nix::sys::stat::{Mode, fstat};
use shared_memory::{Shmem, ShmemConf, ShmemError};
use std::ffi::c_void;
use std::fs::File;
use std::io::Read;
use std::mem::{align_of, size_of};
use std::num::NonZeroUsize;
use std::ptr::NonNull;

/// A mapping of the whole segment.
pub(crate) struct Segment {
    base: NonNull<u8>,
    octets: usize,
    mapping: Mapping,
}

enum Mapping {
    /// Read and write. Unlinks the name when the maker drops it.
    Shared(Shmem),
    /// Read only, or a copy that nobody else sees: a store is a SIGSEGV or in vain, so only `TableView` has one.
    ReadOnly,
}

/// A structure in the segment that consists of atomics only and for which every bit pattern is valid.
///
/// # Safety
/// The type is `repr(C)`, and all its fields are atomic integers or arrays of them.
pub(crate) unsafe trait Shared {}

// SAFETY: repr(C), atomics only.
unsafe impl Shared for crate::layout::Header {}
// SAFETY: repr(C), atomics only.
unsafe impl Shared for crate::layout::HandlerShared {}
// SAFETY: repr(C), atomics only.
unsafe impl Shared for crate::layout::CellShared {}
// SAFETY: repr(C), atomics only.
unsafe impl Shared for crate::layout::MailboxShared {}
// SAFETY: repr(C), atomics only.
unsafe impl Shared for crate::layout::WorkerShared {}
// SAFETY: repr(C), atomics only.
unsafe impl Shared for crate::layout::AttemptsShared {}
// SAFETY: repr(C), atomics only.
unsafe impl Shared for crate::layout::MetricsShared {}
// SAFETY: an atomic integer.
unsafe impl Shared for std::sync::atomic::AtomicU64 {}

// SAFETY: the mapping is reached through atomics only, from any thread; `Shmem` is neither Send nor Sync only
// because it holds a raw pointer, and is not used but to be dropped.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

/// Why a segment could not be made or opened.
#[derive(Debug)]
pub(crate) enum SegmentError {
    Exists,
    Missing,
    Os(Errno),
}

impl Segment {
    /// Makes the segment, filled with zeros, its memory set aside. The name goes when this value is dropped.
    pub(crate) fn create(name: &str, octets: usize) -> Result<Segment, SegmentError> {
        let shmem = ShmemConf::new().os_id(name).size(octets).create().map_err(segment_error)?;
        // The crate only sets the file's length. Ask for the memory now; if that fails, dropping `shmem` unlinks.
        let fd = shm_open(name, OFlag::O_RDWR, Mode::empty()).map_err(SegmentError::Os)?;
        loop {
            match posix_fallocate(&fd, 0, octets as i64) {
                Ok(()) => break,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(SegmentError::Os(errno)),
            }
        }
        Ok(Segment::of(shmem))
    }

    /// Opens for reading and writing.
    pub(crate) fn open(name: &str) -> Result<Segment, SegmentError> {
        ShmemConf::new().os_id(name).open().map(Segment::of).map_err(segment_error)
    }

    /// Makes this value the one whose drop removes the name, as if it had made the segment.
    pub(crate) fn own(&mut self) {
        if let Mapping::Shared(shmem) = &mut self.mapping {
            shmem.set_owner(true);
        }
    }

    fn of(shmem: Shmem) -> Segment {
        let base = NonNull::new(shmem.as_ptr()).expect("a mapping has an address");
        Segment { base, octets: shmem.len(), mapping: Mapping::Shared(shmem) }
    }

    /// Opens for reading only; needs no right to write.
    pub(crate) fn open_read_only(name: &str) -> Result<Segment, SegmentError> {
        let fd = shm_open(name, OFlag::O_RDONLY, Mode::empty()).map_err(|errno| match errno {
            Errno::ENOENT => SegmentError::Missing,
            other => SegmentError::Os(other),
        })?;
        let octets = fstat(&fd).map_err(SegmentError::Os)?.st_size as usize;
        let length = NonZeroUsize::new(octets).ok_or(SegmentError::Os(Errno::EINVAL))?;
        // SAFETY: a new mapping at an address the kernel chooses; nothing of ours is there.
        let base = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, &fd, 0) }
            .map_err(SegmentError::Os)?;
        Ok(Segment { base: base.cast(), octets, mapping: Mapping::ReadOnly })
    }

    /// The next `octets` of a file, copied into memory of our own: whatever happens to the file later, this stays as it is.
    pub(crate) fn copy_of(file: &mut File, octets: usize) -> Result<Segment, SegmentError> {
        let length = NonZeroUsize::new(octets).ok_or(SegmentError::Os(Errno::EINVAL))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address the kernel chooses; nothing of ours is there.
        let base = unsafe { mmap_anonymous(None, length, protection, MapFlags::MAP_PRIVATE) }
            .map_err(SegmentError::Os)?;
        let segment = Segment { base: base.cast(), octets, mapping: Mapping::ReadOnly };
        // SAFETY: the whole of the new mapping, which nobody else knows of yet; any octets are valid in it.
        let memory = unsafe { std::slice::from_raw_parts_mut(segment.base.as_ptr(), octets) };
        file.read_exact(memory).map_err(|error| {
            // A file that became shorter has no number of its own.
            SegmentError::Os(error.raw_os_error().map_or(Errno::ENODATA, Errno::from_raw))
        })?;
        Ok(segment)
    }

    /// Removes a name, whoever made it.
    pub(crate) fn remove(name: &str) -> Result<(), SegmentError> {
        match shm_unlink(name) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(SegmentError::Os(errno)),
        }
    }

    /// Octets mapped.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// The structure at `offset`. The caller's tables are checked before use, so a miss is our own fault.
    pub(crate) fn at<T: Shared>(&self, offset: usize) -> &T {
        let end = offset.checked_add(size_of::<T>());
        assert!(end.is_some_and(|end| end <= self.octets), "offset {offset} outside the shared table");
        assert!(offset.is_multiple_of(align_of::<T>()), "offset {offset} is not aligned");
        // SAFETY: inside the mapping and aligned (mappings start on a page); `T: Shared` is atomics only, so other
        // processes may write it at any time; the reference lives no longer than the mapping.
        unsafe { self.base.add(offset).cast::<T>().as_ref() }
    }

    /// The address of `length` octets at `offset`, for the start event alone.
    pub(crate) fn address(&self, offset: usize, length: usize) -> NonNull<u8> {
        assert!(matches!(self.mapping, Mapping::Shared(_)), "the start event needs a writable table");
        assert!(offset.checked_add(length).is_some_and(|end| end <= self.octets));
        // SAFETY: inside the mapping, as just checked.
        unsafe { self.base.add(offset) }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let Mapping::ReadOnly = self.mapping {
            // SAFETY: mapped by `open_read_only` or `copy_of` with this length; all references borrow `self`.
            let _ = unsafe { munmap(self.base.cast::<c_void>(), self.octets) };
        }
    }
}

fn segment_error(error: ShmemError) -> SegmentError {
    match error {
        ShmemError::MappingIdExists => SegmentError::Exists,
        ShmemError::MapCreateFailed(errno)
        | ShmemError::MapOpenFailed(errno)
        | ShmemError::UnknownOsError(errno) => match Errno::from_raw(errno as i32) {
            Errno::ENOENT => SegmentError::Missing,
            other => SegmentError::Os(other),
        },
        _ => SegmentError::Os(Errno::EINVAL),
    }
}
