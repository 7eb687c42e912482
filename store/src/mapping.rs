#![allow(unsafe_code)]
//! A growable shared mapping of a view file. Nothing but atomic loads and stores goes in and out, so that any process may
//! write while any other reads; no reference into the mapping leaves this file.
//!
//! Invariants:
//! - Every access is bounds checked against the mapped length, which never exceeds the file's length at the time of mapping.
//!   View files are never shrunk in place, so a mapped octet stays backed by the file.
//! - A file grows by `fallocate`: a full disk is an error of [`Mapping::grow`], never a SIGBUS at a later store.
//! - Growing makes a new, longer [`Region`]; a reader that holds an old one goes on with it. Both map the same pages, so what
//!   is stored through one is seen through the other.
//!
//! Used by the mailbox cells and by the page directory. Under miri the region is plain memory of this one `Mapping`.

use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StoreError};
use crate::in_hand::{Mutex, RwLock};

/// Octets of a cell, and the unit of [`Region::line`].
pub const LINE_BYTES: usize = 64;

/// Files are a multiple of this long.
const PAGE_BYTES: u64 = 4096;

/// An open view file and its mapping of now.
#[derive(Debug)]
pub struct Mapping {
    path: Arc<PathBuf>,
    disk: Disk,
    file: DiskFile,
    current: RwLock<Arc<Region>>,
    /// Held while a longer region takes the place of `current`, so that two threads do not map the same growth twice.
    growing: Mutex<()>,
}

impl Mapping {
    /// Maps the file at `path` as long as it is.
    pub fn open(disk: &Disk, path: &Path) -> Result<Mapping> {
        let file = disk.open_writable(path).map_err(StoreError::io(path, "open"))?;
        Mapping::over(disk, path, file)
    }

    /// Makes a file of `bytes` zero octets, their space taken on the disk, and maps it. The file must not be there yet.
    pub fn create(disk: &Disk, path: &Path, bytes: u64) -> Result<Mapping> {
        let file = disk.create_new(path).map_err(StoreError::io(path, "create"))?;
        allocate(path, &file, bytes)?;
        Mapping::over(disk, path, file)
    }

    fn over(disk: &Disk, path: &Path, file: DiskFile) -> Result<Mapping> {
        let path = Arc::new(path.to_path_buf());
        let length = file_length(&path, &file)?;
        let region = Arc::new(Region::map(&path, &file, length)?);
        Ok(Mapping { path, disk: disk.clone(), file, current: RwLock::new(region), growing: Mutex::new(()) })
    }

    /// The file's path when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// States that the file has another name now (it was renamed), for what errors say.
    pub fn renamed(&mut self, path: &Path) {
        self.path = Arc::new(path.to_path_buf());
        let region = self.current.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(region) = Arc::get_mut(region) {
            region.path = Arc::clone(&self.path);
        }
    }

    /// The file this maps, for reading its metadata.
    pub fn file(&self) -> &DiskFile {
        &self.file
    }

    /// Makes all of the file durable, what was stored through mappings included.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(StoreError::io(&self.path, "sync"))
    }

    /// [`Mapping::sync`], and makes its name durable and that of its folder.
    pub fn sync_with_names(&self) -> Result<()> {
        self.sync()?;
        let folder = self.path.parent().unwrap_or(&self.path);
        for name in [&self.path, folder] {
            self.disk.sync_folder_of(name).map_err(StoreError::io(name, "sync the folder of"))?;
        }
        Ok(())
    }

    /// The region of now. Cheap; a scan takes it once and works on it.
    pub fn region(&self) -> Arc<Region> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Octets mapped now.
    pub fn len(&self) -> u64 {
        self.current.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A region of at least `bytes` octets, which some process has already made room for.
    ///
    /// Errors: `Corrupt` if the file is shorter than that.
    pub fn ensure_len(&self, bytes: u64) -> Result<Arc<Region>> {
        let region = self.region();
        if region.len() >= bytes {
            return Ok(region);
        }
        let _growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        self.remap(bytes)
    }

    /// Makes the file at least `bytes` long, space taken on the disk, and maps it. Grows in steps: by half of what there is,
    /// within limits (`Sizes`). Needs a lock of the caller's against other processes growing it.
    ///
    /// Errors: `Io` when the disk is full (`is_out_of_space`); the file is as it was or longer, and everything mapped stays usable.
    pub fn grow(&self, bytes: u64) -> Result<Arc<Region>> {
        let region = self.region();
        if region.len() >= bytes {
            return Ok(region);
        }
        let _growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let length = file_length(&self.path, &self.file)?;
        if length < bytes {
            let sizes = self.disk.sizes();
            let step = (length / 2).clamp(sizes.mapping_step_least_bytes, sizes.mapping_step_most_bytes);
            let wanted = bytes.max(length + step).next_multiple_of(PAGE_BYTES);
            match allocate(&self.path, &self.file, wanted) {
                Ok(()) => (),
                // A nearly full disk may still have room for what is needed just now.
                Err(error) if error.is_out_of_space() => allocate(&self.path, &self.file, bytes)?,
                Err(error) => return Err(error),
            }
        }
        self.remap(bytes)
    }

    fn remap(&self, bytes: u64) -> Result<Arc<Region>> {
        let region = self.region();
        if region.len() >= bytes {
            return Ok(region);
        }
        let length = file_length(&self.path, &self.file)?;
        if length < bytes {
            return Err(StoreError::corrupt(&self.path, length, "the file ends before what it should hold"));
        }
        let longer = Arc::new(region.longer(&self.path, &self.file, length)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&longer);
        Ok(longer)
    }
}

