//! The operating system's disk, clock and random numbers.

use std::fs::{self, File, Metadata};
use std::io::{self, IoSlice, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::relief::with_relief;
use super::{DirEntry, DiskFile, Sizes};
use crate::error::{Result, StoreError};

#[derive(Clone, Copy, Debug)]
pub(super) struct RealDisk {
    /// The clock, if it is not the system's.
    pub(super) clock: Option<&'static AtomicU64>,
}

impl RealDisk {
    pub(super) fn open(self, path: &Path) -> io::Result<DiskFile> {
        with_relief(|| File::open(path)).map(|file| RealFile::over(file).into())
    }

    pub(super) fn open_writable(self, path: &Path) -> io::Result<DiskFile> {
        with_relief(|| File::options().read(true).write(true).open(path))
            .map(|file| RealFile::over(file).into())
    }

    pub(super) fn create_new(self, path: &Path) -> io::Result<DiskFile> {
        let file = with_relief(|| File::options().read(true).write(true).create_new(true).open(path))?;
        Ok(RealFile::over(file).into())
    }

    pub(super) fn open_or_create(self, path: &Path) -> io::Result<DiskFile> {
        let file =
            with_relief(|| File::options().read(true).write(true).create(true).truncate(false).open(path))?;
        Ok(RealFile::over(file).into())
    }

    pub(super) fn rename(self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    pub(super) fn hard_link(self, file: &Path, name: &Path) -> io::Result<()> {
        fs::hard_link(file, name)
    }

    pub(super) fn remove_file(self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    pub(super) fn create_dir(self, folder: &Path) -> io::Result<()> {
        fs::create_dir(folder)
    }

    pub(super) fn remove_dir_all(self, folder: &Path) -> io::Result<()> {
        fs::remove_dir_all(folder)
    }

    pub(super) fn read_dir(self, folder: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in with_relief(|| fs::read_dir(folder))? {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            entries.push(DirEntry { name: entry.file_name().to_string_lossy().into_owned(), is_dir });
        }
        entries.sort_unstable();
        Ok(entries)
    }

    pub(super) fn metadata(self, path: &Path) -> io::Result<Metadata> {
        fs::metadata(path)
    }

    pub(super) fn sync_folder(self, folder: &Path) -> io::Result<()> {
        with_relief(|| File::open(folder))?.sync_all()
    }

    pub(super) fn sync_file_system(self, path: &Path) -> io::Result<()> {
        Ok(nix::unistd::syncfs(with_relief(|| File::open(path))?)?)
    }

    pub(super) fn now_seconds(self) -> u64 {
        if let Some(clock) = self.clock {
            return clock.load(Ordering::Relaxed);
        }
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    pub(super) fn pause_ms(self, milliseconds: u64) {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }

    pub(super) fn random_number(self) -> Result<u64> {
        let path = Path::new("/dev/urandom");
        let mut bytes = [0; 8];
        with_relief(|| File::open(path))
            .and_then(|mut source| source.read_exact(&mut bytes))
            .map_err(StoreError::io(path, "read"))?;
        Ok(u64::from_ne_bytes(bytes))
    }

    pub(super) fn mutated(&self, _: super::Mutation) -> bool {
        false
    }

    pub(super) fn sizes(&self) -> &Sizes {
        const { &Sizes::REAL }
    }
}

#[derive(Clone, Debug)]
pub(super) struct RealFile(Arc<File>);

impl RealFile {
    pub(super) fn over(file: File) -> RealFile {
        RealFile(Arc::new(file))
    }

    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }

    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    pub(super) fn write_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let at = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut written = loop {
            match nix::sys::uio::pwritev(&*self.0, &slices, at) {
                Ok(written) => break written,
                Err(nix::errno::Errno::EINTR) => (),
                Err(errno) => return Err(errno.into()),
            }
        };
        if written == total {
            return Ok(());
        }
        // A short write: go on part by part, which also finds out why.
        let mut offset = offset;
        for part in parts {
            let done = written.min(part.len());
            self.0.write_all_at(&part[done..], offset + done as u64)?;
            written -= done;
            offset += part.len() as u64;
        }
        Ok(())
    }

    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    pub(super) fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    pub(super) fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    #[cfg(not(miri))]
    pub(super) fn allocate(&self, offset: u64, bytes: u64, keep_size: bool) -> io::Result<()> {
        use nix::fcntl::FallocateFlags;
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        self.fallocate(if keep_size { keep } else { FallocateFlags::empty() }, offset, bytes)
    }

    #[cfg(miri)]
    pub(super) fn allocate(&self, offset: u64, bytes: u64, keep_size: bool) -> io::Result<()> {
        let len = self.0.metadata()?.len();
        if keep_size { Ok(()) } else { self.0.set_len(len.max(offset + bytes)) }
    }

    pub(super) fn punch(&self, offset: u64, bytes: u64) -> io::Result<()> {
        use nix::fcntl::FallocateFlags;
        self.fallocate(
            FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE,
            offset,
            bytes,
        )
    }

    fn fallocate(&self, how: nix::fcntl::FallocateFlags, offset: u64, bytes: u64) -> io::Result<()> {
        let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let offset = libc::off_t::try_from(offset).map_err(too_large)?;
        let bytes = libc::off_t::try_from(bytes).map_err(too_large)?;
        loop {
            match nix::fcntl::fallocate(&*self.0, how, offset, bytes) {
                Err(nix::errno::Errno::EINTR) => (),
                outcome => return Ok(outcome?),
            }
        }
    }

    pub(super) fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.0.set_modified(time)
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.0
    }
}