fn file_length(path: &Path, file: &DiskFile) -> Result<u64> {
    file.len().map_err(StoreError::io(path, "look at"))
}

fn allocate(path: &Path, file: &DiskFile, bytes: u64) -> Result<()> {
    file.allocate(0, bytes, false).map_err(StoreError::io(path, "grow"))
}

/// One mapping of a view file, of fixed length.
pub struct Region {
    path: Arc<PathBuf>,
    memory: Memory,
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Region").field("path", &self.path).field("len", &self.len()).finish()
    }
}

impl Region {
    fn map(path: &Arc<PathBuf>, file: &DiskFile, length: u64) -> Result<Region> {
        Ok(Region { path: Arc::clone(path), memory: Memory::map(path, file, length)? })
    }

    #[cfg(not(miri))]
    fn longer(&self, path: &Arc<PathBuf>, file: &DiskFile, length: u64) -> Result<Region> {
        Region::map(path, file, length)
    }

    #[cfg(miri)]
    fn longer(&self, path: &Arc<PathBuf>, file: &DiskFile, length: u64) -> Result<Region> {
        let longer = Region::map(path, file, length)?;
        for offset in (0..self.len()).step_by(8) {
            longer.store_u64(offset, self.load_u64(offset, Ordering::Relaxed)?, Ordering::Relaxed)?;
        }
        Ok(longer)
    }

    /// The path of the file, for errors.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Octets mapped.
    pub fn len(&self) -> u64 {
        self.memory.length as u64
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.memory.length == 0
    }

    /// The 64 octets from `offset`, a multiple of 64. One check here, none at the accesses through it.
    #[inline]
    pub fn line(&self, offset: u64) -> Result<Line<'_>> {
        let start = self.place(offset, LINE_BYTES)?;
        Ok(Line { start, _region: self })
    }

    /// Loads four octets at `offset`, a multiple of 4.
    #[inline]
    pub fn load_u32(&self, offset: u64, ordering: Ordering) -> Result<u32> {
        Ok(u32::from_le(self.word32(offset)?.load(ordering)))
    }

    /// Stores four octets at `offset`, a multiple of 4.
    #[inline]
    pub fn store_u32(&self, offset: u64, value: u32, ordering: Ordering) -> Result<()> {
        self.word32(offset)?.store(value.to_le(), ordering);
        Ok(())
    }

    /// Loads eight octets at `offset`, a multiple of 8.
    #[inline]
    pub fn load_u64(&self, offset: u64, ordering: Ordering) -> Result<u64> {
        Ok(u64::from_le(self.word64(offset)?.load(ordering)))
    }

    /// Stores eight octets at `offset`, a multiple of 8.
    #[inline]
    pub fn store_u64(&self, offset: u64, value: u64, ordering: Ordering) -> Result<()> {
        self.word64(offset)?.store(value.to_le(), ordering);
        Ok(())
    }

    /// Adds to the number at `offset`, wrapping, and returns what was there before.
    pub fn fetch_add_u32(&self, offset: u64, by: u32, ordering: Ordering) -> Result<u32> {
        Ok(u32::from_le(self.word32(offset)?.fetch_add(by, ordering)))
    }

    /// Subtracts from the number at `offset`, wrapping, and returns what was there before.
    pub fn fetch_sub_u32(&self, offset: u64, by: u32, ordering: Ordering) -> Result<u32> {
        Ok(u32::from_le(self.word32(offset)?.fetch_sub(by, ordering)))
    }

    /// Puts `new` at `offset` if `expected` is there. The inner result is `Ok` with the old number if so, `Err` with the number
    /// that is there if not.
    pub fn compare_exchange_u32(
        &self,
        offset: u64,
        expected: u32,
        new: u32,
        ordering: Ordering,
    ) -> Result<std::result::Result<u32, u32>> {
        let failure = on_failure(ordering);
        let word = self.word32(offset)?;
        Ok(word
            .compare_exchange(expected.to_le(), new.to_le(), ordering, failure)
            .map(u32::from_le)
            .map_err(u32::from_le))
    }

    /// Puts `new` at `offset` if `expected` is there, as [`Region::compare_exchange_u32`].
    pub fn compare_exchange_u64(
        &self,
        offset: u64,
        expected: u64,
        new: u64,
        ordering: Ordering,
    ) -> Result<std::result::Result<u64, u64>> {
        let failure = on_failure(ordering);
        let word = self.word64(offset)?;
        Ok(word
            .compare_exchange(expected.to_le(), new.to_le(), ordering, failure)
            .map(u64::from_le)
            .map_err(u64::from_le))
    }

    /// Copies the 64 octets at `offset` out, word by word. Each word of 8 is whole; the cell is whole if nobody writes to it.
    pub fn copy_out(&self, offset: u64) -> Result<[u8; LINE_BYTES]> {
        Ok(self.line(offset)?.copy_out())
    }

    /// Copies 64 octets in, word by word, as [`Region::copy_out`].
    pub fn copy_in(&self, offset: u64, bytes: &[u8; LINE_BYTES]) -> Result<()> {
        self.line(offset)?.copy_in(bytes);
        Ok(())
    }

    /// The address of `size` octets at `offset`, checked to be mapped and aligned to `size`.
    #[inline]
    fn place(&self, offset: u64, size: usize) -> Result<NonNull<u8>> {
        let length = self.memory.length as u64;
        if !offset.is_multiple_of(size as u64) || offset >= length || length - offset < size as u64 {
            return Err(self.outside(offset));
        }
        // SAFETY: `offset + size <= length`, so the address is inside the one mapping or allocation that starts at `start`.
        Ok(unsafe { self.memory.start.add(offset as usize) })
    }

    #[cold]
    fn outside(&self, offset: u64) -> StoreError {
        StoreError::corrupt(&self.path, offset, "the place is outside of what is mapped, or not aligned")
    }

    #[inline]
    fn word32(&self, offset: u64) -> Result<&AtomicU32> {
        let place = self.place(offset, 4)?;
        // SAFETY: `place` checked bounds and alignment (the start is aligned to a line); the memory lives as long as `self`,
        // was zero or file content from the start, and everybody reaches it through atomics only.
        Ok(unsafe { AtomicU32::from_ptr(place.as_ptr().cast()) })
    }

    #[inline]
    fn word64(&self, offset: u64) -> Result<&AtomicU64> {
        let place = self.place(offset, 8)?;
        // SAFETY: as in `word32`.
        Ok(unsafe { AtomicU64::from_ptr(place.as_ptr().cast()) })
    }
}

fn on_failure(ordering: Ordering) -> Ordering {
    match ordering {
        Ordering::AcqRel | Ordering::Acquire => Ordering::Acquire,
        Ordering::SeqCst => Ordering::SeqCst,
        _ => Ordering::Relaxed,
    }
}

/// A checked cell of 64 octets. Offsets are constants, checked when this is compiled.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    start: NonNull<u8>,
    _region: &'a Region,
}

impl<'a> Line<'a> {
    #[inline]
    fn word32<const OFFSET: usize>(self) -> &'a AtomicU32 {
        const { assert!(OFFSET.is_multiple_of(4) && OFFSET + 4 <= LINE_BYTES) };
        // SAFETY: `Region::line` checked that 64 octets from `start` are mapped and aligned; the assertion keeps the word
        // inside and aligned; the region outlives `'a`; all access is atomic.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(OFFSET).cast()) }
    }

    #[inline]
    fn word64<const OFFSET: usize>(self) -> &'a AtomicU64 {
        const { assert!(OFFSET.is_multiple_of(8) && OFFSET + 8 <= LINE_BYTES) };
        // SAFETY: as in `word32`.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(OFFSET).cast()) }
    }

    /// Loads the four octets at `OFFSET` of the line.
    #[inline]
    pub fn load_u32<const OFFSET: usize>(self, ordering: Ordering) -> u32 {
        u32::from_le(self.word32::<OFFSET>().load(ordering))
    }

    /// Stores four octets at `OFFSET` of the line.
    #[inline]
    pub fn store_u32<const OFFSET: usize>(self, value: u32, ordering: Ordering) {
        self.word32::<OFFSET>().store(value.to_le(), ordering);
    }

    /// Loads the eight octets at `OFFSET` of the line.
    #[inline]
    pub fn load_u64<const OFFSET: usize>(self, ordering: Ordering) -> u64 {
        u64::from_le(self.word64::<OFFSET>().load(ordering))
    }

    /// Stores eight octets at `OFFSET` of the line.
    #[inline]
    pub fn store_u64<const OFFSET: usize>(self, value: u64, ordering: Ordering) {
        self.word64::<OFFSET>().store(value.to_le(), ordering);
    }

    /// Raises the four octets at `OFFSET` to `value` if they are lower; returns what was there before.
    pub fn fetch_max_u32<const OFFSET: usize>(self, value: u32, ordering: Ordering) -> u32 {
        let word = self.word32::<OFFSET>();
        let mut seen = word.load(Ordering::Relaxed);
        while u32::from_le(seen) < value {
            match word.compare_exchange_weak(seen, value.to_le(), ordering, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        u32::from_le(seen)
    }

    /// Copies the line out, word by word.
    #[inline]
    pub fn copy_out(self) -> [u8; LINE_BYTES] {
        let mut bytes = [0; LINE_BYTES];
        for (index, eight) in bytes.chunks_exact_mut(8).enumerate() {
            // SAFETY: index < 8, so the word is one of the eight of this line; otherwise as in `word32`.
            let word = unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(index * 8).cast()) };
            eight.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        bytes
    }

    /// Copies a line in, word by word.
    pub fn copy_in(self, bytes: &[u8; LINE_BYTES]) {
        for (index, eight) in bytes.chunks_exact(8).enumerate() {
            // SAFETY: as in `copy_out`.
            let word = unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(index * 8).cast()) };
            let mut value = [0; 8];
            value.copy_from_slice(eight);
            word.store(u64::from_ne_bytes(value), Ordering::Relaxed);
        }
    }
}

/// Mapped or allocated octets, aligned to a line at least.
struct Memory {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is owned by this value alone and is only reached through atomics.
unsafe impl Send for Memory {}
// SAFETY: as above; atomics may be used from several threads at once.
unsafe impl Sync for Memory {}

#[cfg(not(miri))]
impl Memory {
    fn map(path: &Path, file: &DiskFile, length: u64) -> Result<Memory> {
        use nix::sys::mman::{MapFlags, ProtFlags, mmap};
        use std::num::NonZeroUsize;
        let length = usize::try_from(length)
            .map_err(|_| StoreError::corrupt(path, 0, "the file is too long to be mapped"))?;
        let Some(bytes) = NonZeroUsize::new(length) else {
            return Ok(Memory { start: NonNull::<[u64; 8]>::dangling().cast(), length: 0 });
        };
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses the address, so no memory of ours is replaced; the mapping is shared with other
        // processes, and only atomics reach it; it is unmapped in `drop` and nowhere else.
        let start = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, file.file(), 0) }
            .map_err(|errno| StoreError::io(path, "map")(errno.into()))?;
        Ok(Memory { start: start.cast(), length })
    }
}

#[cfg(not(miri))]
impl Drop for Memory {
    fn drop(&mut self) {
        if self.length != 0 {
            // SAFETY: exactly what `map` mapped; nobody refers to it, for references borrow the region that owns this. That
            // it fails is impossible for a mapping that is there, and there would be nothing to do about it.
            let _ = unsafe { nix::sys::mman::munmap(self.start.cast(), self.length) };
        }
    }
}

#[cfg(miri)]
impl Memory {
    fn layout(length: usize) -> std::alloc::Layout {
        std::alloc::Layout::from_size_align(length.max(LINE_BYTES), LINE_BYTES).expect("a length that fits")
    }

    fn map(_path: &Path, _file: &DiskFile, length: u64) -> Result<Memory> {
        let length = length as usize;
        // SAFETY: the layout's size is not 0.
        let start = unsafe { std::alloc::alloc_zeroed(Memory::layout(length)) };
        Ok(Memory { start: NonNull::new(start).expect("memory"), length })
    }
}

#[cfg(miri)]
impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `map` with the same layout.
        unsafe { std::alloc::dealloc(self.start.as_ptr(), Memory::layout(self.length)) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

    use super::*;
    use crate::disk::Sizes;

    #[test]
    fn what_is_outside_or_unaligned_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let mapping = Mapping::create(&Disk::real(), &folder.path().join("view"), 4096).expect("a mapping");
        let region = mapping.region();
        assert_eq!((mapping.len(), region.len(), mapping.is_empty()), (4096, 4096, false));
        assert!(region.load_u32(4092, Relaxed).is_ok() && region.load_u64(4088, Relaxed).is_ok());
        for offset in [4096, 4094, 2, u64::MAX, u64::MAX - 3] {
            assert!(matches!(region.load_u32(offset, Relaxed), Err(StoreError::Corrupt { .. })), "{offset}");
            assert!(region.store_u64(offset, 1, Relaxed).is_err(), "{offset}");
        }
        assert!(region.line(4032).is_ok() && region.line(4096).is_err() && region.line(32).is_err());
    }

    #[test]
    fn numbers_are_little_endian_and_lines_come_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let mapping = Mapping::create(&Disk::real(), &folder.path().join("view"), 4096).expect("a mapping");
        let region = mapping.region();
        region.store_u64(64, 0x0807_0605_0403_0201, Release).expect("stored");
        region.store_u32(72, 0x0c0b_0a09, Release).expect("stored");
        let line = region.copy_out(64).expect("copied");
        assert_eq!(line[..13], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0]);
        region.copy_in(128, &line).expect("copied");
        assert_eq!(region.line(128).expect("a line").load_u32::<8>(Acquire), 0x0c0b_0a09);
        assert_eq!(region.fetch_add_u32(72, 1, Relaxed).expect("added"), 0x0c0b_0a09);
        assert_eq!(region.fetch_sub_u32(72, 2, Relaxed).expect("subtracted"), 0x0c0b_0a0a);
        assert_eq!(region.compare_exchange_u32(72, 1, 5, Relaxed).expect("tried"), Err(0x0c0b_0a08));
        assert_eq!(region.compare_exchange_u64(128, 0x0807_0605_0403_0201, 5, Relaxed).expect("tried"), {
            Ok(0x0807_0605_0403_0201)
        });
        let line = region.line(128).expect("a line");
        assert_eq!(line.fetch_max_u32::<0>(4, Relaxed), 5);
        assert_eq!(line.fetch_max_u32::<0>(9, Relaxed), 5);
        assert_eq!(line.load_u64::<0>(Relaxed), 9);
    }

    #[test]
    fn an_old_region_goes_on_beside_a_longer_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let mapping = Mapping::create(&Disk::real(), &folder.path().join("view"), 4096).expect("a mapping");
        let old = mapping.region();
        old.store_u32(0, 7, Relaxed).expect("stored");
        let longer = mapping.grow(10_000).expect("grown");
        assert!(longer.len() >= 10_000 && longer.len().is_multiple_of(4096));
        assert_eq!(longer.load_u32(0, Relaxed).expect("loaded"), 7);
        assert_eq!(longer.load_u32(9_996, Relaxed).expect("loaded"), 0);
        assert_eq!(old.load_u32(0, Relaxed).expect("loaded"), 7);
        assert!(old.load_u32(4096, Relaxed).is_err());
        assert_eq!(mapping.grow(5_000).expect("long enough").len(), longer.len());
    }

    #[test]
    #[cfg(not(miri))]
    fn what_one_mapping_grows_the_other_follows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("view");
        let one = Mapping::create(&Disk::real(), &path, 4096).expect("a mapping");
        let other = Mapping::open(&Disk::real(), &path).expect("a second mapping");
        assert!(matches!(other.ensure_len(8192), Err(StoreError::Corrupt { offset: 4096, .. })));
        let mut length = 4096;
        while length < 10 << 20 {
            let region = one.grow(length + 1).expect("grown");
            assert!(region.len() - length <= Sizes::REAL.mapping_step_most_bytes, "steps are bounded");
            length = region.len();
            region.store_u64(length - 8, length, Relaxed).expect("stored");
            let seen = other.ensure_len(length).expect("followed");
            assert_eq!(seen.load_u64(length - 8, Relaxed).expect("loaded"), length);
        }
        assert!(Mapping::create(&Disk::real(), &path, 1).is_err(), "it is there already");
    }
}
